"""Downloads of folders: made below one folder, whole or in part, and never outside."""

import errno
import os
import random
import stat
import time
from pathlib import Path

from tests.disk.downloads.test_download import DATA, PIECE, DownloadTests, put, tree_of
from tests.disk.fakes import begin, pieces_lacking
from twistedp2p.core.content.manifest import BadManifest, Entry, Manifest
from twistedp2p.core.content.tree import TreeHash
from twistedp2p.core.names import clean_name
from twistedp2p.disk.below import Below
from twistedp2p.disk.downloads import folder_part
from twistedp2p.disk.downloads.download import Download
from twistedp2p.disk.downloads.taking import LEFT_AFTER, remove_left

SIZES = {"a.txt": 5, "empty": 0, "new/": 0, "new/sub/": 0, "new/sub/big.bin": 3 * PIECE + 7,
         "photos/1.jpg": 100, "photos/2.jpg": PIECE, "photos/3.jpg": 0,
         "z.bin": 2 * PIECE}  # fmt: skip
ENTRIES = tuple(Entry(path, size, 1000 + at) for at, (path, size) in enumerate(SIZES.items()))
MANIFEST = Manifest(ENTRIES)
STREAM = random.Random(3).randbytes(MANIFEST.size)
PIECES = -(-len(STREAM) // PIECE)


def content_of(path):
    starts = dict(
        zip(SIZES, (sum(list(SIZES.values())[:n]) for n in range(len(SIZES))), strict=True)
    )
    return STREAM[starts[path] : starts[path] + SIZES[path]]


class FolderTests(DownloadTests):
    def begin(self, name="album", wanted=None, manifest=MANIFEST, stream=STREAM, **more):
        made = TreeHash(len(stream))
        made.update(stream)
        self.tree = made.finish(manifest.write())
        download = begin(self.folder, name, self.tree, wanted, **more)
        self.addCleanup(download.discard)
        return download

    def download(self, name="album", **more):
        download = self.begin(name, **more)
        put(download, STREAM, pieces_lacking(download))
        return download.finish()

    def below(self, path):
        """Every path below, folders with a "/", as they are."""
        return sorted(
            str(found.relative_to(path)) + ("/" if found.is_dir() else "")
            for found in Path(path).rglob("*")
        )

    def part_path(self):
        (path,) = [path for path in self.folder.iterdir() if path.name.endswith(".part")]
        return path


class WholeFolderTests(FolderTests):
    def test_a_folder_comes_with_all_that_is_in_it(self):
        path = self.download()
        self.assertEqual(path, self.folder / "album")
        self.assertEqual(self.below(path), sorted([*SIZES, "photos/"]))
        for entry in ENTRIES:
            found = path / entry.path
            self.assertEqual(found.stat().st_mtime, entry.mtime, entry.path)
            if not entry.is_folder:
                self.assertEqual(found.read_bytes(), content_of(entry.path))
                self.assertEqual(stat.S_IMODE(found.stat().st_mode), 0o644)
            else:
                self.assertEqual(stat.S_IMODE(found.stat().st_mode), 0o755)
        self.assertEqual(self.listing(), ["album"])

    def test_modes_are_as_the_umask_says(self):
        """Attack 26."""
        os.umask(0o077)
        path = self.download()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((path / "new/sub").stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((path / "new/sub/big.bin").stat().st_mode), 0o600)

    def test_until_then_it_is_hidden_and_private(self):
        download = self.begin()
        put(download, STREAM, [3, 0])
        self.assertEqual(stat.S_IMODE(self.part_path().stat().st_mode), 0o700)
        self.assertEqual(self.part_path().name[0], ".")

    def test_pieces_come_in_any_order_and_are_read_back(self):
        download = self.begin()
        for index in random.Random(4).sample(range(PIECES), PIECES):
            put(download, STREAM, [index])
            offset, length = download.tree.span(index)
            room = bytearray(length)
            self.assertEqual(download.readinto(offset, memoryview(room)), length)
            self.assertEqual(room, STREAM[offset : offset + length])

    def test_the_second_is_found_again_where_the_first_is_gone(self):
        first, second = self.begin(), self.begin()
        put(second, STREAM, [0])
        first.discard()
        self.assertTrue(second.keep())
        self.assertEqual(self.listing(), [self.part_path().name])
        self.assertEqual(sum(self.begin().have), 1)

    def test_an_empty_folder_is_a_folder(self):
        download = self.begin(manifest=Manifest(()), stream=b"")
        self.assertEqual(self.below(download.finish()), [])
        nothing = Manifest((Entry("a/", 0, 1), Entry("b", 0, 2)))
        path = self.begin(manifest=nothing, stream=b"").finish()
        self.assertEqual((path.name, self.below(path)), ("album (2)", ["a/", "b"]))

    def test_nothing_stays_open(self):
        before = self.open_files()
        whole = self.begin()
        put(whole, STREAM)
        whole.finish()
        whole.keep()
        for end in (Download.discard, Download.keep):
            download = self.begin()
            put(download, STREAM, [0])
            end(download)
        self.assertEqual(self.open_files(), before)

    def test_discarding_removes_all_of_it(self):
        download = self.begin()
        put(download, STREAM)
        download.discard()
        self.assertEqual(self.listing(), [])

    def test_a_full_disk_is_said_and_what_is_verified_stays(self):
        """Attack 31."""
        download = self.begin()
        put(download, STREAM, range(2))
        patched = self.refuse("pwrite", errno.ENOSPC)
        self.assertIn("The disk is full: album", self.refused(download.write, 2, 0, b"x"))
        patched.restore()
        download.keep()
        self.assertEqual(sum(self.begin().have), 2)

    def test_many_small_files_need_room_for_a_block_each(self):
        """Attack 31."""
        self.patch(folder_part, "BLOCK", 2**60)
        self.assertIn("not enough room", self.refused(self.begin))
        self.assertEqual(self.listing(), [])

    def test_a_bad_manifest_is_none(self):
        made = TreeHash(0).finish(b"bad")
        before = self.open_files()
        self.assertRaises(BadManifest, Download, self.folder, "a", made)
        self.assertEqual((self.listing(), self.open_files()), ([], before))

    def test_a_manifest_of_another_size_is_none(self):
        """Attack 18: files that would stay short, or pieces that belong to no file."""
        for size in (1, 3, 2**50):
            made = TreeHash(2)
            made.update(b"ab")
            tree = made.finish(Manifest((Entry("a", size, 0),)).write())
            for wanted in (None, ["a"]):
                self.assertRaises(BadManifest, Download, self.folder, "a", tree, wanted)
        self.assertEqual(self.listing(), [])


class PartOfAFolderTests(FolderTests):
    def test_only_what_is_wanted_is_made(self):
        for wanted, paths in {
            ("photos",): ["photos/", "photos/1.jpg", "photos/2.jpg", "photos/3.jpg"],
            ("photos/1.jpg", "empty"): ["empty", "photos/", "photos/1.jpg"],
            ("new/",): ["new/", "new/sub/", "new/sub/big.bin"],
            ("photos/3.jpg",): ["photos/", "photos/3.jpg"],
        }.items():  # fmt: skip
            path = self.download(wanted=wanted)
            self.assertEqual(self.below(path), paths)
            for name in paths:
                if not name.endswith("/"):
                    self.assertEqual((path / name).read_bytes(), content_of(name))

    def test_only_pieces_that_hold_some_of_it_are_needed(self):
        start = 5 + 3 * PIECE + 7
        download = self.begin(wanted=["photos/1.jpg"])
        self.assertEqual(pieces_lacking(download), [start // PIECE])
        self.assertEqual(pieces_lacking(self.begin(wanted=["empty"])), [])
        self.assertEqual(pieces_lacking(self.begin(wanted=[])), [])
        self.assertEqual(len(pieces_lacking(self.begin(wanted=["z.bin"]))), 3)

    def test_a_cut_one_goes_on_and_hands_whole_pieces_on(self):
        download = self.begin(wanted=["photos"])
        needed = pieces_lacking(download)
        put(download, STREAM, needed[:1])
        download.keep()
        download = self.begin(wanted=["photos"])
        self.assertEqual(pieces_lacking(download), needed[1:])
        offset, length = download.tree.span(needed[0])
        room = bytearray(length)
        self.assertEqual(download.readinto(offset, memoryview(room)), length)
        self.assertEqual(room, STREAM[offset : offset + length])

    def test_another_choice_takes_nothing_over(self):
        download = self.begin(wanted=["photos"])
        put(download, STREAM, pieces_lacking(download))
        download.keep()
        self.assertEqual(self.below(self.download(wanted=["z.bin"])), ["z.bin"])

    def test_what_is_not_there_is_not_begun(self):
        before = self.open_files()
        error = self.assertRaises(LookupError, self.begin, wanted=["a.txt", "nowhere"])
        self.assertEqual(error.args, ("nowhere",))
        self.assertEqual((self.listing(), self.open_files()), ([], before))


class ResumeFolderTests(FolderTests):
    def cut(self, pieces):
        download = self.begin()
        put(download, STREAM, pieces)
        download.keep()

    def test_what_was_verified_is_taken_over(self):
        self.cut([0, 2, 5])
        download = self.begin()
        self.assertEqual([n for n in range(PIECES) if download.have[n]], [0, 2, 5])
        put(download, STREAM, pieces_lacking(download))
        path = download.finish()
        self.assertEqual((path / "z.bin").read_bytes(), content_of("z.bin"))
        self.assertEqual(self.listing(), ["album"])

    def test_what_was_half_written_or_changed_is_found_out(self):
        """Attack 17."""
        self.cut(range(PIECES))
        with (self.part_path() / "photos/1.jpg").open("r+b") as file:
            file.write(b"\0\0")
        os.truncate(self.part_path() / "z.bin", 2 * PIECE - 1)
        (self.part_path() / "a.txt").write_bytes(content_of("a.txt") + b"more")
        download = self.begin()
        self.assertEqual(pieces_lacking(download), [0 + 3, PIECES - 1])
        put(download, STREAM)
        path = download.finish()
        for name, size in SIZES.items():
            if size:
                self.assertEqual((path / name).read_bytes(), content_of(name))

    def test_what_is_not_of_it_goes(self):
        """Attack 17: files, folders with what is in them, and a folder in the place of a file."""
        for wanted in (None, ["photos/1.jpg", "new"]):
            download = self.begin(wanted=wanted)
            put(download, STREAM, needed := pieces_lacking(download))
            download.keep()
            part = self.part_path()
            (part / "extra").write_text("mine")
            (part / "photos/.rest").write_text("mine")
            (part / "new/evil/deep").mkdir(parents=True)
            (part / "new/evil/deep/link").symlink_to(self.world)
            (part / "new/evil/file").write_text("mine")
            (part / "photos/1.jpg").unlink()
            (part / "photos/1.jpg/in").mkdir(parents=True)
            download = self.begin(wanted=wanted)
            again = pieces_lacking(download)
            self.assertTrue(0 < len(again) < len(needed), "the others were kept")
            put(download, STREAM, again)
            path = download.finish()
            self.assertEqual(self.below(path), self.below(self.download("album", wanted=wanted)))
            self.assertEqual((path / "photos/1.jpg").read_bytes(), content_of("photos/1.jpg"))
        self.assertTrue(self.outside.exists())

    def test_a_disk_that_spells_names_otherwise_loses_nothing(self):
        self.cut([0])
        part = self.part_path()
        (part / "a.txt").rename(part / "A.TXT")
        self.begin().keep()
        self.assertIn("A.TXT", self.below(part))

    def test_only_one_uses_it_at_a_time(self):
        first = self.begin()
        put(first, STREAM, range(3))
        second = self.begin()
        self.assertEqual(sum(second.have), 0)
        put(second, STREAM)
        self.assertEqual(second.finish().name, "album")
        put(first, STREAM)
        self.assertEqual(first.finish().name, "album (2)")


class SafetyTests(FolderTests):
    def test_nothing_is_ever_replaced(self):
        """Attack 22 and 27: neither a file nor a folder, be it empty, nor a link."""
        (self.folder / "album").mkdir()
        (self.folder / "album (2)").write_text("mine")
        (self.folder / "album (3)").symlink_to(self.world / "nowhere")
        (self.folder / "album (4)").symlink_to(self.world)
        self.assertEqual(self.download().name, "album (5)")
        self.assertEqual(os.listdir(self.folder / "album"), [])
        self.assertEqual((self.folder / "album (2)").read_text(), "mine")

    def test_what_is_put_into_the_name_meanwhile_is_not_replaced(self):
        """Attack 27."""
        rename, done = os.rename, []

        def meanwhile(source, name, **more):
            if not done:
                done.append((self.folder / name / "mine").write_text("mine"))
            rename(source, name, **more)

        self.patch(os, "rename", meanwhile)
        self.assertEqual(self.download().name, "album (2)")
        self.assertEqual((self.folder / "album/mine").read_text(), "mine")

    def test_a_name_that_could_not_be_given_is_not_left_empty(self):
        self.refuse("rename", errno.EIO)
        self.assertIn("Input/output error", self.refused(self.download))
        self.assertEqual(self.listing(), [self.part_path().name])

    def test_a_name_never_chooses_the_folder(self):
        """Attack 21."""
        for name in ("../album", "/etc", ".ssh", "CON", ".."):
            path = self.download(name)
            self.assertEqual(path.parent, self.folder)
            self.assertIn(clean_name(name), path.name)

    def test_no_link_below_is_followed(self):
        """Attack 23: in place of a folder or a file, in what is taken over."""
        for put_there in (lambda part: (part / "photos").symlink_to(self.world),
                          lambda part: (part / "z.bin").symlink_to(self.outside)):  # fmt: skip
            download = self.begin()
            put(download, STREAM, [0])
            put_there(self.part_path())
            self.refused(put, download, STREAM)
            download.discard()

    def test_a_file_below_with_another_name_too_is_never_written_to(self):
        """Attack 23: neither one that was left there, nor one that is put there meanwhile."""
        before = self.outside.read_bytes()
        for path in ("z.bin", "photos/1.jpg", "empty"):
            download = self.begin()
            put(download, STREAM, [0])
            there = self.part_path() / path
            there.parent.mkdir(exist_ok=True)
            there.unlink(missing_ok=True)
            os.link(self.outside, there)
            self.assertIn("somebody else", self.refused(self.fill, download))
            download.keep()
            self.assertEqual(self.outside.read_bytes(), before)
        (self.part_path() / "a.txt").unlink()
        (self.part_path() / "a.txt").symlink_to(self.outside)
        (self.part_path() / "to a folder").symlink_to(self.world)
        path = self.download()
        self.assertEqual(self.outside.read_bytes(), before)
        self.assertEqual(self.outside.stat().st_nlink, 1)
        self.assertNotIn("to a folder", self.below(path))
        for name, size in SIZES.items():
            if size:
                self.assertEqual((path / name).read_bytes(), content_of(name))

    def fill(self, download):
        put(download, STREAM, pieces_lacking(download))
        download.finish()

    def test_a_link_or_a_file_in_place_of_the_part_is_left_alone(self):
        """Attack 23."""
        self.begin().keep()
        name = "." + self.tree.digest[7:39] + ".part"
        for make in (lambda path: path.symlink_to(self.world), lambda path: path.write_text("x")):
            make(self.folder / name)
            self.download()
            self.assertIn(name, self.listing())
            (self.folder / name).unlink()

    def test_discarding_leaves_what_links_lead_to(self):
        """Attack 24."""
        download = self.begin()
        put(download, STREAM, [0])
        (self.part_path() / "to a folder").symlink_to(self.world)
        (self.part_path() / "to a file").symlink_to(self.outside)
        os.link(self.outside, self.part_path() / "second name")
        download.discard()
        self.assertEqual(self.listing(), [])

    def test_another_folder_in_place_of_the_part_is_neither_named_nor_removed(self):
        """Attack 24 and 31."""
        download = self.begin()
        put(download, STREAM)
        part = self.part_path()
        part.rename(self.folder / "away")
        part.mkdir()
        (part / "mine").write_text("mine")
        self.assertIn("somebody else", self.refused(download.finish))
        download.discard()
        self.assertEqual(self.listing(), [part.name, "away"])
        self.assertEqual((part / "mine").read_text(), "mine")


class BelowTests(FolderTests):
    def test_neighbours_are_opened_without_the_way_there(self):
        top = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, top)
        opened, real = [], os.open
        before = self.open_files()
        self.patch(os, "open", lambda path, *a, **k: opened.append(path) or real(path, *a, **k))
        with Below(top, make=True) as below:
            for path in ("a/b/1", "a/b/2", "a/3", "a/b/4", "5", "a/6"):
                os.close(below.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self.assertEqual(below.status("a/b/1").st_size, 0)
        self.assertEqual([name for name in opened if name.isdigit()], list("123456"))
        self.assertEqual(len(opened), 6 + 2 * 2 + 1 + 1 + 1)
        self.assertEqual(self.open_files(), before)

    def test_what_is_not_there_is_not_made_unless_asked(self):
        top = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, top)
        with Below(top) as below:
            self.assertRaises(FileNotFoundError, below.open, "a/1", os.O_CREAT)
            self.assertEqual(below.folder(""), top)
        self.assertEqual(self.listing(), [])


class LeftTests(FolderTests):
    """Attack 24: cleaning up never removes anything but what a killed node of ours left."""

    NAME = ".0123456789abcdef.part"

    def remove(self, folder=None):
        remove_left(folder or self.folder, self.now)

    def left(self, name=NAME):
        path = self.folder / name
        path.write_bytes(b"half")
        self.now = path.lstat().st_mtime + LEFT_AFTER + 1
        return path

    def test_what_was_left_goes(self):
        """Attack 24: files, those of earlier versions, and folders."""
        put(self.begin(), STREAM, [0, 4])
        taken = begin(self.folder, "a", tree_of(DATA))
        put(taken, DATA, [0])
        self.left()
        self.now = time.time() + LEFT_AFTER + 60
        self.remove()
        self.assertEqual(len(self.listing()), 2, "they are in use")
        taken.discard()
        self.doCleanups()
        self.setUp()
        put(begun := self.begin(), STREAM, [0, 4])
        begun.keep()
        taken = begin(self.folder, "a", tree_of(DATA))
        put(taken, DATA, [0])
        taken.keep()
        self.now = time.time() + LEFT_AFTER - 60
        self.remove()
        self.assertEqual(len(self.listing()), 2, "they may go on")
        self.now += 120
        self.remove()
        self.assertEqual(self.listing(), [])

    def test_what_is_being_written_stays(self):
        """Attack 24: another node may download to the same folder."""
        self.left()
        self.now -= 2
        self.remove()
        self.assertEqual(self.listing(), [self.NAME])

    def test_other_names_stay(self):
        """Attack 24."""
        names = ["a.part", ".a.part", self.NAME[1:], self.NAME.upper(), self.NAME + "x",
                 "x" + self.NAME, ".0123456789abcde.part", self.NAME + "\n"]  # fmt: skip
        for name in names:
            self.left(name)
        self.remove()
        self.assertEqual(self.listing(), sorted(names))

    def test_pipes_links_and_what_has_another_name_too_stay(self):
        """Attack 24."""
        first, second, third = (f".{n}123456789abcdef.part" for n in "abc")
        os.link(self.left(first), self.folder / "kept")
        os.mkfifo(self.folder / second)
        (self.folder / third).symlink_to(self.outside)
        for name in (second, third):
            os.utime(self.folder / name, (0, 0), follow_symlinks=False)
        self.remove()
        self.assertEqual(self.listing(), sorted([first, second, third, "kept"]))

    def test_what_belongs_to_somebody_else_stays(self):
        """Attack 24."""
        self.left()
        uid = os.geteuid()
        self.patch(os, "geteuid", lambda: uid + 1)
        self.remove()
        self.assertEqual(self.listing(), [self.NAME])

    def test_a_folder_that_is_not_there_is_no_failure(self):
        self.now = 0.0
        self.remove(self.folder / "missing")
        self.remove(self.outside)

    def test_whether_anything_is_left_is_told(self):
        self.assertFalse(remove_left(self.folder, 0.0))
        path = self.left()
        self.assertTrue(remove_left(self.folder, self.now - 2))
        self.assertFalse(remove_left(self.folder, self.now))
        self.assertFalse(path.exists())
        self.assertTrue(remove_left(self.folder / "away", self.now))
