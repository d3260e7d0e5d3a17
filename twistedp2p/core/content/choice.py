"""Which piece to ask of which source, of all those that one download has.

Rarest first (Cohen, "Incentives Build Robustness in BitTorrent", 2003): of some of the pieces that
a source has and that nobody was asked for, at random, that which the fewest others have; what only
the owner has is asked of the owner. Where there is one source the pieces come in their order, many
at a time. At the very end what is missing is asked of a second source, too, so that nobody waits
for a slow one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random

import attrs

DRAWS = 16  # pieces that are looked at to find a rare one
MOST_ASKED = 2  # sources that are asked for one piece, at the end
MOST_BAD = 3  # wrong pieces after which a source is asked for nothing more


@attrs.define
class _Source:
    has: bytearray
    owner: bool
    asked: dict[int, None] = attrs.Factory(dict)  # pieces, in the order of asking
    bad: set[int] = attrs.Factory(set)


class Choice:
    """Of `have`, a byte for each piece, 1 where it is here; sources go by any key."""

    def __init__(self, have: bytearray, random: Random) -> None:
        count = len(have)
        self._draw: Callable[[int], int] = random.randrange
        self._here = bytearray(have)
        self._free = bytearray(1 - each for each in have)  # lacking, and nobody was asked for it
        self._askers: dict[int, int] = {}  # of pieces that were asked for: sources
        self._holders = [0] * count  # sources that have it, the owner not counted
        self._sources: dict[Hashable, _Source] = {}

    def source(self, key: Hashable, has: bytearray | None, *, owner: bool) -> None:
        """A source has these pieces by now, a byte for each; None: all."""
        all_of_it = bytearray(b"\1") * len(self._here)
        new = all_of_it if has is None else has
        known = self._sources.get(key)
        if known is None:
            known = self._sources[key] = _Source(bytearray(len(self._here)), owner)
        if not owner:
            self._count(known.has, new)
        known.has = bytearray(new)

    def _count(self, old: bytes | bytearray, new: bytes | bytearray) -> None:
        changed = (int.from_bytes(old, "big") ^ int.from_bytes(new, "big")).to_bytes(
            len(new), "big"
        )
        at = changed.find(1)
        while at >= 0:
            self._holders[at] += 1 if new[at] else -1
            at = changed.find(1, at + 1)

    def gone(self, key: Hashable) -> None:
        """Nothing more comes from that source: what it was asked for is free."""
        known = self._sources.pop(key, None)
        if known is not None:
            if not known.owner:
                self._count(known.has, bytes(len(self._here)))
            for index in list(known.asked):
                self._answered(known, index)

    def _answered(self, known: _Source, index: int) -> None:
        known.asked.pop(index, None)
        left = self._askers.get(index, 0) - 1
        if left > 0:
            self._askers[index] = left
        else:
            self._askers.pop(index, None)
            self._free[index] = 1 - self._here[index]

    def next(self, key: Hashable, most: int) -> list[int]:
        """Pieces to ask of that source now, at most `most`, one behind the other; or none.

        They count as asked of it from now on.
        """
        known = self._sources.get(key)
        if known is None or len(known.bad) >= MOST_BAD:
            return []
        alone = len(self._sources) == 1
        first = self._first(known) if alone else self._rare(known)
        if first is None:
            first = self._again(known)
            if first is None:
                return []
        run = [first]
        while len(run) < most and alone and self._may_ask(known, run[-1] + 1):
            run.append(run[-1] + 1)
        for index in run:
            self._ask(known, index)
        return run

    def took(self, key: Hashable, index: int) -> None:
        """The owner sends that piece of its own choice."""
        known = self._sources.get(key)
        if known is not None and index not in known.asked:
            self._ask(known, index)

    def _ask(self, known: _Source, index: int) -> None:
        known.asked[index] = None
        self._askers[index] = self._askers.get(index, 0) + 1
        self._free[index] = 0

    def _may_ask(self, known: _Source, index: int) -> bool:
        return (
            index < len(self._free)
            and bool(self._free[index] and known.has[index])
            and index not in known.bad
        )

    def _first(self, known: _Source) -> int | None:
        at = self._free.find(1)
        while at >= 0 and not self._may_ask(known, at):
            at = self._free.find(1, at + 1)
        return at if at >= 0 else None

    def _rare(self, known: _Source) -> int | None:
        """Of some that may be asked of it, that which the fewest have."""
        count = len(self._free)
        both = int.from_bytes(known.has, "big") & int.from_bytes(self._free, "big")
        may = bytearray(both.to_bytes(count, "big"))
        for index in known.bad:
            may[index] = 0
        drawn = []
        for _ in range(DRAWS if both else 0):
            start = self._draw(count)
            at = may.find(1, start)
            at = at if at >= 0 else may.find(1, 0, start)
            if at < 0:
                break
            drawn.append(at)
        return min(drawn, key=lambda index: self._holders[index], default=None)

    def _again(self, known: _Source) -> int | None:
        """What another was asked for and has not sent, the longest asked first."""
        if not self.all_asked():
            return None
        for index, askers in self._askers.items():
            if (
                askers < MOST_ASKED
                and known.has[index]
                and index not in known.asked
                and index not in known.bad
            ):
                return index
        return None

    def came(self, key: Hashable, index: int, good: bool) -> None:
        """A piece came from that source, whole, and was right or not."""
        if good:
            self._here[index] = 1
        known = self._sources.get(key)
        if known is not None:
            if not good:
                known.bad.add(index)
            if index in known.asked:
                self._answered(known, index)
        if good:
            self._free[index] = 0

    def shuns(self, key: Hashable) -> bool:
        """Whether too much of what that source sent was wrong."""
        known = self._sources.get(key)
        return known is not None and len(known.bad) >= MOST_BAD

    def all_asked(self) -> bool:
        """Whether all that is missing was asked of somebody."""
        return self._free.find(1) < 0

    def asked_or_here(self) -> bytearray:
        """A byte for each piece: 0 where it is missing and nobody was asked for it."""
        return bytearray(1 - each for each in self._free)
