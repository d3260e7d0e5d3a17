"""How a get begins: a connection to the owner, or another who has it, and the hashes of the pieces.

An owner that is busy is asked again for a while. Address the network fails, or the owner is away,
others of the group are asked who may have fetched it; it is waited for as it is later on. What
answers and refuses, ends the get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.pieces import TREE, Ask
from twistedp2p.core.content.tree import Tree, piece_count
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.dial import NoAnswer
from twistedp2p.net.fetch import BUSY, Refused, damaged
from twistedp2p.node.downloads.order import Order
from twistedp2p.node.presence.neighbours import Neighbours

AGAIN_FIRST, AGAIN_MOST = 1.0, 8.0  # seconds until we connect again; doubled each time
BUSY_LEAST, BUSY_MOST = 2.0, 30.0  # seconds, until an owner that is busy is asked again
BUSY_PATIENCE = 120.0  # seconds in which one may have a place for us
PATIENCE = 60.0  # seconds in which nothing comes, after which a get without its owner ends

_log = Logger()


class Fetching(Protocol):
    """What of `net.fetch.Fetcher` is needed."""

    async def connect(self, order: Any, addresses: Sequence[Address]) -> Any: ...


@attrs.frozen
class Opened:
    """What a get begins with."""

    client: Any  # a `net.fetch.FileClient` that may be asked
    tree: Tree
    of_owner: bool


class Opening:
    """The beginning of one get."""

    def __init__(
        self,
        order: Order,
        addresses: Callable[[], Sequence[Address]],
        fetching: Fetching,
        neighbours: Neighbours | None,
        *,
        clock: Any,
        draw: Callable[[int], int],
        tell: Callable[[ShareError], None],
    ) -> None:
        """`addresses`: where the owner is by now. `tell` is given sentences for the user."""
        self._order = order
        self._addresses = addresses
        self._fetching = fetching
        self._neighbours = neighbours
        self._clock = clock
        self._draw = draw
        self._tell = tell
        self._told: set[str] = set()

    async def run(self) -> Opened:
        """Ask until somebody gives it; raises `ShareError`."""
        seconds = self._clock.seconds
        busy_until, until = seconds() + BUSY_PATIENCE, seconds() + PATIENCE
        again = AGAIN_FIRST
        while True:
            try:
                return await self._of(self._order, self._addresses())
            except Refused as refused:
                # Those who were sent away together do not come back together.
                wait = min(max(BUSY_LEAST, refused.seconds), BUSY_MOST)
                wait *= 1 + self._draw(100) / 100
                if refused.number != BUSY or seconds() + wait > busy_until:
                    raise
                until = seconds() + wait + PATIENCE
                self._say(
                    N_("{name}: the owner is busy. It is asked again, for two minutes at most.")
                )
            except NoAnswer as why:
                if not self._is_known:
                    raise
                opened = await self._of_neighbours()
                if opened is not None:
                    return opened
                wait, again = again, min(2 * again, AGAIN_MOST)
                if seconds() + wait > until:
                    raise
                self._say(
                    N_("{name}: {why} It goes on as soon as the owner is reached again."), why=why
                )
            await deferLater(self._clock, wait)

    @property
    def _is_known(self) -> bool:
        """Whether there is an owner at all: it told the group, or has answered us."""
        return self._order.offer is not None or bool(self._order.owner)

    def _say(self, sentence: str, **values: ShareError) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._tell(ShareError(sentence, Exit.FAILED, name=self._order.name, **values))

    async def _of(self, order: Any, addresses: Sequence[Address]) -> Opened:
        client = await self._fetching.connect(order, addresses)
        try:
            return Opened(client, await _tree_of(client), order is self._order)
        except BaseException:
            client.close()
            raise

    async def _of_neighbours(self) -> Opened | None:
        """Of the first of some that gives it; None where none of them does."""
        neighbours = self._neighbours
        some = [] if neighbours is None else neighbours.some()
        asked = [Deferred.fromCoroutine(self._of(neighbours, [where])) for where in some]
        try:
            return await _first_of(asked)
        finally:
            for each in asked:
                each.cancel()


def _first_of(asked: list[Deferred[Opened]]) -> Deferred[Opened | None]:
    """What the first of them gives; None where all fail."""
    first: Deferred[Opened | None] = Deferred()
    left = len(asked)

    def came(opened: Opened) -> None:
        if first.called:
            opened.client.close()
        else:
            first.callback(opened)

    def failed(failure: Failure) -> None:
        nonlocal left
        left -= 1
        if not failure.check(ShareError, CancelledError):
            _log.failure("another who may have it", failure)
        if not left and not first.called:
            first.callback(None)

    for each in asked:
        each.addCallbacks(came, failed)
    return first if asked else succeed(None)


async def _tree_of(client: Any) -> Tree:
    ok = client.ok
    if piece_count(ok.size) <= 1 and not ok.manifest:
        text = b""
    else:
        text = await client.ask(Ask(TREE))
    try:
        return Tree.read(ok.size, text[: ok.manifest], text[ok.manifest :], ok.digest)
    except ValueError:
        raise damaged() from None
