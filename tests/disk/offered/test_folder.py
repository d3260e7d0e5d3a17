"""Folders on offer: what is in them, read as one stream, and only while it is the same."""

import os
import socket
from array import array
from pathlib import Path

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from twistedp2p.core.content.manifest import Manifest
from twistedp2p.core.errors import ShareError
from twistedp2p.disk.below import Below
from twistedp2p.disk.offered import folder as offered_folder
from twistedp2p.disk.offered import read_content, scan
from twistedp2p.disk.offered.file import Changed
from twistedp2p.disk.offered.folder import (
    FolderIdentity,
    FolderReader,
    check_folder,
    open_same_folder,
    read_folder,
)
from twistedp2p.disk.offered.scan import Skipped

FILES = {"a.txt": b"alpha", "b/one": b"1" * 3000, "b/sub/two": b"2" * 5000, "empty": b"",
         "z": b"last"}  # fmt: skip
STREAM = b"".join(FILES.values())
SIZE = len(STREAM)


class FolderTests(SynchronousTestCase):
    def setUp(self):
        self.world = new_folder(self)
        self.folder = self.world / "album"
        for path, data in FILES.items():
            self.put(path, data)
        (self.folder / "nothing").mkdir()

    def put(self, path, data=b"x"):
        whole = self.folder / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(data)
        os.utime(whole, (1_000_000, 1_000_000))
        return whole

    def read(self, progress=lambda done, size: None, stopped=lambda: False):
        identity, tree, self.skipped = read_folder(self.folder, progress, stopped)
        return identity, tree, Manifest.read(tree.manifest)

    def paths(self):
        return [entry.path for entry in self.read()[2].entries]

    def refused(self, *arguments):
        return str(self.assertRaises(ShareError, self.read, *arguments))


