"""What is done again and again: a turn, a pause, the next turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


class Again:
    """Awaits `turn()`, which returns the seconds until the next turn.

    One that fails is logged as `what`, and the next one comes `pause` seconds later.
    """

    def __init__(
        self, turn: Callable[[], Coroutine[Any, Any, float]], *, pause: float, what: str, clock: Any
    ) -> None:
        self._turn = turn
        self._pause = pause
        self._what = what
        self._clock = clock
        self._next: IDelayedCall | None = None
        self._under_way: Deferred[None] | None = None
        self._stopped = False

    def start(self, wait: float = 0.0) -> None:
        """Do it after `wait` seconds, and go on."""
        if not self._stopped:
            self._next = self._clock.callLater(wait, self._begin)

    def stop(self) -> None:
        """Do it no more; what a turn awaits is cancelled."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._under_way is not None:
            self._under_way.cancel()

    def _begin(self) -> None:
        turn = Deferred.fromCoroutine(self._turn())
        turn.addErrback(self._failed)
        self._under_way = turn.addCallback(self.start)

    def _failed(self, failure: Failure) -> float:
        if not (self._stopped and failure.check(CancelledError)):
            _log.failure("{what}", failure, what=self._what)
        return self._pause
