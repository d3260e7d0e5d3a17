"""Downloads: a hidden part file that becomes the file, or nothing, and never touches another."""

import errno
import io
import os
import stat
import subprocess
import zipfile
from unittest import SkipTest

from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.names import FILE_NAME_BYTES, clean_name
from twistedp2p.disk import parts
from twistedp2p.disk.parts import PartFile, numbered

DATA = b"the very bytes " * 700


def digest_of(data):
    return "blake3:" + blake3(data).hexdigest()


class PartTests(SynchronousTestCase):
    def setUp(self):
        # A world around the folder: nothing outside may change.
        self.world = new_folder(self)
        self.folder = self.world / "downloads"
        self.folder.mkdir()
        self.outside = self.world / "outside.txt"
        self.outside.write_text("precious")
        self.addCleanup(self.nothing_outside_has_changed)
        umask = os.umask(0o022)
        self.addCleanup(os.umask, umask)

    def nothing_outside_has_changed(self):
        self.assertEqual(self.outside.read_text(), "precious")
        self.assertEqual(sorted(os.listdir(self.world)), ["downloads", "outside.txt"])

    def part(self, name="a.jpg", data=DATA, digest=None, size=None):
        part = PartFile(
            self.folder, name, len(data) if size is None else size, digest or digest_of(data)
        )
        self.addCleanup(part.discard)
        return part

    def download(self, name="a.jpg", data=DATA):
        part = self.part(name, data)
        part.write(data)
        return part.finish()

    def listing(self):
        return sorted(os.listdir(self.folder))

    def refused(self, call, *arguments):
        error = self.assertRaises(ShareError, call, *arguments)
        self.assertNotIn("\n", str(error))
        self.assertNotIn("None", str(error))
        return str(error)

    def refuse(self, name, code):
        """Have a call of `os` fail; returns what undoes it."""

        def failing(*_, **__):
            raise OSError(code, os.strerror(code))

        return self.patch(os, name, failing)


class WholeTests(PartTests):
    def test_what_came_whole_gets_its_name(self):
        path = self.download()
        self.assertEqual((path, path.read_bytes()), (self.folder / "a.jpg", DATA))
        self.assertEqual(self.listing(), ["a.jpg"])

    def test_until_then_it_is_hidden_and_private(self):
        part = self.part()
        part.write(DATA)
        (name,) = self.listing()
        self.assertRegex(name, r"^\.[0-9a-f]{16}\.part$")
        self.assertEqual(stat.S_IMODE((self.folder / name).stat().st_mode), 0o600)

    def test_pieces_are_joined_whatever_their_kind(self):
        part = self.part()
        part.write(DATA[:1])
        part.write(memoryview(DATA)[1:100])
        part.write(b"")
        part.write(bytearray(DATA[100:]))
        self.assertEqual(part.finish().read_bytes(), DATA)

    def test_what_the_system_takes_in_pieces_is_written_whole(self):
        write = os.write
        self.patch(os, "write", lambda fd, data: write(fd, bytes(data[:7])))
        self.assertEqual(self.download().read_bytes(), DATA)

    def test_an_empty_file_is_a_file(self):
        self.assertEqual(self.download("empty", b"").read_bytes(), b"")

    def test_what_came_damaged_short_or_long_is_thrown_away(self):
        for came in (DATA[:-1], DATA + b"x", DATA[::-1], b""):
            part = self.part()
            part.write(came)
            error = self.assertRaises(ShareError, part.finish)
            self.assertEqual(error.code, Exit.DAMAGED)
            self.assertEqual(self.listing(), [])

    def test_a_right_digest_of_another_size_is_thrown_away(self):
        part = self.part(size=len(DATA) + 1)
        part.write(DATA)
        self.refused(part.finish)
        self.assertEqual(self.listing(), [])

    def test_a_discarded_part_leaves_nothing_and_may_be_discarded_again(self):
        before = len(os.listdir("/proc/self/fd"))
        part = self.part()
        part.write(DATA)
        part.discard()
        part.discard()
        self.assertEqual(self.listing(), [])
        self.refused(part.write, b"late")
        self.download()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_a_folder_that_is_not_there_or_is_none_is_said(self):
        for folder in (self.folder / "missing", self.outside):
            self.folder = folder
            said = self.refused(self.part)
            self.assertIn(f"a.jpg could not be written to {folder}", said)

    def test_a_part_that_somebody_removed_is_said(self):
        part = self.part()
        part.write(DATA)
        (self.folder / self.listing()[0]).unlink()
        self.assertIn("could not be written", self.refused(part.finish))
        self.assertEqual(self.listing(), [])


