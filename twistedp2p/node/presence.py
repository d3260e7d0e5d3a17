"""Being here: our beacons, hellos and goodbye, and the roster of those of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from twistedp2p.core.datagram import Signed
from twistedp2p.core.feed import Heads
from twistedp2p.core.roster import (
    Address,
    Arrival,
    Beacon,
    Peer,
    Roster,
    beacon_interval,
)

HELLO_AT = (0.0, 1.0, 3.0)  # seconds after the start
LEAST_BETWEEN = 1.0  # seconds between two beacons of ours, however many hellos come
AFTER_ENTRY = 0.75  # seconds: a beacon that tells of it, in case the entry was lost
ANSWER_SPREAD = 1.0  # seconds in which the answers to a hello are spread, for 50 nodes and less
ANSWERS_PER_SECOND = 50  # nodes that answer a hello in one second, in a large group


class Told(Protocol):
    """Who is told of comings and goings."""

    def arrived(self, arrival: Arrival, address: Address) -> None: ...

    def departed(self, peer: Peer, goodbye: bool) -> None: ...

    def pinned(self, peer: Peer) -> None: ...


class Presence:
    """Our presence in the group, and everybody else's."""

    def __init__(
        self,
        roster: Roster,
        told: Told,
        *,
        clock: Any,
        random: Callable[[], float],
        files: int,
        heads: Callable[[], Heads],
        tell: Callable[[str, str], bool],
    ) -> None:
        self.roster = roster
        self._told = told
        self._clock = clock
        self._random = random
        self._files = files
        self._heads = heads
        self._tell = tell
        self._sent_at = clock.seconds() - LEAST_BETWEEN
        self._next: IDelayedCall | None = None
        self._hellos: list[IDelayedCall] = []

    def start(self) -> None:
        """Say hello, and go on with beacons."""
        self.hello()

    def hello(self) -> None:
        """Say hello (once more: the network has changed)."""
        self._cancel(*self._hellos)
        self._hellos = [self._clock.callLater(at, self._send, "hello") for at in HELLO_AT[1:]]
        self._send("hello")

    @staticmethod
    def _cancel(*calls: IDelayedCall | None) -> None:
        for call in calls:
            if call is not None and call.active():
                call.cancel()

    def stop(self) -> None:
        """Say goodbye."""
        self._cancel(*self._hellos, self._next)
        self._tell("bye", "{}")

    def _send(self, kind: str = "beacon") -> None:
        every = beacon_interval(len(self.roster) + 1)
        self._sent_at = self._clock.seconds()
        # First of all: whatever fails below, the next beacon goes out.
        self._beacon_in(every * (0.5 + self._random()), later=True)
        try:
            self._tell(kind, Beacon(every, self._files, self._heads()).write())
        finally:
            self._expire()

    def _beacon_in(self, seconds: float, *, later: bool = False) -> None:
        """Set the next beacon; without `later` it is only ever brought forward."""
        call = self._next
        seconds = max(seconds, self._sent_at + LEAST_BETWEEN - self._clock.seconds())
        if call is None or not call.active():
            self._next = self._clock.callLater(seconds, self._send)
        elif later or call.getTime() > self._clock.seconds() + seconds:
            call.reset(seconds)

    def entry_sent(self) -> None:
        """We published something: let a beacon follow soon."""
        self._beacon_in(AFTER_ENTRY)

    def _expire(self) -> None:
        for peer in self.roster.expire(self._clock.seconds()):
            self._told.departed(peer, False)

    def heard(self, message: Signed, address: Address) -> Beacon:
        """A fresh beacon or hello came; raises `BadBody`."""
        beacon = Beacon.read(message.body)
        now = self._clock.seconds()
        arrival = self.roster.heard(message, beacon, address, now)
        self._told.arrived(arrival, address)
        if self.roster.pin_due(arrival.peer, now):
            self._told.pinned(arrival.peer)
        if message.kind == "hello" or arrival.joined:
            crowd = max(ANSWER_SPREAD, len(self.roster) / ANSWERS_PER_SECOND)
            self._beacon_in(self._random() * crowd)
        return beacon

    def heard_bye(self, message: Signed) -> None:
        """A fresh goodbye came."""
        peer = self.roster.left(message.key)
        if peer is not None:
            self._told.departed(peer, True)
