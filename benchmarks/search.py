"""The catalogue with many offers: how fast they come in, and how fast a search finds them.

All is done as a node does it: signed entries go one by one into a `Store` on the loop's thread,
searches run in a thread with a connection of their own. Meanwhile the reactor's loop is asked
every millisecond for a turn; the longest that it waits is what a user at the menu would feel.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall, react

from benchmarks.transfer import processor, table, tell
from twistedp2p.core.catalogue import Offer, Query
from twistedp2p.core.datagram import Signed, Signer
from twistedp2p.core.feed import Feed
from twistedp2p.disk.store import Store
from twistedp2p.net.pump import in_threads_of

OFFERS, OWNERS = 100_000, 50
RUNS = 15  # of each search
TICK = 0.001  # seconds between the turns that are asked for
TIDY_EVERY = 10_000  # offers: a node does it every few seconds
SIZE_MOST = 2**32  # bytes
MS, US = 1e3, 1e6  # of a second

WORDS = (
    *("holiday", "report", "invoice", "photo", "beach", "summer", "winter", "draft", "final"),
    *("project", "lecture", "exam", "notes", "song", "album", "live", "remix", "data", "export"),
    *("backup", "été", "naïve", "café", "Straße", "img", "scan", "letter", "budget", "plan"),
)
EXTENSIONS = ("jpg", "pdf", "mp3", "zip", "txt", "mkv")
EXACT = "the one we look for.odt"

SEARCHES = {
    "nothing: the latest": "",
    "a whole name": EXACT,
    "one name of all": "we look for",
    "a number": "77777",
    "a common word": "holiday",
    "a common word, accents": "ETE",
    "an extension": "jpg",
    "two words": "beach summer",
    "three words and a number": "beach summer notes 9",
    "no match": "xylophone",
    "no match of common words": "holiday xylophone",
    "two letters, common": "ho",
    "two letters, no match": "zq",
    "one letter": "e",
    "one letter and a word": "e holiday",
    "@nick": "@nick7",
    "@nick and a word": "@nick7 holiday",
    "@nick and two letters": "@nick7 ho",
    "@nobody": "@nobody",
}

SEARCH_HEADS = ("search", "shown", "CPU ms", "median ms", "slowest ms", "loop's longest gap ms")


@attrs.frozen
class Owner:
    """One node that offers."""

    signer: Signer
    feed: Feed

    def entry(self, number: int, name: str, size: int) -> tuple[Signed, Offer]:
        """A signed offer."""
        digest = f"blake3:{size:064x}"
        offer = Offer(self.signer.key, name, size, digest, False, number)
        return self.signer.sign("offer", 1, number, number, "nick", offer.write()), offer


GROUP = b"239.0.0.1:9392"


def owners(store: Store, count: int, group: bytes = GROUP) -> list[Owner]:
    """Nodes that are here."""
    found = []
    for number in range(count):
        signer = Signer(Ed25519PrivateKey.generate(), group)
        feed = Feed(signer.key, 1)
        store.start_feed(feed, f"nick{number}", 0)
        store.set_present(signer.key, True, f"nick{number}", 0)
        found.append(Owner(signer, feed))
    return found


def names(count: int) -> Iterator[str]:
    """File names, all different, the same in each run."""
    chance = random.Random(1)
    for number in range(count - 1):
        words = " ".join(chance.choices(WORDS, k=3))
        yield f"{words} {number}.{chance.choice(EXTENSIONS)}"
    yield EXACT


@attrs.define
class Ticks:
    """The turns of the loop, and how long it was between two of them at most, in seconds."""

    last: float = attrs.field(factory=time.perf_counter)
    longest: float = 0.0

    def turn(self) -> None:
        """The loop came round."""
        now = time.perf_counter()
        self.longest = max(self.longest, now - self.last)
        self.last = now


@contextmanager
def watched(reactor: Any) -> Iterator[Ticks]:
    """Ask the loop for a turn all the time."""
    ticks = Ticks()
    ticking = LoopingCall(ticks.turn)
    ticking.clock = reactor
    ticking.start(TICK)
    try:
        yield ticks
    finally:
        ticking.stop()


async def ingest(reactor: Any, store: Store, count: int, owned: int) -> list[str]:
    """Put all offers in; the rows of its table."""
    in_thread, everybody = in_threads_of(reactor), owners(store, owned)
    chance = random.Random(2)
    seconds = []
    tidied: Deferred[Any] | None = None
    for index, name in enumerate(names(count)):
        owner = everybody[index % owned]
        entry, offer = owner.entry(index // owned + 1, name, chance.randrange(SIZE_MOST))
        owner.feed.heard_entries("offers", entry.number, entry.number)
        begun = time.perf_counter()
        taken = store.put_offer(entry, owner.feed, offer)
        seconds.append(time.perf_counter() - begun)
        assert taken
        if index % TIDY_EVERY == TIDY_EVERY - 1:
            tell(f"{index + 1} offers")
            if tidied is not None:
                await tidied
            tidied = in_thread(store.tidy, 0)
    if tidied is not None:
        await tidied
    seconds.sort()
    return [
        f"{count / sum(seconds):.0f}",
        f"{statistics.median(seconds) * US:.0f}",
        f"{seconds[int(count * 0.999)] * MS:.1f}",
        f"{seconds[-1] * MS:.1f}",
    ]


async def timed(
    reactor: Any, runs: int, call: Callable[..., Any], *arguments: Any
) -> tuple[list[str], Any]:
    """The milliseconds of a call in a thread, as in `SEARCH_HEADS`; and its result."""
    in_thread, seconds = in_threads_of(reactor), []
    cpu: list[float] = []

    def called() -> Any:
        begun = time.thread_time()
        result = call(*arguments)
        cpu.append(time.thread_time() - begun)
        return result

    result = await in_thread(called)  # what is needed has been read once
    with watched(reactor) as ticks:
        for _ in range(runs):
            begun = time.perf_counter()
            result = await in_thread(called)
            seconds.append(time.perf_counter() - begun)
    cells = (statistics.median(cpu), statistics.median(seconds), max(seconds), ticks.longest)
    return [f"{cell * MS:.1f}" for cell in cells], result


async def search_all(reactor: Any, store: Store, runs: int) -> list[list[str]]:
    """The rows of the table of searches."""
    rows = []
    for kind, text in SEARCHES.items():
        cells, found = await timed(reactor, runs, store.search, Query.parse(text), b"")
        rows.append([f"{kind}: `{text}`" if text else kind, str(len(found)), *cells])
    return rows


async def search_while_writing(reactor: Any, store: Store, runs: int) -> list[list[str]]:
    """The same while offers come in, as many as a node takes of the group."""
    owner = owners(store, 1)[0]
    number = 0

    def put() -> None:
        nonlocal number
        number += 1
        entry, offer = owner.entry(number, f"new {number}.txt", number)
        owner.feed.heard_entries("offers", number, number)
        store.put_offer(entry, owner.feed, offer)

    writing = LoopingCall(put)
    writing.clock = reactor
    writing.start(0.002)
    try:
        rows = []
        for text in ("holiday", "beach summer", "zq"):
            cells, found = await timed(reactor, runs, store.search, Query.parse(text), b"")
            rows.append([f"`{text}` while 500 offers/s come in", str(len(found)), *cells])
        return rows
    finally:
        writing.stop()


async def forget(reactor: Any, store: Store) -> list[str]:
    """One node begins anew: what that costs the loop, and the thread that tidies up."""
    owner = owners(store, 1)[0]
    for number in range(1, 2001):
        entry, offer = owner.entry(number, f"{number}.txt", number)
        owner.feed.heard_entries("offers", number, number)
        store.put_offer(entry, owner.feed, offer)
    begun = time.perf_counter()
    store.start_feed(Feed(owner.signer.key, 2), "nick", 0)
    dropped = time.perf_counter() - begun
    with watched(reactor) as ticks:
        begun = time.perf_counter()
        await in_threads_of(reactor)(store.tidy, 0)
        tidied = time.perf_counter() - begun
    return [f"{dropped * MS:.2f}", f"{tidied:.1f}", f"{ticks.longest * MS:.1f}"]


async def measure(reactor: Any, options: argparse.Namespace) -> None:
    """The whole benchmark; prints its tables."""
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="p2pshare-benchmark-") as folder:
        path = Path(folder) / "node.db"
        store = Store(path, b"")
        try:
            put = await ingest(reactor, store, options.offers, options.owners)
            megabytes = path.stat().st_size / 1e6
            begun = time.perf_counter()
            count = store.count_offers()
            counted = time.perf_counter() - begun
            searches = await search_all(reactor, store, options.runs)
            searches += await search_while_writing(reactor, store, options.runs)
            anew = await forget(reactor, store)
        finally:
            store.close()
    print(f"\n{count} offers of {options.owners} nodes; {processor()}, SQLite "
          f"{sqlite3.sqlite_version}; {megabytes:.0f} MB on disk\n")  # fmt: skip
    heads = ["ingest", "offers/s", "median us", "99.9 % ms", "slowest ms", "counting them, us"]
    print(table(heads, [["one by one, committed", *put, f"{counted * US:.0f}"]]))
    print(table(SEARCH_HEADS, searches))
    heads = ["a node of 2,000 offers begins anew", "loop, ms", "tidying thread, s",
             "loop's longest gap ms"]  # fmt: skip
    print(table(heads, [["", *anew]]))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description="Fill a catalogue, and search it."
    )
    parser.add_argument("--offers", type=int, default=OFFERS, help=f"in all ({OFFERS})")
    parser.add_argument("--owners", type=int, default=OWNERS, help=f"nodes ({OWNERS})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each search ({RUNS})")
    parser.add_argument("--directory", type=Path, default=Path(), help="for the database (.)")
    options = parser.parse_args()
    react(lambda reactor: ensureDeferred(measure(reactor, options)))


if __name__ == "__main__":
    main()
