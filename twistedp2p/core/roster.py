"""Who is here: the nodes of the group, when each was last heard, and whose nick it is.

A node tells that it is here by a beacon (or a hello, which asks the others for theirs)::

    {"every": 5, "files": 9393, "chat": [1, 12], "offers": [1, 3]}

    every    seconds to its next beacon; it is taken as gone after 3.5 of them in silence
    files    TCP port of its file service, 0 for none
    chat, offers    lowest number worth asking for, highest there is
"""

from __future__ import annotations

from collections import deque
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
            # What came before the first that we hear may have been heard in an earlier run.
            self._epoch, self._highest, self._seen = epoch, number, (1 << WINDOW) - 2
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


class Bearers:
    """Which keys bear a nick of one look. Asking costs the same however many there are."""

    def __init__(self) -> None:
        self._look: dict[bytes, str] = {}
        self._keys: dict[str, dict[bytes, None]] = {}

    def bears(self, key: bytes, nick: str) -> None:
        """From now on `key` bears `nick`, and none when it is empty."""
        self.drop(key)
        if nick:
            self._look[key] = look = look_alike(nick)
            self._keys.setdefault(look, {})[key] = None

    def drop(self, key: bytes) -> None:
        """`key` bears no nick any more."""
        look = self._look.pop(key, None)
        if look is not None:
            del self._keys[look][key]
            if not self._keys[look]:
                del self._keys[look]

    def earlier(self, nick: str, others_than: tuple[bytes, ...]) -> bytes | None:
        """The key that has borne the look of `nick` for longest, or None."""
        keys = self._keys.get(look_alike(nick), {}) if nick else {}
        return next((key for key in keys if key not in others_than), None)


class Roster:
    """The peers that are here, and the pinned keys with their nicks.

    `pins` are those of earlier runs. Keys that are not pinned never make room by evicting a
    pinned one.
    """

    def __init__(self, own_key: bytes, pins: Iterable[tuple[bytes, str]] = ()) -> None:
        self._own_key = own_key
        self.pins: dict[bytes, str] = dict(list(pins)[:MAX_PINS])
        self._crowded_out: deque[Peer] = deque(maxlen=MAX_PEERS)
        self._peers: CappedTable[bytes, Peer] = CappedTable(
            MAX_PEERS, self.pins.__contains__, self._crowd_out
        )
        self._windows: CappedTable[bytes, ReplayWindow] = CappedTable(
            MAX_PEERS, self.pins.__contains__
        )
        self._pinned_nicks, self._nicks = Bearers(), Bearers()
        for key, nick in self.pins.items():
            self._pinned_nicks.bears(key, nick)

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
            return Arrival(peer, True, looks_like=self._named(peer))
        old_nick, peer.nick = peer.nick, message.nick
        peer.epoch, peer.files, peer.expires = message.epoch, beacon.files, expires
        peer.heard_from(address)
        if old_nick == peer.nick:
            return Arrival(peer, False)
        return Arrival(peer, False, old_nick, self._named(peer))

    def _named(self, peer: Peer) -> bytes | None:
        """Note the nick of a peer; the key of an earlier bearer of one that looks the same."""
        self._nicks.bears(peer.key, peer.nick)
        others_than = peer.key, self._own_key
        pinned = self._pinned_nicks.earlier(peer.nick, others_than)
        return pinned or self._nicks.earlier(peer.nick, others_than)

    def _crowd_out(self, peer: Peer) -> None:
        self._nicks.drop(peer.key)
        self._crowded_out.append(peer)

    def pin_due(self, peer: Peer, now: float) -> bool:
        """Pin a key that has stayed; True when the pin is new or its nick has changed."""
        known = self.pins.get(peer.key)
        if known is None and (now - peer.first_heard < PIN_AFTER or len(self.pins) >= MAX_PINS):
            return False
        if known != peer.nick:
            self.pins[peer.key] = peer.nick
            self._pinned_nicks.bears(peer.key, peer.nick)
        return known != peer.nick

    def left(self, key: bytes) -> Peer | None:
        """That node said goodbye; the peer it was, or None."""
        self._nicks.drop(key)
        return self._peers.pop(key)

    def expire(self, now: float) -> list[Peer]:
        """The peers that went since the last call: silent for too long, or crowded out."""
        silent = [peer for peer in self._peers.values() if peer.expires <= now]
        for peer in silent:
            self.left(peer.key)
        crowded_out = [peer for peer in self._crowded_out if peer.key not in self._peers]
        self._crowded_out.clear()
        return [*silent, *crowded_out]
