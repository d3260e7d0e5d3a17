"""Other nodes, as their entries come to a store."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from twistedp2p.core.catalogue import Offer, Query, write_withdraw
from twistedp2p.core.datagram import Signer
from twistedp2p.core.feed import Feed
from twistedp2p.disk.store import Store

DIGEST = "blake3:" + "0" * 64


def new_folder(test):
    """An empty folder that lasts as long as the test."""
    folder = Path(mkdtemp(prefix="p2pshare-test-"))
    test.addCleanup(rmtree, folder)
    return folder


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
        log = "chat" if kind == "say" else "offers"
        self.numbers[log] += 1
        return self.signer.sign(
            kind, self.feed.epoch, number or self.numbers[log], stamp, self.nick, body
        )

    def hear(self, entry):
        """Note in the feed that an entry came."""
        self.feed.heard_entry(entry.log, entry.number, 0.0, 0.0)
        return entry

    def say(self, text, number=None, stamp=0):
        """A line of chat comes."""
        entry = self.hear(self.sign("say", text, number, stamp))
        self.store.put_say(entry, self.feed)
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
