"""What killed runs have left, wherever downloads went."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder, open_store
from tests.node.fakes import Lan, offer_of
from twistedp2p.disk.downloads.taking import LEFT_AFTER
from twistedp2p.node.downloads.leftovers import LOOK_EVERY, Leftovers

NAME = ".0123456789abcdef.part"
BEGUN = 1_700_000_000.0  # seconds since 1970


def in_thread(call: Any, *arguments: Any) -> Deferred[Any]:
    return maybeDeferred(call, *arguments)


class LeftoversTests(SynchronousTestCase):
    """Day after day, without all the rest of a node."""

    def setUp(self) -> None:
        self.store = open_store(self)
        self.clock = Clock()
        self.usual, self.elsewhere = new_folder(self), new_folder(self)
        self.room = self.started()
        self.room.goes_to(self.elsewhere)
        self.room.goes_to(self.usual)

    def wall(self) -> float:
        return BEGUN + self.clock.seconds()

    def started(self) -> Leftovers:
        room = Leftovers(
            self.store, self.usual, clock=self.clock, wall=self.wall, in_thread=in_thread
        )
        room.start()
        self.clock.advance(0)
        return room

    def start_again(self) -> None:
        self.room.stop()
        self.clock.advance(1)
        self.room = self.started()

    def left(self, age: float) -> Path:
        """A part that nobody has used for so many seconds."""
        path = self.elsewhere / NAME
        path.write_bytes(b"half")
        then = self.wall() - age
        os.utime(path, (then, then))
        return path

    def known(self) -> list[Path]:
        return [folder for folder, _ in self.store.part_folders(0)]

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
        self.clock.pump([LOOK_EVERY, LOOK_EVERY])
        self.assertEqual([], self.known())

    def test_what_may_be_gone_on_with_stays_until_it_is_old(self) -> None:
        part = self.left(LEFT_AFTER - 1.5 * LOOK_EVERY)
        self.start_again()
        self.clock.advance(LOOK_EVERY)
        self.assertTrue(part.exists())
        self.clock.advance(1.01 * LOOK_EVERY)
        self.assertFalse(part.exists())

    def test_a_disk_that_is_away_is_looked_at_when_it_is_back(self) -> None:
        away = self.elsewhere.with_name(f"{self.elsewhere.name}-away")
        self.left(LEFT_AFTER + 100)
        self.elsewhere.rename(away)
        self.start_again()
        self.assertEqual([self.elsewhere], self.known())
        away.rename(self.elsewhere)
        self.start_again()
        self.assertEqual([], os.listdir(self.elsewhere))


class NodeTests(SynchronousTestCase):
    def test_a_node_tidies_where_it_was_told_to_get_something_to(self) -> None:
        lan, elsewhere = Lan(self), new_folder(self)
        node, other = lan.node("alice"), lan.node("bob")
        node.get(offer_of(other, "a.jpg"), "secret", elsewhere)
        lan.run_for(1)
        part = elsewhere / NAME
        part.write_bytes(b"half")
        then = lan.wall() - LEFT_AFTER - 100
        os.utime(part, (then, then))
        lan.stop(node)
        lan.node("alice")
        lan.run_for(1)
        self.assertFalse(part.exists())
