"""The sockets of one examination: none of them takes anything away from a node on this host.

::

    (group, P), (group, P+1)     hear the group, beside all who listen there
    (224.0.0.251, 5353)          hears mDNS, which passes where other multicast does not
    (an interface's address, 0)  sends to the group, by broadcast and to hosts; hears their answers

A socket on all addresses at port P+1 is tried and let go at once: it would get what is sent to the
node.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Sequence
from errno import EIO, EMSGSIZE, ENETUNREACH
from functools import partial
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as StreamProtocol

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Oneself, Trial
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.families import groups_of
from twistedp2p.net.interfaces import Interface, senders
from twistedp2p.net.sockets import (
    SocketError,
    family_of,
    far_sender,
    file_listeners,
    group_receiver,
    group_sender,
    link_receiver,
    wide_receiver,
)
from twistedp2p.net.udp import adopt

MDNS_GROUP, MDNS_PORT = "224.0.0.251", 5353
MDNS_SERVICE = b"\x09_p2pshare\x04_udp\x05local\x00"
# Who offers that service, and which services are there (RFC 6763, section 9): whoever speaks mDNS
# answers the latter.
MDNS_QUESTION = b"".join(
    (
        struct.pack("!6H", 0, 0, 2, 0, 0, 0),
        MDNS_SERVICE + struct.pack("!2H", 12, 1),
        b"\x09_services\x07_dns-sd\x04_udp\x05local\x00" + struct.pack("!2H", 12, 1),
    )
)
ONESELF_WAIT = 1.0  # seconds: within one host


class Hearing(Protocol):
    """Who is told of what comes."""

    def heard_group(self, data: bytes, address: Address) -> None: ...

    def heard_answer(self, data: bytes, address: Address) -> None: ...

    def heard_mdns(self, data: bytes, address: Address) -> None: ...


@attrs.frozen
class Mouth:
    """The socket that sends through one interface, or (None) whichever way the routes lead.

    `address` is where its datagrams come from.
    """

    interface: Interface | None
    address: Address
    port: Any

    @property
    def device(self) -> str:
        """The name of its interface, and its family where that is not the usual one."""
        if self.interface is None:
            return ""
        return self.interface.name + " (IPv6)" * self.interface.ipv6

    @property
    def loopback(self) -> bool:
        """Whether it reaches this host alone."""
        return self.interface is not None and self.interface.loopback

    @property
    def everybody(self) -> str | None:
        """The address of all hosts of its network, where it has one."""
        return self.interface.broadcast if self.interface is not None else None

    def send(self, data: bytes, address: Address) -> int:
        """Send; 0, or the errno of the system's refusal."""
        try:
            self.port.write(data, address)
        except MessageLengthError:  # what Twisted makes of it
            return EMSGSIZE
        except OSError as error:
            return error.errno or EIO
        return 0


