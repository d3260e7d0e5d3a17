"""What is remembered of offers: the last number of a name counts, and there are limits."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.disk.fakes import DIGEST, Origin, StoreTests, found, open_store
from twistedp2p.core.names import offer_id
from twistedp2p.disk.memory import catalogue


class CatalogueTests(StoreTests):
    def test_an_offer_is_kept_as_it_was_told(self):
        origin = Origin(self.store)
        self.assertTrue(origin.offer("été.jpg", stamp=5, size=2**52, public=True))
        offer = self.reopen().offer(origin.key, "été.jpg")
        self.assertEqual((offer.owner, offer.name, offer.size), (origin.key, "été.jpg", 2**52))
        self.assertEqual((offer.digest, offer.public, offer.stamp), (DIGEST, True, 5))

    def test_a_later_offer_supersedes_an_earlier_one_and_its_entry(self):
        origin = Origin(self.store)
        self.assertTrue(origin.offer("a.jpg", size=1))
        self.assertTrue(origin.offer("a.jpg", size=2))
        self.assertEqual(self.store.offer(origin.key, "a.jpg").size, 2)
        self.assertEqual(origin.numbers_kept("offers"), [2])
        self.assertEqual(found(self.store, "a.jpg"), ["a.jpg"])
        self.assertEqual(self.store.count_offers(), 1)

    def test_an_earlier_offer_that_comes_late_changes_nothing(self):
        """Attack 36: reordered entries end in the same catalogue."""
        origin = Origin(self.store)
        self.assertTrue(origin.offer("a.jpg", number=2, size=2))
        self.assertFalse(origin.offer("a.jpg", number=1, size=1))
        self.assertEqual(self.store.offer(origin.key, "a.jpg").size, 2)
        self.assertEqual(self.store.feed(origin.key).have["offers"].runs(), [(1, 2)])

    def test_an_offer_is_found_by_its_id_as_long_as_its_owner_is_here(self):
        origin, other = Origin(self.store), Origin(self.store)
        for name in ("a.jpg", "b.jpg"):
            origin.offer(name)
            other.offer(name)
        wanted = offer_id(other.key, "b.jpg")
        offer = self.store.find(wanted)
        self.assertEqual((offer.owner, offer.name), (other.key, "b.jpg"))
        self.assertIsNone(self.store.find(wanted[:8] + bytes(8)))  # half an id is none
        self.store.set_present(other.key, False, "", 0)
        self.assertIsNone(self.store.find(wanted))
        self.assertEqual(other.key, self.store.find(wanted, False).owner)
        self.store.set_present(other.key, True, "", 0)
        self.assertIsNone(self.store.find(wanted, False))
        other.withdraw("b.jpg")
        self.assertIsNone(self.store.find(wanted))

    def test_what_one_offered_who_has_gone_is_found_by_its_name_where_that_is_asked_for(self):
        origin, other = Origin(self.store, 1), Origin(self.store, 2)
        for each in (origin, other):
            each.offer("a.jpg")
        other.offer("gone.jpg")
        other.withdraw("gone.jpg")
        self.store.set_present(other.key, False, "", 0)
        for here, owner in ((True, origin), (False, other)):
            owners = [offer.owner for offer in self.store.offers_called("a.jpg", here=here)]
            self.assertEqual(owners, [owner.key])
        self.assertEqual(self.store.offers_called("gone.jpg", here=False), [])

    def test_a_withdrawn_offer_is_gone(self):
        origin = Origin(self.store)
        origin.offer("a.jpg")
        self.assertTrue(origin.withdraw("a.jpg"))
        self.assertFalse(origin.withdraw("a.jpg"))
        self.assertIsNone(self.store.offer(origin.key, "a.jpg"))
        self.assertEqual((origin.names(), found(self.store, "a"), found(self.store, "")),
                         ([], [], []))  # fmt: skip
        self.assertEqual(self.store.count_offers(), 0)
        self.assertEqual(origin.numbers_kept("offers"), [3])

    def test_a_withdrawal_that_comes_before_its_offer_holds(self):
        """Attack 36: reordering does not bring a withdrawn offer back."""
        origin = Origin(self.store)
        self.assertFalse(origin.withdraw("a.jpg", number=2))
        store = self.store
        self.assertFalse(origin.offer("a.jpg", number=1))
        self.assertIsNone(store.offer(origin.key, "a.jpg"))
        self.assertTrue(origin.offer("a.jpg", number=3))
        self.assertEqual(found(store, "a.jpg"), ["a.jpg"])

    def test_a_name_belongs_to_its_owner_alone(self):
        one, two = Origin(self.store, 1), Origin(self.store, 2)
        one.offer("a.jpg", size=1)
        two.offer("a.jpg", size=2)
        two.withdraw("a.jpg")
        self.assertEqual(self.store.offer(one.key, "a.jpg").size, 1)

    def test_the_first_offers_of_a_node_are_found_without_reading_the_others(self):
        """Attack 40: it is asked in the loop, and a node may have a hundred thousand."""
        origin = Origin(self.store)
        for name in ("c.jpg", "a.jpg", "d.jpg", "b.jpg"):
            origin.offer(name)
        origin.withdraw("a.jpg")
        found = self.store.offers_of(origin.key, 2)
        self.assertEqual([offer.name for offer in found], ["b.jpg", "c.jpg"])
        statements = []
        run = self.store._db.run
        self.patch(self.store._db, "run", lambda *a: (statements.append(a), run(*a))[1])
        self.store.offers_of(origin.key, 2)
        plan = run("EXPLAIN QUERY PLAN " + statements[0][0], *statements[0][1:])
        self.assertFalse([row for row in plan if "B-TREE" in row[-1]], plan)

    def test_offers_of_those_who_are_not_here_are_kept_but_not_counted_nor_found(self):
        origin = Origin(self.store)
        origin.offer("a.jpg")
        self.assertEqual(self.store.count_offers(), 1)
        self.store.set_present(origin.key, False, "n", 0)
        self.assertEqual((self.store.count_offers(), found(self.store, "a.jpg")), (0, []))
        self.assertEqual(origin.names(), ["a.jpg"])
        self.store.set_present(origin.key, True, "n", 0)
        self.assertEqual(found(self.store, "a.jpg"), ["a.jpg"])
        self.assertEqual((self.reopen().count_offers(), found(self.store, "")), (0, []))

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["offer", "withdraw"]), st.sampled_from("abc")), max_size=8
        ),
        st.randoms(use_true_random=False),
    )
    def test_whatever_the_order_the_last_number_of_a_name_counts(self, published, random):
        origin = Origin(self.store)
        self.epoch = getattr(self, "epoch", 0) + 1
        origin.start(self.epoch)
        numbered = list(enumerate(published, 1))
        random.shuffle(numbered)
        for number, (kind, name) in numbered:
            getattr(origin, kind)(f"{name}.jpg", number=number)
        last = {name: (kind, number) for number, (kind, name) in enumerate(published, 1)}
        live = sorted(f"{name}.jpg" for name, (kind, _) in last.items() if kind == "offer")
        self.assertEqual(origin.names(), live)
        self.assertEqual(sorted(found(self.store, "jpg")), live)
        self.assertEqual(self.store.count_offers(), len(live))
        self.assertEqual(
            origin.numbers_kept("offers"), sorted(number for _, number in last.values())
        )


class WithdrawnTests(StoreTests):
    """What was withdrawn long ago is told by one number, by its publisher alone."""

    def own(self):
        own = Origin(self.store)
        self.store._own_key = own.key
        return own

    def test_our_withdrawals_below_all_that_we_offer_are_not_kept(self):
        own = self.own()
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            own.offer(name)
        own.withdraw("b.jpg")
        self.assertEqual(own.numbers_kept("offers"), [1, 3, 4])
        own.withdraw("a.jpg")
        self.assertEqual(own.numbers_kept("offers"), [3, 4, 5])
        own.withdraw("c.jpg")
        self.assertEqual(own.numbers_kept("offers"), [])
        self.assertEqual(self.store.lowest(own.key, "offers"), 7)
        own.offer("d.jpg")
        self.assertEqual(self.store.lowest(own.key, "offers"), 7)
        self.assertEqual(own.names(), ["d.jpg"])

    def test_withdrawals_of_others_are_kept_whatever_the_order(self):
        origin = Origin(self.store)
        origin.withdraw("a.jpg", number=2)
        self.assertEqual(origin.numbers_kept("offers"), [2])
        self.assertFalse(origin.offer("a.jpg", number=1))

    def test_what_is_below_the_lowest_that_its_publisher_tells_goes(self):
        origin, other = Origin(self.store), Origin(self.store, 2)
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            origin.offer(name)
            other.offer(name)
        origin.withdraw("b.jpg")
        self.assertEqual(self.store.drop_below(origin.feed, 1), [])
        self.assertEqual(self.store.drop_below(origin.feed, 3), ["a.jpg"])
        self.assertEqual(origin.numbers_kept("offers"), [3, 4])
        self.assertEqual(origin.names(), ["c.jpg"])
        self.assertEqual(self.store.drop_below(origin.feed, 5), ["c.jpg"])
        self.assertEqual((origin.names(), len(other.names())), ([], 3))
        self.assertEqual(sorted(found(self.store, "jpg")), ["a.jpg", "b.jpg", "c.jpg"])
        origin.feed.epoch = 7
        self.assertEqual(self.store.drop_below(origin.feed, 9), [])

    def test_so_many_go_at_once_and_the_others_when_it_is_told_again(self):
        """Attack 40: a node that tells of a huge number stalls nobody."""
        self.patch(catalogue, "AT_ONCE", 3)
        origin = Origin(self.store)
        for number in range(5):
            origin.offer(f"{number}.jpg")
        self.assertEqual(len(self.store.drop_below(origin.feed, 2**53 - 1)), 3)
        self.assertEqual(len(self.store.drop_below(origin.feed, 2**53 - 1)), 2)

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.booleans()), max_size=25),
        st.randoms(use_true_random=False),
    )
    def test_whoever_lacks_something_has_all_in_the_end(self, steps, random):
        """Whatever came before: what the publisher still keeps, and its lowest number, suffice."""
        store = open_store(self)
        publisher = Origin(store)
        store._own_key = publisher.key
        reader = Origin(self.store, epoch=getattr(self, "epoch", 0) + 1)
        self.epoch = reader.feed.epoch
        for name, live, comes in steps:
            if live:
                publisher.offer(name)
            else:
                publisher.withdraw(name)
            number = publisher.numbers["offers"]
            if comes:
                self.read(reader, name, number, live)
        kept = store.entries(publisher.key, "offers", 1, 2**53)
        random.shuffle(kept)
        lowest = store.lowest(publisher.key, "offers")
        for number, _ in kept:
            name, live, _ = steps[number - 1]
            self.read(reader, name, number, live)
        self.store.drop_below(reader.feed, lowest)
        self.assertEqual(reader.names(), publisher.names())

    def read(self, reader, name, number, live):
        """Have an entry come, if it did not yet."""
        if number in reader.feed.have["offers"]:
            return
        if live:
            reader.offer(name, number=number)
        else:
            reader.withdraw(name, number=number)


class OfferCapTests(StoreTests):
    def test_a_node_has_only_so_many_offers(self):
        """Attack 40: offers of one node are capped; what it has may still be renewed."""
        self.patch(catalogue, "MAX_OFFERS_PER_NODE", 3)
        origin, other = Origin(self.store), Origin(self.store, 2)
        self.assertEqual([origin.offer(f"{n}.jpg") for n in range(5)], [True] * 3 + [False] * 2)
        self.assertTrue(origin.offer("1.jpg", size=9))
        self.assertEqual(self.store.offer(origin.key, "1.jpg").size, 9)
        self.assertTrue(other.offer("other.jpg"))
        self.assertEqual(origin.names(), ["0.jpg", "1.jpg", "2.jpg"])
        self.assertEqual(origin.numbers_kept("offers"), [1, 3, 6])
        self.assertEqual(self.store.feed(origin.key).have["offers"].runs(), [(1, 6)])

    def test_what_a_node_withdrew_long_ago_gives_way_to_what_it_offers(self):
        self.patch(catalogue, "MAX_OFFERS_PER_NODE", 3)
        origin = Origin(self.store)
        for number in range(10):
            self.assertTrue(origin.offer(f"{number}.jpg"))
            self.assertTrue(origin.withdraw(f"{number}.jpg"))
        self.assertEqual(self.rows("offers"), 3)
        self.assertEqual(origin.numbers_kept("offers"), [16, 18, 20])

    def test_when_the_catalogue_is_full_the_largest_stranger_gives_an_offer_up(self):
        """Attack 40: a few throw-away keys that fill the catalogue do not keep others out."""
        self.patch(catalogue, "MAX_OFFERS", 6)
        pinned, flood, stranger = self.pinned(1), Origin(self.store, 2), Origin(self.store, 3)
        self.assertTrue(pinned.offer("kept.jpg"))
        for number in range(9):
            flood.offer(f"{number}.jpg")
        self.assertEqual(len(flood.names()), 5)
        self.assertFalse(flood.offer("more.jpg"))
        for number in range(4):
            self.assertTrue(pinned.offer(f"pinned {number}.jpg"))
        self.assertEqual(len(flood.names()), 1)
        self.assertTrue(stranger.offer("stranger.jpg"))
        self.assertEqual((len(pinned.names()), self.store.count_offers()), (5, 6))
        self.assertEqual(len(found(self.store, "jpg")), 6)

    def test_a_catalogue_full_of_pinned_offers_takes_none_but_our_own(self):
        self.patch(catalogue, "MAX_OFFERS", 2)
        pinned, stranger, own = self.pinned(1), Origin(self.store, 2), Origin(self.store, 3)
        self.store._own_key = own.key
        self.assertEqual([pinned.offer(f"{n}.jpg") for n in range(3)], [True, True, False])
        self.assertFalse(stranger.offer("stranger.jpg"))
        self.assertTrue(own.offer("own.jpg"))

    def test_the_cap_is_looked_at_without_counting_offers(self):
        origin = Origin(self.store)
        origin.offer("a.jpg")
        plans = []
        run = self.store._db.run

        def explained(statement, *values):
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                plans.extend(row[3] for row in run(f"EXPLAIN QUERY PLAN {statement}", *values))
            return run(statement, *values)

        self.patch(self.store._db, "run", explained)
        origin.offer("b.jpg")
        origin.offer("a.jpg")
        origin.withdraw("a.jpg")
        self.store.count_offers()
        self.assertEqual([plan for plan in plans if "SCAN" in plan and "feeds" not in plan], [])

    def test_offers_are_counted_once_not_for_each_newcomer(self):
        self.patch(catalogue, "MAX_OFFERS", 20)
        origin, other = Origin(self.store), Origin(self.store, 2)
        statements = self.statements()
        for number in range(20):
            self.assertTrue(origin.offer(f"{number}.jpg"))
        self.assertEqual(len([text for text in statements if "sum(kept)" in text]), 1)
        self.assertFalse(origin.offer("20.jpg"))
        self.assertTrue(other.offer("other.jpg"))
        self.assertEqual(self.store.count_offers(), 20)
