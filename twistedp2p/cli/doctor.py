"""`p2pshare doctor`: looks for what keeps nodes from each other. A node may run meanwhile.

Only its options are here: what examines is loaded when it is asked to (see `examining`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from twistedp2p.core.presence.ladder import parse_peer

CODES = """\
exit codes:
  0  all well: nodes reached every way
 10  nodes find each other, but something is worth a look
 11  nobody else was found on the network, and nothing is wrong here
 12  something is wrong on this machine
 13  something is wrong in the network, or at the other end
  2  bad options; 65 not a multicast group; 68 no such interface
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = CODES
    add = parser.add_argument
    add(
        "-g",
        "--group",
        default="239.0.0.1",
        metavar="ADDRESS",
        help="multicast address (%(default)s)",
    )
    add(
        "-p",
        "--port",
        type=port,
        default=9392,
        metavar="N",
        help="UDP port of the chat (%(default)s)",
    )
    add(
        "-i",
        "--interface",
        action="append",
        default=[],
        metavar="NAME",
        help="look at this one only; again for more",
    )
    add(
        "--peer",
        action="append",
        type=peer,
        default=[],
        metavar="HOST[:PORT]",
        help="a machine that ought to have a node; again for more",
    )
    add("-c", "--group-code-file", type=Path, metavar="FILE", help="the code of a closed group")
    add("-s", "--state-dir", type=Path, metavar="FOLDER", help="that of the nodes")
    add(
        "--ttl",
        type=int,
        choices=range(256),
        default=1,
        metavar="N",
        help="as that of the nodes (%(default)s)",
    )
    add("--json", action="store_true", help="print one JSON document")
    add("--quick", action="store_true", help="listen for 3 s instead of 10")
    add("--long", action="store_true", help="look again after 260 s, for switches that forget")


def port(text: str) -> int:
    """A port of the group; the next one is used as well."""
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text[:6]) <= 65_534:
        raise argparse.ArgumentTypeError("a number from 1024 to 65534")
    return int(text)


def peer(text: str) -> tuple[str, int | None]:
    """``HOST[:PORT]``, as for a node."""
    try:
        return parse_peer(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("HOST or HOST:PORT") from error


def run(options: argparse.Namespace) -> int:
    """Examine, print, and give the exit code of the outcome; raises `ShareError`."""
    from twistedp2p.cli.examining import run

    return run(options)
