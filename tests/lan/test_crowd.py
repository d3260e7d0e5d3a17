from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.crowd import Crowd
from tests.lan.netns import LanMixin

EVERY = 0.1  # seconds between two lines
PATIENCE = 60.0  # seconds after the last line, on a busy machine


class CrowdTests(LanMixin, TestCase):
    timeout = 240  # seconds

    def test_a_lossy_network_loses_nothing_and_shows_nothing_twice(self) -> None:
        """One in five datagrams is lost; a node is killed and restarted, and another comes late."""
        lan, count = self.lan(6), 6
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for number in range(count):
            lan.loss(number, 0.2)
        crowd = Crowd(lan, Path(folder.name), count)
        crowd.start(*range(count - 1))
        self.assertTrue(crowd.meet(PATIENCE))
        crowd.talk(
            60,
            EVERY,
            1,
            {20: lambda: crowd.kill(1), 35: lambda: crowd.start(1, count - 1)},
        )
        crowd.wait(lambda: not any(crowd.missing()), PATIENCE)
        crowd.listen(1.0)
        self.assertEqual([], list(crowd.missing()))
        self.assertEqual([], crowd.twice())
        crowd.stop()
