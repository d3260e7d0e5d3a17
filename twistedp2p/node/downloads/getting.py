"""One get, from the first connection to the file in its place.

A connection that is cut costs what was under way of at most a piece: we connect again for as long
as something comes now and then, and what is verified stays on the disk for a later get. A full disk
ends it at once. An owner that refuses, or sends what is not what was offered, is not asked again:
it goes on for as long as others send something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.content.manifest import BadManifest
from twistedp2p.core.content.tree import Tree, piece_count
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.swarm.choice import Choice
from twistedp2p.disk.downloads.download import Download
from twistedp2p.disk.downloads.finished import FinishedFile, FinishedFolder
from twistedp2p.net.dial import Nonsense
from twistedp2p.net.fetch import Refused, broken, damaged
from twistedp2p.node.downloads.gather import Gather, Source
from twistedp2p.node.downloads.holdings import Held, Holdings
from twistedp2p.node.downloads.opening import AGAIN_FIRST, AGAIN_MOST, PATIENCE, Fetching, Opening
from twistedp2p.node.downloads.order import AnotherNode, Changed, Order, PeerOrder, a_folder
from twistedp2p.node.downloads.swarm import Swarm
from twistedp2p.node.presence.neighbours import Neighbours
from twistedp2p.node.progress import Noted

PATIENCE_WITH_OTHERS = 15.0  # the same where the owner has refused: others send what they have
GONE, CHANGED = 404, 409  # an owner that refuses with these numbers is not asked again

_NOT = bytes([1, 0]).ljust(256)  # a translation: 1 for each 0, 0 for each 1
_log = Logger()


@attrs.frozen
class Sharing:
    """Address downloads are given on while they come, and after."""

    holdings: Holdings
    port: int  # TCP
    near: Callable[[str], bool] = lambda _host: True  # whether nodes may be at that address
    others: Callable[[bytes], Sequence[Address]] = lambda _owner: ()  # where all but that one serve


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
        self._neighbours = self._who_may_have_it()
        self._kept: Download | None = None
        self._outcome: Deferred[None] = Deferred()  # all is here, or why it will not be
        self._again: Deferred[None] | None = None
        self._forsaken = False  # the owner is not asked again
        self._nonsense_at = -1  # how many pieces were missing when the owner last talked nonsense

    async def run(self) -> Path:
        """Get it: the path at which it stands. Raises `ShareError`; what is verified is kept.

        Cancelling stops it.
        """
        try:
            opened = await Opening(
                self.order,
                self._addresses,
                self._fetching,
                self._neighbours,
                clock=self._clock,
                draw=self._draw,
                tell=self._tell,
            ).run()
            client, tree = opened.client, opened.tree
            try:
                kept = await self._begin(tree)
            except BaseException:
                client.close()
                raise
            lacking = kept.lacking
            self.size = tree.length(kept.needed)
            if kept.manifest is not None and self.order.wanted is not None:
                parts = kept.manifest.part(self.order.wanted)  # pieces hold what lies beside, too
                self.size = sum(length for _offset, length in parts)
            self._verified = max(0, self.size - tree.length(lacking))
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
            gather.done.chainDeferred(self._outcome)
            if client.over and not gather.complete:  # it did not wait until all was checked
                self._connect_again(broken(), 0.0)
            else:
                gather.add(client, client.ended, owner=opened.of_owner)
                if not opened.of_owner:
                    self._connect_again(broken(), AGAIN_FIRST)
            gather.begin()
            self._share(gather, kept)
            try:
                await self._outcome
            except ShareError as error:
                raise await self._with_what_is_kept(error) from error
            self._moved(self.size, self.size)
            path: Path
            path, finished = await self.order.in_thread(self._finish, kept)
            if self._held is not None and self._sharing is not None and finished is not None:
                self._sharing.holdings.finished(self._held, finished)
                self._held = None
            return path
        finally:
            self._end()

    def _who_may_have_it(self) -> Neighbours | None:
        """Nobody gives on what is one piece, and nobody's word counts for what is not offered."""
        order, sharing = self.order, self._sharing
        if sharing is None or order.offer is None or piece_count(order.offer.size) <= 1:
            return None
        owner, others = order.offer.owner, sharing.others
        return Neighbours(order, lambda: others(owner), self._draw)

    def _in_company(self, tree: Tree) -> bool:
        """Of a single piece there is nothing to give on while it comes."""
        return self._sharing is not None and tree.count > 1

    def _share(self, gather: Gather, kept: Download) -> None:
        if self._sharing is None or not self._in_company(gather.tree) or self._outcome.called:
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
            self._neighbours,
        )

    def _finish(self, kept: Download) -> tuple[Path, FinishedFile | FinishedFolder | None]:
        """Address it stands, and what reads all of it there, to be given on. Blocks."""
        path = kept.finish()
        with suppress(OSError):
            if kept.manifest is None:
                return path, FinishedFile(path)
            if self.order.wanted is None and self._held is not None:
                return path, FinishedFolder(path, kept.manifest)
        return path, None

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
        if order.one_file and kept.manifest is not None and order.wanted is not None:
            (part,) = order.wanted
            if not kept.manifest.is_file(part):
                raise a_folder(f"{order.name}/{part}")
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
        # Some may be wrong, or come twice: it is not all while a piece is missing.
        self._moved(min(self._verified + self._done_bytes, max(0, self.size - 1)), self.size)

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
            self._forsaken = True
            if not self.gather.sources:
                self._fail(Failure(why))
        if self._again is None and not self._has_owner and not self._outcome.called:
            self._connect_again(why, AGAIN_FIRST)

    def _connect_again(self, why: ShareError, wait: float) -> None:
        self._again = Deferred.fromCoroutine(self._go_on(why, wait))
        self._again.addErrback(self._fail)

    @property
    def _has_owner(self) -> bool:
        return self.gather is not None and any(source.owner for source in self.gather.sources)

    def _is_hopeless(self, why: ShareError) -> bool:
        """Whether the owner is not to be asked again: it would be the same the next time."""
        if isinstance(why, Nonsense) and self.gather is not None:
            before, self._nonsense_at = self._nonsense_at, self.gather.choice.missing
            return before == self._nonsense_at
        if isinstance(why, AnotherNode):
            return False
        refused = isinstance(why, Refused) and why.number in (GONE, CHANGED)
        return refused or why.code in (Exit.DENIED, Exit.DAMAGED)

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
                addresses = self._addresses()
                try:
                    client = await self._fetching.connect(self.order, addresses)
                except ShareError as error:
                    self._forsaken = self._is_hopeless(error)
                    if self._forsaken and not self.gather.sources:
                        raise
                    self._say(why)  # what broke, and not that nobody is there by now
                    why = error if addresses else _not_reached()
                else:
                    self._again = None
                    if self._stopped:
                        client.close()
                        return
                    self.gather.add(client, client.ended, owner=True)
                    return

    def _fail(self, failure: Failure) -> None:
        if not self._outcome.called:
            self._outcome.errback(failure)

    async def _with_what_is_kept(self, why: ShareError) -> ShareError:
        kept = self._kept
        assert kept is not None
        self._stop()
        changed = isinstance(why, Refused) and why.number == CHANGED
        useless = changed or isinstance(why, Changed)
        if not await self.order.in_thread(kept.keep) or useless or not any(kept.have):
            return why
        sentence = N_("{why} What came of {name} is kept: another get goes on there.")
        return ShareError(sentence, why.code, why=why, name=self.order.name)

    def _stop(self) -> None:
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
        if self._swarm is not None:
            self._swarm.stop()
        if self._held is not None and self._sharing is not None:
            self._sharing.holdings.drop(self._held)
        if self.gather is not None:
            self.gather.stop()

    def _end(self) -> None:
        self._stop()
        let_go = self.order.in_thread(self._let_go)
        let_go.addErrback(lambda failure: _log.failure("a part that is kept", failure))

    def discard(self) -> None:
        """When it is stopped, nothing is to be left on the disk."""
        self._unwanted = True


def _not_reached() -> ShareError:
    """Why a get ends whose owner has long left the list of nodes."""
    sentence = N_("The owner was not reached, and nothing came for {seconds} s.")
    return ShareError(sentence, Exit.NOT_FOUND, seconds=int(PATIENCE))
