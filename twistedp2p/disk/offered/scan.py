"""Looking through a folder that is to be offered: what is in it, under which names it is sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

import attrs

from twistedp2p.core.content.entries import Entries
from twistedp2p.core.content.manifest import MOST_DEPTH, MOST_ENTRIES, MOST_MTIME, folded
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import clean_name
from twistedp2p.disk.below import FOLDER, SAFE
from twistedp2p.disk.downloads.parts import numbered
from twistedp2p.disk.downloads.taking import PART
from twistedp2p.disk.offered.file import tells_size
from twistedp2p.disk.state.instance import KEY_FILE

ASKED_EVERY = 1000  # entries between two looks at whether to stop


# A file or folder: path and size in the manifest; path below the folder, as the disk has it; time
# of modification, nanoseconds since 1970; inode. A plain tuple, at which Python's garbage collector
# does not look: see `content.entries`.
Found = tuple[str, int, str, int, int]


@attrs.define
class Skipped:
    """How many files and folders are not offered, and why."""

    links: int = 0
    special: int = 0  # pipes, sockets, devices, what tells no size, and the memory of nodes
    unreadable: int = 0


class Scan:
    """Finds what is in the folder that is open as `top`; `path` is for sentences only.

    `found` is sorted as a manifest is; what `leave_out` says of names is not looked at. Raises
    `ShareError` when there is too much in it, or it was stopped. Blocks.
    """

    def __init__(
        self,
        top: int,
        path: object,
        stopped: Callable[[], bool],
        leave_out: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self.skipped = Skipped()
        self._path = path
        self._stopped = stopped
        self._leave_out = leave_out
        self._found: list[Found] = []
        if _is_memory(top):
            sentence = N_("{path} is the memory of a node, with its private key: not offered.")
            raise ShareError(sentence, Exit.USAGE, path=path)
        self._look(top, "", "", 1)
        self.found = sorted(self._found)

    @property
    def entries(self) -> Entries:
        """What the manifest has of them."""
        entries = Entries()
        for clean, size, _, mtime_ns, _ in self.found:
            entries.add(clean, size, min(max(0, mtime_ns // 10**9), MOST_MTIME))
        return entries

    def _look(self, folder: int, path: str, clean: str, depth: int) -> None:
        """Take in what is in one folder; `path` and `clean` end with "/", or are empty."""
        if depth > MOST_DEPTH:
            raise self._too_much()
        names: set[str] = set()  # as a disk may see them
        with os.scandir(folder) as listed:
            inside = sorted(listed, key=lambda item: item.name)
        for item in inside:
            if PART.fullmatch(item.name) or self._leave_out(item.name):
                continue  # a download of ours under way, or not wanted
            status = self._offered(item, folder)
            if status is None:
                continue
            name = next(name for name in _free(item.name) if folded(name) not in names)
            names.add(folded(name))
            below = self._open(item.name, folder) if stat.S_ISDIR(status.st_mode) else -1
            if below == -1:
                if stat.S_ISREG(status.st_mode):
                    self._take(clean + name, path + item.name, status, status.st_size)
                continue
            try:
                self._take(f"{clean}{name}/", f"{path}{item.name}/", status, 0)
                self._look(below, f"{path}{item.name}/", f"{clean}{name}/", depth + 1)
            finally:
                os.close(below)

    def _offered(self, item: os.DirEntry[str], folder: int) -> os.stat_result | None:
        try:
            status = os.stat(item.name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            self.skipped.unreadable += 1
            return None
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            self.skipped.links += 1
        elif stat.S_ISREG(mode):
            if not os.access(item.name, os.R_OK, dir_fd=folder, effective_ids=True):
                self.skipped.unreadable += 1
            elif status.st_size or _is_empty(item.name, folder):
                return status
            else:
                self.skipped.special += 1
        elif stat.S_ISDIR(mode):
            return status
        else:
            self.skipped.special += 1
        return None

    def _open(self, name: str, folder: int) -> int:
        try:
            below = os.open(name, FOLDER, dir_fd=folder)
        except OSError:
            self.skipped.unreadable += 1
            return -1
        if not _is_memory(below):
            return below
        os.close(below)
        self.skipped.special += 1
        return -1

    def _take(self, clean: str, path: str, status: os.stat_result, size: int) -> None:
        self._found.append((clean, size, path, status.st_mtime_ns, status.st_ino))
        if len(self._found) > MOST_ENTRIES:
            raise self._too_much()
        if len(self._found) % ASKED_EVERY == 0 and self._stopped():
            raise ShareError(N_("Reading {path} was stopped."), path=self._path)

    def _too_much(self) -> ShareError:
        return ShareError(
            N_("{path} holds too much for one offer: at most {entries} files, {depth} deep."),
            Exit.NO_INPUT,
            path=self._path,
            entries=MOST_ENTRIES,
            depth=MOST_DEPTH,
        )


def _is_memory(folder: int) -> bool:
    """Whether a node has its key there: who offers his home is not to give that away."""
    return os.access(KEY_FILE, os.F_OK, dir_fd=folder, follow_symlinks=False)


def _is_empty(name: str, folder: int) -> bool:
    try:
        descriptor = os.open(name, SAFE | os.O_RDONLY, dir_fd=folder)
    except OSError:
        return False
    try:
        return tells_size(descriptor)
    finally:
        os.close(descriptor)


def _free(name: str) -> Iterator[str]:
    """What a name may be sent as, the best first."""
    clean = clean_name(os.fsencode(name).decode(errors="replace"))
    return (numbered(clean, number) for number in range(1, MOST_ENTRIES + 2))
