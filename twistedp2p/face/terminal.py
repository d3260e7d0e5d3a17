"""The menu on standard input and output, for pipes, files and simple terminals.

One question, one answer: a line is taken only when a question is open, so a script may write all
its answers at once. On a full terminal `editor.Editor` takes this one's place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import termios
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from twistedp2p.face.menu import Menu
from twistedp2p.face.texts import rows_of

MAX_LINE = 65_536  # bytes
MAX_AHEAD = 100  # lines read before they are asked for
COLUMNS = 80  # of a terminal that does not tell


def choose_mode(
    wanted: str, environment: Mapping[str, str], stdin: int = 0, stdout: int = 1
) -> str:
    """What menu there can be on two descriptors: ``editor``, ``plain`` or ``never``.

    `wanted` is the --menu option. With ``auto`` there is none where nobody can type: standard
    input closed, /dev/null, or a terminal that another job has in the foreground.
    """
    if wanted == "never" or not _is_open(stdin) or not _is_open(stdout):
        return "never"
    if not os.isatty(stdin):
        return "never" if wanted == "auto" and _is_null(stdin) else "plain"
    if wanted == "auto" and not _in_foreground(stdin):
        return "never"
    dumb = environment.get("TERM", "dumb") in ("", "dumb", "unknown")
    if wanted == "plain" or dumb or not os.isatty(stdout):
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


def _in_foreground(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


class Echo:
    """Whether a terminal shows what is typed. `descriptor` is that of a terminal, or None."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._was: list[Any] | None = None

    def off(self) -> None:
        """Show nothing but the line end."""
        with contextlib.suppress(termios.error):  # the terminal has gone
            if self._descriptor is not None and self._was is None:
                self._was = termios.tcgetattr(self._descriptor)
            self.again()

    def again(self) -> None:
        """What `off` did, where it holds: whoever had the terminal meanwhile undid it."""
        if self._descriptor is not None and self._was is not None:
            mode = [*self._was]
            mode[3] = (mode[3] & ~termios.ECHO) | termios.ECHONL
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def on(self) -> None:
        """As it was before `off`."""
        was, self._was = self._was, None
        if self._descriptor is not None and was is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, was)


@implementer(IPushProducer)
class _Tide:
    """Notes whether what is written is taken; told so by the transport as its producer."""

    high = False

    def __init__(self, falls: Callable[[], None]) -> None:
        self._falls = falls

    def pauseProducing(self) -> None:
        """Called when too much waits to be written."""
        self.high = True

    def resumeProducing(self) -> None:
        """Called when it has been."""
        self.high = False
        self._falls()

    def stopProducing(self) -> None:
        """Called when nothing can be written any more."""


