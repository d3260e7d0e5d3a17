"""What we fetch, or have fetched, given on to others who know its password.

Whoever asks goes through the same conversation as with the owner, and gets pieces that we have
found to be right. Guesses at the password are limited here as strictly as for one that a person
chose. Implements `net.serve.Shelf`, beside `shares.Shares`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.pieces import HAVE, TREE, Ask, Where, write_peers
from twistedp2p.core.content.audience import Audience
from twistedp2p.core.limits import CappedTable, GuessLimiter
from twistedp2p.disk.finished import FinishedFile
from twistedp2p.node.gather import Gather

MAX_HELD = 100  # downloads


class Pieces(Protocol):
    """What of `disk.download.Download` is needed. Raises OSError or `ShareError`."""

    def readinto(self, offset: int, room: memoryview) -> int: ...


@attrs.define(eq=False)
class Held:
    """One download as it is served."""

    offer: bytes  # its id
    name: str
    prs: bytes = attrs.field(repr=False)
    gather: Gather
    pieces: Pieces
    limiter: GuessLimiter
    audience: Audience
    dropped: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return self.gather.tree.size

    @property
    def manifest(self) -> int:
        """Bytes of a folder's manifest; 0 for a file."""
        return len(self.gather.tree.manifest)

    @property
    def digest(self) -> str:
        """Of all of it."""
        return self.gather.tree.digest


@attrs.define
class _Reader:
    """Implements `net.body.Reader`. The download may be finished while it is read."""

    _held: Held
    _at: int
    _left: int

    def readinto(self, room: memoryview) -> int:
        """Pieces that are not verified are not there."""
        if self._held.dropped:
            return 0
        count = self._held.pieces.readinto(self._at, room[: min(len(room), self._left)])
        self._at += count
        self._left -= count
        return count

    def close(self) -> None:
        """The download is not ours to close."""


class Holdings:
    """All downloads that are given on."""

    def __init__(self, wall: Callable[[], float]) -> None:
        """`wall`: the time of day, in seconds."""
        self._wall = wall
        self._held: CappedTable[bytes, Held] = CappedTable(MAX_HELD)

    def hold(self, offer: bytes, name: str, prs: bytes, gather: Gather, pieces: Pieces) -> Held:
        """Give that download on; `prs` is its stretched password.

        It takes the place of an earlier one of the same offer.
        """
        limiter = GuessLimiter(generated=False, now=self._wall(), choose=secrets.randbelow)
        audience = Audience(gather.tree.count, secrets.randbelow)
        held = Held(offer, name, prs, gather, pieces, limiter, audience)
        self._held.put(offer, held)
        return held

    def callers(self, held: Held) -> list[Where]:
        """Where those serve who asked for it here lately."""
        return held.audience.present(self._wall())

    def _is_held(self, held: Held) -> bool:
        return self._held.peek(held.offer) is held

    def drop(self, held: Held) -> None:
        """Give it on no more."""
        held.dropped = True
        if self._is_held(held):
            self._held.pop(held.offer)

    def finished(self, held: Held, path: Path) -> None:
        """That download stands there now; blocks for a moment. A folder is given on no more."""
        try:
            if held.manifest:
                self.drop(held)
            elif self._is_held(held):
                held.pieces = FinishedFile(path)
        except OSError:
            self.drop(held)

    def stop(self) -> None:
        """Give nothing on any more."""
        for held in self._held.values():
            self.drop(held)

    # -- net.serve.Shelf

    def find(self, offer: bytes) -> Held:
        """The download of that offer; raises `Refusal`."""
        held = self._held.get(offer)
        if held is None:
            raise Refusal(404)
        return held

    def guess(self, served: Held, address: str, key: bytes) -> None:
        """Ask for one guess; raises `Refusal` when there is none."""
        wait = served.limiter.take(address, key, self._wall())
        if wait:
            raise Refusal(429, int(wait) + 1)

    def guessed(self, served: Held, address: str, key: bytes, right: bool) -> None:
        """How the guess came out."""
        if right:
            served.limiter.right(address, key)

    def loading(self, served: Held) -> Deferred[None] | None:
        """All of it is in memory."""
        return None

    def check(self, served: Held) -> None:
        """Raise `Refusal` where it has been dropped, or changed since it was finished."""
        pieces = served.pieces
        if isinstance(pieces, FinishedFile) and not pieces.readinto(0, memoryview(bytearray(1))):
            self.drop(served)
        if not self._is_held(served):
            raise Refusal(404)

    def chosen(self, served: Held, offset: int, length: int) -> None:
        """Only the owner counts what was handed out."""

    def open(self, served: Held, offset: int, length: int) -> Any:
        """The bytes to send; raises `Refusal`."""
        self.check(served)
        return _Reader(served, offset, length)

    def next(self, served: Held, have: bytes) -> int | None:
        """Only the owner chooses."""
        return None

    def text(self, served: Held, ask: Ask, key: bytes, host: str) -> bytes:
        """What to answer to TREE, HAVE and PEERS."""
        tree = served.gather.tree
        if ask.kind == TREE:
            return tree.manifest + tree.hashes
        if ask.kind == HAVE:
            return served.gather.bitmap
        return write_peers(served.audience.seen(key, host, ask.a, self._wall()))

    def progress(self, served: Held, connection: object, sent: int) -> None:
        """Nobody watches what is given on."""

    def ended(self, served: Held, connection: object) -> None:
        """Nothing is kept of a connection."""
