"""How fast something comes, so that as much is asked for ahead as will come in a moment.

Less would leave the link idle; more would wait in the other end's queue, where it is in the way of
what is asked for later, and could have been asked of others.
"""

from __future__ import annotations

import attrs

WINDOW = 1.0  # seconds: what came before counts less and less


@attrs.define
class Pace:
    """What one source sends, measured while something is asked of it. `now` is in seconds."""

    _bytes: float = 0.0
    _seconds: float = 0.0
    _at: float | None = None  # when it was looked at last; None while nothing is asked

    def asked(self, now: float) -> None:
        """Something is asked of it; no matter if something was before."""
        if self._at is None:
            self._at = now

    def came(self, size: int, now: float, *, last: bool) -> None:
        """So many bytes came; `last`: nothing more is asked for."""
        self._bytes += size
        self._seconds += now - self._at if self._at is not None else 0.0
        self._at = None if last else now
        if self._seconds > WINDOW:
            self._bytes *= WINDOW / self._seconds
            self._seconds = WINDOW

    def of(self, seconds: float) -> float:
        """Bytes that will come in so many seconds; 0 before anything has."""
        return seconds * self._bytes / self._seconds if self._seconds else 0.0
