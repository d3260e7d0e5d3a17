"""The feeds, own and others': what is here of each, and its entries as signed bytes."""

from __future__ import annotations

import json
from typing import Any

from twistedp2p.core.datagrams.datagram import Signed, parse
from twistedp2p.core.feeds.feed import LOG_NAMES, Feed
from twistedp2p.core.presence.roster import MAX_PINS, WELL_KNOWN
from twistedp2p.disk.memory.database import Tables

MAX_FEEDS = 4096
CHAT_PER_ORIGIN = 500  # entries
CHAT_IN_ALL = 10_000  # entries
TRIM_EVERY = 100  # chat entries
SHOWN_MOST = 10_000  # dropped feeds of which it is remembered which lines were here
SHOWN_RUNS = 8  # of each; of one that is more torn, what it lacks counts as shown
GONE_AFTER = 30 * 24 * 3600 * 1000  # milliseconds

_DROP = "UPDATE feeds SET origin = NULL, present = 0, past = origin WHERE origin = ?"


def _stranger(key: str) -> str:
    """As in the roster's tables: keys known for long are kept, but half the room is anybody's."""
    return (
        f"{key} IS NOT NULL AND {key} IS NOT ?1 AND {key} NOT IN (SELECT key FROM pins"  # noqa: S608
        f" WHERE seen - first >= {WELL_KNOWN * 1000:.0f} ORDER BY seen - first DESC"
        f" LIMIT {MAX_PINS // 2})"
    )


STRANGER = _stranger("origin")
_STRANGER_NOW_OR_ONCE = _stranger("coalesce(origin, past)")
_SAID = (
    "FROM entries CROSS JOIN feeds ON id = feed"
    " WHERE log = 'chat' AND coalesce(origin, past) IS NOT NULL"
)


