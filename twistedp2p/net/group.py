"""The multicast group: DatagramProtocols on its two ports and on a sender for each interface.

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

import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from twistedp2p.core.closed import Envelope, OpenEnvelope, is_sealed
from twistedp2p.core.datagram import BadDatagram, Signed, group_name, parse, verify
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.net.interfaces import Interface, changes
from twistedp2p.net.sockets import (
    SocketError,
    far_sender,
    group_receiver,
    group_sender,
    join,
    wide_receiver,
)

MAX_PACKET = 65_536  # bytes: Twisted cuts what is longer without a word
TURN = 32_768  # bytes read of one socket before the others have their turn: some ms in a flood
# An answer to a newcomer comes at 50 a second from one address, and a host may run several
# nodes: 100 a second is what an honest address needs, and costs 1 % of a processor to check.
ADDRESS_RATE, ADDRESS_BURST = 100.0, 300.0  # datagrams of one address
ALL_RATE, ALL_BURST = 500.0, 1000.0  # datagrams whose signature is checked
RESERVE = 0.5  # of ALL_BURST: kept for pinned keys
PLAIN_RATE, PLAIN_BURST = 2.0, 10.0  # plain lines shown of one address
PLAIN_ALL_RATE, PLAIN_ALL_BURST = 50.0, 200.0  # plain lines shown: addresses are easily made up
TWIN_WINDOW = 0.3  # seconds in which the same plain line came over two interfaces
WATCH_EVERY = 10.0  # seconds between looks at the interfaces

Address = tuple[str, int]  # IP address, UDP port
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


class _Ear(DatagramProtocol):
    """One socket."""

    noisy = False

    def __init__(self, heard: Callable[[bytes, Address, bool], None], direct: bool) -> None:
        self._heard = heard
        self._direct = direct

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Called by Twisted for each datagram."""
        self._heard(datagram, (addr[0], addr[1]), self._direct)


@attrs.frozen
class _Sender:
    """The socket of one interface's address, once adopted by the reactor."""

    interface: Interface
    address: Address
    port: Any

    def write(self, data: bytes, address: Address) -> bool:
        """Send; False when the system refuses."""
        return _write(self.port, data, address)

    def reaches(self, host: ipaddress.IPv4Address) -> bool:
        """Whether `host` is on this interface's network."""
        return host in self.interface.network


