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
from functools import lru_cache
from typing import Any

import attrs

from twistedp2p.core.catalogue import Query, folded
from twistedp2p.core.names import fingerprint
from twistedp2p.disk.database import Database
from twistedp2p.disk.index import EDGE, GRAM, LETTER, NOWHERE, owner_mark

LAST = chr(sys.maxunicode)  # comes after whatever a name may contain
GRAMS_MOST = 256  # that begin with a word of two letters; where there are more, names are read
OWNERS_COST = 300_000  # owners in an expression times their offers: some ms at the worst
FEW = 1000  # offers, so few that reading their names is quick
_fingerprint = lru_cache(4096)(fingerprint)  # asked for all who are here at each letter
COLUMNS = "f.origin, o.name, o.size, o.digest, o.public, o.stamp, o.files"


def find(db: Database, query: Query, most: int) -> list[tuple[Any, ...]]:
    """At most `most` (or `FEW`) live offers of nodes that are here: `COLUMNS` and the nick.

    Those that the first word begins come first where there are more. Without words the latest
    come first, as they were heard of, one of each owner in turn: nobody fills the list.
    """
    owners = _owners(db, query)
    words = [word for word in map(folded, query.words) if word]
    if (query.words and not words) or (owners is not None and not owners.feeds):
        return []
    if not words:
        return _rows(db, _latest(db, owners, most))
    if owners is not None and owners.offers <= FEW:
        return _rows(db, _matches(db, [], words, owners, FEW))
    match, rest = _terms(db, words[1:])

    def with_first(first: str) -> list[int]:
        own, too_common = _terms(db, [first])
        return _matches(db, [*own, *match], [*too_common, *rest], owners, most)

    first = words[0]
    found = with_first(first)
    if len(found) >= most:
        found = [*with_first(f"{EDGE}{first}"), *found]
        if len(found) >= 2 * most:
            found = [*with_first(f"{EDGE}{first}{EDGE}"), *with_first(f"{EDGE}{first}."), *found]
    return _rows(db, list(dict.fromkeys(found))[:most])


def heard_before(db: Database, query: Query, before: int, most: int) -> list[tuple[Any, ...]]:
    """At most `most` live offers of nodes that are here, the latest heard first, of those heard
    before the one of that number: number, `COLUMNS` and the nick. Words are not looked at.

    Made to go through all of them, some at a time; for people there is `find`.
    """
    owners = _owners(db, query)
    among = "" if owners is None else f" AND {owners.among('o.feed')}"
    return db.run(
        f"SELECT o.id, {COLUMNS}, f.nick FROM offers AS o CROSS JOIN feeds AS f ON f.id = o.feed"  # noqa: S608
        f" WHERE o.id < ? AND o.live AND f.present{among} ORDER BY o.id DESC LIMIT ?",
        before,
        most,
    )


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
        here = [row for row in here if query.of(row[3], _fingerprint(row[2]))]
    return _Owners([row[0] for row in here], sum(row[1] for row in here))


def _matches(
    db: Database, match: list[str], words: list[str], owners: _Owners | None, most: int
) -> list[int]:
    """The numbers of at most `most` offers that match all expressions and have all words."""
    where = ["instr(o.folded, ?)"] * len(words)
    values: list[object] = [*words]
    if owners is not None:
        where.append(owners.among("o.feed"))
        if match and len(owners.feeds) * owners.offers <= OWNERS_COST:
            match = [*match, _any(map(owner_mark, owners.feeds))]
    if match:
        source, number = "names", "names.rowid"
        if where:
            source = "names CROSS JOIN offers AS o ON o.id = names.rowid"
        where.append("names MATCH ?")
        values.append(" AND ".join(match))
    else:
        source, number = "offers AS o", "o.id"
        where.append("o.live")
    rows = db.run(
        f"SELECT {number} FROM {source} WHERE {' AND '.join(where)} LIMIT {most}",  # noqa: S608
        *values,
    )
    return [offer for (offer,) in rows]


def _terms(db: Database, words: list[str]) -> tuple[list[str], list[str]]:
    """What finds the words in the index, and those for which that would be too long."""
    match, rest = [], []
    for word in words:
        if len(word) == 1:
            match.append(_any([f"{LETTER}{word}{LETTER}"]))
        elif len(word) >= GRAM:
            match.append(_any([word]))
        elif len(grams := _grams(db, word)) <= GRAMS_MOST:
            match.append(_any(grams or [NOWHERE]))
        else:
            rest.append(word)
    return match, rest


def _grams(db: Database, beginning: str) -> list[str]:
    rows = db.run(
        f"SELECT term FROM grams WHERE term >= ? AND term < ? LIMIT {GRAMS_MOST + 1}",  # noqa: S608
        beginning,
        f"{beginning}{LAST}",
    )
    return [gram for (gram,) in rows]


def _any(phrases: Iterable[str]) -> str:
    quoted = ['"' + phrase.replace('"', '""') + '"' for phrase in phrases]
    return f"({' OR '.join(quoted)})"


def _latest(db: Database, owners: _Owners | None, most: int) -> list[int]:
    """The latest offers of each owner, the owners in turn, whoever was heard of last first."""
    here = ["f.live", "f.present"] + ([] if owners is None else [owners.among("f.id")])
    which = f"feeds AS f WHERE {' AND '.join(here)}"
    count, offers = db.run(f"SELECT count(*), coalesce(sum(live), 0) FROM {which}")[0]  # noqa: S608
    each = max(1, min(most, 2 * most // max(1, count)))
    while True:
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
        if each >= most or len(in_turn) >= min(most, offers):
            return [-negative for _, negative in sorted(in_turn)[:most]]
        each = min(most, 4 * each)  # some owners have many more than the others


def _rows(db: Database, offers: list[int]) -> list[tuple[Any, ...]]:
    if not offers:
        return []
    found = db.run(
        f"SELECT o.id, {COLUMNS}, f.nick FROM offers AS o CROSS JOIN feeds AS f ON f.id = o.feed"  # noqa: S608
        f" WHERE o.id IN ({', '.join(map(str, offers))}) AND o.live AND f.present"
    )
    rows = {row[0]: row[1:] for row in found}
    return [rows[offer] for offer in offers if offer in rows]  # one may have gone meanwhile
