"""Two nodes that talk while a third host floods the group: what becomes of lines, memory, CPU.

Each is a process in a namespace of its own, on one bridge; for root alone, on Linux.

    python -m benchmarks.flood                    # all kinds of floods, 10 s each
    python -m benchmarks.flood --kind strangers --seconds 30
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from pathlib import Path

from benchmarks.processes import read_times
from benchmarks.transfer import processor, table
from tests.lan.crowd import Crowd, Member
from tests.lan.flood import KINDS, flood, mixed
from tests.lan.netns import Lan

EVERY = 0.5  # seconds between lines
AFTER = 5.0  # seconds of talk after the flood
PATIENCE = 10.0  # seconds for the last lines to come
HEADS = ("flood", "datagrams/s", "memory before, MiB", "most above", "CPU", "lines shown",
         "slowest in the flood, s", "slowest after, s")  # fmt: skip


def memory(member: Member, what: str = "VmRSS") -> float:
    """The resident set of a node's process, MiB."""
    assert member.process is not None
    status = Path(f"/proc/{member.process.pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def cpu(member: Member) -> float:
    """The CPU seconds of a node's process."""
    assert member.process is not None
    times = read_times(Path(f"/proc/{member.process.pid}/stat"))
    assert times is not None
    return times.cpu


def measure(kind: str, seconds: float, folder: Path) -> list[str]:
    """One flood; its row of the table."""
    datagrams = list({**KINDS, "mixed": mixed}[kind](random.Random(1)))
    with Lan(3) as lan:
        crowd = Crowd(lan, folder, 2)
        crowd.start(0, 1)
        if not crowd.meet():
            raise SystemExit("the nodes did not meet")
        crowd.listen(5)
        before = memory(crowd.members[1])
        flooding = flood(lan, 2, folder, datagrams, seconds)
        begun, spent = time.monotonic(), cpu(crowd.members[1])
        lines = talk(crowd, "during", seconds)
        spent = (cpu(crowd.members[1]) - spent) / (time.monotonic() - begun)
        rate = sum(float(process.communicate()[0]) for process in flooding)
        lines += talk(crowd, "after", AFTER)
        other = crowd.members[1]
        crowd.wait(lambda: all(other.shown[text] for text in crowd.said), PATIENCE)
        above = memory(other, "VmHWM") - before
        crowd.stop()
    shown = sum(1 for text in crowd.said if other.shown[text])
    return [kind, f"{rate:.0f}", f"{before:.0f}", f"{above:+.1f}", f"{spent:.0%}",
            f"{shown} of {lines}", slowest(crowd, "during"), slowest(crowd, "after")]  # fmt: skip


def talk(crowd: Crowd, word: str, seconds: float) -> int:
    """Have the first node say a line now and then; how many."""
    begun = time.monotonic()
    lines = 0
    while time.monotonic() - begun < seconds:
        crowd.say(0, f"{word} {lines}")
        lines += 1
        crowd.listen(begun + lines * EVERY - time.monotonic())
    return lines


def slowest(crowd: Crowd, word: str) -> str:
    """The longest that the other node waited for a line."""
    first = crowd.members[1].first
    delays = [first[text] - at for text, at in crowd.said.items() if text.startswith(word)
              and text in first]  # fmt: skip
    return f"{max(delays, default=float('nan')):.2f}"


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", choices=[*KINDS, "mixed"], action="append", help="(all)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flood (10)")
    arguments = parser.parse_args()
    rows = []
    for kind in arguments.kind or [*KINDS, "mixed"]:
        with tempfile.TemporaryDirectory(prefix="p2pshare-flood-") as folder:
            rows.append(measure(kind, arguments.seconds, Path(folder)))
    print(f"{processor()}\n")
    print(table(HEADS, rows))


if __name__ == "__main__":
    main()
