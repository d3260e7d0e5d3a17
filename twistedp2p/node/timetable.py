"""The agenda of one node, driven by the reactor's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from twistedp2p.core.agenda import Agenda, Appointment


class Timetable(Agenda):
    """An `Agenda` whose calls are made when they are due, by `clock`."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock
        self._call: IDelayedCall | None = None

    def at(self, at: float, call: Callable[..., object], *arguments: object) -> Appointment:
        """Have `call(now, *arguments)` made at `at` seconds of the clock, or as soon after."""
        appointment = super().at(at, call, *arguments)
        self._look()
        return appointment

    def _look(self) -> None:
        at = self.next_due()
        if at is None:
            return
        wait = max(0.0, at - self._clock.seconds())
        if self._call is None or not self._call.active():
            self._call = self._clock.callLater(wait, self._go)
        elif self._call.getTime() > at:
            self._call.reset(wait)

    def _go(self) -> None:
        self._call = None
        try:
            self.due(self._clock.seconds())
        finally:
            self._look()

    def clear(self) -> None:
        """Forget everything, and leave no call with the clock."""
        super().clear()
        if self._call is not None and self._call.active():
            self._call.cancel()
