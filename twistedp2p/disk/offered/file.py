"""The files on offer: read once to know them, then opened only while they are the same.

A file is known by device, inode, size and time of change; one that differs in any of them is
not what was offered and is not served. A reader never gives more bytes than were announced.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

from twistedp2p.core.content.tree import Tree, TreeHash
from twistedp2p.core.errors import N_, Exit, ShareError

HASH_CHUNK = 1 << 20  # bytes
LARGE = 4 << 30  # bytes: to read such a file leaves nothing in the system's cache
DROPPED = 8 << 20  # bytes of it let go of at once
# What says that a path leads to another file now, or that we may not read it any more. Whatever
# else fails (too many open files, a server that is away) passes, and says nothing of the file.
UNREADABLE = (errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO)


@attrs.frozen
class FileIdentity:
    """Which file it is and in which state."""

    size: int  # bytes
    mtime_ns: int  # nanoseconds since 1970
    device: int
    inode: int

    @classmethod
    def of(cls, descriptor: int) -> FileIdentity:
        """The identity of an open file."""
        status = os.fstat(descriptor)
        return cls(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)


class Changed(Exception):
    """The file is not what was offered any more. The text is the reason, one sentence."""


def open_file(path: str | Path) -> int:
    """Open a regular file to offer it; raises `ShareError` with what is wrong."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # ValueError: no file can have that name
        why = getattr(error, "strerror", None) or error
        raise ShareError(
            N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=why
        ) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and tells_size(descriptor):
        return descriptor
    os.close(descriptor)
    raise _not_ordinary(path)


def tells_size(descriptor: int) -> bool:
    """Whether a file that is said to be empty is: what is in /proc and the like is made as it is
    read, and may be something else, and longer, each time."""
    try:
        return bool(os.fstat(descriptor).st_size) or not os.pread(descriptor, 1, 0)
    except OSError:  # it has no content that could be offered
        return False


def _not_ordinary(path: object) -> ShareError:
    return ShareError(N_("{path} is not an ordinary file."), Exit.NO_INPUT, path=path)


def read_file(
    path: str | Path, progress: Callable[[int, int], None], stopped: Callable[[], bool]
) -> tuple[FileIdentity, Tree]:
    """Read a file to know its identity and its content; blocks as long as that takes.

    `progress(done, size)` is called in this thread about once a MiB; `stopped()` is asked as
    often. Raises `ShareError` when it cannot be read, changes meanwhile, or was stopped.
    """
    descriptor = open_file(path)
    try:
        identity = FileIdentity.of(descriptor)
        made = TreeHash(identity.size)
        buffer = memoryview(bytearray(HASH_CHUNK))
        dropped = 0  # bytes
        # Not to the end: a file that grows as fast as it is read would be read for ever.
        while left := identity.size - made.progress:
            count = os.readv(descriptor, [buffer[:left]])
            if not count:
                break
            made.update(buffer[:count])
            if identity.size >= LARGE and made.progress - dropped >= DROPPED:
                # It would not be there any more when it is served, nor would anything else; and
                # room that was used lately costs the system less than more and more of it.
                os.posix_fadvise(descriptor, dropped, DROPPED, os.POSIX_FADV_DONTNEED)
                dropped += DROPPED
            progress(made.progress, identity.size)
            if stopped():
                raise ShareError(N_("Reading {path} was stopped."), path=path)
        same = FileIdentity.of(descriptor) == identity
        if same and made.progress != identity.size:
            raise _not_ordinary(path)  # nor is one of /sys, which ends before its size
        if not same:
            raise ShareError(
                N_("{path} changed while it was read; offer it again when it rests."),
                path=path,
            )
    except OSError as error:
        raise ShareError(
            N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=error.strerror
        ) from error
    finally:
        os.close(descriptor)
    return identity, made.finish()


def open_same_file(path: str, identity: FileIdentity) -> int:
    """Open an offered file if it is still the same; raises `Changed`, or OSError: not now.

    A link put in its place is not followed, nor does one in its folder lead anywhere else: what
    is opened must be the very file that was offered.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Changed(N_("the file is not there any more")) from None
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise Changed(N_("the file cannot be read any more")) from None
    try:
        if FileIdentity.of(descriptor) != identity:
            raise Changed(N_("the file has changed"))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_file(path: str, identity: FileIdentity) -> str:
    """The reason why an offered file is another now; empty where that is not known."""
    try:
        os.close(open_same_file(path, identity))
    except Changed as change:
        return str(change)
    except OSError:
        pass
    return ""


class FileReader:
    """Reads exactly `length` bytes of an offered file.

    `readinto` raises `Changed` where the file ends early or turns out to have changed: the length
    was announced, so the transfer must be cut, never padded or overrun; OSError: not now. It looks
    after each read, for a client that is sent what it was not offered does not believe the owner
    any more.
    """

    def __init__(self, descriptor: int, identity: FileIdentity, offset: int, length: int) -> None:
        self._descriptor = descriptor
        self._identity = identity
        self._at = offset
        self._left = length
        if length:
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_SEQUENTIAL)

    def readinto(self, room: memoryview) -> int:
        """Fill `room` as far as the range goes: how many bytes of it; 0 at the end."""
        wanted = min(len(room), self._left)
        if not wanted:
            return 0
        try:
            count = os.preadv(self._descriptor, [room[:wanted]], self._at)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            raise Changed(N_("the file cannot be read any more")) from error
        self._at += count
        self._left -= count
        if not count or FileIdentity.of(self._descriptor) != self._identity:
            raise Changed(N_("the file has changed"))
        return count

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
