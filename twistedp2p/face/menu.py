"""The text menu: what is asked, what is answered, what is shown. It knows no terminal.

The menu is a conversation of lines: at any moment one question is open, and the next line
answers it. A `Screen` shows lines and asks; a `Desk` (the node) does the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.catalogue import Listing, Offer
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.events import Event, OfferAdded, OfferGone, Progress, Said
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import clean_line, fingerprint
from twistedp2p.core.ticket import Ticket, TicketError, parse_ticket
from twistedp2p.face.news import BARS, News, tickets_in
from twistedp2p.face.report import Row, diagnosis_rows, finding_rows
from twistedp2p.face.texts import Translate, size_text

MAX_LINE = 20_000  # characters typed at once
MAX_NUMBERED = 10_000  # offers that have a number; as many tickets
COMPLETIONS = 200  # names that a typed word is completed to
LAST_LINES = 20  # lines of chat
LIST_ROWS = 30  # rows shown of a list of files
WHO_ROWS = 100  # nodes shown of those that are here
LOSS_SHOWN = 0.05  # part of the multicast, from which on it is worth a word
REASONS = 5  # shown, for which datagrams were dropped
FOR_EVERYBODY = "*"  # typed for a password
TICKET_PROMPT = '("IP",port),("password","file")?'
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


class Desk(Protocol):
    """What of `node.Node` the menu needs."""

    key: bytes
    config: Any

    @property
    def nick(self) -> str: ...

    @property
    def closed(self) -> bool: ...

    def say(self, text: str) -> None: ...

    def send_direct(self, who: str, text: str) -> Any: ...

    def last_said(self, most: int) -> list[Said]: ...

    def offer(self, path: str, password: str = "", public: bool = False) -> Any: ...

    def check_file(self, path: str) -> None: ...

    def withdraw(self, name: str) -> None: ...

    def own_offers(self, most: int = 200) -> list[Offer]: ...

    def ticket(self, name: str, password: str) -> Ticket: ...

    def search(self, text: str = "", most: int = 200) -> Any: ...

    def get(self, offer: Offer, password: str = "") -> Any: ...

    def get_ticket(self, ticket: Ticket) -> Any: ...

    def get_running(self) -> list[Any]: ...

    def peers(self) -> list[Any]: ...

    def way_to(self, key: bytes) -> tuple[bool, float | None]: ...

    def nick_of(self, key: bytes) -> str: ...

    def set_nick(self, nick: str) -> str: ...

    def status(self) -> Any: ...

    def dropped(self) -> dict[str, int]: ...

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
        self._numbers: CappedTable[object, int] = CappedTable(2 * MAX_NUMBERED)
        # Apart, so that a flood of tickets does not take away the numbers of offers.
        self._offers: CappedTable[int, Offer] = CappedTable(MAX_NUMBERED)
        self._tickets: CappedTable[int, Ticket] = CappedTable(MAX_NUMBERED)
        self._next_number = 1
        self._own: dict[str, None] = {}
        self._words: dict[str, tuple[str, ...]] = {}
        self._words_are_old = True
        self._leaving = False
        self._pending = 0  # gets, offers and searches under way
        self._as_typed = False
        self._news = News(desk.key, screen.show, translate, desk.nick_of, self._number)
        self._step: Step = self._top
        self._commands: dict[str, Step] = {
            "1": self._message,
            "2": self._get,
            "3": self._leave,
            "4": self._offer,
            "5": self._files,
            "6": self._who,
            "7": self._withdraw,
            "?": self._help,
            "/nick": self._nick,
            "/msg": self._direct,
            "/last": self._last,
            "/transfers": self._transfers,
            "/cancel": self._cancel,
            "/doctor": self._doctor,
        }
        for number, words in {
            "1": ("/message", "/say"),
            "2": ("/get",),
            "3": ("/quit", "/exit", "quit", "exit", "q"),
            "4": ("/offer",),
            "5": ("/files", "/list", "/search"),
            "6": ("/who",),
            "7": ("/withdraw",),
            "?": ("/help", "/?", "h", "help"),
        }.items():
            for word in words:
                self._commands[word] = self._commands[number]

    # -- what comes in

    def start(self) -> None:
        """Greet, and ask the first question."""
        config = self._desk.config
        self._own = dict.fromkeys(offer.name for offer in self._desk.own_offers(COMPLETIONS))
        where = self._("{nick} ({fingerprint}) in the group {group}, port {port}")
        if self._desk.closed:
            where = self._("{nick} ({fingerprint}) in the CLOSED group {group}, port {port}")
        self._system(
            where,
            nick=self._desk.nick,
            fingerprint=fingerprint(self._desk.key),
            group=config.group,
            port=config.port,
        )
        self._ask_top()

    def line(self, text: str) -> None:
        """The answer to the open question; a secret is taken exactly as it was typed."""
        step, self._step = self._step, self._top
        try:
            step(text[:MAX_LINE] if self._as_typed else clean_line(text, MAX_LINE).strip())
        except Exception:  # without an open question nothing could be typed any more
            self._failed(Failure())
            self._ask_top()

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
        if self._step == self._top:
            self._system(self._("Type 3 to quit."))
        self._ask_top()

    def leave(self) -> None:
        """Ctrl-D: quit; where that would break off transfers, only when it comes twice."""
        if self._step == self._leave_confirmed:
            self._end()
        else:
            self._leave("")

    def end_of_input(self) -> None:
        """There are no more lines: let what is under way end, then quit."""
        self._leaving = True
        self._leave_when_done()

    def _work(
        self, deferred: Any, use: Callable[[Any], None], then: Callable[[], None] = lambda: None
    ) -> None:
        """Go on with what comes later; what goes wrong is shown."""
        self._pending += 1

        def settle(_result: object) -> None:
            self._pending -= 1
            then()
            self._leave_when_done()

        deferred.addCallback(use).addErrback(self._failed).addBoth(settle)

    def _failed(self, failure: Any) -> None:
        error = failure.value
        if not isinstance(error, ShareError):
            _log.failure("what the menu asked for failed", failure)
            why = failure.getErrorMessage()
            error = ShareError(N_("A defect of this program ({why}); the log says more."), why=why)
        self._error(error)

    def _leave_when_done(self) -> None:
        if self._leaving and not self._pending and not self._under_way():
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

    # -- asking and showing

    def _ask(
        self,
        question: str,
        then: Step,
        *,
        secret: bool = False,
        as_typed: bool = False,
        complete: str = "",
    ) -> None:
        self._step, self._as_typed = then, secret or as_typed
        self._screen.ask(question, secret=secret, complete=complete)

    def _ask_top(self) -> None:
        if self._leaving:
            return
        question = ">" if self._screen.has_bottom else f"{self._choices()} >"
        self._ask(question, self._top, as_typed=True, complete="command")

    def _choices(self) -> str:
        return self._("1 message  2 get  3 quit  4 offer  5 files  6 who  7 withdraw  ? help")

    def _system(self, sentence: str, **values: object) -> None:
        self._screen.show("* " + sentence.format(**values), "system")

    def _error(self, error: ShareError) -> None:
        self._screen.show("! " + self._news.failure(error.sentence, error.values), "error")

    def _number(self, thing: Offer | Ticket) -> int:
        """The number of an offer or ticket: once given it stays for this run."""
        key = (thing.owner, thing.name) if isinstance(thing, Offer) else thing
        number = self._numbers.get(key)
        if number is None:
            number, self._next_number = self._next_number, self._next_number + 1
            self._numbers.put(key, number)
        if isinstance(thing, Offer):
            self._offers.put(number, thing)
        else:
            self._tickets.put(number, thing)
        return number

    def _numbered(self, text: str) -> Offer | Ticket | None:
        if not _is_number(text):
            return None
        return self._offers.get(int(text)) or self._tickets.get(int(text))

    # -- the top

    def _top(self, typed: str) -> None:
        text = clean_line(typed, MAX_LINE).strip()
        word, _, rest = text.partition(" ")
        command = self._commands.get(word.casefold())
        if not text:
            self._ask_top()
        elif command is not None:
            # A path may be spelt with what is not to be shown.
            path = typed.strip().partition(" ")[2]
            command((path if command == self._offer else rest).strip())
        elif looks_like_ticket(text):
            self._get(text)
        else:
            self._system(
                self._("Type 1 and then your message to say it; ? shows what else there is.")
            )
            self._ask_top()

    def _help(self, _rest: str) -> None:
        for line in (
            self._("1 /say TEXT        say something to the group"),
            self._("2 /get WHAT        get a file: a number, a name, or a pasted ticket"),
            self._("3 /quit            say goodbye and quit"),
            self._("4 /offer PATH      offer a file under a password, or to everybody"),
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

    # -- 1 message

    def _message(self, rest: str) -> None:
        if rest:
            self._say(rest)
        else:
            self._ask(self._("Your message?"), self._say, complete="nick")

    def _say(self, text: str) -> None:
        self._desk.say(text)
        self._ask_top()

    # -- 2 get

    def _get(self, rest: str) -> None:
        if rest:
            self._chosen(rest)
        else:
            self._ask(TICKET_PROMPT, self._chosen, complete="choice")

    def _chosen(self, text: str) -> None:
        thing = self._numbered(text)
        if isinstance(thing, Ticket):
            self._fetch(self._desk.get_ticket(thing))
        elif isinstance(thing, Offer):
            self._get_offer(thing)
        elif looks_like_ticket(text):
            self._pasted(text)
        elif text:
            self._work(self._desk.search(text, 50), lambda found: self._named(text, found))
        else:
            self._ask_top()

    def _pasted(self, text: str) -> None:
        try:
            ticket = parse_ticket(text)
        except TicketError as error:
            raise ShareError(str(error)) from None
        self._fetch(self._desk.get_ticket(ticket))

    def _named(self, text: str, found: list[Listing]) -> None:
        exact = [listing for listing in found if listing.offer.name == text]
        if len(exact) == 1:
            self._get_offer(exact[0].offer)
            return
        if exact or (found and not _is_number(text)):
            self._system(self._("Which of these? Type 2 and its number."))
            self._list(exact or found)
        else:
            self._system(self._("No file on offer is called that."))
        self._ask_top()

    def _get_offer(self, offer: Offer) -> None:
        if offer.owner == self._desk.key:
            self._system(self._("{name} is your own."), name=offer.name)
            self._ask_top()
        elif offer.public:
            self._fetch(self._desk.get(offer))
        else:
            self._ask(
                self._("Password of {name}?").format(name=offer.name),
                lambda password: self._with_password(offer, password),
                secret=True,
            )

    def _with_password(self, offer: Offer, password: str) -> None:
        if password:
            _check_password(password)
            self._fetch(self._desk.get(offer, password))
        else:
            self._ask_top()

    def _fetch(self, transfer: Any) -> None:
        self._system(
            self._("{name}: asked for. /cancel {number} stops it."),
            name=transfer.name,
            number=transfer.number,
        )
        # How it ends comes as an event, whichever way.
        transfer.done.addErrback(lambda failure: failure.trap(ShareError))
        self._work(transfer.done, lambda _: None)
        self._ask_top()

    # -- 3 quit

    def _leave(self, _rest: str) -> None:
        under_way = self._under_way()
        if not self._screen.interactive:
            self.end_of_input()
        elif under_way:
            self._ask(
                self._("Transfers under way: {count}. Quit all the same (y/n)?").format(
                    count=under_way
                ),
                self._leave_confirmed,
            )
        else:
            self._end()

    def _leave_confirmed(self, text: str) -> None:
        if self._yes(text):
            self._end()
        else:
            self._ask_top()

    def _yes(self, text: str) -> bool:
        return text.casefold()[:1] in ("y", "o", self._("yes")[:1])

    # -- 4 offer

    def _offer(self, rest: str) -> None:
        if rest:
            self._offer_path(rest)
        else:
            self._ask(
                self._("Which file (its path)?"), self._offer_path, as_typed=True, complete="path"
            )

    def _offer_path(self, typed: str) -> None:
        path = _unquoted(typed.strip())
        if not path:
            self._ask_top()
            return
        if self._screen.interactive:  # a script has its answers ready for every question
            try:
                self._desk.check_file(path)
            except ShareError as error:
                self._error(error)
                self._ask_top()
                return
        self._ask(
            self._("Password (empty: three words are made; *: none, for everybody)?"),
            lambda password: self._offer_password(path, password),
            secret=True,
        )

    def _offer_password(self, path: str, password: str) -> None:
        if password == FOR_EVERYBODY:
            self._offer_now(path, "", True, False)
            return
        if password:
            _check_password(password)
        question = self._(
            "Say the ticket, password included, to the group? Everybody on this network"
            " could then read it and get the file (y/n)"
        )
        if self._desk.closed:
            question = self._(
                "Say the ticket, password included, to the group? Everybody in it could then get"
                " the file (y/n)"
            )
        self._ask(
            question,
            lambda answer: self._offer_now(path, password, False, self._yes(answer)),
        )

    def _offer_now(self, path: str, password: str, public: bool, tell: bool) -> None:
        work = self._desk.offer(path, password, public)
        self._work(work, lambda offered: self._offered(offered, tell))
        self._ask_top()

    def _offered(self, offered: Any, tell: bool) -> None:
        offer = offered.offer
        self._system(
            self._("The group was told: {name}, {size}, {access}."),
            name=offer.name,
            size=size_text(offer.size),
            access=self._("for everybody") if offer.public else self._("under a password"),
        )
        if offer.public:
            return
        ticket = self._desk.ticket(offer.name, offered.password)
        if offered.generated:
            self._system(self._("Its password: {password}"), password=offered.password)
        self._screen.show("* " + self._("Its ticket: {ticket}").format(ticket=ticket), "ticket")
        if tell:
            self._desk.say(str(ticket))

    # -- 5 files

    def _files(self, rest: str) -> None:
        if rest:
            self._search(rest)
        else:
            self._ask(self._("Search (empty: all)?"), self._search, complete="choice")

    def _search(self, text: str) -> None:
        self._work(self._desk.search(text), self._searched, self._ask_top)

    def _searched(self, found: list[Listing]) -> None:
        if found:
            self._list(found)
        else:
            self._system(self._("Nothing is on offer."))

    def _list(self, found: list[Listing]) -> None:
        for listing in found[:LIST_ROWS]:
            offer = listing.offer
            owner = self._("you") if listing.own else self._desk.nick_of(offer.owner)
            access = self._("  (for everybody)") if offer.public else ""
            number = self._number(offer)
            size = size_text(offer.size)
            self._screen.show(f"{number:>5}  {size:>8}  {offer.name}  — {owner}{access}", "list")
        if len(found) > LIST_ROWS:
            self._system(self._("… and more; search to narrow it down."))

    # -- 6 who

    def _who(self, rest: str) -> None:
        you = self._("you")
        self._screen.show(f"  {self._desk.nick}  {fingerprint(self._desk.key)}  {you}", "list")
        part = rest.casefold()
        meant = [peer for peer in self._desk.peers() if part in peer.nick.casefold()]
        for peer in meant[:WHO_ROWS]:
            nick = peer.nick or "-"
            host, way = peer.addresses[0][0], self._way(peer.key)
            self._screen.show(f"  {nick}  {fingerprint(peer.key)}  {host}{way}", "list")
        if len(meant) > WHO_ROWS:
            self._system(self._("… and more: {count}"), count=len(meant) - WHO_ROWS)
        if ways := self._ways(self._desk.status()):
            self._system(ways)
        self._who_was_not_heard()
        self._ask_top()

    def _ways(self, status: Any) -> str:
        """How many are here, and what multicast does not do; nothing where it does all."""
        apart, lost = status.unicast_only, status.loss or 0.0
        parts = [self._("{count} nodes").format(count=status.nodes)]
        if apart:
            parts.append(self._("{count} by unicast only").format(count=apart))
        if lost >= LOSS_SHOWN:
            parts.append(self._("multicast loss {percent} %").format(percent=round(100 * lost)))
        return ", ".join(parts) if len(parts) > 1 else ""

    def _way(self, key: bytes) -> str:
        """What multicast does not do between a node and us."""
        apart, lost = self._desk.way_to(key)
        if apart:
            return "  " + self._("by unicast only")
        if lost is not None and lost >= LOSS_SHOWN:
            return "  " + self._("multicast loss {percent} %").format(percent=round(100 * lost))
        return ""

    def _who_was_not_heard(self) -> None:
        dropped = self._desk.dropped()
        if dropped:
            often = sorted(dropped.items(), key=lambda each: each[1], reverse=True)[:REASONS]
            self._system(
                self._("datagrams dropped: {count} ({reasons})"),
                count=sum(dropped.values()),
                reasons=", ".join(f"{self._(reason)}: {count}" for reason, count in often),
            )

    # -- 7 withdraw

    def _withdraw(self, rest: str) -> None:
        own = self._desk.own_offers(LIST_ROWS + 1)
        if not own:
            self._system(self._("You offer nothing."))
            self._ask_top()
        elif rest:
            self._withdraw_chosen(rest)
        else:
            self._list([Listing(offer, "", True) for offer in own])
            self._ask(
                self._("Withdraw which (number or name)?"), self._withdraw_chosen, complete="own"
            )

    def _withdraw_chosen(self, text: str) -> None:
        thing = self._numbered(text)
        name = thing.name if isinstance(thing, Offer) and thing.owner == self._desk.key else text
        if name:
            self._desk.withdraw(name)
        self._ask_top()

    # -- the rest

    def _nick(self, rest: str) -> None:
        if rest:
            self._rename(rest)
        else:
            self._ask(self._("Your name?"), self._rename)

    def _rename(self, nick: str) -> None:
        if nick:
            self._system(self._("You are {nick} now."), nick=self._desk.set_nick(nick))
        self._ask_top()

    def _direct(self, rest: str) -> None:
        if rest:
            self._direct_to(rest)
        else:
            self._ask(self._("To whom?"), self._direct_to, complete="nick")

    def _direct_to(self, rest: str) -> None:
        who, _, text = rest.partition(" ")
        if who and not text.strip():
            question = self._("Your message to {nick}?").format(nick=who)
            self._ask(question, lambda text: self._send_direct(who, text))
        else:
            self._send_direct(who, text)

    def _send_direct(self, who: str, text: str) -> None:
        if text.strip():
            self._work(self._desk.send_direct(who, text), lambda _: None)
        self._ask_top()

    def _last(self, _rest: str) -> None:
        lines = self._desk.last_said(LAST_LINES)
        for said in lines:
            self._news.line_of(said)
        if not lines:
            self._system(self._("Nothing has been said."))
        self._ask_top()

    def _transfers(self, _rest: str) -> None:
        lines = self._news.courses()
        for transfer in self._desk.get_running():
            lines.setdefault(
                transfer.number,
                self._("{number} get: waiting  {name}").format(
                    number=transfer.number, name=transfer.name
                ),
            )
        for _, line in sorted(lines.items()):
            self._screen.show(line, "list")
        if not lines:
            self._system(self._("Nothing is moving."))
        self._ask_top()

    def _cancel(self, rest: str) -> None:
        chosen = [each for each in self._desk.get_running() if str(each.number) == rest]
        if chosen:
            chosen[0].cancel()
        else:
            self._system(self._("No file that is coming has that number; see /transfers."))
        self._ask_top()

    def _doctor(self, _rest: str) -> None:
        work = self._desk.examine(lambda found: self._rows(finding_rows(self._, found)))
        self._system(self._("Looking at the network; that takes some 15 seconds."))
        self._work(work, lambda diagnosis: self._rows(diagnosis_rows(self._, diagnosis)))
        self._ask_top()

    def _rows(self, rows: list[Row]) -> None:
        for text, style in rows:
            self._screen.show(text, style)

    # -- the bottom of the screen

    def bottom(self, status: Any) -> tuple[list[str], dict[str, tuple[str, ...]]]:
        """What stands below the question (a bar for each transfer, the choices, the state), and
        what can be completed there."""
        line = self._("{here} · offers: {offers} · transfers: {transfers}").format(
            here=self._ways(status) or self._("here: {nodes}").format(nodes=status.nodes),
            offers=status.offers,
            transfers=status.transfers,
        )
        if self._desk.closed:
            line = self._("closed group · {rest}").format(rest=line)
        if self._words_are_old:
            self._words_are_old = False
            self._words = {
                "nick": tuple(peer.nick for peer in self._desk.peers() if peer.nick),
                "choice": tuple(offer.name for offer in self._offers.values()[-COMPLETIONS:]),
                "own": tuple(itertools.islice(self._own, COMPLETIONS)),
            }
        bars = list(self._news.courses().values())[:BARS]
        return [*bars, self._choices(), line], self._words


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def looks_like_ticket(text: str) -> bool:
    """Whether a line is, or has in it, a ticket or what was meant to be one."""
    return text.startswith(("(", "（")) or bool(tickets_in(text, 1))


def _unquoted(path: str) -> str:
    """A path without the quotes that a file manager puts around what is dragged to a terminal."""
    quoted = len(path) > 2 and path[0] == path[-1] and path[0] in "'\""
    return path[1:-1] if quoted else path


def _check_password(password: str) -> None:
    """Refuse at once what no ticket can hold; raises `ShareError`."""
    try:
        Ticket("0.0.0.0", 1, password, "file")  # noqa: S104 - any address: nothing is bound
    except TicketError as error:
        raise ShareError(str(error)) from None
