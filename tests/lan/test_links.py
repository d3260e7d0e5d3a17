"""Real nodes on links that come, go and change, and of one family of addresses or the other."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.lan.netns import Lan, LanMixin
from tests.lan.nodes import NodeProcess, NodesMixin


class LinksTestCase(NodesMixin, LanMixin, TestCase):
    timeout = 90  # seconds, never met: every wait has a deadline of its own

    def pair(self, lan: Lan) -> tuple[NodeProcess, NodeProcess]:
        """A node in each of the first two namespaces; they need not meet."""
        return self.node("one", lan=lan, ns=0), self.node("other", lan=lan, ns=1)

    def met(self, lan: Lan) -> tuple[NodeProcess, NodeProcess]:
        one, other = self.pair(lan)
        self.meet(one, other)
        return one, other

    def meet(self, one: NodeProcess, other: NodeProcess) -> None:
        one.expect("other is here")
        other.expect("one is here")

    def talk(self, one: NodeProcess, other: NodeProcess, number: int = 1) -> None:
        """A line each way, shown once."""
        for speaker, listener in ((one, other), (other, one)):
            text = f"line {number} of {speaker.name}"
            speaker.type("1", text)
            listener.expect(rf"{speaker.name} .*:> {text}")

    def fetch(self, one: NodeProcess, other: NodeProcess) -> str:
        """One offers, the other gets it from the list and by its ticket, which is returned."""
        path = one.folder / "a.bin"
        path.write_bytes(b"a" * 100_000)
        one.type("4", str(path), "monpass", "n")
        ticket = one.expect(r"Its ticket: (\(.*\))")[1]
        other.expect(rf"{one.name} offers a\.bin")
        other.type("2", "a.bin", "monpass")
        other.expect(r"a\.bin is here, whole")
        other.type(ticket)
        other.expect(r"a\.bin is here, whole")
        return ticket


class FamilyTests(LinksTestCase):
    def test_with_ipv6_alone_and_no_address_but_link_local_ones(self) -> None:
        lan = self.lan(2, ipv4=False)
        one, other = self.met(lan)
        self.talk(one, other)
        self.assertIn(f'("{lan.link_local(0)}%eth0",', self.fetch(one, other))

    def test_with_ipv6_alone_a_ticket_has_an_address_that_all_can_use(self) -> None:
        lan = self.lan(2, ipv4=False)
        for ns in range(2):
            lan.add_address(ns, f"fd00::{ns + 1}/64")
        self.assertIn('("fd00::1",', self.fetch(*self.met(lan)))

    def test_a_link_local_address_of_a_ticket_is_found_whatever_the_interface_is_called(
        self,
    ) -> None:
        lan = self.lan(2, ipv4=False)
        lan.unplug(1)
        lan.plug(1, "wlan0")
        self.fetch(*self.met(lan))

    def test_with_ipv4_alone(self) -> None:
        one, other = self.met(self.lan(2, ipv6=False))
        self.talk(one, other)
        self.fetch(one, other)

    def test_one_with_ipv6_alone_among_two_with_both(self) -> None:
        lan = self.lan(3)
        lan.remove_address(2, f"{lan.address(2)}/24")
        one, other = self.met(lan)
        third = self.node("third", lan=lan, ns=2)
        third.expect_all("one is here", "other is here")
        for node in (one, other):
            node.expect("third is here")
            self.talk(node, third, 1)
        self.talk(one, other, 2)
        third.expect_all("line 2 of one", "line 2 of other")

    def test_where_ipv4_multicast_is_filtered_both_find_that_they_need_ipv6(self) -> None:
        lan = self.lan(2)
        for ns in range(2):
            command = ["iptables", "-w", "-A", "INPUT", "-d", "239.0.0.1", "-i", "eth0", "-j"]
            self.assertEqual(lan.run(ns, [*command, "DROP"]).returncode, 0)
        one, other = self.met(lan)
        self.talk(one, other)

    def test_a_group_of_ipv6(self) -> None:
        lan = self.lan(2)
        one, other = (
            self.node(name, "--group", "ff15::7777", lan=lan, ns=ns)
            for ns, name in enumerate(("one", "other"))
        )
        self.meet(one, other)
        self.talk(one, other)


class ShapeTests(LinksTestCase):
    def test_two_networks_that_one_node_is_on(self) -> None:
        lan = self.lan(3)
        lan.bridge_more("br1")
        lan.unplug(2)
        lan.plug(0, "eth1", "10.78.0.1/24", bridge="br1")
        lan.plug(2, "eth0", "10.78.0.3/24", bridge="br1")
        one, other = self.met(lan)
        third = self.node("third", lan=lan, ns=2)
        third.expect("one is here")
        self.talk(one, third, 1)
        self.talk(one, other, 2)


class ChangeTests(LinksTestCase):
    def test_where_there_is_nothing_at_all_at_the_start(self) -> None:
        lan = self.lan(2)
        lan.unplug(1)
        lan.down(1, "lo")
        one, other = self.pair(lan)
        lan.plug(1, "eth0", "10.77.0.2/24")
        self.meet(one, other)
        self.talk(one, other)

    def test_a_link_that_goes_down_and_up(self) -> None:
        lan = self.lan(2)
        one, other = self.met(lan)
        lan.down(1)
        other.type("1", "said into the void")
        other.expect("No network took that line")
        lan.up(1)
        other.expect(r"Sent now, as there is a network \(lines: 1\)")
        one.expect("said into the void")
        self.talk(one, other)

    def test_an_address_that_changes(self) -> None:
        lan = self.lan(2, ipv6=False)
        one, other = self.met(lan)
        lan.remove_address(1, "10.77.0.2/24")
        lan.add_address(1, "10.77.0.22/24")
        self.talk(one, other)
        self.fetch(other, one)
        one.type("6")
        one.expect(r"other  .*  10\.77\.0\.22")

    def test_another_network(self) -> None:
        """A laptop that is carried from one Wi-Fi to another."""
        lan = self.lan(3)
        lan.bridge_more("br1")
        lan.unplug(2)
        lan.plug(2, "eth0", "10.78.0.3/24", bridge="br1")
        one, other = self.met(lan)
        third = self.node("third", lan=lan, ns=2)
        lan.unplug(1)
        lan.plug(1, "eth0", "10.78.0.2/24", bridge="br1")
        third.expect("other is here")
        self.talk(other, third)
        one.expect_not("third is here")

    def test_a_vpn_that_comes_and_goes(self) -> None:
        lan = self.lan(2)
        one, other = self.met(lan)
        lan.tunnel(0, "tun0", "10.99.0.2/24", "0.0.0.0/1", "128.0.0.0/1")
        self.talk(one, other, 1)
        lan.unplug(0, "tun0")
        self.talk(one, other, 2)

    def test_of_two_interfaces_asked_for_one_that_goes_leaves_the_other(self) -> None:
        lan = self.lan(2)
        lan.bridge_more("br1")
        lan.plug(0, "eth1", "10.78.0.1/24", bridge="br1")
        one = self.node("one", "-i", "eth0", "-i", "eth1", lan=lan, ns=0)
        other = self.node("other", lan=lan, ns=1)
        self.meet(one, other)
        lan.unplug(0, "eth1")
        self.talk(one, other)
