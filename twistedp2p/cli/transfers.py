"""`p2pshare transfers`: what is moving."""

from __future__ import annotations

import argparse
from typing import Any

from twistedp2p.cli.ask import add_common, client_of, output_of
from twistedp2p.cli.show import Column, Output
from twistedp2p.core.errors import N_, Exit
from twistedp2p.face.texts import size_text

EPILOG = """\
All of this run. Between tabs on a pipe: number; get, serve or read; waiting,
moving, done or failed; bytes done; size in bytes; bytes a second; name.
"""


def _share(item: Any) -> str:
    return f"{100 * item['done'] // item['size'] if item['size'] else 0} %"


WORDS = {
    "get": N_("get"),
    "check": N_("check"),
    "serve": N_("serve"),
    "read": N_("read"),
    "waiting": N_("waiting"),
    "moving": N_("moving"),
    "done": N_("done"),
    "failed": N_("failed"),
}
"""Kinds and states, for people."""


def columns(output: Output) -> tuple[Column, ...]:
    """As the epilog says."""

    def word(text: str) -> str:
        return output.translate(WORDS.get(text, text))

    return (
        Column(N_("Number"), lambda item: item["number"], right=True),
        Column(N_("Kind"), lambda item: item["kind"], lambda item: word(item["kind"])),
        Column(N_("State"), lambda item: item["state"], lambda item: word(item["state"])),
        Column(N_("Done"), lambda item: item["done"], _share, right=True),
        Column(
            N_("Size"), lambda item: item["size"], lambda item: size_text(item["size"]), right=True
        ),
        Column(
            N_("Pace"),
            lambda item: round(item["rate"]),
            lambda item: f"{size_text(item['rate'])}/s",
            right=True,
        ),
        Column(N_("Name"), lambda item: item["name"]),
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    """Ask, print, and give the exit code; raises `ShareError`."""
    output = output_of(options)
    output.listing(columns(output), client_of(options).items("transfers"))
    return Exit.OK
