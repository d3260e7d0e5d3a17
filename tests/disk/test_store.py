"""What a node remembers: feeds, catalogue, search, pins, shares, whatever happens to the disk."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import DIGEST, Origin, found, new_folder, open_store
from twistedp2p.core.catalogue import Query
from twistedp2p.core.cpace import stretch
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.names import clean_name, fingerprint, offer_id
from twistedp2p.disk import store as store_module
from twistedp2p.disk.search import folded
from twistedp2p.disk.store import Share, Store

MOST = 20  # seconds to wait for a thread
SHARE = Share("a.jpg", "/home/me/a.jpg", b"p" * 32, True, False, 5, 6, 7, 8, DIGEST)


def well_known(store, key):
    """Have the store know that key for two hours."""
    store.pin(key, "", 0)
    store.pin(key, "", 7_200_000)


class StoreTests(SynchronousTestCase):
    """Opens a store at `path`, and anew."""

    def setUp(self):
        self.path = new_folder(self) / "node.db"
        self.own_key = b"o" * 32
        self.store = open_store(self, self.path, self.own_key)

    def reopen(self):
        self.store.close()
        self.store = open_store(self, self.path, self.own_key)
        return self.store

    def rows(self, table):
        db = sqlite3.connect(self.path)
        try:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            db.close()


class FeedTests(StoreTests):
    def test_a_feed_survives_reopening(self):
        origin = Origin(self.store)
        said = [origin.say("one"), origin.say("four", number=4)]
        origin.offer("a.jpg")
        store = self.reopen()
        feed = store.feed(origin.key)
        self.assertEqual(feed.epoch, 1)
        self.assertEqual(feed.have["chat"].runs(), [(1, 1), (4, 4)])
        self.assertEqual(feed.have["offers"].runs(), [(1, 1)])
        self.assertEqual((feed.heads.chat, feed.heads.offers), ((1, 4), (1, 1)))
        self.assertEqual(
            store.entries(origin.key, "chat", 1, 9), [(1, said[0].raw), (4, said[1].raw)]
        )
        self.assertEqual([offer.name for offer in store.offers_of(origin.key)], ["a.jpg"])

    def test_an_unknown_feed_is_none_and_has_nothing(self):
        self.assertIsNone(self.store.feed(b"x" * 32))
        self.assertEqual(self.store.entries(b"x" * 32, "chat", 1, 9), [])
        self.assertEqual(self.store.lowest(b"x" * 32, "chat"), 1)
        self.assertIsNone(self.store.offer(b"x" * 32, "a.jpg"))

    def test_a_later_epoch_drops_what_the_earlier_one_held(self):
        origin, other = Origin(self.store), Origin(self.store, 2)
        origin.say("old")
        origin.offer("old.jpg")
        other.offer("other.jpg")
        origin.start(2)
        self.assertEqual(self.store.feed(origin.key).have["chat"].runs(), [])
        self.assertEqual(origin.numbers_kept("chat") + origin.numbers_kept("offers"), [])
        self.assertEqual(self.store.history(9), [])
        self.assertIsNone(self.store.offer(origin.key, "old.jpg"))
        self.assertEqual(found(self.store, ""), ["other.jpg"])
        self.assertEqual(found(self.store, "old"), [])
        self.assertEqual(self.store.count_offers(), 1)
        self.assertTrue(origin.offer("old.jpg"))
        self.assertEqual(found(self.store, "old"), ["old.jpg"])

    def test_tidying_removes_what_dropped_feeds_have_left(self):
        self.patch(store_module, "SWEEP", 3)
        self.patch(store_module, "SWEEP_PAUSE", 0)
        origin, other = Origin(self.store), Origin(self.store, 2)
        for number in range(10):
            origin.offer(f"{number}.jpg")
            origin.say("line")
        origin.withdraw("3.jpg")
        other.offer("other.jpg")
        origin.start(2)
        origin.offer("new.jpg")
        self.assertEqual(self.rows("offers"), 12)
        self.store.tidy()
        self.assertEqual((self.rows("offers"), self.rows("entries"), self.rows("feeds")), (2, 2, 2))
        self.assertEqual(sorted(found(self.store, "jpg")), ["new.jpg", "other.jpg"])
        indexed = self.store._db.run("SELECT rowid FROM names WHERE names MATCH 'jpg'")
        self.assertEqual(indexed, self.store._db.run("SELECT id FROM offers ORDER BY id"))

    def test_tidying_empties_the_write_ahead_log(self):
        origin = Origin(self.store)
        for number in range(50):
            origin.say(f"line {number}")
        self.store.tidy()
        grown = os.path.getsize(f"{self.path}-wal")
        for number in range(20):
            origin.say(f"line {number}")
        self.assertEqual(os.path.getsize(f"{self.path}-wal"), grown)

    def test_tidying_when_nothing_was_written_does_nothing(self):
        self.store.tidy()
        opened = []
        database = store_module.Database
        self.patch(store_module, "Database", lambda path: opened.append(path) or database(path))
        self.store.tidy()
        self.assertEqual(opened, [])
        self.store.set_counter("boot", 1)
        self.store.tidy()
        self.assertEqual(opened, [self.path])

    def test_what_an_earlier_run_left_to_be_tidied_is_tidied(self):
        origin = Origin(self.store)
        origin.offer("a.jpg")
        origin.start(2)
        self.reopen().tidy()
        self.assertEqual((self.rows("offers"), self.rows("feeds")), (0, 1))

    def test_dropping_a_large_feed_waits_for_tidying(self):
        """Attack 40: a node that begins anew, again and again, does not stall the others."""
        origin = Origin(self.store)
        for number in range(30):
            origin.offer(f"{number}.jpg")
        statements = []
        run = self.store._db.run

        def counted(statement, *values):
            statements.append(statement)
            return run(statement, *values)

        self.patch(self.store._db, "run", counted)
        origin.start(2)
        self.assertFalse([text for text in statements if "offers WHERE" in text])
        self.assertEqual(found(self.store, ""), [])

    def test_an_entry_of_a_feed_that_is_not_here_is_not_kept(self):
        origin = Origin(self.store)
        origin.feed.epoch = 7
        self.assertFalse(origin.offer("a.jpg"))
        origin.say("line")
        self.assertEqual((self.rows("offers"), self.rows("entries")), (0, 0))

    def test_what_was_superseded_is_noted(self):
        origin = Origin(self.store)
        origin.feed.have["offers"].add(1, 7)
        self.store.save_ranges(origin.feed)
        self.assertEqual(self.reopen().feed(origin.key).have["offers"].runs(), [(1, 7)])

    def test_the_lowest_number_kept_of_a_log_is_told(self):
        origin = Origin(self.store)
        origin.offer("a.jpg")
        origin.offer("b.jpg")
        origin.withdraw("a.jpg")
        origin.say("line", number=9)
        self.assertEqual(self.store.lowest(origin.key, "offers"), 2)
        self.assertEqual(self.store.lowest(origin.key, "chat"), 9)

    def test_counters_are_kept(self):
        self.assertEqual(self.store.counter("boot", 3), 3)
        self.store.set_counter("boot", 4)
        self.assertEqual(self.reopen().counter("boot", 3), 4)


class CapTests(StoreTests):
    def pinned(self, number, **more):
        origin = Origin(self.store, number, **more)
        well_known(self.store, origin.key)
        return origin

    def feeds_here(self, *origins):
        return [self.store.feed(origin.key) is not None for origin in origins]

    def test_the_strangers_who_are_away_longest_make_room_for_a_feed(self):
        """Attack 40: feeds are capped."""
        self.patch(store_module, "MAX_FEEDS", 3)
        here = Origin(self.store, 1, heard=1)
        late = Origin(self.store, 2, present=False, heard=9)
        early = Origin(self.store, 3, present=False, heard=5)
        newcomer = Origin(self.store, 4, heard=10)
        self.assertEqual(self.feeds_here(here, late, early, newcomer), [True, True, False, True])
        self.assertEqual(newcomer.start(2), [])
        self.assertEqual(Origin(self.store, 5).start(2), [])
        self.assertEqual(self.feeds_here(here, late), [True, False])

    def test_keys_pinned_a_moment_ago_are_strangers_still(self):
        """Attack 37: throw-away keys that stay until they are pinned take no room for ever."""
        self.patch(store_module, "MAX_FEEDS", 2)
        away = [Origin(self.store, number, present=False) for number in (1, 2)]
        for origin in away:
            self.store.pin(origin.key, "", 0)
            self.store.pin(origin.key, "", 60_000)
        newcomers = [Origin(self.store, number) for number in (3, 4)]
        self.assertEqual(self.feeds_here(*away, *newcomers), [False, False, True, True])

    def test_well_known_keys_keep_half_of_the_room_and_no_more(self):
        """Attack 37: keys that were kept here for hours, so many that they would fill it."""
        self.patch(store_module, "MAX_FEEDS", 4096)
        self.store._db.run(
            "WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 4096)"
            " INSERT INTO pins SELECT CAST(i AS BLOB), '', 0, 4000000 + i FROM n"
        )
        self.store._db.run(
            "INSERT INTO feeds(origin, epoch, present, heard, kept, live, chat, offers)"
            " SELECT key, 1, 1, 0, 0, 0, '[]', '[]' FROM pins"
        )
        newcomers = [Origin(self.store, number) for number in range(1, 50)]
        self.assertTrue(all(self.feeds_here(*newcomers)))

    def test_the_feeds_dropped_to_make_room_are_told(self):
        self.patch(store_module, "MAX_FEEDS", 1)
        first, second = Origin(self.store, 1), Origin(self.store, 2)
        self.assertEqual(first.start(1), [second.key])

    def test_throw_away_keys_never_evict_pinned_feeds_nor_our_own(self):
        """Attack 40: pinned nodes that are away, and we, stay, however many strangers come."""
        self.patch(store_module, "MAX_FEEDS", 3)
        pinned = [self.pinned(number, present=False) for number in (1, 2, 3)]
        for origin in pinned:
            origin.offer("kept.jpg")
        own = Origin(self.store, 4)
        self.store._own_key = own.key
        own.offer("own.jpg")
        for number in range(5, 25):
            stranger = Origin(self.store, number, heard=99)
            stranger.offer("stranger.jpg")
        self.assertEqual(self.feeds_here(*pinned, own), [True] * 4)
        self.assertEqual([origin.names() for origin in pinned], [["kept.jpg"]] * 3)
        self.assertEqual(own.names(), ["own.jpg"])
        self.store._closed.clear()
        self.store.tidy()
        self.assertLessEqual(self.rows("feeds"), 5)

    def test_a_node_has_only_so_many_offers(self):
        """Attack 40: offers of one node are capped; what it has may still be renewed."""
        self.patch(store_module, "MAX_OFFERS_PER_NODE", 3)
        origin, other = Origin(self.store), Origin(self.store, 2)
        self.assertEqual([origin.offer(f"{n}.jpg") for n in range(5)], [True] * 3 + [False] * 2)
        self.assertTrue(origin.offer("1.jpg", size=9))
        self.assertEqual(self.store.offer(origin.key, "1.jpg").size, 9)
        self.assertTrue(other.offer("other.jpg"))
        self.assertEqual(origin.names(), ["0.jpg", "1.jpg", "2.jpg"])
        self.assertEqual(origin.numbers_kept("offers"), [1, 3, 6])
        self.assertEqual(self.store.feed(origin.key).have["offers"].runs(), [(1, 6)])

    def test_what_a_node_withdrew_long_ago_gives_way_to_what_it_offers(self):
        self.patch(store_module, "MAX_OFFERS_PER_NODE", 3)
        origin = Origin(self.store)
        for number in range(10):
            self.assertTrue(origin.offer(f"{number}.jpg"))
            self.assertTrue(origin.withdraw(f"{number}.jpg"))
        self.assertEqual(self.rows("offers"), 3)
        self.assertEqual(origin.numbers_kept("offers"), [16, 18, 20])

    def test_when_the_catalogue_is_full_the_largest_stranger_gives_an_offer_up(self):
        """Attack 40: a few throw-away keys that fill the catalogue do not keep others out."""
        self.patch(store_module, "MAX_OFFERS", 6)
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
        self.patch(store_module, "MAX_OFFERS", 2)
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


class ChatTests(StoreTests):
    def test_history_is_the_last_lines_of_everybody_oldest_first(self):
        one, two = Origin(self.store, 1), Origin(self.store, 2)
        said = [one.say("a", stamp=1), two.say("b", stamp=2), one.say("c", stamp=3)]
        self.assertEqual(self.store.history(9), [entry.raw for entry in said])
        self.assertEqual(self.store.history(2), [entry.raw for entry in said[1:]])

    def test_an_origin_keeps_its_last_lines(self):
        self.patch(store_module, "CHAT_PER_ORIGIN", 5)
        origin, other = Origin(self.store), Origin(self.store, 2)
        other.say("other")
        for _ in range(12):
            origin.say("line")
        self.assertEqual(origin.numbers_kept("chat"), [8, 9, 10, 11, 12])
        self.assertEqual(other.numbers_kept("chat"), [1])
        self.assertEqual(self.store.feed(origin.key).have["chat"].runs(), [(1, 12)])

    def test_500_lines_of_an_origin_and_10000_of_all_are_kept(self):
        self.assertEqual((store_module.CHAT_PER_ORIGIN, store_module.CHAT_IN_ALL), (500, 10_000))

    def test_of_all_lines_the_oldest_go(self):
        self.patch(store_module, "CHAT_IN_ALL", 20)
        self.patch(store_module, "TRIM_EVERY", 1)
        origins = [Origin(self.store, number) for number in (1, 2, 3)]
        said = [origins[n % 3].say("line", stamp=n) for n in range(50)]
        self.assertEqual(self.store.history(99), [entry.raw for entry in said[-20:]])
        self.assertEqual(self.rows("entries"), 20)

    def test_lines_are_trimmed_now_and_then_not_at_every_one(self):
        self.patch(store_module, "CHAT_IN_ALL", 10)
        origin = Origin(self.store)
        for n in range(store_module.TRIM_EVERY - 1):
            origin.say("line", stamp=n)
        self.assertEqual(self.rows("entries"), store_module.TRIM_EVERY - 1)
        origin.say("line", stamp=1000)
        self.assertEqual(self.rows("entries"), 10)

    def test_throw_away_keys_do_not_push_out_what_pinned_ones_said(self):
        """Attack 40: nor what we said, whatever time the strangers' lines claim."""
        self.patch(store_module, "CHAT_IN_ALL", 20)
        self.patch(store_module, "TRIM_EVERY", 7)
        pinned, own = Origin(self.store, 1), Origin(self.store, 2)
        well_known(self.store, pinned.key)
        self.store._own_key = own.key
        for n in range(6):
            pinned.say("pinned", stamp=n)
            own.say("own", stamp=n)
        strangers = [Origin(self.store, number) for number in range(3, 9)]
        for n in range(100):
            strangers[n % 6].say("flood", stamp=2**52)
        self.assertEqual(len(pinned.numbers_kept("chat")), 6)
        self.assertEqual(len(own.numbers_kept("chat")), 6)
        self.assertLessEqual(self.rows("entries"), 20 + 7)


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


