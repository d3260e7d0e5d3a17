"""Whom to look for, and when, where multicast finds nobody: plain-number timers, cheap ways first.

::

    broadcast        after 3 s: nodes that hear us already do not answer; then every 60 s while
                     alone; with peers that only unicast reaches, all of them once in 60 s
    known            hosts of earlier runs on this network, at the start and when links change
    named            `--peer`: at the start, every 15 s until it is heard, then every 60 s
    learnt           from the lists of peers in SYNC, from mDNS, and from greetings of strangers

What is learnt may be a lie that points many nodes at one victim: hosts beyond our networks are
left alone unless such peers are wanted or known, each address is tried twice, and each host and
all hosts together get few greetings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import attrs

from twistedp2p.core.limits import Buckets, CappedTable, TokenBucket
from twistedp2p.core.presence.addresses import Address

FIRST_BROADCAST = 3.0  # seconds from the start
BROADCAST_EVERY = 60.0  # seconds
NAMED_FIRST, NAMED_LATER = 15.0, 60.0  # seconds between greetings: until it is heard, and after
TRIES = 2  # greetings to one learnt address
TRY_AGAIN = 3.0  # seconds
MAX_LEARNT = 1024  # addresses that are yet to be greeted
HOST_RATE, HOST_BURST = 8 / 600, 8.0  # greetings to one host that has proved nothing
ALL_RATE, ALL_BURST = 2.0, 256.0  # greetings to all such: what one list of peers holds
EACH_LOOK = 16  # greetings between two looks
_PEER = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\s:\[\]]{1,253}))(?::(?P<port>\d{1,5}))?"
)


def parse_peer(text: str) -> tuple[str, int | None]:
    """The host and UDP port of ``HOST[:PORT]``; an IPv6 address with a port stands in brackets.

    :raises ValueError: it is no such thing, or the port is not 1 to 65,535.
    """
    text = text.strip()
    if text.count(":") > 1 and text[0] != "[":
        text = f"[{text}]"
    found = _PEER.fullmatch(text)
    if found is None:
        raise ValueError("not HOST[:PORT]")
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError("a port is a number from 1 to 65535")
    return found["v6"] or found["host"], port


@attrs.define
class Named:
    """One `--peer`, and the addresses that its name had when it was last looked up."""

    name: str  # host, as given
    port: int
    addresses: list[Address] = attrs.field(factory=list)
    next_at: float = -math.inf  # seconds
    heard_at: float = -math.inf  # seconds
    looking_up: bool = False

    def due(self, now: float) -> bool:
        """Whether it is to be greeted now; sets the next time."""
        if now < self.next_at:
            return False
        self.next_at = now + (NAMED_LATER if self.is_there(now) else NAMED_FIRST)
        return True

    def is_there(self, now: float) -> bool:
        """Whether it was heard lately."""
        return now - self.heard_at < 2 * NAMED_LATER

    def heard(self, host: str, now: float) -> None:
        """Something came from `host` by unicast."""
        if any(address[0] == host for address in self.addresses):
            if not self.is_there(now):
                self.next_at = now + NAMED_LATER
            self.heard_at = now


class Broadcasts:
    """When to send a hello by broadcast."""

    def __init__(self, now: float) -> None:
        self.restart(now)

    def restart(self, now: float) -> None:
        """The links changed: as at the start."""
        self._at = now + FIRST_BROADCAST
        self._is_first = True  # whoever hears all may be heard by none

    def due(self, peers: int, apart: int, now: float, random: Callable[[], float]) -> bool:
        """Whether one is to be sent now; sets the next time.

        :param peers: how many are here.
        :param apart: how many of them only unicast reaches.
        :param random: 0 to 1.
        """
        if not peers:
            self._at = min(self._at, now + BROADCAST_EVERY)
        if now < self._at:
            return False
        # Whoever is alone looks for itself; two halves of a network that come together are told
        # of each other by one of those who know that multicast does not pass.
        self._at = now + BROADCAST_EVERY * (1 + apart) * (0.5 + random() if peers else 1.0)
        due = self._is_first or not peers or apart > 0
        self._is_first = False
        return due


class Learnt:
    """Addresses where a peer may be, of which nothing is believed but that they may be greeted."""

    def __init__(self, now: float) -> None:
        self._waiting: CappedTable[Address, tuple[int, float]] = CappedTable(MAX_LEARNT)
        self._hosts: Buckets[str] = Buckets(HOST_RATE, HOST_BURST)
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, now)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, address: Address, at: float) -> bool:
        """Greet that address at that time or soon after; False when it waits for that already, or
        too many do."""
        taken = address not in self._waiting and len(self._waiting) < MAX_LEARNT
        if taken:
            self._waiting.put(address, (TRIES, at))
        return taken

    def heard(self, address: Address) -> None:
        """Whoever is there was heard: nothing more to find out."""
        self._waiting.pop(address)

    def due(self, now: float) -> list[Address]:
        """Whom to greet now: at most `EACH_LOOK`."""
        found: list[Address] = []
        for address, (tries, at) in self._waiting.items():
            if len(found) >= EACH_LOOK or self._all.whole(now) < 1:
                break
            if at > now:
                continue
            if not self._hosts.take(address[0], now):
                self._waiting.pop(address)
                continue
            self._all.take(now)
            found.append(address)
            self._tried(address, tries, now)
        return found

    def _tried(self, address: Address, tries: int, now: float) -> None:
        if tries > 1:
            self._waiting.put(address, (tries - 1, now + TRY_AGAIN))
        else:
            self._waiting.pop(address)
