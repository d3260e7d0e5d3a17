"""When the interfaces are looked at: on signs of a change, after errors, and by time."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net.watch import LOOK_EVERY, SETTLE, SLEPT, Watch, drift, netlink


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.kernel, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.kernel.close)
        self.addCleanup(self.ours.close)
        self.ours.setblocking(False)
        self.looks: list[tuple[float, bool]] = []
        self.ahead = 0.0
        self.fails: Exception | None = None
        self.watch = self.make(lambda: self.ours)

    def make(self, netlink: Any) -> Watch:
        return Watch(self.reactor, self.look, drift=lambda: self.ahead, netlink=netlink)

    def look(self, woke: bool) -> None:
        self.looks.append((self.reactor.seconds(), woke))
        if self.fails is not None:
            raise self.fails

    def ring(self, times: int = 1) -> None:
        for _ in range(times):
            self.kernel.send(b"something changed")
        self.reactor.readers[0].doRead()

    def test_there_is_a_look_every_so_often(self) -> None:
        self.watch.start()
        self.reactor.pump([LOOK_EVERY] * 3)
        self.assertEqual([at for at, _ in self.looks], [10.0, 20.0, 30.0])

    def test_many_signs_of_one_change_are_one_look_once_it_has_settled(self) -> None:
        self.watch.start()
        self.ring(5)
        self.reactor.advance(SETTLE / 2)
        self.ring(5)
        self.assertEqual(self.looks, [])
        self.reactor.advance(SETTLE / 2)
        self.assertEqual(self.looks, [(SETTLE, False)])
        self.reactor.advance(SETTLE * 2)
        self.assertEqual(len(self.looks), 1)

    def test_changes_without_end_do_not_put_the_look_off(self) -> None:
        self.watch.start()
        for _ in range(100):
            self.ring()
            self.reactor.advance(0.1)
        self.assertTrue(25 <= len(self.looks) <= 34, len(self.looks))

    def test_a_sign_just_before_a_look_does_not_put_it_off(self) -> None:
        self.watch.start()
        self.reactor.advance(LOOK_EVERY - 0.1)
        self.watch.soon()
        self.reactor.advance(0.1)
        self.assertEqual(len(self.looks), 1)

    def test_more_changes_than_fit_are_a_change(self) -> None:
        self.watch.start()

        class Overrun:
            def recv(self, most: int) -> bytes:
                raise OSError(errno.ENOBUFS, "No buffer space available")

        self.reactor.readers[0]._sock = Overrun()
        self.reactor.readers[0].doRead()
        self.reactor.readers[0]._sock = self.ours
        self.reactor.advance(SETTLE)
        self.assertEqual(len(self.looks), 1)

    def test_a_look_that_fails_is_not_the_last(self) -> None:
        self.fails = OSError("no such device")
        self.watch.start()
        self.reactor.pump([LOOK_EVERY] * 2)
        self.assertEqual(len(self.looks), 2)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_a_time_of_day_that_jumped_tells_that_the_host_has_slept(self) -> None:
        self.watch.start()
        self.ahead += SLEPT / 2  # set right by a time server
        self.reactor.advance(LOOK_EVERY)
        self.ahead += 3600.0
        self.reactor.advance(LOOK_EVERY)
        self.reactor.advance(LOOK_EVERY)
        self.assertEqual([woke for _, woke in self.looks], [False, True, False])

    def test_without_netlink_there_are_the_looks_by_time(self) -> None:
        def none() -> socket.socket:
            raise OSError(errno.EAFNOSUPPORT, "not on this system")

        self.watch = self.make(none)
        self.watch.start()
        self.reactor.advance(LOOK_EVERY)
        self.assertEqual(len(self.looks), 1)
        self.watch.stop()

    def test_when_it_is_stopped_nothing_is_left(self) -> None:
        self.watch.start()
        bell = self.reactor.readers[0]
        self.watch.stop()
        self.watch.soon()
        bell.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), ([], []))
        self.assertEqual(self.ours.fileno(), -1)
        self.make(lambda: self.ours).stop()


class SystemTests(SynchronousTestCase):
    def test_the_netlink_socket_of_this_system_does_not_block(self) -> None:
        sock = netlink()
        self.addCleanup(sock.close)
        self.assertRaises(BlockingIOError, sock.recv, 65_536)

    def test_the_clocks_of_this_system_keep_their_distance(self) -> None:
        self.assertApproximates(drift(), drift(), SLEPT)

    def test_a_time_of_day_that_is_set_is_no_sleep(self) -> None:
        before = drift()
        self.patch(time, "time", lambda: 0.0)
        self.assertApproximates(drift(), before, SLEPT)
