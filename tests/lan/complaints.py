"""Networks that have something wrong with them, and what the doctor says of each.

Most of each is waiting, so `examine_all` has some at the same time; `test_doctor` runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.lan.netns import Lan, LanMixin
from tests.lan.nodes import PATIENCE, NodesMixin, environment
from twistedp2p.core.errors import Exit

STATEFUL = "INPUT -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
DROP_IN = "INPUT -i eth0 -j DROP"
AT_ONCE = 4  # of them
HOLD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 9392))
print("held", flush=True)
sys.stdin.read()
"""


class Complaint(NodesMixin, LanMixin, unittest.TestCase):
    """Not of trial: its reactor is in one thread."""

    def doctor(
        self, lan: Lan, *options: str, quick: bool = True, home: str = "doctor"
    ) -> dict[str, Any]:
        """What the doctor of that home finds in the first namespace; `checks` are by name."""
        done = self.run_doctor(lan, "--json", *["--quick"] * quick, *options, home=home)
        self.assertEqual(done.stderr, "")
        found: dict[str, Any] = json.loads(done.stdout)
        self.assertEqual(done.returncode, found["exit"])
        found["checks"] = {check["check"]: check for check in found["checks"]}
        return found

    def run_doctor(
        self, lan: Lan, *options: str, home: str = "doctor"
    ) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "twistedp2p.cli", "doctor", *options]
        return lan.run(0, argv, env=environment(self.home(home)), timeout=PATIENCE)

    def assertCause(self, found: dict[str, Any], cause: str, code: Exit) -> None:
        self.assertEqual(
            (found["cause"], found["exit"]), (cause, code), json.dumps(found, indent=1)
        )

    def peer(self, lan: Lan, ns: int = 1) -> list[str]:
        return ["--peer", lan.address(ns)]


class Conditions(Complaint):
    """NETWORK.md's table, row by row."""

    def test_fine(self) -> None:
        lan = self.lan(2, ipv6=False)
        bob = self.node("bob", lan=lan, ns=1)
        found = self.doctor(lan)
        self.assertCause(found, "fine", Exit.OK)
        self.assertIn("bob (10.77.0.2): multicast ok, broadcast ok", str(found["checks"]["hosts"]))
        self.assertIn("no route to the group", found["checks"]["interfaces"]["what"])
        bob.type("6")
        bob.expect(" you\n")
        self.assertNotIn("is here", bob.output)  # the doctor is no node

    def test_client_isolation(self) -> None:
        lan = self.lan(2, ipv6=False)
        self.node("bob", lan=lan, ns=1)
        for ns in range(2):
            lan.port(ns, "isolated", "on")
        self.assertCause(self.doctor(lan, *self.peer(lan)), "client_isolation", Exit.BETWEEN)
        self.assertCause(self.doctor(lan), "alone", Exit.ALONE)

    def test_multicast_filtered(self) -> None:
        lan = self.lan(2, ipv6=False)
        for ns in range(2):
            lan.port(ns, "mcast_flood", "off")
        self.node("bob", lan=lan, ns=1)
        found = self.doctor(lan)  # by broadcast it finds bob, whom nobody named
        self.assertCause(found, "multicast_filtered", Exit.BETWEEN)
        self.assertIn("bob", found["what"])

    def test_the_peers_firewall(self) -> None:
        lan = self.lan(2, ipv6=False)
        self.node("bob", lan=lan, ns=1)
        for rule in (STATEFUL, DROP_IN):
            lan.firewall(1, "-A", *rule.split())
        found = self.doctor(lan, *self.peer(lan))
        self.assertCause(found, "peer_firewall", Exit.BETWEEN)
        self.assertIn("--dport 9392:9393 -j ACCEPT", found["advice"])

    def test_ones_own_firewall(self) -> None:
        lan = self.lan(2, ipv6=False)
        self.node("bob", lan=lan, ns=1)
        for rule in (STATEFUL, DROP_IN):
            lan.firewall(0, "-A", *rule.split())
        found = self.doctor(lan, *self.peer(lan))
        self.assertCause(found, "own_firewall", Exit.HERE)
        self.assertIn(
            "its own firewall drops what comes in (eth0)", found["checks"]["loop"]["what"]
        )
        self.assertIn("--dport 9392:9393 -j ACCEPT", found["checks"]["loop"]["advice"])

    def test_the_line_that_is_advised_helps(self) -> None:
        lan = self.lan(2, ipv6=False)
        self.node("bob", lan=lan, ns=1)
        for rule in (STATEFUL, DROP_IN):
            lan.firewall(0, "-A", *rule.split())
        advice = self.doctor(lan)["checks"]["loop"]["advice"]
        line = advice.partition("Run: ")[2].replace("sudo ", "")
        self.assertEqual(lan.run(0, ["sh", "-c", line]).returncode, 0)
        self.assertNotEqual(self.doctor(lan)["cause"], "own_firewall")

    def test_an_own_outgoing_rule(self) -> None:
        lan = self.lan(2, ipv6=False)
        self.node("bob", lan=lan, ns=1)
        lan.firewall(0, *["-A", "OUTPUT", "-o", "eth0", "-d", "224.0.0.0/4", "-j", "DROP"])
        found = self.doctor(lan, *self.peer(lan))
        self.assertCause(found, "outgoing_rule", Exit.HERE)
        self.assertIn("multicast refused, broadcast ok", str(found["checks"]["hosts"]["rows"]))


