"""What the commands print: results on standard output, all else on standard error.

On a terminal results are tables for people; on a pipe they are rows of values between tabs, without
a head; with `--json` they are documents, or one a line where the command follows something. What
strangers named is cleaned on its way to either (`core.names.clean_line`): no value has a tab or a
line end. JSON is plain ASCII, with everything else escaped.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.names import clean_line
from twistedp2p.face.texts import (
    MAX_SHOWN,
    Translate,
    bar,
    in_words,
    size_text,
    time_text,
    translations,
)

BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
WIPE = "\r\x1b[K"  # to the first column, and what stands on the line away (ECMA-48, EL)
GAP = "  "  # between two columns of a table
NAME_CELLS = 30  # of a name beside a bar


class Column(NamedTuple):
    """One value of each row."""

    head: str
    plain: Callable[[Any], object]  # as scripts read it
    shown: Callable[[Any], str] | None = None  # as people do, where that differs
    right: bool = False

    def cell(self, item: Any, translate: Translate) -> str:
        """As people read it."""
        if self.shown is not None:
            return shown_text(self.shown(item))
        return _told(self.plain(item), translate)


class Output:
    """The streams of one command.

    :param document: whether the results are wanted as JSON.
    :param quiet: nothing on standard error, but what went wrong.
    """

    def __init__(self, document: bool = False, quiet: bool = False) -> None:
        self.document = document
        self.quiet = quiet
        self.translate = translations()
        self.terminal = sys.stdout.isatty()
        self._bar_shown = False

    def json(self, value: Any) -> None:
        """One document, on one line."""
        self._write(json.dumps(value))

    def listing(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        """A list, whichever way it is wanted."""
        if self.document:
            self.json({"items": list(items)})
        elif self.terminal:
            self._table(columns, list(items))
        else:
            for item in items:
                self.row(*(column.plain(item) for column in columns))

    def row(self, *values: object) -> None:
        """Values between tabs."""
        self._write("\t".join(map(shown_text, values)))

    def pairs(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and their values, for people."""
        named = [(name, _told(value, self.translate)) for name, value in pairs]
        width = max(cells(name) for name, _ in named)
        for name, value in named:
            self._write(f"{fitted(name, width)}{GAP}{value}".rstrip())

    def line(self, text: str) -> None:
        """A line for people, among the results."""
        self._write(shown_text(text))

    def sentence(self, sentence: str, **values: object) -> None:
        """A sentence for people, among the results."""
        self.line(in_words(self.translate, sentence, values))

    def note(self, sentence: str, **values: object) -> None:
        """Something to know that is no result."""
        if not self.quiet:
            self.wipe()
            print(shown_text(in_words(self.translate, sentence, values)), file=sys.stderr)

    def progress(self, name: str, done: int, size: int, rate: float) -> None:
        """Draw how far something has come, over what was drawn before, where there is a terminal.

        done, size: bytes. rate: bytes per second.
        """
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return
        share = f"{100 * done // size if size else 0:>3} %"
        pace = f"{size_text(rate)}/s  {time_text((size - done) / rate)}" if rate else ""
        name = fitted(shown_text(name), NAME_CELLS)
        text = fitted(f"{name}  {bar(done, size)} {share}  {pace}", width_of(sys.stderr) - 1)
        sys.stderr.write(f"{WIPE}{text.rstrip()}")
        sys.stderr.flush()
        self._bar_shown = True

    def wipe(self) -> None:
        """Take what was drawn away."""
        if self._bar_shown:
            sys.stderr.write(WIPE)
            sys.stderr.flush()
            self._bar_shown = False

    def _table(self, columns: Sequence[Column], items: list[Any]) -> None:
        rows = [[column.cell(item, self.translate) for column in columns] for item in items]
        if not rows:
            return
        heads = [self.translate(column.head) for column in columns]
        widths = [max(map(cells, values)) for values in zip(heads, *rows, strict=True)]
        self._write(_emphasised(_padded(heads, widths, columns)))
        for row in rows:
            self._write(_padded(row, widths, columns))

    def _write(self, text: str) -> None:
        self.wipe()
        print(text, flush=True)


def say_error(error: ShareError) -> None:
    """Say on standard error what went wrong, in one line."""
    words = in_words(translations(), error.sentence, error.values)
    sys.stderr.write(f"p2pshare: {shown_text(words)}\n")


def _told(value: object, translate: Translate) -> str:
    """The same for people, to whom yes and no are words of their language."""
    text = shown_text(value)
    return translate(text) if isinstance(value, bool) else text


def shown_text(value: object) -> str:
    """A value as it may be shown, on one line and without tabs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return N_("yes") if value else N_("no")
    return clean_line(str(value), MAX_SHOWN)


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` cells: cut, or with blanks after it."""
    if cells(text) > width:
        while cells(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - cells(text))


def _padded(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    parts = []
    for text, width, column in zip(row, widths, columns, strict=True):
        blanks = " " * (width - cells(text))
        parts.append(blanks + text if column.right else text + blanks)
    return GAP.join(parts).rstrip()


def _emphasised(text: str) -> str:
    """Bold where colours are wanted (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "dumb"):
        return text
    return f"{BOLD}{text}{PLAIN}"


def width_of(stream: TextIO) -> int:
    """How many cells a row of that terminal has; 80 where it is none and COLUMNS does not tell."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
