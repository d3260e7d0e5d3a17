"""Keeping the node's memory tidy, and in it what the group's time was, while the node runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twistedp2p.core.clock import HybridClock
from twistedp2p.disk.store import Store
from twistedp2p.net.pump import InThread
from twistedp2p.node.memory import Notes

TIDY_EVERY = 10.0  # seconds
KEPT_AHEAD = 2 * TIDY_EVERY  # seconds that the kept time is ahead, while the node runs
CLOCK = "clock"  # counter: what the group's time was, milliseconds since 1970

_log = Logger()


class Tidying:
    """Of one memory. `wall` is the time of day in seconds since 1970."""

    def __init__(
        self, store: Store, *, clock: Any, wall: Callable[[], float], in_thread: InThread
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall = wall
        self._in_thread = in_thread
        self._notes = Notes()
        self._next: IDelayedCall | None = None
        self._stopped = False
        #: The group's time, which goes on above the stamps of earlier runs.
        self.group_time = HybridClock(
            max(store.latest_stamp(), store.counter(CLOCK)), self._now_ms()
        )

    def start(self, _: object = None) -> None:
        """Tidy every now and then from now on."""
        if not self._stopped:
            self._next = self._clock.callLater(TIDY_EVERY, self._tidy)

    def stop(self) -> None:
        """Tidy no more."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _tidy(self) -> None:
        if self.group_time.read(self._now_ms()) > self._now_ms():
            # Ahead of it: were we killed, what we said since then would be above it; and sent again
            # to our next run, it would seem to come from somebody who has our key.
            self.keep_time(KEPT_AHEAD)
        done = self._in_thread(self._notes.note, self._store.tidy, self._now_ms())
        done.addErrback(lambda failure: _log.failure("tidying the memory", failure))
        done.addCallback(self.start)

    def keep_time(self, ahead: float = 0.0) -> None:
        """Keep what the group's time is, `ahead` seconds later."""
        time = self.group_time.read(self._now_ms()) + int(ahead * 1000)
        self._notes.note(self._store.set_counter, CLOCK, time)

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
