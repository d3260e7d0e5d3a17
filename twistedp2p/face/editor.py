"""The menu on a full terminal: an edited line that stays whole while others come in above it.

prompt_toolkit runs in a thread of its own, whichever reactor there is. The reactor's thread
hands it questions and lines; answers come back by `callFromThread`. Passwords are asked for in
a session of their own, which has no history.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import queue
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output, create_output

from twistedp2p.core.ticket import looks_like_ticket
from twistedp2p.face.menu import Menu
from twistedp2p.face.texts import rows_of

_COLOURS = {
    "system": "36",
    "ticket": "36",
    "warning": "1;33",
    "error": "1;31",
    "plain": "35",
    "private": "1;36",
}
COMMANDS = ("/say ", "/get ", "/quit", "/offer ", "/files ", "/who", "/withdraw ", "/msg ",
            "/nick ", "/last", "/transfers", "/cancel ", "/help")  # fmt: skip
JOIN_TIMEOUT = 2.0  # seconds for the terminal to be put back in order
STOP_TIMEOUT = 1.0  # seconds for Ctrl-Z to stop this process, where anybody could continue it
MAX_WAITING = 2000  # lines that wait while the terminal takes none (Ctrl-S): the oldest go first
_CURSOR_ANSWER = re.compile(r"\x1b\[\d+;\d+R")
# The terminal must not break rows by itself: it may count the cells of a text otherwise than we.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class _Words(Completer):
    """Completes commands, paths, nicks and names of offers, whichever the question is about."""

    def __init__(self) -> None:
        self.kind = ""
        self.words: Mapping[str, tuple[str, ...]] = {}
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Called by prompt_toolkit while the person types."""
        before = document.text_before_cursor
        if self.kind == "path":
            yield from self._paths.get_completions(document, complete_event)
        elif self.kind == "command" and before.startswith(("/offer ", "4 ")):
            rest = Document(before.partition(" ")[2])
            yield from self._paths.get_completions(rest, complete_event)
        else:
            yield from self._from_words(before)

    def _from_words(self, before: str) -> Iterator[Completion]:
        kind, start = self.kind, before
        if kind == "command":
            for command in COMMANDS:
                if command.startswith(before) and before.startswith("/"):
                    yield Completion(command, -len(before))
            word, _, start = before.partition(" ")
            kind = {"/get": "choice", "2": "choice", "/withdraw": "own", "7": "own"}.get(
                word, "nick"
            )
        if kind == "nick":
            start = start.rpartition(" ")[2]
        if start:
            for word in self.words.get(kind, ()):
                if word.casefold().startswith(start.casefold()):
                    yield Completion(word, -len(start))


class _History(InMemoryHistory):
    """The lines that were typed, but those with a ticket: a password is in it."""

    def append_string(self, string: str) -> None:
        """Called by prompt_toolkit with every line."""
        if not looks_like_ticket(string.strip()):
            super().append_string(string)


def _key_bindings(suspend: Callable[[], None]) -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("c-z")
    def _stop(_event: KeyPressEvent) -> None:
        run_in_terminal(suspend)

    @bindings.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        # Line ends become blanks: what is pasted is one line, and waits for Enter. A terminal
        # that hands on a paste in pieces may answer between two of them where its cursor is.
        text = _CURSOR_ANSWER.sub("", event.data)
        event.current_buffer.insert_text(" ".join(text.splitlines()))

    return bindings


