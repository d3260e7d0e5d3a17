"""Which interfaces there are, on listings of hosts that people have, and on this one."""

from __future__ import annotations

import ipaddress
import socket
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net.interfaces import (
    Interface,
    Listing,
    UnknownInterface,
    choose,
    choose_present,
    is_container,
    present,
    senders,
)

LAN = "up,broadcast,running,multicast"
LO = "up,loopback,running"


def listing(**devices: tuple[str, list[str]]) -> Listing:
    """A host with these devices, name=(flags, addresses); "_" in a name stands for "-"."""
    named = {name.replace("_", "-"): device for name, device in devices.items()}
    numbers = {name: number for number, name in enumerate(named, 1)}
    return Listing(
        {name: [ip(one) for one in there] + [mac()] for name, (_, there) in named.items()},
        {name: SimpleNamespace(isup=True, flags=flags) for name, (flags, _) in named.items()},
        numbers.__getitem__,
    )


def ip(address: str) -> SimpleNamespace:
    return v6(address) if ":" in address else v4(address)


def v4(address: str) -> SimpleNamespace:
    return SimpleNamespace(family=socket.AF_INET, address=address, netmask="255.255.255.0")


def v6(address: str) -> SimpleNamespace:
    return SimpleNamespace(family=socket.AF_INET6, address=address, netmask="ffff:ffff:ffff:ffff::")


def mac() -> SimpleNamespace:
    return SimpleNamespace(family=socket.AF_PACKET, address="02:fc:00:00:00:01", netmask=None)


def names(interfaces: list[Interface]) -> list[str]:
    return [one.name for one in interfaces]


LAPTOP = listing(
    lo=(LO, ["127.0.0.1"]),
    wlan0=(LAN, ["192.168.1.7"]),
    eth0=("up,broadcast,multicast", ["10.0.0.5"]),
    docker0=(LAN, ["172.17.0.1"]),
    tun0=("up,pointopoint,running,noarp,multicast", ["10.8.0.2"]),
)


class UsableTests(SynchronousTestCase):
    def test_every_field_comes_from_the_listing(self) -> None:
        self.assertEqual(
            present(listing(eth0=(LAN, ["192.168.1.7"]))),
            [Interface("eth0", 1, "192.168.1.7", "255.255.255.0", False, socket.AF_INET)],
        )

    def test_running_multicast_interfaces_come_first_and_the_loopback_last(self) -> None:
        found = choose([], present(LAPTOP))
        self.assertEqual(names(found), ["wlan0", "tun0", "lo"])
        self.assertEqual([one.loopback for one in found], [False, False, True])

    def test_an_interface_that_is_down_is_left_out(self) -> None:
        self.assertEqual(present(listing(lo=("loopback", ["127.0.0.1"]))), [])
        self.assertEqual(present(listing(eth0=("broadcast,running,multicast", ["10.0.0.5"]))), [])

    def test_an_interface_without_a_cable_is_left_out(self) -> None:
        self.assertEqual(present(listing(eth0=("up,broadcast,multicast", ["10.0.0.5"]))), [])

    def test_an_interface_that_takes_no_multicast_is_left_out(self) -> None:
        self.assertEqual(present(listing(wg0=("up,pointopoint,running", ["10.9.0.1"]))), [])

    def test_each_address_is_an_interface_of_its_own(self) -> None:
        found = present(listing(eth0=(LAN, ["10.0.0.5", "192.168.1.7"])))
        self.assertEqual([one.address for one in found], ["10.0.0.5", "192.168.1.7"])
        self.assertEqual({one.index for one in found}, {1})

    def test_a_labelled_alias_belongs_to_its_device(self) -> None:
        host = listing(eth0=(LAN, ["10.0.0.5"]))
        aliased = Listing({**host.addresses, "eth0:1": [v4("10.0.0.6")]}, host.stats, host.index)
        found = present(aliased)
        self.assertEqual(names(found), ["eth0", "eth0"])
        self.assertEqual([one.address for one in found], ["10.0.0.5", "10.0.0.6"])

    def test_an_interface_without_an_address_is_left_out(self) -> None:
        self.assertEqual(present(listing(eth0=(LAN, []))), [])

    def test_an_interface_that_goes_while_we_look_is_left_out(self) -> None:
        def gone(name: str) -> int:
            raise OSError(f"no interface with this name: {name}")

        host = listing(eth0=(LAN, ["10.0.0.5"]))
        self.assertEqual(present(Listing(host.addresses, host.stats, gone)), [])
        self.assertEqual(present(Listing(host.addresses, {}, host.index)), [])

    def test_container_bridges_are_present_but_not_present(self) -> None:
        self.assertIn("docker0", names(present(LAPTOP)))
        self.assertNotIn("docker0", names(choose([], present(LAPTOP))))

    def test_this_host_has_its_loopback(self) -> None:
        loopbacks = [one for one in present() if one.loopback]
        self.assertIn("127.0.0.1", [one.address for one in loopbacks])
        self.assertEqual(loopbacks[0].index, socket.if_nametoindex(loopbacks[0].name))


