"""An unfinished download: a hidden part file that becomes the file, or nothing.

The folder is opened once and everything happens relative to it, so that no link put in its way
afterwards leads elsewhere. The part file is made new under a random name and linked, which
never replaces anything, under its final name after its digest was found right.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from blake3 import blake3

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import EXTENSION_BYTES, FILE_NAME_BYTES, clean_name

RESERVE = 256 * 2**20  # bytes of the disk that a download leaves free
MAX_TWINS = 1000  # files of one name in a folder
# The kernel gives a larger write larger pieces of memory, which a virtual machine's host must often
# bring first: up to three seconds for a GiB, against 0.2 for the additional calls.
WRITE = 16_384  # bytes
NEW_FILE = 0o644  # never executable; the user's umask applies
SYNC_MOST = 16 * 2**20  # bytes: a larger file is not waited for until it is on the disk
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def numbered(name: str, number: int) -> str:
    """``a.jpg`` becomes ``a (2).jpg``; cleaned again, so that it is never too long."""
    if number == 1:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(f".{extension}".encode()) > EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    suffix = f" ({number}){dot}{extension}"
    room = FILE_NAME_BYTES - len(suffix.encode())
    return clean_name(stem.encode()[:room].decode(errors="ignore").rstrip() + suffix)


class PartFile:
    """A file being written in `folder`, to become `name` (which is cleaned here once more).

    Blocking. Raises `ShareError` where the disk says no.
    """

    def __init__(self, folder: Path, name: str, size: int, digest: str) -> None:
        self._name = clean_name(name)
        self._digest = digest
        self._hash = blake3()
        self._size = size
        self._done = 0
        self._folder_path = folder
        self._part = f".{secrets.token_hex(8)}.part"
        self._folder = self._file = -1
        try:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._check_room()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._part, flags, 0o600, dir_fd=self._folder)
        except OSError as error:
            self.discard()
            raise self._failure(error) from error
        except ShareError:
            self.discard()
            raise

    def _check_room(self) -> None:
        disk = os.fstatvfs(self._folder)
        if disk.f_bavail * disk.f_frsize - RESERVE < self._size:
            raise ShareError(
                N_("There is not enough room in {folder} for {name} ({size} bytes)."),
                folder=self._folder_path,
                name=self._name,
                size=self._size,
            )

    def _failure(self, error: OSError) -> ShareError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sentence = N_("The disk is full: {name} could not be written to {folder}.")
        else:
            sentence = N_("{name} could not be written to {folder}: {why}.")
        return ShareError(
            sentence,
            Exit.NO_FOLDER,
            name=self._name,
            folder=self._folder_path,
            why=error.strerror or str(error),
        )

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; it is hashed on the way."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view[:WRITE]) :]
        except OSError as error:
            raise self._failure(error) from error
        self._hash.update(data)
        self._done += len(data)

    def finish(self) -> Path:
        """Check the whole and give it its name: returns the path. On failure nothing is left."""
        try:
            found = "blake3:" + self._hash.hexdigest()
            if self._done != self._size or found != self._digest:
                raise ShareError(
                    N_("{name} came damaged and was thrown away; get it again."),
                    Exit.DAMAGED,
                    name=self._name,
                )
            with contextlib.suppress(PermissionError):  # a memory stick keeps no modes
                os.fchmod(self._file, NEW_FILE & ~umask())
            if self._size <= SYNC_MOST:
                os.fsync(self._file)
            return self._folder_path / self._link()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            self.discard()

    def _link(self) -> str:
        """Give the part file the first free name: nothing is ever replaced."""
        mine, there = (
            os.fstat(self._file),
            os.stat(self._part, dir_fd=self._folder, follow_symlinks=False),
        )
        if (mine.st_dev, mine.st_ino, mine.st_nlink) != (there.st_dev, there.st_ino, 1):
            raise OSError(errno.EPERM, N_("somebody else has touched the unfinished file"))
        for number in range(1, MAX_TWINS + 1):
            name = numbered(self._name, number)
            try:
                self._take_name(name)
            except FileExistsError:
                continue
            return name
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _take_name(self, name: str) -> None:
        folder = self._folder
        try:
            os.link(self._part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # No hard links here (a memory stick): an empty file of ours holds the name first.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            os.close(os.open(name, flags, 0o600, dir_fd=folder))
            try:
                os.rename(self._part, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(name, dir_fd=folder)
                raise

    def discard(self) -> None:
        """Remove the part file if it is there; may be called at any time."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._part, dir_fd=self._folder)
            os.close(self._file)
            self._file = -1
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def umask() -> int:
    """The process's umask, read without setting it: other threads make files meanwhile."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o077
