"""The files and folders of a manifest, in columns."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.content.entries import Entries, Entry
from twistedp2p.core.content.manifest import BadManifest, Manifest

SOME = (Entry("a/", 0, 5), Entry("a/b", 7, 6), Entry("c", 0, 2**40))


class EntriesTests(SynchronousTestCase):
    def test_what_goes_in_comes_out(self) -> None:
        entries = Entries(SOME)
        self.assertEqual(SOME, tuple(entries))
        self.assertEqual(SOME, tuple(entries[index] for index in range(3)))
        self.assertEqual(SOME[1:], tuple(entries[1:]))
        self.assertEqual([0, 7, 0], list(entries.sizes))
        self.assertEqual((3, SOME[2]), (len(entries), entries[-1]))
        self.assertRaises(IndexError, lambda: entries[3])

    def test_they_are_the_same_where_all_is(self) -> None:
        self.assertEqual(Entries(SOME), Entries(SOME))
        self.assertNotEqual(Entries(SOME), Entries(SOME[1:]))
        self.assertNotEqual(Entries(SOME), SOME)

    def test_numbers_that_no_manifest_has(self) -> None:
        """Attack 18."""
        for size, mtime in ((-1, 0), (0, -1), (2**64, 0), (0, 2**64)):
            self.assertRaises(BadManifest, Manifest, [Entry("a", size, mtime)])

    def test_how_many_are_files_is_known(self) -> None:
        """To count them takes a thread's time, which the loop has not."""
        self.assertEqual(2, Manifest(SOME).files)

    def test_many_are_nothing_to_the_garbage_collector(self) -> None:
        """It would look at each, now and then, while every thread waits."""
        lines = "".join(f'["{number:06}",1,1]\n' for number in range(10_000))
        gc.collect()
        before = len(gc.get_objects())
        manifest = Manifest.read(f'["p2pshare/1 folder"]\n{lines}'.encode())
        self.assertEqual(10_000, len(manifest.entries))
        self.assertLess(len(gc.get_objects()) - before, 1000)
