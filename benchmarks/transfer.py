"""One file over loopback: p2pshare beside sendfile, scp, nginx with curl, magic-wormhole.

Every peer is a `Peer`: its server is started once on a free port of 127.0.0.1, with throw-away
keys in a temporary folder; then one peer after the other fetches the file several times, with one
fetch before that does not count. (In turns, on a virtual machine, each would pay for the memory
that the one before gave back to the host.) The source is in the page cache, the destination is a
new file on the disk or in memory, or nothing: what comes is checked and thrown away. Before each
fetch the disk is synchronised; and twice the file's size of memory is used and given back, so that
what the fetch is given by the system is there: else on a virtual machine, whose host takes idle
memory back, the first use of a page costs up to ten times what is to be measured.

CPU time is that of all descendants of this process, living or ended, before and after a fetch:
each process's own time and that of the children it has waited for, from /proc/PID/stat. Only one
fetch runs at a time, and idle servers use none, so the difference is what both ends took together,
with the processes that sshd forks for each connection. (Linux only, for this reason.)
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import mmap
import os
import platform
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

import attrs

from benchmarks.peers import NOWHERE, PEERS, P2pshare, Peer
from benchmarks.processes import PeerFailed, cpu_seconds, run, stop_descendants

GIB = 1 << 30  # bytes
MB = 1_000_000  # bytes
SMALL_SIZE = 1024  # bytes
SMALL_RUNS = 3  # small fetches for each large one: they are short, and noisier
SPARE = 256 << 20  # bytes of disk to leave free
BLOCK = 1 << 20  # bytes read or written at once
DISK, TMPFS, SINK = PLACES = ("disk", "tmpfs", "sink")
TMPFS_FOLDER = Path("/dev/shm")
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@attrs.frozen
class Sample:
    """One fetch: seconds of the whole command, of the client in itself, and of CPU of both ends."""

    command: float
    inside: float | None
    cpu: float


@attrs.define
class Result:
    """What one peer did; `failed` says why it did no more."""

    peer: Peer
    large: dict[str, list[Sample]] = attrs.field(factory=dict)  # by where it went
    small: list[Sample] = attrs.field(factory=list)
    failed: str | None = None


def sha256(path: Path) -> bytes:
    """The digest of a file, read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.digest()


def read_through(path: Path) -> None:
    """Bring a file back into the page cache, where the host has taken it out of it meanwhile."""
    with path.open("rb") as file:
        while file.read(BLOCK):
            pass


def touch_memory(size: int) -> None:
    """Use that many bytes of memory, and give them back."""
    with closing(mmap.mmap(-1, size)) as room:
        for at in range(0, size, mmap.PAGESIZE):
            room[at] = 1


def measure(peer: Peer, source: Path, place: str, expected: bytes | None = None) -> Sample:
    """One fetch of `source` into a new folder; its digest is looked at when one is `expected`."""
    peer.offer(source)
    home = TMPFS_FOLDER if place == TMPFS else peer.folder
    with tempfile.TemporaryDirectory(dir=home, prefix="p2pshare-arrived-") as folder:
        destination = NOWHERE if place == SINK else Path(folder) / source.name
        os.sync()
        read_through(source)
        cpu = cpu_seconds()
        touch_memory(2 * source.stat().st_size)
        begun = time.perf_counter()
        inside = peer.fetch(destination)
        command = time.perf_counter() - begun
        peer.rest()
        cpu = cpu_seconds() - cpu
        if destination != NOWHERE:
            if destination.stat().st_size != source.stat().st_size:
                raise PeerFailed("the size that arrived is not the size sent")
            if expected is not None and sha256(destination) != expected:
                raise PeerFailed("the bytes that arrived are not the bytes sent")
    return Sample(command, inside, cpu)


def write_random(path: Path, size: int) -> bytes:
    """Make a file of `size` random bytes; returns its digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while size > 0:
            block = os.urandom(min(BLOCK, size))
            digest.update(block)
            size -= file.write(block)
    return digest.digest()


@contextmanager
def failure_noted(result: Result) -> Iterator[None]:
    """Let a peer's failure stop that peer, not the benchmark."""
    try:
        yield
    except (PeerFailed, OSError, ValueError, sqlite3.Error, subprocess.SubprocessError) as error:
        tell(f"{result.peer.name} failed: {error}")
        result.failed = str(error).strip().rpartition("\n")[2]


