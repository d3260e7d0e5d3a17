"""The other end of the file service: proves the password, checks the owner, takes one file.

A refused password is never tried again by itself, and nothing is written before the owner has
proved that it knows the password too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet import error as net_error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import ClientEnd, Session, Violation
from twistedp2p.core.calls.frames import FRAME
from twistedp2p.core.calls.lines import ERRORS, BadLine, Err, Ok, Share, parse_owner
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.net.body import BodyReceiver
from twistedp2p.net.deadline import Deadline
from twistedp2p.net.dial import CONNECT_TIMEOUT, Dialer, NodeClient, no_node, nonsense
from twistedp2p.net.pump import BlockingFile, InThread, Pump
from twistedp2p.net.tls import NodeTLS, Peer, body_frames

ANSWER_DEADLINE = 20.0  # seconds from there to the first byte of the body
CLOSE_DEADLINE = 5.0  # seconds from the last byte to the owner's end
BATCH = 4 * FRAME  # bytes written in one go
STALL = 30.0  # seconds without progress of a body

_CODES = {403: Exit.DENIED, 429: Exit.DENIED, 404: Exit.NOT_FOUND, 409: Exit.NOT_FOUND}


class Order(Protocol):
    """One file that is wanted: what `fetch` asks of those who ordered it."""

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password for this owner.

        Fails with `ShareError` when it is not the owner that was meant.
        """

    def open(self, ok: Ok, owner_key: bytes) -> BlockingFile:
        """Where the body goes (blocking); raises `ShareError` when it is not what was meant."""

    def progress(self, done: int, size: int) -> None:
        """How far the body has come, bytes."""


class _Valve:
    """Pauses the owner; while our own disk is what it waits for, its silence is not counted."""

    def __init__(self, tcp: Any, deadline: Deadline) -> None:
        self._tcp = tcp
        self._deadline = deadline

    def pauseProducing(self) -> None:
        """Send no more for now."""
        self._deadline.stop()
        self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        self._deadline.set(STALL)
        self._tcp.resumeProducing()


