"""`p2pshare search`: what is on offer and has all the words in its name, the best match first."""

from __future__ import annotations

import argparse

from twistedp2p.cli import listing
from twistedp2p.cli.ask import filled


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "words", nargs="+", type=filled, metavar="WORD", help="part of a name; @nick: an owner"
    )
    listing.configure(parser)


def run(options: argparse.Namespace) -> int:
    """Print what is found; raises `ShareError`."""
    return listing.show(options, " ".join(options.words))
