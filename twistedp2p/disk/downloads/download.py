"""A download: pieces that are checked as they are written, until the whole gets its name.

The folder is opened once and everything happens relative to it, so that no link put in its way
afterwards leads elsewhere. What an earlier run left of the same content is taken over: all that
was ever written is hashed again, so that a piece that was half written when the power went is
found out, and no journal is needed.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
from blake3 import blake3

from twistedp2p.core.content.manifest import BadManifest, Manifest
from twistedp2p.core.content.tree import BadPiece, Tree
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import clean_name
from twistedp2p.disk.downloads.file_part import FilePart
from twistedp2p.disk.downloads.folder_part import FolderPart

RESERVE = 256 * 2**20  # bytes of the disk that a download leaves free, but no more than
RESERVE_SHARE = 20  # the 20th part of the disk: a small one is to be of use, too
HASH_CHUNK = 2**20  # bytes read at once to see what is there
_NOBODY = object()


@attrs.define
class _Coming:
    """What of a piece has come from one source."""

    at: int = 0  # bytes
    hash: blake3 = attrs.Factory(blake3)
    waiting: bytearray | None = None


class _Begun:
    """A piece of which something has come, from one source or, at the very end, from several."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.first: Hashable = _NOBODY  # whose bytes go straight to the disk; those of others wait
        self.comings: dict[Hashable, _Coming] = {}


