"""The group's limits, its way out through several interfaces, and how those come and go."""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
import socket
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import MessageLengthError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.closed import MARK, ClosedEnvelope, GroupKey
from twistedp2p.core.datagrams.codes import make_code
from twistedp2p.core.datagrams.datagram import Signed, Signer, group_name
from twistedp2p.core.presence.families import EAGER
from twistedp2p.net import group as group_module
from twistedp2p.net import links as links_module
from twistedp2p.net import udp as udp_module
from twistedp2p.net.group import (
    ADDRESS_BURST,
    ALL_BURST,
    ALL_RATE,
    PLAIN_ALL_BURST,
    PLAIN_BURST,
    RESERVE,
    Group,
)
from twistedp2p.net.interfaces import Interface
from twistedp2p.net.links import FAILED_BURST, FAILED_RATE, REJOIN_EVERY
from twistedp2p.net.sockets import SocketError, family_of
from twistedp2p.net.udp import TURN
from twistedp2p.net.watch import LOOK_EVERY, Watch

GROUP, PORT = "239.0.0.1", 9392
LO = Interface("lo", 1, "127.0.0.1", "255.0.0.0", True)
WIRED = Interface("eth0", 2, "192.168.1.7", "255.255.255.0", False)
WIRELESS = Interface("wlan0", 3, "10.1.2.3", "255.255.0.0", False)
WIRED6 = Interface("eth0", 2, "fe80::7", "ffff:ffff:ffff:ffff::", False, socket.AF_INET6)
GLOBAL6 = Interface("eth0", 2, "2001:db8::7", "ffff:ffff:ffff:ffff::", False, socket.AF_INET6)
ALONE6 = Interface("wlan1", 4, "fe80::9", "ffff:ffff:ffff:ffff::", False, socket.AF_INET6)
GROUP6 = "ff12::ef00:1"
PEER = "192.168.1.8", 40_000
PEER6 = "fe80::8%eth0", 40_000


@functools.cache
def group_key(code: str) -> GroupKey:
    return GroupKey.of_code(code, group_name(GROUP, PORT))


class FakeSocket:
    def __init__(
        self,
        interface: Interface | None = None,
        port: int = 0,
        family: int = socket.AF_INET,
    ) -> None:
        self.family = family if interface is None else interface.family
        self.interface = interface
        self.port = port
        self.joined: list[str] = []
        self.closed = False
        self.name = "" if interface is None else interface.name

    def getsockname(self) -> tuple[str, int]:
        assert self.interface is not None
        return self.interface.address, 50_000 + self.interface.index

    def fileno(self) -> FakeSocket:
        return self  # what is adopted is then known by its socket

    def close(self) -> None:
        self.closed = True


