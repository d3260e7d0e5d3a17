"""What is remembered of feeds and chat, and who makes room for whom."""

from tests.disk.fakes import NOW, Origin, StoreTests, found
from twistedp2p.core.datagrams.datagram import parse
from twistedp2p.core.errors import ShareError
from twistedp2p.disk.memory import entries as entries_module


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
        self.assertIsNone(self.store.offer(origin.key, "old.jpg"))
        self.assertEqual(found(self.store, ""), ["other.jpg"])
        self.assertEqual(found(self.store, "old"), [])
        self.assertEqual(self.store.count_offers(), 1)
        self.assertTrue(origin.offer("old.jpg"))
        self.assertEqual(found(self.store, "old"), ["old.jpg"])

    def test_what_was_said_in_an_earlier_epoch_stays_in_history(self):
        origin = Origin(self.store)
        old = origin.say("old", stamp=1)
        origin.start(2)
        self.reopen().tidy(NOW)
        self.assertEqual(self.store.history(9), [(old.raw, 1)])
        self.assertEqual(self.rows("feeds"), 2)

    def test_a_line_that_is_published_anew_takes_the_place_of_the_old_one(self):
        origin = Origin(self.store)
        origin.say("one", stamp=1)
        other_text = origin.say("two", stamp=2)
        origin.start(2)
        one = origin.say("one", stamp=1, said=99)
        self.assertFalse(origin.new)
        three = origin.say("three", stamp=2)
        self.assertTrue(origin.new)
        self.assertEqual(self.store.history(9), [(one.raw, 1), (other_text.raw, 2), (three.raw, 2)])

    def test_epochs_without_end_leave_no_more_lines_than_others(self):
        """Attack 40: a node that begins anew with each line."""
        self.patch(entries_module, "CHAT_IN_ALL", 5)
        self.patch(entries_module, "TRIM_EVERY", 1)
        pinned, mallory = self.pinned(2), Origin(self.store)
        line = pinned.say("hello", stamp=1)
        for epoch in range(2, 30):
            mallory.start(epoch)
            mallory.say("x", stamp=epoch)
        self.assertEqual((self.rows("entries"), len(self.store.history(99))), (5, 5))
        self.assertEqual(self.store.history(99)[0][0], line.raw)
        self.store.tidy(NOW)
        self.assertEqual(self.rows("feeds"), 5)

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

    def test_of_a_log_of_which_nothing_is_kept_nothing_is_worth_asking_for(self):
        origin = Origin(self.store)
        self.assertEqual(self.store.lowest(origin.key, "chat"), 1)
        origin.say("line", number=3)
        self.store._db.run("DELETE FROM entries")
        self.assertEqual(self.store.lowest(origin.key, "chat"), 4)

    def test_feeds_of_those_who_were_not_here_for_a_month_go(self):
        month = 30 * 24 * 3600 * 1000
        own = Origin(self.store, 1, present=False)
        self.store._own_key = own.key
        gone = Origin(self.store, 2, present=False, heard=9)
        lately = Origin(self.store, 3, present=False, heard=10)
        here = Origin(self.store, 4, heard=9)
        for origin in (own, gone, lately, here):
            origin.offer("a.jpg")
            origin.say("line")
        self.assertEqual(self.store.forget_gone(month + 10), [gone.key])
        kept = [self.store.feed(each.key) is not None for each in (own, gone, lately, here)]
        self.assertEqual(kept, [True, False, True, True])
        self.store.tidy(NOW)
        self.assertEqual((self.rows("offers"), self.rows("entries")), (3, 7))
        self.assertEqual(len(self.store.history(9)), 4)

    def test_what_is_here_is_written_once_for_all_that_is_kept_together(self):
        """Attack 40: a feed torn into many runs costs no more for each of its entries."""
        origin = Origin(self.store)
        statements = self.statements()
        with self.store.together():
            for number in range(1, 100, 2):
                origin.offer(f"{number}.jpg", number=number)
                origin.say("line", number=number)
        self.assertEqual(len([text for text in statements if "SET offers" in text]), 1)
        self.assertEqual(len([text for text in statements if "SET chat" in text]), 1)
        expected = [(number, number) for number in range(1, 100, 2)]
        feed = self.reopen().feed(origin.key)
        self.assertEqual([feed.have[log].runs() for log in ("chat", "offers")], [expected] * 2)

    def test_what_is_here_is_not_written_when_nothing_else_is(self):
        origin = Origin(self.store)

        def fails():
            with self.store.together():
                origin.say("line")
                raise ShareError("the disk is full")

        self.assertRaises(ShareError, fails)
        self.store.set_counter("boot", 1)
        self.assertEqual(self.store.feed(origin.key).have["chat"].runs(), [])


