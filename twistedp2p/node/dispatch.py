"""What comes from the network, told to the room that it is for.

What is not known yet waits for nobody: keys cost nothing, and each new one costs time to take in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from twistedp2p.core.calls.sync import LivePeer
from twistedp2p.core.clock import HybridClock
from twistedp2p.core.datagrams.body import DAMAGED, BadBody
from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.errors import N_
from twistedp2p.core.events import Event, Notice, Said
from twistedp2p.core.limits import SharedRate
from twistedp2p.core.names import clean_line
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.roster import Roster
from twistedp2p.node.feeds.feeds import Feeds
from twistedp2p.node.feeds.own_key import OwnKey
from twistedp2p.node.messages.chat import Chat
from twistedp2p.node.presence.pings import Pings
from twistedp2p.node.presence.presence import Presence
from twistedp2p.node.presence.reach import Reach
from twistedp2p.node.presence.tidings import Tidings

# A thousand nodes answer a newcomer at 50 a second; each new key costs a millisecond to take in.
STRANGERS_RATE, STRANGERS_BURST = 50.0, 500.0  # datagrams of keys that we know nothing of
STRANGERS_PART = 0.2  # of them from one host: its throw-away keys leave room for newcomers


@attrs.define
class Rooms:
    """Those that something is told to."""

    roster: Roster
    own_key: OwnKey
    reach: Reach
    feeds: Feeds
    chat: Chat
    presence: Presence
    pings: Pings
    tidings: Tidings


class Dispatch:
    """Implements `net.group.Listener` and `sync.Told`.

    `closed` says whether our group is; `count_as` gives what an IP address counts as; `wall` is
    the time of day in seconds since 1970.
    """

    def __init__(
        self,
        key: bytes,
        rooms: Rooms,
        emit: Callable[[Event], None],
        *,
        closed: bool,
        group_time: HybridClock,
        links_changed: Callable[[], None],
        count_as: Callable[[str], str],
        clock: Any,
        wall: Callable[[], float],
    ) -> None:
        self._key = key
        self._rooms = rooms
        self._emit = emit
        self._closed = closed
        self._group_time = group_time
        self._links_changed = links_changed
        self._clock = clock
        self._wall = wall
        self._sealed_told = False
        self._count_as = count_as
        self._strangers: SharedRate[str] = SharedRate(
            STRANGERS_RATE, STRANGERS_BURST, STRANGERS_PART, clock.seconds()
        )
        self.dropped: Counter[str] = Counter()

    # -- what the group tells (net.group.Listener)

    def is_pinned(self, key: bytes) -> bool:
        """Whether that key is known from before."""
        return key in self._rooms.roster.pins

    def links_changed(self) -> None:
        """An interface came or went, or the host has slept."""
        self._links_changed()

    def plain_heard(self, text: str, address: Address) -> None:
        """Plain text of a script: shown as what it is."""
        line = clean_line(text).strip()
        if line:
            self._emit(Said(line, "", None, address[0], self._now_ms()))

    def sealed_heard(self) -> None:
        """A closed group is here whose code we do not have: said once."""
        if self._sealed_told:
            return
        self._sealed_told = True
        if self._closed:
            sentence = N_("Another closed group is here too, or some have another code than you.")
            self._emit(Notice(sentence, {}))
        else:
            self._emit(Notice(N_("A closed group is here too; ask for its code."), {}))

    def codes_changed(self) -> None:
        """Which codes open the group's datagrams has changed: others may not be opened now."""
        self._sealed_told = False

    def signed_heard(self, message: Signed, address: Address, direct: bool) -> None:
        """A datagram of another node, its signature checked."""
        rooms = self._rooms
        if message.key == self._key:
            self._own_heard(message, address)
            return
        if self.is_stranger(message.key) and not self._admits(address[0]):
            self.dropped[N_("too many strangers")] += 1
            return
        try:
            if message.log is not None:
                rooms.feeds.heard_entry(message)
            else:
                fresh = rooms.roster.fresh(message)
                rooms.reach.heard(message, address, direct, fresh)
                if fresh:
                    rooms.chat.heard_clock(message)
                    rooms.presence.alive(message.key, direct)
                    self._message_heard(message, address, direct)
        except BadBody:
            self.dropped[DAMAGED] += 1

    def _own_heard(self, message: Signed, address: Address) -> None:
        try:
            self._rooms.own_key.heard(message, address)
        except BadBody:
            self.dropped[DAMAGED] += 1
        self._group_time.follow(message.stamp, self._now_ms())

    def _admits(self, host: str) -> bool:
        return self._strangers.take(self._count_as(host), self._clock.seconds())

    def is_stranger(self, key: bytes) -> bool:
        """Whether nothing is known of that key yet."""
        rooms = self._rooms
        known = self.is_pinned(key) or rooms.feeds.follows(key)
        return not known and rooms.roster.peer(key) is None

    def _message_heard(self, message: Signed, address: Address, direct: bool) -> None:
        rooms = self._rooms
        if message.kind in ("beacon", "hello"):
            self._beacon_heard(message, address, direct)
        elif message.kind == "bye":
            rooms.presence.heard_bye(message)
        elif message.kind in ("ask", "vector") and not rooms.reach.may_answer(address, direct):
            self.dropped[N_("an ask from elsewhere")] += 1
        elif message.kind == "ping":
            rooms.pings.heard(message, address, direct)
        elif message.kind != "pong":
            rooms.feeds.heard(message, address, direct, rooms.reach.is_proved(address[0]))

    def _beacon_heard(self, message: Signed, address: Address, direct: bool) -> None:
        rooms = self._rooms
        came = rooms.roster.peer(message.key) is None
        beacon = rooms.presence.heard(message, address, direct)
        rooms.reach.heard_beacon(message, beacon, address, direct)
        rooms.feeds.heard_beacon(message, beacon, address)
        rooms.tidings.is_here(message.key, message.nick, came=came)

    # -- what partners say (sync.Told)

    def synced(self, entry: Signed) -> None:
        """An entry that a partner kept."""
        if entry.key == self._key:
            self._rooms.own_key.heard_entry(entry)
        else:
            self._rooms.feeds.heard_entry(entry, synced=True)

    def unkept(self, origins: Iterable[bytes]) -> None:
        """The disk refused what partners told of these last."""
        for origin in origins:
            self._rooms.feeds.forget_unkept(origin)

    def peers_learnt(self, peers: Sequence[LivePeer]) -> None:
        """Nodes that are here, as a partner says."""
        self._rooms.reach.learnt(
            (peer.host, peer.port)
            for peer in peers
            if peer.key != self._key and self._rooms.roster.peer(peer.key) is None
        )

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
