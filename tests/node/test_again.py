"""What is done again and again."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.node.again import Again


class AgainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.at: list[float] = []  # when turns began
        self.waiting: list[Deferred[None]] | None = None
        self.fails = False
        self.again = Again(self.turn, pause=7, what="a turn", clock=self.clock)

    async def turn(self) -> float:
        self.at.append(self.clock.seconds())
        if self.waiting is not None:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.fails:
            raise ZeroDivisionError
        return 3

    def test_the_pause_is_what_the_turn_says_and_begins_at_its_end(self) -> None:
        self.again.start(1)
        self.clock.pump([1] * 7)
        self.assertEqual(self.at, [1, 4, 7])
        self.waiting = []
        self.clock.pump([1] * 20)
        self.assertEqual(self.at, [1, 4, 7, 10])
        self.waiting.pop().callback(None)
        self.clock.pump([1] * 3)
        self.assertEqual(self.at, [1, 4, 7, 10, 30])

    def test_a_turn_that_fails_is_logged_and_the_next_one_comes(self) -> None:
        self.fails = True
        self.again.start()
        self.clock.pump([0, *[1] * 7])
        self.assertEqual(self.at, [0, 7])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_after_the_stop_nothing_comes_and_nothing_is_awaited(self) -> None:
        self.again.start()
        self.again.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.again.start()
        self.clock.advance(10)
        self.assertEqual(self.at, [])
        self.again = Again(self.turn, pause=7, what="a turn", clock=self.clock)
        self.waiting = []
        self.again.start()
        self.clock.advance(0)
        self.again.stop()
        self.assertTrue(self.waiting[0].called)
        self.assertEqual(self.clock.getDelayedCalls(), [])