def fetch_often(
    results: Sequence[Result], source: Path, place: str, digest: bytes, turns: int
) -> dict[str, list[Sample]]:
    """Each peer that can and has not failed fetches `source`, `turns` times and once before.

    That one is checked and does not count: it brings programs, and the memory that the fetches of
    this peer will use, to where they are at hand.
    """
    samples: dict[str, list[Sample]] = {result.peer.name: [] for result in results}
    for result in results:
        for turn in range(turns + 1):
            if result.failed is None and (place != SINK or result.peer.throws_away):
                with failure_noted(result):
                    sample = measure(result.peer, source, place, None if turn else digest)
                    if turn:
                        samples[result.peer.name].append(sample)
                    tell(f"{source.name} to {place} {turn}/{turns} {result.peer.name}: {sample}")
    return samples


def compare(
    peers: Sequence[Peer], folder: Path, size: int, runs: int, places: Sequence[str]
) -> list[Result]:
    """Set all peers up under `folder`, let them fetch in turns, and stop them."""
    sources = folder / "sources"
    sources.mkdir()
    large, small = sources / "large.bin", sources / "small.bin"
    tell(f"writing {size} bytes")
    digests = [write_random(large, size), write_random(small, SMALL_SIZE)]
    results = [Result(peer) for peer in peers]
    named = {result.peer.name: result for result in results}
    with ExitStack() as stack:
        for result in results:
            home = folder / result.peer.name
            home.mkdir()
            stack.callback(result.peer.teardown)
            with failure_noted(result):
                result.peer.setup(home, (large, small))
        for name, samples in fetch_often(
            results, small, DISK, digests[1], SMALL_RUNS * runs
        ).items():
            named[name].small = samples
        for place in places:
            for name, samples in fetch_often(results, large, place, digests[0], runs).items():
                named[name].large[place] = samples
    return results


# ---- tables -------------------------------------------------------------------------------------

NOTES = """\
MB/s are 10^6 bytes a second, the median of {runs} runs, with the slowest and the fastest.
"In process" is from the client's own call to the file in place, without its start-up, where the
client tells it (p2pshare; curl's time_total; magic-wormhole's --dump-timing, from the end of its
imports to the last acknowledgement); "command" is the whole command. The ratio takes p2pshare in
process, and the peer in process where known, else its command. CPU seconds are user and system
time of both ends per GiB, the client's start-up included and the server's not, from /proc/PID/stat
of all processes involved with their ended children; the kernel's own threads, writing back to disk,
count for nobody; the last column leaves out what the small file costs, start-up and greeting. To
"sink": what comes is opened and checked as ever, and thrown away. sendfile seals and checks
nothing, and is what the machine can do. The small file: the median of {small} runs. Before it
connects, p2pshare makes a guess at its password expensive (Argon2id), which is most of its time in
process here.
"""


