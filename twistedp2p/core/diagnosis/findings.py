"""What a check finds."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import attrs

from twistedp2p.core.errors import N_, Words, words

NAMES_MOST = 5  # hosts that one sentence names
ROWS_MOST = 50  # hosts that get a row of their own


class Verdict(str, Enum):
    """How a check turned out. The values are for programs to read, and stay."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@attrs.frozen
class Finding:
    """What one check found: `what` in one sentence, `advice` where something can be done."""

    check: str  # for programs to read: stays
    verdict: Verdict
    what: Words
    advice: Words | None = None
    rows: tuple[Words, ...] = ()  # what it was seen by, one line each


def run(line: str) -> Words:
    """Advice to run a line in a shell."""
    return words(N_("Run: {line}"), line=line)


def listed(names: Iterable[str]) -> str:
    """Some of these names, each once, and how many more there are."""
    every = list(dict.fromkeys(names))
    more = [f"… (+{len(every) - NAMES_MOST})"] if len(every) > NAMES_MOST else []
    return ", ".join([*every[:NAMES_MOST], *more])
