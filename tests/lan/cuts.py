"""Downloads that are cut at random moments, by all that cuts one: does each end whole?

    python -m tests.lan.cuts --times 200 --seed 1

Three nodes in namespaces. `owner` offers a file and a folder of many files; `receiver`, and in half
of the downloads `holder` at the same time, fetch one of them over links so slow that there is a
middle. There the download is cut, once or twice: a node is killed (SIGKILL) and started again, its
disk spoilt meanwhile as by a power cut, a link goes down for a while, connections are reset, the
receiver's disk is full, or the owner's file is changed, which must be told and leave no wrong file.
In the end what was fetched must stand there and be equal. What the receiver is sent of the content
is counted: after a cut, one piece of each source may come again; and what was here but not on the
disk, where that is full or the receiver is killed. Of two sources that is told, but not judged:
what both are asked for at the end, or when one comes back, comes twice as well.

Needs root, iproute2 and iptables.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
from blake3 import blake3

from tests.lan.netns import Lan, command, why_no_namespaces
from tests.lan.nodes import NodeProcess, twistd, until
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.net.fetch import BATCH
from twistedp2p.net.pump import MOST_FULL

MIB = 2**20  # bytes
SIZE = 48 * MIB  # of the file; about that of the folder
FILES = 800  # of the folder
MEGABITS = 200  # a second, of each link: the file takes 2 s
LEFT_FREE = 256 * MIB  # bytes: by every download
PATIENCE = 90.0  # seconds until what was cut has come: after a while it is tried ever more rarely
DOWN_MOST = 20.0  # seconds for which a link is down
RESET = 0.5  # seconds in which every segment is answered by RST
AWAY_MOST = 3.0  # seconds until who was killed starts again
PORT = 9393  # TCP
PASSWORD = "monpass"
OWNER, RECEIVER, HOLDER = NAMES = ("owner", "receiver", "holder")  # in namespaces 0, 1, 2
CUTS = (
    *("owner killed", "receiver killed", "power cut", "link down", "reset"),
    *("disk full", "changed"),
)
CUTS_IN_COMPANY = ("holder killed", *CUTS)
SPOILT = 3  # blocks of what had come that are spoilt by a power cut
BLOCK = 4096  # bytes
LOSING = ("receiver killed", "power cut", "disk full")
UNWRITTEN = MOST_FULL * BATCH  # bytes that a node may hold when that happens, on a busy machine
# Notes how many bytes of content come, in a file that outlives a node that is killed.
COUNTING = """
import os
from twistedp2p.node.downloads.gather import Source
came, notes = Source.came, os.open("came", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
def note(self, size):
    os.write(notes, b"%d\\n" % size)
    came(self, size)
Source.came = note
"""


@attrs.frozen
class Cost:
    """What one download took."""

    what: str
    cuts: tuple[str, ...]
    sources: int
    seconds: float
    again: int  # bytes that the receiver was sent more than once

    @property
    def pieces(self) -> int:
        """Bytes of a piece for each source and cut, and of those that were spoilt."""
        pieces = len(self.cuts) * self.sources + SPOILT * self.cuts.count("power cut")
        return pieces * PIECE_LEAST

    @property
    def most(self) -> int:
        """Bytes that may be sent again."""
        return self.pieces + UNWRITTEN * sum(cut in LOSING for cut in self.cuts)

    def __str__(self) -> str:
        cuts = ", ".join(self.cuts) or "not cut"
        return (
            f"{self.what} of {self.sources}, {cuts}: {self.seconds:.1f} s,"
            f" {self.again / MIB:.2f} MiB again"
        )


class Room:
    """The three nodes, and what happens to them."""

    def __init__(
        self,
        folder: Path,
        chance: random.Random,
        size: int = SIZE,
        down: float = DOWN_MOST,
        slow: float = MEGABITS,
    ) -> None:
        """
        :param folder: an empty one.
        :param size: of the file, in bytes.
        :param down: seconds at most, of a link.
        :param slow: megabits a second of each link, until all cuts of a download are done.
        """
        self._folder = folder
        self._chance = chance
        self._size = size
        self._down = down
        self._slow = slow
        self._nodes: dict[str, NodeProcess] = {}
        self._asked: dict[str, int] = {}  # where in its output a node was told to get something
        self._content: dict[str, dict[str, str]] = {}  # digests of files, by what is offered
        self._lan = Lan(len(NAMES), ipv6=False)
        self._disk = self._place(RECEIVER)
        self._disk.mkdir(parents=True)
        room = f"size={LEFT_FREE + 2 * size}"
        command("mount", "-t", "tmpfs", "-o", room, "tmpfs", str(self._disk))
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        for name in NAMES:
            self._place(name).mkdir(parents=True, exist_ok=True)
            self._start(name)
        for what in ("file", "folder"):
            self._offer(what)

    def close(self) -> None:
        """End all."""
        for node in self._nodes.values():
            node.close()
        self._lan.close()
        command("umount", "-l", str(self._disk))

    # -- one download

    def download(self, what: str, cuts: Iterable[str], company: bool) -> Cost:
        """Fetch "file" or "folder", cut it so, and look; raises `AssertionError`.

        :param company: the holder fetches it at the same time, so that there are two sources.
        """
        takers = (RECEIVER, HOLDER) if company else (RECEIVER,)
        self._rate(self._slow)
        before, began = self._came(), time.monotonic()
        for name in takers:
            self._get(name, what)
        done = tuple(cut for cut in cuts if self._is_cut(cut, what, takers))
        self._rate(MEGABITS)
        for name in takers:
            self._ends(name, what)
        seconds = time.monotonic() - began
        size = sum(path.stat().st_size for path in _files(self._there(RECEIVER, what)))
        cost = Cost(what, done, len(takers), seconds, self._came() - before - size)
        for name in takers:
            self._check(name, what)
        if "changed" not in done and not company:
            assert cost.again <= cost.most, f"{cost}\n{self._stories()}"
        return cost

    def _rate(self, megabits: float) -> None:
        for ns in range(len(NAMES)):
            self._lan.rate(ns, megabits)

    def _is_cut(self, cut: str, what: str, takers: tuple[str, ...]) -> bool:
        """Wait for a moment in the middle, and cut; False where it has come by then."""
        part = self._chance.uniform(0.02, 0.9) * self._size
        for name in takers:
            least = part if name == RECEIVER else 1
            until(lambda n=name, b=least: self._has(n, what) >= b, f"it comes to {name}", PATIENCE)
        if self._is_there(RECEIVER, what):
            return False
        where = self._chance.choice((OWNER, *takers))
        if cut.endswith("killed"):
            self._kill(cut.split()[0], what, takers)
        elif cut == "power cut":
            self._kill(RECEIVER, what, takers, self._spoil)
        elif cut == "link down":
            self._lan.down(NAMES.index(where))
            time.sleep(self._chance.uniform(1.0, self._down))
            self._lan.up(NAMES.index(where))
        elif cut == "reset":
            self._reset(NAMES.index(where))
        elif cut == "disk full":
            self._fill_disk(what)
        else:
            self._change(what, takers)
        return True

    def _has(self, name: str, what: str) -> int:
        """Bytes of the disk that it has written; more than all of them once it is there."""
        if self._is_there(name, what):
            return 2 * self._size
        with contextlib.suppress(OSError):  # a folder gets its name meanwhile
            parts = self._place(name).glob(".*.part")
            return sum(path.stat().st_blocks * 512 for part in parts for path in _files(part))
        return 0

    def _kill(
        self,
        name: str,
        what: str,
        takers: tuple[str, ...],
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self._nodes[name].process.kill()
        self._nodes[name].process.wait()
        self._nodes[name].close()
        meanwhile()
        time.sleep(self._chance.uniform(0, AWAY_MOST))
        self._start(name)
        if name in takers and not self._is_there(name, what):
            self._get(name, what)

    def _spoil(self) -> None:
        """Some of what had come to the receiver was never written, and something else was."""
        parts = self._disk.glob(".*.part")
        written = [path for part in parts for path in _files(part) if path.stat().st_size]
        for number in range(SPOILT if written else 0):
            with open(self._chance.choice(written), "r+b") as file:
                file.seek(self._chance.randrange(os.fstat(file.fileno()).st_size))
                file.write(self._chance.randbytes(1) if number else bytes(BLOCK))

    def _reset(self, ns: int) -> None:
        rules = [
            f"{chain} -p tcp -j REJECT --reject-with tcp-reset" for chain in ("INPUT", "OUTPUT")
        ]
        for rule in rules:
            self._lan.firewall(ns, *f"-I {rule}".split())
        time.sleep(self._chance.uniform(0, RESET))
        for rule in rules:
            self._lan.firewall(ns, *f"-D {rule}".split())

    def _fill_disk(self, what: str) -> None:
        ballast = self._disk / "ballast"
        with open(ballast, "wb") as file, contextlib.suppress(OSError):
            while True:  # little at a time, for the receiver waits meanwhile
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, MIB)
        told = self._told(RECEIVER, what)
        ballast.unlink()
        if told:
            # The second where a get that goes on had not begun to write.
            right = "The disk is full" in told or "not enough room" in told
            assert right, f"{told}\n{self._stories()}"
            self._get(RECEIVER, what)

    def _change(self, what: str, takers: tuple[str, ...]) -> None:
        """It is offered anew, once all have been told."""
        self._make(what)
        for name in takers:
            told = self._told(name, what)
            if told:
                right = "changed" in told or "no such file" in told
                assert right, f"{told}\n{self._stories()}"
            else:
                self._check(name, what)  # it came before
        for name in takers:  # what came of the one before is of no use
            command("sh", "-c", f"rm -rf {self._place(name)}/.*.part")
        self._offer(what, make=False)
        for name in takers:
            self._get(name, what)

    # -- what the nodes do

    def _start(self, name: str) -> None:
        options = ("--nick", name, "--download-dir", str(self._place(name)), "--no-mdns")
        argv = twistd("-n", "p2pshare", "--menu", "plain", *options, before=COUNTING)
        ns = NAMES.index(name)
        self._nodes[name] = NodeProcess(
            lambda argv, **kw: self._lan.popen(ns, argv, **kw), argv, self._folder / name, name
        )
        self._nodes[name].expect(r"\? help >", PATIENCE)

    def _offer(self, what: str, make: bool = True) -> None:
        if make:
            self._make(what)
        self._content[what] = _digests(self._folder / OWNER / what)
        self._nodes[OWNER].type(f"4 {self._folder / OWNER / what}", PASSWORD, "n")
        self._nodes[OWNER].expect(f"The group was told: {what}", PATIENCE)
        self._nodes[OWNER].expect("Its ticket: ", PATIENCE)

    def _make(self, what: str) -> None:
        path = self._folder / OWNER / what
        if what == "file":
            path.write_bytes(self._chance.randbytes(self._size))
            return
        for number in range(FILES):
            each = path / f"{number % 10}" / f"{number}.bin"
            each.parent.mkdir(parents=True, exist_ok=True)
            each.write_bytes(
                self._chance.randbytes(self._chance.randrange(2 * self._size // FILES))
            )

    def _get(self, name: str, what: str) -> None:
        node = self._nodes[name]
        node.skip()
        self._asked[name] = len(node.output)
        node.type(f'2 ("{self._lan.address(0)}",{PORT}),("{PASSWORD}","{what}")')

    def _told(self, name: str, what: str) -> str:
        """Wait until it is there, or a node says that it will not come: what it says, or ""."""

        def said() -> str:
            self._nodes[name].skip()
            output = self._nodes[name].output[self._asked[name] :]
            return "\n".join(line for line in output.splitlines() if f"! {what}: " in line)

        over = lambda: self._is_there(name, what) or said()  # noqa: E731
        until(over, f"{name} gets it", PATIENCE)
        return "" if self._is_there(name, what) else said()

    def _ends(self, name: str, what: str) -> None:
        try:
            told = self._told(name, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._stories()}") from None
        assert not told, f"{name}: {told}\n{self._stories()}"

    # -- what is there

    def _place(self, name: str) -> Path:
        return self._folder / name / "got"

    def _there(self, name: str, what: str) -> Path:
        return self._place(name) / what

    def _is_there(self, name: str, what: str) -> bool:
        path = self._there(name, what)
        return path.is_file() or (path.is_dir() and any(path.iterdir()))

    def _check(self, name: str, what: str) -> None:
        """What stands there is what was offered, and there is nothing else; it goes."""
        assert _digests(self._there(name, what)) == self._content[what], f"{name} has another"
        command("rm", "-r", str(self._there(name, what)))
        until(lambda: not os.listdir(self._place(name)), f"nothing is left at {name}")

    def _came(self) -> int:
        """Bytes of content that the receiver was sent, up to now."""
        return sum(map(int, (self._folder / RECEIVER / "came").read_text().split()))

    def check_logs(self) -> None:
        """Nobody stumbled; raises `AssertionError`."""
        for node in self._nodes.values():
            for sign in ("Traceback", "Unhandled"):
                assert sign not in node.log + node.errors, node.story()

    def _stories(self) -> str:
        return "\n".join(node.story() for node in self._nodes.values())


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]


def _digests(path: Path) -> dict[str, str]:
    return {
        str(each.relative_to(path)): blake3(each.read_bytes()).hexdigest() for each in _files(path)
    }


def main() -> int:
    """Cut so many downloads, and tell; 0 where each ended whole and cost no more than it may."""
    parser = argparse.ArgumentParser(prog="python -m tests.lan.cuts", description=__doc__)
    parser.add_argument("--times", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    why = why_no_namespaces()
    if why:
        print(f"no namespaces here: {why}")
        return 1
    chance, costs = random.Random(options.seed), list[Cost]()
    with tempfile.TemporaryDirectory(prefix="p2pshare-cuts-") as folder:
        room = Room(Path(folder), chance)
        try:
            while len(costs) < options.times:
                what, company = chance.choice(("file", "file", "folder")), chance.random() < 0.5
                kinds = CUTS_IN_COMPANY if company else CUTS
                cuts = chance.choices(kinds, k=chance.choice((1, 1, 2)))
                cost = room.download(what, cuts, company)
                costs += [cost] if cost.cuts else []
                print(f"{len(costs)}: {cost}", flush=True)
            room.check_logs()
        finally:
            room.close()
    kinds_of = Counter(cut for cost in costs for cut in cost.cuts)
    kinds = ", ".join(f"{cut} {kinds_of[cut]}" for cut in CUTS_IN_COMPANY)
    print(f"{len(costs)} downloads were cut {kinds_of.total()} times ({kinds}), and came whole.")
    unchanged = [cost for cost in costs if "changed" not in cost.cuts]
    again = sorted(cost.again for cost in unchanged)
    print(
        f"sent again: median {again[len(again) // 2] / MIB:.2f} MiB,"
        f" most {again[-1] / MIB:.2f} MiB; a piece for each source and cut, or less:"
        f" {sum(cost.again <= cost.pieces for cost in unchanged)} of {len(unchanged)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
