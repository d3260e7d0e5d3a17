"""Sealed frames beside TLS on the same TCP connection: what an owner answers.

Once the conversation inside TLS has come to GO, what the owner sends is no TLS any more but a
series of bodies (`pieces` says which), each of a length that both ends know::

    body      frame 0 | frame 1 | ...          nothing at all where its length is 0
    frame     sealed FRAME bytes of the body (its last frame: what is left), then a tag of 16 bytes;
              SMALL_FRAME where the content has SMALL bytes or less
    key       32 bytes of the TLS exporter (RFC 8446, 7.5), label "EXPORTER-p2pshare-1-body",
              context: offer id (16 bytes)
    nonce     12 bytes: number of the frame since GO, big-endian
    sealed    AES-256-GCM, or ChaCha20-Poly1305 where TLS agreed on that
    extra     1 byte of associated data: 1 for the last frame of a body, else 0

There is nothing to parse: every boundary is known. TLS costs several times more here for the same
protection, by its 16 KiB records; the pattern is that of DTLS-SRTP (RFC 5764).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

FRAME = 262_144  # bytes of the file in one frame
SMALL_FRAME = 65_536  # bytes
SMALL = 4_194_304  # bytes of a content, the largest that is small
TAG = 16  # bytes
SEALED = FRAME + TAG  # bytes of a frame on the wire, but for the last
KEY = 32  # bytes
LABEL = b"EXPORTER-p2pshare-1-body"


class BadFrame(ValueError):
    """A frame that the owner of this session did not send at this place."""


def frame_size(content: int) -> int:
    """The bytes of a body in one frame, for a content of that many bytes.

    Of small ones there may be many on their way at once, and each holds a part of a frame that the
    system has not taken yet; nor do they gain from larger frames.
    """
    return SMALL_FRAME if content <= SMALL else FRAME


class Frames:
    """Seals or opens the frames of one session, body after body. `key` has 32 bytes.

    `size`: bytes of a body in one frame, see `frame_size`.
    """

    def __init__(self, key: bytes, size: int = FRAME, *, chacha: bool) -> None:
        self._cipher = ChaCha20Poly1305(key) if chacha else AESGCM(key)
        self.size = size
        self._left = 0
        self._number = 0

    def begin(self, length: int) -> None:
        """The next body has `length` bytes. Raises `BadFrame` where another is not over."""
        if self._left:
            raise BadFrame("a body within a body")
        self._left = length

    @property
    def left(self) -> int:
        """Bytes of the body that are still to come."""
        return self._left

    @property
    def next_size(self) -> int:
        """Bytes of the body in the next frame; 0 after its last."""
        return min(self.size, self._left)

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
