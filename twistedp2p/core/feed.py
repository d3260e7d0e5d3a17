"""One node's feed: what of it is here, what is missing, when to ask.

A feed has two logs, ``chat`` and ``offers``, each numbered 1, 2, 3 ... under (key, epoch). A
beacon tells for each the lowest number worth asking for and the highest there is. What lies
between and is not here is asked for, and whoever published it answers with the same signed
bytes, or with a ``gone`` message naming the numbers that were superseded.

Bodies (JSON objects)::

    ask    {"epoch": 3, "origin": "<key, base64url>", "chat": [[4, 9]], "offers": [[1, 1]]}
    gone   {"log": "offers", "ranges": [[1, 7], [9, 9]]}
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import attrs

from twistedp2p.core import body
from twistedp2p.core.body import BadBody, Range
from twistedp2p.core.datagram import MAX_DATAGRAM, MAX_NUMBER
from twistedp2p.core.names import b64, unb64

LOG_NAMES = ("chat", "offers")
MAX_RANGES = 256  # runs of numbers held of one log; an honest feed has a handful
ASK_ITEMS = 100  # numbers of one log asked for at once
ASK_ROOM = 355  # bytes of ranges of one log: two logs fit one datagram, however large the numbers
GONE_RANGES = 20  # ranges in one gone message: fits, however large the numbers
CHAT_BACKLOG = 100  # lines of an unknown feed that a newcomer asks for
RETRY_FIRST, RETRY_FACTOR, RETRY_MOST = 0.5, 1.5, 5.0  # seconds, ratio, seconds
TRIES = 6  # asks without any answer, until the next beacon


class Ranges:
    """A set of whole numbers from 1 on, kept as runs: at most `MAX_RANGES`, and one from 1."""

    def __init__(self, runs: list[Range] | None = None) -> None:
        self._runs = list(runs or [])

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._runs, (number + 1,)) - 1
        return at >= 0 and self._runs[at][1] >= number

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._runs == other._runs

    def runs(self) -> list[Range]:
        """The runs, rising, each (first, last)."""
        return list(self._runs)

    def add(self, low: int, high: int | None = None) -> bool:
        """Add `low` to `high`; False when that would make more than `MAX_RANGES` runs."""
        high = low if high is None else high
        at = bisect_left(self._runs, (low,))
        if at and self._runs[at - 1][1] >= low - 1:
            at -= 1
        end = at
        while end < len(self._runs) and self._runs[end][0] <= high + 1:
            low, high = min(low, self._runs[end][0]), max(high, self._runs[end][1])
            end += 1
        if end == at and len(self._runs) >= MAX_RANGES and low > 1:
            return False
        self._runs[at:end] = [(low, high)]
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


@attrs.frozen
class Heads:
    """For each log the lowest number worth asking for, and the highest there is (0: none)."""

    chat: Range = (1, 0)
    offers: Range = (1, 0)


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


@attrs.define
class Feed:
    """What is here of one (origin, epoch), and when to ask for the rest."""

    origin: bytes
    epoch: int
    have: dict[str, Ranges] = attrs.Factory(lambda: {log: Ranges() for log in LOG_NAMES})
    heads: Heads = Heads()
    ask_at: float | None = None  # seconds, of the clock of `now`
    tries: int = 0

    def heard_heads(self, heads: Heads, now: float, spread: float) -> None:
        """A beacon told its heads; an ask becomes due after `spread` seconds if some is missing."""
        self.heads = heads
        for log in LOG_NAMES:
            self._begin(log, *getattr(heads, log))
        self.tries = 0
        if self.ask_at is None and self.missing():
            self.ask_at = now + spread

    def _begin(self, log: str, base: int, head: int) -> None:
        """Count what is not worth asking for as here.

        The run from 1 on then ends where the first gap begins: its answers always join that run,
        so that even the most torn feed is mended, from below.
        """
        if log == "chat" and not self.have[log]:
            base = max(base, head - CHAT_BACKLOG + 1)
        if base > 1:
            self.have[log].add(1, base - 1)

    def heard_entry(self, log: str, number: int, now: float, spread: float) -> bool:
        """An entry came; False when it was here already (or the feed is too torn to follow)."""
        base, head = getattr(self.heads, log)
        self._begin(log, base, number)
        if number in self.have[log] or not self.have[log].add(number):
            return False
        if number > head:
            self.heads = attrs.evolve(self.heads, **{log: (base, number)})
        self._progress(now, spread)
        return True

    def heard_gone(self, log: str, ranges: list[Range], now: float) -> None:
        """The origin says that these numbers were superseded."""
        head = getattr(self.heads, log)[1]
        for low, high in ranges:
            if low <= head:
                self.have[log].add(low, min(high, head))
        self._progress(now, 0.0)

    def _progress(self, now: float, spread: float) -> None:
        """Answers are coming in: wait for more of them before asking again."""
        self.tries = 0
        if not self.missing():
            self.ask_at = None
        elif self.ask_at is None:
            self.ask_at = now + spread
        else:
            self.ask_at = max(self.ask_at, now + RETRY_FIRST)

    def missing(self) -> dict[str, list[Range]]:
        """What to ask for, at most `ASK_ITEMS` numbers a log; empty when all is here."""
        gaps = {}
        for log in LOG_NAMES:
            unheard = self.have[log].missing(1, getattr(self.heads, log)[1])
            if found := first_of(unheard, ASK_ITEMS, ASK_ROOM):
                gaps[log] = found
        return gaps

    def due_ask(self, now: float) -> dict[str, list[Range]]:
        """What to ask for now, or nothing; the next ask then waits longer."""
        if self.ask_at is None or now < self.ask_at:
            return {}
        gaps = self.missing()
        self.tries += 1
        self.ask_at = None
        if gaps and self.tries < TRIES:
            self.ask_at = now + min(RETRY_MOST, RETRY_FIRST * RETRY_FACTOR**self.tries)
        return gaps


@attrs.frozen
class Ask:
    """A request for numbers of one feed."""

    origin: bytes
    epoch: int
    gaps: dict[str, list[Range]]

    def write(self) -> str:
        """The body."""
        return body.write({"epoch": self.epoch, "origin": b64(self.origin), **self.gaps})

    @classmethod
    def read(cls, text: str) -> Ask:
        """Read a body; raises `BadBody`."""
        fields = body.read(text)
        try:
            origin = unb64(body.text(fields, "origin"), 32)
        except ValueError as error:
            raise BadBody("origin is no key") from error
        gaps = {
            log: first_of(found, ASK_ITEMS, MAX_DATAGRAM)
            for log in LOG_NAMES
            if (found := body.ranges(fields, log, ASK_ITEMS))
        }
        return cls(origin, body.whole(fields, "epoch", MAX_NUMBER, 1), gaps)


def write_gone(log: str, ranges: list[Range]) -> str:
    """The body of a gone message with at most `GONE_RANGES` ranges."""
    return body.write({"log": log, "ranges": ranges})


def read_gone(text: str) -> tuple[str, list[Range]]:
    """Read a gone message: its log and ranges; raises `BadBody`."""
    fields = body.read(text)
    log = body.text(fields, "log")
    if log not in LOG_NAMES:
        raise BadBody("an unknown log")
    return log, body.ranges(fields, "ranges", GONE_RANGES)
