"""What comes signed with our own key, though we did not send it.

Either we did, and have forgotten it: the memory was lost, or an older copy of it put back. Then
our log goes on under a later epoch, for its numbers must never be used twice. Or somebody has a
copy of our key: a disk, or a virtual machine, was cloned and both run. Then one of the two takes
a new identity: the one that started later, which its message numbers tell (they begin with the
second of the start). Replays prove nothing: only what was signed since our start does, by its
stamp, and numbers and signatures cannot be forged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed
from twistedp2p.node.feeds import BOOT_SHIFT

EPOCH_WAIT = 3.0  # seconds until a later epoch begins: a twin that hears us may go first
EPOCHS_MOST = 3  # that we begin in one run; one lost log needs one
TWIN_PATIENCE = 120.0  # seconds that a later twin, heard all the while, has to go: is it deaf?
TWIN_SILENCE = 60.0  # seconds without a word of it, after which it is another that comes


class Ours(Protocol):
    """What of `Feeds` is needed: our feed, and the last message that we signed."""

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


class OwnKey:
    """Watches over our key. `since` is the group's time of our start, in ms since 1970."""

    def __init__(
        self,
        ours: Ours,
        told: Told,
        *,
        agenda: Agenda,
        since: int,
        seconds: Callable[[], float],
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

    def heard(self, message: Signed) -> None:
        """A message or entry that our key has signed came from somewhere."""
        if message.log is not None:
            self._entry(message)
        elif message.stamp > self._since and not self._is_echo(message):
            self._twin(message)
        elif message.epoch > self._ours.epoch:
            self._later_epoch(message.epoch)

    def _entry(self, entry: Signed) -> None:
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
        self._ours.skip_to(message.number)  # else who heard the twin drops ours as replays
        if message.epoch > self._ours.epoch:
            self._later_epoch(message.epoch)
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
