"""The trees of own offers over restarts."""

import attrs

from tests.disk.fakes import SHARE, StoreTests
from twistedp2p.core.content.tree import PIECE_LEAST, TreeHash


def tree_of(data, manifest=b""):
    made = TreeHash(len(data))
    made.update(data)
    return made.finish(manifest)


def share_of(tree):
    return attrs.evolve(SHARE, size=tree.size, digest=tree.digest, manifest=len(tree.manifest))


class ContentTests(StoreTests):
    def test_a_tree_is_there_after_a_restart(self):
        for tree in (tree_of(bytes(2 * PIECE_LEAST + 1)), tree_of(b"small", b"manifest")):
            share = share_of(tree)
            self.store.put_share(share)
            self.store.put_tree(share.name, tree, b"identity")
            store = self.reopen()
            self.assertEqual(store.tree(share), tree)
            self.assertEqual(store.folder(share), (tree, b"identity"))

    def test_what_an_earlier_version_offered_is_to_be_read_anew(self):
        small, large = tree_of(b"small"), tree_of(bytes(PIECE_LEAST + 1))
        self.store.put_share(share_of(large))
        self.assertIsNone(self.store.tree(share_of(large)))
        self.assertEqual(self.store.tree(share_of(small)), small)
        self.assertRaises(ValueError, self.store.folder, share_of(large))

    def test_what_is_not_that_of_the_offer_is_to_be_read_anew(self):
        """Attack 16: the file was offered again meanwhile."""
        self.store.put_tree(SHARE.name, tree_of(bytes(PIECE_LEAST + 1)))
        self.assertIsNone(self.store.tree(share_of(tree_of(b"x" * (PIECE_LEAST + 1)))))

    def test_a_folder_of_which_nothing_is_kept_is_not_taken_for_a_file(self):
        tree = tree_of(b"small", b"manifest")
        self.store.put_share(share_of(tree))
        self.assertEqual(self.store.without_tree(), {SHARE.name})
        self.assertIsNone(self.store.tree(share_of(tree)))
        self.store.put_tree(SHARE.name, tree)
        self.assertEqual(self.store.without_tree(), set())

    def test_it_goes_with_the_offer(self):
        tree = tree_of(b"small", b"manifest")
        self.store.put_share(share_of(tree))
        self.store.put_tree(SHARE.name, tree, b"identity")
        self.store.drop_share(SHARE.name)
        self.assertEqual((self.rows("shares"), self.rows("contents")), (0, 0))
