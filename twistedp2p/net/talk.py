"""SYNC and TELL at both ends, up to where their records begin.

Inside the TLS of the file service, after the first line of the client (`core.calls.lines`)::

    C: SYNC <proof>      or TELL <proof>
    S: HERE <proof>      then records (`calls.records`) from both ends   | ERR 404 | 429 | 480 | 503

A proof is made from the exporter of the session and a role, `sync client`, `sync server`, `tell
client` or `tell server`: it shows that its maker is of the group (and has its code, in a closed
one), and is of no use in another connection, nor to the other end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet import error as net_error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import (
    ERRORS,
    TALK_ERRORS,
    BadLine,
    Err,
    Here,
    Sync,
    Tell,
    parse_host,
)
from twistedp2p.core.datagrams.closed import Envelope
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.dial import Dialer, NodeClient, no_node, nonsense
from twistedp2p.net.tls import Peer

ANSWER_DEADLINE = 10.0  # seconds from the handshake to HERE


class Talk(Protocol):
    """What goes on at one end once both have proved their group."""

    def begin(self, transport: Any) -> None:
        """Speak on this transport."""

    def received(self, data: bytes) -> None:
        """Some of what the other end says."""

    def lost(self) -> Any:
        """The connection is gone: what came of it; raises `ShareError` where it broke off."""


class Places:
    """How many of one kind of talk there may be at once, in all and with one address."""

    def __init__(self, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, address: str) -> Callable[[], None]:
        """Take a place; call what is returned to leave it. Raises `Refusal` when there is none."""
        if len(self) >= self._most or self._taken[address] >= self._each:
            raise Refusal(503)
        self._taken[address] += 1
        return lambda: self._leave(address)

    def _leave(self, address: str) -> None:
        self._taken[address] -= 1
        self._taken += Counter()  # forget the zeros


class Talks:
    """The server's end. For each verb that is answered `rooms` has what makes the talk, given the
    other's key and address, once it has proved the group; it may raise `Refusal`.
    """

    def __init__(
        self,
        envelope: Envelope,
        rooms: Mapping[type[Sync | Tell], Callable[[bytes, str], Talk]],
    ) -> None:
        self._envelope = envelope
        self._rooms = rooms

    def answer(self, line: Sync | Tell, peer: Peer, address: str) -> tuple[Here, Talk]:
        """What to answer, and who goes on; raises `Refusal`."""
        verb = _verb(type(line))
        room = self._rooms.get(type(line))
        if room is None or not self._envelope.proves(line.proof, peer.binding, verb + b" client"):
            raise Refusal(404)
        talk = room(peer.key, address)
        return Here(self._envelope.proof(peer.binding, verb + b" server")), talk


def _verb(line: type) -> bytes:
    return line.__name__.lower().encode("ascii")


class Caller(NodeClient):
    """The client's end of one connection. `done` fires with what came of the talk."""

    def __init__(
        self,
        verb: type[Sync | Tell],
        envelope: Envelope,
        talk: Talk,
        wanted: Callable[[bytes], bool],
        clock: IReactorTime,
    ) -> None:
        super().__init__(clock, ANSWER_DEADLINE)
        self._verb = verb
        self._envelope = envelope
        self._talk = talk
        self._wanted = wanted
        self._peer: Peer | None = None
        self._over = False
        self.begun = False
        self.done: Deferred[Any] = Deferred(lambda _: self.cut())

    def _met(self, peer: Peer) -> None:
        if not self._wanted(peer.key):
            self._fail(ShareError(N_("Another node answers there."), Exit.NOT_FOUND))
            return
        self._peer = peer
        role = _verb(self._verb) + b" client"
        self.sendLine(self._verb(self._envelope.proof(peer.binding, role)).line())

    def lineReceived(self, line: bytes) -> None:
        """The answer."""
        if self._over or self._peer is None:
            self._fail(nonsense())
            return
        try:
            answer = parse_host(line)
        except BadLine:
            self._fail(nonsense())
            return
        if isinstance(answer, Err):
            self._fail(refused(answer))
            return
        role = _verb(self._verb) + b" server"
        if not self._envelope.proves(answer.proof, self._peer.binding, role):
            self._fail(refused(Err(404)))
            return
        self._deadline.stop()
        self.begun = True
        self.setRawMode()
        self._talk.begin(self.transport)

    def rawDataReceived(self, data: bytes) -> None:
        """Some records."""
        if not self._over:
            self._talk.received(data)

    def cut(self) -> None:
        """End this connection, whatever it does."""
        self._fail(ShareError(N_("Stopped.")))

    def _timed_out(self) -> None:
        self._fail(_silent())

    def _fail(self, error: BaseException | None) -> None:
        if self._over:
            return
        self.transport.abortConnection()
        self._end(Failure(error))

    def _end(self, outcome: Any) -> None:
        self._over = True
        self._deadline.stop()
        if self.begun:
            try:
                result = self._talk.lost()
            except ShareError:
                result = Failure()
            outcome = result if outcome is None else outcome
        if not self.done.called:
            self.done.callback(outcome)

    def connectionLost(self, reason: Failure = ...) -> None:  # type: ignore[assignment]
        """The end, whoever made it."""
        if self._over:
            return
        if self.begun:
            self._end(None)
        elif reason.check(net_error.ConnectionDone, net_error.ConnectionLost):
            self._end(Failure(refused(Err(503))))  # a clean close is a full house
        else:
            self._end(Failure(no_node()))


def _silent() -> ShareError:
    return ShareError(N_("The other end went silent."), Exit.TIMEOUT)


class Busy(ShareError):
    """The other end has no place for one more just now."""


def refused(line: Err) -> ShareError:
    """An ERR after SYNC or TELL as a sentence."""
    reasons = {**ERRORS, **TALK_ERRORS}
    made = Busy if line.code == 503 else ShareError
    return made(N_("Refused: {reason}."), reason=reasons.get(line.code, ERRORS[400]))


class Calling(Protocol):
    """What of `Calls` is needed by who talks."""

    def call(
        self,
        verb: type[Any],
        talk: Callable[[str], Any],
        addresses: Sequence[Address],
        wanted: Callable[[bytes], bool],
    ) -> Coroutine[Any, Any, Any]: ...


class Calls:
    """Opens the connections of one node for SYNC and TELL."""

    def __init__(self, dialer: Dialer, envelope: Envelope, clock: IReactorTime) -> None:
        self._dialer = dialer
        self._envelope = envelope
        self._clock = clock

    async def call(
        self,
        verb: type[Sync | Tell],
        talk: Callable[[str], Talk],
        addresses: Sequence[Address],
        wanted: Callable[[bytes], bool],
    ) -> Any:
        """Talk to the node behind the first of `addresses` (host, TCP port) that goes along.

        `talk` makes what is said to a host; `wanted` says whether that is a key to talk to. What
        fails before the talk has begun is a reason to try the next address. Returns what came of
        it; raises `ShareError`, `Busy` where anybody was.
        """
        failure: ShareError = ShareError(N_("No address of that node is known."), Exit.NOT_FOUND)
        for host, port in addresses:
            made = talk(host)
            try:
                caller: Caller = await self._dialer.dial(
                    partial(Caller, verb, self._envelope, made, wanted, self._clock), host, port
                )
            except ShareError as error:
                failure = failure if isinstance(failure, Busy) else error
                continue
            try:
                return await caller.done
            except ShareError as error:
                if caller.begun:
                    raise
                failure = failure if isinstance(failure, Busy) else error
        raise failure
