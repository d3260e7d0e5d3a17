"""A reactor whose timers do not follow the time of day."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net.steady import keep_steady


class Reactor(ReactorBase):
    """The timers of a real one, without anything to wait on."""

    def installWaker(self) -> None:
        pass

    def removeAll(self) -> list[Any]:
        return []


class SteadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now, self.made = 50.0, 0
        self.patch(time, "monotonic", lambda: self.now)
        self.reactor = Reactor()
        self.addCleanup(self.reactor.fireSystemEvent, "shutdown")
        self.assertTrue(keep_steady(self.reactor))

    def make(self) -> None:
        self.made += 1

    def at(self, now: float) -> int:
        self.now = now
        self.reactor.runUntilCurrent()
        return self.made

    def test_calls_are_made_by_the_monotonic_clock(self) -> None:
        call = self.reactor.callLater(10, self.make)
        self.assertEqual((self.reactor.timeout(), call.getTime()), (10.0, 60.0))
        self.assertEqual([self.at(59.9), self.at(60.0)], [0, 1])
        call = self.reactor.callLater(10, self.make)
        call.reset(20)
        self.assertEqual([self.at(79.9), self.at(80.0)], [1, 2])

    def test_so_are_repeated_ones(self) -> None:
        loop = LoopingCall(self.make)
        loop.clock = self.reactor
        loop.start(5, now=False)
        self.assertEqual([self.at(54.9), self.at(55.0), self.at(60.0)], [0, 1, 2])
        loop.stop()

    def test_one_with_calls_to_make_stays_as_it_is(self) -> None:
        other = Reactor()
        self.addCleanup(other.fireSystemEvent, "shutdown")
        other.callLater(10, self.make).cancel()
        other.callLater(10, self.make)
        self.assertFalse(keep_steady(other))
        self.assertGreater(other.seconds(), 1e9)

    def test_one_that_runs_stays_as_it_is(self) -> None:
        other = Reactor()
        self.addCleanup(other.fireSystemEvent, "shutdown")
        other.running = True
        self.assertFalse(keep_steady(other))
        self.assertGreater(other.seconds(), 1e9)
