"""The words that a person reads: translations, sizes, rates, times, and rows of a screen."""

from __future__ import annotations

import gettext
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from twistedp2p.core.errors import N_, ShareError, Words
from twistedp2p.core.names import MAX_TEXT, clean_line

LOCALE_FOLDER = Path(__file__).resolve().parent.parent / "locale"
MAX_SHOWN = MAX_TEXT + 480  # characters of one line: a message, and who says it
MIN_COLUMNS = 16  # cells: on a narrower terminal nothing can be read anyway
INDENT = "    "  # of what a long line goes on with
SENTENCES = ("reason", "why")  # values of failures that are sentences themselves
MAX_LANGUAGES = 200  # characters of an Accept-Language
Translate = Callable[[str], str]

_TAG = re.compile("[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*")  # RFC 5646, and as locales have it
_WEIGHT = re.compile(r"q=([01](\.[0-9]{0,3})?)")


def translations(environment: Mapping[str, str] = os.environ) -> Translate:
    """The translation for the user's locale (LANGUAGE, LC_ALL, LC_MESSAGES, LANG), or English.

    ``LC_ALL=C``, by which scripts ask for stable texts, comes before LANGUAGE.
    """
    return _translation(_locales(environment))


def accept_language(environment: Mapping[str, str] = os.environ) -> str:
    """The same wish as an ``Accept-Language`` (RFC 9110, 12.5.4); empty for no wish."""
    wanted = itertools.takewhile(lambda name: not _is_c(name), _locales(environment))
    names = (name.partition(".")[0].partition("@")[0] for name in wanted)
    return ", ".join(name.replace("_", "-") for name in names if _TAG.fullmatch(name))


@lru_cache(64)
def accepted(languages: str) -> Translate:
    """The translation that an ``Accept-Language`` wants, or English."""
    wishes = []
    for wish in languages[:MAX_LANGUAGES].split(","):
        tag, _, weight = (part.strip() for part in wish.partition(";"))
        given = _WEIGHT.fullmatch(weight)
        if _TAG.fullmatch(tag):  # a folder will be looked for that is called like it
            wishes.append((float(given[1]) if given else 1.0, tag.replace("-", "_")))
    wishes.sort(key=lambda wish: -wish[0])  # of those alike the first comes first
    return _translation(tag for weight, tag in wishes if weight)


def _locales(environment: Mapping[str, str]) -> list[str]:
    wanted = environment.get("LC_ALL", "")
    if not _is_c(wanted):
        names = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
        wanted = next((environment[name] for name in names if environment.get(name)), "")
    return [name for name in wanted.split(":") if name]


def _translation(names: Iterable[str]) -> Translate:
    """English in a list of languages ends it: what stands after is not wanted, though only it has
    a translation."""
    wanted = itertools.takewhile(lambda name: not (_is_c(name) or _is_english(name)), names)
    named = list(wanted)  # where none is, nothing needs to be loaded
    return gettext.translation("p2pshare", LOCALE_FOLDER, named, fallback=True).gettext


def _is_c(locale: str) -> bool:
    return locale.partition(".")[0] in ("C", "POSIX")


def _is_english(locale: str) -> bool:
    return locale[:2].lower() == "en"


def in_words(translate: Translate, sentence: str, values: Mapping[str, object]) -> str:
    """A sentence with its values, translated. A name that is a word of ours stays itself."""

    def filled(name: str, value: object) -> object:
        if isinstance(value, (ShareError, Words)):
            return in_words(translate, value.sentence, value.values)
        return translate(str(value)) if name in SENTENCES and str(value) else value

    return translate(sentence).format(**{name: filled(name, values[name]) for name in values})


def size_text(count: float) -> str:
    """A number of bytes as people write it: ``3.2 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        units.pop(0)
    unit = units[0]
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"


def extent_text(translate: Translate, size: int, files: int | None) -> str:
    """How much an offer is: ``3.2 MB``, ``3.2 MB, folder, 120 files``."""
    return size_text(size) + (f", {folder_text(translate, files)}" if files is not None else "")


def folder_text(translate: Translate, files: int) -> str:
    """What an offered folder is: ``folder, 120 files``."""
    return translate(N_("folder, {count} files")).format(count=files)


def time_text(seconds: float) -> str:
    """A span of time: ``12 s``, ``3:05``, ``2:00:12``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bar(done: int, size: int, width: int = 12) -> str:
    """A progress bar of `width` characters; an empty one while the size is not known."""
    full = min(width, width * done // size) if size > 0 else 0
    return "█" * full + "░" * (width - full)


def rows_of(text: str, columns: int = 0) -> list[str]:
    """What may be shown of one line, as rows of at most `columns` cells (0: any), all but the
    first indented.

    All that is ever written to a terminal passes here. Without the indent somebody else's text
    would decide what stands at the start of a row, and could put there what looks like a line of
    ours. Broken at blanks where that wastes less than half a row.
    """
    text = clean_line(text, MAX_SHOWN)
    if not columns:
        return [text]
    from prompt_toolkit.utils import get_cwidth  # slow to load, and no command needs it

    columns = max(MIN_COLUMNS, columns)
    rows, row, cells = [], "", 0
    for char in text:
        width = get_cwidth(char)
        if cells + width > columns:
            head, _, tail = row.rpartition(" ")
            if char == " " or get_cwidth(head) < columns // 2:
                head, tail = row, ""
            rows.append(head)
            row = INDENT + tail
            cells = get_cwidth(row)
            if char == " ":
                continue
        row += char
        cells += width
    return [*rows, row]
