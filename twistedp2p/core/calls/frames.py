"""The body of a file as sealed frames, beside TLS on the same TCP connection.

Once the conversation inside TLS has come to GO, what the owner sends is no TLS any more but::

    frame 0 | frame 1 | ... | frame n-1

    frame     sealed FRAME bytes of the file (the last frame: what is left), then a tag of 16 bytes
    key       32 bytes of the TLS exporter (RFC 8446, 7.5), label "EXPORTER-p2pshare-1-body",
              context: offer id (16 bytes) | offset (8, big-endian) | length (8)
    nonce     12 bytes: number of the frame, big-endian
    sealed    AES-256-GCM, or ChaCha20-Poly1305 where TLS agreed on that
    extra     1 byte of associated data: 1 for the last frame, else 0

Both ends know length and therefore every boundary; there is nothing to parse. A session, and so a
key, serves one body. TLS costs several times more here for the same protection, by its 16 KiB
records; the pattern is that of DTLS-SRTP (RFC 5764).
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

FRAME = 262_144  # bytes of the file in one frame
TAG = 16  # bytes
SEALED = FRAME + TAG  # bytes of a frame on the wire, but for the last
KEY = 32  # bytes
LABEL = b"EXPORTER-p2pshare-1-body"


class BadFrame(ValueError):
    """A frame that the owner of this session did not send at this place."""


def key_context(offer: bytes, offset: int, length: int) -> bytes:
    """What the exporter of the session is asked with: the body that the key is for."""
    return offer + struct.pack(">QQ", offset, length)


class Frames:
    """Seals or opens the frames of one body of `length` bytes, in order. `key` has 32 bytes."""

    def __init__(self, key: bytes, length: int, *, chacha: bool) -> None:
        self._cipher = ChaCha20Poly1305(key) if chacha else AESGCM(key)
        self._left = length
        self._number = 0

    @property
    def left(self) -> int:
        """Bytes of the file that are still to come."""
        return self._left

    @property
    def next_size(self) -> int:
        """Bytes of the file in the next frame; 0 after the last."""
        return min(FRAME, self._left)

    def _step(self, size: int) -> tuple[bytes, bytes]:
        """The nonce and the associated data of the next frame, which has `size` bytes."""
        nonce = self._number.to_bytes(12, "big")
        self._number += 1
        self._left -= size
        return nonce, b"\1" if self._left == 0 else b"\0"

    def seal(self, data: bytes | memoryview, into: memoryview) -> memoryview:
        """Seal the next frame into `into` (`SEALED` bytes or more); returns what of it is filled.

        `data` has `next_size` bytes. Raises `BadFrame` on any other size.
        """
        if not data or len(data) != self.next_size:
            raise BadFrame("a chunk of another size")
        nonce, extra = self._step(len(data))
        sealed = into[: len(data) + TAG]
        self._cipher.encrypt_into(nonce, data, extra, sealed)
        return sealed

    def open(self, frame: memoryview, into: memoryview) -> None:
        """Open the next frame into `into`, which has `next_size` bytes.

        Raises `BadFrame`, after which all is lost, and `into` holds nothing of any worth.
        """
        size = self.next_size
        if not size or len(frame) != size + TAG:
            raise BadFrame("a frame of another size")
        nonce, extra = self._step(size)
        try:
            self._cipher.decrypt_into(nonce, frame, extra, into)
        except InvalidTag as error:
            raise BadFrame("a frame that was not sealed here") from error
