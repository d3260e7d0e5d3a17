"""Sending entries again for those who lack them: paced, bounded, and each asker in its turn.

Whoever holds an entry may send it. The publisher does so at once, any other holder after a
random wait, unless it hears that another has. Repairs go to the whole group, for others lack the
same; so all that is sent again, by whomever, draws on one budget that each node counts for
itself: a crowd of holders sends together hardly more than one of them might.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

import attrs

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.feeds.requests import Gone
from twistedp2p.core.limits import TokenBucket

GROUP_RATE, GROUP_BURST = 100.0, 200.0  # entries sent again in the whole group
RESERVE_RATE = 50.0  # entries a second that all nodes together send when the budget is used up
MAX_JOBS = 64  # asks that wait
MAX_JOBS_EACH = 3  # of them of one host, however many ports it asks from
RECENT = 256  # entries that are remembered as sent again
SPACING = 0.002  # seconds in which the others hear what was sent
HOLD_OFF = 0.25  # seconds in which an entry is not sent again: less than between two asks
LASTS = 3.0  # seconds: whoever still lacks something has asked again by then


Repair = bytes | Gone  # the signed bytes of an entry; or that some are no more


class Sending(Protocol):
    """What is needed to send."""

    def tell(self, kind: str, body: str, to: Hashable | None) -> object:
        """Send a message to everybody, or to one address."""

    def repeat(self, raw: bytes, to: Hashable | None) -> None:
        """Send signed bytes of old to everybody, or to one address."""


@attrs.define
class _Job:
    """What is to be sent for one ask."""

    since: float  # seconds
    repairs: Iterator[Repair]
    to: Hashable | None
    next: Repair | None = None


class Repairs:
    """The entries that are about to be sent again.

    `pace` is that of all that this node sends, `nodes` the size of the group, and `backoff` gives
    a random wait, after which of the whole group a few speak first.
    """

    def __init__(
        self,
        agenda: Agenda,
        sending: Sending,
        pace: TokenBucket,
        *,
        nodes: Callable[[], int],
        backoff: Callable[[], float],
    ) -> None:
        self._agenda = agenda
        self._sending = sending
        self._pace = pace
        self._nodes = nodes
        self._backoff = backoff
        self._budget = TokenBucket.full(GROUP_RATE, GROUP_BURST, pace.at)
        self._reserve = TokenBucket(RESERVE_RATE, 1.0, 0.0, pace.at)
        self._waiting: OrderedDict[Hashable, deque[_Job]] = OrderedDict()
        self._jobs: dict[Hashable, int] = {}  # of each host, those still in the agenda too
        self._recent: OrderedDict[Repair, float] = OrderedDict()
        self._going = False

    def __len__(self) -> int:
        return sum(self._jobs.values())

    def heard_again(self, raw: bytes, now: float) -> None:
        """An entry that was here already came once more: somebody has sent it again."""
        self._note(raw, now)
        self._budget.spend(now)

    def _note(self, repair: Repair, now: float) -> None:
        self._recent[repair] = now
        self._recent.move_to_end(repair)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def put(
        self, at: float, host: Hashable, repairs: Iterator[Repair], to: Hashable | None = None
    ) -> bool:
        """From `at` seconds on send `repairs` for `host`, to all or to one address.

        They are read one by one as they are sent, for `LASTS` seconds. False when there is no room.
        """
        jobs = self._jobs.get(host, 0)
        if jobs >= MAX_JOBS_EACH or len(self) >= MAX_JOBS:
            return False
        self._jobs[host] = jobs + 1
        self._agenda.at(at, self._begin, host, _Job(at, repairs, to))
        return True

    def _begin(self, now: float, host: Hashable, job: _Job) -> None:
        self._waiting.setdefault(host, deque()).append(job)
        if not self._going:
            self._go(now)

    def _go(self, now: float) -> None:
        """Send what the pace allows, one of each host in turn."""
        self._going = False
        while self._waiting:
            host, jobs = next(iter(self._waiting.items()))
            job = jobs[0]
            if now > job.since + LASTS or not self._has_next(job):
                self._end(host, jobs)
                continue
            if not (wait := self._wait(job, now)):
                self._send(job, now)
                self._waiting.move_to_end(host)
                wait = SPACING if job.to is None else 0.0
            if wait:
                self._going = True
                self._agenda.at(now + wait, self._go)
                return

    def _send(self, job: _Job, now: float) -> None:
        repair, job.next = job.next, None
        assert repair is not None
        self._note(repair, now)
        if isinstance(repair, Gone):
            self._sending.tell("gone", repair.write(), job.to)
        else:
            self._sending.repeat(repair, job.to)

    def _has_next(self, job: _Job) -> bool:
        """Find the next repair of a job that nobody has sent since shortly before."""
        since = job.since - HOLD_OFF
        while job.next is None or self._recent.get(job.next, since) > since:
            job.next = next(job.repairs, None)
            if job.next is None:
                return False
        return True

    def _wait(self, job: _Job, now: float) -> float:
        """Draw what one repair of a job costs: 0.0, or the seconds to wait before trying again."""
        if self._pace.whole(now) < 1:
            return self._pace.wait(now)
        self._reserve.rate = RESERVE_RATE / max(1, self._nodes())
        if job.to is None and not self._budget.take(now) and not self._reserve.take(now):
            # Not all at the moment when the budget, which is everybody's, has room again.
            return min(self._budget.wait(now), self._reserve.wait(now)) + self._backoff()
        self._pace.take(now)
        return 0.0

    def _end(self, host: Hashable, jobs: deque[_Job]) -> None:
        jobs.popleft()
        if not jobs:
            del self._waiting[host]
        self._jobs[host] -= 1
        if not self._jobs[host]:
            del self._jobs[host]
