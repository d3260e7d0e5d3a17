"""Our own offers: made, made known, kept, and withdrawn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.cpace import PUBLIC_PASSWORD, stretch
from twistedp2p.core.catalogue import MAX_OFFERS_PER_NODE, Offer, write_withdraw
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import LEFT_OUT, Event, Notice, OfferAdded, OfferGone
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import clean_name, offer_id
from twistedp2p.core.words import looks_generated, three_words
from twistedp2p.disk.downloads.parts import numbered
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.offered import Content
from twistedp2p.net.pump import InThread
from twistedp2p.node.memory import Notes
from twistedp2p.node.offers.folders import Folders
from twistedp2p.node.offers.guesses import Guesses
from twistedp2p.node.offers.reading import Reading
from twistedp2p.node.offers.watching import Watching
from twistedp2p.node.progress import Courses

CHANGED_MOST = 1000  # offers of which it is known that they were withdrawn as they had changed
NAMES_TOLD = 5  # of offers that need their passwords again
TOLD_AT_ONCE, TOLD_PAUSE = 50, 0.02  # offers published anew in one go; seconds in between

_log = Logger()


class Publishing(Protocol):
    """What of `Feeds` is needed to make an offer known."""

    def publish_offer(self, offer: Offer) -> Any: ...

    def publish_withdraw(self, name: str, body: str) -> Any: ...


@attrs.frozen
class Offered:
    """An offer that has been made, and the password that opens it (empty for a public one).

    `left_out`: of a folder, how many things are not in it, by the reason why.
    """

    offer: Offer
    password: str = attrs.field(repr=False)
    generated: bool
    left_out: dict[str, int] = attrs.Factory(dict)


class Shares:
    """The offers of this node. `guesses`: at their passwords; `folders`: in memory."""

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
        self._changed: CappedTable[bytes, bool] = CappedTable(CHANGED_MOST)  # ids; withdrawn
        self.folders = Folders(store, in_thread)
        self.guesses = Guesses(store, emit, clock=clock, wall=wall)
        self._being_read: dict[str, str] = {}  # name -> path
        self._reading = Reading(courses, clock=clock, in_thread=in_thread)
        self._watching = Watching(
            lambda: list(self._shares.values()),
            self.withdraw_changed,
            store,
            self.folders.here,
            clock=clock,
            in_thread=in_thread,
        )
        self._notes = Notes()
        self._calls: dict[str, IDelayedCall] = {}
        self._stopped = False

    def start(self) -> None:
        """Look at what earlier runs offered, and go on looking."""
        self._watching.start()
        self._notes.note(self._drop_those_of_old_key)
        if self._of_old_key:
            self._calls["carry over"] = self._clock.callLater(0, self._carry_over)
        else:
            renewed = Deferred.fromCoroutine(self._read_anew())
            renewed.addErrback(lambda failure: _log.failure("offers of an earlier layout", failure))

    async def _read_anew(self) -> None:
        """Offers of which no hashes are kept, as by earlier versions: they cannot be served."""
        for name in sorted(self._notes.note(self._store.without_tree) or ()):
            share = self._shares.get(name)
            if share is None or (share.size <= PIECE_LEAST and not share.manifest):
                continue  # of a file of one piece its digest is the hash
            async with self._reading.places:
                if self._stopped:
                    return
                try:
                    content = await self._reading.read(share.path, name, bool(share.shared))
                    if self._shares.get(name) is share and not self._stopped:
                        self._make_known(_with(share, content), content)
                except ShareError as error:
                    _log.warn("{name}: {error}", name=name, error=str(error))

    def _drop_those_of_old_key(self) -> None:
        with self._store.together():
            for share in self._of_old_key:
                self._store.drop_share(share.name)
            self._store.set_shares_owner(self._own_key)

    def _carry_over(self) -> None:
        """Passwords are stretched with the key of their owner: who has another one needs them."""
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
        await self._read_anew()  # their hashes went with the old key

    def tell_again(self) -> None:
        """Publish all offers anew, some at a time: our feed has begun another epoch."""
        self._cancel("tell again")
        if not self._stopped:
            self._tell_again(list(self._shares.values()))

    def _tell_again(self, shares: list[Share]) -> None:
        now, later = shares[:TOLD_AT_ONCE], shares[TOLD_AT_ONCE:]
        if later:
            self._calls["tell again"] = self._clock.callLater(TOLD_PAUSE, self._tell_again, later)
        with self._store.together():
            for share in now:
                if self._shares.get(share.name) is share:
                    self._publishing.publish_offer(self._offer_of(share))

    def stop(self) -> None:
        """Read and watch no more."""
        self._stopped = True
        for name in list(self._calls):
            self._cancel(name)
        self._reading.stop()
        self._watching.stop()
        self.guesses.stop()

    def _cancel(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is not None and call.active():
            call.cancel()

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

    async def mark(self, path: str, password: str, public: bool) -> bytes:
        """What tells later runs that a watched folder had this password; raises `ShareError`.

        It is as hard to guess from as what is kept of any offer's password.
        """
        if public:
            return b"public"
        place = hashlib.sha256(os.fsencode(path)).hexdigest()
        return await self._stretched(password, f"{place}/")  # no offer has such a name

    def shared(self) -> dict[str, str]:
        """The names of those that watched folders have made, by their `shared`."""
        return {share.shared: share.name for share in self._shares.values() if share.shared}

    async def offer(self, path: str, password: str, public: bool, shared: str = "") -> Offered:
        """Read the file or folder, keep what is needed to serve it, and tell the group.

        An empty password makes one of three words; `public` needs none. `shared`: for a watched
        folder, what tells it in a later run what it has offered. Raises `ShareError`.
        """
        whole = self._wanted(path)
        generated = not public and not password
        secret = PUBLIC_PASSWORD if public else password or three_words()
        name = self._free_name(whole)
        self._being_read[name] = whole
        try:
            async with self._reading.places:
                content = await self._reading.read(whole, name, bool(shared))
                prs = await self._stretched(secret, name)
        finally:
            del self._being_read[name]
        self._reading.check(whole)
        guessable = not looks_generated(secret)
        share = Share(name, whole, prs, not guessable, public, 0, 0, 0, 0, "", shared=shared)
        share = _with(share, content)
        offer = self._make_known(self._for_members(share), content)
        left_out = attrs.asdict(content.skipped)
        if any(left_out.values()):
            self._emit(Notice(LEFT_OUT, {"name": name, **left_out}))
        return Offered(offer, "" if public else secret, generated, left_out)

    def _wanted(self, path: str) -> str:
        try:
            whole = os.path.realpath(os.path.expanduser(path))
        except ValueError as error:  # a NUL in it
            raise ShareError(
                N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=error
            ) from None
        if len(self._shares) + len(self._being_read) >= MAX_OFFERS_PER_NODE:
            raise ShareError(N_("This node offers as many files as it can."))
        if whole in self._being_read.values():
            raise ShareError(N_("{path} is being read already."), path=path)
        return whole

    def _free_name(self, path: str) -> str:
        """The file's own name, or a numbered one where another file bears it."""
        plain = clean_name(Path(path).name)
        for number in range(1, MAX_OFFERS_PER_NODE):
            name = numbered(plain, number)
            share = self._shares.get(name)
            if name not in self._being_read and (share is None or share.path == path):
                return name
        raise ShareError(N_("Too many files are called {name}."), name=plain)

    async def _stretched(self, secret: str, name: str) -> bytes:
        try:
            return await self._in_thread(  # type: ignore[no-any-return]
                stretch, secret, self._own_key, offer_id(self._own_key, name)
            )
        except ValueError:
            raise ShareError(N_("A password has 1 to 256 characters."), Exit.USAGE) from None

    def _make_known(self, share: Share, content: Content | None = None) -> Offer:
        """Keep and publish an offer, or neither; raises `ShareError`.

        `content`: where it was read just now.
        """
        self.guesses.save()
        before = self._shares.get(share.name)
        offer = self._offer_of(share)
        with self._store.together():
            self._store.put_share(share)
            if content is not None:
                known = content.folder.identity.write() if content.folder else b""
                self._store.put_tree(share.name, content.tree, known)
            if before is not None and before.prs != share.prs:
                self.guesses.another_password(share.name)
            self._publishing.publish_offer(offer)
        if content is not None and content.folder is not None:
            self.folders.put(share, content.folder)
        self._shares[share.name] = share
        self._names[offer.id] = share.name
        self._changed.pop(offer.id)
        self.guesses.drop(share.name)
        self._emit(OfferAdded(offer, self._nick(), own=True))
        return offer

    def _offer_of(self, share: Share) -> Offer:
        stamp = int(self._wall() * 1000)
        fields = share.size, share.digest, share.public, stamp, share.files
        return Offer(self._own_key, share.name, *fields)

    def withdraw(self, name: str, why: str = "") -> None:
        """Offer it no more; raises `ShareError` when it was not on offer here.

        Where that cannot be kept it raises too, and the file is on offer as before.
        """
        if name not in self._shares:
            raise ShareError(N_("You do not offer {name}."), Exit.NOT_FOUND, name=name)
        with self._store.together():
            self._store.drop_share(name)
            self._publishing.publish_withdraw(name, write_withdraw(name))
        del self._shares[name]
        self.folders.drop(name)
        self._names.pop(offer_id(self._own_key, name), None)
        self.guesses.drop(name)
        self._emit(OfferGone(name, self._own_key, self._nick(), own=True, why=why))

    def name_of(self, offer: bytes) -> str:
        """The name of the offer of that id; raises `ShareError`."""
        if offer not in self._names:
            raise ShareError(N_("You offer no file of that id."), Exit.NOT_FOUND)
        return self._names[offer]

    def withdraw_changed(self, share: Share, why: str) -> None:
        """It is not what was offered any more, as the sentence `why` says."""
        if self._shares.get(share.name) is share:
            _log.info("{path} is offered no more: {why}", path=share.path, why=why)
            self._changed.put(offer_id(self._own_key, share.name), True)
            self._notes.note(self.withdraw, share.name, why)  # else at the next look

    def find(self, offer: bytes) -> Share:
        """The offer of that id; raises `Refusal`."""
        name = self._names.get(offer)
        if name is None or self._stopped:
            raise self._refusal(offer)
        return self._shares[name]

    def check_offered(self, served: Share) -> None:
        """Raise `Refusal` where that content is not on offer any more to those who found it.

        It was withdrawn, or offered anew with other content or another password.
        """
        share = self._shares.get(served.name)
        if share is None or share.digest != served.digest:
            raise self._refusal(offer_id(self._own_key, served.name))
        # What is public in a closed group stays so when the group's code is another one.
        if share.prs != served.prs and not (share.public and served.public):
            raise Refusal(404)

    def _refusal(self, offer: bytes) -> Refusal:
        return Refusal(409 if offer in self._changed else 404)


def _with(share: Share, content: Content) -> Share:
    """The offer of what was read."""
    known, tree, folder = content.identity, content.tree, content.folder
    files = None if folder is None else folder.manifest.files
    return attrs.evolve(
        share, **attrs.asdict(known), digest=tree.digest, manifest=len(tree.manifest), files=files
    )
