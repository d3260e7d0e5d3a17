"""The multicast group: DatagramProtocols on its two ports and on a sender for each interface.

::

    port P      what people say, legible to any script
    port P+1    what nodes tell each other

Senders are bound to one interface's address and hear what is sent to them alone: the source of
a datagram is the address to reply to. On the loopback a line goes to P only when there is no
other interface, else to P+1: a script on this host would see it twice.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from twistedp2p.core.datagram import BadDatagram, Signed, group_name, parse, verify
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.net.interfaces import Interface, changes
from twistedp2p.net.sockets import SocketError, group_receiver, group_sender, join

MAX_PACKET = 65_536  # bytes: Twisted cuts what is longer without a word
# An answer to a newcomer comes at 50 a second from one address, and a host may run several
# nodes: 100 a second is what an honest address needs, and costs 1 % of a processor to check.
ADDRESS_RATE, ADDRESS_BURST = 100.0, 300.0  # datagrams of one address
ALL_RATE, ALL_BURST = 500.0, 1000.0  # datagrams whose signature is checked
RESERVE = 0.5  # of ALL_BURST: kept for pinned keys
PLAIN_RATE, PLAIN_BURST = 2.0, 10.0  # plain lines shown of one address
TWIN_WINDOW = 0.3  # seconds in which the same plain line came over two interfaces
WATCH_EVERY = 10.0  # seconds between looks at the interfaces

Address = tuple[str, int]  # IP address, UDP port
_log = Logger()


class Listener(Protocol):
    """Who is told what the group says. Signatures have been checked; freshness has not."""

    def plain_heard(self, text: str, address: Address) -> None:
        """A plain line came."""

    def signed_heard(self, message: Signed, address: Address) -> None:
        """A signed datagram of another node came."""

    def is_pinned(self, key: bytes) -> bool:
        """Whether that key is known from before."""


class _Ear(DatagramProtocol):
    """One socket."""

    noisy = False

    def __init__(self, heard: Callable[[bytes, Address], None]) -> None:
        self._heard = heard

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Called by Twisted for each datagram."""
        self._heard(datagram, (addr[0], addr[1]))


@attrs.frozen
class _Sender:
    """The socket of one interface's address, once adopted by the reactor."""

    interface: Interface
    ear: _Ear
    port: Any

    def write(self, data: bytes, address: Address) -> bool:
        """Send; False when the system refuses."""
        try:
            self.port.write(data, address)
        except OSError as error:
            _log.debug("{name}: {error}", name=self.interface.name, error=error)
            return False
        return True

    def reaches(self, host: ipaddress.IPv4Address) -> bool:
        """Whether `host` is on this interface's network."""
        mask = self.interface.netmask or "255.255.255.255"
        network = ipaddress.ip_network(f"{self.interface.address}/{mask}", strict=False)
        return host in network


