"""One huge file of nothing: how fast it is read, what it takes of memory, how the loops fare.

Two processes as in `transfer.py`. The owner offers a sparse file, which is read and hashed; the
client gets all of it, opens and checks it, and throws it away, for no disk need hold it. Of both:
the peak of the resident set (VmHWM of /proc/PID/status) above what it was before, the processor's
seconds, the longest time for which the loop did not come round, and the most that its thread
computed in such a time; beside them the longest stall of a thread here which does nothing but look
at the clock, for what the machine itself withholds. Linux only, for this reason.

    python -m benchmarks.sparse                 # 100 GiB
    python -m benchmarks.sparse --size 10GiB
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.processes import free_port, run, stop_descendants
from benchmarks.transfer import (
    GIB,
    INTERRUPTS,
    MB,
    append_record,
    interrupt,
    parse_size,
    processor,
    table,
    tell,
)

EVERY = 0.005  # seconds between two looks of those that are idle

WATCH = """
import re, resource, sys, time
from pathlib import Path
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

EVERY = 0.005  # seconds
password = "correct horse battery"


def memory(what):
    status = Path("/proc/self/status").read_text()
    return int(re.search(what + r":\\s+(\\d+) kB", status)[1]) * 1024


class Watch:
    '''What one stretch of work takes.'''

    def __init__(self, reactor):
        self.call = LoopingCall(self.look)
        self.call.clock = reactor
        self.begin()
        self.call.start(EVERY)

    def begin(self):
        self.seen = self.begun = time.perf_counter()
        self.thread = time.thread_time()
        self.worst = self.computed = 0.0
        Path("/proc/self/clear_refs").write_text("5")  # a new VmHWM
        self.before, self.cpu = memory("VmRSS"), time.process_time()

    def look(self):
        now, thread = time.perf_counter(), time.thread_time()
        self.worst = max(self.worst, now - self.seen - EVERY)
        self.computed = max(self.computed, thread - self.thread)
        self.seen, self.thread = now, thread

    def told(self):
        self.look()
        cpu, grown = time.process_time() - self.cpu, memory("VmHWM") - self.before
        line = time.perf_counter() - self.begun, cpu, grown, self.worst, self.computed
        self.begin()
        return " ".join(map(str, line))
"""

OWNER = (
    WATCH
    + """
import signal
from twistedp2p.api import serve_files

async def main(reactor, port, path):
    watch = Watch(reactor)
    server = await serve_files(reactor, int(port), password, [Path(path)], host="127.0.0.1")
    print(server.key, watch.told(), flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: print(watch.told(), flush=True))
    await Deferred()

react(main, sys.argv[1:])
"""
)

CLIENT = (
    WATCH
    + """
from twistedp2p.api import fetch_file
from twistedp2p.core.content.tree import Tree
from twistedp2p.disk.downloads import download
from twistedp2p.disk.downloads import file_part

async def main(reactor, port, name, size, folder, owner):
    # All is done but that it reaches the file; and as if zeros had to be sent.
    Tree.is_zeros = lambda self, index: False
    download.RESERVE = -int(size)
    file_part.write_all = lambda descriptor, offset, data: None
    file_part.FilePart.make_room = lambda self, offset, length: None
    watch = Watch(reactor)
    await fetch_file(reactor, ("127.0.0.1", int(port)), (password, name), folder, owner)
    print(watch.told())

react(main, sys.argv[1:])
"""
)


class Idler(threading.Thread):
    """Does nothing, every 5 ms; `worst` is by how many seconds that came late at the most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst = 0.0
        self._enough = threading.Event()

    def run(self) -> None:
        """In the thread."""
        seen = time.perf_counter()
        while not self._enough.wait(EVERY):
            seen, before = time.perf_counter(), seen
            self.worst = max(self.worst, seen - before - EVERY)

    def end(self) -> None:
        """Measure no more."""
        self._enough.set()
        self.join()


def row(what: str, size: int, told: str) -> list[str]:
    """One stretch of work in the table."""
    seconds, cpu, grown, worst, computed = map(float, told.split())
    return [
        what,
        f"{seconds:.0f}",
        f"{size / MB / seconds:.0f}",
        f"{cpu * GIB / size:.2f}",
        f"{grown / (1 << 20):.1f}",
        f"{worst * 1000:.0f}",
        f"{computed * 1000:.0f}",
    ]


def measure(folder: Path, size: int) -> list[list[str]]:
    """Offer and get a sparse file of that size; the rows of the table."""
    path, port = folder / "nothing.img", str(free_port())
    with path.open("wb") as file:
        file.truncate(size)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, port, path], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    key, _, hashed = owner.stdout.readline().partition(" ")
    tell(f"read and hashed: {hashed.strip()}")
    got = run(sys.executable, "-c", CLIENT, port, path.name, str(size), folder, key)
    tell(f"got: {got.strip()}")
    owner.send_signal(signal.SIGUSR1)
    served = owner.stdout.readline()
    owner.terminate()
    owner.wait()
    return [
        row("read and hashed", size, hashed),
        row("served", size, served),
        row("got, checked and thrown away", size, got),
    ]


def main() -> int:
    """Measure, print, and append to a record where one is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse")
    parser.add_argument("--size", type=parse_size, default=100 * GIB, help="of the file (100GiB)")
    parser.add_argument("--directory", type=Path, default=Path(), help="for the sparse file (.)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the table to it")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    for kind in INTERRUPTS:
        signal.signal(kind, interrupt)
    with ExitStack() as stack:
        home = tempfile.TemporaryDirectory(dir=options.directory.resolve(), prefix="p2pshare-")
        folder = Path(stack.enter_context(home))
        stack.callback(stop_descendants)
        idler = Idler()
        idler.start()
        rows = measure(folder, options.size)
        idler.end()
    heads = [
        *(f"{options.size / GIB:.3g} GiB, sparse", "seconds", "MB/s", "CPU s/GiB"),
        *("MiB above idle", "longest stall, ms", "computed in one, ms"),
    ]
    now = datetime.datetime.now(datetime.timezone.utc)
    record = (
        f"## {now:%Y-%m-%d %H:%M} UTC\n\n{processor()}, {os.cpu_count()} cores, "
        f"load average {load:.2f} before the run; longest stall of a thread that does nothing: "
        f"{idler.worst * 1000:.0f} ms\n\n{table(heads, rows)}"
    )
    print(record)
    if options.record is not None:
        append_record(options.record, record, "sparse.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
