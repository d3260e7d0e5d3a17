"""Answering pings: of a doctor that looks at this network, from wherever it is.

Sources are easily forged, so nobody gains by pinging us in another's name: one pong for one ping
and never a longer one, few in all, of a ping that all heard only to hosts on our own networks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.errors import N_
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import PROGRAM_MOST, Ping, Pong, in_sample, where

HOST_RATE, HOST_BURST = 5.0, 100.0  # pongs to one host: a doctor sends some trains of twenty
ALL_RATE, ALL_BURST = 50.0, 200.0  # pongs


class Replying(Protocol):
    """What of `net.group.Group` is needed to answer."""

    def reply(self, data: bytes, address: Address) -> bool: ...

    def on_link(self, host: str) -> bool: ...


class Pings:
    """Answers those who ping. `message` signs (kind, body), `nodes` counts the group, `wall` is
    the time of day in seconds since 1970."""

    def __init__(
        self,
        key: bytes,
        replying: Replying,
        *,
        clock: Any,
        wall: Callable[[], float],
        message: Callable[[str, str], bytes],
        files: int,
        nodes: Callable[[], int],
    ) -> None:
        self._key = key
        self._replying = replying
        self._clock = clock
        self._wall = wall
        self._message = message
        self._files = files
        self._nodes = nodes
        self._hosts: Buckets[str] = Buckets(HOST_RATE, HOST_BURST)
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, clock.seconds())
        self._program = version("twistedp2p")[:PROGRAM_MOST]
        self.dropped: Counter[str] = Counter()

    def heard(self, message: Signed, address: Address, direct: bool) -> None:
        """A fresh ping came, to us alone where `direct`; raises `BadBody`."""
        ping = Ping.read(message.body)
        if not direct and not in_sample(ping.train, self._key, self._nodes()):
            return
        if not direct and not self._replying.on_link(address[0]):
            self.dropped[N_("a ping from elsewhere")] += 1
            return
        now = self._clock.seconds()
        if not self._hosts.take(address[0], now) or not self._all.take(now):
            self.dropped[N_("pings over the limit")] += 1
            return
        seen = where(*address)
        time = max(0, int(self._wall() * 1000))
        pong = Pong(ping.train, ping.number, seen, self._files, self._program, time)
        data = self._message("pong", pong.write())
        if len(data) > len(message.raw):
            self.dropped[N_("a ping that is too short")] += 1
            return
        self._replying.reply(data, address)
