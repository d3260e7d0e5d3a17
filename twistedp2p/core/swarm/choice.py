"""Which piece to ask of which source, so that many who fetch one content need its owner once.

Rarest first, random among equals, as BitTorrent does it (Legout, Urvoy-Keller, Michiardi, "Rarest
first and choke algorithms are enough", IMC 2006). The owner, who has all, does not count among
those that have a piece: what it alone has is the rarest, and is asked of it first.

Sets of pieces are numbers with a bit for each (see `bitmap`): of 65,536 pieces that is 8 KiB, and
what goes over all of them takes microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import attrs

from twistedp2p.core.swarm.bitmap import from_number, to_number

BAD_MOST = 3  # wrong pieces of one source, after which it is asked nothing more
ASKED_MOST = 2  # sources of one piece, at the end; the owner beside them
TWICE_MOST = 2  # pieces that are asked of two sources at the same time; of the owner, so many more


@attrs.define
class _Source:
    """What is known of one source."""

    has: int
    owner: bool
    wrong: int = 0  # the pieces that came bad from it
    asked: set[int] = attrs.Factory(set)

    @property
    def shunned(self) -> bool:
        return self.wrong.bit_count() >= (1 if self.owner else BAD_MOST)


class Choice:
    """Shares out `count` pieces among sources, which are any keys.

    `have`: a byte for each piece, not 0 for what is here already or not needed. `choose(n)` is a
    random number from 0 to n - 1.
    """

    def __init__(self, count: int, have: bytes | bytearray, choose: Callable[[int], int]) -> None:
        self._all = (1 << count) - 1
        self._missing = self._all & ~to_number(have)
        self._free = self._missing  # and asked of nobody
        self._choose = choose
        self._sources: dict[Hashable, _Source] = {}
        self._held: list[int] = [self._all]  # pieces that so many others than the owner have
        self._asked: dict[int, dict[Hashable, int]] = {}  # piece -> source -> how many asks before
        self._asks = 0

    @property
    def missing(self) -> int:
        """How many pieces have not come."""
        return self._missing.bit_count()

    def source(self, key: Hashable, has: bytes | bytearray | None, owner: bool = False) -> None:
        """There is a source, or it has something else now than it had.

        `has`: a byte for each piece, not 0 for what it has; None for all.
        """
        known = self._sources.setdefault(key, _Source(0, owner))
        self._set_has(known, self._all if has is None else to_number(has) & self._all)

    def _set_has(self, source: _Source, pieces: int) -> None:
        if not source.owner:
            self._count(pieces & ~source.has, source.has & ~pieces)
        source.has = pieces

    def _count(self, more: int, fewer: int) -> None:
        """One source more, and one fewer, has these pieces."""
        before = [*self._held, 0]
        stay = self._all & ~(more | fewer)
        self._held = [
            (held & stay)
            | (before[level - 1] & more if level else 0)
            | (before[level + 1] & fewer if level + 1 < len(before) else 0)
            for level, held in enumerate(before)
        ]
        while len(self._held) > 1 and not self._held[-1]:
            self._held.pop()

    def gone(self, key: Hashable) -> None:
        """A source is there no more: what it was asked for is free again."""
        self.failed(key)
        known = self._sources.pop(key, None)
        if known is not None:
            self._set_has(known, 0)

    def failed(self, key: Hashable) -> None:
        """What a source was asked for does not come: all of it is free again."""
        for index in list(self._known_asked(key)):
            self._let_go(key, index)

    def _known_asked(self, key: Hashable) -> set[int]:
        known = self._sources.get(key)
        return known.asked if known is not None else set()

    def _let_go(self, key: Hashable, index: int) -> None:
        self._sources[key].asked.discard(index)
        asked = self._asked.get(index, {})
        if asked.pop(key, None) is not None and not asked:
            del self._asked[index]
            self._free |= self._missing & 1 << index

    def next(self, key: Hashable, most: int) -> list[int]:
        """The pieces to ask of a source now, in a row; none when it has nothing for us.

        Up to `most` of them where it is the only source. Of several, each is asked for one at a
        time. When all that is missing is asked for, what was asked longest ago is asked of
        a second source, and of the owner whoever else was asked: two that let us wait must not
        keep us from the one that has all.
        """
        source = self._sources.get(key)
        if source is None or source.shunned:
            return []
        can = source.has & self._missing & ~source.wrong
        if alone := len(self._sources) == 1 and can & self._free:
            found = _run(alone, most)
        elif self._free:
            found = self._rarest(can & self._free)
        else:
            found = self._oldest(key, can)
        self._ask(key, source, found)
        return found

    def took(self, key: Hashable, index: int) -> None:
        """A source sends that piece of its own choice."""
        source = self._sources.get(key)
        if source is not None and self._missing >> index & 1:
            self._ask(key, source, [index])

    def _ask(self, key: Hashable, source: _Source, found: list[int]) -> None:
        for index in found:
            self._free &= ~(1 << index)
            self._asked.setdefault(index, {})[key] = self._asks
            source.asked.add(index)
        self._asks += 1

    def taken(self) -> bytearray:
        """A byte for each piece: 0 for what is missing and asked of nobody, else 1."""
        return from_number(self._all & ~self._free, self._all.bit_length())

    @property
    def free(self) -> int:
        """How many of those that are missing are asked of nobody."""
        return self._free.bit_count()

    def _rarest(self, can: int) -> list[int]:
        for held in self._held:
            if some := held & can:
                return [_nth(some, self._choose(some.bit_count()))]
        return []

    def _oldest(self, key: Hashable, can: int) -> list[int]:
        """Of a row that was asked for at once, the last one: the first is on its way."""
        source = self._sources[key]
        mine = source.asked if source.owner else self._asked
        if sum(len(self._asked[index]) >= ASKED_MOST for index in mine) >= TWICE_MOST:
            return []
        most = ASKED_MOST + source.owner
        late = [
            (min(asked.values()), -index)
            for index, asked in self._asked.items()
            if can >> index & 1 and key not in asked and len(asked) < most
        ]
        return [-min(late)[1]] if late else []

    def came(self, key: Hashable, index: int, good: bool) -> None:
        """A piece came whole from a source, right or wrong.

        A right one need not come from those others that were asked for it. A wrong one is not
        asked of the same source again, and after three of them, or one of the owner's, who has no
        other, a source is asked nothing more.
        """
        if good:
            self._missing &= ~(1 << index)
            self._free &= ~(1 << index)
            for other in self._asked.pop(index, {}):
                self._sources[other].asked.discard(index)
            return
        source = self._sources.get(key)
        if source is not None:
            source.wrong |= 1 << index
            self._let_go(key, index)
            if source.shunned:
                self.failed(key)

    def shunned(self, key: Hashable) -> bool:
        """Whether a source sent so much wrong that it is asked nothing more."""
        source = self._sources.get(key)
        return source is not None and source.shunned


def _run(pieces: int, most: int) -> list[int]:
    """The first of these and those that follow it without a gap."""
    first = (pieces & -pieces).bit_length() - 1
    ones = pieces >> first
    length = (~ones & ones + 1).bit_length() - 1
    return list(range(first, first + min(most, length)))


def _nth(pieces: int, number: int) -> int:
    """The one before which there are `number` others."""
    at, width = 0, pieces.bit_length()
    while width > 1:
        half = width // 2
        low = pieces & (1 << half) - 1
        count = low.bit_count()
        if number < count:
            pieces, width = low, half
        else:
            pieces, width, number, at = pieces >> half, width - half, number - count, at + half
    return at
