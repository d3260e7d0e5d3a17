"""The twistd plugin: options, service, log. The only place that names the reactor."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)
from twisted.python import usage
from twisted.python.components import Componentized

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import clean_nick
from twistedp2p.disk.instance import Instance, claim, default_state_folder
from twistedp2p.face.editor import Editor, open_editor
from twistedp2p.face.menu import Menu
from twistedp2p.face.terminal import choose_mode, open_plain
from twistedp2p.face.texts import translations
from twistedp2p.node import Config, Node

STOP_TIMEOUT = 5.0  # seconds
TOOLBAR_EVERY = 0.5  # seconds
MENUS = ("auto", "always", "never", "plain")


def fail(error: ShareError) -> NoReturn:
    """Say in one sentence on standard error why there is no node, and exit with its code."""
    translate = translations()
    sys.stderr.write("p2pshare: " + translate(error.sentence).format(**error.values) + "\n")
    sys.exit(error.code)


class Options(usage.Options):
    """The options of `twistd p2pshare`."""

    synopsis = "[options]"
    longdesc = (
        "Joins the people on this network: chat with all of them, offer files under a password, "
        "find and fetch what they offer. No server, no account."
    )
    optParameters = [  # noqa: RUF012 - usage.Options wants it so
        ["group", "g", "239.0.0.1", "IPv4 multicast address of the group."],
        ["port", "p", "9392", "UDP port of the chat; the next one carries files and node traffic."],
        ["nick", "n", None, "The name that others see (default: your user name)."],
        ["state-dir", "s", None, "Folder for identity and memory (default: per XDG)."],
        ["download-dir", "d", None, "Folder for what you get (default: the current one)."],
        ["file-port", "f", None, "TCP port for files (default: port + 1, or any free one)."],
        ["password-file", None, None, "File whose first line is the password of --offer."],
        ["menu", "m", "auto", "auto, always, never, or plain (lines only)."],
        ["ttl", None, "1", "Routers that the group's datagrams may pass, plus one (1 to 255)."],
    ]
    optFlags = [["verbose", "v", "Log in more detail."]]  # noqa: RUF012

    compData = usage.Completions(
        optActions={
            "state-dir": usage.CompleteDirs(),
            "download-dir": usage.CompleteDirs(),
            "password-file": usage.CompleteFiles(),
            "offer": usage.CompleteFiles(),
            "menu": usage.CompleteList(list(MENUS)),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self["interfaces"] = []
        self["offers"] = []

    def opt_interface(self, name: str) -> None:
        """Use only this interface (name or address; may be given several times)."""
        self["interfaces"].append(name)

    def opt_offer(self, path: str) -> None:
        """Offer this file from the start (may be given several times)."""
        self["offers"].append(path)

    opt_i = opt_interface
    opt_o = opt_offer

    def parseOptions(self, options: Any = None) -> None:
        """Called by twistd. What is wrong is said in one sentence, not a page of help."""
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

    def postOptions(self) -> None:
        """Check every option before anything starts."""
        self["port"] = self._number("port", 1024, 65_534)
        self["ttl"] = self._number("ttl", 0, 255)
        if self["file-port"] is not None:
            self["file-port"] = self._number("file-port", 1024, 65_535)
        if self["menu"] not in MENUS:
            raise usage.UsageError(f"--menu is one of {', '.join(MENUS)}")
        self._check_group()
        self._check_folder()
        if self["nick"] is not None:
            self["nick"] = clean_nick(self["nick"])
        self["password"] = self._read_password()
        parent = self.parent
        if parent is not None and parent.get("pidfile") == os.path.abspath("twistd.pid"):
            # twistd's default would refuse a second node in the same folder.
            parent["pidfile"] = ""

    def _number(self, name: str, least: int, most: int) -> int:
        try:
            value = int(self[name])
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise usage.UsageError(f"--{name} is a number from {least} to {most}")
        return value

    def _check_group(self) -> None:
        try:
            address = ipaddress.ip_address(self["group"])
        except ValueError:
            address = None
        if address is None or not address.is_multicast:
            fail(
                ShareError(
                    N_("{group} is no multicast address; take one from 239.0.0.0 up."),
                    Exit.BAD_GROUP,
                    group=self["group"],
                )
            )
        if address.version != 4:
            fail(
                ShareError(
                    N_("{group} is an IPv6 group; only IPv4 groups can be used so far."),
                    Exit.BAD_GROUP,
                    group=self["group"],
                )
            )

    def _check_folder(self) -> None:
        folder = Path(self["download-dir"] or ".").expanduser().absolute()
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            fail(
                ShareError(
                    N_("Nothing can be written to {folder}; choose another with --download-dir."),
                    Exit.NO_FOLDER,
                    folder=folder,
                )
            )
        self["download-dir"] = folder

    def _read_password(self) -> str:
        path = self["password-file"]
        if path is None:
            return ""
        try:
            with open(path, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            fail(
                ShareError(N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=error)
            )
        if not 1 <= len(password) <= 256:
            fail(
                ShareError(
                    N_("The first line of {path} is no password of 1 to 256 characters."),
                    Exit.NO_INPUT,
                    path=path,
                )
            )
        return password


class P2PShare(Service):
    """The service that twistd runs: one node and its menu."""

    def __init__(self, options: Options, instance: Instance, mode: str) -> None:
        self._options = options
        self._instance = instance
        self._mode = mode
        self._node: Node | None = None
        self._editor: Editor | None = None
        self._toolbar: LoopingCall | None = None
        self._menu: Menu | None = None

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Called by twistd before it begins to log: the log must not mix with the menu."""
        super().setServiceParent(parent)
        root: Any = self._options.parent or {}
        to_file = self._mode != "never" or not root.get("nodaemon")
        if to_file and not root.get("logfile") and not root.get("syslog"):
            stream = open(self._instance.log_file, "a", encoding="utf-8")  # noqa: SIM115
            level = LogLevel.debug if self._options["verbose"] else LogLevel.info
            observer = FilteringLogObserver(
                textFileLogObserver(stream), [LogLevelFilterPredicate(level)]
            )
            cast(Componentized, parent).setComponent(ILogObserver, observer)

    def startService(self) -> None:
        """Called by twistd: take the ports, then the terminal."""
        from twisted.internet import reactor

        options = self._options
        config = Config(
            group=options["group"],
            port=options["port"],
            interfaces=options["interfaces"],
            download_folder=options["download-dir"],
            file_port=options["file-port"],
            ttl=options["ttl"],
            **({} if options["nick"] is None else {"nick": options["nick"]}),
        )
        try:
            self._node = Node(reactor, config, self._instance)
        except ShareError as error:
            fail(error)
        super().startService()
        self._node.start()
        self._open_menu(reactor, self._node)
        self._offer_all(self._node)
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reactor.stop))  # type: ignore[attr-defined]

    def _open_menu(self, reactor: Any, node: Node) -> None:
        def make_menu(screen: Any) -> Menu:
            self._menu = Menu(node, screen, translations(), lambda: self._quit(reactor))
            node.subscribe(self._menu.event)
            return self._menu

        if self._mode == "plain":
            open_plain(reactor, make_menu)
        elif self._mode == "editor":
            self._editor = open_editor(reactor, os.environ, make_menu)
            self._toolbar = LoopingCall(self._draw_bottom, node)
            self._toolbar.start(TOOLBAR_EVERY)

    def _quit(self, reactor: Any) -> None:
        if reactor.running:
            reactor.callLater(0, reactor.stop)

    def _draw_bottom(self, node: Node) -> None:
        assert self._editor is not None
        assert self._menu is not None
        self._editor.set_bottom(*self._menu.bottom(node.status()))

    def _offer_all(self, node: Node) -> None:
        for path in self._options["offers"]:
            node.offer(path, self._options["password"]).addErrback(self._not_offered)

    def _not_offered(self, failure: Any) -> None:
        failure.trap(ShareError)
        sys.__stderr__.write(f"p2pshare: {failure.value}\n")  # type: ignore[union-attr]

    def stopService(self) -> Deferred[None] | None:
        """Called by twistd: say goodbye, give the terminal back."""
        super().stopService()
        if self._toolbar is not None and self._toolbar.running:
            self._toolbar.stop()
        if self._editor is not None:
            self._editor.join()
        node, self._node = self._node, None
        return None if node is None else Deferred.fromCoroutine(node.stop())


def makeService(options: Options) -> P2PShare:
    """Called by twistd: claim a slot, and make the service."""
    folder = options["state-dir"]
    state = Path(folder).expanduser().absolute() if folder else default_state_folder(os.environ)
    root: Any = options.parent or {}
    try:
        instance = claim(state)
    except ShareError as error:
        fail(error)
    mode = choose_mode(options["menu"], os.environ) if root.get("nodaemon") else "never"
    return P2PShare(options, instance, mode)
