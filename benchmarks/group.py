"""A whole group at its largest, on the real core: is anything lost, how soon is it everywhere.

    python -m benchmarks.group                          # 1,000 nodes, four losses; an hour or so
    python -m benchmarks.group --nodes 200 --loss 20    # a quick look
    python -m benchmarks.group --offers 100000 --loss   # the catalogue alone

Every node runs the program's own `core` on one simulated network (`tests/simulation.py` says what
of it is a model: the network, the store, the time that a SYNC takes; signatures are left out).
Time is the simulation's, so the figures do not depend on this machine. For each loss:

cold      all nodes start within a second, each with one line of an earlier run; until all have all
quiet     datagrams and bits a second of the whole group (IP and UDP headers too), nobody speaking
lines     so many lines, ten a second, of nodes at random; each until the last node has it
late      three more nodes start, one after the other; until each has all
healed    half the group is cut off from the other for 30 s while both speak; until all have all
doubled   a fifth of all datagrams comes twice and up to 50 ms late; nothing may be shown twice

and, without loss, `--offers` offers spread over all nodes, which start within a second; until all
have all, over SYNC.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.transfer import processor, table
from tests.simulation import Entry, Group, Node
from twistedp2p.core.feeds.feed import Feed

QUIET = 120.0  # seconds over which a quiet group is measured
SETTLING = 60.0  # seconds before that
PARTED = 30.0  # seconds of the partition
LATE = 3  # nodes that join later
PATIENCE = 120.0  # seconds until all should have all
EVERY = 0.1  # seconds between two lines


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.group",
        description="A simulated group on the real core: what is lost, and what it costs.",
    )
    parser.add_argument("--nodes", type=int, default=1000, help="how many (1000)")
    parser.add_argument(
        "--loss",
        type=float,
        nargs="*",
        default=[0, 5, 20, 40],
        help="percent of all datagrams, at each receiver; several, or none (0 5 20 40)",
    )
    parser.add_argument("--lines", type=int, default=100, help="said in all (100)")
    parser.add_argument("--offers", type=int, default=100_000, help="in all; 0: none (100000)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    parser.add_argument("--record", type=Path, help="append the tables to this file")
    return parser.parse_args()


class Measured:
    """The group under one loss, and its figures as they come."""

    def __init__(self, nodes: int, loss: float, seed: int) -> None:
        self.group = Group(nodes + LATE, seed)
        self.group.loss = loss / 100
        self.nodes = self.group.nodes[:nodes]
        self.said: list[Entry] = []

    def cold(self) -> float:
        """All start, each with a line of its own; seconds until all have all."""
        group = self.group
        for node in self.nodes:
            self.said.append(group.publish(node.index, "chat", 1))
            node.kept = {node.key: Feed.kept(node.key, 1, {"chat": [(1, 1)]})}
        group.start(count=len(self.nodes))
        return group.run_until(PATIENCE, lambda: group.now > 1 and group.complete())

    def quiet(self) -> tuple[float, float, int]:
        """Datagrams and kbit a second of the group, and how many were taken for gone."""
        group = self.group
        group.run_until(group.now + SETTLING)
        group.sent.clear()
        carried, gone, since = group.bytes, group.departures, group.now
        group.run_until(since + QUIET)
        kbits = (group.bytes - carried) * 8 / 1000
        return sum(group.sent.values()) / QUIET, kbits / QUIET, group.departures - gone

    def lines(self, count: int) -> list[Entry]:
        """So many lines, and time for them to be everywhere."""
        group, said = self.group, []
        for _ in range(count):
            said.append(group.random.choice(self.running()).say())
            group.run_until(group.now + EVERY)
        group.run_until(group.now + PATIENCE, lambda: self.lacking(said) == 0)
        self.said += said
        return said

    def running(self) -> list[Node]:
        """Those that are here."""
        return [node for node in self.group.nodes if node.running]

    def lacking(self, said: Sequence[Entry]) -> int:
        """How many lines are lacking at how many nodes, in all."""
        here = self.running()
        return sum(len(here) - 1 - min(len(here) - 1, len(entry.waits)) for entry in said)

    def late(self) -> list[float]:
        """Seconds that each newcomer takes to have all."""
        group, waits = self.group, []
        for node in group.nodes[len(self.nodes) :]:
            since = group.now
            node.start()
            group.run_until(since + PATIENCE, group.complete)
            waits.append(group.now - since)
            group.run_until(group.now + 5)
        return waits

    def healed(self) -> float:
        """Seconds after a partition until all have all."""
        group = self.group
        group.sides = [node.index % 2 for node in group.nodes]
        said = []
        for _ in range(int(PARTED)):
            said.append(group.random.choice(self.running()).say())
            group.run_until(group.now + 1)
        group.sides = None
        since = group.now
        group.run_until(since + PATIENCE, lambda: self.lacking(said) == 0)
        self.said += said
        return group.now - since

    def doubled(self, count: int) -> list[Entry]:
        """Lines while datagrams are doubled and late; the simulation fails on one shown twice."""
        self.group.twice, self.group.delay = 0.2, (0.001, 0.05)
        return self.lines(count)


def part(sorted_waits: Sequence[float], of: float) -> float:
    """The value under which that part of all is."""
    return sorted_waits[min(len(sorted_waits) - 1, int(of * len(sorted_waits)))]


def measure(options: argparse.Namespace, loss: float) -> list[str]:
    """One row of the table."""
    measured = Measured(options.nodes, loss, options.seed)
    cold = measured.cold()
    datagrams, kbits, gone = measured.quiet()
    said = measured.lines(options.lines)
    waits = sorted(max(entry.waits) for entry in said)
    late, healed = measured.late(), measured.healed()
    doubled = measured.doubled(max(10, options.lines // 5))
    lost = measured.lacking(said) + measured.lacking(doubled)
    reached = 1 - lost / ((len(said) + len(doubled)) * (options.nodes - 1))
    return [
        f"{loss:g} %",
        f"{100 * reached:g} %",
        f"{statistics.median(waits):.2f} / {part(waits, 0.99):.2f} / {waits[-1]:.2f}",
        f"{cold:.1f}",
        f"{min(late):.1f} to {max(late):.1f}",
        f"{healed:.1f}",
        f"{datagrams:.1f} / {kbits:.0f}",
        f"{gone}",
    ]


def catalogue(nodes: int, offers: int, seed: int) -> list[str]:
    """Offers spread over all nodes, from a cold start: the row of the other table."""
    group = Group(nodes, seed)
    group.track = False
    each = offers // nodes
    for node in group.nodes:
        for number in range(1, each + 1):
            group.publish(node.index, "offers", number)
        node.kept = {node.key: Feed.kept(node.key, 1, {"offers": [(1, each)]})}
    group.start()
    took = group.run_until(PATIENCE, lambda: group.now > 2 and group.complete())
    connections = [node.connections for node in group.nodes]
    return [
        f"{each * nodes:,}",
        "all" if group.complete() else "not all",
        f"{took:.1f}",
        f"{statistics.mean(connections):.1f} / {max(connections)}",
        f"{statistics.mean(node.told for node in group.nodes) / (each * nodes):.2f}",
    ]


HEADS = (
    "loss",
    "delivered",
    "on all nodes, s: median / p99 / worst",
    "cold start, s",
    "late joiner, s",
    "healed, s",
    "quiet: datagrams/s / kbit/s",
    "taken for gone",
)


def main() -> None:
    """Measure, print, and record."""
    options = arguments()
    gc.disable()  # what one group makes is all in use until its end
    started = time.monotonic()
    text = [
        f"## {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "",
        f"- {options.nodes} nodes, {options.lines} lines, seed {options.seed},"
        f" Python {platform.python_version()}, {processor()}",
        "",
    ]
    print("\n".join(text), flush=True)
    rows = []
    for loss in options.loss:
        rows.append(measure(options, loss))
        print(" | ".join(rows[-1]), f"({time.monotonic() - started:.0f} s so far)", flush=True)
        gc.collect()
    if rows:
        text.append(table(HEADS, rows))
    if options.offers:
        heads = ("offers", "on every node", "after, s", "connections a node: mean / most",
                 "each came, times")  # fmt: skip
        text.append(table(heads, [catalogue(options.nodes, options.offers, options.seed)]))
    text.append(f"It took {time.monotonic() - started:.0f} s of this machine.")
    print("\n".join(text), flush=True)
    if options.record:
        with options.record.open("a") as record:
            record.write("\n" + "\n".join(text) + "\n")


if __name__ == "__main__":
    main()
