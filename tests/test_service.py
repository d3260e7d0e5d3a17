"""The service around a node: what stands below the question, and the order of the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p import options, service
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import NotSent
from twistedp2p.face import editor
from twistedp2p.net.admission import Limits
from twistedp2p.service import REDRAWN_AFTER, TOOLBAR_EVERY, P2PShare

OPTIONS = {
    "group": "239.0.0.1", "port": 9392, "interfaces": [], "download-dir": Path("/"),
    "file-port": None, "ttl": 0, "nick": "me", "offers": [], "password": "", "peers": [],
    "no-mdns": 0, "web": None,
}  # fmt: skip
EVENT = NotSent("No.", {})


class Node:
    """What the service asks of a node; `calls` has what happened, in its order."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.faces: list[Callable[[Any], None]] = []
        self.asked = 0
        self.failing = False
        self.gone: Deferred[None] = Deferred()
        self.offering: Any = Deferred()

    def start(self) -> None:
        self.calls.append("hello")

    async def stop(self) -> None:
        self.calls.append("goodbye")
        await self.gone

    def subscribe(self, face: Callable[[Any], None], *, reader: bool = False) -> None:
        self.faces.append(face)

    def status(self) -> Any:
        self.asked += 1
        if self.failing:
            raise ShareError("The memory is locked.")
        return f"status {self.asked}"

    def offer(self, path: str, password: str) -> Any:
        return self.offering


class ServiceTestCase(SynchronousTestCase):
    """A service with its editor, on a clock."""

    options: dict[str, Any] = OPTIONS
    mode = "editor"

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.shown: list[str] = []
        self.bottoms: list[Any] = []
        self.node = Node(self.calls)
        self.clock = Clock()
        self.reactor = SimpleNamespace(callWhenRunning=lambda call, *arguments: call(*arguments))
        folder = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
        self.addCleanup(shutil.rmtree, folder)
        instance = SimpleNamespace(folder=folder, log_file=folder / "node.log")
        self.patch(service, "make_node", lambda *_: self.node)
        self.patch(editor, "open_editor", self.open_editor)
        self.patch(service, "LoopingCall", self.looping_call)
        doors = SimpleNamespace(
            open=lambda _: self.calls.append("open"), close=lambda: self.calls.append("shut")
        )
        self.patch(service, "Doors", lambda *_: doors)
        self.patch(service.signal, "signal", lambda *_: None)
        self.menu = SimpleNamespace(event=lambda _: None, bottom=lambda status: (status, {}))
        self.patch(service, "Menu", lambda *_: self.menu)
        twistd = {"nodaemon": True}
        self.service = P2PShare(lambda: self.reactor, self.options, twistd, instance, self.mode)
        self.service.startService()
        self.addCleanup(self.end)

    def end(self) -> None:
        self.service.stopService()
        if not self.node.gone.called:
            self.node.gone.callback(None)

    def open_editor(self, _reactor: Any, _environment: Any, make_menu: Any) -> Any:
        editor = SimpleNamespace(
            show=lambda text, style="": self.shown.append(text),
            close=lambda: self.calls.append("close"),
            join=lambda: self.calls.append("join"),
            set_bottom=lambda lines, words: self.bottoms.append(lines),
        )
        make_menu(editor)
        return editor

    def looping_call(self, call: Any, *arguments: Any) -> Any:
        looping = LoopingCall(call, *arguments)
        looping.clock = self.clock
        return looping

    def happen(self) -> None:
        for face in self.node.faces:
            face(EVENT)
        self.clock.advance(TOOLBAR_EVERY)


class BottomTests(ServiceTestCase):
    def test_it_is_drawn_again_only_where_something_happened(self) -> None:
        self.assertEqual(self.bottoms, ["status 1"])
        self.clock.pump([TOOLBAR_EVERY] * 5)
        self.assertEqual(self.bottoms, ["status 1"])
        self.happen()
        self.assertEqual(self.bottoms, ["status 1", "status 2"])

    def test_how_the_others_are_reached_is_seen_after_a_while(self) -> None:
        self.clock.pump([TOOLBAR_EVERY] * REDRAWN_AFTER)
        self.assertEqual(self.bottoms, ["status 1", "status 2"])

    def test_a_memory_that_fails_for_a_while_does_not_end_it(self) -> None:
        self.node.failing = True
        self.happen()
        self.assertEqual(len(self.flushLoggedErrors(ShareError)), 1)
        self.node.failing = False
        self.happen()
        self.assertEqual(self.bottoms, ["status 1", "status 3"])


class ClientsTests(SynchronousTestCase):
    def test_the_defaults_are_those_of_the_file_service(self) -> None:
        usual = options.Options().defaults
        numbers = int(usual["max-clients"]), int(usual["max-clients-per-address"])
        self.assertEqual(Limits(), service.limits_of(*numbers))

    def test_where_there_is_no_room_for_them_it_is_said(self) -> None:
        self.patch(service, "make_room", lambda needed: 1024)
        error = self.assertRaises(ShareError, service.limits_of, 1000, 16)
        self.assertEqual(Exit.USAGE, error.code)
        self.assertIn("1000 clients at once 6256 files", str(error))
        self.assertIn("--max-clients", str(error))

    def test_the_usual_number_is_served_as_far_as_there_is_room(self) -> None:
        self.patch(service, "make_room", lambda needed: 100)
        self.assertEqual(64, service.limits_of(64, 16).transfers)


class EndTests(ServiceTestCase):
    def test_the_goodbye_does_not_wait_for_the_terminal(self) -> None:
        stopped = self.service.stopService()
        self.assertEqual(self.calls, ["hello", "open", "shut", "close", "goodbye", "join"])
        self.assertNoResult(stopped)
        self.node.gone.callback(None)
        self.successResultOf(stopped)

    def test_a_second_stop_says_nothing_more(self) -> None:
        self.service.stopService()
        self.assertIsNone(self.service.stopService())
        self.assertEqual(self.calls.count("goodbye"), 1)


class OfferTests(ServiceTestCase):
    options = {**OPTIONS, "offers": ["/a"]}  # noqa: RUF012 - never changed

    def test_why_an_offer_of_the_options_failed_is_told_in_the_persons_language(self) -> None:
        french = {"{path} is gone.": "{path} est parti."}
        with mock.patch.object(service, "translations", return_value=french.get):
            self.node.offering.errback(ShareError("{path} is gone.", path="/a"))
        self.assertEqual(self.shown, ["! /a est parti."])
