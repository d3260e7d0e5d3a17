"""What the others are called, so that nobody passes for somebody else.

A nick proves nothing. It goes alone where its key is known by it and no other looks like it, else
with the fingerprint of the key; and two that have once looked alike both go with theirs from then
on.
"""

from __future__ import annotations

from collections.abc import Callable

from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import fingerprint, look_alike
from twistedp2p.core.presence.roster import MAX_PEERS, Arrival, Roster


class Nicks:
    """Those of a roster's nodes, as one node shows them. `own` gives the nick that we bear."""

    def __init__(self, own_key: bytes, own: Callable[[], str], roster: Roster) -> None:
        self._own_key = own_key
        self._own = own
        self._roster = roster
        self._clashes: CappedTable[bytes, bool] = CappedTable(MAX_PEERS)

    def own(self) -> str:
        """Our nick, or our fingerprint where we have none."""
        return self._own() or fingerprint(self._own_key)

    def heard(self, key: bytes) -> str:
        """The nick that a node bears, or bore in an earlier run; empty when it is not known."""
        peer = self._roster.peer(key)
        return peer.nick if peer is not None else self._pinned(key) or ""

    def _pinned(self, key: bytes) -> str | None:
        pin = self._roster.pins.get(key)
        return pin.nick if pin is not None else None

    def of(self, key: bytes) -> str:
        """What to call a node: its nick, or its fingerprint; both where others look like it."""
        return self.own() if key == self._own_key else self.shown(key, self.heard(key))

    def shown(self, key: bytes, nick: str) -> str:
        """What to call who signed something under that nick."""
        if nick and nick == self.heard(key) and not self.is_clashing(key):
            return nick
        return f"{nick} ({fingerprint(key)})" if nick else fingerprint(key)

    def is_known(self, key: bytes, nick: str) -> bool:
        """Whether that nick on a line of that key can go without its fingerprint."""
        return not self.is_clashing(key) and self._pinned(key) == nick

    def is_clashing(self, key: bytes) -> bool:
        """Whether another node bears, or bore, a nick that looks like that node's."""
        return key in self._clashes

    def twin(self, arrival: Arrival) -> bytes | None:
        """Whose nick that of the newcomer looks like; from now on both go with fingerprints."""
        peer, twin = arrival.peer, arrival.looks_like
        if peer.nick and look_alike(peer.nick) == look_alike(self._own()):
            twin = self._own_key
        if twin is None:
            self._clashes.pop(peer.key)
            return None
        for key in (peer.key, twin):
            self._clashes.put(key, True)
        return twin
