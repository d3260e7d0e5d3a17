"""The sockets of a node, bound and ready before any reactor is asked.

A busy port is thus known, and said in one sentence, while nothing is half started. The reactor
takes them over by `adoptDatagramPort` or `adoptStreamPort` with `sock.fileno()` and `sock.family`;
it duplicates the descriptor, so whoever made the socket closes it after that.

    group_receiver   UDP (group, port), shared with every other program that listens there
    link_receiver    UDP (IPv6 group on one interface, port), likewise
    wide_receiver    UDP (all addresses, port): what comes to an address of ours, or by broadcast
    group_sender     UDP (address of one interface, any port): sends to the group, hears replies
    far_sender       UDP (all addresses, any port): the kernel chooses the way, by its routes
    file_listeners   TCP (all addresses, port), one for each family

Those of IPv6 are for IPv6 alone. A group of link scope cannot be bound to but on one interface, so
the group's receiver is bound to all addresses there, tells with each datagram where it was sent
to (IPV6_PKTINFO), and is the wide one, too.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from twisted.logger import Logger

from twistedp2p.core.errors import N_, Words, words
from twistedp2p.net.interfaces import Interface

_IP_MULTICAST_ALL: int = getattr(socket, "IP_MULTICAST_ALL", 49)  # linux/in.h; not in Python
_IP_UNICAST_IF: int = getattr(socket, "IP_UNICAST_IF", 50)  # likewise
_IPV6_MULTICAST_ALL: int = getattr(socket, "IPV6_MULTICAST_ALL", 29)  # linux/in6.h
_IPV6_UNICAST_IF: int = getattr(socket, "IPV6_UNICAST_IF", 76)  # likewise
_PORT_TRIES = 8  # free ports of IPv4 that are tried for IPv6, too
RECEIVER_BUFFER = 4 * 1024 * 1024  # bytes; the usual default holds 92 datagrams of 1,200 bytes
_SENDER_BUFFER = 1024 * 1024  # bytes
_BACKLOG = 128  # connections that wait to be accepted
_NOT_A_MEMBER = {errno.EADDRNOTAVAIL, errno.ENODEV}
_NO_SUCH_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # IPv6 may be absent, or switched off

_DEAF = N_("cannot listen to {group} at port {port}: {reason}")

_log = Logger()


class SocketError(OSError):
    """A socket could not be had. `words` is one sentence for a person, `errno` the system's."""

    def __init__(self, number: int | None, sentence: str, **values: object) -> None:
        self.words = Words(sentence, values)
        super().__init__(number, str(self.words))

    def __str__(self) -> str:
        return str(self.strerror)


def _log_skipped(interface: Interface, error: SocketError) -> None:
    _log.warn("{name}: {error}", name=interface.name, error=str(error))


def group_receiver(
    group: str,
    port: int,
    interfaces: Sequence[Interface],
    skipped: Callable[[Interface, SocketError], object] = _log_skipped,
) -> socket.socket:
    """A non-blocking UDP socket that hears the group on these interfaces and on no other.

    Plain scripts that set SO_REUSEADDR can listen to the same port at the same time.

    :param group: a multicast address of IPv4 or IPv6; only interfaces of its family count.
    :param port: 1 to 65,535.
    :param interfaces: where to join; there may be none yet.
    :param skipped: told of each interface that cannot join; the others are joined all the same.
    :raises SocketError: the port is held by a program that does not share it, or the host has
        nothing of that family.
    """
    family = family_of(group)
    with _opening(family, socket.SOCK_DGRAM, _DEAF, group=group, port=port) as sock:
        _share(sock)
        sock.bind(("::" if family == socket.AF_INET6 else group, port))
        for interface in interfaces:
            if interface.family == family:
                try:
                    join(sock, group, interface)
                except SocketError as error:
                    skipped(interface, error)
    return sock


