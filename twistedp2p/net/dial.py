"""Opening a TLS connection to another node, and its first words; what goes wrong is a sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from socket import gaierror
from typing import Any

from twisted.internet import error as net_error
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedp2p.core.calls.lines import MAX_LINE
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.net.deadline import Deadline
from twistedp2p.net.tls import NodeTLS, NodeTLSFactory, NotANode, Peer, peer_of

CONNECT_TIMEOUT = 5.0  # seconds for each address that a host name has
REACH_TIMEOUT = 15.0  # seconds for name look-up and connection together
HANDSHAKE_DEADLINE = 5.0  # seconds from connection to the end of the TLS handshake


def no_node() -> ShareError:
    """What answers is no node."""
    return ShareError(N_("What answers there is not a p2pshare node."))


class NoAnswer(ShareError):
    """Nobody answers, or not any more: the network or the other end is gone, for now at least."""


class Nonsense(ShareError):
    """The other end is no node, or a broken one."""


def nonsense() -> Nonsense:
    """What answers says what no node says."""
    return Nonsense(N_("The other end does not keep to the protocol; nothing was taken."))


@implementer(IHandshakeListener)
class NodeClient(LineReceiver):
    """The client's end of one connection, up to where it is known whose key the other end has.

    :param answer: seconds that the other end has for its answer from there on.
    """

    delimiter = b"\r\n"
    MAX_LENGTH = MAX_LINE
    transport: Any  # a NodeTransport

    def __init__(self, clock: IReactorTime, answer: float) -> None:
        self._deadline = Deadline(clock, self._timed_out)
        self._answer = answer

    def connectionMade(self) -> None:
        """TCP stands; TLS has yet to be agreed."""
        self._deadline.set(HANDSHAKE_DEADLINE)

    def handshakeCompleted(self) -> None:
        """TLS stands: see whose key it is."""
        try:
            peer = peer_of(self.transport.getHandle())
        except NotANode:
            self._fail(no_node())
            return
        self._deadline.set(self._answer)
        self._met(peer)

    def _met(self, peer: Peer) -> None:
        """The other end has that key: speak."""
        raise NotImplementedError

    def _timed_out(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError

    def _fail(self, error: BaseException | None) -> None:
        """End the connection, whatever it does."""
        raise NotImplementedError

    def lineLengthExceeded(self, line: bytes) -> None:
        """No line of the conversation is that long."""
        self._fail(nonsense())


def endpoint_to(
    reactor: Any, host: str, port: int, timeout: float
) -> HostnameEndpoint | TCP6ClientEndpoint:
    """Where to connect to: `host` is an IP address or a name, `timeout` in seconds.

    An IPv6 address may name its interface (fe80::1%eth0), which `HostnameEndpoint` drops.
    """
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout)
    return HostnameEndpoint(reactor, host, port, timeout)


class Dialer:
    """Opens the connections of one node."""

    def __init__(self, reactor: Any, tls: NodeTLS, timeout: float = CONNECT_TIMEOUT) -> None:
        self._reactor = reactor
        self._tls = tls
        self._timeout = timeout

    async def dial(self, make: Callable[[], Any], host: str, port: int) -> Any:
        """Connect what `make` gives to a name or address and TCP port; returns that protocol.

        TLS has yet to be agreed then. Raises `ShareError`.
        """
        endpoint = endpoint_to(self._reactor, host, port, self._timeout)
        factory: Factory = Factory.forProtocol(make)
        factory.noisy = False
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            connecting = endpoint.connect(NodeTLSFactory(self._tls, True, factory))
            connected: Any = await connecting.addTimeout(
                REACH_TIMEOUT, self._reactor, _reach_timed_out
            )
        except (net_error.DNSLookupError, ValueError, gaierror):
            # ValueError: no host could be called that; gaierror: no interface is
            raise ShareError(N_("There is no host {host}."), Exit.NOT_FOUND, host=host) from None
        except net_error.ConnectionRefusedError:
            raise NoAnswer(
                N_("Nothing listens at {where}: has the other node quit?"),
                Exit.NOT_FOUND,
                where=where,
            ) from None
        except net_error.TimeoutError:
            raise NoAnswer(
                N_("{where} does not answer: a firewall, or another network?"),
                Exit.TIMEOUT,
                where=where,
            ) from None
        except net_error.ConnectingCancelledError:
            raise CancelledError() from None
        except net_error.ConnectError as error:
            raise NoAnswer(
                N_("{where} cannot be reached: {why}."), Exit.FAILED, where=where, why=_why(error)
            ) from error
        return connected.wrappedProtocol


def _why(error: net_error.ConnectError) -> str:
    """What the system says: Twisted's own words would stand before it, as another sentence."""
    number = error.osError
    return os.strerror(number) if isinstance(number, int) else str(error).rstrip(".")


def _reach_timed_out(_result: object, _seconds: float) -> Failure:
    """However the endpoint took its being cancelled: it was too slow."""
    return Failure(net_error.TimeoutError())
