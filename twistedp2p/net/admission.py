"""Who may have how much of the file service: connections that prove nothing, and transfers out.

Keys cost nothing to make, so addresses are counted too; and who has proved nothing, or asks for
nothing, leaves his place to another where all are taken.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.limits import Buckets

FILES = 5  # of a transfer: its socket, a folder, two on the way below it, and a file there
YIELDS = 10.0  # seconds without content, after which a place is another's where all are taken


@attrs.frozen
class Limits:
    """Who may have how much of the service."""

    connections_rate: float = 5.0  # new connections of one address per second
    connections_burst: float = 10.0
    unproven_per_address: int = 8
    unproven: int = 64
    transfers: int = 64
    transfers_per_peer: int = 8
    transfers_per_address: int = 16
    busy_wait: int = 5  # seconds that a client is asked to wait when all places are taken

    @classmethod
    def of(cls, transfers: int, per_address: int) -> Limits:
        """So many transfers at once, in all and to one address, each 1 or more.

        Who raises that expects as many to come at once, so the doors before it are raised along.
        """
        usual = cls(transfers=transfers, transfers_per_address=per_address)
        raised = attrs.evolve(usual, unproven=max(transfers, usual.unproven))
        if per_address <= cls().transfers_per_address:
            return raised
        return attrs.evolve(
            raised,
            connections_rate=per_address / 2,
            connections_burst=per_address,
            unproven_per_address=per_address,
        )

    @property
    def descriptors(self) -> int:
        """How many the service has open at most, unless folders are deep: see `FILES`."""
        return self.unproven + FILES * self.transfers


class Connection(Protocol):
    """What is asked of a connection, to whom one thing or another is granted."""

    def is_unproven_of(self, address: str) -> bool:
        """Whether it comes from there, and has proved nothing so far."""

    def idle_for(self, now: float) -> float:
        """Seconds for which it has held a place, and was sent hardly anything; else 0."""

    def give_way(self) -> None:
        """Leave the place to another, and end."""

    def cut(self) -> None:
        """End, whatever it does."""


class Admission:
    """The places of one service, and who has them. An address is what a host counts as."""

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self._limits = limits
        self._clock = clock
        self.connections: dict[Connection, None] = {}  # the oldest first
        self.unproven: Counter[str] = Counter()
        self._rates: Buckets[str] = Buckets(limits.connections_rate, limits.connections_burst)
        self._to_keys: Counter[bytes] = Counter()
        self._to_addresses: Counter[str] = Counter()

    def admits(self, address: str) -> bool:
        """Whether one more connection of that address may try to prove something.

        Where all places are taken, the address that has the most of them loses its oldest, as long
        as it then has no fewer than the one that comes.
        """
        if not self._rates.take(address, self._clock.seconds()):
            return False
        self.unproven += Counter()  # forget the zeros
        own = self.unproven[address]
        if own >= self._limits.unproven_per_address:
            return False
        if self.unproven.total() < self._limits.unproven:
            return True
        ((most_of, most),) = self.unproven.most_common(1)
        if most < own + 2:
            return False
        next(one for one in self.connections if one.is_unproven_of(most_of)).cut()
        return True

    def entered(self, connection: Connection, address: str) -> None:
        """A connection stands, and has proved nothing."""
        self.connections[connection] = None
        self.unproven[address] += 1

    def proved(self, address: str) -> None:
        """A connection of that address has proved what it had to, or ends before that."""
        self.unproven[address] -= 1

    def left(self, connection: Connection) -> None:
        """A connection is no more; may be told twice."""
        self.connections.pop(connection, None)

    def take_place(self, key: bytes, address: str) -> None:
        """Count one more transfer; raises `Refusal` when there is no place.

        Where all places are taken, one that holds his and asks for nothing leaves it to who may
        have another.
        """
        if (
            self._to_keys[key] >= self._limits.transfers_per_peer
            or self._to_addresses[address] >= self._limits.transfers_per_address
            or not (self._to_keys.total() < self._limits.transfers or self._idlest_gives_way())
        ):
            raise Refusal(503, self._limits.busy_wait)
        self._to_keys[key] += 1
        self._to_addresses[address] += 1

    def _idlest_gives_way(self) -> bool:
        now = self._clock.seconds()
        idlest = max(self.connections, key=lambda one: one.idle_for(now), default=None)
        if idlest is None or idlest.idle_for(now) < YIELDS:
            return False
        idlest.give_way()
        return True

    def free_place(self, key: bytes, address: str) -> None:
        """A transfer is over."""
        self._to_keys[key] -= 1
        self._to_addresses[address] -= 1
        self._to_keys += Counter()  # forget the zeros
        self._to_addresses += Counter()