class NameTests(PartTests):
    def test_a_name_never_chooses_the_folder(self):
        r"""Attack 21: `../`, `..\`, absolute paths and drive letters lose all but the last part."""
        for name in ("../a.jpg", "../../outside.txt", "..\\a.jpg", "/etc/passwd", "\\\\host\\a.jpg",
                     "C:\\Windows\\a.jpg", "C:a.jpg", "..", ".", "/", "a/../../outside.txt",
                     "..%2fa.jpg", "sub/a.jpg", "\0/../a.jpg", "", "a\0.jpg", "a/.."):  # fmt: skip
            path = self.download(name)
            self.assertEqual(path.parent, self.folder)
            self.assertIn(path.name, self.listing())
            self.assertTrue(path.is_file(), name)

    def test_no_dotfile_is_made_and_nothing_is_executable(self):
        """Attack 26: whatever the umask."""
        for name in (".bashrc", "..profile", ".ssh/authorized_keys", "-rf", "~x", "run.sh"):
            for umask in (0, 0o022, 0o077):
                os.umask(umask)
                path = self.download(name)
                self.assertNotIn(path.name[0], ".-~")
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644 & ~umask, name)

    def test_an_unknown_umask_keeps_the_file_private(self):
        self.patch(parts, "umask", lambda: 0o077)
        self.assertEqual(stat.S_IMODE(self.download().stat().st_mode), 0o600)

    def test_an_existing_file_is_never_overwritten(self):
        """Attack 27: the second is `a (2).jpg`."""
        (self.folder / "a.jpg").write_text("mine")
        self.assertEqual(self.download().name, "a (2).jpg")
        self.assertEqual(self.download().name, "a (3).jpg")
        self.assertEqual((self.folder / "a.jpg").read_text(), "mine")
        self.assertEqual(self.listing(), ["a (2).jpg", "a (3).jpg", "a.jpg"])

    def test_a_file_that_appears_during_the_download_is_not_overwritten(self):
        """Attack 27."""
        part = self.part()
        part.write(DATA)
        (self.folder / "a.jpg").write_text("mine")
        self.assertEqual(part.finish().name, "a (2).jpg")
        self.assertEqual((self.folder / "a.jpg").read_text(), "mine")

    def test_downloads_of_one_name_at_once_all_arrive(self):
        waiting = [self.part() for _ in range(3)]
        for part in waiting:
            part.write(DATA)
        self.assertEqual(
            [part.finish().name for part in waiting], ["a.jpg", "a (2).jpg", "a (3).jpg"]
        )

    def test_when_all_numbers_are_taken_it_says_so(self):
        self.patch(parts, "MAX_TWINS", 2)
        self.download()
        self.download()
        self.assertIn("File exists", self.refused(self.download))
        self.assertEqual(self.listing(), ["a (2).jpg", "a.jpg"])

    def test_an_existing_folder_is_neither_entered_nor_replaced(self):
        """Attack 22."""
        (self.folder / "photos").mkdir()
        self.assertEqual(self.download("photos").name, "photos (2)")
        self.assertEqual(os.listdir(self.folder / "photos"), [])

    def test_a_link_at_the_destination_is_not_followed(self):
        """Attack 23: leading to a file, to nothing, or to a folder."""
        for target in (self.outside, self.world / "nowhere", self.world):
            (self.folder / "a.jpg").symlink_to(target)
            path = self.download()
            self.assertEqual(path.name, "a (2).jpg")
            self.assertTrue((self.folder / "a.jpg").is_symlink())
            path.unlink()
            (self.folder / "a.jpg").unlink()

    def test_a_link_put_in_place_of_the_folder_leads_nowhere(self):
        """Attack 23: the folder was opened once, wherever its path leads afterwards."""
        part = self.part()
        part.write(DATA)
        moved = self.folder / "moved"
        other = new_folder(self)
        self.folder.rename(self.world / "tmp")
        self.folder.symlink_to(other)
        part.finish()
        self.assertEqual(os.listdir(other), [])
        self.folder.unlink()
        (self.world / "tmp").rename(self.folder)
        self.assertEqual(self.listing(), ["a.jpg"])
        self.assertFalse(moved.exists())

    def test_the_part_is_made_new_never_opened(self):
        """Attack 23: even under a name that somebody guessed."""
        self.patch(parts.secrets, "token_hex", lambda _: "guessed")
        (self.folder / ".guessed.part").symlink_to(self.outside)
        self.assertIn("File exists", self.refused(self.part))

    def test_nothing_is_unpacked(self):
        """Attack 29: a zip stays a zip."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("../evil.txt", "evil")
            archive.writestr("inner.txt", "inner")
        path = self.download("a.zip", packed.getvalue())
        self.assertEqual(path.read_bytes(), packed.getvalue())
        self.assertEqual(self.listing(), ["a.zip"])

    def test_reserved_names_are_made_harmless(self):
        """Attack 30."""
        for name in ("CON", "nul.txt", "COM1", "com¹.jpg", "LPT9.tar.gz", "aux.", "prn ", "a:b"):
            path = self.download(name)
            self.assertEqual(path.name, clean_name(name))
            self.assertNotIn(":", path.name)
            self.assertIn(path.name[0], "_a")

    def test_names_of_255_bytes_are_cut_and_still_numbered(self):
        """Attack 30: with any extension, in any script."""
        for name in ("x" * 251 + ".jpg", "é" * 127 + ".é", "漢" * 85, "a." + "x" * 253,
                     "x" * 120 + "." + "y" * 134, "." + "e" * 254, "🎉" * 63 + ".png"):  # fmt: skip
            first, second = self.download(name), self.download(name)
            self.assertNotEqual(first, second)
            self.assertIn(" (2)", second.name)
            for path in (first, second):
                self.assertLessEqual(len(os.fsencode(path.name)), FILE_NAME_BYTES)
                self.assertEqual(path.read_bytes(), DATA)
            self.assertEqual(first.suffix[:5], second.suffix[:5] or first.suffix[:5])

    def test_twins_in_another_normal_form_do_not_meet(self):
        """Attack 30: what comes is composed; what is there decomposed stays."""
        twin = self.folder / "e\u0301te\u0301.jpg"
        twin.write_text("mine")
        self.assertEqual(self.download("e\u0301te\u0301.jpg").name, "été.jpg")
        self.assertEqual(self.download("été.jpg").name, "été (2).jpg")
        self.assertEqual(twin.read_text(), "mine")
        self.assertEqual(len(self.listing()), 3)

    @settings(deadline=None)
    @given(st.text(max_size=200), st.integers(2, 1000))
    @example("a." + "x" * 178, 2)
    @example("x" * 176 + ".jpg", 1000)
    @example("é" * 90, 2)
    @example("a .jpg", 2)
    @example("._", 3)
    def test_a_numbered_name_is_clean_and_another_for_each_number(self, name, number):
        name = clean_name(name)
        self.assertEqual(numbered(name, 1), name)
        other = numbered(name, number)
        self.assertEqual(clean_name(other), other)
        self.assertIn(f"({number})", other)
        self.assertNotIn(other, (name, numbered(name, number + 1)))
        self.assertLessEqual(len(other.encode()), FILE_NAME_BYTES)

    def test_the_extension_stays_at_the_end(self):
        for name, second in {"a.jpg": "a (2).jpg", "a.tar.gz": "a.tar (2).gz", "a": "a (2)",
                             "a b.c d": "a b (2).c d"}.items():  # fmt: skip
            self.assertEqual(numbered(name, 2), second)


class CleaningTests(PartTests):
    def test_discarding_removes_the_part_and_nothing_else(self):
        """Attack 24: not what a link in its place leads to."""
        for make in (lambda path: path.symlink_to(self.outside),
                     lambda path: path.symlink_to(self.world),
                     lambda path: os.link(self.outside, path)):  # fmt: skip
            part = self.part()
            (name,) = self.listing()
            (self.folder / name).unlink()
            make(self.folder / name)
            part.discard()
            self.assertEqual(self.listing(), [])
            self.assertEqual(self.outside.read_text(), "precious")

    def test_a_folder_in_place_of_the_part_stays_and_breaks_nothing(self):
        """Attack 24."""
        before = len(os.listdir("/proc/self/fd"))
        part = self.part()
        (name,) = self.listing()
        (self.folder / name).unlink()
        (self.folder / name).mkdir()
        (self.folder / name / "kept").write_text("kept")
        part.discard()
        self.assertEqual((self.folder / name / "kept").read_text(), "kept")
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_a_folder_moved_away_is_cleaned_where_it_is_now(self):
        """Attack 24: not another one that bears its path."""
        part = self.part()
        (name,) = self.listing()
        self.folder.rename(self.world / "tmp")
        self.folder.mkdir()
        (self.folder / name).write_text("another's")
        part.discard()
        self.assertEqual((self.folder / name).read_text(), "another's")
        self.assertEqual(os.listdir(self.world / "tmp"), [])
        (self.world / "tmp").rmdir()

    def test_a_hard_linked_part_is_not_given_the_name(self):
        """Attack 31: somebody who keeps a name of it could change it afterwards."""
        part = self.part()
        part.write(DATA)
        (name,) = self.listing()
        os.link(self.folder / name, self.folder / "second")
        self.assertIn("somebody else", self.refused(part.finish))
        self.assertEqual(self.listing(), ["second"])

    def test_another_file_in_place_of_the_part_is_not_given_the_name(self):
        """Attack 31: the digest was of the file that was written."""
        for put in (lambda path: path.write_bytes(b"evil"), lambda p: p.symlink_to(self.outside),
                    lambda path: os.link(self.outside, path)):  # fmt: skip
            part = self.part()
            part.write(DATA)
            (name,) = self.listing()
            (self.folder / name).unlink()
            put(self.folder / name)
            self.assertIn("somebody else", self.refused(part.finish))
            self.assertEqual(self.listing(), [])


class RoomTests(PartTests):
    def free(self, count):
        """Have the disk say that so many bytes are free."""
        real = os.statvfs(self.folder)
        fields = list(real)
        fields[0], fields[1], fields[4] = 4096, 1, count
        self.patch(os, "fstatvfs", lambda _: os.statvfs_result(fields))

    def test_a_size_over_what_is_free_less_the_reserve_is_refused_before_it_comes(self):
        """Attack 31: a size bomb."""
        self.assertEqual(parts.RESERVE, 256 * 2**20)
        self.free(parts.RESERVE + 1000)
        self.part(size=1000).discard()
        for size in (1001, 2**53 - 1):
            said = self.refused(lambda size=size: self.part(size=size))
            self.assertIn("not enough room", said)
            self.assertIn(str(size), said)
        self.assertEqual(self.listing(), [])

    def test_a_disk_that_has_less_than_the_reserve_takes_nothing(self):
        """Attack 31."""
        self.free(1000)
        self.refused(lambda: self.part(size=0))

    def test_a_size_bomb_meets_the_real_disk_too(self):
        """Attack 31."""
        self.refused(lambda: self.part(size=2**53 - 1))
        self.assertEqual(self.listing(), [])

    def test_a_disk_that_fills_up_is_said_and_nothing_is_left(self):
        """Attack 31."""
        part = self.part()
        part.write(DATA[:100])
        for code in (errno.ENOSPC, errno.EDQUOT):
            patched = self.refuse("write", code)
            self.assertIn("The disk is full: a.jpg", self.refused(part.write, DATA))
            patched.restore()
        part.discard()
        self.assertEqual(self.listing(), [])

    def test_a_disk_that_fails_is_said_and_nothing_is_left(self):
        part = self.part()
        patched = self.refuse("write", errno.EIO)
        self.assertIn("Input/output error", self.refused(part.write, DATA))
        patched.restore()
        part.discard()
        self.assertEqual(self.listing(), [])

    def test_a_disk_that_is_full_in_truth_is_said_and_nothing_is_left(self):
        """Attack 31: on a memory file system of 256 KiB."""
        if os.geteuid() or not os.environ.get("CI"):
            raise SkipTest("mounts a file system: as root, in continuous integration")
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(self.folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SkipTest("nothing can be mounted here") from error
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.folder)], check=True)
        self.refused(lambda: self.part(size=0))
        self.patch(parts, "RESERVE", 0)
        self.refused(lambda: self.part(size=2**20))
        part = self.part(data=bytes(100_000))
        (self.folder / "other").write_bytes(bytes(200_000))
        self.assertIn("The disk is full", self.refused(part.write, bytes(100_000)))
        part.discard()
        self.assertEqual(self.listing(), ["other"])
        (self.folder / "other").unlink()
        self.assertEqual(self.download(data=bytes(100_000)).name, "a.jpg")


class NoHardLinksTests(PartTests):
    """As on a memory stick: `link` is refused, and so may be `fchmod`."""

    def setUp(self):
        super().setUp()
        self.refuse("link", errno.EPERM)

    def test_the_file_gets_its_name_all_the_same(self):
        for code in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            self.refuse("link", code)
            path = self.download(f"{code}.jpg")
            self.assertEqual((path.name, path.read_bytes()), (f"{code}.jpg", DATA))
        self.assertEqual(len(self.listing()), 4)

    def test_an_existing_file_is_never_overwritten(self):
        """Attack 27."""
        (self.folder / "a.jpg").write_text("mine")
        (self.folder / "a (2).jpg").symlink_to(self.outside)
        (self.folder / "a (3).jpg").mkdir()
        self.assertEqual(self.download().name, "a (4).jpg")
        self.assertEqual((self.folder / "a.jpg").read_text(), "mine")
        self.assertEqual((self.folder / "a (4).jpg").read_bytes(), DATA)
        self.assertEqual(len(self.listing()), 4)

    def test_a_name_that_could_not_be_given_is_not_left_empty(self):
        self.refuse("rename", errno.EIO)
        self.assertIn("Input/output error", self.refused(self.download))
        self.assertEqual(self.listing(), [])

    def test_a_disk_without_modes_is_no_obstacle(self):
        self.refuse("fchmod", errno.EPERM)
        self.assertEqual(self.download().read_bytes(), DATA)

    def test_another_refusal_of_the_link_is_said(self):
        self.refuse("link", errno.EIO)
        self.assertIn("Input/output error", self.refused(self.download))
        self.assertEqual(self.listing(), [])


class ModeTests(PartTests):
    def test_the_umask_is_read_without_being_changed(self):
        for umask in (0, 0o022, 0o077, 0o027):
            os.umask(umask)
            self.assertEqual(parts.umask(), umask)
            self.assertEqual(os.umask(umask), umask)

    def test_where_it_cannot_be_read_the_strictest_is_taken(self):
        def unreadable(_):
            raise OSError(errno.ENOENT, "No such file")

        self.patch(parts.Path, "read_text", unreadable)
        self.assertEqual(parts.umask(), 0o077)


class SyncTests(PartTests):
    def synced(self):
        synced = []
        self.patch(os, "fsync", lambda descriptor: synced.append(os.listdir(self.folder)))
        self.download()
        return synced

    def test_a_small_file_is_on_the_disk_before_it_bears_its_name(self):
        (names,) = self.synced()
        self.assertNotIn("a.jpg", names)

    def test_a_large_one_is_not_waited_for(self):
        self.patch(parts, "SYNC_MOST", len(DATA) - 1)
        self.assertEqual(self.synced(), [])
