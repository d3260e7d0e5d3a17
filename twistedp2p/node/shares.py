"""Our own offers: made known, kept, watched, and served to those who know their password."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.cpace import PUBLIC_PASSWORD, stretch
from twistedp2p.core.catalogue import MAX_OFFERS_PER_NODE, Offer, write_withdraw
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import Event, Notice, OfferAdded, OfferGone, WrongPassword
from twistedp2p.core.limits import GuessLimiter
from twistedp2p.core.names import clean_name, offer_id
from twistedp2p.core.words import looks_generated, three_words
from twistedp2p.disk.parts import numbered
from twistedp2p.disk.shares import Share
from twistedp2p.disk.shelf import (
    BoundedReader,
    Changed,
    Identity,
    check,
    open_unchanged,
    read_whole,
)
from twistedp2p.disk.store import Store
from twistedp2p.net.pump import InThread
from twistedp2p.node.memory import Notes
from twistedp2p.node.progress import Courses

WATCH_EVERY = 60.0  # seconds between looks at the offered files
LOOK_AT_ONCE, LOOK_PAUSE = 200, 0.02  # files looked at in one go: a few ms; seconds in between
READING_AT_ONCE = 2  # files whose digest is being computed
SAVE_AFTER = 1.0  # seconds from a guess until its count is written
GONE_AT_ONCE, GONE_EVERY = 10, 0.2  # files withdrawn in one go; seconds: 50 datagrams a second
NAMES_TOLD = 5  # of offers that need their passwords again
TOLD_AT_ONCE, TOLD_PAUSE = 50, 0.02  # offers published anew in one go; seconds in between

_log = Logger()


class Publishing(Protocol):
    """What of `Feeds` is needed to make an offer known."""

    def publish_offer(self, offer: Offer) -> Any: ...

    def publish_withdraw(self, name: str, body: str) -> Any: ...


@attrs.frozen
class Offered:
    """An offer that has been made, and the password that opens it (empty for a public one)."""

    offer: Offer
    password: str = attrs.field(repr=False)
    generated: bool


class Shares:
    """Implements `net.serve.Shelf` for the offers of this node."""

    def __init__(
        self,
        store: Store,
        own_key: bytes,
        publishing: Publishing,
        courses: Courses,
        emit: Callable[[Event], None],
        *,
        clock: Any,
        wall: Callable[[], float],
        in_thread: InThread,
        nick: Callable[[], str],
        public_prs: Callable[[bytes, bytes], bytes | None] = lambda _owner, _offer: None,
    ) -> None:
        self._store = store
        self._own_key = own_key
        self._publishing = publishing
        self._courses = courses
        self._emit = emit
        self._clock = clock
        self._wall = wall
        self._in_thread = in_thread
        self._nick = nick
        self._public_prs = public_prs
        kept, owner = store.shares(), store.shares_owner()
        self._of_old_key = kept if owner not in (None, own_key) else []
        ours = [] if self._of_old_key else kept
        self._shares = {share.name: self._for_members(share) for share in ours}
        self._names = {offer_id(own_key, name): name for name in self._shares}
        self._limiters: dict[str, GuessLimiter] = {}
        self._unsaved: set[str] = set()  # names of those whose count of guesses has changed
        self._saving: IDelayedCall | None = None
        self._serving: dict[object, int] = {}
        self._reading: dict[str, str] = {}  # name -> path
        self._reading_places = DeferredSemaphore(READING_AT_ONCE)
        self._notes = Notes()
        self._watch: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Look at the files of earlier runs, and go on looking."""
        self._watch = self._clock.callLater(0, self._look)
        self._notes.note(self._drop_those_of_old_key)
        if self._of_old_key:
            self._clock.callLater(0, self._carry_over)

    def _drop_those_of_old_key(self) -> None:
        with self._store.together():
            for share in self._of_old_key:
                self._store.drop_share(share.name)
            self._store.set_shares_owner(self._own_key)

    def _carry_over(self) -> None:
        """Passwords are stretched with the key of their owner: who has another one needs them."""
        if self._stopped:
            return
        lost = [share.name for share in self._of_old_key if not share.public]
        if lost:
            names = ", ".join(lost[:NAMES_TOLD]) + (" ..." if len(lost) > NAMES_TOLD else "")
            why = N_("This node has a new identity; offer again what had a password: {names}")
            self._emit(Notice(why, {"names": names}))
        public = [share for share in self._of_old_key if share.public]
        self._of_old_key = []
        carried = Deferred.fromCoroutine(self._offer_anew(public))
        carried.addErrback(lambda failure: _log.failure("public offers of the old key", failure))

    async def _offer_anew(self, public: list[Share]) -> None:
        for share in public:
            prs = await self._stretched(PUBLIC_PASSWORD, share.name)
            if self._stopped:
                return
            if share.name not in self._shares:
                self._make_known(self._for_members(attrs.evolve(share, prs=prs)))

    def tell_again(self) -> None:
        """Publish all offers anew, some at a time: our feed has begun another epoch."""
        self._tell_again(list(self._shares.values()))

    def _tell_again(self, shares: list[Share]) -> None:
        if self._stopped:
            return
        now, later = shares[:TOLD_AT_ONCE], shares[TOLD_AT_ONCE:]
        if later:
            self._clock.callLater(TOLD_PAUSE, self._tell_again, later)
        with self._store.together():
            for share in now:
                if self._shares.get(share.name) is share:
                    self._publishing.publish_offer(self._offer_of(share))

    def stop(self) -> None:
        """Read and watch no more."""
        self._stopped = True
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        self._save_guesses()

    def _for_members(self, share: Share) -> Share:
        """In a closed group, what is public is so to its members: see `closed.Envelope`."""
        prs = None
        if share.public:
            prs = self._public_prs(self._own_key, offer_id(self._own_key, share.name))
        return share if prs is None else attrs.evolve(share, prs=prs)

    def renew_public(self) -> None:
        """What stands for the password of public offers has changed."""
        self._shares = {name: self._for_members(share) for name, share in self._shares.items()}

    # -- offering

    async def offer(self, path: str, password: str, public: bool) -> Offered:
        """Read the file, keep what is needed to serve it, and tell the group.

        An empty password makes one of three words; `public` needs none. Raises `ShareError`.
        """
        whole = self._wanted(path)
        generated = not public and not password
        secret = PUBLIC_PASSWORD if public else password or three_words()
        name = self._free_name(whole)
        self._reading[name] = whole
        try:
            async with self._reading_places:
                identity, digest = await self._read(whole, name)
                prs = await self._stretched(secret, name)
        finally:
            del self._reading[name]
        if self._stopped:
            raise _stopped(whole)
        guessable = not looks_generated(secret)
        known = attrs.asdict(identity)
        share = Share(name, whole, prs, not guessable, public, digest=digest, **known)
        offer = self._make_known(self._for_members(share))
        return Offered(offer, "" if public else secret, generated)

    def _wanted(self, path: str) -> str:
        try:
            whole = os.path.realpath(os.path.expanduser(path))
        except ValueError as error:  # a NUL in it
            raise ShareError(
                N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=error
            ) from None
        if len(self._shares) + len(self._reading) >= MAX_OFFERS_PER_NODE:
            raise ShareError(N_("This node offers as many files as it can."))
        if whole in self._reading.values():
            raise ShareError(N_("{path} is being read already."), path=path)
        return whole

    def _free_name(self, path: str) -> str:
        """The file's own name, or a numbered one where another file bears it."""
        plain = clean_name(Path(path).name)
        for number in range(1, MAX_OFFERS_PER_NODE):
            name = numbered(plain, number)
            share = self._shares.get(name)
            if name not in self._reading and (share is None or share.path == path):
                return name
        raise ShareError(N_("Too many files are called {name}."), name=plain)

    async def _read(self, path: str, name: str) -> tuple[Identity, str]:
        number = self._courses.number()
        self._courses.begin(number, "read", name, 0)
        done = [0, 0]  # written by the thread, read by the loop

        def note(so_far: int, size: int) -> None:
            done[:] = so_far, size

        def report() -> None:
            self._courses.moved(number, *done)
            ticking.append(self._clock.callLater(0.25, report))
            ticking.pop(0)

        ticking = [self._clock.callLater(0.25, report)]
        try:
            return await self._in_thread(read_whole, path, note, lambda: self._stopped)  # type: ignore[no-any-return]
        finally:
            ticking[0].cancel()
            self._courses.end(number)

    async def _stretched(self, secret: str, name: str) -> bytes:
        try:
            return await self._in_thread(  # type: ignore[no-any-return]
                stretch, secret, self._own_key, offer_id(self._own_key, name)
            )
        except ValueError:
            raise ShareError(N_("A password has 1 to 256 characters."), Exit.USAGE) from None

    def _make_known(self, share: Share) -> Offer:
        """Keep and publish an offer, or neither; raises `ShareError`."""
        self._save_guesses()
        before = self._shares.get(share.name)
        offer = self._offer_of(share)
        with self._store.together():
            self._store.put_share(share)
            if before is not None and before.prs != share.prs:
                self._forget_exempt(share.name)
            self._publishing.publish_offer(offer)
        self._shares[share.name] = share
        self._names[offer_id(self._own_key, share.name)] = share.name
        self._limiters.pop(share.name, None)
        self._emit(OfferAdded(offer, self._nick(), own=True))
        return offer

    def _offer_of(self, share: Share) -> Offer:
        stamp = int(self._wall() * 1000)
        return Offer(self._own_key, share.name, share.size, share.digest, share.public, stamp)

    def _forget_exempt(self, name: str) -> None:
        """Another password: who proved the old one has no more guesses at it than others."""
        state = self._store.guesses(name)
        if state is not None:
            self._store.save_guesses(name, {**state, "exempt": []})

    def withdraw(self, name: str, why: str = "") -> None:
        """Offer a file no more; raises `ShareError` when it was not on offer here.

        Where that cannot be kept it raises too, and the file is on offer as before.
        """
        if name not in self._shares:
            raise ShareError(N_("You do not offer {name}."), Exit.NOT_FOUND, name=name)
        with self._store.together():
            self._store.drop_share(name)
            self._publishing.publish_withdraw(name, write_withdraw(name))
        del self._shares[name]
        self._names.pop(offer_id(self._own_key, name), None)
        self._limiters.pop(name, None)
        self._emit(OfferGone(name, self._own_key, self._nick(), own=True, why=why))

    def name_of(self, offer: bytes) -> str:
        """The name of the offer of that id; raises `ShareError`."""
        if offer not in self._names:
            raise ShareError(N_("You offer no file of that id."), Exit.NOT_FOUND)
        return self._names[offer]

    # -- watching

    def _look(self, rest: Iterator[Share] | None = None) -> None:
        """Look at all files, or at the `rest` of them, some at a time."""
        rest = iter(list(self._shares.values())) if rest is None else rest
        some = list(islice(rest, LOOK_AT_ONCE))
        self._in_thread(_changed, some).addErrback(_not_looked).addCallback(
            self._looked, rest if some else None
        )

    def _looked(self, found: list[tuple[Share, str]], rest: Iterator[Share] | None) -> None:
        """Withdraw those, a few at a time (a whole disk may have gone), then look on."""
        if self._stopped:
            return
        now, later = found[:GONE_AT_ONCE], found[GONE_AT_ONCE:]
        if later:
            self._watch = self._clock.callLater(GONE_EVERY, self._looked, later, rest)
        elif rest is not None:
            self._watch = self._clock.callLater(LOOK_PAUSE, self._look, rest)
        else:
            self._watch = self._clock.callLater(WATCH_EVERY, self._look)
        for share, why in now:
            self._withdraw_changed(share, why)

    def _withdraw_changed(self, share: Share, why: str) -> None:
        if self._shares.get(share.name) is share:
            self._notes.note(self.withdraw, share.name, why)  # else at the next look

    # -- serving (net.serve.Shelf)

    def find(self, offer: bytes) -> Share:
        """The offer of that id; raises `Refusal`."""
        name = self._names.get(offer)
        if name is None or self._stopped:
            raise Refusal(404)
        return self._shares[name]

    def _limiter(self, share: Share) -> GuessLimiter:
        limiter = self._limiters.get(share.name)
        if limiter is None:
            limiter = GuessLimiter(
                generated=share.generated, now=self._wall(), choose=secrets.randbelow
            )
            try:
                saved = self._store.guesses(share.name)
            except ShareError as error:  # a limiter that has forgotten would be no limiter
                _log.error("{name}: {error}", name=share.name, error=str(error))
                raise Refusal(500) from None
            if saved is not None:
                try:
                    limiter.restore(saved)
                except ValueError as error:
                    _log.warn("{name}: {error}", name=share.name, error=error)
            self._limiters[share.name] = limiter
        return limiter

    def guess(self, served: Share, address: str, key: bytes) -> None:
        """Ask for one guess; raises `Refusal` when there is none. Public offers need none."""
        if served.public:
            return
        # The time of day, not the reactor's: the state outlives the process.
        wait = self._limiter(served).take(address, key, self._wall())
        if wait:
            raise Refusal(429, int(wait) + 1)

    def guessed(self, served: Share, address: str, key: bytes, right: bool) -> None:
        """Note how a guess came out; a wrong one is told to the owner."""
        if served.public:
            return
        limiter = self._limiter(served)
        if right:
            limiter.right(address, key)
        else:
            self._emit(WrongPassword(served.name, address, key))
        self._unsaved.add(served.name)
        if self._stopped:
            self._save_guesses()
        elif self._saving is None:
            self._saving = self._clock.callLater(SAVE_AFTER, self._save_guesses)

    def _save_guesses(self) -> None:
        """Write the counts that have changed: thousands of rows each, where many have guessed."""
        if self._saving is not None and self._saving.active():
            self._saving.cancel()
        self._saving = None
        for name in self._unsaved & self._limiters.keys():
            state = self._limiters[name].state(self._wall())
            self._notes.note(self._store.save_guesses, name, state)
        self._unsaved.clear()

    def open(self, served: Share, offset: int, length: int) -> BoundedReader:
        """The bytes to send; raises `Refusal` where the file is not what was offered."""
        identity = _identity(served)
        try:
            descriptor = open_unchanged(served.path, identity)
        except Changed as change:
            self._withdraw_changed(served, str(change))
            raise Refusal(409) from None
        except OSError as error:
            _log.error("{path}: {error}", path=served.path, error=str(error))
            raise Refusal(500) from None
        return BoundedReader(descriptor, identity, offset, length)

    def progress(self, served: Share, connection: object, sent: int, length: int) -> None:
        """A body has come so far."""
        number = self._serving.get(connection)
        if number is None:
            number = self._serving[connection] = self._courses.number()
            self._courses.begin(number, "serve", served.name, length)
        self._courses.moved(number, sent)

    def ended(self, served: Share, connection: object) -> None:
        """A body is over."""
        number = self._serving.pop(connection, None)
        if number is not None:
            self._courses.end(number)


def _stopped(path: str) -> ShareError:
    return ShareError(N_("Reading {path} was stopped."), path=path)


def _not_looked(failure: Failure) -> list[tuple[Share, str]]:
    _log.failure("looking at the offered files", failure)
    return []


def _identity(share: Share) -> Identity:
    return Identity(share.size, share.mtime_ns, share.device, share.inode)


def _changed(shares: list[Share]) -> list[tuple[Share, str]]:
    """Those whose file is not what was offered, and why. Blocks."""
    found = [(share, check(share.path, _identity(share))) for share in shares]
    return [(share, why) for share, why in found if why]
