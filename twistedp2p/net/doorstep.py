"""The doorstep of the loopback, on which any user of this machine can crowd.

Twisted makes a whole connection of everybody that it accepts, which takes ten times as long as to
connect: a stranger who does that without end would keep everybody out. Here the kernel's queue is
emptied first, and what each has sent so far is looked at: who is vouched for comes in, and of the
others the latest few do, for their request may be on its way. The rest is sent away.
"""
# Twisted's ports have no annotations.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

BACKLOG = 4096  # connections that wait in the kernel, where it allows as many
AT_ONCE = 512  # that are looked at in one turn of the loop: some 10 ms
CROWD = 64  # of them, for whom nothing vouches: more are too many
NEWCOMERS = 8  # of a crowd, who come in all the same
LOOKED_AT = 4096  # bytes of what each has sent
PAUSE = 0.5  # seconds, where the process may have no more sockets
GONE = (errno.ECONNABORTED, errno.EPERM, errno.EINTR)  # of accept(2): of one alone


@implementer(IReadDescriptor)
class Doorstep:
    """Lets connections in to `factory`, from the start. `host` is the address that it has.

    :param port: TCP; OSError where it cannot be had.
    :param vouched: whether who has sent these bytes is to be let in first.
    """

    def __init__(
        self, reactor: Any, host: str, port: int, factory: Any, vouched: Callable[[bytes], bool]
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._vouched = vouched
        self._pause: Any = None
        self._socket = socket.socket()
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self.host: tuple[str, int] = self._socket.getsockname()
        factory.doStart()
        reactor.addReader(self)

    def fileno(self) -> int:
        """Called by Twisted."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Called by Twisted."""
        return "control interface"

    def doRead(self) -> None:
        """Called by Twisted: somebody is there."""
        newcomers: deque[socket.socket] = deque()
        strangers = 0
        for _ in range(AT_ONCE):
            try:
                caller = self._socket.accept()[0]
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in GONE:
                    continue
                self._wait()
                break
            if self._is_vouched_for(caller):
                self._let_in(caller)
                continue
            strangers += 1
            newcomers.append(caller)
            if len(newcomers) > CROWD:
                newcomers.popleft().close()
        while strangers > CROWD and len(newcomers) > NEWCOMERS:
            newcomers.popleft().close()
        for caller in newcomers:
            self._let_in(caller)

    def _is_vouched_for(self, caller: socket.socket) -> bool:
        try:
            return self._vouched(caller.recv(LOOKED_AT, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:  # nothing was sent yet, or it is gone
            return False

    def _let_in(self, caller: socket.socket) -> None:
        with caller:  # Twisted makes a copy of it
            try:
                self._reactor.adoptStreamConnection(caller.fileno(), socket.AF_INET, self._factory)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._wait()

    def _wait(self) -> None:
        """Others have to go first: it would be tried again at once, without end."""
        if self._pause is None:
            self._reactor.removeReader(self)
            self._pause = self._reactor.callLater(PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._reactor.addReader(self)

    def connectionLost(self, reason: object) -> None:
        """Called by Twisted, when the reactor lets go of everything."""
        self.stopListening()

    def stopListening(self) -> None:
        """Let nobody in any more; may be called twice."""
        if self._socket.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._reactor.removeReader(self)
        self._socket.close()
        self._factory.doStop()
