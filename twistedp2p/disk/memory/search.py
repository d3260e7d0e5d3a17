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
from itertools import chain
from typing import Any

import attrs

from twistedp2p.core.catalogue import Query, folded
from twistedp2p.core.names import fingerprint
from twistedp2p.disk.memory.database import Database
from twistedp2p.disk.memory.index import EDGE, GRAM, LETTER, NOWHERE, owner_mark

LAST = chr(sys.maxunicode)  # comes after whatever a name may contain
GRAMS_MOST = 256  # that begin with a word of two letters; where there are more, names are read
OWNERS_MOST = 64  # in an expression: to look one up takes some 50 us
OWNERS_COST = 300_000  # owners in an expression times their offers: some ms at the worst
LONG = 5  # characters: of a word as long the first and the last trigram are looked for first
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
    others = _terms(db, words[1:])

    def with_first(first: str, *, many: bool) -> list[int]:
        return _found(db, _terms(db, [first]).and_(others), owners, most, many=many)

    first, alone = words[0], len(words) == 1
    found = with_first(f"{EDGE}{first}", many=alone)
    if len(found) >= most:
        named = [with_first(f"{EDGE}{first}{end}", many=False) for end in (EDGE, ".")]
        found = [*chain(*named), *found]
    else:
        found += with_first(first, many=alone)
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

    @property
    def are_sought(self) -> bool:
        """Whether it is quick to look for their offers in the index.

        Else the names are read: among those of so many, or who have so much, enough are found soon.
        """
        return len(self.feeds) <= OWNERS_MOST and len(self.feeds) * self.offers <= OWNERS_COST


def _owners(db: Database, query: Query) -> _Owners | None:
    """Those who are here and meant by the `@` words; None: that is everybody we know of."""
    away = "SELECT 1 FROM feeds WHERE live AND NOT present LIMIT 1"
    all_are_here = not db.run(away)
    if not query.owners and all_are_here:
        return None
    here = db.run("SELECT id, live, origin, nick FROM feeds WHERE live AND present")
    if query.owners:
        meant = [row for row in here if query.of(row[3], _fingerprint(row[2]))]
        if all_are_here and len(meant) == len(here):
            return None
        here = meant
    return _Owners([row[0] for row in here], sum(row[1] for row in here))


@attrs.frozen
class _Terms:
    """What finds some words in the index."""

    match: list[str] = attrs.Factory(list)  # expressions
    unfound: list[str] = attrs.Factory(list)  # words that are to be read for in the names, too
    hints: list[str] = attrs.Factory(list)  # quicker expressions, which find too many
    hinted: list[str] = attrs.Factory(list)  # words that are to be read for among those

    def and_(self, others: _Terms) -> _Terms:
        """What finds the words of both."""
        return _Terms(
            self.match + others.match,
            self.unfound + others.unfound,
            self.hints + others.hints,
            self.hinted + others.hinted,
        )


def _found(
    db: Database, terms: _Terms, owners: _Owners | None, most: int, *, many: bool
) -> list[int]:
    """The numbers of at most `most` offers, in their order; by hints unless `many` are expected.

    Of a word that is in most names all trigrams would be gone through to the end of their lists,
    where few or none of these names have another word too.
    """
    read = [*terms.hinted, *terms.unfound]
    if owners is not None and not owners.are_sought:  # the names are read as it is
        return _matches(db, terms.hints, read, owners, most)
    if terms.hinted and not many:
        hinted = _matches(db, terms.hints, [], owners, FEW + 1)
        found = _read(db, hinted, read, most)
        if len(hinted) <= FEW or len(found) >= most:
            return found
    return _matches(db, terms.match, terms.unfound, owners, most)


def _matches(
    db: Database, match: list[str], words: list[str], owners: _Owners | None, most: int
) -> list[int]:
    """The numbers of at most `most` offers that match all expressions and have all words."""
    where = ["instr(o.folded, ?)"] * len(words)
    values: list[object] = [*words]
    if owners is not None:
        where.append(owners.among("o.feed"))
        if match and owners.are_sought:
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


def _read(db: Database, offers: list[int], words: list[str], most: int) -> list[int]:
    """Those of the offers, at most `most`, that have all words."""
    if not offers:
        return []
    where = [f"o.id IN ({', '.join(map(str, offers))})", *["instr(o.folded, ?)"] * len(words)]
    rows = db.run(
        f"SELECT o.id FROM offers AS o WHERE {' AND '.join(where)} ORDER BY o.id LIMIT {most}",  # noqa: S608
        *words,
    )
    return [offer for (offer,) in rows]


def _terms(db: Database, words: list[str]) -> _Terms:
    """What finds the words in the index."""
    terms = _Terms()
    for word in words:
        if len(word) == 1:
            expression = _any([f"{LETTER}{word}{LETTER}"])
        elif len(word) >= GRAM:
            expression = _any([word])
        elif len(grams := _grams(db, word)) <= GRAMS_MOST:
            expression = _any(grams or [NOWHERE])
        else:
            terms.unfound.append(word)
            continue
        terms.match.append(expression)
        if len(word) >= LONG:
            terms.hints.extend((_any([word[:GRAM]]), _any([word[-GRAM:]])))
            terms.hinted.append(word)
        else:
            terms.hints.append(expression)
    return terms


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
