"""What a node remembers between runs: SQLite, one file, one writer.

Own and others' feed entries as signed bytes, the catalogue with its search index, pinned keys,
and what is needed to serve our own offers. Calls take well under a millisecond, but for
`search`, which has a connection of its own so that it may run in a thread.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.feed import LOG_NAMES, Feed, Heads, Ranges
from twistedp2p.core.names import fingerprint
from twistedp2p.core.roster import MAX_PINS

MAX_FEEDS = 4096
CHAT_PER_ORIGIN = 500  # entries
CHAT_IN_ALL = 10_000  # entries
TRIM_EVERY = 100  # chat entries
SEARCH_POOL = 1000  # rows that are ranked
BUSY_TIMEOUT = 5.0  # seconds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE IF NOT EXISTS feeds(
    origin BLOB PRIMARY KEY, epoch INTEGER, nick TEXT, chat TEXT, offers TEXT,
    present INTEGER DEFAULT 0, heard INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS entries(
    origin BLOB, log TEXT, number INTEGER, stamp INTEGER, raw BLOB,
    PRIMARY KEY(origin, log, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_age ON entries(log, stamp);
CREATE TABLE IF NOT EXISTS offers(
    id INTEGER PRIMARY KEY, owner BLOB, name TEXT, size INTEGER, digest TEXT, public INTEGER,
    stamp INTEGER, number INTEGER, live INTEGER, UNIQUE(owner, name));
CREATE INDEX IF NOT EXISTS offers_by_age ON offers(live, stamp);
CREATE VIRTUAL TABLE IF NOT EXISTS names USING fts5(folded, tokenize='trigram');
CREATE TABLE IF NOT EXISTS pins(key BLOB PRIMARY KEY, nick TEXT, seen INTEGER);
CREATE TABLE IF NOT EXISTS shares(
    name TEXT PRIMARY KEY, path TEXT, prs BLOB, generated INTEGER, public INTEGER,
    size INTEGER, mtime_ns INTEGER, device INTEGER, inode INTEGER, digest TEXT, guesses TEXT);
"""


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
    """The node's memory in the file `path`; raises `ShareError` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._search_lock = threading.Lock()
        self._search_db: sqlite3.Connection | None = None
        self._chat_since_trim = 0
        try:
            self._db = _connect(path)
            self._db.executescript(_SCHEMA)
            self._db.execute("UPDATE feeds SET present = 0")
        except sqlite3.Error as error:
            raise ShareError(
                N_(
                    "The node's memory {path} cannot be used ({why}); move it away and start again."
                ),
                Exit.NO_FOLDER,
                path=path,
                why=error,
            ) from error

    def close(self) -> None:
        """Write everything out and let go of the file."""
        with self._search_lock:
            if self._search_db is not None:
                self._search_db.close()
        self._db.close()

    @contextmanager
    def _together(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- counters

    def counter(self, name: str, first: int = 0) -> int:
        """The number kept under `name`, made as `first` when there is none."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, first))
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    def set_counter(self, name: str, value: int) -> None:
        """Keep `value` under `name`."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # -- feeds

    def feed(self, origin: bytes) -> Feed | None:
        """What is here of the feed of `origin`."""
        row = self._db.execute(
            "SELECT epoch, chat, offers FROM feeds WHERE origin = ?", (origin,)
        ).fetchone()
        if row is None:
            return None
        have = {log: Ranges([(a, b) for a, b in json.loads(text)])
                for log, text in zip(LOG_NAMES, row[1:], strict=True)}  # fmt: skip
        heads = Heads(*((1, runs.runs()[-1][1] if runs.runs() else 0) for runs in have.values()))
        return Feed(origin, row[0], have, heads)

    def start_feed(self, feed: Feed, nick: str, now_ms: int) -> None:
        """Begin (anew) the feed of an origin; what an earlier epoch held is dropped."""
        with self._together() as db:
            self._drop_feed(feed.origin)
            crowd = db.execute("SELECT count(*) FROM feeds").fetchone()[0] - MAX_FEEDS + 1
            for (origin,) in db.execute(
                "SELECT origin FROM feeds WHERE origin NOT IN (SELECT key FROM pins)"
                " ORDER BY present, heard LIMIT ?",
                (max(0, crowd),),
            ).fetchall():
                self._drop_feed(origin)
            db.execute(
                "INSERT INTO feeds VALUES (?, ?, ?, '[]', '[]', 0, ?)",
                (feed.origin, feed.epoch, nick, now_ms),
            )
            self._save_ranges(feed)

    def _drop_feed(self, origin: bytes) -> None:
        self._db.execute(
            "DELETE FROM names WHERE rowid IN (SELECT id FROM offers WHERE owner = ?)", (origin,)
        )
        for table, column in (("offers", "owner"), ("entries", "origin"), ("feeds", "origin")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (origin,))  # noqa: S608

    def save_ranges(self, feed: Feed) -> None:
        """Keep what is here of a feed after a gone message."""
        self._save_ranges(feed)

    def _save_ranges(self, feed: Feed) -> None:
        runs = [json.dumps(feed.have[log].runs()) for log in LOG_NAMES]
        self._db.execute(
            "UPDATE feeds SET chat = ?, offers = ? WHERE origin = ?", (*runs, feed.origin)
        )

    def set_present(self, origin: bytes, present: bool, nick: str, now_ms: int) -> None:
        """Note that a node came or went: the catalogue shows offers of those who are here."""
        self._db.execute(
            "UPDATE feeds SET present = ?, nick = ?, heard = ? WHERE origin = ?",
            (present, nick, now_ms, origin),
        )

    def put_say(self, entry: Signed, feed: Feed) -> None:
        """Keep one line of chat."""
        with self._together():
            self._put_entry(entry, feed)
            self._chat_since_trim += 1
            if self._chat_since_trim >= TRIM_EVERY:
                self._trim_chat()

    def _put_entry(self, entry: Signed, feed: Feed) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)",
            (entry.key, entry.log, entry.number, entry.stamp, entry.raw),
        )
        self._save_ranges(feed)

    def _trim_chat(self) -> None:
        self._chat_since_trim = 0
        self._db.execute(
            "DELETE FROM entries WHERE log = 'chat' AND number <= (SELECT max(number) - ?"
            " FROM entries AS newest WHERE newest.origin = entries.origin AND log = 'chat')",
            (CHAT_PER_ORIGIN,),
        )
        self._db.execute(
            "DELETE FROM entries WHERE log = 'chat' AND stamp < (SELECT stamp FROM entries"
            " WHERE log = 'chat' ORDER BY stamp DESC LIMIT 1 OFFSET ?)",
            (CHAT_IN_ALL,),
        )

    def entries(self, origin: bytes, log: str, low: int, high: int) -> list[tuple[int, bytes]]:
        """The kept entries of a feed from `low` to `high`: (number, signed bytes)."""
        return self._db.execute(
            "SELECT number, raw FROM entries WHERE origin = ? AND log = ?"
            " AND number BETWEEN ? AND ? ORDER BY number",
            (origin, log, low, high),
        ).fetchall()

    def lowest(self, origin: bytes, log: str) -> int:
        """The lowest number kept of a log, or 1."""
        row = self._db.execute(
            "SELECT min(number) FROM entries WHERE origin = ? AND log = ?", (origin, log)
        ).fetchone()
        return row[0] or 1

    def history(self, most: int) -> list[bytes]:
        """The last `most` lines of chat of everybody, as signed bytes, oldest first."""
        rows = self._db.execute(
            "SELECT raw FROM entries WHERE log = 'chat' ORDER BY stamp DESC LIMIT ?", (most,)
        ).fetchall()
        return [row[0] for row in reversed(rows)]

    # -- catalogue

    def put_offer(self, entry: Signed, feed: Feed, offer: Offer) -> bool:
        """Take an offer into the catalogue; False when a later entry or a limit says no."""
        return self._put_offer_row(entry, feed, offer, True)

    def put_withdraw(self, entry: Signed, feed: Feed, name: str) -> bool:
        """Take an offer out of the catalogue; False when it was not in it."""
        return self._put_offer_row(entry, feed, Offer(entry.key, name, 0, "", False), False)

    def _put_offer_row(self, entry: Signed, feed: Feed, offer: Offer, live: bool) -> bool:
        with self._together() as db:
            old = db.execute(
                "SELECT id, number, live FROM offers WHERE owner = ? AND name = ?",
                (entry.key, offer.name),
            ).fetchone()
            if old is None and self._crowded(entry.key):
                self._save_ranges(feed)
                return False
            if old is not None and old[1] >= entry.number:
                self._save_ranges(feed)
                return False
            if old is not None:
                self._drop_offer(entry.key, *old)
            self._put_entry(entry, feed)
            row = db.execute(
                "INSERT INTO offers(owner, name, size, digest, public, stamp, number, live)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (entry.key, offer.name, offer.size, offer.digest, offer.public, entry.stamp,
                 entry.number, live),
            ).lastrowid  # fmt: skip
            if live:
                db.execute(
                    "INSERT INTO names(rowid, folded) VALUES (?, ?)", (row, offer.name.casefold())
                )
            return live or bool(old and old[2])

    def _drop_offer(self, owner: bytes, row: int, number: int, live: int) -> None:
        """Remove a superseded row and its entry, which need not be repeated any more."""
        self._db.execute("DELETE FROM offers WHERE id = ?", (row,))
        if live:
            self._db.execute("DELETE FROM names WHERE rowid = ?", (row,))
        self._db.execute(
            "DELETE FROM entries WHERE origin = ? AND log = 'offers' AND number = ?",
            (owner, number),
        )

    def _crowded(self, owner: bytes) -> bool:
        mine = self._db.execute("SELECT count(*) FROM offers WHERE owner = ?", (owner,))
        if mine.fetchone()[0] >= MAX_OFFERS_PER_NODE:
            return True
        return bool(self._db.execute("SELECT max(id) FROM offers").fetchone()[0] or 0) and (
            self._db.execute("SELECT count(*) FROM offers").fetchone()[0] >= MAX_OFFERS
        )

    def offer(self, owner: bytes, name: str) -> Offer | None:
        """A live offer by owner and name."""
        row = self._db.execute(
            "SELECT owner, name, size, digest, public, stamp FROM offers"
            " WHERE owner = ? AND name = ? AND live",
            (owner, name),
        ).fetchone()
        return None if row is None else _offer(row)

    def offers_of(self, owner: bytes) -> list[Offer]:
        """All live offers of one node."""
        rows = self._db.execute(
            "SELECT owner, name, size, digest, public, stamp FROM offers"
            " WHERE owner = ? AND live ORDER BY name",
            (owner,),
        )
        return [_offer(row) for row in rows]

    def count_offers(self) -> int:
        """How many offers those who are here have."""
        row = self._db.execute(
            "SELECT count(*) FROM offers JOIN feeds ON origin = owner WHERE live AND present"
        ).fetchone()
        return int(row[0])

    def search(self, query: Query, own_key: bytes, most: int = 200) -> list[Listing]:
        """At most `most` live offers of nodes that are here, best first. May run in a thread."""
        with self._search_lock:
            if self._search_db is None:
                self._search_db = _connect(self._path)
            rows = _search(self._search_db, query)
        found = [Listing(_offer(row), row[6], row[0] == own_key) for row in rows]
        if query.words:
            found.sort(key=lambda listing: query.rank(listing.offer.name))
        return found[:most]

    # -- pins

    def pins(self) -> list[tuple[bytes, str]]:
        """The pinned keys and their nicks, latest seen first."""
        return self._db.execute(
            "SELECT key, nick FROM pins ORDER BY seen DESC LIMIT ?", (MAX_PINS,)
        ).fetchall()

    def pin(self, key: bytes, nick: str, now_ms: int) -> None:
        """Pin a key with its nick, or note that it was seen again."""
        self._db.execute("INSERT OR REPLACE INTO pins VALUES (?, ?, ?)", (key, nick, now_ms))

    # -- own shares

    def shares(self) -> list[Share]:
        """What we serve."""
        columns = ", ".join(field.name for field in attrs.fields(Share))
        return [
            Share(*row[:3], *map(bool, row[3:5]), *row[5:])
            for row in self._db.execute(f"SELECT {columns} FROM shares ORDER BY name")  # noqa: S608
        ]

    def put_share(self, share: Share) -> None:
        """Keep what is needed to serve an offer. Guesses made at an earlier one are kept."""
        marks = ", ".join("?" * len(attrs.fields(Share)))
        self._db.execute(
            f"INSERT OR REPLACE INTO shares VALUES ({marks},"  # noqa: S608
            " (SELECT guesses FROM shares WHERE name = ?))",
            (*attrs.astuple(share), share.name),
        )

    def drop_share(self, name: str) -> None:
        """Forget how to serve an offer."""
        self._db.execute("DELETE FROM shares WHERE name = ?", (name,))

    def guesses(self, name: str) -> dict[str, Any] | None:
        """The saved state of the guess limiter of an own offer."""
        row = self._db.execute("SELECT guesses FROM shares WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def save_guesses(self, name: str, state: dict[str, object]) -> None:
        """Keep the state of the guess limiter of an own offer."""
        self._db.execute("UPDATE shares SET guesses = ? WHERE name = ?", (json.dumps(state), name))


def _connect(path: Path) -> sqlite3.Connection:
    # One connection may be used by several threads, but never by two at a time.
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _offer(row: tuple[Any, ...]) -> Offer:
    owner, name, size, digest, public, stamp = row[:6]
    return Offer(owner, name, size, digest, bool(public), stamp)


def _search(db: sqlite3.Connection, query: Query) -> list[tuple[Any, ...]]:
    """At most `SEARCH_POOL` rows that match, through the trigram index where words allow it."""
    where: list[str] = ["o.live", "f.present"]
    values: list[object] = []
    source = "offers AS o"
    if query.words:
        source = "names JOIN offers AS o ON o.id = names.rowid"
        indexed = [word for word in query.words if len(word) >= 3]
        if indexed:
            where.append("names MATCH ?")
            values.append(" AND ".join('"' + word.replace('"', '""') + '"' for word in indexed))
        for word in query.words:
            where.append("instr(names.folded, ?) > 0")
            values.append(word)
    if query.owners:
        owners = _owners(db, query)
        where.append(f"o.owner IN ({', '.join('?' * len(owners))})")
        values += owners
    order = "" if query.words else " ORDER BY o.stamp DESC"
    return db.execute(
        "SELECT o.owner, o.name, o.size, o.digest, o.public, o.stamp, f.nick"  # noqa: S608
        f" FROM {source} JOIN feeds AS f ON f.origin = o.owner"
        f" WHERE {' AND '.join(where)}{order} LIMIT {SEARCH_POOL}",
        values,
    ).fetchall()


def _owners(db: sqlite3.Connection, query: Query) -> list[bytes]:
    """The keys of the nodes that are here and meant by the `@` words of a query."""
    here = db.execute("SELECT origin, nick FROM feeds WHERE present")
    return [key for key, nick in here if query.of(nick, fingerprint(key))]
