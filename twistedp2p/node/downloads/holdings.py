"""What we fetch, or have fetched, given on to others who know its password.

Whoever asks goes through the same conversation as with the owner, and gets pieces that we have
found to be right. Guesses at the password are limited here as strictly as for one that a person
chose, and told to nobody. Implements `net.answers.Shelf`, beside
`serving.Serving`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.pieces import HAVE, TREE, Ask, write_peers
from twistedp2p.core.content.tree import Tree
from twistedp2p.core.errors import ShareError
from twistedp2p.core.limits import CappedTable, GuessLimiter
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.swarm.audience import Audience
from twistedp2p.core.swarm.bitmap import to_bitmap

MAX_HELD = 100  # downloads
MAX_LIMITERS = 1000  # offers whose guesses are counted, after the end of a download, too
MAX_ENTRIES = 200_000  # in all finished folders that are given on: some 60 MB

_log = Logger()


class Pieces(Protocol):
    """A download, or what it has become. Raises OSError or `ShareError`."""

    def readinto(self, offset: int, room: memoryview) -> int: ...


class Kept(Pieces, Protocol):
    """What of `disk.downloads.download.Download` is needed."""

    have: bytearray


class Finished(Pieces, Protocol):
    """What of `disk.downloads.finished` is needed: `readinto` gives 0 once it has changed."""

    entries: int


@attrs.define(eq=False)
class Held:
    """One download as it is served."""

    offer: bytes  # its id
    name: str
    prs: bytes = attrs.field(repr=False)
    tree: Tree
    have: bytearray  # 1 for each piece that is here, which the download goes on to fill
    pieces: Pieces
    limiter: GuessLimiter
    audience: Audience
    entries: int = 0  # of the manifest of a finished folder
    finished: bool = False
    dropped: bool = False
    _text: bytes = attrs.field(default=b"", init=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.tree.size

    @property
    def manifest(self) -> int:
        """Bytes of a folder's manifest; 0 for a file."""
        return len(self.tree.manifest)

    @property
    def digest(self) -> str:
        """Of all of it."""
        return self.tree.digest

    def is_same(self, other: Held) -> bool:
        """Whether both are of the same content, under the same password."""
        return (self.digest, self.prs) == (other.digest, other.prs)

    @property
    def text(self) -> bytes:
        """Of its tree: one object for all who are sent it, for a folder's takes up to 18 MiB."""
        self._text = self._text or self.tree.text
        return self._text


@attrs.define
class _Reader:
    """Implements `net.body.Reader`. The download may be finished while it is read."""

    _held: Held
    _at: int
    _left: int
    _changed: Callable[[Held], None]

    def readinto(self, room: memoryview) -> int:
        """Pieces that are not verified are not there."""
        if self._held.dropped:
            return 0
        count = self._held.pieces.readinto(self._at, room[: min(len(room), self._left)])
        if not count and self._left and self._held.finished:
            self._changed(self._held)
        self._at += count
        self._left -= count
        return count

    def close(self) -> None:
        """The download is not ours to close."""


