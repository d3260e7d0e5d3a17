"""A node's doors on real sockets: the unix socket, and the loopback."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.lan.nodes import free_port
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.state.instance import claim
from twistedp2p.disk.state.socket_path import find_socket
from twistedp2p.doors import Doors, try_web
from twistedp2p.node import Config, Node

PATIENCE = 20  # seconds, never met


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))


def asked(connection: http.client.HTTPConnection, **headers: str) -> int:
    """The status of what is answered. In a thread."""
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", "/api/v1/status", headers=named)
        return connection.getresponse().status
    finally:
        connection.close()


class DoorsTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
        self.addCleanup(shutil.rmtree, self.state)
        self.instance = claim(self.state)
        self.port = free_port()
        config = Config(
            f"239.7.{self.port % 250}.{1 + self.port % 200}",
            free_port(),
            ["127.0.0.1"],
            download_folder=self.state,
            mdns=False,
        )
        self.node = Node(reactor, config, self.instance)
        self.node.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.node.stop()))
        self.stopped = Deferred[None]()
        self.doors = self.made(self.port)
        self.addCleanup(self.doors.close)

    def made(self, web: int | None) -> Doors:
        return Doors(reactor, self.node, self.instance, web, lambda: self.stopped.callback(None))

    @inlineCallbacks
    def test_both_are_open_until_they_are_closed(self) -> Any:
        self.doors.open({})
        path = find_socket({}, state_folder=self.state)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        status = yield deferToThread(asked, UnixConnection(path))
        self.assertEqual(status, 200)
        token = (self.state / "1" / "control.token").read_text().strip()
        web = lambda: http.client.HTTPConnection("127.0.0.1", self.port, PATIENCE)  # noqa: E731
        status = yield deferToThread(asked, web())
        self.assertEqual(status, 401)
        status = yield deferToThread(asked, web(), Authorization=f"Bearer {token}")
        self.assertEqual(status, 200)
        closed = self.doors.close(), self.doors.close()
        yield gatherResults(closed)
        self.assertFalse(os.path.lexists(path))
        with self.assertRaises(ConnectionRefusedError):
            yield deferToThread(asked, web())

    @inlineCallbacks
    def test_a_socket_that_somebody_removed_hinders_no_end(self) -> Any:
        self.doors.open({})
        find_socket({}, state_folder=self.state).unlink()
        yield self.doors.close()

    def test_the_loopback_is_that_of_this_machine_alone(self) -> None:
        """Attack 42: nothing listens at 0.0.0.0 (CVE-2018-5702)."""
        self.doors.open({})
        addresses = [step.host for door, step in self.doors._doors if door.web]
        self.assertEqual(addresses, [("127.0.0.1", self.port)])

    def test_a_port_that_is_taken_is_refused_in_a_sentence(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.port))
            taken.listen()
            error = self.assertRaises(ShareError, self.doors.open, {})
            tried = self.assertRaises(ShareError, try_web, self.port)
        self.assertEqual(error.code, Exit.PORT_TAKEN)
        self.assertEqual(str(tried), str(error))
        try_web(self.port)

    def test_many_can_wait_at_both(self) -> None:
        """Attack 42: who connects thousands of times a second must not keep the owner out."""
        self.doors.open({})
        ports = [port for door, port in self.doors._doors if not door.web]
        self.assertEqual([port.backlog for port in ports], [4096])

    def test_without_a_place_for_a_socket_the_node_goes_on(self) -> None:
        with mock.patch("twistedp2p.doors.places", return_value=[]):
            self.doors.open({})
        self.assertEqual(len(self.doors._doors), 1)

    @inlineCallbacks
    def test_a_stop_that_is_asked_for_ends_the_node(self) -> Any:
        self.doors.open({})
        path = find_socket({}, state_folder=self.state)

        def stop() -> int:
            connection = UnixConnection(path)
            connection.request("POST", "/api/v1/stop", "{}", {"Content-Type": "application/json"})
            status = connection.getresponse().status
            connection.close()
            return status

        status = yield deferToThread(stop)
        self.assertEqual(status, 202)
        yield self.stopped
