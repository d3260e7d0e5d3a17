"""Two ends of a TCP connection in memory, and what the file service's tests put at them."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.frames import FRAME
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.calls.pieces import Ask, Extent
from twistedp2p.core.content.tree import piece_count
from twistedp2p.core.errors import ShareError
from twistedp2p.net.admission import Limits
from twistedp2p.net.fetch import FileClient
from twistedp2p.net.serve import FileService
from twistedp2p.net.tls import NodeTLS, NodeTLSFactory


class End:
    """One end: a transport that keeps what is written until the `Wire` moves it."""

    bufferSize = 65_536

    def __init__(self, address: str = "10.0.0.1") -> None:
        self.written = bytearray()
        self.closing = self.aborted = self.closed = self.paused = False
        self.producer: Any = None
        self.streaming = False
        self.writing = False  # its socket is waited for
        self.full = False  # the other end takes nothing
        self.address = address
        self.takes: int | None = None  # bytes that the system takes until the next step
        self.took = 0  # of them, since the last
        self.protocol: Any = None
        self.came = bytearray()  # bytes that wait to be read
        self.wakes_at = 1  # so many of them
        self.keeps = 0  # bytes that the system keeps at most before they are sent; 0: no matter

    def write(self, data: bytes) -> None:
        if not (self.closing or self.aborted or self.closed):
            self.written += data
            if self.streaming and len(self.written) > self.bufferSize:
                self.producer.pauseProducing()

    def getHandle(self) -> End:
        """The socket, which is this, too."""
        return self

    def send(self, data: memoryview) -> int:
        room = len(data) if self.takes is None else self.takes - self.took
        if not room:
            raise BlockingIOError
        count = min(room, len(data))
        self.took += count
        self.write(bytes(data[:count]))
        return count

    def recv_into(self, room: memoryview) -> int:
        if not self.came:
            raise BlockingIOError
        count = min(len(room), len(self.came))
        room[:count] = self.came[:count]
        del self.came[:count]
        return count

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT):
            self.wakes_at = value
        else:
            assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            self.keeps = value

    def doRead(self) -> None:
        """What the reactor calls; a `BodyReceiver` takes its place."""
        data = bytes(self.came[: self.bufferSize])
        del self.came[: self.bufferSize]
        if data:
            self.protocol.dataReceived(data)

    def startWriting(self) -> None:
        self.writing = True

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.written.clear()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer, self.streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer, self.streaming = None, False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.address, 40_000)

    getHost = getPeer


class Wire:
    """Joins two protocols. `change(data, to_client)` may tamper with what passes."""

    def __init__(self, client: Any, server: Any, address: str = "10.0.0.1") -> None:
        self.client, self.server = client, server
        self.client_end, self.server_end = End("10.0.0.2"), End(address)
        self.change: Callable[[bytes, bool], bytes] = lambda data, _to_client: data
        self.to_server, self.to_client = bytearray(), bytearray()  # all that passed
        self.client_end.protocol, self.server_end.protocol = client, server
        server.makeConnection(self.server_end)
        client.makeConnection(self.client_end)

    def run(self, most: int = 10_000) -> None:
        """Move bytes until nothing moves any more."""
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError("the two ends never stop")

    def step(self) -> bool:
        """Move what waits once; False when nothing does."""
        ends = (
            (self.client_end, self.server_end, self.to_server),
            (self.server_end, self.client_end, self.to_client),
        )
        moved = False
        for end, other, record in ends:
            if end.closed or other.paused or (end.full and not end.aborted):
                continue
            if len(other.came) >= other.wakes_at:
                other.doRead()
                moved = True
                continue
            if not end.written and end.producer is not None and not end.aborted:
                end.took = 0
                end.producer.resumeProducing()
                moved, end.writing = moved or end.writing, False
            if end.written and not other.closed:
                data = self.change(bytes(end.written), other is self.client_end)
                end.written.clear()
                record += data
                moved = True
                other.came += data
                if len(other.came) >= other.wakes_at:
                    other.doRead()
            elif end.closing or end.aborted:
                self.close(ConnectionLost() if end.aborted else ConnectionDone())
                return True
        return moved

    def close(self, reason: Exception) -> None:
        """The connection is gone for both ends."""
        for end, protocol in (
            (self.client_end, self.client),
            (self.server_end, self.server),
        ):
            if not end.closed:
                end.closed = True
                if end.producer is not None:
                    end.producer.stopProducing()
                protocol.connectionLost(Failure(reason))


class MemoryFile:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.results: list[Any] = []
        self.discarded = self.finished = False
        self.fail_at: int | None = None

    def write(self, data: bytes | memoryview) -> int:
        self.data += data
        if self.fail_at is not None and len(self.data) > self.fail_at:
            raise ShareError("The disk is full.")
        return len(data)

    def written(self, results: list[Any]) -> None:
        self.results += results


class FakeOrder:
    """An `Order` of one offer under one secret; `only` is the owner's key that is required."""

    def __init__(self, offer: bytes, secret: bytes, only: bytes | None = None) -> None:
        self.offer, self.secret, self.only = offer, secret, only
        self.file = MemoryFile()
        self.idle = False  # nothing is asked for but by the test
        self.ok: Ok | None = None
        self.owner = b""

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        self.owner = owner_key
        if self.only is not None and owner_key != self.only:
            return maybeDeferred(self._refuse)
        return succeed((self.offer, self.secret))

    def _refuse(self) -> tuple[bytes, bytes]:
        raise ShareError("Another node answers there.")

    def may_prove(self) -> bool:
        return True

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        self.ok = ok


