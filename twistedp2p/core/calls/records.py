"""Records: what SYNC and TELL are made of, inside TLS, once both ends have proved their group.

::

    record   length (2 bytes, big-endian, 0 to 1,200) | kind (1 byte) | content (length bytes)

    kind   name        content
    v      VECTOR      1 to 21 feeds of 56 bytes:
                       origin (32) | epoch (8) | chat (8) | offers (8), big-endian
    w      VECTOR_END  empty
    p      PEERS       1 or more: key (32) | UDP port (2) | file port (2) | n (1) | host (n bytes)
    e      ENTRY       the signed datagram of an entry, as it is
    s      SETTLED     one feed of 56 bytes
    t      TEXT        a part of a direct message, UTF-8
    z      END         empty
"""

from __future__ import annotations

import struct

from twistedp2p.core.datagrams.datagram import MAX_SENT

MAX_RECORD = MAX_SENT  # bytes of content
VECTOR, VECTOR_END, PEERS, ENTRY, SETTLED, TEXT, END = (ord(kind) for kind in "vwpestz")
_HEAD = struct.Struct(">HB")


class BadRecord(ValueError):
    """Bytes that are no record of ours, or a record with a content that it cannot have."""


def record(kind: int, content: bytes = b"") -> bytes:
    """One record; raises `BadRecord` when `content` has over `MAX_RECORD` bytes."""
    if len(content) > MAX_RECORD:
        raise BadRecord("a content that is too long")
    return _HEAD.pack(len(content), kind) + content


class Records:
    """Cuts a stream into records. `len` is how many bytes wait."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._buffer += data

    def next(self) -> tuple[int, bytes] | None:
        """The next record as (kind, content), or None as long as it is not whole.

        Raises `BadRecord` on one that says it is too long: the stream is lost then.
        """
        buffer = self._buffer
        if len(buffer) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack_from(buffer)
        if length > MAX_RECORD:
            raise BadRecord("a record that is too long")
        end = _HEAD.size + length
        if len(buffer) < end:
            return None
        content = bytes(buffer[_HEAD.size : end])
        del buffer[:end]
        return kind, content