class FileClient(NodeClient):
    """One connection that fetches one file. `done` fires with what the file's `finish` gave."""

    _tcp: Any = None
    _offer = b""

    def __init__(self, order: Order, own_key: bytes, clock: IReactorTime, in_thread: InThread):
        super().__init__(clock, ANSWER_DEADLINE)
        self._order = order
        self._own_key = own_key
        self._in_thread = in_thread
        self._end: ClientEnd | None = None
        self._owner = b""
        self._pump: Pump | None = None
        self._body: BodyReceiver | None = None
        self._left = self._length = 0  # bytes
        self._ended = False
        self.done: Deferred[Any] = Deferred(lambda _: self.cancel())

    def _met(self, peer: Peer) -> None:
        """Make the secret for that key."""
        self._owner = peer.key
        session = Session(peer.key, self._own_key, peer.binding)
        self._order.stretched(peer.key).addCallbacks(
            lambda secret: self._begin(session, *secret), self._fail_with
        )

    def _begin(self, session: Session, offer: bytes, prs: bytes) -> None:
        if not self._ended:
            self._offer = offer
            self._end = ClientEnd(session, offer, prs)
            self.sendLine(self._end.auth().line())

    @property
    def reached(self) -> bool:
        """Whether an owner that may be the one that was meant has answered."""
        return self._end is not None

    def lineReceived(self, line: bytes) -> None:
        """One line of the owner."""
        if self._ended:
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
            self.sendLine(end.get().line())
        elif isinstance(answer, Ok):
            self._open(answer)
        else:
            self._fail(refusal_error(answer))

    def _open(self, ok: Ok) -> None:
        self._length = self._left = ok.length
        self._in_thread(self._order.open, ok, self._owner).addCallbacks(
            self._begin_body, self._fail_with, callbackArgs=(ok,)
        )

    def _begin_body(self, file: BlockingFile, ok: Ok) -> None:
        # The owner waits for GO, so not a byte of the body comes before we listen for it.
        assert self._end is not None
        go = self._end.go().line()
        if self._ended:
            self._in_thread(file.discard)
            return
        self.sendLine(go)
        self.setRawMode()
        self._tcp = self.transport.step_aside(self.rawDataReceived)
        valve = _Valve(self._tcp, self._deadline)
        self._pump = Pump(file, self._left, BATCH, self._in_thread, valve, self._fail_with)
        frames = body_frames(self.transport.getHandle(), self._offer, ok.offset, ok.length)
        self._body = BodyReceiver(self._tcp, frames, self)
        self._deadline.set(STALL if self._left else CLOSE_DEADLINE)

    def rawDataReceived(self, data: bytes) -> None:
        """Some of the body, sealed."""
        if not self._ended and (self._body is None or self._body.received(data)):
            self._fail(nonsense())  # bytes after the last one are a failure, too

    # -- body.Opened

    def room(self, size: int) -> memoryview:
        """Where the next `size` bytes of the file belong."""
        assert self._pump is not None
        return self._pump.room(size)

    def opened(self, size: int) -> None:
        """They are there."""
        if self._ended or self._pump is None:
            return
        self._left -= size
        self._deadline.moved()  # a byte now and then is no progress, a frame is
        self._pump.filled(size)
        self._order.progress(self._length - self._left, self._length)
        if not self._left and not self._ended:
            self._deadline.set(CLOSE_DEADLINE)

    def spoilt(self) -> None:
        """What came was not what the owner sent."""
        self._fail(
            ShareError(
                N_("What came was not what the owner sent: it was thrown away."), Exit.DAMAGED
            )
        )

    @property
    def _all_here(self) -> bool:
        return self._pump is not None and not self._left

    def _finish(self) -> None:
        assert self._pump is not None
        self._end_now()
        self._tcp.loseConnection()
        self._pump.finish().addBoth(self._tell)

    def _end_now(self) -> None:
        self._ended = True
        if self._body is not None:
            self._body.stop()
        self._deadline.stop()

    def _fail_with(self, failure: Failure) -> None:
        self._fail(failure.value)

    def _fail(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._end_now()
        self.transport.abortConnection()
        if self._pump is None:
            self._tell(Failure(error))
        else:
            self._pump.discard().addBoth(lambda _: self._tell(Failure(error)))

    def _tell(self, outcome: Any) -> None:
        if not self.done.called:  # cancelling has not waited for the disk
            self.done.callback(outcome)

    def _timed_out(self) -> None:
        if self._all_here:
            self._finish()
            return
        self._fail(ShareError(N_("The other end went silent; get the file again."), Exit.TIMEOUT))

    def cancel(self) -> None:
        """Stop now; nothing is left on disk."""
        if self._ended and self._pump is not None:
            self._pump.abandon()  # the last byte had come, but it is not finished yet
        self._fail(ShareError(N_("Stopped.")))

    def connectionLost(self, reason: Failure = ...) -> None:  # type: ignore[assignment]
        """The end, whoever made it."""
        if self._all_here and not self._ended:
            self._finish()
        elif self._owner:
            self._fail(ShareError(N_("The connection broke in the middle; get the file again.")))
        elif reason.check(net_error.ConnectionDone, net_error.ConnectionLost):
            # Before the handshake, a clean close is a full house.
            self._fail(refusal_error(Err(503)))
        else:
            self._fail(no_node())


def refusal_error(line: Err) -> ShareError:
    """An ERR of the owner as a sentence: its number decides, nothing that the owner worded."""
    if line.seconds:
        return ShareError(
            N_("Refused: {reason} (wait {seconds} s)."),
            _CODES.get(line.code, Exit.FAILED),
            reason=ERRORS.get(line.code, ERRORS[400]),
            seconds=line.seconds,
        )
    return ShareError(
        N_("Refused: {reason}."),
        _CODES.get(line.code, Exit.FAILED),
        reason=ERRORS.get(line.code, ERRORS[400]),
    )


class Fetcher:
    """Opens the connections of one node to the file services of others."""

    def __init__(
        self,
        reactor: Any,
        tls: NodeTLS,
        own_key: bytes,
        in_thread: InThread,
        timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self._clock = reactor
        self._dialer = Dialer(reactor, tls, timeout)
        self._own_key = own_key
        self._in_thread = in_thread

    async def fetch(self, order: Order, addresses: Sequence[tuple[str, int]]) -> Any:
        """Fetch from the first of `addresses` (host, TCP port) where the owner answers.

        What goes wrong before an owner that may be the one has shown its key is a reason to try the
        next address.

        Returns what the file's `finish` gave; raises `ShareError`. Cancelling stops it, and
        leaves nothing on disk.
        """
        failure: ShareError = ShareError(N_("No address of the owner is known."), Exit.NOT_FOUND)
        for host, port in addresses:
            try:
                client = await self._connect(order, host, port)
            except ShareError as error:
                failure = error
                continue
            try:
                return await client.done
            except ShareError as error:
                if client.reached:
                    raise
                failure = error
        raise failure

    async def _connect(self, order: Order, host: str, port: int) -> FileClient:
        client: FileClient = await self._dialer.dial(
            lambda: FileClient(order, self._own_key, self._clock, self._in_thread), host, port
        )
        return client
