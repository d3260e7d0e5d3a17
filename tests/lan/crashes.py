"""A node that is killed (SIGKILL) at random moments of its work, and started again: what is left?

    python -m tests.lan.crashes --times 200 --seed 1

Two nodes on the loopback, each at the end of two pipes. In each round one of them, `victim`, does
some of five things at once, and is killed in the middle: it is starting, sends a file, receives
one, offers one, chats. It is started again, and must be who it was; the line that the other showed
and the offers that the group was told of must be there, the others' catalogue too; no file that is
not whole may stand under its name; what was being fetched must be got when it is asked for again;
and a file must be got from it. From the command to that last byte is what is timed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import attrs

from tests.lan.nodes import NodeProcess, free_port, twistd

MIB = 2**20  # bytes
BIG = 64 * MIB  # a fraction of a second on the loopback
BEFORE = 1.0  # seconds at most between the orders and the end
SOON = 2.0  # seconds from the start to a file that was served
LINES = 8  # said in a round
SLACK = 60.0  # seconds for what should come at once; the machine may be busy
ACTS = ("starting", "sending", "receiving", "offering", "chatting")
PASSWORD = "monpass"


@attrs.define
class Pair:
    """The node that is killed, and the one that watches."""

    folder: Path
    chance: random.Random
    big: int = BIG
    acts: Counter[str] = attrs.field(factory=Counter)
    took: list[float] = attrs.field(factory=list)
    offered: list[str] = attrs.field(factory=list)
    _group: str = ""
    _port: int = 0
    _ports: dict[str, int] = attrs.field(factory=dict)
    _whole: str = ""
    _identity: str = ""
    victim: NodeProcess = attrs.field(init=False)
    other: NodeProcess = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = ".".join(str(random.randrange(1, 255)) for _ in range(3))
        self._group, self._port = f"239.{parts}", free_port()
        self._ports = {"victim": free_port(), "other": free_port()}
        content = random.randbytes(self.big)
        self._whole = hashlib.sha256(content).hexdigest()
        for name in self._ports:
            (self.folder / name).mkdir()
            (self.folder / name / f"big-{name}").write_bytes(content)
        (self.folder / "victim" / "small").write_bytes(b"small")
        self.other = self._start("other")
        self.victim = self._start("victim")
        self._identity = self._who(self.victim)
        self._offer(self.other, "big-other")
        self.victim.expect("other offers big-other")
        for name in ("big-victim", "small"):
            self._offer(self.victim, name)

    def close(self) -> None:
        """End both."""
        self.victim.close()
        self.other.close()

    def round(self) -> None:
        """Have it work, kill it, start it again, and look; raises `AssertionError`."""
        acts = self.chance.sample(ACTS[1:], self.chance.randint(1, len(ACTS) - 1))
        if self.chance.random() < 0.1:
            acts = [ACTS[0]]
            self.victim.close()
            self.victim = self._start("victim", wait=False)
        seen = len(self.other.output)
        number = len(self.took)
        for act in acts:
            self._begin(act, number)
        time.sleep(self.chance.uniform(0, BEFORE))
        self.victim.process.kill()
        self.victim.process.wait()
        self.victim.skip()
        told = f"The group was told: new-{number}" in self.victim.output
        self.victim.close()
        self.acts.update(acts)
        self.other.skip()
        lines = re.findall(rf":> (line {number}\.\d+)\b", self.other.output[seen:])
        self._again(lines, [f"new-{number}"] if told else [], "receiving" in acts)

    def _begin(self, act: str, number: int) -> None:
        if act == "sending":
            self.other.type(f"2 {self._ticket('victim', 'big-victim')}")
        elif act == "receiving":
            self.victim.type(f"2 {self._ticket('other', 'big-other')}")
        elif act == "offering":
            path = self.folder / "victim" / f"new-{number}"
            path.write_bytes(b"new")
            self.victim.type(f"4 {path}", PASSWORD, "n")
        elif act == "chatting":
            self.victim.type(*(f"1 line {number}.{line}" for line in range(LINES)))

    def _again(self, lines: list[str], told: list[str], receiving: bool) -> None:
        began = time.monotonic()
        self.victim = self._start("victim")
        self._get(self.other, "victim", "small")
        self.took.append(time.monotonic() - began)
        assert self._who(self.victim) == self._identity, self.victim.story()
        self.victim.expect("other is here", SLACK)  # only who is here is in the catalogue
        self.victim.type("/last")
        self.victim.expect_all(*(re.escape(line) + r"\b" for line in lines))
        self.victim.type("5 big")
        self.victim.expect_all(r"big-other +— other", r"big-victim +— you")
        self.offered += told
        for name in told + self.chance.sample(self.offered, min(2, len(self.offered))):
            self._get(self.other, "victim", name)
        if receiving:
            self._get(self.victim, "other", "big-other")
        self._check_files()

    def _check_files(self) -> None:
        """Nothing stands under its name that is not whole; what was got goes."""
        for taker, giver in (("victim", "other"), ("other", "victim")):
            for path in (self.folder / taker).glob(f"big-{giver}*"):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                assert digest == self._whole, f"{path} is not what was sent"
                path.unlink()
        for path in (self.folder / "other").glob("new-*"):
            assert path.read_bytes() == b"new", path
            path.unlink()

    def _start(self, name: str, wait: bool = True) -> NodeProcess:
        options = ("--group", self._group, "--port", str(self._port), "--interface", "127.0.0.1")
        options += ("--file-port", str(self._ports[name]), "--nick", name, "--no-mdns")
        argv = twistd("-n", "p2pshare", "--menu", "plain", *options)
        node = NodeProcess(subprocess.Popen, argv, self.folder / name, name)
        if wait:
            node.expect(r"\? help >", SLACK)
        return node

    def _who(self, node: NodeProcess) -> str:
        return re.findall(r"\(((?:\w{4}-){3}\w{4})\) in the group", node.output)[0]

    def _offer(self, node: NodeProcess, name: str) -> None:
        node.type(f"4 {self.folder / node.name / name}", PASSWORD, "n")
        node.expect(f"The group was told: {name}", SLACK)
        node.expect("Its ticket: ")

    def _ticket(self, owner: str, name: str) -> str:
        return f'("127.0.0.1",{self._ports[owner]}),("{PASSWORD}","{name}")'

    def _get(self, taker: NodeProcess, owner: str, name: str) -> None:
        taker.skip()
        taker.type(f"2 {self._ticket(owner, name)}")
        taker.expect(rf"{re.escape(name)} is here, whole: ", SLACK)


def main() -> int:
    """Kill it so many times, and tell; 0 where everything was there each time."""
    parser = argparse.ArgumentParser(prog="python -m tests.lan.crashes", description=__doc__)
    parser.add_argument("--times", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="p2pshare-crashes-") as folder:
        pair = Pair(Path(folder), random.Random(options.seed))
        try:
            for _ in range(options.times):
                pair.round()
                print(f"{len(pair.took)}: {pair.took[-1]:.2f} s", flush=True)
        finally:
            pair.close()
    acts = ", ".join(f"{act} {pair.acts[act]}" for act in ACTS)
    late = sum(took > SOON for took in pair.took)
    times = sorted(pair.took)
    print(f"killed {len(times)} times ({acts}): everything was there each time.")
    print(
        f"from the start to a file served: median {times[len(times) // 2]:.2f} s,"
        f" longest {times[-1]:.2f} s, over {SOON:.0f} s: {late}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
