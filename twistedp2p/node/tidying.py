"""Keeping the node's memory tidy, and in it what the group's time was, while the node runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistedp2p.core.clock import HybridClock
from twistedp2p.disk.store import Store
from twistedp2p.net.pump import InThread
from twistedp2p.node.again import Again
from twistedp2p.node.memory import Notes

TIDY_EVERY = 10.0  # seconds
KEPT_AHEAD = 2 * TIDY_EVERY  # seconds that the kept time is ahead, while the node runs
CLOCK = "clock"  # counter: what the group's time was, milliseconds since 1970


class Tidying:
    """Of one memory. `wall` is the time of day in seconds since 1970."""

    def __init__(
        self, store: Store, *, clock: Any, wall: Callable[[], float], in_thread: InThread
    ) -> None:
        self._store = store
        self._wall = wall
        self._in_thread = in_thread
        self._notes = Notes()
        self._again = Again(self._tidy, pause=TIDY_EVERY, what="tidying the memory", clock=clock)
        #: The group's time, which goes on above the stamps of earlier runs.
        self.group_time = HybridClock(
            max(store.latest_stamp(), store.counter(CLOCK)), self._now_ms()
        )

    def start(self) -> None:
        """Tidy every now and then from now on."""
        self._again.start(TIDY_EVERY)

    def stop(self) -> None:
        """Tidy no more."""
        self._again.stop()

    async def _tidy(self) -> float:
        if self.group_time.read(self._now_ms()) > self._now_ms():
            # Ahead of it: were we killed, what we said since then would be above it; and sent again
            # to our next run, it would seem to come from somebody who has our key.
            self.keep_time(KEPT_AHEAD)
        await self._in_thread(self._notes.note, self._store.tidy, self._now_ms())
        return TIDY_EVERY

    def keep_time(self, ahead: float = 0.0) -> None:
        """Keep what the group's time is, `ahead` seconds later."""
        time = self.group_time.read(self._now_ms()) + int(ahead * 1000)
        self._notes.note(self._store.set_counter, CLOCK, time)

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
