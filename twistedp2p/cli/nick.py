"""`p2pshare nick`: bear another name."""

from __future__ import annotations

import argparse

from twistedp2p.cli.ask import add_common, client_of, filled, output_of
from twistedp2p.cli.client import PATIENCE
from twistedp2p.core.errors import Exit


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = "What is printed is the name as the others see it."
    parser.add_argument(
        "name", type=filled, metavar="NAME", help="at most 20 characters, without blanks"
    )
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    """Have it borne, and print it; raises `ShareError`."""
    output = output_of(options)
    named = client_of(options).post("nick", body={"nick": options.name}, patience=PATIENCE)
    if output.document:
        output.json(named)
    else:
        output.row(named["nick"])
    return Exit.OK
