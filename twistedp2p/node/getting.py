"""One get, from the first connection to the file in its place.

A connection that is cut costs what was under way of at most a piece: we connect again for as long
as something comes now and then, and what is verified stays on the disk for a later get. A full disk
ends it at once. An owner that refuses, or sends what is not what was offered, is not asked again:
it goes on for as long as others send something. One that is busy is asked again for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.cpace import stretch
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.calls.pieces import TREE, Ask
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.content.manifest import BadManifest
from twistedp2p.core.content.tree import Tree, piece_count
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import offer_id
from twistedp2p.core.swarm.choice import Choice
from twistedp2p.disk.download import Download
from twistedp2p.disk.finished import FinishedFile, FinishedFolder
from twistedp2p.net.dial import Nonsense
from twistedp2p.net.fetch import BUSY, Refused, broken, damaged
from twistedp2p.net.pump import InThread
from twistedp2p.node.gather import Gather, Source
from twistedp2p.node.holdings import Held, Holdings
from twistedp2p.node.progress import Noted
from twistedp2p.node.swarm import PeerOrder, Swarm

AGAIN_FIRST, AGAIN_MOST = 1.0, 8.0  # seconds until we connect again; doubled each time
BUSY_LEAST, BUSY_MOST = 2.0, 30.0  # seconds, until an owner that is busy is asked again
BUSY_PATIENCE = 120.0  # seconds in which one may have a place for us
PATIENCE = 60.0  # seconds in which nothing comes, after which a get without its owner ends
PATIENCE_WITH_OTHERS = 15.0  # the same where the owner has refused: others send what they have
FOR_GOOD = (Exit.DENIED, Exit.DAMAGED)  # an owner that ends so is not asked again
GONE, CHANGED = 404, 409  # nor is one that refuses with these numbers

Address = tuple[str, int]
PublicPrs = Callable[[bytes, bytes], bytes | None]  # as of `closed.Envelope.public_prs`

_NOT = bytes([1, 0]).ljust(256)  # a translation: 1 for each 0, 0 for each 1
_log = Logger()


class AnotherNode(ShareError):
    """Who answers is not the owner; the owner may be elsewhere by now."""


class Fetching(Protocol):
    """What of `net.fetch.Fetcher` is needed."""

    async def connect(self, order: Any, addresses: Sequence[Address]) -> Any: ...


@attrs.define
class Order:
    """What is wanted: implements `net.fetch.Order`.

    `offer` is the catalogue's or None; `required` is the key that the owner must have, or empty
    where a ticket is all that is known.
    """

    offer: Offer | None
    name: str
    password: str = attrs.field(repr=False)
    folder: Path
    in_thread: InThread
    required: bytes
    members_prs: PublicPrs | None = None  # for a public offer of a closed group
    wanted: Sequence[str] | None = None  # of a folder; None: all
    owner: bytes = b""
    ok: Ok | None = None  # what the first owner that proved the password said
    _secret: bytes = attrs.field(default=b"", repr=False)
    _secret_of: bytes = attrs.field(default=b"", repr=False)  # the owner whom it was stretched for

    async def prepare(self) -> None:
        """Stretch the password before any connection is made, where the owner is known."""
        if self.required:
            self._secret = await self._stretch(self.required)
            self._secret_of = self.required

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
        required = self.required or (self.owner if self.ok is not None else b"")
        if required and owner_key != required:
            return fail(
                AnotherNode(
                    N_("Another node answers at the owner's address: {name} was not taken."),
                    Exit.DENIED,
                    name=self.name,
                )
            )
        self.owner = owner_key
        known = self._secret_of == owner_key
        secret = succeed(self._secret) if known else self._stretch(owner_key)
        return secret.addCallback(self._keep_secret, owner_key)

    def _keep_secret(self, prs: bytes, owner: bytes) -> tuple[bytes, bytes]:
        self._secret, self._secret_of = prs, owner
        return offer_id(owner, self.name), prs

    @property
    def secret(self) -> tuple[bytes, bytes]:
        """The offer's id and the stretched password, once an owner is known."""
        return offer_id(self.owner, self.name), self._secret

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """What is to come must be what was offered, and the same from everybody."""
        meant = self.offer or self.ok
        if meant is not None and (
            (ok.digest, ok.size) != (meant.digest, meant.size)
            or bool(ok.manifest) != self._is_folder(meant)
        ):
            raise ShareError(
                N_("What was to come is not the {name} that was offered."),
                Exit.DAMAGED,
                name=self.name,
            )
        self.ok = self.ok or ok

    @staticmethod
    def _is_folder(meant: Offer | Ok) -> bool:
        return bool(meant.manifest) if isinstance(meant, Ok) else meant.files is not None


