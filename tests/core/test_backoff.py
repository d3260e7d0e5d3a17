"""Random waits: of many who could speak, few do."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.feeds.backoff import ROUND, random_backoff, round_time


class Backoff(SynchronousTestCase):
    @given(st.integers(0, 10**6), st.floats(0, 1))
    def test_it_is_within_its_bounds(self, nodes: int, chance: float) -> None:
        wait = random_backoff(2.0, nodes, lambda: chance)
        self.assertTrue(0 <= wait <= 2.0 + 1e-9, wait)

    def test_it_ends_are_reached(self) -> None:
        for nodes in (1, 10, 1000):
            self.assertAlmostEqual(random_backoff(2.0, nodes, lambda: 0.0), 0.0)
            self.assertAlmostEqual(random_backoff(2.0, nodes, lambda: 1.0), 2.0)

    def test_a_round_grows_slowly_with_the_group(self) -> None:
        self.assertAlmostEqual(round_time(1), ROUND)
        self.assertAlmostEqual(round_time(1000), 4 * ROUND)

    def test_of_any_number_few_speak_before_they_hear_the_first(self) -> None:
        chance = random.Random(1)
        for nodes in (2, 10, 100, 1000, 4000):
            spoke = 0
            for _ in range(50):
                most = round_time(nodes)
                waits = [random_backoff(most, nodes, chance.random) for _ in range(nodes)]
                heard = min(waits) + 0.002  # seconds on the way
                spoke += sum(1 for wait in waits if wait <= heard)
            self.assertLess(spoke / 50, 3)
