"""Whom the doorstep of the loopback lets in, where many crowd on it."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net.doorstep import AT_ONCE, CROWD, NEWCOMERS, PAUSE, Doorstep

WORD = b"GET / HTTP/1.1\r\nAuthorization: Bearer t\r\n\r\n"


class Reactor(Clock):
    """What of a reactor is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.let_in: list[int] = []  # the ports of those who were
        self.full = False

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def adoptStreamConnection(self, number: int, family: int, _factory: Any) -> None:
        if self.full:
            raise OSError(errno.EMFILE, "too many")
        with socket.socket(fileno=os.dup(number)) as caller:
            self.let_in.append(caller.getpeername()[1])


class Factory:
    """One that counts."""

    running = 0

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1


class DoorstepTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.factory = Reactor(), Factory()
        self.step = Doorstep(
            self.reactor, "127.0.0.1", 0, self.factory, lambda sent: b"Bearer t" in sent
        )
        self.addCleanup(self.step.stopListening)

    def callers(self, count: int, sent: bytes = b"") -> list[socket.socket]:
        """Who connects, and says that at once."""
        made = []
        for _ in range(count):
            caller = socket.create_connection(self.step.host)
            self.addCleanup(caller.close)
            caller.sendall(sent)
            made.append(caller)
        return made

    def ports(self, callers: list[socket.socket]) -> list[int]:
        return [caller.getsockname()[1] for caller in callers]

    def test_who_is_vouched_for_comes_in_whoever_crowds_before_and_after(self) -> None:
        """Attack 42: another user of the machine, who connects without end, keeps nobody out."""
        self.callers(60)
        owner = self.callers(1, WORD)
        strangers = self.callers(60, b"GET / HTTP/1.1\r\n")
        self.step.doRead()
        latest = self.ports(strangers)[-NEWCOMERS:]
        self.assertEqual(self.reactor.let_in, self.ports(owner) + latest)
        self.assertRaises(ConnectionResetError, strangers[0].recv, 1)  # sent away

    def test_where_nobody_crowds_all_come_in(self) -> None:
        callers = self.callers(CROWD)
        self.step.doRead()
        self.assertEqual(self.reactor.let_in, self.ports(callers))

    def test_one_turn_of_the_loop_has_an_end(self) -> None:
        self.callers(AT_ONCE)
        owner = self.callers(1, WORD)
        self.step.doRead()
        self.assertEqual(len(self.reactor.let_in), NEWCOMERS)
        self.step.doRead()
        self.assertEqual(self.reactor.let_in[NEWCOMERS:], self.ports(owner))

    def test_who_has_gone_again_is_no_trouble(self) -> None:
        for caller in self.callers(3):
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0] + [0] * 4))
            caller.close()
        owner = self.callers(1, WORD)
        self.reactor.adoptStreamConnection = _gone_or(self.reactor.adoptStreamConnection)
        self.step.doRead()
        self.assertEqual(self.reactor.let_in, self.ports(owner))

    def test_without_room_for_more_sockets_it_waits(self) -> None:
        self.reactor.full = True
        self.callers(2, WORD)
        self.step.doRead()
        self.assertEqual(self.reactor.readers, set())
        self.reactor.full = False
        self.reactor.advance(PAUSE)
        self.assertEqual(self.reactor.readers, {self.step})

    def test_it_ends_once(self) -> None:
        self.reactor.full = True
        self.callers(1, WORD)
        self.step.doRead()
        self.assertEqual(self.factory.running, 1)
        self.step.stopListening()
        self.step.connectionLost(None)
        self.assertEqual((self.factory.running, self.reactor.readers), (0, set()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_port_that_is_taken(self) -> None:
        port = self.step.host[1]
        arguments = (self.reactor, "127.0.0.1", port, self.factory, lambda _: False)
        self.assertRaises(OSError, Doorstep, *arguments)


def _gone_or(adopt: Any) -> Any:
    def adopted(number: int, family: int, factory: Any) -> None:
        with socket.socket(fileno=os.dup(number)) as caller:
            caller.getpeername()  # as Twisted does: fails for who is gone
        adopt(number, family, factory)

    return adopted
