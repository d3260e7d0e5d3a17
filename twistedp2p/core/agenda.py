"""What is to be done later: calls with their times, as plain numbers.

Pure code that has timers puts them here and is called back by `due`; whoever drives it has the
clock, and looks again at `next_due`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Appointment:
    """One call that is to be made, until it was made or is cancelled."""

    __slots__ = ("arguments", "at", "call")

    def __init__(self, at: float, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.at = at  # seconds
        self.call: Callable[..., object] | None = call
        self.arguments = arguments

    def __lt__(self, other: Appointment) -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """Do not make this call."""
        self.call = None


class Agenda:
    """Calls in the order of their times. Each is given `now`, then its own arguments."""

    def __init__(self) -> None:
        self._heap: list[Appointment] = []

    def at(self, at: float, call: Callable[..., object], *arguments: object) -> Appointment:
        """Have `call(now, *arguments)` made at `at` seconds, or at the next `due` after."""
        appointment = Appointment(at, call, arguments)
        heapq.heappush(self._heap, appointment)
        return appointment

    def next_due(self) -> float | None:
        """When the next call is to be made, in seconds; None when there is none."""
        while self._heap and self._heap[0].call is None:
            heapq.heappop(self._heap)
        return self._heap[0].at if self._heap else None

    def due(self, now: float) -> None:
        """Make all calls that are due; what one of them raises leaves the others in place."""
        while (at := self.next_due()) is not None and at <= now:
            appointment = heapq.heappop(self._heap)
            call, appointment.call = appointment.call, None
            assert call is not None
            call(now, *appointment.arguments)

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
