"""What a supervisor is told, and when."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net.notify import STATUS_EVERY, Notices, Supervisor


class SupervisorTests(SynchronousTestCase):
    def test_the_environment_names_it(self) -> None:
        asked = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "2500000"}
        self.assertEqual(Supervisor.of(asked, 7), Supervisor("/run/notify", 2.5))
        ours = {**asked, "WATCHDOG_PID": "7"}
        self.assertEqual(Supervisor.of(ours, 7), Supervisor("/run/notify", 2.5))

    def test_what_is_not_for_this_process_or_not_understood_is_left_out(self) -> None:
        self.assertEqual(Supervisor.of({}, 7), Supervisor())
        for address in ("", "vsock:2:1", "run/notify"):
            self.assertEqual(Supervisor.of({"NOTIFY_SOCKET": address}, 7), Supervisor())
        asked = {"NOTIFY_SOCKET": "@notify"}
        theirs = {**asked, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}
        self.assertEqual(Supervisor.of(theirs, 7), Supervisor("@notify"))
        for wait in ("", "moon", "-1", "1.5", "٣", "9" * 19):
            odd = {**asked, "WATCHDOG_USEC": wait}
            self.assertEqual(Supervisor.of(odd, 7), Supervisor("@notify"), wait)

    def test_nobody_asked_or_nobody_listens_any_more(self) -> None:
        for address in ("", "/dev/null/notify", "@p2pshare-nobody", "/" + "x" * 200):
            Supervisor(address).tell("READY=1")


class NoticesTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        self.address = str(Path(folder.name) / "notify")
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.ear.close)
        self.ear.bind(self.address)
        self.ear.setblocking(False)
        self.clock = Clock()
        self.status = "nodes here: 1"

    def told(self) -> list[str]:
        heard = []
        while True:
            try:
                heard.append(self.ear.recv(1000).decode())
            except BlockingIOError:
                return heard

    def notices(self, watchdog: float = 0.0) -> Notices:
        return Notices(self.clock, Supervisor(self.address, watchdog), lambda: self.status)

    def test_it_is_ready_and_then_it_stops(self) -> None:
        notices = self.notices()
        self.assertEqual(self.told(), [])
        notices.ready()
        self.assertEqual(self.told(), ["READY=1", "STATUS=nodes here: 1"])
        notices.stopping()
        self.assertEqual(self.told(), ["STOPPING=1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_status_is_told_when_it_is_another(self) -> None:
        self.notices().ready()
        self.told()
        self.clock.pump([STATUS_EVERY] * 3)
        self.assertEqual(self.told(), [])
        self.status = "nodes here: 2"
        self.clock.pump([STATUS_EVERY] * 3)
        self.assertEqual(self.told(), ["STATUS=nodes here: 2"])

    def test_the_watchdog_hears_of_it_twice_in_its_time(self) -> None:
        self.notices(3.0).ready()
        self.told()
        self.clock.pump([1.5] * 4)
        self.assertEqual(self.told(), ["WATCHDOG=1"] * 4)

    def test_a_watchdog_with_much_patience_does_not_delay_the_status(self) -> None:
        self.notices(600.0).ready()
        self.told()
        self.status = "nodes here: 2"
        self.clock.advance(STATUS_EVERY)
        self.assertEqual(self.told(), ["WATCHDOG=1\nSTATUS=nodes here: 2"])

    def test_a_status_that_fails_for_a_while_does_not_end_the_watch(self) -> None:
        def fail() -> str:
            raise OSError("locked")

        notices = Notices(self.clock, Supervisor(self.address, 2.0), fail)
        notices.ready()
        self.clock.advance(1.0)
        self.assertEqual(self.told(), ["READY=1", "WATCHDOG=1", "WATCHDOG=1"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)

    def test_stopping_before_it_was_ready_or_twice(self) -> None:
        notices = self.notices()
        notices.stopping()
        notices.stopping()
        self.assertEqual(self.told(), ["STOPPING=1"] * 2)

    def test_where_nobody_asked_nothing_is_awaited(self) -> None:
        Notices(self.clock, Supervisor(), lambda: self.status).ready()
        self.assertEqual(self.clock.getDelayedCalls(), [])
