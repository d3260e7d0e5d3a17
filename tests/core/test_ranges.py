"""Sets of numbers kept as runs."""

from __future__ import annotations

import json
import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.core.feeds.ranges import MAX_RANGES, Ranges, count, first_of


def numbers(runs: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in runs for number in range(low, high + 1)}


SMALL = st.integers(1, 60)
RUNS = st.tuples(SMALL, st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


class RunsOfNumbers(SynchronousTestCase):
    @settings(deadline=None, max_examples=200)
    @given(st.lists(RUNS, max_size=30), RUNS)
    def test_they_are_a_set(self, added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
        ranges, model = Ranges(), set()
        for low, high in added:
            self.assertTrue(ranges.add(low, high))
            model |= numbers([(low, high)])
        self.assertEqual(numbers(ranges.runs()), model)
        self.assertEqual([n in ranges for n in range(70)], [n in model for n in range(70)])
        self.assertEqual(numbers(ranges.missing(*asked)), numbers([asked]) - model)
        for runs in (ranges.runs(), list(ranges.missing(*asked))):
            self.assertTrue(all(low <= high for low, high in runs))
            between = pairwise(runs)
            self.assertTrue(all(high + 1 < low for (_, high), (low, _) in between))
        self.assertEqual(Ranges(ranges.runs()), ranges)
        self.assertEqual(count(ranges.runs()), len(model))
        self.assertEqual(ranges.highest, max(model, default=0))

    @settings(deadline=None, max_examples=200)
    @given(st.lists(RUNS, max_size=30), st.integers(0, 60))
    def test_how_far_they_are_unbroken(self, added: list[tuple[int, int]], start: int) -> None:
        ranges = Ranges()
        for run in added:
            ranges.add(*run)
        end = start
        while end + 1 in ranges:
            end += 1
        self.assertEqual(ranges.unbroken(start), end)

    def test_single_numbers(self) -> None:
        ranges = Ranges()
        for number in (5, 3, 4, MAX_NUMBER, 1):
            self.assertTrue(ranges.add(number))
        self.assertEqual(ranges.runs(), [(1, 1), (3, 5), (MAX_NUMBER, MAX_NUMBER)])
        self.assertEqual(list(ranges.missing(1, MAX_NUMBER)), [(2, 2), (6, MAX_NUMBER - 1)])
        self.assertEqual(list(ranges.missing(7, 6)), [])

    def test_there_are_never_too_many(self) -> None:
        """Attack 40: a feed of every other number, upward, downward and at random."""
        every_other = list(range(10, 10 + 6 * MAX_RANGES, 2))
        shuffled = random.Random(1).sample(every_other, len(every_other))
        for order in (every_other, every_other[::-1], shuffled):
            ranges = Ranges()
            for number in order:
                self.assertEqual(ranges.add(number), number in ranges)
            self.assertLessEqual(len(ranges.runs()), MAX_RANGES + 1)
            for number in every_other:
                ranges.add(number + 1)
            self.assertLessEqual(len(ranges.runs()), MAX_RANGES + 1)

    def test_a_full_one_takes_what_joins_its_runs(self) -> None:
        ranges = Ranges()
        for number in range(1, 1 + 2 * MAX_RANGES, 2):
            ranges.add(number)
        self.assertFalse(ranges.add(10**6))
        self.assertTrue(ranges.add(2))
        self.assertTrue(ranges.add(10**6))

    def test_the_copy_of_the_runs_is_the_callers_own(self) -> None:
        ranges = Ranges([(1, 2)])
        ranges.runs().append((5, 6))
        self.assertEqual(ranges.runs(), [(1, 2)])

    @settings(deadline=None)
    @given(st.lists(RUNS, max_size=10), st.integers(0, 50), st.integers(0, 60))
    def test_the_first_of_them(self, added: list, most: int, room: int) -> None:
        ranges = Ranges()
        for run in added:
            ranges.add(*run)
        taken = first_of(ranges.runs(), most, room)
        self.assertLessEqual(len(numbers(taken)), most)
        self.assertLessEqual(len(json.dumps(taken, separators=(",", ":"))), max(2, room + 1))
        everything = sorted(numbers(ranges.runs()))
        self.assertEqual(sorted(numbers(taken)), everything[: len(numbers(taken))])
        if room == 60 and most and everything and len(added) <= 5:
            self.assertTrue(taken)
