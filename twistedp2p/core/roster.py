"""Who is here: the nodes of the group, when each was last heard, and whose nick it is.

A node tells that it is here by a beacon (or a hello, which asks the others for theirs)::

    {"every": 5, "files": 9393, "chat": [1, 12], "offers": [1, 3]}

    every    seconds to its next beacon; it is taken as gone after 3.5 of them in silence
    files    TCP port of its file service, 0 for none
    chat, offers    lowest number worth asking for, highest there is
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from twistedp2p.core import body
from twistedp2p.core.body import BadBody, Range
from twistedp2p.core.datagram import MAX_NUMBER, Signed
from twistedp2p.core.feed import LOG_NAMES, Heads
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import look_alike

MAX_PEERS = 4096
MAX_PINS = 4096
MAX_ADDRESSES = 4  # of one key, the latest heard first
EVERY_LEAST, EVERY_MOST = 5, 120  # seconds between beacons of one node
NODES_PER_SECOND = 10  # nodes of the group that send a beacon in one second, in a large group
SILENCE = 3.5  # beacon intervals
PIN_AFTER = 30.0  # seconds that a key must have been here before it is pinned
WINDOW = 64  # message numbers

Address = tuple[str, int]  # IP address, UDP port


@attrs.frozen
class Beacon:
    """What a node says of itself."""

    every: int  # seconds
    files: int  # TCP port
    heads: Heads

    def write(self) -> str:
        """The body."""
        heads = {log: list(getattr(self.heads, log)) for log in LOG_NAMES}
        return body.write({"every": self.every, "files": self.files, **heads})

    @classmethod
    def read(cls, text: str) -> Beacon:
        """Read a body; raises `BadBody`. A port below 1024 is refused: files are never there."""
        fields = body.read(text)
        every = body.whole(fields, "every", EVERY_MOST, 1)
        files = body.whole(fields, "files", 65_535)
        if 0 < files < 1024:
            raise BadBody("files names a privileged port")
        heads = {log: _head(fields.get(log)) for log in LOG_NAMES}
        return cls(every, files, Heads(**heads))


def _head(pair: object) -> Range:
    if not isinstance(pair, list) or [type(end) for end in pair] != [int, int]:
        raise BadBody("a head is a pair of numbers")
    if not (1 <= pair[0] <= MAX_NUMBER and 0 <= pair[1] <= MAX_NUMBER):
        raise BadBody("a head is out of bounds")
    return pair[0], pair[1]


def beacon_interval(nodes: int) -> int:
    """Seconds between a node's beacons in a group of `nodes`: the group has the budget."""
    return min(EVERY_MOST, max(EVERY_LEAST, nodes // NODES_PER_SECOND))


class ReplayWindow:
    """Which of the last `WINDOW` message numbers of one key have been seen (RFC 4303, 3.4.3)."""

    def __init__(self) -> None:
        self._epoch = 0
        self._highest = 0
        self._seen = 0

    def fresh(self, epoch: int, number: int) -> bool:
        """Note (epoch, number); False when it was seen before, or is too old to tell."""
        if epoch < self._epoch:
            return False
        if epoch > self._epoch:
            self._epoch, self._highest, self._seen = epoch, 0, 0
        if number > self._highest:
            self._seen = (self._seen << min(WINDOW, number - self._highest)) & ((1 << WINDOW) - 1)
            self._highest = number
        behind = self._highest - number
        if behind >= WINDOW or self._seen >> behind & 1:
            return False
        self._seen |= 1 << behind
        return True


@attrs.define
class Peer:
    """Another node that is here."""

    key: bytes
    nick: str
    epoch: int
    files: int  # TCP port, 0 for none
    addresses: list[Address]
    first_heard: float  # seconds
    expires: float  # seconds

    def heard_from(self, address: Address) -> None:
        """The latest address comes first; at most `MAX_ADDRESSES` are kept."""
        self.addresses = [address, *(a for a in self.addresses if a != address)][:MAX_ADDRESSES]


@attrs.frozen
class Arrival:
    """What a beacon changed: someone new, another nick, and whom the nick looks like."""

    peer: Peer
    joined: bool
    old_nick: str | None = None
    looks_like: bytes | None = None  # key of the earlier bearer of this nick


class Roster:
    """The peers that are here, and the pinned keys with their nicks.

    `pins` are those of earlier runs. Keys that are not pinned never make room by evicting a
    pinned one.
    """

    def __init__(self, own_key: bytes, pins: Iterable[tuple[bytes, str]] = ()) -> None:
        self._own_key = own_key
        self.pins: dict[bytes, str] = dict(list(pins)[:MAX_PINS])
        self._peers: CappedTable[bytes, Peer] = CappedTable(MAX_PEERS, self.pins.__contains__)
        self._windows: CappedTable[bytes, ReplayWindow] = CappedTable(
            MAX_PEERS, self.pins.__contains__
        )

    def __len__(self) -> int:
        return len(self._peers)

    def peers(self) -> list[Peer]:
        """Everybody who is here but ourselves."""
        return self._peers.values()

    def peer(self, key: bytes) -> Peer | None:
        """The peer of that key if it is here."""
        return self._peers.peek(key)

    def fresh(self, message: Signed) -> bool:
        """Whether a verified message that is no entry comes for the first time."""
        window = self._windows.get(message.key)
        if window is None:
            window = ReplayWindow()
            if not self._windows.put(message.key, window):
                return False
        return window.fresh(message.epoch, message.number)

    def heard(
        self, message: Signed, beacon: Beacon, address: Address, now: float
    ) -> Arrival | None:
        """Take in a verified, fresh beacon; None when there is no room for another stranger."""
        expires = now + SILENCE * beacon.every
        peer = self._peers.get(message.key)
        if peer is None:
            peer = Peer(message.key, message.nick, message.epoch, beacon.files, [], now, expires)
            if not self._peers.put(message.key, peer):
                return None
            peer.heard_from(address)
            return Arrival(peer, True, looks_like=self._twin(peer))
        old_nick, peer.nick = peer.nick, message.nick
        peer.epoch, peer.files, peer.expires = message.epoch, beacon.files, expires
        peer.heard_from(address)
        if old_nick == peer.nick:
            return Arrival(peer, False)
        return Arrival(peer, False, old_nick, self._twin(peer))

    def _twin(self, peer: Peer) -> bytes | None:
        """The key of an earlier bearer of a nick that looks the same."""
        if not peer.nick:
            return None
        skeleton = look_alike(peer.nick)
        for key, nick in self.pins.items():
            if key not in (peer.key, self._own_key) and nick and look_alike(nick) == skeleton:
                return key
        for other in self._peers.values():
            if other.key != peer.key and other.nick and look_alike(other.nick) == skeleton:
                return other.key
        return None

    def pin_due(self, peer: Peer, now: float) -> bool:
        """Pin a key that has stayed; True when the pin is new or its nick has changed."""
        known = self.pins.get(peer.key)
        if known is None and (now - peer.first_heard < PIN_AFTER or len(self.pins) >= MAX_PINS):
            return False
        self.pins[peer.key] = peer.nick
        return known != peer.nick

    def left(self, key: bytes) -> Peer | None:
        """That node said goodbye; the peer it was, or None."""
        return self._peers.pop(key)

    def expire(self, now: float) -> list[Peer]:
        """Remove and return the peers that were silent for too long."""
        gone = [peer for peer in self._peers.values() if peer.expires <= now]
        for peer in gone:
            self._peers.pop(peer.key)
        return gone