class FakePort:
    """An adopted socket; `refusal` is what the system says to whatever is sent."""

    def __init__(self, sock: FakeSocket, protocol: Any, most: int) -> None:
        self.sock, self.protocol, self.most = sock, protocol, most
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.refusal: Exception | None = None
        self.stopped = False
        self.maxThroughput = 0

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((data, address))

    def stopListening(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.ports: list[FakePort] = []

    def adoptDatagramPort(self, sock: Any, family: int, protocol: Any, most: int) -> FakePort:
        port = FakePort(sock, protocol, most)
        self.ports.append(port)
        return port


class Listener:
    """Notes what it is told; `pins` are the keys that it knows, `fails` what it raises."""

    def __init__(self) -> None:
        self.plain: list[tuple[str, tuple[str, int]]] = []
        self.signed: list[Signed] = []
        self.direct: list[bool] = []  # of each of `signed`
        self.sealed = 0
        self.pins: set[bytes] = set()
        self.changes = 0  # times that links changed
        self.fails: Exception | None = None

    def plain_heard(self, text: str, address: tuple[str, int]) -> None:
        self.plain.append((text, address))

    def signed_heard(self, message: Signed, address: tuple[str, int], direct: bool) -> None:
        if self.fails is not None:
            raise self.fails
        self.signed.append(message)
        self.direct.append(direct)

    def sealed_heard(self) -> None:
        self.sealed += 1

    def links_changed(self) -> None:
        self.changes += 1

    def is_pinned(self, key: bytes) -> bool:
        return key in self.pins


class GroupTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.interfaces = [WIRED, WIRELESS, LO]
        self.refused: dict[str, int] = {}  # name of an interface -> errno of its join or sender
        self.sockets: list[FakeSocket] = []
        self.memberships: list[tuple[str, str]] = []
        self.patch(links_module, "group_receiver", self.receiver)
        self.patch(links_module, "group_sender", self.sender)
        self.patch(links_module, "wide_receiver", lambda port: self.socket("wide", port))
        self.patch(links_module, "far_sender", lambda family: self.socket("far", 0, family))
        self.patch(links_module, "join", self.join)
        self.patch(links_module, "leave", self.leave)
        self.patch(udp_module, "Port6", self.port6)
        self.drift = 0.0  # seconds that the host has slept
        self.patch(group_module, "Watch", self.watch)
        self.reactor, self.listener = FakeReactor(), Listener()
        self.group = Group(self.reactor, GROUP, PORT, lambda: self.interfaces, ttl=3)
        self.signer = Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))

    def watch(self, reactor: Any, look: Any) -> Watch:
        def netlink() -> Any:
            raise OSError(errno.EPROTONOSUPPORT, "no netlink here")

        return Watch(reactor, look, drift=lambda: self.drift, netlink=netlink)

    def port6(self, reactor: FakeReactor, sock: Any, heard: Any, turn: int) -> FakePort:
        self.assertEqual(turn, TURN)
        port = FakePort(sock, None, 65_536)
        port.heard, port.maxThroughput = heard, turn
        reactor.ports.append(port)
        return port

    def socket(self, name: str, port: int = 0, family: int = socket.AF_INET) -> FakeSocket:
        sock = FakeSocket(port=port, family=family)
        sock.name = name
        self.sockets.append(sock)
        return sock

    def receiver(self, group: str, port: int, interfaces: Any) -> FakeSocket:
        family = family_of(group)
        sock = FakeSocket(port=port, family=family)
        sock.joined = [each.name for each in interfaces if each.family == family]
        self.sockets.append(sock)
        return sock

    def sender(self, interface: Interface, ttl: int) -> FakeSocket:
        self.assertEqual(ttl, 3)
        self.maybe_refuse(interface)
        sock = FakeSocket(interface)
        self.sockets.append(sock)
        return sock

    def join(self, sock: FakeSocket, group: str, interface: Interface) -> None:
        self.maybe_refuse(interface)
        self.memberships.append(("join", interface.name))
        if interface.name not in sock.joined:
            sock.joined.append(interface.name)

    def leave(self, sock: FakeSocket, group: str, interface: Interface) -> None:
        self.memberships.append(("leave", interface.name))
        if interface.name in sock.joined:
            sock.joined.remove(interface.name)

    def maybe_refuse(self, interface: Interface) -> None:
        if interface.name in self.refused:
            raise SocketError(self.refused[interface.name], "refused")

    def start(self) -> None:
        self.group.start(self.listener)

    def port_of(self, interface: Interface) -> FakePort:
        """The port that sends through an interface now."""
        return next(
            port
            for port in reversed(self.reactor.ports)
            if port.sock.interface == interface and not port.stopped
        )

    def named(self, name: str) -> FakePort:
        """The port of the `wide` or the `far` socket."""
        return next(port for port in self.reactor.ports if port.sock.name == name)

    def hear(
        self, data: bytes, address: tuple[str, int] = PEER, port: FakePort | None = None
    ) -> None:
        (port or self.reactor.ports[0]).protocol.datagramReceived(data, address)

    def signed(self, number: int, signer: Signer | None = None) -> bytes:
        return (signer or self.signer).sign("say", 1, number, 0, "bob", f"line {number}").raw

    def verifications(self) -> mock.Mock:
        counted = mock.Mock(side_effect=group_module.verify)
        self.patch(group_module, "verify", counted)
        return counted


