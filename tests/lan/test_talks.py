"""SYNC and direct messages between real nodes on one host."""

from __future__ import annotations

import re

from twisted.trial.unittest import TestCase

from tests.lan.nodes import NodeProcess, NodesMixin


class TalksTestCase(NodesMixin, TestCase):
    timeout = 60  # seconds, never met: every wait has a deadline of its own

    def meet(self, *nodes: NodeProcess) -> None:
        """Wait until each knows of all the others."""
        for node in nodes:
            node.expect_all(*(f"{other.name} is here" for other in nodes if other is not node))


class DirectMessageTests(TalksTestCase):
    def test_it_is_shown_to_one_alone(self) -> None:
        anna, bob, carl = (self.node(name) for name in ("anna", "bob", "carl"))
        self.meet(anna, bob, carl)
        anna.type("/msg bob for you alone")
        anna.expect(r"\(privately to bob.*\) :> for you alone")
        bob.expect(r"anna .*\(privately\) :> for you alone")
        bob.type("/msg", "anna", "and for you")
        anna.expect(r"bob .*\(privately\) :> and for you")
        carl.type("/last")
        carl.expect("Nothing has been said")
        carl.expect_not("for you")
        for node in (anna, bob, carl):
            self.assertEqual(0, node.quit())
            self.assertNotIn(b"for you alone", node.database.read_bytes())

    def test_by_key_and_to_nobody(self) -> None:
        anna, bob = self.node("anna"), self.node("bob")
        self.meet(anna, bob)
        bob.type("/who")
        key = bob.expect(r"(?m)^  bob  ([a-z2-7-]{19})  you")[1]
        anna.type(f"/msg {key} coucou")
        bob.expect(r":> coucou")
        anna.type("/msg dora coucou")
        anna.expect(re.escape("Nobody here is called dora"))
        self.assertEqual(0, bob.quit())
        anna.expect("bob has left")
        anna.type("/msg bob coucou")
        anna.expect(re.escape("Nobody here is called bob"))


class SyncTests(TalksTestCase):
    def test_a_late_joiner_gets_the_history_also_of_who_has_gone(self) -> None:
        anna, bob = self.node("anna"), self.node("bob")
        self.meet(anna, bob)
        count = 70  # more than is asked for by datagrams
        anna.type(*(f"1 line {number} of anna" for number in range(count)))
        bob.expect(f"line {count - 1} of anna")
        self.assertEqual(0, anna.quit())
        bob.expect("anna has left")
        carl = self.node("carl")
        carl.expect_all(*(f"line {number} of anna\n" for number in range(count)))
        heard = re.findall(r"line (\d+) of anna", carl.output)
        self.assertEqual([str(number) for number in range(count)], heard)