class Group:
    """All sockets of one node in one group. `interfaces` gives those to use, and is asked again."""

    def __init__(
        self,
        reactor: Any,
        group: str,
        port: int,
        interfaces: Callable[[], Sequence[Interface]],
        *,
        ttl: int = 1,
    ) -> None:
        self._reactor = reactor
        self._group = group
        self._port = port
        self._choose = interfaces
        self._ttl = ttl
        self._interfaces = list(interfaces())
        self._name = group_name(group, port)
        self._senders: list[_Sender] = []
        self._receivers: list[Any] = []
        self._listener: Listener | None = None
        self._addresses: Buckets[str] = Buckets(ADDRESS_RATE, ADDRESS_BURST)
        self._plain: Buckets[str] = Buckets(PLAIN_RATE, PLAIN_BURST)
        now = reactor.seconds()
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, now)
        self._last_plain: dict[tuple[Address, str], float] = {}
        self._watch: Any = None
        self.dropped: Counter[str] = Counter()
        self._sockets = [group_receiver(group, each, self._interfaces) for each in (port, port + 1)]

    def start(self, listener: Listener) -> None:
        """Begin to listen. Raises `SocketError` when no interface can send."""
        self._listener = listener
        for sock in self._sockets:
            self._receivers.append(self._adopt(sock, _Ear(self._heard)))
        for interface in self._interfaces:
            self._add_sender(interface)
        self._watch = self._reactor.callLater(WATCH_EVERY, self._look_at_interfaces)

    def _adopt(self, sock: Any, ear: _Ear) -> Any:
        port = self._reactor.adoptDatagramPort(sock.fileno(), sock.family, ear, MAX_PACKET)
        if sock not in self._sockets:
            sock.close()
        return port

    def _add_sender(self, interface: Interface) -> None:
        try:
            sock = group_sender(interface, self._ttl)
        except SocketError as error:
            _log.warn("{name}: {error}", name=interface.name, error=str(error))
            return
        ear = _Ear(self._heard)
        self._senders.append(_Sender(interface, ear, self._adopt(sock, ear)))

    def _look_at_interfaces(self) -> None:
        """Take up interfaces that came, let go of those that went."""
        self._watch = self._reactor.callLater(WATCH_EVERY, self._look_at_interfaces)
        now = list(self._choose())
        added, removed = changes([sender.interface for sender in self._senders], now)
        for sender in [s for s in self._senders if s.interface in removed]:
            self._senders.remove(sender)
            maybeDeferred(sender.port.stopListening)
        for interface in added:
            for sock in self._sockets:
                try:
                    join(sock, self._group, interface)
                except SocketError as error:
                    _log.warn("{name}: {error}", name=interface.name, error=str(error))
            self._add_sender(interface)

    def close(self) -> Deferred[Any]:
        """Let go of every socket."""
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        ports = [*self._receivers, *(sender.port for sender in self._senders)]
        for sock in self._sockets:
            sock.close()
        self._senders, self._receivers = [], []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    # -- out

    def addresses(self) -> list[str]:
        """Our own addresses, those on a real network first."""
        found = [sender.interface for sender in self._senders]
        return [each.address for each in sorted(found, key=lambda each: each.loopback)]

    def say(self, data: bytes) -> bool:
        """Send a line for people; False when no interface took it."""
        real = any(not sender.interface.loopback for sender in self._senders)
        return self._send(
            lambda sender: self._port + (1 if sender.interface.loopback and real else 0), data
        )

    def tell(self, data: bytes) -> bool:
        """Send a message for nodes; False when no interface took it."""
        return self._send(lambda _: self._port + 1, data)

    def _send(self, port_of: Callable[[_Sender], int], data: bytes) -> bool:
        # No short cut: every interface gets it.
        taken = [sender.write(data, (self._group, port_of(sender))) for sender in self._senders]
        return any(taken)

    def reply(self, data: bytes, address: Address) -> bool:
        """Send to one node alone, by the interface whose network it is on."""
        host = ipaddress.IPv4Address(address[0])
        senders = sorted(self._senders, key=lambda sender: not sender.reaches(host))
        return bool(senders) and senders[0].write(data, address)

    # -- in

    def _heard(self, data: bytes, address: Address) -> None:
        if address in self._own_addresses():
            return
        now = self._reactor.seconds()
        if not self._addresses.take(address[0], now):
            self.dropped["address over its limit"] += 1
            return
        try:
            message = parse(data)
        except BadDatagram as error:
            self.dropped[str(error)] += 1
            return
        if isinstance(message, Signed):
            self._heard_signed(message, address, now)
        else:
            self._heard_plain(message, address, now)

    def _own_addresses(self) -> set[Address]:
        own = set()
        for sender in self._senders:
            host = sender.port.getHost()
            own.add((host.host, host.port))
        return own

    def _heard_signed(self, message: Signed, address: Address, now: float) -> None:
        assert self._listener is not None
        self._all.refill(now)
        if self._all.tokens < RESERVE * ALL_BURST and not self._listener.is_pinned(message.key):
            self.dropped["all over the limit"] += 1
            return
        if not self._all.take(now):
            self.dropped["all over the limit"] += 1
            return
        if not verify(message, self._name):
            self.dropped["a wrong signature"] += 1
            return
        self._listener.signed_heard(message, address)

    def _heard_plain(self, text: str, address: Address, now: float) -> None:
        assert self._listener is not None
        twin = self._last_plain.get((address, text))
        self._last_plain = {
            key: at for key, at in self._last_plain.items() if now - at < TWIN_WINDOW
        }
        if twin is not None and now - twin < TWIN_WINDOW:
            return
        if not self._plain.take(address[0], now):
            self.dropped["plain lines over the limit"] += 1
            return
        self._last_plain[address, text] = now
        self._listener.plain_heard(text, address)
