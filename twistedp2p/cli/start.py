"""`p2pshare start`: start a node, here or in the background.

It is `twistd p2pshare` with its options: this module has Twisted, as `doctor` has, and no other.
"""

from __future__ import annotations

import argparse
import sys

from twistedp2p.core.errors import Exit
from twistedp2p.disk.config_file import OPTIONS, Kind
from twistedp2p.options import Options

NOT_OURS = ("help", "version")  # argparse has them

EPILOG = """\
On a terminal the node has its menu. Elsewhere and in the background it has
none: all that the menu does, the other commands do.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options: those of the plugin, by their long names."""
    parser.usage = "p2pshare start [--daemon] [options]"
    parser.epilog = EPILOG
    parser.allow_abbrev = False
    parser.add_argument("--daemon", action="store_true", help="go to the background")
    plugin = Options()
    for name in sorted(plugin.longOpt):
        long, takes_value, _ = name.partition("=")
        if long in NOT_OURS:
            continue
        words = str(plugin.docs[long]).replace("%", "%%").rstrip(".")
        usual = plugin.defaults.get(long)
        if usual and takes_value:
            words += f" ({usual})"
        if takes_value:
            parser.add_argument(
                f"--{long}",
                dest=long,
                action="append",
                default=[],
                metavar=value_of(long),
                help=words,
            )
        else:
            parser.add_argument(f"--{long}", dest=long, action="store_true", help=words)


def value_of(option: str) -> str:
    """What stands for the value of an option of the plugin."""
    if OPTIONS.get(option, Kind.PATH) in (Kind.PATH, Kind.PATHS):
        return "FOLDER" if option.endswith("-dir") else "FILE"
    return "X"


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
