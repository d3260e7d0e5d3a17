"""One file to a whole room: real nodes in namespaces, with links as slow as asked for.

    python -m benchmarks.swarm
    python -m benchmarks.swarm --loss 2
    python -m benchmarks.swarm --receivers 30 --megabits 0 --alone
    python -m benchmarks.swarm --peers

All receivers begin to fetch one file of an owner at the same time. The ideal time is that in which
one link carries the file once. With `--alone` the same is done with `--no-swarm`, too: everybody
fetches from the owner. With `--peers` other programs bring the file to the same room. Where the
processors were busy most of the time, they and not the links were the limit, and that is said.

Needs root, iproute2 and iptables.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import attrs

from benchmarks.processes import PeerFailed
from benchmarks.swarm_peers import PEERS
from tests.lan.netns import Lan, command, why_no_namespaces

PASSWORD = "abacus abdomen abdominal"
PORT = 9393  # TCP
BUSY = 0.9  # of the processors' time, from which on they are said to be the limit
CHUNK = 2**20  # bytes
START = 60.0  # seconds for the nodes to start and the file to be read
SETTLE = 10.0  # seconds until all have greeted each other, which is not what is measured
NODE = """
import json, sys
from pathlib import Path
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineReceiver
from twistedp2p.core.ticket import parse_ticket
from twistedp2p.disk.state.instance import claim
from twistedp2p.node.config import Config
from twistedp2p.node.desk import Node
from twistedp2p.net.admission import Limits

def tell(**fields):
    print(json.dumps(fields), flush=True)

class Orders(LineReceiver):
    delimiter = b"\\n"

    def lineReceived(self, line):
        word, _, rest = line.decode().partition(" ")
        if word == "offer":
            path, _, password = rest.partition(" ")
            node.offer(path, password).addCallbacks(
                lambda offered: tell(offered=offered.offer.name), failed)
        else:
            node.get_ticket(parse_ticket(rest)).done.addCallbacks(
                lambda fetched: tell(fetched=fetched.path, seconds=fetched.seconds), failed)

    def connectionLost(self, reason):
        Deferred.fromCoroutine(node.stop()).addBoth(lambda _: reactor.stop())

def failed(failure):
    tell(failed=str(failure.value))

folder = Path(sys.argv[1])
limits = Limits(connections_rate=100, connections_burst=100, transfers_per_address=64)
node = Node(reactor, Config(nick=sys.argv[2], download_folder=folder, mdns=False,
                            swarm=sys.argv[3] == "swarm", limits=limits),
            claim(folder / "state"))
node.start()
stdio.StandardIO(Orders())
tell(ready=True)
reactor.run()
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.swarm", description="One file to a whole room."
    )
    parser.add_argument("--receivers", type=int, default=8, help="how many (8)")
    parser.add_argument("--mib", type=int, default=256, help="size of the file (256)")
    parser.add_argument("--megabits", type=float, default=100, help="of each link; 0: no limit")
    parser.add_argument("--loss", type=float, default=0, help="percent of what comes in (0)")
    parser.add_argument("--links", action="store_true", help="how busy each link was, by seconds")
    parser.add_argument("--alone", action="store_true", help="beside it, without the swarm")
    parser.add_argument("--peers", action="store_true", help="beside it, udpcast, UFTP, libtorrent")
    parser.add_argument("--directory", type=Path, default=None, help="where the files go")
    return parser.parse_args()


