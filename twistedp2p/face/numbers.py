"""The numbers by which a person names offers and tickets: once given they stay for this run."""

from __future__ import annotations

from twistedp2p.core.catalogue import Offer
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.ticket import Ticket

MAX_NUMBERED = 10_000  # offers that have a number; as many tickets


class Numbers:
    """Those of one menu."""

    def __init__(self) -> None:
        self._numbers: CappedTable[object, int] = CappedTable(2 * MAX_NUMBERED)
        # Apart, so that a flood of tickets does not take away the numbers of offers.
        self._offers: CappedTable[int, Offer] = CappedTable(MAX_NUMBERED)
        self._tickets: CappedTable[int, Ticket] = CappedTable(MAX_NUMBERED)
        self._next = 1

    def of(self, thing: Offer | Ticket) -> int:
        """The number of an offer or ticket."""
        key = (thing.owner, thing.name) if isinstance(thing, Offer) else thing
        number = self._numbers.get(key)
        if number is None:
            number, self._next = self._next, self._next + 1
            self._numbers.put(key, number)
        if isinstance(thing, Offer):
            self._offers.put(number, thing)
        else:
            self._tickets.put(number, thing)
        return number

    def meant(self, text: str) -> Offer | Ticket | None:
        """What has the number that was typed, if it is one."""
        if not is_number(text):
            return None
        return self._offers.get(int(text)) or self._tickets.get(int(text))

    def names(self, most: int) -> tuple[str, ...]:
        """The names of the offers that were numbered, or meant, last."""
        return tuple(offer.name for offer in self._offers.values()[-most:])


def is_number(text: str) -> bool:
    """Whether that can be the number of something."""
    return text.isascii() and text.isdigit() and len(text) < 10
