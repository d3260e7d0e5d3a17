"""Fetching files: from the catalogue, where the owner's key is known, or by a ticket.

A get from the catalogue requires the key that signed the offer. A ticket names an address only;
when that address and name are in the catalogue the key is required all the same, else the
password alone authenticates both ends, and the key is remembered: another one at the same address
is told as such.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.cpace import PUBLIC_PASSWORD
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.events import Event, Fetched, FetchFailed, Notice
from twistedp2p.core.limits import CappedTable, TokenBucket
from twistedp2p.core.names import clean_name
from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.pump import InThread
from twistedp2p.node.downloads.getting import Getting, Sharing
from twistedp2p.node.downloads.opening import Fetching
from twistedp2p.node.downloads.order import Order, PublicPrs
from twistedp2p.node.progress import Courses

AT_ONCE = 16  # transfers in
AT_ONCE_EACH = 8  # of them from one owner
CHECKS_AT_ONCE = 2  # parts that are hashed: each takes a thread, and what comes is written in them
# A little under what the other end's door lets in, so that many small files are not turned away.
CONNECTIONS_RATE, CONNECTIONS_BURST = 4.0, 8.0
MAX_OWNERS = 4096

_log = Logger()


@attrs.define(eq=False)
class Transfer:
    """A get under way."""

    number: int
    name: str
    _getting: Getting
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
        self._getting.discard()
        self.stop()

    def stop(self) -> None:
        """Stop; what has come is kept for a later get."""
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
        goes_to: Callable[[Path], None] = lambda _folder: None,
        sharing: Sharing | None = None,
        draw: Callable[[int], int] = secrets.randbelow,
        owner_changed: Callable[[str, int, bytes], bool] = lambda _host, _port, _key: False,
        public_prs: PublicPrs = lambda _owner, _offer: None,
    ) -> None:
        """`folder`: where downloads go that name none; `goes_to` is told where each goes."""
        self._public_prs = public_prs
        self._owner_changed = owner_changed
        self._fetching = fetching
        self._courses = courses
        self._emit = emit
        self._clock = clock
        self._in_thread = in_thread
        self._folder = folder
        self._goes_to = goes_to
        self._sharing = sharing
        self._draw = draw
        self._running: dict[int, Transfer] = {}
        self._all = DeferredSemaphore(AT_ONCE)
        self._checks = DeferredSemaphore(CHECKS_AT_ONCE)
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
        addresses: Callable[[], Sequence[Address]],
        offer: Offer | None,
        folder: Path | None = None,
        owner: bytes = b"",
        wanted: Sequence[str] | None = None,
        one_file: bool = False,
    ) -> Transfer:
        """Fetch a file or folder; `offer` is the catalogue's, where it is known.

        `addresses` are those of the owner, whenever it is asked: it may come back with others.
        `owner` is the key that is required of the owner, where that is known without an offer.
        `wanted`: which files and folders of a folder, as paths below it; None: all.
        `one_file`: a folder is refused; `wanted` is then None, or one path.
        """
        number = self._courses.number()
        public = offer is not None and offer.public
        order = Order(
            offer,
            clean_name(name),
            PUBLIC_PASSWORD if public else password,
            folder or self._folder,
            self._in_thread,
            owner if offer is None else offer.owner,
            self._public_prs if public else None,
            wanted=wanted,
            one_file=one_file,
        )
        self._goes_to(order.folder)
        getting = Getting(
            order,
            addresses,
            self._fetching,
            clock=self._clock,
            turns=lambda kind: self._courses.turns(number, kind),
            moved=lambda done, size: self._courses.moved(number, done, size),
            sharing=self._sharing,
            checks=self._checks,
            tell=lambda what: self._emit(Notice(what.sentence, what.values, number)),
            draw=self._draw,
        )
        transfer = Transfer(number, order.name, getting)
        self._running[number] = transfer
        self._courses.begin(number, "get", order.name, offer.size if offer else 0)
        where = addresses()
        work = Deferred.fromCoroutine(self._run(getting, number, where))
        work.addCallbacks(
            self._fetched,
            self._failed,
            callbackArgs=(getting, number, where),
            errbackArgs=(order, number),
        )
        transfer.begin(work)
        return transfer

    async def _run(self, getting: Getting, number: int, addresses: Sequence[Address]) -> Path:
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
                await getting.order.prepare()
                return await getting.run()
            finally:
                self._all.release()
        finally:
            each.release()

    def _fetched(
        self, path: Path, getting: Getting, number: int, addresses: Sequence[Address]
    ) -> Fetched:
        order = getting.order
        self._running.pop(number, None)
        known = bool(order.required)
        fetched = Fetched(
            number,
            order.name,
            str(path),
            getting.size,
            self._courses.end(number),
            order.owner or order.required,
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
        """Stop every get; what has come is kept for later ones."""
        for transfer in self.running():
            transfer.stop()


def wanted_of(part: str) -> list[str] | None:
    """What `Transfers.get` takes for a path below a folder; the folder itself is all of it."""
    return [part] if part.strip("/") else None


def _sentence(failure: Failure) -> ShareError:
    if isinstance(failure.value, ShareError):
        return failure.value
    if failure.check(CancelledError):
        return ShareError(N_("Stopped."))
    _log.failure("a get failed", failure)
    why = type(failure.value).__name__
    return ShareError(N_("A defect of this program ({why}); the log says more."), why=why)
