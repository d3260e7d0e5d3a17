"""Downloads that are cut come whole; and the sources of one, when others go."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.cuts import CUTS_IN_COMPANY, MIB, Room
from tests.lan.netns import require_namespaces

SIZE = 24 * MIB  # `python -m tests.lan.cuts` has larger ones, and cuts 200
DOWN = 2.0  # seconds at most for which a link is down
SEED = 4


class CutTests(TestCase):
    timeout = 600  # seconds, never met: every wait has a deadline of its own

    def test_whatever_cuts_a_download_it_comes_whole(self) -> None:
        require_namespaces(self)
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        room = Room(Path(folder.name), random.Random(SEED), SIZE, DOWN)
        self.addCleanup(room.close)
        for number, cut in enumerate(CUTS_IN_COMPANY):
            company = number % 2 == 0 or cut == "holder killed"
            room.download("folder" if number % 3 == 1 else "file", [cut], company)
        room.check_logs()
