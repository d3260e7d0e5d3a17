"""The node's sockets on a bridge between namespaces, and that the bridge does what it says."""

from __future__ import annotations

import os
import sys
import unittest
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.lan import netns
from tests.lan.netns import CommandFailed, Lan, LanMixin, command, require_namespaces

RECEIVE = """
import sys
from twistedp2p.net.interfaces import choose
from twistedp2p.net.sockets import group_receiver
sock = group_receiver("239.0.0.1", 9392, choose(sys.argv[1:]))
sock.settimeout(10)
print("ready", flush=True)
while True:
    data, (host, _) = sock.recvfrom(65536)
    print(host, data.decode(), flush=True)
    if data == b"end":
        break
"""
SEND = """
import sys
from twistedp2p.net.interfaces import choose
from twistedp2p.net.sockets import group_sender
sock = group_sender(choose(["eth0"])[0])
for text in sys.argv[1:]:
    sock.sendto(text.encode(), ("239.0.0.1", 9392))
"""
PLAIN_SEND = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    sock.sendto(b"end", ("239.0.0.1", 9392))
except OSError as error:
    sys.exit(error.strerror)
"""
KNOCK = """
import os, socket, sys
with socket.socket() as sock:
    sock.settimeout(10)
    print(os.strerror(sock.connect_ex((sys.argv[1], 9))))
"""
# Sees in one process that a datagram of lo does not come to the socket that joined on eth0, though
# another socket joined the group on lo.
ONE_INTERFACE_ONLY = """
from twistedp2p.net.interfaces import choose
from twistedp2p.net.sockets import group_receiver, group_sender
lo, eth0 = choose(["lo"])[0], choose(["eth0"])[0]
there = group_receiver("239.0.0.1", 9392, [eth0])
other = group_receiver("239.0.0.1", 9392, [lo])
for sock in (there, other):
    sock.settimeout(10)
for interface in (lo, eth0):
    group_sender(interface).sendto(interface.name.encode(), ("239.0.0.1", 9392))
