"""How far what takes long has come, told to the faces a few times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from twistedp2p.core.events import Event, Progress
from twistedp2p.node.again import Again

EVERY = 0.25  # seconds between two reports of one transfer
LOOK_EVERY = 65_536  # bytes between two looks at the clock
SMOOTHING = 0.3  # weight of the latest rate in the one that is shown


@attrs.define
class _Course:
    kind: str
    name: str
    size: int
    at: float
    told_at: float
    done: int = 0
    told: int = 0
    looked: int = 0
    rate: float = 0.0


class Courses:
    """The transfers under way, by number."""

    def __init__(self, seconds: Callable[[], float], emit: Callable[[Event], None]) -> None:
        self._seconds = seconds
        self._emit = emit
        self._last = 0
        self._courses: dict[int, _Course] = {}

    def __len__(self) -> int:
        return len(self._courses)

    def number(self) -> int:
        """A number that no transfer of this run had."""
        self._last += 1
        return self._last

    def begin(self, number: int, kind: str, name: str, size: int) -> None:
        """A transfer starts."""
        now = self._seconds()
        self._courses[number] = _Course(kind, name, size, now, now)

    def starts(self, number: int) -> None:
        """It has waited for its turn until now."""
        course = self._courses.get(number)
        if course is not None:
            course.at = course.told_at = self._seconds()

    def turns(self, number: int, kind: str) -> None:
        """From now on it does something else, and begins with that at 0."""
        course = self._courses.get(number)
        if course is not None:
            now = self._seconds()
            begun = _Course(kind, course.name, course.size, course.at, now)
            self._courses[number] = begun

    def moved(self, number: int, done: int, size: int | None = None) -> None:
        """It has come to `done` bytes."""
        course = self._courses.get(number)
        if course is None:
            return
        course.done = done
        course.size = course.size if size is None else size
        if done - course.looked < LOOK_EVERY and done != course.size:
            return
        course.looked = done
        now = self._seconds()
        if now - course.told_at >= EVERY:
            latest = (done - course.told) / (now - course.told_at)
            first = not course.told
            course.rate += (1.0 if first else SMOOTHING) * (latest - course.rate)
            course.told, course.told_at = done, now
            self._tell(number, course, False)

    def end(self, number: int) -> float:
        """It is over; the seconds that it took."""
        course = self._courses.pop(number, None)
        if course is None:
            return 0.0
        self._tell(number, course, True)
        return self._seconds() - course.at

    def _tell(self, number: int, course: _Course, ended: bool) -> None:
        self._emit(
            Progress(number, course.kind, course.name, course.done, course.size, course.rate, ended)
        )


class Noted:
    """How far a call in a thread has come: `tell(done, size)` is called in the loop."""

    def __init__(self, clock: Any, tell: Callable[[int, int], None]) -> None:
        self._tell = tell
        self._done = 0, 0
        self._again = Again(self._report, pause=EVERY, what="how far it has come", clock=clock)
        self._again.start(EVERY)

    def note(self, done: int, size: int) -> None:
        """In the thread, as often as you like."""
        self._done = done, size

    async def _report(self) -> float:
        self._tell(*self._done)
        return EVERY

    def stop(self) -> None:
        """The call is over."""
        self._again.stop()
