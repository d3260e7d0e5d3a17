"""Datagrams that wait to be sent to single nodes: paced, bounded, and each host in its turn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from twistedp2p.core.limits import TokenBucket
from twistedp2p.core.presence.addresses import Address

RATE, BURST = 50.0, 100.0  # datagrams
MAX_WAITING = 2000  # datagrams
MAX_WAITING_EACH = 250  # of them to one host, however many ports it asks from


class Outbox:
    """Sends by `send` what is put in, as fast as the pace allows."""

    def __init__(self, send: Callable[[bytes, Address], object], clock: Any) -> None:
        self._send = send
        self._clock = clock
        self._waiting: OrderedDict[str, dict[tuple[bytes, Address], None]] = OrderedDict()
        self._count = 0
        self._pace = TokenBucket.full(RATE, BURST, clock.seconds())
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return self._count

    def has_room(self, host: str) -> bool:
        """Whether one more datagram to that host is taken."""
        return self._count < MAX_WAITING and len(self._waiting.get(host, ())) < MAX_WAITING_EACH

    def put(self, data: bytes, address: Address) -> bool:
        """Send `data` in its turn; False when there is no room. What waits already goes once."""
        if not self.has_room(address[0]):
            return False
        row = self._waiting.setdefault(address[0], {})
        self._count += (data, address) not in row
        row[data, address] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._go)
        return True

    def _go(self) -> None:
        self._call = None
        while self._waiting and self._pace.take(self._clock.seconds()):
            self._send(*self._next())
        if self._waiting:
            wait = self._pace.wait(self._clock.seconds())
            self._call = self._clock.callLater(wait, self._go)

    def _next(self) -> tuple[bytes, Address]:
        host, row = next(iter(self._waiting.items()))
        item = next(iter(row))
        del row[item]
        self._count -= 1
        if row:
            self._waiting.move_to_end(host)
        else:
            del self._waiting[host]
        return item

    def flush(self) -> None:
        """Send at once as much of what waits as the pace allows."""
        if self._call is not None:
            self._call.cancel()
            self._go()

    def close(self) -> None:
        """Send nothing more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._waiting.clear()
        self._count = 0
