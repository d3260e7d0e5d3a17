"""What killed runs have left, wherever downloads went."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, offer_of
from twistedp2p.disk.downloads.taking import LEFT_AFTER
from twistedp2p.node.downloads.leftovers import LOOK_EVERY

NAME = ".0123456789abcdef.part"


class LeftoversTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        around = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, around)
        self.elsewhere = around / "elsewhere"
        self.elsewhere.mkdir()
        self.node = self.lan.node("alice")
        other = self.lan.node("bob")
        self.node.get(offer_of(other, "a.jpg"), "secret", self.elsewhere)
        self.node.get(offer_of(other, "a.jpg"), "secret")
        self.lan.run_for(1)

    def left(self, age: float) -> Path:
        """A part that nobody has used for so many seconds."""
        path = self.elsewhere / NAME
        path.write_bytes(b"half")
        then = self.lan.wall() - age
        os.utime(path, (then, then))
        return path

    def known(self) -> list[Path]:
        return [folder for folder, _ in self.node._store.part_folders(0)]

    def start_again(self) -> None:
        self.lan.stop(self.node)
        self.node = self.lan.node("alice")
        self.lan.run_for(1)

    def test_where_downloads_went_is_tidied_in_a_later_run(self) -> None:
        """Attack 24: there, too, nothing goes but what a killed node of ours left."""
        part = self.left(LEFT_AFTER + 100)
        (self.elsewhere / "mine.part").write_bytes(b"")
        self.start_again()
        self.assertFalse(part.exists())
        self.assertEqual(["mine.part"], os.listdir(self.elsewhere))

    def test_where_nothing_is_left_is_forgotten_but_not_at_once(self) -> None:
        """A download that waits for its turn has no part yet."""
        self.start_again()
        self.assertEqual([self.elsewhere], self.known())
        self.lan.run_for(2 * LOOK_EVERY)
        self.assertEqual([], self.known())

    def test_what_may_be_gone_on_with_stays_until_it_is_old(self) -> None:
        part = self.left(LEFT_AFTER - 1.5 * LOOK_EVERY)
        self.start_again()
        self.lan.run_for(LOOK_EVERY)
        self.assertTrue(part.exists())
        self.lan.run_for(1.01 * LOOK_EVERY)
        self.assertFalse(part.exists())

    def test_a_disk_that_is_away_is_looked_at_when_it_is_back(self) -> None:
        away = self.elsewhere.with_name("away")
        self.left(LEFT_AFTER + 100)
        self.elsewhere.rename(away)
        self.start_again()
        self.assertEqual([self.elsewhere], self.known())
        away.rename(self.elsewhere)
        self.start_again()
        self.assertEqual([], os.listdir(self.elsewhere))
