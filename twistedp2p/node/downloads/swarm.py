"""The others who fetch the same: found through the owner and through each other, and asked, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.pieces import HAVE, PEERS, Ask, read_peers
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.presence.addresses import Address, means_the_same
from twistedp2p.net.dial import NoAnswer
from twistedp2p.node.downloads.gather import Gather, Source
from twistedp2p.node.downloads.order import PeerOrder
from twistedp2p.node.presence.neighbours import Neighbours

MAX_SOURCES = 14  # connections of one download
CHOSEN = 8  # of them, before those who chose us are joined in return: who is not asked is no use
HAVE_EVERY = 0.25  # seconds between two looks at what a source has
HAVE_BYTES = 16_384  # bytes a second that looking may cost for each source
PEERS_FIRST, PEERS_EVERY = 0.25, 4.0  # seconds between two asks for others: first, later
PEERS_WAIT = 2.0  # seconds that the first answer is waited for before anything is asked for
TRIED_AGAIN = 20.0  # seconds until one that could not be reached, or is gone, is tried again
MAX_TRIED = 256  # addresses
NEVER = float("inf")

Connect = Callable[[Any, Sequence[Address]], Any]

_log = Logger()


class Swarm:
    """Looks for sources of one download beside its owner, and at what they have."""

    def __init__(
        self,
        gather: Gather,
        order: PeerOrder,
        connect: Connect,
        port: int,
        clock: Any,
        near: Callable[[str], bool] = lambda _host: True,
        callers: Callable[[], Sequence[Address]] = lambda: (),
        neighbours: Neighbours | None = None,
    ) -> None:
        """`port`: where we give on what we have (TCP); `near`: whether a node may be at a host.

        Else whoever is asked for others could have us connect to any host at all. `callers`: where
        those serve who ask us; they are known at once, while an answer about others may be late.
        `neighbours`: who is asked where there is no source at all.
        """
        self._neighbours = neighbours
        self._callers = callers
        self._near = near
        self._gather = gather
        self._order = order
        self._connect = connect
        self._port = port
        self._clock = clock
        self._looking: set[Source] = set()  # those whose answer to HAVE has yet to come
        self._asked: set[Source] = set()  # and those whose answer to PEERS has
        self._not_before: CappedTable[Address, float] = CappedTable(MAX_TRIED)
        self._away: CappedTable[Address, bool] = CappedTable(MAX_TRIED)
        self._connecting: dict[Address, Deferred[None]] = {}
        self._joined: set[Address] = set()
        self._every = max(HAVE_EVERY, len(gather.bitmap) / HAVE_BYTES)
        self._calls: dict[str, IDelayedCall] = {}
        self._over = False
        self._calls["wait"] = clock.callLater(PEERS_WAIT, self._wait_no_more)
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

    def _wait_no_more(self) -> None:
        if self._gather.waits:
            self._gather.others(False)

    def _look(self) -> None:
        """Ask those who do not have all yet what they have by now; and who else is there."""
        self._calls["look"] = self._clock.callLater(self._every, self._look)
        callers = self._callers()
        if callers:
            self._gather.others(True)
        self._join_all(callers, MAX_SOURCES)
        for source in list(self._gather.sources):
            if source.has is not None and not all(source.has) and source not in self._looking:
                self._looking.add(source)
                source.client.ask(Ask(HAVE)).addBoth(self._told, source)

    def _told(self, answer: bytes | Failure, source: Source) -> None:
        self._looking.discard(source)
        if isinstance(answer, bytes) and not self._over:
            try:
                self._gather.has(source, answer)
            except ValueError:
                source.distrust()

    def _ask_for_peers(self, pause: float) -> None:
        again = min(2 * pause, PEERS_EVERY)
        self._calls["peers"] = self._clock.callLater(pause, self._ask_for_peers, again)
        for source in list(self._gather.sources):
            if source not in self._asked:
                self._asked.add(source)
                source.client.ask(Ask(PEERS, self._port)).addBoth(self._heard_of, source)
        # Those who were lost: nobody may be left who would tell of them again.
        self._join_all([where for where, _ in self._not_before.items()], CHOSEN)
        if self._neighbours is not None and not self._gather.sources:
            self._join_all(self._neighbours.some(), CHOSEN, self._neighbours)

    def _heard_of(self, answer: bytes | Failure, source: Source) -> None:
        self._asked.discard(source)
        if not isinstance(answer, bytes) or self._over:
            return
        try:
            peers = read_peers(answer)
        except ValueError:
            source.distrust()
            return
        there = [peer for peer in peers if means_the_same(peer[0], source.client.host)]
        # Who has left is told of for a while: where nobody else is reached, we are alone.
        self._gather.others(any(map(self._may_be_there, there)))
        self._join_all(there, CHOSEN)

    def _join_all(self, peers: Sequence[Address], most: int, order: Any = None) -> None:
        for where in peers:
            if self._may_join(where, most) and self._near(where[0]):
                joining = Deferred.fromCoroutine(self._join(where, order or self._order))
                self._connecting[where] = joining
                if joining.called:  # failed at once
                    del self._connecting[where]
                joining.addErrback(_not_joined)

    def _may_join(self, where: Address, most: int) -> bool:
        if len(self._gather.sources) + len(self._connecting) >= most or self._over:
            return False
        if where in self._connecting or where in self._joined:
            return False
        not_before = self._not_before.get(where) or 0.0
        return bool(not_before <= self._clock.seconds())

    def _may_be_there(self, where: Address) -> bool:
        """Whether it was not in vain that it was tried last; one that is busy is there."""
        return where not in self._away

    async def _join(self, where: Address, order: Any) -> None:
        try:
            client = await self._connect(order, [where])
        except ShareError as error:
            refused = error.code in (Exit.DENIED, Exit.DAMAGED)
            self._not_before.put(where, NEVER if refused else self._clock.seconds() + TRIED_AGAIN)
            if isinstance(error, NoAnswer):
                self._away.put(where, True)
            raise
        finally:
            self._connecting.pop(where, None)
        if self._over:
            client.close()
            return
        self._joined.add(where)
        self._away.pop(where)
        source = self._gather.add(client, client.ended, owner=False)
        client.ended.addCallback(lambda _: self._gone(source, where))

    def _gone(self, source: Source, where: Address) -> None:
        self._joined.discard(where)
        self._away.put(where, True)
        again = NEVER if source.wrong else self._clock.seconds() + TRIED_AGAIN
        self._not_before.put(where, again)


def _not_joined(failure: Failure) -> None:
    if not failure.check(ShareError, CancelledError):
        _log.failure("another source", failure)
