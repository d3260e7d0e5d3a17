"""Other nodes, as their entries come to a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.catalogue import Offer, Query, write_withdraw
from twistedp2p.core.datagrams.datagram import LOGS, Signer
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.disk.downloads.download import Download
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store

DIGEST = "blake3:" + "0" * 64
NOW = 1_000_000  # milliseconds since 1970: later than most stamps of these tests
SHARE = Share("a.jpg", "/home/me/a.jpg", b"p" * 32, True, False, 5, 6, 7, 8, DIGEST)


def new_folder(test):
    """An empty folder that lasts as long as the test."""
    folder = Path(mkdtemp(prefix="p2pshare-test-"))
    test.addCleanup(rmtree, folder)
    return folder


def begin(folder, name, tree, wanted=None, **more):
    """A download that has taken over what is there; where that fails it is kept."""
    download = Download(folder, name, tree, wanted)
    try:
        download.take_over(**more)
    except BaseException:
        download.keep()
        raise
    return download


def pieces_lacking(download):
    return [index for index, lacking in enumerate(download.lacking) if lacking]


class Origin:
    """A node that publishes; `store` hears of it at once. `number` tells them apart."""

    def __init__(self, store, number=1, nick="", epoch=1, present=True, heard=0):
        private = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        self.signer = Signer(private, b"239.0.0.1:9392")
        self.key = self.signer.key
        self.nick = nick or f"nick{number}"
        self.store = store
        self.start(epoch, present, heard)

    def start(self, epoch, present=True, heard=0):
        """Begin a feed; the origins that had to go for it."""
        self.feed = Feed(self.key, epoch)
        self.numbers = {"chat": 0, "offers": 0}
        gone = self.store.start_feed(self.feed, self.nick, heard)
        self.store.set_present(self.key, present, self.nick, heard)
        return gone

    def sign(self, kind, body, number=None, stamp=0):
        """An entry, the next of its log or the one told."""
        log = LOGS[kind]
        self.numbers[log] += 1
        return self.signer.sign(
            kind, self.feed.epoch, number or self.numbers[log], stamp, self.nick, body
        )

    def hear(self, entry):
        """Note in the feed that an entry came."""
        self.feed.heard_entries(entry.log, entry.number, entry.number)
        return entry

    def say(self, text, number=None, stamp=0, order=None, said=None, kind="say"):
        """A line of chat comes."""
        entry = self.hear(self.sign(kind, text, number, stamp))
        self.new = self.store.put_say(entry, self.feed, order, said)
        return entry

    def offer(self, name, number=None, stamp=0, size=1, public=False):
        """An offer comes; whether the store took it."""
        offer = Offer(self.key, name, size, DIGEST, public, stamp)
        entry = self.hear(self.sign("offer", offer.write(), number, stamp))
        return self.store.put_offer(entry, self.feed, offer)

    def withdraw(self, name, number=None):
        """A withdrawal comes; whether there was something to withdraw."""
        entry = self.hear(self.sign("withdraw", write_withdraw(name), number))
        return self.store.put_withdraw(entry, self.feed, name)

    def names(self):
        """What the store shows of its offers."""
        return [offer.name for offer in self.store.offers_of(self.key)]

    def numbers_kept(self, log):
        """The entries that can be repeated."""
        return [number for number, _ in self.store.entries(self.key, log, 1, 2**53)]


def open_store(test, path=None, own_key=b""):
    """A store that the test closes."""
    store = Store(path or new_folder(test) / "node.db", own_key)
    test.addCleanup(store.close)
    return store


def found(store, text, most=200):
    """The names that a search brings."""
    return [listing.offer.name for listing in store.search(Query.parse(text), b"", most)]


class StoreTests(SynchronousTestCase):
    """Opens a store at `path`, and anew."""

    def setUp(self):
        """Called by the test runner."""
        self.path = new_folder(self) / "node.db"
        self.own_key = b"o" * 32
        self.store = open_store(self, self.path, self.own_key)

    def reopen(self):
        """The store as a restarted node has it."""
        self.store.close()
        self.store = open_store(self, self.path, self.own_key)
        return self.store

    def rows(self, table):
        """How many a table has in the file."""
        db = sqlite3.connect(self.path)
        try:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            db.close()

    def statements(self):
        """What the store's connection is told from now on."""
        told, run = [], self.store._db.run
        self.patch(self.store._db, "run", lambda text, *v: told.append(text) or run(text, *v))
        return told

    def well_known(self, key):
        """Have the store know that key for two hours."""
        self.store.pin(key, "", 0)
        self.store.pin(key, "", 7_200_000)

    def pinned(self, number, **more):
        """A node that is known for long."""
        origin = Origin(self.store, number, **more)
        self.well_known(origin.key)
        return origin
