"""Keeping the memory tidy, and the group's time in it."""

from __future__ import annotations

from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan
from twistedp2p.core.errors import ShareError
from twistedp2p.node.tidying import CLOCK, KEPT_AHEAD, TIDY_EVERY


class TidyingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice = self.lan.node("alice")

    def test_the_memory_is_tidied_now_and_then(self) -> None:
        with mock.patch.object(self.alice._store, "tidy") as tidy:
            self.lan.run_for(3 * TIDY_EVERY + 1)
            tidy.side_effect = ShareError("the disk is full")
            self.lan.run_for(TIDY_EVERY)
            tidy.side_effect = ZeroDivisionError
            self.lan.run_for(TIDY_EVERY)
        self.assertIn(tidy.call_count, (4, 5))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_group_s_time_is_kept_while_it_is_ahead_of_ours(self) -> None:
        """A kill or a power cut takes at most some seconds of it."""
        self.lan.run_for(5)
        self.assertEqual(self.alice._store.counter(CLOCK), 0)
        self.lan.node("bob", ahead=3600)
        self.lan.run_for(TIDY_EVERY + 1)
        ahead = self.alice._store.counter(CLOCK) / 1000 - self.lan.wall()
        self.assertApproximates(ahead, 3600, 60)
        # What is said until the next look is not above it.
        self.assertGreater(ahead, 3600 + TIDY_EVERY)

    def test_a_jump_of_the_group_s_time_is_kept_at_once(self) -> None:
        """Who is killed before the next look has given stamps, and numbers, as late as that."""
        self.lan.run_for(TIDY_EVERY + 1)
        clock, now = self.alice._group_time, int(self.lan.wall() * 1000)
        with mock.patch.object(self.alice._store, "set_counter") as kept:
            clock.follow(now + 900, now)  # ours is as late before a next run could begin
            kept.assert_not_called()
            clock.follow(now + 60_000, now)
            kept.assert_called_once_with(CLOCK, now + 60_000 + int(KEPT_AHEAD * 1000))
            for later in range(0, int((KEPT_AHEAD - TIDY_EVERY) * 1000), 100):
                clock.follow(now + 60_000 + later, now)
            kept.assert_called_once()
            clock.follow(now + 80_000, now)
            self.assertEqual(kept.call_count, 2)
