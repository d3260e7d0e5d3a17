"""The store as a whole: whatever happens to the disk, the process, and between threads."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import NOW, SHARE, Origin, StoreTests, found, new_folder, open_store
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.memory import tidy as tidy_module
from twistedp2p.disk.memory.store import Store

MOST = 20  # seconds to wait for a thread


class CounterTests(StoreTests):
    def test_counters_are_kept(self):
        self.assertEqual(self.store.counter("boot", 3), 3)
        self.store.set_counter("boot", 4)
        self.assertEqual(self.reopen().counter("boot", 3), 4)


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
        self.assertIsNone(self.store._reading_db)


WRITER = """
import sys
from pathlib import Path
from tests.disk.fakes import Origin
from twistedp2p.disk.memory.store import Store

store = Store(Path(sys.argv[1]), b"")
origin = Origin(store)
for number in range(1, 1_000_000):
    origin.offer(f"{number}.jpg")
    origin.say("line")
    if number % 3 == 0:
        origin.withdraw(f"{number - 1}.jpg")
    print(number, flush=True)
    if number % 50 == 0:
        store.tidy(0)
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


class PowerCutTests(StoreTests):
    """After a power cut the write-ahead log ends somewhere, or has garbage in it."""

    def test_whatever_is_left_of_the_log_is_an_earlier_state_whole(self):
        origin = Origin(self.store)
        said = []
        for number in range(1, 21):
            said.append(origin.say(f"line {number}").raw)
            origin.offer(f"{number}.jpg")
        memory, log = self.path.read_bytes(), Path(f"{self.path}-wal").read_bytes()
        heads = []
        for part in (0, 1, 20, 37, 50, 63, 88, 99, 100):
            left = log[: len(log) * part // 100]
            for damage in (b"", bytes(4096)):
                path = new_folder(self) / "node.db"
                path.write_bytes(memory)
                Path(f"{path}-wal").write_bytes(left + damage)
                heads.append(self.see(open_store(self, path), origin, said))
        self.assertEqual(heads, sorted(heads))
        self.assertEqual((heads[0], heads[-1]), (0, 20))

    def see(self, store, origin, said):
        """How many lines there are; they are the first ones, and all else fits."""
        feed = store.feed(origin.key)
        if feed is None:
            return 0
        lines, offers = feed.have["chat"].highest, feed.have["offers"].highest
        self.assertIn(lines - offers, (0, 1))
        self.assertEqual([raw for raw, _ in store.history(99)], said[:lines])
        store.set_present(origin.key, True, "n", 0)
        self.assertEqual(len(found(store, "jpg")), offers)
        store._db.run("INSERT INTO names(names) VALUES ('integrity-check')")
        return lines


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
        self.patch(tidy_module, "SWEEP", 5)
        for number in range(100):
            self.origin.offer(f"{number}.jpg")
        self.origin.start(2)
        tidying = self.pool.submit(self.store.tidy, NOW)
        for number in range(50):
            self.assertTrue(self.origin.offer(f"new {number}.jpg"))
        tidying.result(MOST)
        self.assertEqual(self.store._db.run("SELECT count(*) FROM offers"), [(50,)])
        self.assertEqual(len(found(self.store, "jpg")), 50)

    def test_closing_ends_a_long_search(self):
        found(self.store, "a")
        began = threading.Event()
        self.store._reading_db._db.create_function("begin", 0, began.set)

        def endless():
            with self.store._reading_lock:
                self.store._reading_db.run(
                    "WITH RECURSIVE n(i) AS (SELECT begin() UNION ALL SELECT 1 FROM n)"
                    " SELECT count(*) FROM n"
                )

        searching = self.pool.submit(endless)
        self.assertTrue(began.wait(MOST))
        self.store.close()
        self.assertIsInstance(searching.exception(MOST), ShareError)

    def test_closing_ends_tidying(self):
        self.patch(tidy_module, "SWEEP", 1)
        self.patch(tidy_module, "SWEEP_PAUSE", 3600)
        self.origin.offer("a.jpg")
        self.origin.offer("b.jpg")
        self.origin.start(2)
        tidying = self.pool.submit(self.store.tidy, NOW)
        self.store.close()
        tidying.result(MOST)