class Entries(Tables):
    """Feeds and their entries. A call changes all that it should, or nothing."""

    _chat_since_trim = 0

    def feed(self, origin: bytes) -> Feed | None:
        """What is here of the feed of `origin`."""
        rows = self._db.run("SELECT epoch, chat, offers FROM feeds WHERE origin = ?", origin)
        return _feed(origin, *rows[0]) if rows else None

    def feeds(self) -> list[Feed]:
        """What is here of every feed, those heard last coming last."""
        rows = self._db.run(
            "SELECT origin, epoch, chat, offers FROM feeds WHERE origin IS NOT NULL ORDER BY heard"
        )
        return [_feed(*row) for row in rows]

    def start_feed(self, feed: Feed, nick: str, now_ms: int) -> list[bytes]:
        """Begin (anew) the feed of an origin; of an earlier epoch only what was said is kept.

        Returns the origins whose feeds were dropped to make room: strangers, those away longest
        first. What else comes of them is not kept, until they are started again; `feed` then has
        the lines that were here before.
        """
        with self._db.together():
            self._db.run(_DROP, feed.origin)
            known = self._db.run("SELECT count(*) FROM feeds WHERE origin IS NOT NULL")[0][0]
            crowd = self._db.run(
                f"SELECT origin FROM feeds WHERE {STRANGER} ORDER BY present, heard LIMIT ?2",  # noqa: S608
                self._own_key,
                max(0, known - MAX_FEEDS + 1),
            )
            for (origin,) in crowd:
                self._drop(origin)
            self._have_again(feed)
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

    def _drop(self, origin: bytes) -> None:
        """Drop a feed, but for what was said: when it comes again, that is no news."""
        feed = self.feed(origin)
        runs = feed.have["chat"].runs() if feed is not None else []
        if feed is not None and runs:
            if len(runs) > SHOWN_RUNS:
                runs = [(1, runs[-1][1])]
            self._db.run(
                "INSERT OR REPLACE INTO shown(origin, epoch, chat) VALUES (?, ?, ?)",
                *(origin, feed.epoch, json.dumps(runs)),
            )
            self._db.run(
                "DELETE FROM shown WHERE id <= (SELECT max(id) FROM shown) - ?", SHOWN_MOST
            )
        self._db.run(_DROP, origin)

    def _have_again(self, feed: Feed) -> None:
        """Whoever has recorded a dropped feed must not have us show its lines twice."""
        shown = self._db.run(
            "SELECT chat FROM shown WHERE origin = ? AND epoch = ?", feed.origin, feed.epoch
        )
        for (runs,) in shown:
            for low, high in json.loads(runs):
                feed.heard_entries("chat", low, high)

    def save_ranges(self, feed: Feed) -> None:
        """Keep what is here of a feed after a gone message."""
        with self._db.together():
            for log in LOG_NAMES:
                self._save_ranges(feed, log)

    def _save_ranges(self, feed: Feed, log: str) -> None:
        self._db.at_last(
            (feed.origin, log),
            lambda: self._db.run(
                f"UPDATE feeds SET {log} = ? WHERE origin = ? AND epoch = ?",  # noqa: S608
                json.dumps(feed.have[log].runs()),
                feed.origin,
                feed.epoch,
            ),
        )

    def forget_gone(self, now_ms: int) -> list[bytes]:
        """Drop the feeds of those who were not here for `GONE_AFTER`, but our own; their origins.

        They are to be followed no more. `now_ms`: milliseconds since 1970.
        """
        with self._db.together():
            gone = self._db.run(
                "SELECT origin FROM feeds WHERE heard < ? AND NOT present"
                " AND origin IS NOT NULL AND origin IS NOT ?",
                now_ms - GONE_AFTER,
                self._own_key,
            )
            for (origin,) in gone:
                self._drop(origin)
        return [origin for (origin,) in gone]

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

    def put_say(
        self, entry: Signed, feed: Feed, order: int | None = None, said: int | None = None
    ) -> bool:
        """Keep one line of chat; False where the same one was kept under an earlier epoch.

        `order` is its place in history, by default its stamp; `said` when it was said by our own
        clock, by default the same. Both are in milliseconds since 1970.
        """
        order = entry.stamp if order is None else order
        said = order if said is None else said
        with self._db.together():
            row = self._row(feed)
            if row is None:
                return True
            again = self._said_before(entry, order)
            self._put_entry(row[0], "chat", entry, order, said if again is None else again)
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
        return again is None

    def _said_before(self, entry: Signed, order: int) -> int | None:
        """Drop the same line of an earlier epoch and tell when it was said, if there is one."""
        twins = self._db.run(
            "SELECT feed, number, said, raw FROM entries CROSS JOIN feeds ON id = feed"
            " WHERE log = 'chat' AND stamp = ? AND past = ?",
            order,
            entry.key,
        )
        for feed, number, said, raw in twins:
            old = parse(raw)
            if isinstance(old, Signed) and (old.stamp, old.body) == (entry.stamp, entry.body):
                self._drop_line(feed, number)
                return int(said)
        return None

    def _drop_line(self, feed: int, number: int) -> None:
        self._db.run(
            "DELETE FROM entries WHERE feed = ? AND log = 'chat' AND number = ?", feed, number
        )

    def _put_entry(
        self, feed: int, log: str, entry: Signed, order: int, said: int | None = None
    ) -> None:
        self._db.run(
            "INSERT OR IGNORE INTO entries(feed, log, number, stamp, raw, said)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            *(feed, log, entry.number, order, entry.raw, said),
        )

    def _trim_chat(self) -> None:
        """Oldest lines go first, but those of strangers before all others."""
        kept = self._db.run("SELECT count(*) FROM entries WHERE log = 'chat'")[0][0]
        for whose in (_STRANGER_NOW_OR_ONCE, "?1 IS NOT NULL"):
            oldest = self._db.run(
                "SELECT feed, number FROM entries CROSS JOIN feeds ON id = feed"  # noqa: S608
                f" WHERE log = 'chat' AND {whose} ORDER BY stamp LIMIT ?2",
                self._own_key,
                max(0, kept - CHAT_IN_ALL),
            )
            for feed, number in oldest:
                self._drop_line(feed, number)
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

    def count_entries(self, origin: bytes, log: str, low: int, high: int) -> int:
        """How many entries of a feed from `low` to `high` are kept."""
        rows = self._db.run(
            "SELECT count(*) FROM entries WHERE log = ?"
            " AND feed = (SELECT id FROM feeds WHERE origin = ?) AND number BETWEEN ? AND ?",
            *(log, origin, low, high),
        )
        return int(rows[0][0])

    def entries_above(self, origin: bytes, log: str, number: int, most: int) -> list[Any]:
        """The first `most` kept entries of a feed above `number`: (number, signed bytes)."""
        return self._db.run(
            "SELECT number, raw FROM entries WHERE log = ?"
            " AND feed = (SELECT id FROM feeds WHERE origin = ?)"
            " AND number > ? ORDER BY number LIMIT ?",
            log,
            origin,
            number,
            most,
        )

    def lowest(self, origin: bytes, log: str) -> int:
        """The lowest number of a log that is worth asking for: what went before is superseded.

        Where nothing of it is kept that is the one after the highest.
        """
        rows = self._db.run(
            "SELECT min(number) FROM entries WHERE log = ?"
            " AND feed = (SELECT id FROM feeds WHERE origin = ?)",
            log,
            origin,
        )
        if rows[0][0] is not None:
            return int(rows[0][0])
        feed = self.feed(origin)
        return feed.have[log].highest + 1 if feed is not None else 1

    def history(self, most: int) -> list[tuple[bytes, int]]:
        """The last `most` lines of chat of everybody, oldest first: (signed bytes, `said`).

        Those of one stamp, as the parts of a long text are, count as one.
        """
        return self._db.run(
            f"SELECT raw, said {_SAID} AND stamp >= (SELECT min(stamp) FROM"  # noqa: S608
            f" (SELECT DISTINCT stamp {_SAID} ORDER BY stamp DESC LIMIT ?))"
            " ORDER BY stamp, feed, number",
            most,
        )

    def latest_stamp(self) -> int:
        """The latest place in history, 0 for none."""
        return self._db.run("SELECT max(stamp) FROM entries WHERE log = 'chat'")[0][0] or 0


def _feed(origin: bytes, epoch: int, *logs: str) -> Feed:
    pairs = zip(LOG_NAMES, map(json.loads, logs), strict=True)
    runs = {log: [(low, high) for low, high in found] for log, found in pairs}
    return Feed.kept(origin, epoch, runs)
