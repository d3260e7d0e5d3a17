"""What the tests of gets put in the place of connections and of the disk."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.calls.pieces import HAVE, TREE, Ask, write_peers
from twistedp2p.core.content.tree import PIECE_LEAST, BadPiece, Tree, TreeHash
from twistedp2p.core.errors import ShareError
from twistedp2p.core.swarm.bitmap import to_bitmap
from twistedp2p.net.fetch import broken

OWNER, OTHER = b"o" * 32, b"x" * 32
CONTENT = b"content"


def tree_of(content: bytes) -> Tree:
    """The tree of a file of these bytes."""
    made = TreeHash(len(content))
    made.update(content)
    return made.finish()


def random_content(pieces: int, seed: int = 1) -> bytes:
    """So many pieces, the last one short."""
    return random.Random(seed).randbytes(pieces * PIECE_LEAST - 1000)


@attrs.define
class Asked:
    """What a `FakeClient` was asked for, of its content."""

    offset: int
    length: int
    sink: Any
    told: Deferred[Any] | None = None  # NEXT, whose number has yet to be told
    have: bytes = b""


class FakeClient:
    """In the place of `net.fetch.FileClient`: gives what it was asked for when a test says so."""

    def __init__(self, content: bytes = CONTENT, owner: bytes = OWNER, host: str = "10.0.0.9"):
        self.content = content
        self.tree = tree_of(content)
        self.owner = owner
        self.host = host
        self.ok = Ok(b"", len(content), 0, self.tree.digest, "a.jpg")
        self.over = False
        self.queue: deque[Asked] = deque()
        self.asks: list[Ask] = []
        self.has = bytearray(b"\1" * self.tree.count)
        self.peers: list[tuple[str, int]] = []
        self.silent: set[int] = set()  # kinds of asks that it never answers
        self.unanswered: list[Deferred[bytes]] = []
        self.choose: Callable[[bytes], int | None] = lambda _have: None
        self.ended: Deferred[BaseException | None] = Deferred()

    @property
    def waiting(self) -> int:
        return sum(asked.length for asked in self.queue)

    def ask(self, ask: Ask) -> Deferred[bytes]:
        self.asks.append(ask)
        if self.over or ask.kind in self.silent:
            self.unanswered.append(Deferred())
            return self.unanswered[-1]
        if ask.kind == TREE:
            return succeed(self.tree.manifest + self.tree.hashes)
        return succeed(to_bitmap(self.has) if ask.kind == HAVE else write_peers(self.peers))

    def asked_for(self, kind: int) -> int:
        """How many asks of that kind came."""
        return sum(ask.kind == kind for ask in self.asks)

    def fetch(self, offset: int, length: int, sink: Any) -> None:
        self.queue.append(Asked(offset, length, sink))

    def fetch_next(self, have: bytes, sink: Any) -> Deferred[int | None]:
        told: Deferred[int | None] = Deferred()
        self.queue.append(Asked(0, 0, sink, told, have))
        return told

    @property
    def pieces(self) -> list[int]:
        """The pieces that it was asked for by number, in their order."""
        return [
            number
            for asked in self.queue
            if asked.told is None
            for number in range(
                asked.offset // PIECE_LEAST, -(-(asked.offset + asked.length) // PIECE_LEAST)
            )
        ]

    def give(self, wrong: bool = False) -> bool:
        """Answer the next ask; False where there is none. `wrong`: with other bytes."""
        if not self.queue or self.over:
            return False
        asked = self.queue.popleft()
        if asked.told is not None:
            number = self.choose(asked.have)
            if number is not None:
                asked.offset, asked.length = self.tree.span(number)
            asked.told.callback(number)
        data = bytes(asked.length) if wrong else self.content[asked.offset :][: asked.length]
        if data and not self.over:
            asked.sink.came(len(data))
            half = len(data) // 2  # frames do not end where pieces do
            parts = [memoryview(data)[:half], memoryview(data)[half:]]
            asked.sink.written([asked.sink.write(part) for part in parts if part])
        return True

    def give_all(self) -> None:
        """Answer all asks until there are no more."""
        while self.give():
            pass

    def close(self) -> None:
        self.lose(None)

    def lose(self, error: BaseException | None) -> None:
        """The connection is over."""
        if not self.over:
            self.over = True
            self.queue.clear()
            unanswered, self.unanswered = self.unanswered, []
            for each in unanswered:
                each.errback(error or broken())
            self.ended.callback(error)


class MemoryKept:
    """In the place of `disk.downloads.download.Download`."""

    def __init__(self, tree: Tree, have: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.tree = tree
        self.have = bytearray(index in have for index in range(tree.count))
        self.data: dict[int, bytes] = {}
        self.coming: dict[tuple[Any, int], bytes] = {}
        self.twice = 0  # pieces that came though they were here
        self.fails: ShareError | None = None

    def write(self, index: int, at: int, data: memoryview, source: Any) -> bool:
        if self.fails is not None:
            raise self.fails
        so_far = (self.coming.get((source, index), b"") if at else b"") + bytes(data)
        assert len(so_far) == at + len(data)
        self.coming[source, index] = so_far
        if len(so_far) < self.tree.span(index)[1]:
            return False
        if tree_of(so_far).hashes != self.tree.piece_hash(index):
            raise BadPiece(index)
        self.twice += self.have[index]
        self.have[index] = 1
        self.data[index] = so_far
        return True

    def gone(self, source: Any) -> None:
        self.coming = {key: data for key, data in self.coming.items() if key[0] is not source}

    def readinto(self, offset: int, room: memoryview) -> int:
        data = self.data.get(offset // PIECE_LEAST, b"")[offset % PIECE_LEAST :][: len(room)]
        room[: len(data)] = data
        return len(data)


class Fetching:
    """In the place of `net.fetch.Fetcher`: who connects waits for the test to end it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, Deferred[Any]]] = []
        self.cancelled = 0

    def connect(self, order: Any, addresses: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred(self._cancel)
        self.asked.append((order, addresses, answer))
        return answer

    def _cancel(self, _answer: Deferred[Any]) -> None:
        self.cancelled += 1

    def end(self, result: Any, number: int = -1) -> None:
        """What came of it: an error, or a client with whom the order agrees."""
        order, _, answer = self.asked[number]
        if isinstance(result, Exception):
            answer.errback(result)
            return
        order.stretched(result.owner).addErrback(answer.errback)
        if answer.called:
            return
        try:
            order.agreed(result.ok, result.owner)
        except ShareError as error:
            answer.errback(error)
        else:
            answer.callback(result)
