"""The twistd plugin: options, service, log. The only place that names the reactor.

What can go wrong is found before twistd goes to the background and before anything is sent, and
is said in one sentence on standard error, with an exit code of its own (`core.errors.Exit`).

In the slot of the node (see `disk.instance`) are, while it runs::

    node.log   the log, when there is a menu (they never mix) or the node is in the background
    node.pid   the process to stop: kill "$(cat node.pid)"
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, cast

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import LoopingCall
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import Event
from twistedp2p.core.names import clean_nick
from twistedp2p.disk.instance import Instance, claim, default_state_folder
from twistedp2p.disk.shelf import open_file
from twistedp2p.face.editor import Editor, open_editor
from twistedp2p.face.menu import Menu
from twistedp2p.face.terminal import choose_mode, open_plain
from twistedp2p.face.texts import in_words, translations
from twistedp2p.node import Config, Node

TOOLBAR_EVERY = 0.5  # seconds
LOG_SIZE = 1_000_000  # bytes of one log file; strangers can make us write to it
LOG_FILES = 3  # older ones that are kept
MENUS = ("auto", "always", "never", "plain")
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TWISTD_PID = "twistd.pid"  # twistd's default, which would refuse a second node in one folder

_log = Logger()


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
        ["group", "g", "239.0.0.1", "IPv4 multicast address of the group."],
        ["port", "p", "9392", "UDP port of the chat; the next one carries files and node traffic."],
        ["nick", "n", None, "The name that others see (default: your user name)."],
        ["state-dir", "s", None, "Folder for identity and memory (default: per XDG)."],
        ["download-dir", "d", None, "Folder for what you get (default: the current one)."],
        ["file-port", "f", None, "TCP port for files (default: port + 1, or any free one)."],
        ["password-file", None, None, "File whose first line is the password of --offer."],
        ["menu", "m", "auto", "auto, always, never, or plain (lines only)."],
        ["ttl", None, "1", "Routers that datagrams may pass, plus one (0: stay on this host)."],
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
        self["offers"] = [self._check_offer(path) for path in self["offers"]]
        if self.parent is not None and self.parent.get("pidfile") == TWISTD_PID:
            self.parent["pidfile"] = ""  # `makeService` finds a place for it

    def _number(self, name: str, least: int, most: int) -> int:
        text = self[name]
        digits = len(text) <= 5 and text.isascii() and text.isdigit()
        if not digits or not least <= int(text) <= most:
            raise usage.UsageError(f"--{name} is a number from {least} to {most}")
        return int(text)

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

    def _check_offer(self, path: str) -> str:
        whole = os.path.abspath(os.path.expanduser(path))
        try:
            os.close(open_file(whole))
        except ShareError as error:
            fail(error)
        return whole

    def _read_password(self) -> str:
        path = self["password-file"]
        if path is None:
            return ""
        try:
            with open(path, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else N_("it is not UTF-8 text")
            fail(ShareError(N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=why))
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
    """The service that twistd runs: one node and its menu. `mode` as of `terminal.choose_mode`."""

    def __init__(self, options: Options, instance: Instance, mode: str) -> None:
        self._options = options
        self._instance = instance
        self._mode = mode
        self._twistd: Any = {} if options.parent is None else options.parent
        self._node: Node | None = None
        self._editor: Editor | None = None
        self._menu: Menu | None = None
        self._screen: Any = None
        self._toolbar: LoopingCall | None = None
        self._bottom_is_old = True

    # -- the log

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Called by twistd before it begins to log: the log must not mix with the menu."""
        super().setServiceParent(parent)
        if any(self._twistd.get(option) for option in ("logfile", "syslog", "logger")):
            return
        stream: Any = sys.stdout
        if self._logs_to_file():
            path = self._instance.log_file
            stream = LogFile(
                path.name, str(path.parent), LOG_SIZE, defaultMode=0o600, maxRotatedFiles=LOG_FILES
            )
        level = LogLevel.debug if self._options["verbose"] else LogLevel.info
        observer = FilteringLogObserver(
            textFileLogObserver(stream), [LogLevelFilterPredicate(level)]
        )
        cast(Componentized, parent).setComponent(ILogObserver, observer)

    def _logs_to_file(self) -> bool:
        return self._mode != "never" or self._in_background() or sys.__stdout__ is None

    def _log_name(self) -> str:
        if self._twistd.get("syslog"):
            return "syslog"
        own = self._instance.log_file if self._logs_to_file() else N_("standard output")
        return str(self._twistd.get("logfile") or own)

    def _in_background(self) -> bool:
        return not self._twistd.get("nodaemon")

    # -- the start

    def startService(self) -> None:
        """Called by twistd: take the ports, then the terminal; all of it or nothing."""
        from twisted.internet import reactor

        # One that came between our hello and the loop would end us without a goodbye.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        reactor.callWhenRunning(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        try:
            self._start(reactor)
        except Exception as error:
            self.stopService()
            if self._in_background():
                raise  # twistd tells whoever started it
            if isinstance(error, ShareError):
                fail(error)
            _log.failure("the node could not start")
            fail(
                ShareError(
                    N_("The node could not start ({why}); see {log}."),
                    why=repr(error),
                    log=self._log_name(),
                )
            )

    def _start(self, reactor: Any) -> None:
        self._node = make_node(reactor, self._options, self._instance)
        super().startService()
        self._node.start()
        self._open_menu(reactor, self._node)
        self._offer_all(self._node)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # it is, under nohup
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(_stop, reactor))

    def _open_menu(self, reactor: Any, node: Node) -> None:
        def make_menu(screen: Any) -> Menu:
            self._screen = screen
            self._menu = Menu(
                node, screen, translations(), lambda: reactor.callLater(0, _stop, reactor)
            )
            node.subscribe(self._menu.event)
            return self._menu

        if self._mode == "plain":
            open_plain(reactor, make_menu)
        elif self._mode == "editor":
            self._editor = open_editor(reactor, os.environ, make_menu)
            node.subscribe(self._note)
            self._toolbar = LoopingCall(self._draw_bottom, node)
            self._toolbar.start(TOOLBAR_EVERY)

    def _note(self, _event: Event) -> None:
        self._bottom_is_old = True

    def _draw_bottom(self, node: Node) -> None:
        """Draw only where something happened: a quiet node costs nothing."""
        if self._bottom_is_old and self._editor is not None and self._menu is not None:
            self._bottom_is_old = False
            self._editor.set_bottom(*self._menu.bottom(node.status()))

    def _offer_all(self, node: Node) -> None:
        for path in self._options["offers"]:
            offered = node.offer(path, self._options["password"])
            offered.addCallbacks(self._offered, self._not_offered, callbackArgs=(node,))

    def _offered(self, offered: Any, node: Node) -> None:
        if self._screen is not None:
            ticket = node.ticket(offered.offer.name, offered.password)
            sentence = translations()(N_("* {name} is on offer. Its ticket: {ticket}"))
            self._screen.show(sentence.format(name=offered.offer.name, ticket=ticket), "ticket")

    def _not_offered(self, failure: Any) -> None:
        failure.trap(ShareError)
        if self._screen is not None:
            error = failure.value
            words = in_words(translations(), error.sentence, error.values)
            self._screen.show(f"! {words}", "error")
        else:
            say_error(failure.value)

    # -- the end

    def stopService(self) -> Deferred[None] | None:
        """Called by twistd: say goodbye, give the terminal back."""
        super().stopService()
        if self._toolbar is not None and self._toolbar.running:
            self._toolbar.stop()
        if self._screen is not None:
            self._screen.close()  # the menu must not ask a node that is gone
        if self._editor is not None:
            self._editor.join()
        self._remove_pid_file()
        node, self._node = self._node, None
        return None if node is None else Deferred.fromCoroutine(node.stop())

    def _remove_pid_file(self) -> None:
        """Before twistd does: once the slot is free, the file may be the next node's."""
        path = pid_file(self._instance)
        if self._twistd.get("pidfile") == str(path):
            self._twistd["pidfile"] = ""
            path.unlink(missing_ok=True)


