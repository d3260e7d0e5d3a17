"""The other end of the file service: proves the password, checks the owner, asks for bytes.

A refused password is never tried again by itself, and nothing is asked for before the owner has
proved that it knows the password too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import attrs
from twisted.internet import error as net_error
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import ClientEnd, Session, Violation
from twistedp2p.core.calls.frames import FRAME, Frames
from twistedp2p.core.calls.lines import ERRORS, BadLine, Err, Ok, Share, parse_owner
from twistedp2p.core.calls.pieces import BYTES, NEXT, Ask, Extent, piece_number
from twistedp2p.core.content.tree import span
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.body import BodyReceiver
from twistedp2p.net.dial import Dialer, NoAnswer, NodeClient, no_node, nonsense
from twistedp2p.net.pump import InThread, Pump
from twistedp2p.net.tls import Peer, frames_of

ANSWER_DEADLINE = 20.0  # seconds from there to OK
BATCH = 4 * FRAME  # bytes written in one go
STALL = 30.0  # seconds without progress of an answer

BUSY = 503  # with this number there is no place for us now
_CODES = {403: Exit.DENIED, 429: Exit.DENIED, 404: Exit.NOT_FOUND, 409: Exit.NOT_FOUND}


class Order(Protocol):
    """What is wanted: what a `FileClient` asks of those who ordered it."""

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password for this owner.

        Fails with `ShareError` when it is not the owner that was meant.
        """

    def may_prove(self) -> bool:
        """Whether our proof may go out, by which who knows no password can check one guess."""

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """The owner has proved the password; raises `ShareError` if it is not what was meant."""


class Sink(Protocol):
    """Where the bytes go that `FileClient.fetch` asks for, in the order in which it was called."""

    def write(self, data: memoryview) -> Any:
        """Take the next bytes. Called in a thread, one call at a time."""

    def written(self, results: list[Any]) -> None:
        """What calls of `write` have returned, told in the reactor's thread."""

    def came(self, size: int) -> None:
        """So many bytes more have come."""


@attrs.define
class _Answer:
    """One that is awaited."""

    left: int  # bytes
    data: bytearray | None  # None: it goes to the sink
    done: Deferred[bytes] | None = None


