"""How a node is to run, and what it tells of itself in one line."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from pathlib import Path

import attrs

from twistedp2p.core.names import clean_nick
from twistedp2p.net.admission import Limits


def default_nick() -> str:
    """The user's name on this host, or the host's."""
    try:
        return clean_nick(getpass.getuser())
    except (KeyError, OSError):
        return clean_nick(socket.gethostname())


@attrs.frozen
class Config:
    """How a node is to run."""

    group: str = "239.0.0.1"
    port: int = 9392
    interfaces: Sequence[str] = ()  # names or addresses; empty: every usable one
    nick: str = attrs.field(factory=default_nick)
    download_folder: Path = attrs.field(factory=Path.cwd)
    file_port: int | None = None  # None: port + 1, or any free one
    ttl: int = 1  # routers plus one
    # Of a closed group: its code, or the file to read it from and to watch. None: an open group.
    code: str | Path | None = attrs.field(default=None, repr=False)
    peers: Sequence[tuple[str, int]] = ()  # hosts and UDP ports to greet, wherever they are
    mdns: bool = True
    shared: Sequence[str] = ()  # folders to watch: what is in them is offered
    shared_password: str = attrs.field(default="", repr=False)  # of all that is in them
    shared_public: bool = False  # it needs no password
    swarm: bool = True  # downloads are given on to others who know their passwords
    limits: Limits = attrs.field(factory=Limits)


@attrs.frozen
class Status:
    """The line at the bottom of the screen."""

    nodes: int  # ourselves included
    offers: int
    transfers: int
    unicast_only: int = 0  # of the nodes: multicast does not pass between them and us
    loss: float | None = None  # of the multicast, 0 to 1; None: not known