class Others(Complaint):
    """What else people suffer from."""

    def test_a_port_that_is_taken(self) -> None:
        lan = self.lan(1)
        holder = lan.popen(0, [sys.executable, "-c", HOLD])
        self.assertEqual(holder.stdout.readline(), "held\n")
        found = self.doctor(lan)
        self.assertCause(found, "port_taken", Exit.HERE)
        self.assertIn(f"(process {holder.pid})", found["checks"]["ports"]["what"])

    def test_a_wrong_mask(self) -> None:
        lan = self.lan(2, ipv6=False)
        found = self.find_outside(lan)
        self.assertCause(found, "wrong_mask", Exit.BETWEEN)
        self.assertIn("10.77.0.1/24", found["advice"])

    def test_a_wrong_mask_where_ipv6_helps(self) -> None:
        lan = self.lan(2)
        # Whether it is IPv4 or IPv6 by which bob is heard first is a matter of chance.
        self.assertIn(self.find_outside(lan)["cause"], ("see_checks", "wrong_mask"))

    def find_outside(self, lan: Lan) -> dict[str, Any]:
        """What is found when bob has an address that nobody there has a mask for."""
        lan.remove_address(1, "10.77.0.2/24")
        lan.add_address(1, "10.77.9.2/24")
        self.node("bob", lan=lan, ns=1)
        found = self.doctor(lan, quick=False)  # a beacon of bob's must be heard
        self.assertIn("bob (10.77.9.2)", found["checks"]["masks"]["what"])
        return found

    def test_ones_own_firewall_for_both_families(self) -> None:
        lan = self.lan(2)
        self.node("bob", lan=lan, ns=1)
        lan.firewall(
            0, *["-A", "INPUT", "-i", "eth0", "-p", "udp", "--dport", "9392:9393", "-j", "DROP"]
        )
        self.assertCause(self.doctor(lan), "own_firewall", Exit.HERE)

    def test_no_network(self) -> None:
        lan = self.lan(1)
        lan.down(0)
        found = self.doctor(lan)
        self.assertCause(found, "no_network", Exit.HERE)
        self.assertIn(
            "eth0  10.77.0.1/24: not used, it is down", found["checks"]["interfaces"]["rows"]
        )

    def test_a_vpn_that_owns_the_route(self) -> None:
        lan = self.lan(2)
        lan.tunnel(0, "tun0", "10.99.0.2/32", "0.0.0.0/1", "128.0.0.0/1")
        self.node("bob", lan=lan, ns=1)
        found = self.doctor(lan)
        self.assertIn("tun0 owns the route to the group", found["checks"]["interfaces"]["what"])
        self.assertEqual(found["exit"], Exit.OK, found)

    def test_a_machine_without_a_node(self) -> None:
        lan = self.lan(2)
        self.assertCause(self.doctor(lan, *self.peer(lan)), "no_node", Exit.BETWEEN)

    def test_files_that_a_firewall_keeps_back(self) -> None:
        lan = self.lan(2)
        self.node("bob", lan=lan, ns=1)
        lan.firewall(1, *["-A", "INPUT", "-i", "eth0", "-p", "tcp", "-j", "DROP"])
        self.assertCause(self.doctor(lan), "files_blocked", Exit.BETWEEN)

    def test_beside_a_node_from_its_menu(self) -> None:
        lan = self.lan(2)
        bob, me = self.node("bob", lan=lan, ns=1), self.node("me", lan=lan)
        me.expect("bob is here")
        me.type("/doctor", "1 meanwhile")
        bob.expect(r"me (\(.*\) )?:> meanwhile")
        found = self.doctor(lan)
        me.expect("All is well: nodes reached every way: 1.")
        self.assertCause(found, "fine", Exit.OK)
        self.assertIn("Nodes on this machine: 1.", found["checks"]["listening"]["rows"])
        self.assertEqual((bob.quit(), me.quit()), (0, 0))

    def test_two_nodes_on_this_machine(self) -> None:
        lan = self.lan(1)
        ada, bob = self.node("ada", lan=lan), self.node("bob", lan=lan)
        bob.expect("ada is here")
        bob.type("/doctor")
        self.assertLocal(self.doctor(lan))
        bob.expect("Nodes on this machine: 1.")
        bob.expect(r"were found on this machine only \(1\); nothing is wrong")
        self.assertEqual((ada.quit(), bob.quit()), (0, 0))

    def test_two_nodes_on_the_loopback_of_this_machine(self) -> None:
        lan = self.lan(1)
        ada, _ = (self.node(name, "--interface", "lo", lan=lan) for name in ("ada", "bob"))
        ada.expect("bob is here")
        self.assertLocal(self.doctor(lan))

    def assertLocal(self, found: dict[str, Any]) -> None:
        """Two nodes were found, both here."""
        self.assertCause(found, "this_machine", Exit.ALONE)
        self.assertEqual(found["checks"]["listening"]["rows"], ["Nodes on this machine: 2."])
        self.assertEqual(found["checks"]["hosts"]["rows"], [])

    def test_two_nodes_on_another_machine(self) -> None:
        lan = self.lan(2)
        bob, _ = (self.node(name, lan=lan, ns=1) for name in ("bob", "carol"))
        bob.expect("carol is here")
        found = self.doctor(lan, *self.peer(lan))
        self.assertCause(found, "fine", Exit.OK)
        self.assertEqual(found["what"], "All is well: nodes reached every way: 2.")
        rows = found["checks"]["pings"]["rows"]
        self.assertEqual([row.rpartition(", ")[2] for row in rows], ["0 twice"] * 2)

    def test_hosts_of_earlier_times_are_looked_at_where_nobody_else_is_known(self) -> None:
        lan = self.lan(2, ipv6=False)
        bob, me = self.node("bob", lan=lan, ns=1), self.node("me", lan=lan)
        me.expect("bob is here")
        self.assertEqual(me.quit(), 0)
        self.assertCause(self.doctor(lan, home="me"), "fine", Exit.OK)
        bob.quit()
        self.assertCause(self.doctor(lan, home="me"), "no_node", Exit.BETWEEN)

    def test_a_node_that_quits_while_its_doctor_looks(self) -> None:
        me = self.node("me", lan=self.lan(1))
        me.type("/doctor")
        me.expect("Looking at the network")
        self.assertEqual(me.signal(15), -15)

    def test_in_words(self) -> None:
        lan = self.lan(1)
        done = self.run_doctor(lan, "--quick")
        self.assertEqual((done.returncode, done.stderr), (Exit.ALONE, ""))
        self.assertIn("\n 5 unknown    Nothing at all was heard within 3 s", done.stdout)
        self.assertIn("\n\nNo other node was found, and nothing is wrong here", done.stdout)


def examine_all() -> Iterator[tuple[unittest.TestCase, unittest.TestResult]]:
    """Each of them, and how it went."""
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    tests = [test for case in (Conditions, Others) for test in load(case)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(tests, pool.map(_examine, tests), strict=True)


def _examine(test: Any) -> unittest.TestResult:
    result = unittest.TestResult()
    test.run(result)
    return result
