"""Taking a hidden part for oneself: the one that was left from an earlier run, or a new one.

A part is a file or a folder in an open folder. Its name is made of the digest of what it is to
become, so that it is found again; its lock tells other processes that it is in use. What bears
the name and is not ours, is a link, or has another name too, is left alone: then, as where
another one uses the part, a new one is made under a random name, which nobody takes over. Who
leaves such a one gives it the name that is looked for, where that is free by then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import attrs

NAME_DIGITS = 32  # hexadecimal, of a digest or random
PART = re.compile(r"\.(?:[0-9a-f]{16}|[0-9a-f]{32})\.part")  # 16 digits: earlier versions
LEFT_AFTER = 7 * 86_400.0  # seconds without use after which a part is nobody's
_TRIES = 10  # a part that goes while we take it has been finished or thrown away
_NOT_OURS = (errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENXIO)


@attrs.frozen
class Taken:
    """A part that is ours alone while its descriptor is open."""

    descriptor: int
    name: str
    again: bool  # under the name that later runs look for


def part_name(digest: str) -> str:
    """The name of the part of what has this digest."""
    return f".{digest.removeprefix('blake3:')[:NAME_DIGITS]}.part"


def take_file(folder: int, digest: str) -> Taken:
    """A part for a file, open for reading and writing; raises OSError."""
    return _take(folder, digest, _open_file, _new_file, stat.S_ISREG)


def take_folder(folder: int, digest: str) -> Taken:
    """A part for a folder; raises OSError."""
    return _take(folder, digest, _open_folder, _new_folder, stat.S_ISDIR)


def leave(part: Taken, folder: int, digest: str) -> bool:
    """Leave a part to later runs; False where they will not find it. Raises OSError."""
    if part.again or not is_the_one(part.descriptor, folder, part.name):
        return part.again
    is_folder = stat.S_ISDIR(os.fstat(part.descriptor).st_mode)
    # An empty one that is locked by us holds the name: it is the only thing that this replaces.
    there = (take_folder if is_folder else take_file)(folder, digest)
    try:
        empty = is_empty(there.descriptor)
        if there.again and empty:
            os.rename(part.name, there.name, src_dir_fd=folder, dst_dir_fd=folder)
        elif empty:
            (os.rmdir if is_folder else os.unlink)(there.name, dir_fd=folder)
        return there.again and empty
    finally:
        os.close(there.descriptor)


def is_empty(descriptor: int) -> bool:
    """Whether nothing was written to a part yet."""
    status = os.fstat(descriptor)
    return not (os.listdir(descriptor) if stat.S_ISDIR(status.st_mode) else status.st_blocks)


def is_the_one(descriptor: int, folder: int, name: str) -> bool:
    """Whether `name` in `folder` is what is open."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def locked(descriptor: int) -> bool:
    """Lock it; False where another one has, or nothing can be locked there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_ours(status: os.stat_result) -> bool:
    """Whether it is our user's, and an ordinary file without another name, or a folder."""
    ordinary = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return status.st_uid == os.geteuid() and (ordinary or stat.S_ISDIR(status.st_mode))


def remove_folder(folder: int, name: str) -> None:
    """Remove the folder `name` in `folder` with all that is in it; no link is followed.

    Raises OSError where something cannot be removed.
    """
    for _, folders, files, here in os.fwalk(name, topdown=False, dir_fd=folder):
        for inside in files:
            os.unlink(inside, dir_fd=here)
        for inside in folders:
            try:
                os.rmdir(inside, dir_fd=here)
            except NotADirectoryError:  # a link to one
                os.unlink(inside, dir_fd=here)
    os.rmdir(name, dir_fd=folder)


def remove_left(folder: Path, now: float) -> bool:
    """Remove the parts that nobody has taken over for long in `folder`, and nothing else. Blocks.

    `now` is the time of day. Removed is what bears our kind of name, is ours, an ordinary file
    without another name or a folder, in use by nobody, and was used last long ago. Returns whether
    others are there, or may be.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # a disk that is not there now
        return True
    left = False
    try:
        for name in filter(PART.fullmatch, os.listdir(descriptor)):
            try:
                left = not _remove_if_left(descriptor, name, now) or left
            except OSError:
                left = True
    finally:
        os.close(descriptor)
    return left


def _remove_if_left(folder: int, name: str, now: float) -> bool:
    part = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    try:
        status = os.fstat(part)
        if not is_ours(status) or now - status.st_mtime <= LEFT_AFTER or not locked(part):
            return False
        if stat.S_ISDIR(status.st_mode):
            remove_folder(folder, name)
        else:
            os.unlink(name, dir_fd=folder)
        return True
    finally:
        os.close(part)


_Open = Callable[[int, str], int]


def _take(
    folder: int, digest: str, reopen: _Open, new: _Open, is_kind: Callable[[int], bool]
) -> Taken:
    name = part_name(digest)
    for _ in range(_TRIES):
        try:
            descriptor = reopen(folder, name)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in _NOT_OURS:
                break
            raise
        status = os.fstat(descriptor)
        mine = is_kind(status.st_mode) and is_ours(status) and locked(descriptor)
        if mine and is_the_one(descriptor, folder, name):
            return Taken(descriptor, name, True)
        os.close(descriptor)
        if not mine and status.st_nlink:
            break
    name = f".{secrets.token_hex(NAME_DIGITS // 2)}.part"
    descriptor = new(folder, name)
    locked(descriptor)
    return Taken(descriptor, name, False)


_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _open_file(folder: int, name: str) -> int:
    return os.open(name, _FILE, 0o600, dir_fd=folder)


def _new_file(folder: int, name: str) -> int:
    return os.open(name, _FILE | os.O_EXCL, 0o600, dir_fd=folder)


def _open_folder(folder: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _new_folder(folder: int, name: str) -> int:
    os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)