def _no_password(failure: Failure) -> Any:
    failure.trap(ValueError)
    raise ShareError(N_("A password has 1 to 256 characters."), Exit.USAGE)


@attrs.frozen
class Sharing:
    """Where downloads are given on while they come, and after."""

    holdings: Holdings
    port: int  # TCP
    near: Callable[[str], bool] = lambda _host: True  # whether nodes may be at that address


class Getting:
    """One get under way."""

    def __init__(
        self,
        order: Order,
        addresses: Callable[[], Sequence[Address]],
        fetching: Fetching,
        *,
        clock: Any,
        turns: Callable[[str], None],
        moved: Callable[[int, int], None],
        tell: Callable[[ShareError], None],
        draw: Callable[[int], int],
        sharing: Sharing | None,
        checks: DeferredSemaphore,
    ) -> None:
        """`addresses`: where the owner is by now; `moved(done, size)`: how far it has come, with
        what `turns` has said: "check" (what is there) or "get".

        `tell` is given a sentence for the user when the connection was lost, once.
        `sharing`: where it is given on meanwhile; None: nowhere, and the owner alone is asked.
        `checks`: places of those who hash what was there before.
        """
        self.order = order
        self._addresses = addresses
        self._fetching = fetching
        self._clock = clock
        self._turns = turns
        self._moved = moved
        self._draw = draw
        self._tell = tell
        self._stopped = self._unwanted = self._told = False
        self._done_bytes = self._verified = 0
        self._moved_at = 0.0
        self.size = 0  # bytes of what is wanted, once that is known
        self._sharing = sharing
        self._checks = checks
        self._held: Held | None = None
        self._swarm: Swarm | None = None
        self.gather: Gather | None = None
        self._kept: Download | None = None
        self._broken: Deferred[None] = Deferred()
        self._again: Deferred[None] | None = None
        self._forsaken = False  # the owner is not asked again
        self._nonsense_at = -1  # how many pieces were missing when the owner last talked nonsense

    async def run(self) -> Path:
        """Get it: the path at which it stands. Raises `ShareError`; what is verified is kept.

        Cancelling stops it.
        """
        try:
            client = await self._once_there_is_a_place()
            try:
                tree = await self._tree(client)
                kept = await self._begin(tree)
            except BaseException:
                client.close()
                raise
            self.size, lacking = tree.length(kept.needed), kept.lacking
            self._verified = self.size - tree.length(lacking)
            self._moved(self._verified, self.size)
            choice = Choice(tree.count, lacking.translate(_NOT), self._draw)
            self.gather = gather = Gather(
                tree,
                kept,
                choice,
                self._came,
                self._lost,
                self._clock.seconds,
                crowd=None if self._in_company(tree) else False,
            )
            self._moved_at = self._clock.seconds()
            gather.done.chainDeferred(self._broken)
            if client.over and not gather.complete:  # it did not wait until all was checked
                self._connect_again(broken(), 0.0)
            else:
                gather.add(client, client.ended, owner=True)
            gather.begin()
            self._share(gather, kept)
            try:
                await self._broken
            except ShareError as error:
                raise self._with_what_is_kept(error) from error
            path: Path
            path, finished = await self.order.in_thread(self._finish, kept)
            if self._held is not None and self._sharing is not None and finished is not None:
                self._sharing.holdings.finished(self._held, finished)
                self._held = None
            return path
        finally:
            self._end()

    async def _once_there_is_a_place(self) -> Any:
        """A connection to the owner; raises `ShareError`."""
        until = self._clock.seconds() + BUSY_PATIENCE
        told = False
        while True:
            try:
                return await self._fetching.connect(self.order, self._addresses())
            except Refused as refused:
                # Those who were sent away together do not come back together.
                wait = min(max(BUSY_LEAST, refused.seconds), BUSY_MOST) * (
                    1 + self._draw(100) / 100
                )
                if refused.number != BUSY or self._clock.seconds() + wait > until:
                    raise
            if not told:
                told = True
                self._tell(
                    ShareError(
                        N_(
                            "{name}: the owner is busy. It is asked again, for two minutes at most."
                        ),
                        name=self.order.name,
                    )
                )
            await deferLater(self._clock, wait)

    def _in_company(self, tree: Tree) -> bool:
        """Of a single piece there is nothing to give on while it comes."""
        return self._sharing is not None and tree.count > 1

    def _share(self, gather: Gather, kept: Download) -> None:
        if self._sharing is None or not self._in_company(gather.tree) or self._broken.called:
            return
        order, sharing = self.order, self._sharing
        offer, prs = order.secret
        self._held = held = sharing.holdings.hold(offer, order.name, prs, gather.tree, kept)
        peers = PeerOrder(order.secret, order.agreed)
        self._swarm = Swarm(
            gather,
            peers,
            self._fetching.connect,
            sharing.port,
            self._clock,
            sharing.near,
            lambda: sharing.holdings.callers(held),
        )

    def _finish(self, kept: Download) -> tuple[Path, FinishedFile | FinishedFolder | None]:
        """Where it stands, and what reads all of it there, to be given on. Blocks."""
        path = kept.finish()
        with suppress(OSError):
            if kept.manifest is None:
                return path, FinishedFile(path)
            if self.order.wanted is None and self._held is not None:
                return path, FinishedFolder(path, kept.manifest)
        return path, None

    async def _tree(self, client: Any) -> Tree:
        ok = client.ok
        if piece_count(ok.size) <= 1 and not ok.manifest:
            text = b""
        else:
            text = await client.ask(Ask(TREE))
        try:
            return Tree.read(ok.size, text[: ok.manifest], text[ok.manifest :], ok.digest)
        except ValueError:
            raise damaged() from None

    async def _begin(self, tree: Tree) -> Download:
        """What was there before is hashed, which may take long."""
        noted = Noted(self._clock, self._moved)
        self._turns("check")
        try:
            kept: Download = await self.order.in_thread(self._open, tree)
            if kept.begun_before:
                async with self._checks:
                    await self.order.in_thread(self._check, kept, noted.note)
            return kept
        finally:
            noted.stop()
            self._turns("get")

    def _open(self, tree: Tree) -> Download:
        """Blocks."""
        order = self.order
        if order.wanted is not None and not tree.manifest:
            raise ShareError(N_("{name} is a file, not a folder."), Exit.USAGE, name=order.name)
        try:
            kept = Download(order.folder, order.name, tree, wanted=order.wanted)
        except BadManifest:
            raise damaged() from None
        except LookupError as error:
            sentence = N_("There is no {part} in {name}.")
            raise ShareError(
                sentence, Exit.NOT_FOUND, name=order.name, part=error.args[0]
            ) from None
        self._kept = kept
        if self._stopped:
            self._let_go()
        if not kept.begun_before:
            kept.take_over(stopped=lambda: self._stopped)
        return kept

    def _check(self, kept: Download, note: Callable[[int, int], None]) -> None:
        """Blocks for as long as there is much."""
        kept.take_over(note, lambda: self._stopped)

    def _let_go(self) -> None:
        if self._kept is not None:
            (self._kept.discard if self._unwanted else self._kept.keep)()

    def _came(self, size: int) -> None:
        assert self.gather is not None
        self._done_bytes += size
        self._moved_at = self._clock.seconds()
        self._moved(min(self._verified + self._done_bytes, self.size), self.size)

    # -- when a source is lost

    def _lost(self, source: Source, error: BaseException | None) -> None:
        assert self.gather is not None
        if self._stopped:
            return
        if error is not None and not isinstance(error, ShareError | CancelledError):
            self._fail(Failure(error))  # a defect of ours: another connection would not help
            return
        why = error if isinstance(error, ShareError) else broken()
        if why.code == Exit.NO_FOLDER:
            self._fail(Failure(why))
        elif source.owner and self._is_hopeless(why):
            self._forsake(why)
        if self._again is None and not self._has_owner and not self._broken.called:
            self._connect_again(why, AGAIN_FIRST)

    def _connect_again(self, why: ShareError, wait: float) -> None:
        self._again = Deferred.fromCoroutine(self._go_on(why, wait))
        self._again.addErrback(self._fail)

    @property
    def _has_owner(self) -> bool:
        return self.gather is not None and any(source.owner for source in self.gather.sources)

    def _forsake(self, why: ShareError) -> None:
        assert self.gather is not None
        self._forsaken = True
        if not self.gather.sources:
            self._fail(Failure(why))

    def _is_hopeless(self, why: ShareError) -> bool:
        """Whether the owner is not to be asked again: it would be the same the next time."""
        if isinstance(why, Nonsense) and self.gather is not None:
            before, self._nonsense_at = self._nonsense_at, self.gather.choice.missing
            return before == self._nonsense_at
        return _for_good(why)

    def _say(self, why: ShareError) -> None:
        if not self._told and self.gather is not None and not self.gather.sources:
            self._told = True
            self._tell(
                ShareError(
                    N_("{name}: {why} It goes on as soon as the owner is reached again."),
                    name=self.order.name,
                    why=why,
                )
            )

    async def _go_on(self, why: ShareError, wait: float) -> None:
        """Until the owner is there again; raises `ShareError` once nothing comes any more."""
        assert self.gather is not None
        while True:
            await deferLater(self._clock, wait)
            wait = min(max(2 * wait, AGAIN_FIRST), AGAIN_MOST)
            alone = self._forsaken and not self.gather.sources
            patience = PATIENCE_WITH_OTHERS if self._forsaken else PATIENCE
            if alone or self._clock.seconds() - self._moved_at > patience:
                raise why
            if not self._forsaken:
                try:
                    client = await self._fetching.connect(self.order, self._addresses())
                except ShareError as error:
                    self._forsaken = self._is_hopeless(error)
                    if self._forsaken and not self.gather.sources:
                        raise
                    self._say(why)  # what broke, and not that nobody is there by now
                    why = error
                else:
                    self._again = None
                    if self._stopped:
                        client.close()
                        return
                    self.gather.add(client, client.ended, owner=True)
                    return

    def _fail(self, failure: Failure) -> None:
        if not self._broken.called:
            self._broken.errback(failure)

    def _with_what_is_kept(self, why: ShareError) -> ShareError:
        assert self._kept is not None
        useless = isinstance(why, Refused) and why.number == CHANGED
        if useless or not any(self._kept.have):
            return why
        sentence = N_("{why} What came of {name} is kept: another get goes on there.")
        return ShareError(sentence, why.code, why=why, name=self.order.name)

    def _end(self) -> None:
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
        if self._swarm is not None:
            self._swarm.stop()
        if self._held is not None and self._sharing is not None:
            self._sharing.holdings.drop(self._held)
        if self.gather is not None:
            self.gather.stop()
        let_go = self.order.in_thread(self._let_go)
        let_go.addErrback(lambda failure: _log.failure("a part that is kept", failure))

    def discard(self) -> None:
        """When it is stopped, nothing is to be left on the disk."""
        self._unwanted = True


def _for_good(error: ShareError) -> bool:
    """Whether it would be the same the next time."""
    if isinstance(error, AnotherNode):
        return False
    return error.code in FOR_GOOD or (
        isinstance(error, Refused) and error.number in (GONE, CHANGED)
    )