class SearchTests(StoreTests):
    def offered(self, *names):
        origin = Origin(self.store, 1, "Anna")
        for stamp, name in enumerate(names):
            self.assertTrue(origin.offer(name, stamp=stamp))
        return origin

    def finds(self, expected):
        for text, names in expected.items():
            self.assertEqual(sorted(found(self.store, text)), sorted(names), ascii(text))

    def test_every_word_is_part_of_the_name_in_any_order_and_case(self):
        self.offered("Holiday Beach.JPG", "holiday.pdf", "STRASSE.txt")
        self.finds({
            "holiday": ["Holiday Beach.JPG", "holiday.pdf"], "OLIDA": ["Holiday Beach.JPG",
            "holiday.pdf"], "beach  holiday": ["Holiday Beach.JPG"], "jpg": ["Holiday Beach.JPG"],
            "holiday beach pdf": [], "straße": ["STRASSE.txt"], "nothing": [], "holiday.": [
            "holiday.pdf"], "y b": ["Holiday Beach.JPG"],
        })  # fmt: skip

    def test_accents_count_neither_in_the_name_nor_in_the_word(self):
        self.offered("Été à Orléans.jpg", "ete.txt", "漢字テスト.pdf", "한글.txt", "ACME™.gif")
        self.finds({
            "été": ["Été à Orléans.jpg", "ete.txt"], "ÉTÉ": ["Été à Orléans.jpg", "ete.txt"],
            "e\u0301te\u0301": ["Été à Orléans.jpg", "ete.txt"], "orleans": ["Été à Orléans.jpg"],
            "漢字": ["漢字テスト.pdf"], "字": ["漢字テスト.pdf"], "テスト": ["漢字テスト.pdf"],
            "한글": ["한글.txt"], "acmetm": ["ACME™.gif"], "ORLÉANS ete": ["Été à Orléans.jpg"],
        })  # fmt: skip

    def test_operators_quotes_and_wildcards_are_plain_text(self):
        plain = "plain note.txt"
        odd = ["a AND b.txt", "it's (100% sure)_+.txt", "near-by.txt", "a^b{c}.txt"]
        self.offered(plain, *odd)
        self.finds({
            '"': [], '"""': [], '"plain"': [], "plain*": [], "*": [], "***": [], "%": odd[1:2],
            "___": [], "100%": odd[1:2], "pla_n": [], "p%e": [], "and": odd[:1],
            "plain and note": [], "plain not txt": [plain], "plain or note": [], "AND": odd[:1],
            "near": odd[2:3], "near(plain": [], "NEAR/2": [], "-note": [], "near-by": odd[2:3],
            "folded:plain": [], "it's": odd[1:2], "(100%": odd[1:2], "sure)_+": odd[1:2],
            "^plain": [], "a^b{c}": odd[3:], "\\": [], "+": odd[1:2],
            "'; drop table offers; --": [],
        })  # fmt: skip
        self.assertEqual(len(found(self.store, "txt")), 5)

    def test_one_and_two_letters_are_found(self):
        self.offered("a.jpg", "ab.jpg", "xaby.png", "zq", "é.gif")
        self.finds({
            "a": ["a.jpg", "ab.jpg", "xaby.png"], "ab": ["ab.jpg", "xaby.png"], "zq": ["zq"],
            "z": ["zq"], "é": ["é.gif"], "qz": [], "ab x": ["xaby.png"], "a png": ["xaby.png"],
        })  # fmt: skip

    def test_what_nobody_can_type_finds_nothing_and_breaks_nothing(self):
        self.offered("a.jpg")
        for text in ("\0", "\0\0\0", "\ud800", "\x1b[2J", "\u0301", "\u200b", "a\n.jpg", "\ufffe"):
            self.assertNotIn(None, found(self.store, text), ascii(text))
        for word in ("\0\0\0", "\u0301\u0301\u0301", "\ud800\ud800\ud800"):
            self.assertEqual(self.store.search(Query((word,), ()), b""), [])

    def test_without_words_the_latest_come_first(self):
        self.offered("first.jpg", "second.jpg", "third.jpg")
        self.assertEqual(found(self.store, ""), ["third.jpg", "second.jpg", "first.jpg"])
        self.assertEqual(found(self.store, "", most=2), ["third.jpg", "second.jpg"])

    def test_nobody_fills_the_list_however_many_and_however_stamped(self):
        """Attack 40: many offers from the future hide nothing."""
        quiet = Origin(self.store, 1, "Anna")
        quiet.offer("notes.txt", stamp=5)
        loud = Origin(self.store, 2, "Spam")
        for number in range(50):
            loud.offer(f"spam {number}.txt", stamp=2**53 - 1)
        first = found(self.store, "", most=4)
        self.assertEqual(first, ["spam 49.txt", "notes.txt", "spam 48.txt", "spam 47.txt"])

    def test_owners_are_named_by_nick_and_by_fingerprint(self):
        anna, bob = Origin(self.store, 1, "Anna"), Origin(self.store, 2, "bob")
        anna.offer("one.jpg")
        bob.offer("two.jpg")
        self.finds({
            "@anna": ["one.jpg"], "@ANN": ["one.jpg"], "@bob": ["two.jpg"], "@nobody": [],
            f"@{fingerprint(bob.key)}": ["two.jpg"], f"@{fingerprint(bob.key)[:9]}": ["two.jpg"],
            "@anna jpg": ["one.jpg"], "@anna two": [], "jpg @bob": ["two.jpg"], "@anna @bob": [],
            "@": ["one.jpg", "two.jpg"], "@bob t": ["two.jpg"],
        })  # fmt: skip
        listing = self.store.search(Query.parse("@anna"), anna.key)[0]
        self.assertEqual((listing.nick, listing.own), ("Anna", True))
        listing = self.store.search(Query.parse("@bob"), anna.key)[0]
        self.assertEqual((listing.nick, listing.own), ("bob", False))

    def test_the_owner_bears_its_latest_nick(self):
        anna = self.offered("a.jpg")
        self.store.set_present(anna.key, True, "Annabel", 0)
        self.assertEqual(self.store.search(Query.parse("a"), b"")[0].nick, "Annabel")

    def test_the_name_that_is_the_word_comes_first_then_those_that_begin_with_it(self):
        self.offered("my img.jpg", "img 2.jpg", "an img of mine.jpg", "img.jpg", "img")
        self.assertEqual(
            found(self.store, "img"),
            ["img", "img.jpg", "img 2.jpg", "my img.jpg", "an img of mine.jpg"],
        )

    def test_the_best_match_is_found_among_more_than_can_be_ranked(self):
        self.patch(store_module, "SEARCH_POOL", 5)
        names = [f"old img {n}.jpg" for n in range(20)] + [f"img {n}.jpg" for n in range(20)]
        self.offered(*names, "img", "IMG.png")
        self.assertEqual(found(self.store, "img", most=2), ["img", "IMG.png"])
        self.assertEqual(found(self.store, "img", most=3)[2][:4], "img ")
        self.assertEqual(len(found(self.store, "img", most=99)), 42)

    def test_no_more_are_given_than_wanted(self):
        self.offered(*(f"{n}.jpg" for n in range(20)))
        for text in ("", "jpg", "1", "@anna"):
            self.assertLessEqual(len(found(self.store, text, most=7)), 7)
        self.assertEqual(len(found(self.store, "jpg", most=7)), 7)

    def test_three_letters_are_looked_up_not_looked_for(self):
        self.offered("a.jpg")
        found(self.store, "a")  # opens the connection
        plans = []
        run = self.store._search_db.run

        def explained(statement, *values):
            plans.extend(row[3] for row in run(f"EXPLAIN QUERY PLAN {statement}", *values))
            return run(statement, *values)

        self.patch(self.store._search_db, "run", explained)
        for text in ("holiday", "holiday a", "a holiday", ""):
            found(self.store, text)
        scans = [plan for plan in plans if plan.startswith("SCAN")]
        self.assertEqual(
            {plan.partition(" VIRTUAL")[0] for plan in scans},
            {"SCAN names", "SCAN feeds"},
        )

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.text(st.sampled_from("abÉe\u0301 .'\"*%_-漢ß"), max_size=8), max_size=6),
        st.text(st.sampled_from("abÉe\u0301 .'\"*%_-漢ß@"), max_size=6),
    )
    def test_the_index_finds_what_looking_at_every_name_finds(self, names, text):
        names = {clean_name(name) for name in names}
        origin = Origin(self.store)
        self.epoch = getattr(self, "epoch", 0) + 1
        origin.start(self.epoch)
        for name in names:
            origin.offer(name)
        query = Query.parse(text)
        if not query.owners:
            words = [folded(word) for word in query.words]
            wanted = [name for name in names if all(word in folded(name) for word in words)]
            if query.words and not any(words):
                wanted = []
            self.assertEqual(sorted(found(self.store, text)), sorted(wanted))


