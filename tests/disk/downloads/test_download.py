"""Downloads: a hidden part that becomes the file, goes on after a cut, and touches no other."""

import errno
import fcntl
import io
import itertools
import os
import random
import stat
import subprocess
import threading
import zipfile
from types import SimpleNamespace
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import begin, new_folder, pieces_lacking
from twistedp2p.core.content import tree as tree_module
from twistedp2p.core.content.tree import BadPiece, TreeHash
from twistedp2p.core.errors import ShareError
from twistedp2p.core.names import FILE_NAME_BYTES, clean_name
from twistedp2p.disk.downloads import download as download_module
from twistedp2p.disk.downloads import file_part, taking
from twistedp2p.disk.downloads.download import RESERVE, Download
from twistedp2p.disk.downloads.parts import numbered

PIECE = 16_384  # bytes, in these tests: blocks of the disk
DATA = random.Random(1).randbytes(10 * PIECE - 100)


def tree_of(data):
    made = TreeHash(len(data))
    made.update(data)
    return made.finish()


def put(download, data, pieces=None, **more):
    """Write these pieces of `data`, or all, in two goes each."""
    for index in range(download.tree.count) if pieces is None else pieces:
        offset, length = download.tree.span(index)
        half = length // 2
        download.write(index, 0, data[offset : offset + half], **more)
        download.write(index, half, data[offset + half : offset + length], **more)


class DownloadTests(SynchronousTestCase):
    def setUp(self):
        self.patch(tree_module, "PIECE_LEAST", PIECE)
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

    def begin(self, name="a.jpg", data=DATA, **more):
        download = begin(self.folder, name, tree_of(data), **more)
        self.addCleanup(download.discard)
        return download

    def download(self, name="a.jpg", data=DATA):
        download = self.begin(name, data)
        put(download, data)
        return download.finish()

    def listing(self):
        return sorted(os.listdir(self.folder))

    def part_path(self, data=DATA):
        return self.folder / taking.part_name(tree_of(data).digest)

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

    def open_files(self):
        return len(os.listdir("/proc/self/fd"))


