"""Keeping the node's memory tidy, and in it what the group's time was, while the node runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistedp2p.core.clock import HybridClock
from twistedp2p.disk.memory.store import Store
from twistedp2p.net.pump import InThread
from twistedp2p.node.again import Again
from twistedp2p.node.memory import Notes

TIDY_EVERY = 10.0  # seconds
KEPT_AHEAD = 2 * TIDY_EVERY  # seconds that the kept time is ahead, while the node runs
BLINK = 1.0  # seconds that we may be ahead and not keep it at once: to start anew takes as long
CLOCK = "clock"  # counter: what the group's time was, milliseconds since 1970


class _Followed(HybridClock):
    """A clock that tells when it has followed somebody."""

    def __init__(self, last: int, now: int, told: Callable[[int], object]) -> None:
        super().__init__(last, now)
        self._told = told

    def follow(self, stamp: int, now: int) -> bool:
        """As any such clock."""
        followed = super().follow(stamp, now)
        if followed:
            self._told(self.read(now) - now)
        return followed


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
        self._kept = store.counter(CLOCK)
        #: The group's time, which goes on above the stamps of earlier runs.
        self.group_time: HybridClock = _Followed(
            max(store.latest_stamp(), self._kept), self._now_ms(), self._followed
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

    def _followed(self, ahead: int) -> None:
        """Somebody took us that many milliseconds ahead: the next look may come too late."""
        until_look = self._now_ms() + ahead + int(TIDY_EVERY * 1000)
        if ahead > BLINK * 1000 and until_look > self._kept:
            self.keep_time(KEPT_AHEAD)

    def keep_time(self, ahead: float = 0.0) -> None:
        """Keep what the group's time is, `ahead` seconds later."""
        self._kept = self.group_time.read(self._now_ms()) + int(ahead * 1000)
        self._notes.note(self._store.set_counter, CLOCK, self._kept)

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
