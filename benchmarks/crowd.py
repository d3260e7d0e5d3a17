"""Nothing is lost: real nodes on a lossy LAN of namespaces, and how long each line took to each.

    python -m benchmarks.crowd --loss 20
    python -m benchmarks.crowd --loss 40 --kill --late --part 30

Each of `--nodes` nodes drops `--loss` percent of what comes in. `--lines` lines are said, ten a
second, by all of them. With `--kill` one node is killed after a third of the lines and restarted
two seconds later; with `--late` one joins after half of them; with `--part` half the nodes are cut
off from the others for so many seconds. Every line must be shown once by every node.

Needs root, iproute2 and iptables.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.lan.crowd import Crowd
from tests.lan.netns import Lan, why_no_namespaces

EVERY = 0.1  # seconds between two lines
PATIENCE = 60.0  # seconds after the last line
DOWN = 20  # lines that are said while the killed node is down


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crowd",
        description="Real nodes on a lossy LAN: every line is to be shown once by every node.",
    )
    parser.add_argument("--nodes", type=int, default=10, help="how many (10)")
    parser.add_argument("--lines", type=int, default=500, help="said in all (500)")
    parser.add_argument("--loss", type=float, default=20, help="percent of what comes in (20)")
    parser.add_argument("--kill", action="store_true", help="kill and restart a node meanwhile")
    parser.add_argument("--late", action="store_true", help="one node joins meanwhile")
    parser.add_argument("--part", type=float, default=0, help="seconds of a partition (0)")
    parser.add_argument("--seed", type=int, default=1, help="who says what (1)")
    return parser.parse_args()


def plan(options: argparse.Namespace, crowd: Crowd) -> dict[int, Callable[[], object]]:
    """What happens before the line of which number."""
    events: dict[int, Callable[[], object]] = {}
    half = range(options.nodes // 2)
    if options.kill:
        events[options.lines // 3] = lambda: crowd.kill(1)
        events[options.lines // 3 + DOWN] = lambda: crowd.start(1)
    if options.late:
        events[options.lines // 2] = lambda: crowd.start(options.nodes - 1)
    if options.part:
        begin = options.lines // 4
        events[begin] = lambda: crowd.part(*half)
        events[begin + round(options.part / EVERY)] = lambda: crowd.heal(*half)
    return events


def measure(options: argparse.Namespace, crowd: Crowd) -> bool:
    """Start, talk, wait, and print what came of it; whether all came once."""
    crowd.start(*range(options.nodes - int(options.late)))
    if not crowd.meet():
        print("the nodes did not find each other", flush=True)
        return False
    crowd.talk(options.lines, EVERY, options.seed, plan(options, crowd))
    last = time.monotonic()
    whole = crowd.wait(lambda: not any(crowd.missing()), PATIENCE)
    settled = time.monotonic() - last
    crowd.listen(2.0)  # for what would be shown twice
    delays = crowd.delays()
    told = [f"p{part:g} {delays[int(part / 100 * len(delays)) - 1]:.2f} s" for part in (50, 90, 99)]
    print(
        f"{options.nodes} nodes, {options.lines} lines, loss {options.loss:g} %: "
        f"{'all shown' if whole else f'{len(list(crowd.missing()))} NOT SHOWN'}"
        f", {len(crowd.twice())} shown twice; {', '.join(told)}, worst {delays[-1]:.2f} s"
        f"; the last {settled:.1f} s after the last line",
        flush=True,
    )
    crowd.stop()
    return whole and not crowd.twice()


def main() -> int:
    """0 when every node has shown every line once."""
    options = arguments()
    lack = why_no_namespaces()
    if lack is not None:
        print(lack, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, Lan(options.nodes) as lan:
        for number in range(options.nodes):
            lan.loss(number, options.loss / 100)
        return 0 if measure(options, Crowd(lan, Path(folder), options.nodes)) else 1


if __name__ == "__main__":
    sys.exit(main())
