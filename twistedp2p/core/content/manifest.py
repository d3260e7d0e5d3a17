"""What is in a folder on offer: its files and folders, and the one stream of all their bytes.

A manifest is UTF-8 text, a JSON array on each line, in this one spelling of it::

    ["p2pshare/1 folder"]
    ["<path>",<size>,<mtime>]
    ...

The path's components are clean file names joined by "/", and that of a folder ends with "/". A
folder's size is 0. The lines are sorted by path, and no two paths are the same in NFC after case
folding, for the receiver's disk may take them for one. The content of the offer is the bytes of
all files, one after another in this order, and cut into pieces as one file is (`content.tree`).
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import attrs

from twistedp2p.core.content.entries import Entries, Entry
from twistedp2p.core.names import FILE_NAME_BYTES, clean_name

MOST_ENTRIES = 100_000
MOST_DEPTH = 32  # components of a path
MOST_BYTES = 16 * 2**20  # of the manifest
MOST_SIZE = 2**53 - 1  # bytes of all files
MOST_MTIME = 2**40  # seconds since 1970
_HEAD = '["p2pshare/1 folder"]\n'
_NUMBER = "(0|[1-9][0-9]{0,15})"
# Clean names hold neither quotes nor backslashes, so nothing is ever escaped.
_PATH = rf'[^"\\\n]{{1,{MOST_DEPTH * (FILE_NAME_BYTES + 1)}}}'
_LINE = re.compile(rf'\["({_PATH})",{_NUMBER},{_NUMBER}\]\n')


class BadManifest(ValueError):
    """Not a manifest, or one of a folder that is not to be made."""


def _columns(entries: Iterable[Entry]) -> Entries:
    try:
        return Entries.of(entries)
    except OverflowError:
        raise BadManifest("a number out of bounds") from None


@attrs.frozen
class Manifest:
    """Entries in their order; raises `BadManifest` where they are not as they must be."""

    entries: Entries = attrs.field(repr=False, converter=_columns)
    size: int = attrs.field(init=False)  # bytes of all files
    files: int = attrs.field(init=False)  # how many entries are no folders
    _starts: array[int] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if len(self.entries) > MOST_ENTRIES:
            raise BadManifest("too many files")
        _check(self.entries)
        if sum(self.entries.sizes) > MOST_SIZE:
            raise BadManifest("too large")
        starts = array("q", accumulate(self.entries.sizes, initial=0))
        object.__setattr__(self, "size", starts.pop())
        object.__setattr__(self, "_starts", starts)
        folders = sum(path.endswith("/") for path in self.entries.paths)
        object.__setattr__(self, "files", len(self.entries) - folders)

    def write(self) -> bytes:
        """The manifest as it is sent; raises `BadManifest` when that is over 16 MiB."""
        lines = [f'["{entry.path}",{entry.size},{entry.mtime}]\n' for entry in self.entries]
        data = (_HEAD + "".join(lines)).encode()
        if len(data) > MOST_BYTES:
            raise BadManifest("too long")
        return data

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """Read what `write` wrote; raises `BadManifest` on anything else."""
        if len(data) > MOST_BYTES or data.count(b"\n") > MOST_ENTRIES + 1:
            raise BadManifest("too long")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise BadManifest("not UTF-8") from error
        if not text.startswith(_HEAD):
            raise BadManifest("not a manifest")
        # Line by line: one call for all of them would keep every other thread from running.
        entries, at = Entries(), len(_HEAD)
        while at < len(text):
            line = _LINE.match(text, at)
            if line is None:
                raise BadManifest("a line that is not understood")
            path, size, mtime = line.groups()
            entries.add(path, int(size), int(mtime))
            at = line.end()
        return cls(entries)

    def slices(self, offset: int, length: int) -> Iterator[tuple[Entry, int, int]]:
        """What of which files makes up a range of the stream: entry, offset in it, length.

        Raises ValueError where the range goes beyond the stream.
        """
        return (found[1:] for found in self.numbered_slices(offset, length))

    def numbered_slices(self, offset: int, length: int) -> Iterator[tuple[int, Entry, int, int]]:
        """The same, each with the number of its entry before it."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError("beyond the end")
        # Of those that begin there, the last one is the one that has bytes.
        index = bisect_right(self._starts, offset) - 1
        while length:
            entry, at = self.entries[index], offset - self._starts[index]
            count = min(length, entry.size - at)
            if count:
                yield index, entry, at, count
            offset, length, index = offset + count, length - count, index + 1

    def within(self, wanted: Sequence[str]) -> list[int]:
        """The numbers of the entries that are `wanted` or below a folder that is.

        A folder may be named with its "/" or without. Raises LookupError naming what is not there.
        """
        found: set[int] = set()
        for path in wanted:
            bare = path.rstrip("/")
            paths = self.entries.paths
            first, after = (bisect_left(paths, bare + end) for end in ("/", "0"))
            some = set(range(first, after))  # "0" is what comes after "/"
            file = bisect_left(paths, bare)
            if file < len(paths) and paths[file] == bare:
                some.add(file)
            if not some:
                raise LookupError(path)
            found |= some
        return sorted(found)

    def is_file(self, path: str) -> bool:
        """Whether that is a file, and no folder."""
        bare = path.rstrip("/")
        paths = self.entries.paths
        place = bisect_left(paths, bare)
        return place < len(paths) and paths[place] == bare

    def part(self, wanted: Sequence[str]) -> list[tuple[int, int]]:
        """Where these files and folders are in the stream: offsets and lengths, in order, joined.

        Raises LookupError naming what is not there.
        """
        spans: list[tuple[int, int]] = []
        for index in self.within(wanted):
            start, size = self._starts[index], self.entries.sizes[index]
            if size and spans and sum(spans[-1]) == start:
                spans[-1] = spans[-1][0], spans[-1][1] + size
            elif size:
                spans.append((start, size))
        return spans


def folded(name: str) -> str:
    """What disks that know neither case nor normal forms take a clean name for."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", name.casefold())


class _Paths:
    """The paths seen so far, as a disk may see them."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}  # path without "/" at the end -> folded
        self._seen: set[str] = set()  # folded

    def add(self, path: str) -> None:
        """Take a file's path, or a folder's without "/" at the end."""
        self._new(path)

    def add_folder(self, path: str) -> str:
        """Take a folder, once; what it is folded."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = self._new(path)
        return known

    def _new(self, path: str) -> str:
        if path.count("/") >= MOST_DEPTH:
            raise BadManifest("too deep")
        parent, slash, name = path.rpartition("/")
        if clean_name(name) != name:
            raise BadManifest("a name that is not clean")
        above = self.add_folder(parent) if slash else ""
        known = f"{above}/{folded(name)}"
        if known in self._seen:
            raise BadManifest("two of one name")
        if len(self._seen) >= MOST_ENTRIES:  # folders that are on the way only count, too
            raise BadManifest("too many")
        self._seen.add(known)
        return known


def _check(entries: Entries) -> None:
    paths, before = _Paths(), ""
    for entry in entries:
        if not before < entry.path:
            raise BadManifest("not sorted")
        before = entry.path
        if entry.mtime > MOST_MTIME:
            raise BadManifest("a number out of bounds")
        if not entry.is_folder:
            paths.add(entry.path)
        elif entry.size:
            raise BadManifest("a folder with bytes")
        else:
            paths.add_folder(entry.path[:-1])
