"""Texts that are too long for one datagram: cut into parts, and put together again.

Each part is an entry of the chat log with a number of its own, its body legible to a script that
knows nothing of parts; the parts of a text have consecutive numbers and one stamp::

    part   "2/5 the second of five pieces, blanks at the cuts included"

Parts are lost and repaired as other entries are. Whoever holds one knows from its number and its
body which numbers the others have, so nothing about a text needs to be remembered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import TEXT_MOST, split_text

MAX_PARTS = 250  # of one text: `names.MAX_TEXT` wide characters, cut badly, and room to spare
GAP = " [...] "  # stands where parts have not come
_HEAD = re.compile("([1-9][0-9]{0,2})/([1-9][0-9]{0,2}) ")
_HEAD_MOST = len("250/250 ")  # bytes


@attrs.frozen
class Part:
    """One part of a text: the `index`th of `count`, from 1."""

    index: int
    count: int
    text: str

    @classmethod
    def read(cls, body: str) -> Part:
        """Read a body; raises `BadBody`."""
        head = _HEAD.match(body)
        if head is None:
            raise BadBody("a part without its number")
        index, count = int(head[1]), int(head[2])
        if not (index <= count and 2 <= count <= MAX_PARTS):
            raise BadBody("a part is out of bounds")
        return cls(index, count, body[head.end() :])

    def write(self) -> str:
        """The body."""
        return f"{self.index}/{self.count} {self.text}"

    def first(self, number: int) -> int:
        """The number of the first part of the text whose part has that one; raises `BadBody`."""
        if number < self.index:
            raise BadBody("a part is out of bounds")
        return number - self.index + 1


def cut(text: str) -> list[tuple[str, str]]:
    """The entries (kind, body) that say `text`, of 1 to `names.MAX_TEXT` characters."""
    if len(text.encode("utf-8")) <= TEXT_MOST:
        return [("say", text)]
    pieces = split_text(text, TEXT_MOST - _HEAD_MOST)
    return [
        ("part", Part(index, len(pieces), piece).write()) for index, piece in enumerate(pieces, 1)
    ]


def join(pieces: Mapping[int, str], count: int) -> str:
    """The text of `count` parts of which these are here; `GAP` for each run that is not."""
    text: list[str] = []
    for index in range(1, count + 1):
        piece = pieces.get(index)
        if piece is not None:
            text.append(piece)
        elif not text or text[-1] is not GAP:
            text.append(GAP)
    return "".join(text)
