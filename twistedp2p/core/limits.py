"""How much a stranger may ask of us: token buckets, tables with a cap, and the guess limiter.

Every table keyed by what a stranger sends has a cap; the least recently used row goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CappedTable(Generic[K, V]):
    """A dictionary of at most `cap` rows that forgets the least recently used one.

    `keep` names rows that are never forgotten for the sake of others (pinned keys): when every
    row is kept, a new row is refused.
    """

    def __init__(self, cap: int, keep: Callable[[K], bool] = lambda _: False) -> None:
        self._cap = cap
        self._keep = keep
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

    def put(self, key: K, row: V) -> bool:
        """Store `row`; False when the table is full of rows that must be kept."""
        if key not in self._rows and len(self._rows) >= self._cap and not self._make_room():
            return False
        self._rows[key] = row
        self._rows.move_to_end(key)
        return True

    def pop(self, key: K) -> V | None:
        """Remove and return the row of `key`, or None."""
        return self._rows.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        """A copy of all rows, least recently used first."""
        return list(self._rows.items())

    def values(self) -> list[V]:
        """A copy of all values, least recently used first."""
        return list(self._rows.values())

    def _make_room(self) -> bool:
        for key in self._rows:
            if not self._keep(key):
                del self._rows[key]
                return True
        return False


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

    def take(self, now: float) -> bool:
        """Draw one token; False when there is none."""
        self.refill(now)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

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


GUESSES_PER_ADDRESS = 3  # wrong passwords of one address, per offer and window
ADDRESS_WINDOW = 600.0  # seconds
WAITING_PLACES = 256  # addresses that wait for a token of one offer
TURN_LASTS = 60.0  # seconds that a chosen address may come back in
EXEMPT_KEYS = 4096  # node keys that proved the password once
CHOSEN_RATE, CHOSEN_BURST = 1 / 60, 10.0  # guesses at a password that a person chose
GENERATED_RATE, GENERATED_BURST = 1.0, 100.0  # guesses at three random words


class GuessLimiter:
    """Online guesses at the password of one offer.

    A token is taken before a proof is looked at and given back when the proof was right, so an
    aborted handshake teaches nothing and costs nothing. When the tokens are used up, each
    address has one waiting place, and the next token goes to one of them at random: a flood
    from one address does not lock the others out.
    """

    def __init__(self, *, generated: bool, now: float, choose: Callable[[int], int]) -> None:
        rate, burst = (
            (GENERATED_RATE, GENERATED_BURST) if generated else (CHOSEN_RATE, CHOSEN_BURST)
        )
        self._bucket = TokenBucket.full(rate, burst, now)
        self._choose = choose
        self._per_address: CappedTable[str, list[float]] = CappedTable(4096)
        self._exempt: CappedTable[bytes, bool] = CappedTable(EXEMPT_KEYS)
        self._waiting: list[str] = []
        self._turn: tuple[str, float] | None = None

    def take(self, address: str, key: bytes, now: float) -> float:
        """Ask for one guess: 0.0 when it is granted, else the seconds to wait before asking."""
        if key in self._exempt:
            return 0.0
        recent = [at for at in self._per_address.get(address) or [] if now - at < ADDRESS_WINDOW]
        if len(recent) >= GUESSES_PER_ADDRESS:
            return max(1.0, recent[0] + ADDRESS_WINDOW - now)
        if not self._may_draw(address, now) or not self._bucket.take(now):
            if address not in self._waiting and len(self._waiting) < WAITING_PLACES:
                self._waiting.append(address)
            return max(1.0, self._bucket.wait(now))
        if address in self._waiting:
            self._waiting.remove(address)
            self._turn = None
        self._per_address.put(address, [*recent, now])
        return 0.0

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
        if not self._waiting:
            return True
        self._bucket.refill(now)
        if self._bucket.tokens < 1:
            return False
        if self._turn is None or now - self._turn[1] > TURN_LASTS:
            if self._turn is not None and self._turn[0] in self._waiting:
                self._waiting.remove(self._turn[0])
            if not self._waiting:
                self._turn = None
                return True
            self._turn = (self._waiting[self._choose(len(self._waiting))], now)
        return self._turn[0] == address

    def state(self, now: float) -> dict[str, object]:
        """What must survive a restart, as plain values for a store."""
        self._bucket.refill(now)
        return {
            "tokens": self._bucket.tokens,
            "at": now,
            "exempt": [key.hex() for key, _ in self._exempt.items()],
            "addresses": dict(self._per_address.items()),
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a `state` that an earlier run saved; raises ValueError on a damaged one."""
        try:
            self._bucket.tokens = min(float(state["tokens"]), self._bucket.burst)  # type: ignore[arg-type]
            self._bucket.at = float(state["at"])  # type: ignore[arg-type]
            for key in state["exempt"]:  # type: ignore[attr-defined]
                self._exempt.put(bytes.fromhex(key), True)
            for address, times in state["addresses"].items():  # type: ignore[attr-defined]
                self._per_address.put(str(address), [float(at) for at in times])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("the saved guess limiter is damaged") from error
