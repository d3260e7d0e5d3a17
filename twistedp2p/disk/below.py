"""What is below an open folder: opened one component at a time, and through no link."""

from __future__ import annotations

import os
from types import TracebackType

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FOLDER = 0o755  # the user's umask applies


class Below:
    """Opens files and folders below the open folder `top`, for one thread; raises OSError.

    The folders on the way to what was opened last stay open, so that its neighbours cost one call
    each. Where `make` is true, folders that are not there are made.
    """

    def __init__(self, top: int, make: bool = False) -> None:
        self._top = top
        self._make = make
        self._path = ""
        self._open: list[tuple[str, int]] = []  # each folder on the way, by name

    def __enter__(self) -> Below:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all but the top; may be called twice."""
        self._close(0)

    def folder(self, path: str) -> int:
        """The folder `path`, without "/" at the end, or the top where it is empty.

        Its descriptor is for use until the next call.
        """
        if path != self._path:
            names = path.split("/") if path else []
            same = 0
            while same < min(len(names), len(self._open)) and names[same] == self._open[same][0]:
                same += 1
            self._close(same)
            for name in names[same:]:
                self._open.append((name, self._enter(name)))
            self._path = path
        return self._open[-1][1] if self._open else self._top

    def _enter(self, name: str) -> int:
        above = self._open[-1][1] if self._open else self._top
        try:
            return os.open(name, FOLDER, dir_fd=above)
        except FileNotFoundError:
            if not self._make:
                raise
        os.mkdir(name, NEW_FOLDER, dir_fd=above)
        return os.open(name, FOLDER, dir_fd=above)

    def _close(self, kept: int) -> None:
        self._path = "/".join(name for name, _ in self._open[:kept])
        while len(self._open) > kept:
            os.close(self._open.pop()[1])

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """Open the file `path`; a link is not followed, and a pipe blocks nobody."""
        parent, _, name = path.rpartition("/")
        folder = self.folder(parent)
        return os.open(name, flags | SAFE, mode, dir_fd=folder)

    def status(self, path: str) -> os.stat_result:
        """What the system says of `path`, be it a link."""
        parent, _, name = path.rpartition("/")
        return os.stat(name, dir_fd=self.folder(parent), follow_symlinks=False)
