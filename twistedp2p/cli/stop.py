"""`p2pshare stop`: have the node say goodbye and end."""

from __future__ import annotations

import argparse
import time

from twistedp2p.cli.ask import add_instance, client_of
from twistedp2p.core.errors import N_, Exit, ShareError

PATIENCE = 10.0  # seconds for a goodbye, and for what is being written
LOOK_EVERY = 0.02  # seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    add_instance(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for the end and wait for it; raises `ShareError`."""
    client = client_of(options)
    pid = client.get("status")["pid"]
    client.post("stop", body={}, patience=PATIENCE)
    until = time.monotonic() + PATIENCE
    while _runs(pid):
        if time.monotonic() > until:
            raise ShareError(N_("The node is still running."), Exit.TIMEOUT)
        time.sleep(LOOK_EVERY)
    return Exit.OK


def _runs(pid: int) -> bool:
    """Whether that process has not ended; one that nobody has waited for yet has."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
