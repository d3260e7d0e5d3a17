"""How much a stranger may ask of us: token buckets, tables with a cap, and the guess limiter.

Every table keyed by what a stranger sends has a cap; the least recently used row goes first.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any, Generic, TypeVar

import attrs

from twistedp2p.core.names import KEY_SIZE

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CappedTable(Generic[K, V]):
    """A dictionary of at most `cap` rows that forgets the least recently used one.

    `keep` names rows that are not forgotten for the sake of others (keys known for long), as long
    as they are the lesser half: there is always room for a newcomer. `forgotten` is told of each
    row that made room.
    """

    def __init__(
        self,
        cap: int,
        keep: Callable[[K], bool] = lambda _: False,
        forgotten: Callable[[V], object] = lambda _: None,
    ) -> None:
        self._cap = cap
        self._keep = keep
        self._forgotten = forgotten
        self._rows: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def get(self, key: K) -> V | None:
        """The row of `key`, which becomes the most recently used, or None."""
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def peek(self, key: K) -> V | None:
        """The row of `key` without counting as a use, or None."""
        return self._rows.get(key)

    def put(self, key: K, row: V) -> None:
        """Store `row`, which becomes the most recently used."""
        if key not in self._rows and len(self._rows) >= self._cap:
            self._make_room()
        self._rows[key] = row
        self._rows.move_to_end(key)

    def pop(self, key: K) -> V | None:
        """Remove and return the row of `key`, or None."""
        return self._rows.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        """A copy of all rows, least recently used first."""
        return list(self._rows.items())

    def values(self) -> list[V]:
        """A copy of all values, least recently used first."""
        return list(self._rows.values())

    def _make_room(self) -> None:
        oldest = islice(self._rows, self._cap // 2 + 1)
        key = next((key for key in oldest if not self._keep(key)), next(iter(self._rows)))
        self._forgotten(self._rows.pop(key))


ROUNDING = 1e-3  # tokens: who waited as long as `wait` said finds his token, however coarse `now`


@attrs.define
class TokenBucket:
    """Tokens that refill at `rate` per second up to `burst`."""

    rate: float
    burst: float
    tokens: float
    at: float  # seconds, of the same clock as every `now`

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> TokenBucket:
        """A bucket that nobody has drawn from yet."""
        return cls(rate, burst, burst, now)

    def refill(self, now: float) -> None:
        """Bring the count up to `now`; a clock that went back adds nothing."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now

    def whole(self, now: float) -> int:
        """How many tokens can be drawn."""
        self.refill(now)
        return int(self.tokens + ROUNDING)

    def take(self, now: float) -> bool:
        """Draw one token; False when there is none."""
        if self.whole(now) < 1:
            return False
        self.tokens -= 1
        return True

    def spend(self, now: float) -> None:
        """Draw one token even when there is none, as far below 0 as `burst` is above."""
        self.refill(now)
        self.tokens = max(-self.burst, self.tokens - 1)

    def give_back(self) -> None:
        """Return one token that was drawn."""
        self.tokens = min(self.burst, self.tokens + 1)

    def wait(self, now: float) -> float:
        """Seconds until a token is there."""
        self.refill(now)
        return max(0.0, (1 - self.tokens) / self.rate)


class Buckets(Generic[K]):
    """One token bucket for each of at most `cap` keys."""

    def __init__(self, rate: float, burst: float, cap: int = 4096) -> None:
        self._rate = rate
        self._burst = burst
        self._table: CappedTable[K, TokenBucket] = CappedTable(cap)

    def __len__(self) -> int:
        return len(self._table)

    def take(self, key: K, now: float) -> bool:
        """Draw one token of `key`; False when it has none left."""
        bucket = self._table.get(key)
        if bucket is None:
            bucket = TokenBucket.full(self._rate, self._burst, now)
            self._table.put(key, bucket)
        return bucket.take(now)


class SharedRate(Generic[K]):
    """A rate for all, of which no key gets more than a part.

    :param rate: tokens a second, up to `burst`.
    :param part: of both, that one key may draw; 0 to 1.
    """

    def __init__(self, rate: float, burst: float, part: float, now: float) -> None:
        self._all = TokenBucket.full(rate, burst, now)
        self._each: Buckets[K] = Buckets(part * rate, part * burst)

    def take(self, key: K, now: float) -> bool:
        """Draw one token for `key`; False when it has had its part, or there is none."""
        return self._each.take(key, now) and self._all.take(now)


def counted_as(host: str, on_link: Callable[[str], bool] = lambda _: False) -> str:
    """What an IP address counts as where something is limited for each address.

    A host of IPv6 has a whole /64 to take its addresses from, so that counts as one. On our own
    links the /64 is everybody's: there each address counts, as with IPv4, of which a host there
    can take many, too; what is limited in all holds for him.

    :param on_link: whether an address is on a network of ours.
    """
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host)
    if address.is_link_local or on_link(host):
        return host
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


