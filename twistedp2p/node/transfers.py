"""Fetching files: from the catalogue, where the owner's key is known, or by a ticket.

A get from the catalogue requires the key that signed the offer. A ticket names an address only;
when that address and name are in the catalogue the key is required all the same, else the
password alone authenticates both ends, and the key is remembered: another one at the same address
is told as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.cpace import PUBLIC_PASSWORD, stretch
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import Event, Fetched, FetchFailed
from twistedp2p.core.limits import CappedTable, TokenBucket
from twistedp2p.core.names import clean_name, offer_id
from twistedp2p.disk.parts import PartFile
from twistedp2p.net.pump import InThread
from twistedp2p.node.progress import Courses

AT_ONCE = 16  # transfers in
AT_ONCE_EACH = 8  # of them from one owner
# A little under what the other end's door lets in, so that many small files are not turned away.
CONNECTIONS_RATE, CONNECTIONS_BURST = 4.0, 8.0
MAX_OWNERS = 4096

PublicPrs = Callable[[bytes, bytes], bytes | None]  # as of `closed.Envelope.public_prs`

_log = Logger()


class Fetching(Protocol):
    """What of `net.fetch.Fetcher` is needed."""

    async def fetch(self, order: Any, addresses: Sequence[tuple[str, int]]) -> Any: ...


@attrs.define
class Order:
    """One wanted file: implements `net.fetch.Order`.

    `offer` is the catalogue's or None; `required` is the key that the owner must have, or empty
    where a ticket is all that is known.
    """

    offer: Offer | None
    name: str
    password: str = attrs.field(repr=False)
    folder: Path
    in_thread: InThread
    moved: Callable[[int, int], None]
    required: bytes
    members_prs: PublicPrs | None = None  # for a public offer of a closed group
    owner: bytes = b""
    size: int = 0
    _secret: bytes = attrs.field(default=b"", repr=False)

    async def prepare(self) -> None:
        """Stretch the password before any connection is made, where the owner is known."""
        if self.required:
            self._secret = await self._stretch(self.required)

    def _stretch(self, owner: bytes) -> Deferred[bytes]:
        prs = self.members_prs and self.members_prs(owner, offer_id(owner, self.name))
        if prs:
            return succeed(prs)
        secret: Deferred[bytes] = self.in_thread(
            stretch, self.password, owner, offer_id(owner, self.name)
        )
        return secret.addErrback(_no_password)

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password; fails when it is another owner."""
        if self.required and owner_key != self.required:
            return fail(
                ShareError(
                    N_("Another node answers at the owner's address: {name} was not taken."),
                    Exit.DENIED,
                    name=self.name,
                )
            )
        self.owner = owner_key
        secret = succeed(self._secret) if self._secret else self._stretch(owner_key)
        return secret.addCallback(lambda prs: (offer_id(owner_key, self.name), prs))

    def open(self, ok: Ok, owner_key: bytes) -> PartFile:
        """Where the body goes, under the name that was asked for. Blocks."""
        if self.offer is not None and (ok.digest, ok.size) != (self.offer.digest, self.offer.size):
            raise ShareError(
                N_("What was to come is not the {name} that was offered."),
                Exit.DAMAGED,
                name=self.name,
            )
        self.size = ok.size
        return PartFile(self.folder, self.name, ok.size, ok.digest)

    def progress(self, done: int, size: int) -> None:
        """How far the body has come."""
        self.moved(done, size)


def _no_password(failure: Failure) -> Any:
    failure.trap(ValueError)
    raise ShareError(N_("A password has 1 to 256 characters."), Exit.USAGE)


@attrs.define(eq=False)
class Transfer:
    """A get under way."""

    number: int
    name: str
    _work: Deferred[Any] | None = None
    _outcome: Fetched | Failure | None = None
    _done: Deferred[Fetched] | None = None

    @property
    def done(self) -> Deferred[Fetched]:
        """Fires with a `Fetched`, or fails with `ShareError`; cancelling it stops the get.

        Made when first asked for, so that a failure that nobody waits for is nobody's to handle.
        """
        if self._done is None:
            self._done = Deferred(lambda _: self.cancel())
            if self._outcome is not None:
                self._fire(self._done, self._outcome)
        return self._done

    @staticmethod
    def _fire(done: Deferred[Fetched], outcome: Fetched | Failure) -> None:
        if isinstance(outcome, Failure):
            done.errback(outcome)
        else:
            done.callback(outcome)

    def begin(self, work: Deferred[Any]) -> None:
        """`work` is what is done for it: it fires as `done` is to fire."""
        self._work = work
        work.addBoth(self._ended)

    def _ended(self, outcome: Fetched | Failure) -> None:
        self._outcome = outcome
        if self._done is not None:
            self._fire(self._done, outcome)

    def cancel(self) -> None:
        """Stop; nothing is left on disk."""
        if self._work is not None:
            self._work.cancel()