@attrs.frozen
class Member:
    """A node in its namespace."""

    process: subprocess.Popen[str]
    folder: Path

    def order(self, text: str) -> None:
        """Tell it to do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def told(self, word: str) -> dict[str, object]:
        """Wait for it to tell that; raises SystemExit where it tells a failure."""
        stdout: IO[str] | None = self.process.stdout
        assert stdout is not None
        for line in stdout:
            told: dict[str, object] = json.loads(line)
            if word in told:
                return told
            if "failed" in told:
                raise SystemExit(f"a get failed: {told['failed']}")
        raise SystemExit("a node has ended")


class Links:
    """How busy the links are, second by second."""

    def __init__(self, lan: Lan, megabits: float) -> None:
        self._lan = lan
        self._megabits = megabits or 1000.0
        self._over = threading.Event()
        self._rows: list[list[tuple[int, int]]] = []
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        next_at = time.monotonic()
        while not self._over.wait(max(0.0, next_at - time.monotonic())):
            shown = json.loads(command("ip", "-n", self._lan.bridge, "-s", "-json", "link", "show"))
            ports = {each["ifname"]: each["stats64"] for each in shown}
            names = [f"port{ns}" for ns in range(len(self._lan.names))]
            self._rows.append([(ports[n]["rx"]["bytes"], ports[n]["tx"]["bytes"]) for n in names])
            next_at += 1.0

    def stop(self) -> list[str]:
        """A line for each second: what each sent, and what each received, in percent."""
        self._over.set()
        self._thread.join()
        lines = []
        for second, (before, now) in enumerate(itertools.pairwise(self._rows), 1):
            both = [
                [f"{(b - a) * 8e-4 / self._megabits:4.0f}" for a, b in zip(*way, strict=True)]
                for way in (
                    ([row[0] for row in before], [row[0] for row in now]),
                    ([row[1] for row in before], [row[1] for row in now]),
                )
            ]
            lines.append(f"{second:4} s  sent{''.join(both[0])}  received{''.join(both[1])}")
        return lines


def busy() -> tuple[float, float]:
    """Seconds of processor time that were spent since the start, and that were to be had."""
    words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    ticks = os.sysconf("SC_CLK_TCK")
    return (sum(words) - words[3] - words[4]) / ticks, sum(words) / ticks


def shape(lan: Lan, options: argparse.Namespace) -> None:
    """Make the links as slow, and as lossy, as asked for."""
    for ns in range(len(lan.names)):
        if options.megabits:
            lan.rate(ns, options.megabits, inwards=True, whole=not options.loss)
        lan.loss(ns, options.loss / 100)


def run(options: argparse.Namespace, folder: Path, mode: str) -> None:
    """One run, printed."""
    size = options.mib * 2**20
    with Lan(options.receivers + 1) as lan:
        members = []
        for ns in range(options.receivers + 1):
            own = folder / mode / str(ns)
            own.mkdir(parents=True)
            argv = [sys.executable, "-c", NODE, str(own), f"n{ns}", mode]
            members.append(Member(lan.popen(ns, argv, stderr=None), own))
        for member in members:
            member.told("ready")
        owner, *receivers = members
        owner.order(f"offer {folder / 'big.bin'} {PASSWORD}")
        owner.told("offered")
        time.sleep(SETTLE)
        shape(lan, options)
        before, (spent, had) = lan.sent(0), busy()
        links = Links(lan, options.megabits) if options.links else None
        begun = time.monotonic()
        ticket = f'("{lan.address(0)}",{PORT}),("{PASSWORD}","big.bin")'
        for member in receivers:
            member.order(f"get {ticket}")
        seconds = sorted(float(str(member.told("fetched")["seconds"])) for member in receivers)
        took = time.monotonic() - begun
        spent_now, had_now = busy()
        copies = (lan.sent(0) - before) / size
        load = (spent_now - spent) / (had_now - had)
        if links is not None:
            print("\n".join(links.stop()))
        for member in receivers:
            assert (member.folder / "big.bin").stat().st_size == size
        ideal = size * 8 / 1e6 / options.megabits if options.megabits else None
        print(
            f"{mode}: {options.receivers} receivers, {options.mib} MiB, "
            f"{options.megabits:g} Mbit/s, loss {options.loss:g} %: last done after {took:.1f} s"
            + (f" = {took / ideal:.2f} of the ideal {ideal:.1f} s" if ideal else "")
            + f", first {seconds[0]:.1f} s; the owner sent {copies:.2f} copies; "
            f"processors {load:.0%} busy" + (" (they were the limit)" if load > BUSY else ""),
            flush=True,
        )
        for member in members:
            assert member.process.stdin is not None
            member.process.stdin.close()
        for member in members:
            member.process.wait(START)


def run_peers(options: argparse.Namespace, folder: Path) -> None:
    """What else brings a file to a room, on links of the same kind, printed."""
    size = options.mib * 2**20
    for name, (bring, there, install) in PEERS.items():
        if not there():
            print(f"{name}: not installed ({install})")
            continue
        own = folder / name
        own.mkdir()
        with Lan(options.receivers + 1, multicast_route=True) as lan:
            shape(lan, options)
            before, (spent, had) = lan.sent(0), busy()
            try:
                took = bring(lan, folder / "big.bin", own, options.megabits)
            except (PeerFailed, OSError, subprocess.TimeoutExpired) as error:
                print(f"{name}: failed: {error}")
                continue
            spent_now, had_now = busy()
            ideal = size * 8 / 1e6 / options.megabits if options.megabits else None
            print(
                f"{name}: last done after {took:.1f} s"
                + (f" = {took / ideal:.2f} of the ideal" if ideal else "")
                + f"; the owner sent {(lan.sent(0) - before) / size:.2f} copies; processors "
                f"{(spent_now - spent) / (had_now - had):.0%} busy",
                flush=True,
            )


def main() -> int:
    """Run it."""
    options = arguments()
    why = why_no_namespaces()
    if why:
        print(f"no namespaces here: {why}")
        return 1
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
        folder = Path(temporary)
        with open(folder / "big.bin", "wb") as file:
            for _ in range(options.mib):
                file.write(os.urandom(CHUNK))
        run(options, folder, "swarm")
        if options.alone:
            run(options, folder, "alone")
        if options.peers:
            run_peers(options, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
