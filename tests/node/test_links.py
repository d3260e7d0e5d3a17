"""How long a whole room takes, and what it costs the owner, on simulated links."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.node.links import Room

RATE = 12_500_000.0  # bytes a second: 100 Mbit/s


class RoomOnLinksTests(SynchronousTestCase):
    def room(self, receivers: int, pieces: int, ideal: float, copies: float) -> Room:
        """All have all within so much of the ideal time, for so many copies of the owner's."""
        room = Room(receivers, pieces, RATE)
        self.assertLess(room.run(10 * room.ideal) / room.ideal, ideal)
        self.assertLess(room.members[0].sent / room.tree.size, copies)
        return room

    def test_eight_take_little_longer_than_one(self) -> None:
        room = self.room(8, 192, 1.12, 1.1)
        again = sum(member.kept.twice for member in room.members[1:])
        self.assertLess(again, 3 * 8)

    def test_who_leaves_at_any_time_takes_nothing_with_him(self) -> None:
        for seed in range(4):
            room = Room(6, 48, RATE, seed)
            draw = random.Random(seed)
            leavers = room.members[4:]
            for member in leavers:
                room.clock.callLater(draw.uniform(1, room.ideal), member.leave)
            self.assertLess(room.run(10 * room.ideal), 2 * room.ideal)
            for member in room.members[1:4]:
                self.assertTrue(all(member.kept.have))

    def test_one_alone_takes_what_its_link_carries(self) -> None:
        self.room(1, 64, 1.1, 1.001)

    def test_nobody_of_many_is_left_out(self) -> None:
        """Sixteen, with fewer connections than there are others."""
        self.room(16, 40, 1.8, 1.75)
