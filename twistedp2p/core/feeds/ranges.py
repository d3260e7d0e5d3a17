"""Sets of whole numbers, kept as runs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from twistedp2p.core.datagrams.body import Range

MAX_RANGES = 256  # runs of numbers held of one log; an honest feed has a handful


class Ranges:
    """A set of whole numbers from 1 on, kept as runs: at most `MAX_RANGES`, and one from 1."""

    __slots__ = ("_runs",)

    def __init__(self, runs: list[Range] | None = None) -> None:
        self._runs = list(runs or [])

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._runs, (number + 1,)) - 1
        return at >= 0 and self._runs[at][1] >= number

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._runs == other._runs

    __hash__ = None  # type: ignore[assignment]

    def runs(self) -> list[Range]:
        """The runs, rising, each (first, last)."""
        return list(self._runs)

    @property
    def is_torn(self) -> bool:
        """Whether there are nearly as many runs as there may be."""
        return len(self._runs) > MAX_RANGES // 2

    @property
    def highest(self) -> int:
        """The highest number, or 0."""
        return self._runs[-1][1] if self._runs else 0

    def unbroken(self, start: int = 0) -> int:
        """The highest number up to which all above `start` are here; `start` when the next is not.

        >>> Ranges([(1, 3), (5, 9)]).unbroken(), Ranges([(1, 3), (5, 9)]).unbroken(4)
        (3, 9)
        """
        for low, high in self._runs:
            if low > start + 1:
                break
            start = max(start, high)
        return start

    def add(self, low: int, high: int | None = None) -> bool:
        """Add `low` to `high`; False when that would make more than `MAX_RANGES` runs."""
        high = low if high is None else high
        runs = self._runs
        if runs and runs[-1][1] == low - 1:  # by far the most frequent case
            runs[-1] = (runs[-1][0], high)
            return True
        at = bisect_left(runs, (low,))
        if at and runs[at - 1][1] >= low - 1:
            at -= 1
        end = at
        while end < len(runs) and runs[end][0] <= high + 1:
            low, high = min(low, runs[end][0]), max(high, runs[end][1])
            end += 1
        if end == at and len(runs) >= MAX_RANGES and low > 1:
            return False
        runs[at:end] = [(low, high)]
        return True

    def missing(self, low: int, high: int) -> Iterator[Range]:
        """The gaps between `low` and `high`, both included, rising."""
        for at in range(max(0, bisect_left(self._runs, (low,)) - 1), len(self._runs)):
            first, last = self._runs[at]
            if first > high:
                break
            if first > low:
                yield low, first - 1
            low = max(low, last + 1)
        if low <= high:
            yield low, high


def count(ranges: Iterable[Range]) -> int:
    """How many numbers are in disjoint `ranges`."""
    return sum(high - low + 1 for low, high in ranges)


def first_of(ranges: Iterable[Range], most: int, room: int) -> list[Range]:
    """The first `most` numbers of `ranges`, in what `room` bytes of a body can hold."""
    taken: list[Range] = []
    for low, high in ranges:
        high = min(high, low + most - 1)
        room -= len(f"[{low},{high}],")
        if most <= 0 or room < 0:
            break
        taken.append((low, high))
        most -= high - low + 1
    return taken
