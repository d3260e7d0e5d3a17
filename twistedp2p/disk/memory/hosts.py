"""The hosts where nodes were met, by network: where multicast does not pass, they are greeted."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from twistedp2p.disk.memory.database import Tables

MAX_HOSTS = 64  # of one network
MAX_NETWORKS = 64
READ_PATIENCE = 1.0  # seconds


class Hosts(Tables):
    """Hosts that were met; nothing is known of them but that."""

    def hosts_on(self, network: str) -> list[str]:
        """The hosts met on a network, the latest first."""
        rows = self._db.run(
            "SELECT host FROM hosts WHERE network = ? ORDER BY seen DESC LIMIT ?",
            network,
            MAX_HOSTS,
        )
        return [row[0] for row in rows]

    def met_host(self, network: str, host: str, now_ms: int) -> None:
        """Note that a node is at that host; the longest unseen make room.

        :param network: as of `net.group.Group.network_of`.
        :param now_ms: milliseconds since 1970.
        """
        with self._db.together():
            self._db.run("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", network, host, now_ms)
            self._db.run(
                "DELETE FROM hosts WHERE network = ?1 AND host IN (SELECT host FROM hosts"
                " WHERE network = ?1 ORDER BY seen DESC LIMIT -1 OFFSET ?2)",
                network,
                MAX_HOSTS,
            )
            self._db.run(
                "DELETE FROM hosts WHERE network IN (SELECT network FROM hosts GROUP BY network"
                " ORDER BY max(seen) DESC LIMIT -1 OFFSET ?)",
                MAX_NETWORKS,
            )


def hosts_remembered(state_folder: Path, networks: Sequence[str], slot: str = "*") -> list[str]:
    """The hosts that nodes of this user met on these networks, the latest first.

    :param slot: the name of the folder of one node; ``*``: all of them.

    Their memories are only read, also while a node uses them; one that cannot be is left out.
    """
    seen: dict[str, int] = {}
    marks = ", ".join("?" * len(networks))
    ask = f"SELECT host, seen FROM hosts WHERE network IN ({marks}) ORDER BY seen DESC LIMIT ?"  # noqa: S608
    for path in sorted(state_folder.glob(f"{slot}/*.db")):
        with suppress(sqlite3.Error):
            uri = f"{path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=READ_PATIENCE)) as db:
                for host, at in db.execute(ask, (*networks, MAX_HOSTS)):
                    seen[host] = max(at, seen.get(host, at))
    return sorted(seen, key=lambda host: -seen[host])[:MAX_HOSTS]
