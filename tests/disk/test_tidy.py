"""Housekeeping."""

import os

from tests.disk.fakes import Origin, StoreTests, found
from twistedp2p.disk import entries as entries_module
from twistedp2p.disk import tidy as tidy_module


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
        self.store.tidy()
        self.assertEqual((self.rows("offers"), self.rows("entries"), self.rows("feeds")), (2, 2, 2))
        self.assertEqual(sorted(found(self.store, "jpg")), ["new.jpg", "other.jpg"])
        indexed = self.store._db.run("SELECT rowid FROM names WHERE names MATCH 'jpg'")
        self.assertEqual(indexed, self.store._db.run("SELECT id FROM offers ORDER BY id"))

    def test_of_a_feed_that_made_room_nothing_stays(self):
        self.patch(entries_module, "MAX_FEEDS", 1)
        origin = Origin(self.store)
        for _ in range(10):
            origin.say("line")
        Origin(self.store, 2)
        self.store.tidy()
        self.assertEqual((self.rows("entries"), self.rows("feeds")), (0, 1))

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
        database = tidy_module.Database
        self.patch(tidy_module, "Database", lambda path: opened.append(path) or database(path))
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
