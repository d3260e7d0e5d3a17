"""What is in a watched folder, and in which state."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from twistedp2p.core.content.manifest import MOST_DEPTH, MOST_ENTRIES

UNFINISHED = (".part", ".crdownload", "~")  # how names of what others are still writing end

State = tuple[int, ...]


def look(folder: str) -> dict[str, State]:
    """The names of files and folders in it, and a state of each that is another after any change.

    Links, special files, and what is hidden or unfinished by its name are left out. Empty where
    the folder cannot be read. Blocks: 30 ms for 10,000 files.
    """
    found: dict[str, State] = {}
    for item in _inside(folder):
        if item.name.startswith(".") or item.name.endswith(UNFINISHED):
            continue
        state = _state(item)
        if state is not None:
            found[item.name] = state
    return found


def _inside(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listed:
            return list(listed)
    except OSError:
        return []


def _state(item: os.DirEntry[str]) -> State | None:
    try:
        status = item.stat(follow_symlinks=False)
    except OSError:  # it has gone
        return None
    if stat.S_ISREG(status.st_mode):
        return status.st_size, status.st_mtime_ns, status.st_ino
    if not stat.S_ISDIR(status.st_mode):
        return None
    below = sorted(_below(item.path, MOST_DEPTH))
    return status.st_ino, len(below), hash(tuple(below))


def _below(folder: str, depth: int) -> Iterator[tuple[str, State]]:
    """All that is in it, as far as it could be offered."""
    count = 0
    waiting = [(folder, depth)]
    while waiting:
        at, left = waiting.pop()
        for item in _inside(at):
            count += 1
            if count > MOST_ENTRIES:
                return
            try:
                status = item.stat(follow_symlinks=False)
            except OSError:
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield item.path, (status.st_size, status.st_mtime_ns, status.st_ino)
                continue
            yield item.path, (status.st_ino,)
            if left:
                waiting.append((item.path, left - 1))