class ScanTests(FolderTests):
    def test_all_that_is_in_it_is_found_and_hashed(self):
        identity, tree, manifest = self.read()
        self.assertEqual(
            [(entry.path, entry.size) for entry in manifest.entries],
            [("a.txt", 5), ("b/", 0), ("b/one", 3000), ("b/sub/", 0), ("b/sub/two", 5000),
             ("empty", 0), ("nothing/", 0), ("z", 4)],
        )  # fmt: skip
        self.assertEqual(manifest.entries[0].mtime, 1_000_000)
        self.assertEqual(tree.piece_hash(0), blake3(STREAM).digest())
        self.assertEqual((identity.paths, self.skipped), ({}, Skipped()))

    def test_an_empty_folder_is_offered(self):
        self.folder = self.world / "nothing in it"
        self.folder.mkdir()
        self.assertEqual(self.paths(), [])

    def test_a_folder_of_which_nothing_is_left_is_refused(self):
        links = self.world / "links"
        (links / "sub").mkdir(parents=True)
        (links / "link").symlink_to("/etc/passwd")
        for self.folder in (links, Path("/proc/self/fdinfo")):
            self.assertIn("can be offered", self.refused())

    def test_links_and_special_files_are_skipped_and_counted(self):
        """Attack 28: nothing outside the folder is offered."""
        (self.world / "secret").write_text("secret")
        (self.folder / "link").symlink_to(self.world / "secret")
        (self.folder / "up").symlink_to(self.world)
        (self.folder / "dangling").symlink_to("nowhere")
        os.mkfifo(self.folder / "pipe")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.folder / "socket"))
        before = len(self.paths())
        self.assertEqual(before, 8)
        self.assertEqual(self.skipped, Skipped(links=3, special=2))

    def test_the_memory_of_a_node_is_not_offered(self):
        """Attack 46: a home is offered, and the node's private key is in it."""
        self.put(".local/state/p2pshare/1/node.key")
        self.put(".local/state/p2pshare/1/group.db")
        paths = self.paths()
        self.assertEqual([path for path in paths if "p2pshare" in path], ["local/state/p2pshare/"])
        self.assertEqual(self.skipped, Skipped(special=1))
        self.folder /= ".local/state/p2pshare/1"
        self.assertIn("private key", self.refused())

    def test_what_tells_no_size_is_skipped_and_counted(self):
        """A file of /proc is of no size, and not empty."""
        real = os.pread
        asked = []

        def pread(descriptor, *arguments):
            asked.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            return b"x" if asked[-1].endswith("empty") else real(descriptor, *arguments)

        self.patch(os, "pread", pread)
        self.assertNotIn("empty", self.paths())
        self.assertEqual(self.skipped, Skipped(special=1))
        self.assertEqual([os.path.basename(path) for path in asked], ["empty"])

    def test_what_cannot_be_read_is_skipped_and_counted(self):
        (self.folder / "closed").mkdir()
        real_open, real_access = os.open, os.access

        def opened(path, *arguments, **more):
            if path == "closed":
                raise PermissionError(13, "Permission denied")
            return real_open(path, *arguments, **more)

        self.patch(os, "open", opened)
        self.patch(os, "access", lambda path, *a, **k: path != "z" and real_access(path, *a, **k))
        paths = self.paths()
        self.assertNotIn("z", paths)
        self.assertNotIn("closed/", paths)
        self.assertEqual(self.skipped, Skipped(unreadable=2))

    def test_names_are_sent_clean_and_no_two_alike(self):
        """Attack 26 and 30."""
        for path in (".hidden", "hidden", "A.txt", "B/three", ".git/config"):
            self.put(path)
        paths = self.paths()
        self.assertLessEqual(
            {"hidden", "hidden (2)", "git/config", "A.txt", "a (2).txt", "B/three", "b (2)/one"},
            set(paths),
        )
        self.assertFalse([path for path in paths if "/." in path or path[0] == "."])

    def test_names_that_are_no_text_are_offered(self):
        with open(os.fsencode(self.folder) + b"/caf\xe9.txt", "wb") as file:
            file.write(b"latin")
        identity, _, manifest = self.read()
        found = [entry.path for entry in manifest.entries if entry.path.startswith("caf")]
        self.assertEqual(len(found), 1)
        again = FolderIdentity.read(identity.write())
        self.assertEqual(again, identity)
        self.assertEqual(check_folder(str(self.folder), manifest, again), "")

    def test_of_a_watched_folder_some_names_are_left_out_at_any_depth(self):
        all_of_it = self.paths()
        self.put(".hidden"), self.put("new/deep/.git/config"), self.put("new/deep/a~")
        shared = read_content(str(self.folder), lambda *_: None, lambda: False, shared=True)
        paths = [entry.path for entry in shared.folder.manifest.entries]
        self.assertEqual(paths, sorted([*all_of_it, "new/", "new/deep/"]))
        self.assertEqual(len(self.paths()), len(paths) + 4)

    def test_an_unfinished_download_is_not_offered(self):
        self.put("." + "0" * 32 + ".part")
        self.assertEqual(len(self.paths()), 8)

    def test_too_much_is_refused(self):
        """Attack 31."""
        self.patch(scan, "MOST_ENTRIES", 7)
        self.assertIn("too much for one offer", self.refused())
        self.patch(scan, "MOST_ENTRIES", 8)
        self.read()
        self.patch(scan, "MOST_DEPTH", 2)
        self.assertIn("too much for one offer", self.refused())

    def test_progress_is_told_and_it_stops_when_asked(self):
        self.patch(offered_folder, "HASH_CHUNK", 4096)
        told = []
        self.read(lambda done, size: told.append((done, size)))
        self.assertEqual(told, [(4096, 8009), (8009, 8009)])
        self.assertIn("was stopped", self.refused(lambda *_: None, lambda: True))

    def test_what_changes_while_it_is_read_is_refused(self):
        """Attack 16."""
        self.patch(offered_folder, "HASH_CHUNK", 1024)
        for change in (lambda *_: self.put("z", b"more than it was"),
                       lambda *_: (self.folder / "z").unlink(missing_ok=True),
                       lambda *_: os.truncate(self.folder / "b/sub/two", 4000)):  # fmt: skip
            self.setUp()
            self.assertIn("changed while it was read", self.refused(change))

    def test_what_is_no_folder_is_refused(self):
        for path in (self.folder / "a.txt", self.folder / "missing", "a\0b"):
            self.folder = path
            self.assertIn("cannot be read", self.refused())

    def test_nothing_stays_open(self):
        before = len(os.listdir("/proc/self/fd"))
        self.read()
        self.refused(lambda *_: None, lambda: True)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class ReaderTests(FolderTests):
    def setUp(self):
        super().setUp()
        self.identity, _, self.manifest = self.read()

    def drain(self, offset=0, length=SIZE, most=1000):
        top = open_same_folder(str(self.folder), self.identity)
        reader = FolderReader(top, self.manifest, self.identity, offset, length)
        data, room = b"", memoryview(bytearray(most))
        try:
            while count := reader.readinto(room):
                data += bytes(room[:count])
        finally:
            reader.close()
            reader.close()
        return data

    def check(self):
        return check_folder(str(self.folder), self.manifest, self.identity)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, len(STREAM)), st.integers(0, len(STREAM)), st.integers(1, 9000))
    def test_it_gives_exactly_the_range_that_was_asked_for(self, offset, length, most):
        length = min(length, len(STREAM) - offset)
        self.assertEqual(self.drain(offset, length, most), STREAM[offset : offset + length])

    def test_of_many_small_files_some_are_read_at_once(self):
        """Attack 31: 100,000 of one byte, in the middle of everybody's turn."""
        for number in range(150):
            self.put(f"many/{number:03}", b"x")
        self.identity, _, self.manifest = self.read()
        opened, counts = [], []
        self.patch(offered_folder, "FILES_AT_ONCE", 40)
        self.patch(Below, "open", lambda *a, real=Below.open: opened.append(a) or real(*a))
        top = open_same_folder(str(self.folder), self.identity)
        reader = FolderReader(top, self.manifest, self.identity, 0, self.manifest.size)
        self.addCleanup(reader.close)
        room, data = memoryview(bytearray(100_000)), b""
        while count := reader.readinto(room):
            counts.append(len(opened))
            opened.clear()
            data += bytes(room[:count])
        self.assertEqual(counts, [40, 40, 40, 34])
        self.assertEqual(data, STREAM[:-4] + b"x" * 150 + b"last")

    def test_files_that_changed_grew_shrank_or_went_cut_it(self):
        """Attack 16."""
        for change in (lambda: os.utime(self.folder / "z"), lambda: self.put("z", b"longer"),
                       lambda: self.put("z", b"l"), lambda: (self.folder / "z").unlink(),
                       lambda: self.put("y", b"last").rename(self.folder / "z")):  # fmt: skip
            self.setUp()
            change()
            self.assertRaises(Changed, self.drain)
            self.assertEqual(self.drain(0, 5), b"alpha")
            self.assertIn("a file in it", self.check())

    def test_a_change_is_noticed_before_any_of_it_is_given(self):
        """Attack 16: while a file in it is read."""
        top = open_same_folder(str(self.folder), self.identity)
        reader = FolderReader(top, self.manifest, self.identity, 0, SIZE)
        self.addCleanup(reader.close)
        room = memoryview(bytearray(2))
        reader.readinto(room)
        self.assertEqual(bytes(room), b"al")
        os.utime(self.folder / "a.txt")
        self.assertRaises(Changed, reader.readinto, room)

    def test_links_put_into_it_are_not_followed(self):
        """Attack 28: in place of a file, of a folder in it, or of the folder."""
        (self.folder / "z").rename(self.world / "z")
        (self.folder / "z").symlink_to(self.world / "z")
        self.assertRaises(Changed, self.drain)
        self.setUp()
        (self.folder / "b").rename(self.world / "b")
        (self.folder / "b").symlink_to(self.world / "b")
        self.assertRaises(Changed, self.drain)
        self.setUp()
        self.folder.rename(self.world / "moved")
        self.folder.symlink_to(self.world / "moved")
        self.assertRaises(Changed, self.drain)
        self.assertIn("the folder", self.check())

    def test_another_folder_in_its_place_is_not_served(self):
        """Attack 28."""
        self.folder.rename(self.world / "moved")
        self.assertRaises(Changed, self.drain)
        self.folder.mkdir()
        self.assertRaises(Changed, self.drain)

    def test_a_folder_that_is_the_same_has_not_changed(self):
        self.put("new one")
        self.assertEqual(self.check(), "")
        self.assertEqual(self.drain(), STREAM)

    def test_an_identity_is_kept_and_read(self):
        kept = self.identity.write()
        self.assertEqual(FolderIdentity.read(kept), self.identity)
        for damaged in (b"", kept[:-1], kept + b"x", kept[:20]):
            self.assertRaises(ValueError, FolderIdentity.read, damaged)

    def test_an_identity_with_many_names_of_its_own_is_kept_and_read(self):
        count = 2 * offered_folder.PATHS_AT_ONCE + 1
        numbers = array("q", range(count)), array("Q", range(count))
        paths = {index: f"naïve\n{index}" for index in range(count)}
        identity = FolderIdentity(1, 2, *numbers, paths)
        self.assertEqual(FolderIdentity.read(identity.write()), identity)

    def test_only_a_few_are_open_at_once_and_none_after(self):
        before = len(os.listdir("/proc/self/fd"))
        top = open_same_folder(str(self.folder), self.identity)
        reader = FolderReader(top, self.manifest, self.identity, 0, len(STREAM))
        most, room = 0, memoryview(bytearray(10))
        while reader.readinto(room):
            most = max(most, len(os.listdir("/proc/self/fd")) - before)
        self.assertEqual(most, 4)
        reader.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
