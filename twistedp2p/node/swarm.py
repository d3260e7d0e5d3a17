"""The others who fetch the same: found through the owner and through each other, and asked, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.calls.pieces import HAVE, PEERS, Ask, Where, read_peers
from twistedp2p.core.errors import ShareError
from twistedp2p.core.limits import CappedTable
from twistedp2p.node.gather import Gather, Source

MAX_SOURCES = 10  # connections of one download
HAVE_EVERY = 0.25  # seconds between two looks at what a source has
HAVE_BYTES = 16_384  # bytes a second that looking may cost for each source
PEERS_FIRST, PEERS_EVERY = 0.25, 4.0  # seconds between two asks for others: first, later
TRIED_AGAIN = 20.0  # seconds until one that could not be reached is tried again
MAX_TRIED = 256  # addresses

Connect = Callable[[Any, Sequence[Where]], Any]

_log = Logger()


@attrs.frozen
class PeerOrder:
    """Orders from another than the owner: implements `net.fetch.Order`.

    Whoever answers must know the same password and promise the same content; each piece is
    checked, so no more needs to be known of it.
    """

    secret: tuple[bytes, bytes] = attrs.field(repr=False)  # the offer's id, the stretched password
    check: Callable[[Ok, bytes], None]

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password."""
        told: Deferred[tuple[bytes, bytes]] = Deferred()
        told.callback(self.secret)
        return told

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """Raises `ShareError` where it has something else."""
        self.check(ok, owner_key)


class Swarm:
    """Looks for sources of one download beside its owner, and at what they have."""

    def __init__(
        self, gather: Gather, order: PeerOrder, connect: Connect, port: int, clock: Any
    ) -> None:
        """`port`: where we give on what we have (TCP)."""
        self._gather = gather
        self._order = order
        self._connect = connect
        self._port = port
        self._clock = clock
        self._looking: set[Source] = set()  # those whose answer to HAVE has yet to come
        self._tried: CappedTable[Where, float] = CappedTable(MAX_TRIED)
        self._connecting: dict[Where, Deferred[None]] = {}
        self._every = max(HAVE_EVERY, len(gather.bitmap) / HAVE_BYTES)
        self._calls: dict[str, IDelayedCall] = {}
        self._over = False
        self._ask_for_peers(PEERS_FIRST)
        self._look()

    def stop(self) -> None:
        """Look no more."""
        self._over = True
        for call in self._calls.values():
            if call.active():
                call.cancel()
        for connecting in list(self._connecting.values()):
            connecting.cancel()

    def _look(self) -> None:
        """Ask those who do not have all yet what they have by now."""
        for source in list(self._gather.sources):
            if source.has is not None and not all(source.has) and source not in self._looking:
                self._looking.add(source)
                asked = source.client.ask(Ask(HAVE))
                asked.addBoth(self._told, source)
        if not self._over:
            self._calls["look"] = self._clock.callLater(self._every, self._look)

    def _told(self, answer: bytes | Failure, source: Source) -> None:
        self._looking.discard(source)
        if isinstance(answer, bytes) and not self._over:
            try:
                self._gather.has(source, answer)
            except ValueError:
                source.client.close()

    def _ask_for_peers(self, pause: float) -> None:
        for source in list(self._gather.sources):
            asked = source.client.ask(Ask(PEERS, self._port))
            asked.addCallbacks(self._heard_of, lambda _failure: None)
        if not self._over:
            again = min(2 * pause, PEERS_EVERY)
            self._calls["peers"] = self._clock.callLater(pause, self._ask_for_peers, again)

    def _heard_of(self, answer: bytes) -> None:
        try:
            peers = read_peers(answer)
        except ValueError:
            return
        self._gather.others(bool(peers))
        now = self._clock.seconds()
        for where in peers:
            many = len(self._gather.sources) + len(self._connecting) >= MAX_SOURCES
            tried = self._tried.get(where)
            soon = tried is not None and now - tried < TRIED_AGAIN
            if self._over or many or soon or where in self._connecting:
                continue
            self._tried.put(where, now)
            self._connecting[where] = joining = Deferred.fromCoroutine(self._join(where))
            joining.addErrback(_not_joined)

    async def _join(self, where: Where) -> None:
        try:
            client = await self._connect(self._order, [where])
        finally:
            self._connecting.pop(where, None)
        if self._over:
            client.close()
            return
        client.ended.addCallback(self._gone, where)
        self._gather.add(client, client.ended, owner=False)

    def _gone(self, error: object, where: Where) -> object:
        self._tried.put(where, self._clock.seconds())
        return error


def _not_joined(failure: Failure) -> None:
    if not failure.check(ShareError, CancelledError):
        _log.failure("another source", failure)
