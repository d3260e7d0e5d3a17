"""The `p2pshare` command: all that a node can do, from the command line.

Each subcommand is a module of this folder with `configure(parser)`, which adds its options, and
`run(options)`, which does it and returns the exit code. A module is imported when its subcommand
is asked for. All but `start` and `doctor` speak to a running node over its control socket, and
load nothing of Twisted: a command takes less than a tenth of a second.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from twistedp2p.cli.show import say_error, width_of
from twistedp2p.core.errors import N_, Exit, ShareError

COMMANDS = {
    "start": "start a node, here or in the background",
    "stop": "have the node say goodbye and end",
    "status": "show what the node is, and how it is doing",
    "peers": "show who is here",
    "nick": "bear another name",
    "say": "say something to the group, or to one person alone",
    "chat": "show what was said, and what is said from now on",
    "list": "list all that is on offer, the latest first",
    "search": "find what is on offer by words of its name",
    "offer": "offer files and folders to the group",
    "withdraw": "offer something no more",
    "get": "get files and folders, by name, id or ticket",
    "transfers": "show what is moving",
    "cancel": "stop what is coming",
    "events": "show all that happens, as it happens",
    "doctor": "find out why nodes do not see each other, and what to do",
    "unit": "print a systemd unit that runs a node as a service",
    "completion": "print what makes a shell complete all this with Tab",
    "code": "make, show or change the code of a closed group",
}
"""Each subcommand, and what it does in some words."""

MODULES = {"list": "listing"}
"""Of those that are not called like their subcommand: here a `list` would hide Python's."""

_ID = re.compile("-[A-Za-z0-9_-]{21}(/.*)?", re.DOTALL)  # base64url of 16 bytes; and a part

EPILOG = """\
exit codes: 0 done, 1 failed, 2 bad options, 3 no node is running, 4 denied,
5 not found, 6 damaged, 7 no answer in time, 130 Ctrl-C, 141 the pipe closed
"""


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of one subcommand."""
    made = Parser(
        prog=f"p2pshare {command}",
        description=f"{COMMANDS[command].capitalize()}.",
        formatter_class=_Help,
    )
    _module(command).configure(made)
    return made


def _module(command: str) -> Any:
    return import_module(f"{__name__}.{MODULES.get(command, command)}")


def overview() -> argparse.ArgumentParser:
    """The parser of what stands before the subcommand."""
    made = _Overview(
        prog="p2pshare",
        description="Chat and share files with the people on this network.",
        epilog=EPILOG,
    )
    made.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    chosen = made.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=argparse.ArgumentParser
    )
    for name, what in COMMANDS.items():
        chosen.add_parser(name, help=what, add_help=False)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code (see `core.errors.Exit`).

    :param arguments: by default those of the process.
    """
    _open_what_is_closed()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in COMMANDS:
        overview().parse_args(given)  # which has no command of that name: it exits
    command, after = given[0], given[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a locale cannot write is escaped
            stream.reconfigure(errors="backslashreplace")
    options = parser(command).parse_args(after)
    try:
        ended = int(_module(command).run(options))
        sys.stdout.flush()
    except ShareError as error:
        say_error(error)
        return int(error.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        _write_no_more()
        return int(Exit.BROKEN_PIPE)
    except OSError as error:
        _write_no_more()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        sentence = N_("Nothing can be written: {why}.") if full else N_("The system says: {why}.")
        what = f"{error.filename}: " if error.filename else ""
        say_error(ShareError(sentence, why=f"{what}{error.strerror or error}"))
        return int(Exit.FAILED)
    return ended


def _open_what_is_closed() -> None:
    """Where a standard stream is closed (``>&-``) Python has none, and the next file or socket
    would get its number. Reading it, or writing to it, fails as with one that is closed; who cannot
    be told of errors is not."""
    for name, ways in (
        ("stdin", (os.O_WRONLY, "r")),
        ("stdout", (os.O_RDONLY, "w")),
        ("stderr", (os.O_WRONLY, "w")),
    ):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, ways[0])
            setattr(sys, name, open(number, ways[1], encoding="utf-8"))  # noqa: SIM115 - it stays


def _write_no_more() -> None:
    """What is still to be written goes nowhere: Python would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Help(argparse.RawDescriptionHelpFormatter):
    """A column that is wide enough for the options, each of which has its value once."""

    def __init__(self, prog: str) -> None:
        # Without a width argparse loads all of shutil, for each option that a parser is given.
        width = width_of(sys.stdout) - 2
        super().__init__(prog, max_help_position=30, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(action.option_strings)
        if not names or action.nargs == 0:
            return names or super()._format_action_invocation(action)
        return f"{names} {self._format_args(action, action.dest.upper())}"


class Parser(argparse.ArgumentParser):
    """One whose help fits a screen: what is in `rare` is told by the manual page alone.

    The id of an offer is no option, though one of 64 begins like one.
    """

    rare: argparse._ArgumentGroup | None = None

    def _parse_optional(self, arg_string: str) -> Any:
        """Called by argparse: None for what is no option."""
        is_id = _ID.fullmatch(arg_string) and arg_string not in self._option_string_actions
        return None if is_id else super()._parse_optional(arg_string)

    def format_help(self) -> str:
        """Called by argparse."""
        groups = self._action_groups
        self._action_groups = [group for group in groups if group is not self.rare]
        try:
            return super().format_help()
        finally:
            self._action_groups = groups


class _Overview(argparse.ArgumentParser):
    """A line for each command is all that a screen has room for."""

    def format_help(self) -> str:
        """Called by argparse."""
        rows = [f"  {name:<12}{what}" for name, what in COMMANDS.items()]
        usage = "usage: p2pshare COMMAND [options]     (p2pshare COMMAND --help tells more)"
        return "\n".join([usage, "", self.description or "", "", *rows, ""])


class _Version(argparse.Action):
    """What finds the version is slow to load: only when it is asked for."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: Any, _value: Any, _name: Any = None
    ) -> None:
        from importlib.metadata import version

        print(f"p2pshare {version('twistedp2p')}")
        parser.exit()