RUN = 2 * FRAME  # bytes asked for at once


class WholeFetch:
    """Fetches all that is on offer through one client, and is its `Sink`."""

    def __init__(self, client: FileClient, order: FakeOrder) -> None:
        self.client, self.order, self.file = client, order, order.file
        self.moved: list[int] = []  # bytes that had come each time some did
        self.done: Deferred[bytes] = Deferred(lambda _: client.close())
        client.proven.addCallbacks(self._begin, lambda _: None)
        client.ended.addCallback(self._ended)

    def _begin(self, _: object) -> None:
        ok = self.client.ok
        if self.order.idle or ok is None:
            return
        for offset in range(0, ok.size, RUN):
            self.client.fetch(offset, min(RUN, ok.size - offset), self)
        self._look()

    def _look(self) -> None:
        assert self.client.ok is not None
        if not self.order.idle and sum(self.file.results) == self.client.ok.size:
            self.file.finished = True
            self.client.close()

    def write(self, data: memoryview) -> int:
        return self.file.write(data)

    def written(self, results: list[Any]) -> None:
        self.file.written(results)
        self._look()

    def came(self, size: int) -> None:
        self.moved.append((self.moved or [0])[-1] + size)

    def _ended(self, error: BaseException | None) -> None:
        if self.file.finished:
            self.done.callback(bytes(self.file.data))
            return
        self.file.discarded = True
        self.done.errback(Failure(error or ShareError("Stopped.")))


class MemoryReader:
    """A `Reader` of bytes; `fail_at` is where reading goes wrong."""

    def __init__(self, data: bytes, fail_at: int | None = None) -> None:
        self.data, self.at, self.fail_at = data, 0, fail_at
        self.closed = False

    def readinto(self, room: memoryview) -> int:
        if self.fail_at is not None and self.at + len(room) > self.fail_at:
            raise OSError("the file has changed")
        piece = self.data[self.at : self.at + len(room)]
        room[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)

    def close(self) -> None:
        self.closed = True


class FakeServed:
    def __init__(self, data: bytes, prs: bytes) -> None:
        self.name, self.data, self.prs = "a.bin", data, prs
        self.size = len(data)
        self.manifest = 0
        self.digest = "blake3:" + hashlib.sha256(data).hexdigest()


