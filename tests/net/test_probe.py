"""The sockets of a doctor, on the loopback of this machine."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.error import MessageLengthError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.lan.nodes import free_port
from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Oneself, Trial
from twistedp2p.core.errors import words
from twistedp2p.net import probe as probe_module
from twistedp2p.net.interfaces import Interface
from twistedp2p.net.probe import MDNS_QUESTION, Mouth, Probe, knock
from twistedp2p.net.sockets import SocketError

GROUP = "239.77.1.1"
HERE = "10.0.0.1", 5000
LO = Interface("lo", 1, "127.0.0.1", "255.0.0.0", True)
WIRED = Interface("eth0", 2, "10.0.0.1", "255.255.255.0", False)
WIRED6 = Interface("eth0", 2, "fe80::1", "ffff:ffff:ffff:ffff::", False, socket.AF_INET6)


class Hearing:
    """Notes what comes, and fires a Deferred for the first of each kind."""

    def __init__(self) -> None:
        self.group: Deferred[tuple[bytes, Any]] = Deferred()
        self.answer: Deferred[tuple[bytes, Any]] = Deferred()

    def heard_group(self, data: bytes, address: Any) -> None:
        if not self.group.called:
            self.group.callback((data, address))

    def heard_answer(self, data: bytes, address: Any) -> None:
        if not self.answer.called:
            self.answer.callback((data, address))

    def heard_mdns(self, data: bytes, address: Any) -> None:
        pass


class LoopbackTests(TestCase):
    timeout = 120  # seconds: the machine may be busy

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.hearing = Hearing()
        self.port = free_port()
        self.probe = Probe(reactor, GROUP, self.port, 1, self.hearing)
        self.addCleanup(self.probe.close)

    async def test_what_goes_to_the_group_comes_back_from_where_it_was_sent(self) -> None:
        self.probe.open([LO])
        [mouth] = self.probe.mouths
        self.assertEqual(self.probe.to_group(mouth, b"coucou"), 0)
        self.assertEqual(await self.hearing.group, (b"coucou", mouth.address))
        self.assertEqual((mouth.device, mouth.loopback, mouth.everybody), ("lo", True, None))
        self.assertGreater(self.probe.granted, 0)

    async def test_what_goes_to_a_host_is_heard_there(self) -> None:
        self.probe.open([LO])
        [mouth] = self.probe.mouths
        self.assertEqual(self.probe.to_host(b"coucou", mouth.address), 0)
        self.assertEqual(await self.hearing.answer, (b"coucou", mouth.address))

    def test_all_that_a_node_needs_is_tried_and_let_go_of(self) -> None:
        self.probe.open([LO])
        refusals = [trial for trial in self.probe.trials if trial.refusal and trial.needed]
        self.assertEqual(refusals, [])
        tried = {trial.what for trial in self.probe.trials}
        self.assertLessEqual({f"UDP {self.port}", f"TCP {self.port + 1}", "lo"}, tried)

    def test_it_takes_nothing_from_a_node(self) -> None:
        """What is sent to the address of the node's port goes to the node, each time."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("0.0.0.0", self.port + 1))
        sock.settimeout(60)
        self.probe.open([LO])
        for number in range(50):
            self.probe.to_host(str(number).encode(), ("127.0.0.1", self.port + 1))
            self.assertEqual(sock.recv(100), str(number).encode())

    def test_a_port_that_is_not_shared_is_told_and_the_rest_goes_on(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(("0.0.0.0", self.port))
        self.probe.open([LO])
        [refused] = [trial for trial in self.probe.trials if trial.refusal]
        self.assertEqual(refused.what, f"UDP {self.port}")
        self.assertIn("does not share it", str(refused.refusal))
        self.assertEqual(len(self.probe.mouths), 1)

    async def test_a_tcp_port_lets_in_or_refuses(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            self.assertIs(await knock(self.reactor, "127.0.0.1", port, 10), Sign.OK)
        self.assertIs(await knock(self.reactor, "127.0.0.1", port, 10), Sign.REFUSED)

    async def test_no_answer_is_a_timeout(self) -> None:
        with mock.patch.object(probe_module.TCP4ClientEndpoint, "connect", return_value=fails()):
            self.assertIs(await knock(self.reactor, "10.0.0.1", 1, 10), Sign.TIMEOUT)

    async def test_a_machine_reaches_itself(self) -> None:
        self.probe.open([LO])
        [mouth] = self.probe.mouths
        self.assertEqual(await self.probe.reach_oneself(mouth), Oneself("127.0.0.1", True, True))

    async def test_or_it_does_not(self) -> None:
        self.probe.open([LO])
        [mouth] = self.probe.mouths
        with (
            mock.patch.object(Mouth, "send", return_value=errno.EPERM),
            mock.patch.object(probe_module, "ONESELF_WAIT", 0.1),
        ):
            reached = await self.probe.reach_oneself(mouth)
        self.assertEqual(reached, Oneself("127.0.0.1", False, True))

    async def test_an_address_that_has_gone_reaches_nothing(self) -> None:
        gone = Mouth(WIRED, ("192.0.2.99", 5000), FakePort())
        with mock.patch.object(probe_module, "ONESELF_WAIT", 0.1):
            reached = await self.probe.reach_oneself(gone)
        self.assertEqual(reached, Oneself("192.0.2.99", False, False))


def fails() -> Deferred[Any]:
    """What a firewall's "prohibited" gives."""
    failed: Deferred[Any] = Deferred()
    failed.errback(OSError(errno.EHOSTUNREACH, "No route to host"))
    return failed


class FakePort:
    def __init__(self, refusal: Callable[[], Exception] | None = None) -> None:
        self.refusal = refusal
        self.sent: list[tuple[bytes, Any]] = []

    def write(self, data: bytes, address: Any) -> None:
        if self.refusal is not None:
            raise self.refusal()
        self.sent.append((data, address))


def refusal(number: int) -> Callable[[], Exception]:
    return lambda: OSError(number, "refused")


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.probe = Probe(mock.Mock(), GROUP, 9392, 1, Hearing())

    def test_a_refusal_has_its_number(self) -> None:
        self.assertEqual(Mouth(WIRED, HERE, FakePort(refusal(errno.EPERM))).send(b"", ("h", 1)), 1)
        too_long = Mouth(WIRED, HERE, FakePort(MessageLengthError)).send(b"", ("h", 1))
        self.assertEqual(too_long, errno.EMSGSIZE)

    def test_a_host_is_reached_by_its_network_then_by_the_routes_then_by_any_way(self) -> None:
        ports = FakePort(), FakePort(), FakePort()
        self.probe.mouths = [Mouth(LO, HERE, ports[0]), Mouth(WIRED, HERE, ports[1])]
        self.probe._far = {socket.AF_INET: Mouth(None, HERE, ports[2])}
        for refused, used in ((None, 1), (1, 2), (2, 0)):
            if refused is not None:
                ports[refused].refusal = refusal(errno.ENETUNREACH)
            self.assertEqual(self.probe.to_host(b"x", ("10.0.0.9", 1)), 0)
            self.assertEqual([bool(port.sent) for port in ports].index(True), used)
            for port in ports:
                port.sent.clear()
        ports[0].refusal = refusal(errno.EPERM)
        self.assertEqual(self.probe.to_host(b"x", ("10.0.0.9", 1)), errno.EPERM)

    def test_without_any_interface_no_host_is_reached(self) -> None:
        self.assertEqual(self.probe.to_host(b"x", ("10.0.0.9", 1)), errno.ENETUNREACH)

    def test_broadcast_and_mdns(self) -> None:
        port, port6 = FakePort(), FakePort()
        mouth = Mouth(WIRED, HERE, port)
        self.probe.mouths = [mouth, Mouth(WIRED6, ("fe80::1%eth0", 5000), port6)]
        self.probe.to_network(mouth, b"x")
        self.probe.ask_mdns()
        self.assertEqual(
            port.sent,
            [(b"x", ("10.0.0.255", 9393)), (MDNS_QUESTION, ("224.0.0.251", 5353))],
        )
        self.assertEqual(port6.sent, [])
        self.assertIsNone(self.probe.mouths[1].everybody)

    def test_each_family_has_its_group_and_its_ways(self) -> None:
        ports = FakePort(), FakePort(), FakePort()
        four, six = Mouth(WIRED, HERE, ports[0]), Mouth(WIRED6, ("fe80::1%eth0", 5), ports[1])
        self.assertEqual((four.device, six.device), ("eth0", "eth0 (IPv6)"))
        self.probe.mouths = [four, six]
        self.probe._far = {socket.AF_INET6: Mouth(None, ("", 0), ports[2])}
        self.probe.to_group(four, b"x")
        self.probe.to_group(six, b"x")
        self.probe.to_host(b"x", ("fe80::2%eth0", 7))
        self.probe.to_host(b"x", ("2001:db8::1", 7))
        self.assertEqual([to for _, to in ports[0].sent], [(GROUP, 9393)])
        to_group6 = "ff12::ef4d:101", 9393
        self.assertEqual([to for _, to in ports[1].sent], [to_group6, ("fe80::2%eth0", 7)])
        self.assertEqual([to for _, to in ports[2].sent], [("2001:db8::1", 7)])

    def test_an_interface_that_is_refused_is_told_and_left_out(self) -> None:
        error = SocketError(errno.ENODEV, "cannot join")

        def receiver(_group: str, port: int, interfaces: Any, skipped: Any) -> Any:
            skipped(WIRED, error)
            raise SocketError(errno.EADDRINUSE, f"UDP port {port} is held")

        fakes = {
            "group_receiver": receiver,
            "wide_receiver": mock.Mock(side_effect=error),
            "file_listeners": mock.Mock(return_value=[]),
            "group_sender": mock.Mock(side_effect=error),
            "far_sender": mock.Mock(side_effect=error),
        }
        with mock.patch.multiple(probe_module, **fakes):
            self.probe.open([WIRED])
        self.assertEqual(self.probe.mouths, [])
        self.assertIn(Trial("eth0", words("cannot join"), join=True), self.probe.trials)
        self.assertIn(Trial("UDP 9392", words("UDP port 9392 is held")), self.probe.trials)
        mdns = next(trial for trial in self.probe.trials if trial.what == "UDP 5353")
        self.assertFalse(mdns.needed)
