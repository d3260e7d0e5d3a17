"""The tree of hashes: one digest for one content, and each piece checked by itself."""

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.content import tree as tree_module
from twistedp2p.core.content.tree import (
    MOST_PIECES,
    PIECE_LEAST,
    Tree,
    TreeHash,
    piece_size,
)

PIECE = 64  # bytes, in these tests
KNOWN_FILE = "blake3:16805c34de9eced664a8af76c27e63eaba34c9f45b690fdc7b5b86142771616f"
KNOWN_FOLDER = "blake3:bf2ba7f16a378ac569ce42e9cd7edb0101623301b48e29bc92863263ec52dafc"


def tree_of(data, manifest=b""):
    made = TreeHash(len(data))
    made.update(data)
    return made.finish(manifest)


class SizeTests(SynchronousTestCase):
    def test_pieces_are_as_small_as_their_number_allows(self):
        for size, piece in {
            0: 1, 1: 1, 2**20: 1, 2**36: 1, 2**36 + 1: 2, 10**11: 2, 2**40: 16, 2**53 - 1: 2**17
        }.items():  # fmt: skip
            self.assertEqual(piece_size(size), piece * PIECE_LEAST, size)

    @given(st.integers(0, 2**53 - 1))
    def test_there_are_never_more_than_the_most(self, size):
        piece = piece_size(size)
        self.assertLessEqual(-(-size // piece), MOST_PIECES)
        self.assertTrue(piece == PIECE_LEAST or size > piece // 2 * MOST_PIECES)


class TreeTests(SynchronousTestCase):
    @given(st.integers(0, 5 * PIECE), st.integers(0, 63))
    def test_the_length_of_some_pieces_is_that_of_each(self, size, which):
        tree = tree_of(bytes(size))
        some = bytes(which >> index & 1 for index in range(tree.count))
        lengths = [tree.span(index)[1] for index in range(tree.count) if some[index]]
        self.assertEqual(tree.length(some), sum(lengths))

    def setUp(self):
        self.patch(tree_module, "PIECE_LEAST", PIECE)

    def test_a_file_of_one_piece_has_the_digest_that_everybody_knows(self):
        for data in (b"", b"x", b"y" * PIECE):
            self.assertEqual(tree_of(data).digest, "blake3:" + blake3(data).hexdigest())

    def test_the_digest_of_several_pieces_is_as_documented(self):
        data, manifest = bytes(range(256)), b'["p2pshare/1 folder"]\n'
        hashes = b"".join(blake3(data[at : at + PIECE]).digest() for at in range(0, 256, PIECE))
        for listed, told in ((b"", bytes(32)), (manifest, blake3(manifest).digest())):
            content = (256).to_bytes(8, "big") + (PIECE).to_bytes(8, "big") + told + hashes
            root = blake3(content, derive_key_context="p2pshare/1 tree").hexdigest()
            self.assertEqual(tree_of(data, listed).digest, "blake3:" + root)

    def test_a_digest_once_given_is_given_for_ever(self):
        self.patch(tree_module, "PIECE_LEAST", 2**20)
        data = bytes(range(256)) * 8192 + b"end"
        self.assertEqual(
            [tree_of(data).digest, tree_of(b"ab", b"list").digest],
            [KNOWN_FILE, KNOWN_FOLDER],
        )

    @given(st.binary(max_size=1000), st.lists(st.integers(0, 300), max_size=20), st.binary())
    def test_it_is_the_same_however_the_bytes_come(self, data, cuts, manifest):
        made, at = TreeHash(len(data)), 0
        for cut in [*cuts, len(data)]:
            made.update(memoryview(data)[at : at + cut])
            at += cut
            self.assertEqual(made.progress, min(at, len(data)))
        tree = made.finish(manifest)
        self.assertEqual(tree, tree_of(data, manifest))
        self.assertEqual(Tree.read(len(data), manifest, tree.hashes, tree.digest), tree)

    @given(st.binary(max_size=1000))
    def test_pieces_cover_the_content_and_have_their_hashes(self, data):
        tree, whole = tree_of(data), b""
        for index in range(tree.count):
            offset, length = tree.span(index)
            self.assertEqual(offset, len(whole))
            whole += data[offset : offset + length]
            self.assertEqual(
                tree.piece_hash(index), blake3(data[offset : offset + length]).digest()
            )
        self.assertEqual(whole, data)
        for index in (-1, tree.count):
            self.assertRaises(IndexError, tree.span, index)
            self.assertRaises(IndexError, tree.piece_hash, index)

    @settings(max_examples=200)
    @given(st.binary(max_size=300), st.binary(max_size=300), st.binary(), st.binary())
    def test_another_content_has_another_digest(self, data, other, manifest, another):
        same = (data, manifest) == (other, another)
        self.assertEqual(tree_of(data, manifest).digest == tree_of(other, another).digest, same)

    def test_a_file_with_the_bytes_of_a_list_is_not_what_the_list_is_of(self):
        self.patch(tree_module, "PIECE_LEAST", 1024)
        tree = tree_of(b"z" * 3000)
        root = (3000).to_bytes(8, "big") + (1024).to_bytes(8, "big") + bytes(32) + tree.hashes
        self.assertNotEqual(tree_of(root).digest, tree.digest)

    def test_more_or_less_than_was_announced_is_refused(self):
        made = TreeHash(PIECE + 1)
        made.update(bytes(PIECE))
        self.assertRaises(ValueError, made.finish)
        self.assertRaises(ValueError, made.update, b"xx")
        made.update(b"x")
        self.assertEqual(made.finish().count, 2)

    def test_hashes_that_do_not_give_the_digest_are_refused(self):
        """Attack 17: of another size, number, order, or manifest; or resuming another file."""
        data = bytes(range(200))
        tree = tree_of(data)
        hashes = tree.hashes
        for size, manifest, wrong in (
            (199, b"", hashes), (201, b"", hashes), (2**53 - 1, b"", hashes), (-1, b"", b""),
            (200, b"m", hashes), (200, b"", hashes[:-1]), (200, b"", hashes + b"x"),
            (200, b"", hashes[32:] + hashes[:32]), (200, b"", b""), (200, b"", bytes(len(hashes))),
        ):  # fmt: skip
            self.assertRaises(ValueError, Tree.read, size, manifest, wrong, tree.digest)
        for digest in ("", "blake3:", "blake3:xyz", tree.digest.upper(), tree_of(b"").digest):
            self.assertRaises(ValueError, Tree.read, 200, b"", hashes, digest)

    def test_a_file_of_one_piece_needs_no_list(self):
        tree = tree_of(b"small")
        self.assertEqual(Tree.read(5, b"", b"", tree.digest), tree)
        for digest in ("blake3:00", "blake3:", "blake3:" + "é" * 64, "blake3:" + "A" * 64):
            self.assertRaises(ValueError, Tree.read, 5, b"", b"", digest)
        folder = tree_of(b"small", b"m")
        self.assertRaises(ValueError, Tree.read, 5, b"m", b"", folder.digest)
        self.assertRaises(ValueError, Tree.read, 0, b"", b"", folder.digest)
