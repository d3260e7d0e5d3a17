"""Real nodes where multicast does not pass: found all the same, and nothing is lost."""

from __future__ import annotations

import re
import time

from twisted.trial.unittest import TestCase

from tests.lan.netns import Lan, LanMixin, command
from tests.lan.nodes import PATIENCE, NodeProcess, NodesMixin

NO_MDNS = "--no-mdns"
MULTICAST = "-m pkttype --pkt-type multicast"
BROADCAST = "-m pkttype --pkt-type broadcast"


class FilteredTestCase(NodesMixin, LanMixin, TestCase):
    timeout = 120  # seconds, never met: every wait has a deadline of its own

    def drop(self, lan: Lan, ns: int, what: str) -> None:
        """Let nothing of that come in from the network."""
        lan.firewall(ns, "-A", "INPUT", "-i", "eth0", *what.split(), "-j", "DROP")

    def filtered(self, count: int, *what: str) -> Lan:
        """A network on which that does not pass."""
        lan = self.lan(count, ipv6=False)
        for ns in range(count):
            for each in what:
                self.drop(lan, ns, each)
        return lan

    def nodes(self, lan: Lan, names: str, *options: str) -> list[NodeProcess]:
        """A node in each namespace, from the first on."""
        return [self.node(name, *options, lan=lan, ns=ns) for ns, name in enumerate(names.split())]

    def meet(self, *nodes: NodeProcess) -> None:
        """All know each other in time."""
        until = time.monotonic() + PATIENCE
        for node in nodes:
            for other in nodes:
                if other is not node:
                    self.sees(node, rf"\* {other.name} is here", until - time.monotonic())

    def talk(self, *nodes: NodeProcess) -> None:
        """What each says is shown by all others, once."""
        for node in nodes:
            node.type(f"/say {node.name} speaks")
        for node in nodes:
            for other in nodes:
                if other is not node:
                    line = rf"{other.name}( \(\S+\))? :> {other.name} speaks"
                    self.sees(node, line)
                    self.assertEqual(len(re.findall(line, node.output)), 1)

    def sees(self, node: NodeProcess, pattern: str, within: float = PATIENCE) -> None:
        """Wait for it anywhere in what the node has shown."""
        node._at = 0
        node.expect(pattern, within)

    def offer(self, node: NodeProcess) -> None:
        """Offer a file named after the node."""
        path = node.folder / f"{node.name}.bin"
        path.write_bytes(node.name.encode())
        node.type("4", str(path), "monpass", "n")
        node.expect("The group was told")


class LadderTests(FilteredTestCase):
    def test_by_broadcast_where_multicast_is_filtered(self) -> None:
        lan = self.filtered(2, MULTICAST)
        nodes = self.nodes(lan, "alice bob", NO_MDNS)
        self.meet(*nodes)
        self.talk(*nodes)

    def test_by_known_hosts_where_broadcast_is_filtered_too(self) -> None:
        lan = self.lan(2, ipv6=False)
        alice, bob = self.nodes(lan, "alice bob", NO_MDNS)
        self.meet(alice, bob)
        bob.quit()
        alice.expect("bob has left")
        for ns in (0, 1):
            self.drop(lan, ns, MULTICAST)
            self.drop(lan, ns, BROADCAST)
        bob = self.node("bob", NO_MDNS, lan=lan, ns=1)
        bob.expect("alice is here")
        alice.expect("bob is here")
        self.talk(alice, bob)

    def test_by_name_in_another_subnet_and_then_everybody(self) -> None:
        """Two networks of two nodes with a router between them; one node is told of one other."""
        lan = self.lan(5, ipv6=False)
        lan.bridge_more("br1")
        lan.plug(4, "eth1", "10.78.0.1/24", bridge="br1")
        lan.run(4, ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        for ns, address in ((2, "10.78.0.3"), (3, "10.78.0.4")):
            lan.unplug(ns)
            lan.plug(ns, "eth0", f"{address}/24", bridge="br1")
            command("ip", "-n", lan.names[ns], "route", "add", "default", "via", "10.78.0.1")
        for ns in (0, 1):
            command("ip", "-n", lan.names[ns], "route", "add", "default", "via", lan.address(4))
        others = [
            self.node(name, NO_MDNS, lan=lan, ns=ns) for ns, name in enumerate(("b", "c", "d"), 1)
        ]
        alice = self.node("alice", NO_MDNS, "--peer", "10.78.0.4", lan=lan)
        self.meet(alice, others[2])
        self.meet(alice, *others)
        self.talk(alice, *others)


class UnicastOnlyTests(FilteredTestCase):
    def test_chat_and_catalogue_are_complete(self) -> None:
        lan = self.filtered(4, MULTICAST)
        nodes = self.nodes(lan, "alice bob carol dave", NO_MDNS)
        self.meet(*nodes)
        self.talk(*nodes)
        for node in nodes:
            self.offer(node)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    self.sees(node, rf"{other.name} offers {other.name}\.bin")
        nodes[0].type("2", "dave.bin", "monpass")
        nodes[0].expect(r"dave\.bin is here, whole")
        nodes[3].quit()
        for node in nodes[:3]:
            node.expect("dave has left")
