"""`p2pshare peers`: who is here."""

from __future__ import annotations

import argparse

from twistedp2p.cli.ask import add_common, client_of, output_of
from twistedp2p.cli.show import Column
from twistedp2p.core.errors import N_, Exit

COLUMNS = (
    Column(N_("Nick"), lambda peer: peer["nick"]),
    Column(N_("Fingerprint"), lambda peer: peer["fingerprint"]),
    Column(N_("Addresses"), lambda peer: ",".join(peer["addresses"])),
    Column(N_("Verified"), lambda peer: peer["verified"]),
)

EPILOG = """\
Between tabs on a pipe: nick, fingerprint, addresses (with commas between),
and whether the key has been known for a while (yes or no).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    """Ask, print, and give the exit code; raises `ShareError`."""
    output_of(options).listing(COLUMNS, client_of(options).items("peers"))
    return Exit.OK
