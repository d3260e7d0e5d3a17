"""The files and folders of a manifest, in columns.

As so many objects they would take three times the memory, and Python's garbage collector, which
looks at every object now and then, would hold up all threads for 50 ms each time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import attrs


@attrs.frozen
class Entry:
    """A file or folder."""

    path: str  # "a/b.txt"; of a folder "a/"
    size: int  # bytes
    mtime: int  # seconds since 1970

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.endswith("/")


class Entries(Sequence[Entry]):
    """Many of them; each is made when it is looked at. Not to be added to once it is shared."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.paths: list[str] = []
        self._sizes, self._mtimes = array("Q"), array("Q")
        for entry in entries:
            self.add(entry.path, entry.size, entry.mtime)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """`entries` itself where it is such a thing."""
        return entries if isinstance(entries, Entries) else cls(entries)

    def add(self, path: str, size: int, mtime: int) -> None:
        """One more; raises OverflowError where a number is negative, or has over 64 bits."""
        self._sizes.append(size)
        self._mtimes.append(mtime)
        self.paths.append(path)

    @property
    def sizes(self) -> Sequence[int]:
        """Bytes of each."""
        return self._sizes

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Entries: ...
    def __getitem__(self, index: int | slice) -> Entry | Entries:
        if isinstance(index, slice):
            return Entries(self[each] for each in range(*index.indices(len(self))))
        return Entry(self.paths[index], self._sizes[index], self._mtimes[index])

    def __iter__(self) -> Iterator[Entry]:
        return map(Entry, self.paths, self._sizes, self._mtimes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entries):
            return NotImplemented
        mine, others = ((o.paths, o._sizes, o._mtimes) for o in (self, other))
        return mine == others

    __hash__ = None  # type: ignore[assignment]
