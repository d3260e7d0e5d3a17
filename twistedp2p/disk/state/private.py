"""Folders that are ours alone, and locks that end with the process that holds them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from twistedp2p.core.errors import N_


def make_private(folder: Path) -> None:
    """Make the folder, ours alone: what is in a folder that others write to is theirs too.

    Raises OSError, also where it is there and belongs to somebody else, or is a link.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, N_("it belongs to somebody else"))
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)


def try_lock(path: Path) -> int | None:
    """The descriptor of a lock file (flock) that is held until it is closed, or None where somebody
    else holds it. Whoever is killed holds it no more. Raises OSError."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
