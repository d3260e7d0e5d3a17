"""What the menu lists: files on offer, who is here, what was said, what is moving."""

from __future__ import annotations

from typing import Any, Protocol

from twistedp2p.core.catalogue import Listing
from twistedp2p.core.events import Said
from twistedp2p.core.names import fingerprint
from twistedp2p.face.dialogue import Dialogue
from twistedp2p.face.news import News
from twistedp2p.face.numbers import Numbers
from twistedp2p.face.texts import Translate, folder_text, size_text

LAST_LINES = 20  # lines of chat
LIST_ROWS = 30  # rows shown of a list of files
WHO_ROWS = 100  # nodes shown of those that are here
LOSS_SHOWN = 0.05  # part of the multicast, from which on it is worth a word
REASONS = 5  # shown, for which datagrams were dropped


class Desk(Protocol):
    """What of `node.Node` is needed."""

    key: bytes

    @property
    def nick(self) -> str: ...

    def search(self, text: str = "", most: int = 200) -> Any: ...

    def last_said(self, most: int) -> list[Said]: ...

    def get_running(self) -> list[Any]: ...

    def peers(self) -> list[Any]: ...

    def way_to(self, key: bytes) -> tuple[bool, float | None]: ...

    def nick_of(self, key: bytes) -> str: ...

    def status(self) -> Any: ...

    def dropped(self) -> dict[str, int]: ...


class Listings:
    """Entries 5 and 6, `/last` and `/transfers`."""

    def __init__(
        self, desk: Desk, dialogue: Dialogue, numbers: Numbers, news: News, translate: Translate
    ) -> None:
        self._desk = desk
        self._dialogue = dialogue
        self._numbers = numbers
        self._news = news
        self._ = translate

    # -- files

    def files(self, rest: str) -> None:
        """`5 WORDS`."""
        question = self._("Search (empty: all)?")
        self._dialogue.ask_unless(rest, question, self._search, complete="choice")

    def _search(self, text: str) -> None:
        self._dialogue.work(self._desk.search(text), self._searched, self._dialogue.ask_top)

    def _searched(self, found: list[Listing]) -> None:
        if found:
            self.show(found)
        else:
            self._dialogue.system(self._("Nothing is on offer."))

    def show(self, found: list[Listing]) -> None:
        """Show the first of these, each with the number by which it can be meant."""
        for listing in found[:LIST_ROWS]:
            offer = listing.offer
            owner = self._("you") if listing.own else self._desk.nick_of(offer.owner)
            access = self._("  (for everybody)") if offer.public else ""
            number = self._numbers.of(offer)
            size = size_text(offer.size)
            folder = ""
            if offer.files is not None:
                folder = f"  ({folder_text(self._, offer.files)})"
            self._row(f"{number:>5}  {size:>8}  {offer.name}  — {owner}{folder}{access}")
        if len(found) > LIST_ROWS:
            self._dialogue.system(self._("… and more; search to narrow it down."))

    def _row(self, text: str) -> None:
        self._dialogue.screen.show(text, "list")

    # -- who is here

    def who(self, rest: str) -> None:
        """`6 NICK`."""
        you = self._("you")
        self._row(f"  {self._desk.nick}  {fingerprint(self._desk.key)}  {you}")
        part = rest.casefold()
        meant = [peer for peer in self._desk.peers() if part in peer.nick.casefold()]
        for peer in meant[:WHO_ROWS]:
            nick = peer.nick or "-"
            # Which of its families was heard last is chance; one of IPv4 is known and can be typed.
            hosts = sorted((host for host, _ in peer.addresses), key=lambda host: ":" in host)
            self._row(f"  {nick}  {fingerprint(peer.key)}  {hosts[0]}{self._way(peer.key)}")
        if len(meant) > WHO_ROWS:
            self._dialogue.system(self._("… and more: {count}"), count=len(meant) - WHO_ROWS)
        if ways := self.ways(self._desk.status()):
            self._dialogue.system(ways)
        self._who_was_not_heard()
        self._dialogue.ask_top()

    def ways(self, status: Any) -> str:
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
            self._dialogue.system(
                self._("datagrams dropped: {count} ({reasons})"),
                count=sum(dropped.values()),
                reasons=", ".join(f"{self._(reason)}: {count}" for reason, count in often),
            )

    # -- what was said, and what is moving

    def last(self, _rest: str) -> None:
        """`/last`."""
        lines = self._desk.last_said(LAST_LINES)
        for said in lines:
            self._news.line_of(said)
        if not lines:
            self._dialogue.system(self._("Nothing has been said."))
        self._dialogue.ask_top()

    def transfers(self, _rest: str) -> None:
        """`/transfers`."""
        lines = self._news.courses()
        for transfer in self._desk.get_running():
            lines.setdefault(
                transfer.number,
                self._("{number} get: waiting  {name}").format(
                    number=transfer.number, name=transfer.name
                ),
            )
        for _, line in sorted(lines.items()):
            self._row(line)
        if not lines:
            self._dialogue.system(self._("Nothing is moving."))
        self._dialogue.ask_top()
