"""All that a node has of all feeds, in 224 bytes: two nodes compare them to see who lacks what.

::

    summary   32 buckets, one after the other; a feed is in that of its key's first byte, mod 32
    bucket    sum (4 bytes, big-endian) | xor (3 bytes)

    sum       of all numbers up to which the bucket's feeds are here, mod 2^32
    xor       of the first 3 bytes of the feeds' hashes
    hash      BLAKE2b, 4 bytes, of key (32 bytes) | epoch | chat | offers (8 bytes, big-endian each)

A feed of which nothing is here counts for nothing. Equal buckets hold the same; of different ones
the sums tell, as serial numbers are compared (RFC 1982), which side lacks more.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from twistedp2p.core.feeds.feed import Feed, Have

BUCKETS = 32
HASH_SIZE = 4  # bytes
_BUCKET = struct.Struct(">I3s")
_ALL = struct.Struct(">" + "I3s" * BUCKETS)
_HASHED = struct.Struct(">32sQQQ")
SUMMARY_SIZE = BUCKETS * _BUCKET.size  # bytes
_WRAP = 1 << 32


def hash_of(have: Have) -> bytes:
    """What stands for (key, epoch, chat, offers) in a comparison: `HASH_SIZE` bytes."""
    packed = _HASHED.pack(have.origin, have.epoch, have.chat, have.offers)
    return blake2b(packed, digest_size=HASH_SIZE).digest()


def bucket_of(origin: bytes) -> int:
    """The bucket that a feed is in."""
    return origin[0] % BUCKETS


class Summary:
    """The buckets of one node. `packed` is always up to date."""

    __slots__ = ("packed",)

    def __init__(self) -> None:
        self.packed = bytearray(SUMMARY_SIZE)

    def update(self, feed: Feed) -> bool:
        """Count a feed as it is now instead of as it was; False when that is no change."""
        have = feed.whole()
        total = have.chat + have.offers
        counted = (total, int.from_bytes(hash_of(have)[:3], "big")) if total else (0, 0)
        return self._count(feed, counted)

    def drop(self, feed: Feed) -> None:
        """Count that feed no more."""
        self._count(feed, (0, 0))

    def _count(self, feed: Feed, counted: tuple[int, int]) -> bool:
        if counted == feed.counted:
            return False
        at = bucket_of(feed.origin) * _BUCKET.size
        old, xor = _BUCKET.unpack_from(self.packed, at)
        mixed = int.from_bytes(xor, "big") ^ feed.counted[1] ^ counted[1]
        total = (old + counted[0] - feed.counted[0]) % _WRAP
        _BUCKET.pack_into(self.packed, at, total, mixed.to_bytes(3, "big"))
        feed.counted = counted
        return True

    def bucket(self, index: int) -> bytes:
        """One bucket as it is now."""
        return bytes(self.packed[index * _BUCKET.size : (index + 1) * _BUCKET.size])

    def ahead(self, theirs: bytes) -> list[int]:
        """The buckets that differ and whose sum is not below ours: there we may lack something."""
        if theirs == self.packed:
            return []
        ours, others = _ALL.unpack(self.packed), _ALL.unpack(theirs)
        return [
            index // 2
            for index in range(0, 2 * BUCKETS, 2)
            if (ours[index] != others[index] or ours[index + 1] != others[index + 1])
            and (others[index] - ours[index]) % _WRAP < _WRAP // 2
        ]
