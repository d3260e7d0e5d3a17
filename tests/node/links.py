"""Downloads of a whole room over simulated links: the real rules of who asks whom for what.

Each member is a host with a link of its own, as fast out as in, on a switch that is never full.
What flows at the same time shares the links evenly (max-min fairness), as TCP does more or less.
A minute of twenty members takes seconds, and comes out the same each time.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from twistedp2p.core.calls.frames import FRAME
from twistedp2p.core.calls.pieces import BYTES, HAVE, NEXT, PEERS_SIZE, Ask, write_peers
from twistedp2p.core.content.tree import Tree, piece_count
from twistedp2p.core.errors import ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.swarm.audience import Audience
from twistedp2p.core.swarm.bitmap import bitmap_size, to_bitmap
from twistedp2p.core.swarm.choice import Choice
from twistedp2p.node.downloads.gather import Gather
from twistedp2p.node.downloads.order import PeerOrder
from twistedp2p.node.downloads.swarm import Swarm

DELAY = 0.005  # seconds that an ask is on its way
JOINING = 0.15  # seconds until both ends of a new connection have proved the password
PORT = 9393  # TCP
STARTS = 0.5  # seconds within which all begin
_ZEROS = memoryview(bytes(FRAME))


@attrs.define
class _Body:
    left: int  # bytes
    content: bool
    done: Deferred[Any] | None = None
    result: Any = None


class Wire:
    """One connection: in the place of `net.fetch.FileClient`, and of the server behind it."""

    over = False

    def __init__(self, room: Room, member: Member, server: Member) -> None:
        self.room, self.member, self.server = room, member, server
        self.host, self.owner = server.host, server.key
        self.bodies: deque[_Body] = deque()
        self.asks: deque[tuple[Ask, Deferred[Any]]] = deque()
        self.sink: Any = None
        self.waiting = 0
        self.ended: Deferred[BaseException | None] = Deferred()

    def ask(self, ask: Ask) -> Deferred[Any]:
        """As `FileClient.ask`."""
        done: Deferred[Any] = Deferred()
        self.room.clock.callLater(DELAY, self._asked, ask, done)
        return done

    def fetch(self, offset: int, length: int, sink: Any) -> None:
        """As `FileClient.fetch`."""
        self.sink = sink
        self.waiting += length
        self.ask(Ask(BYTES, offset, length))

    def fetch_next(self, have: bytes, sink: Any) -> Deferred[Any]:
        """As `FileClient.fetch_next`."""
        self.sink = sink
        return self.ask(Ask(NEXT, have=have))

    def _asked(self, ask: Ask, done: Deferred[Any]) -> None:
        self.asks.append((ask, done))
        self.answer()

    def answer(self) -> None:
        """The server begins with the next answer, where it is not at one."""
        if self.over or self.bodies or not self.asks:
            return
        ask, done = self.asks.popleft()
        for body in self.server.bodies(ask, self.member, done):
            self.bodies.append(body)
            if ask.kind == NEXT and body.content:
                self.waiting += body.left
        self.room.changed = True

    def step(self, size: int) -> None:
        """So much more of the first body has come, a frame at most."""
        body = self.bodies[0]
        body.left -= size
        if body.content:
            self.waiting -= size
            self.server.sent += size
            self.sink.came(size)
            if not self.over:
                self.sink.written([self.sink.write(_ZEROS[:size])])
        if not body.left and not self.over:
            self.bodies.popleft()
            self.room.changed = True
            if body.done is not None:
                body.done.callback(body.result)
            self.answer()

    def close(self) -> None:
        """As `FileClient.close`."""
        if not self.over:
            self.over = True
            self.room.wires.remove(self)
            self.room.changed = True
            self.ended.callback(None)


@attrs.define
class _Kept:
    """In the place of `disk.downloads.download.Download`."""

    tree: Tree
    have: bytearray
    twice: int = 0  # pieces that came though they were here

    def write(self, index: int, at: int, data: memoryview, source: Any) -> bool:
        if at + len(data) < self.tree.span(index)[1]:
            return False
        self.twice += self.have[index]
        self.have[index] = 1
        return True

    def gone(self, source: Any) -> None: ...


class Member:
    """One host: the owner, or one who fetches."""

    def __init__(self, room: Room, number: int) -> None:
        self.room, self.number = room, number
        self.host, self.key = f"10.0.{number // 250}.{number % 250 + 1}", bytes([number]) * 32
        self.sent = 0  # bytes of content
        self.done_at = 0.0
        self.left = False
        self.draw = random.Random(number).randrange
        self.audience = Audience(room.tree.count, self.draw)
        self.gather: Gather | None = None

    def bodies(self, ask: Ask, member: Member, done: Deferred[Any]) -> list[_Body]:
        """What answers that ask."""
        tree = self.room.tree
        if ask.kind == BYTES:
            if self.gather is None:
                self.audience.handed(ask.a, ask.b, tree.size)
            return [_Body(ask.b, True)]
        if ask.kind == NEXT:
            number = self.audience.next(ask.have)
            first = [_Body(8, False, done, number)]
            return first + ([] if number is None else [_Body(tree.span(number)[1], True)])
        if ask.kind == HAVE:
            have = self.gather.bitmap if self.gather else to_bitmap(b"\1" * tree.count)
            return [_Body(bitmap_size(tree.count), False, done, have)]
        peers = self.audience.seen(member.key, member.host, ask.a, self.room.clock.seconds())
        return [_Body(PEERS_SIZE, False, done, write_peers(peers))]

    def fetch(self) -> None:
        """Begin."""
        room = self.room
        self.kept = _Kept(room.tree, bytearray(room.tree.count))
        choice = Choice(room.tree.count, self.kept.have, self.draw)
        self.gather = Gather(
            room.tree,
            self.kept,
            choice,
            lambda _size: None,
            lambda *_what: None,
            room.clock.seconds,
            crowd=None,
        )
        self.gather.done.addCallback(self._done)
        wire = room.wire(self, room.members[0])
        self.gather.add(wire, wire.ended, owner=True)
        order = PeerOrder((b"", b""), lambda _ok, _key: None)
        self.swarm = Swarm(
            self.gather,
            order,
            self.connect,
            PORT,
            room.clock,
            callers=lambda: self.audience.present(room.clock.seconds()),
        )

    def leave(self) -> None:
        """Go, with all that others were to get from here."""
        assert self.gather is not None
        self.left = True
        self.swarm.stop()
        self.gather.stop()
        for wire in [wire for wire in self.room.wires if wire.server is self]:
            wire.close()

    def _done(self, _none: None) -> None:
        self.done_at = self.room.clock.seconds()
        self.swarm.stop()

    async def connect(self, order: Any, addresses: Sequence[Address]) -> Wire:
        """As `Fetcher.connect`."""
        (server,) = (each for each in self.room.members if each.host == addresses[0][0])
        await deferLater(self.room.clock, JOINING, lambda: None)
        if server.left:
            raise ShareError("Nothing listens there.")
        return self.room.wire(self, server)


class Room:
    """An owner and `receivers` members who fetch `pieces` of it, over links of `rate` bytes/s."""

    def __init__(self, receivers: int, pieces: int, rate: float, seed: int = 1) -> None:
        size = pieces * 2**20
        self.tree = Tree(size, b"", bytes(32 * piece_count(size)))
        self.rate = rate
        self.clock = Clock()
        self.changed = True
        self.wires: list[Wire] = []
        self.members = [Member(self, number) for number in range(receivers + 1)]
        draw = random.Random(seed)
        for member in self.members[1:]:
            self.clock.callLater(draw.uniform(0, STARTS), member.fetch)

    @property
    def ideal(self) -> float:
        """Seconds in which a link carries all of it once."""
        return self.tree.size / self.rate

    def wire(self, member: Member, server: Member) -> Wire:
        """A connection between them."""
        wire = Wire(self, member, server)
        self.wires.append(wire)
        return wire

    def _rates(self) -> dict[Wire, float]:
        """Max-min fair: the link with the least for each is shared out first, then the next."""
        flows = [wire for wire in self.wires if wire.bodies]
        count = len(self.members)
        left = [self.rate] * (2 * count)
        users: dict[int, list[Wire]] = {}
        for wire in flows:
            users.setdefault(wire.server.number, []).append(wire)
            users.setdefault(count + wire.member.number, []).append(wire)
        waiting = {link: len(wires) for link, wires in users.items()}
        rates: dict[Wire, float] = {}
        while waiting:
            link = min(waiting, key=lambda each: left[each] / waiting[each])
            share = left[link] / waiting[link]
            for wire in users[link]:
                if wire not in rates:
                    rates[wire] = share
                    for other in (wire.server.number, count + wire.member.number):
                        left[other] -= share
                        waiting[other] -= 1
                        if not waiting[other]:
                            del waiting[other]
        return rates

    def run(self, most: float) -> float:
        """Until all have all, or `most` seconds are over; the seconds that the last one took."""
        rates: dict[Wire, float] = {}
        frame: dict[Wire, float] = {}
        while not all(member.done_at or member.left for member in self.members[1:]):
            if self.clock.seconds() > most:
                return most
            if self.changed:
                self.changed = False
                rates = self._rates()
                frame = {wire: frame.get(wire) or min(FRAME, wire.bodies[0].left) for wire in rates}
            wait = min((frame[wire] / rate for wire, rate in rates.items()), default=9.0)
            calls = self.clock.getDelayedCalls()
            if calls:
                wait = min(wait, max(0.0, min(c.getTime() for c in calls) - self.clock.seconds()))
            for wire, rate in rates.items():
                frame[wire] -= rate * wait
            self.clock.advance(wait)
            for wire in [wire for wire, left in frame.items() if left <= 1e-6]:
                if not wire.over and wire.bodies:
                    wire.step(min(FRAME, wire.bodies[0].left))
                    frame[wire] = min(FRAME, wire.bodies[0].left) if wire.bodies else 0
        return self.clock.seconds()