class FileClient(NodeClient):
    """One connection to one who has the content.

    `proven` fires with the `Ok` when both ends have proved the password: then ask. `ended` fires
    when the connection is over: with the reason, a `ShareError` as a rule, or with None where we
    closed it.
    """

    _body: Frames
    _tcp: Any = None
    _offer = b""

    def __init__(self, order: Order, own_key: bytes, clock: IReactorTime, in_thread: InThread):
        super().__init__(clock, ANSWER_DEADLINE)
        self._order = order
        self._own_key = own_key
        self._in_thread = in_thread
        self._end: ClientEnd | None = None
        self.owner = b""  # its key, once TLS stands
        self.ok: Ok | None = None
        self._extent = Extent(0, 0)
        self._sink: Sink | None = None
        self._pump: Pump | None = None
        self._receiver: BodyReceiver | None = None
        self._answers: deque[_Answer] = deque()
        self._over = self._paused = False
        self.proven: Deferred[Ok] = Deferred(lambda _: self.close())
        self.ended: Deferred[BaseException | None] = Deferred()

    def _met(self, peer: Peer) -> None:
        """Make the secret for that key."""
        self.owner = peer.key
        session = Session(peer.key, self._own_key, peer.binding)
        self._order.stretched(peer.key).addCallbacks(
            lambda secret: self._begin(session, *secret), self._end_with
        )

    def _begin(self, session: Session, offer: bytes, prs: bytes) -> None:
        if not self._over:
            self._offer = offer
            self._end = ClientEnd(session, offer, prs)
            self.sendLine(self._end.auth().line())

    @property
    def over(self) -> bool:
        """Whether it is ending, or has ended: nothing that is asked for now will come."""
        return self._over

    @property
    def host(self) -> str:
        """The address of the other end."""
        return str(getattr(self.transport.getPeer(), "host", ""))

    @property
    def reached(self) -> bool:
        """Whether an owner that may be the one that was meant has answered."""
        return self._end is not None

    def lineReceived(self, line: bytes) -> None:
        """One line of the owner."""
        if self._over:
            return
        if self._end is None:
            self._fail(nonsense())
            return
        try:
            answer = self._end.heard(parse_owner(line))
        except BadLine:
            self._fail(nonsense())
        except Violation:
            self._fail(
                ShareError(
                    N_("The other end could not prove that it knows the password: not taken."),
                    Exit.DENIED,
                )
            )
        else:
            self._answered(self._end, answer)

    def _answered(self, end: ClientEnd, answer: Share | Ok | Err) -> None:
        if isinstance(answer, Share):
            if self._order.may_prove():
                self.sendLine(end.get().line())
            else:
                self.close()
        elif isinstance(answer, Ok):
            self._agree(end, answer)
        else:
            self._fail(Refused(answer))

    def _agree(self, end: ClientEnd, ok: Ok) -> None:
        try:
            self._order.agreed(ok, self.owner)
        except ShareError as error:
            self._fail(error)
            return
        self.ok = ok
        self._extent = Extent(ok.size, ok.manifest)
        self.sendLine(end.go().line())
        self.setRawMode()
        self._body = frames_of(self.transport.getHandle(), self._offer, ok.size)
        self._tcp = self.transport.tcp
        self.transport.step_aside(self.rawDataReceived)
        self._receiver = BodyReceiver(self._tcp, self._body, self)
        self._deadline.stop()  # it is we who have to say something
        self.proven.callback(ok)

    # -- asking

    @property
    def waiting(self) -> int:
        """Bytes that were asked for and have not come."""
        return sum(answer.left for answer in self._answers)

    def ask(self, ask: Ask) -> Deferred[bytes]:
        """Ask for TREE, HAVE or PEERS; fires with the answer, fails where the connection ends."""
        done: Deferred[bytes] = Deferred()
        self._await(ask, bytearray(self._extent.answer_size(ask)), done)
        return done

    def fetch(self, offset: int, length: int, sink: Sink) -> None:
        """Ask for bytes, at least 1, that go to `sink`, which is the same in all calls."""
        self._give_to(sink)
        self._await(Ask(BYTES, offset, length), None, None)

    def fetch_next(self, have: bytes, sink: Sink) -> Deferred[int | None]:
        """Have the owner choose a piece that is not in the bitmap `have`; it goes to `sink`.

        Fires with its number before it comes; with None where there is none.
        """
        self._give_to(sink)
        number = self.ask(Ask(NEXT, have=have))
        return number.addCallback(self._next_told)

    def _next_told(self, data: bytes) -> int | None:
        size = self._extent.size
        try:
            number = piece_number(data)
            if number is not None:
                self._answers.appendleft(_Answer(span(size, number)[1], None))
        except (ValueError, IndexError):
            self.spoilt()
            raise broken() from None
        return number

    def _give_to(self, sink: Sink) -> None:
        if self._pump is None:
            self._sink = sink
            batch = min(BATCH, self._extent.size)
            self._pump = Pump(sink, batch, self._in_thread, self, self._end_with)

    def _await(self, ask: Ask, data: bytearray | None, done: Deferred[bytes] | None) -> None:
        if self._over:
            if done is not None:
                done.errback(Failure(broken()))
            return
        self.transport.write(ask.write())
        size = self._extent.answer_size(ask)
        if not self._answers and not self._paused:
            self._deadline.set(STALL)
        self._answers.append(_Answer(size, data, done))
        self._begin_next()

    def _begin_next(self) -> None:
        """Await the next answer, unless one is awaited; what has no bytes is there already."""
        while self._answers and not self._answers[0].left:
            self._complete()  # those who are told may ask for more, which leads here again
        if self._body.left:
            return
        if self._answers:
            self._body.begin(self._answers[0].left)
        elif not self._over:
            self._deadline.stop()
            if self._pump is not None:
                self._pump.flush()

    def _complete(self) -> None:
        answer = self._answers.popleft()
        if answer.done is not None and answer.data is not None:
            answer.done.callback(bytes(answer.data))

    def rawDataReceived(self, data: bytes) -> None:
        """Answers, sealed."""
        if not self._over and (self._receiver is None or self._receiver.received(data)):
            self._fail(nonsense())  # what nobody has asked for

    # -- pump.Flow

    def pauseProducing(self) -> None:
        """Our own disk is what the owner waits for: its silence is not counted."""
        self._paused = True
        self._deadline.stop()
        self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        if not self._over:
            if self._answers:
                self._deadline.set(STALL)
            self._tcp.resumeProducing()

    # -- body.Opened

    def room(self, size: int) -> memoryview:
        """Where the next `size` bytes belong."""
        answer = self._answers[0]
        if answer.data is not None:
            at = len(answer.data) - answer.left
            return memoryview(answer.data)[at : at + size]
        assert self._pump is not None
        return self._pump.room(size)

    def opened(self, size: int) -> None:
        """They are there."""
        if self._over:
            return
        answer = self._answers[0]
        answer.left -= size
        self._deadline.moved()  # a byte now and then is no progress, a frame is
        if answer.data is None and self._pump is not None and self._sink is not None:
            self._pump.filled(size)
            if not answer.left:  # a piece is not to wait for bytes of the next one
                self._pump.flush()
            self._sink.came(size)
        if not self._over:
            self._begin_next()

    def spoilt(self) -> None:
        """What came was not what the owner sent."""
        self._fail(damaged())

    # -- the end

    def close(self) -> None:
        """We need no more; what was asked for and has not come is dropped."""
        self._end_with(None)

    def _fail(self, error: BaseException | None) -> None:
        self._end_with(Failure(error))

    def _end_with(self, failure: Failure | None) -> None:
        """Over; it is told when nothing is being written any more.

        What came before a cut is written first: it need not come again.
        """
        if self._over:
            return
        self._over = True
        self._deadline.stop()
        if self._receiver is not None:
            self._receiver.stop()
        self.transport.abortConnection()
        idle = succeed(None)
        if self._pump is not None:
            idle = self._pump.stop() if failure is None else self._pump.drain()
        idle.addCallback(lambda _: self._tell(failure))

    def _tell(self, failure: Failure | None) -> None:
        answers, self._answers = self._answers, deque()
        if self.ok is None:
            self.proven.errback(failure or Failure(CancelledError()))
        for answer in answers:
            if answer.done is not None:
                answer.done.errback(failure or Failure(broken()))
        self.ended.callback(None if failure is None else failure.value)

    def _timed_out(self) -> None:
        self._fail(NoAnswer(N_("The other end went silent."), Exit.TIMEOUT))

    def connectionLost(self, reason: Failure = ...) -> None:  # type: ignore[assignment]
        """The end, whoever made it."""
        if self.owner:
            self._fail(broken())
        elif reason.check(net_error.ConnectionDone, net_error.ConnectionLost):
            # Before the handshake, a clean close is a full house.
            self._fail(Refused(Err(BUSY)))
        else:
            self._fail(no_node())


