"""The folders that downloads went to: a run that was killed may have left parts there."""

from __future__ import annotations

import os
from pathlib import Path

from twistedp2p.disk.memory.database import Tables

MAX_FOLDERS = 1000  # the longest unused make room
FORGOTTEN_AFTER = 90 * 86_400 * 1000  # milliseconds without use: a stick that never came back


class PartFolders(Tables):
    """Where what was left is to be looked for, beside the node's own download folder."""

    def part_folders(self, now_ms: int) -> list[tuple[Path, int]]:
        """Each folder, and when a download last went there; the longest unused are forgotten.

        :param now_ms: milliseconds since 1970, as all times here.
        """
        self._db.run("DELETE FROM part_folders WHERE used < ?", now_ms - FORGOTTEN_AFTER)
        rows = self._db.run("SELECT folder, used FROM part_folders ORDER BY used DESC")
        return [(Path(os.fsdecode(folder)), used) for folder, used in rows]

    def put_part_folder(self, folder: Path, now_ms: int) -> None:
        """Note that a download goes there."""
        with self._db.together():
            name = os.fsencode(folder)
            self._db.run("INSERT OR REPLACE INTO part_folders VALUES (?, ?)", name, now_ms)
            self._db.run(
                "DELETE FROM part_folders WHERE folder IN (SELECT folder FROM part_folders"
                " ORDER BY used DESC LIMIT -1 OFFSET ?)",
                MAX_FOLDERS,
            )

    def drop_part_folder(self, folder: Path, used: int) -> None:
        """Nothing is left there, unless another download has gone there since `used`."""
        self._db.run(
            "DELETE FROM part_folders WHERE folder = ? AND used <= ?", os.fsencode(folder), used
        )