class TwoFamiliesTests(SynchronousTestCase):
    HOST = listing(
        lo=(LO, ["127.0.0.1", "::1"]),
        eth0=(LAN, ["2001:db8::5", "10.0.0.5", "fe80::5%eth0", "fd00::5"]),
        wg0=("up,pointopoint,running,noarp,multicast", ["fd01::2"]),
    )

    def test_addresses_have_no_scope_and_hosts_have_one_where_it_is_needed(self) -> None:
        there = present(self.HOST)
        self.assertEqual(
            [one.host for one in there],
            ["10.0.0.5", "2001:db8::5", "fe80::5%eth0", "fd00::5", "fd01::2", "127.0.0.1"],
        )
        self.assertEqual(there[2].address, "fe80::5")
        self.assertEqual([one.link_local for one in there], [False, False, True] + 3 * [False])

    def test_every_ipv4_address_sends_and_one_of_ipv6_the_link_local_one(self) -> None:
        sending = [one.host for one in senders(present(self.HOST))]
        self.assertEqual(sending, ["10.0.0.5", "fe80::5%eth0", "fd01::2", "127.0.0.1"])

    def test_networks_and_who_is_on_them(self) -> None:
        _, world, link, *_ = present(self.HOST)
        self.assertEqual(
            [str(one.network) for one in (world, link)], ["2001:db8::/64", "fe80::/64"]
        )
        for one, host, reached in (
            (world, "2001:db8::9", True),
            (world, "2001:db8:1::9", False),
            (world, "10.0.0.9", False),
            (world, "fe80::9%eth0", False),
            (link, "fe80::9%eth0", True),
            (link, "fe80::9%wlan0", False),
            (link, "fe80::9", False),
        ):
            self.assertEqual(one.reaches(ipaddress.ip_address(host)), reached, host)

    def test_an_address_without_a_mask_is_a_network_of_its_own(self) -> None:
        for family, address in ((socket.AF_INET, "10.0.0.1"), (socket.AF_INET6, "fd00::1")):
            one = Interface("tun0", 2, address, None, False, family)
            self.assertTrue(one.reaches(ipaddress.ip_address(address)))
            self.assertEqual((one.network.num_addresses, one.broadcast), (1, None))

    def test_broadcast_is_for_ipv4_networks_with_room_for_it(self) -> None:
        for mask, everybody in (
            ("255.255.255.0", "10.0.0.255"),
            ("255.255.255.252", "10.0.0.7"),
            ("255.255.255.254", None),
        ):
            self.assertEqual(Interface("eth0", 2, "10.0.0.5", mask, False).broadcast, everybody)
        self.assertEqual([one.broadcast for one in present(self.HOST)[1:]], 5 * [None])

    def test_an_ipv6_address_is_chosen_with_its_scope_or_without(self) -> None:
        there = present(self.HOST)
        for word in ("fe80::5", "fe80::5%eth0"):
            self.assertEqual([one.host for one in choose([word], there)], ["fe80::5%eth0"])

    def test_of_what_is_wanted_what_is_there_is_taken(self) -> None:
        there = present(self.HOST)
        self.assertEqual(names(choose_present(["wg0", "eth9"], there)), ["wg0"])
        self.assertEqual(choose_present([], there), choose([], there))
        self.assertEqual(choose_present(["eth9"], there), [])


class ContainerTests(SynchronousTestCase):
    def test_names_that_container_programs_give_are_known(self) -> None:
        for name in (
            *("docker0", "docker_gwbridge", "br-0123456789ab", "veth1a2b3c4", "vethweb"),
            *("podman0", "cni-podman1", "nerdctl0", "virbr0", "virbr0-nic", "vnet3"),
            *("lxcbr0", "lxdbr0", "incusbr0", "cni0", "flannel.1", "flannel-wg"),
            *("cali0123456789a", "vxlan.calico", "cilium_host", "lxc0123456789ab", "waydroid0"),
        ):
            self.assertTrue(is_container(name), name)

    def test_names_that_people_and_kernels_give_are_not(self) -> None:
        for name in (
            *("lo", "eth0", "wlan0", "enp0s31f6", "wlp2s0", "br0", "br-lan", "br-office"),
            *("bridge0", "bond0", "tun0", "tap0", "tailscale0", "california", "cnibble", "docker"),
            *("br-0123456789abc", "br-0123456789xy", "lxc", "usb0", "eth0.10"),
        ):
            self.assertFalse(is_container(name), name)


class ChooseTests(SynchronousTestCase):
    def test_nothing_wanted_is_every_usable_one(self) -> None:
        self.assertEqual(names(choose([], present(LAPTOP))), ["wlan0", "tun0", "lo"])

    def test_by_name_or_by_address_once_each(self) -> None:
        chosen = choose(["lo", "192.168.1.7", "wlan0"], present(LAPTOP))
        self.assertEqual(names(chosen), ["wlan0", "lo"])

    def test_a_name_takes_all_addresses_and_an_address_only_itself(self) -> None:
        there = present(listing(eth0=(LAN, ["10.0.0.5", "192.168.1.7"])))
        self.assertEqual(choose(["eth0"], there), there)
        self.assertEqual(choose(["192.168.1.7"], there), there[1:])

    def test_who_names_a_container_bridge_gets_it(self) -> None:
        self.assertEqual(names(choose(["docker0"], present(LAPTOP))), ["docker0"])

    def test_an_unknown_one_is_refused_with_what_there_is(self) -> None:
        error = self.assertRaises(UnknownInterface, choose, ["lo", "eth9"], present(LAPTOP))
        self.assertIsInstance(error, ValueError)
        self.assertEqual(
            str(error),
            "no usable interface is called 'eth9'; there are: wlan0 (192.168.1.7), "
            "docker0 (172.17.0.1), tun0 (10.8.0.2), lo (127.0.0.1)",
        )

    def test_a_host_without_any_says_so(self) -> None:
        error = self.assertRaises(UnknownInterface, choose, ["eth0"], [])
        self.assertIn("there are: none at all", str(error))

    def test_without_a_list_the_host_is_looked_at(self) -> None:
        self.assertEqual([one.address for one in choose(["127.0.0.1"])], ["127.0.0.1"])
        self.assertEqual(choose([]), choose_present([]))
