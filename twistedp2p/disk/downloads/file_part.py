"""The part of a download that is to become one file."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator

from twistedp2p.core.errors import N_
from twistedp2p.disk.downloads.parts import numbered, umask
from twistedp2p.disk.downloads.taking import is_empty, is_the_one, leave, take_file

MAX_TWINS = 1000  # files of one name in a folder
# The kernel gives a larger write larger pieces of memory, which a virtual machine's host must often
# bring first: up to 2.4 s of a processor for a GiB with 1 MiB, 0.3 to 0.4 with this, 0.4 with half.
WRITE = 32_768  # bytes
NEW_FILE = 0o644  # never executable; the user's umask applies
SYNC_MOST = 16 * 2**20  # bytes: a file of which more is yet to be written out is not waited for
# What comes no faster than this is written out as it comes: a disk that does not keep up is what
# the end waits for. What comes faster would wait for the disk most of its time.
WRITE_OUT = 150_000_000  # bytes a second
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FilePart:
    """A hidden file of `size` bytes in the open `folder`. Raises OSError where the disk says no."""

    overhead = 0  # bytes that it takes of the disk beside its content

    def __init__(self, folder: int, digest: str, size: int) -> None:
        self._folder = folder
        self._size = size
        self._digest = digest
        self._taken = taken = take_file(folder, digest)
        self._file, self._name = taken.descriptor, taken.name
        self._lock = threading.Lock()
        self._behind: list[tuple[int, int]] = []  # offsets and lengths that are not written out
        self._bytes_behind = 0
        self._behind_since = time.monotonic()  # seconds

    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return is_empty(self._file)

    def has_data(self, offset: int) -> bool:
        """Whether something was ever written there: what was not need not be read."""
        try:
            return os.lseek(self._file, offset, os.SEEK_DATA) == offset
        except OSError:  # none from there to the end
            return False

    def leave_hole(self, offset: int, length: int) -> bool:
        """Whether there is nothing but zeros already; where nothing was written there is."""
        with contextlib.suppress(OSError):  # none from there to the end
            if os.lseek(self._file, offset, os.SEEK_DATA) < offset + length:
                return False
        if os.fstat(self._file).st_size < offset + length:
            os.ftruncate(self._file, self._size)
        return True

    def make_room(self, offset: int, length: int) -> None:
        """Have the disk find a place for what is written next, which makes that quicker."""
        with contextlib.suppress(OSError):  # the write itself will say what is wrong
            os.posix_fallocate(self._file, offset, length)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data`."""
        write_all(self._file, offset, data)

    def settled(self, offset: int, length: int) -> None:
        """That stays as it is: have the disk begin with it, where it has the time."""
        now = time.monotonic()
        with self._lock:
            self._behind.append((offset, length))
            self._bytes_behind += length
            if self._bytes_behind > (now - self._behind_since) * WRITE_OUT:
                return
            behind, self._behind = self._behind, []
            self._bytes_behind, self._behind_since = 0, now
        for begin, size in behind:
            with contextlib.suppress(OSError):  # which writes what is dirty, and does not wait
                os.posix_fadvise(self._file, begin, size, os.POSIX_FADV_DONTNEED)

    def readinto(self, offset: int, room: memoryview) -> int:
        """Read what is there, up to all that there is room for."""
        return os.preadv(self._file, [room], offset)

    def finish(self, name: str) -> str:
        """Give it `name`, or the first free number of it, which is returned."""
        os.ftruncate(self._file, self._size)
        with contextlib.suppress(PermissionError):  # a memory stick keeps no modes
            os.fchmod(self._file, NEW_FILE & ~umask())
        if self._bytes_behind <= SYNC_MOST:
            os.fsync(self._file)
        alone = os.fstat(self._file).st_nlink == 1
        if not alone or not is_the_one(self._file, self._folder, self._name):
            raise OSError(errno.EPERM, N_("somebody else has touched the unfinished file"))
        for free in free_names(name):
            with contextlib.suppress(FileExistsError):
                self._take_name(free)
                self.remove()
                return free
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _take_name(self, name: str) -> None:
        folder, part = self._folder, self._name
        try:
            os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # No hard links here (a memory stick): an empty file of ours holds the name first.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            os.close(os.open(name, flags, 0o600, dir_fd=folder))
            try:
                os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(name, dir_fd=folder)
                raise

    def leave(self) -> bool:
        """Leave it to later runs; False where they will not find it."""
        return leave(self._taken, self._folder, self._digest)

    def remove(self) -> None:
        """Remove the part, and nothing else that may bear its name."""
        with contextlib.suppress(OSError):
            if is_the_one(self._file, self._folder, self._name):
                os.unlink(self._name, dir_fd=self._folder)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def free_names(name: str) -> Iterator[str]:
    """`name` and its numbered twins, the first of which that nothing has is to be taken."""
    return (numbered(name, number) for number in range(1, MAX_TWINS + 1))


def write_all(descriptor: int, offset: int, data: memoryview) -> None:
    """Write `data` at `offset` of a file."""
    while data:
        count = os.pwrite(descriptor, data[:WRITE], offset)
        data, offset = data[count:], offset + count
