"""What a client who has come to GO asks for (`calls.pieces`), answered in the order of its asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.frames import Frames
from twistedp2p.core.calls.pieces import (
    BYTES,
    MAX_WAITING,
    NEXT,
    NONE,
    NUMBER,
    Ask,
    AskReader,
    BadAsk,
    Extent,
)
from twistedp2p.core.content.tree import span
from twistedp2p.net.body import BodySender, BytesReader, Reader, Room
from twistedp2p.net.deadline import Deadline

STALL = 30.0  # seconds without progress of an answer
IDLE = 120.0  # seconds from the last answer to the next ask

_log = Logger()


class Served(Protocol):
    """One offer as the service needs it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def manifest(self) -> int:
        """Bytes of a folder's manifest; 0 for a file."""

    @property
    def digest(self) -> str:
        """Of all of it (`content.tree`)."""

    @property
    def prs(self) -> bytes:
        """The stretched password."""


class Shelf(Protocol):
    """What the service asks of those who know the offers."""

    def find(self, offer: bytes) -> Served:
        """The offer of that id; raises `Refusal`."""

    def guess(self, served: Any, address: str, key: bytes) -> None:
        """Ask for one guess at the password; raises `Refusal` when there is none."""

    def guessed(self, served: Any, address: str, key: bytes, right: bool) -> None:
        """How the guess came out."""

    def loading(self, served: Any) -> Deferred[None] | None:
        """None where the following take a few milliseconds; else what fires as soon as they do.

        Fails with `Refusal`.
        """

    def check(self, served: Any) -> None:
        """Raise `Refusal` where it is not what was offered any more."""

    def chosen(self, served: Any, offset: int, length: int) -> None:
        """A client chose these bytes itself, and was sent them."""

    def open(self, served: Any, offset: int, length: int) -> Reader:
        """The bytes to send; raises `Refusal`."""

    def next(self, served: Any, have: bytes) -> int | None:
        """The piece that a client who has these (a bitmap) should have next."""

    def text(self, served: Any, ask: Ask, key: bytes, host: str) -> bytes:
        """What to answer to TREE, HAVE and PEERS; raises `Refusal`."""

    def broke(self, served: Any, error: BaseException | None) -> None:
        """What `open` gave could not be sent to its end: why. It may have changed meanwhile."""

    def progress(self, served: Any, connection: object, sent: int) -> None:
        """How many bytes of an offer's content a connection has been sent."""

    def ended(self, served: Any, connection: object) -> None:
        """A connection that got as far as to ask is over."""


@attrs.frozen
class Asker:
    """Who asks, and how answers get there."""

    key: bytes
    host: str
    frames: Frames
    tcp: Any  # the transport below TLS
    deadline: Deadline
    cut: Callable[[], None]  # ends the connection
    sent: Callable[[int], None]  # told of so many bytes of content that were sent


class Answers:
    """Those of one connection."""

    def __init__(self, shelf: Shelf, served: Served, asker: Asker, room: Room) -> None:
        """`room` is lent for one frame at a time."""
        self._shelf = shelf
        self._served = served
        self._asker = asker
        self._room = room
        self._extent = Extent(served.size, served.manifest)
        self._asks = AskReader(self._extent)
        self._waiting: deque[Ask] = deque()
        self._bodies: deque[tuple[Reader, int, bool]] = deque()  # of one ask: bytes; content?
        self._ask: Ask | None = None  # what is being answered
        self._given = 0  # pieces that NEXT has given, as a bitmap
        self._reader: Reader | None = None  # of the body that is being sent
        self._counts = False  # that body is content
        self._sending = self._stopped = False
        asker.deadline.set(IDLE)

    def received(self, data: bytes) -> None:
        """Some of what is asked."""
        if self._stopped:
            return
        try:
            self._waiting.extend(self._asks.received(data))
        except BadAsk:
            self._asker.cut()
            return
        if len(self._waiting) > MAX_WAITING:
            self._asker.cut()
        else:
            self._next()

    def stop(self) -> None:
        """Nothing more is to be answered."""
        self._stopped = True

    def close(self) -> None:
        """Let go of everything: the connection is gone."""
        self.stop()
        self._close_reader()
        while self._bodies:
            self._bodies.popleft()[0].close()

    def _next(self) -> None:
        """Begin the next answer that has any bytes, if there is something to answer."""
        deadline = self._asker.deadline
        while not self._stopped and not self._sending:
            if not self._bodies:
                if not self._waiting:
                    deadline.set(IDLE)
                    return
                if (loading := self._shelf.loading(self._served)) is not None:
                    self._sending = True
                    deadline.set(STALL)
                    loading.addCallbacks(self._loaded, self._not_loaded)
                    return
                try:
                    self._ask = self._waiting.popleft()
                    self._open(self._ask)
                except Refusal:
                    self._asker.cut()
                    return
                deadline.set(STALL)
            self._send_body()

    def _loaded(self, _: None) -> None:
        self._sending = False
        self._next()

    def _not_loaded(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            _log.failure("what was to be loaded", failure)
        self._asker.cut()

    def _open(self, ask: Ask) -> None:
        """What answers `ask`: one body, or two for NEXT. Raises `Refusal`."""
        shelf, served = self._shelf, self._served
        if ask.kind == BYTES:
            self._bodies.append((shelf.open(served, ask.a, ask.b), ask.b, True))
        elif ask.kind == NEXT:
            number = self._next_piece(ask.have)
            told = NUMBER.pack(NONE if number is None else number)
            self._bodies.append((BytesReader(told), len(told), False))
            if number is not None:
                offset, length = span(served.size, number)
                self._bodies.append((shelf.open(served, offset, length), length, True))
        else:
            text = shelf.text(served, ask, self._asker.key, self._asker.host)
            assert len(text) == self._extent.answer_size(ask)
            self._bodies.append((BytesReader(text), len(text), False))

    def _next_piece(self, have: bytes) -> int | None:
        """None of those that this client was given by NEXT before: it may have asked ahead, and
        not know yet which they are.
        """
        known = int.from_bytes(have, "big") | self._given
        number = self._shelf.next(self._served, known.to_bytes(len(have), "big"))
        if number is not None:
            self._given |= 1 << (8 * len(have) - 1 - number)
        return number

    def _send_body(self) -> None:
        self._reader, length, self._counts = self._bodies.popleft()
        if not length:  # nothing is sent for it: many of them would be as many calls in each other
            self._close_reader()
            return
        self._sending = True
        frames = self._asker.frames
        frames.begin(length)
        done = BodySender(self._frame_sent).send(self._reader, frames, self._room, self._asker.tcp)
        done.addCallbacks(self._body_sent, self._body_broke)

    def _frame_sent(self, size: int) -> None:
        self._asker.deadline.moved()
        if self._counts:
            self._asker.sent(size)

    def _body_sent(self, _last: bytes) -> None:
        self._close_reader()
        if self._ask is not None and self._ask.kind == BYTES:  # to ask is not to have
            self._shelf.chosen(self._served, self._ask.a, self._ask.b)
        self._sending = False
        self._next()

    def _body_broke(self, failure: Failure) -> None:
        self._shelf.broke(self._served, failure.value)
        self._asker.cut()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
