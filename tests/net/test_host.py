"""What a host tells of its network, read from tables that are made up."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Device, Route
from twistedp2p.net import host
from twistedp2p.net.host import devices, drops, firewall, look, neighbours, route_to, with_mask
from twistedp2p.net.interfaces import Interface, Listing

ARP = """\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.2         0x1         0x2         02:fc:00:00:00:05     *        eth0
10.0.0.3         0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.4         0x1         0x6         02:fc:00:00:00:06     *        eth0
"""
UDP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  1: 010000EF:24B0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 100 2 0000000000000000 5
  2: 00000000:24B1 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 101 2 0000000000000000 2
  3: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 102 2 0000000000000000 9
"""  # noqa: E501
LO = Interface("lo", 1, "127.0.0.1", "255.0.0.0", True)
ETH0 = Interface("eth0", 2, "10.0.0.1", "255.255.255.0", False)


def address(text: str, mask: str, family: int = socket.AF_INET) -> SimpleNamespace:
    return SimpleNamespace(family=family, address=text, netmask=mask)


def stats(flags: str, mtu: int = 1500) -> SimpleNamespace:
    return SimpleNamespace(flags=flags, mtu=mtu)


class DevicesTests(SynchronousTestCase):
    def test_each_is_used_or_it_is_said_why_not(self) -> None:
        usual = "up,broadcast,running,multicast"
        listing = Listing(
            {
                "lo": [address("127.0.0.1", "255.0.0.0")],
                "eth0": [
                    address("10.0.0.1", "255.255.255.0"),
                    address("fe80::1%eth0", "ffff:ffff:ffff:ffff::", socket.AF_INET6),
                    address("02:fc:00:00:00:05", "", 17),
                ],
                "eth0:1": [address("10.0.1.1", "255.255.255.128")],
                "docker0": [address("172.17.0.1", "255.255.0.0")],
                "eth1": [address("10.2.0.1", "255.255.0.0")],
                "tun0": [address("10.8.0.2", "255.255.255.255")],
            },
            {
                "lo": stats("up,loopback,running", 65536),
                "wlan0": stats("up,broadcast,multicast"),
                "wlan1": stats("broadcast,multicast"),
                "eth0": stats(usual),
                "eth1": stats(usual),
                "eth2": stats(usual),
                "docker0": stats(usual),
                "tun0": stats("up,pointopoint,running,noarp"),
            },
        )
        found = devices([ETH0, LO], listing)
        self.assertEqual(
            found[0], Device("eth0", ("10.0.0.1/24", "fe80::1/64", "10.0.1.1/25"), 1500)
        )
        self.assertEqual(found[-1], Device("lo", ("127.0.0.1/8",), 65536, loopback=True))
        self.assertEqual(
            {device.name: device.why for device in found[1:-1]},
            {
                "docker0": "it belongs to containers or virtual machines",
                "eth1": "it was not asked for",
                "eth2": "it has no address",
                "tun0": "it takes no multicast",
                "wlan0": "there is no cable in it, or no Wi-Fi joined",
                "wlan1": "it is down",
            },
        )

    def test_those_of_this_machine_can_be_read(self) -> None:
        [lo] = [device for device in devices([LO]) if device.loopback]
        self.assertEqual(lo.why, "")
        self.assertIn("127.0.0.1/8", lo.addresses)

    def test_a_mask(self) -> None:
        self.assertEqual(with_mask("10.0.0.1", "255.255.255.252"), "10.0.0.1/30")
        self.assertEqual(with_mask("10.0.0.1", None), "10.0.0.1")


class RouteTests(SynchronousTestCase):
    def route(self, address_of: str | OSError) -> Route:
        sock = mock.MagicMock()
        sock.__enter__.return_value = sock
        if isinstance(address_of, OSError):
            sock.connect.side_effect = address_of
        else:
            sock.getsockname.return_value = (address_of, 5000)
        names = {"tun0": [address("10.8.0.2", "")], "eth0:1": [address("10.0.0.1", "")]}
        with (
            mock.patch.object(host.socket, "socket", return_value=sock),
            mock.patch.object(host.psutil, "net_if_addrs", return_value=names),
        ):
            return route_to("239.0.0.1", 9392)

    def test_its_owner_is_known_by_the_address_that_the_system_would_use(self) -> None:
        self.assertEqual(self.route("10.0.0.1"), Route("eth0"))
        self.assertEqual(self.route("10.8.0.2"), Route("tun0", tunnel=True))

    def test_there_may_be_none(self) -> None:
        self.assertEqual(self.route(OSError(101, "Network is unreachable")), Route(""))


class ProcTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proc = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.proc)
        (self.proc / "net").mkdir()

    def test_neighbours(self) -> None:
        (self.proc / "net" / "arp").write_text(ARP)
        self.assertEqual(
            neighbours(self.proc),
            {
                "10.0.0.2": Sign.REACHABLE,
                "10.0.0.3": Sign.INCOMPLETE,
                "10.0.0.4": Sign.REACHABLE,
            },
        )

    def test_drops_on_our_ports(self) -> None:
        (self.proc / "net" / "udp").write_text(UDP)
        self.assertEqual(drops((9392, 9393), self.proc), 7)
        self.assertEqual(drops((4000,), self.proc), 0)

    def test_a_system_without_such_tables(self) -> None:
        self.assertEqual(neighbours(self.proc), {})
        self.assertIsNone(drops((9392,), self.proc))

    def test_the_tables_of_this_system_can_be_read(self) -> None:
        if not sys.platform.startswith("linux"):
            return
        self.assertGreaterEqual(drops((9392,)) or 0, 0)
        for sign in neighbours().values():
            self.assertIn(sign, (Sign.REACHABLE, Sign.INCOMPLETE))


class FirewallTests(SynchronousTestCase):
    def firewall(
        self, *, ufw: str = "", running: str = "", found: str = "", platform: str = "linux"
    ) -> str:
        etc = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, etc)
        if ufw:
            (etc / "ufw").mkdir()
            (etc / "ufw" / "ufw.conf").write_text(f"# ufw\n{ufw}\n")
        process = SimpleNamespace(info={"name": running})
        with (
            mock.patch.object(host.sys, "platform", platform),
            mock.patch.object(host.psutil, "process_iter", return_value=[process]),
            mock.patch.object(host.shutil, "which", lambda name, path: name == found),
        ):
            return firewall({}, etc)

    def test_the_one_that_is_at_work_is_told(self) -> None:
        self.assertEqual(self.firewall(ufw="ENABLED=yes", running="firewalld"), "ufw")
        self.assertEqual(self.firewall(ufw="ENABLED=no", found="nft"), "nft")
        self.assertEqual(self.firewall(running="firewalld", found="nft"), "firewalld")
        self.assertEqual(self.firewall(found="iptables"), "iptables")
        self.assertEqual(self.firewall(), "")
        self.assertEqual(self.firewall(platform="win32"), "netsh")
        self.assertEqual(self.firewall(platform="darwin"), "macos")


class LookTests(SynchronousTestCase):
    def test_it_reads_this_machine_and_sends_nothing(self) -> None:
        seen = look("239.0.0.1", 9392, [LO])
        self.assertIn("lo", [device.name for device in seen.devices])
