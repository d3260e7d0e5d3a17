"""Long texts whose parts come one by one: shown whole, once, when the last of them is here.

The parts are in the store, where lines are; what is remembered here is which texts wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall

from twistedp2p.core.datagrams.datagram import Signed, parse
from twistedp2p.core.datagrams.longtext import Part, join
from twistedp2p.core.limits import CappedTable
from twistedp2p.disk.memory.store import Store
from twistedp2p.node.memory import Notes

PATIENCE = 30.0  # seconds that a text waits for its parts; a repair takes under ten
MAX_WAITING = 1000  # texts that wait for parts, and as many that were shown without


@attrs.frozen
class TextId:
    """Which text an entry is (a part of)."""

    key: bytes
    epoch: int
    first: int  # number of its first part
    count: int  # parts; 1 for a line that is whole

    @classmethod
    def of(cls, entry: Signed) -> TextId:
        """That of a chat entry; raises `BadBody`."""
        if entry.kind != "part":
            return cls(entry.key, entry.epoch, entry.number, 1)
        part = Part.read(entry.body)
        return cls(entry.key, entry.epoch, part.first(entry.number), part.count)


@attrs.frozen
class Text:
    """A text, or what is here of it."""

    entry: Signed  # the first that is here
    body: str
    said: int  # milliseconds since 1970, by our own clock


@attrs.frozen
class Waiting:
    """A text of which parts are missing."""

    id: TextId
    said: int  # milliseconds since 1970, by our own clock
    until: float  # seconds, of the clock
    low: int  # the lowest number of a part that came
    high: int


class Texts:
    """The texts that wait for parts. `keep` says whose are not given up for the sake of others."""

    def __init__(
        self,
        store: Store,
        show: Callable[[Text], None],
        *,
        clock: Any,
        keep: Callable[[bytes], bool],
    ) -> None:
        self._store = store
        self._show = show
        self._clock = clock
        self._waiting: CappedTable[TextId, Waiting] = CappedTable(
            MAX_WAITING, lambda text: keep(text.key), self._show_torn
        )
        self._shown_torn: CappedTable[TextId, bool] = CappedTable(MAX_WAITING)
        self._notes = Notes()
        self._looking: IDelayedCall | None = None

    def stop(self) -> None:
        """Wait no more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def came(self, text: TextId, number: int, said: int) -> None:
        """The part of that text which has that number is in the store now."""
        if text in self._shown_torn:
            return
        last = text.first + text.count - 1
        # To read all parts for each that comes would take time as the square of their count.
        count = self._notes.note(self._store.count_entries, text.key, "chat", text.first, last)
        if count == text.count:
            pieces = self._pieces(text, text.first, last)
            if len(pieces) == text.count:
                self._waiting.pop(text)
                self._show(_joined(pieces, text.count, said))
                return
        self._wait(text, number, said)

    def _wait(self, text: TextId, number: int, said: int) -> None:
        waiting = self._waiting.peek(text)
        if waiting is None:
            until = self._clock.seconds() + PATIENCE
            waiting = Waiting(text, said, until, number, number)
        low, high = min(number, waiting.low), max(number, waiting.high)
        self._waiting.put(text, attrs.evolve(waiting, low=low, high=high))
        self._look_later()

    def _pieces(self, text: TextId, low: int, high: int) -> dict[int, Signed]:
        """The parts of a text that are kept from number `low` to `high`, by their index."""
        rows = self._notes.note(self._store.entries, text.key, "chat", low, high) or ()
        entries = [entry for _, raw in rows if isinstance(entry := parse(raw), Signed)]
        return {
            entry.number - text.first + 1: entry for entry in entries if TextId.of(entry) == text
        }

    def _look_later(self) -> None:
        if self._looking is None and self._waiting:
            until = min(waiting.until for waiting in self._waiting.values())
            self._looking = self._clock.callLater(
                max(0.0, until - self._clock.seconds()), self._look
            )

    def _look(self) -> None:
        self._looking = None
        now = self._clock.seconds()
        for waiting in self._waiting.values():
            if waiting.until <= now:
                self._waiting.pop(waiting.id)
                self._show_torn(waiting)
        self._look_later()

    def _show_torn(self, waiting: Waiting) -> None:
        """Show what is here of a text. When the rest comes, it goes to history alone."""
        self._shown_torn.put(waiting.id, True)
        if pieces := self._pieces(waiting.id, waiting.low, waiting.high):
            self._show(_joined(pieces, waiting.id.count, waiting.said))


def texts_of(lines: Iterable[tuple[bytes, int]]) -> list[Text]:
    """The texts that kept lines (signed bytes, `said`) make, in the order of their first parts."""
    found: dict[TextId, tuple[dict[int, Signed], int]] = {}
    for raw, said in lines:
        entry = parse(raw)
        if isinstance(entry, Signed):
            text = TextId.of(entry)
            pieces, _ = found.setdefault(text, ({}, said))
            pieces[entry.number - text.first + 1] = entry
    return [_joined(pieces, text.count, said) for text, (pieces, said) in found.items()]


def _joined(pieces: dict[int, Signed], count: int, said: int) -> Text:
    first = pieces[min(pieces)]
    if count == 1:
        return Text(first, first.body, said)
    parts = {index: Part.read(entry.body).text for index, entry in pieces.items()}
    return Text(first, join(parts, count), said)
