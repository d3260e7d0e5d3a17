"""A folder on offer: read once to know it, then read on only while it is the same."""

from __future__ import annotations

import json
import os
import struct
from array import array
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import attrs

from twistedp2p.core.content.entries import Entries, Entry
from twistedp2p.core.content.manifest import BadManifest, Manifest
from twistedp2p.core.content.tree import Tree, TreeHash
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.below import Below
from twistedp2p.disk.offered.file import UNREADABLE, Changed
from twistedp2p.disk.offered.scan import Scan, Skipped

HASH_CHUNK = 2**20  # bytes
PATHS_AT_ONCE = 1000
FILES_AT_ONCE = 64  # opened in one call of `readinto`: a few milliseconds


@attrs.frozen
class FolderIdentity:
    """Which folder it is, and the state of each file and folder in it, in the manifest's order."""

    device: int
    inode: int
    times: array[int] = attrs.field(repr=False)  # nanoseconds since 1970
    inodes: array[int] = attrs.field(repr=False)
    paths: dict[int, str] = attrs.field(repr=False)  # where they are not those of the manifest

    def write(self) -> bytes:
        """As it is kept."""
        # In slices: one call for all of them would keep every other thread from running.
        rest, slices = iter(self.paths.items()), []
        while some := dict(islice(rest, PATHS_AT_ONCE)):
            slices.append(json.dumps(some).encode())
        paths = b"\n".join(slices)
        head = struct.pack("<QQQQ", self.device, self.inode, len(self.times), len(paths))
        return head + self.times.tobytes() + self.inodes.tobytes() + paths

    @classmethod
    def read(cls, data: bytes) -> FolderIdentity:
        """What `write` wrote, on this machine; raises ValueError."""
        head = struct.calcsize("<QQQQ")
        try:
            device, inode, count, length = struct.unpack("<QQQQ", data[:head])
        except struct.error as error:
            raise ValueError("not an identity") from error
        middle, end = head + 8 * count, head + 16 * count
        if len(data) != end + length:
            raise ValueError("not an identity")
        times, inodes = array("q", data[head:middle]), array("Q", data[middle:end])
        paths: dict[int, str] = {}
        for some in data[end:].splitlines():
            paths |= {int(index): str(path) for index, path in json.loads(some).items()}
        return cls(device, inode, times, inodes, paths)

    def path(self, index: int, entry: Entry) -> str:
        """Where an entry is on the disk, below the folder, without "/" at the end."""
        return self.paths.get(index, entry.path).removesuffix("/")

    def is_of(self, index: int, entry: Entry, status: os.stat_result) -> bool:
        """Whether that is the state of an entry; of a folder, whether it is the same one."""
        if status.st_ino != self.inodes[index] or entry.is_folder:
            return status.st_ino == self.inodes[index]
        return (status.st_size, status.st_mtime_ns) == (entry.size, self.times[index])


