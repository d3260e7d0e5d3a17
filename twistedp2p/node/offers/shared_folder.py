"""A watched folder: what is put in is offered, what is taken out withdrawn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Event, Notice, OfferGone
from twistedp2p.disk.offered.look import State, look
from twistedp2p.net.pump import InThread
from twistedp2p.node.again import Again

LOOK_EVERY = 2.0  # seconds; what was the same at two looks is at rest
LOOK_PART = 50  # a look that takes long is followed by a pause so many times as long
AT_ONCE = 4  # offers that are made at the same time
GONE_AT_ONCE, GONE_EVERY = 10, 0.2  # offers withdrawn in one go; seconds to the next look then
AGAIN_FIRST, AGAIN_MOST = 10.0, 600.0  # seconds from a try to the next; doubled each time

_log = Logger()


class Offering(Protocol):
    """What of `Shares` is needed."""

    def mark(self, path: str, password: str, public: bool) -> Coroutine[Any, Any, bytes]: ...

    def shared(self) -> dict[str, str]: ...

    def offer(
        self, path: str, password: str, public: bool, shared: str
    ) -> Coroutine[Any, Any, Any]: ...

    def withdraw(self, name: str) -> None: ...


@attrs.define
class _Row:
    """A file or folder in it."""

    seen: State = ()  # at the last look
    offered: State | None = None  # in which it is on offer
    name: str = ""  # under which it is
    under_way: bool = False
    not_before: float = 0.0  # seconds: when it is tried again
    pause: float = AGAIN_FIRST  # seconds from the next try to the one after it
    told: str = ""  # why it failed

    def put_off(self, now: float) -> None:
        """It is tried once more; where it is needed again, that is later each time."""
        self.not_before = now + self.pause
        self.pause = min(2 * self.pause, AGAIN_MOST)


class SharedFolder:
    """Looks again and again at `path`; all that is in it has one password, or is public.

    What an earlier run offered of it, in the same state and under the same password, stays.
    """

    def __init__(
        self,
        path: str,
        offering: Offering,
        emit: Callable[[Event], None],
        follow: Callable[[Callable[[Event], None]], Callable[[], None]],
        *,
        password: str,
        public: bool,
        clock: Any,
        in_thread: InThread,
    ) -> None:
        """`follow`: has every event told to what it is given; what it returns ends that."""
        self._path = path
        self._offering = offering
        self._emit = emit
        self._follow = follow
        self._password = password
        self._public = public
        self._clock = clock
        self._in_thread = in_thread
        self._mark = b""
        self._rows: dict[str, _Row] = {}
        self._lost: set[str] = set()  # names of offers that were given up since the last look
        self._places = DeferredSemaphore(AT_ONCE)
        self._again = Again(self._look, pause=LOOK_EVERY, what=f"looking at {path}", clock=clock)
        self._ending: list[Callable[[], None]] = []
        self._stopped = False

    def start(self) -> None:
        """Look at once, and go on looking."""
        self._ending.append(self._follow(self._heard))
        self._again.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._again.stop()
        while self._ending:
            self._ending.pop()()

    def _heard(self, event: Event) -> None:
        if isinstance(event, OfferGone) and event.own and event.why:  # nobody's wish
            self._lost.add(event.name)

    async def _look(self) -> float:
        self._mark = self._mark or await self._offering.mark(
            self._path, self._password, self._public
        )
        began = self._clock.seconds()
        found: dict[str, State] = await self._in_thread(look, self._path)
        pause = max(LOOK_EVERY, LOOK_PART * (self._clock.seconds() - began))
        gone = [name for name in self._rows if name not in found]
        for name in gone[:GONE_AT_ONCE]:
            self._take_back(self._rows.pop(name))
        self._offer_all([name for name, state in found.items() if self._is_wanted(name, state)])
        self._lost.clear()
        return GONE_EVERY if len(gone) > GONE_AT_ONCE else pause

    def _is_wanted(self, name: str, state: State) -> bool:
        """Whether it is at rest, and is to be offered now."""
        row = self._rows.setdefault(name, _Row())
        if row.name in self._lost:
            row.offered, row.name = None, ""
        if row.seen != state:
            row.seen, row.pause, row.not_before, row.told = state, AGAIN_FIRST, 0.0, ""
            return False
        due = row.not_before <= self._clock.seconds()
        return row.offered != state and due and not row.under_way

    def _offer_all(self, wanted: list[str]) -> None:
        known = self._offering.shared() if wanted else {}
        for name in wanted:
            row = self._rows[name]
            if earlier := known.get(self._origin(name, row.seen)):
                row.name, row.offered = earlier, row.seen
                continue
            row.under_way = True
            made = Deferred.fromCoroutine(self._offer(name, row))
            made.addErrback(lambda failure: _log.failure("offering what was put in", failure))

    def _origin(self, name: str, state: State) -> str:
        """What tells a later run that it offered just this."""
        what = repr((os.path.join(self._path, name), state))
        return hashlib.sha256(self._mark + what.encode(errors="surrogateescape")).hexdigest()

    async def _offer(self, name: str, row: _Row) -> None:
        async with self._places:
            if self._stopped or self._rows.get(name) is not row:
                return
            state, path = row.seen, os.path.join(self._path, name)
            try:
                row.put_off(self._clock.seconds())
                origin = self._origin(name, state)
                offered = await self._offering.offer(path, self._password, self._public, origin)
            except ShareError as error:
                self._tell(row, error)
                return
            finally:
                row.under_way = False
            row.name, row.offered = offered.offer.name, state
            if self._rows.get(name) is not row:  # it was taken out meanwhile
                self._take_back(row)

    def _tell(self, row: _Row, error: ShareError) -> None:
        if not self._stopped and row.told != error.sentence:
            row.told = error.sentence
            self._emit(Notice(error.sentence, error.values))

    def _take_back(self, row: _Row) -> None:
        if row.name:
            try:
                self._offering.withdraw(row.name)
            except ShareError as error:  # mostly: it was found out already
                _log.debug("{error}", error=str(error))
