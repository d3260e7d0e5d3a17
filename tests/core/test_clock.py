"""The hybrid logical clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.clock import FOLLOWED_MOST, SLOWED, HybridClock

NOW = 1_700_000_000_000  # milliseconds since 1970
HOUR = 3600 * 1000
CLOCKS = 4
# Who sends, after how many milliseconds, and whether the others hear it.
steps = st.lists(
    st.tuples(st.integers(0, CLOCKS - 1), st.integers(0, HOUR), st.booleans()), max_size=40
)
offsets = st.lists(
    st.integers(-FOLLOWED_MOST // 2, FOLLOWED_MOST // 2), min_size=CLOCKS, max_size=CLOCKS
)


class TestHybridClock(SynchronousTestCase):
    def test_is_the_time_of_day(self) -> None:
        clock = HybridClock(0, NOW)
        self.assertEqual(clock.stamp(NOW), NOW)
        self.assertEqual(clock.read(NOW + 5), NOW + 5)

    def test_no_two_stamps_are_equal(self) -> None:
        clock = HybridClock(0, NOW)
        self.assertEqual([clock.stamp(NOW) for _ in range(3)], [NOW, NOW + 1, NOW + 2])

    def test_an_answer_is_after_its_question(self) -> None:
        asks, answers = HybridClock(0, NOW + HOUR), HybridClock(0, NOW)
        question = asks.stamp(NOW + HOUR)
        self.assertTrue(answers.follow(question, NOW))
        self.assertGreater(answers.stamp(NOW + 1), question)

    def test_reading_gives_no_stamp(self) -> None:
        clock = HybridClock(NOW + HOUR, NOW)
        self.assertEqual([clock.read(NOW), clock.read(NOW)], [NOW + HOUR, NOW + HOUR])

    def test_what_is_more_than_a_day_ahead_is_not_followed(self) -> None:
        clock = HybridClock(0, NOW)
        self.assertFalse(clock.follow(NOW + FOLLOWED_MOST + 1, NOW))
        self.assertEqual(clock.stamp(NOW), NOW)
        self.assertTrue(clock.follow(NOW + FOLLOWED_MOST, NOW))
        self.assertGreater(clock.stamp(NOW), NOW + FOLLOWED_MOST)

    def test_goes_on_where_the_last_run_was(self) -> None:
        self.assertGreater(HybridClock(NOW + HOUR, NOW).stamp(NOW), NOW + HOUR)

    def test_a_run_with_a_clock_of_years_ahead_is_got_over(self) -> None:
        clock = HybridClock(NOW + 1000 * FOLLOWED_MOST, NOW)
        self.assertLessEqual(clock.read(NOW), NOW + FOLLOWED_MOST)

    def test_never_falls_when_the_time_of_day_is_set_back(self) -> None:
        clock = HybridClock(0, NOW)
        first = clock.stamp(NOW)
        stamps = [clock.stamp(NOW - HOUR + at) for at in range(0, 10_000, 1000)]
        self.assertEqual(stamps, sorted(set(stamps)))
        self.assertGreater(stamps[0], first)
        self.assertGreater(stamps[-1] - stamps[0], 7000)  # and it does not stand still

    def test_time_goes_on_while_ahead_and_the_lead_fades(self) -> None:
        clock = HybridClock(0, NOW)
        clock.follow(NOW + HOUR, NOW)
        self.assertEqual(clock.read(NOW + 8000), NOW + HOUR + 7000)
        gone = NOW + SLOWED * HOUR
        self.assertEqual(clock.read(gone), gone)

    @given(offsets, steps)
    def test_whatever_is_heard(self, off: list[int], events: list[tuple[int, int, bool]]) -> None:
        """Stamps rise, are above all that was heard, and never ahead of the latest clock."""
        clocks = [HybridClock(0, NOW + each) for each in off]
        above = [0] * CLOCKS
        now = NOW
        for given_, (who, pause, heard) in enumerate(events):
            now += pause
            stamp = clocks[who].stamp(now + off[who])
            self.assertGreater(stamp, above[who])
            self.assertLessEqual(stamp, now + max(off) + given_)
            above[who] = stamp
            for other in range(CLOCKS) if heard else ():
                self.assertTrue(clocks[other].follow(stamp, now + off[other]))
                above[other] = max(above[other], stamp)
