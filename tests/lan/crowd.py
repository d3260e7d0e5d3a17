"""A crowd of real nodes on one LAN of namespaces, that says much while the network loses much.

Each node is a process without a menu that says what it is told to, and tells what it shows and
when. All are on one host, so that one clock tells how long a line took to each of them.
"""

from __future__ import annotations

import json
import random
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.lan.netns import Lan, command

START = 60.0  # seconds for all nodes to run, on a busy machine
NODE = """
import json, sys, time
from pathlib import Path
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineReceiver
from twistedp2p.core.events import Joined, Said
from twistedp2p.disk.state.instance import claim
from twistedp2p.node.config import Config
from twistedp2p.node.desk import Node

def tell(**fields):
    print(json.dumps(fields), flush=True)

def shown(event):
    if isinstance(event, Said):
        tell(text=event.text, at=time.time(), late=event.late)
    elif isinstance(event, Joined):
        tell(joined=event.nick, at=time.time())

class Orders(LineReceiver):
    delimiter = b"\\n"

    def lineReceived(self, line):
        node.say(line.decode())

    def connectionLost(self, reason):
        Deferred.fromCoroutine(node.stop()).addBoth(lambda _: reactor.stop())

node = Node(reactor, Config(nick=sys.argv[2]), claim(Path(sys.argv[1])))
node.subscribe(shown)
node.start()
stdio.StandardIO(Orders())
tell(ready=True)
reactor.run()
"""


@attrs.define
class Member:
    """One node: its process, and what it has shown, in every run."""

    number: int  # its namespace
    state: Path
    process: subprocess.Popen[bytes] | None = None
    shown: Counter[str] = attrs.field(factory=Counter)
    first: dict[str, float] = attrs.field(factory=dict)  # seconds since 1970
    here: set[str] = attrs.field(factory=set)
    ready: bool = False
    rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Note what the process tells."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self.ready = self.ready or "ready" in told
            if "joined" in told:
                self.here.add(told["joined"])
            elif "text" in told:
                self.shown[told["text"]] += 1
                self.first.setdefault(told["text"], told["at"])


class Crowd:
    """`count` nodes, each in its own namespace; `folder` is where they keep their states."""

    def __init__(self, lan: Lan, folder: Path, count: int) -> None:
        self._lan = lan
        self.members = [Member(number, folder / str(number)) for number in range(count)]
        self._selector = selectors.DefaultSelector()
        self.said: dict[str, float] = {}  # text, seconds since 1970
        self._told: defaultdict[int, set[str]] = defaultdict(set)  # what each was to say

    def start(self, *numbers: int) -> None:
        """Start these nodes (again)."""
        for number in numbers:
            member = self.members[number]
            member.ready = False
            argv = [sys.executable, "-c", NODE, str(member.state), f"n{number}"]
            process = self._lan.popen(number, argv, text=False, bufsize=0, stderr=None)
            member.process = process
            assert process.stdout is not None
            self._selector.register(process.stdout, selectors.EVENT_READ, member)
        self.wait(lambda: all(self.members[number].ready for number in numbers), START)

    def kill(self, number: int) -> None:
        """End a node as a power cut does, once it has said what it was told to."""
        member = self.members[number]
        self.wait(lambda: not self._told[number] - set(member.shown), START)
        process = member.process
        assert process is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        member.process = None

    def stop(self) -> None:
        """Let every node say goodbye."""
        running = [member.process for member in self.members if member.process is not None]
        for process in running:
            process.stdin.close()  # type: ignore[union-attr]
        for process in running:
            process.wait(START)

    def listen(self, seconds: float) -> None:
        """Note what the nodes tell, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                data = key.fileobj.read(65_536)  # type: ignore[union-attr]
                if data:
                    key.data.take(data)
                else:
                    self._selector.unregister(key.fileobj)

    def wait(self, true: Callable[[], bool], most: float) -> bool:
        """Listen until `true()`; whether it came to be within `most` seconds."""
        until = time.monotonic() + most
        while not true():
            if time.monotonic() > until:
                return False
            self.listen(0.05)
        return True

    def meet(self, most: float = START) -> bool:
        """Wait until every running node knows of all the others."""
        running = [member for member in self.members if member.process is not None]
        return self.wait(lambda: all(len(m.here) >= len(running) - 1 for m in running), most)

    def say(self, number: int, text: str) -> None:
        """Have a node say something."""
        process = self.members[number].process
        assert process is not None
        self.said[text] = time.time()
        self._told[number].add(text)
        process.stdin.write(text.encode() + b"\n")  # type: ignore[union-attr]

    def talk(
        self, lines: int, every: float, seed: int, events: dict[int, Callable[[], object]]
    ) -> None:
        """Say so many lines, one `every` so many seconds, each by any node that runs.

        `events` are called before the line of that number is said.
        """
        chance = random.Random(seed)
        begun = time.monotonic()
        for line in range(lines):
            events.get(line, lambda: None)()
            self.listen(begun + line * every - time.monotonic())
            running = [member.number for member in self.members if member.process is not None]
            self.say(chance.choice(running), f"line {line}")

    def missing(self) -> Iterator[tuple[int, str]]:
        """Which node has not shown which line."""
        for member in self.members:
            if member.process is not None:
                yield from ((member.number, text) for text in self.said if not member.shown[text])

    def twice(self) -> list[tuple[int, str]]:
        """Which node has shown which line more than once."""
        return [(m.number, text) for m in self.members for text, n in m.shown.items() if n > 1]

    def delays(self) -> list[float]:
        """Seconds from saying to showing, of each line at each node, rising."""
        return sorted(
            member.first[text] - at
            for member in self.members
            for text, at in self.said.items()
            if text in member.first
        )

    def part(self, *numbers: int) -> None:
        """Put these nodes on a bridge of their own: they hear each other only."""
        self._move(numbers, "br1")

    def heal(self, *numbers: int) -> None:
        """Put them back."""
        self._move(numbers, "br0")

    def _move(self, numbers: tuple[int, ...], bridge: str) -> None:
        name = self._lan.bridge
        links = command("ip", "-n", name, "-json", "link", "show")
        if not any(link["ifname"] == bridge for link in json.loads(links)):
            kind = ["bridge", "mcast_snooping", "0"]
            command("ip", "-n", name, "link", "add", bridge, "type", *kind)
            command("ip", "-n", name, "link", "set", bridge, "up")
        for number in numbers:
            command("ip", "-n", name, "link", "set", f"port{number}", "master", bridge)