class FeedCapTests(StoreTests):
    def feeds_here(self, *origins):
        return [self.store.feed(origin.key) is not None for origin in origins]

    def test_the_strangers_who_are_away_longest_make_room_for_a_feed(self):
        """Attack 40: feeds are capped."""
        self.patch(entries_module, "MAX_FEEDS", 3)
        here = Origin(self.store, 1, heard=1)
        late = Origin(self.store, 2, present=False, heard=9)
        early = Origin(self.store, 3, present=False, heard=5)
        newcomer = Origin(self.store, 4, heard=10)
        self.assertEqual(self.feeds_here(here, late, early, newcomer), [True, True, False, True])
        self.assertEqual(newcomer.start(2), [])
        self.assertEqual(Origin(self.store, 5).start(2), [])
        self.assertEqual(self.feeds_here(here, late), [True, False])

    def test_a_feed_that_made_room_and_comes_again_has_the_lines_that_were_here(self):
        """Attack 36: whoever recorded them crowds the feed out and sends them again."""
        self.patch(entries_module, "MAX_FEEDS", 1)
        origin = Origin(self.store, 1)
        said = [origin.say("one"), origin.say("four", number=4)]
        origin.offer("a.jpg")
        Origin(self.store, 2)
        self.reopen()
        origin.store = self.store
        origin.start(1)
        feed = self.store.feed(origin.key)
        self.assertEqual(feed.have["chat"].runs(), [(1, 1), (4, 4)])
        self.assertEqual(origin.feed.have["chat"].runs(), [(1, 1), (4, 4)])
        self.assertEqual(feed.have["offers"].runs(), [])
        self.assertEqual([raw for raw, _ in self.store.history(9)], [each.raw for each in said])
        origin.start(2)
        self.assertEqual(origin.feed.have["chat"].runs(), [])

    def test_what_is_remembered_of_those_that_made_room_is_capped(self):
        """Attack 40: throw-away keys, each with a line, and a feed torn into many runs."""
        self.patch(entries_module, "MAX_FEEDS", 1)
        self.patch(entries_module, "SHOWN_MOST", 3)
        for number in range(1, 10):
            Origin(self.store, number).say("line")
        self.assertEqual(self.rows("shown"), 3)
        torn = Origin(self.store, 20)
        for number in range(1, 40, 2):
            torn.say("line", number=number)
        Origin(self.store, 21)
        torn.start(1)
        self.assertEqual(torn.feed.have["chat"].runs(), [(1, 39)])

    def test_keys_pinned_a_moment_ago_are_strangers_still(self):
        """Attack 37: throw-away keys that stay until they are pinned take no room for ever."""
        self.patch(entries_module, "MAX_FEEDS", 2)
        away = [Origin(self.store, number, present=False) for number in (1, 2)]
        for origin in away:
            self.store.pin(origin.key, "", 0)
            self.store.pin(origin.key, "", 60_000)
        newcomers = [Origin(self.store, number) for number in (3, 4)]
        self.assertEqual(self.feeds_here(*away, *newcomers), [False, False, True, True])

    def test_well_known_keys_keep_half_of_the_room_and_no_more(self):
        """Attack 37: keys that were kept here for hours, so many that they would fill it."""
        self.patch(entries_module, "MAX_FEEDS", 4096)
        self.store._db.run(
            "WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 4096)"
            " INSERT INTO pins(key, nick, first, seen)"
            " SELECT CAST(i AS BLOB), '', 0, 4000000 + i FROM n"
        )
        self.store._db.run(
            "INSERT INTO feeds(origin, epoch, present, heard, kept, live, chat, offers)"
            " SELECT key, 1, 1, 0, 0, 0, '[]', '[]' FROM pins"
        )
        newcomers = [Origin(self.store, number) for number in range(1, 50)]
        self.assertTrue(all(self.feeds_here(*newcomers)))

    def test_the_feeds_dropped_to_make_room_are_told(self):
        self.patch(entries_module, "MAX_FEEDS", 1)
        first, second = Origin(self.store, 1), Origin(self.store, 2)
        self.assertEqual(first.start(1), [second.key])

    def test_throw_away_keys_never_evict_pinned_feeds_nor_our_own(self):
        """Attack 40: pinned nodes that are away, and we, stay, however many strangers come."""
        self.patch(entries_module, "MAX_FEEDS", 3)
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
        self.store.tidy(NOW)
        self.assertLessEqual(self.rows("feeds"), 5)


