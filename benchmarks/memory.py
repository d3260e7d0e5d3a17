"""How much memory a node takes: for one large transfer, or for a large catalogue.

Two nodes run as a person runs them, `twistd -n p2pshare --menu plain`, on the loopback. One offers
a file, the other gets it; the peak of the resident set of each (VmHWM of /proc/PID/status, reset
when both are idle) is compared with what it was before. Linux only, for this reason.

    python -m benchmarks.memory                 # 1 GiB
    python -m benchmarks.memory --size 4GiB

With `--catalogue` one node holds the offers of many others, and another that knows nothing gets
them by SYNC. The owners then say that they are here (their beacons are sent by this program), and
the newcomer is asked for names, letter by letter. What counts is its peak.

    python -m benchmarks.memory --catalogue                 # 100,000 offers of 1,000 owners
    python -m benchmarks.memory --catalogue --owners 1
"""

from __future__ import annotations

import argparse
import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from benchmarks.processes import read_times
from benchmarks.search import Owner, names, owners
from tests.lan.nodes import free_port
from twistedp2p.core.datagrams.datagram import Signer, group_name
from twistedp2p.core.feeds.feed import Heads
from twistedp2p.core.presence.beacon import EVERY_MOST, Beacon
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.state.instance import claim

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30  # bytes
LIMIT = 48 * MIB  # above idle
START = 20.0  # seconds for a menu to appear
TRANSFER = 900.0  # seconds for reading a file, and for a transfer
CATALOGUE_LIMIT = 120 * MIB  # in all
BEACON_PAUSE = 0.025  # seconds: what a node takes of newcomers
LOOK = 0.5  # seconds between looks at how much has come
QUERIES = ("holiday beach 2", "xylophone", "zq", "@nick7 ete", "jpg e")
ANSWER = r"search to narrow it down|Nothing is on offer|\n +\d+ .*\n(?! +\d)"
SETTLE = 3.0  # seconds from the first words to the idle state
RUN = "from twisted.scripts.twistd import run; run()"


class Failed(Exception):
    """A node did not do what it was asked for."""


class BenchedNode:
    """A node at the end of two pipes; its output is gathered by a thread."""

    def __init__(self, name: str, folder: Path, where: list[str]) -> None:
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)
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

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        times = read_times(Path(f"/proc/{self.process.pid}/stat"))
        if times is None:
            raise Failed(f"{self._name} has ended")
        return times.cpu

    def forget_the_peak(self) -> None:
        """Begin a new VmHWM."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


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


def fill(state: Path, group: bytes, offers: int, owned: int) -> list[Owner]:
    """Make a state folder whose node knows that many offers; their owners."""
    instance = claim(state)
    store = Store(instance.database, Signer(instance.private_key, group).key)
    try:
        everybody = owners(store, owned, group)
        with store.together():
            for index, name in enumerate(names(offers)):
                owner = everybody[index % owned]
                entry, offer = owner.entry(index // owned + 1, name, index)
                owner.feed.heard_entries("offers", entry.number, entry.number)
                store.put_offer(entry, owner.feed, offer)
    finally:
        store.close()
        instance.release()
    return everybody


def say_here(everybody: list[Owner], group: str, port: int) -> None:
    """Send a beacon of each owner to the group, as if they were on this host."""
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for number, owner in enumerate(everybody):
            heads = Heads(offers=(1, owner.feed.have["offers"].head))
            beacon = Beacon(EVERY_MOST, 0, heads).write()
            message = owner.signer.sign("beacon", 1, 1, 1, f"nick{number}", beacon)
            sender.sendto(message.raw, (group, port + 1))
            time.sleep(BEACON_PAUSE)


def count_offers(node: BenchedNode) -> int:
    """How many offers a node remembers."""
    with closing(sqlite3.connect(f"file:{node.folder}/state/1/node.db?mode=ro", uri=True)) as db:
        found: int = db.execute("SELECT sum(live) FROM feeds").fetchone()[0] or 0
        return found


def measure_catalogue(offers: int, owned: int, folder: Path) -> bool:
    """Have a newcomer take in a catalogue and search it; whether it stayed within the limit."""
    group = f"239.{random.randrange(1, 255)}.{random.randrange(1, 255)}.1"
    port = free_port()
    where = ["--group", group, "--port", str(port), "--interface", "127.0.0.1"]
    (folder / "holder").mkdir()
    everybody = fill(folder / "holder/state", group_name(group, port), offers, owned)
    newcomer = BenchedNode("newcomer", folder, where)
    nodes = [newcomer]
    try:
        newcomer.expect(r"\? help", START)
        time.sleep(SETTLE)
        idle, cpu, begun = newcomer.memory("VmRSS"), newcomer.cpu_seconds(), time.monotonic()
        nodes.append(BenchedNode("holder", folder, where))
        newcomer.expect("holder is here", START)
        while count_offers(newcomer) < offers:
            if time.monotonic() - begun > TRANSFER:
                raise Failed(f"only {count_offers(newcomer)} offers came")
            time.sleep(LOOK)
        took, cpu = time.monotonic() - begun, newcomer.cpu_seconds() - cpu
        taken = newcomer.memory("VmHWM")
        say_here(everybody, group, port)
        for query in QUERIES:
            for end in range(1, len(query) + 1):
                newcomer.type("5", query[:end])
                newcomer.expect(ANSWER, START)
        searched = newcomer.memory("VmHWM")
    finally:
        for node in nodes:
            node.stop()
    print(f"{offers} offers of {owned} nodes: taken in within {took:.0f} s, {cpu:.1f} s of CPU")
    print("| idle, MiB | peak while they came | peak after searches |")
    print("| ---: | ---: | ---: |")
    print(f"| {idle / MIB:.1f} | {taken / MIB:.1f} | {searched / MIB:.1f} |")
    return searched <= CATALOGUE_LIMIT


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
    parser.add_argument("--catalogue", action="store_true", help="measure a catalogue instead")
    parser.add_argument("--offers", type=int, default=100_000, help="in it (default: 100000)")
    parser.add_argument("--owners", type=int, default=1000, help="of them (default: 1000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="p2pshare-memory-") as folder:
        try:
            if arguments.catalogue:
                limit, path = CATALOGUE_LIMIT, Path(folder).absolute()
                within = measure_catalogue(arguments.offers, arguments.owners, path)
            else:
                limit, within = LIMIT, measure(arguments.size, Path(folder).absolute())
        except Failed as failure:
            sys.exit(str(failure))
    if not within:
        sys.exit(f"More than {limit // MIB} MiB.")


if __name__ == "__main__":
    main()