class HoleTests(DownloadTests):
    """Pieces that are all zeros are neither asked for nor written."""

    def setUp(self):
        super().setUp()
        noise = random.Random(3).randbytes(PIECE)
        self.data = noise + bytes(3 * PIECE) + noise + bytes(100)

    def test_only_the_others_are_lacking_and_the_file_is_whole(self):
        download = self.begin(data=self.data)
        self.assertEqual(pieces_lacking(download), [0, 4])
        put(download, self.data, [0, 4])
        path = download.finish()
        self.assertEqual(path.read_bytes(), self.data)
        self.assertLess(512 * path.stat().st_blocks, 4 * PIECE)

    def test_they_can_be_handed_on_at_once(self):
        download, room = self.begin(data=self.data), bytearray(b"x" * PIECE)
        self.assertEqual(download.readinto(PIECE, memoryview(room)), PIECE)
        self.assertEqual(room, bytes(PIECE))
        self.assertEqual(download.readinto(5 * PIECE, memoryview(room)), 100)

    def test_a_later_run_finds_the_same(self):
        download = self.begin(data=self.data)
        put(download, self.data, [4])
        download.keep()
        again = self.begin(data=self.data)
        self.assertEqual(pieces_lacking(again), [0])
        put(again, self.data, [0])
        self.assertEqual(again.finish().read_bytes(), self.data)

    def test_what_something_was_written_into_is_no_hole(self):
        download = self.begin(data=self.data)
        put(download, self.data, [4])
        with self.part_path(self.data).open("r+b") as part:
            part.seek(PIECE + PIECE // 2)
            part.write(b"something")
        download.keep()
        again = self.begin(data=self.data)
        self.assertEqual(pieces_lacking(again), [0, 1])
        put(again, self.data, [0, 1])
        self.assertEqual(again.finish().read_bytes(), self.data)

    def test_a_file_of_nothing_is_there_at_once(self):
        download = self.begin(data=bytes(3 * PIECE))
        self.assertEqual(pieces_lacking(download), [])
        self.assertEqual(download.finish().read_bytes(), bytes(3 * PIECE))

    def test_pieces_beyond_all_measure_are_not_looked_at(self):
        """Attack 31: what says that it is large costs nothing."""
        self.patch(tree_module, "ZEROS_MOST", PIECE - 1)
        self.assertEqual(pieces_lacking(self.begin(data=self.data)), [0, 1, 2, 3, 4])


class WholeTests(DownloadTests):
    def test_what_came_whole_gets_its_name(self):
        path = self.download()
        self.assertEqual((path, path.read_bytes()), (self.folder / "a.jpg", DATA))
        self.assertEqual(self.listing(), ["a.jpg"])

    def test_until_then_it_is_hidden_and_private_and_named_by_its_content(self):
        download = self.begin()
        put(download, DATA)
        (name,) = self.listing()
        self.assertEqual(name, "." + tree_of(DATA).digest[7:39] + ".part")
        self.assertEqual(stat.S_IMODE((self.folder / name).stat().st_mode), 0o600)

    def test_pieces_come_in_any_order_and_bytes_in_any_kind(self):
        download = self.begin()
        for index in random.Random(2).sample(range(10), 10):
            offset, length = download.tree.span(index)
            piece = bytearray(DATA[offset : offset + length])
            self.assertFalse(download.write(index, 0, piece[:1]))
            self.assertFalse(download.write(index, 1, b""))
            self.assertFalse(download.have[index])
            self.assertTrue(download.write(index, 1, memoryview(piece)[1:]))
            self.assertTrue(download.have[index])
        self.assertEqual(download.finish().read_bytes(), DATA)

    def test_threads_write_different_pieces_at_once(self):
        download = self.begin()
        threads = [threading.Thread(target=put, args=(download, DATA, range(n, 10, 4)))
                   for n in range(4)]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(download.finish().read_bytes(), DATA)

    def test_what_the_system_takes_in_pieces_is_written_whole(self):
        write = os.pwrite
        self.patch(os, "pwrite", lambda fd, data, at: write(fd, bytes(data[:777]), at))
        self.assertEqual(self.download().read_bytes(), DATA)

    def test_an_empty_file_is_a_file(self):
        self.assertEqual(self.download("empty", b"").read_bytes(), b"")
        self.assertEqual(self.listing(), ["empty"])

    def test_it_is_not_finished_before_all_is_there(self):
        download = self.begin()
        put(download, DATA, range(9))
        self.assertRaises(ValueError, download.finish)
        put(download, DATA, [9])
        self.assertEqual(download.finish().read_bytes(), DATA)

    def test_nothing_stays_open(self):
        before = self.open_files()
        for end in (Download.discard, Download.keep):
            download = self.begin()
            put(download, DATA, [0])
            end(download)
            end(download)
            self.refused(download.write, 1, 0, b"late")
        download = self.begin()
        put(download, DATA)
        download.finish()
        room = bytearray(5)
        self.assertEqual((download.readinto(1, memoryview(room)), bytes(room)), (5, DATA[1:6]))
        download.keep()
        self.assertEqual(self.open_files(), before)
        self.assertEqual(self.listing(), ["a.jpg"])

    def test_a_folder_that_is_not_there_or_is_none_is_said(self):
        before = self.open_files()
        for folder in (self.folder / "missing", self.outside):
            self.folder = folder
            said = self.refused(self.begin)
            self.assertIn(f"a.jpg could not be written to {folder}", said)
        self.assertEqual(self.open_files(), before)

    def test_a_part_that_somebody_removed_is_said(self):
        download = self.begin()
        put(download, DATA)
        self.part_path().unlink()
        self.assertIn("could not be written", self.refused(download.finish))
        self.assertEqual(self.listing(), [])


class PieceTests(DownloadTests):
    def test_a_piece_that_came_damaged_is_said_and_begins_anew(self):
        download = self.begin()
        put(download, DATA, [0, 2])
        self.assertRaises(BadPiece, put, download, DATA[::-1], [1])
        self.assertEqual(bytes(download.have), b"\1\0\1\0\0\0\0\0\0\0")
        put(download, DATA)
        self.assertEqual(download.finish().read_bytes(), DATA)

    def test_a_piece_begun_anew_starts_from_its_first_byte(self):
        download = self.begin()
        download.write(3, 0, b"something else")
        put(download, DATA)
        self.assertEqual(download.finish().read_bytes(), DATA)

    def test_what_is_not_next_or_goes_beyond_the_piece_is_refused(self):
        """Attack 18: nothing is written outside the piece that was asked for."""
        download = self.begin()
        download.write(3, 0, b"xx")
        for index, at, data in ((3, 1, b"x"), (3, 3, b"x"), (4, 5, b"x"), (3, -1, b"x"),
                                (3, 2, bytes(PIECE - 1)), (9, 0, bytes(PIECE))):  # fmt: skip
            self.assertRaises(ValueError, download.write, index, at, data)
        for index in (-1, 10, 2**40):
            self.assertRaises(IndexError, download.write, index, 0, b"x")
        self.assertEqual(self.part_path().stat().st_size, 4 * PIECE)

    def test_what_is_verified_is_not_written_again(self):
        download = self.begin()
        put(download, DATA, [1])
        self.assertTrue(download.write(1, 0, b"worse"))
        put(download, DATA)
        self.assertEqual(download.finish().read_bytes(), DATA)

    def test_of_two_sources_of_a_piece_the_first_that_has_it_right_wins(self):
        piece, wrong = DATA[:PIECE], DATA[::-1][:PIECE]
        for first, second in ((piece, wrong), (wrong, piece), (piece, piece)):
            for order in ((0, 1), (1, 0)):
                download = self.begin()
                came = [first, second]
                download.write(0, 0, first[:100], 0)
                download.write(0, 0, second[:200], 1)
                download.write(0, 100, first[100:200], 0)
                for source in order:
                    rest = came[source][200:]
                    if download.have[0] or came[source] is piece:
                        self.assertTrue(download.write(0, 200, rest, source))
                    else:
                        self.assertRaises(BadPiece, download.write, 0, 200, rest, source)
                room = bytearray(PIECE)
                self.assertEqual(download.readinto(0, memoryview(room)), PIECE)
                self.assertEqual(bytes(room), piece)
                download.discard()

    def test_when_a_source_is_gone_another_begins_at_the_disk(self):
        download = self.begin()
        download.write(0, 0, b"half", "first")
        download.gone("first")
        self.assertRaises(ValueError, download.write, 0, 4, b"more", "first")
        download.write(0, 0, DATA[:10], "second")
        self.assertEqual(self.part_path().read_bytes()[:10], DATA[:10])
        download.write(0, 10, DATA[10:PIECE], "second")
        self.assertTrue(download.have[0])

    def test_only_what_is_verified_is_read(self):
        download = self.begin()
        put(download, DATA, [2, 9])
        download.write(3, 0, DATA[3 * PIECE :][:100])
        room = memoryview(bytearray(2 * PIECE))
        self.assertEqual(download.readinto(2 * PIECE + 5, room), PIECE - 5)
        self.assertEqual(room[: PIECE - 5], DATA[2 * PIECE + 5 : 3 * PIECE])
        self.assertEqual(download.readinto(9 * PIECE, room), PIECE - 100)
        for offset in (0, 3 * PIECE, -1, -PIECE, len(DATA), 2**60):
            self.assertEqual(download.readinto(offset, room), 0)

    def test_descriptors_stay_open_while_a_thread_writes(self):
        download = self.begin()
        inside, go_on, said = threading.Event(), threading.Event(), []
        write = os.pwrite

        def slow(descriptor, data, at):
            inside.set()
            go_on.wait(10)
            return write(descriptor, data, at)

        self.patch(os, "pwrite", slow)
        writing = threading.Thread(target=lambda: said.append(download.write(0, 0, DATA[:PIECE])))
        writing.start()
        inside.wait(10)
        before = self.open_files()
        ending = threading.Thread(target=download.discard)
        ending.start()
        go_on.set()
        for thread in (writing, ending):
            thread.join()
        self.assertEqual(said, [True])
        self.assertEqual(self.open_files(), before - 2)
        self.assertEqual(self.listing(), [])

    def test_nobody_waits_while_the_part_is_removed(self):
        """Of a folder with many files that takes long, and `gone` is called in the loop."""
        download = self.begin()
        removing, go_on = threading.Event(), threading.Event()
        remove = download._part.remove

        def slow():
            removing.set()
            go_on.wait(10)
            remove()

        download._part.remove = slow
        ending = threading.Thread(target=download.discard)
        ending.start()
        removing.wait(10)
        self.assertTrue(download._lock.acquire(timeout=5))
        download._lock.release()
        download.gone("somebody")
        self.refused(download.write, 0, 0, DATA[:PIECE])
        go_on.set()
        ending.join()
        self.assertEqual(self.listing(), [])


class ResumeTests(DownloadTests):
    def cut(self, pieces, data=DATA):
        """A run that ended in the middle."""
        download = self.begin(data=data)
        put(download, data, pieces)
        download.keep()

    def test_what_was_verified_is_taken_over(self):
        self.cut([0, 3, 9])
        told = []
        download = self.begin("other name", progress=lambda done, size: told.append((done, size)))
        self.assertEqual(bytes(download.have), b"\1\0\0\1\0\0\0\0\0\1")
        self.assertEqual(told[-1], (len(DATA), len(DATA)))
        put(download, DATA, [1, 2, 4, 5, 6, 7, 8])
        self.assertEqual(download.finish().read_bytes(), DATA)
        self.assertEqual(self.listing(), ["other name"])

    def test_what_ends_while_it_is_checked_is_kept_or_removed_as_always(self):
        for end, left in ((Download.discard, 0), (Download.keep, 1)):
            self.cut(range(5))
            download = Download(self.folder, "a.jpg", tree_of(DATA))
            ending = threading.Thread(target=end, args=(download,))

            def told(_done, _size, ending=ending):
                if ending.ident is None:
                    ending.start()

            self.refused(download.take_over, told, lambda ending=ending: ending.ident is not None)
            ending.join()
            self.assertEqual(len(self.listing()), left)

    def test_what_was_half_written_is_found_out(self):
        """Attack 17: also what was changed meanwhile."""
        self.cut(range(5))
        with self.part_path().open("r+b") as part:
            part.seek(2 * PIECE + 77)
            part.write(b"\0")
            part.truncate(5 * PIECE - 1)
        self.assertEqual(bytes(self.begin().have), b"\1\1\0\1\0\0\0\0\0\0")

    def test_whatever_a_power_cut_left_only_what_it_spoilt_comes_again(self):
        """Blocks of zeros or rubbish, holes, an end that is missing, more than there was."""
        chance = random.Random(1)
        for _ in range(40):
            self.cut(range(10))
            spoilt = set(chance.sample(range(10), 3))
            end = chance.choice((len(DATA), chance.randrange(len(DATA)), 12 * PIECE))
            with self.part_path().open("r+b") as part:
                for index in spoilt:
                    part.seek(index * PIECE + chance.randrange(PIECE - 200))
                    part.write(chance.choice((bytes(100), chance.randbytes(100))))
                part.truncate(end)
                part.truncate(chance.choice((end, len(DATA))))
            spoilt |= set(range(min(end, len(DATA)) // PIECE, 10)) if end < len(DATA) else set()
            download = self.begin()
            self.assertEqual(pieces_lacking(download), sorted(spoilt))
            put(download, DATA, pieces_lacking(download))
            path = download.finish()
            self.assertEqual(path.read_bytes(), DATA)
            path.unlink()

    def test_what_was_never_written_is_not_read(self):
        self.cut([7])
        read = []
        preadv = os.preadv
        self.patch(os, "preadv", lambda fd, room, at: read.append(at) or preadv(fd, room, at))
        self.assertEqual(list(self.begin().have), [0] * 7 + [1, 0, 0])
        self.assertLess(len(read), 4)

    def test_where_holes_are_not_known_all_is_read(self):
        self.cut([0, 7])
        self.patch(os, "lseek", lambda fd, offset, whence: offset)
        self.assertEqual(list(self.begin().have), [1] + [0] * 6 + [1, 0, 0])

    def test_a_part_that_is_too_long_is_cut(self):
        self.cut(range(10))
        with self.part_path().open("ab") as part:
            part.write(b"more")
        self.assertEqual(self.begin().finish().read_bytes(), DATA)

    def test_reading_it_stops_when_asked_and_it_stays(self):
        self.cut([0, 1])
        self.assertIn("Stopped", self.refused(lambda: self.begin(stopped=lambda: True)))
        self.assertEqual(sum(self.begin().have), 2)

    def test_another_content_is_another_part(self):
        """Attack 17: resuming against another file."""
        self.cut([0])
        other = DATA[:-1] + b"x"
        download = self.begin(data=other)
        self.assertEqual(sum(download.have), 0)
        self.assertEqual(len(self.listing()), 2)

    def test_nothing_is_left_where_nothing_came(self):
        self.begin().keep()
        self.assertEqual(self.listing(), [])

    def test_only_one_uses_it_at_a_time(self):
        first = self.begin()
        put(first, DATA, range(4))
        second = self.begin()
        self.assertEqual((sum(second.have), len(self.listing())), (0, 1 + 1))
        put(second, DATA, [5])
        second.keep()
        self.assertEqual(self.listing(), [self.part_path().name])
        first.keep()
        self.assertEqual(sum(self.begin().have), 4)

    def test_the_second_is_found_again_where_the_first_is_gone(self):
        first, second = self.begin(), self.begin()
        put(first, DATA, range(4))
        put(second, DATA, [5, 6])
        first.discard()
        self.assertTrue(second.keep())
        self.assertEqual(self.listing(), [self.part_path().name])
        self.assertEqual(sum(self.begin().have), 2)

    def test_what_is_not_left_is_told(self):
        first, second = self.begin(), self.begin()
        put(second, DATA, [5])
        self.assertEqual((second.keep(), first.keep()), (False, False))
        self.assertEqual(self.listing(), [])

    def test_a_second_that_somebody_has_put_another_in_place_of_is_not_left(self):
        """Attack 31: what was written is what later runs find."""
        first, second = self.begin(), self.begin()
        put(second, DATA, [5])
        (path,) = set(self.folder.iterdir()) - {self.part_path()}
        path.unlink()
        path.write_bytes(b"evil")
        first.discard()
        self.assertFalse(second.keep())
        self.assertEqual(self.listing(), [path.name])

    def test_another_process_uses_it(self):
        self.cut(range(4))
        with self.part_path().open("rb") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX)
            self.assertEqual(sum(self.begin().have), 0)

    def test_where_nothing_can_be_locked_nothing_is_taken_over(self):
        self.cut(range(4))

        def refused(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        self.patch(fcntl, "flock", refused)
        self.assertEqual(sum(self.begin().have), 0)
        self.assertEqual(self.download().read_bytes(), DATA)
        download = self.begin()
        put(download, DATA, [0])
        self.assertFalse(download.keep())

    def test_a_part_that_was_finished_while_it_was_opened_is_not_written_to(self):
        self.cut(range(4))
        flock, done = fcntl.flock, []

        def finish_first(descriptor, how):
            if not done:
                done.append(self.part_path().rename(self.folder / "finished"))
            return flock(descriptor, how)

        self.patch(fcntl, "flock", finish_first)
        self.assertEqual(sum(self.begin().have), 0)
        self.assertEqual(self.listing(), [self.part_path().name, "finished"])


class NotOursTests(DownloadTests):
    """What bears the name of the part and is not ours is neither read, written nor removed."""

    def check_left_alone(self):
        download = self.begin()
        self.assertEqual(sum(download.have), 0)
        put(download, DATA)
        self.assertEqual(download.finish().read_bytes(), DATA)
        self.assertIn(self.part_path().name, self.listing())

    def test_a_link(self):
        """Attack 23: to a file, a folder, or nothing."""
        for target in (self.outside, self.world, self.world / "nowhere"):
            self.part_path().symlink_to(target)
            self.check_left_alone()
            self.part_path().unlink()

    def test_a_second_name_of_another_file(self):
        """Attack 31."""
        os.link(self.outside, self.part_path())
        self.check_left_alone()

    def test_a_folder_and_a_pipe(self):
        """Attack 22."""
        self.part_path().mkdir()
        self.check_left_alone()
        self.part_path().rmdir()
        os.mkfifo(self.part_path())
        self.check_left_alone()

    def test_a_file_of_somebody_else(self):
        """Attack 31."""
        self.part_path().write_bytes(DATA)
        uid = os.geteuid()
        self.patch(os, "geteuid", lambda: uid + 1)
        self.check_left_alone()
        self.assertEqual(self.part_path().read_bytes(), DATA)

    def test_a_file_that_we_may_not_write(self):
        self.part_path().write_bytes(DATA)
        opened = os.open

        def refused(path, flags, *mode, **more):
            if path == self.part_path().name:
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(path, flags, *mode, **more)

        self.patch(os, "open", refused)
        self.check_left_alone()

    def test_a_random_name_is_made_new_never_opened(self):
        """Attack 23: even one that somebody guessed."""
        self.part_path().mkdir()
        self.patch(taking.secrets, "token_hex", lambda _: "guessed")
        (self.folder / ".guessed.part").symlink_to(self.outside)
        self.assertIn("File exists", self.refused(self.begin))

    def test_discarding_removes_the_part_and_nothing_else(self):
        """Attack 24: nor what a link in its place leads to."""
        for make in (lambda path: path.symlink_to(self.outside),
                     lambda path: path.symlink_to(self.world),
                     lambda path: os.link(self.outside, path), lambda path: path.mkdir(),
                     lambda path: path.write_text("another's")):  # fmt: skip
            download = self.begin()
            put(download, DATA, [0])
            self.part_path().unlink()
            make(self.part_path())
            download.discard()
            self.assertEqual(self.listing(), [self.part_path().name])
            self.part_path().rename(self.folder / "away")
            subprocess.run(["rm", "-r", self.folder / "away"], check=True)

    def test_a_folder_moved_away_is_cleaned_where_it_is_now(self):
        """Attack 24: not another one that bears its path."""
        download = self.begin()
        put(download, DATA, [0])
        self.folder.rename(self.world / "tmp")
        self.folder.mkdir()
        self.part_path().write_text("another's")
        download.discard()
        self.assertEqual(self.part_path().read_text(), "another's")
        self.assertEqual(os.listdir(self.world / "tmp"), [])
        (self.world / "tmp").rmdir()

    def test_a_hard_linked_part_is_not_given_the_name(self):
        """Attack 31: somebody who keeps a name of it could change it afterwards."""
        download = self.begin()
        put(download, DATA)
        os.link(self.part_path(), self.folder / "second")
        self.assertIn("somebody else", self.refused(download.finish))
        self.assertNotIn("a.jpg", self.listing())

    def test_another_file_in_place_of_the_part_is_not_given_the_name(self):
        """Attack 31: the hashes were of the file that was written."""
        for make in (lambda path: path.write_bytes(b"evil"), lambda p: p.symlink_to(self.outside),
                     lambda path: os.link(self.outside, path)):  # fmt: skip
            download = self.begin()
            put(download, DATA)
            self.part_path().unlink()
            make(self.part_path())
            self.assertIn("somebody else", self.refused(download.finish))
            self.assertEqual(self.listing(), [self.part_path().name])
            self.part_path().unlink()


class NameTests(DownloadTests):
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
        self.patch(file_part, "umask", lambda: 0o077)
        self.assertEqual(stat.S_IMODE(self.download().stat().st_mode), 0o600)

    def test_an_existing_file_is_never_overwritten(self):
        """Attack 27: the second is `a (2).jpg`."""
        (self.folder / "a.jpg").write_text("mine")
        self.assertEqual(self.download().name, "a (2).jpg")
        self.assertEqual(self.download().name, "a (3).jpg")
        self.assertEqual((self.folder / "a.jpg").read_text(), "mine")
        self.assertEqual(self.listing(), ["a (2).jpg", "a (3).jpg", "a.jpg"])

    def test_a_double_ending_stays_together(self):
        names = ("a-1.2.tar.gz", "b.TAR.xz", ".tar.gz", "c.tar", "d.min.js")
        self.assertEqual(
            [numbered(name, 2) for name in names],
            ["a-1.2 (2).tar.gz", "b (2).TAR.xz", "tar (2).gz", "c (2).tar", "d.min (2).js"],
        )

    def test_a_file_that_appears_during_the_download_is_not_overwritten(self):
        """Attack 27."""
        part = self.begin()
        put(part, DATA)
        (self.folder / "a.jpg").write_text("mine")
        self.assertEqual(part.finish().name, "a (2).jpg")
        self.assertEqual((self.folder / "a.jpg").read_text(), "mine")

    def test_downloads_of_one_name_at_once_all_arrive(self):
        waiting = [self.begin() for _ in range(3)]
        for part in waiting:
            put(part, DATA)
        self.assertEqual(
            [part.finish().name for part in waiting], ["a.jpg", "a (2).jpg", "a (3).jpg"]
        )

    def test_when_all_numbers_are_taken_it_says_so(self):
        self.patch(file_part, "MAX_TWINS", 2)
        self.download()
        self.download()
        self.assertIn("File exists", self.refused(self.download))
        self.assertEqual(self.listing(), [self.part_path().name, "a (2).jpg", "a.jpg"])
        (self.folder / "a.jpg").unlink()
        self.assertEqual(self.begin().finish().name, "a.jpg")

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
        part = self.begin()
        put(part, DATA)
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


class NoHardLinksTests(DownloadTests):
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
        self.assertEqual(self.listing(), [self.part_path().name])

    def test_a_disk_without_modes_is_no_obstacle(self):
        self.refuse("fchmod", errno.EPERM)
        self.assertEqual(self.download().read_bytes(), DATA)

    def test_another_refusal_of_the_link_is_said(self):
        self.refuse("link", errno.EIO)
        self.assertIn("Input/output error", self.refused(self.download))
        self.assertEqual(self.listing(), [self.part_path().name])


class SyncTests(DownloadTests):
    def synced(self):
        synced = []
        self.patch(os, "fsync", lambda descriptor: synced.append(os.listdir(self.folder)))
        self.download()
        return synced

    def test_a_small_file_is_on_the_disk_before_it_bears_its_name(self):
        (names,) = self.synced()
        self.assertNotIn("a.jpg", names)

    def at(self, rate):
        """Have a large file come at that rate, in bytes a second; what was begun to be written."""
        self.patch(file_part, "SYNC_MOST", PIECE)
        seconds = itertools.count(0.0, PIECE / rate)
        self.patch(file_part, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
        begun = []
        self.patch(os, "posix_fadvise", lambda _file, at, size, _how: begun.append((at, size)))
        return begun

    def test_a_large_one_that_comes_fast_is_not_waited_for(self):
        begun = self.at(2 * file_part.WRITE_OUT)
        self.assertEqual(self.synced(), [])
        self.assertEqual(begun, [])

    def test_a_large_one_that_comes_as_disks_write_is_written_out_as_it_comes(self):
        begun = self.at(file_part.WRITE_OUT / 2)
        (names,) = self.synced()
        self.assertNotIn("a.jpg", names)
        self.assertEqual(begun, [(at, min(PIECE, len(DATA) - at))
                                 for at in range(0, len(DATA), PIECE)])  # fmt: skip

    def test_what_came_too_fast_is_made_up_for_in_a_pause(self):
        begun = self.at(2 * file_part.WRITE_OUT)
        paused = itertools.chain([0.0] * 10, itertools.repeat(100.0))
        self.patch(file_part, "time", SimpleNamespace(monotonic=lambda: next(paused)))
        self.assertEqual(len(self.synced()), 1)
        self.assertEqual(len(begun), 10)


class RoomTests(DownloadTests):
    def free(self, count, blocks=2**40):
        """Have the disk say that so many bytes of `blocks` are free."""
        fields = list(os.statvfs(self.folder))
        fields[0], fields[1], fields[2], fields[4] = 4096, 1, blocks, count
        return self.patch(os, "fstatvfs", lambda _: os.statvfs_result(fields))

    def bomb(self, size):
        tree = tree_of(b"")
        object.__setattr__(tree, "size", size)
        object.__setattr__(tree, "piece", tree_module.piece_size(size))
        object.__setattr__(tree, "hashes", bytes(32) * tree.count)
        return begin(self.folder, "a.jpg", tree)

    def test_a_size_over_what_is_free_less_the_reserve_is_refused_before_it_comes(self):
        """Attack 31: a size bomb."""
        self.assertEqual(RESERVE, 256 * 2**20)
        self.free(RESERVE + 1000)
        self.bomb(1000).discard()
        for size in (1001, 2**53 - 1):
            said = self.refused(self.bomb, size)
            self.assertIn("not enough room", said)
            self.assertIn(str(size), said)
        self.assertEqual(self.listing(), [])

    def test_of_a_small_disk_less_is_kept_free(self):
        self.free(19_000_000, 20_000_000)
        self.bomb(18_000_000).discard()
        self.assertIn(
            "(18000001 bytes): 1000000 bytes stay free", self.refused(self.bomb, 18_000_001)
        )

    def test_a_disk_that_has_less_than_the_reserve_takes_nothing(self):
        """Attack 31."""
        self.free(1000)
        self.refused(self.download, "a.jpg", b"")

    def test_what_is_there_already_needs_no_more_room(self):
        download = self.begin()
        put(download, DATA, range(6))
        download.keep()
        patched = self.free(RESERVE + 3 * PIECE)
        self.refused(self.begin)
        patched.restore()
        self.free(RESERVE + 5 * PIECE)
        self.assertEqual(sum(self.begin().have), 6)

    def test_a_disk_that_fills_up_or_fails_is_said_and_what_is_verified_stays(self):
        """Attack 31."""
        for code, said in ((errno.ENOSPC, "The disk is full: a.jpg"), (errno.EIO, "Input/output"),
                           (errno.EDQUOT, "The disk is full: a.jpg")):  # fmt: skip
            download = self.begin()
            put(download, DATA, range(3))
            patched = self.refuse("pwrite", code)
            self.assertIn(said, self.refused(download.write, 3, 0, b"x"))
            patched.restore()
            download.keep()
            self.assertEqual(sum(self.begin().have), 3)
            self.doCleanups()
            self.setUp()

    def test_a_disk_that_is_full_in_truth_is_said_and_goes_on_when_there_is_room(self):
        """Attack 31: on a memory file system of 256 KiB."""
        if os.geteuid() or not os.environ.get("CI"):
            raise SkipTest("mounts a file system: as root, in continuous integration")
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(self.folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SkipTest("nothing can be mounted here") from error
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.folder)], check=True)
        self.patch(download_module, "RESERVE", 0)
        download = self.begin()
        (self.folder / "other").write_bytes(bytes(200_000))
        self.assertIn("The disk is full", self.refused(put, download, DATA))
        had = sum(download.have)
        download.keep()
        self.assertGreater(had, 0)
        (self.folder / "other").unlink()
        download = self.begin()
        self.assertEqual(sum(download.have), had)
        put(download, DATA)
        self.assertEqual(download.finish().read_bytes(), DATA)