def tell(line: str) -> None:
    """Progress, beside the tables on standard output."""
    print(line, file=sys.stderr, flush=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right; "" without rows."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *rest]) + " |\n"

    return "".join(map(line, [heads, rules, *rows]))


def median_of(seconds: Sequence[float | None]) -> float | None:
    """The median, or None when there is nothing to take it of."""
    known = [second for second in seconds if second is not None]
    return statistics.median(known) if known else None


def shown(value: float | None, form: str) -> str:
    """A number for a table's cell."""
    return "-" if value is None else format(value, form)


def rates(size: int, seconds: Sequence[float | None]) -> str:
    """Median, slowest and fastest MB/s."""
    known = [size / MB / second for second in seconds if second is not None]
    if not known:
        return "-"
    return f"{statistics.median(known):.0f} ({min(known):.0f}-{max(known):.0f})"


def best_known(samples: Sequence[Sample]) -> float | None:
    """Median seconds in process where the client tells them, else of the command."""
    return median_of([s.command if s.inside is None else s.inside for s in samples])


def large_table(results: Sequence[Result], size: int, place: str) -> str:
    """Rates, ratios and CPU time of the large file, brought to one place."""
    ours = next((best_known(r.large[place]) for r in results if isinstance(r.peer, P2pshare)), None)
    rows = []
    for result in results:
        samples = result.large[place]
        theirs = best_known(samples)
        ratio = theirs / ours if theirs and ours else None
        cpu = median_of([sample.cpu for sample in samples])
        start = median_of([sample.cpu for sample in result.small])
        rows.append(
            [
                result.peer.name,
                rates(size, [sample.command for sample in samples]),
                rates(size, [sample.inside for sample in samples]),
                shown(ratio, ".2f"),
                shown(cpu and cpu * GIB / size, ".2f"),
                shown(cpu and start and (cpu - start) * GIB / size, ".2f"),
            ]
        )
    heads = [f"1 file to {place}", "MB/s, command", "MB/s, in process", "p2pshare / peer"]
    return table([*heads, "CPU s/GiB, both ends", "beyond the small file's"], rows)


def small_table(results: Sequence[Result]) -> str:
    """Milliseconds for the small file."""
    rows = []
    extra = ""
    for result in results:
        command = median_of([sample.command * 1000 for sample in result.small])
        inside = median_of([s.inside * 1000 for s in result.small if s.inside is not None])
        rows.append([result.peer.name, shown(command, ".0f"), shown(inside, ".1f")])
        if isinstance(result.peer, P2pshare) and result.small:
            spans = result.peer.since_connected[1 : len(result.small) + 1]
            extra = f"p2pshare, from its connection to done: {median_of(spans) or 0:.4f} s.\n"
    return table(["peer, 1 KiB", "ms, command", "ms, in process"], rows) + extra


def processor() -> str:
    """The model name of the processor."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def report(
    results: Sequence[Result],
    absent: dict[str, str],
    folder: Path,
    size: int,
    runs: int,
    places: Sequence[str],
    load: float,
) -> str:
    """The record of one run, in Markdown."""
    now = datetime.datetime.now(datetime.timezone.utc)
    filesystem = run("df", "--output=fstype", folder).split()[-1]
    troubles = absent | {r.peer.name: r.failed for r in results if r.failed is not None}
    facts = [
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"load average {load:.2f} before the run",
        f"{size} bytes ({size / GIB:.3g} GiB) over loopback; the disk has {filesystem}",
        *(result.peer.version() for result in results),
        *(f"{name} is not in the tables: {trouble}" for name, trouble in troubles.items()),
    ]
    return "\n".join(
        [
            f"## {now:%Y-%m-%d %H:%M} UTC\n",
            *(f"- {fact}" for fact in facts),
            "",
            *(
                large_table([r for r in results if r.large.get(place)], size, place)
                for place in places
            ),
            small_table([r for r in results if r.small]),
            NOTES.format(runs=runs, small=SMALL_RUNS * runs),
        ]
    )


# ---- the command --------------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Bytes of `1GiB`, `64MiB`, `100KiB` or a plain number, at least 1, for argparse."""
    match = re.fullmatch(r"([1-9]\d*) ?(|[KMG]iB)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1GiB, 64MiB or 4096")
    return int(match[1]) << {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]


def parse_runs(text: str) -> int:
    """A number of runs, at least 1, for argparse."""
    if re.fullmatch(r"[1-9]\d*", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def arguments() -> argparse.Namespace:
    """The command line."""
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer",
        description="Transfer one file over loopback with p2pshare, and with others beside it.",
    )
    parser.add_argument("--size", type=parse_size, default=GIB, help="of the file (1GiB)")
    parser.add_argument("--runs", type=parse_runs, default=3, help="large fetches a peer (3)")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="for the temporary files: a real disk (.)"
    )
    parser.add_argument(
        "--to",
        action="append",
        choices=PLACES,
        help="a new file on the disk, in memory, or nowhere; repeatable (disk)",
    )
    parser.add_argument("--only", action="append", choices=names, help="this peer; repeatable")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the tables to it")
    options = parser.parse_args()
    if not options.directory.is_dir():
        parser.error(f"{options.directory} is not a folder")
    needed = 2 * options.size + SPARE
    if shutil.disk_usage(options.directory).free < needed:
        parser.error(f"{options.directory} has less than {needed} bytes free")
    options.to = options.to or [DISK]
    if TMPFS in options.to and not os.access(TMPFS_FOLDER, os.W_OK):
        parser.error(f"there is no {TMPFS_FOLDER} to write to")
    return options


def append_record(path: Path, record: str, of: str = "transfer.py") -> None:
    """Add one run to the file of records."""
    with path.open("a") as file:
        file.write("\n" if file.tell() else f"# Records of benchmarks/{of}\n\n")
        file.write(record)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwind and clean up, at the first signal; later ones shall not disturb the cleaning."""
    for kind in INTERRUPTS:
        signal.signal(kind, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def main() -> int:
    """Run the benchmark; 0 when all peers that are installed brought the file whole, else 1."""
    options = arguments()
    peers = [peer() for peer in PEERS if options.only is None or peer.name in options.only]
    absent = {p.name: lack for p in peers if (lack := p.missing()) is not None}
    for name, lack in absent.items():
        tell(f"{name} is missing: {lack}")
    present = [peer for peer in peers if peer.name not in absent]
    if not present:
        return 1
    load = os.getloadavg()[0]  # processes that ran or waited to, in the last minute
    for kind in INTERRUPTS:
        signal.signal(kind, interrupt)
    try:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(
                        dir=options.directory.resolve(), prefix="p2pshare-benchmark-"
                    )
                )
            )
            stack.callback(stop_descendants)
            results = compare(present, folder, options.size, options.runs, options.to)
            record = report(results, absent, folder, options.size, options.runs, options.to, load)
    except KeyboardInterrupt:
        tell("interrupted; everything is cleaned up")
        return 130
    print(record)
    if options.record is not None:
        append_record(options.record, record)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