class PinAndShareTests(StoreTests):
    def test_pins_are_kept_latest_seen_first(self):
        self.store.pin(b"a" * 32, "anna", 1)
        self.store.pin(b"b" * 32, "bob", 2)
        self.store.pin(b"a" * 32, "Anna", 3)
        expected = [(b"a" * 32, "Anna", 1, 3), (b"b" * 32, "bob", 2, 2)]
        self.assertEqual(self.reopen().pins(), expected)
        self.store.unpin(b"a" * 32)
        self.assertEqual(self.store.pins(), expected[1:])

    def test_no_more_pins_are_read_than_are_used(self):
        """Attack 40: the table in memory is capped."""
        self.patch(store_module, "MAX_PINS", 2)
        for n in range(4):
            self.store.pin(bytes([n]) * 32, "n", n)
        self.assertEqual([key[0] for key, *_ in self.store.pins()], [3, 2])

    def test_the_owner_that_answered_at_an_address_is_remembered(self):
        def changed(key, port=9393):
            return self.store.owner_changed("10.0.0.9", port, key * 32, 0)

        self.assertEqual([changed(b"a"), changed(b"a"), changed(b"b", 1)], [False] * 3)
        self.reopen()
        self.assertEqual([changed(b"b"), changed(b"b"), changed(b"a")], [True, False, True])

    def test_the_owners_of_few_addresses_are_remembered_the_latest(self):
        """Attack 40."""
        self.patch(store_module, "MAX_OWNERS", 2)
        for n in (1, 2, 3):
            self.store.owner_changed("10.0.0.9", n, b"a" * 32, n)
        changed = [self.store.owner_changed("10.0.0.9", n, b"b" * 32, 9) for n in (1, 3)]
        self.assertEqual(changed, [False, True])
        self.assertEqual(self.rows("owners"), 2)

    def test_a_share_survives_reopening(self):
        self.store.put_share(SHARE)
        self.assertEqual(self.reopen().shares(), [SHARE])
        self.store.drop_share("a.jpg")
        self.assertEqual(self.reopen().shares(), [])

    def test_a_share_may_have_any_path_and_identity_that_a_system_gives(self):
        odd = attrs.evolve(
            SHARE, path=os.fsdecode(b"/tmp/\xe9t\xe9.jpg"), inode=2**64 - 1, mtime_ns=2**63,
            device=2**64 - 1, size=2**53 - 1,
        )  # fmt: skip
        self.store.put_share(odd)
        self.assertEqual(self.reopen().shares(), [odd])

    def test_guesses_survive_reopening_and_a_renewed_offer(self):
        self.assertIsNone(self.store.guesses("a.jpg"))
        self.store.put_share(SHARE)
        self.assertIsNone(self.store.guesses("a.jpg"))
        self.store.save_guesses("a.jpg", {"tokens": 2.5, "at": 1.0})
        self.store.put_share(attrs.evolve(SHARE, size=9))
        self.assertEqual(self.reopen().guesses("a.jpg"), {"tokens": 2.5, "at": 1.0})

    def test_no_password_is_in_the_database(self):
        """Attack 46: the stretched value alone is kept, and nothing of it is shown."""
        password, key = "tr0ub4dor-and-3", b"k" * 32
        prs = stretch(password, key, offer_id(key, "a.jpg"))
        share = attrs.evolve(SHARE, prs=prs)
        self.store.put_share(share)
        self.store.save_guesses("a.jpg", {"tokens": 1.0, "at": 2.0, "exempt": [], "addresses": {}})
        self.store.close()
        for path in self.path.parent.iterdir():
            self.assertNotIn(password.encode(), path.read_bytes(), path)
        self.assertNotIn(repr(prs), repr(share))


