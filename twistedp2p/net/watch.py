"""When to look at the interfaces again: the kernel says so, something failed, or time has passed.

The kernel tells of every change of links, addresses and routes on a netlink socket (rtnetlink(7)).
What it tells is not read: a change comes in many messages, and a look finds what is there. Where
there is no netlink, the looks that come by themselves find it some seconds later.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

LOOK_EVERY = 10.0  # seconds
SETTLE = 0.3  # seconds from the first sign of a change to the look: several come together
SLEPT = 2.0  # seconds between two looks that the host has slept: enough to have been elsewhere
READ = 65_536  # bytes
READS = 64  # messages in one turn
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links; addresses and routes of IPv4 and IPv6

_log = Logger()


def drift() -> float:
    """Seconds that this host has slept so far: one of these clocks goes on then, one does not.

    The time of day would tell, too, but is also set (clock_gettime(2)).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def netlink() -> socket.socket:
    """A non-blocking socket that is readable when the network changes; raises OSError."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        sock.setblocking(False)
        sock.bind((0, _GROUPS))
    except BaseException:
        sock.close()
        raise
    return sock


@implementer(IReadDescriptor)
class _Bell:
    """The netlink socket in the reactor."""

    def __init__(self, reactor: Any, sock: socket.socket, rung: Callable[[], None]) -> None:
        self._reactor = reactor
        self._sock = sock
        self._rung = rung
        reactor.addReader(self)

    def fileno(self) -> int:
        """Called by the reactor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor."""
        return "p2pshare netlink"

    def doRead(self) -> None:
        """Called by the reactor when something changed."""
        try:
            for _ in range(READS):
                self._sock.recv(READ)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more has changed than fits: all the more to see
                raise
        self._rung()

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor when it stops, or cannot go on with this socket."""
        self.close()

    def close(self) -> None:
        """Let go of the socket."""
        if self.fileno() != -1:
            self._reactor.removeReader(self)
            self._sock.close()


class Watch:
    """Calls `look(woke)` when it is time; `woke` after the host has slept: all is to be redone."""

    def __init__(
        self,
        reactor: Any,
        look: Callable[[bool], None],
        *,
        drift: Callable[[], float] = drift,
        netlink: Callable[[], socket.socket] = netlink,
    ) -> None:
        self._reactor = reactor
        self._look = look
        self._drift = drift
        self._drifted = drift()
        self._netlink = netlink
        self._bell: _Bell | None = None
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin; the first look comes with the first change, or later."""
        try:
            self._bell = _Bell(self._reactor, self._netlink(), self.soon)
        except OSError as error:
            _log.info("no netlink ({error}): changes are noticed late", error=error)
        self._next = self._reactor.callLater(LOOK_EVERY, self._now)

    def soon(self) -> None:
        """Something changed, or failed: look once it has settled."""
        if self._next is not None and self._next.getTime() > self._reactor.seconds() + SETTLE:
            self._next.reset(SETTLE)

    def _now(self) -> None:
        # First of all: whatever fails in the look, there is another.
        self._next = self._reactor.callLater(LOOK_EVERY, self._now)
        before, self._drifted = self._drifted, self._drift()
        try:
            self._look(self._drifted - before > SLEPT)
        except Exception:
            _log.failure("a look at the interfaces failed")

    def stop(self) -> None:
        """Look no more."""
        if self._bell is not None:
            self._bell.close()
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None
