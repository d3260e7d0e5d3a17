"""The file service: a ServerFactory whose protocol proves a password and sends what is asked.

The conversation (`calls.lines`, `calls.conversation`) runs inside TLS. Doors stand in this order:
connections an address may open, before any TLS object is made; a deadline from accept to proof;
the guess limiter; transfers out, in all and per node (`admission` counts them).

A client that brings SYNC or TELL instead goes on with a `net.talk.Talk` behind the first two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IReactorTime,
)
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedp2p.core.calls.conversation import OwnerEnd, Refusal, Session, Violation
from twistedp2p.core.calls.frames import FRAME
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
from twistedp2p.core.limits import counted_as
from twistedp2p.net.admission import Admission, Limits
from twistedp2p.net.answers import STALL, Answers, Asker, Served, Shelf
from twistedp2p.net.body import Room, bound_unsent
from twistedp2p.net.deadline import Deadline
from twistedp2p.net.talk import Talk
from twistedp2p.net.tls import (
    NodeTLS,
    NodeTLSFactory,
    NotANode,
    Peer,
    frames_of,
    peer_of,
)

PROOF_DEADLINE = 10.0  # seconds from accept to a right proof
GO_DEADLINE = 10.0  # seconds from OK to GO

_log = Logger()


class Answering(Protocol):
    """What the service asks of those who do SYNC and TELL: `net.talk.Talks`."""

    def answer(self, line: Sync | Tell, peer: Peer, address: str) -> tuple[Here, Talk]:
        """What to answer, and who goes on; raises `Refusal`."""


@implementer(IHandshakeListener)
class FileServer(LineReceiver):
    """One connection: AUTH, SHARE, GET, OK, GO, then answers. Or SYNC or TELL, and a talk."""

    delimiter = b"\r\n"
    MAX_LENGTH = MAX_LINE
    transport: Any  # a NodeTransport
    _offer = b""
    _answers: Answers | None = None

    def __init__(self, factory: FileService, address: str, host: str) -> None:
        """`address` is what `host` counts as."""
        self._service = factory
        self._address = address
        self._host = host
        self._deadline = Deadline(factory.clock, self.cut)
        self._end: OwnerEnd | None = None
        self._peer = Peer(b"", b"")
        self._talk: Talk | None = None
        self._served: Served | None = None
        self._counting = self._placed = False
        self._sent = 0  # bytes of content
        self._moved_at = 0.0  # seconds: when the last `FRAME` of it was whole, or the place taken
        self._over = self._refused = False

    def connectionMade(self) -> None:
        """TCP stands; TLS has yet to be agreed."""
        self._service.admission.entered(self, self._address)
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
            self._leave_the_unproven()
            if self._answers is not None:
                self._answers.stop()
            self.transport.abortConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """No line of ours is that long."""
        self.cut()

    def rawDataReceived(self, data: bytes) -> None:
        """Asks, or records of a talk; after a refusal nobody listens."""
        if self._talk is not None:
            self._talk.received(data)
        elif self._answers is not None:
            self._answers.received(data)
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
            self._begin()

    def _hand_over(self, line: Sync | Tell) -> None:
        if self._service.talks is None:
            raise Refusal(404)
        here, talk = self._service.talks.answer(line, self._peer, self._address)
        self._leave_the_unproven()
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
        loading = shelf.loading(served)
        if loading is None:
            self._take_place(end, served)
        else:
            self._deadline.set(STALL)  # that of the proof is over
            loading.addCallback(lambda _: self._take_place(end, served))
            loading.addErrback(self._not_loaded)

    def _not_loaded(self, failure: Failure) -> None:
        if isinstance(failure.value, Refusal):
            self._refuse(failure.value.line)
        else:
            _log.failure("what was to be loaded", failure)
            self._refuse(Err(500))

    def _take_place(self, end: OwnerEnd, served: Served) -> None:
        if self._over or self._refused:
            return
        self._service.shelf.check(served)
        self._service.admission.take_place(self._peer.key, self._address)
        self._placed = True
        self._leave_the_unproven()  # not before: what is loaded may keep many waiting
        self._moved_at = self._service.clock.seconds()
        self.sendLine(end.ok(served.size, served.manifest, served.digest, served.name).line())
        self._deadline.set(GO_DEADLINE)

    def _leave_the_unproven(self) -> None:
        if self._counting:
            self._counting = False
            self._service.admission.proved(self._address)

    def _begin(self) -> None:
        """GO was said: from now on there are asks and answers."""
        assert self._served is not None
        bound_unsent(self.transport.tcp)
        asker = Asker(
            self._peer.key,
            self._host,
            frames_of(self.transport.getHandle(), self._offer, self._served.size),
            self.transport.tcp,
            self._deadline,
            self.cut,
            self._content_sent,
        )
        self._answers = Answers(self._service.shelf, self._served, asker, self._service.room)
        self.setRawMode()

    def _content_sent(self, size: int) -> None:
        if self._sent // FRAME != (self._sent + size) // FRAME:
            self._moved_at = self._service.clock.seconds()
        self._sent += size
        self._service.shelf.progress(self._served, self, self._sent)

    def _refuse(self, line: Err) -> None:
        if not self._over:
            self.sendLine(line.line())
            self.transport.loseConnection()
            self._refused = True
            self.setRawMode()

    def connectionLost(self, reason: Failure = ...) -> None:  # type: ignore[assignment]
        """The end, whoever made it."""
        self._over = True
        self._service.admission.left(self)
        self._leave_the_unproven()
        self._deadline.stop()
        if self._talk is not None:
            with suppress(ShareError):  # the other end called, and will call again
                self._talk.lost()
        if self._answers is not None:
            self._answers.close()
        self._leave_place()

    def is_unproven_of(self, address: str) -> bool:
        """Whether it comes from there, and has proved nothing so far."""
        return self._counting and self._address == address

    def idle_for(self, now: float) -> float:
        """Seconds for which it has held a place, and was sent hardly anything; else 0."""
        return now - self._moved_at if self._placed and not self._over else 0.0

    def give_way(self) -> None:
        """Leave the place to another, and end."""
        self._leave_place()
        self.cut()

    def _leave_place(self) -> None:
        if self._placed:
            self._placed = False
            self._service.admission.free_place(self._peer.key, self._address)
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
        self.admission = Admission(limits, clock)
        self.talks = talks
        self._count_as = count_as
        self.room = Room()
        self._tls = tls

    def buildProtocol(self, addr: IAddress | None) -> FileServer:
        """One protocol for one connection."""
        return FileServer(self, self.counted(addr), _host(addr))

    def counted(self, address: IAddress | None) -> str:
        """What a client's address counts as."""
        return self._count_as(_host(address))

    def cut(self) -> None:
        """End every connection: nothing is served any more."""
        for connection in list(self.admission.connections):
            connection.cut()

    def listening_factory(self) -> NodeTLSFactory:
        """What to listen with."""
        return _Door(self._tls, self)


def _host(address: IAddress | None) -> str:
    return str(getattr(address, "host", ""))


class _Door(NodeTLSFactory):
    """Turns strangers away before a TLS object (51 KiB) is made for them."""

    noisy = False

    def __init__(self, tls: NodeTLS, service: FileService) -> None:
        super().__init__(tls, False, service, service.clock)
        self._service = service

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> TLSMemoryBIOProtocol | None:
        """A TLS connection, or None: Twisted then closes the socket at once."""
        if not self._service.admission.admits(self._service.counted(addr)):
            return None
        return super().buildProtocol(addr)