class Editor:
    """A `menu.Screen` on a full terminal. `menu` is set by `open_editor` before it starts."""

    interactive = True
    has_bottom = True
    menu: Menu

    def __init__(self, reactor: Any, environment: Mapping[str, str]) -> None:
        self._reactor = reactor
        self._colours = not environment.get("NO_COLOR")
        self._questions: queue.Queue[tuple[str, bool, str] | None] = queue.Queue()
        self._completer = _Words()
        self._toolbar = ""
        self._session: PromptSession[str] | None = None
        self._running: PromptSession[str] | None = None
        self._output: Output | None = None
        self._context = contextvars.Context()
        self._lines: deque[tuple[str, str]] = deque(maxlen=MAX_WAITING)
        self._lock = threading.Lock()
        self._closed = False
        self._continued = threading.Event()
        self._keys = _key_bindings(self._suspend)
        self._thread = threading.Thread(target=self._run, name="menu", daemon=True)

    # -- in the reactor's thread

    def start(self) -> None:
        """Take the terminal."""
        signal.signal(signal.SIGCONT, lambda *_: self._continued.set())
        self._thread.start()

    def show(self, text: str, style: str = "") -> None:
        """Show one line above the one being typed."""
        with self._lock:
            self._lines.append((text, style))
            first = len(self._lines) == 1
        if first:
            self._in_prompt(self._print_above)

    def ask(self, question: str, *, secret: bool = False, complete: str = "") -> None:
        """Ask for the next line."""
        self._questions.put((question, secret, complete))

    def close(self) -> None:
        """There is nothing more to ask."""
        if self._closed:
            return
        self._closed = True
        self._questions.put(None)
        self._in_prompt(_end_prompt)

    def join(self) -> None:
        """Wait until the terminal is as it was."""
        self.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(JOIN_TIMEOUT)

    def set_bottom(self, lines: list[str], words: Mapping[str, tuple[str, ...]]) -> None:
        """What stands below the line being typed, and what it can be completed to."""
        self._completer.words = words
        toolbar = "\n".join(rows_of(line)[0] for line in lines)
        if toolbar != self._toolbar:
            self._toolbar = toolbar
            running = self._running
            if running is not None:
                with contextlib.suppress(RuntimeError):  # as in `_in_prompt`
                    running.app.invalidate()

    def _in_prompt(self, call: Callable[[PromptSession[str]], object]) -> None:
        """Have `call` run in the menu's thread, if a prompt is open there; else nothing."""
        running = self._running
        loop = running.app.loop if running is not None else None
        if running is not None and loop is not None:
            with contextlib.suppress(RuntimeError):  # the prompt has just ended, and its loop
                loop.call_soon_threadsafe(call, running, context=self._context)

    # -- in the menu's thread

    def _run(self) -> None:
        # twistd has replaced sys.stdout by its log.
        output = create_output(sys.__stdout__)
        self._output = output
        with create_app_session(input=create_input(sys.__stdin__), output=output):
            self._context = contextvars.copy_context()
            self._session = PromptSession(
                history=_History(),
                key_bindings=self._keys,
                completer=self._completer,
                complete_while_typing=False,
            )
            while (question := self._questions.get()) is not None:
                self._answer(*question)
            self._print()

    def _suspend(self) -> None:
        """Stop with all of our job, and come back when it goes on.

        The signal may be delivered to another thread, a little later: this one must not take the
        terminal again before the shell has had it.
        """
        self._continued.clear()
        os.kill(0, signal.SIGTSTP)
        self._continued.wait(STOP_TIMEOUT)

    def _print_above(self, session: PromptSession[str]) -> None:
        if session.app.is_running:
            run_in_terminal(self._print)

    def _print(self) -> None:
        """Write the lines that wait. With a prompt open, only by `run_in_terminal`."""
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        if lines and self._output is not None:
            text = "".join(self._painted(*line) for line in lines)
            self._output.write_raw(_NO_WRAP + text + _WRAP)
            self._output.flush()

    def _painted(self, text: str, style: str) -> str:
        colour = _COLOURS.get(style) if self._colours else None
        if style == "ticket":
            rows = _WRAP + rows_of(text)[0] + _NO_WRAP
        else:
            rows = "\r\n".join(rows_of(text, self._columns()))
        return f"\x1b[{colour}m{rows}\x1b[0m\r\n" if colour else rows + "\r\n"

    def _columns(self) -> int:
        return self._output.get_size().columns if self._output is not None else 0

    def _answer(self, question: str, secret: bool, complete: str) -> None:
        try:
            text = self._prompt(question, secret, complete)
        except KeyboardInterrupt:
            self._reactor.callFromThread(self.menu.interrupt)
        except EOFError:
            if not self._closed:
                self._reactor.callFromThread(self.menu.leave)
        else:
            self._reactor.callFromThread(self.menu.line, text)

    def _prompt(self, question: str, secret: bool, complete: str) -> str:
        assert self._session is not None
        session = self._session
        if secret:
            session = PromptSession(key_bindings=self._keys)
        self._completer.kind = complete
        self._running = session
        try:
            if self._closed:
                raise EOFError
            self._print()
            return session.prompt(
                lambda: "\n".join(rows_of(question, self._columns())) + " ",
                pre_run=lambda: self._print_above(session),
                is_password=secret,
                bottom_toolbar=lambda: self._toolbar,
                handle_sigint=False,
            )
        finally:
            self._running = None


def _end_prompt(session: PromptSession[str]) -> None:
    if session.app.is_running and session.app.future and not session.app.future.done():
        session.app.exit(exception=EOFError)


def open_editor(
    reactor: Any, environment: Mapping[str, str], make_menu: Callable[[Editor], Menu]
) -> Editor:
    """Put the menu on the terminal."""
    editor = Editor(reactor, environment)
    editor.menu = make_menu(editor)
    editor.menu.start()
    editor.start()
    return editor
