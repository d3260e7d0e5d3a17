"""`p2pshare start`: start a node, here or in the background.

It is `twistd p2pshare` with its options: this module has Twisted, as `doctor` has, and no other.
"""

from __future__ import annotations

import argparse
import sys

from twistedp2p.cli import Parser
from twistedp2p.core.errors import Exit
from twistedp2p.disk.state.config_file import OF_PATHS, OPTIONS, Kind
from twistedp2p.options import Options

NOT_OURS = ("help", "version")  # argparse has them
RARE = (
    "config", "file-port", "max-clients", "max-clients-per-address", "menu", "no-mdns", "no-swarm",
    "share-password-file", "share-public", "state-dir", "ttl", "verbose",
)  # fmt: skip
"""For the manual page, where there is room."""

VALUES = {
    "group": "ADDRESS",
    "instance": "NAME",
    "interface": "NAME",
    "menu": "MODE",
    "nick": "NAME",
    "offer": "PATH",
    "peer": "HOST[:PORT]",
    "share": "FOLDER",
}
"""What stands for those that are neither numbers nor files by their names."""

EPILOG = """\
All options: man p2pshare. On a terminal the node has its menu. Elsewhere it
has none: all that the menu does, the other commands do; p2pshare stop ends it.
"""


def configure(parser: Parser) -> None:
    """The options: those of the plugin, by their long names."""
    parser.usage = "p2pshare start [--daemon] [options]"
    parser.epilog = EPILOG
    parser.allow_abbrev = False
    parser.add_argument("--daemon", action="store_true", help="go to the background")
    parser.rare = parser.add_argument_group()
    plugin = Options()
    for name in sorted(plugin.longOpt):
        long, takes_value, _ = name.partition("=")
        if long in NOT_OURS:
            continue
        group = parser.rare if long in RARE else parser
        words = str(plugin.docs[long]).replace("%", "%%").rstrip(".")
        if words[1].islower():
            words = words[0].lower() + words[1:]
        usual = plugin.defaults.get(long)
        if usual and takes_value:
            words += f" ({usual})"
        if takes_value:
            group.add_argument(
                f"--{long}",
                dest=long,
                action="append",
                default=[],
                metavar=value_of(long),
                help=words,
            )
        else:
            group.add_argument(f"--{long}", dest=long, action="store_true", help=words)


def value_of(option: str) -> str:
    """What stands for the value of an option of the plugin."""
    if option in VALUES:
        return VALUES[option]
    if OPTIONS.get(option, Kind.PATH) in OF_PATHS:
        return "FOLDER" if option.endswith("-dir") else "FILE"
    return "N"


def run(options: argparse.Namespace) -> int:
    """Become twistd: returns, or exits, when the node has ended or is in the background."""
    from twisted.scripts import twistd

    sys.argv = twistd_arguments(options)
    twistd.run()
    return Exit.OK


def twistd_arguments(options: argparse.Namespace) -> list[str]:
    """The command line of twistd that starts this node."""
    made = ["twistd", *([] if options.daemon else ["-n"]), "p2pshare"]
    for name, value in sorted(vars(options).items()):
        if name == "daemon" or not value:
            continue
        made += [f"--{name}"] if value is True else [f"--{name}={each}" for each in value]
    if not options.menu and (options.daemon or not sys.stdin.isatty()):
        made.append("--menu=never")
    return made
