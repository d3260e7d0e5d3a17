"""The desk: what a face can ask of a node, and the stream of what happens.

It needs no terminal and no twistd: `tap` and `api` both open it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from twistedp2p.core.catalogue import Listing, Offer, Query
from twistedp2p.core.diagnosis import Diagnosis
from twistedp2p.core.diagnosis.findings import Finding
from twistedp2p.core.events import (
    Event,
    Said,
)
from twistedp2p.core.names import clean_name, clean_nick
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.roster import Peer
from twistedp2p.core.ticket import Ticket
from twistedp2p.disk.offered import check_path
from twistedp2p.node.assembly import Assembly
from twistedp2p.node.config import Status
from twistedp2p.node.downloads.transfers import Transfer, wanted_of
from twistedp2p.node.offers.shares import Offered


class Node(Assembly):
    """One node, as every face sees it."""

    def subscribe(
        self, face: Callable[[Event], None], *, reader: bool = False
    ) -> Callable[[], None]:
        """Have every event told to `face` from now on; call what is returned to end that.

        A `reader` shows direct messages to a person: they are refused where there is none.
        """
        return self._faces.subscribe(face, reader=reader)

    @property
    def nick(self) -> str:
        """Our nick, or our fingerprint where we have none."""
        return self._nicks.own()

    @property
    def closed(self) -> bool:
        """Whether only those who have the group's code know what is said and offered here."""
        return self._membership is not None

    def set_nick(self, nick: str) -> str:
        """Bear another nick from the next beacon on; returns it as cleaned."""
        self._feeds.own.nick = clean_nick(nick)
        self._tidings.note_present(self.key, True, self._feeds.own.nick)
        self._presence.changed()
        return self.nick

    def status(self) -> Status:
        """How many are here, offer, and are moving."""
        return Status(
            len(self._roster) + 1,
            self._store.count_offers(),
            len(self._courses),
            sum(self._reach.unicast_only(peer.key) for peer in self._roster.peers()),
            self._reach.loss(),
        )

    def way_to(self, key: bytes) -> tuple[bool, float | None]:
        """Whether a peer is reached by unicast only; the part of its multicast that is lost."""
        return self._reach.unicast_only(key), self._reach.loss(key)

    def peers(self) -> list[Peer]:
        """Everybody else who is here, by nick."""
        return sorted(self._roster.peers(), key=lambda peer: (peer.nick.casefold(), peer.key))

    def nick_of(self, key: bytes) -> str:
        """What to call a node: its nick, or its fingerprint; both where others look like it."""
        return self._nicks.of(key)

    def nick_heard(self, key: bytes) -> str:
        """The nick that a node itself gave, or an empty text: not to be shown alone."""
        return self._nicks.heard(key)

    def age_of(self, peer: Peer) -> float:
        """Seconds since that peer was first heard."""
        return float(self._reactor.seconds() - peer.first_heard)

    def say(self, text: str) -> None:
        """Say `text` (at most `names.MAX_TEXT` characters); raises `ShareError`."""
        self._chat.say(text)

    def send_direct(self, who: str, text: str) -> Deferred[None]:
        """Say `text` to one node's person alone: see `direct.DirectMessages.send`."""
        return self._direct.send(who, text)

    def last_said(self, most: int) -> list[Said]:
        """The last `most` signed lines of everybody, this run's and earlier ones', oldest first."""
        return self._chat.last_said(most)

    def offer(self, path: str, password: str = "", public: bool = False) -> Deferred[Offered]:
        """Offer a file or folder; fires when the group was told, or fails with `ShareError`."""
        return Deferred.fromCoroutine(self._shares.offer(path, password, public))

    def check_path(self, path: str) -> None:
        """Raise `ShareError` where that file or folder could not be offered."""
        check_path(os.path.expanduser(path))

    def withdraw(self, name: str) -> None:
        """Offer it no more; raises `ShareError`."""
        self._shares.withdraw(name)

    def own_offers(self, most: int = 200, after: str = "") -> list[Offer]:
        """The first `most` of what this node offers, by name; of those after the name `after`."""
        return self._store.offers_of(self.key, most, after)

    def own_name(self, offer: bytes) -> str:
        """The name of an own offer of that id; raises `ShareError`."""
        return self._shares.name_of(offer)

    def ticket(self, name: str, password: str) -> Ticket:
        """What somebody pastes to fetch an own offer."""
        host = next(iter(self._group.addresses()), "127.0.0.1")  # no network: this host alone
        return Ticket(host, self.file_port, password, name)

    def search(self, text: str = "", most: int = 200) -> Deferred[list[Listing]]:
        """What is on offer, best match first; everything, latest first, for an empty text."""
        return self._threads.run(self._store.search, Query.parse(text), self.key, most)

    def heard_before(
        self, owners: str, before: int, most: int
    ) -> Deferred[list[tuple[int, Listing]]]:
        """What those owners (``@nick``, by default all) offer, the latest heard first, some at a
        time: each with the number to give as `before` for what follows."""
        query = Query.parse(owners)
        return self._threads.run(self._store.heard_before, query, self.key, before, most)

    def find(self, offer: bytes, *, here: bool = True) -> Deferred[Offer | None]:
        """The offer of that id, of a node that is here; or of one that is not, which others may
        have fetched."""
        return self._threads.run(self._store.find, offer, here)

    def called(self, name: str, *, here: bool = True) -> list[Offer]:
        """What nodes that are here offer under exactly that name; or those that are not, which
        others may have fetched."""
        return self._store.offers_called(name, here=here)

    def get(
        self,
        offer: Offer,
        password: str = "",
        folder: Path | None = None,
        part: str = "",
        *,
        one_file: bool = False,
    ) -> Transfer:
        """Fetch an offer of the catalogue, or `part` of a folder: a path below it.

        `one_file`: a folder is refused, as soon as it is known to be one.
        """
        return self._transfers.get(
            offer.name,
            password,
            lambda: self._others.file_addresses(offer.owner),
            offer,
            folder,
            wanted=wanted_of(part),
            one_file=one_file,
        )

    def get_ticket(
        self,
        ticket: Ticket,
        folder: Path | None = None,
        part: str = "",
        *,
        one_file: bool = False,
    ) -> Transfer:
        """Fetch by ticket; where one node alone can be meant, its key is required too."""
        name = clean_name(ticket.name)
        offers = [
            offer
            for peer in self._roster.peers()
            if peer.files == ticket.port and any(a[0] == ticket.host for a in peer.addresses)
            if (offer := self._store.offer(peer.key, name)) is not None
        ]
        if len(offers) == 1:
            return self.get(offers[0], ticket.password, folder, part, one_file=one_file)

        def addresses() -> list[Address]:
            return [(host, ticket.port) for host in self._group.ways_to(ticket.host)]

        return self._transfers.get(
            name,
            ticket.password,
            addresses,
            None,
            folder,
            wanted=wanted_of(part),
            one_file=one_file,
        )

    def get_running(self) -> list[Transfer]:
        """The gets that are under way."""
        return self._transfers.running()

    def examine(self, told: Callable[[Finding], object]) -> Deferred[Diagnosis]:
        """Look for what keeps nodes from each other; some 15 s: see `Examination.begin`."""
        return self._examination.begin(told)

    def dropped(self) -> dict[str, int]:
        """Datagrams that were dropped, and why."""
        rooms = self._group, self._dispatch, self._feeds, self._syncs, self._pings
        return dict(sum((room.dropped for room in rooms), Counter[str]()))
