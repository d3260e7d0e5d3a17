"""The part of a download that is to become a folder, or what was wanted of it.

A hidden folder, with the files below it under their own names. What is not wanted of a piece that
is needed is kept beside them, at its place in the stream, until all is there: so that the piece
can be checked again after a cut, and handed on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

from blake3 import blake3

from twistedp2p.core.content.manifest import Manifest, folded
from twistedp2p.core.errors import N_
from twistedp2p.disk.below import NEW_FOLDER, Below
from twistedp2p.disk.downloads.file_part import NEW_FILE, free_names, write_all
from twistedp2p.disk.downloads.parts import umask
from twistedp2p.disk.downloads.taking import (
    is_empty,
    is_the_one,
    leave,
    remove_folder,
    take_folder,
)

BLOCK = 4096  # bytes of a disk that a file of any size may cost more than it has
ROOM_LEAST = 2**18  # bytes in one file for which to ask for room ahead is worth a call
_REST = ".rest"  # no clean name begins with a dot
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


class FolderPart:
    """A hidden folder in the open `folder`. Raises OSError where the disk says no."""

    def __init__(
        self, folder: int, digest: str, manifest: Manifest, wanted: Sequence[str] | None
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        chosen = range(len(manifest.entries)) if wanted is None else manifest.within(wanted)
        self._chosen: Sequence[int] = chosen  # numbers of entries
        paths = [manifest.entries.paths[index] for index in chosen]
        self._wanted = None if wanted is None else set(paths)
        made = {path.rstrip("/") for path in paths}
        for path in list(made):  # and the folders on the way to them
            while (path := path.rpartition("/")[0]) and path not in made:
                made.add(path)
        self.overhead = BLOCK * len(made)  # bytes
        if wanted is not None:
            # Another choice is another folder.
            digest = blake3("\n".join([digest, *sorted(set(wanted))]).encode()).hexdigest()
        self._digest = digest
        self._taken = taken = take_folder(folder, digest)
        self._part, self._name = taken.descriptor, taken.name
        self._finished = False
        self._left = not self.is_empty()  # something, by an earlier run
        if self._left:
            files = {path for path in paths if not path.endswith("/")}
            self._remove_strangers({*files, _REST, *(f"{path}/" for path in made - files)})

    def _remove_strangers(self, ours: set[str]) -> None:
        """What is below and not `ours`, which are paths, is not to stay.

        What has another name too, or leads elsewhere, is not to be written to.
        """
        known = {folded(path) for path in ours}  # as a disk may spell them
        for top, folders, files, here in os.fwalk(".", dir_fd=self._part):
            for name in (*folders, *files):
                path = folded(f"{top}/{name}".removeprefix("./"))
                status = os.stat(name, dir_fd=here, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    if path not in known or not _is_alone(status):
                        os.unlink(name, dir_fd=here)
                elif f"{path}/" not in known:
                    folders.remove(name)
                    with contextlib.suppress(OSError):  # another's: it stays, as others' do
                        remove_folder(here, name)

    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return is_empty(self._part)

    def _places(self, offset: int, length: int) -> Iterator[tuple[str, int, int]]:
        """Which files hold a range of the stream: path, offset in it, length."""
        for entry, at, count in self._manifest.slices(offset, length):
            if self._wanted is None or entry.path in self._wanted:
                yield entry.path, at, count
            else:
                yield _REST, offset, count
            offset += count

    def has_data(self, offset: int) -> bool:
        """Whether something was ever written there: what was not need not be read."""
        if not self._left:
            return False
        ((path, at, _),) = self._places(offset, 1)
        try:
            with Below(self._part) as below, _opened(below, path, os.O_RDONLY) as file:
                return os.lseek(file, at, os.SEEK_DATA) == at
        except OSError:  # no such file, or nothing more in it
            return False

    def leave_hole(self, _offset: int, _length: int) -> bool:
        """A piece may be of several files, each of which has yet to be made."""
        return False

    def make_room(self, offset: int, length: int) -> None:
        """Have the disk find a place for what is written next, which makes that quicker."""
        with Below(self._part, make=True) as below:
            for path, at, count in self._places(offset, length):
                if count >= ROOM_LEAST:
                    with _opened(below, path) as file, contextlib.suppress(OSError):
                        os.posix_fallocate(file, at, count)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data`."""
        with Below(self._part, make=True) as below:
            for path, at, count in self._places(offset, len(data)):
                with _opened(below, path) as file:
                    write_all(file, at, data[:count])
                data = data[count:]

    def settled(self, _offset: int, _length: int) -> None:
        """Of a folder the end does not wait for the disk: it may have very many files."""

    def readinto(self, offset: int, room: memoryview) -> int:
        """Read what is there, up to all that there is room for."""
        done = 0
        with Below(self._part) as below:
            for path, at, count in self._places(offset, len(room)):
                try:
                    with _opened(below, path, os.O_RDONLY) as file:
                        come = os.preadv(file, [room[done : done + count]], at)
                except FileNotFoundError:
                    break
                done += come
                if come < count:
                    break
        return done

    def finish(self, name: str) -> str:
        """Give it `name`, or the first free number of it, which is returned."""
        self._complete()
        with contextlib.suppress(PermissionError):  # a memory stick keeps no modes
            os.fchmod(self._part, NEW_FOLDER & ~umask())
        if not is_the_one(self._part, self._folder, self._name):
            raise OSError(errno.EPERM, N_("somebody else has touched the unfinished file"))
        for free in free_names(name):
            with contextlib.suppress(FileExistsError):
                self._take_name(free)
                self._finished = True
                return free
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _complete(self) -> None:
        """Make what has no bytes, and set the times of all."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_REST, dir_fd=self._part)
        with Below(self._part, make=True) as below:
            for entry in map(self._manifest.entries.__getitem__, self._chosen):
                if entry.is_folder:
                    below.folder(entry.path[:-1])
                elif self._left or not entry.size:
                    with _opened(below, entry.path) as file:
                        os.ftruncate(file, entry.size)
            # From the end, for a folder's time changes with what is made in it.
            for entry in map(self._manifest.entries.__getitem__, reversed(self._chosen)):
                parent, _, own_name = entry.path.removesuffix("/").rpartition("/")
                times, folder = (entry.mtime, entry.mtime), below.folder(parent)
                os.utime(own_name, times, dir_fd=folder, follow_symlinks=False)

    def _take_name(self, name: str) -> None:
        # An empty folder of ours holds the name first: it is the only thing that this replaces.
        folder = self._folder
        os.mkdir(name, 0o700, dir_fd=folder)
        try:
            os.rename(self._name, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=folder)
            if error.errno in _TAKEN:
                raise FileExistsError(error.errno, error.strerror) from error
            raise

    def leave(self) -> bool:
        """Leave it to later runs; False where they will not find it."""
        return leave(self._taken, self._folder, self._digest)

    def remove(self) -> None:
        """Remove the part, and nothing else that may bear its name."""
        with contextlib.suppress(OSError):
            if is_the_one(self._part, self._folder, self._name):
                remove_folder(self._folder, self._name)

    def close(self) -> None:
        """Let go of it. It was used last now: see `taking.remove_left`."""
        if not self._finished:
            with contextlib.suppress(OSError):
                os.utime(self._part)
        os.close(self._part)


@contextlib.contextmanager
def _opened(below: Below, path: str, flags: int = os.O_WRONLY | os.O_CREAT) -> Iterator[int]:
    descriptor = below.open(path, flags, NEW_FILE)
    try:
        if flags & os.O_WRONLY and not _is_alone(os.fstat(descriptor)):
            raise OSError(errno.EPERM, N_("somebody else has touched the unfinished file"))
        yield descriptor
    finally:
        os.close(descriptor)


def _is_alone(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