def broken() -> NoAnswer:
    """The connection ended, nobody knows why."""
    return NoAnswer(N_("The connection broke in the middle."))


def damaged() -> ShareError:
    """Who sends what is not what was offered is not believed any more."""
    return ShareError(
        N_("What came was not what the owner sent: it was thrown away."), Exit.DAMAGED
    )


class Refused(ShareError):
    """An ERR of the owner as a sentence: its number decides, nothing that the owner worded."""

    def __init__(self, line: Err) -> None:
        super().__init__(
            N_("Refused: {reason} (wait {seconds} s).")
            if line.seconds
            else N_("Refused: {reason}."),
            _CODES.get(line.code, Exit.FAILED),
            reason=ERRORS.get(line.code, ERRORS[400]),
            seconds=line.seconds,
        )
        self.number = line.code
        self.seconds = line.seconds or 0


class Fetcher:
    """Opens the connections of one node to the file services of others."""

    def __init__(
        self,
        dialer: Dialer,
        own_key: bytes,
        clock: IReactorTime,
        in_thread: InThread,
    ) -> None:
        self._clock = clock
        self._dialer = dialer
        self._own_key = own_key
        self._in_thread = in_thread

    async def connect(self, order: Order, addresses: Sequence[Address]) -> FileClient:
        """A connection to the first of `addresses` (host, TCP port) where the owner answers.

        What goes wrong before an owner that may be the one has shown its key is a reason to try the
        next address. Both ends have proved the password then. Raises `ShareError`: that one is busy
        where any is, for it is worth waiting for, else what was wrong with the last.
        """
        failure: ShareError = NoAnswer(N_("No address of the owner is known."), Exit.NOT_FOUND)
        for host, port in addresses:
            try:
                client = await self._connect(order, host, port)
            except ShareError as error:
                failure = _to_tell(failure, error)
                continue
            try:
                await client.proven
            except ShareError as error:
                if client.reached:
                    raise
                failure = _to_tell(failure, error)
            else:
                return client
        raise failure

    async def _connect(self, order: Order, host: str, port: int) -> FileClient:
        client: FileClient = await self._dialer.dial(
            lambda: FileClient(order, self._own_key, self._clock, self._in_thread), host, port
        )
        return client


def _to_tell(before: ShareError, error: ShareError) -> ShareError:
    busy = isinstance(before, Refused) and before.number == BUSY
    return before if busy else error
