"""How much memory the two ends of one large transfer take above what they take when idle.

Two nodes run as a person runs them, `twistd -n p2pshare --menu plain`, on the loopback. One offers
a file, the other gets it; the peak of the resident set of each (VmHWM of /proc/PID/status, reset
when both are idle) is compared with what it was before. Linux only, for this reason.

    python -m benchmarks.memory                 # 1 GiB
    python -m benchmarks.memory --size 4GiB
"""

from __future__ import annotations

import argparse
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30  # bytes
LIMIT = 48 * MIB  # above idle
START = 20.0  # seconds for a menu to appear
TRANSFER = 900.0  # seconds for reading a file, and for a transfer
SETTLE = 3.0  # seconds from the first words to the idle state
RUN = "from twisted.scripts.twistd import run; run()"


class Failed(Exception):
    """A node did not do what it was asked for."""


class BenchedNode:
    """A node at the end of two pipes; its output is gathered by a thread."""

    def __init__(self, name: str, folder: Path, where: list[str]) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self._name = name
        self._output = ""
        self._at = 0
        self._came = threading.Condition()
        options = ["-n", "p2pshare", "--menu", "plain", "--nick", name, *where]
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *options, "--state-dir", str(self.folder / "state")],
            cwd=self.folder,
            env={**os.environ, "LANGUAGE": "en"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        threading.Thread(target=self._gather, daemon=True).start()

    def _gather(self) -> None:
        assert self.process.stdout is not None
        while data := self.process.stdout.read(65536):
            with self._came:
                self._output += data.decode(errors="replace")
                self._came.notify()

    def type(self, *lines: str) -> None:
        """Give it these lines."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())

    def expect(self, pattern: str, within: float) -> re.Match[str]:
        """Wait for a regular expression in what it shows."""
        deadline = time.monotonic() + within
        with self._came:
            while True:
                match = re.compile(pattern).search(self._output, self._at)
                if match is not None:
                    self._at = match.end()
                    return match
                if not self._came.wait(max(0.0, deadline - time.monotonic())):
                    raise Failed(f"{self._name} did not show {pattern!r} but:\n{self._output}")

    def memory(self, what: str) -> int:
        """VmRSS or VmHWM, bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        if found is None:
            raise Failed(f"no {what} in /proc")
        return int(found[1]) * KIB

    def forget_the_peak(self) -> None:
        """Begin a new VmHWM."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def free_port() -> int:
    """A UDP port that is free with the next one."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket() as other:
            try:
                one.bind(("", port))
                other.bind(("", port + 1))
            except OSError:
                continue
        return port


def make_file(path: Path, size: int) -> None:
    """A file of `size` bytes that is really on the disk, and differs from MiB to MiB."""
    block = bytearray(os.urandom(MIB))
    with open(path, "wb") as file:
        for at in range(0, size, MIB):
            block[:8] = at.to_bytes(8, "big")
            file.write(memoryview(block)[: min(MIB, size - at)])


def measure(size: int, folder: Path) -> bool:
    """Run one transfer and print what it took; whether both ends stayed within `LIMIT`."""
    group = f"239.{random.randrange(1, 255)}.{random.randrange(1, 255)}.1"
    where = ["--group", group, "--port", str(free_port()), "--interface", "127.0.0.1"]
    make_file(folder / "big.bin", size)
    nodes = {name: BenchedNode(name, folder, where) for name in ("owner", "other")}
    owner, other = nodes.values()
    try:
        owner.expect("other is here", START)
        other.expect("owner is here", START)
        time.sleep(SETTLE)
        idle = {name: node.memory("VmRSS") for name, node in nodes.items()}
        for node in nodes.values():
            node.forget_the_peak()
        owner.type("4", str(folder / "big.bin"), "monpass", "n")
        owner.expect("The group was told", TRANSFER)
        reading = {name: node.memory("VmHWM") for name, node in nodes.items()}
        other.expect("owner offers", START)
        other.type("2", "big.bin", "monpass")
        rate = other.expect(r"big\.bin is here, whole: .*\((.*)\)", TRANSFER)[1]
        peak = {name: node.memory("VmHWM") for name, node in nodes.items()}
    finally:
        for node in nodes.values():
            node.stop()
    print(f"{size / GIB:.2f} GiB: {rate}")
    print("| end | idle, MiB | reading the file, above idle | transfer, above idle |")
    print("| --- | ---: | ---: | ---: |")
    for name in nodes:
        above = [(each[name] - idle[name]) / MIB for each in (reading, peak)]
        print(f"| {name} | {idle[name] / MIB:.1f} | {above[0]:+.1f} | {above[1]:+.1f} |")
    return all(peak[name] - idle[name] <= LIMIT for name in nodes)


def size_of(text: str) -> int:
    """A size as people write it: ``64MiB``, ``4GiB``."""
    match = re.fullmatch(r"(\d+)(MiB|GiB)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is not like 64MiB or 4GiB")
    return int(match[1]) * {"MiB": MIB, "GiB": GIB}[match[2]]


def main() -> None:
    """Measure as the command line says; exit code 1 where an end took more than the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=size_of, default=GIB, help="of the file (default: 1GiB)")
    parser.add_argument("--directory", default=".", help="a disk with twice the size free")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="p2pshare-memory-") as folder:
        try:
            within = measure(arguments.size, Path(folder).absolute())
        except Failed as failure:
            sys.exit(str(failure))
    if not within:
        sys.exit(f"More than {LIMIT // MIB} MiB above idle.")


if __name__ == "__main__":
    main()
