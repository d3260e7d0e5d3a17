"""Housekeeping."""

import os

from tests.disk.fakes import NOW, Origin, StoreTests, found
from twistedp2p.disk.memory import entries as entries_module
from twistedp2p.disk.memory import tidy as tidy_module


class TidyTests(StoreTests):
    def test_tidying_removes_what_dropped_feeds_have_left(self):
        self.patch(tidy_module, "SWEEP", 3)
        self.patch(tidy_module, "SWEEP_PAUSE", 0)
        origin, other = Origin(self.store), Origin(self.store, 2)
        for number in range(10):
            origin.offer(f"{number}.jpg")
        origin.withdraw("3.jpg")
        other.offer("other.jpg")
        origin.start(2)
        origin.offer("new.jpg")
        self.assertEqual(self.rows("offers"), 12)
        self.store.tidy(NOW)
        self.assertEqual((self.rows("offers"), self.rows("entries"), self.rows("feeds")), (2, 2, 2))
        self.assertEqual(sorted(found(self.store, "jpg")), ["new.jpg", "other.jpg"])
        indexed = self.store._db.run("SELECT rowid FROM names WHERE names MATCH 'jpg'")
        self.assertEqual(indexed, self.store._db.run("SELECT id FROM offers ORDER BY id"))

    def test_of_a_feed_that_made_room_what_was_said_stays_as_long_as_of_others(self):
        self.patch(entries_module, "MAX_FEEDS", 1)
        origin = Origin(self.store)
        for _ in range(10):
            origin.say("line")
        Origin(self.store, 2)
        self.store.tidy(NOW)
        self.assertEqual((self.rows("entries"), self.rows("feeds")), (10, 2))

    def test_tidying_empties_the_write_ahead_log(self):
        origin = Origin(self.store)
        for number in range(50):
            origin.say(f"line {number}")
        self.store.tidy(NOW)
        grown = os.path.getsize(f"{self.path}-wal")
        for number in range(20):
            origin.say(f"line {number}")
        self.assertEqual(os.path.getsize(f"{self.path}-wal"), grown)

    def test_tidying_when_nothing_was_written_does_nothing(self):
        self.store.tidy(NOW)
        opened = []
        database = tidy_module.Database
        self.patch(tidy_module, "Database", lambda path: opened.append(path) or database(path))
        self.store.tidy(NOW)
        self.assertEqual(opened, [])
        self.store.set_counter("boot", 1)
        self.store.tidy(NOW)
        self.assertEqual(opened, [self.path])

    def test_what_an_earlier_run_left_to_be_tidied_is_tidied(self):
        origin = Origin(self.store)
        origin.offer("a.jpg")
        origin.start(2)
        self.reopen().tidy(NOW)
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

    def test_chat_goes_a_day_after_it_was_said_by_our_clock_however_it_was_stamped(self):
        self.patch(tidy_module, "SWEEP", 2)
        self.patch(tidy_module, "SWEEP_PAUSE", 0)
        day = 24 * 3600 * 1000
        origin = Origin(self.store)
        origin.offer("kept.jpg")
        for number in range(1, 6):
            self.keep_line(origin, number, stamp=2**50 + number, said=number)
        for number in range(6, 9):
            self.keep_line(origin, number, stamp=number, said=day + number)
        self.store.tidy(day + 6)
        self.assertEqual(origin.numbers_kept("chat"), [6, 7, 8])
        self.store.set_counter("boot", 1)
        self.store.tidy(2 * day + 8)
        self.assertEqual(origin.numbers_kept("chat"), [8])
        self.assertEqual(origin.names(), ["kept.jpg"])

    def keep_line(self, origin, number, stamp, said):
        """A line that is placed at `stamp` in history, and was said at `said` by our clock."""
        entry = origin.hear(origin.sign("say", "line", number, stamp))
        self.store.put_say(entry, origin.feed, stamp, said)

    def test_the_file_does_not_grow_by_what_is_superseded(self):
        self.patch(tidy_module, "SWEEP", 1000)
        self.patch(tidy_module, "SWEEP_PAUSE", 0)
        origins = [Origin(self.store, number) for number in (1, 2, 3)]
        pages = []
        for round_ in range(12):
            for origin in origins:
                origin.start(round_ + 1)
                with self.store.together():
                    for number in range(40):
                        origin.offer(f"{number} of {round_}.jpg")
                        origin.offer(f"{number} of {round_}.jpg", size=2)
                        self.keep_line(origin, number + 1, number, round_)
                    for number in range(30):
                        origin.withdraw(f"{number} of {round_}.jpg")
            self.store.tidy(tidy_module.CHAT_KEPT + round_)
            pages.append(self.store._db.run("PRAGMA page_count")[0][0])
        self.assertEqual(self.rows("offers"), 120)
        self.assertLessEqual(self.rows("feeds"), 6)
        self.assertLess(max(pages[6:]), 1.5 * max(pages[:6]))