class Probe:
    """All sockets of one examination, from `open` to `close`. `trials`: what the system gave."""

    def __init__(self, reactor: Any, group: str, port: int, ttl: int, hearing: Hearing) -> None:
        self._reactor = reactor
        self._groups = {family_of(each): each for each in groups_of(group)}
        self._port = port
        self._ttl = ttl
        self._hearing = hearing
        self._ports: list[Any] = []
        self._far: dict[int, Mouth] = {}
        self._own_word: dict[Address, Deferred[bool]] = {}
        self.mouths: list[Mouth] = []
        self.trials: list[Trial] = []
        self.granted = 0  # bytes of the receivers' buffers

    def open(self, interfaces: Sequence[Interface]) -> None:
        """Try all sockets that a node needs, and keep those that hear and send."""
        through = [one for one in senders(interfaces) if one.family in self._groups]
        for port in (self._port, self._port + 1):
            self._listen_to_group(port, through)
        mdns = partial(group_receiver, MDNS_GROUP, MDNS_PORT, through, lambda *_: None)
        self._listen(f"UDP {MDNS_PORT}", mdns, self._hearing.heard_mdns, needed=False)
        if socket.AF_INET in self._groups:
            self._try(f"UDP {self._port + 1}", lambda: wide_receiver(self._port + 1).close())
        # A node takes another TCP port where that one is taken, and tells the others.
        self._try(f"TCP {self._port + 1}", self._try_files, needed=False)
        for interface in through:
            self._speak_through(interface)
        for family in self._groups:
            sock = self._try("UDP", partial(far_sender, family), needed=False)
            if sock is not None:
                self._far[family] = Mouth(None, ("", 0), self._adopt(sock, self._heard_answer))

    def _listen_to_group(self, port: int, interfaces: Sequence[Interface]) -> None:
        def skipped(interface: Interface, error: SocketError) -> None:
            self.trials.append(Trial(interface.name, error.words, join=True))

        heard = self._hearing.heard_group
        group = self._groups.get(socket.AF_INET)
        if group is not None:
            receive = partial(group_receiver, group, port, interfaces, skipped)
            self._listen(f"UDP {port}", receive, heard)
        group = self._groups.get(socket.AF_INET6)
        for one in interfaces:
            if group is not None and one.ipv6:
                receive = partial(link_receiver, group, port, one)
                self._listen(f"UDP {port}, {one.name} (IPv6)", receive, heard)

    def _listen(
        self,
        what: str,
        receive: Callable[[], socket.socket],
        heard: Callable[[bytes, Address], None],
        *,
        needed: bool = True,
    ) -> None:
        sock = self._try(what, receive, needed=needed)
        if sock is not None:
            # The kernel keeps as much again for its own book-keeping (socket(7)).
            self.granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
            self._adopt(sock, heard)

    def _speak_through(self, interface: Interface) -> None:
        sock = self._try(interface.name, partial(group_sender, interface, self._ttl))
        if sock is not None:
            address = interface.host, sock.getsockname()[1]
            self.mouths.append(Mouth(interface, address, self._adopt(sock, self._heard_answer)))

    def _heard_answer(self, data: bytes, address: Address) -> None:
        if address in self._own_word:
            self._own_word.pop(address).callback(True)
        elif address[1] == MDNS_PORT:
            self._hearing.heard_mdns(data, address)
        else:
            self._hearing.heard_answer(data, address)

    def _try_files(self) -> None:
        for sock in file_listeners(self._port + 1, fallback=False):
            sock.close()

    def _try(self, what: str, call: Callable[[], Any], *, needed: bool = True) -> Any:
        try:
            made = call()
        except SocketError as error:
            self.trials.append(Trial(what, error.words, needed=needed))
            return None
        self.trials.append(Trial(what))
        return made

    def _adopt(self, sock: socket.socket, heard: Callable[[bytes, Address], None]) -> Any:
        adopted = adopt(self._reactor, sock, lambda data, source, _: heard(data, source))
        self._ports.append(adopted)
        return adopted

    def close(self) -> Deferred[Any]:
        """Let go of every socket."""
        ports, self._ports, self.mouths, self._far = self._ports, [], [], {}
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    def to_group(self, mouth: Mouth, data: bytes) -> int:
        """Send to the group through one interface; 0, or the errno of the refusal."""
        assert mouth.interface is not None
        return mouth.send(data, (self._groups[mouth.interface.family], self._port + 1))

    def to_network(self, mouth: Mouth, data: bytes) -> int:
        """Send to all hosts of the network of a `mouth` that has an `everybody`; as `to_group`."""
        assert mouth.everybody is not None
        return mouth.send(data, (mouth.everybody, self._port + 1))

    def ask_mdns(self) -> None:
        """Have whoever speaks mDNS say something."""
        for mouth in self.mouths:
            if mouth.interface is not None and not mouth.interface.ipv6:
                mouth.send(MDNS_QUESTION, (MDNS_GROUP, MDNS_PORT))

    def to_host(self, data: bytes, address: Address) -> int:
        """Send to one host, as a node does: by its network, by the routes, by any interface."""
        host = ipaddress.ip_address(address[0])
        family = family_of(address[0])
        ours = [each for each in self.mouths if each.interface and each.interface.family == family]
        near = [each for each in ours if each.interface and each.interface.reaches(host)]
        far = [self._far[family]] if family in self._far else []
        refusal = ENETUNREACH
        for mouth in (*near, *far, *(each for each in ours if each not in near)):
            refusal = mouth.send(data, address)
            if not refusal:
                return 0
        return refusal

    async def reach_oneself(self, mouth: Mouth) -> Oneself:
        """Whether this host gets datagrams and connections of its own over one of its addresses."""
        host = mouth.address[0]
        try:
            listening = self._reactor.listenTCP(0, _quiet_factory(), interface=host)
        except CannotListenError:  # the address has just gone
            return Oneself(host, False, False)
        word = self._own_word[mouth.address] = Deferred()
        heard = word.addTimeout(ONESELF_WAIT, self._reactor).addErrback(lambda _: False)
        try:
            mouth.send(b"oneself", mouth.address)
            tcp = await knock(self._reactor, host, listening.getHost().port, ONESELF_WAIT)
            udp = await heard
        finally:
            self._own_word.pop(mouth.address, None)
            await maybeDeferred(listening.stopListening)
        return Oneself(host, udp, tcp is Sign.OK)


def knock(reactor: Any, host: str, port: int, patience: float) -> Deferred[Sign]:
    """Whether a TCP port lets in: OK, REFUSED, or TIMEOUT for no answer within `patience` seconds
    and for any other failure (a firewall's "prohibited", no route)."""
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    knocking = kind(reactor, host, port, timeout=patience).connect(_quiet_factory())

    def opened(protocol: Any) -> Sign:
        protocol.transport.abortConnection()
        return Sign.OK

    def failed(failure: Any) -> Sign:
        failure.trap(Exception)
        return Sign.REFUSED if failure.check(Refused) else Sign.TIMEOUT

    return knocking.addCallbacks(opened, failed)


def _quiet_factory() -> Factory:
    factory: Factory = Factory.forProtocol(StreamProtocol)
    factory.noisy = False
    return factory
