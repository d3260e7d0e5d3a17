"""A UDP socket of IPv6 in the reactor, whose addresses keep their scope: ("fe80::1%eth0", 9393).

Twisted's own port drops the scope of a source, without which nobody can answer it, and where a
datagram was sent to, which tells the group from an address of ours.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedp2p.core.presence.addresses import Address

MAX_PACKET = 65_536  # bytes: what is longer arrives cut, without a word
_INFO = struct.Struct("@16sI")  # struct in6_pktinfo: the destination, the interface's index
_ANCILLARY = socket.CMSG_SPACE(_INFO.size)  # bytes

_log = Logger()


@implementer(IReadDescriptor)
class Port6:
    """One socket, which is ours from now on.

    heard(datagram, source, destination) is told of what comes; `destination` is the address that
    it was sent to, or empty where the socket was not asked to tell. `turn` is how many bytes are
    read before other sockets have their turn.
    """

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        heard: Callable[[bytes, Address, str], None],
        turn: int,
    ) -> None:
        self._reactor = reactor
        self._sock = sock
        self._heard = heard
        self._turn = turn
        self.port: int = sock.getsockname()[1]
        reactor.addReader(self)

    def fileno(self) -> int:
        """Called by the reactor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor."""
        return "p2pshare IPv6"

    def doRead(self) -> None:
        """Called by the reactor when there is something to read."""
        read = 0
        while read < self._turn:
            try:
                data, ancillary, _, source = self._sock.recvmsg(MAX_PACKET, _ANCILLARY)
                address = _with_scope(source)
            except BlockingIOError:
                return
            except OSError as error:  # the network's complaint, an interface gone, we have stopped
                _log.debug("reading: {error}", error=error)
                return
            read += max(1, len(data))
            self._heard(data, address, _destination(ancillary))

    def write(self, data: bytes, address: Address) -> None:
        """Send one datagram; raises OSError."""
        host, _, scope = address[0].partition("%")
        index = socket.if_nametoindex(scope) if scope else 0
        self._sock.sendto(data, (host, address[1], 0, index))

    def stopListening(self) -> Deferred[None]:
        """Let go of the socket; named as Twisted's ports name it."""
        if self.fileno() != -1:
            self._reactor.removeReader(self)
            self._sock.close()
        return succeed(None)

    def connectionLost(self, reason: Failure) -> None:
        """Called by the reactor when it stops, or cannot go on with this socket."""
        self.stopListening()


def _with_scope(source: tuple[str, int, int, int]) -> Address:
    host, port, _, index = source
    return (f"{host}%{socket.if_indextoname(index)}" if index else host), port


def _destination(ancillary: list[tuple[int, int, bytes]]) -> str:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, _INFO.unpack(data)[0])
    return ""
