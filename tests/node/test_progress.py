"""Progress of transfers: told a few times a second, with a rate that does not jump."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.events import Progress
from twistedp2p.node.progress import EVERY, LOOK_EVERY, Courses, Noted


class CoursesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Progress] = []
        self.courses = Courses(self.clock.seconds, self.told.append)  # type: ignore[arg-type]

    def test_numbers_are_never_used_twice(self) -> None:
        self.assertEqual(len({self.courses.number() for _ in range(100)}), 100)

    def test_a_transfer_is_told_a_few_times_a_second_however_often_it_moves(self) -> None:
        self.courses.begin(1, "get", "a", 10**9)
        for turn in range(1, 1001):
            self.clock.advance(0.001)
            self.courses.moved(1, turn * LOOK_EVERY)
        self.assertLessEqual(len(self.told), 1 / EVERY)
        self.assertGreaterEqual(len(self.told), 1 / EVERY - 1)

    def test_the_rate_is_that_of_the_bytes(self) -> None:
        self.courses.begin(1, "get", "a", 10**9)
        for turn in range(1, 101):
            self.clock.advance(0.1)
            self.courses.moved(1, turn * 100_000)
        self.assertAlmostEqual(self.told[-1].rate, 1_000_000, delta=1)

    def test_what_turns_to_something_else_begins_anew_and_keeps_its_number(self) -> None:
        self.courses.begin(1, "get", "a", 10**6)
        for kind, done in (("check", 900_000), ("get", 200_000)):
            self.courses.turns(1, kind)
            self.clock.advance(1)
            self.courses.moved(1, done)
            last = self.told[-1]
            self.assertEqual((last.number, last.kind, last.done, last.rate), (1, kind, done, done))
        self.assertEqual(self.courses.end(1), 2)
        self.courses.turns(1, "get")  # it is over, and there is no harm

    def test_how_far_a_thread_has_come_is_told_in_the_loop(self) -> None:
        told: list[tuple[int, int]] = []
        noted = Noted(self.clock, lambda done, size: told.append((done, size)))
        noted.note(3, 9)
        noted.note(4, 9)
        self.assertEqual(told, [])
        self.clock.advance(EVERY)
        self.assertEqual(told, [(4, 9)])
        noted.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_change_of_rate_is_smoothed(self) -> None:
        self.courses.begin(1, "get", "a", 10**9)
        self.clock.advance(1)
        self.courses.moved(1, 1_000_000)
        self.clock.advance(1)
        self.courses.moved(1, 11_000_000)
        self.assertEqual(self.told[-1].rate, 1_000_000 + 0.3 * 9_000_000)

    def test_the_end_is_told_once_with_the_seconds_that_it_took(self) -> None:
        self.courses.begin(1, "serve", "a", 10)
        self.clock.advance(2)
        self.courses.moved(1, 10)
        self.assertEqual(self.courses.end(1), 2)
        self.assertEqual(self.courses.end(1), 0)
        self.assertEqual([each.ended for each in self.told], [False, True])
        self.assertEqual((self.told[-1].done, self.told[-1].size), (10, 10))
        self.assertEqual(len(self.courses), 0)

    def test_the_size_may_come_later_and_an_empty_file_has_none(self) -> None:
        self.courses.begin(1, "read", "a", 0)
        self.clock.advance(1)
        self.courses.moved(1, 500, 500)
        self.assertEqual(self.told[-1].size, 500)
        self.courses.begin(2, "get", "b", 0)
        self.courses.moved(2, 0)
        self.courses.end(2)
        self.assertEqual((self.told[-1].done, self.told[-1].ended), (0, True))

    def test_a_clock_that_stands_still_divides_by_nothing(self) -> None:
        self.courses.begin(1, "get", "a", 10)
        self.courses.moved(1, 10)
        self.assertEqual(self.courses.end(1), 0)

    def test_what_moves_after_its_end_is_nothing(self) -> None:
        self.courses.moved(7, 100)
        self.assertEqual(self.told, [])
