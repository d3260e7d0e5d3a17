"""The tables of a node's memory, and how those of earlier versions become them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from twistedp2p.disk.memory.index import id_mark, indexed

LAYOUT = 12  # of the tables; kept in the file as `user_version`

_NAMES = """
CREATE VIRTUAL TABLE names USING fts5(
    folded, content = 'offers', content_rowid = 'id', columnsize = 0, tokenize = 'trigram')
"""
_HOSTS = "CREATE TABLE hosts(network TEXT, host TEXT, seen INTEGER, PRIMARY KEY(network, host))"
_CONTENTS = """
CREATE TABLE contents(name TEXT PRIMARY KEY, manifest BLOB, hashes BLOB, identity BLOB)
"""
_SHOWN = """
CREATE TABLE shown(
    id INTEGER PRIMARY KEY, origin BLOB, epoch INTEGER, chat TEXT, UNIQUE(origin, epoch))
"""
_PART_FOLDERS = "CREATE TABLE part_folders(folder BLOB PRIMARY KEY, used INTEGER)"
_BY_ID = "CREATE INDEX offers_by_id ON offers(mark) WHERE live"
_GRAMS = "CREATE VIRTUAL TABLE grams USING fts5vocab(names, row)"

# A feed without origin has been dropped: what it held is not seen, and goes by and by. One that
# has a `past` gave way to a later epoch of that key, or to other keys: its lines stay what was
# said, and of the latter `shown` has the ranges that were here.
# A line's `stamp` is what history is ordered by, in the group's time; `said` is when that was by
# our own clock. Both are in milliseconds since 1970.
_TABLES = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE feeds(
    id INTEGER PRIMARY KEY, origin BLOB UNIQUE, epoch INTEGER, nick TEXT,
    present INTEGER, heard INTEGER, kept INTEGER, live INTEGER, chat TEXT, offers TEXT,
    past BLOB);
CREATE TABLE entries(
    feed INTEGER, log TEXT, number INTEGER, stamp INTEGER, raw BLOB, said INTEGER,
    PRIMARY KEY(feed, log, number)) WITHOUT ROWID;
CREATE INDEX chat_by_age ON entries(stamp) WHERE log = 'chat';
CREATE TABLE offers(
    id INTEGER PRIMARY KEY, feed INTEGER, name TEXT, folded TEXT, size INTEGER, digest TEXT,
    public INTEGER, stamp INTEGER, number INTEGER, live INTEGER, files INTEGER,
    mark INTEGER, UNIQUE(feed, name));
CREATE INDEX latest_offers ON offers(feed, id) WHERE live;
CREATE INDEX withdrawn ON offers(feed, number) WHERE NOT live;
{_BY_ID};
{_NAMES};
{_GRAMS};
CREATE TABLE pins(key BLOB PRIMARY KEY, nick TEXT, first INTEGER, seen INTEGER,
    epoch INTEGER, number INTEGER);
CREATE TABLE owners(host TEXT, port INTEGER, key BLOB, seen INTEGER, PRIMARY KEY(host, port));
CREATE TABLE shares(
    name TEXT PRIMARY KEY, path BLOB, prs BLOB, generated INTEGER, public INTEGER,
    identity TEXT, guesses TEXT);
{_HOSTS};
{_CONTENTS};
{_SHOWN};
{_PART_FOLDERS};
"""


def lay_out(db: sqlite3.Connection, layout: int) -> None:
    """Bring tables of `layout` (0: there are none) to `LAYOUT`, inside a transaction."""
    if layout:
        for step in range(layout, LAYOUT):
            STEPS[step](db)
    else:
        for statement in _TABLES.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {LAYOUT}")


def _index_letters_and_owners(db: sqlite3.Connection) -> None:
    db.create_function("indexed", 2, indexed, deterministic=True)
    db.execute("DROP TABLE names")
    db.execute("UPDATE offers SET folded = indexed(name, feed)")
    db.execute(_NAMES)
    db.execute(_GRAMS)
    db.execute("INSERT INTO names(rowid, folded) SELECT id, folded FROM offers WHERE live")


def _keep_when_it_was_said(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE feeds ADD COLUMN past BLOB")
    db.execute("ALTER TABLE entries ADD COLUMN said INTEGER")
    db.execute("UPDATE entries SET said = stamp")


def _remember_hosts(db: sqlite3.Connection) -> None:
    db.execute(_HOSTS)


def _keep_what_was_heard_of_pinned_keys(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE pins ADD COLUMN epoch INTEGER")
    db.execute("ALTER TABLE pins ADD COLUMN number INTEGER")


def _keep_contents(db: sqlite3.Connection) -> None:
    db.execute(_CONTENTS)
    db.execute("ALTER TABLE offers ADD COLUMN files INTEGER")


def _index_ids(db: sqlite3.Connection) -> None:
    db.create_function("id_mark", 2, id_mark, deterministic=True)
    db.execute("ALTER TABLE offers ADD COLUMN mark INTEGER")
    db.execute(
        "UPDATE offers SET mark = id_mark(f.origin, name) FROM feeds AS f"
        " WHERE f.id = feed AND f.origin IS NOT NULL"
    )
    db.execute(_BY_ID)


def _remember_what_was_shown(db: sqlite3.Connection) -> None:
    db.execute(_SHOWN)


def _remember_part_folders(db: sqlite3.Connection) -> None:
    db.execute(_PART_FOLDERS)


STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {
    4: _index_letters_and_owners,
    5: _keep_when_it_was_said,
    6: _remember_hosts,
    7: _keep_what_was_heard_of_pinned_keys,
    8: _keep_contents,
    9: _index_ids,
    10: _remember_what_was_shown,
    11: _remember_part_folders,
}
