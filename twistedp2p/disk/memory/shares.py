"""What is needed to serve our own offers, but for the files themselves."""

from __future__ import annotations

import json
import os
from typing import Any

import attrs

from twistedp2p.disk.memory.database import Tables


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
    manifest: int = 0  # bytes of a folder's list of files; 0 for a file
    files: int | None = None  # in a folder; None: it is a file
    shared: str = ""  # of a watched folder: what it was made of, and under which password


class OwnShares(Tables):
    """Our own offers: where each is, its stretched password, the guesses made at it."""

    def shares_owner(self) -> bytes | None:
        """The key under which they are offered: their passwords are stretched with it."""
        rows = self._db.run("SELECT value FROM meta WHERE name = 'owner'")
        return rows[0][0] if rows else None

    def set_shares_owner(self, key: bytes) -> None:
        """From now on they are offered under that key."""
        self._db.run("INSERT OR REPLACE INTO meta VALUES ('owner', ?)", key)

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
        known = ("size", "mtime_ns", "device", "inode", "digest", "manifest", "files", "shared")
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
