"""`p2pshare doctor`: looks for what keeps nodes from each other. A node may run meanwhile.

Only its options are here: what examines is loaded when it is asked to (see `examining`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twistedp2p.cli.ask import client_of, filled, filled_path, slot_of
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.presence.ladder import parse_peer
from twistedp2p.disk.state.config_file import read_settings

DEFAULTS = {"group": "239.0.0.1", "port": 9392, "ttl": 1}
NAMES = ("group", "port", "interface", "peer", "group-code-file", "state-dir", "ttl")
"""The options that are those of a node, and so stand where its options do."""

CODES = """\
exit codes: 0 nodes are reached every way; 10 something is worth a look; 11
nobody else was found, and nothing is wrong here; 12 something is wrong on this
machine; 13 something is wrong in the network, or at the other end; 2 bad
options; 3 no node of that name; 5 no address of that peer; 65 not a multicast
group; 66 a file cannot be read; 68 no such interface
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.usage = "p2pshare doctor [options]"
    parser.epilog = CODES
    add = parser.add_argument
    add(
        "-g",
        "--group",
        type=filled,
        metavar="ADDRESS",
        help=f"multicast address ({DEFAULTS['group']})",
    )
    add(
        "-p",
        "--port",
        type=port,
        metavar="N",
        help=f"UDP port of the chat ({DEFAULTS['port']})",
    )
    add(
        "-i",
        "--interface",
        action="append",
        type=filled,
        default=[],
        metavar="NAME",
        help="look at this one only; repeatable",
    )
    add(
        "--peer",
        action="append",
        type=peer,
        default=[],
        metavar="HOST[:PORT]",
        help="a machine that ought to have a node; repeatable",
    )
    add(
        "-c",
        "--group-code-file",
        type=filled_path,
        metavar="FILE",
        help="the code of a closed group",
    )
    add("--instance", type=filled, metavar="NAME", help="look where the node of that name is")
    add("-s", "--state-dir", type=filled_path, metavar="FOLDER", help="that of the nodes")
    add(
        "--ttl",
        type=ttl,
        metavar="N",
        help=f"as that of the nodes ({DEFAULTS['ttl']})",
    )
    add("--json", action="store_true", help="print one JSON document")
    add("--quick", action="store_true", help="listen for 3 s instead of 10")
    add("--long", action="store_true", help="look again after 260 s, for switches that forget")


def port(text: str) -> int:
    """A port of the group; the next one is used as well."""
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text[:6]) <= 65_534:
        raise argparse.ArgumentTypeError("a number from 1024 to 65534")
    return int(text)


def ttl(text: str) -> int:
    """A number of routers, plus one."""
    if not text.isascii() or not text.isdigit() or int(text[:4]) > 255:
        raise argparse.ArgumentTypeError("a number from 0 to 255")
    return int(text)


def peer(text: str) -> tuple[str, int | None]:
    """``HOST[:PORT]``, as for a node."""
    try:
        return parse_peer(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("HOST or HOST:PORT") from error


def settle(options: argparse.Namespace) -> None:
    """Fill in what was not given, from the node that was named, or from where a node has it too.

    Raises `ShareError`.
    """
    settings, named = read_settings(os.environ), _network_of_named(options)
    for name in NAMES:
        place = name.replace("-", "_")
        if getattr(options, place) not in (None, []):
            continue
        if name in named:
            setattr(options, place, named[name])
            continue
        setting, check = settings.get(name), CHECKS.get(name, str)
        if setting is None:
            setattr(options, place, DEFAULTS.get(name, getattr(options, place)))
            continue
        try:
            value: Any = setting.value
            value = [check(each) for each in value] if isinstance(value, list) else check(value)
        except argparse.ArgumentTypeError as error:
            why = f"{name}: {error}"
            raise ShareError("{place}: {why}.", Exit.USAGE, place=setting.place, why=why) from error
        setattr(options, place, value)


def _network_of_named(options: argparse.Namespace) -> dict[str, Any]:
    """Group and port of the node that was named, where it runs; raises `ShareError`, where there
    never was one, too."""
    if not options.instance:
        return {}
    try:
        status = client_of(options).get("status")
    except ShareError as error:
        if error.code != Exit.NO_NODE:
            raise
        if not slot_of(options).is_dir():
            sentence = N_("There is no node of the name {name}.")
            raise ShareError(sentence, Exit.NO_NODE, name=options.instance) from None
        return {}
    return {name: status[name] for name in ("group", "port")}


def run(options: argparse.Namespace) -> int:
    """Examine, print, and give the exit code of the outcome; raises `ShareError`."""
    from twistedp2p.cli.examining import run

    settle(options)
    return run(options)


CHECKS: dict[str, Callable[[str], object]] = {
    "port": port,
    "ttl": ttl,
    "peer": peer,
    "group-code-file": Path,
    "state-dir": Path,
}
"""What becomes of the text of a setting."""
