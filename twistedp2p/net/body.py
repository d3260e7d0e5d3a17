"""Bodies on the TCP connection: sealed frames (`calls.frames`), out and in.

Twisted copies what it sends three times, and what it receives twice, into memory that is new each
time; that costs more than the cipher. So both ends use the socket itself, with buffers that are
used again and again, and leave to the transport what it does better: to wait, to be paused, and to
say why a connection ended.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedp2p.core.calls.frames import FRAME, SEALED, TAG, BadFrame, Frames

BURST = 4  # frames sent, or read, before others have their turn
# Of what was never sent the system takes no more: without it, up to 3 MiB for each who reads
# nothing. What is on its way is not counted, so a long or fast way is filled all the same.
UNSENT = 2 * FRAME  # bytes
WAKE = 65_536  # bytes that have come, for which the system wakes us in the middle of a frame


class Reader(Protocol):
    """A file's range. `readinto` may raise anything: the body is then cut."""

    def readinto(self, room: memoryview) -> int:
        """Fill `room`: how many bytes of it; 0 at the end only.

        It may stop before `room` is full, so that others have their turn.
        """

    def close(self) -> None:
        """Let go of it."""


class BytesReader:
    """A `Reader` of what is in memory."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def readinto(self, room: memoryview) -> int:
        """As `Reader.readinto`."""
        piece = self._left[: len(room)]
        room[: len(piece)] = piece
        self._left = self._left[len(piece) :]
        return len(piece)

    def close(self) -> None:
        """There is nothing to let go of."""


class Room:
    """Where a frame is read and sealed: at once, so that all transfers can share it."""

    def __init__(self) -> None:
        self.plain = memoryview(bytearray(FRAME))
        self.sealed = memoryview(bytearray(SEALED))


@attrs.define
class _SealedFile:
    """The file that FileSender sends: its reads give whole frames, good until the next read."""

    _reader: Reader
    _frames: Frames
    _room: Room
    # A frame of which only some could be read in one turn.
    _begun: memoryview = attrs.field(init=False, factory=lambda: memoryview(b""))
    _filled: int = attrs.field(init=False, default=0)  # bytes of the next frame

    @property
    def left(self) -> int:
        """Bytes of the body."""
        return self._frames.left

    def fill(self) -> bool:
        """Read once: whether the next frame is ready for `read`, which is to follow at once."""
        size = self._frames.next_size
        if self._filled == size:
            return True
        plain = self._begun or self._room.plain
        count = self._reader.readinto(plain[self._filled : size])
        if not count:
            raise EOFError("the file ended early")
        self._filled += count
        if self._filled < size and not self._begun:  # the room is another's until the next turn
            self._begun = memoryview(bytearray(size))
            self._begun[: self._filled] = plain[: self._filled]
        return self._filled == size

    def read(self, _most: int) -> memoryview | bytes:
        """The frame that was filled, nothing at the end."""
        size, plain = self._filled, self._begun or self._room.plain
        self._filled, self._begun = 0, memoryview(b"")
        return self._frames.seal(plain[:size], self._room.sealed) if size else b""


@implementer(IConsumer)
class _Straight:
    """Hands frames to the system at once, and keeps what it does not take.

    Twisted's own way copies each frame three times before the system copies it, too.
    """

    def __init__(self, tcp: Any) -> None:
        self._tcp = tcp
        self._send: Callable[[memoryview], int] = tcp.getHandle().send
        self._rest = memoryview(b"")  # of a frame, that the system has yet to take

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """The transport asks for frames whenever it has nothing left to send itself."""
        self._tcp.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The last frame has been written."""
        self._tcp.unregisterProducer()

    def write(self, data: bytes | memoryview) -> None:
        """Send `data`, which is the caller's again on return."""
        view = memoryview(data)
        sent = self._sent(view)
        if sent < len(view):
            self._rest = memoryview(bytes(view[sent:]))

    def ready(self) -> bool:
        """Whether all that was written is sent."""
        if self._rest:
            self._rest = self._rest[self._sent(self._rest) :]
        return not self._rest

    def ask_again(self) -> None:
        """Have the transport ask for more as soon as the system takes more."""
        self._tcp.startWriting()

    def _sent(self, data: memoryview) -> int:
        try:
            return self._send(data)
        except OSError:  # it would block; or it is broken, which the transport will find
            return 0


def bound_unsent(tcp: Any) -> None:
    """Have the system keep no more than `UNSENT` bytes for who does not read."""
    with suppress(OSError, AttributeError):  # another system keeps what it keeps
        tcp.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


