"""The text menu: what can be typed, and to which entry it leads. It knows no terminal.

A `Screen` shows lines and asks; a `Desk` (the node) does the work; each entry's questions are in a
module of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Event, OfferAdded, OfferGone, Progress
from twistedp2p.core.names import clean_line, fingerprint
from twistedp2p.core.ticket import looks_like_ticket
from twistedp2p.face import getting, listings, offering, talking
from twistedp2p.face.dialogue import MAX_LINE, Dialogue, Screen, Step
from twistedp2p.face.news import BARS, News
from twistedp2p.face.numbers import Numbers
from twistedp2p.face.report import Row, diagnosis_rows, finding_rows
from twistedp2p.face.texts import Translate

COMPLETIONS = 200  # names that a typed word is completed to


class Desk(getting.Desk, listings.Desk, offering.Desk, talking.Desk, Protocol):
    """What of `node.Node` the menu needs."""

    config: Any

    def examine(self, told: Callable[[Any], object]) -> Any: ...


class Menu:
    """One person's menu. Feed it `line`s and `event`s; `quit` is called when it is over."""

    def __init__(
        self, desk: Desk, screen: Screen, translate: Translate, leave: Callable[[], None]
    ) -> None:
        self._desk = desk
        self._screen = screen
        self._ = translate
        self._quit = leave
        self._own: dict[str, None] = {}
        self._words: dict[str, tuple[str, ...]] = {}
        self._words_are_old = True
        self._leaving = False
        self._dialogue = Dialogue(
            screen, translate, self._top, self._ask_top, self._leave_when_done
        )
        self._numbers = Numbers()
        self._news = News(desk.key, screen.show, translate, desk.nick_of, self._numbers.of)
        self._listings = listings.Listings(
            desk, self._dialogue, self._numbers, self._news, translate
        )
        self._getting = getting.Getting(
            desk, self._dialogue, self._numbers, self._listings, translate
        )
        self._offering = offering.Offering(
            desk, self._dialogue, self._numbers, self._listings, translate
        )
        self._talking = talking.Talking(desk, self._dialogue, translate)
        self._commands = self._entries()

    def _entries(self) -> dict[str, Step]:
        entries: list[tuple[Step, tuple[str, ...]]] = [
            (self._talking.message, ("1", "/message", "/say")),
            (self._getting.get, ("2", "/get")),
            (self._leave, ("3", "/quit", "/exit", "quit", "exit", "q")),
            (self._offering.offer, ("4", "/offer")),
            (self._listings.files, ("5", "/files", "/list", "/search")),
            (self._listings.who, ("6", "/who")),
            (self._offering.withdraw, ("7", "/withdraw")),
            (self._help, ("?", "/help", "/?", "h", "help")),
            (self._talking.nick, ("/nick",)),
            (self._talking.direct, ("/msg",)),
            (self._listings.last, ("/last",)),
            (self._listings.transfers, ("/transfers",)),
            (self._getting.cancel, ("/cancel",)),
            (self._doctor, ("/doctor",)),
        ]
        return {word: entry for entry, words in entries for word in words}

    # -- what comes in

    def start(self) -> None:
        """Greet, and ask the first question."""
        config = self._desk.config
        self._own = dict.fromkeys(offer.name for offer in self._desk.own_offers(COMPLETIONS))
        where = self._("{nick} ({fingerprint}) in the group {group}, port {port}")
        if self._desk.closed:
            where = self._("{nick} ({fingerprint}) in the CLOSED group {group}, port {port}")
        self._dialogue.system(
            where,
            nick=self._desk.nick,
            fingerprint=fingerprint(self._desk.key),
            group=config.group,
            port=config.port,
        )
        self._ask_top()

    def line(self, text: str) -> None:
        """The answer to the open question; a secret is taken exactly as it was typed."""
        self._dialogue.line(text)

    def event(self, event: Event) -> None:
        """Something happened at the node."""
        if isinstance(event, OfferAdded) and event.own:
            self._own[event.offer.name] = None
        elif isinstance(event, OfferGone) and event.own:
            self._own.pop(event.name, None)
        self._news.tell(event)
        if not isinstance(event, Progress):
            self._words_are_old = True
        elif event.ended:
            self._leave_when_done()

    def interrupt(self) -> None:
        """Ctrl-C: drop the open question."""
        if self._dialogue.step == self._top:
            self._dialogue.system(self._("Type 3 to quit."))
        self._ask_top()

    # -- the top

    def _ask_top(self) -> None:
        if self._leaving:
            return
        question = ">" if self._screen.has_bottom else f"{self._choices()} >"
        self._dialogue.ask(question, self._top, as_typed=True, complete="command")

    def _choices(self) -> str:
        return self._("1 message  2 get  3 quit  4 offer  5 files  6 who  7 withdraw  ? help")

    def _top(self, typed: str) -> None:
        text = clean_line(typed, MAX_LINE).strip()
        word, _, rest = text.partition(" ")
        command = self._commands.get(word.casefold())
        if not text:
            self._ask_top()
        elif command is not None:
            # A path may be spelt with what is not to be shown.
            path = typed.strip().partition(" ")[2]
            command((path if command == self._offering.offer else rest).strip())
        elif looks_like_ticket(text):
            self._getting.get(text)
        else:
            self._dialogue.system(
                self._("Type 1 and then your message to say it; ? shows what else there is.")
            )
            self._ask_top()

    def _help(self, _rest: str) -> None:
        for line in (
            self._("1 /say TEXT        say something to the group"),
            self._(
                "2 /get WHAT        get a file: a number, a name, NAME/PART, or a pasted ticket"
            ),
            self._("3 /quit            say goodbye and quit"),
            self._("4 /offer PATH      offer a file or folder under a password, or to everybody"),
            self._("5 /files WORDS     files on offer; words of the name, @nick for one owner"),
            self._("6 /who NICK        who is here; NICK or a part of it narrows it down"),
            self._("7 /withdraw WHAT   offer a file no more"),
            self._("  /msg NICK TEXT   say something to one person alone; a key in place of NICK"),
            self._("  /nick NAME       bear another name"),
            self._("  /last            what was said last"),
            self._("  /transfers       what is moving;  /cancel NUMBER  stops one"),
            self._("  /doctor          why nodes are not seen, and what to do"),
        ):
            self._screen.show(line, "system")
        self._ask_top()

    def _doctor(self, _rest: str) -> None:
        work = self._desk.examine(lambda found: self._rows(finding_rows(self._, found)))
        sentence = self._("Looking at the network; that takes some 15 seconds.")
        self._dialogue.system(sentence)
        self._dialogue.work(work, lambda diagnosis: self._rows(diagnosis_rows(self._, diagnosis)))
        self._ask_top()

    def _rows(self, rows: list[Row]) -> None:
        for text, style in rows:
            self._screen.show(text, style)

    # -- the end

    def leave(self) -> None:
        """Ctrl-D: quit; where that would break off transfers, only when it comes twice."""
        if self._dialogue.step == self._leave_confirmed:
            self._end()
        else:
            self._leave("")

    def end_of_input(self) -> None:
        """There are no more lines: let what is under way end, then quit."""
        self._leaving = True
        self._leave_when_done()

    def _leave(self, _rest: str) -> None:
        under_way = self._under_way()
        if not self._screen.interactive:
            self.end_of_input()
        elif under_way:
            question = self._("Transfers under way: {count}. Quit all the same (y/n)?")
            self._dialogue.ask(question.format(count=under_way), self._leave_confirmed)
        else:
            self._end()

    def _leave_confirmed(self, text: str) -> None:
        if self._dialogue.is_yes(text):
            self._end()
        else:
            self._ask_top()

    def _leave_when_done(self) -> None:
        if self._leaving and not self._dialogue.pending and not self._under_way():
            self._end()

    def _under_way(self) -> int:
        """The transfers that an end would break off. One can quit though the node's memory fails:
        then it is those that were seen to move."""
        try:
            return int(self._desk.status().transfers)
        except ShareError:
            return len(self._news.courses())

    def _end(self) -> None:
        self._screen.close()
        self._quit()

    # -- the bottom of the screen

    def bottom(self, status: Any) -> tuple[list[str], dict[str, tuple[str, ...]]]:
        """What stands below the question (a bar for each transfer, the choices, the state), and
        what can be completed there."""
        here = self._("here: {nodes}").format(nodes=status.nodes)
        line = self._("{here} · offers: {offers} · transfers: {transfers}").format(
            here=self._listings.ways(status) or here,
            offers=status.offers,
            transfers=status.transfers,
        )
        if self._desk.closed:
            line = self._("closed group · {rest}").format(rest=line)
        if self._words_are_old:
            self._words_are_old = False
            self._words = {
                "nick": tuple(peer.nick for peer in self._desk.peers() if peer.nick),
                "choice": self._numbers.names(COMPLETIONS),
                "own": tuple(itertools.islice(self._own, COMPLETIONS)),
            }
        bars = list(self._news.courses().values())[:BARS]
        return [*bars, self._choices(), line], self._words