class Holdings:
    """All downloads that are given on."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """`seconds`: of a clock that is never set."""
        self._seconds = seconds
        self._held: CappedTable[bytes, Held] = CappedTable(MAX_HELD)
        self._limiters: CappedTable[tuple[bytes, bytes], GuessLimiter] = CappedTable(MAX_LIMITERS)

    def hold(self, offer: bytes, name: str, prs: bytes, tree: Tree, kept: Kept) -> Held:
        """Give that download on; `prs` is its stretched password.

        It takes the place of an earlier one of the same offer, but of one that is finished and has
        the same content: that is given on further, and who asks for it is a caller of both.
        """
        limiter = self._limiters.get((offer, prs))
        if limiter is None:
            limiter = GuessLimiter(generated=False, now=self._seconds(), choose=secrets.randbelow)
            self._limiters.put((offer, prs), limiter)
        audience = Audience(tree.count, secrets.randbelow)
        held = Held(offer, name, prs, tree, kept.have, kept, limiter, audience)
        earlier = self._held.peek(offer)
        if earlier is not None and earlier.finished and self._is_good(earlier, held):
            held.audience = earlier.audience
        else:
            self._held.put(offer, held)
        return held

    def _is_good(self, earlier: Held, held: Held) -> bool:
        """Whether what is finished has the content of the other, and stands where it did."""
        if not earlier.is_same(held):
            return False
        try:
            self.check(earlier)
        except Refusal:
            return False
        return True

    def callers(self, held: Held) -> list[Address]:
        """Where those serve who asked for it here lately."""
        return held.audience.present(self._seconds())

    def _is_held(self, held: Held) -> bool:
        return self._held.peek(held.offer) is held

    def drop(self, held: Held) -> None:
        """Give it on no more."""
        held.dropped = True
        if self._is_held(held):
            self._held.pop(held.offer)

    def finished(self, held: Held, pieces: Finished) -> None:
        """All of that download is here, and `pieces` reads it from now on."""
        given = self._held.peek(held.offer)
        if held.dropped or not (given is None or given.is_same(held)):
            return
        self._held.put(held.offer, held)
        held.pieces, held.entries, held.finished = pieces, pieces.entries, True
        for other in self._held.values():  # those that nobody has asked for of late come first
            if sum(each.entries for each in self._held.values()) <= MAX_ENTRIES:
                break
            if other.entries and other is not held:
                self.drop(other)

    def stop(self) -> None:
        """Give nothing on any more."""
        for held in self._held.values():
            self.drop(held)

    # -- net.answers.Shelf

    def find(self, offer: bytes) -> Held:
        """The download of that offer; raises `Refusal`."""
        held = self._held.get(offer)
        if held is None:
            raise Refusal(404)
        return held

    def guess(self, served: Held, address: str, key: bytes) -> None:
        """Ask for one guess; raises `Refusal` when there is none."""
        wait = served.limiter.take(address, key, self._seconds())
        if wait:
            raise Refusal(429, int(wait) + 1)

    def guessed(self, served: Held, address: str, key: bytes, right: bool) -> None:
        """How the guess came out."""
        if right:
            served.limiter.right(address, key)

    def loading(self, served: Held) -> Deferred[None] | None:
        """Nothing is: a finished folder is known from the download, and opened at each read."""
        return None

    def check(self, served: Held) -> None:
        """Raise `Refusal` where it was dropped, has changed since, or cannot be read now."""
        try:
            if served.finished and not served.pieces.readinto(0, memoryview(bytearray(1))):
                self.drop(served)
        except (OSError, ShareError) as error:  # too many files are open, or the disk is away
            _log.error("{name}: {error}", name=served.name, error=str(error))
            raise Refusal(500) from None
        self._check_held(served)

    def _check_held(self, served: Held) -> None:
        if not self._is_held(served):
            raise Refusal(404)

    def chosen(self, served: Held, offset: int, length: int) -> None:
        """Only the owner counts what was handed out."""

    def open(self, served: Held, offset: int, length: int) -> Any:
        """The bytes to send; raises `Refusal` where it was dropped. Each read finds a change."""
        self._check_held(served)
        return _Reader(served, offset, length, self.drop)

    def next(self, served: Held, have: bytes) -> int | None:
        """Only the owner chooses."""
        return None

    def text(self, served: Held, ask: Ask, key: bytes, host: str) -> bytes:
        """What to answer to TREE, HAVE and PEERS."""
        if ask.kind == TREE:
            return served.text
        if ask.kind == HAVE:
            return to_bitmap(served.have)
        return write_peers(served.audience.seen(key, host, ask.a, self._seconds()))

    def broke(self, served: Held, error: BaseException | None) -> None:
        """Its reader has dropped it where it changed."""

    def progress(self, served: Held, connection: object, sent: int) -> None:
        """Nobody watches what is given on."""

    def ended(self, served: Held, connection: object) -> None:
        """Nothing is kept of a connection."""
