"""`p2pshare cancel`: stop what is coming."""

from __future__ import annotations

import argparse

from twistedp2p.cli.ask import add_instance, client_of, filled
from twistedp2p.core.errors import Exit


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "numbers",
        nargs="+",
        type=filled,
        metavar="NUMBER",
        help="as `p2pshare transfers` shows them",
    )
    add_instance(parser)


def run(options: argparse.Namespace) -> int:
    """Stop them; raises `ShareError`."""
    client = client_of(options)
    for number in options.numbers:
        client.delete("transfers", number)
    return Exit.OK
