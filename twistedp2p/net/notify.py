"""What the program that started a node is told of it, where that is systemd, or speaks as it does.

Datagrams to the unix socket that the environment names, each of one or more lines::

    READY=1            the node can be used
    STATUS=<words>     what `systemctl status` shows
    WATCHDOG=1         the loop still turns, told twice in each WATCHDOG_USEC
    STOPPING=1         it is about to end

The source is sd_notify(3). Without ``NOTIFY_SOCKET`` nobody asked, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

STATUS_EVERY = 10.0  # seconds between two looks at whether there is a new status to tell

_log = Logger()


@attrs.frozen
class Supervisor:
    """Who is to be told, and how often.

    :param address: a path, or an abstract name after ``@``; empty where nobody asked.
    :param watchdog: seconds of silence after which the node is taken for dead; 0 for never.
    """

    address: str = ""
    watchdog: float = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Supervisor:
        """The one of an environment, for the process `pid`.

        What cannot be understood is as if it were not there: a node is not to end because of it.
        """
        address = environment.get("NOTIFY_SOCKET", "")
        if address[:1] not in ("/", "@"):
            return cls()
        wait = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        if not ours or len(wait) > 18 or not wait.isascii() or not wait.isdigit():
            return cls(address)
        return cls(address, int(wait) / 1e6)

    def tell(self, *lines: str) -> None:
        """Send these lines, if they can be sent at once."""
        if not self.address:
            return
        target = self.address.replace("@", "\0", 1) if self.address[0] == "@" else self.address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)
            sock.sendto(os.fsencode("\n".join(lines)), target)


class Notices:
    """Tells a supervisor how a node fares, from `ready` to `stopping`.

    :param status: one line of words, asked for every `STATUS_EVERY` seconds or oftener.
    """

    def __init__(
        self, clock: IReactorTime, supervisor: Supervisor, status: Callable[[], str]
    ) -> None:
        self._supervisor = supervisor
        self._status = status
        self._told = ""
        self._beats = LoopingCall(self._beat)
        self._beats.clock = clock

    def ready(self) -> None:
        """The node can be used from now on."""
        if not self._supervisor.address:
            return
        self._supervisor.tell("READY=1")
        # Half of the time allowed, as sd_watchdog_enabled(3) recommends.
        self._beats.start(min(STATUS_EVERY, self._supervisor.watchdog / 2 or STATUS_EVERY))

    def stopping(self) -> None:
        """It is about to end; may be told twice, or without `ready`."""
        if self._beats.running:
            self._beats.stop()
        self._supervisor.tell("STOPPING=1")

    def _beat(self) -> None:
        lines = ["WATCHDOG=1"] if self._supervisor.watchdog else []
        try:
            status = self._status()
        except Exception:  # the memory may be locked, or its disk full, for a while
            _log.failure("the status could not be told")
        else:
            if status != self._told:
                self._told = status
                lines.append(f"STATUS={status}")
        if lines:
            self._supervisor.tell(*lines)
