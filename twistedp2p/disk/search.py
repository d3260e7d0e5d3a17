"""Searching the catalogue: every word is part of the name, whatever its case and accents.

What is asked for, and how it is found in the index (`index`)::

    abc (or longer)              "abc"
    ab                           all trigrams that begin with it, as the index tells them
    a                            "TAB a TAB"
    begins with ab; is ab        "LF ab"; "LF ab LF"
    @anna                        "CR owner" of each that is meant
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import attrs

from twistedp2p.core.catalogue import Query, folded
from twistedp2p.core.names import fingerprint
from twistedp2p.disk.database import Database
from twistedp2p.disk.index import EDGE, GRAM, LETTER, NOWHERE, owner_mark

LAST = chr(sys.maxunicode)  # comes after whatever a name may contain
GRAMS_MOST = 256  # that begin with a word of two letters; where there are more, names are read
OWNERS_MOST = 64  # in one expression: its cost is theirs times the offers found
FEW = 3000  # offers, so few that reading their names is quick
COLUMNS = "f.origin, o.name, o.size, o.digest, o.public, o.stamp"


def find(db: Database, query: Query, most: int) -> list[tuple[Any, ...]]:
    """At most `most` live offers of nodes that are here: `COLUMNS` and the nick.

    Those that the first word begins come first where there are more. Without words the latest
    come first, as they were heard of, one of each owner in turn: nobody fills the list.
    """
    owners = _owners(db, query)
    words = [word for word in map(folded, query.words) if word]
    if (query.words and not words) or (owners is not None and not owners.feeds):
        return []
    if not words:
        return _rows(db, _latest(db, owners, most))
    found = _matches(db, words, owners, most)
    if len(found) >= most:
        first, *others = words
        best: list[int] = []
        for begun in (f"{EDGE}{first}{EDGE}", f"{EDGE}{first}.", f"{EDGE}{first}"):
            if len(best) < most:
                best += _matches(db, [begun, *others], owners, most)
        found = list(dict.fromkeys([*best, *found]))[:most]
    return _rows(db, found)


@attrs.frozen
class _Owners:
    """The feeds whose offers may be shown, and how many offers those are."""

    feeds: list[int]
    offers: int

    def among(self, column: str) -> str:
        """The condition that a column names one of them."""
        return f"{column} IN ({', '.join(map(str, self.feeds))})"


def _owners(db: Database, query: Query) -> _Owners | None:
    """Those who are here and meant by the `@` words; None: that is everybody we know of."""
    away = "SELECT 1 FROM feeds WHERE live AND NOT present LIMIT 1"
    if not query.owners and not db.run(away):
        return None
    here = db.run("SELECT id, live, origin, nick FROM feeds WHERE live AND present")
    if query.owners:
        here = [row for row in here if query.of(row[3], fingerprint(row[2]))]
    return _Owners([row[0] for row in here], sum(row[1] for row in here))


def _matches(db: Database, words: list[str], owners: _Owners | None, most: int) -> list[int]:
    """The numbers of at most `most` offers with all those words."""
    few = owners is not None and owners.offers <= FEW
    match: list[str] = []
    where = ["o.live"]
    values: list[object] = []
    for word in words:
        expression = None if few else _expression(db, word)
        if expression is not None:
            match.append(expression)
        else:
            where.append("instr(o.folded, ?)")
            values.append(word)
    if owners is not None:
        where.append(owners.among("o.feed"))
        if match and len(owners.feeds) <= OWNERS_MOST:
            match.append(_any(map(owner_mark, owners.feeds)))
    source = "offers AS o"
    if match:
        source = "names CROSS JOIN offers AS o ON o.id = names.rowid"
        where.append("names MATCH ?")
        values.append(" AND ".join(match))
    rows = db.run(
        f"SELECT o.id FROM {source} WHERE {' AND '.join(where)} LIMIT {most}",  # noqa: S608
        *values,
    )
    return [offer for (offer,) in rows]


def _expression(db: Database, word: str) -> str | None:
    """What finds a word in the index; None when that would be too long."""
    if len(word) == 1:
        return _any([f"{LETTER}{word}{LETTER}"])
    if len(word) >= GRAM:
        return _any([word])
    grams = db.run(
        f"SELECT term FROM grams WHERE term >= ? AND term < ? LIMIT {GRAMS_MOST + 1}",  # noqa: S608
        word,
        f"{word}{LAST}",
    )
    return _any([gram for (gram,) in grams] or [NOWHERE]) if len(grams) <= GRAMS_MOST else None


def _any(phrases: Iterable[str]) -> str:
    quoted = ['"' + phrase.replace('"', '""') + '"' for phrase in phrases]
    return f"({' OR '.join(quoted)})"


def _latest(db: Database, owners: _Owners | None, most: int) -> list[int]:
    """The latest offers of each owner, the owners in turn, whoever was heard of last first."""
    here = ["f.live", "f.present"] + ([] if owners is None else [owners.among("f.id")])
    which = f"feeds AS f WHERE {' AND '.join(here)}"
    count = db.run(f"SELECT count(*) FROM {which}")[0][0]  # noqa: S608
    each = max(1, min(most, 2 * most // max(1, count)))
    rows = db.run(
        "SELECT (SELECT group_concat(id) FROM (SELECT id FROM offers WHERE feed = f.id AND live"  # noqa: S608
        f" ORDER BY id DESC LIMIT {each})) FROM {which}"
    )
    in_turn = [
        (turn, negative)
        for (ids,) in rows
        if ids
        for turn, negative in enumerate(sorted(-int(offer) for offer in ids.split(",")))
    ]
    return [-negative for _, negative in sorted(in_turn)[:most]]


def _rows(db: Database, offers: list[int]) -> list[tuple[Any, ...]]:
    if not offers:
        return []
    found = db.run(
        f"SELECT o.id, {COLUMNS}, f.nick FROM offers AS o CROSS JOIN feeds AS f ON f.id = o.feed"  # noqa: S608
        f" WHERE o.id IN ({', '.join(map(str, offers))}) AND o.live AND f.present"
    )
    rows = {row[0]: row[1:] for row in found}
    return [rows[offer] for offer in offers if offer in rows]  # one may have gone meanwhile