class Download:
    """What `tree` stands for, on its way into `folder`, to become `name` (cleaned once more).

    Blocking; several threads may write different pieces at once. Raises `ShareError` where the
    disk says no; what was verified until then stays. Call `take_over` first.

    `wanted`: which files and folders of a folder are to be fetched, as paths of its manifest; all
    where it is None. Raises LookupError when one is not there, and `BadManifest`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        tree: Tree,
        wanted: Sequence[str] | None = None,
    ) -> None:
        self.tree = tree
        self.have = bytearray(tree.count)  # 1 for each piece that is here and right
        self.needed = bytearray(b"\1" * tree.count)  # 1 for each that holds something wanted
        self.manifest: Manifest | None = None  # of a folder
        self._name = clean_name(name)
        self._path = folder
        self._begun: dict[int, _Begun] = {}
        self._lock = threading.Lock()  # the loop waits for it, too: nothing long is done under it
        self._unused = threading.Condition(self._lock)
        self._users, self._ending = 0, False
        with self._sentences():
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._part = self._make_part(wanted)
                self.begun_before = not self._part.is_empty()  # by an earlier run
            except BaseException:
                os.close(self._folder)
                raise

    def _make_part(self, wanted: Sequence[str] | None) -> FilePart | FolderPart:
        tree = self.tree
        if not tree.manifest:
            return FilePart(self._folder, tree.digest, tree.size)
        self.manifest = manifest = Manifest.read(tree.manifest)
        if manifest.size != tree.size:  # files would stay short, or pieces belong to none
            raise BadManifest("not of that size")
        if wanted is not None:
            self.needed = bytearray(tree.count)
            for offset, length in manifest.part(wanted):
                first, last = offset // tree.piece, (offset + length - 1) // tree.piece
                self.needed[first : last + 1] = b"\1" * (last + 1 - first)
        return FolderPart(self._folder, tree.digest, manifest, wanted)

    def take_over(
        self,
        progress: Callable[[int, int], None] = lambda _done, _size: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read what was left by an earlier run, and see that there is room for the rest.

        Takes as long as that is large: `progress(done, size)` is called, and `stopped()` asked,
        about once a MiB.
        """
        with self._using():
            self._verify(progress, stopped)
            self._check_room()

    def _verify(self, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> None:
        buffer = memoryview(bytearray(min(HASH_CHUNK, self.tree.size)))
        for index in range(self.tree.count):
            offset, length = self.tree.span(index)
            if not self.needed[index]:
                continue
            if not self._part.has_data(offset):
                zeros = self.tree.is_zeros(index)
                self.have[index] = zeros and self._part.leave_hole(offset, length)
                continue
            found, done = blake3(), 0
            while done < length and (
                count := self._part.readinto(offset + done, buffer[: length - done])
            ):
                found.update(buffer[:count])
                done += count
                progress(offset + done, self.tree.size)
                if stopped():
                    raise ShareError(N_("Stopped."))
            self.have[index] = found.digest() == self.tree.piece_hash(index)

    @property
    def lacking(self) -> bytes:
        """1 for each piece that is needed and not here."""
        needed, have = (int.from_bytes(each, "big") for each in (self.needed, self.have))
        return (needed & ~have).to_bytes(self.tree.count, "big")

    def _check_room(self) -> None:
        disk = os.fstatvfs(self._folder)
        missing = self._part.overhead + self.tree.length(self.lacking)
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)
        if disk.f_bavail * disk.f_frsize - reserve < missing:
            raise ShareError(
                N_(
                    "There is not enough room in {folder} for {name} ({size} bytes): {reserve}"
                    " bytes stay free there."
                ),
                reserve=reserve,
                folder=self._path,
                name=self._name,
                size=self.tree.size,
            )

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise ShareError(
                N_("The disk is full: {name} could not be written to {folder}.")
                if full
                else N_("{name} could not be written to {folder}: {why}."),
                Exit.NO_FOLDER,
                name=self._name,
                folder=self._path,
                why=error.strerror or str(error),
            ) from error

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Descriptors stay open inside: a number that was closed may be another file's."""
        with self._sentences():
            with self._lock:
                if self._ending:
                    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
                self._users += 1
            try:
                yield
            finally:
                with self._lock:
                    self._users -= 1
                    self._unused.notify_all()

    def write(self, index: int, at: int, data: bytes | memoryview, source: Hashable = None) -> bool:
        """Write what came of piece `index` at byte `at` of it, in order from 0.

        True when the piece is whole and right, False while something is missing; `BadPiece` when
        it is whole and wrong. From 0 on, a piece begins anew. Where several sources send the same
        piece at once, each has its `source`: only what the first one sends goes to the disk as
        it comes. Raises ValueError when `data` is not what comes next, or goes beyond the piece.
        """
        self.tree.span(index)
        with self._using():
            begun = self._begin(index)
            if begun is None:
                return True
            with begun.lock:
                return bool(self.have[index]) or self._add(begun, index, at, data, source)

    def _begin(self, index: int) -> _Begun | None:
        with self._lock:
            return None if self.have[index] else self._begun.setdefault(index, _Begun())

    def _add(
        self, begun: _Begun, index: int, at: int, data: bytes | memoryview, source: Hashable
    ) -> bool:
        offset, length = self.tree.span(index)
        if at + len(data) > length:
            raise ValueError("more than the piece")
        if at == 0:
            if begun.first in (_NOBODY, source):
                begun.first = source
                self._part.make_room(offset, length)
            waiting = None if begun.first == source else bytearray()
            begun.comings[source] = _Coming(waiting=waiting)
        coming = begun.comings.get(source)
        if coming is None or coming.at != at:
            raise ValueError("not the bytes that come next")
        if coming.waiting is None:
            self._part.write(offset + at, memoryview(data))
        else:
            coming.waiting += data
        coming.hash.update(data)
        coming.at += len(data)
        return coming.at == length and self._settle(begun, index, coming, source)

    def _settle(self, begun: _Begun, index: int, coming: _Coming, source: Hashable) -> bool:
        """The piece is whole: keep it if it is right."""
        if coming.hash.digest() != self.tree.piece_hash(index):
            self._forget(begun, source)
            raise BadPiece(index)
        if coming.waiting is not None:
            self._part.write(self.tree.span(index)[0], memoryview(coming.waiting))
        with self._lock:
            self.have[index] = 1
            self._begun.pop(index, None)
        self._part.settled(*self.tree.span(index))
        return True

    def gone(self, source: Hashable) -> None:
        """Nothing more comes from that source: what it has begun is free."""
        with self._lock:
            for begun in self._begun.values():
                self._forget(begun, source)

    def _forget(self, begun: _Begun, source: Hashable) -> None:
        # What is being written for it at this moment is waited for: the lock stays the same.
        begun.comings.pop(source, None)
        if begun.first == source:
            begun.first = _NOBODY

    def readinto(self, offset: int, room: memoryview) -> int:
        """Read what is verified, from `offset` on; 0 where nothing is. May be called meanwhile."""
        if not 0 <= offset < self.tree.size or not self.have[offset // self.tree.piece]:
            return 0
        begin, length = self.tree.span(offset // self.tree.piece)
        with self._using():
            return self._part.readinto(offset, room[: begin + length - offset])

    def finish(self) -> Path:
        """All pieces are here: give the whole its name, which is returned.

        It can be read until `keep`. Raises ValueError when a piece is missing. Where the disk
        says no the part is kept.
        """
        if any(self.lacking):
            raise ValueError("pieces are missing")
        try:
            with self._using():
                return self._path / self._part.finish(self._name)
        except BaseException:
            self.keep()
            raise

    def keep(self) -> bool:
        """Let go of the part, and leave it for a later run; may be called at any time.

        Returns whether it is left: not where that would find nothing, not a byte, or not the part.
        """
        return self._end(remove=False)

    def discard(self) -> None:
        """Remove the part; may be called at any time."""
        self._end(remove=True)

    def _end(self, remove: bool) -> bool:
        with self._lock:
            if self._ending:
                return False
            self._ending = True
            self._unused.wait_for(lambda: not self._users)
        left = False
        try:
            with suppress(OSError):
                left = not remove and not self._part.is_empty() and self._part.leave()
            if not left:
                self._part.remove()
            return left
        finally:
            self._part.close()
            os.close(self._folder)
