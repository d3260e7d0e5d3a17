"""Offered folders in memory: to read one again for each ask would hold up everybody else."""

from __future__ import annotations

from collections import OrderedDict

from twistedp2p.disk.offered import Folder
from twistedp2p.disk.shares import Share
from twistedp2p.disk.store import Store

MAX_ENTRIES = 200_000  # of all folders that are kept in memory: some 60 MB


class Folders:
    """Those that were used last; the others are in the `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[Share, Folder]] = OrderedDict()  # the latest is last

    def put(self, share: Share, folder: Folder) -> None:
        """Keep that one, of that very offer."""
        self._kept.pop(share.name, None)
        self._kept[share.name] = share, folder
        while len(self._kept) > 1 and self.entries > MAX_ENTRIES:
            self._kept.popitem(last=False)

    def of(self, share: Share) -> Folder | None:
        """None for a file; raises `ShareError` and ValueError where it cannot be read."""
        if not share.manifest:
            return None
        known, folder = self._kept.get(share.name, (None, None))
        if folder is None or known is not share:
            if self._store.tree(share) is None:  # it was offered anew meanwhile
                raise ValueError("another folder is on offer under that name")
            folder = Folder.read(*self._store.folder(share.name))
        self.put(share, folder)
        return folder

    def drop(self, name: str) -> None:
        """That one is not on offer any more."""
        self._kept.pop(name, None)

    @property
    def entries(self) -> int:
        """Files and folders in all that are kept."""
        return sum(len(folder.manifest.entries) for _, folder in self._kept.values())
