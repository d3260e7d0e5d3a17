"""Housekeeping in a thread: what is no more goes by and by, a few milliseconds at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twistedp2p.disk.database import Database
from twistedp2p.disk.offers import UNINDEX

SWEEP = 50  # rows removed at once: a few milliseconds, in which nothing else is written
SWEEP_PAUSE = 0.01  # seconds in between


def tidy(path: Path, wait: Callable[[float], bool]) -> None:
    """Remove what dropped feeds have left, and bring the write-ahead log into the file.

    `wait(seconds)` pauses, and is true when the node ends: then what is left stays for later.
    """
    db = Database(path)
    try:
        for (feed,) in db.run("SELECT id FROM feeds WHERE origin IS NULL"):
            while _sweep(db, feed) and not wait(SWEEP_PAUSE):
                pass
        db.run("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        db.close()


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
