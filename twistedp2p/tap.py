"""The twistd plugin: its options, and what is checked before the `service` is made of them. The
only place that names the reactor.

What can go wrong is found before twistd goes to the background and before anything is sent, and
is said in one sentence on standard error, with an exit code of its own (`core.errors.Exit`).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from twisted.python import usage

from twistedp2p.core.errors import N_, Exit, ShareError, words
from twistedp2p.core.names import clean_nick
from twistedp2p.core.presence.families import group_address
from twistedp2p.core.presence.ladder import parse_peer
from twistedp2p.disk.code_file import read_codes
from twistedp2p.disk.config_file import read_settings, variable
from twistedp2p.disk.instance import Instance, claim
from twistedp2p.disk.shelf import open_file
from twistedp2p.disk.socket_path import DEFAULT, check_instance, default_state_folder
from twistedp2p.face.terminal import choose_mode
from twistedp2p.face.texts import translations
from twistedp2p.net.steady import keep_steady
from twistedp2p.service import P2PShare, fail, make_node, pid_file, say_error

MENUS = ("auto", "always", "never", "plain")
TWISTD_PID = "twistd.pid"  # twistd's default, which would refuse a second node in one folder


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
        ["port", "p", "9392", "UDP port of the chat; the next one carries files and node traffic."],
        ["nick", "n", None, "The name that others see (default: your user name)."],
        ["instance", None, DEFAULT, "Name of this node, where several run."],
        ["state-dir", "s", None, "Folder for identity and memory (default: per XDG)."],
        ["download-dir", "d", None, "Folder for what you get (default: the current one)."],
        ["file-port", "f", None, "TCP port for files (default: port + 1, or any free one)."],
        ["password-file", None, None, "File whose first line is the password of --offer."],
        ["group-code-file", "c", None, "File with the code that closes the group (p2pshare code)."],
        ["menu", "m", "auto", "auto, always, never, or plain (lines only)."],
        ["ttl", None, "1", "Routers that datagrams may pass, plus one (0: stay on this host)."],
        ["web", None, None, "Port of 127.0.0.1 for the control interface, too."],
        ["config", None, None, "File with options (default: per XDG, /etc/p2pshare)."],
    ]
    optFlags = [  # noqa: RUF012
        ["no-mdns", None, "Do not tell of this node, nor look for others, by mDNS."],
        ["verbose", "v", "Log in more detail."],
    ]

    compData = usage.Completions(
        optActions={
            "state-dir": usage.CompleteDirs(),
            "download-dir": usage.CompleteDirs(),
            "password-file": usage.CompleteFiles(),
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
        self["peers"] = []
        self._places: dict[str, str] = {}  # of options that were not given, but stand elsewhere

    def opt_interface(self, name: str) -> None:
        """Use only this interface (name or address; may be repeated)."""
        self["interfaces"].append(name)

    def opt_offer(self, path: str) -> None:
        """Offer this file from the start (may be repeated)."""
        self["offers"].append(path)

    def opt_peer(self, peer: str) -> None:
        """Look for a node at HOST[:PORT], also behind a router (may be repeated)."""
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
        self._settle()
        self._check("port", self._check_port)
        self._check("ttl", self._check_ttl)
        self._check("file-port", self._check_file_port)
        self._check("web", self._check_web)
        self._check("menu", self._check_menu)
        self._check("group", self._check_group)
        self._check("instance", self._check_instance)
        self._check("download-dir", self._check_folder)
        self._check("peer", self._check_peers)
        self._check("password-file", self._read_password)
        self._check("group-code-file", self._check_code_file)
        self._check("offer", self._check_offers)
        if self["nick"] is not None:
            self["nick"] = clean_nick(self["nick"])
        if self.parent is not None and self.parent.get("pidfile") == TWISTD_PID:
            self.parent["pidfile"] = ""  # `makeService` finds a place for it

    def _settle(self) -> None:
        """Fill in what was not given: from the environment, the files, the defaults."""
        file = self["config"] or os.environ.get(variable("config"))
        for name, setting in read_settings(os.environ, file).items():
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
            os.close(open_file(path))

    def _check_code_file(self) -> None:
        if self["group-code-file"] is not None:
            self["group-code-file"] = Path(self["group-code-file"]).expanduser().absolute()
            read_codes(self["group-code-file"])

    def _read_password(self) -> None:
        self["password"] = ""
        path = self["password-file"]
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
        self["password"] = password


def the_reactor() -> Any:
    """The one that twistd has chosen, before any call is scheduled with it; timers do not follow
    the time of day from then on. Asked for only after twistd has gone to the background, as not
    every reactor survives that."""
    from twisted.internet import reactor

    keep_steady(reactor)
    return reactor


def rehearse(options: Options, instance: Instance) -> None:
    """Make the node once in a child process: exits where that fails, else it has done nothing.

    What is found only in the background reaches nobody in full. And SQLite forbids to take an
    open database through a fork.
    """
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            sys.exit(code)
        return
    code = int(Exit.FAILED)
    try:
        make_node(the_reactor(), options, instance)
        code = int(Exit.OK)
    except ShareError as error:
        say_error(error)
        code = error.code
    except Exception as error:
        say_error(ShareError(N_("The node could not start ({why})."), why=repr(error)))
    finally:
        os._exit(code)


def choose_menu(options: Options) -> str:
    """The menu that there can be; exits where none could show what the options ask for."""
    twistd: Any = {} if options.parent is None else options.parent
    closed = sys.__stdin__ is None or sys.__stdout__ is None
    mode = "never"
    if twistd.get("nodaemon") and not closed:
        mode = choose_mode(options["menu"], os.environ)
    if mode == "never" and options["offers"] and not options["password"]:
        fail(
            ShareError(
                N_("--offer needs a --password-file where there is no menu to show a password."),
                Exit.USAGE,
            )
        )
    return mode


def makeService(options: Options) -> P2PShare:
    """Called by twistd: claim a slot, and make the service."""
    mode = choose_menu(options)
    folder = options["state-dir"]
    state = Path(folder).expanduser().absolute() if folder else default_state_folder(os.environ)
    try:
        instance = claim(state, options["instance"])
    except ShareError as error:
        fail(error)
    twistd: Any = options.parent
    service = P2PShare(the_reactor, options, {} if twistd is None else twistd, instance, mode)
    if twistd is not None:
        twistd["pidfile"] = twistd.get("pidfile") or _own_pid_file(instance)
        if not twistd.get("nodaemon"):
            rehearse(options, instance)
            _say_where(twistd["pidfile"], service)
    return service


def _own_pid_file(instance: Instance) -> str:
    """Where twistd may write the process id: tried here, for twistd would end in a traceback."""
    path = pid_file(instance)
    try:
        path.write_text(str(os.getpid()))
        path.unlink()
    except OSError as error:
        fail(
            ShareError(
                N_("The folder {folder} cannot be used: {why}. Choose another with --state-dir."),
                Exit.NO_FOLDER,
                folder=instance.folder,
                why=error.strerror,
            )
        )
    return str(path)


def _say_where(pidfile: str, service: P2PShare) -> None:
    sentence = translations()(
        N_('The node goes to the background. Its log: {log}. To stop it: kill "$(cat {pid})"')
    )
    if sys.__stdout__ is not None:
        log = service.log_name()
        sys.__stdout__.write(sentence.format(log=log, pid=shlex.quote(pidfile)) + "\n")
        sys.__stdout__.flush()
