"""One end of a SYNC, from its first record on: says what the other lacks, takes in what comes.

Both ends are alike (`calls.sync` has the states, `calls.records` the bytes). Work is done in turns
of some milliseconds, so that a partner with a hundred thousand offers holds up nothing: what is
said is made as the connection takes it (an IPushProducer), and when more comes than has been
taken in, reading waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twistedp2p.core.calls.conversation import Violation
from twistedp2p.core.calls.records import BadRecord, Records
from twistedp2p.core.calls.sync import (
    MAX_FEEDS,
    MAX_PEERS_TOLD,
    Ended,
    Entry,
    Exchange,
    Heard,
    Learnt,
    LivePeer,
    Replica,
    Settled,
    Theirs,
    say_difference,
    say_peers,
    say_vector,
)
from twistedp2p.core.datagrams.body import DAMAGED
from twistedp2p.core.datagrams.datagram import BadDatagram, Signed, parse, verify
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.feeds.feed import Have
from twistedp2p.net.deadline import Deadline

STALL = 30.0  # seconds without progress
WHOLE = 300.0  # seconds for all of it; what is not done by then is for another time
PROGRESS = 16_384  # bytes: a byte now and then is no progress
HEAR_SLICE = 16  # records taken in at once: signatures, and one transaction, of a few ms in all
SAY_SLICE = 64  # records said at once
READ_AHEAD = 65_536  # bytes that wait to be taken in; reading waits when there are more

_log = Logger()


class Visit(Protocol):
    """Who takes what comes from one partner. Any method may raise `ShareError`."""

    def take(self, entries: Sequence[Signed]) -> None:
        """Entries whose signatures are right, in the order they came."""

    def settled(self, have: Have) -> None:
        """All that the partner keeps of a feed up to these numbers was given to `take`."""

    def brought(self, count: int) -> None:
        """So many of the entries that were given to `take` are here now, and were not before."""

    def learnt(self, peers: Sequence[LivePeer]) -> None:
        """Who else is here, as the partner says."""

    def dropped(self, reason: str) -> None:
        """Something was left out, and why."""

    def heard_all(self) -> None:
        """The partner has said all that it had for us; we may go on."""

    def gone(self) -> None:
        """The connection is no more."""


@implementer(IPushProducer)
class SyncTalk:
    """A `net.talk.Talk`: one conversation, at either end. `group` as it is signed."""

    def __init__(
        self,
        replica: Replica,
        visit: Visit,
        peers: Sequence[LivePeer],
        group: bytes,
        clock: IReactorTime,
    ) -> None:
        self._replica = replica
        self._visit = visit
        self._peers = peers
        self._group = group
        self._clock = clock
        self._deadline = Deadline(clock, self._cut)
        self._end_at: IDelayedCall | None = None
        self._turn_call: IDelayedCall | None = None
        self._exchange = Exchange()
        self._records = Records()
        self._mine: Sequence[Have] = ()
        self._saying: Iterator[bytes] | None = None
        self._taking: list[Signed] = []
        self._paused = self._reading_paused = False  # our saying; their saying
        self._moved = 0  # bytes, either way, whatever they say
        self._gained = 0  # bytes that one of the two did not have
        self.gained_at = clock.seconds()  # when it was of use last
        self._said_all = self._over = False
        self._transport: Any = None

    def cut(self) -> None:
        """End it, whatever it does."""
        if self._transport is not None:
            self._cut()

    # -- net.talk.Talk

    def begin(self, transport: Any) -> None:
        """Say our vector and who is here; listen."""
        self._transport = transport
        self._deadline.set(STALL)
        self.gained_at = self._clock.seconds()
        self._end_at = self._clock.callLater(WHOLE, self._cut)
        try:
            self._mine = self._replica.vector()[:MAX_FEEDS]
        except ShareError as error:
            self._failed(error)
            return
        self._saying = chain(say_vector(self._mine), say_peers(self._peers[:MAX_PEERS_TOLD]))
        transport.registerProducer(self, True)
        self._soon()

    def received(self, data: bytes) -> None:
        """Some records, or parts of them."""
        if self._over:
            return
        self._records.feed(data)
        self._progress(len(data))
        if self._exchange.state == "vector":
            self._gain(len(data))
        if len(self._records) > READ_AHEAD and not self._reading_paused:
            self._reading_paused = True
            self._transport.pauseProducing()
        self._soon()

    def lost(self) -> None:
        """The connection is gone; raises `ShareError` when not all had been said and heard."""
        whole = self._is_whole
        self._over = True
        self._deadline.stop()
        for call in (self._end_at, self._turn_call):
            if call is not None and call.active():
                call.cancel()
        self._saying = None
        self._visit.gone()
        if not whole:
            raise ShareError(N_("The connection broke off."))

    # -- IPushProducer

    def pauseProducing(self) -> None:
        """Called by Twisted: the connection takes no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Called by Twisted: go on."""
        self._paused = False
        self._soon()

    def stopProducing(self) -> None:
        """Called by Twisted: the connection is gone."""
        self._paused = True

    # -- turns

    def _soon(self) -> None:
        if self._turn_call is None and not self._over:
            self._turn_call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._turn_call = None
        try:
            more = self._hear()
            more = self._say() or more
        except (Violation, BadRecord) as error:
            _log.debug("a SYNC that does not keep to the protocol: {error}", error=error)
            self._cut()
        except ShareError as error:
            self._failed(error)
        else:
            self._after_turn(more)

    def _after_turn(self, more: bool) -> None:
        if self._is_whole:
            self._over = True
            self._transport.loseConnection()  # the deadline goes on, should the other end not
        elif more:
            self._soon()

    @property
    def _is_whole(self) -> bool:
        return self._said_all and self._exchange.state == "ended"

    def _progress(self, size: int) -> None:
        self._moved += size
        if self._moved >= PROGRESS:
            self._moved = 0
            self._deadline.moved()

    def _gain(self, size: int) -> None:
        """Bytes that one of the two did not have: what is said again and again is of no use."""
        self._gained += size
        if self._gained >= PROGRESS:
            self._step()

    def _step(self) -> None:
        self._gained = 0
        self.gained_at = self._clock.seconds()

    def _failed(self, error: ShareError) -> None:
        _log.error("a SYNC was broken off: {error}", error=str(error))
        self._cut()

    def _cut(self) -> None:
        self._over = True
        self._transport.abortConnection()

    # -- hearing

    def _hear(self) -> bool:
        """Take in the next records; whether there are more."""
        heard = 0
        try:
            while heard < HEAR_SLICE and (one := self._records.next()) is not None:
                heard += 1
                self._heard(self._exchange.heard(*one))
        finally:
            self._take()
        if self._reading_paused and len(self._records) <= READ_AHEAD // 2:
            self._reading_paused = False
            self._transport.resumeProducing()
        return heard == HEAR_SLICE

    def _heard(self, heard: Heard | None) -> None:
        if isinstance(heard, Entry):
            self._heard_entry(heard.raw)
        elif isinstance(heard, Settled):
            self._take()
            self._visit.settled(heard.have)
        elif isinstance(heard, Learnt):
            self._visit.learnt(heard.peers)
        elif isinstance(heard, Theirs):
            self._deadline.moved()
            self._step()
            difference = say_difference(self._replica, self._mine, heard.vector)
            self._saying = chain(self._saying or (), difference)
        elif isinstance(heard, Ended):
            self._deadline.moved()
            self._step()
            self._visit.heard_all()

    def _heard_entry(self, raw: bytes) -> None:
        """An honest partner has checked what it keeps: a signature that is wrong is a lie.

        What another version of the program keeps may not be understood, and is left out.
        """
        try:
            signed = parse(raw)
        except BadDatagram:
            self._visit.dropped(DAMAGED)
            return
        if not isinstance(signed, Signed) or signed.log is None:
            raise Violation("something that is no entry")
        if self._replica.has(signed):  # others tell us the same at the same time
            return
        if not verify(signed, self._group):
            raise Violation("a wrong signature")
        self._taking.append(signed)

    def _take(self) -> None:
        entries, self._taking = self._taking, []
        if entries:
            self._visit.take(entries)
            # Not all that is told is taken, and the same may come some times in one turn.
            new = {(e.key, e.log, e.number): len(e.raw) for e in entries if self._replica.has(e)}
            self._gain(sum(new.values()))
            self._visit.brought(len(new))

    # -- saying

    def _say(self) -> bool:
        """Say the next records; whether there are more to say at once."""
        if self._paused or self._saying is None:
            return False
        records = list(islice(self._saying, SAY_SLICE))
        data = b"".join(records)
        self._transport.write(data)
        self._progress(len(data))
        self._gain(len(data))
        if len(records) == SAY_SLICE:
            return True
        self._saying = None
        if self._exchange.state != "vector":  # the difference was the last of it
            self._said_all = True
            self._transport.unregisterProducer()
        return False
