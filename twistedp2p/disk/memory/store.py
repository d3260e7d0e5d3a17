"""What a node remembers between runs: SQLite, one file, one writer.

Own and others' feed entries as signed bytes (`entries`), the offers among them (`catalogue`) with
their search index (`search`), pinned keys (`keys`), hosts that were met (`hosts`), and what is
needed to serve our own offers (`shares`, `contents`); where downloads went (`part_folders`).
Calls take well under a millisecond, but for `search`, `folder` and `tidy`, which have connections
of their own so that they may run in a thread.

A call that the disk or the file refuses raises `ShareError`, and has then changed nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from twistedp2p.core.catalogue import Listing, Offer, Query
from twistedp2p.core.content.tree import Tree
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.disk.memory.catalogue import Catalogue, offer_of
from twistedp2p.disk.memory.contents import OwnContents, content_of
from twistedp2p.disk.memory.database import Database
from twistedp2p.disk.memory.hosts import Hosts
from twistedp2p.disk.memory.index import mark_of
from twistedp2p.disk.memory.keys import Keys
from twistedp2p.disk.memory.part_folders import PartFolders
from twistedp2p.disk.memory.search import COLUMNS, find, heard_before
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.tidy import tidy

SEARCH_POOL = 300  # rows that are ranked


class Store(Catalogue, Keys, Hosts, OwnContents, PartFolders):
    """The node's memory in the file `path`; raises `ShareError` when it cannot be used.

    Neither `own_key` nor a well-known key loses anything to make room for others.
    """

    def __init__(self, path: Path, own_key: bytes) -> None:
        super().__init__(Database(path), own_key)
        self._path = path
        self._reading_lock = threading.Lock()
        self._reading_db: Database | None = None
        self._closed = threading.Event()
        self._tidied = -1  # how many rows had been written
        try:
            self._db.run("UPDATE feeds SET present = 0")
        except ShareError:
            self._db.close()
            raise

    def together(self) -> AbstractContextManager[None]:
        """All that is written inside is kept, or none of it."""
        return self._db.together()

    def once_kept(self, call: Callable[[], object]) -> None:
        """Call when what is being written is kept, if it is: at once outside `together`."""
        self._db.once_kept(call)

    def close(self) -> None:
        """Write everything out and let go of the file; may be called twice."""
        self._closed.set()
        if self._reading_db is not None:
            self._reading_db.interrupt()
        with self._reading_lock:
            if self._reading_db is not None:
                self._reading_db.close()
                self._reading_db = None
        self._db.close()

    def tidy(self, now_ms: int) -> None:
        """Remove old chat, and what dropped feeds have left; bring the log into the file.

        It waits for the disk, so that what writes in the loop need not: to be called in a thread
        every few seconds. Costs nothing when nothing was written. now_ms: milliseconds since 1970.
        """
        changes = self._db.changes
        if changes != self._tidied:
            tidy(self._path, self._closed.wait, now_ms)
            self._tidied = changes

    def counter(self, name: str, first: int = 0) -> int:
        """The number kept under `name`, made as `first` when there is none."""
        self._db.run("INSERT OR IGNORE INTO meta VALUES (?, ?)", name, first)
        return int(self._db.run("SELECT value FROM meta WHERE name = ?", name)[0][0])

    def set_counter(self, name: str, value: int) -> None:
        """Keep `value` under `name`."""
        self._db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    def search(self, query: Query, own_key: bytes, most: int = 200) -> list[Listing]:
        """At most `most` live offers of nodes that are here, best first. May run in a thread."""
        with self._reading() as db:
            rows = find(db, query, max(most, SEARCH_POOL) if query.words else most)
        if query.words:
            rows.sort(key=lambda row: query.rank(row[1]))
        return [Listing(offer_of(row), row[7], row[0] == own_key) for row in rows[:most]]

    def heard_before(
        self, query: Query, own_key: bytes, before: int, most: int
    ) -> list[tuple[int, Listing]]:
        """See `search.heard_before`. May run in a thread."""
        with self._reading() as db:
            rows = heard_before(db, query, before, most)
        return [(row[0], Listing(offer_of(row[1:]), row[8], row[1] == own_key)) for row in rows]

    def find(self, wanted: bytes, here: bool = True) -> Offer | None:
        """The live offer of that id, of a node that is here, or of one that is not. May run in a
        thread.
        """
        with self._reading() as db:
            rows = db.run(
                f"SELECT {COLUMNS} FROM offers AS o CROSS JOIN feeds AS f ON f.id = o.feed"  # noqa: S608
                " WHERE f.origin IS NOT NULL AND o.mark = ? AND o.live AND f.present = ?",
                mark_of(wanted),
                here,
            )
        return next((offer for offer in map(offer_of, rows) if offer.id == wanted), None)

    def folder(self, share: Share) -> tuple[Tree, bytes]:
        """The tree of an offered folder, and what `FolderIdentity.write` wrote: for a thread.

        Raises ValueError where another folder is kept under that name, or none.
        """
        with self._reading() as db:
            content = content_of(db, share)
        if content is None:
            raise ValueError("another folder is on offer under that name")
        return content

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        """The connection of whoever reads in a thread; one at a time."""
        with self._reading_lock:
            if self._closed.is_set():
                raise ShareError(N_("Stopped."))
            if self._reading_db is None:
                self._reading_db = Database(self._path)
            yield self._reading_db
