"""The file service: a ServerFactory whose protocol proves a password and sends one file.

The conversation (`calls.lines`, `calls.conversation`) runs inside TLS. Doors stand in this order:
connections an address may open, before any TLS object is made; a deadline from accept to proof;
the guess limiter; transfers out, in all and per node.

A client that brings SYNC or TELL instead goes on with a `net.talk.Talk` behind the first two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory
from twisted.protocols.basic import LineReceiver
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedp2p.core.calls.conversation import OwnerEnd, Refusal, Session, Violation
from twistedp2p.core.calls.frames import FRAME, Frames
from twistedp2p.core.calls.lines import (
    MAX_LINE,
    BadLine,
    ClientLine,
    Err,
    Get,
    Here,
    Sync,
    Tell,
    parse_client,
)
from twistedp2p.core.errors import ShareError
from twistedp2p.core.limits import Buckets, counted_as
from twistedp2p.net.body import BodySender, Reader, Room
from twistedp2p.net.deadline import Deadline
from twistedp2p.net.talk import Talk
from twistedp2p.net.tls import (
    NodeTLS,
    NodeTLSFactory,
    NotANode,
    Peer,
    body_frames,
    peer_of,
)

PROOF_DEADLINE = 10.0  # seconds from accept to a right proof
GO_DEADLINE = 10.0  # seconds from OK to GO
STALL = 30.0  # seconds without progress of a body
LINGER = 120.0  # seconds for the last bytes to reach a slow reader


class Served(Protocol):
    """One offer as the service needs it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def digest(self) -> str:
        """Of the whole file."""

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

    def open(self, served: Any, offset: int, length: int) -> Reader:
        """The bytes to send; raises `Refusal`."""

    def progress(self, served: Any, connection: object, sent: int, length: int) -> None:
        """How far a body has come."""

    def ended(self, served: Any, connection: object) -> None:
        """A body is over, whole or cut."""


class Answering(Protocol):
    """What the service asks of those who do SYNC and TELL: `net.talk.Talks`."""

    def answer(self, line: Sync | Tell, peer: Peer, address: str) -> tuple[Here, Talk]:
        """What to answer, and who goes on; raises `Refusal`."""


@attrs.frozen
class Limits:
    """Who may have how much of the service."""

    connections_rate: float = 5.0  # new connections of one address per second
    connections_burst: float = 10.0
    unproven_per_address: int = 8
    unproven: int = 64
    transfers: int = 64
    transfers_per_peer: int = 8
    transfers_per_address: int = 16
    busy_wait: int = 5  # seconds that a client is asked to wait when all places are taken


@implementer(IHandshakeListener)
class FileServer(LineReceiver):
    """One connection: AUTH, SHARE, GET, OK, one body, the end. Or SYNC or TELL, and a talk."""

    delimiter = b"\r\n"
    MAX_LENGTH = MAX_LINE
    transport: Any  # a NodeTransport
    _frames: Frames
    _offer = b""
    _tcp: Any = None

    def __init__(self, factory: FileService, address: str) -> None:
        self._service = factory
        self._address = address
        self._deadline = Deadline(factory.clock, self.cut)
        self._end: OwnerEnd | None = None
        self._peer = Peer(b"", b"")
        self._talk: Talk | None = None
        self._served: Served | None = None
        self._reader: Reader | None = None
        self._counting = self._sending = False
        self._sent = self._length = 0
        self._over = self._refused = False

    def connectionMade(self) -> None:
        """TCP stands; TLS has yet to be agreed."""
        self._service.connections.add(self)
        self._service.unproven[self._address] += 1
        self._counting = True
        self._deadline.set(PROOF_DEADLINE)

    def handshakeCompleted(self) -> None:
        """TLS stands: see who it is."""
        try:
            self._peer = peer = peer_of(self.transport.getHandle())
        except NotANode:
            self.cut()
            return
        self._end = OwnerEnd(Session(self._service.own_key, peer.key, peer.binding))

    def cut(self) -> None:
        """End this connection, whatever it does."""
        if not self._over:
            self._over = True
            self.transport.abortConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """No line of ours is that long."""
        self.cut()

    def rawDataReceived(self, data: bytes) -> None:
        """Nothing is to be said during the body; after a refusal nobody listens."""
        if self._talk is not None:
            self._talk.received(data)
        elif not self._refused:
            self.cut()

    def lineReceived(self, line: bytes) -> None:
        """One line of the client."""
        if self._over or self._end is None:
            self.cut()
            return
        try:
            self._answer(self._end, parse_client(line))
        except (BadLine, Violation):
            self._refuse(Err(400))
        except Refusal as refusal:
            self._refuse(refusal.line)

    def _answer(self, end: OwnerEnd, line: ClientLine) -> None:
        if end.state == "auth" and isinstance(line, Sync | Tell):
            self._hand_over(line)
        elif end.state == "auth":
            auth = end.heard_auth(line)
            self._served = self._service.shelf.find(auth.offer)
            self._offer = auth.offer
            self.sendLine(end.share(auth, self._served.prs).line())
        elif end.state == "get":
            self._answer_get(end, end.heard_get(line))
        else:
            end.heard_go(line)
            self._send_body()

    def _hand_over(self, line: Sync | Tell) -> None:
        if self._service.talks is None:
            raise Refusal(404)
        here, talk = self._service.talks.answer(line, self._peer, self._address)
        self._proven()
        self._deadline.stop()
        self.sendLine(here.line())
        self.setRawMode()
        self._talk = talk
        talk.begin(self.transport)

    def _answer_get(self, end: OwnerEnd, get: Get) -> None:
        shelf, served = self._service.shelf, self._served
        assert served is not None
        shelf.guess(served, self._address, self._peer.key)
        right = end.proven(get)
        shelf.guessed(served, self._address, self._peer.key, right)
        if not right:
            raise Refusal(403)
        self._proven()
        length = served.size - get.offset if get.length is None else get.length
        if length < 0 or get.offset + length > served.size:
            raise Refusal(416)
        self._service.take_place(self._peer.key, self._address)
        self._sending = True
        self._reader = shelf.open(served, get.offset, length)
        self._length = length
        self._frames = body_frames(self.transport.getHandle(), self._offer, get.offset, length)
        self.sendLine(end.ok(served.size, get.offset, length, served.digest, served.name).line())
        self._deadline.set(GO_DEADLINE)

    def _proven(self) -> None:
        if self._counting:
            self._counting = False
            self._service.unproven[self._address] -= 1

    def _send_body(self) -> None:
        self.setRawMode()
        self._deadline.set(STALL)
        self._tcp = self.transport.step_aside(self.rawDataReceived)
        assert self._reader is not None
        sender = BodySender(self._body_progress)
        done = sender.send(self._reader, self._frames, self._service.room, self._tcp)
        done.addCallbacks(self._body_sent, lambda _failure: self.cut())

    def _body_progress(self) -> None:
        self._sent = min(self._length, self._sent + FRAME)
        self._deadline.moved()
        self._service.shelf.progress(self._served, self, self._sent, self._length)

    def _body_sent(self, _last: bytes) -> None:
        if not self._over:
            self._deadline.set(LINGER)
            self._tcp.loseConnection()

    def _refuse(self, line: Err) -> None:
        if not self._over:
            self.sendLine(line.line())
            self.transport.loseConnection()
            self._refused = True
            self.setRawMode()

    def connectionLost(self, reason: Failure = ...) -> None:  # type: ignore[assignment]
        """The end, whoever made it."""
        self._over = True
        self._service.connections.discard(self)
        self._proven()
        self._deadline.stop()
        if self._talk is not None:
            with suppress(ShareError):  # the other end called, and will call again
                self._talk.lost()
        if self._sending:
            self._service.free_place(self._peer.key, self._address)
        if self._reader is not None:
            self._reader.close()
            self._service.shelf.ended(self._served, self)


