"""A node that is killed in the middle of its work: what was there is there when it starts again."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.crashes import MIB, Pair

TIMES = 10  # `python -m tests.lan.crashes` does it 200 times, with larger files


class CrashTests(TestCase):
    timeout = 300  # seconds, never met: every wait has a deadline of its own

    def test_killed_at_random_moments_it_is_who_it_was_and_has_what_it_had(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        pair = Pair(Path(folder.name), random.Random(), big=16 * MIB)
        self.addCleanup(pair.close)
        for _ in range(TIMES):
            pair.round()
        for node in (pair.victim, pair.other):
            self.assertNotIn("Traceback", node.log + node.errors)
