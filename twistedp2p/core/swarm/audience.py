"""Those who fetch one offer from here: where they serve it themselves, and what they were handed.

An owner hands each piece to one of them before it hands any to a second (super-seeding), for they
give it on to each other: so it sends little more than one copy, however many they are.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from twistedp2p.core.calls.pieces import MAX_PEERS
from twistedp2p.core.content.tree import piece_size
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.presence.addresses import Address, means_the_same
from twistedp2p.core.swarm.bitmap import from_bitmap

MAX_AUDIENCE = 512  # who serve an offer, that are known
PRESENT = 30.0  # seconds from the last ask for others to being told of as one of them
LATELY = 600.0  # the same where there is nobody else: who has all asks no more, and gives it on
MOST_HANDED = 7  # times, that are counted


@attrs.frozen
class _Seen:
    where: Address
    at: float


class Audience:
    """Of an offer of `count` pieces. `draw(n)` gives one of 0 to n - 1."""

    def __init__(self, count: int, draw: Callable[[int], int]) -> None:
        self._count = count
        self._draw = draw
        self._handed = bytearray(count)
        self._least = 0  # no piece was handed out fewer times
        self._seen: CappedTable[bytes, _Seen] = CappedTable(MAX_AUDIENCE)

    def seen(self, key: bytes, host: str, port: int, now: float) -> list[Address]:
        """A client asks for others; it serves at `port` itself, where that is not 0.

        Returns some of the others, by chance. A host that only its own network can name is not
        told to anybody, and the loopback to this host alone.
        """
        if port and not host.casefold().startswith("fe80:"):
            self._seen.put(key, _Seen((host, port), now))
        others: list[Address] = []
        for within in (PRESENT, LATELY):
            there = self.present(now, key, within)
            others = others or [where for where in there if means_the_same(where[0], host)]
        for last in range(len(others) - 1, 0, -1):
            chosen = self._draw(last + 1)
            others[last], others[chosen] = others[chosen], others[last]
        return others[:MAX_PEERS]

    def present(self, now: float, but: bytes = b"", within: float = PRESENT) -> list[Address]:
        """Where those serve who asked in the last seconds, without the one with that key."""
        return [
            seen.where for key, seen in self._seen.items() if key != but and now - seen.at <= within
        ]

    def handed(self, offset: int, length: int, size: int) -> None:
        """Somebody was handed these bytes of his own choice, of an offer of `size` bytes.

        Only whole pieces count: of a part of one nobody can check what he gives on.
        """
        piece, end = piece_size(size), offset + length
        for index in range(-(-offset // piece), self._count if end == size else end // piece):
            self._handed[index] = min(self._handed[index] + 1, MOST_HANDED)

    def next(self, have: bytes) -> int | None:
        """The piece for a client who has these (a bitmap): one that was handed out the least.

        It counts as handed out. None where the client has all. Raises ValueError on what is no
        bitmap of these pieces.
        """
        lacking = from_bitmap(have, self._count).translate(bytes([1, 0]).ljust(256))
        if lacking.find(1) < 0:
            return None
        for times in range(self._least, MOST_HANDED + 1):
            so_often = bytearray(256)
            so_often[times] = 1
            handed = self._handed.translate(so_often)
            if times == self._least and handed.find(1) < 0 and times < MOST_HANDED:
                self._least += 1
                continue
            both = int.from_bytes(handed, "big") & int.from_bytes(lacking, "big")
            if both:
                return self._hand(both.to_bytes(self._count, "big"))
        return None

    def _hand(self, among: bytes) -> int:
        start = self._draw(self._count)
        index = among.find(1, start)
        index = index if index >= 0 else among.find(1, 0, start)
        self._handed[index] = min(self._handed[index] + 1, MOST_HANDED)
        return index
