"""What programs that follow a node's events, and never read them, cost the node and the others.

A node runs as a person runs it, on the loopback, without a menu. So many programs ask for its
events and never read a byte; a few others read. Something is said so many times a second. What
counts: how late the events come to those who read, and how much the resident set of the node grows
from the first seconds to its peak (VmRSS and VmHWM of /proc/PID/status: Linux only).

    python -m benchmarks.listeners                          # 20 that never read, 200/s, a minute
    python -m benchmarks.listeners --deaf 0 --seconds 10
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

from twistedp2p.disk.state.socket_path import find_socket

RUN = "from twisted.scripts.twistd import run; run()"
START = 20.0  # seconds for the socket to be there
WARM = 3.0  # seconds until the memory is looked at first
LATE = 1.0  # seconds
LIMIT = 8 << 20  # bytes of growth: the 4 MiB of events that are kept, and what says them
READERS = 3
EVENTS = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Connection(HTTPConnection):
    """HTTP over the node's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=START)
        self._path = path

    def connect(self) -> None:
        """Called by `http.client`."""
        self.sock = called(self._path)


def called(path: Path) -> socket.socket:
    """A connection to a unix socket."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(START)
    made.connect(str(path))
    return made


class Reader(threading.Thread):
    """One who reads all events, and notes how late each was."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.delays: list[float] = []  # seconds
        self._socket = called(path)
        self._socket.sendall(EVENTS)

    def run(self) -> None:
        """Read until the end."""
        for line in self._socket.makefile("rb"):
            if line.startswith(b"data: ") and b'"said at ' in line:
                said = float(json.loads(line[6:])["text"].split()[2])
                self.delays.append(time.monotonic() - said)


def main() -> int:
    """Run it; 1 where memory grew, or an event was late or lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--deaf", type=int, default=20, help="programs that never read")
    parser.add_argument("--rate", type=int, default=200, help="events a second")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="p2pshare-")))
        process = stack.enter_context(started(folder))
        stack.callback(process.terminate)
        path = socket_of(folder)
        readers = [Reader(path) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        deaf = [stack.enter_context(called(path)) for _ in range(options.deaf)]
        for each in deaf:
            each.sendall(EVENTS)
        before, said = talk(path, process.pid, options.rate, options.seconds)
        after = memory(process.pid, "VmHWM")
        cut = sum(was_cut(each) for each in deaf)
    return told(readers, said, options.seconds, cut, len(deaf), before, after)


def told(
    readers: list[Reader], said: int, seconds: int, cut: int, deaf: int, before: int, after: int
) -> int:
    """Print what was measured; whether it is well, as an exit code."""
    delays = sorted(delay for reader in readers for delay in reader.delays)
    lost = READERS * said - len(delays)
    print(f"said: {said} ({said / seconds:.0f}/s); of {deaf} that never read, {cut} were cut")
    print(
        f"{READERS} readers: {lost} events lost; late by {1000 * statistics.median(delays):.1f} ms "
        f"(median), {1000 * delays[len(delays) * 99 // 100]:.1f} ms (99 %), "
        f"{1000 * delays[-1]:.1f} ms (most)"
    )
    print(f"memory: {before / 2**20:.1f} MiB, at most {after / 2**20:.1f} MiB")
    return int(lost > 0 or delays[-1] > LATE or after - before > LIMIT)


def started(folder: Path) -> subprocess.Popen[bytes]:
    """The node."""
    port = str(20_000 + os.getpid() % 9_000)
    group = f"239.{os.getpid() % 250}.9.9"
    arguments = ["-n", "p2pshare", "--menu", "never", "--interface", "127.0.0.1", "--no-mdns"]
    arguments += ["--group", group, "--port", port, "--state-dir", str(folder)]
    arguments += ["--download-dir", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def socket_of(folder: Path) -> Path:
    """Where it listens, when it does."""
    until = time.monotonic() + START
    while time.monotonic() < until:
        path = find_socket(os.environ, state_folder=folder)
        if path.is_socket():
            return path
        time.sleep(0.1)
    raise SystemExit("the node did not start")


def talk(path: Path, pid: int, rate: int, seconds: int) -> tuple[int, int]:
    """Say something so often; the memory of the node after a while, and how much was said."""
    connection = Connection(path)
    before, begun = 0, time.monotonic()
    for number in range(rate * seconds):
        at = begun + number / rate
        time.sleep(max(0.0, at - time.monotonic()))
        body = json.dumps({"text": f"said at {time.monotonic():.6f} {number}"})
        connection.request("POST", "/api/v1/messages", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        if not before and number > WARM * rate:
            before = memory(pid, "VmRSS")
    time.sleep(LATE)
    return before, rate * seconds


def was_cut(deaf: socket.socket) -> bool:
    """Whether the node has ended that connection: read what is there, to its end."""
    deaf.settimeout(0.2)
    try:
        while deaf.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def memory(pid: int, which: str) -> int:
    """A size of a process, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{which}:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    sys.exit(main())