def _stop(reactor: Any) -> None:
    with contextlib.suppress(ReactorNotRunning):  # it is stopping already
        reactor.stop()


def pid_file(instance: Instance) -> Path:
    """Where the process id of the node of that slot stands while it runs."""
    return instance.folder / "node.pid"


def make_node(reactor: Any, options: Options, instance: Instance) -> Node:
    """The node as the options want it; raises `ShareError`."""
    config = Config(
        group=options["group"],
        port=options["port"],
        interfaces=options["interfaces"],
        download_folder=options["download-dir"],
        file_port=options["file-port"],
        ttl=options["ttl"],
        **({} if options["nick"] is None else {"nick": options["nick"]}),
    )
    return Node(reactor, config, instance)


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
        from twisted.internet import reactor

        make_node(reactor, options, instance)
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
        instance = claim(state)
    except ShareError as error:
        fail(error)
    service = P2PShare(options, instance, mode)
    twistd: Any = options.parent
    if twistd is not None:
        twistd["pidfile"] = twistd.get("pidfile") or str(pid_file(instance))
        if not twistd.get("nodaemon"):
            rehearse(options, instance)
            _say_where(twistd["pidfile"], service)
    return service


def _say_where(pidfile: str, service: P2PShare) -> None:
    sentence = translations()(
        N_('The node goes to the background. Its log: {log}. To stop it: kill "$(cat {pid})"')
    )
    if sys.__stdout__ is not None:
        log = service._log_name()
        sys.__stdout__.write(sentence.format(log=log, pid=shlex.quote(pidfile)) + "\n")
        sys.__stdout__.flush()
