"""The trees of our own offers, kept so that a restart need not read the files again."""

from __future__ import annotations

from twistedp2p.core.content.tree import Tree
from twistedp2p.disk.memory.database import Database
from twistedp2p.disk.memory.shares import OwnShares, Share


def content_of(db: Database, share: Share) -> tuple[Tree, bytes] | None:
    """The content of an offer, and what `FolderIdentity.write` wrote of a folder.

    None where it has to be read anew. So it is with what earlier versions offered, which knew
    only a digest of the whole; but a file of one piece has the same digest as then.
    """
    rows = db.run("SELECT manifest, hashes, identity FROM contents WHERE name = ?", share.name)
    manifest, hashes, identity = rows[0] if rows else (b"", b"", b"")
    if len(manifest) != share.manifest:
        return None
    try:
        return Tree.read(share.size, manifest, hashes, share.digest), identity
    except ValueError:
        return None


class OwnContents(OwnShares):
    """Of each own offer the hashes and, of a folder, its manifest and the state of its files."""

    def tree(self, share: Share) -> Tree | None:
        """The content of an offer; None where it has to be read anew."""
        content = content_of(self._db, share)
        return None if content is None else content[0]

    def without_tree(self) -> set[str]:
        """The names of offers of which nothing is kept here."""
        rows = self._db.run("SELECT name FROM shares WHERE name NOT IN (SELECT name FROM contents)")
        return {name for (name,) in rows}

    def put_tree(self, name: str, tree: Tree, folder_identity: bytes = b"") -> None:
        """Keep the content of an offer."""
        self._db.run(
            "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)",
            *(name, tree.manifest, tree.hashes, folder_identity),
        )

    def drop_share(self, name: str) -> None:
        """Forget how to serve an offer, and its content."""
        with self._db.together():
            super().drop_share(name)
            self._db.run("DELETE FROM contents WHERE name = ?", name)
