"""Closed groups of real nodes: beside open ones on one network, and while the code changes."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.groups import CODES
from tests.lan.netns import LanMixin, require_namespaces
from tests.lan.nodes import NodeProcess, NodesMixin, until
from twistedp2p.core.datagrams.closed import MARK
from twistedp2p.disk.state.code_file import write_codes

ONE, OTHER = CODES[:2]
# Ten minutes, and the age of a file, made short; what waits is the same code.
IMPATIENT = """
import twistedp2p.node.presence.membership
twistedp2p.node.presence.membership.OLD_CODE_FOR = 12.0
twistedp2p.node.presence.membership.LOOK_EVERY = 0.3
"""


class ClosedTestCase(NodesMixin, LanMixin, TestCase):
    timeout = 120  # seconds, never met: every wait has a deadline of its own

    def code_file(self, name: str, code: str = ONE) -> Path:
        """The file of that node with the group's code."""
        path = self.home(name) / "code"
        write_codes(path, code)
        return path

    def says(self, node: NodeProcess, text: str, *hearers: NodeProcess) -> None:
        """Say it, and wait until all of those show it."""
        node.type("1", text)
        for hearer in hearers:
            hearer.expect(rf"{node.name} (\(.*\) )?:> {re.escape(text)}")


class OneNetworkTests(ClosedTestCase):
    def setUp(self) -> None:
        require_namespaces(self)

    def test_two_who_have_the_code_and_one_who_has_not(self) -> None:
        lan = self.lan(3)
        alice, bob = (
            self.node(name, "--group-code-file", str(self.code_file(name)), lan=lan, ns=ns)
            for ns, name in enumerate(("alice", "bob"))
        )
        eve = self.node("eve", lan=lan, ns=2)
        alice.expect("bob is here")
        bob.expect("alice is here")
        eve.expect("A closed group is here too; ask for its code")
        (alice.folder / "plan.txt").write_text("the plan")
        alice.type("4", str(alice.folder / "plan.txt"), "*")
        bob.expect(r"alice offers plan.txt .*: type 2 (\d+) to get it")
        self.says(alice, "among ourselves", bob)
        eve.type("1", "anybody here?")
        self.says(bob, "we are", alice)
        bob.type("2", "plan.txt")
        bob.expect(r"plan.txt is here, whole")
        self.assertEqual((bob.folder / "plan.txt").read_text(), "the plan")
        eve.type("6")
        eve.expect(r"eve .* you")
        for node in (alice, bob):
            node.expect_not(r"\beve\b|anybody here")
        eve.expect_not("alice|bob|among ourselves|we are|plan")
        self.assertEqual([node.quit() for node in (alice, bob, eve)], [0, 0, 0])

    def test_who_knows_owner_and_name_of_a_public_file_gets_nothing_without_the_code(self) -> None:
        """Attack 9: an open node with the address, the name, and the word for public offers."""
        lan = self.lan(2)
        alice = self.node("alice", "--group-code-file", str(self.code_file("alice")), lan=lan, ns=0)
        eve = self.node("eve", lan=lan, ns=1)
        (alice.folder / "plan.txt").write_text("the plan")
        alice.type("4", str(alice.folder / "plan.txt"), "*")
        alice.expect("The group was told: plan.txt")
        eve.type("2", f'("{lan.address(0)}",9393),("public","plan.txt")')
        eve.expect("plan.txt: Refused: wrong password")
        self.assertFalse((eve.folder / "plan.txt").exists())


class OneHostTests(ClosedTestCase):
    def member(self, name: str) -> NodeProcess:
        path = str(self.code_file(name))
        return self.node(name, "--group-code-file", path, before=IMPATIENT)

    def test_a_listener_sees_sealed_datagrams_and_none_for_scripts(self) -> None:
        """Attack 36: what stands in a capture."""
        for_people, for_nodes = self.ear(self.port), self.ear(self.port + 1)
        alice, bob = self.member("alice"), self.member("bob")
        alice.expect("bob is here")
        self.says(bob, "among ourselves", alice)
        heard = []
        for_nodes.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            while True:
                heard.append(for_nodes.recv(65536))
                if len(heard) > 1000:
                    self.fail("it never ends")
        self.assertGreater(len(heard), 3)
        self.assertEqual({data[: len(MARK)] for data in heard}, {MARK})
        self.assertLessEqual(max(map(len, heard)), 1200)
        for_people.setblocking(False)
        self.assertRaises(BlockingIOError, for_people.recv, 65536)

    def test_a_script_is_neither_heard_nor_able_to_make_them_fall_back(self) -> None:
        """Attack 36: plain lines, and rubbish."""
        alice, bob = self.member("alice"), self.member("bob")
        alice.expect("bob is here")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as script:
            script.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
            )
            for data in (b"coucou !", MARK + os.urandom(200), os.urandom(500)):
                for port in (self.port, self.port + 1):
                    script.sendto(data, (self.group, port))
        self.says(bob, "still among ourselves", alice)
        alice.expect_not("coucou")
        alice.type("6")
        alice.expect(r"datagrams dropped: \d+ \(.*not sealed, in a closed group: \d")

    def test_the_code_changes_while_they_talk(self) -> None:
        """Attack 36: who does not get the new one is out, and is told so."""
        alice, bob, eve = (self.member(name) for name in ("alice", "bob", "eve"))
        for node in (alice, bob, eve):
            node.expect_all(
                *(f"{other.name} is here" for other in (alice, bob, eve) if other is not node)
            )
        for node in (alice, bob):
            write_codes(node.folder / "code", OTHER, replace=True)
            node.expect("The group has a new code")
            if node is alice:
                self.says(bob, "not changed yet", alice)
        eve.expect("Another closed group is here too, or some have another code than you")
        self.says(alice, "changed", bob)
        for node in (alice, bob):
            node.expect("The group's code of before is taken no more")
        self.says(eve, "am I alone?")
        self.says(bob, "among ourselves", alice)
        alice.expect_not("am I alone")
        eve.expect_not(":> changed|among ourselves")

    def test_a_restart_with_the_new_code_remembers_the_old_lines(self) -> None:
        alice, bob = self.member("alice"), self.member("bob")
        alice.expect("bob is here")
        self.says(alice, "before", bob)
        self.assertEqual(bob.quit(), 0)
        write_codes(bob.folder / "code", OTHER, ONE, replace=True)
        again = self.node("bob", "--group-code-file", str(bob.folder / "code"))
        again.type("/last")
        again.expect(":> before")
        (slot,) = [path for path in (bob.slot).glob("group-*.db") if path.is_symlink()]
        self.assertTrue(until(slot.exists, "the link leads somewhere"))

    def test_an_open_node_in_the_same_place_knows_nothing_of_it(self) -> None:
        """Attack 36: the same person, the same folder, without the code."""
        alice, bob = self.member("alice"), self.member("bob")
        alice.expect("bob is here")
        self.says(alice, "among ourselves", bob)
        self.assertEqual((alice.quit(), bob.quit()), (0, 0))
        outside = self.node("bob")
        outside.type("/last")
        outside.expect("Nothing has been said")
        outside.expect_not("alice|among ourselves")

    def test_a_file_that_others_may_read_is_refused_at_the_start(self) -> None:
        path = self.code_file("it")
        path.chmod(0o644)
        ended = self.run_node("-n", "p2pshare", *self.here("--group-code-file", str(path)))
        self.assertEqual(ended.returncode, 66)
        self.assertIn("chmod 600", ended.stderr)
        self.assertNotIn(ONE, ended.stderr)