@implementer(IHalfCloseableProtocol)
class PlainTerminal(LineReceiver):
    """A `menu.Screen` of lines. `menu` is set by `open_plain` before any line can come."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    has_bottom = False
    menu: Menu
    transport: Any  # wider than what Twisted's annotation says

    def __init__(
        self,
        interactive: bool,
        restore: Callable[[], None] = lambda: None,
        *,
        columns: Callable[[], int] = lambda: 0,
        echo: Echo | None = None,
    ) -> None:
        self.interactive = interactive
        self._restore = restore
        self._columns = columns
        self._echo = echo or Echo(None)
        self._tide = _Tide(self._feed)
        self._lines: deque[bytes] = deque()
        self._question = ""
        self._asking = self._feeding = False
        self._beyond = b""  # what came after a line that was too long
        self._skipping = False  # the rest of a line that was too long
        self._over = False
        self._closed = False

    def connectionMade(self) -> None:
        """Called by Twisted."""
        self.transport.registerProducer(self._tide, True)

    # -- menu.Screen

    def show(self, text: str, style: str = "") -> None:
        """Show one line; none while nobody reads, and what waits is enough."""
        if self._tide.high:
            return
        columns = 0 if style == "ticket" else self._columns()
        lines = "".join(row + "\n" for row in rows_of(text, columns))
        # Not behind the question, where a text of others could look like its answer.
        asked = self.interactive and self._asking
        self._write(f"\n{lines}{self._question} " if asked else lines)

    def ask(self, question: str, *, secret: bool = False, complete: str = "") -> None:
        """Ask for the next line; a terminal does not show what is typed for a secret."""
        self._question = "\n".join(rows_of(question, self._columns()))
        self._write(self._question + (" " if self.interactive else "\n"))
        self._asking = True
        if secret:
            self._echo.off()
        self._feed()

    def close(self) -> None:
        """There is nothing more to ask."""
        self._closed = True
        self._echo.on()
        if self.transport is not None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _write(self, text: str) -> None:
        if self.transport is not None and not self._closed:
            self.transport.write(text.encode("utf-8", "replace"))

    # -- lines

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted, whose LineReceiver gives up what comes after too long a line."""
        super().dataReceived(data)
        while self._beyond:
            data, self._beyond = self._beyond, b""
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """A line came, asked for or not yet."""
        if self._skipping:
            self._skipping = False
            return
        self._lines.append(line)
        if len(self._lines) >= MAX_AHEAD:
            self.pauseProducing()
        self._feed()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called with too long a line and all that came after it: its beginning is the answer."""
        _, ended, rest = line.partition(b"\n")
        if not self._skipping:
            self.lineReceived(line[:MAX_LINE])
        self._skipping = not ended
        self._beyond = rest

    def _feed(self) -> None:
        """Give the menu one line for each open question."""
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._asking and self._lines and not self._closed and not self._tide.high:
                self._asking = False
                self._echo.on()
                self.menu.line(self._lines.popleft().rstrip(b"\r").decode("utf-8", "replace"))
        finally:
            self._feeding = False
        if self._over and self._asking and not self._lines and not self._closed:
            self.menu.end_of_input()
        elif self.paused and len(self._lines) < MAX_AHEAD and not self._over:
            self.resumeProducing()

    # -- the end

    def readConnectionLost(self) -> None:
        """No more input; what stands after the last line end is a line too."""
        lines = self.clearLineBuffer().split(b"\n")[self._skipping :]
        self._lines.extend(lines if lines and lines[-1] else lines[:-1])
        self._over = True
        self._feed()

    def writeConnectionLost(self) -> None:
        """Nobody reads any more."""
        self._finished()

    def connectionLost(self, reason: Any = None) -> None:
        """Input and output are gone."""
        self._finished()

    def _finished(self) -> None:
        self._echo.on()
        self._restore()
        if not self._closed:
            self._closed = True
            self.menu.end_of_input()


def open_plain(reactor: Any, make_menu: Callable[[PlainTerminal], Menu]) -> PlainTerminal:
    """Put a plain menu on standard input and output."""
    stdin, stdout = _private(0), _private(1)
    flags = {fd: fcntl.fcntl(fd, fcntl.F_GETFL) for fd in {0, 1} & {stdin, stdout}}

    def restore() -> None:
        # A shared description would stay non-blocking for the programs before and after us.
        for fd, before in flags.items():
            fcntl.fcntl(fd, fcntl.F_SETFL, before)

    def columns() -> int:
        return os.get_terminal_size(stdout).columns or COLUMNS if os.isatty(stdout) else 0

    interactive = os.isatty(stdin)
    echo = Echo(stdin if interactive else None)
    terminal = PlainTerminal(interactive, restore, columns=columns, echo=echo)
    terminal.menu = make_menu(terminal)
    make_stdio: Any = StandardIO  # its stubs are those of Windows
    make_stdio(terminal, stdin=stdin, stdout=stdout, reactor=reactor)
    terminal.menu.start()
    if interactive:
        # The shell, to which Ctrl-Z gave the terminal, has put the echo back.
        signal.signal(signal.SIGCONT, lambda *_: reactor.callFromThread(echo.again))
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