class FakeShelf:
    """A `Shelf` of offers in memory that grants `tokens` guesses."""

    def __init__(self) -> None:
        self.offers: dict[bytes, FakeServed] = {}
        self.guesses: list[bool] = []
        self.tokens = 10
        self.asked = 0
        self.readers: list[MemoryReader] = []
        self.handed: list[tuple[int, int]] = []
        self.fail_at: int | None = None
        self.open_refusal: int | None = None
        self.sent = 0
        self.ends = 0
        self.breaks: list[str] = []
        self.texts: list[tuple[Ask, bytes, str]] = []
        self.loads: list[Deferred[None]] | None = None  # what has to be read first, once

    def find(self, offer: bytes) -> FakeServed:
        if offer not in self.offers:
            raise Refusal(404)
        return self.offers[offer]

    def guess(self, served: FakeServed, address: str, key: bytes) -> None:
        self.asked += 1
        if self.tokens < 1:
            raise Refusal(429, 60)
        self.tokens -= 1

    def guessed(self, served: FakeServed, address: str, key: bytes, right: bool) -> None:
        self.guesses.append(right)
        if right:
            self.tokens += 1

    def loading(self, served: FakeServed) -> Deferred[None] | None:
        if self.loads is None or any(load.called for load in self.loads):
            return None
        self.loads.append(Deferred())
        return self.loads[-1]

    def check(self, served: FakeServed) -> None:
        if self.open_refusal is not None:
            raise Refusal(self.open_refusal)

    def next(self, served: FakeServed, have: bytes) -> int | None:
        for number in range(piece_count(served.size)):
            if not have[number // 8] & 128 >> number % 8:
                return number
        return None

    def text(self, served: FakeServed, ask: Ask, key: bytes, host: str) -> bytes:
        self.texts.append((ask, key, host))
        return b"t" * Extent(served.size, served.manifest).answer_size(ask)

    def chosen(self, served: FakeServed, offset: int, length: int) -> None:
        self.handed.append((offset, length))

    def open(self, served: FakeServed, offset: int, length: int) -> MemoryReader:
        reader = MemoryReader(served.data[offset : offset + length], self.fail_at)
        self.readers.append(reader)
        return reader

    def broke(self, served: Any, error: BaseException | None) -> None:
        self.breaks.append(str(error))

    def progress(self, served: Any, connection: object, sent: int) -> None:
        self.sent = sent

    def ended(self, served: Any, connection: object) -> None:
        self.ends += 1


OFFER = b"o" * 16
SECRET = b"s" * 32


class Bench:
    """A file service with one offer, and clients of it, all in memory on one clock."""

    def __init__(self, data: bytes = b"hello", limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.in_thread: Any = maybeDeferred
        self.owner_key = Ed25519PrivateKey.generate()
        self.client_key = Ed25519PrivateKey.generate()
        self.shelf = FakeShelf()
        self.shelf.offers[OFFER] = FakeServed(data, SECRET)
        self.service = FileService(
            NodeTLS(self.owner_key), public(self.owner_key), self.shelf, self.clock,
            limits or Limits(),
        )  # fmt: skip
        self.factory = self.service.listening_factory()
        self.factory.doStart()

    def accept(self, address: str = "10.0.0.1") -> Any:
        """The protocol for a new connection from `address`, or None."""
        return self.factory.buildProtocol(IPv4Address("TCP", address, 40_000))

    def client(
        self, order: FakeOrder | None = None, tls: NodeTLS | None = None
    ) -> tuple[WholeFetch, Any]:
        """A fetch of everything, and the TLS around its client."""
        order = order or FakeOrder(OFFER, SECRET)
        client = FileClient(order, public(self.client_key), self.clock, self.in_thread)
        fetch = WholeFetch(client, order)
        return fetch, wrap(client, tls or NodeTLS(self.client_key), self.clock)

    def connect(
        self, order: FakeOrder | None = None, tls: NodeTLS | None = None, address: str = "10.0.0.1"
    ) -> tuple[WholeFetch, Wire]:
        """A fetch joined to the service; nothing has moved yet."""
        fetch, outer = self.client(order, tls)
        server = self.accept(address)
        assert server is not None
        return fetch, Wire(outer, server, address)


def wrap(protocol: Any, tls: Any, clock: Clock, *, client: bool = True) -> Any:
    """Put a node's TLS around a protocol."""
    factory = NodeTLSFactory(tls, client, Factory.forProtocol(lambda: protocol), clock)
    return factory.buildProtocol(None)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
