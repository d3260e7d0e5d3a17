"""Files of earlier versions: nothing that they hold is lost."""

import json
import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import DIGEST, Origin, found, new_folder, open_store
from twistedp2p.core.catalogue import Offer, folded
from twistedp2p.core.errors import ShareError
from twistedp2p.core.names import offer_id
from twistedp2p.disk.memory import layout
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store

# As version 0.1.0 made them.
LAYOUT_4 = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE feeds(
    id INTEGER PRIMARY KEY, origin BLOB UNIQUE, epoch INTEGER, nick TEXT,
    present INTEGER, heard INTEGER, kept INTEGER, live INTEGER, chat TEXT, offers TEXT);
CREATE TABLE entries(
    feed INTEGER, log TEXT, number INTEGER, stamp INTEGER, raw BLOB,
    PRIMARY KEY(feed, log, number)) WITHOUT ROWID;
CREATE INDEX chat_by_age ON entries(stamp) WHERE log = 'chat';
CREATE TABLE offers(
    id INTEGER PRIMARY KEY, feed INTEGER, name TEXT, folded TEXT, size INTEGER, digest TEXT,
    public INTEGER, stamp INTEGER, number INTEGER, live INTEGER, UNIQUE(feed, name));
CREATE INDEX latest_offers ON offers(feed, id) WHERE live;
CREATE INDEX withdrawn ON offers(feed, number) WHERE NOT live;
CREATE VIRTUAL TABLE names USING fts5(
    folded, content = 'offers', content_rowid = 'id', columnsize = 0, tokenize = 'trigram');
CREATE TABLE pins(key BLOB PRIMARY KEY, nick TEXT, first INTEGER, seen INTEGER);
CREATE TABLE owners(host TEXT, port INTEGER, key BLOB, seen INTEGER, PRIMARY KEY(host, port));
CREATE TABLE shares(
    name TEXT PRIMARY KEY, path BLOB, prs BLOB, generated INTEGER, public INTEGER,
    identity TEXT, guesses TEXT);
PRAGMA user_version = 4;
"""
SHARE = Share("Été.jpg", "/home/me/Été.jpg", b"p" * 32, True, False, 5, 6, 7, 8, DIGEST)
STAMP = 1_700_000_000_000  # milliseconds since 1970


class EarlierLayouts(SynchronousTestCase):
    def setUp(self):
        self.path = new_folder(self) / "node.db"
        self.origin = Origin(open_store(self))
        db = sqlite3.connect(self.path)
        db.executescript(LAYOUT_4)
        with db:
            self.fill(db)
        db.close()

    def fill(self, db):
        origin = self.origin
        db.execute(
            "INSERT INTO feeds VALUES (7, ?, 3, 'Anna', 1, ?, 3, 2, '[[1, 2]]', '[[1, 3]]')",
            (origin.key, STAMP),
        )
        self.said = [origin.sign("say", text, number=n, stamp=STAMP + n).raw
                     for n, text in enumerate(("one", "two"), 1)]  # fmt: skip
        for number, raw in enumerate(self.said, 1):
            db.execute("INSERT INTO entries VALUES (7, 'chat', ?, ?, ?)",
                       (number, STAMP + number, raw))  # fmt: skip
        for number, name in enumerate(("Été.jpg", "zebra q.txt", "gone.pdf"), 1):
            live = name != "gone.pdf"
            offer = Offer(origin.key, name, number, DIGEST, False)
            raw = origin.sign("offer", offer.write(), number=number, stamp=STAMP).raw
            db.execute("INSERT INTO entries VALUES (7, 'offers', ?, ?, ?)", (number, STAMP, raw))
            db.execute(
                "INSERT INTO offers VALUES (?, 7, ?, ?, ?, ?, 0, ?, ?, ?)",
                (number, name, f"\n{folded(name)}\n", number, DIGEST, STAMP, number, live),
            )
            if live:
                db.execute("INSERT INTO names(rowid, folded) VALUES (?, ?)",
                           (number, f"\n{folded(name)}\n"))  # fmt: skip
        db.execute("INSERT INTO meta VALUES ('boot', 9)")
        db.execute("INSERT INTO pins VALUES (?, 'Anna', 1, 2)", (origin.key,))
        db.execute("INSERT INTO owners VALUES ('10.0.0.9', 1, ?, 3)", (origin.key,))
        known = {"size": 5, "mtime_ns": 6, "device": 7, "inode": 8, "digest": DIGEST}
        db.execute(
            "INSERT INTO shares VALUES (?, ?, ?, 1, 0, ?, '{\"tokens\": 2.5}')",
            (SHARE.name, SHARE.path.encode(), SHARE.prs, json.dumps(known)),
        )

    def test_all_that_a_file_of_layout_4_holds_is_there(self):
        store = open_store(self, self.path)
        key = self.origin.key
        self.assertEqual(store.history(9), [(self.said[n], STAMP + n + 1) for n in (0, 1)])
        feed = store.feed(key)
        self.assertEqual((feed.epoch, feed.have["offers"].runs()), (3, [(1, 3)]))
        self.assertEqual(len(store.entries(key, "offers", 1, 9)), 3)
        self.assertEqual(store.shares(), [SHARE])
        self.assertEqual(store.guesses("Été.jpg"), {"tokens": 2.5})
        self.assertEqual(store.pins(), [(key, "Anna", 1, 2, (0, 0))])
        self.assertFalse(store.owner_changed("10.0.0.9", 1, key, 4))
        self.assertEqual(store.counter("boot"), 9)

    def test_offers_of_layout_4_are_found_as_new_ones_are(self):
        store = open_store(self, self.path)
        store.set_present(self.origin.key, True, "Anna", STAMP)
        for text, names in {
            "ete": ["Été.jpg"], "ze": ["zebra q.txt"], "q": ["zebra q.txt"], "gone": [],
            "@anna jp": ["Été.jpg"], "": ["zebra q.txt", "Été.jpg"],
        }.items():  # fmt: skip
            self.assertEqual(found(store, text), names, text)
        for name, size in (("Été.jpg", 1), ("zebra q.txt", 2)):
            self.assertEqual(store.find(offer_id(self.origin.key, name)).size, size)
        self.assertIsNone(store.find(offer_id(self.origin.key, "gone.pdf")))
        store._db.run("INSERT INTO names(names) VALUES ('integrity-check')")

    def test_the_tables_become_those_of_a_new_file(self):
        def tables(store):
            rows = store._db.run(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'names_%'"
            )
            return {name: " ".join(sql.split()) for name, sql in rows if sql}

        self.assertEqual(tables(open_store(self, self.path)), tables(open_store(self)))

    def test_each_layout_from_4_on_has_its_step(self):
        self.assertEqual(sorted(layout.STEPS), list(range(4, layout.LAYOUT)))

    def test_a_step_that_fails_leaves_the_file_as_it_was(self):
        def fails(db):
            db.execute("DELETE FROM shares")
            raise sqlite3.OperationalError("disk I/O error")

        self.patch(layout, "STEPS", {4: fails})
        error = self.assertRaises(ShareError, Store, self.path, b"")
        self.assertIn("disk I/O error", str(error))
        db = sqlite3.connect(self.path)
        self.addCleanup(db.close)
        self.assertEqual(db.execute("PRAGMA user_version").fetchone(), (4,))
        self.assertEqual(db.execute("SELECT count(*) FROM shares").fetchone(), (1,))
