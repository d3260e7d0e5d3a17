"""Who is reached how: by multicast, or by unicast because multicast does not pass.

Multicast can be lost in one direction, in both, or for some nodes only, so each node judges each
peer by what it hears, and says what it needs::

    unheard      no multicast of the peer came in 3.5 of its intervals: maybe ours does not reach it
    wants        it says so in a beacon ("direct"): it does not hear ours

Whoever is one or the other is apart: it gets by unicast what goes to the group, too (at most 16 of
them at a time), and is greeted when it was silent for one of its intervals, which tells both ends
that the other lives.

Sources are easily forged, so nothing is sent to an address again and again before it has repeated
a token that was sent there (as QUIC validates paths, RFC 9000, section 8).
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable

import attrs

from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import b64
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import EVERY_LEAST
from twistedp2p.core.presence.beacon import SILENCE_LEAST as SILENCE
from twistedp2p.core.presence.loss import Losses, loss
from twistedp2p.core.presence.roster import MAX_PEERS, Number

FAN_OUT = 16  # peers to which one datagram is copied; SYNC brings the others what they lack
SETTLED = 1.5  # intervals after which a peer that multicast brings would have been heard by it
GREET_AGAIN = 2.0  # seconds until a greeting that was not answered is repeated
TWINS = 8  # messages that came by unicast whose copy by multicast may follow
TWIN_WINDOW = 2.0  # seconds: Wi-Fi holds multicast back until the sleepers wake
TOKEN_SIZE = 8  # bytes
TOKEN_LASTS = 600.0  # seconds, to twice that
MAX_HOSTS = 4096  # hosts that have proved where they are


class Tokens:
    """Proof that somebody gets what is sent to a host. Nothing is kept for each host but success.

    :param secret: 16 random bytes that nobody else has.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._proved: CappedTable[str, float] = CappedTable(MAX_HOSTS)

    def make(self, host: str, now: float) -> str:
        """What to send to that host: 11 characters."""
        return self._token(host, int(now // TOKEN_LASTS))

    def heard(self, token: str, host: str, now: float) -> bool:
        """A message from that host repeated `token`; whether it is ours, and not too old."""
        period = int(now // TOKEN_LASTS)
        right = token in (self._token(host, period), self._token(host, period - 1))
        if right:
            self._proved.put(host, now)
        return right

    def proved(self, host: str, now: float) -> bool:
        """Whether that host has proved lately that it gets what is sent to it."""
        at = self._proved.peek(host)
        return at is not None and now - at < TOKEN_LASTS

    def _token(self, host: str, period: int) -> str:
        text = f"{period} {host}".encode()
        return b64(hashlib.blake2b(text, digest_size=TOKEN_SIZE, key=self._secret).digest())


@attrs.define
class Way:
    """How one peer and we hear each other. Times are seconds of the clock of every `now`."""

    address: Address  # the latest that it was heard from by unicast; else by multicast
    since: float
    every: float = float(EVERY_LEAST)  # seconds between its beacons
    multicast_at: float = -math.inf
    direct_at: float = -math.inf
    wants_until: float = -math.inf
    greeted_at: float = -math.inf
    losses: Losses = attrs.field(factory=Losses)
    twins: deque[tuple[Number, float]] = attrs.field(factory=lambda: deque(maxlen=TWINS))

    def unheard(self, now: float) -> bool:
        """Whether no multicast of it came for 3.5 of its intervals, or never."""
        return now - self.multicast_at >= SILENCE * self.every

    def is_apart(self, now: float) -> bool:
        """Whether it needs what we send by unicast."""
        return self.unheard(now) or now < self.wants_until

    def is_silent(self, now: float) -> bool:
        """Whether it is to be greeted: nothing came by unicast for one interval."""
        return now - self.direct_at >= self.every and now - self.greeted_at >= GREET_AGAIN


class Ways:
    """How each peer is reached; at most as many as the roster holds."""

    def __init__(self) -> None:
        self._ways: CappedTable[bytes, Way] = CappedTable(MAX_PEERS)
        self._apart: dict[bytes, Way] = {}  # as of the last `look`, and who came since
        self._multicast_at = -math.inf  # by whomever

    def met(self, key: bytes, address: Address, now: float) -> None:
        """A beacon of that node came, maybe its first."""
        if key not in self._ways:
            self._ways.put(key, Way(address, now))

    def heard(
        self, key: bytes, number: Number, address: Address, direct: bool, fresh: bool, now: float
    ) -> None:
        """A verified message came, of a node that was met or not.

        :param fresh: false for one that came before.
        :param direct: to an address of ours or by broadcast, not to the multicast group.
        """
        way = self._ways.get(key)
        if way is None:
            return
        if not fresh:
            self._heard_again(way, number, direct, now)
        elif direct:
            way.direct_at, way.address = now, address
            way.twins.append((number, now))
            if way.is_apart(now):
                self._apart[key] = way
        else:
            self._heard_by_multicast(way, now)
            if way.direct_at == -math.inf:
                way.address = address

    def _heard_again(self, way: Way, number: Number, direct: bool, now: float) -> None:
        """Of two copies the one by unicast may come first; a replay of it later counts nothing."""
        if direct:
            return
        for twin in way.twins:
            if twin[0] == number and now - twin[1] < TWIN_WINDOW:
                way.twins.remove(twin)
                self._heard_by_multicast(way, now)
                return

    def _heard_by_multicast(self, way: Way, now: float) -> None:
        way.multicast_at = self._multicast_at = now
        way.losses.heard()

    def beacon(self, key: bytes, every: int, wants: bool, sent: int, now: float) -> None:
        """What a fresh beacon or hello says, after `heard` of it.

        :param every: seconds between its beacons.
        :param wants: it does not hear our multicast.
        :param sent: its multicast messages so far; 0 where it does not say.
        """
        way = self._ways.peek(key)
        if way is None:
            return
        way.every = float(every)
        if sent:
            way.losses.beacon(sent)
        if wants:
            way.wants_until = now + SILENCE * every
            self._apart[key] = way

    def left(self, key: bytes) -> None:
        """That peer is gone."""
        self._ways.pop(key)
        self._apart.pop(key, None)

    def greeted(self, key: bytes, now: float) -> None:
        """A greeting went to that peer."""
        way = self._ways.peek(key)
        if way is not None:
            way.greeted_at = now

    def address(self, key: bytes) -> Address | None:
        """Where that peer gets what is sent to it alone."""
        way = self._ways.peek(key)
        return None if way is None else way.address

    # -- what follows from it

    def look(self, now: float) -> None:
        """Judge every peer anew; once a second is often enough."""
        self._apart = {key: way for key, way in self._ways.items() if way.is_apart(now)}

    def apart(self) -> dict[bytes, Way]:
        """Those who need what we send by unicast, as of the last `look`."""
        return self._apart

    def unheard(self, key: bytes, now: float) -> bool:
        """Whether no multicast of that peer comes to us."""
        way = self._ways.peek(key)
        return way is not None and way.unheard(now)

    def is_apart(self, key: bytes, now: float) -> bool:
        """Whether that peer needs what we send by unicast."""
        way = self._ways.peek(key)
        return way is not None and way.is_apart(now)

    def unicast_only(self, key: bytes, now: float) -> bool:
        """Whether multicast does not pass between that peer and us; for people to read."""
        way = self._ways.peek(key)
        if way is None or not way.is_apart(now):
            return False
        return now < way.wants_until or now - way.since >= SETTLED * way.every

    def targets(
        self, may: Callable[[str], bool], sample: Callable[[list[Address], int], list[Address]]
    ) -> list[Address]:
        """Where to copy one datagram: at most `FAN_OUT` of those apart.

        :param may: whether a host has proved that it is there.
        :param sample: as `random.sample`.
        """
        found = [way.address for way in self._apart.values() if may(way.address[0])]
        return found if len(found) <= FAN_OUT else sample(found, FAN_OUT)

    def silent(self, now: float) -> list[tuple[bytes, Address]]:
        """Whom to greet so that both know that the other is there; the longest silent first."""
        found = [(key, way) for key, way in self._apart.items() if way.is_silent(now)]
        found.sort(key=lambda pair: max(pair[1].direct_at, pair[1].greeted_at))
        return [(key, way.address) for key, way in found]

    def deaf(self, now: float) -> bool:
        """Whether we know peers, and by now would have heard 3.5 beacons if any multicast came."""
        silent = [
            ((now - max(way.since, self._multicast_at)) / way.every) for way in self._ways.values()
        ]
        # Beacons of different nodes may come in clusters, but one node's never further apart.
        return sum(silent) >= SILENCE and max(silent) >= SETTLED

    def loss(self, now: float) -> float | None:
        """The part of the multicast that is lost, 0 to 1, of peers whom it reaches us from."""
        return loss(way.losses.counts() for way in self._ways.values() if not way.unheard(now))

    def loss_of(self, key: bytes, now: float) -> float | None:
        """The part of one peer's multicast that is lost."""
        way = self._ways.peek(key)
        return None if way is None or way.unheard(now) else loss([way.losses.counts()])
