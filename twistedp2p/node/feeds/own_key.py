"""What comes signed with our own key, though we did not send it.

Either we did, and have forgotten it: the memory was lost, or an older copy of it put back. Then
our log goes on under a later epoch, for its numbers must never be used twice. Or somebody has a
copy of our key: a disk, or a virtual machine, was cloned and both run. Then one of the two takes
a new identity: the one that started later, which its message numbers tell (they begin with the
second of the start). Stamps and numbers prove no such twin, for what an earlier run of ours has
signed can be replayed, and its clock may have been wrong, or our memory of it gone. What proves it
is an answer: whoever seems to be one is sent a ping, and only who has our key can sign the pong
with the bits that we have just drawn. We answer a twin's pings, and never our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed
from twistedp2p.core.limits import Buckets, CappedTable, TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import Ping, Pong
from twistedp2p.node.feeds.own_feed import BOOT_SHIFT

EPOCH_WAIT = 3.0  # seconds until a later epoch begins: a twin that hears us may go first
EPOCHS_MOST = 3  # that we begin in one run; one lost log needs one
TWIN_PATIENCE = 120.0  # seconds that a later twin, which answers all the while, has to go
AHEAD = 1000  # numbers above a twin's: more than it sends before our answer is there
TWIN_SILENCE = 60.0  # seconds without an answer of it, after which it is another that comes
# Sources are easily forged: who has recorded us must not have us flood somebody, nor drown a twin.
ADDRESS_RATE, ADDRESS_BURST = 1 / 3, 2.0  # pings to one address
ALL_RATE, ALL_BURST = 10.0, 50.0  # pings
ASKED_MOST = 500  # pings that wait for their pong: of the last 45 seconds


class Ours(Protocol):
    """What of `OwnFeed` is needed: our feed, and the last message that we signed."""

    last: Signed

    @property
    def epoch(self) -> int: ...

    def has_published(self, entry: Signed) -> bool: ...

    def skip_to(self, number: int) -> None: ...


class Told(Protocol):
    """Who is told what it means."""

    def log_lost(self, epoch: int) -> None:
        """Our log must go on under that epoch."""

    def twin_stays(self) -> None:
        """A twin that was here before us is here: we need a new identity."""

    def be_heard(self) -> None:
        """There may be a twin that came after us: let a beacon of ours follow."""

    def ping(self, ping: Ping, address: Address) -> None:
        """Send that ping to one address."""

    def answer(self, ping: Signed, address: Address) -> None:
        """Somebody who has our key pings us, now or once: answer as anybody's."""


class OwnKey:
    """Watches over our key. `since` is the group's time of our start, in ms since 1970;
    `draw` gives the train of a ping, 16 random hex digits."""

    def __init__(
        self,
        ours: Ours,
        told: Told,
        *,
        agenda: Agenda,
        since: int,
        seconds: Callable[[], float],
        draw: Callable[[], str],
    ) -> None:
        self._ours = ours
        self._told = told
        self._agenda = agenda
        self._since = since
        self._seconds = seconds
        self._first = ours.last.number  # of this run
        self._epochs = 0
        self._seen = 0  # the latest epoch, not ours, under which the next one must not be
        self._twin_first = self._twin_last = float("-inf")  # seconds
        self._draw = draw
        self._asked: CappedTable[str, bool] = CappedTable(ASKED_MOST)  # by train
        self._pings: Buckets[Address] = Buckets(ADDRESS_RATE, ADDRESS_BURST)
        self._all_pings = TokenBucket.full(ALL_RATE, ALL_BURST, seconds())

    def heard(self, message: Signed, address: Address) -> None:
        """A message or entry that our key has signed came from there; raises `BadBody`."""
        if message.log is not None:
            self.heard_entry(message)
        elif message.kind == "pong":
            if self._asked.pop(Pong.read(message.body).train):
                self._twin(message)
        elif message.kind == "ping":
            if Ping.read(message.body).train not in self._asked:
                # Our answer goes on above its number: by that it knows who was here first.
                self._suspect(message, address)
                self._told.answer(message, address)
        else:
            self._suspect(message, address)

    def _suspect(self, message: Signed, address: Address) -> None:
        """Find out whether there is a twin, where what came may be of one."""
        if message.stamp > self._since and not self._is_echo(message):
            self._ours.skip_to(message.number + AHEAD)  # else who heard it drops ours as replays
            now = self._seconds()
            if self._pings.take(address, now) and self._all_pings.take(now):
                ping = Ping(self._draw(), 1)
                self._asked.put(ping.train, True)
                self._told.ping(ping, address)
        if message.epoch > self._ours.epoch:
            self._later_epoch(message.epoch)

    def heard_entry(self, entry: Signed) -> None:
        """An entry that our key has signed came, by whichever way."""
        ours = self._ours
        later = entry.epoch > ours.epoch
        if later or (entry.epoch == ours.epoch and not ours.has_published(entry)):
            self._later_epoch(entry.epoch)

    def _later_epoch(self, epoch: int) -> None:
        if epoch == MAX_NUMBER or self._epochs == EPOCHS_MOST:  # somebody goes on and on
            self._told.twin_stays()
            return
        if not self._seen:
            self._agenda.at(self._seconds() + EPOCH_WAIT, self._begin_epoch)
            self._told.be_heard()
        self._seen = max(self._seen, epoch)

    def _begin_epoch(self, now: float) -> None:
        epoch, self._seen = self._seen, 0
        self._epochs += 1
        self._told.log_lost(epoch + 1)

    def _is_echo(self, message: Signed) -> bool:
        """Whether we sent it in this run, or may have: a twin that is behind hears us."""
        last = self._ours.last
        return self._first <= message.number < last.number or message.raw == last.raw

    def _twin(self, message: Signed) -> None:
        """Somebody else has signed what we have asked for."""
        if self._goes_first(message):
            self._told.twin_stays()
            return
        now = self._seconds()
        if now - self._twin_last > TWIN_SILENCE:
            self._twin_first = now
        self._twin_last = now
        if now - self._twin_first > TWIN_PATIENCE:
            self._told.twin_stays()
            return
        self._ours.skip_to(message.number + AHEAD)
        self._told.be_heard()

    def _goes_first(self, message: Signed) -> bool:
        """Whether the twin keeps the identity: it comes to the same at its end."""
        theirs, ours = message.number >> BOOT_SHIFT, self._first >> BOOT_SHIFT
        if theirs != ours:
            return theirs < ours
        last = self._ours.last
        if message.number != last.number:  # of a running machine: who has said more stays
            return message.number > last.number
        return message.raw > last.raw
