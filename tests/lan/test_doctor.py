"""The doctor on networks that have something wrong with them: it names the cause."""

from __future__ import annotations

from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests.lan.complaints import examine_all


class DoctorTests(TestCase):
    timeout = 600  # seconds, never met: every wait has a deadline of its own

    def test_it_names_the_cause_of_each_complaint(self) -> None:
        failures = []
        for test, result in examine_all():
            if result.skipped:
                raise SkipTest(result.skipped[0][1])
            failures += [f"{test.id()}: {text}" for _, text in result.errors + result.failures]
        self.assertEqual([], failures, "\n".join(failures))