def open_folder(path: str | Path) -> int:
    """Open a folder to offer it; raises `ShareError` with what is wrong."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_folder(
    path: str | Path,
    progress: Callable[[int, int], None],
    stopped: Callable[[], bool],
    leave_out: Callable[[str], bool] = lambda _name: False,
) -> tuple[FolderIdentity, Tree, Skipped]:
    """Read a folder with all that is in it but what `leave_out` says of names; blocks for long.

    `progress(done, size)` is called in this thread about once a MiB; `stopped()` is asked as
    often. Raises `ShareError` when it cannot be read, changes meanwhile, holds too much, or was
    stopped.
    """
    top = open_folder(path)
    try:
        scan = Scan(top, path, stopped, leave_out)
        entries = scan.entries
        _check_some_is_left(path, entries, scan.skipped)
        status = os.fstat(top)
        identity = FolderIdentity(
            status.st_dev,
            status.st_ino,
            array("q", [mtime_ns for *_, mtime_ns, _ in scan.found]),
            array("Q", [inode for *_, inode in scan.found]),
            {at: path for at, (clean, _, path, _, _) in enumerate(scan.found) if path != clean},
        )
        manifest = Manifest(entries)
        tree = _hashed(top, manifest, identity, progress, lambda: _stop(path, stopped))
    except BadManifest as error:
        raise ShareError(N_("{path} holds too much for one offer."), path=path) from error
    except Changed as error:
        raise ShareError(
            N_("{path} changed while it was read; offer it again when it rests."), path=path
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(top)
    return identity, tree, scan.skipped


def _check_some_is_left(path: str | Path, entries: Entries, skipped: Skipped) -> None:
    """What is left of /proc and the like is folders, and files that are empty for once."""
    content = any(entry.size for entry in entries)
    files = any(not entry.is_folder for entry in entries)
    if (skipped.special and not content) or (any(attrs.astuple(skipped)) and not files):
        raise ShareError(
            N_("Nothing in {path} can be offered: it has links or special files only."),
            Exit.NO_INPUT,
            path=path,
        )


def _stop(path: str | Path, stopped: Callable[[], bool]) -> None:
    if stopped():
        raise ShareError(N_("Reading {path} was stopped."), path=path)


def _unreadable(path: str | Path, error: Exception) -> ShareError:
    why = getattr(error, "strerror", None) or error
    return ShareError(N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=why)


def _hashed(
    top: int,
    manifest: Manifest,
    identity: FolderIdentity,
    progress: Callable[[int, int], None],
    go_on: Callable[[], None],
) -> Tree:
    written = manifest.write()
    made = TreeHash(manifest.size)
    reader = FolderReader(os.dup(top), manifest, identity, 0, manifest.size)
    try:
        buffer = memoryview(bytearray(HASH_CHUNK))
        while count := reader.readinto(buffer):
            made.update(buffer[:count])
            progress(made.progress, manifest.size)
            go_on()
    finally:
        reader.close()
    return made.finish(written)


def open_same_folder(path: str, identity: FolderIdentity) -> int:
    """Open an offered folder if it is still the same; raises `Changed`, or OSError: not now."""
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Changed(N_("the folder is not there any more")) from None
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise Changed(N_("the folder cannot be read any more")) from None
    status = os.fstat(top)
    if (status.st_dev, status.st_ino) != (identity.device, identity.inode):
        os.close(top)
        raise Changed(N_("the folder is another one now"))
    return top


def check_folder(path: str, manifest: Manifest, identity: FolderIdentity) -> str:
    """The reason why an offered folder is another now; empty where that is not known. Blocks.

    What has been put into it since is not offered, and no reason.
    """
    try:
        top = open_same_folder(path, identity)
    except Changed as change:
        return str(change)
    except OSError:
        return ""
    try:
        with Below(top) as below:
            for index, entry in enumerate(manifest.entries):
                if not identity.is_of(index, entry, below.status(identity.path(index, entry))):
                    return N_("a file in it has changed")
    except (FileNotFoundError, NotADirectoryError):
        return N_("a file in it is not there any more")
    except OSError:
        pass
    finally:
        os.close(top)
    return ""


class FolderReader:
    """Reads exactly `length` bytes of an offered folder's stream, from `offset` on.

    `top` is the open folder, which this closes. Files are opened one by one, and each must be what
    was offered after each read; `readinto` raises `Changed` where one is not, for the length was
    announced: the transfer must be cut, never padded or overrun. OSError: not now.
    """

    def __init__(
        self, top: int, manifest: Manifest, identity: FolderIdentity, offset: int, length: int
    ) -> None:
        self._top = top
        self._below = Below(top)
        self._identity = identity
        self._slices = manifest.numbered_slices(offset, length)
        self._file = -1
        self._index = self._at = self._left = 0  # in the file that is open
        self._entry = Entry("", 0, 0)

    def readinto(self, room: memoryview) -> int:
        """Fill `room` as far as the range and `FILES_AT_ONCE` go: how many bytes; 0 at the end."""
        done, files = 0, 0
        try:
            while done < len(room) and files < FILES_AT_ONCE and (self._left or self._open_next()):
                files += 1
                wanted = min(len(room) - done, self._left)
                count = os.preadv(self._file, [room[done : done + wanted]], self._at)
                self._at, self._left, done = self._at + count, self._left - count, done + count
                if not count or not self._is_same():
                    raise Changed(N_("a file in it has changed"))
                if not self._left:
                    self._leave()
        except FileNotFoundError:
            raise Changed(N_("a file in it is not there any more")) from None
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            raise Changed(N_("a file in it cannot be read any more")) from error
        return done

    def _open_next(self) -> bool:
        following = next(self._slices, None)
        if following is None:
            return False
        self._index, self._entry, self._at, self._left = following
        path = self._identity.path(self._index, self._entry)
        self._file = self._below.open(path, os.O_RDONLY)
        return True

    def _is_same(self) -> bool:
        return self._identity.is_of(self._index, self._entry, os.fstat(self._file))

    def _leave(self) -> None:
        os.close(self._file)
        self._file = -1

    def close(self) -> None:
        """Let go of the folder; may be called twice."""
        if self._top >= 0:
            if self._file >= 0:
                with suppress(OSError):
                    os.close(self._file)
            self._file = -1
            self._below.close()
            os.close(self._top)
            self._top = -1
            self._slices = iter(())
            self._left = 0
