"""A timeout that is put off each time something moves, at next to no cost."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls `expired` once nothing has been noted for the span that was set last."""

    def __init__(self, clock: IReactorTime, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._call: IDelayedCall | None = None
        self._seconds = 0.0
        self.last = clock.seconds()  # when something moved

    def set(self, seconds: float) -> None:
        """Begin a span of that many seconds now."""
        self._seconds = seconds
        self.moved()
        if self._call is not None and self._call.active():
            self._call.reset(seconds)
        else:
            self._call = self._clock.callLater(seconds, self._due)

    def moved(self) -> None:
        """Begin the span anew. Done for every chunk, so no timer is touched here."""
        self.last = self._clock.seconds()

    def stop(self) -> None:
        """Expire no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _due(self) -> None:
        left = self.last + self._seconds - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._due)
        else:
            self._expired()
