"""Where nodes are, and which addresses are worth telling to others."""

from __future__ import annotations

import ipaddress

Address = tuple[str, int]  # IP address, port


def read_host(text: str) -> str:
    """An IP address at which somebody else can reach a node, in its one spelling.

    Raises ValueError on anything else: a name, one with a scope, which means something on its own
    host alone, one of IPv4 in the dress of IPv6, one of no host or of many.
    """
    host = ipaddress.ip_address(text)
    odd = getattr(host, "scope_id", None) or getattr(host, "ipv4_mapped", None)
    if host.is_multicast or host.is_unspecified or odd:
        raise ValueError("an address where no node is")
    return str(host)


def means_the_same(host: str, elsewhere: str) -> bool:
    """Whether an IP address names the same host at `elsewhere`, another's address or network."""
    return _is_loopback(host) <= _is_loopback(elsewhere)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("/")[0].partition("%")[0]).is_loopback
    except ValueError:
        return False
