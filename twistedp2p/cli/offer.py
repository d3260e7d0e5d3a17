"""`p2pshare offer`: offer files and folders to the group."""

from __future__ import annotations

import argparse
import os
from typing import Any

from twistedp2p.cli.ask import (
    add_common,
    add_password,
    client_of,
    filled,
    for_each,
    given_password,
    output_of,
)
from twistedp2p.cli.show import Output
from twistedp2p.core.errors import N_

EPILOG = """\
A folder is one offer, with all that is in it. Without a password three words
are made, for each offer its own. All is read once before the group is told.
Between tabs on a pipe: id, name, ticket, and the password where one was made.
The ticket has the password in it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("paths", nargs="+", type=filled, metavar="PATH", help="a file or folder")
    add("--public", action="store_true", help="without a password, for everybody in the group")
    add_password(parser)
    add_common(parser, json="print JSON, a line for each offer")


def run(options: argparse.Namespace) -> int:
    """Offer one after the other; the exit code of the last that failed; raises `ShareError`."""
    output, client = output_of(options), client_of(options)
    body: dict[str, Any] = {"public": options.public}
    if not options.public and (password := given_password(options)):
        body["password"] = password

    def one(path: str) -> None:
        wanted = {**body, "path": os.path.abspath(path)}
        _show(output, client.post("offers", body=wanted, patience=None))

    return for_each(options.paths, one)


def _show(output: Output, offered: dict[str, Any]) -> None:
    password, left_out = offered.get("password"), offered.get("left_out", {})
    if any(left_out.values()):
        from twistedp2p.core.events import LEFT_OUT  # slow to load

        output.note(LEFT_OUT, name=offered["name"], **left_out)
    if output.document:
        output.json(offered)
    elif not output.terminal:
        output.row(offered["id"], offered["name"], offered["ticket"], password)
    else:
        output.sentence(N_("The group was told: {name}"), name=offered["name"])
        if password:
            output.sentence(N_("Its password: {password}"), password=password)
        if offered["ticket"]:
            output.sentence(N_("Its ticket: {ticket}"), ticket=offered["ticket"])
