"""A watched folder: what is put in is offered, what is taken out withdrawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Event, Notice
from twistedp2p.disk.look import State, look
from twistedp2p.net.pump import InThread

LOOK_EVERY = 2.0  # seconds; what was the same at two looks is at rest
AT_ONCE = 4  # offers that are made at the same time
GONE_AT_ONCE, GONE_EVERY = 10, 0.2  # offers withdrawn in one go; seconds to the next look then

_log = Logger()


class Offering(Protocol):
    """What of `Shares` is needed."""

    def offer(self, path: str, password: str, public: bool) -> Coroutine[Any, Any, Any]: ...

    def withdraw(self, name: str) -> None: ...


@attrs.define
class _Row:
    """A file or folder in it."""

    seen: State  # at the last look
    tried: State | None = None  # when it was last offered, or could not be
    name: str = ""  # under which it is on offer
    under_way: bool = False


class SharedFolder:
    """Looks again and again at `path`; all that is in it has one password, or is public.

    Each run offers all of it anew: the password may be another one.
    """

    def __init__(
        self,
        path: str,
        offering: Offering,
        emit: Callable[[Event], None],
        *,
        password: str,
        public: bool,
        clock: Any,
        in_thread: InThread,
    ) -> None:
        self._path = path
        self._offering = offering
        self._emit = emit
        self._password = password
        self._public = public
        self._clock = clock
        self._in_thread = in_thread
        self._rows: dict[str, _Row] = {}
        self._places = DeferredSemaphore(AT_ONCE)
        self._next: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Look at once, and go on looking."""
        self._next = self._clock.callLater(0, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _look(self) -> None:
        looked = self._in_thread(look, self._path)
        looked.addCallback(self._looked).addErrback(self._not_looked)

    def _not_looked(self, failure: Failure) -> None:
        _log.failure("looking at {path}", failure, path=self._path)
        if not self._stopped:
            self._next = self._clock.callLater(LOOK_EVERY, self._look)

    def _looked(self, found: dict[str, State]) -> None:
        if self._stopped:
            return
        gone = [name for name, row in self._rows.items() if name not in found]
        for name in gone[:GONE_AT_ONCE]:
            self._withdraw(name)
        for name, state in found.items():
            row = self._rows.setdefault(name, _Row(()))
            at_rest, row.seen = row.seen == state, state
            if at_rest and row.tried != state and not row.under_way:
                row.under_way = True
                made = Deferred.fromCoroutine(self._offer(name, row))
                made.addErrback(lambda failure: _log.failure("offering what was put in", failure))
        pause = GONE_EVERY if len(gone) > GONE_AT_ONCE else LOOK_EVERY
        self._next = self._clock.callLater(pause, self._look)

    async def _offer(self, name: str, row: _Row) -> None:
        async with self._places:
            if self._stopped or self._rows.get(name) is not row:
                return
            row.tried = row.seen
            path = os.path.join(self._path, name)
            try:
                offered = await self._offering.offer(path, self._password, self._public)
            except ShareError as error:
                if not self._stopped:
                    self._emit(Notice(error.sentence, error.values))
                return
            finally:
                row.under_way = False
            row.name = offered.offer.name
            if self._rows.get(name) is not row:  # it was taken out meanwhile
                self._take_back(row)

    def _withdraw(self, name: str) -> None:
        self._take_back(self._rows.pop(name))

    def _take_back(self, row: _Row) -> None:
        if row.name:
            try:
                self._offering.withdraw(row.name)
            except ShareError as error:  # mostly: it was found out already
                _log.debug("{error}", error=str(error))
