"""The catalogue with many offers: how fast they come in, and how fast a search finds them.

All is done as a node does it: signed entries go into a `Store` on the loop's thread, one by one as
datagrams bring them, then some together as SYNC does; searches run in a thread with a connection
of their own, for each letter as it is typed. Meanwhile the reactor's loop is asked every
millisecond for a turn; the longest that it waits is what a user at the menu would feel.

    python -m benchmarks.search                            # 100,000 offers of 50 nodes
    python -m benchmarks.search --names photos --owners 1  # most of them called like the others
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall, react

from benchmarks.transfer import append_record, processor, table, tell
from twistedp2p.core.catalogue import Offer, Query
from twistedp2p.core.datagrams.datagram import Signed, Signer
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.disk.memory.store import Store
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.sync import HEAR_SLICE

OFFERS, OWNERS = 100_000, 50
RUNS = 5  # of each search
SINGLE = 5000  # offers that come one by one
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

TYPED = (
    *("", EXACT, "77777", "holiday", "ETE", "jpg", "beach summer notes 9", "holiday xylophone"),
    *("zq", "e holiday", "jpg zq", "mp3 e", "1 2 3 4", "IMG_2020 e", "img_2020 mp3", ".jpg"),
    *("@nick7 holiday", "@nick holiday", "@nobody"),
)
SEARCH_HEADS = ("typed", "shown", "letters", "CPU ms of a letter", "of the slowest",
                "elapsed, median ms", "slowest", "loop's longest gap ms")  # fmt: skip
INGEST_HEADS = ("ingest", "offers/s", "of all at once: median ms", "99.9 %", "slowest")


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


def photos(count: int) -> Iterator[str]:
    """File names as a camera gives them, most of them, and some others."""
    chance = random.Random(3)
    for number in range(count - 1):
        kind = chance.random()
        if kind < 0.7:
            yield f"IMG_{20200000 + chance.randrange(60000)}_{number:06d}.jpg"
        elif kind < 0.8:
            yield f"{' '.join(chance.choices(WORDS, k=3)).title()} {number}.mp3"
        elif kind < 0.9:
            yield f"{chance.getrandbits(64):016x}.bin"
        else:
            yield f"{' '.join(chance.choices(WORDS, k=2))} {number}.pdf"
    yield EXACT


NAMES = {"words": names, "photos": photos}


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


async def ingest(
    reactor: Any,
    store: Store,
    everybody: list[Owner],
    all_names: Iterator[tuple[int, str]],
    together: int,
) -> list[str]:
    """Put offers in, so many together; the cells of a row."""
    in_thread, chance = in_threads_of(reactor), random.Random(2)
    seconds, count = [], 0
    while some := list(islice(all_names, together)):
        heard = []
        for index, name in some:
            owner = everybody[index % len(everybody)]
            number = index // len(everybody) + 1
            heard.append((owner, *owner.entry(number, name, chance.randrange(SIZE_MOST))))
        begun = time.perf_counter()
        with store.together():
            for owner, entry, offer in heard:
                owner.feed.heard_entries("offers", entry.number, entry.number)
                assert store.put_offer(entry, owner.feed, offer)
        seconds.append(time.perf_counter() - begun)
        if (count + len(some)) // TIDY_EVERY > count // TIDY_EVERY:
            tell(f"{some[-1][0] + 1} offers")
            await in_thread(store.tidy, 0)
        count += len(some)
    seconds.sort()
    slow = (statistics.median(seconds), seconds[int(len(seconds) * 0.999)], seconds[-1])
    return [f"{together} together", f"{count / sum(seconds):.0f}",
            *(f"{cell * MS:.2f}" for cell in slow)]  # fmt: skip


async def ingest_all(reactor: Any, store: Store, options: argparse.Namespace) -> list[list[str]]:
    """Put all offers in; the rows of their table."""
    everybody = owners(store, options.owners)
    all_names = enumerate(NAMES[options.names](options.offers))
    first = islice(all_names, min(SINGLE, options.offers // 2))
    rows = [await ingest(reactor, store, everybody, first, 1)]
    rows.append(await ingest(reactor, store, everybody, all_names, HEAR_SLICE))
    return rows


@attrs.frozen
class Typed:
    """What a search took, in milliseconds."""

    shown: int
    cpu: float
    median: float
    slowest: float
    gap: float  # of the loop


async def timed(reactor: Any, store: Store, runs: int, text: str) -> Typed:
    """Search in a thread, some times."""
    in_thread, seconds = in_threads_of(reactor), []
    cpu: list[float] = []

    def search() -> int:
        begun = time.thread_time()
        found = store.search(Query.parse(text), b"")
        cpu.append(time.thread_time() - begun)
        return len(found)

    await in_thread(search)  # what is needed has been read once
    with watched(reactor) as ticks:
        for _ in range(runs):
            begun = time.perf_counter()
            shown = await in_thread(search)
            seconds.append(time.perf_counter() - begun)
    found = (statistics.median(cpu), statistics.median(seconds), max(seconds), ticks.longest)
    return Typed(shown, *(each * MS for each in found))


async def typed(reactor: Any, store: Store, runs: int, text: str) -> list[str]:
    """Search for a text letter by letter; the cells of its row."""
    letters = [await timed(reactor, store, runs, text[:end]) for end in range(1, len(text) + 1)]
    letters = letters or [await timed(reactor, store, runs, "")]
    cells = (statistics.median(each.cpu for each in letters), max(each.cpu for each in letters),
             statistics.median(each.median for each in letters),
             max(each.slowest for each in letters), max(each.gap for each in letters))  # fmt: skip
    shown = [f"`{text}`" if text else "nothing: the latest", f"{letters[-1].shown}"]
    return [*shown, f"{len(text)}", *(f"{cell:.1f}" for cell in cells)]


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
            row = await typed(reactor, store, runs, text)
            rows.append([f"{row[0]} while 500 offers/s come in", *row[1:]])
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
            put = await ingest_all(reactor, store, options)
            megabytes = path.stat().st_size / 1e6
            begun = time.perf_counter()
            count = store.count_offers()
            counted = time.perf_counter() - begun
            searches = [await typed(reactor, store, options.runs, text) for text in TYPED]
            searches += await search_while_writing(reactor, store, options.runs)
            anew = await forget(reactor, store)
        finally:
            store.close()
    record = "\n".join((
        f"{count} offers ({options.names}) of {options.owners} nodes; {processor()}, SQLite "
        f"{sqlite3.sqlite_version}; {megabytes:.0f} MB on disk; "
        f"counting them {counted * US:.0f} us\n",
        table(INGEST_HEADS, put),
        table(SEARCH_HEADS, searches),
        table(["a node of 2,000 offers begins anew", "loop, ms", "tidying thread, s",
               "loop's longest gap ms"], [["", *anew]]),
    ))  # fmt: skip
    print(f"\n{record}")
    if options.record is not None:
        append_record(options.record, record, "search.py and memory.py")


def add_catalogue_options(parser: argparse.ArgumentParser) -> None:
    """What a benchmark that fills a catalogue is told: how, where, and where to tell of it."""
    parser.add_argument("--offers", type=int, default=OFFERS, help=f"in all ({OFFERS})")
    parser.add_argument("--owners", type=int, default=OWNERS, help=f"nodes ({OWNERS})")
    parser.add_argument("--names", choices=NAMES, default="words", help="what they are called")
    parser.add_argument("--directory", type=Path, default=Path(), help="for the database (.)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the tables to it")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description="Fill a catalogue, and search it."
    )
    add_catalogue_options(parser)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each search ({RUNS})")
    options = parser.parse_args()
    react(lambda reactor: ensureDeferred(measure(reactor, options)))


if __name__ == "__main__":
    main()