print(other.recv(100).decode(), there.recv(100).decode())
"""


class SocketsOnALanTests(LanMixin, SynchronousTestCase):
    def receiver(self, lan: Lan, ns: int, *interfaces: str):  # type: ignore[no-untyped-def]
        """A running receiver, once it listens; kills itself after 10 s of silence."""
        child = lan.popen(ns, [sys.executable, "-c", RECEIVE, *interfaces])
        self.assertEqual(child.stdout.readline(), "ready\n", msg="the receiver did not start")
        return child

    def send(self, lan: Lan, ns: int, *texts: str, script: str = SEND) -> None:
        done = lan.run(ns, [sys.executable, "-c", script, *texts])
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def heard(self, child) -> list[str]:  # type: ignore[no-untyped-def]
        out, err = child.communicate(timeout=netns.DEADLINE)
        self.assertEqual(err, "")
        return list(out.splitlines())

    def test_a_datagram_crosses_the_bridge_without_any_default_route(self) -> None:
        lan = self.lan(3)
        self.assertNotIn("default", lan.run(0, ["ip", "route"]).stdout)
        receivers = [self.receiver(lan, 1), self.receiver(lan, 2, "eth0")]
        self.send(lan, 0, "coucou", "end")
        for child in receivers:
            self.assertEqual(self.heard(child), ["10.77.0.1 coucou", "10.77.0.1 end"])

    def test_one_without_a_cable_hears_again_when_it_is_back(self) -> None:
        lan = self.lan(2)
        child = self.receiver(lan, 1)
        lan.down(1)
        self.send(lan, 0, "lost")
        lan.up(1)
        self.send(lan, 0, "end")
        self.assertEqual(self.heard(child), ["10.77.0.1 end"])

    def test_a_plain_script_needs_a_route_and_is_then_heard(self) -> None:
        bare = self.lan(1)
        done = bare.run(0, [sys.executable, "-c", PLAIN_SEND])
        self.assertEqual(done.stderr, "Network is unreachable\n")
        for options in ({"multicast_route": True}, {"default_route": True}):
            lan = self.lan(2, **options)
            child = self.receiver(lan, 1)
            self.send(lan, 0, script=PLAIN_SEND)
            self.assertEqual(self.heard(child), ["10.77.0.1 end"])

    def test_a_socket_hears_the_interfaces_that_it_joined_on_only(self) -> None:
        done = self.lan(1).run(0, [sys.executable, "-c", ONE_INTERFACE_ONLY])
        self.assertEqual((done.stdout, done.stderr), ("lo eth0\n", ""))

    def test_all_and_half_and_none_of_the_datagrams_can_be_lost(self) -> None:
        lan = self.lan(2)
        texts = [str(number) for number in range(400)]
        child = self.receiver(lan, 1)
        lan.loss(1, 1)
        self.send(lan, 0, *texts)
        lan.loss(1, 0.5)
        self.send(lan, 0, *texts)
        lan.loss(1, 0)
        self.send(lan, 0, "end")
        heard = self.heard(child)
        self.assertEqual(heard[-1], "10.77.0.1 end")
        self.assertTrue(120 < len(heard) < 280, len(heard))  # eight standard deviations


class LanTests(LanMixin, SynchronousTestCase):
    def test_every_namespace_has_its_address_and_its_loopback(self) -> None:
        lan = self.lan(2)
        for ns in range(2):
            shown = lan.run(ns, ["ip", "-4", "-o", "address"]).stdout
            self.assertIn(" 127.0.0.1/8 ", shown)
            self.assertIn(f" 10.77.0.{ns + 1}/24 brd 10.77.0.255 ", shown)

    def test_nothing_is_left_behind_and_what_runs_is_killed(self) -> None:
        lan = self.lan(2)
        child = lan.popen(0, [sys.executable, "-c", "print('on', flush=True); input()"])
        self.assertEqual(child.stdout.readline(), "on\n")
        self.assertIn(lan.names[0], command("ip", "netns", "list"))
        lan.close()
        lan.close()
        self.assertEqual(child.returncode, -9)
        for name in (lan.bridge, *lan.names):
            self.assertNotIn(name, command("ip", "netns", "list"))

    def test_a_network_that_fails_half_way_leaves_nothing_behind(self) -> None:
        require_namespaces(self)
        with mock.patch.object(Lan, "_plug_in", side_effect=CommandFailed("no veth")):
            self.assertRaises(CommandFailed, Lan, 2)
        self.assertNotIn(f"{netns.PREFIX}-{os.getpid()}-", command("ip", "netns", "list"))

    def addresses(self, lan: Lan, ns: int) -> str:
        return lan.run(ns, ["ip", "-o", "address"]).stdout

    def test_each_has_a_link_local_address_that_is_of_use_at_once(self) -> None:
        lan = self.lan(1)
        self.assertIn(f" {lan.link_local(0)}/64 ", self.addresses(lan, 0))
        self.assertNotIn("tentative", self.addresses(lan, 0))

    def test_one_family_alone(self) -> None:
        self.assertNotIn(" inet ", self.addresses(self.lan(1, ipv4=False), 0))
        self.assertNotIn(" inet6 ", self.addresses(self.lan(1, ipv6=False), 0))

    def test_interfaces_and_addresses_come_and_go(self) -> None:
        lan = self.lan(2)
        lan.bridge_more("br1")
        for ns in range(2):
            lan.plug(ns, "eth1", f"10.78.0.{ns + 1}/24", "fd00::1/64", bridge="br1")
        done = lan.run(0, [sys.executable, "-c", KNOCK, "10.78.0.2"])
        self.assertEqual(done.stdout, "Connection refused\n")  # by the other: it is there
        lan.tunnel(0, "tun0", "10.99.0.2/24", "10.78.0.0/25")
        self.assertIn("dev tun0", lan.run(0, ["ip", "route", "get", "10.78.0.2"]).stdout)
        lan.unplug(0, "tun0")
        lan.remove_address(0, "fd00::1/64", "eth1")
        self.assertNotIn("fd00::1", self.addresses(lan, 0))
        lan.unplug(0, "eth1")
        self.assertNotIn("10.78.0.1", self.addresses(lan, 0))

    def test_a_rule_holds_for_both_families(self) -> None:
        lan = self.lan(1)
        lan.firewall(0, "-A", "OUTPUT", "-j", "DROP")
        for program in ("iptables", "ip6tables"):
            self.assertIn("-A OUTPUT -j DROP", lan.run(0, [program, "-S"]).stdout)

    def test_two_networks_do_not_meet(self) -> None:
        one, other = self.lan(1), self.lan(1)
        self.assertEqual(set(one.names) & set(other.names), set())
        self.assertNotEqual(one.bridge, other.bridge)

    def test_snooping_is_off_unless_asked_for(self) -> None:
        for options, expected in (({}, 0), ({"snooping": True}, 1)):
            lan = self.lan(1, **options)
            shown = command("ip", "-n", lan.bridge, "-d", "link", "show", "br0")
            self.assertIn(f" mcast_snooping {expected} ", shown)

    def test_the_rate_is_limited_where_asked(self) -> None:
        lan = self.lan(1)
        lan.rate(0, 10)
        lan.rate(0, 20)
        shown = command("tc", "-n", lan.names[0], "qdisc", "show", "dev", "eth0")
        self.assertIn("qdisc tbf", shown)
        self.assertIn("rate 20Mbit", shown)

    def test_a_refused_command_says_why(self) -> None:
        lan = self.lan(1)
        argv = ["ip", "-n", lan.names[0], "link", "show", "eth7"]
        error = self.assertRaises(CommandFailed, command, *argv)
        self.assertEqual(str(error), f'{" ".join(argv)}: Device "eth7" does not exist.')
        error = self.assertRaises(CommandFailed, command, "no-such-command")
        self.assertIn("no-such-command", str(error))


class RequireNamespacesTests(SynchronousTestCase):
    def reason(self, environment: dict[str, str]) -> BaseException:
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch("shutil.which", return_value=None),
        ):
            if "CI" not in environment:
                os.environ.pop("CI", None)
            try:
                require_namespaces(self)
            except (unittest.SkipTest, AssertionError) as error:
                return error
        raise RuntimeError("it did neither")

    def test_where_there_can_be_none_a_test_is_skipped_with_the_reason(self) -> None:
        skip = self.reason({})
        self.assertIsInstance(skip, unittest.SkipTest)
        self.assertEqual(str(skip), "the ip command (iproute2) is not installed")

    def test_under_ci_it_fails_instead(self) -> None:
        failure = self.reason({"CI": "true"})
        self.assertIsInstance(failure, self.failureException)
        self.assertIn("iproute2", str(failure))

    def test_only_root_may(self) -> None:
        installed = mock.patch("shutil.which", return_value="/sbin/ip")
        with installed, mock.patch("os.geteuid", return_value=7):
            self.assertEqual(netns.why_no_namespaces(), "only root may make network namespaces")
