"""Names: of files, of people, of offers and keys; and what may be shown on a terminal.

Everything that a stranger names passes here before it touches a disk or a screen (docs/protocol.md,
section 1). The cleaners are applied until nothing changes, so a cleaned
text is its own cleaning: whoever cleans once more, on whatever node, finds the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable

KEY_SIZE = 32
"""An Ed25519 public key, in bytes."""

OFFER_ID_SIZE = 16
"""An offer id, in bytes."""

FILE_NAME_BYTES = 180
"""Of UTF-8: leaves room for ` (2)` or a random `.part` within the 255 of most file systems."""

EXTENSION_BYTES = 32
"""The longest end of a name, dot included, that is kept as an extension when a name is cut."""

LINE_CHARACTERS = 1000
MAX_TEXT = 20_000  # characters said at once: some twenty datagrams, ten screens
NICK_CHARACTERS = 20
MARKS = 3
"""Combining marks in a row."""

_WORK_CHARACTERS = 512
"""Of each end of a name: normalising thousands of marks in a row takes quadratic time."""

# Printable by their category, yet nothing is seen of them: fillers, selectors, blanks.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
# Unicode holds this range for pictographs: an emoji newer than this Python is not destroyed.
_PICTOGRAPHS = range(0x1F000, 0x1FB00)
# Vowels and finals of decomposed Hangul stack onto one cell as marks do.
_CONJOINING = re.compile("[\u1160-\u11ff\ud7b0-\ud7fb]")

_EMOJI = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff][\ufe0e\ufe0f]?"
)
_KEYCAP = "[0-9#*]\ufe0f\u20e3"
_TAGGED_FLAG = "\U0001f3f4(?:{})\U000e007f".format(
    "|".join("".join(chr(0xE0000 + ord(c)) for c in tag) for tag in ("gbeng", "gbsct", "gbwls"))
)
_WHOLE_OR_CHARACTER = re.compile(f"{_TAGGED_FLAG}|{_KEYCAP}|{_EMOJI}(?:\u200d{_EMOJI})*|([^ -~])")
_BLANK = re.compile("\r\n|[\\s\u2800]")

_NOT_ON_WINDOWS = str.maketrans(dict.fromkeys('<>:"|?*', "_"))
_RESERVED_ON_WINDOWS = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE
)

# Most names need no cleaning; to see that at once is many times faster than to clean them.
_CLEAN_AS_IT_IS = re.compile(r"[\w(](?:[\w.()&+,;='!@#$%{}\[\]-]| (?! )){0,178}[\w)\]-]")

_OURS = frozenset("<>:[]~#*!?\"',()")
_LIKE_OURS = frozenset("ːˑ։׃܃꞉∶⁚⸽︓❬❭≺≻")
_BRACKETS_AND_QUOTES = frozenset({"Ps", "Pe", "Pi", "Pf"})

# Capitals apart from small letters: of the Greek eta only the capital looks like an h.
_SHAPES = {
    "a": "АаΑαɑ", "b": "ВвЬьΒß8", "c": "СсϲϹ", "d": "ԁđ", "e": "ЕеΕҽ", "g": "ɡ", "h": "НнҺһΗհħ",
    "j": "ЈјϳͿ", "k": "КкΚκ", "l": "1iI|ІіӀӏΙιıɩł", "m": "МмΜ", "n": "Νηո", "o": "0ОоΟοσՕօø",
    "p": "РрΡρ", "q": "ԛ", "s": "5Ѕѕ", "t": "ТтΤτ", "u": "υսʋ", "v": "νѵ", "w": "ԝωѡ", "x": "ХхΧχ",
    "y": "УуҮүΥγ", "z": "2Ζ",
}  # fmt: skip
_LOOKS_LIKE = {ord(twin): letter for letter, twins in _SHAPES.items() for twin in twins}
_NOT_LOOKED_AT = frozenset({"Cc", "Cf", "Me", "Pc", "Pd", "Zs"})


def clean_name(name: str) -> str:
    r"""The one safe file name that `name` stands for: never a path, never hidden, never empty.

    What is left is the last component over `/` and `\`, in NFC, with no character that is not
    seen, single spaces, no leading `-`, `.` or `~`, no trailing dot or space, and at most 180
    bytes of UTF-8, extension kept. The characters that Windows refuses become `_`: so does the
    colon, since `12:30 notes.txt` is an ordinary name elsewhere and `a.txt_b.exe` no stream.
    A reserved name of Windows gets a leading `_`. Nothing left: `file`. Never raises.
    """
    if _is_plainly_clean(name):
        return name
    name = re.split(r"[/\\]", name)[-1]
    if len(name) > 2 * _WORK_CHARACTERS:
        name = name[:_WORK_CHARACTERS] + name[-_WORK_CHARACTERS:]
    return _settled(_name_step, name) or "file"


def clean_line(text: str, limit: int = LINE_CHARACTERS) -> str:
    """What may be shown of `text` as (part of) one line of a terminal, at most `limit` characters.

    No control, escape, bidi or private character, no line end (a space instead), nothing of zero
    width but what joins an emoji, three combining marks in a row at most and none at the start,
    where it would fall on what stands before. Letters of all scripts stay. Never raises.
    """
    if text.isascii() and text.isprintable():
        return text[:limit]
    return _settled(lambda line: _line_step(line)[:limit], text[: 4 * limit])


def clean_nick(nick: str) -> str:
    """A nick of at most 20 characters without white space, or an empty one. Never raises.

    It has none of the brackets, quotes and signs (nor their full-width and foreign twins) by which
    the program's own lines are told from what people say.
    """
    return _settled(_nick_step, nick)


def look_alike(nick: str) -> str:
    """A skeleton of a clean nick: two nicks that look the same have the same. Never shown.

    In the manner of UTS #39, with a small table: accents, case, fonts, dashes and dots do not
    count, and Latin, Cyrillic and Greek letters and digits of one shape are one.
    """
    letters = unicodedata.normalize("NFKD", nick).translate(_LOOKS_LIKE).casefold()
    seen = "".join(c for c in unicodedata.normalize("NFKD", letters) if _counts_for_the_eye(c))
    return seen.translate(_LOOKS_LIKE).replace("rn", "m").replace("vv", "w")


def fingerprint(key: bytes) -> str:
    """`abcd-efgh-ijkl-mnop`: 80 bits of the hash of a 32-byte public key, for people to compare.

    Raises ValueError when `key` has another size.
    """
    digest = hashlib.sha256(b"p2pshare/1 fingerprint\0" + _sized(key)).digest()
    text = base64.b32encode(digest[:10]).decode("ascii").lower()
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def offer_id(owner_key: bytes, name: str) -> bytes:
    """The 16 bytes that stand for the offer `name` of the owner of a 32-byte public key.

    A name is unique within an owner, and who knows both knows the id. The name is cleaned first.
    Raises ValueError when `owner_key` has another size.
    """
    named = b"p2pshare/1 offer\0" + _sized(owner_key) + clean_name(name).encode()
    return hashlib.sha256(named).digest()[:OFFER_ID_SIZE]


def b64(data: bytes) -> str:
    """`data` in the URL-safe alphabet of base64 without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text: str, size: int) -> bytes:
    """The `size` bytes that `b64` wrote as `text`, which has one spelling only.

    Raises ValueError on any other length or alphabet, on padding, and on trailing bits set.
    """
    if len(text) != (4 * size + 2) // 3:
        raise ValueError("base64 of another length")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("base64 that is not canonical")
    return data


def _settled(step: Callable[[str], str], text: str) -> str:
    """`text` after as many steps as change it. From the second on a step only takes away or,
    once, puts the `_` before a reserved name: it ends."""
    while (after := step(text)) != text:
        text = after
    return text


def _is_plainly_clean(name: str) -> bool:
    """Whether letters, digits and signs that nobody refuses make up the name."""
    if not _CLEAN_AS_IT_IS.fullmatch(name) or _RESERVED_ON_WINDOWS.match(name):
        return False
    return name.isascii() or (
        len(name.encode()) <= FILE_NAME_BYTES
        and unicodedata.is_normalized("NFC", name)
        and name.isprintable()
        and not _INVISIBLE.search(name)
        and not _CONJOINING.search(name)
    )


def _name_step(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    name = "".join(c for c in name if _is_seen(c) or unicodedata.category(c) == "Zs")
    name = " ".join(_few_marks(name).translate(_NOT_ON_WINDOWS).split())
    name = name.lstrip("-.~ ").rstrip(". ")
    if _RESERVED_ON_WINDOWS.match(name):
        name = "_" + name
    return _shortened(name)


def _shortened(name: str) -> str:
    if len(name.encode()) <= FILE_NAME_BYTES:
        return name
    extension = name[name.rfind(".") :] if "." in name else ""
    if len(extension.encode()) > EXTENSION_BYTES:
        extension = ""
    room = FILE_NAME_BYTES - len(extension.encode())
    stem = name[: len(name) - len(extension)].encode()[:room].decode(errors="ignore")
    return stem.rstrip(". ") + extension


def _line_step(text: str) -> str:
    text = _BLANK.sub(" ", unicodedata.normalize("NFC", text))
    text = _WHOLE_OR_CHARACTER.sub(
        lambda found: found[0] if found[1] is None or _is_seen(found[1]) else "", text
    )
    return _few_marks(text)


def _nick_step(nick: str) -> str:
    kept = "".join(c for c in clean_line(nick) if not _imitates_ours(c))
    return clean_line("_".join(kept.split()), NICK_CHARACTERS)


def _is_seen(char: str) -> bool:
    if char.isprintable():
        return not _INVISIBLE.match(char)
    return ord(char) in _PICTOGRAPHS


def _few_marks(text: str) -> str:
    """`text` without the marks that are the fourth or later on their base, or on no base."""
    if text.isascii():
        return text
    kept, marks = [], MARKS
    for char in text:
        if _stacks(char):
            marks += 1
        elif unicodedata.category(char) != "Mc":  # a vowel sign beside its base ends no row
            marks = 0
        if marks <= MARKS:
            kept.append(char)
    return "".join(kept)


def _stacks(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Mn", "Me")
        or unicodedata.combining(char) != 0
        or _CONJOINING.match(char) is not None
    )


def _imitates_ours(char: str) -> bool:
    return (
        char in _LIKE_OURS
        or unicodedata.category(char) in _BRACKETS_AND_QUOTES
        or not _OURS.isdisjoint(unicodedata.normalize("NFKD", char))
    )


def _counts_for_the_eye(char: str) -> bool:
    # Marks of class 0 are the vowels of Indic scripts: without them other words look the same.
    return not (
        char in ".·"
        or unicodedata.combining(char)
        or unicodedata.category(char) in _NOT_LOOKED_AT
        or _INVISIBLE.match(char)
    )


def _sized(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:
        raise ValueError(f"a public key has {KEY_SIZE} bytes, not {len(key)}")
    return key
