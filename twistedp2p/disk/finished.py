"""A download that stands in its place, as long as nobody changes it or takes it away."""

from __future__ import annotations

import os
from pathlib import Path

from twistedp2p.disk.shelf import Changed, Identity, open_unchanged


class FinishedFile:
    """Reads it as it was when this was made, which raises OSError where it cannot be read.

    It is opened for each look: a file that its user removes is not to be held by us.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._identity = Identity.of(descriptor)
        finally:
            os.close(descriptor)

    def readinto(self, offset: int, room: memoryview) -> int:
        """Fill `room` from `offset` on: how many bytes of it; 0 once it has been changed."""
        try:
            descriptor = open_unchanged(self._path, self._identity)
        except Changed:
            return 0
        try:
            return os.preadv(descriptor, [room], offset)
        finally:
            os.close(descriptor)