def _write(port: Any, data: bytes, address: Address) -> bool:
    try:
        port.write(data, address)
    except (OSError, MessageLengthError) as error:  # the latter is Twisted's EMSGSIZE
        _log.debug("to {address}: {error}", address=address, error=error)
        return False
    return True


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
        self._group = group
        self._port = port
        self._choose = interfaces
        self._ttl = ttl
        self._interfaces = list(interfaces())
        self._envelope = envelope or OpenEnvelope(group_name(group, port))
        self._senders: list[_Sender] = []
        self._receivers: list[Any] = []
        self._listener: Listener | None = None
        self._addresses: Buckets[str] = Buckets(ADDRESS_RATE, ADDRESS_BURST)
        self._plain: Buckets[str] = Buckets(PLAIN_RATE, PLAIN_BURST)
        now = reactor.seconds()
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, now)
        self._all_plain = TokenBucket.full(PLAIN_ALL_RATE, PLAIN_ALL_BURST, now)
        self._own: frozenset[Address] = frozenset()
        self._last_plain: dict[tuple[Address, str], float] = {}
        self._watch: Any = None
        self.dropped: Counter[str] = Counter()
        with ExitStack() as opened:  # all, or none
            self._sockets = [
                opened.enter_context(closing(group_receiver(group, each, self._interfaces)))
                for each in (port, port + 1)
            ]
            self._wide = opened.enter_context(closing(wide_receiver(port + 1)))
            self._far_socket = opened.enter_context(closing(far_sender()))
            opened.pop_all()
        self._far: Any = None

    def start(self, listener: Listener) -> None:
        """Begin to listen. An interface that cannot send is left out, and tried at each look."""
        self._listener = listener
        for sock in self._sockets:
            self._receivers.append(self._adopt(sock, direct=False))
        self._far = self._adopt(self._far_socket, direct=True)
        self._receivers += [self._adopt(self._wide, direct=True), self._far]
        for sock in (self._far_socket, self._wide):
            sock.close()
        for interface in self._interfaces:
            self._add_sender(interface)
        self._watch = self._reactor.callLater(WATCH_EVERY, self._look_at_interfaces)

    def _adopt(self, sock: Any, *, direct: bool) -> Any:
        ear = _Ear(self._heard, direct)
        port = self._reactor.adoptDatagramPort(sock.fileno(), sock.family, ear, MAX_PACKET)
        port.maxThroughput = TURN
        return port

    def _add_sender(self, interface: Interface) -> None:
        try:
            sock = group_sender(interface, self._ttl)
        except SocketError as error:
            _log.warn("{name}: {error}", name=interface.name, error=str(error))
            return
        port = self._adopt(sock, direct=True)
        sock.close()
        host = port.getHost()
        self._senders.append(_Sender(interface, (host.host, host.port), port))
        self._senders_changed()

    def _senders_changed(self) -> None:
        self._own = frozenset(sender.address for sender in self._senders)

    def _look_at_interfaces(self) -> None:
        """Take up interfaces that came, let go of those that went."""
        self._watch = self._reactor.callLater(WATCH_EVERY, self._look_at_interfaces)
        now = list(self._choose())
        added, removed = changes([sender.interface for sender in self._senders], now)
        for sender in [s for s in self._senders if s.interface in removed]:
            self._senders.remove(sender)
            self._senders_changed()
            maybeDeferred(sender.port.stopListening)
        for interface in now:
            # All of them: a membership can be refused for a while, or be lost without a word.
            self._join(interface)
        for interface in added:
            self._add_sender(interface)

    def _join(self, interface: Interface) -> None:
        for sock in self._sockets:
            try:
                join(sock, self._group, interface)
            except SocketError as error:
                _log.debug("{name}: {error}", name=interface.name, error=str(error))

    def close(self) -> Deferred[Any]:
        """Let go of every socket."""
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        ports = [*self._receivers, *(sender.port for sender in self._senders)]
        for sock in (*self._sockets, self._wide, self._far_socket):
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
        if not self._envelope.plain_allowed:
            return self.tell(data)
        real = any(not sender.interface.loopback for sender in self._senders)
        return self._send(
            lambda sender: self._port + (1 if sender.interface.loopback and real else 0), data
        )

    def tell(self, data: bytes) -> bool:
        """Send a message for nodes; False when no interface took it."""
        return self._send(lambda _: self._port + 1, data)

    def _send(self, port_of: Callable[[_Sender], int], data: bytes) -> bool:
        data = self._envelope.seal(data)
        # No short cut: every interface gets it.
        taken = [sender.write(data, (self._group, port_of(sender))) for sender in self._senders]
        return any(taken)

    def broadcast(self, data: bytes) -> bool:
        """Send a message for nodes to all hosts of our networks; False when none took it.

        Own broadcasts are not heard. Switches that filter multicast let them through.
        """
        data = self._envelope.seal(data)
        taken = [
            sender.write(data, (everybody, self._port + 1))
            for sender in self._senders
            if (everybody := sender.interface.broadcast) is not None
        ]
        return any(taken)

    def reply(self, data: bytes, address: Address) -> bool:
        """Send to one node alone; False when no interface took it.

        By the interface whose network it is on; by the routes of this host where it is on none.
        """
        data = self._envelope.seal(data)
        host = ipaddress.IPv4Address(address[0])
        near = [sender for sender in self._senders if sender.reaches(host)]
        if any(sender.write(data, address) for sender in near):
            return True
        others = [sender for sender in self._senders if sender not in near]
        by_route = self._far is not None and _write(self._far, data, address)
        # A neighbour with another mask than ours is found by whoever tries on each interface.
        return by_route or any(sender.write(data, address) for sender in others)

    def is_near(self, host: str) -> bool:
        """Whether a node of the group can be at `host`: on our networks, or behind a router.

        Sources are easily forged; that keeps our answers where the forger is, too.
        """
        address = ipaddress.IPv4Address(host)
        return self._ttl > 1 or any(sender.reaches(address) for sender in self._senders)

    # -- in

    def _heard(self, data: bytes, address: Address, direct: bool) -> None:
        if address in self._own:
            return
        now = self._reactor.seconds()
        if not self._addresses.take(address[0], now):
            self.dropped["address over its limit"] += 1
            return
        try:
            self._take(data, address, direct, now)
        except BadDatagram as error:
            self.dropped[str(error)] += 1
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """One datagram could not be taken (a full disk, a defect of ours); the next may well be."""
        reason = f"failed here ({type(error).__name__})"
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
                    self._listener.signed_heard(message, address, direct)
                else:
                    self.dropped["a wrong signature"] += 1
        elif not self._envelope.plain_allowed:
            self.dropped["a plain line in a closed group"] += 1
        elif self._may_show(message, address, now):
            self._listener.plain_heard(message, address)

    def _not_opened(self, data: bytes) -> None:
        assert self._listener is not None
        if is_sealed(data):
            self.dropped["sealed by another group"] += 1
            self._listener.sealed_heard()
        else:
            self.dropped["not sealed, in a closed group"] += 1

    def _may_verify(self, message: Signed, now: float) -> bool:
        assert self._listener is not None
        self._all.refill(now)
        scarce = self._all.tokens < RESERVE * ALL_BURST
        if (scarce and not self._listener.is_pinned(message.key)) or not self._all.take(now):
            self.dropped["all over the limit"] += 1
            return False
        return True

    def _may_show(self, text: str, address: Address, now: float) -> bool:
        twin = self._last_plain.get((address, text))
        if twin is not None and now - twin < TWIN_WINDOW:
            return False
        if not self._plain.take(address[0], now) or not self._all_plain.take(now):
            self.dropped["plain lines over the limit"] += 1
            return False
        self._last_plain = {
            key: at for key, at in self._last_plain.items() if now - at < TWIN_WINDOW
        }
        self._last_plain[address, text] = now
        return True
