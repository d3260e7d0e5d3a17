"""`p2pshare status`: what the node is, and how it is doing."""

from __future__ import annotations

import argparse

from twistedp2p.cli.ask import add_common, client_of, output_of, slot_of
from twistedp2p.core.errors import N_, Exit
from twistedp2p.disk.state.token import read_token
from twistedp2p.face.texts import time_text

LABELS = {
    "nick": N_("Nick"),
    "fingerprint": N_("Fingerprint"),
    "group": N_("Group"),
    "port": N_("Port"),
    "file_port": N_("Port for files"),
    "closed": N_("Closed group"),
    "nodes": N_("Nodes here"),
    "offers": N_("Offers"),
    "transfers": N_("Transfers"),
    "unicast_only": N_("By unicast only"),
    "loss": N_("Multicast loss"),
    "version": N_("Version"),
    "pid": N_("Process"),
    "uptime": N_("Runs for"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "--token",
        action="store_true",
        help="print what opens the interface of --web, and that alone",
    )
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    """Ask, print, and give the exit code; raises `ShareError`."""
    output = output_of(options)
    if options.token:
        output.row(read_token(slot_of(options)))
        return Exit.OK
    status = client_of(options).get("status")
    if output.document:
        output.json(status)
        return Exit.OK
    values = {name: status.get(name) for name in LABELS}
    values["dropped"] = sum(status["dropped"].values())
    if not output.terminal:
        for name, value in values.items():
            output.row(name, value)
        return Exit.OK
    values["uptime"] = time_text(status["uptime"])
    values["loss"] = f"{100 * (status['loss'] or 0):.0f} %"
    labels = {name: output.translate(label) for name, label in LABELS.items()}
    labels["dropped"] = output.translate(N_("Datagrams dropped"))
    output.pairs((labels[name], values[name]) for name in labels)
    return Exit.OK
