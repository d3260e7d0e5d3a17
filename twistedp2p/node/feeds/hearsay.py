"""What is taken from whom in a SYNC, and how far it is believed.

What a partner says is as untrusted as a datagram: it comes in where datagrams do, and one host can
tell of only so many nodes that nobody has heard of. That no more of a feed is to be had is believed
of its origin, else of two hosts that say the same.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from twistedp2p.core.calls.sync import LivePeer, Replica
from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.feeds.feed import Have
from twistedp2p.core.limits import Buckets, CappedTable
from twistedp2p.core.presence.addresses import means_the_same
from twistedp2p.core.presence.roster import Roster

# A newcomer to a thousand nodes learns of all of them at once; a table has room for four thousand.
UNKNOWN_RATE, UNKNOWN_BURST = 1.0, 1500.0  # feeds of unknown keys, told by one address
MAX_WITNESSES = 4096  # feeds that one host has settled


class Told(Protocol):
    """Who takes what partners tell."""

    def is_stranger(self, key: bytes) -> bool:
        """Whether nothing is known of that key yet."""

    def synced(self, message: Signed) -> None:
        """An entry, its signature checked."""

    def unkept(self, origins: Iterable[bytes]) -> None:
        """The disk refused what came last of these."""

    def peers_learnt(self, peers: Sequence[LivePeer]) -> None:
        """Nodes that are here, as a partner says."""


class Hearsay:
    """What the partners of one node tell. `ask_another` has one more conversation."""

    def __init__(
        self,
        replica: Replica,
        told: Told,
        roster: Roster,
        *,
        together: Callable[[], AbstractContextManager[None]],
        clock: Any,
        ask_another: Callable[[], object],
    ) -> None:
        self._replica = replica
        self.told = told
        self.together = together
        self.dropped: Counter[str] = Counter()
        self._roster = roster
        self._clock = clock
        self._ask_another = ask_another
        self._witnesses: CappedTable[bytes, tuple[str, Have]] = CappedTable(MAX_WITNESSES)
        self._unknown: Buckets[str] = Buckets(UNKNOWN_RATE, UNKNOWN_BURST)

    def admits(self, origin: bytes, address: str) -> bool:
        """Whether something of that feed is taken from a partner at that address."""
        if not self.told.is_stranger(origin):
            return True
        return self._unknown.take(address, self._clock.seconds())

    def settled(self, have: Have, partner: bytes, address: str) -> bool:
        """A partner says that no more of a feed is to be had up to there; whether it is believed.

        It could be hiding what it does not want us to see, so it takes the origin itself, or a
        second host, where there is one.
        """
        if partner == have.origin or not self._is_anyone_else(partner, address):
            self._replica.settled(have)
            return True
        before = self._witnesses.get(have.origin)
        self._witnesses.put(have.origin, (address, have))
        if before is None or before[1].epoch != have.epoch or not _differ(before[0], address):
            return False
        chat, offers = min(before[1].chat, have.chat), min(before[1].offers, have.offers)
        self._replica.settled(Have(have.origin, have.epoch, chat, offers))
        return (chat, offers) == (have.chat, have.offers)

    def confirm(self, doubted: Mapping[bytes, Have]) -> None:
        """Ask somebody else, where something is missing of what one partner alone settled."""
        here = {have.origin: have for have in self._replica.vector()} if doubted else {}
        if any(_is_less(here[origin], have) for origin, have in doubted.items() if origin in here):
            self._ask_another()

    def _is_anyone_else(self, partner: bytes, address: str) -> bool:
        return any(
            peer.files and peer.key != partner and peer.addresses[0][0] != address
            for peer in self._roster.peers()
        )

    def drop(self, reason: str) -> None:
        """Count something that was left out."""
        self.dropped[reason] += 1


class Visit:
    """What one partner says, in one conversation: a `net.sync.Visit`."""

    def __init__(
        self,
        hearsay: Hearsay,
        key: bytes,
        address: str,
        leave: Callable[[], None],
        heard_all: Callable[[], None],
        brought: Callable[[int], None],
    ) -> None:
        self._hearsay = hearsay
        self._key = key
        self._address = address
        self._leave = leave
        self._refused: set[bytes] = set()
        self._doubted: dict[bytes, Have] = {}
        self.dropped = hearsay.drop
        self.heard_all = heard_all
        self.brought = brought

    def take(self, entries: Sequence[Signed]) -> None:
        """Entries in the order in which they came: kept together, or not at all."""
        try:
            with self._hearsay.together():
                for entry in entries:
                    self._take(entry)
        except ShareError:
            self._hearsay.told.unkept({entry.key for entry in entries})
            raise

    def _take(self, entry: Signed) -> None:
        if self._hearsay.admits(entry.key, self._address):
            self._hearsay.told.synced(entry)
        else:
            self._refused.add(entry.key)
            self.dropped(N_("too many strangers"))

    def settled(self, have: Have) -> None:
        """All that the partner keeps of a feed has come; of one that was refused, nothing has."""
        if have.origin in self._refused or self._hearsay.told.is_stranger(have.origin):
            return
        if not self._hearsay.settled(have, self._key, self._address):
            self._doubted[have.origin] = have

    def learnt(self, peers: Sequence[LivePeer]) -> None:
        """Who else is here."""
        self._hearsay.told.peers_learnt(list(_as_seen_from_here(peers, self._address)))

    def gone(self) -> None:
        """The connection is no more."""
        self._leave()
        self._hearsay.confirm(self._doubted)


def _as_seen_from_here(peers: Sequence[LivePeer], partner: str) -> Iterator[LivePeer]:
    """A link-local address is on the link that leads to the partner."""
    scope = partner.partition("%")[2]
    for peer in peers:
        if not means_the_same(peer.host, partner):
            continue
        if scope and ipaddress.ip_address(peer.host).is_link_local and ":" in peer.host:
            yield LivePeer(peer.key, f"{peer.host}%{scope}", peer.port, peer.files)
        else:
            yield peer


def _differ(host: str, other: str) -> bool:
    """Whether these are two hosts: one has an address of each family, most often."""
    return host != other and (":" in host) == (":" in other)


def _is_less(here: Have, have: Have) -> bool:
    less = here.chat < have.chat or here.offers < have.offers
    return here.epoch == have.epoch and less
