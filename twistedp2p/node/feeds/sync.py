"""When to SYNC, and with whom; what is taken from whom is for `hearsay` to say.

A conversation is asked for by `want`; one at a time goes out, to a peer that is chosen at random
(and not the one before), and to another one when that fails or is busy. Some may come in meanwhile,
and once a partner has told all the next is called, though we may have more to say: nobody waits for
who is slow to take in. Nor for one who tells little that is new, and does not end: then another is
called beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import Sync
from twistedp2p.core.calls.sync import MAX_PEERS_TOLD, LivePeer, Replica
from twistedp2p.core.errors import ShareError
from twistedp2p.core.limits import CappedTable, TokenBucket
from twistedp2p.core.presence.addresses import Address, means_the_same
from twistedp2p.core.presence.roster import MAX_PEERS, Peer, Roster
from twistedp2p.net.sync import SyncTalk
from twistedp2p.net.talk import Busy, Calling, Places
from twistedp2p.node.feeds.hearsay import Hearsay, Told, Visit

PLACES, PLACES_EACH = 4, 2  # conversations that others began, in all and of one address
OUT_MOST = 4  # conversations that we began
OUT_RATE, OUT_BURST = 0.5, 24.0  # conversations that we begin; a cold start takes some ten
BUSY_WAIT = 0.25  # seconds, on average, after which another is asked than one that was busy
RETRY_FIRST, RETRY_FACTOR, RETRY_MOST = 0.5, 2.0, 30.0  # seconds, ratio, seconds
TRIES = 6  # failures in a row, until it is wanted again
IDLE = 3.0  # seconds of no use to either, after which a conversation gives way to another caller
# Who tells us less in that time is not waited for: seconds, entries that were not here.
PATIENCE, ENOUGH = 3.0, 50
SHUN = 60.0  # seconds that a partner which failed is left alone, when there are others

T = TypeVar("T")
_log = Logger()


class Syncs:
    """The conversations of one node. `group` is its name as it is signed."""

    def __init__(
        self,
        replica: Replica,
        told: Told,
        calls: Calling,
        roster: Roster,
        *,
        addresses_of: Callable[[bytes], list[Address]],
        own_key: bytes,
        group: bytes,
        together: Callable[[], AbstractContextManager[None]],
        clock: Any,
        random: Callable[[], float],
    ) -> None:
        self._replica = replica
        self.hearsay = Hearsay(
            replica, told, roster, together=together, clock=clock, ask_another=self.want
        )
        self.dropped = self.hearsay.dropped
        self._calls = calls
        self._roster = roster
        self._addresses_of = addresses_of
        self._own_key = own_key
        self._group = group
        self._clock = clock
        self._random = random
        self._places = Places(PLACES, PLACES_EACH)
        # Those that others began: the address of each, and what leaves its place.
        self._guests: dict[SyncTalk, tuple[str, Callable[[], None]]] = {}
        self._pace = TokenBucket.full(OUT_RATE, OUT_BURST, clock.seconds())
        self._shunned: CappedTable[bytes, float] = CappedTable(MAX_PEERS)  # until when
        self._wanted = self._stopped = False
        self._first: bytes | None = None
        self._last: bytes | None = None
        self._failures = self._refusals = 0
        self._not_before = clock.seconds()
        self._look_call: IDelayedCall | None = None
        self._running: dict[bytes, Deferred[Any]] = {}  # those that we began, by partner
        self._hearing: bytes | None = None  # the one of them that we wait for: it has not told all
        self._news = 0  # entries that it has brought since we looked last
        self._judge_call: IDelayedCall | None = None

    def stop(self) -> None:
        """Begin no more, and break off what goes on."""
        self._stopped = True
        if self._look_call is not None and self._look_call.active():
            self._look_call.cancel()
        self._hear(None)
        for running in list(self._running.values()):
            running.cancel()

    # -- those who call

    def answer(self, key: bytes, address: str) -> SyncTalk:
        """A conversation with a node that called; raises `Refusal` when there are too many.

        Of those that stand still the one that does so for longest gives way.
        """
        try:
            place = self._places.take(address)
        except Refusal:
            idlest = self._idlest(address)
            if idlest is None:
                raise
            self._leave(idlest)
            idlest.cut()
            place = self._places.take(address)
        talk = self._talk(key, address, leave=lambda: self._leave(talk))
        self._guests[talk] = address, place
        return talk

    def _idlest(self, address: str) -> SyncTalk | None:
        """Whose place a caller from there may have: of its own address when it has enough."""
        own = [talk for talk, (host, _) in self._guests.items() if host == address]
        crowd = own if len(own) >= PLACES_EACH else self._guests
        idlest = min(crowd, key=lambda talk: talk.gained_at, default=None)
        if idlest is None or self._clock.seconds() - idlest.gained_at < IDLE:
            return None
        return idlest

    def _leave(self, talk: SyncTalk) -> None:
        _, leave = self._guests.pop(talk, ("", lambda: None))
        leave()

    def _talk(
        self,
        key: bytes,
        address: str,
        *,
        leave: Callable[[], None] = lambda: None,
        heard_all: Callable[[], None] = lambda: None,
        brought: Callable[[int], None] = lambda _: None,
    ) -> SyncTalk:
        visit = Visit(self.hearsay, key, address, leave, heard_all, brought)
        return SyncTalk(self._replica, visit, self._peers_for(address), self._group, self._clock)

    def _peers_for(self, partner: str) -> list[LivePeer]:
        """Some of those who are here."""
        here = [
            LivePeer(peer.key, peer.addresses[0][0].partition("%")[0], *ports)
            for peer in self._roster.peers()
            if (ports := (peer.addresses[0][1], peer.files))[0] >= 1024
        ]
        here = [peer for peer in here if means_the_same(peer.host, partner)]
        while len(here) > MAX_PEERS_TOLD:
            at = int(self._random() * len(here))
            here[at] = here[-1]
            here.pop()
        return here

    # -- those whom we call

    def want(self, partner: bytes | None = None) -> bool:
        """Have a conversation soon: with that node if it is here, else with any.

        False where one goes on, or was wanted before: this wish costs nothing more.

        One that failed just now is not tried again when there are others: connecting to a host
        that drops everything takes longer than all that others could tell meanwhile.
        """
        new = not self._wanted and self._hearing is None
        self._wanted = True
        self._first = partner or self._first
        self._look()
        return new

    def _look(self) -> None:
        due = self._wanted and self._hearing is None and self._look_call is None
        if due and not self._stopped:
            now = self._clock.seconds()
            wait = max(0.0, self._not_before - now, self._pace.wait(now))
            self._look_call = self._clock.callLater(wait, self._go)

    def _go(self) -> None:
        self._look_call = None
        partner, self._first = self._choose(self._first), None
        if partner is None:
            # Whoever comes will be worth another wish.
            self._wanted = bool(self._running)
            return
        self._wanted = False
        self._pace.take(self._clock.seconds())
        self._last = partner.key
        self._hear(partner.key)
        addresses = self._addresses_of(partner.key)
        # A visit is of that node: what it settles of its own feed is believed.
        calling = self._calls.call(
            Sync,
            lambda host: self._talk(
                partner.key,
                host,
                heard_all=lambda: self._heard_all(partner.key),
                brought=lambda count: self._brought(partner.key, count),
            ),
            addresses,
            lambda key: key == partner.key,
        )
        running = self._running[partner.key] = Deferred.fromCoroutine(calling)
        running.addBoth(self._ended, partner.key)

    def _choose(self, wanted: bytes | None) -> Peer | None:
        """A peer that has a file port, host by host: keys cost nothing, and hosts do."""
        now = self._clock.seconds()
        here = [p for p in self._roster.peers() if p.files and p.key not in self._running]
        peers = [p for p in here if (self._shunned.peek(p.key) or 0.0) <= now] or here
        for peer in peers:
            if peer.key == wanted:
                return peer
        peers = [peer for peer in peers if peer.key != self._last] or peers
        if not peers:
            return None
        called = {p.addresses[0][0] for p in self._roster.peers() if p.key in self._running}
        peers = [peer for peer in peers if peer.addresses[0][0] not in called] or peers
        host = self._any(sorted({peer.addresses[0][0] for peer in peers}))
        return self._any([peer for peer in peers if peer.addresses[0][0] == host])

    def _any(self, things: list[T]) -> T:
        return things[int(self._random() * len(things))]

    def _hear(self, partner: bytes | None) -> None:
        """Wait for what that partner tells; None: for nobody."""
        self._hearing, self._news = partner, 0
        if self._judge_call is not None:
            self._judge_call.cancel()
            self._judge_call = None
        if partner is not None:
            self._judge_call = self._clock.callLater(PATIENCE, self._judge, partner)

    def _brought(self, partner: bytes, count: int) -> None:
        if partner == self._hearing:
            self._news += count

    def _judge(self, partner: bytes) -> None:
        """Who tells little holds up nobody: it goes on beside another, while there are not many."""
        self._judge_call = None
        if self._news >= ENOUGH or not self._wanted:
            self._hear(partner)
        elif len(self._running) < OUT_MOST:
            self._hear(None)
            self._look()
        else:
            self._running[partner].cancel()

    def _heard_all(self, partner: bytes) -> None:
        """That partner has told all: another may, while we go on with what we say."""
        if partner == self._hearing and len(self._running) < OUT_MOST:
            self._hear(None)
            self._look()

    def _ended(self, outcome: object, partner: bytes) -> None:
        del self._running[partner]
        if not isinstance(outcome, Failure):
            self._failures = self._refusals = 0
            self._shunned.pop(partner)
        elif outcome.check(Busy):
            self._refused()
        else:
            self._failed(outcome, partner)
        if partner == self._hearing:
            self._hear(None)
        self._look()

    def _refused(self) -> None:
        """That partner was busy, which is no fault: another one is not, perhaps."""
        self._refusals = (self._refusals + 1) % TRIES
        self._wanted = self._wanted or self._refusals > 0
        self._not_before = self._clock.seconds() + BUSY_WAIT * (0.5 + self._random())

    def _failed(self, failure: Failure, partner: bytes) -> None:
        if failure.check(ShareError, CancelledError) is None:
            _log.failure("a SYNC failed", failure)
        _log.debug("a SYNC came to nothing: {why}", why=failure.getErrorMessage())
        now = self._clock.seconds()
        self._shunned.put(partner, now + SHUN)
        wait = min(RETRY_MOST, RETRY_FIRST * RETRY_FACTOR**self._failures)
        self._not_before = now + wait * (0.5 + self._random())
        self._failures = (self._failures + 1) % TRIES
        self._wanted = self._wanted or self._failures > 0
