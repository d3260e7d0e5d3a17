"""The `p2pshare` command: what is done once, without a node.

Each subcommand is a module of this folder with `configure(parser)`, which adds its options, and
`run(options)`, which does it and returns the exit code. A module is imported when its subcommand
is asked for, and a reactor only inside `run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from twistedp2p.core.errors import Exit, ShareError

COMMANDS = {
    "code": "make, show or change the code of a closed group",
    "doctor": "find out why nodes do not see each other, and what to do",
    "unit": "print a systemd unit that runs a node as a service",
}
"""Each subcommand, and what it does in some words."""

NODE = """\
A node itself is started by: twistd -n p2pshare
Its options: twistd p2pshare --help"""


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of one subcommand."""
    made = argparse.ArgumentParser(
        prog=f"p2pshare {command}", description=f"{COMMANDS[command].capitalize()}."
    )
    import_module(f"{__name__}.{command}").configure(made)
    return made


def overview() -> argparse.ArgumentParser:
    """The parser of what stands before the subcommand."""
    made = argparse.ArgumentParser(
        prog="p2pshare",
        description="Chat and share files with the people on this network.",
        epilog=NODE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"p2pshare {version('twistedp2p')}")
    chosen = made.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for name, what in COMMANDS.items():
        chosen.add_parser(name, help=what, add_help=False)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code (see `core.errors.Exit`).

    :param arguments: by default those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = overview().parse_known_args(given)[0].command
    after = given[given.index(command) + 1 :]
    options = parser(command).parse_args(after)
    try:
        return int(import_module(f"{__name__}.{command}").run(options))
    except ShareError as error:
        say_error(error)
        return int(error.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:  # whoever read it has seen enough
        sys.stderr.close()
        return int(Exit.FAILED)


def say_error(error: ShareError) -> None:
    """Say on standard error what went wrong."""
    from twistedp2p.face.texts import in_words, translations

    sys.stderr.write(f"p2pshare: {in_words(translations(), error.sentence, error.values)}\n")
