"""One UDP datagram of the group: a plain line, or a signed one.

A plain line is any UTF-8 text without our trailer. A signed one is a body and one trailer line,
so that a script which prints what it receives shows the text first::

    body LF
    ~p2pshare/1 SP kind SP key SP epoch SP number SP stamp SP @nick SP signature

    kind       say | part | offer | withdraw   entries of a feed, numbered 1, 2, 3 ... per log
               beacon | hello | head | ask | gone | vector | bye | ping | pong
                                              messages, numbered by a running counter
    key        Ed25519 public key, 32 bytes, base64url without padding
    epoch      decimal, 1 to 2^53-1; rises when a node lost its own log
    number     decimal, 1 to 2^53-1
    stamp      decimal, milliseconds since 1970 by the group's time (see `clock`), 0 to 2^53-1
    nick       0 to 20 characters, as cleaned by `names.clean_nick`
    signature  Ed25519, 64 bytes, base64url without padding

Signed are the bytes ``p2pshare/1 datagram NUL group NUL`` (group as ``239.0.0.1:9392``), then
the datagram up to the space before the signature. There is one way to write each datagram;
anything else is refused.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

import attrs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from twistedp2p.core.errors import N_
from twistedp2p.core.names import b64, clean_nick, unb64

MAX_SENT = 1200  # bytes of UDP payload: no network of today tears that apart
SEAL_ROOM = 48  # bytes of it for the seal of a closed group (`closed`): one limit for all groups
MAX_DATAGRAM = MAX_SENT - SEAL_ROOM  # bytes of a signed datagram
MAX_NUMBER = 2**53 - 1  # what every JSON reader and SQLite hold exactly
LOGS = {"say": "chat", "part": "chat", "offer": "offers", "withdraw": "offers"}  # kind -> log
MESSAGES = ("beacon", "hello", "head", "ask", "gone", "vector", "bye", "ping", "pong")
_MARK = b"~p2pshare/1 "
_JOINER = "\u200d"
# The joiner itself, skin tones, the tags of a flag, vowels and finals of decomposed Hangul.
_GOES_ON = re.compile("[\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff]")
_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff]+\\Z")  # two letters make one
_TRAILER = re.compile(
    rb"~p2pshare/1 ([a-z]{1,10}) ([\w-]{43}) (\d{1,16}) (\d{1,16}) (\d{1,16})"
    rb" @(\S{0,80}) ([\w-]{86})"
)


class BadDatagram(ValueError):
    """Bytes that are neither a plain line nor a well-formed signed one."""


@attrs.frozen
class Signed:
    """A signed datagram, as read or about to be sent. `raw` are its bytes on the wire."""

    kind: str
    key: bytes
    epoch: int
    number: int
    stamp: int  # milliseconds since 1970
    nick: str
    body: str
    raw: bytes = attrs.field(repr=False)

    @property
    def log(self) -> str | None:
        """The log that this entry belongs to, or None for a message that is no entry."""
        return LOGS.get(self.kind)


def group_name(group: str, port: int) -> bytes:
    """The group as it is signed: ``239.0.0.1:9392``, ``[ff15::1]:9392``."""
    address = ipaddress.ip_address(group)
    return (f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}").encode("ascii")


def parse(data: bytes) -> Signed | str:
    """Read a datagram: the text of a plain line, or a `Signed` whose signature is NOT yet checked.

    `data` is at most `MAX_DATAGRAM` bytes for a signed one. Raises `BadDatagram`.
    """
    body, newline, trailer = data.rpartition(b"\n")
    if not trailer.startswith(_MARK):
        return _plain(data)
    match = _TRAILER.fullmatch(trailer)
    if not newline or match is None or len(data) > MAX_DATAGRAM:
        raise BadDatagram(N_("a damaged signed datagram"))
    return _signed(data, body, match)


def _plain(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadDatagram(N_("not UTF-8 text")) from error


def _signed(data: bytes, body: bytes, match: re.Match[bytes]) -> Signed:
    try:
        kind, nick = match[1].decode("ascii"), match[6].decode("utf-8")
        key = unb64(match[2].decode("ascii"), 32)
        unb64(match[7].decode("ascii"), 64)
        epoch, number, stamp = (_canonical(match[group]) for group in (3, 4, 5))
        text = body.decode("utf-8")
    except ValueError as error:
        raise BadDatagram(N_("a damaged signed datagram")) from error
    if kind not in LOGS and kind not in MESSAGES:
        raise BadDatagram(N_("an unknown kind"))
    if not epoch or not number or nick != clean_nick(nick):
        raise BadDatagram(N_("a damaged header"))
    return Signed(kind, key, epoch, number, stamp, nick, text, data)


def _canonical(digits: bytes) -> int:
    value = int(digits)
    if str(value).encode("ascii") != digits or value > MAX_NUMBER:
        raise ValueError("not a canonical number")
    return value


def kind_of(raw: bytes) -> str:
    """The kind of a signed datagram of our own making."""
    return raw.rpartition(b"\n" + _MARK)[2].partition(b" ")[0].decode("ascii")


def verify(signed: Signed, group: bytes) -> bool:
    """Whether the signature is that of `signed.key` over this datagram in this group."""
    covered, _, signature = signed.raw.rpartition(b" ")
    try:
        Ed25519PublicKey.from_public_bytes(signed.key).verify(
            unb64(signature.decode("ascii"), 64), _domain(group) + covered
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _domain(group: bytes) -> bytes:
    return b"p2pshare/1 datagram\0" + group + b"\0"


@attrs.frozen
class Signer:
    """Writes the signed datagrams of one node in one group."""

    private_key: Ed25519PrivateKey = attrs.field(repr=False)
    group: bytes
    key: bytes = attrs.field(init=False)

    @key.default
    def _public(self) -> bytes:
        return self.private_key.public_key().public_bytes_raw()

    def sign(self, kind: str, epoch: int, number: int, stamp: int, nick: str, body: str) -> Signed:
        """Make one datagram; raises `BadDatagram` when it is over `MAX_DATAGRAM` bytes."""
        head = f"{body}\n~p2pshare/1 {kind} {b64(self.key)} {epoch} {number} {stamp} @{nick}"
        covered = head.encode("utf-8")
        raw = covered + b" " + b64(self.private_key.sign(_domain(self.group) + covered)).encode()
        if len(raw) > MAX_DATAGRAM:
            raise BadDatagram(f"too long: {len(raw)} bytes")
        return Signed(kind, self.key, epoch, number, stamp, nick, body, raw)


TRAILER_MOST = 330  # bytes: the longest trailer, with a nick of 20 four-byte characters
TEXT_MOST = MAX_DATAGRAM - TRAILER_MOST  # bytes of body that always fit


def split_text(text: str, most: int = TEXT_MOST) -> list[str]:
    """Cut a text into pieces of at most `most` bytes of UTF-8 (but at least one character).

    It is cut after a blank where there is one in the last quarter, else between what is seen as
    one character. No piece is empty, and together they are the text.
    """
    pieces = []
    while len(text) > 1 and len(text[: most + 1].encode("utf-8")) > most:
        cut = _cut(text, most)
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text] if text else pieces


def _cut(text: str, most: int) -> int:
    """How many characters of `text` go into the next piece."""
    fits = len(text[:most].encode("utf-8")[:most].decode("utf-8", "ignore")) or 1
    blank = text.rfind(" ", fits * 3 // 4, fits)
    if blank >= 0:
        return blank + 1
    cut = fits
    while cut and _is_one(text, cut):
        cut -= 1
    return cut or fits


def _is_one(text: str, at: int) -> bool:
    """Whether the characters before and at `at` are seen as one (after UAX #29, in short)."""
    if unicodedata.category(text[at])[0] == "M" or _GOES_ON.match(text[at]):
        return True
    flags = _FLAGS.search(text[:at]) if _FLAGS.match(text[at]) else None
    return text[at - 1] == _JOINER or (flags is not None and len(flags[0]) % 2 == 1)
