"""One node's feed: what of it is here, and what is missing.

A feed has two logs, ``chat`` and ``offers``, each numbered 1, 2, 3 ... under (key, epoch). Its
publisher tells for each the lowest number worth asking for and the highest there is; others tell
how much of it they have. What lies between and is not here is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from twistedp2p.core.agenda import Appointment
from twistedp2p.core.datagrams.body import Range
from twistedp2p.core.feeds.ranges import Ranges, count, first_of

LOG_NAMES = ("chat", "offers")
ASK_ITEMS = 100  # numbers asked for at once
ASK_ROOM = 330  # bytes of ranges of one log: two logs fit one datagram, however large the numbers
CHAT_BACKLOG = 100  # lines of an unknown feed that a newcomer asks for


@attrs.frozen
class Heads:
    """For each log the lowest number worth asking for, and the highest there is (0: none)."""

    chat: Range = (1, 0)
    offers: Range = (1, 0)


@attrs.frozen
class Have:
    """How much of a feed somebody has: the numbers up to which all that there is is here."""

    origin: bytes
    epoch: int
    chat: int
    offers: int


class Log(Ranges):
    """The numbers of one log that are here, and how far it goes."""

    __slots__ = ("head", "settled", "told")

    def __init__(self, runs: list[Range] | None = None) -> None:
        super().__init__(runs)
        self.head = self.highest  # that its publisher told of, or that is here
        self.told = 0  # the highest that somebody else told of: never proof
        self.settled = 0  # up to here nobody is asked any more, though not all is here

    @property
    def lacks_nothing(self) -> bool:
        """Whether all is here: a quick look, which may say no."""
        highest = self.highest
        return highest >= self.told and highest == self.head == self.unbroken()

    @property
    def whole(self) -> int:
        """The number up to which all is here, or is not to be had."""
        return self.unbroken(self.settled)

    def gaps(self, backlog: int | None = None) -> Iterable[Range]:
        """What is missing, rising; of a log of which nothing is here yet the last `backlog`."""
        low, high = self.settled + 1, max(self.head, self.told)
        if backlog is not None and not self:
            low = max(low, high - backlog + 1)
        return self.missing(low, high)


def _logs() -> dict[str, Log]:
    return {log: Log() for log in LOG_NAMES}


@attrs.define(eq=False)
class Feed:
    """What is here of one (origin, epoch), and when to ask for the rest (see `feeds.asking`)."""

    origin: bytes
    epoch: int
    have: dict[str, Log] = attrs.Factory(_logs)
    lacks: int = 0  # numbers that are missing, and asked for
    gap: int = 0  # numbers that were missing when they were counted last
    tries: int = 0  # asks without any answer
    asking: Appointment | None = None
    live: bool = False  # what is missing was published just now
    sync_until: float = 0.0  # seconds: a SYNC brings it, and is waited for
    counted: tuple[int, int] = (0, 0)  # what of it is in the `Summary`

    @classmethod
    def kept(cls, origin: bytes, epoch: int, runs: Mapping[str, list[Range]]) -> Feed:
        """A feed of which these numbers are here, as from a store."""
        return cls(origin, epoch, {log: Log(runs.get(log)) for log in LOG_NAMES})

    @property
    def heads(self) -> Heads:
        """How far its publisher went, as far as we know."""
        return Heads(*((1, self.have[log].head) for log in LOG_NAMES))

    @property
    def is_hearsay(self) -> bool:
        """Whether all that is missing was told of by others than its publisher."""
        logs = self.have.values()
        return not any(True for log in logs for _ in log.missing(log.settled + 1, log.head))

    @property
    def is_proven(self) -> bool:
        """Whether anything of it is here: who only tells of a feed proves nothing."""
        return any(self.have.values())

    def whole(self) -> Have:
        """How much of it is here."""
        return Have(self.origin, self.epoch, self.have["chat"].whole, self.have["offers"].whole)

    @property
    def lacks_nothing(self) -> bool:
        """Whether all of it is here: a quick look, which may say no."""
        return self.have["chat"].lacks_nothing and self.have["offers"].lacks_nothing

    def heard_heads(self, heads: Heads) -> bool:
        """Its publisher told its heads; False when that is no news.

        A message may overtake another: a head never goes back.
        """
        news = False
        for name in LOG_NAMES:
            base, head = getattr(heads, name)
            log = self.have[name]
            news = self._begin(name, base, head) or head > log.head or news
            log.head = max(log.head, head, log.highest)
        return news

    def told(self) -> Have:
        """How far others say that it goes."""
        return Have(self.origin, self.epoch, *(self.have[log].told for log in LOG_NAMES))

    def heard_of(self, have: Have) -> bool:
        """Somebody else has so much of this feed, or says so.

        False when all of that is here, or is asked for.
        """
        more = False
        for log, number in (self.have["chat"], have.chat), (self.have["offers"], have.offers):
            if number > log.head and number > log.told:
                log.told, more = number, True
            elif self.asking is None and number > log.whole:
                more = True
        return more

    def _begin(self, name: str, base: int, head: int) -> bool:
        """Count what is not worth asking for as here; False when it was.

        The run from 1 on then ends where the first gap begins: its answers always join that run,
        so that even the most torn feed is mended, from below.
        """
        log = self.have[name]
        if name == "chat" and not log:
            base = max(base, head - CHAT_BACKLOG + 1)
        if base <= 1 or log.unbroken() >= base - 1:
            return False
        return log.add(1, base - 1)

    def heard_entries(self, name: str, low: int, high: int) -> bool:
        """The entries from `low` to `high` came; False when the first of them was here already.

        Of a log too torn to follow, chat is not taken. Offers are, for the catalogue knows which
        it has: a log of many offers that were superseded is torn, and is settled in the end.
        """
        log = self.have[name]
        if not log:
            self._begin(name, 1, low)
        if low in log:
            return False
        taken = log.add(low, high) or name == "offers"
        if taken and high > log.head:
            log.head = high
        return taken

    def heard_gone(self, name: str, ranges: Iterable[Range]) -> None:
        """The origin says that these numbers were superseded."""
        log = self.have[name]
        for low, high in ranges:
            if low <= log.head:
                log.add(low, min(high, log.head))

    def settle(self, have: Have) -> None:
        """What is missing up to these numbers is not to be had: ask nobody for it.

        Only up to what its publisher told or came of it: whoever settles may have told the rest.
        """
        for name in LOG_NAMES:
            log = self.have[name]
            log.settled = max(log.settled, min(getattr(have, name), log.head))
            if log.is_torn and log.settled:
                log.add(1, log.settled)

    def forget_told(self) -> None:
        """Nobody has what others told of, it seems."""
        for log in self.have.values():
            log.told = 0

    def gaps(self, name: str) -> Iterable[Range]:
        """What is missing of one log, rising."""
        return self.have[name].gaps(CHAT_BACKLOG if name == "chat" else None)

    def missing(self) -> int:
        """How many numbers are missing."""
        return sum(
            0 if self.have[name].lacks_nothing else count(self.gaps(name)) for name in LOG_NAMES
        )

    def wanted(self) -> dict[str, list[Range]]:
        """What to ask for first, at most `ASK_ITEMS` numbers; empty when all is here."""
        left, wanted = ASK_ITEMS, {}
        for name in LOG_NAMES:
            if found := first_of(self.gaps(name), left, ASK_ROOM):
                wanted[name] = found
                left -= count(found)
        return wanted
