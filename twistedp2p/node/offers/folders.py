"""Offered folders in memory: to read one again for each ask would hold up everybody else."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.defer import Deferred, DeferredLock

from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.offered import OfferedFolder
from twistedp2p.net.pump import InThread

MAX_ENTRIES = 200_000  # of all folders that are kept in memory: some 60 MB
MAX_TEXT = 64 * 2**20  # bytes of their trees


class Folders:
    """Those that were used last; the others are in the `store`."""

    def __init__(self, store: Store, in_thread: InThread) -> None:
        self._store = store
        self._in_thread = in_thread
        self._kept: OrderedDict[str, tuple[Share, OfferedFolder]] = (
            OrderedDict()
        )  # the latest is last
        self._one_at_a_time = DeferredLock()

    def put(self, share: Share, folder: OfferedFolder) -> None:
        """Keep that one, of that very offer."""
        self._kept.pop(share.name, None)
        self._kept[share.name] = share, folder
        while len(self._kept) > 1 and (self.entries > MAX_ENTRIES or self.text > MAX_TEXT):
            self._kept.popitem(last=False)

    def loading(self, share: Share) -> Deferred[None] | None:
        """None where `of` gives it at once; else what fires when it does.

        Fails with `ShareError` or ValueError where it cannot be read.
        """
        if not share.manifest or self._is_here(share):
            return None
        return Deferred.fromCoroutine(self._load(share))

    def _is_here(self, share: Share) -> bool:
        return self.here(share) is not None

    def here(self, share: Share) -> OfferedFolder | None:
        """Where it is in memory; that is no use of it which would keep it there."""
        kept, folder = self._kept.get(share.name, (None, None))
        return folder if kept is share else None

    async def _load(self, share: Share) -> None:
        async with self._one_at_a_time:  # many may ask for one, and each takes a lot of memory
            if not self._is_here(share):
                self.put(share, await self._in_thread(self._read, share))

    def _read(self, share: Share) -> OfferedFolder:
        return OfferedFolder.read(*self._store.folder(share))

    def of(self, share: Share) -> OfferedFolder | None:
        """None for a file; raises ValueError where it is not here."""
        if not share.manifest:
            return None
        if not self._is_here(share):
            raise ValueError("not in memory")
        self._kept.move_to_end(share.name)
        return self._kept[share.name][1]

    def drop(self, name: str) -> None:
        """That one is not on offer any more."""
        self._kept.pop(name, None)

    @property
    def entries(self) -> int:
        """Files and folders in all that are kept."""
        return sum(len(folder.manifest.entries) for _, folder in self._kept.values())

    @property
    def text(self) -> int:
        """Bytes of the trees of all that are kept."""
        return sum(len(folder.text) for _, folder in self._kept.values())
