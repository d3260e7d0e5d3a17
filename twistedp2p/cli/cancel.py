"""`p2pshare cancel`: stop what is coming."""

from __future__ import annotations

import argparse

from twistedp2p.cli.ask import add_instance, client_of, filled, for_each


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
    """Stop one after the other; the exit code of the last that failed; raises `ShareError`."""
    client = client_of(options)
    return for_each(options.numbers, lambda number: client.delete("transfers", number))
