"""The files on offer: known once, served only while they are the same."""

import errno
import os
import socket
import threading
from unittest import mock

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.offered import file as offered_file
from twistedp2p.disk.offered.file import (
    Changed,
    FileIdentity,
    FileReader,
    check_file,
    open_file,
    open_same_file,
    read_file,
)


def identity_of(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return FileIdentity.of(descriptor)
    finally:
        os.close(descriptor)


def read(reader, most):
    """The next at most `most` bytes that a reader gives."""
    room = memoryview(bytearray(most))
    return bytes(room[: reader.readinto(room)])


def drain(reader, most):
    """All that a reader gives."""
    parts = []
    while data := read(reader, most):
        parts.append(data)
    return b"".join(parts)


class OfferedFileTests(SynchronousTestCase):
    def setUp(self):
        self.folder = new_folder(self)
        self.path = self.folder / "a.bin"
        self.data = bytes(range(256)) * 40
        self.path.write_bytes(self.data)
        self.identity = identity_of(self.path)

    def later(self, seconds=10):
        """Move the time of change, as any writing after a while does."""
        time = self.identity.mtime_ns + seconds * 10**9
        os.utime(self.path, ns=(time, time))

    def refused(self, call, *arguments):
        error = self.assertRaises(ShareError, call, *arguments)
        self.assertNotIn("\n", str(error))
        self.assertNotIn("None", str(error))
        return error


class ReadingTests(OfferedFileTests):
    def read(self, path=None, progress=lambda done, size: None, stopped=lambda: False):
        identity, tree = read_file(self.path if path is None else path, progress, stopped)
        return identity, tree.digest

    def test_a_file_is_known_by_identity_and_digest(self):
        identity, digest = self.read()
        self.assertEqual(identity, self.identity)
        self.assertEqual(digest, "blake3:" + blake3(self.data).hexdigest())

    def test_an_empty_file_is_a_file(self):
        self.path.write_bytes(b"")
        identity, digest = self.read()
        self.assertEqual((identity.size, digest), (0, "blake3:" + blake3(b"").hexdigest()))

    def test_progress_is_told(self):
        self.patch(offered_file, "HASH_CHUNK", 4096)
        told = []
        self.read(progress=lambda done, size: told.append((done, size)))
        self.assertEqual(told, [(4096, 10_240), (8192, 10_240), (10_240, 10_240)])

    def test_a_large_file_does_not_fill_the_cache(self):
        self.patch(offered_file, "HASH_CHUNK", 1000)
        self.patch(offered_file, "DROPPED", 4000)
        dropped = []
        self.patch(
            os, "posix_fadvise", lambda _, *range_and_advice: dropped.append(range_and_advice)
        )
        self.read()
        self.assertEqual(dropped, [])
        self.patch(offered_file, "LARGE", 10_240)
        self.read()
        self.assertEqual(dropped, [(start, 4000, os.POSIX_FADV_DONTNEED) for start in (0, 4000)])

    def test_reading_stops_when_asked(self):
        self.assertIn("stopped", str(self.refused(self.read, None, lambda *_: None, lambda: True)))

    def test_a_file_that_changes_while_it_is_read_is_refused(self):
        """Attack 16: grown, shrunk, or written over."""
        self.patch(offered_file, "HASH_CHUNK", 4096)

        def grow(done, size):
            with self.path.open("ab") as file:
                file.write(b"more")

        def shrink(done, size):
            os.truncate(self.path, 5000)

        def touch(done, size):
            self.later()

        for change in (grow, shrink, touch):
            self.path.write_bytes(self.data)
            self.assertIn("changed while it was read", str(self.refused(self.read, None, change)))

    def test_what_is_no_ordinary_file_is_refused(self):
        fifo, dangling = self.folder / "fifo", self.folder / "dangling"
        os.mkfifo(fifo)
        dangling.symlink_to("nowhere")
        for path, said in (
            (self.folder, "is not an ordinary file"),
            (fifo, "is not an ordinary file"),
            ("/dev/null", "is not an ordinary file"),
            ("/proc/version", "is not an ordinary file"),  # of no size, and not empty
            (dangling, "cannot be read"),
            (self.folder / "missing", "cannot be read: No such file"),
            (self.path / "below", "cannot be read"),
            ("a\0b", "cannot be read"),
            ("x" * 300, "cannot be read: File name too long"),
            ("", "cannot be read"),
        ):
            for call in (open_file, self.read):
                error = self.refused(call, path)
                self.assertIn(said, str(error))
                self.assertEqual(error.code, Exit.NO_INPUT)

    def test_what_ends_before_its_size_and_rests_is_no_ordinary_file(self):
        real = os.readv
        self.patch(os, "readv", lambda *arguments: real(*arguments) if self.more.pop() else 0)
        self.more = [False]
        self.assertIn("is not an ordinary file", str(self.refused(self.read)))  # as those of /sys

    def test_reading_leaves_nothing_open(self):
        before = len(os.listdir("/proc/self/fd"))
        self.read()
        self.refused(self.read, self.folder)
        self.refused(self.read, None, lambda *_: None, lambda: True)
        check_file(str(self.path), self.identity)
        self.later()
        check_file(str(self.path), self.identity)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class UnchangedTests(OfferedFileTests):
    def changed(self, why):
        path = str(self.path)
        self.assertEqual(str(self.assertRaises(Changed, open_same_file, path, self.identity)), why)
        self.assertEqual(check_file(path, self.identity), why)

    def test_an_unchanged_file_is_opened(self):
        os.close(open_same_file(str(self.path), self.identity))
        self.assertEqual(check_file(str(self.path), self.identity), "")

    def test_a_file_that_was_written_to_is_not_served(self):
        """Attack 16: modified."""
        self.path.write_bytes(self.data[::-1])
        self.later()
        self.changed("the file has changed")

    def test_a_file_that_grew_or_shrank_is_not_served(self):
        """Attack 16: truncated; even where somebody has turned the time of change back."""
        for size in (0, 10, len(self.data) + 1):
            os.truncate(self.path, size)
            self.later(0)
            self.changed("the file has changed")

    def test_a_file_that_was_replaced_is_not_served(self):
        """Attack 16: by one of the same size and time."""
        other = self.folder / "other"
        other.write_bytes(self.data)
        times = (self.identity.mtime_ns, self.identity.mtime_ns)
        os.utime(other, ns=times)
        other.rename(self.path)
        self.changed("the file has changed")

    def test_a_file_that_went_is_not_served(self):
        self.path.unlink()
        self.changed("the file is not there any more")

    def test_a_socket_in_its_place_or_a_file_in_that_of_its_folder_is_a_change(self):
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.path))
            self.changed("the file cannot be read any more")
        self.path = self.path / "a.bin"
        self.changed("the file cannot be read any more")

    def test_what_the_system_cannot_do_now_is_no_change(self):
        """Too many open files, no memory, a disk or server that is away: they pass."""
        path = str(self.path)
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE):
            for name in ("open", "fstat"):
                failing = mock.Mock(side_effect=OSError(number, os.strerror(number)))
                patched = self.patch(os, name, failing)
                self.assertRaises(OSError, open_same_file, path, self.identity)
                self.assertEqual(check_file(path, self.identity), "")
                patched.restore()

    def test_a_link_put_in_its_place_is_not_followed(self):
        """Attack 28: even where it leads to the very file."""
        moved = self.folder / "moved"
        self.path.rename(moved)
        self.path.symlink_to(moved)
        self.changed("the file cannot be read any more")

    def test_a_link_put_in_place_of_its_folder_leads_to_nothing_else(self):
        """Attack 28: what is opened is the file that was offered, or nothing."""
        home, secrets = self.folder / "home", self.folder / "secrets"
        home.mkdir()
        secrets.mkdir()
        self.path = self.path.rename(home / "a.bin")
        (secrets / "a.bin").write_bytes(b"s" * len(self.data))
        home.rename(self.folder / "away")
        home.symlink_to(secrets)
        self.changed("the file has changed")
        home.unlink()
        home.symlink_to(self.folder / "away")
        self.assertEqual(check_file(str(self.path), self.identity), "")

    def test_a_pipe_or_a_folder_in_its_place_blocks_nobody(self):
        """Attack 28."""
        self.path.unlink()
        os.mkfifo(self.path)
        self.changed("the file has changed")
        self.path.unlink()
        self.path.mkdir()
        self.changed("the file has changed")

    def test_swapping_it_while_it_is_opened_never_serves_another(self):
        """Attack 28: opened by name once, and looked at by descriptor from then on."""
        secret, real, spare = self.folder / "secret", self.folder / "real", self.folder / "spare"
        secret.write_bytes(b"s" * len(self.data))
        self.path.rename(real)
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for target in (secret, real):
                    os.link(target, spare)
                    spare.rename(self.path)
                    spare.unlink(missing_ok=True)
                    os.symlink(secret, spare)
                    spare.rename(self.path)

        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            for _ in range(500):
                try:
                    descriptor = open_same_file(str(self.path), self.identity)
                except Changed:
                    continue
                reader = FileReader(descriptor, self.identity, 0, len(self.data))
                try:
                    self.assertEqual(drain(reader, 4096), self.data)
                finally:
                    reader.close()
        finally:
            stop.set()
            swapping.join()