class HearingTests(GroupTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()

    def test_a_plain_line_and_a_signed_one_are_told_with_their_source(self) -> None:
        self.hear("coucou é".encode())
        self.hear(self.signed(1))
        self.assertEqual(self.listener.plain, [("coucou é", PEER)])
        self.assertEqual([each.body for each in self.listener.signed], ["line 1"])

    def test_all_sockets_take_datagrams_whole(self) -> None:
        ports = [port for port in self.reactor.ports if port.protocol is not None]
        self.assertEqual([port.most for port in ports], [65_536] * 7)
        for port in ports:
            self.hear(b"hello " + str(id(port)).encode(), port=port)
        self.assertEqual(len(self.listener.plain), 7)

    def test_what_came_by_the_group_is_not_direct_and_all_else_is(self) -> None:
        senders = [self.port_of(interface) for interface in self.interfaces]
        for number, port in enumerate(
            [*self.reactor.ports[:2], self.named("wide"), self.named("far"), *senders]
        ):
            self.hear(self.signed(number + 1), port=port)
        self.assertEqual(self.listener.direct, [False, False, True, True, True, True, True])

    def test_a_flood_on_one_socket_leaves_the_others_their_turn(self) -> None:
        self.assertEqual({port.maxThroughput for port in self.reactor.ports}, {TURN})

    def test_what_we_sent_ourselves_is_not_heard(self) -> None:
        for interface in self.interfaces:
            own = interface.address, 50_000 + interface.index
            self.hear(b"hello", own)
            self.hear(self.signed(1), own)
        self.assertEqual(self.listener.plain + self.listener.signed, [])
        self.hear(b"hello", (WIRED.address, 1))  # a script on this host
        self.assertEqual(len(self.listener.plain), 1)

    def test_damaged_datagrams_are_counted_and_told_to_nobody(self) -> None:
        """Attack 36: every bit of a signed datagram flipped, one at a time."""
        raw = self.signed(1)
        for bit in range(8 * len(raw)):
            self.reactor.advance(0.1)
            flipped = bytearray(raw)
            flipped[bit // 8] ^= 1 << bit % 8
            self.hear(bytes(flipped))
        self.assertEqual(self.listener.signed, [])
        counted = sum(self.group.dropped.values()) + len(self.listener.plain)
        self.assertEqual(counted, 8 * len(raw))
        self.assertLess(len(self.group.dropped), 10)

    def test_a_line_signed_for_another_group_is_dropped(self) -> None:
        """Attack 36: replay in another group, and on another port."""
        for group, port in (("239.0.0.2", PORT), (GROUP, PORT + 2)):
            other = Signer(self.signer.private_key, group_name(group, port))
            self.hear(self.signed(1, other))
        self.assertEqual(self.listener.signed, [])
        self.assertEqual(self.group.dropped, {"a wrong signature": 2})

    def test_bytes_of_any_kind_and_length_are_borne(self) -> None:
        for data in (
            b"",
            b"\xff",
            b"\0",
            b"\n",
            os.urandom(65_507),
            b"~p2pshare/1 ",
            b"a" * 65_507,
        ):
            self.reactor.advance(1)
            self.hear(data)
        self.assertEqual(self.listener.signed, [])

    def test_a_failure_in_taking_one_is_logged_once_counted_and_ends_nothing(self) -> None:
        self.listener.fails = KeyError("a defect")
        for number in range(5):
            self.hear(self.signed(number + 1))
        self.assertEqual(self.group.dropped, {"failed here; the log says more": 5})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.listener.fails = None
        self.hear(self.signed(6))
        self.assertEqual(len(self.listener.signed), 1)


class LimitTests(GroupTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()

    def test_an_address_over_its_limit_costs_no_verification(self) -> None:
        """Attack 40: a flood of signatures from one address."""
        verified = self.verifications()
        raw = self.signed(1)
        for _ in range(5000):
            self.hear(raw)
        self.assertEqual(verified.call_count, ADDRESS_BURST)
        self.assertEqual(self.group.dropped["address over its limit"], 5000 - ADDRESS_BURST)
        self.hear(self.signed(2), ("192.168.1.9", 1))
        self.assertEqual(self.listener.signed[-1].number, 2)

    def test_another_port_is_not_another_address(self) -> None:
        verified = self.verifications()
        for port in range(1000):
            self.hear(self.signed(1), ("192.168.1.8", 1024 + port))
        self.assertEqual(verified.call_count, ADDRESS_BURST)

    def test_strangers_of_all_addresses_leave_half_to_pinned_keys(self) -> None:
        """Attack 40: a flood of signatures from addresses without end."""
        pinned = Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))
        self.listener.pins.add(pinned.key)
        verified = self.verifications()
        raw = self.signed(1)
        for number in range(5000):
            self.hear(raw, (str(ipaddress.IPv4Address(number)), 1))
        self.assertLessEqual(verified.call_count, ALL_BURST * (1 - RESERVE) + 1)
        before = len(self.listener.signed)
        for number in range(100):
            self.hear(self.signed(number + 1, pinned))
        self.assertEqual(len(self.listener.signed) - before, 100)

    def test_no_more_is_verified_than_the_whole_limit_even_of_pinned_keys(self) -> None:
        self.listener.pins.add(self.signer.key)
        verified = self.verifications()
        raw = self.signed(1)
        for number in range(5000):
            self.hear(raw, (str(ipaddress.IPv4Address(number)), 1))
        self.assertEqual(verified.call_count, ALL_BURST)
        self.reactor.advance(1)
        for number in range(5000):
            self.hear(raw, (str(ipaddress.IPv4Address(number)), 1))
        self.assertEqual(verified.call_count, ALL_BURST + ALL_RATE)

    def test_plain_lines_of_one_address_are_few(self) -> None:
        for number in range(100):
            self.hear(f"line {number}".encode())
        self.assertEqual(len(self.listener.plain), PLAIN_BURST)
        self.reactor.advance(2)
        for number in range(100):
            self.hear(f"more {number}".encode())
        self.assertEqual(len(self.listener.plain), PLAIN_BURST + 4)

    def test_plain_lines_of_all_addresses_are_bounded_too(self) -> None:
        """Attack 40: nothing proves the address of a plain line."""
        for number in range(5000):
            self.hear(b"line", (str(ipaddress.IPv4Address(number)), 1))
        self.assertEqual(len(self.listener.plain), PLAIN_ALL_BURST)
        self.assertLessEqual(len(self.group._last_plain), PLAIN_ALL_BURST)

    def test_the_same_line_by_two_interfaces_is_told_once(self) -> None:
        self.hear(b"hello")
        self.reactor.advance(0.2)
        self.hear(b"hello")
        self.hear(b"hello", ("192.168.1.9", 40_000))
        self.assertEqual(len(self.listener.plain), 2)
        self.reactor.advance(0.4)
        self.hear(b"hello")
        self.assertEqual(len(self.listener.plain), 3)


class SendingTests(GroupTestCase):
    def sent(self, interface: Interface) -> list[int]:
        """The ports to which something went through an interface."""
        sent = self.port_of(interface).sent
        self.assertEqual({address for _, (address, _) in sent} - {GROUP}, set())
        return [port for _, (_, port) in sent]

    def test_a_line_goes_to_the_port_of_people_but_not_twice_to_scripts_of_this_host(self) -> None:
        self.start()
        self.assertTrue(self.group.say(b"hello"))
        self.assertEqual(self.sent(WIRED), [PORT])
        self.assertEqual(self.sent(WIRELESS), [PORT])
        self.assertEqual(self.sent(LO), [PORT + 1])

    def test_with_no_network_a_line_goes_to_scripts_by_the_loopback(self) -> None:
        self.interfaces[:] = [LO]
        self.group = Group(self.reactor, GROUP, PORT, lambda: self.interfaces, ttl=3)
        self.start()
        self.group.say(b"hello")
        self.assertEqual(self.sent(LO), [PORT])

    def test_the_loopback_is_a_network_until_there_is_another(self) -> None:
        self.interfaces[:] = [LO]
        self.start()
        self.assertTrue(self.group.say(b"two nodes on one host"))
        self.interfaces[:] = [WIRED, LO]
        self.reactor.advance(LOOK_EVERY)
        self.assertTrue(self.group.say(b"by both"))
        self.port_of(WIRED).refusal = OSError(errno.ENETUNREACH, "unreachable")
        self.assertFalse(self.group.say(b"the cable is out"))
        self.interfaces[:] = [LO]
        self.reactor.advance(LOOK_EVERY)
        self.assertFalse(self.group.say(b"and stays out"))
        self.assertFalse(self.group.tell(b"and stays out"))
        self.assertEqual(self.sent(LO)[-2:], [PORT, PORT + 1])

    def test_messages_of_nodes_go_to_the_port_of_nodes(self) -> None:
        self.start()
        self.group.tell(b"hello")
        for interface in self.interfaces:
            self.assertEqual(self.sent(interface), [PORT + 1])

    def test_one_bad_interface_never_disables_the_others(self) -> None:
        self.start()
        refusals: list[Exception] = [
            OSError(number, os.strerror(number))
            for number in (
                errno.ENETUNREACH,
                errno.ENODEV,
                errno.EPERM,
                errno.ENOBUFS,
                errno.EAGAIN,
                errno.EHOSTUNREACH,
                errno.EINVAL,
            )
        ]
        for refusal in [*refusals, MessageLengthError("message too long")]:
            self.port_of(WIRED).refusal = refusal
            self.assertTrue(self.group.say(b"hello"), refusal)
            self.assertTrue(self.group.tell(b"hello"), refusal)
            self.assertEqual(self.port_of(WIRED).sent, [])
        self.assertEqual(len(self.sent(WIRELESS)), 16)
        self.port_of(WIRED).refusal = None
        self.group.say(b"again")
        self.assertEqual(self.sent(WIRED), [PORT])

    def test_what_no_interface_takes_is_told(self) -> None:
        self.start()
        for port in [self.named("far"), *(self.port_of(each) for each in self.interfaces)]:
            port.refusal = OSError(errno.ENETUNREACH, "unreachable")
        self.assertFalse(self.group.broadcast(b"hello"))
        self.assertFalse(self.group.say(b"hello"))
        self.assertFalse(self.group.tell(b"hello"))
        self.assertFalse(self.group.reply(b"hello", PEER))

    def test_a_reply_goes_through_the_network_of_the_other(self) -> None:
        self.start()
        for interface, host in (
            (WIRED, "192.168.1.99"),
            (WIRELESS, "10.1.200.1"),
            (LO, "127.9.9.9"),
        ):
            self.assertTrue(self.group.reply(b"hello", (host, 7)))
            self.assertEqual(self.port_of(interface).sent, [(b"hello", (host, 7))])

    def test_a_reply_that_is_refused_there_goes_by_the_routes_and_at_last_anywhere(self) -> None:
        self.start()
        self.port_of(WIRED).refusal = OSError(errno.EPERM, "not permitted")
        self.assertTrue(self.group.reply(b"hello", PEER))
        self.assertEqual(self.named("far").sent, [(b"hello", PEER)])
        self.named("far").refusal = OSError(errno.ENETUNREACH, "unreachable")
        self.assertTrue(self.group.reply(b"hello", PEER))
        self.assertEqual(len(self.port_of(WIRELESS).sent), 1)
        self.assertEqual(self.port_of(LO).sent, [])

    def test_a_reply_to_a_host_on_no_network_of_ours_goes_by_the_routes(self) -> None:
        self.start()
        self.assertTrue(self.group.reply(b"hello", ("203.0.113.9", 7)))
        self.assertEqual(self.named("far").sent, [(b"hello", ("203.0.113.9", 7))])
        for interface in self.interfaces:
            self.assertEqual(self.port_of(interface).sent, [])

    def test_a_broadcast_goes_to_each_network_that_has_an_address_for_it(self) -> None:
        tunnel = Interface("tun0", 4, "10.8.0.2", "255.255.255.255", False)
        cable = Interface("eth1", 5, "10.9.0.2", "255.255.255.254", False)
        self.interfaces[:0] = [tunnel, cable]
        self.group = Group(self.reactor, GROUP, PORT, lambda: self.interfaces, ttl=3)
        self.start()
        self.assertTrue(self.group.broadcast(b"hello"))
        for interface, everybody in (
            (WIRED, ["192.168.1.255"]),
            (WIRELESS, ["10.1.255.255"]),
            (LO, []),
            (tunnel, []),
            (cable, []),
        ):
            sent = [(b"hello", (address, PORT + 1)) for address in everybody]
            self.assertEqual(self.port_of(interface).sent, sent)
        self.port_of(WIRED).refusal = OSError(errno.EPERM, "not permitted")
        self.assertTrue(self.group.broadcast(b"hello"))

    def test_on_link_is_who_is_on_a_network_of_ours_wherever_routers_lead(self) -> None:
        """Attack 40: sources are forged, and what we answer must not go to the world."""
        self.start()
        hosts = ["192.168.1.99", "10.1.200.1", "127.0.0.9", "192.168.2.1", "8.8.8.8"]
        self.assertEqual([self.group.on_link(host) for host in hosts], 3 * [True] + 2 * [False])
        self.interfaces.remove(WIRED)
        self.reactor.advance(LOOK_EVERY)
        self.assertFalse(self.group.on_link("192.168.1.99"))

    def test_addresses_of_a_network_come_before_the_loopback(self) -> None:
        self.interfaces.reverse()
        self.group = Group(self.reactor, GROUP, PORT, lambda: self.interfaces, ttl=3)
        self.start()
        self.assertEqual(self.group.addresses(), [WIRELESS.address, WIRED.address, LO.address])


class WatchTests(GroupTestCase):
    def names(self) -> set[str]:
        return set(self.group.addresses())

    def look(self) -> None:
        self.reactor.advance(LOOK_EVERY)

    def test_an_interface_that_comes_is_joined_and_sent_through(self) -> None:
        self.interfaces[:] = [LO]
        self.start()
        self.look()
        self.interfaces[:] = [LO, WIRED]
        self.look()
        self.group.tell(b"hello")
        self.assertEqual(len(self.port_of(WIRED).sent), 1)
        for sock in self.sockets[:2]:
            self.assertIn("eth0", sock.joined)
        self.hear(b"hello", (WIRED.address, 50_000 + WIRED.index))
        self.assertEqual(self.listener.plain, [])

    def test_an_interface_that_goes_is_let_go_of(self) -> None:
        self.start()
        port = self.port_of(WIRED)
        self.interfaces.remove(WIRED)
        self.look()
        self.assertTrue(port.stopped)
        self.assertEqual(self.names(), {WIRELESS.address, LO.address})
        self.hear(b"hello", (WIRED.address, 50_000 + WIRED.index))
        self.assertEqual(len(self.listener.plain), 1)  # whoever has that address now

    def test_an_interface_made_anew_is_taken_up_again(self) -> None:
        self.start()
        anew = Interface("eth0", 9, WIRED.address, WIRED.netmask, False)
        for sock in self.sockets[:2]:
            sock.joined.remove("eth0")
        self.interfaces[0] = anew
        self.look()
        self.assertEqual([sock.joined.count("eth0") for sock in self.sockets[:2]], [1, 1])
        self.group.tell(b"hello")
        self.assertEqual(len(self.port_of(anew).sent), 1)

    def test_none_is_given_up_for_good(self) -> None:
        self.refused = {"eth0": errno.ENOBUFS}
        self.start()
        self.assertEqual(self.names(), {WIRELESS.address, LO.address})
        for sock in self.sockets[:2]:
            sock.joined.remove("eth0")
        self.look()
        self.refused = {}
        self.look()
        self.assertEqual(len(self.names()), 3)
        self.assertTrue(all("eth0" in sock.joined for sock in self.sockets[:2]))

    def test_a_membership_that_was_lost_is_taken_again(self) -> None:
        self.start()
        for sock in self.sockets[:2]:
            sock.joined.remove("eth0")
        self.look()
        self.assertTrue(all("eth0" in sock.joined for sock in self.sockets[:2]))

    def test_memberships_are_taken_anew_now_and_then_all_left_before_any_is_joined(self) -> None:
        self.start()
        for _ in range(int(REJOIN_EVERY / LOOK_EVERY)):
            self.look()
            self.assertNotIn(("leave", "eth0"), self.memberships)
        self.memberships.clear()
        self.look()
        acts = [act for act, name in self.memberships if name == "eth0"]
        self.assertEqual(acts, ["leave", "leave", "join", "join"])
        self.memberships.clear()
        self.look()
        self.assertNotIn(("leave", "eth0"), self.memberships)

    def test_after_a_sleep_memberships_are_taken_anew_and_it_is_told(self) -> None:
        self.start()
        self.drift += 3600.0
        self.look()
        self.assertIn(("leave", "eth0"), self.memberships)
        self.assertEqual(self.listener.changes, 1)

    def test_memberships_of_what_has_gone_are_left(self) -> None:
        self.start()
        self.interfaces.remove(WIRED)
        self.look()
        self.assertEqual(self.memberships.count(("leave", "eth0")), 2)

    def test_a_change_is_told_and_no_change_is_not(self) -> None:
        self.start()
        self.look()
        self.assertEqual(self.listener.changes, 0)
        self.interfaces.remove(WIRED)
        self.look()
        self.assertEqual(self.listener.changes, 1)
        self.interfaces.insert(0, WIRED)
        self.look()
        self.assertEqual(self.listener.changes, 2)

    def test_a_link_that_comes_and_goes_all_the_time_is_told_of_now_and_then(self) -> None:
        self.start()
        for _ in range(50):
            self.interfaces[:] = [LO] if WIRED in self.interfaces else [WIRED, LO]
            self.look()
        self.assertLess(self.listener.changes, 25)
        self.assertGreater(self.listener.changes, 5)

    def test_what_could_not_be_sent_is_a_reason_to_look(self) -> None:
        self.start()
        self.interfaces.append(Interface("tun0", 7, "10.8.0.2", None, False))
        self.port_of(WIRED).refusal = OSError(errno.ENODEV, "no such device")
        self.group.tell(b"hello")
        self.reactor.advance(1)
        self.assertIn("10.8.0.2", self.names())

    def test_what_fails_all_the_time_is_looked_at_now_and_then(self) -> None:
        self.start()
        self.port_of(WIRED).refusal = OSError(errno.EPERM, "not permitted")
        looks = mock.Mock(wraps=self.group._links.look)
        self.patch(self.group._links, "look", looks)
        for _ in range(600):
            self.group.tell(b"hello")
            self.reactor.advance(0.1)
        self.assertLess(looks.call_count, 60 / LOOK_EVERY + 60 * FAILED_RATE + FAILED_BURST)

    def test_two_addresses_of_a_device_are_one_membership_that_lasts_as_long_as_one(self) -> None:
        alias = Interface("eth0", WIRED.index, "192.168.1.77", WIRED.netmask, False)
        self.interfaces.append(alias)
        self.start()
        self.look()
        self.interfaces.remove(WIRED)
        self.look()
        self.assertNotIn(("leave", "eth0"), self.memberships)

    def test_no_interface_at_all_for_a_while(self) -> None:
        self.start()
        there, self.interfaces[:] = list(self.interfaces), []
        self.look()
        self.assertFalse(self.group.say(b"hello"))
        self.assertFalse(self.group.broadcast(b"hello"))
        self.assertEqual(self.group.addresses(), [])
        self.interfaces[:] = there
        self.look()
        self.assertTrue(self.group.say(b"hello"))

    def test_closing_lets_go_of_every_socket_and_timer(self) -> None:
        self.start()
        self.successResultOf(self.group.close())
        self.assertTrue(all(port.stopped for port in self.reactor.ports))
        self.assertTrue(all(sock.closed for sock in self.sockets))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_where_one_port_is_taken_the_other_is_let_go_of(self) -> None:
        def receiver(group: str, port: int, interfaces: Any) -> FakeSocket:
            if port == PORT + 1:
                raise SocketError(errno.EADDRINUSE, "in use")
            return self.receiver(group, port, interfaces)

        self.patch(links_module, "group_receiver", receiver)
        self.sockets.clear()
        self.assertRaises(SocketError, Group, self.reactor, GROUP, PORT, lambda: [LO])
        self.assertEqual([sock.closed for sock in self.sockets], [True])


class TwoFamiliesTests(GroupTestCase):
    """eth0 has both families, wlan1 IPv6 alone."""

    def setUp(self) -> None:
        super().setUp()
        self.interfaces[:] = [WIRED, WIRED6, GLOBAL6, ALONE6, LO]
        self.make()

    def make(self, group: str = GROUP) -> None:
        self.group = Group(self.reactor, group, PORT, lambda: self.interfaces, ttl=3)
        self.start()

    def hear6(self, data: bytes, to: str = GROUP6, port: int = PORT + 1) -> None:
        receiver = next(
            each
            for each in reversed(self.reactor.ports)
            if each.sock.family == socket.AF_INET6 and each.sock.port == port
        )
        receiver.heard(data, PEER6, to)

    def sent(self, interface: Interface) -> int:
        return len(self.port_of(interface).sent)

    def test_each_device_sends_ipv6_from_its_link_local_address_alone(self) -> None:
        found = [port.sock.interface for port in self.reactor.ports if port.sock.interface]
        self.assertEqual(found, [WIRED, WIRED6, ALONE6, LO])

    def test_both_are_used_until_links_have_been_the_same_for_a_while(self) -> None:
        self.group.tell(b"hello")
        self.assertEqual(self.port_of(WIRED6).sent, [(b"hello", (GROUP6, PORT + 1))])
        self.reactor.advance(EAGER)
        self.group.tell(b"hello")
        self.assertEqual([self.sent(WIRED), self.sent(WIRED6), self.sent(ALONE6)], [2, 1, 2])

    def test_both_are_used_again_when_links_change(self) -> None:
        self.reactor.advance(EAGER)
        self.interfaces.remove(ALONE6)
        self.reactor.advance(LOOK_EVERY)
        self.group.tell(b"hello")
        self.assertEqual(self.sent(WIRED6), 1)

    def test_where_ipv4_is_refused_ipv6_is_used(self) -> None:
        self.reactor.advance(EAGER)
        self.port_of(WIRED).refusal = OSError(errno.EPERM, "not permitted")
        self.assertTrue(self.group.say(b"hello"))
        self.assertEqual(self.port_of(WIRED6).sent, [(b"hello", (GROUP6, PORT))])

    def test_both_are_used_while_somebody_is_heard_by_ipv6_alone(self) -> None:
        self.reactor.advance(EAGER)
        self.hear6(self.signed(1))
        self.assertEqual([each.number for each in self.listener.signed], [1])
        self.group.tell(b"hello")
        self.assertEqual(self.sent(WIRED6), 1)
        self.hear(self.signed(2))
        self.group.tell(b"hello")
        self.assertEqual(self.sent(WIRED6), 1)

    def test_what_came_to_us_alone_tells_nothing_of_what_the_other_hears(self) -> None:
        self.reactor.advance(EAGER)
        self.hear6(self.signed(1), to="fe80::7")
        self.group.tell(b"hello")
        self.assertEqual((self.listener.direct, self.sent(WIRED6)), ([True], 0))

    def test_of_ipv6_the_group_is_heard_on_both_ports_and_what_is_direct_on_that_of_nodes(
        self,
    ) -> None:
        for number, (to, port) in enumerate(
            [
                (GROUP6, PORT), (GROUP6, PORT + 1), ("2001:db8::7", PORT + 1),
                ("2001:db8::7", PORT), ("ff12::1", PORT), ("ff12::1", PORT + 1),
            ]
        ):  # fmt: skip
            self.hear6(self.signed(number + 1), to, port)
        self.assertEqual([each.number for each in self.listener.signed], [1, 2, 3])
        self.assertEqual(self.listener.direct, [False, False, True])

    def test_our_own_are_not_heard(self) -> None:
        own = self.port_of(WIRED6)
        receiver = next(port for port in self.reactor.ports if port.sock.family != socket.AF_INET)
        receiver.heard(self.signed(1), ("fe80::7%eth0", 50_002), GROUP6)
        self.assertEqual(self.listener.signed, [])
        own.heard(self.signed(1), PEER6, "")
        self.assertEqual(self.listener.direct, [True])

    def test_a_reply_goes_through_the_interface_that_the_address_names(self) -> None:
        for interface, host in ((WIRED6, "fe80::8%eth0"), (ALONE6, "fe80::8%wlan1")):
            self.assertTrue(self.group.reply(b"hello", (host, 7)))
            self.assertEqual(self.port_of(interface).sent, [(b"hello", (host, 7))])
        self.assertTrue(self.group.reply(b"hello", ("2001:db8::9", 7)))
        far = [port for port in self.reactor.ports if port.sock.name == "far" and port.sent]
        self.assertEqual([port.sock.family for port in far], [socket.AF_INET6])

    def test_on_link_is_who_is_on_a_link_of_ours(self) -> None:
        hosts = ["fe80::8%eth0", "2001:db8::1", "fe80::8%eth9", "fe80::8", "2001:db8:1::1"]
        self.assertEqual([self.group.on_link(host) for host in hosts], 2 * [True] + 3 * [False])

    def test_addresses_that_mean_something_elsewhere_come_first(self) -> None:
        self.assertEqual(
            self.group.addresses(),
            [WIRED.address, GLOBAL6.address, "fe80::7%eth0", "fe80::9%wlan1", LO.address],
        )

    def test_networks_are_those_that_mean_something_elsewhere(self) -> None:
        self.assertEqual(self.group.networks(), ["192.168.1.0/24", "2001:db8::/64"])
        for host, network in (
            ("192.168.1.9", "192.168.1.0/24"),
            ("2001:db8::9", "2001:db8::/64"),
            ("fe80::8%eth0", "192.168.1.0/24"),
            ("203.0.113.9", "192.168.1.0/24"),
        ):
            self.assertEqual(self.group.network_of(host), network)

    def test_a_link_local_address_of_a_ticket_is_looked_for_on_every_interface(self) -> None:
        for host in ("fe80::8", "fe80::8%wlan1", "fe80::8%en0"):
            ways = self.group.ways_to(host)
            self.assertEqual(set(ways), {"fe80::8%eth0", "fe80::8%wlan1"})
        self.assertEqual(self.group.ways_to("fe80::8%wlan1")[0], "fe80::8%wlan1")
        for host in ("192.168.1.8", "2001:db8::8", "host.example"):
            self.assertEqual(self.group.ways_to(host), [host])

    def test_an_ipv6_group_is_for_ipv6_alone(self) -> None:
        self.reactor.ports.clear()
        self.make("ff15::1")
        self.assertEqual({port.sock.family for port in self.reactor.ports}, {socket.AF_INET6})
        self.assertTrue(self.group.tell(b"hello"))
        self.assertEqual(self.port_of(WIRED6).sent, [(b"hello", ("ff15::1", PORT + 1))])
        self.assertFalse(self.group.broadcast(b"hello"))
        self.assertFalse(self.group.reply(b"hello", PEER))

    def test_where_the_host_has_no_ipv6_there_is_ipv4(self) -> None:
        def receiver(group: str, port: int, interfaces: Any) -> FakeSocket:
            if ":" in group:
                raise SocketError(errno.EAFNOSUPPORT, "not here")
            return self.receiver(group, port, interfaces)

        self.patch(links_module, "group_receiver", receiver)
        self.reactor.ports.clear()
        self.make()
        self.assertEqual({port.sock.family for port in self.reactor.ports}, {socket.AF_INET})
        self.assertTrue(self.group.tell(b"hello"))
        self.assertFalse(self.group.reply(b"hello", PEER6))

    def test_where_ipv4_cannot_be_had_nothing_is_done_with_ipv6_alone(self) -> None:
        def receiver(group: str, port: int, interfaces: Any) -> FakeSocket:
            raise SocketError(errno.EADDRINUSE, "taken")

        self.patch(links_module, "group_receiver", receiver)
        self.assertRaises(SocketError, Group, self.reactor, GROUP, PORT, list)


class ClosedGroupTests(GroupTestCase):
    """A member's group; what strangers, scripts and members send it."""

    code = make_code(lambda _: 7)

    def setUp(self) -> None:
        super().setUp()
        self.name = group_name(GROUP, PORT)
        self.envelope = ClosedEnvelope(self.name, group_key(self.code))
        self.group = Group(
            self.reactor, GROUP, PORT, lambda: self.interfaces, ttl=3, envelope=self.envelope
        )
        self.signer = Signer(Ed25519PrivateKey.generate(), self.envelope.group)
        self.start()

    def told(self) -> tuple[int, int]:
        return len(self.listener.plain), len(self.listener.signed)

    def test_what_a_member_seals_is_told(self) -> None:
        self.hear(self.envelope.seal(self.signed(1)))
        self.assertEqual([each.body for each in self.listener.signed], ["line 1"])
        self.assertEqual(self.group.dropped, {})

    def test_all_that_is_sent_is_sealed_and_none_of_it_goes_to_the_port_of_scripts(self) -> None:
        datagram = self.signed(1)
        for send in (self.group.say, self.group.tell, self.group.broadcast):
            self.assertTrue(send(datagram))
            sent = [each for port in self.reactor.ports for each in port.sent]
            self.assertEqual({address[1] for _, address in sent}, {PORT + 1})
            self.assertEqual({self.envelope.open(data) for data, _ in sent}, {datagram})
        self.assertTrue(self.group.reply(datagram, PEER))
        data, address = self.port_of(WIRED).sent[-1]
        self.assertEqual((self.envelope.open(data), address), (datagram, PEER))

    def test_without_the_seal_nothing_is_told(self) -> None:
        """Attack 36: a stranger cannot have a member fall back to what is open to all."""
        outside = Signer(self.signer.private_key, self.name)
        for data in (b"coucou !", self.signed(1), self.signed(1, outside), b"\xff\xfe"):
            self.hear(data)
        self.assertEqual(self.told(), (0, 0))
        self.assertEqual(self.group.dropped, {"not sealed, in a closed group": 4})

    def test_a_member_who_seals_what_is_not_of_the_group_is_not_told(self) -> None:
        """Attack 36: plain lines, and what somebody signed outside, do not come in by a member."""
        outside = Signer(self.signer.private_key, self.name)
        self.hear(self.envelope.seal(b"coucou !"))
        self.hear(self.envelope.seal(self.signed(1, outside)))
        self.assertEqual(self.told(), (0, 0))
        self.assertEqual(
            self.group.dropped, {"a plain line in a closed group": 1, "a wrong signature": 1}
        )

    def test_another_closed_group_is_noticed_and_not_told(self) -> None:
        other = ClosedEnvelope(self.name, group_key(make_code(lambda _: 8)))
        for _ in range(3):
            self.hear(other.seal(self.signed(1)))
        self.assertEqual(self.told(), (0, 0))
        self.assertEqual(self.group.dropped, {"sealed by another group": 3})
        self.assertEqual(self.listener.sealed, 3)

    def test_a_flood_of_forgeries_is_not_even_opened(self) -> None:
        """Attack 40: the bucket of the address comes before the seal."""
        with mock.patch.object(ClosedEnvelope, "open", return_value=None) as opened:
            for _ in range(10_000):
                self.hear(MARK + bytes(1000))
        self.assertEqual(opened.call_count, ADDRESS_BURST)


class OpenGroupBesideAClosedOneTests(GroupTestCase):
    def test_it_is_told_of_the_closed_one_and_of_nothing_that_is_said_there(self) -> None:
        name = group_name(GROUP, PORT)
        member = ClosedEnvelope(name, group_key(make_code(lambda _: 7)))
        self.start()
        self.hear(member.seal(self.signed(1)))
        self.assertEqual((self.listener.plain, self.listener.signed), ([], []))
        self.assertEqual(self.listener.sealed, 1)
        self.assertEqual(self.group.dropped, {"sealed by another group": 1})

    def test_what_members_sign_is_not_valid_outside(self) -> None:
        """Attack 36: a member who carries a line out cannot have it believed."""
        member = ClosedEnvelope(group_name(GROUP, PORT), group_key(make_code(lambda _: 7)))
        self.start()
        self.hear(self.signed(1, Signer(self.signer.private_key, member.group)))
        self.assertEqual(self.listener.signed, [])
        self.assertEqual(self.group.dropped, {"a wrong signature": 1})
