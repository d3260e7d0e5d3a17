r"""The lines of a connection's conversation, inside TLS 1.3: parse and format.

Lines end with CR LF and have at most 512 bytes::

    C: AUTH <offer> <Ya>                        offer: 32 hex digits; Ya, Yb: 32 bytes base64url
    S: SHARE <Yb>
    C: GET <Ta>                                 Ta, Tb: 64 bytes base64url
    S: OK <Tb> <size> <manifest> <digest> <name>
    C: GO                                       then asks (`pieces`); answers in sealed frames
    S: ERR <code> [<seconds>]                   instead of SHARE or OK; then the end

or, for what is no file, and goes on as `records`::

    C: SYNC <proof>                             or TELL <proof>; proof: 32 bytes base64url
    S: HERE <proof>                             or ERR

``size`` and ``manifest`` are bytes: of all that is on offer, and of the manifest of a folder (0
for a file). ``digest`` is ``blake3:`` and 64 hex digits (`content.tree`). ``name`` is UTF-8, the
rest of the line. Numbers are canonical decimals below 2^53.
"""

from __future__ import annotations

import re

import attrs

from twistedp2p.core.errors import N_
from twistedp2p.core.names import b64, unb64

MAX_LINE = 512  # bytes, without CR LF
MAX_SIZE = 2**53 - 1  # bytes of a file
MAX_MANIFEST = 16 * 2**20  # bytes
MAX_WAIT = 86_400  # seconds that an ERR may ask to wait

ERRORS = {
    400: N_("the other end did not understand the request"),
    403: N_("wrong password"),
    404: N_("there is no such file on offer there"),
    409: N_("the file has changed since it was offered"),
    429: N_("too many wrong passwords; try again later"),
    500: N_("the other end could not read the file"),
    503: N_("the other end is busy; try again later"),
}
TALK_ERRORS = {  # where they mean something else after SYNC and TELL
    404: N_("the other end is in another group"),
    429: N_("too many messages; try again later"),
    480: N_("nobody reads messages there"),
}


class BadLine(ValueError):
    """A line that is not of the conversation."""


@attrs.frozen
class Auth:
    """The client names an offer (16 bytes) and gives its CPace share (32 bytes)."""

    offer: bytes
    share: bytes

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return f"AUTH {self.offer.hex()} {b64(self.share)}".encode("ascii")


@attrs.frozen
class Share:
    """The owner's CPace share (32 bytes)."""

    share: bytes

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return f"SHARE {b64(self.share)}".encode("ascii")


@attrs.frozen
class Get:
    """The client's proof (64 bytes)."""

    tag: bytes

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return f"GET {b64(self.tag)}".encode("ascii")


@attrs.frozen
class Go:
    """The client has read OK: what the owner sends from now on is frames, no TLS."""

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return b"GO"


@attrs.frozen
class Sync:
    """The client wants to exchange what each lacks (`core.calls.sync`); the proof of its group."""

    proof: bytes

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return f"SYNC {b64(self.proof)}".encode("ascii")


@attrs.frozen
class Tell:
    """The client has a direct message (`core.calls.tell`); the proof of its group."""

    proof: bytes

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return f"TELL {b64(self.proof)}".encode("ascii")


@attrs.frozen
class Here:
    """The server's proof of the same group: records follow from both ends."""

    proof: bytes

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        return f"HERE {b64(self.proof)}".encode("ascii")


@attrs.frozen
class Ok:
    """The owner's proof (64 bytes) and what there is to ask for."""

    tag: bytes
    size: int  # bytes
    manifest: int  # bytes; 0 for a file
    digest: str
    name: str

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        head = f"OK {b64(self.tag)} {self.size} {self.manifest} {self.digest} "
        return (head + self.name).encode("utf-8")


@attrs.frozen
class Err:
    """A refusal: one of the codes of `ERRORS`, and for 429 and 503 how long to wait."""

    code: int
    seconds: int | None = None

    def line(self) -> bytes:
        """The bytes on the wire, without the line end."""
        wait = "" if self.seconds is None else f" {min(self.seconds, MAX_WAIT)}"
        return f"ERR {self.code}{wait}".encode("ascii")


ClientLine = Auth | Get | Go | Sync | Tell

DIGEST = re.compile(r"blake3:[0-9a-f]{64}")
_NUMBER = r"(0|[1-9][0-9]{0,15})"
_AUTH = re.compile(r"AUTH ([0-9a-f]{32}) ([\w-]{43})", re.ASCII)
_SHARE = re.compile(r"SHARE ([\w-]{43})", re.ASCII)
_GET = re.compile(r"GET ([\w-]{86})", re.ASCII)
_OK = re.compile(
    rf"OK ([\w-]{{86}}) {_NUMBER} {_NUMBER} (blake3:[0-9a-f]{{64}}) (.{{1,200}})",
    re.ASCII,
)
_TALK = re.compile(r"(SYNC|TELL|HERE) ([\w-]{43})", re.ASCII)
_ERR = re.compile(r"ERR ([1-9][0-9]{2})(?: (0|[1-9][0-9]{0,5}))?", re.ASCII)


def _text(line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise BadLine("the line is too long")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadLine("the line is not UTF-8") from error


def _bytes(text: str, size: int) -> bytes:
    try:
        return unb64(text, size)
    except ValueError as error:
        raise BadLine("damaged base64") from error


def _number(digits: str) -> int:
    value = int(digits)
    if value > MAX_SIZE:
        raise BadLine("a number is too large")
    return value


def _err(match: re.Match[str]) -> Err:
    seconds = None if match[2] is None else int(match[2])
    if seconds is not None and seconds > MAX_WAIT:
        raise BadLine("no one waits that long")
    return Err(int(match[1]), seconds)


def parse_client(line: bytes) -> ClientLine:
    """Read a line that a client sent; raises `BadLine`."""
    text = _text(line)
    if match := _AUTH.fullmatch(text):
        return Auth(bytes.fromhex(match[1]), _bytes(match[2], 32))
    if match := _GET.fullmatch(text):
        return Get(_bytes(match[1], 64))
    if text == "GO":
        return Go()
    if (match := _TALK.fullmatch(text)) and match[1] != "HERE":
        return (Sync if match[1] == "SYNC" else Tell)(_bytes(match[2], 32))
    raise BadLine("not a line of the conversation")


def parse_owner(line: bytes) -> Share | Ok | Err:
    """Read a line that an owner sent; raises `BadLine`."""
    text = _text(line)
    if match := _SHARE.fullmatch(text):
        return Share(_bytes(match[1], 32))
    if match := _OK.fullmatch(text):
        size, manifest = _number(match[2]), _number(match[3])
        if manifest > MAX_MANIFEST:
            raise BadLine("the manifest is too large")
        return Ok(_bytes(match[1], 64), size, manifest, match[4], match[5])
    if match := _ERR.fullmatch(text):
        return _err(match)
    raise BadLine("not a line of the conversation")


def parse_host(line: bytes) -> Here | Err:
    """Read what a node answered to SYNC or TELL; raises `BadLine`."""
    text = _text(line)
    if (match := _TALK.fullmatch(text)) and match[1] == "HERE":
        return Here(_bytes(match[2], 32))
    if match := _ERR.fullmatch(text):
        return _err(match)
    raise BadLine("not an answer to SYNC or TELL")