class BodySender(FileSender):
    """A FileSender of frames that tells its progress and turns an error into a failure."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        """`progress` is called after each frame with its bytes, after some of one with 0."""
        self._progress = progress
        self._asked = False

    def send(self, reader: Reader, frames: Frames, room: Room, tcp: Any) -> Deferred[bytes]:
        """Send the body that was begun; fires when all is handed over, fails if it ended early."""
        self._straight = _Straight(tcp)
        self._asked = False
        done: Deferred[bytes] = self.beginFileTransfer(
            _SealedFile(reader, frames, room), self._straight
        )
        return done

    def resumeProducing(self) -> None:
        """Send some frames, as far as the system takes them.

        But for the first call, which comes while others' bytes may wait: a frame that has to wait
        for them would be kept, and so would those of all connections.
        """
        for _ in range(BURST if self._asked else 0):
            if self.file is None or not self._straight.ready():
                break
            if not self._send_one(self.file):
                break
        self._asked = True
        if self.file is not None:
            self._straight.ask_again()

    def _send_one(self, file: _SealedFile) -> bool:
        """False where its bytes have yet to be read: it has had its turn."""
        left = file.left
        try:
            filled = file.fill()
            if filled:
                super().resumeProducing()
        except Exception:
            deferred, self.deferred, self.file = self.deferred, None, None
            if deferred is not None:
                deferred.errback(Failure())
            return False
        if self.file is not None:
            self._progress(left - file.left)
        return filled


class Opened(Protocol):
    """Who takes the frames that came, and begins each body. `net.fetch.FileClient` is one."""

    def room(self, size: int) -> memoryview:
        """Where the next `size` bytes of the body are to be written."""

    def opened(self, size: int) -> None:
        """They have been, and they are what the other end sent."""

    def spoilt(self) -> None:
        """What came was not what the other end sent: nothing more will be read."""


class BodyReceiver:
    """Opens frames as they come, straight from the socket into their place.

    What comes while no body is awaited goes to the transport's protocol. While one is, the system
    wakes us for `WAKE` bytes or what is missing of the frame: over a slow link it would else do
    so for each packet, and to be woken costs more than to open what has come.
    """

    def __init__(self, tcp: Any, frames: Frames, client: Opened) -> None:
        """`tcp`: a transport of Twisted, which calls `doRead` when its socket has something."""
        self._frames = frames
        self._client = client
        self._frame = memoryview(bytearray(frames.size + TAG))
        self._filled = 0  # bytes of the frame
        self._spoilt = self._stopped = False
        self._tcp = tcp
        self._socket = tcp.getHandle()
        self._wakes_at = 1  # bytes
        tcp.doRead = self._read

    def _read(self) -> Any:
        """In the place of the transport's own."""
        for turn in range(BURST):
            missing = self._missing()
            count = self._take(missing)
            if not count and not turn:
                # nothing awaited, or yet, the end, an error: the transport knows which
                return type(self._tcp).doRead(self._tcp)
            if count:
                self._came(count)
            if not count or count < len(missing) or self._stopped:
                break
        self._set_wake()
        return None

    def _set_wake(self) -> None:
        count = min(len(self._missing()), WAKE) or 1
        if count != self._wakes_at and not self._stopped:
            self._wakes_at = count
            with suppress(OSError):  # a system that cannot wakes us more often
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _take(self, missing: memoryview) -> int:
        try:
            return self._socket.recv_into(missing) if missing else 0
        except OSError:
            return 0

    def stop(self) -> None:
        """Nothing more is to be read here."""
        self._stopped = True
        vars(self._tcp).pop("doRead", None)

    def received(self, data: bytes) -> memoryview:
        """Bytes that the transport read; returns those that are not awaited."""
        left = memoryview(data)
        while left and self._frames.left and not self._spoilt:
            missing = self._missing()
            piece = left[: len(missing)]
            missing[: len(piece)] = piece
            left = left[len(piece) :]
            self._came(len(piece))
        self._set_wake()
        return left

    def _missing(self) -> memoryview:
        if not self._frames.left:
            return self._frame[:0]
        return self._frame[self._filled : self._frames.next_size + TAG]

    def _came(self, count: int) -> None:
        size = self._frames.next_size
        self._filled += count
        if self._filled < size + TAG:
            return
        self._filled = 0
        try:
            self._frames.open(self._frame[: size + TAG], self._client.room(size))
        except BadFrame:
            self._spoilt = True
            self.stop()
            self._client.spoilt()
            return
        self._client.opened(size)
