"""What becomes known of the others, as events for the faces: who comes and goes, what is offered.

Whoever is told of an offer can search and get it, so none is told before its owner is known to be
here: offers often come first, and wait for the beacon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twistedp2p.core.catalogue import Offer
from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.events import Event, Joined, Left, OfferAdded, OfferGone, Renamed
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import fingerprint
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.roster import Arrival, Number, Peer, Roster
from twistedp2p.disk.memory.store import Store
from twistedp2p.node.memory import Notes
from twistedp2p.node.presence.nicks import Nicks

MAX_EARLY = 1000  # offers heard before the first beacon of their owners


class Tidings:
    """Implements `presence.Told` and `feeds.Told`.

    `said` takes a line of chat, `left` is told the key of a node that went. `wall` is the time of
    day in seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        roster: Roster,
        nicks: Nicks,
        emit: Callable[[Event], None],
        *,
        said: Callable[[Signed, Feed], Any],
        left: Callable[[bytes], Any],
        wall: Callable[[], float],
    ) -> None:
        self._store = store
        self._roster = roster
        self._nicks = nicks
        self._emit = emit
        self._said = said
        self._left = left
        self._wall = wall
        self._notes = Notes()
        self._early: CappedTable[tuple[bytes, str], tuple[Signed, Offer]] = CappedTable(MAX_EARLY)

    # -- who is here (presence.Told)

    def arrived(self, arrival: Arrival, address: Address) -> None:
        """A beacon was taken in."""
        peer = arrival.peer
        if not arrival.joined and arrival.old_nick is None:
            return
        twin = self._nicks.twin(arrival)
        nick = peer.nick or fingerprint(peer.key)
        if arrival.joined:
            self._emit(Joined(peer.key, nick, address[0], twin))
        else:
            old = arrival.old_nick or fingerprint(peer.key)
            self._emit(Renamed(peer.key, nick, old, twin))

    def is_here(self, key: bytes, nick: str, *, came: bool) -> None:
        """Every room has taken in a beacon of that node, its feed too; `came`: its first."""
        self.note_present(key, True, nick)
        if came:
            self._tell_early(key)

    def departed(self, peer: Peer, goodbye: bool) -> None:
        """A node went."""
        self._left(peer.key)
        self.note_present(peer.key, False, peer.nick)
        self._emit(Left(peer.key, peer.nick or fingerprint(peer.key), goodbye))

    def pinned(self, peer: Peer) -> None:
        """A key is to be remembered."""
        self._notes.note(self._store.pin, peer.key, peer.nick, self._now_ms())

    def heard_up_to(self, latest: Sequence[tuple[bytes, Number]]) -> None:
        """Of pinned keys, the latest messages that are to be remembered."""
        self._notes.note(self._store.keep_latest, latest)

    def note_present(self, key: bytes, present: bool, nick: str) -> None:
        """Keep whether a node is here: what it offers is in the catalogue while it is."""
        self._notes.note(self._store.set_present, key, present, nick, self._now_ms())

    # -- what is new of their feeds (feeds.Told)

    def said(self, entry: Signed, feed: Feed) -> None:
        """A line of chat, for the first time."""
        self._said(entry, feed)

    def offered(self, entry: Signed, offer: Offer) -> None:
        """An offer of another node, for the first time."""
        if self._roster.peer(entry.key) is not None:
            self._emit(OfferAdded(offer, self._nicks.shown(entry.key, entry.nick)))
        else:
            self._early.put((entry.key, offer.name), (entry, offer))

    def _tell_early(self, owner: bytes) -> None:
        for key, early in self._early.items():
            if key[0] == owner:
                self._early.pop(key)
                self.offered(*early)

    def withdrawn(self, entry: Signed, name: str) -> None:
        """An offer of another node is no more."""
        if self._early.pop((entry.key, name)) is None:
            self._emit(OfferGone(name, entry.key, self._nicks.shown(entry.key, entry.nick)))

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
