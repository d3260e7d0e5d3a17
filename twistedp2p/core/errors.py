"""Sentences that a person reads, translated where they are shown; failures, which are such a one
with a code for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple


class Exit(IntEnum):
    """Exit codes of the program (the upper ones as in BSD's sysexits.h)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_NODE = 3
    DENIED = 4
    NOT_FOUND = 5
    DAMAGED = 6
    TIMEOUT = 7
    WARNED = 10
    ALONE = 11
    HERE = 12
    BETWEEN = 13
    BAD_GROUP = 65
    NO_INPUT = 66
    NO_INTERFACE = 68
    PORT_TAKEN = 69
    NO_FOLDER = 73
    INTERRUPTED = 130  # as shells have it: 128 + SIGINT
    BROKEN_PIPE = 141  # who read the output has seen enough: 128 + SIGPIPE


def N_(sentence: str) -> str:
    """Mark a sentence for translation; it is translated where it is shown."""
    return sentence


class Words(NamedTuple):
    """A sentence with its values, not yet translated. A value may be `Words`, too.

    No attrs class: every command of `p2pshare` loads this module, and is to be quick.
    """

    sentence: str
    values: Mapping[str, object] = MappingProxyType({})

    def __str__(self) -> str:
        return self.sentence.format(**self.values)


def words(sentence: str, **values: object) -> Words:
    """`Words`, shorter to write."""
    return Words(sentence, values)


class ShareError(Exception):
    """What went wrong and what to do, as one sentence with `{values}` to fill in."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILED, **values: object) -> None:
        super().__init__(sentence, values)
        self.sentence = sentence
        self.values = values
        self.code = code

    def __str__(self) -> str:
        return self.sentence.format(**self.values)
