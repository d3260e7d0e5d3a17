"""A download that stands in its place, as long as nobody changes it or takes it away.

Opened for each look: what its user removes is not to be held by us.
"""

from __future__ import annotations

import errno
import os
from array import array
from contextlib import closing
from pathlib import Path

from twistedp2p.core.content.manifest import Manifest
from twistedp2p.disk.below import FOLDER, Below
from twistedp2p.disk.offered.file import Changed, FileIdentity, open_same_file
from twistedp2p.disk.offered.folder import FolderIdentity, FolderReader, open_same_folder


class FinishedFile:
    """Reads it as it was when this was made, which raises OSError where it cannot be read."""

    entries = 0  # of a manifest that is kept for it

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._identity = FileIdentity.of(descriptor)
        finally:
            os.close(descriptor)

    def readinto(self, offset: int, room: memoryview) -> int:
        """Fill `room` from `offset` on: how many bytes of it; 0 once it has been changed."""
        try:
            descriptor = open_same_file(self._path, self._identity)
        except Changed:
            return 0
        try:
            return os.preadv(descriptor, [room], offset)
        finally:
            os.close(descriptor)


class FinishedFolder:
    """The same of a folder, all of which was fetched, under the names of its manifest. Blocks."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = str(path)
        self._manifest = manifest
        self.entries = len(manifest.entries)
        times, inodes = array("q"), array("Q")
        top = os.open(path, FOLDER)
        try:
            folder = os.fstat(top)
            with Below(top) as below:
                for entry in manifest.entries:
                    status = below.status(entry.path.removesuffix("/"))
                    times.append(status.st_mtime_ns)
                    inodes.append(status.st_ino)
                    is_as_it_came = status.st_mtime_ns // 10**9 == entry.mtime
                    if not entry.is_folder and not (is_as_it_came and status.st_size == entry.size):
                        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        finally:
            os.close(top)
        self._identity = FolderIdentity(folder.st_dev, folder.st_ino, times, inodes, {})

    def readinto(self, offset: int, room: memoryview) -> int:
        """Fill `room` from `offset` on: how many bytes of it; 0 once what is there has changed."""
        length = min(len(room), self._manifest.size - offset)
        try:
            top = open_same_folder(self._path, self._identity)
            reader = FolderReader(top, self._manifest, self._identity, offset, length)
            with closing(reader):
                return reader.readinto(room[:length])
        except Changed:
            return 0
