"""The code of a closed group, such as `crumb-tulip-radar-visor-oxygen-42`: words and a check.

Each word is one of 7,776, chosen apart and evenly: 7,776 ** 5 codes, 64.6 bits. The two digits at
the end are computed from the words, so that 99 of 100 mistypings are told rather than open nothing
without a word. They are also why a code cannot be thought up by a person: one captured datagram is
enough to try out codes for ever after, at nobody's door, and only chance withstands that.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Callable
from hashlib import sha256

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.words import LIST_SIZE, known_words, words

CODE_WORDS = 5
"""Of a code: 64.62 bits."""

MAX_TYPED = 200  # characters of a code with whatever stands between its words

_CHECK_DOMAIN = b"p2pshare/1 code check\0"
_BETWEEN = re.compile(r"[\W_]+")


def make_code(choose: Callable[[int], int] = secrets.randbelow) -> str:
    """A new code in its canonical form.

    `choose(n)` gives a number from 0 to n - 1; anything but the default is for tests.
    """
    chosen = [words()[choose(LIST_SIZE)] for _ in range(CODE_WORDS)]
    return "-".join([*chosen, _check(chosen)])


def _check(chosen: list[str]) -> str:
    digest = sha256(_CHECK_DOMAIN + "-".join(chosen).encode("utf-8")).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 100:02}"


def read_code(typed: str) -> str:
    """The canonical form of a code, whatever case it is in and whatever stands between its words.

    Raises `ShareError` with what is wrong, which never repeats any of it: it may be a secret.
    """
    text = unicodedata.normalize("NFKC", typed[: MAX_TYPED + 1]).casefold()
    parts = [part for part in _BETWEEN.split(text) if part]
    *given, check = parts or [""]
    if len(typed) > MAX_TYPED or len(given) != CODE_WORDS or not re.fullmatch("[0-9]{2}", check):
        raise ShareError(
            N_(
                "That is no group code, which is five words and two digits. Codes that people"
                " think up are refused: whoever captures one datagram can try them all out."
                " Make one with: p2pshare code"
            ),
            Exit.NO_INPUT,
        )
    for number, word in enumerate(given, 1):
        if word not in known_words():
            raise ShareError(
                N_("Word {number} of the group code is none of the words that codes are made of."),
                Exit.NO_INPUT,
                number=number,
            )
    if check != _check(given):
        raise ShareError(
            N_("The digits of the group code do not fit its words: one of them is mistyped."),
            Exit.NO_INPUT,
        )
    return "-".join(parts)
