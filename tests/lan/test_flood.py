"""A host floods the group with all it can; two others go on talking."""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path
from shutil import rmtree

from twisted.trial.unittest import TestCase

from tests.lan.crowd import Crowd
from tests.lan.flood import flood, mixed
from tests.lan.netns import LanMixin

SECONDS = 5.0  # of the flood
PATIENCE = 20.0  # seconds for lines to come, on a busy machine
MOST = 32 * 1024  # KiB above what a node takes before the flood


class FloodTests(LanMixin, TestCase):
    timeout = 120  # seconds, never met: every wait has a deadline of its own

    def memory(self, crowd: Crowd, number: int, what: str) -> int:
        """VmRSS or VmHWM of a node, KiB."""
        process = crowd.members[number].process
        assert process is not None
        found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        assert found is not None
        return int(found[1])

    def test_two_talk_while_a_third_floods_and_after(self) -> None:
        """Attack 40: plain lines, garbage, forged and valid datagrams of throw-away keys, replays.

        Attacks 36, 37 and 38 in one: memory stays flat, and no line is lost.
        """
        folder = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
        self.addCleanup(rmtree, folder)
        lan = self.lan(3)
        crowd = Crowd(lan, folder, 2)
        crowd.start(0, 1)
        self.addCleanup(crowd.stop)
        self.assertTrue(crowd.meet())
        before = self.memory(crowd, 1, "VmRSS")
        flooding = flood(lan, 2, folder, list(mixed(random.Random(1))), SECONDS)
        for number in range(int(SECONDS)):
            crowd.say(number % 2, f"during {number}")
            crowd.listen(1.0)
        for process in flooding:
            self.assertGreater(float(process.communicate()[0]), 1000)
        for number in range(5):
            crowd.say(number % 2, f"after {number}")
        self.assertTrue(crowd.wait(lambda: not list(crowd.missing()), PATIENCE))
        self.assertEqual([text for _, text in crowd.twice() if text in crowd.said], [])
        self.assertLess(self.memory(crowd, 1, "VmHWM") - before, MOST)
