"""Waiting for what runs in threads."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import FakeReactor
from twistedp2p.node.threads import REST_LOOK, REST_PATIENCE, Threads


class ThreadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.threads = Threads(self.reactor)
        self.hanging: Deferred[None] = Deferred()

    def hang(self) -> Deferred[None]:
        self.threads._to_thread = lambda *_: self.hanging
        return self.threads.run(print)

    def at_rest(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.threads.at_rest())

    def test_what_a_call_gives_is_given(self) -> None:
        self.assertEqual(self.successResultOf(self.threads.run(max, 1, 2)), 2)
        self.failureResultOf(self.threads.run(lambda: 1 / 0), ZeroDivisionError)
        self.successResultOf(self.at_rest())

    def test_an_end_waits_for_what_runs(self) -> None:
        running = self.hang()
        rest = self.at_rest()
        self.reactor.run_for(1)
        self.assertNoResult(rest)
        self.hanging.callback(None)
        self.successResultOf(running)
        self.reactor.run_for(2 * REST_LOOK)
        self.successResultOf(rest)

    def test_it_waits_for_a_thread_whose_caller_has_given_up(self) -> None:
        running = self.hang()
        running.cancel()
        self.failureResultOf(running, CancelledError)
        rest = self.at_rest()
        self.reactor.run_for(1)
        self.assertNoResult(rest)
        self.hanging.errback(ZeroDivisionError())
        self.reactor.run_for(2 * REST_LOOK)
        self.successResultOf(rest)

    def test_it_does_not_wait_for_ever(self) -> None:
        self.hang()
        rest = self.at_rest()
        self.reactor.run_for(REST_PATIENCE + 1)
        self.successResultOf(rest)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