class Transfers:
    """All gets of this node."""

    def __init__(
        self,
        fetching: Fetching,
        courses: Courses,
        emit: Callable[[Event], None],
        *,
        clock: Any,
        in_thread: InThread,
        folder: Path,
        owner_changed: Callable[[str, int, bytes], bool] = lambda _host, _port, _key: False,
        public_prs: PublicPrs = lambda _owner, _offer: None,
    ) -> None:
        self._public_prs = public_prs
        self._owner_changed = owner_changed
        self._fetching = fetching
        self._courses = courses
        self._emit = emit
        self._clock = clock
        self._in_thread = in_thread
        self._folder = folder
        self._running: dict[int, Transfer] = {}
        self._all = DeferredSemaphore(AT_ONCE)
        self._each: CappedTable[str, tuple[DeferredSemaphore, TokenBucket]] = CappedTable(
            MAX_OWNERS
        )

    def running(self) -> list[Transfer]:
        """The gets that are not over."""
        return list(self._running.values())

    def get(
        self,
        name: str,
        password: str,
        addresses: Sequence[tuple[str, int]],
        offer: Offer | None,
        folder: Path | None = None,
        owner: bytes = b"",
    ) -> Transfer:
        """Fetch one file; `offer` is the catalogue's, where it is known.

        `owner` is the key that is required of the owner, where that is known without an offer.
        """
        number = self._courses.number()
        public = offer is not None and offer.public
        order = Order(
            offer,
            clean_name(name),
            PUBLIC_PASSWORD if public else password,
            folder or self._folder,
            self._in_thread,
            lambda done, size: self._courses.moved(number, done, size),
            owner if offer is None else offer.owner,
            self._public_prs if public else None,
        )
        transfer = Transfer(number, order.name)
        self._running[number] = transfer
        self._courses.begin(number, "get", order.name, offer.size if offer else 0)
        work = Deferred.fromCoroutine(self._run(order, number, addresses))
        work.addCallbacks(
            self._fetched,
            self._failed,
            callbackArgs=(order, number, addresses),
            errbackArgs=(order, number),
        )
        transfer.begin(work)
        return transfer

    async def _run(self, order: Order, number: int, addresses: Sequence[tuple[str, int]]) -> Any:
        host = addresses[0][0] if addresses else ""
        row = self._each.get(host)
        if row is None:
            bucket = TokenBucket.full(CONNECTIONS_RATE, CONNECTIONS_BURST, self._clock.seconds())
            row = DeferredSemaphore(AT_ONCE_EACH), bucket
            self._each.put(host, row)
        each, bucket = row
        await each.acquire()
        try:
            await self._all.acquire()
            try:
                while not bucket.take(self._clock.seconds()):
                    wait = bucket.wait(self._clock.seconds())
                    await deferLater(self._clock, wait)
                self._courses.starts(number)
                await order.prepare()
                return await self._fetching.fetch(order, addresses)
            finally:
                self._all.release()
        finally:
            each.release()

    def _fetched(
        self, path: Path, order: Order, number: int, addresses: Sequence[tuple[str, int]]
    ) -> Fetched:
        self._running.pop(number, None)
        known = bool(order.required)
        fetched = Fetched(
            number,
            order.name,
            str(path),
            order.size,
            self._courses.end(number),
            order.owner,
            known,
            not known and self._owner_changed(*addresses[0], order.owner),
        )
        self._emit(fetched)
        return fetched

    def _failed(self, failure: Failure, order: Order, number: int) -> Any:
        self._running.pop(number, None)
        self._courses.end(number)
        error = _sentence(failure)
        self._emit(FetchFailed(number, order.name, error.sentence, error.values, error.code))
        raise error

    def stop(self) -> None:
        """Stop every get."""
        for transfer in self.running():
            transfer.cancel()


def _sentence(failure: Failure) -> ShareError:
    if isinstance(failure.value, ShareError):
        return failure.value
    if failure.check(CancelledError):
        return ShareError(N_("Stopped."))
    _log.failure("a get failed", failure)
    why = type(failure.value).__name__
    return ShareError(N_("A defect of this program ({why}); the log says more."), why=why)