def link_receiver(group: str, port: int, interface: Interface) -> socket.socket:
    """A non-blocking UDP socket that hears an IPv6 group on one interface, and nothing else.

    A node on this host goes on to get all that is sent to an address.

    :raises SocketError: as `group_receiver` and `join`.
    """
    with _opening(socket.AF_INET6, socket.SOCK_DGRAM, _DEAF, group=group, port=port) as sock:
        _share(sock)
        sock.bind((group, port, 0, interface.index))
        join(sock, group, interface)
    return sock


def wide_receiver(port: int) -> socket.socket:
    """A non-blocking UDP socket that hears what is sent to any IPv4 address of ours, or broadcast.

    Of several nodes on one host each hears a broadcast, but only one what is sent to an address.

    :param port: 1 to 65,535.
    :raises SocketError: the port is held by a program that does not share it.
    """
    failed = N_("cannot listen at port {port}: {reason}")
    with _opening(socket.AF_INET, socket.SOCK_DGRAM, failed, port=port) as sock:
        _share(sock)
        sock.bind(("0.0.0.0", port))  # noqa: S104 - peers are elsewhere
    return sock


def far_sender(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A non-blocking UDP socket for whoever is on no network of ours: the routing table decides.

    :raises SocketError: the host has nothing of that family.
    """
    with _opening(family, socket.SOCK_DGRAM, N_("cannot send: {reason}")) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SENDER_BUFFER)
        sock.bind(("", 0))  # answers come to the address of the way taken
    return sock


def group_sender(interface: Interface, ttl: int = 1) -> socket.socket:
    """A non-blocking UDP socket that sends through one interface, from its address.

    To groups, to hosts (on this interface, whatever the routing table says) and by broadcast. Its
    port is any free one; replies to it arrive on it. What it sends to a group, this host hears too.

    :param ttl: how many routers a datagram to a group may pass, plus one: 0 (this host) to 255.
    :raises SocketError: the address or the interface is not there (any more), or not yet.
    """
    failed = N_("cannot send through {name} from {address}: {reason}")
    values = {"name": interface.name, "address": interface.address}
    with _opening(interface.family, socket.SOCK_DGRAM, failed, **values) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SENDER_BUFFER)
        # Without an interface the kernel asks the routing table: no route, no datagram. Where two
        # interfaces are on one network, or a neighbour's mask is not ours, it would send to hosts
        # another way, or none.
        (_keep_to_ipv6 if interface.ipv6 else _keep_to_ipv4)(sock, interface, ttl)
    return sock


def _keep_to_ipv4(sock: socket.socket, interface: Interface, ttl: int) -> None:
    through = _ip_mreqn("0.0.0.0", interface)  # noqa: S104
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    sock.setsockopt(socket.IPPROTO_IP, _IP_UNICAST_IF, struct.pack("!I", interface.index))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind((interface.address, 0))


def _keep_to_ipv6(sock: socket.socket, interface: Interface, ttl: int) -> None:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_IF, struct.pack("!I", interface.index))
    sock.bind((interface.address, 0, 0, interface.index if interface.link_local else 0))


def file_listeners(port: int, *, fallback: bool) -> list[socket.socket]:
    """Non-blocking listening TCP sockets on all addresses, at one port.

    That of IPv4, and that of IPv6 where the host has it. A port taken on one address counts as
    taken.

    :param port: 0 to 65,535; 0 for any free one.
    :param fallback: take any free port when `port` is taken.
    :raises SocketError: the port is taken and `fallback` is false, or may not be used.
    """
    ports = [port, *[0] * (_PORT_TRIES if fallback or not port else 0)]
    while True:
        try:
            return _listeners(ports.pop(0))
        except SocketError as error:
            if not ports or error.errno != errno.EADDRINUSE:
                raise


def family_of(address: str) -> socket.AddressFamily:
    """The family of an IP address as people write it."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def join(sock: socket.socket, group: str, interface: Interface) -> None:
    """Make `sock` a member of the group on this interface; being one already is success.

    :raises SocketError: the interface is gone, takes no multicast, or the kernel's limit of
        memberships (net.ipv4.igmp_max_memberships, 20) is reached.
    """
    try:
        _set_member(sock, group, interface, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            failed = N_("cannot join {group} on {name}: {reason}")
            raise _explained(error, failed, group=group, name=interface.name) from error


def leave(sock: socket.socket, group: str, interface: Interface) -> None:
    """End the membership of `sock` in the group on this interface; having none is success.

    :raises SocketError: the system refuses for any other reason.
    """
    try:
        _set_member(sock, group, interface, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP)
    except OSError as error:
        if error.errno not in _NOT_A_MEMBER:
            failed = N_("cannot leave {group} on {name}: {reason}")
            raise _explained(error, failed, group=group, name=interface.name) from error


def _set_member(
    sock: socket.socket, group: str, interface: Interface, ipv4: int, ipv6: int
) -> None:
    """Set one of these options, that of the interface's family."""
    if interface.ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, ipv6, _ipv6_mreq(group, interface))
    else:
        sock.setsockopt(socket.IPPROTO_IP, ipv4, _ip_mreqn(group, interface))


def _share(sock: socket.socket) -> None:
    """Let others bind to the same port, and hear only the groups that `sock` itself joins."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVER_BUFFER)
    # Linux hands over whatever any process of the host has joined, unless told otherwise.
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)


def _listeners(port: int) -> list[socket.socket]:
    ipv4 = _listener(socket.AF_INET, port)
    try:
        return [ipv4, _listener(socket.AF_INET6, ipv4.getsockname()[1])]
    except SocketError as error:
        if error.errno in _NO_SUCH_FAMILY:
            return [ipv4]
        ipv4.close()
        raise


def _listener(family: socket.AddressFamily, port: int) -> socket.socket:
    failed = N_("cannot serve files at port {port}: {reason}")
    with _opening(family, socket.SOCK_STREAM, failed, port=port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))  # peers are elsewhere
        sock.listen(_BACKLOG)  # two that start at once both bind; one of them is refused here
    return sock


def _ip_mreqn(group: str, interface: Interface) -> bytes:
    """struct ip_mreqn of ip(7): the group, the address, the interface's index (which decides)."""
    return struct.pack(
        "=4s4si",
        socket.inet_aton(group),
        socket.inet_aton(interface.address),
        interface.index,
    )


def _ipv6_mreq(group: str, interface: Interface) -> bytes:
    """struct ipv6_mreq of RFC 3493, section 5.2: the group, the interface's index."""
    return socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", interface.index)


@contextmanager
def _opening(
    family: socket.AddressFamily, kind: socket.SocketKind, failed: str, **values: object
) -> Iterator[socket.socket]:
    """A new non-blocking socket, closed if the block fails; what the system says is explained.

    :param failed: the sentence for it, with a `{reason}` and these `values`.
    """
    try:
        sock = socket.socket(family, kind)
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            yield sock
        except BaseException:
            sock.close()
            raise
    except SocketError:
        raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _in_use(kind, values.get("port")) from error
        raise _explained(error, failed, **values) from error


def _explained(error: OSError, failed: str, **values: object) -> SocketError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return SocketError(error.errno, failed, **values, reason=reason)


def _in_use(kind: socket.SocketKind, port: object) -> SocketError:
    sentence, protocol = N_("TCP port {port} is in use by {holder}"), "tcp"
    if kind == socket.SOCK_DGRAM:
        sentence = N_("UDP port {port} is held by {holder}, which does not share it")
        protocol = "udp"
    return SocketError(errno.EADDRINUSE, sentence, port=port, holder=_holder(protocol, port))


def _holder(protocol: str, port: object) -> Words:
    """Who seems to hold the port; the system tells of other users' programs to root alone."""
    try:
        for connection in psutil.net_connections(protocol):
            if connection.pid and connection.laddr and connection.laddr.port == port:
                name = psutil.Process(connection.pid).name()
                return words(N_("{name} (process {number})"), name=name, number=connection.pid)
    except (psutil.Error, OSError):
        pass
    return words(N_("another program"))
