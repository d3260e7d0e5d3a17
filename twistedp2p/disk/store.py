"""What a node remembers between runs: SQLite, one file, one writer.

Own and others' feed entries as signed bytes, the catalogue with its search index, pinned keys,
and what is needed to serve our own offers. Calls take well under a millisecond, but for `search`
and `tidy`, which have connections of their own so that they may run in a thread.

A call that the disk or the file refuses raises `ShareError`, and has then changed nothing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from twistedp2p.core.catalogue import (
    MAX_OFFERS,
    MAX_OFFERS_PER_NODE,
    Listing,
    Offer,
    Query,
)
from twistedp2p.core.datagram import Signed
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.feed import LOG_NAMES, Feed, Heads, Ranges
from twistedp2p.core.roster import MAX_PINS, WELL_KNOWN
from twistedp2p.disk.database import Database
from twistedp2p.disk.search import COLUMNS, find, folded_name

MAX_FEEDS = 4096
MAX_OWNERS = 4096  # addresses of tickets
CHAT_PER_ORIGIN = 500  # entries
CHAT_IN_ALL = 10_000  # entries
TRIM_EVERY = 100  # chat entries
SEARCH_POOL = 500  # rows that are ranked
SWEEP = 50  # rows removed at once: a few milliseconds, in which nothing else is written
SWEEP_PAUSE = 0.01  # seconds in between

# As in the roster's tables: keys known for long are kept, but half the room is anybody's.
_STRANGER = (
    "origin IS NOT NULL AND origin IS NOT ? AND origin NOT IN (SELECT key FROM pins"  # noqa: S608
    f" WHERE seen - first >= {WELL_KNOWN * 1000:.0f} ORDER BY seen - first DESC"
    f" LIMIT {MAX_PINS // 2})"
)


@attrs.frozen
class Share:
    """What is needed to serve one own offer."""

    name: str
    path: str
    prs: bytes = attrs.field(repr=False)  # the stretched password; the password is not kept
    generated: bool  # the password is three random words
    public: bool
    size: int  # bytes
    mtime_ns: int  # nanoseconds since 1970
    device: int
    inode: int
    digest: str


class Store:
    """The node's memory in the file `path`; raises `ShareError` when it cannot be used.

    Neither `own_key` nor a well-known key loses anything to make room for others.
    """

    def __init__(self, path: Path, own_key: bytes) -> None:
        self._path = path
        self._own_key = own_key
        self._search_lock = threading.Lock()
        self._search_db: Database | None = None
        self._closed = threading.Event()
        self._chat_since_trim = 0
        self._tidied = -1  # how many rows had been written
        self._db = Database(path)
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
        if self._search_db is not None:
            self._search_db.interrupt()
        with self._search_lock:
            if self._search_db is not None:
                self._search_db.close()
                self._search_db = None
        self._db.close()

    def tidy(self) -> None:
        """Remove what dropped feeds have left, and bring the write-ahead log into the file.

        It waits for the disk, so that what writes in the loop need not: to be called in a thread
        every few seconds. Costs nothing when nothing was written.
        """
        changes = self._db.changes
        if changes == self._tidied:
            return
        db = Database(self._path)
        try:
            for (feed,) in db.run("SELECT id FROM feeds WHERE origin IS NULL"):
                while _sweep(db, feed) and not self._closed.wait(SWEEP_PAUSE):
                    pass
            db.run("PRAGMA wal_checkpoint(PASSIVE)")
            self._tidied = changes
        finally:
            db.close()

    # -- counters

    def counter(self, name: str, first: int = 0) -> int:
        """The number kept under `name`, made as `first` when there is none."""
        self._db.run("INSERT OR IGNORE INTO meta VALUES (?, ?)", name, first)
        return int(self._db.run("SELECT value FROM meta WHERE name = ?", name)[0][0])

    def set_counter(self, name: str, value: int) -> None:
        """Keep `value` under `name`."""
        self._db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    # -- feeds

    def feed(self, origin: bytes) -> Feed | None:
        """What is here of the feed of `origin`."""
        rows = self._db.run("SELECT epoch, chat, offers FROM feeds WHERE origin = ?", origin)
        if not rows:
            return None
        have = {log: Ranges([(a, b) for a, b in json.loads(text)])
                for log, text in zip(LOG_NAMES, rows[0][1:], strict=True)}  # fmt: skip
        heads = Heads(*((1, runs.runs()[-1][1] if runs.runs() else 0) for runs in have.values()))
        return Feed(origin, rows[0][0], have, heads)

    def start_feed(self, feed: Feed, nick: str, now_ms: int) -> list[bytes]:
        """Begin (anew) the feed of an origin; what an earlier epoch held is dropped.

        Returns the origins whose feeds were dropped to make room: strangers, those away longest
        first. What else comes of them is not kept, until they are started again.
        """
        with self._db.together():
            self._db.run(_DROP, feed.origin)
            known = self._db.run("SELECT count(*) FROM feeds WHERE origin IS NOT NULL")[0][0]
            crowd = self._db.run(
                f"SELECT origin FROM feeds WHERE {_STRANGER} ORDER BY present, heard LIMIT ?",  # noqa: S608
                self._own_key,
                max(0, known - MAX_FEEDS + 1),
            )
            for (origin,) in crowd:
                self._db.run(_DROP, origin)
            self._db.run(
                "INSERT INTO feeds(origin, epoch, nick, present, heard, kept, live, chat, offers)"
                " VALUES (?, ?, ?, 0, ?, 0, 0, '[]', '[]')",
                feed.origin,
                feed.epoch,
                nick,
                now_ms,
            )
            for log in LOG_NAMES:
                self._save_ranges(feed, log)
        return [origin for (origin,) in crowd]

    def save_ranges(self, feed: Feed) -> None:
        """Keep what is here of a feed after a gone message."""
        with self._db.together():
            for log in LOG_NAMES:
                self._save_ranges(feed, log)

    def _save_ranges(self, feed: Feed, log: str) -> None:
        self._db.run(
            f"UPDATE feeds SET {log} = ? WHERE origin = ? AND epoch = ?",  # noqa: S608
            json.dumps(feed.have[log].runs()),
            feed.origin,
            feed.epoch,
        )

    def set_present(self, origin: bytes, present: bool, nick: str, now_ms: int) -> None:
        """Note that a node came or went: the catalogue shows offers of those who are here."""
        self._db.run(
            "UPDATE feeds SET present = ?, nick = ?, heard = ? WHERE origin = ?",
            present,
            nick,
            now_ms,
            origin,
        )

    def _row(self, feed: Feed) -> tuple[int, int] | None:
        """The number of a feed's row, and how many offers are kept; None when it was dropped."""
        rows = self._db.run(
            "SELECT id, kept FROM feeds WHERE origin = ? AND epoch = ?", feed.origin, feed.epoch
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def put_say(self, entry: Signed, feed: Feed) -> None:
        """Keep one line of chat."""
        with self._db.together():
            row = self._row(feed)
            if row is None:
                return
            self._put_entry(row[0], "chat", entry)
            self._save_ranges(feed, "chat")
            self._db.run(
                "DELETE FROM entries WHERE feed = ?1 AND log = 'chat' AND number <= ("
                "SELECT max(number) FROM entries WHERE feed = ?1 AND log = 'chat') - ?2",
                row[0],
                CHAT_PER_ORIGIN,
            )
            self._chat_since_trim += 1
            if self._chat_since_trim >= TRIM_EVERY:
                self._chat_since_trim = 0
                self._trim_chat()

    def _put_entry(self, feed: int, log: str, entry: Signed) -> None:
        self._db.run(
            "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)",
            feed,
            log,
            entry.number,
            entry.stamp,
            entry.raw,
        )

    def _trim_chat(self) -> None:
        """Oldest lines go first, but those of strangers before all others."""
        kept = self._db.run("SELECT count(*) FROM entries WHERE log = 'chat'")[0][0]
        for whose, values in ((_STRANGER, [self._own_key]), ("TRUE", [])):
            oldest = self._db.run(
                "SELECT feed, number FROM entries CROSS JOIN feeds ON id = feed"  # noqa: S608
                f" WHERE log = 'chat' AND {whose} ORDER BY stamp LIMIT ?",
                *values,
                max(0, kept - CHAT_IN_ALL),
            )
            for feed, number in oldest:
                self._db.run(
                    "DELETE FROM entries WHERE feed = ? AND log = 'chat' AND number = ?",
                    feed,
                    number,
                )
            kept -= len(oldest)

    def entries(self, origin: bytes, log: str, low: int, high: int) -> list[tuple[int, bytes]]:
        """The kept entries of a feed from `low` to `high`: (number, signed bytes)."""
        return self._db.run(
            "SELECT number, raw FROM feeds JOIN entries ON feed = id WHERE origin = ? AND log = ?"
            " AND number BETWEEN ? AND ? ORDER BY number",
            origin,
            log,
            low,
            high,
        )

    def lowest(self, origin: bytes, log: str) -> int:
        """The lowest number kept of a log, or 1."""
        rows = self._db.run(
            "SELECT min(number) FROM entries WHERE log = ?"
            " AND feed = (SELECT id FROM feeds WHERE origin = ?)",
            log,
            origin,
        )
        return rows[0][0] or 1

    def history(self, most: int) -> list[bytes]:
        """The last `most` lines of chat of everybody, as signed bytes, oldest first."""
        rows = self._db.run(
            "SELECT raw FROM entries CROSS JOIN feeds ON id = feed"
            " WHERE log = 'chat' AND origin IS NOT NULL ORDER BY stamp DESC LIMIT ?",
            most,
        )
        return [raw for (raw,) in reversed(rows)]

    # -- catalogue

    def put_offer(self, entry: Signed, feed: Feed, offer: Offer) -> bool:
        """Take an offer into the catalogue; False when a later entry or a limit says no."""
        return self._put_offer_row(entry, feed, offer, True)

    def put_withdraw(self, entry: Signed, feed: Feed, name: str) -> bool:
        """Take an offer out of the catalogue; False when it was not in it.

        That it was withdrawn is kept: its offer may come after.
        """
        return self._put_offer_row(entry, feed, Offer(entry.key, name, 0, "", False), False)

    def _put_offer_row(self, entry: Signed, feed: Feed, offer: Offer, live: bool) -> bool:
        with self._db.together():
            row = self._row(feed)
            if row is None:
                return False
            self._save_ranges(feed, "offers")
            old = self._db.run(
                "SELECT id, number, live FROM offers WHERE feed = ? AND name = ?",
                row[0],
                offer.name,
            )
            if old[0][1] >= entry.number if old else not self._make_room(*row):
                return False
            for superseded in old:
                self._remove(row[0], *superseded)
            self._put_entry(row[0], "offers", entry)
            self._insert(row[0], entry, offer, live)
            return live or bool(old and old[0][2])

    def _insert(self, feed: int, entry: Signed, offer: Offer, live: bool) -> None:
        name = folded_name(offer.name)
        rows = self._db.run(
            "INSERT INTO offers(feed, name, folded, size, digest, public, stamp, number, live)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            *(feed, offer.name, name, offer.size, offer.digest, offer.public),
            *(entry.stamp, entry.number, live),
        )
        if live:
            self._db.run("INSERT INTO names(rowid, folded) VALUES (?, ?)", rows[0][0], name)
        self._db.run(
            "UPDATE feeds SET kept = kept + 1, live = live + ? WHERE id = ?", int(live), feed
        )

    def _remove(self, feed: int, offer: int, number: int, live: int) -> None:
        """Remove an offer with its entry, which need not be repeated any more."""
        self._db.run(_UNINDEX.format("= ?"), offer)
        self._db.run("DELETE FROM offers WHERE id = ?", offer)
        self._db.run(
            "DELETE FROM entries WHERE feed = ? AND log = 'offers' AND number = ?", feed, number
        )
        self._db.run("UPDATE feeds SET kept = kept - 1, live = live - ? WHERE id = ?", live, feed)

    def _make_room(self, feed: int, kept: int) -> bool:
        """Make room for one more offer of a feed that has `kept`; False when there is none.

        What a node withdrew long ago gives way to what it offers. When the whole catalogue is
        full, it is the stranger with the most offers that gives one up to others.
        """
        if kept >= MAX_OFFERS_PER_NODE:
            return self._give_up(feed, "NOT live ORDER BY number")
        if self._db.run("SELECT sum(kept) FROM feeds WHERE origin IS NOT NULL")[0][0] < MAX_OFFERS:
            return True
        largest = self._db.run(
            f"SELECT id FROM feeds WHERE kept AND {_STRANGER} ORDER BY kept DESC LIMIT 1",  # noqa: S608
            self._own_key,
        )
        if largest:
            return largest[0][0] != feed and self._give_up(largest[0][0], "TRUE")
        own = self._db.run("SELECT 1 FROM feeds WHERE id = ? AND origin = ?", feed, self._own_key)
        return bool(own)

    def _give_up(self, feed: int, which: str) -> bool:
        rows = self._db.run(
            f"SELECT id, number, live FROM offers WHERE feed = ? AND {which} LIMIT 1",  # noqa: S608
            feed,
        )
        for row in rows:
            self._remove(feed, *row)
        return bool(rows)

    def offer(self, owner: bytes, name: str) -> Offer | None:
        """A live offer by owner and name."""
        rows = self._db.run(
            f"SELECT {COLUMNS} FROM feeds AS f JOIN offers AS o ON o.feed = f.id"  # noqa: S608
            " WHERE f.origin = ? AND o.name = ? AND o.live",
            owner,
            name,
        )
        return _offer(rows[0]) if rows else None

    def offers_of(self, owner: bytes, most: int = MAX_OFFERS_PER_NODE) -> list[Offer]:
        """The first `most` live offers of one node, by name."""
        rows = self._db.run(
            f"SELECT {COLUMNS} FROM feeds AS f JOIN offers AS o ON o.feed = f.id"  # noqa: S608
            " WHERE f.origin = ? AND o.live ORDER BY o.name LIMIT ?",
            owner,
            most,
        )
        return [_offer(row) for row in rows]

    def count_offers(self) -> int:
        """How many offers those who are here have."""
        return self._db.run("SELECT sum(live) FROM feeds WHERE present")[0][0] or 0

    def search(self, query: Query, own_key: bytes, most: int = 200) -> list[Listing]:
        """At most `most` live offers of nodes that are here, best first. May run in a thread."""
        with self._search_lock:
            if self._closed.is_set():
                raise ShareError(N_("Stopped."))
            if self._search_db is None:
                self._search_db = Database(self._path)
            rows = find(self._search_db, query, max(most, SEARCH_POOL) if query.words else most)
        found = [Listing(_offer(row), row[6], row[0] == own_key) for row in rows]
        if query.words:
            found.sort(key=lambda listing: query.rank(listing.offer.name))
        return found[:most]

    # -- pins

    def pins(self) -> list[tuple[bytes, str, int, int]]:
        """The pinned keys, their nicks, and when they were first and last seen, latest first.

        Times are in milliseconds since 1970.
        """
        return self._db.run(
            "SELECT key, nick, first, seen FROM pins ORDER BY seen DESC LIMIT ?", MAX_PINS
        )

    def pin(self, key: bytes, nick: str, now_ms: int) -> None:
        """Pin a key with its nick, or note that it was seen again."""
        self._db.run(
            "INSERT INTO pins VALUES (?1, ?2, ?3, ?3) ON CONFLICT (key) DO UPDATE"
            " SET nick = ?2, seen = ?3",
            key,
            nick,
            now_ms,
        )

    def unpin(self, key: bytes) -> None:
        """Remember that key no more."""
        self._db.run("DELETE FROM pins WHERE key = ?", key)

    # -- owners of tickets

    def owner_changed(self, host: str, port: int, key: bytes, now_ms: int) -> bool:
        """Note whose key answered a ticket of that address; whether it was another's before."""
        known = self._db.run("SELECT key FROM owners WHERE host = ? AND port = ?", host, port)
        with self._db.together():
            self._db.run(
                "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)", host, port, key, now_ms
            )
            self._db.run(
                "DELETE FROM owners WHERE (host, port) IN"
                " (SELECT host, port FROM owners ORDER BY seen DESC LIMIT -1 OFFSET ?)",
                MAX_OWNERS,
            )
        return bool(known) and known[0][0] != key

    # -- own shares

    def shares(self) -> list[Share]:
        """What we serve."""
        rows = self._db.run(
            "SELECT name, path, prs, generated, public, identity FROM shares ORDER BY name"
        )
        return [
            Share(name, os.fsdecode(path), prs, bool(generated), bool(public), **json.loads(known))
            for name, path, prs, generated, public, known in rows
        ]

    def put_share(self, share: Share) -> None:
        """Keep what is needed to serve an offer. Guesses made at an earlier one are kept."""
        # As text, for SQLite has no whole numbers over 63 bits, and inodes may be larger.
        known = ("size", "mtime_ns", "device", "inode", "digest")
        self._db.run(
            "INSERT OR REPLACE INTO shares VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
            " (SELECT guesses FROM shares WHERE name = ?1))",
            *(share.name, os.fsencode(share.path), share.prs, share.generated, share.public),
            json.dumps({name: getattr(share, name) for name in known}),
        )

    def drop_share(self, name: str) -> None:
        """Forget how to serve an offer."""
        self._db.run("DELETE FROM shares WHERE name = ?", name)

    def guesses(self, name: str) -> dict[str, Any] | None:
        """The saved state of the guess limiter of an own offer."""
        rows = self._db.run("SELECT guesses FROM shares WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows and rows[0][0] else None

    def save_guesses(self, name: str, state: dict[str, object]) -> None:
        """Keep the state of the guess limiter of an own offer."""
        self._db.run("UPDATE shares SET guesses = ? WHERE name = ?", json.dumps(state), name)


_DROP = "UPDATE feeds SET origin = NULL, present = 0 WHERE origin = ?"
_UNINDEX = (
    "INSERT INTO names(names, rowid, folded)"
    " SELECT 'delete', id, folded FROM offers WHERE live AND id {}"
)


def _sweep(db: Database, feed: int) -> bool:
    """Remove some of what a dropped feed has left; False when nothing was left."""
    with db.together():
        offers = [row[0] for row in db.run(
            "SELECT id FROM offers WHERE feed = ? LIMIT ?", feed, SWEEP)]  # fmt: skip
        some = f"IN ({', '.join(map(str, offers))})"
        db.run(_UNINDEX.format(some))
        db.run(f"DELETE FROM offers WHERE id {some}")  # noqa: S608
        entries = db.run(
            "DELETE FROM entries WHERE feed = ?1 AND (log, number) IN"
            " (SELECT log, number FROM entries WHERE feed = ?1 LIMIT ?2) RETURNING 1",
            feed,
            SWEEP,
        )
        if not offers and not entries:
            db.run("DELETE FROM feeds WHERE id = ?", feed)
    return bool(offers or entries)


def _offer(row: tuple[Any, ...]) -> Offer:
    owner, name, size, digest, public, stamp = row[:6]
    return Offer(owner, name, size, digest, bool(public), stamp)
