"""Being here: our beacons, hellos and goodbye, and the roster of those of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import attrs

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.feeds.feed import Have, Heads
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import Beacon, Beacons
from twistedp2p.core.presence.roster import Arrival, Number, Peer, Pin, Roster
from twistedp2p.disk.memory.store import Store

KEEP_EVERY = 300.0  # seconds: messages of so long may be replayed to us after a crash of ours


class Told(Protocol):
    """Who is told of comings and goings."""

    def arrived(self, arrival: Arrival, address: Address) -> None: ...

    def departed(self, peer: Peer, goodbye: bool) -> None: ...

    def pinned(self, peer: Peer) -> None: ...

    def heard_up_to(self, latest: Sequence[tuple[bytes, Number]]) -> None: ...


class Contents(Protocol):
    """What of `Feeds` is told by a beacon, and how it is sent."""

    sent: int

    def own_heads(self) -> Heads: ...

    def summary(self) -> bytes: ...

    def recent(self) -> tuple[Have, ...]: ...

    def tell(self, kind: str, body: str) -> bool: ...


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

    @property
    def nodes(self) -> int:
        """How large the group is, ourselves included."""
        return self._beacons.nodes

    def start(self) -> None:
        """Say hello, and go on with beacons."""
        self.hello()
        self._agenda.at(self._clock.seconds() + KEEP_EVERY, self._keep_again)

    def hello(self) -> None:
        """Say hello (once more: the network has changed)."""
        self._beacons.hello(self._clock.seconds())

    def changed(self) -> None:
        """Something that a beacon tells has changed: let one follow soon."""
        self._beacons.soon(self._clock.seconds())

    def goodbye(self) -> None:
        """Say that we go."""
        self._contents.tell("bye", "{}")

    def stop(self) -> None:
        """Have kept what was heard of all; the agenda is for its owner to clear."""
        self._keep(self.roster.pins)

    def _keep_again(self, now: float) -> None:
        self._agenda.at(now + KEEP_EVERY, self._keep_again)
        self._keep(self.roster.pins)

    def _keep(self, keys: Iterable[bytes]) -> None:
        latest = self.roster.unkept(keys)
        if latest:
            self._told.heard_up_to(latest)

    def _send(self, kind: str) -> None:
        try:
            beacon = self.beacon(self._direct())
            self._contents.tell(kind, attrs.evolve(beacon, sent=beacon.sent + 1).write())
        finally:
            self._expire()

    def beacon(self, direct: bool, token: str = "") -> Beacon:
        """What we say of ourselves now.

        :param direct: whether we want by unicast, too, what goes to the group.
        :param token: as of `core.presence.reach.Tokens`.
        """
        contents = self._contents
        return Beacon(
            self._beacons.every,
            self._files,
            contents.own_heads(),
            contents.sent,
            direct,
            contents.summary(),
            contents.recent(),
            token,
        )

    def _expire(self) -> None:
        for peer in self.roster.expire(self._clock.seconds(), self._beacons.every):
            self._departed(peer, False)

    def _departed(self, peer: Peer, goodbye: bool) -> None:
        self._keep([peer.key])  # for this is when replays would show that it is here
        self._told.departed(peer, goodbye)

    def alive(self, key: bytes, direct: bool) -> None:
        """Any fresh message of that key came."""
        self.roster.alive(key, self._clock.seconds(), direct=direct)

    def heard(self, message: Signed, address: Address, direct: bool) -> Beacon:
        """A fresh beacon or hello came; raises `BadBody`.

        One that came to us alone is answered so, by `reach`.
        """
        beacon = Beacon.read(message.body)
        now = self._clock.seconds()
        arrival = self.roster.heard(message, beacon, address, now, direct=direct)
        self._told.arrived(arrival, address)
        if self.roster.pin_due(arrival.peer, now):
            self._told.pinned(arrival.peer)
        hello, joined = message.kind == "hello" and not direct, arrival.joined and not direct
        self._beacons.heard(beacon.every, now, hello=hello, joined=joined)
        return beacon

    def heard_bye(self, message: Signed) -> None:
        """A fresh goodbye came."""
        peer = self.roster.left(message.key)
        if peer is not None:
            self._departed(peer, True)


def pins_of_earlier_runs(store: Store, now: float, wall: float) -> dict[bytes, Pin]:
    """The pins that are kept, as of the clock that shows `now` when the time of day is `wall`.

    Both in seconds. That clock may have begun with the start of this host.
    """
    pins = {}
    for key, nick, first, seen, latest in store.pins():
        last = now - max(0.0, wall - seen / 1000)
        pins[key] = Pin(nick, last - max(0, seen - first) / 1000, last, last, latest)
    return pins
