"""Who is told of whom, and who gets which piece."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.pieces import MAX_PEERS
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.core.swarm.audience import LATELY, PRESENT, Audience
from twistedp2p.core.swarm.bitmap import to_bitmap


def audience(count: int) -> Audience:
    return Audience(count, Random(1).randrange)


class AudienceTests(SynchronousTestCase):
    def test_all_pieces_are_handed_out_once_before_any_is_twice(self) -> None:
        it, nothing = audience(100), bytes(13)
        handed = Counter(it.next(nothing) for _ in range(100))
        self.assertEqual({1}, set(handed.values()))
        handed.update(it.next(nothing) for _ in range(100))
        self.assertEqual({2}, set(handed.values()))

    def test_nobody_is_handed_what_he_has(self) -> None:
        it = audience(10)
        have = bytearray(b"\1" * 10)
        self.assertIsNone(it.next(to_bitmap(have)))
        have[7] = 0
        for _ in range(300):
            self.assertEqual(7, it.next(to_bitmap(have)))

    def test_whole_pieces_that_somebody_chose_himself_count_the_last_one_too(self) -> None:
        size = 2 * PIECE_LEAST + 5
        for offset, length, left in (
            (PIECE_LEAST, size - PIECE_LEAST, {0}),  # the shorter last one, whole
            (PIECE_LEAST, size - PIECE_LEAST - 1, {0, 2}),
            (1, size - 1, {0}),
            (size - 1, 1, {0, 1, 2}),
            (size, 0, {0, 1, 2}),
        ):
            it = audience(3)
            it.handed(offset, length, size)
            self.assertEqual(left, {it.next(b"\0") for _ in left})

    def test_what_is_no_bitmap(self) -> None:
        it = audience(10)
        for wrong in (b"", b"\0", b"\0\1", bytes(3)):
            self.assertRaises(ValueError, it.next, wrong)

    def test_others_are_told_who_serve_and_were_here_a_moment_ago(self) -> None:
        it = audience(1)
        self.assertEqual([], it.seen(b"a", "10.0.0.1", 9393, 0.0))
        self.assertEqual([("10.0.0.1", 9393)], it.seen(b"b", "10.0.0.2", 0, 1.0))
        self.assertEqual([("10.0.0.1", 9393)], it.seen(b"c", "fe80::1%eth0", 9393, 1.0))
        self.assertEqual([], it.seen(b"a", "10.0.0.1", 9393, 2.0))
        self.assertEqual([], it.present(3.0 + PRESENT))

    def test_where_there_is_nobody_else_those_are_told_who_may_have_all_by_now(self) -> None:
        it, fetching, done = audience(1), ("10.0.0.2", 9393), ("10.0.0.1", 9393)
        it.seen(b"a", *done, 0.0)
        self.assertEqual([done], it.seen(b"b", *fetching, 1.0 + PRESENT))
        self.assertEqual([fetching], it.seen(b"c", "10.0.0.3", 0, 2.0 + PRESENT))
        self.assertEqual([], it.seen(b"c", "10.0.0.3", 0, 2.0 + PRESENT + LATELY))

    def test_some_of_many_are_told_by_chance(self) -> None:
        it = audience(1)
        for number in range(100):
            it.seen(bytes([number]), f"10.0.0.{number}", 1, 0.0)
        told = {tuple(it.seen(b"x", "10.0.1.1", 0, 1.0)) for _ in range(5)}
        self.assertEqual({MAX_PEERS}, {len(set(some)) for some in told})
        self.assertEqual(5, len(told))
