"""Opening a TLS connection to another node; whatever goes wrong is a sentence."""

from __future__ import annotations

from collections.abc import Callable
from socket import gaierror
from typing import Any

from twisted.internet import error as net_error
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import HostnameEndpoint, TCP6ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.net.tls import NodeTLS, NodeTLSFactory

CONNECT_TIMEOUT = 5.0  # seconds for each address that a host name has
REACH_TIMEOUT = 15.0  # seconds for name look-up and connection together
HANDSHAKE_DEADLINE = 5.0  # seconds from connection to the end of the TLS handshake


def no_node() -> ShareError:
    """What answers is no node."""
    return ShareError(N_("What answers there is not a p2pshare node."))


def nonsense() -> ShareError:
    """What answers says what no node says."""
    return ShareError(N_("The other end does not keep to the protocol; nothing was taken."))


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
            raise ShareError(
                N_("Nothing listens at {where}: has the other node quit?"),
                Exit.NOT_FOUND,
                where=where,
            ) from None
        except net_error.TimeoutError:
            raise ShareError(
                N_("{where} does not answer: a firewall, or another network?"),
                Exit.TIMEOUT,
                where=where,
            ) from None
        except net_error.ConnectingCancelledError:
            raise CancelledError() from None
        except net_error.ConnectError as error:
            raise ShareError(
                N_("{where} cannot be reached: {why}."), Exit.FAILED, where=where, why=error
            ) from error
        return connected.wrappedProtocol


def _reach_timed_out(_result: object, _seconds: float) -> Failure:
    """However the endpoint took its being cancelled: it was too slow."""
    return Failure(net_error.TimeoutError())
