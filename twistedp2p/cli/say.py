"""`p2pshare say`: say something to the group, or to one person alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from twistedp2p.cli.ask import add_instance, client_of, filled
from twistedp2p.core.errors import Exit

EPILOG = """\
say - says each line of standard input as it comes. A direct message (--to) is
shown at the other end before the command ends, or the command fails.
"""
DIRECT_PATIENCE = 60.0  # seconds until a direct message has been shown


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    parser.add_argument("text", nargs="+", metavar="TEXT", help="the words, or -")
    parser.add_argument(
        "--to",
        type=filled,
        metavar="NICK",
        help="to this person alone: a nick, or a key's fingerprint",
    )
    add_instance(parser)


def run(options: argparse.Namespace) -> int:
    """Say it; raises `ShareError`."""
    client = client_of(options)
    if options.text == ["-"]:
        client.get("status")  # who has no node learns it before typing
    for text in _texts(options.text):
        body = {"text": text, **({"to": options.to} if options.to else {})}
        client.post("messages", body=body, patience=DIRECT_PATIENCE)
    return Exit.OK


def _texts(given: list[str]) -> Iterator[str]:
    if given != ["-"]:
        yield " ".join(given)
        return
    for line in sys.stdin:
        if line.strip():
            yield line.rstrip("\r\n")