class ChatTests(StoreTests):
    def test_history_is_the_last_lines_of_everybody_oldest_first(self):
        one, two = Origin(self.store, 1), Origin(self.store, 2)
        said = [one.say("a", stamp=1), two.say("b", stamp=2), one.say("c", stamp=3)]
        self.assertEqual(self.history(9), said)
        self.assertEqual(self.history(2), said[1:])

    def history(self, most):
        return [parse(raw) for raw, _ in self.store.history(most)]

    def test_its_order_and_times_are_those_told(self):
        origin = Origin(self.store)
        late = origin.say("late", stamp=2**50, order=7, said=3)
        early = origin.say("early", stamp=5, said=9)
        self.assertEqual(self.store.history(9), [(early.raw, 9), (late.raw, 3)])
        self.assertEqual(self.store.latest_stamp(), 7)

    def test_no_history_has_no_latest_stamp(self):
        self.assertEqual(self.store.latest_stamp(), 0)

    def test_the_parts_of_a_text_count_as_one_line(self):
        one, two = Origin(self.store, 1), Origin(self.store, 2)
        one.say("a", stamp=1)
        said = [one.say(f"{n}/3 x", stamp=2, kind="part") for n in (1, 2, 3)]
        said.append(two.say("b", stamp=3))
        self.assertEqual(self.history(2), said)

    def test_an_origin_keeps_its_last_lines(self):
        self.patch(entries_module, "CHAT_PER_ORIGIN", 5)
        origin, other = Origin(self.store), Origin(self.store, 2)
        other.say("other")
        for _ in range(12):
            origin.say("line")
        self.assertEqual(origin.numbers_kept("chat"), [8, 9, 10, 11, 12])
        self.assertEqual(other.numbers_kept("chat"), [1])
        self.assertEqual(self.store.feed(origin.key).have["chat"].runs(), [(1, 12)])

    def test_500_lines_of_an_origin_and_10000_of_all_are_kept(self):
        self.assertEqual(
            (entries_module.CHAT_PER_ORIGIN, entries_module.CHAT_IN_ALL), (500, 10_000)
        )

    def test_of_all_lines_the_oldest_go(self):
        self.patch(entries_module, "CHAT_IN_ALL", 20)
        self.patch(entries_module, "TRIM_EVERY", 1)
        origins = [Origin(self.store, number) for number in (1, 2, 3)]
        said = [origins[n % 3].say("line", stamp=n) for n in range(50)]
        self.assertEqual(self.history(99), said[-20:])
        self.assertEqual(self.rows("entries"), 20)

    def test_lines_are_trimmed_now_and_then_not_at_every_one(self):
        self.patch(entries_module, "CHAT_IN_ALL", 10)
        origin = Origin(self.store)
        for n in range(entries_module.TRIM_EVERY - 1):
            origin.say("line", stamp=n)
        self.assertEqual(self.rows("entries"), entries_module.TRIM_EVERY - 1)
        origin.say("line", stamp=1000)
        self.assertEqual(self.rows("entries"), 10)

    def test_throw_away_keys_do_not_push_out_what_pinned_ones_said(self):
        """Attack 40: nor what we said, whatever time the strangers' lines claim."""
        self.patch(entries_module, "CHAT_IN_ALL", 20)
        self.patch(entries_module, "TRIM_EVERY", 7)
        pinned, own = Origin(self.store, 1), Origin(self.store, 2)
        self.well_known(pinned.key)
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
