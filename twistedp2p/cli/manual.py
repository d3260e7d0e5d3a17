"""The manual pages, made from the parsers: p2pshare(1) and twistd-p2pshare(1), in man(7).

They are made when a wheel is built (`setup.py`), and so say what that version does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twistedp2p.cli.grammar import Argument, Command, before, commands, plugin_arguments
from twistedp2p.core.errors import Exit
from twistedp2p.disk.state.config_file import MACHINE, OPTIONS, variable

EXITS = {
    Exit.OK: "all well",
    Exit.FAILED: "anything that has no number of its own",
    Exit.USAGE: "bad options or settings",
    Exit.BAD_GROUP: "not a multicast group",
    Exit.NO_INPUT: "a file cannot be read",
    Exit.NO_INTERFACE: "no such interface",
    Exit.PORT_TAKEN: "a port is taken",
    Exit.NO_FOLDER: "a folder cannot be used, or the node of that name runs already",
}
"""How a node ends that could not start."""

NODE = """\
A node joins the people on this network: chat with all of them, offer files under a password, find
and fetch what they offer. There is no server and no account; nodes find each other by IP
multicast. On a terminal the node has a menu. SIGTERM, SIGINT and SIGHUP end it with a goodbye."""

USUAL = "~/.config/p2pshare/config.toml"  # where XDG_CONFIG_HOME is not set
STATE = "~/.local/state/p2pshare"


def pages(version: str) -> dict[str, str]:
    """The text of each page, by the name of its file."""
    made = {"p2pshare.1": _command_page(), "twistd-p2pshare.1": _plugin_page()}
    return {
        name: "\n".join([f'.TH {name[:-2].upper()} 1 "" "p2pshare {version}"', *lines]) + "\n"
        for name, lines in made.items()
    }


def _command_page() -> Iterator[str]:
    top = before()
    yield from _section("NAME", r"p2pshare \- chat and share files with the people on this network")
    yield from _section("SYNOPSIS", r".B p2pshare", r".I COMMAND", "[options]")
    yield ".SH DESCRIPTION"
    yield from _text(
        "Starts nodes, and has a running one do what its menu does. Nodes of one network find each "
        "other; each offers files under passwords of their own, and there is no server."
    )
    yield from _arguments(top.arguments)
    yield ".SH COMMANDS"
    for command in commands():
        yield from _command(command)
    yield ".SH EXIT STATUS"
    yield from _as_it_is(top.epilog)
    yield from _around()
    yield from _section("SEE ALSO", r".BR twistd\-p2pshare (1)")


def _command(command: Command) -> Iterator[str]:
    yield f".SS {_escaped(command.name)}"
    yield from _text(f"{command.what.capitalize()}.")
    yield from _as_it_is(command.usage)
    if command.name == "start":
        yield r"Its options are those of"
        yield r".BR twistd\-p2pshare (1)."
        yield from _arguments(each for each in command.arguments if each.names == ("--daemon",))
    else:
        yield from _arguments(command.arguments)
    yield from _as_it_is(command.epilog)


def _plugin_page() -> Iterator[str]:
    yield from _section("NAME", r"twistd\-p2pshare \- a node of p2pshare, run by twistd")
    yield from _section("SYNOPSIS", r".B twistd", r"[\-n]", r".B p2pshare", "[options]")
    yield ".SH DESCRIPTION"
    yield from _text(NODE)
    yield ".PP"
    yield from _text("Without -n the node goes to the background, and has no menu.")
    yield ".SH OPTIONS"
    yield from _arguments(plugin_arguments())
    yield ".SH EXIT STATUS"
    for code, words in EXITS.items():
        yield from (".TP", f".B {int(code)}", *_text(words))
    yield from _around()
    yield from _section("SEE ALSO", r".BR p2pshare (1),", r".BR twistd (1)")


def _around() -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    yield from _text("Each stands for the option of a node that is named like it:")
    yield from _text(", ".join(variable(option) for option in OPTIONS) + ".")
    yield ".SH FILES"
    for path, words in {
        USUAL: "settings: `port = 7000` stands for --port 7000. An option comes before the "
        "environment, that before this file",
        str(MACHINE): "the same for the whole machine, where nothing else says otherwise",
        STATE: "identity, memory and log of each node",
    }.items():
        yield from (".TP", f".I {_escaped(path)}", *_text(words))


def _section(title: str, *lines: str) -> list[str]:
    return [f".SH {title}", *lines]


def _arguments(arguments: Iterable[Argument]) -> Iterator[str]:
    for argument in arguments:
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in argument.names)
        value = rf"\fI{_escaped(argument.value)}\fR" if argument.value else ""
        yield ".TP"
        yield " ".join(part for part in (names, value) if part)
        yield from _text(argument.words or " ")


def _text(text: str) -> list[str]:
    return [_line(_escaped(" ".join(text.split())))]


def _as_it_is(text: str) -> list[str]:
    if not text.strip():
        return []
    return [".PP", ".nf", *(_line(_escaped(line)) for line in text.rstrip().splitlines()), ".fi"]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")


def _line(text: str) -> str:
    """A line that is no request of roff."""
    return rf"\&{text}" if text.startswith(".") else text