class FailureTests(StoreTests):
    def refuses(self, path, code=Exit.NO_FOLDER):
        error = self.assertRaises(ShareError, Store, path, b"")
        self.assertEqual(error.code, code)
        self.assertIn(str(path), str(error))
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_a_file_that_is_no_database_gives_one_sentence(self):
        path = new_folder(self) / "node.db"
        path.write_bytes(b"not a database at all " * 400)
        self.assertIn("move it away and start again", self.refuses(path))

    def test_a_database_of_another_program_gives_one_sentence(self):
        path = new_folder(self) / "node.db"
        for script in ("CREATE TABLE feeds(a)", "PRAGMA user_version = 99"):
            db = sqlite3.connect(path)
            db.executescript(script)
            db.close()
            self.assertIn("move it away and start again", self.refuses(path))
            path.unlink()

    def test_a_truncated_database_gives_one_sentence_when_opened_or_used(self):
        origin = Origin(self.store)
        for number in range(300):
            origin.offer(f"{number}.jpg")
        self.store.close()
        whole = self.path.read_bytes()
        for size in (100, 4096, 5000, 20_000, len(whole) // 2, len(whole) - 4096):
            path = new_folder(self) / "node.db"
            path.write_bytes(whole[:size])
            try:
                store = open_store(self, path)
                for number in range(300):
                    store.offer(origin.key, f"{number}.jpg")
                store.offers_of(origin.key)
                found(store, "jpg")
                Origin(store, 2).offer("a.jpg")
            except ShareError as error:
                self.assertIn("memory", str(error))
                self.assertEqual(error.code, Exit.NO_FOLDER)

    def test_a_folder_or_a_missing_folder_in_its_place_gives_one_sentence(self):
        self.refuses(new_folder(self))
        self.refuses(new_folder(self) / "missing" / "node.db")

    def test_a_refused_database_is_let_go_of(self):
        connect, opened = sqlite3.connect, []
        self.patch(sqlite3, "connect", lambda *a, **b: opened.append(connect(*a, **b)) or opened[0])
        self.path.with_name("other.db").write_bytes(b"nonsense " * 200)
        self.refuses(self.path.with_name("other.db"))
        self.assertRaises(sqlite3.ProgrammingError, opened[0].execute, "SELECT 1")

    def writes(self, origin):
        """Every call that writes."""
        store, feed = self.store, origin.feed
        return [
            lambda: origin.say("x" * 800),
            lambda: origin.offer("x" * 170),
            lambda: origin.withdraw("y" * 170),
            lambda: store.save_ranges(feed),
            lambda: store.start_feed(feed, "n", 0),
            lambda: store.set_present(origin.key, True, "n", 0),
            lambda: store.counter("new"),
            lambda: store.set_counter("boot", 1),
            lambda: store.pin(b"p" * 32, "n", 0),
            lambda: store.unpin(b"p" * 32),
            lambda: store.owner_changed("10.0.0.9", 1, b"p" * 32, 0),
            lambda: store.put_share(SHARE),
            lambda: store.save_guesses("a.jpg", {"tokens": 1.0}),
            lambda: store.drop_share("a.jpg"),
        ]

    def test_a_write_that_the_system_refuses_is_a_sentence_and_the_store_goes_on(self):
        origin = Origin(self.store)
        origin.offer("kept.jpg")
        self.store.put_share(SHARE)
        self.store._db.run("PRAGMA query_only = ON")
        for write in self.writes(origin):
            error = self.assertRaises(ShareError, write)
            self.assertEqual(error.code, Exit.NO_FOLDER)
            self.assertIn("readonly", str(error))
            self.assertIn(str(self.path), str(error))
        self.assertEqual(found(self.store, "kept"), ["kept.jpg"])
        self.store._db.run("PRAGMA query_only = OFF")
        for write in self.writes(origin):
            write()

    def test_a_full_disk_is_a_sentence_and_changes_nothing(self):
        """Attack 31: and once there is room again the store goes on."""
        origin = Origin(self.store)
        origin.offer("kept.jpg")
        pages = self.store._db.run("PRAGMA page_count")[0][0]
        self.store._db.run(f"PRAGMA max_page_count = {pages}")

        def fill():
            for number in range(1000):
                origin.offer(f"{number} {'x' * 150}.jpg")

        error = self.assertRaises(ShareError, fill)
        self.assertIn("full", str(error))
        names = origin.names()
        self.assertIn("kept.jpg", names)
        self.assertEqual(sorted(found(self.store, "jpg", 2000)), names)
        self.assertEqual(self.store.count_offers(), len(names))
        self.assertRaises(ShareError, fill)
        self.store._db.run("PRAGMA max_page_count = 100000")
        self.assertTrue(origin.offer("after.jpg"))

    def test_a_write_that_fails_halfway_changes_nothing(self):
        origin = Origin(self.store)
        run = self.store._db.run

        def failing(statement, *values):
            if statement.startswith("INSERT INTO names"):
                raise ShareError("no")
            return run(statement, *values)

        patched = self.patch(self.store._db, "run", failing)
        self.assertRaises(ShareError, origin.offer, "a.jpg")
        patched.restore()
        self.assertEqual((self.rows("offers"), self.rows("entries")), (0, 0))
        self.assertEqual(self.store.feed(origin.key).have["offers"].runs(), [])
        self.assertEqual(self.store.count_offers(), 0)

    def test_what_is_kept_together_is_kept_whole_or_not_at_all(self):
        """And what waits for it to be kept is called then, or never."""
        origin, called = Origin(self.store), []

        def both(fails):
            with self.store.together():
                self.store.put_share(SHARE)
                origin.offer("a.jpg")
                self.store.once_kept(lambda: called.append(fails))
                self.assertEqual(called, [])
                if fails:
                    raise ShareError("the disk is full")

        self.assertRaises(ShareError, both, True)
        self.assertEqual((self.store.shares(), origin.names()), ([], []))
        both(False)
        self.assertEqual((self.store.shares(), origin.names()), ([SHARE], ["a.jpg"]))
        self.assertEqual(called, [False])
        self.store.once_kept(lambda: called.append("at once"))
        self.assertEqual(called, [False, "at once"])

    def test_after_closing_every_call_is_refused_and_closing_again_is_not(self):
        origin = Origin(self.store)
        found(self.store, "a")
        self.store.close()
        self.store.close()
        for call in (lambda: origin.offer("a.jpg"), lambda: found(self.store, "a"),
                     lambda: self.store.pins()):  # fmt: skip
            self.assertRaises(ShareError, call)
        self.assertIsNone(self.store._search_db)


WRITER = """
import sys
from pathlib import Path
from tests.disk.fakes import Origin
from twistedp2p.disk.store import Store

store = Store(Path(sys.argv[1]), b"")
origin = Origin(store)
for number in range(1, 1_000_000):
    origin.offer(f"{number}.jpg")
    origin.say("line")
    if number % 3 == 0:
        origin.withdraw(f"{number - 1}.jpg")
    print(number, flush=True)
    if number % 50 == 0:
        store.tidy()
"""


class DurabilityTests(SynchronousTestCase):
    def test_what_was_written_is_there_after_a_kill_in_the_middle_of_writes(self):
        for lines in (1, 40, 120):
            path = new_folder(self) / "node.db"
            with subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path)],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            ) as writer:
                for _ in range(lines):
                    last = int(writer.stdout.readline())
                writer.send_signal(signal.SIGKILL)
                written = writer.stdout.read().split()
            last = int(written[-1]) if written and written[-1].isdigit() else last
            self.see(path, last)

    def see(self, path, last):
        store = open_store(self, path)
        self.assertEqual(store._db.run("PRAGMA integrity_check"), [("ok",)])
        store._db.run("INSERT INTO names(names) VALUES ('integrity-check')")
        origin = Origin.__new__(Origin)
        probe = open_store(self)
        origin.key, origin.store = Origin(probe).key, store
        feed = store.feed(origin.key)
        # The kill may have cut the last printed line short of what was committed, never beyond.
        self.assertGreaterEqual(feed.heads.chat[1], last - 1)
        self.assertEqual(feed.have["chat"].runs(), [(1, feed.heads.chat[1])])
        store.set_present(origin.key, True, "n", 0)
        names = origin.names()
        self.assertEqual(sorted(found(store, "jpg", 10_000)), names)
        self.assertEqual(store.count_offers(), len(names))


