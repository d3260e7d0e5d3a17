"""Housekeeping in a thread: what is no more goes by and by, a few milliseconds at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twistedp2p.disk.memory.catalogue import UNINDEX
from twistedp2p.disk.memory.database import Database

SWEEP = 50  # rows removed at once: a few milliseconds, in which nothing else is written
SWEEP_PAUSE = 0.01  # seconds in between
CHAT_KEPT = 24 * 3600 * 1000  # milliseconds, by our own clock

# Dropped feeds but those of which nothing is left that should go.
_LEFT = (
    "origin IS NULL AND (past IS NULL OR EXISTS (SELECT 1 FROM offers WHERE feed = f.id)"
    " OR EXISTS (SELECT 1 FROM entries WHERE feed = f.id AND log = 'offers')"
    " OR NOT EXISTS (SELECT 1 FROM entries WHERE feed = f.id))"
)


def tidy(path: Path, wait: Callable[[float], bool], now_ms: int) -> None:
    """Remove old chat and what dropped feeds have left; bring the write-ahead log into the file.

    `wait(seconds)` pauses, and is true when the node ends: then what is left stays for later.
    now_ms: milliseconds since 1970.
    """
    db = Database(path)
    try:
        while _sweep_chat(db, now_ms - CHAT_KEPT) and not wait(SWEEP_PAUSE):
            pass
        for (feed,) in db.run(f"SELECT id FROM feeds AS f WHERE {_LEFT}"):  # noqa: S608
            while _sweep(db, feed) and not wait(SWEEP_PAUSE):
                pass
        db.run("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        db.close()


def _sweep_chat(db: Database, before: int) -> bool:
    """Remove some of the lines that were said before; False when there was none."""
    old = "SELECT feed, number FROM entries WHERE log = 'chat' AND said < ? LIMIT ?"
    if not db.run(old, before, 1):
        return False
    gone = f"DELETE FROM entries WHERE log = 'chat' AND (feed, number) IN ({old})"  # noqa: S608
    db.run(gone, before, SWEEP)
    return True


def _sweep(db: Database, feed: int) -> bool:
    """Remove some of what a dropped feed has left; False when nothing was left."""
    with db.together():
        offers = [row[0] for row in db.run(
            "SELECT id FROM offers WHERE feed = ? LIMIT ?", feed, SWEEP)]  # fmt: skip
        some = f"IN ({', '.join(map(str, offers))})"
        db.run(UNINDEX.format(some))
        db.run(f"DELETE FROM offers WHERE id {some}")  # noqa: S608
        entries = db.run(
            "DELETE FROM entries WHERE feed = ?1 AND (log, number) IN"
            " (SELECT log, number FROM entries JOIN feeds ON id = feed"
            " WHERE feed = ?1 AND (log = 'offers' OR past IS NULL) LIMIT ?2) RETURNING 1",
            feed,
            SWEEP,
        )
        if not offers and not entries:
            db.run(
                "DELETE FROM feeds WHERE id = ?1"
                " AND NOT EXISTS (SELECT 1 FROM entries WHERE feed = ?1)",
                feed,
            )
    return bool(offers or entries)
