"""Which pieces somebody has, in three ways of writing.

::

    to say it            a bitmap       bit 7 of byte 0 is piece 0, bits that are left over are 0
    to look one up       bytes          a byte for each piece, 1 or 0
    to reckon with all   a number       bit 0, of value 1, is piece 0

Each becomes another through the digits 0 and 1, by what Python does in C: 65,536 pieces take
microseconds.
"""

from __future__ import annotations

_TO_DIGITS = bytes(48 + bool(byte) for byte in range(256))
_FROM_DIGITS = bytes.maketrans(b"01", b"\0\1")


def bitmap_size(count: int) -> int:
    """Bytes of a bitmap of `count` pieces."""
    return -(-count // 8)


def to_bitmap(have: bytes | bytearray) -> bytes:
    """The bitmap of `have`, a byte for each piece, not 0 for what is there."""
    size = bitmap_size(len(have))
    text = have.translate(_TO_DIGITS).ljust(size * 8, b"0")
    return int(text or b"0", 2).to_bytes(size, "big")


def from_bitmap(bitmap: bytes, count: int) -> bytearray:
    """A byte for each of `count` pieces, 1 or 0; raises ValueError on what is no such bitmap."""
    if len(bitmap) != bitmap_size(count):
        raise ValueError("a bitmap of another size")
    text = format(int.from_bytes(bitmap, "big"), f"0{len(bitmap) * 8}b").encode() if bitmap else b""
    if b"1" in text[count:]:
        raise ValueError("pieces that there are not")
    return bytearray(text[:count].translate(_FROM_DIGITS))


def to_number(have: bytes | bytearray) -> int:
    """The number of `have`, a byte for each piece, not 0 for what is there."""
    return int(have[::-1].translate(_TO_DIGITS), 2) if have else 0


def from_number(pieces: int, count: int) -> bytearray:
    """A byte for each of `count` pieces, 1 or 0; the number has none above them."""
    text = format(pieces, f"0{count}b").encode() if count else b""
    return bytearray(text[::-1].translate(_FROM_DIGITS))