class FileService(ServerFactory):
    """Makes a `FileServer` for each connection; `listening_factory` puts TLS around it."""

    noisy = False

    def __init__(
        self,
        tls: NodeTLS,
        own_key: bytes,
        shelf: Shelf,
        clock: IReactorTime,
        limits: Limits,
        talks: Answering | None = None,
        count_as: Callable[[str], str] = counted_as,
    ) -> None:
        """`count_as`: what an address counts as, in whatever is limited for each."""
        self.own_key = own_key
        self.shelf = shelf
        self.clock = clock
        self.limits = limits
        self.talks = talks
        self._count_as = count_as
        self.connections: set[FileServer] = set()
        self.unproven: Counter[str] = Counter()
        self.room = Room()
        self._tls = tls
        self._to_keys: Counter[bytes] = Counter()
        self._to_addresses: Counter[str] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> FileServer:
        """One protocol for one connection."""
        return FileServer(self, self.counted(addr))

    def counted(self, address: IAddress | None) -> str:
        """What a client's address counts as."""
        return self._count_as(str(getattr(address, "host", "")))

    def cut(self) -> None:
        """End every connection: nothing is served any more."""
        for connection in list(self.connections):
            connection.cut()

    def take_place(self, key: bytes, address: str) -> None:
        """Count one more transfer; raises `Refusal` when there is no place.

        Keys cost nothing to make, so addresses are counted too.
        """
        if (
            self._to_keys.total() >= self.limits.transfers
            or self._to_keys[key] >= self.limits.transfers_per_peer
            or self._to_addresses[address] >= self.limits.transfers_per_address
        ):
            raise Refusal(503, self.limits.busy_wait)
        self._to_keys[key] += 1
        self._to_addresses[address] += 1

    def free_place(self, key: bytes, address: str) -> None:
        """A transfer is over."""
        self._to_keys[key] -= 1
        self._to_addresses[address] -= 1
        self._to_keys += Counter()  # forget the zeros
        self._to_addresses += Counter()

    def listening_factory(self) -> NodeTLSFactory:
        """What to listen with."""
        return _Door(self._tls, self)


class _Door(NodeTLSFactory):
    """Turns strangers away before a TLS object (51 KiB) is made for them."""

    noisy = False

    def __init__(self, tls: NodeTLS, service: FileService) -> None:
        super().__init__(tls, False, service, service.clock)
        self._service = service
        limits = service.limits
        self._buckets: Buckets[str] = Buckets(limits.connections_rate, limits.connections_burst)

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> TLSMemoryBIOProtocol | None:
        """A TLS connection, or None: Twisted then closes the socket at once."""
        service, address = self._service, self._service.counted(addr)
        service.unproven += Counter()
        if (
            not self._buckets.take(address, service.clock.seconds())
            or service.unproven[address] >= service.limits.unproven_per_address
            or service.unproven.total() >= service.limits.unproven
        ):
            return None
        return super().buildProtocol(addr)
