"""How soon a node is there, what it costs when idle, and how long its loop ever stands still.

    start   from the command to its first question, `twistd -n p2pshare --menu plain` on a pipe
    idle    CPU time of two nodes that know each other: a plain menu, and an editor on a terminal
    stalls  a node in this process, with a probe that the reactor is to call every 2 ms: the longest
            it came late while files were hashed, sent, fetched, and 100,000 offers searched. The
            time that the loop was ready to run and other programs had the processors is taken
            off, and told. Of what is left, what is not computing is waiting: for another thread
            of the program, or for the disk

    python -m benchmarks.start
    python -m benchmarks.start --size 64MiB --offers 1000 --only stalls

Linux only: CPU time is read from /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThreadPool

from benchmarks.memory import (
    GIB,
    RUN,
    START,
    TRANSFER,
    BenchedNode,
    make_file,
    size_of,
)
from tests.lan.nodes import free_port
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.datagrams.datagram import Signer, group_name
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.state.instance import Instance, claim
from twistedp2p.node import Config, Node

STARTS = 5
IDLE = 20.0  # seconds
SETTLE = 8.0  # seconds from the start to the idle state: the hellos and first beacons
QUIET = 3.0  # seconds with nothing to do
PROBE = 0.002  # seconds
BLINK = 0.02  # seconds after which the watcher looks where the loop stands
SEARCHES = ("", "holiday", "holiday 77", "jpg", "a", "zz", "@here 4242", "99999")
SOON = 1.0  # seconds from start to prompt
CHEAP = 0.5  # percent of one core
SMOOTH = 0.050  # seconds


def somewhere() -> list[str]:
    """Options of a group that nobody else is in."""
    group = f"239.{random.randrange(1, 255)}.{random.randrange(1, 255)}.2"
    return ["--group", group, "--port", str(free_port()), "--interface", "127.0.0.1"]


# ---- start --------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9


def measure_start(folder: Path) -> bool:
    """Start a node several times and print how long it took."""
    took, computed = [], []
    for number in range(STARTS + 1):
        began = time.perf_counter()
        node = BenchedNode(f"start{number}", folder, somewhere())
        try:
            node.expect(r"\? help >", START)
            took.append(time.perf_counter() - began)
            computed.append(cpu_seconds(node.process.pid))
        finally:
            node.stop()
    median = statistics.median(took[1:])
    print(
        f"start to prompt: {median:.2f} s, of which computing {statistics.median(computed):.2f} s"
        f" (median of {STARTS}; one before, not counted, took {took[0]:.2f} s)"
    )
    return median <= SOON


# ---- idle ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def on_a_terminal(folder: Path, where: list[str]) -> Iterator[int]:
    """A node with the editor on a pseudo-terminal, whose output is read; gives its process id."""
    ours, theirs = pty.openpty()
    (folder / "editor").mkdir()
    # The terminal must be its own, or it would find itself in the background.
    command = [
        sys.executable,
        "-c",
        f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {RUN}",
    ]
    options = ["-n", "p2pshare", "--nick", "editor", *where]
    node = subprocess.Popen(
        [*command, *options, "--state-dir", str(folder / "editor" / "state")],
        cwd=folder / "editor",
        env={**os.environ, "TERM": "xterm-256color", "LANGUAGE": "en"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)

    def read() -> None:
        with contextlib.suppress(OSError):  # the terminal has gone
            while os.read(ours, 65536):
                pass

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield node.pid
    finally:
        node.terminate()
        node.wait()
        reading.join()
        os.close(ours)


def measure_idle(folder: Path) -> bool:
    """Let two nodes be, and print what they used."""
    where = somewhere()
    plain = BenchedNode("plain", folder, where)
    try:
        with on_a_terminal(folder, where) as editor:
            plain.expect("editor is here", START)
            time.sleep(SETTLE)
            pids = {"plain menu": plain.process.pid, "editor on a terminal": editor}
            before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            time.sleep(IDLE)
            used = {
                name: 100 * (cpu_seconds(pid) - before[name]) / IDLE for name, pid in pids.items()
            }
    finally:
        plain.stop()
    for name, percent in used.items():
        print(f"idle, {name}: {percent:.3f} % of one core over {IDLE:.0f} s")
    return max(used.values()) < CHEAP


# ---- stalls -------------------------------------------------------------------------------------


def kept_waiting() -> float:
    """How long this thread has been ready to run without a processor, seconds."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


