"""Reading a UDP socket of either family in the reactor."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.udp6 import MAX_PACKET, Port6

TURN = 32_768  # bytes read of one socket before the others have their turn: some ms in a flood

Heard = Callable[[bytes, Address, str], None]


class _Ear(DatagramProtocol):
    """One socket of IPv4."""

    noisy = False

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Called by Twisted for each datagram."""
        self._heard(datagram, (addr[0], addr[1]), "")


def adopt(reactor: Any, sock: socket.socket, heard: Heard, *, keep: bool = False) -> Any:
    """The port (`write`, `stopListening`) through which the reactor reads a bound socket.

    :param heard: told each datagram, its source, and the address that it was sent to: empty for
        IPv4, and where a socket of IPv6 was not asked to tell.
    :param keep: the caller needs `sock` as well, and closes it; else it is the port's alone.
    """
    if sock.family == socket.AF_INET6:
        return Port6(reactor, sock, heard, TURN)
    port = reactor.adoptDatagramPort(sock.fileno(), sock.family, _Ear(heard), MAX_PACKET)
    port.maxThroughput = TURN
    if not keep:
        sock.close()  # the port has its own
    return port
