"""`p2pshare list`: all that is on offer, the latest first; and how `search` shows what it finds."""

from __future__ import annotations

import argparse
from typing import Any

from twistedp2p.cli.ask import add_common, client_of, filled, output_of
from twistedp2p.cli.show import Column, Output
from twistedp2p.core.errors import N_, Exit
from twistedp2p.face.texts import size_text

EPILOG = """\
Between tabs on a pipe: id, size in bytes, name, nick of the owner, fingerprint
of the owner, password (yes or no), digest.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options that `list` and `search` share."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--owner",
        type=filled,
        metavar="NICK",
        help="of this person alone: a nick, or a key's fingerprint",
    )
    add("--limit", type=positive, metavar="N", help="the first of them")
    add_common(parser)


def positive(text: str) -> int:
    """A number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError("a number from 1 on")
    return int(text[:9])


def run(options: argparse.Namespace) -> int:
    """Print all; raises `ShareError`."""
    return show(options, "")


def show(options: argparse.Namespace, query: str) -> int:
    """Print what is found, and give the exit code; raises `ShareError`."""
    output = output_of(options)
    found = client_of(options).items("catalogue", options.limit, q=query, owner=options.owner or "")
    output.listing(columns(output), found)
    return Exit.OK


def columns(output: Output) -> tuple[Column, ...]:
    """As the epilog says; on a terminal without what people do not type."""
    _ = output.translate

    def access(item: Any) -> str:
        return _(N_("for everybody")) if item["public"] else _(N_("under a password"))

    def owner(item: Any) -> str:
        return _(N_("you")) if item["own"] else str(item["owner"]["nick"])

    size = Column(N_("Size"), lambda item: item["size"], lambda item: size_text(item["size"]), True)
    if output.terminal:
        return (
            size,
            Column(N_("Name"), lambda item: item["name"]),
            Column(N_("Owner"), owner),
            Column(N_("Access"), access),
            Column(N_("Id"), lambda item: item["id"]),
        )
    return (
        Column("", lambda item: item["id"]),
        size,
        Column("", lambda item: item["name"]),
        Column("", lambda item: item["owner"]["nick"]),
        Column("", lambda item: item["owner"]["fingerprint"]),
        Column("", lambda item: not item["public"]),
        Column("", lambda item: item["digest"]),
    )