class Probe:
    """Sees how late the reactor calls; a thread notes where the loop stands when it is late."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._loop = threading.get_ident()
        self._due = time.perf_counter()
        self._cpu = time.thread_time()
        self._where: list[str] = []
        self._seen: list[str] = []
        self._waited = kept_waiting()
        self._longest = self._computed = self._others = 0.0
        self._over = 0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._next()

    def _next(self) -> None:
        self._cpu = time.thread_time()
        self._waited = kept_waiting()
        self._seen = []
        self._due = time.perf_counter() + PROBE
        self._call = self._reactor.callLater(PROBE, self._look)

    def _look(self) -> None:
        others = kept_waiting() - self._waited
        late = time.perf_counter() - self._due - others
        self._others = max(others, self._others)
        self._over += late > SMOOTH
        if late > self._longest:
            self._longest, self._computed = late, time.thread_time() - self._cpu
            self._where = self._seen
        self._next()

    def _watch(self) -> None:
        while not self._ended.wait(BLINK / 4):
            if time.perf_counter() - self._due > BLINK and not self._seen:
                frame = sys._current_frames().get(self._loop)
                self._seen = traceback.format_stack(frame)[-4:] if frame is not None else []

    def report(self, what: str) -> bool:
        """Print the longest stall since the last report; whether none was too long."""
        longest, where = self._longest, self._where
        print(
            f"{what}: longest stall {longest * 1000:.1f} ms, of which computing"
            f" {self._computed * 1000:.1f} ms; {self._over} over {SMOOTH * 1000:.0f} ms"
            f" (other programs: up to {self._others * 1000:.1f} ms)",
            flush=True,
        )
        if longest > BLINK:
            print("".join(where).rstrip() or "  (nothing was seen)")
        self._longest, self._others, self._over = 0.0, 0.0, 0
        return longest <= SMOOTH

    def stop(self) -> None:
        """Look no more."""
        self._call.cancel()
        self._ended.set()
        self._watcher.join()


def fill(instance: Instance, group: str, port: int, count: int) -> None:
    """Put that many offers of our own into the node's memory, before it starts."""
    if not count:
        return
    where = group_name(group, port)
    signer = Signer(instance.private_key, where)
    store = Store(instance.database_of(where.decode()), signer.key)
    now = int(time.time() * 1000)
    feed = Feed(signer.key, 1)
    store.start_feed(feed, "bench", now)
    began = time.perf_counter()
    for number in range(1, count + 1):
        name = f"holiday {number % 100} of {number}.{('jpg', 'txt', 'mp4')[number % 3]}"
        offer = Offer(signer.key, name, number, "blake3:" + f"{number:064x}", False, now)
        entry = signer.sign("offer", 1, number, now, "bench", offer.write())
        feed.heard_entries("offers", number, number)
        store.put_offer(entry, feed, offer)
    store.close()
    print(f"{count} offers written in {time.perf_counter() - began:.1f} s")


def node_here(reactor: Any, folder: Path, where: list[str], offers: int = 0) -> Node:
    """A node in this process, started."""
    group, port = where[1], int(where[3])
    instance = claim(folder)
    fill(instance, group, port, offers)
    config = Config(
        group=group, port=port, interfaces=["127.0.0.1"], nick="here", download_folder=folder
    )
    node = Node(reactor, config, instance)
    node.start()
    return node


async def expect(reactor: Any, node: BenchedNode, pattern: str) -> None:
    """`BenchedNode.expect` without standing still here."""
    await deferToThreadPool(reactor, reactor.getThreadPool(), node.expect, pattern, TRANSFER)


async def _transfers(reactor: Any, size: int, folder: Path) -> bool:
    where = somewhere()
    there = BenchedNode("there", folder, where)
    node = node_here(reactor, folder / "here", where)
    try:
        await expect(reactor, there, "here is here")
        make_file(folder / "from here.bin", size)
        make_file(there.folder / "from there.bin", size)
        probe = Probe(reactor)
        try:
            await deferLater(reactor, QUIET)
            fine = [probe.report("nothing to do")]
            await node.offer(str(folder / "from here.bin"), "monpass")
            fine.append(probe.report("an offer is hashed"))
            await expect(reactor, there, r"here offers from here\.bin")
            there.type("2", "from here.bin", "monpass")
            await expect(reactor, there, r"from here\.bin is here, whole")
            fine.append(probe.report("a file is sent"))
            there.type("4", "from there.bin", "monpass", "n")
            await expect(reactor, there, "The group was told")
            await deferLater(reactor, QUIET)
            probe.report("the other node hashes")
            found = await node.search("from there")
            await node.get(found[0].offer, "monpass").done
            fine.append(probe.report("a file is fetched"))
        finally:
            probe.stop()
    finally:
        there.stop()
        await node.stop()
    return all(fine)


async def _searches(reactor: Any, offers: int, folder: Path) -> bool:
    node = node_here(reactor, folder / "many", somewhere(), offers)
    try:
        probe = Probe(reactor)
        try:
            await deferLater(reactor, QUIET)
            fine = [probe.report(f"{offers} own offers, nothing to do")]
            for text in SEARCHES:
                began = time.perf_counter()
                found = await node.search(text)
                took = (time.perf_counter() - began) * 1000
                fine.append(probe.report(f"search {text!r}: {len(found)} in {took:.1f} ms"))
        finally:
            probe.stop()
    finally:
        await node.stop()
    return all(fine)


def measure_stalls(size: int, offers: int, folder: Path) -> bool:
    """Run a node in this process and print how long its loop stood still."""
    results = []

    async def run(reactor: Any) -> None:
        results.append(await _transfers(reactor, size, folder))
        results.append(await _searches(reactor, offers, folder))

    with contextlib.suppress(SystemExit):  # react ends the process; an error has been printed
        react(run)
    return results == [True, True]


def main() -> None:
    """Measure as the command line says; exit code 1 where something took too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=("start", "idle", "stalls"), action="append")
    parser.add_argument("--size", type=size_of, default=GIB, help="of each file (default: 1GiB)")
    parser.add_argument("--offers", type=int, default=100_000, help="in the catalogue")
    parser.add_argument("--directory", default=".", help="a disk with four times the size free")
    arguments = parser.parse_args()
    fine = []
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="p2pshare-start-") as name:
        folder = Path(name).absolute()
        wanted = arguments.only or ("start", "idle", "stalls")
        if "start" in wanted:
            fine.append(measure_start(folder))
        if "idle" in wanted:
            fine.append(measure_idle(folder))
        if "stalls" in wanted:
            fine.append(measure_stalls(arguments.size, arguments.offers, folder))
    if not all(fine):
        sys.exit("Too much: see above.")


if __name__ == "__main__":
    main()
