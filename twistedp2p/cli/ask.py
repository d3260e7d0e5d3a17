"""What the subcommands that speak to a node have in common: their options, and passwords.

A password comes from a file, from standard input, from the environment or from a prompt; never
from the command line, which everybody on the machine can read (ps, /proc).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from twistedp2p.cli.client import Client
from twistedp2p.cli.show import Output, say_error
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.state.config_file import read_settings
from twistedp2p.disk.state.socket_path import (
    DEFAULT,
    check_instance,
    default_state_folder,
    find_socket,
    slot_folder,
)
from twistedp2p.face.texts import accept_language

PASSWORD = "P2PSHARE_PASSWORD"  # noqa: S105 - of the environment
PASSWORD_CHARACTERS = 256
STANDARD_INPUT = Path("-")


def add_common(parser: argparse.ArgumentParser, *, json: str = "print one JSON document") -> None:
    """The options of every command that speaks to a node."""
    parser.allow_abbrev = False  # a script that says less than it means breaks with a new option
    add = parser.add_argument
    add("--json", action="store_true", help=json)
    add_instance(parser)


def add_instance(parser: argparse.ArgumentParser) -> None:
    """Which node is meant, and how much is told."""
    add = parser.add_argument
    add("--quiet", action="store_true", help="nothing on standard error but what went wrong")
    add(
        "--instance",
        type=filled,
        metavar="NAME",
        help="the node of that name, where you have several",
    )
    add(
        "--state-dir",
        type=filled_path,
        metavar="FOLDER",
        help="its state folder, if not the usual one",
    )


def filled(text: str) -> str:
    """A value that says something: an empty one is a variable that a script never set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty value")
    return text


def filled_path(text: str) -> Path:
    """A path; an empty one would be that of the current folder."""
    return Path(filled(text))


def add_password(parser: argparse.ArgumentParser) -> None:
    """Where a password comes from."""
    parser.add_argument(
        "--password-file",
        type=filled_path,
        metavar="FILE",
        help=f"its first line is the password; -: standard input (also: ${PASSWORD})",
    )
    parser.add_argument(
        "--password", nargs="?", action=_RefusedPassword, help=argparse.SUPPRESS, dest="_"
    )


class _RefusedPassword(argparse.Action):
    """``--password X``, which is what people try first."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: Any, _value: Any, _name: Any = None
    ) -> None:
        parser.error(
            "a password on the command line can be read by everybody on this machine; "
            f"use --password-file FILE, the environment ({PASSWORD}), or wait to be asked"
        )


def output_of(options: argparse.Namespace) -> Output:
    """The streams, as the options want them."""
    return Output(options.json, options.quiet)


class Where(NamedTuple):
    """The node that is meant."""

    instance: str
    state: Path | None  # its state folder, if not the usual one


def meant(options: argparse.Namespace) -> Where:
    """As the options say or, as for the node itself, environment and configuration file.

    Raises `ShareError`.
    """
    settings = {name: str(each.value) for name, each in read_settings(os.environ).items()}
    folder = options.state_dir or settings.get("state-dir")
    instance = options.instance or settings.get("instance", DEFAULT)
    state = Path(folder).expanduser().absolute() if folder else None
    return Where(check_instance(instance), state)


def slot_of(options: argparse.Namespace) -> Path:
    """The folder of the node that is meant; raises `ShareError`."""
    where = meant(options)
    return slot_folder(where.state or default_state_folder(os.environ), where.instance)


def client_of(options: argparse.Namespace) -> Client:
    """The node that is meant; raises `ShareError`."""
    where = meant(options)
    start = ["p2pshare", "start", "--daemon"]
    if where.instance != DEFAULT:
        start += ["--instance", where.instance]
    if options.state_dir:
        start += ["--state-dir", str(where.state)]
    path = find_socket(os.environ, where.instance, where.state)
    return Client(path, start, accept_language(os.environ))


def given_password(options: argparse.Namespace) -> str:
    """That of the file or the environment, or an empty one; raises `ShareError`."""
    path = options.password_file
    if path is None:
        return os.environ.get(PASSWORD, "")
    if path == STANDARD_INPUT:
        line = sys.stdin.readline()
    else:
        try:
            with open(path.expanduser(), encoding="utf-8") as file:
                line = file.readline()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else N_("it is not UTF-8 text")
            raise ShareError(
                N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=why
            ) from error
    password = line.rstrip("\r\n")
    if not 1 <= len(password) <= PASSWORD_CHARACTERS:
        raise ShareError(
            N_("The first line of {path} is no password of 1 to 256 characters."),
            Exit.NO_INPUT,
            path=path,
        )
    return password


def asked_password(output: Output, name: str) -> str:
    """What a person types unseen at the terminal; raises `ShareError` where there is none."""
    if not sys.stdin.isatty():
        raise ShareError(
            N_("{name} has a password: give it by --password-file or {variable}."),
            Exit.USAGE,
            name=name,
            variable=PASSWORD,
        )
    import getpass

    output.wipe()
    question = output.translate(N_("Password of {name}?")).format(name=name)
    try:
        password = getpass.getpass(f"{question} ")
    except EOFError:
        password = ""
    if not password:
        raise ShareError(N_("No password was typed."), Exit.DENIED)
    return password


def lines_of(values: Sequence[str]) -> list[str]:
    """What was given as arguments; for ``-`` the lines of standard input, of which there must be
    one. Raises `ShareError`."""
    lines = []
    for value in values:
        if value == "-":
            lines += [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
        else:
            lines.append(value)
    if not lines:
        raise ShareError(N_("Standard input names nothing."), Exit.USAGE)
    return lines


def for_each(values: Iterable[str], do: Callable[[str], None]) -> int:
    """Do it for one after the other: the exit code of the last that failed, else `Exit.OK`.

    What fails is told, and the others go on. Raises `ShareError` where no node runs: none would go.
    """
    ended = Exit.OK
    for value in values:
        try:
            do(value)
        except ShareError as error:
            if error.code == Exit.NO_NODE:
                raise
            say_error(error)
            ended = error.code
    return ended
