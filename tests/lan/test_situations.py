"""Real nodes and the doctor in every situation of the table, and the table in the documents."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from tests.lan import visits
from tests.lan.situations import SITUATIONS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "discovery.md"


class SituationTests(TestCase):
    timeout = 600  # seconds, never met: every wait has a deadline of its own

    def test_nodes_find_each_other_where_packets_pass_and_else_the_doctor_says_why(self) -> None:
        """And the doctor says the same with a node beside it and without."""
        failures, skipped = [], ""
        for situation, outcome in visits.visit_all():
            failures += [f"{situation.key}: {text}" for text in outcome.failures]
            skipped = skipped or outcome.skipped
        if skipped:
            raise SkipTest(skipped)
        self.assertEqual([], failures, "\n".join(failures))


class TableTests(SynchronousTestCase):
    def test_the_document_has_every_situation(self) -> None:
        expected = visits.HEAD + visits.RULE
        expected += "".join(visits.row(each, "S") for each in SITUATIONS)
        self.assertEqual(visits.recorded(DOCUMENT.read_text()), expected)

    def test_names_are_told_apart(self) -> None:
        for told in ({each.key for each in SITUATIONS}, {each.what for each in SITUATIONS}):
            self.assertEqual(len(told), len(SITUATIONS))
