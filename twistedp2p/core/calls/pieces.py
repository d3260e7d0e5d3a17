"""What is asked for, and answered, once GO was said.

::

    client    ask | ask | ...         inside TLS, at any time
    owner     answer | answer | ...   in the order of the asks; each is a body (`frames`)

    ask       17 bytes, big-endian: kind (1) | a (8) | b (8); after NEXT follows a bitmap of the
              pieces that the client has, or has asked somebody for

    kind       a        b        answer
    1 BYTES    offset   length   those bytes of what is on offer, at least 1
    2 TREE     0        0        the manifest, then the hashes of all pieces, 32 bytes each
    3 HAVE     0        0        a bitmap of the pieces that are there
    4 NEXT     0        0        8 bytes, the number of a piece that the client lacks; and, as a
                                 body of its own, that piece. Where there is none: 2^64 - 1 alone
    5 PEERS    port     0        1,024 bytes: [[host, port], ...], others who have pieces, as JSON,
                                 filled up with spaces; `port`: where the client serves pieces, or 0

Hosts are IP addresses, ports are TCP's and at least 1,024: at others there is no node.

Bit 7 of byte 0 of a bitmap is piece 0; the bits that are left over are 0. Who says anything else,
asks for what is not there, or leaves more than `MAX_WAITING` asks waiting, is cut off.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence

import attrs

from twistedp2p.core.calls.lines import MAX_SIZE
from twistedp2p.core.content.tree import HASH_SIZE, piece_count
from twistedp2p.core.presence.addresses import Address, read_host
from twistedp2p.core.swarm.bitmap import bitmap_size

BYTES, TREE, HAVE, NEXT, PEERS = range(1, 6)  # kinds
ASK = struct.Struct(">BQQ")
NUMBER = struct.Struct(">Q")
NONE = 2**64 - 1  # instead of the number of a piece
PEERS_SIZE = 1024  # bytes
MAX_PEERS = 16  # in an answer
MAX_WAITING = 64  # asks of one connection
PORTS = range(1024, 65_536)  # where nodes are


class BadAsk(ValueError):
    """What no client of ours asks."""


@attrs.frozen
class Ask:
    """One ask; `have` is the bitmap of NEXT."""

    kind: int
    a: int = 0
    b: int = 0
    have: bytes = b""

    def write(self) -> bytes:
        """The bytes on the wire."""
        return ASK.pack(self.kind, self.a, self.b) + self.have


@attrs.frozen
class Extent:
    """What there is to ask for, as the OK says."""

    size: int  # bytes
    manifest: int  # bytes

    @property
    def bitmap(self) -> int:
        """Bytes of a bitmap of all its pieces."""
        return bitmap_size(piece_count(self.size))

    def check(self, ask: Ask) -> None:
        """Raises `BadAsk` where that is not there to be asked for."""
        if ask.kind == BYTES:
            if not ask.b or ask.a + ask.b > self.size:
                raise BadAsk("bytes that are not there")
        elif ask.b or (ask.a and not (ask.kind == PEERS and ask.a in PORTS)):
            raise BadAsk("what is nowhere described")
        elif ask.kind == NEXT and not self.size:
            raise BadAsk("pieces of nothing")
        elif ask.kind not in (TREE, HAVE, NEXT, PEERS):
            raise BadAsk("an unknown kind")

    def answer_size(self, ask: Ask) -> int:
        """Bytes of the (first) body that answers `ask`."""
        if ask.kind == BYTES:
            return ask.b
        if ask.kind == TREE:
            return self.manifest + HASH_SIZE * piece_count(self.size)
        if ask.kind == HAVE:
            return self.bitmap
        return NUMBER.size if ask.kind == NEXT else PEERS_SIZE


class AskReader:
    """Reads the asks of one connection, however they come."""

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._data = bytearray()

    def received(self, data: bytes) -> Iterator[Ask]:
        """What `data` completes; raises `BadAsk`."""
        self._data += data
        while len(self._data) >= ASK.size:
            ask = Ask(*ASK.unpack_from(self._data))
            self._extent.check(ask)
            end = ASK.size + (self._extent.bitmap if ask.kind == NEXT else 0)
            if len(self._data) < end:
                return
            have = bytes(self._data[ASK.size : end])
            del self._data[:end]
            yield attrs.evolve(ask, have=have)


def write_peers(peers: Sequence[Address]) -> bytes:
    """The answer to PEERS: as many of them as there is room for."""
    rows = [[host, port] for host, port in peers[:MAX_PEERS]]
    while len(text := json.dumps(rows, separators=(",", ":")).encode()) > PEERS_SIZE:
        rows.pop()
    return text.ljust(PEERS_SIZE)


def read_peers(data: bytes) -> list[Address]:
    """Read the answer to PEERS; raises ValueError."""
    try:
        rows = json.loads(data)
    except RecursionError:
        raise ValueError("no list of peers") from None
    if not isinstance(rows, list) or len(rows) > MAX_PEERS:
        raise ValueError("no list of peers")
    peers = []
    for row in rows:
        match row:
            case [str(host), int(port)] if port in PORTS:
                peers.append((read_host(host), port))
            case _:
                raise ValueError("no list of peers")
    return peers


def piece_number(data: bytes) -> int | None:
    """Read the first body that answers NEXT; None where there is no piece."""
    number = int(NUMBER.unpack(data)[0])
    if number == NONE:
        return None
    if number > MAX_SIZE:
        raise ValueError("no piece has that number")
    return number
