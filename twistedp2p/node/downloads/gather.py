"""One download: its pieces are asked of all who have them, and checked as they come.

A `Source` is one connection. Each is asked for a little more than is under way, so that it never
waits for us; what it was asked for and does not send is free for the others when it goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from twistedp2p.core.content.tree import BadPiece, Tree
from twistedp2p.core.errors import ShareError
from twistedp2p.core.swarm.bitmap import from_bitmap, to_bitmap
from twistedp2p.core.swarm.choice import Choice
from twistedp2p.core.swarm.pace import Pace
from twistedp2p.net.fetch import damaged

AHEAD = 8 * 2**20  # bytes that are asked of a source and have not come, at most
AHEAD_ALONE, AHEAD_SHARED = 0.5, 0.15  # seconds in which that comes, of a lone source or several
RUN = 16  # pieces that are asked for at once, of a lone source

Piece = tuple[int, bool]  # number; whether it is right


class Client(Protocol):
    """What of `net.fetch.FileClient` is needed."""

    owner: bytes
    waiting: int
    over: bool
    host: str

    def ask(self, ask: Any) -> Deferred[bytes]: ...

    def fetch(self, offset: int, length: int, sink: Any) -> None: ...

    def fetch_next(self, have: bytes, sink: Any) -> Deferred[int | None]: ...

    def close(self) -> None: ...


class Kept(Protocol):
    """What of `disk.downloads.download.Download` is needed. Blocking."""

    have: bytearray

    def write(self, index: int, at: int, data: memoryview, source: Any) -> bool: ...

    def gone(self, source: Any) -> None: ...


@attrs.define
class _Slot:
    """A piece that one source was asked for; its number may be the owner's to choose."""

    number: int | None
    none: bool = False  # the owner had none to choose: no bytes come


class Source:
    """One connection of a download; implements `net.fetch.Sink`."""

    def __init__(self, gather: Gather, client: Client, *, owner: bool) -> None:
        self.client = client
        self.owner = owner
        self.has: bytearray | None = None  # None: all
        self.pieces = 0  # that it was asked for and that are not written
        self.pace = Pace()
        self.choosing = 0  # of them, those whose number it has yet to tell
        self.wrong: ShareError | None = None  # why it is not believed any more
        self._gather = gather
        self._slots: deque[_Slot] = deque()  # filled by the loop, emptied by the thread
        self._at = 0  # bytes of the first of them that have come

    def take(self, numbers: list[int]) -> None:
        """Ask it for these pieces, which lie behind each other."""
        tree = self._gather.tree
        self._slots.extend(_Slot(number) for number in numbers)
        self.pieces += len(numbers)
        self.pace.asked(self._gather.seconds())
        offset = tree.span(numbers[0])[0]
        last, length = tree.span(numbers[-1])
        self.client.fetch(offset, last + length - offset, self)

    def take_next(self) -> None:
        """Have the owner choose a piece that we lack and have asked nobody for."""
        slot = _Slot(None)
        self._slots.append(slot)
        self.pieces += 1
        self.choosing += 1
        self.pace.asked(self._gather.seconds())
        taken = self._gather.choice.taken()
        told = self.client.fetch_next(to_bitmap(taken), self)
        told.addCallbacks(self._chosen, lambda _failure: None, callbackArgs=(slot, taken))

    def _chosen(self, number: int | None, slot: _Slot, taken: bytearray) -> None:
        self.choosing -= 1
        slot.number, slot.none = number, number is None
        if number is None:
            self.pieces -= 1
            self._gather.nothing_left(self)
        elif taken[number]:  # for ever the same piece would be a get without end
            self.distrust()
        else:
            self._gather.choice.took(self, number)

    def distrust(self) -> None:
        """It sent what it must not: ask it nothing more."""
        self.wrong = damaged()
        self.client.close()

    # -- net.fetch.Sink

    def write(self, data: memoryview) -> list[Piece]:
        """Write to the disk what came. In a thread."""
        tree, kept, ended = self._gather.tree, self._gather.kept, []
        while data:
            while self._slots[0].none:
                self._slots.popleft()
            number = self._slots[0].number
            assert number is not None
            length = tree.span(number)[1]
            some = data[: length - self._at]
            try:
                good = kept.write(number, self._at, some, self)
            except BadPiece:
                good = False
            self._at += len(some)
            if self._at == length:
                self._slots.popleft()
                self._at = 0
                ended.append((number, good))
            data = data[len(some) :]
        return ended

    def written(self, results: list[list[Piece]]) -> None:
        """Pieces that are on the disk, or were not right."""
        self._gather.moved(0)  # the disk may have been what all waited for
        for ended in results:
            for number, good in ended:
                self.pieces -= 1
                self._gather.came(self, number, good)
        self._gather.ask_more(self)

    def came(self, size: int) -> None:
        """Bytes have come."""
        self.pace.came(size, self._gather.seconds(), last=not self.owes)
        self._gather.moved(size)
        self._gather.ask_more(self)

    @property
    def owes(self) -> int:
        """Bytes that it was asked for and that have not come."""
        return self.client.waiting + self.choosing * self._gather.tree.piece


