"""The other nodes of the group, of which any may have what nobody gives who is known to have it.

Each is asked by the offer's id, and has to prove the password as every source does. To prove ours
to one that does not know it lets it check one guess: few may have that, whoever they say they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed

from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.presence.addresses import Address
from twistedp2p.node.downloads.order import Order

ASKED_AT_ONCE = 16  # nodes
UNANSWERED_MOST = 3  # proofs of ours that were not answered by theirs, in one get


class Neighbours:
    """Those of one get; implements `net.fetch.Order`."""

    def __init__(
        self, order: Order, there: Callable[[], Sequence[Address]], draw: Callable[[int], int]
    ) -> None:
        """`there`: where the others of the group serve; `draw(n)` gives one of 0 to n - 1."""
        self._order = order
        self._there = there
        self._draw = draw
        self._unanswered = 0  # proofs

    def some(self) -> list[Address]:
        """Some of them by chance; none any more once too many have not proved the password."""
        if self._unanswered >= UNANSWERED_MOST:
            return []
        there = list(self._there())
        return [there.pop(self._draw(len(there))) for _ in range(min(ASKED_AT_ONCE, len(there)))]

    # -- net.fetch.Order

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password."""
        return succeed(self._order.secret)

    def may_prove(self) -> bool:
        """Whether one more may have our proof."""
        self._unanswered += 1
        return self._unanswered <= UNANSWERED_MOST

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """It knows the password; raises `ShareError` where it has something else."""
        self._unanswered -= 1
        self._order.agreed(ok, owner_key)
