"""Downloads that are cut come whole, from those who are left."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.cuts import CUTS_IN_COMPANY, MIB, Room
from tests.lan.netns import require_namespaces
from tests.lan.nodes import until
from tests.lan.test_nodes import LINK, SLOW_LINK, NodesTestCase, digest

SIZE = 24 * MIB  # `python -m tests.lan.cuts` has larger ones, and cuts 200
DOWN = 2.0  # seconds at most for which a link is down
SEED = 4


class SourceTests(NodesTestCase):
    def test_where_the_owner_has_gone_for_good_another_who_has_it_is_enough(self) -> None:
        lan = self.lan(3)
        owner, holder, receiver = (
            self.node(name, lan=lan, ns=ns)
            for ns, name in enumerate(("owner", "holder", "receiver"))
        )
        self.offer(owner, self.make(owner, "big.bin"))
        for node in (holder, receiver):
            node.expect(r"owner offers big\.bin")
        holder.type("2", "big.bin", "monpass")
        holder.expect(r"big\.bin is here, whole")
        for ns in (0, 1):
            lan.rate(ns, SLOW_LINK)
        before = lan.sent(1)
        receiver.type("2", "big.bin", "monpass")
        until(lambda: lan.sent(1) - before > MIB, "the holder sends some of it")
        owner.process.kill()
        lan.rate(1, LINK)
        receiver.expect(r"big\.bin is here, whole")
        self.assertEqual(digest(receiver.folder / "big.bin"), digest(owner.folder / "big.bin"))
        receiver.expect_not("! ")

    def test_who_starts_again_after_the_owner_has_gone_finds_who_has_it(self) -> None:
        lan = self.lan(3)
        owner, holder, receiver = (
            self.node(name, lan=lan, ns=ns)
            for ns, name in enumerate(("owner", "holder", "receiver"))
        )
        self.offer(owner, self.make(owner, "big.bin"))
        for node in (holder, receiver):
            node.expect(r"owner offers big\.bin")
        holder.type("2", "big.bin", "monpass")
        holder.expect(r"big\.bin is here, whole")
        for ns in (0, 1):
            lan.rate(ns, SLOW_LINK)
        receiver.type("2", "big.bin", "monpass")
        self.in_the_middle(receiver)
        for node in (receiver, owner):
            node.process.kill()
            node.wait()
        for ns in (0, 1):
            lan.rate(ns, LINK)
        again = self.node("receiver", lan=lan, ns=2, home="receiver")
        again.expect("holder is here")
        again.type("2", "big.bin", "monpass")
        again.expect(r"big\.bin is here, whole")
        self.assertEqual(digest(again.folder / "big.bin"), digest(owner.folder / "big.bin"))


class CutTests(TestCase):
    timeout = 1200  # seconds, never met: every wait has a deadline of its own

    def test_whatever_cuts_a_download_it_comes_whole(self) -> None:
        require_namespaces(self)
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        room = Room(Path(folder.name), random.Random(SEED), SIZE, DOWN, SLOW_LINK)
        self.addCleanup(room.close)
        for number, cut in enumerate(CUTS_IN_COMPANY):
            company = number % 2 == 0 and cut != "changed"
            cost = room.download("folder" if number % 3 == 1 else "file", [cut], company)
            self.assertEqual(cost.cuts, (cut,))
        room.check_logs()
