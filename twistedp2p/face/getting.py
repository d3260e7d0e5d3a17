"""Entry 2 of the menu: getting a file or folder, by its number, its name, or a ticket."""

from __future__ import annotations

from typing import Any, Protocol

from twistedp2p.core.catalogue import Listing, Offer
from twistedp2p.core.errors import ShareError
from twistedp2p.core.ticket import Ticket, TicketError, looks_like_ticket, parse_wanted
from twistedp2p.face.dialogue import Dialogue
from twistedp2p.face.listings import Listings
from twistedp2p.face.numbers import Numbers, is_number
from twistedp2p.face.texts import Translate

TICKET_PROMPT = '("IP",port),("password","file")?'
FOUND_MOST = 50  # offers looked at for one that has exactly that name


class Desk(Protocol):
    """What of `node.Node` is needed."""

    key: bytes

    def search(self, text: str = "", most: int = 200) -> Any: ...

    def called(self, name: str, *, here: bool = True) -> list[Offer]: ...

    def get(self, offer: Offer, password: str = "", *, part: str = "") -> Any: ...

    def get_ticket(self, ticket: Ticket, *, part: str = "") -> Any: ...

    def get_running(self) -> list[Any]: ...


class Getting:
    """What is asked before a file can come, and how to stop it."""

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

    def get(self, rest: str) -> None:
        """`2 WHAT`."""
        self._dialogue.ask_unless(rest, TICKET_PROMPT, self._chosen, complete="choice")

    def _chosen(self, text: str) -> None:
        head, _, part = text.partition("/")
        thing = self._numbers.meant(head)
        if isinstance(thing, Ticket):
            self._fetch(self._desk.get_ticket(thing, part=part))
        elif isinstance(thing, Offer):
            self._get_offer(thing, part)
        elif looks_like_ticket(text):
            self._pasted(text)
        elif text:
            found = self._desk.search(head or text, FOUND_MOST)
            self._dialogue.work(found, lambda found: self._named(text, found))
        else:
            self._dialogue.ask_top()

    def _pasted(self, text: str) -> None:
        try:
            ticket, part = parse_wanted(text)
        except TicketError as error:
            raise ShareError(str(error)) from None
        self._fetch(self._desk.get_ticket(ticket, part=part))

    def _named(self, text: str, found: list[Listing]) -> None:
        name, _, part = text.partition("/")
        exact = [listing for listing in found if listing.offer.name == name]
        gone = [] if exact else self._desk.called(name, here=False)
        if len(exact) == 1 or len(gone) == 1:
            self._get_offer(exact[0].offer if exact else gone[0], part)
            return
        if exact or (found and not is_number(text)):
            self._dialogue.system(self._("Which of these? Type 2 and its number."))
            self._listings.show(exact or found)
        else:
            self._dialogue.system(self._("No file on offer is called that."))
        self._dialogue.ask_top()

    def _get_offer(self, offer: Offer, part: str = "") -> None:
        if offer.owner == self._desk.key:
            self._dialogue.system(self._("{name} is your own."), name=offer.name)
            self._dialogue.ask_top()
        elif offer.public:
            self._fetch(self._desk.get(offer, part=part))
        else:
            self._dialogue.ask(
                self._("Password of {name}?").format(name=offer.name),
                lambda password: self._with_password(offer, password, part),
                secret=True,
            )

    def _with_password(self, offer: Offer, password: str, part: str) -> None:
        if password:
            check_password(password)
            self._fetch(self._desk.get(offer, password, part=part))
        else:
            self._dialogue.ask_top()

    def _fetch(self, transfer: Any) -> None:
        self._dialogue.system(
            self._("{name}: asked for. /cancel {number} stops it."),
            name=transfer.name,
            number=transfer.number,
        )
        # How it ends comes as an event, whichever way.
        transfer.done.addErrback(lambda failure: failure.trap(ShareError))
        self._dialogue.work(transfer.done, lambda _: None)
        self._dialogue.ask_top()

    def cancel(self, rest: str) -> None:
        """`/cancel NUMBER`."""
        chosen = [each for each in self._desk.get_running() if str(each.number) == rest]
        if chosen:
            chosen[0].cancel()
        else:
            sentence = self._("No file that is coming has that number; see /transfers.")
            self._dialogue.system(sentence)
        self._dialogue.ask_top()


def check_password(password: str) -> None:
    """Refuse at once what no ticket can hold; raises `ShareError`."""
    try:
        Ticket("0.0.0.0", 1, password, "file")  # noqa: S104 - any address: nothing is bound
    except TicketError as error:
        raise ShareError(str(error)) from None