class ThreadTests(SynchronousTestCase):
    """What runs in other threads, as it does in a node."""

    def setUp(self):
        self.pool = ThreadPoolExecutor(2)
        self.addCleanup(self.pool.shutdown)
        self.store = open_store(self)
        self.origin = Origin(self.store)

    def test_a_search_in_another_thread_sees_whole_writes_while_they_go_on(self):
        stop = threading.Event()
        self.addCleanup(stop.set)

        def search():
            counts = [0]
            while not stop.is_set():
                counts.append(len(found(self.store, "jpg", 10_000)))
            return counts

        searching = [self.pool.submit(search) for _ in range(2)]
        for number in range(300):
            self.origin.offer(f"{number}.jpg")
        stop.set()
        for future in searching:
            counts = future.result(MOST)
            self.assertEqual(counts, sorted(counts))
            self.assertLess(0, counts[-1])
            self.assertLessEqual(counts[-1], 300)

    def test_tidying_in_another_thread_lets_writes_through(self):
        self.patch(store_module, "SWEEP", 5)
        for number in range(100):
            self.origin.offer(f"{number}.jpg")
        self.origin.start(2)
        tidying = self.pool.submit(self.store.tidy)
        for number in range(50):
            self.assertTrue(self.origin.offer(f"new {number}.jpg"))
        tidying.result(MOST)
        self.assertEqual(self.store._db.run("SELECT count(*) FROM offers"), [(50,)])
        self.assertEqual(len(found(self.store, "jpg")), 50)

    def test_closing_ends_a_long_search(self):
        found(self.store, "a")
        began = threading.Event()
        self.store._search_db._db.create_function("begin", 0, began.set)

        def endless():
            with self.store._search_lock:
                self.store._search_db.run(
                    "WITH RECURSIVE n(i) AS (SELECT begin() UNION ALL SELECT 1 FROM n)"
                    " SELECT count(*) FROM n"
                )

        searching = self.pool.submit(endless)
        self.assertTrue(began.wait(MOST))
        self.store.close()
        self.assertIsInstance(searching.exception(MOST), ShareError)

    def test_closing_ends_tidying(self):
        self.patch(store_module, "SWEEP", 1)
        self.patch(store_module, "SWEEP_PAUSE", 3600)
        self.origin.offer("a.jpg")
        self.origin.offer("b.jpg")
        self.origin.start(2)
        tidying = self.pool.submit(self.store.tidy)
        self.store.close()
        tidying.result(MOST)
