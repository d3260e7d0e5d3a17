"""The options of a node, as twistd reads them: from its command line, the environment, files.

What can go wrong is found before twistd goes to the background and before anything is sent, and
is said in one sentence on standard error, with an exit code of its own (`core.errors.Exit`).

Nothing of a node is loaded here: the manual pages are made from this when a wheel is built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from twisted.python import usage

from twistedp2p.core.errors import N_, Exit, ShareError, words
from twistedp2p.core.names import clean_nick
from twistedp2p.core.presence.families import group_address
from twistedp2p.core.presence.ladder import parse_peer
from twistedp2p.disk.offered import check_path
from twistedp2p.disk.offered.folder import open_folder
from twistedp2p.disk.state.code_file import read_codes
from twistedp2p.disk.state.config_file import OF_PATHS, OPTIONS, read_settings
from twistedp2p.disk.state.socket_path import DEFAULT, check_instance
from twistedp2p.face.texts import in_words, translations

MENUS = ("auto", "always", "never", "plain")
MOST_CLIENTS = 10_000  # each of them costs some 50 KiB of memory
TWISTD_PID = "twistd.pid"  # twistd's default, which would refuse a second node in one folder


def say_error(error: ShareError) -> None:
    """Say on standard error what went wrong, even when twistd has made it a log."""
    if sys.__stderr__ is not None:
        words = in_words(translations(), error.sentence, error.values)
        sys.__stderr__.write(f"p2pshare: {words}\n")
        sys.__stderr__.flush()


def fail(error: ShareError) -> NoReturn:
    """Say in one sentence on standard error why there is no node, and exit with its code."""
    say_error(error)
    sys.exit(error.code)


def occupy_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error are closed.

    Else the lock of the slot would become descriptor 0: the menu would read it, and going to the
    background would close it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one


class Options(usage.Options):
    """The options of `twistd p2pshare`."""

    synopsis = "[options]"
    longdesc = (
        "Joins the people on this network: chat with all of them, offer files under a password, "
        "find and fetch what they offer. No server, no account."
    )
    optParameters = [  # noqa: RUF012 - usage.Options wants it so
        ["group", "g", "239.0.0.1", "Multicast address of the group."],
        ["port", "p", "9392", "UDP port of the chat; the next one is used, too."],
        ["nick", "n", None, "The name that others see (default: your user name)."],
        ["instance", None, DEFAULT, "Name of this node, where several run."],
        ["state-dir", "s", None, "Folder for identity and memory (default: per XDG)."],
        ["download-dir", "d", None, "Folder for what you get (default: the current one)."],
        ["file-port", "f", None, "TCP port for files (default: port + 1, or free)."],
        ["password-file", None, None, "File whose first line is the password of --offer."],
        ["share-password-file", None, None, "File whose first line is the password of --share."],
        ["group-code-file", "c", None, "Code that closes the group (see: p2pshare code)."],
        ["menu", "m", "auto", "auto, always, never, or plain (lines only)."],
        ["max-clients", None, "64", "How many may fetch from this node at once."],
        ["max-clients-per-address", None, "16", "How many of them from one address."],
        ["ttl", None, "1", "Routers to pass, plus one; 0: stay on this host."],
        ["web", None, None, "Port of 127.0.0.1 for the control interface, too."],
        ["config", None, None, "File with options (default: per XDG, or in /etc)."],
    ]
    optFlags = [  # noqa: RUF012
        ["share-public", None, "What --share offers needs no password."],
        ["no-swarm", None, "Fetch from owners alone, give nothing on."],
        ["no-mdns", None, "Neither be found nor look for others by mDNS."],
        ["verbose", "v", "Log in more detail."],
    ]

    compData = usage.Completions(
        optActions={
            "state-dir": usage.CompleteDirs(),
            "download-dir": usage.CompleteDirs(),
            "password-file": usage.CompleteFiles(),
            "share-password-file": usage.CompleteFiles(),
            "share": usage.CompleteDirs(),
            "group-code-file": usage.CompleteFiles(),
            "offer": usage.CompleteFiles(),
            "config": usage.CompleteFiles(),
            "menu": usage.CompleteList(list(MENUS)),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        # None: not given. `_settle` puts the defaults there. Flags are 0.
        self.update({name: None for name, usual in self.defaults.items() if usual != 0})
        self["interfaces"] = []
        self["offers"] = []
        self["shares"] = []
        self["peers"] = []
        self._places: dict[str, str] = {}  # of options that were not given, but stand elsewhere

    def opt_interface(self, name: str) -> None:
        """Use only this one, by name or address (repeatable)."""
        self["interfaces"].append(name)

    def opt_offer(self, path: str) -> None:
        """Offer this file or folder at once (repeatable)."""
        self["offers"].append(path)

    def opt_share(self, folder: str) -> None:
        """Offer whatever is in this folder (repeatable)."""
        self["shares"].append(folder)

    def opt_peer(self, peer: str) -> None:
        """Look for a node at HOST[:PORT] (repeatable)."""
        self["peers"].append(peer)

    opt_i = opt_interface
    opt_o = opt_offer

    def opt_version(self) -> NoReturn:
        """Display the version of p2pshare and exit."""
        sys.stdout.write(f"p2pshare {version('twistedp2p')}\n")
        sys.exit(Exit.OK)

    def parseOptions(self, options: Any = None) -> None:
        """Called by twistd. What is wrong is said in one sentence, not a page of help."""
        occupy_standard_descriptors()
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            fail(
                ShareError(
                    N_("{why}. See: twistd p2pshare --help"),
                    Exit.USAGE,
                    why=str(error).rstrip("."),
                )
            )
        except ShareError as error:
            fail(error)

    def postOptions(self) -> None:
        """Check every option before anything starts."""
        self._check_paths()
        self._settle()
        self._check("port", self._check_port)
        self._check("ttl", self._check_ttl)
        for name in ("max-clients", "max-clients-per-address"):
            self._check(name, partial(self._check_clients, name))
        self._check("file-port", self._check_file_port)
        self._check("web", self._check_web)
        self._check("menu", self._check_menu)
        self._check("group", self._check_group)
        self._check("instance", self._check_instance)
        self._check("download-dir", self._check_folder)
        self._check("peer", self._check_peers)
        self._check("password-file", lambda: self._read_password("password"))
        self._check("share-password-file", lambda: self._read_password("share-password"))
        self._check("group-code-file", self._check_code_file)
        self._check("offer", self._check_offers)
        self._check("share", self._check_shares)
        if self["nick"] is not None:
            self["nick"] = clean_nick(self["nick"])
        if self.parent is not None and self.parent.get("pidfile") == TWISTD_PID:
            self.parent["pidfile"] = ""  # `makeService` finds a place for it

    def _check_paths(self) -> None:
        """An empty path is a variable that a script never set, not the current folder."""
        for name in ("config", *(name for name, kind in OPTIONS.items() if kind in OF_PATHS)):
            value = self[f"{name}s" if f"{name}s" in self else name]
            if value == "" or (isinstance(value, list) and "" in value):
                raise usage.UsageError(f"--{name} has an empty value")

    def _settle(self) -> None:
        """Fill in what was not given: from the environment, the files, the defaults."""
        for name, setting in read_settings(os.environ, self["config"]).items():
            option = f"{name}s" if f"{name}s" in self else name
            if self[option] in (None, 0, []):
                self[option] = setting.value
                self._places[name] = setting.place
        for name, default in self.defaults.items():
            if self[name] is None:
                self[name] = default

    def _check(self, name: str, check: Callable[[], None]) -> None:
        """Check one option; what is wrong is told with the place where it stands."""
        place = self._places.get(name)
        try:
            check()
        except (usage.UsageError, ShareError) as error:
            if place is None:
                raise
            if isinstance(error, ShareError):
                code, why = error.code, words(error.sentence, **error.values)
            else:
                code, why = Exit.USAGE, words("{why}.", why=str(error).rstrip("."))
            raise ShareError("{place}: {why}", code, place=place, why=why) from error

    def _check_port(self) -> None:
        self["port"] = self._number("port", 1024, 65_534)

    def _check_ttl(self) -> None:
        self["ttl"] = self._number("ttl", 0, 255)

    def _check_clients(self, name: str) -> None:
        self[name] = self._number(name, 1, MOST_CLIENTS)

    def _check_file_port(self) -> None:
        if self["file-port"] is not None:
            self["file-port"] = self._number("file-port", 1024, 65_535)

    def _check_web(self) -> None:
        if self["web"] is not None:
            self["web"] = self._number("web", 1024, 65_535)

    def _check_menu(self) -> None:
        if self["menu"] not in MENUS:
            raise usage.UsageError(f"--menu is one of {', '.join(MENUS)}")

    def _number(self, name: str, least: int, most: int) -> int:
        text = self[name]
        digits = len(text) <= 5 and text.isascii() and text.isdigit()
        if not digits or not least <= int(text) <= most:
            raise usage.UsageError(f"--{name} is a number from {least} to {most}")
        return int(text)

    def _check_group(self) -> None:
        self["group"] = group_address(self["group"])

    def _check_instance(self) -> None:
        check_instance(self["instance"])

    def _check_peers(self) -> None:
        self["peers"] = [self._peer(peer) for peer in self["peers"]]

    def _peer(self, peer: str) -> tuple[str, int]:
        try:
            host, port = parse_peer(peer)
        except ValueError as error:
            raise usage.UsageError(f"--peer {peer}: {error}") from error
        return host, port or self["port"] + 1

    def _check_folder(self) -> None:
        folder = Path(self["download-dir"] or ".").expanduser().absolute()
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ShareError(
                N_("Nothing can be written to {folder}; choose another with --download-dir."),
                Exit.NO_FOLDER,
                folder=folder,
            )
        self["download-dir"] = folder

    def _check_offers(self) -> None:
        self["offers"] = [os.path.abspath(os.path.expanduser(path)) for path in self["offers"]]
        for path in self["offers"]:
            check_path(path)

    def _check_shares(self) -> None:
        self["shares"] = [os.path.realpath(os.path.expanduser(path)) for path in self["shares"]]
        for path in self["shares"]:
            os.close(open_folder(path))
        if self["shares"] and bool(self["share-password"]) == bool(self["share-public"]):
            raise usage.UsageError("--share needs one of --share-password-file and --share-public")

    def _check_code_file(self) -> None:
        if self["group-code-file"] is not None:
            self["group-code-file"] = Path(self["group-code-file"]).expanduser().absolute()
            read_codes(self["group-code-file"])

    def _read_password(self, name: str) -> None:
        self[name] = ""
        path = self[f"{name}-file"]
        if path is None:
            return
        try:
            with open(path, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else N_("it is not UTF-8 text")
            raise ShareError(
                N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=why
            ) from error
        if not 1 <= len(password) <= 256:
            raise ShareError(
                N_("The first line of {path} is no password of 1 to 256 characters."),
                Exit.NO_INPUT,
                path=path,
            )
        self[name] = password