class Gather:
    """The pieces of one download, and who is asked for them.

    `done` fires when all are here. `moved(bytes)` is called as they come, `lost(source, error)`
    where a connection has ended.
    """

    def __init__(
        self,
        tree: Tree,
        kept: Kept,
        choice: Choice,
        moved: Callable[[int], None],
        lost: Callable[[Source, BaseException | None], None],
        seconds: Callable[[], float],
        *,
        crowd: bool | None = False,
    ) -> None:
        """`crowd`: whether others fetch this, too; None: it will be said, and is waited for."""
        self.tree = tree
        self.kept = kept
        self.choice = choice
        self.moved = moved
        self._lost = lost
        self.seconds = seconds
        self.sources: list[Source] = []
        self.done: Deferred[None] = Deferred()
        self._crowd = crowd
        self._over = False
        self._nothing: set[Source] = set()  # owners that had no piece to choose

    @property
    def bitmap(self) -> bytes:
        """The pieces that are here."""
        return to_bitmap(self.kept.have)

    @property
    def complete(self) -> bool:
        """Whether all pieces that are needed are here."""
        return not self.choice.missing

    def add(self, client: Client, ended: Deferred[Any], *, owner: bool) -> Source:
        """Ask that one, too. `ended` fires when its connection is over."""
        source = Source(self, client, owner=owner)
        source.has = None if owner else bytearray(self.tree.count)
        self.sources.append(source)
        self.choice.source(source, source.has, owner=owner)
        ended.addCallback(self._ended, source)
        self.ask_more(source)
        return source

    def begin(self) -> None:
        """Look whether there is anything to do at all."""
        if not self._over and self.complete:
            self._complete()

    def has(self, source: Source, bitmap: bytes) -> None:
        """What it has by now; raises ValueError where that is no such bitmap."""
        source.has = from_bitmap(bitmap, self.tree.count)
        self.choice.source(source, source.has, owner=source.owner)
        self.ask_more(source)

    @property
    def waits(self) -> bool:
        """Whether nothing is asked for, as it was not said yet whether others fetch this, too."""
        return self._crowd is None

    def others(self, crowd: bool) -> None:
        """Whether others fetch this now, too: then the owner chooses what it hands to whom."""
        self._crowd = crowd
        self._ask_all()

    def _ask_all(self) -> None:
        for source in list(self.sources):
            self.ask_more(source)

    def nothing_left(self, source: Source) -> None:
        """The owner has nothing that somebody else was not asked for."""
        self._nothing.add(source)
        self.ask_more(source)

    def ask_more(self, source: Source) -> None:
        """Ask it for as much as it should have to do."""
        if self._over or self._crowd is None or source.client.over or source not in self.sources:
            return
        many = self._crowd or len(self.sources) > 1
        ahead = min(source.pace.of(AHEAD_SHARED if many else AHEAD_ALONE), AHEAD)
        while source.owes <= ahead:
            chooses = many and source.owner and source not in self._nothing
            # Where fewer are left than it is choosing, it would choose one of them twice.
            if chooses and self.choice.free > source.choosing:
                source.take_next()
            elif chooses and source.pieces:
                return
            else:
                most = int(ahead - source.owes) // self.tree.piece
                run = self.choice.next(source, 1 if many else min(RUN, max(1, most)))
                if not run:
                    return
                source.take(run)

    def came(self, source: Source, number: int, good: bool) -> None:
        """A piece was written, or came wrong."""
        self.choice.came(source, number, good)
        if self.choice.shunned(source):
            source.distrust()
        elif not good:
            self._ask_all()
        self.begin()

    def _complete(self) -> None:
        self._over = True
        for each in list(self.sources):
            each.client.close()
        self.done.callback(None)

    def _ended(self, error: BaseException | None, source: Source) -> None:
        if source in self.sources:
            self.sources.remove(source)
        self._nothing.discard(source)
        self.choice.gone(source)
        self.kept.gone(source)
        if not self._over:
            self._lost(source, source.wrong or error)
            self._ask_all()

    def stop(self) -> None:
        """Ask nobody any more."""
        self._over = True
        for source in list(self.sources):
            source.client.close()
