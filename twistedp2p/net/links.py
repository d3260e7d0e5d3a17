"""The sockets of a node on its links, kept up with what links there are.

::

    receivers   of each family at the ports P and P+1, members of the group on every interface
    senders     one for each interface and address (see `interfaces.senders`)
    far         one of each family, for hosts that are on no network of ours

One bad interface never disables the others, and none is given up for good: what is refused is
tried again at each look.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import MessageLengthError
from twisted.logger import Logger

from twistedp2p.core.limits import TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.interfaces import Interface, networks_of, senders
from twistedp2p.net.sockets import (
    SocketError,
    family_of,
    far_sender,
    group_receiver,
    group_sender,
    join,
    leave,
    wide_receiver,
)
from twistedp2p.net.udp import adopt

# A switch that snoops forgets members that say nothing, where no querier asks them (RFC 4541). To
# join anew says it. That needs all of a host's sockets to leave first: with two nodes on one host
# nothing is said, as the other is still a member.
REJOIN_EVERY = 75.0  # seconds
# What fails goes on failing, mostly: a rule that forbids it, a network that is gone.
FAILED_RATE, FAILED_BURST = 0.2, 2.0  # writes that failed and are a reason to look at the links

Heard = Callable[[bytes, Address, bool], None]
_log = Logger()


@attrs.frozen
class Sender:
    """The socket of one interface's address, once adopted by the reactor.

    `address` is the source of what it sends.
    """

    interface: Interface
    address: Address
    port: Any


@attrs.frozen
class _Receiver:
    """A socket at one of the two ports; `group` is empty where it hears what is direct alone."""

    sock: socket.socket
    group: str
    port: int


class Links:
    """All sockets of one node.

    groups: one multicast address for each family to use. port: P. choose: gives the interfaces to
    use, and is asked again at each look. failed: told, now and then, that something could not be
    sent. ttl: as of `group_sender`.

    Raises `SocketError` when a port of the first group's family cannot be had; another family is
    done without then.
    """

    def __init__(
        self,
        reactor: Any,
        groups: Sequence[str],
        port: int,
        choose: Callable[[], Sequence[Interface]],
        failed: Callable[[], None],
        ttl: int = 1,
    ) -> None:
        self._reactor = reactor
        self._groups = {family_of(group): group for group in groups}
        self._port = port
        self._choose = choose
        self._failed = failed
        self._ttl = ttl
        self._there = list(choose())
        self._receivers: list[_Receiver] = []
        self._ways: list[socket.socket] = []
        self._far: dict[int, Any] = {}
        self._ports: list[Any] = []
        self._heard: Heard = _nobody
        self._refused: set[Interface] = set()
        self._rejoined = reactor.seconds()
        self._failures = TokenBucket.full(FAILED_RATE, FAILED_BURST, reactor.seconds())
        self._own: frozenset[Address] = frozenset()
        self._had_network = False  # there was a sender other than the loopback's
        self.senders: list[Sender] = []
        for group in groups:
            try:
                self._open_family(group)
            except SocketError as error:
                if group == groups[0]:
                    raise
                _log.info("without {group}: {error}", group=group, error=str(error))

    def _open_family(self, group: str) -> None:
        """Every socket of a family that belongs to no interface, or none."""
        family, nodes = family_of(group), self._port + 1
        receivers = []
        with ExitStack() as opened:
            for port in (self._port, nodes):
                sock = opened.enter_context(closing(group_receiver(group, port, self._there)))
                receivers.append(_Receiver(sock, group, port))
            if family == socket.AF_INET:
                sock = opened.enter_context(closing(wide_receiver(nodes)))
                receivers.append(_Receiver(sock, "", nodes))
            self._ways.append(far_sender(family))
            opened.pop_all()
        self._receivers += receivers

    # -- life

    def start(self, heard: Heard) -> None:
        """Tell `heard` what comes: the datagram, its source, and whether it is direct."""
        self._heard = heard
        self._ports = [self._adopt(receiver.sock, receiver) for receiver in self._receivers]
        for sock in self._ways:
            self._far[sock.family] = self._adopt(sock)
        self.look()

    def _adopt(self, sock: socket.socket, receiver: _Receiver | None = None) -> Any:
        # Through the socket of a receiver groups are joined.
        heard = partial(self._take, receiver)
        return adopt(self._reactor, sock, heard, keep=receiver is not None)

    def _take(
        self, receiver: _Receiver | None, data: bytes, source: Address, destination: str
    ) -> None:
        if receiver is None or not receiver.group:
            self._heard(data, source, True)
        elif destination in ("", receiver.group):
            self._heard(data, source, False)
        elif receiver.port != self._port and not ipaddress.ip_address(destination).is_multicast:
            self._heard(data, source, True)

    def close(self) -> Deferred[Any]:
        """Let go of every socket."""
        ports = [*self._ports, *self._far.values(), *(sender.port for sender in self.senders)]
        self.senders, self._ports, self._far = [], [], {}
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        for sock in (*(receiver.sock for receiver in self._receivers), *self._ways):
            sock.close()
        return closed

    # -- which links there are

    def look(self, woke: bool = False) -> bool:
        """Take up what came, let go of what went; True when there was any such.

        woke: nothing is certain any more: memberships are taken anew.
        """
        self._there = list(self._choose())
        wanted = senders(self._there)
        gone = [sender for sender in self.senders if sender.interface not in wanted]
        for sender in gone:
            self._let_go(sender, wanted)
        self._take_memberships(wanted, woke)
        have = {sender.interface for sender in self.senders}
        opened = [self._open(each) for each in wanted if each not in have]
        self._refused &= set(wanted)
        self.senders.sort(key=lambda sender: wanted.index(sender.interface))
        self._own = frozenset(sender.address for sender in self.senders)
        return bool(gone) or any(opened)

    def _let_go(self, sender: Sender, wanted: Sequence[Interface]) -> None:
        self.senders.remove(sender)
        maybeDeferred(sender.port.stopListening)
        gone = sender.interface
        if not any((one.index, one.family) == (gone.index, gone.family) for one in wanted):
            self._for_members(leave, [gone])  # the kernel keeps it, and counts it, for good

    def _take_memberships(self, wanted: Sequence[Interface], anew: bool) -> None:
        """All of them: one can be refused for a while, or be lost without a word."""
        now = self._reactor.seconds()
        if anew or now - self._rejoined >= REJOIN_EVERY:
            self._rejoined = now
            self._for_members(leave, wanted)
        self._for_members(join, wanted)

    def _for_members(
        self,
        act: Callable[[socket.socket, str, Interface], None],
        interfaces: Sequence[Interface],
    ) -> None:
        for receiver in self._receivers:
            for interface in interfaces:
                if receiver.group and receiver.sock.family == interface.family:
                    try:
                        act(receiver.sock, receiver.group, interface)
                    except SocketError as error:
                        _log.debug("{name}: {error}", name=interface.name, error=str(error))

    def _open(self, interface: Interface) -> bool:
        """A sender for it; False where there can be none now."""
        if interface.family not in self._far:
            return False
        try:
            sock = group_sender(interface, self._ttl)
        except SocketError as error:
            if interface not in self._refused:
                self._refused.add(interface)
                _log.info("{name}: {error}", name=interface.name, error=str(error))
            return False
        address = interface.host, sock.getsockname()[1]
        self.senders.append(Sender(interface, address, self._adopt(sock)))
        self._had_network = self._had_network or not interface.loopback
        return True

    def addresses(self) -> list[str]:
        """Our own addresses: of a real network first, IPv4 first, link-local ones last."""
        through = {(sender.interface.index, sender.interface.ipv6) for sender in self.senders}
        found = [one for one in self._there if (one.index, one.ipv6) in through]
        found.sort(key=lambda one: (one.loopback, one.ipv6, one.link_local))
        return [one.host for one in found]

    def networks(self) -> list[str]:
        """The networks that we are on, but the loopback and link-local ones: "192.168.1.0/24"."""
        return networks_of(self._there)

    def network_of(self, host: str) -> str:
        """Which of `networks` that host is on; the first for one that is on none, or ""."""
        address = ipaddress.ip_address(host)
        here = (str(one.network) for one in self._there if one.reaches(address))
        networks = self.networks()
        return next((each for each in here if each in networks), next(iter(networks), ""))

    def reaches(self, host: str) -> bool:
        """Whether that address is on a network of ours."""
        address = ipaddress.ip_address(host)
        return any(interface.reaches(address) for interface in self._there)

    def ways_to(self, host: str) -> list[str]:
        """`host`; a link-local address on each interface, one that it names already first."""
        bare, _, scope = host.partition("%")
        if ":" not in bare or not ipaddress.IPv6Address(bare).is_link_local:
            return [host]
        names = [each.interface.name for each in self.senders if each.interface.ipv6]
        names.sort(key=lambda name: name != scope)
        return [f"{bare}%{name}" for name in names] or [host]

    def is_own(self, address: Address) -> bool:
        """Whether one of our senders sends from there."""
        return address in self._own

    # -- out

    def multicast(self, data: bytes, port_of: Callable[[Interface], int], *, both: bool) -> bool:
        """Send to the group through every interface; False when no network took it.

        The loopback, which always takes it, is a network only where there was no other yet.

        both: by IPv6 also where IPv4 took it on the same interface.
        """
        taken: set[int] = set()
        by_network = False
        for sender in self.senders:  # those of IPv4 come first on each interface
            interface = sender.interface
            if interface.ipv6 and interface.index in taken and not both:
                continue
            group = self._groups[interface.family]
            if self._write(sender.port, data, (group, port_of(interface))):
                taken.add(interface.index)
                by_network = by_network or not (interface.loopback and self._had_network)
        return by_network

    def broadcast(self, data: bytes, port: int) -> bool:
        """Send to all hosts of our networks; False when none took it."""
        taken = [
            self._write(sender.port, data, (everybody, port))
            for sender in self.senders
            if (everybody := sender.interface.broadcast) is not None
        ]
        return any(taken)

    def send(self, data: bytes, address: Address) -> bool:
        """Send to one host; False when the system refuses whatever way.

        By the interface whose network it is on; by the routes of this host where it is on none. A
        neighbour with another mask than ours is found by whoever tries on each interface.
        """
        host = ipaddress.ip_address(address[0])
        family = socket.AF_INET6 if host.version == 6 else socket.AF_INET
        ours = [sender for sender in self.senders if sender.interface.family == family]
        near = [sender.port for sender in ours if sender.interface.reaches(host)]
        far = [self._far[family]] if family in self._far else []
        others = [sender.port for sender in ours if sender.port not in near]
        return any(self._write(port, data, address) for port in (*near, *far, *others))

    def _write(self, port: Any, data: bytes, address: Address) -> bool:
        try:
            port.write(data, address)
        except (OSError, MessageLengthError) as error:  # the latter is Twisted's EMSGSIZE
            _log.debug("to {address}: {error}", address=address, error=error)
            if self._failures.take(self._reactor.seconds()):
                self._failed()
            return False
        return True


def _nobody(_data: bytes, _address: Address, _direct: bool) -> None:
    """Nothing is read before the start."""
