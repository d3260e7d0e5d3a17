"""The catalogue: of each name of an owner the offer or withdrawal with the highest number."""

from __future__ import annotations

from typing import Any

from twistedp2p.core.catalogue import MAX_OFFERS, MAX_OFFERS_PER_NODE, Offer, read_withdraw
from twistedp2p.core.datagrams.datagram import Signed, parse
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.disk.memory.entries import STRANGER, Entries
from twistedp2p.disk.memory.index import id_mark, indexed
from twistedp2p.disk.memory.search import COLUMNS

AT_ONCE = 50  # offers dropped in one go: a few milliseconds
UNINDEX = (
    "INSERT INTO names(names, rowid, folded)"
    " SELECT 'delete', id, folded FROM offers WHERE live AND id {}"
)


class Catalogue(Entries):
    """The entries that are offers, and what is on offer."""

    _room = 0  # offers that surely fit; there may be more room, for what goes is not counted

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
            self._put_entry(row[0], "offers", entry, entry.stamp)
            self._insert(row[0], entry, offer, live)
            if entry.key == self._own_key:
                self._drop_oldest_withdrawals(row[0])
            return live or bool(old and old[0][2])

    def _insert(self, feed: int, entry: Signed, offer: Offer, live: bool) -> None:
        text = indexed(offer.name, feed)
        self._db.run(
            "INSERT INTO offers(feed, name, folded, size, digest, public, stamp, number, live,"
            " files, mark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(feed, offer.name, text, offer.size, offer.digest, offer.public),
            *(entry.stamp, entry.number, live, offer.files, id_mark(entry.key, offer.name)),
        )
        if live:
            self._db.run("INSERT INTO names(rowid, folded) VALUES (last_insert_rowid(), ?)", text)
        self._db.run(
            "UPDATE feeds SET kept = kept + 1, live = live + ? WHERE id = ?", int(live), feed
        )

    def _remove(self, feed: int, offer: int, number: int, live: int) -> None:
        """Remove an offer with its entry, which need not be repeated any more."""
        self._db.run(UNINDEX.format("= ?"), offer)
        self._db.run("DELETE FROM offers WHERE id = ?", offer)
        self._db.run(
            "DELETE FROM entries WHERE feed = ? AND log = 'offers' AND number = ?", feed, number
        )
        self._db.run("UPDATE feeds SET kept = kept - 1, live = live - ? WHERE id = ?", live, feed)

    def _drop_oldest_withdrawals(self, feed: int) -> None:
        """What was withdrawn before all that is on offer need not be told one by one.

        The lowest number that our beacons tell says it of all of them: see `drop_below`.
        """
        for _ in range(AT_ONCE):
            lowest = self._db.run(
                "SELECT o.id, o.number, o.live FROM offers AS o WHERE o.feed = ?1 AND NOT o.live"
                " AND o.number = (SELECT min(number) FROM entries WHERE feed = ?1"
                " AND log = 'offers')",
                feed,
            )
            if not lowest:
                break
            self._remove(feed, *lowest[0])

    def drop_below(self, feed: Feed, number: int) -> list[str]:
        """Drop what is here of a feed's offers below `number`: its publisher has none there.

        Some at a time: to be called each time that this is told. Returns the names that were on
        offer here until now.
        """
        with self._db.together():
            row = self._row(feed)
            if row is None:
                return []
            stale = self._db.run(
                "SELECT raw FROM entries WHERE feed = ? AND log = 'offers' AND number < ? LIMIT ?",
                row[0],
                number,
                AT_ONCE,
            )
            entries = [entry for (raw,) in stale if isinstance(entry := parse(raw), Signed)]
            names = [_name(entry) for entry in entries]
            dropped = [name for name in names if self.offer(feed.origin, name) is not None]
            for name in names:
                old = self._db.run(
                    "SELECT id, number, live FROM offers WHERE feed = ? AND name = ?", row[0], name
                )
                self._remove(row[0], *old[0])
        return dropped

    def _make_room(self, feed: int, kept: int) -> bool:
        """Make room for one more offer of a feed that has `kept`; False when there is none.

        What a node withdrew long ago gives way to what it offers. When the whole catalogue is
        full, it is the stranger with the most offers that gives one up to others.
        """
        if kept >= MAX_OFFERS_PER_NODE:
            return self._give_up(feed, "NOT live ORDER BY number")
        if self._room <= 0:
            all_kept = self._db.run("SELECT sum(kept) FROM feeds WHERE origin IS NOT NULL")
            self._room = MAX_OFFERS - all_kept[0][0]
        if self._room > 0:
            self._room -= 1
            return True
        largest = self._db.run(
            f"SELECT id FROM feeds WHERE kept AND {STRANGER} ORDER BY kept DESC LIMIT 1",  # noqa: S608
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
        return offer_of(rows[0]) if rows else None

    def offers_called(self, name: str, *, here: bool = True) -> list[Offer]:
        """The live offers of exactly that name, of nodes that are here, or of the others."""
        rows = self._db.run(
            f"SELECT {COLUMNS} FROM feeds AS f CROSS JOIN offers AS o ON o.feed = f.id"  # noqa: S608
            " WHERE f.origin IS NOT NULL AND f.live AND f.present = ? AND o.name = ? AND o.live",
            here,
            name,
        )
        return [offer_of(row) for row in rows]

    def offers_of(
        self, owner: bytes, most: int = MAX_OFFERS_PER_NODE, after: str = ""
    ) -> list[Offer]:
        """The first `most` live offers of one node, by name; of those after the name `after`."""
        rows = self._db.run(
            f"SELECT {COLUMNS} FROM feeds AS f JOIN offers AS o ON o.feed = f.id"  # noqa: S608
            " WHERE f.origin = ? AND o.live AND o.name > ? ORDER BY o.name LIMIT ?",
            owner,
            after,
            most,
        )
        return [offer_of(row) for row in rows]

    def count_offers(self) -> int:
        """How many offers those who are here have."""
        return self._db.run("SELECT sum(live) FROM feeds WHERE present")[0][0] or 0


def _name(entry: Signed) -> str:
    if entry.kind == "offer":
        return Offer.read(entry.key, entry.body).name
    return read_withdraw(entry.body)


def offer_of(row: tuple[Any, ...]) -> Offer:
    owner, name, size, digest, public, stamp, files = row[:7]
    return Offer(owner, name, size, digest, bool(public), stamp, files)
