"""Asking, showing and waiting: what all entries of the menu have in common.

A dialogue is a conversation of lines: at any moment one question is open, and the next line
answers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.names import clean_line
from twistedp2p.face.texts import Translate, in_words

MAX_LINE = 20_000  # characters typed at once
Step = Callable[[str], None]

_log = Logger()


class Screen(Protocol):
    """Where the menu appears. What may be shown of a text, and in what rows, is its affair."""

    interactive: bool  # a person is there, who can be asked to confirm
    has_bottom: bool  # it shows `Menu.bottom` below the question

    def show(self, text: str, style: str = "") -> None:
        """Show one line above the question. Styles: chat, plain, list, system, warning, error,
        and ticket: to be copied, so nothing is put into it where it is too long for a row."""

    def ask(self, question: str, *, secret: bool = False, complete: str = "") -> None:
        """Ask for the next line. `complete`: "", command, nick, path, choice or own."""

    def close(self) -> None:
        """There is nothing more to ask."""


class Dialogue:
    """One person's. `top` takes the line that answers no question of an entry, `ask_top` asks for
    it, and `settled` is called when something that was waited for has come to its end."""

    def __init__(
        self,
        screen: Screen,
        translate: Translate,
        top: Step,
        ask_top: Callable[[], None],
        settled: Callable[[], None],
    ) -> None:
        self.screen = screen
        self._ = translate
        self._top = top
        self.ask_top = ask_top
        self._settled = settled
        self.step: Step = top  # what the next line answers
        self._as_typed = False
        self.pending = 0  # gets, offers and searches under way

    def line(self, text: str) -> None:
        """The answer to the open question; a secret is taken exactly as it was typed."""
        step, self.step = self.step, self._top
        try:
            step(text[:MAX_LINE] if self._as_typed else clean_line(text, MAX_LINE).strip())
        except Exception:  # without an open question nothing could be typed any more
            self._failed(Failure())
            self.ask_top()

    def ask(
        self,
        question: str,
        then: Step,
        *,
        secret: bool = False,
        as_typed: bool = False,
        complete: str = "",
    ) -> None:
        """Open a question, which the next line answers to `then`."""
        self.step, self._as_typed = then, secret or as_typed
        self.screen.ask(question, secret=secret, complete=complete)

    def ask_unless(self, answer: str, question: str, then: Step, *, complete: str = "") -> None:
        """Open a question, unless its answer was typed with the command."""
        if answer:
            then(answer)
        else:
            self.ask(question, then, complete=complete)

    def work(
        self, deferred: Any, use: Callable[[Any], None], then: Callable[[], None] = lambda: None
    ) -> None:
        """Go on with what comes later; what goes wrong is shown."""
        self.pending += 1

        def settle(_result: object) -> None:
            self.pending -= 1
            then()
            self._settled()

        deferred.addCallback(use).addErrback(self._failed).addBoth(settle)

    def _failed(self, failure: Any) -> None:
        error = failure.value
        if not isinstance(error, ShareError):
            _log.failure("what the menu asked for failed", failure)
            why = failure.getErrorMessage()
            error = ShareError(N_("A defect of this program ({why}); the log says more."), why=why)
        self.error(error)

    def system(self, sentence: str, **values: object) -> None:
        """Show what the program itself says."""
        self.screen.show("* " + sentence.format(**values), "system")

    def error(self, error: ShareError) -> None:
        """Show what went wrong."""
        self.screen.show("! " + in_words(self._, error.sentence, error.values), "error")

    def is_yes(self, answer: str) -> bool:
        """Whether that is a yes, in English, French or the user's language."""
        return answer.casefold()[:1] in ("y", "o", self._("yes")[:1])
