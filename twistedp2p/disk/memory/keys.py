"""Whose keys were seen before: those with a nick, and those that answered a ticket."""

from __future__ import annotations

from collections.abc import Iterable

from twistedp2p.core.presence.roster import MAX_PINS, Number
from twistedp2p.disk.memory.database import Tables

MAX_OWNERS = 4096  # addresses of tickets


class Keys(Tables):
    """Pinned keys, and the owners behind the addresses of tickets."""

    def pins(self) -> list[tuple[bytes, str, int, int, Number]]:
        """The pinned keys, their nicks, when they were first and last seen, and the latest of
        their messages that is noted, or (0, 0): latest seen first.

        Times are in milliseconds since 1970.
        """
        rows = self._db.run(
            "SELECT key, nick, first, seen, ifnull(epoch, 0), ifnull(number, 0) FROM pins"
            " ORDER BY seen DESC LIMIT ?",
            MAX_PINS,
        )
        return [(*row[:4], row[4:]) for row in rows]

    def pin(self, key: bytes, nick: str, now_ms: int) -> None:
        """Pin a key with its nick, or note that it was seen again."""
        self._db.run(
            "INSERT INTO pins(key, nick, first, seen) VALUES (?1, ?2, ?3, ?3)"
            " ON CONFLICT (key) DO UPDATE SET nick = ?2, seen = ?3",
            key,
            nick,
            now_ms,
        )

    def unpin(self, key: bytes) -> None:
        """Remember that key no more."""
        self._db.run("DELETE FROM pins WHERE key = ?", key)

    def keep_latest(self, messages: Iterable[tuple[bytes, Number]]) -> None:
        """Note the latest message heard of each of these pinned keys."""
        with self._db.together():
            for key, (epoch, number) in messages:
                self._db.run(
                    "UPDATE pins SET epoch = ?, number = ? WHERE key = ?", epoch, number, key
                )

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
