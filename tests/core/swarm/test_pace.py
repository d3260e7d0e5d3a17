"""How fast something comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.swarm.pace import WINDOW, Pace


class PaceTests(SynchronousTestCase):
    def test_nothing_is_known_before_anything_came(self) -> None:
        pace = Pace()
        self.assertEqual(0.0, pace.of(1.0))
        pace.asked(0.0)
        pace.came(1000, 0.0, last=True)  # in no time at all
        self.assertEqual(0.0, pace.of(1.0))

    def test_time_in_which_nothing_was_asked_does_not_count(self) -> None:
        pace = Pace()
        for begin in (0.0, 100.0, 200.0):
            pace.asked(begin)
            pace.came(500, begin + 0.5, last=True)
        self.assertAlmostEqual(1000.0, pace.of(1.0))

    def test_time_in_which_nothing_came_counts(self) -> None:
        pace = Pace()
        pace.asked(0.0)
        pace.asked(1.0)
        pace.came(1000, 2.0, last=False)
        self.assertAlmostEqual(500.0, pace.of(1.0))

    def test_what_was_long_ago_is_forgotten(self) -> None:
        pace, now = Pace(), 0.0
        pace.asked(now)
        for size in [1_000_000] * 10 + [1000] * 200:
            now += WINDOW / 10
            pace.came(size, now, last=False)
        self.assertLess(pace.of(WINDOW), 11_000)

    @given(st.lists(st.tuples(st.integers(1, 2**20), st.floats(0, 10)), min_size=1))
    def test_it_is_between_the_slowest_and_the_fastest(self, came: list[tuple[int, float]]) -> None:
        pace, now = Pace(), 0.0
        pace.asked(now)
        for size, seconds in came:
            now += seconds + 0.001
            pace.came(size, now, last=False)
        rates = [size / (seconds + 0.001) for size, seconds in came]
        self.assertGreaterEqual(pace.of(1.0), min(rates) * 0.999)
        self.assertLessEqual(pace.of(1.0), max(rates) * 1.001)
