from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.net.wire import End, MemoryFile
from twistedp2p.net.deadline import Deadline
from twistedp2p.net.pump import MOST_AT_ONCE, MOST_FULL, Pump


class SlowThread:
    """Calls that are made when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any, tuple[Any, ...]]] = []

    def __call__(self, call: Any, *arguments: Any) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self.waiting.append((deferred, call, arguments))
        return deferred

    def one(self) -> None:
        deferred, call, arguments = self.waiting.pop(0)
        try:
            result = call(*arguments)
        except Exception:
            deferred.errback(Failure())
        else:
            deferred.callback(result)

    def all(self) -> None:
        while self.waiting:
            self.one()


class PumpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.thread, self.file, self.flow = SlowThread(), MemoryFile(), End()
        self.failures: list[Failure] = []

    def pump(self) -> Pump:
        return Pump(self.file, 10, self.thread, self.flow, self.failures.append)

    def put(self, pump: Pump, data: bytes) -> None:
        """Byte by byte."""
        for at in range(len(data)):
            pump.room(1)[:] = data[at : at + 1]
            pump.filled(1)

    def test_everything_is_written_in_order(self) -> None:
        pump, data = self.pump(), bytes(range(103))
        self.put(pump, data)
        pump.flush()
        self.thread.all()
        self.assertEqual(data, bytes(self.file.data))
        self.assertEqual(103, sum(self.file.results))

    def test_room_is_never_split(self) -> None:
        pump = self.pump()
        for size in (7, 7, 10, 1):
            pump.room(size)[:] = b"x" * size
            pump.filled(size)
        pump.flush()
        self.thread.all()
        self.assertEqual(b"x" * 25, bytes(self.file.data))
        self.assertEqual([7, 7, 10, 1], self.file.results)

    def test_one_call_at_a_time(self) -> None:
        pump = self.pump()
        self.put(pump, bytes(60))
        self.assertEqual(1, len(self.thread.waiting))

    def test_the_sender_is_paused_and_let_go_again(self) -> None:
        pump = self.pump()
        self.put(pump, bytes(10 * MOST_FULL - 1))
        self.assertFalse(self.flow.paused)
        self.put(pump, b"x")
        self.assertTrue(self.flow.paused)
        while self.flow.paused:
            self.thread.one()
        self.assertLess(len(pump._full), MOST_FULL)

    def test_what_waits_is_written_in_one_call(self) -> None:
        pump = self.pump()
        self.put(pump, bytes(10 * (MOST_AT_ONCE + 1)))
        self.thread.one()
        self.assertEqual(10, len(self.file.data))  # nothing else had come when it was called
        self.thread.one()
        self.assertEqual(10 * (MOST_AT_ONCE + 1), len(self.file.data))

    def test_buffers_are_used_again(self) -> None:
        pump = self.pump()
        for _ in range(500):
            self.put(pump, bytes(10))
            self.thread.all()
        self.assertLessEqual(len(pump._free), 1)

    def test_a_failed_write_ends_it(self) -> None:
        self.file.fail_at = 5
        pump = self.pump()
        self.put(pump, bytes(40))
        self.thread.all()
        self.assertEqual(1, len(self.failures))
        self.put(pump, bytes(40))
        self.assertEqual([], self.thread.waiting)
        self.successResultOf(pump.stop())

    def test_stopping_waits_for_the_write_under_way(self) -> None:
        pump = self.pump()
        self.put(pump, bytes(50))
        done = pump.stop()
        self.assertNoResult(done)
        self.thread.all()
        self.successResultOf(done)
        self.assertEqual(10, len(self.file.data))

    def test_what_waits_is_written_where_nothing_more_comes(self) -> None:
        pump = self.pump()
        self.put(pump, bytes(57))
        done = pump.drain()
        while self.thread.waiting:
            self.assertNoResult(done)
            self.thread.one()
        self.successResultOf(done)
        self.assertEqual(57, len(self.file.data))
        self.successResultOf(pump.drain())

    def test_a_disk_that_fails_at_the_end_is_not_waited_for(self) -> None:
        self.file.fail_at = 5
        pump = self.pump()
        self.put(pump, bytes(57))
        done = pump.drain()
        self.thread.all()
        self.successResultOf(done)
        self.assertEqual(1, len(self.failures))

    def test_nothing_at_all(self) -> None:
        pump = self.pump()
        pump.flush()
        self.assertEqual([], self.thread.waiting)
        self.successResultOf(pump.stop())

    def test_a_thread_that_cannot_be_had(self) -> None:
        pump = Pump(
            self.file, 10, lambda *_: fail(RuntimeError("none")), self.flow,
            self.failures.append,
        )  # fmt: skip
        self.put(pump, bytes(10))
        self.assertEqual(1, len(self.failures))


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.expired = Clock(), 0
        self.deadline = Deadline(self.clock, self._expire)

    def _expire(self) -> None:
        self.expired += 1

    def test_it_expires_once(self) -> None:
        self.deadline.set(10)
        self.clock.advance(9.9)
        self.assertEqual(0, self.expired)
        self.clock.advance(0.1)
        self.clock.advance(100)
        self.assertEqual(1, self.expired)

    def test_what_moves_puts_it_off_to_the_full_span(self) -> None:
        self.deadline.set(10)
        self.clock.advance(7)
        self.deadline.moved()
        self.clock.advance(9.9)
        self.assertEqual(0, self.expired)
        self.clock.advance(0.2)
        self.assertEqual(1, self.expired)

    def test_another_span(self) -> None:
        self.deadline.set(10)
        self.deadline.set(100)
        self.clock.advance(50)
        self.assertEqual(0, self.expired)
        self.deadline.set(1)
        self.clock.advance(1)
        self.assertEqual(1, self.expired)

    def test_stopped(self) -> None:
        self.deadline.set(10)
        self.deadline.stop()
        self.deadline.stop()
        self.clock.advance(100)
        self.assertEqual(0, self.expired)
        self.assertEqual([], self.clock.getDelayedCalls())
