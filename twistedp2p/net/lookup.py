"""The addresses of a host that a person named, written as they are everywhere here."""

from __future__ import annotations

import socket
from typing import Any

MOST = 4  # addresses of one name


def addresses_of(host: str, port: int) -> list[tuple[str, int]]:
    """At most `MOST` addresses of a name or address with that UDP port, those of IPv4 first.

    May wait for a name server: to be called in a thread.

    :raises OSError: there is no such name, or nobody to ask.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(str(error)) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    hosts = dict.fromkeys(_host(entry[4]) for entry in found)
    return [(each, port) for each in hosts][:MOST]


def _host(address: Any) -> str:
    """Python tells the interface of a link-local address by its number only, beside it."""
    scope = address[3] if len(address) > 2 else 0
    host = str(address[0]).partition("%")[0]
    return scoped(f"{host}%{scope}" if scope else host)


def scoped(host: str) -> str:
    """An IP address; where it has a scope that is an interface's number, with its name instead.

    :raises OSError: there is no such interface now.
    """
    bare, _, scope = host.partition("%")
    return f"{bare}%{socket.if_indextoname(int(scope))}" if scope.isdecimal() else host
