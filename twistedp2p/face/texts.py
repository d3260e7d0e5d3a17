"""The words that a person reads: translations, sizes, rates and times."""

from __future__ import annotations

import gettext
from collections.abc import Callable
from pathlib import Path

LOCALE_FOLDER = Path(__file__).resolve().parent.parent / "locale"
Translate = Callable[[str], str]


def translations() -> Translate:
    """The translation for the user's locale (LANGUAGE, LC_ALL, LC_MESSAGES, LANG), or English."""
    return gettext.translation("p2pshare", LOCALE_FOLDER, fallback=True).gettext


def size_text(count: float) -> str:
    """A number of bytes as people write it: ``3.2 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        units.pop(0)
    unit = units[0]
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"


def time_text(seconds: float) -> str:
    """A span of time: ``12 s``, ``3:05``, ``2:00:12``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bar(done: int, size: int, width: int = 20) -> str:
    """A progress bar of `width` characters."""
    full = width if size <= 0 else min(width, width * done // size)
    return "█" * full + "░" * (width - full)
