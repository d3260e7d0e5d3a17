"""A download that stands in its place, as long as nobody changes it."""

from __future__ import annotations

import os
from pathlib import Path

from twistedp2p.disk.shelf import Identity


class FinishedFile:
    """Reads it as it was when this was made, which raises OSError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._identity = Identity.of(self._descriptor)

    def readinto(self, offset: int, room: memoryview) -> int:
        """Fill `room` from `offset` on: how many bytes of it; 0 once it has been changed."""
        if self._descriptor < 0 or Identity.of(self._descriptor) != self._identity:
            return 0
        return os.preadv(self._descriptor, [room], offset)

    def close(self) -> None:
        """Let go of it; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