class FileReaderTests(OfferedFileTests):
    def reader(self, offset=0, length=None):
        descriptor = open_same_file(str(self.path), self.identity)
        length = len(self.data) - offset if length is None else length
        reader = FileReader(descriptor, self.identity, offset, length)
        self.addCleanup(reader.close)
        return reader

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 10_240), st.integers(0, 10_240), st.integers(1, 20_000))
    def test_it_gives_exactly_the_range_that_was_asked_for(self, offset, length, most):
        length = min(length, len(self.data) - offset)
        reader = self.reader(offset, length)
        self.assertEqual(drain(reader, most), self.data[offset : offset + length])
        self.assertEqual(read(reader, most), b"")
        reader.close()

    def test_a_file_that_grows_does_not_overrun_the_length_that_was_announced(self):
        """Attack 16: appended to; the end is not given, for it is not what was offered."""
        reader = self.reader()
        given_so_far = read(reader, 4096)
        with self.path.open("ab") as file:
            file.write(b"more" * 5000)
        self.assertRaises(Changed, read, reader, 4096)
        self.assertEqual(given_so_far, self.data[:4096])

    def test_a_file_that_is_truncated_is_not_padded(self):
        """Attack 16."""
        reader = self.reader()
        read(reader, 4096)
        os.truncate(self.path, 5000)
        self.assertRaises(Changed, read, reader, 4096)
        self.assertRaises(Changed, read, reader, 4096)

    def test_a_file_that_is_written_over_is_noticed_before_any_of_it_is_given(self):
        """Attack 16: modified with the same size."""
        reader = self.reader()
        read(reader, 4096)
        with self.path.open("r+b") as file:
            file.write(b"other")
        self.later()
        self.assertEqual(str(self.assertRaises(Changed, read, reader, 4096)),
                         "the file has changed")  # fmt: skip

    def test_a_file_that_is_replaced_goes_on_as_it_was(self):
        """Attack 16: what was opened is what was offered, whoever bears its name now."""
        reader = self.reader()
        start = read(reader, 4096)
        other = self.folder / "other"
        other.write_bytes(b"o" * len(self.data))
        other.rename(self.path)
        self.assertEqual(start + drain(reader, 4096), self.data)

    def test_a_read_error_is_no_change(self):
        reader = self.reader()

        def broken(*_):
            raise OSError(5, "Input/output error")

        self.patch(os, "preadv", broken)
        self.assertRaises(OSError, read, reader, 4096)

    def test_it_may_be_closed_twice_and_closes_no_other_file(self):
        reader = self.reader()
        reader.close()
        with self.path.open("rb") as other:
            reader.close()
            self.assertEqual(other.read(3), self.data[:3])
        self.assertRaises(OSError, read, reader, 4096)
