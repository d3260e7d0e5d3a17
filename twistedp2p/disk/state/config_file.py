"""What stands for the options that are not given: the environment, then the configuration file.

    P2PSHARE_PORT=7000                        the environment
    $XDG_CONFIG_HOME/p2pshare/config.toml     the user's file, by default in ~/.config
    /etc/p2pshare/config.toml                 the machine's

Each option is looked for in that order; the first that has it decides. A key of a file is the long
name of an option; the name of a variable is that in capitals, with ``_`` for ``-``. Files are TOML
1.0: a text or a number, ``true`` or ``false`` for what takes no value, a list of texts for what may
be given several times. In a variable the items of a list are separated by commas.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

from twistedp2p.core.errors import N_, Exit, ShareError

MACHINE = Path("/etc/p2pshare/config.toml")
PREFIX = "P2PSHARE_"
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Kind(Enum):
    """What an option takes. Of paths, what is relative in a file is so to that file's folder."""

    TEXT = auto()
    PATH = auto()
    FLAG = auto()
    TEXTS = auto()
    PATHS = auto()


OF_PATHS = (Kind.PATH, Kind.PATHS)
OPTIONS = {
    "group": Kind.TEXT,
    "port": Kind.TEXT,
    "nick": Kind.TEXT,
    "instance": Kind.TEXT,
    "state-dir": Kind.PATH,
    "download-dir": Kind.PATH,
    "file-port": Kind.TEXT,
    "password-file": Kind.PATH,
    "share-password-file": Kind.PATH,
    "group-code-file": Kind.PATH,
    "menu": Kind.TEXT,
    "max-clients": Kind.TEXT,
    "max-clients-per-address": Kind.TEXT,
    "ttl": Kind.TEXT,
    "web": Kind.TEXT,
    "interface": Kind.TEXTS,
    "offer": Kind.PATHS,
    "share": Kind.PATHS,
    "peer": Kind.TEXTS,
    "share-public": Kind.FLAG,
    "no-swarm": Kind.FLAG,
    "no-mdns": Kind.FLAG,
    "verbose": Kind.FLAG,
}
"""The options of a node: what the parser of `tap` has, for those who are not to load all of it."""


class Setting(NamedTuple):
    """A value as the option would have it, and where it comes from: for who has to mend it.

    No attrs class, as every command loads this module.
    """

    value: str | bool | list[str]
    place: str


def user_file(environment: Mapping[str, str]) -> Path:
    """``$XDG_CONFIG_HOME/p2pshare/config.toml``, by default in ``~/.config``."""
    folder = environment.get("XDG_CONFIG_HOME", "")
    home = Path(folder) if os.path.isabs(folder) else Path("~/.config").expanduser()
    return home / "p2pshare" / "config.toml"


def read_settings(environment: Mapping[str, str], file: str | None = None) -> dict[str, Setting]:
    """What the environment and the files say of `OPTIONS`, by their names.

    :param file: the one file to read instead of the user's and the machine's. It must be there.
        By default, the one that ``P2PSHARE_CONFIG`` names.

    Raises `ShareError` for what cannot be read or understood, and for keys that are no option's.
    """
    settings: dict[str, Setting] = {}
    file = file or environment.get(variable("config"))
    if file:
        settings = _read(Path(file).expanduser().absolute())
    else:
        for path in (MACHINE, user_file(environment)):  # the later the stronger
            try:
                found = path.exists()
            except OSError:  # a folder that is shut to us holds nothing for us
                found = False
            if found:
                settings |= _read(path)
    return settings | _of_environment(environment)


def variable(option: str) -> str:
    """The name in the environment of an option."""
    return PREFIX + option.upper().replace("-", "_")


def _of_environment(environment: Mapping[str, str]) -> dict[str, Setting]:
    settings = {}
    for option, kind in OPTIONS.items():
        name = variable(option)
        text = environment.get(name, "")
        value: str | bool | list[str] = text
        if not text:
            continue
        if kind is Kind.FLAG:
            if text.lower() not in YES + NO:
                raise _wants(N_("true or false"), option, name)
            value = text.lower() in YES
        elif kind in (Kind.TEXTS, Kind.PATHS):
            value = [item.strip() for item in text.split(",") if item.strip()]
        settings[option] = Setting(value, name)
    return settings


def _read(path: Path) -> dict[str, Setting]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else N_("it is not UTF-8 text")
        raise ShareError(
            N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=why
        ) from error
    if sys.version_info >= (3, 11):  # here: most users have no file, and commands are to be quick
        import tomllib
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ShareError(
            N_("{path} is not TOML: {why}."), Exit.USAGE, path=path, why=str(error)
        ) from error
    settings = {}
    for option, value in found.items():
        place = _place(path, text, option)
        if option not in OPTIONS:
            raise _unknown(option, place)
        settings[option] = Setting(_value(value, option, place, path.parent), place)
    return settings


def _place(path: Path, text: str, option: str) -> str:
    """The file, and the line that the key stands in, which the parser does not tell."""
    key = re.compile(rf"""\s*\[*\s*(["']?){re.escape(option)}\1\s*[]=.]""")
    for number, line in enumerate(text.splitlines(), 1):
        if key.match(line):
            return f"{path}:{number}"
    return str(path)


def _value(value: Any, option: str, place: str, folder: Path) -> Any:
    kind = OPTIONS[option]
    if kind is Kind.FLAG:
        if not isinstance(value, bool):
            raise _wants(N_("true or false"), option, place)
        return value
    if kind in (Kind.TEXTS, Kind.PATHS):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _wants(N_("a list of texts in quotes"), option, place)
        if kind is Kind.TEXTS:
            return value
        return [_path(item, folder, option, place) for item in value]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _wants(N_("a text in quotes, or a number"), option, place)
    return _path(str(value), folder, option, place) if kind is Kind.PATH else str(value)


def _path(text: str, folder: Path, option: str, place: str) -> str:
    if not text:
        raise _wants(N_("a path"), option, place)
    return os.path.join(folder, os.path.expanduser(text))


def _wants(why: str, option: str, place: str) -> ShareError:
    return ShareError(
        N_("{place}: {option} is to be {why}."), Exit.USAGE, place=place, option=option, why=why
    )


def _unknown(option: str, place: str) -> ShareError:
    import difflib  # slow to load, and no file that is right needs it

    close = difflib.get_close_matches(option, OPTIONS, 1)
    sentence = N_("{place}: there is no option {option}.")
    if close:
        sentence = N_("{place}: there is no option {option}; is {close} meant?")
    return ShareError(sentence, Exit.USAGE, place=place, option=option, close="".join(close))
