"""Who is here: the nodes of the group, when each was last heard, and whose nick it is.

A node tells that it is here by beacons (see `beacon`); anything else of it that is heard is a sign
of life, too. It is taken as gone after some beacon intervals in silence: the more the more is lost
on the way.

A key that stays is pinned: remembered with its nick, in later runs too. Pins are capped, and keys
cost nothing, so a pin is worth as many seconds as its key has been known, less those that it has
been away since; one that is worth less gives way to one that is worth more. Few pins are earned
from one address, and only keys that have been known for an hour are kept in the tables when
strangers crowd in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import attrs

from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.limits import Buckets, CappedTable
from twistedp2p.core.names import look_alike
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import Beacon, Loss

MAX_PEERS = 4096
MAX_PINS = 4096
MAX_ADDRESSES = 4  # of one key, the latest heard first
PIN_AFTER = 30.0  # seconds that a key must have been here before it is pinned; between two tries
PINS_RATE, PINS_BURST = 16 / 3600, 16.0  # pins earned from one address: a host has a few nodes
SEEN_EVERY = 3600.0  # seconds between two notes that a pinned key is still here
WELL_KNOWN = 3600.0  # seconds that a key must have been known before it is kept when it is crowded
WINDOW = 64  # message numbers

Number = tuple[int, int]  # epoch and number of a message


class ReplayWindow:
    """Which of the last `WINDOW` message numbers of one key have been seen (RFC 4303, 3.4.3).

    :param latest: the latest message of an earlier run, after which what is fresh comes.
    """

    def __init__(self, latest: Number = (0, 0)) -> None:
        self._epoch, self._highest = latest
        self._seen = (1 << WINDOW) - 1

    @property
    def latest(self) -> Number:
        """The epoch, and the highest number in it, that were heard."""
        return self._epoch, self._highest

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
    files: int  # TCP port, 0 for none
    addresses: list[Address]
    first_heard: float  # seconds
    last_heard: float  # seconds
    every: int  # seconds between its beacons
    pin_tried: float  # seconds
    sent: int = 0  # messages to everybody, as it told last
    heard: int = 0  # of those, since then

    def heard_from(self, address: Address) -> None:
        """The latest address comes first; at most `MAX_ADDRESSES` are kept."""
        if self.addresses and self.addresses[0] == address:
            return
        self.addresses = [address, *(a for a in self.addresses if a != address)][:MAX_ADDRESSES]


@attrs.define
class Pin:
    """A key that is remembered. Times are of the clock of every `now`, also of earlier runs."""

    nick: str
    first: float  # seconds
    last: float  # seconds
    noted: float  # seconds: when it was last told to be kept
    latest: Number = (0, 0)  # of its messages that were heard
    kept: Number = attrs.field(init=False)  # the `latest` that the node's memory has

    @kept.default
    def _kept(self) -> Number:
        return self.latest

    def worth(self, now: float) -> float:
        """Seconds that the key has been known, less those that it has been away since."""
        return self.last - self.first - (now - self.last)


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
    """The peers that are here, and the pinned keys.

    `pins` are those of earlier runs; `unpinned` is told of each key whose pin gave way. Everybody
    is heard; strangers evict no key that is well known, unless these are half of all.
    """

    def __init__(
        self,
        own_key: bytes,
        pins: Mapping[bytes, Pin] | None = None,
        unpinned: Callable[[bytes], object] = lambda _: None,
    ) -> None:
        self._own_key = own_key
        self._unpinned = unpinned
        self.pins: dict[bytes, Pin] = dict(islice((pins or {}).items(), MAX_PINS))
        self._pins_earned: Buckets[str] = Buckets(PINS_RATE, PINS_BURST)
        self._crowded_out: deque[Peer] = deque(maxlen=MAX_PEERS)
        self._peers: CappedTable[bytes, Peer] = CappedTable(
            MAX_PEERS, self._well_known, self._crowd_out
        )
        self._windows: CappedTable[bytes, ReplayWindow] = CappedTable(MAX_PEERS, self._well_known)
        self.loss = Loss()
        self._pinned_nicks, self._nicks = Bearers(), Bearers()
        for key, pin in self.pins.items():
            self._pinned_nicks.bears(key, pin.nick)

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
        pin, window = self.pins.get(message.key), self._windows.get(message.key)
        if window is None:
            window = ReplayWindow() if pin is None else ReplayWindow(pin.latest)
            self._windows.put(message.key, window)
        fresh = window.fresh(message.epoch, message.number)
        if pin is not None:
            pin.latest = window.latest
        return fresh

    def unkept(self, keys: Iterable[bytes]) -> list[tuple[bytes, Number]]:
        """The latest message of each of those keys, where it is pinned, not kept so far, and
        will be now: what came up to there is no news in a later run."""
        found = []
        for key in keys:
            pin = self.pins.get(key)
            if pin is not None and pin.kept != pin.latest:
                pin.kept = pin.latest
                found.append((key, pin.latest))
        return found

    def alive(self, key: bytes, now: float, *, direct: bool = False) -> None:
        """Something fresh of that node came; `direct`: not by multicast."""
        peer = self._peers.peek(key)
        if peer is not None:
            peer.last_heard = now
            peer.heard += not direct

    def heard(
        self,
        message: Signed,
        beacon: Beacon,
        address: Address,
        now: float,
        *,
        direct: bool = False,
    ) -> Arrival:
        """Take in a verified, fresh beacon, of which `alive` was told.

        One that came `direct` says nothing of what multicast loses: maybe none of it passes.
        """
        if message.key in self.pins:
            self.pins[message.key].last = now
        peer = self._peers.get(message.key)
        if peer is None:
            peer = Peer(message.key, message.nick, beacon.files, [], now, now, beacon.every, now)
            peer.sent = beacon.sent
            self._peers.put(message.key, peer)
            peer.heard_from(address)
            return Arrival(peer, True, looks_like=self._named(peer))
        old_nick, peer.nick = peer.nick, message.nick
        peer.files, peer.every, peer.last_heard = beacon.files, beacon.every, now
        if not direct:
            self._count_lost(peer, beacon.sent)
        peer.heard_from(address)
        if old_nick == peer.nick:
            return Arrival(peer, False)
        return Arrival(peer, False, old_nick, self._named(peer))

    def _count_lost(self, peer: Peer, sent: int) -> None:
        if 0 < peer.sent < sent:
            self.loss.heard(sent - peer.sent, peer.heard)
        if sent != peer.sent:
            peer.sent, peer.heard = sent, 0

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
        """Pin a key that has stayed; True when the pin is to be noted in the node's memory.

        That is when it is new, has another nick, or was noted long ago.
        """
        pin = self.pins.get(peer.key)
        if pin is None:
            pin = self._earned(peer, now)
            if pin is None:
                return False
            self.pins[peer.key] = pin
        elif pin.nick == peer.nick and now - pin.noted < SEEN_EVERY:
            return False
        pin.nick, pin.noted = peer.nick, now
        self._pinned_nicks.bears(peer.key, peer.nick)
        return True

    def _earned(self, peer: Peer, now: float) -> Pin | None:
        """A pin for a key that has stayed, when there is or can be made room for it."""
        if now - peer.pin_tried < PIN_AFTER:
            return None
        peer.pin_tried = now
        pin, least = Pin(peer.nick, peer.first_heard, now, now), None
        if len(self.pins) >= MAX_PINS:
            least = min(self.pins, key=lambda key: self.pins[key].worth(now))
            if self.pins[least].worth(now) >= pin.worth(now):
                return None
        if not self._pins_earned.take(peer.addresses[0][0], now):
            return None
        if least is not None:
            del self.pins[least]
            self._pinned_nicks.drop(least)
            self._unpinned(least)
        return pin

    def _well_known(self, key: bytes) -> bool:
        pin = self.pins.get(key)
        return pin is not None and pin.last - pin.first >= WELL_KNOWN

    def left(self, key: bytes) -> Peer | None:
        """That node said goodbye; the peer it was, or None."""
        self._nicks.drop(key)
        return self._peers.pop(key)

    def expire(self, now: float, every: int = 0) -> list[Peer]:
        """The peers that went since the last call: silent for too long, or crowded out.

        No interval counts as shorter than `every` seconds, our own: the group may have grown
        since the others told theirs.
        """
        silence = self.loss.silence
        silent = [
            peer
            for peer in self._peers.values()
            if now >= peer.last_heard + silence * max(every, peer.every)
        ]
        for peer in silent:
            self.left(peer.key)
        crowded_out = [peer for peer in self._crowded_out if peer.key not in self._peers]
        self._crowded_out.clear()
        return [*silent, *crowded_out]
