"""The multicast group: what is said to it, and what of all that comes is taken in.

::

    port P      what people say, legible to any script
    port P+1    what nodes tell each other

Senders are bound to one interface's address and hear what is sent to them alone: the source of
a datagram is the address to reply to. On the loopback a line goes to P only when there is no
other interface, else to P+1: a script on this host would see it twice. In a closed group all goes
to P+1, sealed: on P it would be garbage on the screen of every script. What did not come by the
multicast group (to an address of ours, or by broadcast) is said to be direct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistedp2p.core.datagrams.closed import Envelope, OpenEnvelope, is_sealed
from twistedp2p.core.datagrams.datagram import BadDatagram, Signed, group_name, parse, verify
from twistedp2p.core.errors import N_
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.families import Families, groups_of
from twistedp2p.net.interfaces import Interface
from twistedp2p.net.links import Links
from twistedp2p.net.watch import Watch

# An answer to a newcomer comes at 50 a second from one address, and a host may run several
# nodes: 100 a second is what an honest address needs, and costs 1 % of a processor to check.
ADDRESS_RATE, ADDRESS_BURST = 100.0, 300.0  # datagrams of one address
ALL_RATE, ALL_BURST = 500.0, 1000.0  # datagrams whose signature is checked
RESERVE = 0.5  # of ALL_BURST: kept for pinned keys
PLAIN_RATE, PLAIN_BURST = 2.0, 10.0  # plain lines shown of one address
PLAIN_ALL_RATE, PLAIN_ALL_BURST = 50.0, 200.0  # plain lines shown: addresses are easily made up
TWIN_WINDOW = 0.3  # seconds in which the same plain line came over two interfaces
# A link that comes and goes all the time must not have everybody answer hellos all the time.
CHANGES_RATE, CHANGES_BURST = 1 / 30, 5.0  # changes of links that are told

_log = Logger()


class Listener(Protocol):
    """Who is told what the group says. Signatures have been checked; freshness has not."""

    def plain_heard(self, text: str, address: Address) -> None:
        """A plain line came."""

    def signed_heard(self, message: Signed, address: Address, direct: bool) -> None:
        """A signed datagram of another node came.

        direct: to an address of ours or by broadcast, not by the multicast group.
        """

    def sealed_heard(self) -> None:
        """A datagram of a closed group came whose code we do not have."""

    def is_pinned(self, key: bytes) -> bool:
        """Whether that key is known from before."""

    def links_changed(self) -> None:
        """An interface came or went, or the host has slept: a good time to say hello."""


class Group:
    """All sockets of one node in one group. `interfaces` gives those to use, and is asked again.

    What goes out and comes in does so through `envelope`, that of an open group by default.
    """

    def __init__(
        self,
        reactor: Any,
        group: str,
        port: int,
        interfaces: Callable[[], Sequence[Interface]],
        *,
        ttl: int = 1,
        envelope: Envelope | None = None,
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._envelope = envelope or OpenEnvelope(group_name(group, port))
        self._listener: Listener | None = None
        self._addresses: Buckets[str] = Buckets(ADDRESS_RATE, ADDRESS_BURST)
        self._plain: Buckets[str] = Buckets(PLAIN_RATE, PLAIN_BURST)
        now = reactor.seconds()
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, now)
        self._all_plain = TokenBucket.full(PLAIN_ALL_RATE, PLAIN_ALL_BURST, now)
        self._changes = TokenBucket.full(CHANGES_RATE, CHANGES_BURST, now)
        self._last_plain: dict[tuple[Address, str], float] = {}
        self._families = Families(now)
        self._watch = Watch(reactor, self._look)
        self.dropped: Counter[str] = Counter()
        self._links = Links(reactor, groups_of(group), port, interfaces, self._watch.soon, ttl)

    def start(self, listener: Listener) -> None:
        """Begin to listen. An interface that cannot send is left out, and tried at each look."""
        self._listener = listener
        self._links.start(self._heard)
        self._watch.start()

    def _look(self, woke: bool) -> None:
        changed = self._links.look(woke)
        if changed or woke:
            now = self._reactor.seconds()
            self._families.links_changed(now)
            if self._listener is not None and self._changes.take(now):
                self._listener.links_changed()

    def close(self) -> Deferred[Any]:
        """Let go of every socket."""
        self._watch.stop()
        return self._links.close()

    # -- out

    def addresses(self) -> list[str]:
        """Our own addresses, the most useful to others first; the loopback's last."""
        return self._links.addresses()

    def say(self, data: bytes) -> bool:
        """Send a line for people; False when no network took it (see `Links.multicast`)."""
        if not self._envelope.plain_allowed:
            return self.tell(data)
        real = any(not sender.interface.loopback for sender in self._links.senders)
        return self._multicast(data, lambda one: self._port + (one.loopback and real))

    def tell(self, data: bytes) -> bool:
        """Send a message for nodes; False when no network took it."""
        return self._multicast(data, lambda _: self._port + 1)

    def _multicast(self, data: bytes, port_of: Callable[[Interface], int]) -> bool:
        both = self._families.both(self._reactor.seconds())
        return self._links.multicast(self._envelope.seal(data), port_of, both=both)

    def broadcast(self, data: bytes) -> bool:
        """Send a message for nodes to all IPv4 hosts of our networks; False when none took it.

        Own broadcasts are not heard. Switches that filter multicast let them through.
        """
        return self._links.broadcast(self._envelope.seal(data), self._port + 1)

    def reply(self, data: bytes, address: Address) -> bool:
        """Send to one node alone; False when no interface took it."""
        return self._links.send(self._envelope.seal(data), address)

    def networks(self) -> list[str]:
        """The networks that we are on, but the loopback and link-local ones: "192.168.1.0/24"."""
        return self._links.networks()

    def network_of(self, host: str) -> str:
        """Which of `networks` that host is on; the first for one that is behind a router, or ""."""
        return self._links.network_of(host)

    def on_link(self, host: str) -> bool:
        """Whether `host` is on a network of ours.

        Sources are easily forged; answers to such hosts alone stay where the forger is, too.
        """
        return self._links.reaches(host)

    def ways_to(self, host: str) -> list[str]:
        """A host as a ticket names it, as it can be reached from here.

        The interface of a link-local address is its owner's: any of ours may be the one.
        """
        return self._links.ways_to(host)

    # -- in

    def _heard(self, data: bytes, address: Address, direct: bool) -> None:
        if self._links.is_own(address):
            return
        now = self._reactor.seconds()
        if not self._addresses.take(address[0], now):
            self.dropped[N_("address over its limit")] += 1
            return
        try:
            self._take(data, address, direct, now)
        except BadDatagram as error:
            self.dropped[str(error)] += 1
        except Exception:
            self._failed()

    def _failed(self) -> None:
        """One datagram could not be taken (a full disk, a defect of ours); the next may well be."""
        reason = N_("failed here; the log says more")
        if not self.dropped[reason]:  # the first tells all: a flood must not fill the log too
            _log.failure("a datagram could not be taken")
        self.dropped[reason] += 1

    def _take(self, data: bytes, address: Address, direct: bool, now: float) -> None:
        assert self._listener is not None
        opened = self._envelope.open(data)
        if opened is None:
            self._not_opened(data)
            return
        message = parse(opened)
        if isinstance(message, Signed):
            if self._may_verify(message, now):
                if verify(message, self._envelope.group):
                    if not direct:
                        self._families.heard(message.key, ":" in address[0], now)
                    self._listener.signed_heard(message, address, direct)
                else:
                    self.dropped[N_("a wrong signature")] += 1
        elif not self._envelope.plain_allowed:
            self.dropped[N_("a plain line in a closed group")] += 1
        elif self._may_show(message, address, now):
            self._listener.plain_heard(message, address)

    def _not_opened(self, data: bytes) -> None:
        assert self._listener is not None
        if is_sealed(data):
            self.dropped[N_("sealed by another group")] += 1
            self._listener.sealed_heard()
        else:
            self.dropped[N_("not sealed, in a closed group")] += 1

    def _may_verify(self, message: Signed, now: float) -> bool:
        assert self._listener is not None
        self._all.refill(now)
        scarce = self._all.tokens < RESERVE * ALL_BURST
        if (scarce and not self._listener.is_pinned(message.key)) or not self._all.take(now):
            self.dropped[N_("all over the limit")] += 1
            return False
        return True

    def _may_show(self, text: str, address: Address, now: float) -> bool:
        twin = self._last_plain.get((address, text))
        if twin is not None and now - twin < TWIN_WINDOW:
            return False
        if not self._plain.take(address[0], now) or not self._all_plain.take(now):
            self.dropped[N_("plain lines over the limit")] += 1
            return False
        self._last_plain = {
            key: at for key, at in self._last_plain.items() if now - at < TWIN_WINDOW
        }
        self._last_plain[address, text] = now
        return True
