"""What the system keeps for who does not read, on real sockets of the loopback."""

from __future__ import annotations

import array
import fcntl
import socket
import termios

from twisted.trial.unittest import TestCase

from twistedp2p.net.body import UNSENT, bound_unsent


class _Tcp:
    """What of Twisted's transport is needed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def getHandle(self) -> socket.socket:
        return self._sock


class UnsentTests(TestCase):
    timeout = 60  # seconds

    def waiting(self, bound: bool) -> int:
        """Bytes that wait in the system once it takes no more, for one who reads nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            reader = socket.create_connection(listening.getsockname())
            sender, _ = listening.accept()
        self.addCleanup(reader.close)
        self.addCleanup(sender.close)
        sender.setblocking(False)
        if bound:
            bound_unsent(_Tcp(sender))
        room, waiting = memoryview(bytes(UNSENT)), array.array("i", [0])
        with self.assertRaises(BlockingIOError):
            while True:
                sender.send(room)
        fcntl.ioctl(sender, termios.TIOCOUTQ, waiting)
        return waiting[0]

    def test_who_reads_nothing_has_the_system_keep_little(self) -> None:
        """Attack 40: clients that ask for all, and read nothing."""
        self.assertLess(self.waiting(bound=True), 2 * UNSENT)
        self.assertGreater(self.waiting(bound=False), 2 * UNSENT)
