"""Being here: our beacons, hellos and goodbye, and the roster of those of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.beacon import Beacon, Beacons
from twistedp2p.core.datagram import Signed
from twistedp2p.core.feed import Have, Heads
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.core.roster import Address, Arrival, Peer, Roster

DIRECT_RATE, DIRECT_BURST = 1.0, 5.0  # beacons sent to one host alone
DIRECT_ALL_RATE, DIRECT_ALL_BURST = 20.0, 50.0  # beacons sent to single hosts


class Told(Protocol):
    """Who is told of comings and goings."""

    def arrived(self, arrival: Arrival, address: Address) -> None: ...

    def departed(self, peer: Peer, goodbye: bool) -> None: ...

    def pinned(self, peer: Peer) -> None: ...


class Contents(Protocol):
    """What of `Feeds` is told by a beacon, and how it is sent."""

    sent: int

    def own_heads(self) -> Heads: ...

    def summary(self) -> bytes: ...

    def recent(self) -> tuple[Have, ...]: ...

    def tell(self, kind: str, body: str) -> bool: ...

    def reply(self, kind: str, body: str, to: Address) -> bool: ...


class Presence:
    """Our presence in the group, and everybody else's.

    `direct` says whether multicast does not reach us, so that the others send to us alone as well.
    """

    def __init__(
        self,
        roster: Roster,
        told: Told,
        contents: Contents,
        *,
        agenda: Agenda,
        clock: Any,
        random: Callable[[], float],
        files: int,
        direct: Callable[[], bool] = lambda: False,
    ) -> None:
        self.roster = roster
        self._told = told
        self._contents = contents
        self._agenda = agenda
        self._clock = clock
        self._files = files
        self._direct = direct
        self._beacons = Beacons(
            agenda,
            self._send,
            now=clock.seconds(),
            random=random,
            known=lambda: len(roster) + 1,
        )
        self._direct_each: Buckets[str] = Buckets(DIRECT_RATE, DIRECT_BURST)
        self._direct_all = TokenBucket.full(DIRECT_ALL_RATE, DIRECT_ALL_BURST, clock.seconds())

    @property
    def nodes(self) -> int:
        """How large the group is, ourselves included."""
        return self._beacons.nodes

    def start(self) -> None:
        """Say hello, and go on with beacons."""
        self.hello()

    def hello(self) -> None:
        """Say hello (once more: the network has changed)."""
        self._beacons.hello(self._clock.seconds())

    def changed(self) -> None:
        """Something that a beacon tells has changed: let one follow soon."""
        self._beacons.soon(self._clock.seconds())

    def stop(self) -> None:
        """Say goodbye; the agenda is for its owner to clear."""
        self._contents.tell("bye", "{}")

    def greet(self, address: Address) -> None:
        """Say hello to one address alone, which answers us alone."""
        self._contents.reply("hello", self._body(0), address)

    def _send(self, kind: str) -> None:
        try:
            self._contents.tell(kind, self._body(1))
        finally:
            self._expire()

    def _body(self, counted: int) -> str:
        contents = self._contents
        return Beacon(
            self._beacons.every,
            self._files,
            contents.own_heads(),
            contents.sent + counted,
            self._direct(),
            contents.summary(),
            contents.recent(),
        ).write()

    def _expire(self) -> None:
        for peer in self.roster.expire(self._clock.seconds()):
            self._told.departed(peer, False)

    def alive(self, key: bytes, direct: bool) -> None:
        """Any fresh message of that key came."""
        self.roster.alive(key, self._clock.seconds(), direct=direct)

    def heard(self, message: Signed, address: Address, direct: bool) -> Beacon:
        """A fresh beacon or hello came; raises `BadBody`."""
        beacon = Beacon.read(message.body)
        now = self._clock.seconds()
        arrival = self.roster.heard(message, beacon, address, now)
        self._told.arrived(arrival, address)
        if self.roster.pin_due(arrival.peer, now):
            self._told.pinned(arrival.peer)
        hello = message.kind == "hello"
        self._beacons.heard(beacon.every, now, answer=(hello or arrival.joined) and not direct)
        if hello and direct:
            self._answer_alone(address, now)
        return beacon

    def _answer_alone(self, address: Address, now: float) -> None:
        if self._direct_each.take(address[0], now) and self._direct_all.take(now):
            self._contents.reply("beacon", self._body(0), address)

    def heard_bye(self, message: Signed) -> None:
        """A fresh goodbye came."""
        peer = self.roster.left(message.key)
        if peer is not None:
            self._told.departed(peer, True)
