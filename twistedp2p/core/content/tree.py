"""The content of an offer as a tree of hashes, so that each piece is checked as it comes.

::

    content   piece 0 | piece 1 | ... | piece n-1      each of one size, the last what is left
    hash      BLAKE3 of the piece                      32 bytes each, all of them: the list
    digest    "blake3:" and 64 hex digits of
                a file of one piece or none    BLAKE3 of its bytes, as b3sum says it
                all others                     BLAKE3, derive_key, "p2pshare/1 tree", of
                  size (8 bytes, big-endian) | piece size (8) | BLAKE3 of the manifest (32;
                  zeros where there is none) | the list

The digest stands in the offer, which its owner signs. Whoever has the list checks it against the
digest once, and each piece against the list, whoever sends it.

A list is never taken for a file: BLAKE3 sets other flags in every block of its derive_key mode
(its specification, section 2.3), so that an equal digest of both would be a collision. A manifest
is never empty, and the hash of none is 32 zeros, which nobody knows an input for.
"""

from __future__ import annotations

from functools import lru_cache

import attrs
from blake3 import blake3

PIECE_LEAST = 2**20  # bytes
MOST_PIECES = 65_536  # a list of 2 MiB
HASH_SIZE = 32  # bytes
ZEROS_MOST = 2**26  # bytes of a piece that is looked at for being all zeros: some 20 ms
CONTEXT = "p2pshare/1 tree"


class BadPiece(Exception):
    """A piece came whole, and its hash is not the one in the list."""


def piece_size(size: int) -> int:
    """Bytes of a piece of a content of `size` bytes: 1 MiB, or what makes 65,536 pieces at most."""
    piece = PIECE_LEAST
    while size > piece * MOST_PIECES:
        piece *= 2
    return piece


def piece_count(size: int) -> int:
    """How many pieces a content of `size` bytes has; none where there are no bytes."""
    return -(-size // piece_size(size))


def span(size: int, index: int) -> tuple[int, int]:
    """Where a piece begins, and its length, in bytes; raises IndexError beyond the last."""
    if not 0 <= index < piece_count(size):
        raise IndexError(index)
    piece = piece_size(size)
    return index * piece, min(piece, size - index * piece)


@lru_cache(maxsize=4)  # a content has pieces of two lengths
def _hash_of_zeros(length: int) -> bytes:
    made, some = blake3(), bytes(min(length, PIECE_LEAST))
    for at in range(0, length, PIECE_LEAST):
        made.update(some[: length - at])
    return made.digest()


@attrs.frozen
class Tree:
    """The hashes of a content of `size` bytes.

    `manifest` is a folder's list of files as it is sent, and empty for a plain file. `hashes` are
    those of the pieces, 32 bytes each, joined.
    """

    size: int  # bytes
    manifest: bytes = attrs.field(repr=False)
    hashes: bytes = attrs.field(repr=False)
    piece: int = attrs.field(init=False)  # bytes of each but the last
    digest: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "piece", piece_size(self.size))
        object.__setattr__(self, "digest", "blake3:" + self._root().hex())

    def _root(self) -> bytes:
        if self.count <= 1 and not self.manifest:
            return self.hashes or blake3().digest()
        listed = blake3(self.manifest).digest() if self.manifest else bytes(HASH_SIZE)
        root = blake3(derive_key_context=CONTEXT)
        root.update(self.size.to_bytes(8, "big") + self.piece.to_bytes(8, "big") + listed)
        root.update(self.hashes)
        return root.digest()

    @classmethod
    def read(cls, size: int, manifest: bytes, hashes: bytes, digest: str) -> Tree:
        """The tree that `digest` stands for; raises ValueError where these do not give it.

        A plain file of one piece needs no list: `hashes` may be empty then.
        """
        count = piece_count(size)
        if count == 1 and not hashes and not manifest:
            hashes = bytes.fromhex(digest.removeprefix("blake3:"))
        if size < 0 or len(hashes) != count * HASH_SIZE:
            raise ValueError("not the hashes of a content of that size")
        tree = cls(size, manifest, hashes)
        if tree.digest != digest:
            raise ValueError("not the hashes of that digest")
        return tree

    @property
    def text(self) -> bytes:
        """The manifest and the list, joined, as they are sent: up to 18 MiB, made at each call."""
        return self.manifest + self.hashes

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return piece_count(self.size)

    def span(self, index: int) -> tuple[int, int]:
        """As `span`."""
        return span(self.size, index)

    def length(self, pieces: bytes | bytearray) -> int:
        """The bytes of some pieces: 1 for each that counts, 0 for each that does not."""
        if not self.count:
            return 0
        last = self.span(self.count - 1)[1]
        return pieces.count(1) * self.piece - pieces[-1] * (self.piece - last)

    def is_zeros(self, index: int) -> bool:
        """Whether a piece is known to be all zeros; of one beyond `ZEROS_MOST` nothing is known."""
        length = self.span(index)[1]
        return length <= ZEROS_MOST and self.piece_hash(index) == _hash_of_zeros(length)

    def piece_hash(self, index: int) -> bytes:
        """What BLAKE3 makes of a piece: 32 bytes; raises IndexError beyond the last."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE]


class TreeHash:
    """Makes the tree of a content of `size` bytes from its bytes in their order."""

    def __init__(self, size: int) -> None:
        self.progress = 0  # bytes hashed
        self._size = size
        self._piece = piece_size(size)
        self._hashes: list[bytes] = []
        self._hash = blake3()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Hash what comes next, of any length; raises ValueError when it is more than `size`."""
        rest = memoryview(data)
        if self.progress + len(rest) > self._size:
            raise ValueError("more bytes than were announced")
        while rest:
            some = rest[: self._piece - self.progress % self._piece]
            self._hash.update(some)
            self.progress += len(some)
            if self.progress % self._piece == 0 or self.progress == self._size:
                self._hashes.append(self._hash.digest())
                self._hash = blake3()
            rest = rest[len(some) :]

    def finish(self, manifest: bytes = b"") -> Tree:
        """The tree; raises ValueError when fewer than `size` bytes came."""
        if self.progress != self._size:
            raise ValueError("fewer bytes than were announced")
        return Tree(self._size, manifest, b"".join(self._hashes))
