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

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.pieces import HAVE, TREE, Ask, write_peers
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

    name: str
    prs: bytes = attrs.field(repr=False)
    gather: Gather
    pieces: Pieces
    limiter: GuessLimiter
    audience: Audience

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
    """Implements `net.body.Reader`."""

    _pieces: Pieces
    _at: int
    _left: int

    def readinto(self, room: memoryview) -> int:
        """Pieces that are not verified are not there."""
        count = self._pieces.readinto(self._at, room[: min(len(room), self._left)])
        self._at += count
        self._left -= count
        return count

    def close(self) -> None:
        """The download is not ours to close."""


class Holdings:
    """All downloads that are given on."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._held: CappedTable[bytes, Held] = CappedTable(MAX_HELD)

    def hold(self, offer: bytes, name: str, prs: bytes, gather: Gather, pieces: Pieces) -> None:
        """Give that download on; `prs` is its stretched password."""
        limiter = GuessLimiter(generated=False, now=self._wall(), choose=secrets.randbelow)
        audience = Audience(gather.tree.count, secrets.randbelow)
        self._held.put(offer, Held(name, prs, gather, pieces, limiter, audience))

    def drop(self, offer: bytes) -> None:
        """Give it on no more."""
        held = self._held.pop(offer)
        if held is not None and isinstance(held.pieces, FinishedFile):
            held.pieces.close()

    def finished(self, offer: bytes, path: Path) -> None:
        """That download stands there now; blocks for a moment."""
        held = self._held.peek(offer)
        if held is None:
            return
        if held.manifest:
            self.drop(offer)
            return
        try:
            held.pieces = FinishedFile(path)
        except OSError:
            self.drop(offer)

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

    def check(self, served: Held) -> None:
        """Pieces are checked when they come, and read back as they are."""

    def chosen(self, served: Held, offset: int, length: int) -> None:
        """Only the owner counts what was handed out."""

    def open(self, served: Held, offset: int, length: int) -> Any:
        """The bytes to send."""
        return _Reader(served.pieces, offset, length)

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
