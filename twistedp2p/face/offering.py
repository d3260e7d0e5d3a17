"""Entries 4 and 7 of the menu: offering a file or folder, and offering it no more."""

from __future__ import annotations

from typing import Any, Protocol

from twistedp2p.core.catalogue import Listing, Offer
from twistedp2p.core.errors import ShareError
from twistedp2p.core.ticket import Ticket
from twistedp2p.face.dialogue import Dialogue
from twistedp2p.face.getting import check_password
from twistedp2p.face.listings import LIST_ROWS, Listings
from twistedp2p.face.numbers import Numbers
from twistedp2p.face.texts import Translate, extent_text

FOR_EVERYBODY = "*"  # typed for a password


class Desk(Protocol):
    """What of `node.Node` is needed."""

    key: bytes

    @property
    def closed(self) -> bool: ...

    def say(self, text: str) -> None: ...

    def offer(self, path: str, password: str = "", public: bool = False) -> Any: ...

    def check_path(self, path: str) -> None: ...

    def withdraw(self, name: str) -> None: ...

    def own_offers(self, most: int = 200) -> list[Offer]: ...

    def ticket(self, name: str, password: str) -> Ticket: ...


class Offering:
    """What is asked before a file is on offer, and before it is so no more."""

    def __init__(
        self,
        desk: Desk,
        dialogue: Dialogue,
        numbers: Numbers,
        listings: Listings,
        translate: Translate,
    ) -> None:
        self._desk = desk
        self._dialogue = dialogue
        self._numbers = numbers
        self._listings = listings
        self._ = translate

    def offer(self, rest: str) -> None:
        """`4 PATH`."""
        if rest:
            self._path(rest)
        else:
            question = self._("Which file or folder (its path)?")
            self._dialogue.ask(question, self._path, as_typed=True, complete="path")

    def _path(self, typed: str) -> None:
        path = _unquoted(typed.strip())
        if not path:
            self._dialogue.ask_top()
            return
        if self._dialogue.screen.interactive:  # a script has answers ready for every question
            try:
                self._desk.check_path(path)
            except ShareError as error:
                self._dialogue.error(error)
                self._dialogue.ask_top()
                return
        self._dialogue.ask(
            self._("Password (empty: three words are made; *: none, for everybody)?"),
            lambda password: self._password(path, password),
            secret=True,
        )

    def _password(self, path: str, password: str) -> None:
        if password == FOR_EVERYBODY:
            self._offer_now(path, "", True, False)
            return
        if password:
            check_password(password)
        question = self._(
            "Say the ticket, password included, to the group? Everybody on this network"
            " could then read it and get the file (y/n)"
        )
        if self._desk.closed:
            question = self._(
                "Say the ticket, password included, to the group? Everybody in it could then get"
                " the file (y/n)"
            )
        is_yes = self._dialogue.is_yes
        self._dialogue.ask(
            question, lambda answer: self._offer_now(path, password, False, is_yes(answer))
        )

    def _offer_now(self, path: str, password: str, public: bool, tell: bool) -> None:
        work = self._desk.offer(path, password, public)
        self._dialogue.work(work, lambda offered: self._offered(offered, tell))
        self._dialogue.ask_top()

    def _offered(self, offered: Any, tell: bool) -> None:
        offer, dialogue = offered.offer, self._dialogue
        dialogue.system(
            self._("The group was told: {name}, {size}, {access}."),
            name=offer.name,
            size=extent_text(self._, offer.size, offer.files),
            access=self._("for everybody") if offer.public else self._("under a password"),
        )
        if offer.public:
            return
        ticket = self._desk.ticket(offer.name, offered.password)
        if offered.generated:
            dialogue.system(self._("Its password: {password}"), password=offered.password)
        dialogue.screen.show("* " + self._("Its ticket: {ticket}").format(ticket=ticket), "ticket")
        if tell:
            self._desk.say(str(ticket))

    def withdraw(self, rest: str) -> None:
        """`7 WHAT`."""
        own = self._desk.own_offers(LIST_ROWS + 1)
        if not own:
            self._dialogue.system(self._("You offer nothing."))
            self._dialogue.ask_top()
            return
        if not rest:
            self._listings.show([Listing(offer, "", True) for offer in own])
        question = self._("Withdraw which (number or name)?")
        self._dialogue.ask_unless(rest, question, self._withdraw_chosen, complete="own")

    def _withdraw_chosen(self, text: str) -> None:
        thing = self._numbers.meant(text)
        name = thing.name if isinstance(thing, Offer) and thing.owner == self._desk.key else text
        if name:
            self._desk.withdraw(name)
        self._dialogue.ask_top()


def _unquoted(path: str) -> str:
    """A path without the quotes that a file manager puts around what is dragged to a terminal."""
    quoted = len(path) > 2 and path[0] == path[-1] and path[0] in "'\""
    return path[1:-1] if quoted else path
