"""The file of a node's memory: a connection whose failures are sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.memory.layout import LAYOUT, STEPS, lay_out

BUSY_TIMEOUT = 5.0  # seconds
CHECKPOINT = 16_000  # pages of 4 KiB: more than is written between two calls of `Store.tidy`
LOG_KEPT = 4 * 2**20  # bytes of the write-ahead log that stay on disk after a flood


class Database:
    """A connection to the file `path`; whatever fails is a `ShareError`.

    It may be used by several threads, but never by two at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._once_kept: list[Callable[[], object]] | None = None  # inside `together` only
        self._at_last: dict[Hashable, Callable[[], object]] = {}
        try:
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
            self._db.execute(f"PRAGMA journal_size_limit = {LOG_KEPT}")
            self._lay_out()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(error) from error
        except ShareError:
            self._db.close()
            raise

    def _lay_out(self) -> None:
        layout = self._db.execute("PRAGMA user_version").fetchone()[0]
        if layout == LAYOUT:
            return
        if layout and layout not in STEPS:
            raise self._unusable(N_("it was made by another version of the program"))
        self._db.execute("BEGIN IMMEDIATE")
        lay_out(self._db, layout)
        self._db.execute("COMMIT")

    def _unusable(self, why: object) -> ShareError:
        return ShareError(
            N_("The node's memory {path} cannot be used ({why}); move it away and start again."),
            Exit.NO_FOLDER,
            path=self._path,
            why=why,
        )

    def _failed(self, error: sqlite3.Error) -> ShareError:
        return ShareError(
            N_("The node's memory {path} could not be read or written: {why}."),
            Exit.NO_FOLDER,
            path=self._path,
            why=error,
        )

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute one statement; its rows."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @property
    def changes(self) -> int:
        """How many rows this connection has written."""
        return self._db.total_changes

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is run inside is kept, or none of it. One inside another is part of it."""
        if self._once_kept is not None:
            yield
            return
        self.run("BEGIN IMMEDIATE")
        calls: list[Callable[[], object]] = []
        self._once_kept = calls
        try:
            yield
            for call in self._at_last.values():
                call()
            self.run("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk ends the transaction by itself
                self.run("ROLLBACK")
            raise
        finally:
            self._once_kept = None
            self._at_last = {}
        for call in calls:
            call()

    def once_kept(self, call: Callable[[], object]) -> None:
        """Call when what is being written is kept, if it is: at once outside `together`."""
        if self._once_kept is None:
            call()
        else:
            self._once_kept.append(call)

    def at_last(self, what: Hashable, call: Callable[[], object]) -> None:
        """Call at the end of what is written together; of one `what` the latest call only."""
        if self._once_kept is None:
            call()
        else:
            self._at_last[what] = call

    def interrupt(self) -> None:
        """Have what another thread runs here end at once, with a `ShareError`."""
        self._db.interrupt()

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._db.close()


class Tables:
    """Some of the tables of a node's memory. All share one connection, thus one transaction."""

    def __init__(self, db: Database, own_key: bytes) -> None:
        self._db = db
        self._own_key = own_key
