"""How long a whole room takes, and what it costs the owner, on simulated links."""

from __future__ import annotations

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

    def test_one_alone_takes_what_its_link_carries(self) -> None:
        self.room(1, 64, 1.1, 1.001)

    def test_nobody_of_many_is_left_out(self) -> None:
        """Sixteen, with fewer connections than there are others."""
        self.room(16, 40, 1.8, 1.75)