KNOWN_ADDRESSES = 4096  # addresses whose guesses are counted
ADDRESS_MOST = 64  # characters of an IP address with its scope
GUESSES_PER_ADDRESS = 3  # wrong passwords of one address, per offer and window
ADDRESS_WINDOW = 600.0  # seconds
WAITING_PLACES = 256  # addresses that wait for a token of one offer
TURN_LASTS = 60.0  # seconds in which a chosen address may come back
EXEMPT_KEYS = 4096  # node keys that proved the password once
CHOSEN_RATE, CHOSEN_BURST = 1 / 60, 10.0  # guesses at a password that a person chose
GENERATED_RATE, GENERATED_BURST = 1.0, 100.0  # guesses at three random words


class GuessLimiter:
    """Online guesses at the password of one offer.

    A token is taken before a proof is looked at and given back when the proof was right, so an
    aborted handshake teaches nothing and costs nothing. When the tokens are used up, each
    address has one waiting place, and each new token is set aside for one of them, chosen at
    random: a flood from one address does not lock the others out. Who does not come back for
    his token in time loses his place.
    """

    def __init__(self, *, generated: bool, now: float, choose: Callable[[int], int]) -> None:
        rate, burst = (
            (GENERATED_RATE, GENERATED_BURST) if generated else (CHOSEN_RATE, CHOSEN_BURST)
        )
        self._bucket = TokenBucket.full(rate, burst, now)
        self._choose = choose
        self._per_address: CappedTable[str, list[float]] = CappedTable(KNOWN_ADDRESSES)
        self._exempt: CappedTable[bytes, bool] = CappedTable(EXEMPT_KEYS)
        self._waiting: list[str] = []
        self._turns: dict[str, float] = {}  # chosen addresses, and when they were chosen

    def take(self, address: str, key: bytes, now: float) -> float:
        """Ask for one guess: 0.0 when it is granted, else the seconds to wait before asking."""
        if self._exempt.get(key):
            return 0.0
        recent = self._recent(address, now)
        if len(recent) >= GUESSES_PER_ADDRESS:
            return max(1.0, recent[0] + ADDRESS_WINDOW - now)
        if not self._may_draw(address, now) or not self._bucket.take(now):
            if address not in self._waiting and len(self._waiting) < WAITING_PLACES:
                self._waiting.append(address)
            return max(1.0, self._bucket.wait(now))
        self._turns.pop(address, None)
        self._per_address.put(address, [*recent, now])
        return 0.0

    def _recent(self, address: str, now: float) -> list[float]:
        """When the counted guesses of `address` were made; of a later time than now: just now."""
        before = self._per_address.get(address) or []
        recent = [min(at, now) for at in before if now - at < ADDRESS_WINDOW]
        if recent != before:
            self._per_address.put(address, recent)
        return recent

    def right(self, address: str, key: bytes) -> None:
        """The proof was right: the guess is given back and `key` is exempt from now on."""
        if key in self._exempt:
            return
        self._exempt.put(key, True)
        self._bucket.give_back()
        recent = self._per_address.get(address)
        if recent:
            recent.pop()

    def _may_draw(self, address: str, now: float) -> bool:
        """Whether there is a token that is not set aside for another address."""
        tokens = self._bucket.whole(now)
        self._turns = {
            chosen: at for chosen, at in self._turns.items() if 0 <= now - at <= TURN_LASTS
        }
        while self._waiting and len(self._turns) < tokens:
            self._turns[self._waiting.pop(self._choose(len(self._waiting)))] = now
        return address in self._turns or len(self._turns) < tokens

    def state(self, now: float) -> dict[str, object]:
        """What must survive a restart, as plain values for a store."""
        self._bucket.refill(now)
        return {
            "tokens": self._bucket.tokens,
            "at": now,
            "exempt": [key.hex() for key, _ in self._exempt.items()],
            "addresses": {
                address: times
                for address, times in self._per_address.items()
                if times and now - times[-1] < ADDRESS_WINDOW
            },
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a `state` that an earlier run saved.

        Raises ValueError on a damaged one, and has then taken nothing from it.
        """
        saved: Any = state
        try:
            tokens, at = _finite(saved["tokens"]), _finite(saved["at"])
            keys = [_key(text) for text in saved["exempt"][-EXEMPT_KEYS:]]
            addresses = [
                (_address(address), sorted(map(_finite, times))[-GUESSES_PER_ADDRESS:])
                for address, times in list(saved["addresses"].items())[-KNOWN_ADDRESSES:]
            ]
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError("the saved guess limiter is damaged") from error
        self._bucket.tokens, self._bucket.at = min(max(0.0, tokens), self._bucket.burst), at
        for key in keys:
            self._exempt.put(key, True)
        for address, times in addresses:
            self._per_address.put(address, times)


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_SIZE:
        raise ValueError("not a key")
    return key


def _address(text: str) -> str:
    if len(text) > ADDRESS_MOST:
        raise ValueError("not an address")
    return text
