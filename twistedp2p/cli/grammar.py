"""What each parser takes, for those who write about it: completions and manual pages."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from twistedp2p.cli import COMMANDS, EPILOG, overview, parser
from twistedp2p.cli.start import value_of
from twistedp2p.options import Options

FILES = ("FILE", "PATH")
FOLDERS = ("FOLDER",)
CHOICES_MOST = 20  # that are worth to be named one by one


class Argument(NamedTuple):
    """An option; without names, what stands after them."""

    names: tuple[str, ...]
    value: str  # what stands for its value in the help; empty: it takes none
    words: str
    choices: tuple[str, ...] = ()

    @property
    def of_files(self) -> bool:
        """Whether its value is the path of a file."""
        return self.value in FILES

    @property
    def of_folders(self) -> bool:
        """Whether its value is the path of a folder."""
        return self.value in FOLDERS


class Command(NamedTuple):
    """A subcommand, or what stands before them (with no name)."""

    name: str
    what: str
    arguments: tuple[Argument, ...]
    usage: str
    epilog: str

    @property
    def options(self) -> list[Argument]:
        """The arguments that have names."""
        return [argument for argument in self.arguments if argument.names]

    @property
    def rest(self) -> list[Argument]:
        """The others."""
        return [argument for argument in self.arguments if not argument.names]


def commands() -> list[Command]:
    """All subcommands, in the order of the help."""
    return [_command(name, what, parser(name)) for name, what in COMMANDS.items()]


def before() -> Command:
    """What may stand before a subcommand."""
    made = overview()
    options = (argument for argument in _arguments(made) if argument.names)
    return Command("", made.description or "", tuple(options), "p2pshare COMMAND [options]", EPILOG)


def _command(name: str, what: str, made: argparse.ArgumentParser) -> Command:
    usage = " ".join(made.format_usage().removeprefix("usage:").split())
    return Command(name, what, tuple(_arguments(made)), usage, made.epilog or "")


def _arguments(made: argparse.ArgumentParser) -> Iterator[Argument]:
    formatter = made._get_formatter()  # argparse has no public way to ask
    for action in made._actions:
        if action.help == argparse.SUPPRESS:
            continue
        value = ""
        if action.nargs != 0:
            value = str(action.metavar or action.dest.upper())
        choices = tuple(map(str, action.choices or ()))
        if len(choices) > CHOICES_MOST:
            choices = ()
        words = formatter._expand_help(action) if action.help else ""
        yield Argument(tuple(action.option_strings), value, words, choices)


def plugin_arguments() -> list[Argument]:
    """The options of `twistd p2pshare`."""
    plugin = Options()
    short = {long: name for name, long in plugin.synonyms.items() if len(name) == 1}
    made = []
    for option in plugin.longOpt:
        long, takes_value, _ = option.partition("=")
        names = (f"-{short[long]}",) if long in short else ()
        words, usual = str(plugin.docs[long]), plugin.defaults.get(long)
        if takes_value and usual:
            words = f"{words} [{usual}]"
        value = value_of(long) if takes_value else ""
        made.append(Argument((*names, f"--{long}"), value, words))
    return sorted(made, key=lambda argument: argument.names[-1])
