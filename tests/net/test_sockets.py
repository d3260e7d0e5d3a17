"""The node's sockets, on the loopback of this host: no root, no route, no reactor."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.lan.nodes import free_port
from twistedp2p.net import sockets
from twistedp2p.net.interfaces import Interface, choose
from twistedp2p.net.sockets import (
    SocketError,
    far_sender,
    file_listeners,
    group_receiver,
    group_sender,
    join,
    leave,
    wide_receiver,
)

GROUP = "239.0.0.1"
PATIENCE = 30  # seconds until a datagram counts as lost
LO = choose(["127.0.0.1"])[0]
GONE = Interface("gone0", 2**30, "192.0.2.77", None, False)
IP_RECVTTL = 12  # linux/in.h


class SocketTestCase(SynchronousTestCase):
    def keep(self, sock: socket.socket) -> socket.socket:
        """The socket, to be closed after the test, with a timeout to wait with."""
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        return sock

    def listener(self, port: int = 0, fallback: bool = False) -> socket.socket:
        """That of IPv4."""
        listeners = [self.keep(sock) for sock in file_listeners(port, fallback=fallback)]
        return listeners[0]

    def receiver(self, port: int, interfaces: Sequence[Interface] = (LO,)) -> socket.socket:
        return self.keep(group_receiver(GROUP, port, interfaces))

    def sender(self, ttl: int = 1) -> socket.socket:
        return self.keep(group_sender(LO, ttl))

    def script(self, port: int) -> socket.socket:
        """The receiver of a ten-line script: SO_REUSEADDR, all addresses, no more."""
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        member = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        return sock


class GroupTests(SocketTestCase):
    def test_what_is_sent_arrives_from_the_address_and_port_of_the_sender(self) -> None:
        port = free_port()
        receiver, sender = self.receiver(port), self.sender()
        sender.sendto("coucou é".encode(), (GROUP, port))
        self.assertEqual(
            receiver.recvfrom(65536), ("coucou é".encode(), ("127.0.0.1", sender.getsockname()[1]))
        )

    def test_the_source_of_a_datagram_can_be_answered(self) -> None:
        port = free_port()
        receiver, sender = self.receiver(port), self.sender()
        sender.sendto(b"hello", (GROUP, port))
        self.sender().sendto(b"answer", receiver.recvfrom(65536)[1])
        self.assertEqual(sender.recv(65536), b"answer")

    def test_two_receivers_of_one_host_both_hear(self) -> None:
        port = free_port()
        receivers = [self.receiver(port), self.receiver(port)]
        self.sender().sendto(b"both", (GROUP, port))
        self.assertEqual([one.recv(65536) for one in receivers], [b"both", b"both"])

    def test_a_plain_script_listens_beside_us_whoever_came_first(self) -> None:
        port = free_port()
        listening = [self.script(port), self.receiver(port), self.script(port)]
        self.sender().sendto(b"all", (GROUP, port))
        self.assertEqual([one.recv(65536) for one in listening], [b"all"] * 3)

    def test_a_plain_script_is_heard(self) -> None:
        port = free_port()
        receiver = self.receiver(port)
        plain = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        here = socket.inet_aton("127.0.0.1")
        plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        plain.sendto(b"bonjour", (GROUP, port))
        self.assertEqual(receiver.recv(65536), b"bonjour")

    def test_unicast_to_the_port_does_not_reach_the_group_socket(self) -> None:
        port = free_port()
        receiver, sender = self.receiver(port), self.sender()
        for address in ("127.0.0.1", GROUP):
            sender.sendto(address.encode(), (address, port))
        self.assertEqual(receiver.recv(65536), GROUP.encode())

    def test_another_group_on_the_port_does_not_reach_the_group_socket(self) -> None:
        port = free_port()
        receiver, sender = self.receiver(port), self.sender()
        join(receiver, "239.0.0.2", LO)
        for address in ("239.0.0.2", GROUP):
            sender.sendto(address.encode(), (address, port))
        self.assertEqual(receiver.recv(65536), GROUP.encode())

    def test_a_sender_keeps_to_its_address_and_its_interface(self) -> None:
        alias = Interface(LO.name, LO.index, "127.0.0.5", None, True)
        sender = self.keep(group_sender(alias))
        self.assertEqual(sender.getsockname()[0], "127.0.0.5")
        through = sender.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4)
        self.assertEqual(socket.inet_ntoa(through), "127.0.0.5")

    def test_membership_of_another_process_is_not_ours(self) -> None:
        """IP_MULTICAST_ALL=0: with the default, a socket without membership hears it too."""
        port = free_port()
        receiver, sender, script = self.receiver(port), self.sender(), self.script(port)
        leave(receiver, GROUP, LO)
        sender.sendto(b"not ours", (GROUP, port))
        self.assertEqual(script.recv(65536), b"not ours")
        join(receiver, GROUP, LO)
        sender.sendto(b"ours", (GROUP, port))
        self.assertEqual(receiver.recv(65536), b"ours")

    def test_the_ttl_is_one_unless_asked(self) -> None:
        port = free_port()
        receiver = self.receiver(port)
        receiver.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        for sender, ttl in ((self.sender(), 1), (self.sender(7), 7)):
            sender.sendto(b"x", (GROUP, port))
            _, ((_, _, data),), _, _ = receiver.recvmsg(65536, 64)
            self.assertEqual(struct.unpack("=i", data), (ttl,))

    def test_a_burst_of_a_thousand_datagrams_is_held(self) -> None:
        port = free_port()
        receiver, sender = self.receiver(port), self.sender()
        granted = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        burst = min(1000, granted // 4096)
        for number in range(burst):
            sender.sendto(number.to_bytes(2, "big") * 600, (GROUP, port))
        heard = [int.from_bytes(receiver.recv(65536)[:2], "big") for _ in range(burst)]
        self.assertEqual(heard, list(range(burst)))

    def test_the_buffers_are_as_large_as_the_system_grants(self) -> None:
        for sock, asked in ((self.receiver(free_port()), 4 << 20), (self.sender(), 1 << 20)):
            plain = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked)
            granted = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), granted)

    def test_sockets_are_ready_for_a_reactor(self) -> None:
        for sock in (group_receiver(GROUP, free_port(), [LO]), group_sender(LO)):
            self.addCleanup(sock.close)
            self.assertFalse(sock.getblocking())
            self.assertRaises(BlockingIOError, sock.recv, 65536)


class WideTests(SocketTestCase):
    def test_it_hears_unicast_and_broadcast_but_no_group(self) -> None:
        port = free_port()
        wide, sender = self.keep(wide_receiver(port)), self.sender()
        self.receiver(port)  # so that the host is a member of the group
        for address in (GROUP, "127.0.0.1", "127.0.0.9", "127.255.255.255"):
            sender.sendto(address.encode(), (address, port))
        heard = [wide.recv(65536).decode() for _ in range(3)]
        self.assertEqual(heard, ["127.0.0.1", "127.0.0.9", "127.255.255.255"])

    def test_several_nodes_share_it_and_each_hears_a_broadcast(self) -> None:
        port = free_port()
        both = [self.keep(wide_receiver(port)) for _ in range(2)]
        self.sender().sendto(b"all", ("127.255.255.255", port))
        self.assertEqual([each.recv(65536) for each in both], [b"all", b"all"])

    def test_the_far_sender_is_answered_at_the_address_of_the_way_taken(self) -> None:
        port = free_port()
        wide, far = self.keep(wide_receiver(port)), self.keep(far_sender())
        far.sendto(b"hello", ("127.0.0.1", port))
        _, address = wide.recvfrom(65536)
        self.assertEqual(address[0], "127.0.0.1")
        self.sender().sendto(b"answer", address)
        self.assertEqual(far.recv(65536), b"answer")

    def test_a_port_that_is_not_shared_is_told(self) -> None:
        selfish = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        selfish.bind(("", 0))
        error = self.assertRaises(SocketError, wide_receiver, selfish.getsockname()[1])
        self.assertEqual(error.errno, errno.EADDRINUSE)


class MembershipTests(SocketTestCase):
    def test_joining_twice_and_leaving_twice_is_success(self) -> None:
        receiver = self.receiver(free_port())
        join(receiver, GROUP, LO)
        leave(receiver, GROUP, LO)
        leave(receiver, GROUP, LO)

    def test_leaving_an_interface_that_is_gone_is_success(self) -> None:
        leave(self.receiver(free_port()), GROUP, GONE)

    def test_joining_an_interface_that_is_gone_names_it(self) -> None:
        receiver = self.receiver(free_port())
        error = self.assertRaises(SocketError, join, receiver, GROUP, GONE)
        self.assertEqual(str(error), "cannot join 239.0.0.1 on gone0: No such device")
        self.assertEqual(error.errno, errno.ENODEV)

    def test_leaving_on_a_closed_socket_is_told(self) -> None:
        receiver = self.receiver(free_port())
        receiver.close()
        error = self.assertRaises(SocketError, leave, receiver, GROUP, LO)
        self.assertEqual(error.errno, errno.EBADF)

    def test_two_addresses_of_one_interface_are_one_membership(self) -> None:
        alias = Interface(LO.name, LO.index, "127.0.0.2", None, True)
        port, skipped = free_port(), mock.Mock()
        receiver = self.keep(group_receiver(GROUP, port, [LO, alias], skipped))
        self.sender().sendto(b"once", (GROUP, port))
        self.sender().sendto(b"then", (GROUP, port))
        self.assertEqual([receiver.recv(9), receiver.recv(9)], [b"once", b"then"])
        skipped.assert_not_called()

    def test_one_bad_interface_does_not_disable_the_others(self) -> None:
        port, skipped = free_port(), mock.Mock()
        receiver = self.keep(group_receiver(GROUP, port, [GONE, LO], skipped))
        self.sender().sendto(b"still", (GROUP, port))
        self.assertEqual(receiver.recv(65536), b"still")
        ((interface, error),) = [call.args for call in skipped.mock_calls]
        self.assertEqual((interface, error.errno), (GONE, errno.ENODEV))

    def test_a_sender_that_fails_names_its_interface(self) -> None:
        error = self.assertRaises(SocketError, group_sender, GONE)
        self.assertIn("cannot send through gone0 from 192.0.2.77: ", str(error))
        self.assertEqual(error.errno, errno.EADDRNOTAVAIL)

    def test_no_interface_at_all_is_borne_as_one_may_come(self) -> None:
        port = free_port()
        receiver = self.receiver(port, [])
        join(receiver, GROUP, LO)
        self.sender().sendto(b"now", (GROUP, port))
        self.assertEqual(receiver.recv(65536), b"now")


class BusyPortTests(SocketTestCase):
    def test_a_program_that_does_not_share_the_port_is_named(self) -> None:
        selfish = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        selfish.bind(("", 0))
        port = selfish.getsockname()[1]
        error = self.assertRaises(SocketError, group_receiver, GROUP, port, [LO])
        self.assertEqual(error.errno, errno.EADDRINUSE)
        self.assertRegex(
            str(error),
            rf"^UDP port {port} is held by .+ \(process {os.getpid()}\), which does not share it$",
        )

    def test_a_program_that_may_not_be_seen_is_another_program(self) -> None:
        taken = self.listener()
        port = taken.getsockname()[1]
        with mock.patch("psutil.net_connections", side_effect=PermissionError):
            error = self.assertRaises(SocketError, file_listeners, port, fallback=False)
        self.assertEqual(str(error), f"TCP port {port} is in use by another program")

    def test_nothing_stays_open_after_a_failure(self) -> None:
        taken = self.listener().getsockname()[1]
        before = os.listdir("/proc/self/fd")
        self.assertRaises(SocketError, file_listeners, taken, fallback=False)
        self.assertRaises(SocketError, group_sender, GONE)
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))


class FileListenerTests(SocketTestCase):
    def connect(self, listener: socket.socket, family: socket.AddressFamily, host: str) -> None:
        client = self.keep(socket.socket(family, socket.SOCK_STREAM))
        client.connect((host, listener.getsockname()[1]))
        self.keep(listener.accept()[0])

    def holder(self, host: str) -> int:
        """The port on which someone else listens, at this address only, with SO_REUSEADDR."""
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        sock.listen(1)
        return int(sock.getsockname()[1])

    def test_it_takes_the_port_that_it_is_given_and_ipv4_reaches_it(self) -> None:
        port = free_port()
        listener = self.listener(port)
        self.assertEqual(listener.getsockname()[1], port)
        self.connect(listener, socket.AF_INET, "127.0.0.1")

    def listeners(self, port: int = 0, fallback: bool = False) -> list[socket.socket]:
        """Both; skips where there is no IPv6."""
        found = [self.keep(sock) for sock in file_listeners(port, fallback=fallback)]
        if len(found) == 1:
            raise SkipTest("this host has no IPv6")
        return found

    def test_both_families_reach_it_at_one_port(self) -> None:
        ipv4, ipv6 = self.listeners()
        self.assertEqual(ipv4.getsockname()[1], ipv6.getsockname()[1])
        self.connect(ipv4, socket.AF_INET, "127.0.0.1")
        self.connect(ipv6, socket.AF_INET6, "::1")

    def test_a_port_that_only_ipv4_has_free_is_taken(self) -> None:
        ipv4, ipv6 = self.listeners()
        port = ipv6.getsockname()[1]
        ipv4.close()
        before = os.listdir("/proc/self/fd")
        error = self.assertRaises(SocketError, file_listeners, port, fallback=False)
        self.assertEqual(error.errno, errno.EADDRINUSE)
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        both = self.listeners(port, True)
        self.assertEqual(len({sock.getsockname()[1] for sock in both} - {port}), 1)

    def test_a_host_without_ipv6_serves_ipv4(self) -> None:
        def listener(family: socket.AddressFamily, port: int) -> socket.socket:
            if family == socket.AF_INET6:
                raise SocketError(errno.EAFNOSUPPORT, "not here")
            return real(family, port)

        real = sockets._listener
        self.patch(sockets, "_listener", listener)
        (only,) = (self.keep(sock) for sock in file_listeners(0, fallback=True))
        self.assertEqual(only.family, socket.AF_INET)

    def test_a_port_held_for_both_families_is_taken(self) -> None:
        other = self.keep(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        other.bind(("::", 0))
        other.listen(1)
        port = other.getsockname()[1]
        error = self.assertRaises(SocketError, file_listeners, port, fallback=False)
        self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_it_does_not_block(self) -> None:
        for listener in file_listeners(0, fallback=False):
            self.addCleanup(listener.close)
            self.assertRaises(BlockingIOError, listener.accept)

    def test_the_second_node_of_a_host_gets_another_port(self) -> None:
        port = free_port()
        first, second = self.listener(port, True), self.listener(port, True)
        self.assertEqual(first.getsockname()[1], port)
        self.assertNotIn(second.getsockname()[1], (0, port))
        for one in (first, second):
            self.connect(one, socket.AF_INET, "127.0.0.1")

    def test_without_fallback_a_taken_port_is_told(self) -> None:
        port = self.listener().getsockname()[1]
        error = self.assertRaises(SocketError, file_listeners, port, fallback=False)
        self.assertEqual(error.errno, errno.EADDRINUSE)
        self.assertIn(f"TCP port {port} is in use by ", str(error))

    def test_a_port_held_on_any_one_address_is_taken(self) -> None:
        for host in ("0.0.0.0", "127.0.0.1"):
            port = self.holder(host)
            error = self.assertRaises(SocketError, file_listeners, port, fallback=False)
            self.assertEqual(error.errno, errno.EADDRINUSE)
            self.assertNotEqual(self.listener(port, True).getsockname()[1], port)

    def test_a_port_that_another_takes_between_bind_and_listen_is_taken(self) -> None:
        busy = OSError(errno.EADDRINUSE, "Address already in use")
        port = free_port()
        with mock.patch.object(socket.socket, "listen", side_effect=[busy, None, None]):
            self.assertNotEqual(self.listener(port, True).getsockname()[1], port)

    def test_only_a_taken_port_falls_back(self) -> None:
        refusal = PermissionError(errno.EACCES, "Permission denied")
        with mock.patch.object(socket.socket, "bind", side_effect=refusal):
            error = self.assertRaises(SocketError, file_listeners, 80, fallback=True)
        self.assertEqual(str(error), "cannot serve files at port 80: Permission denied")
        self.assertEqual(error.errno, errno.EACCES)
