"""`p2pshare events`: what happens, as it happens."""

from __future__ import annotations

import argparse
from typing import Any

from twistedp2p.cli.ask import add_common, client_of, filled, output_of
from twistedp2p.cli.show import shown_text
from twistedp2p.core.errors import N_, Exit, ShareError

KINDS = (
    "said", "direct_message", "joined", "renamed", "left", "offer_added", "offer_gone",
    "wrong_password", "progress", "fetched", "fetch_failed", "not_sent", "notice", "lost",
)  # fmt: skip
"""Those of `core.events`, which is slow to load, and `lost`."""

EPILOG = """\
With --json each line is {"event": NAME, "id": ID, "data": {...}}; else the
event's name and its values as NAME=VALUE, between tabs. --after ID goes on
after that event; where some are no longer known, a `lost` comes first. What
is said to you alone (direct_message) is taken for read while this runs.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--only",
        type=kinds,
        metavar="NAME,...",
        default=(),
        help="these events, such as said,offer_added",
    )
    add("--after", metavar="ID", default="", help="the events after this one")
    add_common(parser, json="print JSON, a line for each event")


def kinds(text: str) -> set[str]:
    """Names of events, with commas between."""
    wanted = set(filter(None, filled(text).split(",")))
    if unknown := wanted.difference(KINDS):
        what = ", ".join(sorted(unknown))
        raise argparse.ArgumentTypeError(f"no event is called {what}; there are {', '.join(KINDS)}")
    return wanted


def run(options: argparse.Namespace) -> int:
    """Print events until the node stops; raises `ShareError`."""
    output = output_of(options)
    for event in client_of(options).events(options.after):
        if options.only and event.name not in options.only:
            continue
        if output.document:
            output.json({"event": event.name, "id": event.number, "data": event.data})
        else:
            output.row(event.name, *(f"{name}={_plain(event.data[name])}" for name in event.data))
    raise ShareError(N_("The node has stopped."), Exit.NO_NODE)


def _plain(value: Any) -> str:
    """Values within values, such as an offer's, by the one that names them."""
    return shown_text(value.get("name") if isinstance(value, dict) else value)
