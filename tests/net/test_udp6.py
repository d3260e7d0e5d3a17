"""Datagrams of IPv6 on the loopback of this host: no root, no multicast."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.net.test_watch import FakeReactor
from twistedp2p.net.sockets import SocketError, far_sender, group_receiver
from twistedp2p.net.udp6 import Port6, _with_scope

TURN = 4096
GROUP = "ff12::ef00:1"


class Port6Tests(SynchronousTestCase):
    def setUp(self) -> None:
        try:
            probe = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        except OSError as error:
            raise SkipTest(f"this host has no IPv6: {error}") from None
        with probe:
            try:
                probe.bind(("::1", 0))
            except OSError as error:
                raise SkipTest(f"this host has no IPv6: {error}") from None
            self.number = probe.getsockname()[1]
        self.reactor = FakeReactor()
        self.heard: list[tuple[bytes, tuple[str, int], str]] = []
        self.port = self.make(group_receiver(GROUP, self.number, []))
        self.other = self.make(far_sender(socket.AF_INET6))

    def make(self, sock: socket.socket) -> Port6:
        port = Port6(self.reactor, sock, self.hear, TURN)
        self.addCleanup(port.stopListening)
        return port

    def hear(self, *what: Any) -> None:
        self.heard.append(what)

    def read(self, port: Port6, true: Callable[[], bool]) -> None:
        """Read until it is true; on the loopback that is at once."""
        for _ in range(10_000):
            if true():
                return
            port.doRead()
        self.fail("nothing came")

    def test_what_comes_is_told_with_where_from_and_where_to(self) -> None:
        self.other.write(b"hello", ("::1", self.number))
        self.read(self.port, lambda: bool(self.heard))
        source = "::1", self.other.port
        self.assertEqual(self.heard, [(b"hello", source, "::1")])
        self.port.write(b"answer", source)
        self.read(self.other, lambda: len(self.heard) == 2)
        self.assertEqual(self.heard[1], (b"answer", ("::1", self.number), ""))

    def test_a_flood_leaves_others_their_turn(self) -> None:
        for _ in range(20):
            self.other.write(bytes(1000), ("::1", self.number))
        self.read(self.port, lambda: bool(self.heard))
        self.assertTrue(1 <= len(self.heard) <= 5, len(self.heard))

    def test_empty_datagrams_without_end_leave_others_their_turn_too(self) -> None:
        for _ in range(50):
            self.other.write(b"", ("::1", self.number))
        self.read(self.port, lambda: len(self.heard) == 50)

    def test_a_link_local_source_names_its_interface(self) -> None:
        index, name = socket.if_nameindex()[0]
        self.assertEqual(_with_scope(("fe80::1", 7, 0, index)), (f"fe80::1%{name}", 7))
        self.assertEqual(_with_scope(("2001:db8::1", 7, 0, 0)), ("2001:db8::1", 7))
        self.assertRaises(OSError, _with_scope, ("fe80::1", 7, 0, 2**30))

    def test_an_interface_that_is_not_there_is_an_error(self) -> None:
        self.assertRaises(OSError, self.other.write, b"hello", ("fe80::1%nosuch0", 7))

    def test_a_socket_that_stops_in_the_middle_of_a_turn_reads_no_more(self) -> None:
        self.port._heard = lambda *what: (self.hear(*what), self.port.stopListening())
        for _ in range(3):
            self.other.write(b"hello", ("::1", self.number))
        self.read(self.port, lambda: bool(self.heard))
        self.port.doRead()
        self.assertEqual(len(self.heard), 1)

    def test_when_it_is_stopped_nothing_is_left(self) -> None:
        self.successResultOf(self.port.stopListening())
        self.successResultOf(self.port.stopListening())
        self.other.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.readers, [])
        self.assertEqual((self.port.fileno(), self.other.fileno()), (-1, -1))

    def test_nodes_share_the_port_and_selfish_programs_are_told(self) -> None:
        self.make(group_receiver(GROUP, self.number, []))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as selfish:
            selfish.bind(("::", 0))
            port = selfish.getsockname()[1]
            self.assertRaises(SocketError, group_receiver, GROUP, port, [])
