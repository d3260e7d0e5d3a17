"""`p2pshare withdraw`: offer something no more."""

from __future__ import annotations

import argparse

from twistedp2p.cli.ask import add_instance, client_of, filled
from twistedp2p.core.errors import N_, Exit, ShareError


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("names", nargs="+", type=filled, metavar="NAME|ID", help="what you offer")
    add_instance(parser)


def run(options: argparse.Namespace) -> int:
    """Withdraw all of them or, where one is not on offer, none; raises `ShareError`."""
    client = client_of(options)
    own = {offer["name"]: offer["id"] for offer in client.items("offers")}
    meant = []
    for name in options.names:
        if name not in own and name not in own.values():
            raise ShareError(N_("You do not offer {name}."), Exit.NOT_FOUND, name=name)
        meant.append(own.get(name, name))
    for each in dict.fromkeys(meant):
        client.delete("offers", each)
    return Exit.OK
