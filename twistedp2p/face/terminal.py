"""The menu on standard input and output, for pipes, files and simple terminals.

One question, one answer: a line is taken only when a question is open, so a script may write all
its answers at once. On a full terminal `editor.Editor` takes this one's place.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from twistedp2p.face.menu import Menu

MAX_LINE = 65_536  # bytes
MAX_AHEAD = 100  # lines read before they are asked for


def choose_mode(wanted: str, environment: Mapping[str, str]) -> str:
    """What menu there can be: ``editor``, ``plain`` or ``never``.

    `wanted` is the --menu option. With ``auto`` there is none where nobody can type: standard
    input closed, /dev/null, or a terminal that another job has in the foreground.
    """
    if wanted == "never" or not _is_open(0) or not _is_open(1):
        return "never"
    if not os.isatty(0):
        return "never" if wanted == "auto" and _is_null(0) else "plain"
    if wanted == "auto" and not _in_foreground():
        return "never"
    dumb = environment.get("TERM", "dumb") in ("", "dumb", "unknown")
    if wanted == "plain" or dumb or not os.isatty(1):
        return "plain"
    return "editor"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def _is_null(descriptor: int) -> bool:
    try:
        return os.fstat(descriptor).st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return False


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


@implementer(IHalfCloseableProtocol)
class PlainTerminal(LineReceiver):
    """A `menu.Screen` of lines. `menu` is set by `open_plain` before any line can come."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    has_bottom = False
    menu: Menu

    def __init__(self, interactive: bool, restore: Callable[[], None]) -> None:
        self.interactive = interactive
        self._restore = restore
        self._lines: deque[bytes] = deque()
        self._asking = self._feeding = False
        self._over = False
        self._closed = False

    # -- menu.Screen

    def show(self, text: str, style: str = "") -> None:
        """Show one line."""
        self._write(text + "\n")

    def ask(self, question: str, *, secret: bool = False, complete: str = "") -> None:
        """Ask for the next line. A simple terminal shows what is typed, secrets too."""
        self._write(question + (" " if self.interactive else "\n"))
        self._asking = True
        self._feed()

    def close(self) -> None:
        """There is nothing more to ask."""
        self._closed = True
        if self.transport is not None:
            self.transport.loseConnection()

    def _write(self, text: str) -> None:
        if self.transport is not None and not self._closed:
            self.transport.write(text.encode("utf-8", "replace"))

    # -- lines

    def lineReceived(self, line: bytes) -> None:
        """A line came, asked for or not yet."""
        self._lines.append(line)
        if len(self._lines) >= MAX_AHEAD:
            self.pauseProducing()
        self._feed()

    def _feed(self) -> None:
        """Give the menu one line for each open question."""
        if self._feeding:
            return
        self._feeding = True
        while self._asking and self._lines and not self._closed:
            self._asking = False
            self.menu.line(self._lines.popleft().rstrip(b"\r").decode("utf-8", "replace"))
        self._feeding = False
        if self._over and self._asking and not self._closed:
            self.menu.end_of_input()
        elif self.paused and len(self._lines) < MAX_AHEAD and not self._over:
            self.resumeProducing()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Nobody types that: left out."""
        self.show("! ...")

    # -- the end

    def readConnectionLost(self) -> None:
        """No more input; what stands after the last line end is a line too."""
        rest = self.clearLineBuffer()
        self._lines.extend(line for line in rest.split(b"\n") if line)
        self._over = True
        self._feed()

    def writeConnectionLost(self) -> None:
        """Nobody reads any more."""
        self._finished()

    def connectionLost(self, reason: Any = None) -> None:
        """Input and output are gone."""
        self._finished()

    def _finished(self) -> None:
        self._restore()
        if not self._closed:
            self._closed = True
            self.menu.end_of_input()


def open_plain(reactor: Any, make_menu: Callable[[PlainTerminal], Menu]) -> PlainTerminal:
    """Put a plain menu on standard input and output."""
    interactive = os.isatty(0)
    stdin, stdout = _private(0), _private(1)
    flags = {fd: fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)}

    def restore() -> None:
        # A shared description would stay non-blocking for the programs before and after us.
        for fd in (0, 1):
            private = {0: stdin, 1: stdout}[fd]
            if private == fd:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags[fd])

    terminal = PlainTerminal(interactive, restore)
    terminal.menu = make_menu(terminal)
    make_stdio: Any = StandardIO  # its stubs are those of Windows
    make_stdio(terminal, stdin=stdin, stdout=stdout, reactor=reactor)
    terminal.menu.start()
    return terminal


def _private(descriptor: int) -> int:
    """A description of our own for a terminal: it is not left non-blocking when we are killed."""
    if not os.isatty(descriptor):
        return descriptor
    mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY
    try:
        return os.open(os.ttyname(descriptor), mode | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return descriptor
