"""Searching the catalogue: every word is part of the name, whatever its case and accents.

Names are indexed by their trigrams, in a folded spelling between two line ends, which no name and
no word contains: so the names that are a word, or begin with it, are found without looking at
the others.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from twistedp2p.core.catalogue import Query
from twistedp2p.core.names import fingerprint
from twistedp2p.disk.database import Database

EDGE = "\n"
INDEXED = 3  # characters: a shorter word is looked for in every name
COLUMNS = "f.origin, o.name, o.size, o.digest, o.public, o.stamp"


def folded(text: str) -> str:
    """`text` without case, accents, compatibility forms, and what cannot be seen."""
    if text.isascii() and text.isprintable():
        return text.lower()
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in plain if c.isprintable() and not unicodedata.combining(c))


def folded_name(name: str) -> str:
    """What is indexed of a name."""
    return f"{EDGE}{folded(name)}{EDGE}"


def find(db: Database, query: Query, most: int) -> list[tuple[Any, ...]]:
    """At most `most` live offers of nodes that are here: `COLUMNS` and the nick.

    Those that the first word begins come first where there are more. Without words the latest
    come first, as they were heard of, one of each owner in turn: nobody fills the list.
    """
    owners = _owners(db, query) if query.owners else None
    words = [word for word in map(folded, query.words) if word]
    found: dict[int, tuple[Any, ...]] = {}
    if not query.words:
        found = _latest(db, owners, most)
    elif words:
        first = words[0]
        for anchored in (f"{EDGE}{first}{EDGE}", f"{EDGE}{first}.", f"{EDGE}{first}", first):
            if len(found) < most and (len(anchored) >= INDEXED or anchored == first):
                found |= _rows(db, [anchored, *words[1:]], owners, most)
    return list(found.values())[:most]


def _rows(
    db: Database, words: list[str], owners: list[int] | None, most: int
) -> dict[int, tuple[Any, ...]]:
    where: list[str] = ["o.live", "f.present"]
    values: list[object] = []
    source = "offers AS o"
    if indexed := [word for word in words if len(word) >= INDEXED]:
        source = "names CROSS JOIN offers AS o ON o.id = names.rowid"
        where.append("names MATCH ?")
        values.append(" AND ".join('"' + word.replace('"', '""') + '"' for word in indexed))
    for word in words:
        where.append("instr(o.folded, ?)")
        values.append(word)
    if owners is not None:
        where.append(f"o.feed IN ({', '.join('?' * len(owners))})")
        values += owners
    rows = db.run(
        f"SELECT o.id, {COLUMNS}, f.nick FROM {source} CROSS JOIN feeds AS f ON f.id = o.feed"  # noqa: S608
        f" WHERE {' AND '.join(where)} LIMIT {most}",
        *values,
    )
    return {row[0]: row[1:] for row in rows}


def _latest(db: Database, owners: list[int] | None, most: int) -> dict[int, tuple[Any, ...]]:
    """The latest offers of each owner, the owners in turn, whoever was heard of last first."""
    if owners is None:
        owners = [feed for (feed,) in db.run("SELECT id FROM feeds WHERE present")]
    turns: list[tuple[int, int, tuple[Any, ...]]] = []
    each = max(1, min(most, 2 * most // max(1, len(owners))))
    for owner in owners:
        rows = db.run(
            f"SELECT o.id, {COLUMNS}, f.nick FROM offers AS o"  # noqa: S608
            " CROSS JOIN feeds AS f ON f.id = o.feed"
            f" WHERE o.feed = ? AND o.live ORDER BY o.id DESC LIMIT {each}",
            owner,
        )
        turns += [(turn, -row[0], row[1:]) for turn, row in enumerate(rows)]
    return {-number: row for _, number, row in sorted(turns)[:most]}


def _owners(db: Database, query: Query) -> list[int]:
    """The feeds of the nodes that are here and meant by the `@` words of a query."""
    here = db.run("SELECT id, origin, nick FROM feeds WHERE present")
    return [feed for feed, key, nick in here if query.of(nick, fingerprint(key))]
