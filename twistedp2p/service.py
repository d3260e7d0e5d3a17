"""The service that twistd runs: one node, its menu, its log.

In the slot of the node (see `disk.state.instance`) are, while it runs::

    node.log   the log, when there is a menu (they never mix) or the node is in the background
    node.pid   the process to stop: kill "$(cat node.pid)", or p2pshare stop
"""
# Twisted's Service, which is inherited here, has no annotations yet.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import Event
from twistedp2p.disk.state.instance import Instance
from twistedp2p.doors import Doors
from twistedp2p.face.menu import Menu
from twistedp2p.face.terminal import open_plain
from twistedp2p.face.texts import in_words, translations
from twistedp2p.net.admission import Limits
from twistedp2p.net.descriptors import make_room
from twistedp2p.net.notify import Notices, Supervisor
from twistedp2p.node import Config, Node
from twistedp2p.options import fail, say_error

if TYPE_CHECKING:
    from twistedp2p.face.editor import Editor

TOOLBAR_EVERY = 0.5  # seconds
REDRAWN_AFTER = 20  # of these: how the others are reached changes without an event
OTHER_FILES = 256  # open at once besides those of clients: links, memory, log, own downloads
LOG_SIZE = 1_000_000  # bytes of one log file; strangers can make us write to it
LOG_FILES = 3  # older ones that are kept
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = Logger()


def pid_file(instance: Instance) -> Path:
    """Where the process id of the node of that slot stands while it runs."""
    return instance.folder / "node.pid"


def limits_of(clients: int, per_address: int) -> Limits:
    """With that many clients at once; raises `ShareError` where there can be no room for them."""
    limits = Limits.of(clients, per_address)
    needed = limits.descriptors + OTHER_FILES
    allowed = make_room(needed)
    if allowed < needed and clients > Limits().transfers:
        raise ShareError(
            N_(
                "For {clients} clients at once {needed} files and sockets may have to be open,"
                " and this system allows {allowed}: raise that (ulimit -Hn, or LimitNOFILE in a"
                " unit), or choose fewer with --max-clients."
            ),
            Exit.USAGE,
            clients=clients,
            needed=needed,
            allowed=allowed,
        )
    return limits


def make_node(reactor: Any, options: Mapping[str, Any], instance: Instance) -> Node:
    """The node as the options want it; raises `ShareError`."""
    config = Config(
        group=options["group"],
        port=options["port"],
        interfaces=options["interfaces"],
        download_folder=options["download-dir"],
        file_port=options["file-port"],
        ttl=options["ttl"],
        code=options["group-code-file"],
        peers=options["peers"],
        mdns=not options["no-mdns"],
        swarm=not options["no-swarm"],
        limits=limits_of(options["max-clients"], options["max-clients-per-address"]),
        shared=options["shares"],
        shared_password=options["share-password"],
        shared_public=bool(options["share-public"]),
        **({} if options["nick"] is None else {"nick": options["nick"]}),
    )
    return Node(reactor, config, instance)


class P2PShare(Service):
    """One node and its menu, by the options of `tap`.

    reactor: called for it when twistd starts, in the background if it went there. twistd: the
    options of twistd itself. mode: as of `terminal.choose_mode`.
    """

    def __init__(
        self,
        reactor: Callable[[], Any],
        options: Mapping[str, Any],
        twistd: MutableMapping[str, Any],
        instance: Instance,
        mode: str,
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._twistd = twistd
        self._instance = instance
        self._mode = mode
        self._node: Node | None = None
        self._editor: Editor | None = None
        self._menu: Menu | None = None
        self._screen: Any = None
        self._toolbar: LoopingCall | None = None
        self._notices: Notices | None = None
        self._doors: Doors | None = None
        self._bottom_is_old = True
        self._not_drawn = 0  # turns of the toolbar

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

    def log_name(self) -> str:
        """Where the log is, in words."""
        if self._twistd.get("syslog"):
            return "syslog"
        own = self._instance.log_file if self._logs_to_file() else N_("standard output")
        return str(self._twistd.get("logfile") or own)

    def _in_background(self) -> bool:
        return not self._twistd.get("nodaemon")

    # -- the start

    def startService(self) -> None:
        """Called by twistd: take the ports, then the terminal; all of it or nothing."""
        reactor = self._reactor()
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
                    log=self.log_name(),
                )
            )

    def _start(self, reactor: Any) -> None:
        self._node = make_node(reactor, self._options, self._instance)
        super().startService()
        self._node.start()
        self._open_menu(reactor, self._node)
        self._offer_all(self._node)
        web, stop = self._options["web"], partial(_stop, reactor)
        self._doors = Doors(reactor, self._node, self._instance, web, stop)
        self._doors.open(os.environ)
        self._notices = Notices(
            reactor, Supervisor.of(os.environ, os.getpid()), partial(_in_short, self._node)
        )
        reactor.callWhenRunning(self._notices.ready)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # it is, under nohup
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(_stop, reactor))

    def _open_menu(self, reactor: Any, node: Node) -> None:
        def make_menu(screen: Any) -> Menu:
            self._screen = screen
            self._menu = Menu(
                node, screen, translations(), lambda: reactor.callLater(0, _stop, reactor)
            )
            node.subscribe(self._menu.event, reader=True)
            return self._menu

        if self._mode == "plain":
            open_plain(reactor, make_menu)
        elif self._mode == "editor":
            from twistedp2p.face.editor import open_editor  # 5 MiB that no other mode needs

            self._editor = open_editor(reactor, os.environ, make_menu)
            node.subscribe(self._note)
            self._toolbar = LoopingCall(self._draw_bottom, node)
            self._toolbar.start(TOOLBAR_EVERY)

    def _note(self, _event: Event) -> None:
        self._bottom_is_old = True

    def _draw_bottom(self, node: Node) -> None:
        """Draw only where something happened: a quiet node costs next to nothing."""
        self._not_drawn += 1
        old = self._bottom_is_old or self._not_drawn >= REDRAWN_AFTER
        if old and self._editor is not None and self._menu is not None:
            self._bottom_is_old = False
            self._not_drawn = 0
            try:
                self._editor.set_bottom(*self._menu.bottom(node.status()))
            except Exception:  # the memory may be locked, or its disk full, for a while
                _log.failure("what stands below the question could not be drawn")

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
        if self._notices is not None:
            self._notices.stopping()
        if self._toolbar is not None and self._toolbar.running:
            self._toolbar.stop()
        if self._doors is not None:
            self._doors.close()
        if self._screen is not None:
            self._screen.close()  # the menu must not ask a node that is gone
        self._remove_pid_file()
        node, self._node = self._node, None
        stopped = None if node is None else Deferred.fromCoroutine(node.stop())
        if self._editor is not None:
            self._editor.join()  # may take its time: the goodbye is out
        return stopped

    def _remove_pid_file(self) -> None:
        """Before twistd does: once the slot is free, the file may be the next node's."""
        path = pid_file(self._instance)
        if self._twistd.get("pidfile") == str(path):
            self._twistd["pidfile"] = ""
            path.unlink(missing_ok=True)


def _in_short(node: Node) -> str:
    """How it fares, for who runs services."""
    status = node.status()
    return f"nodes here: {status.nodes}, offers: {status.offers}, transfers: {status.transfers}"


def _stop(reactor: Any) -> None:
    with contextlib.suppress(ReactorNotRunning):  # it is stopping already
        reactor.stop()
