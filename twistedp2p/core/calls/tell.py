"""TELL: one text from one node to another, and nobody else; `records` has the bytes.

::

    sender    TEXT ... END
    receiver  END             once a person has been shown it; the end without it: was not shown
"""

from __future__ import annotations

from collections.abc import Iterator

from twistedp2p.core.calls.conversation import Violation
from twistedp2p.core.calls.records import END, MAX_RECORD, TEXT, record
from twistedp2p.core.names import LINE_CHARACTERS, clean_line

MAX_TEXT = LINE_CHARACTERS  # characters
_MAX_BYTES = 4 * MAX_TEXT  # of UTF-8


def say_text(text: str) -> Iterator[bytes]:
    """The records of a text of at most `MAX_TEXT` characters."""
    data = text.encode("utf-8")
    for at in range(0, len(data), MAX_RECORD):
        yield record(TEXT, data[at : at + MAX_RECORD])
    yield record(END)


class Hearing:
    """The receiver's end: feed it records until it gives the text."""

    def __init__(self) -> None:
        self._data = b""
        self._over = False

    def heard(self, kind: int, content: bytes) -> str | None:
        """Take in one record: the text, cleaned for a screen, once it is whole.

        Raises `Violation` on what is no text, is empty or too long, and on what comes after it.
        """
        if self._over or kind not in (TEXT, END) or bool(content) != (kind == TEXT):
            raise Violation("a record at the wrong moment")
        self._data += content
        if len(self._data) > _MAX_BYTES:
            raise Violation("a text that is too long")
        if kind == TEXT:
            return None
        self._over = True
        return self._text()

    def _text(self) -> str:
        try:
            text = self._data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Violation("not UTF-8 text") from error
        line = clean_line(text).strip()
        if not line or len(text) > MAX_TEXT:
            raise Violation("a text that is empty or too long")
        return line
