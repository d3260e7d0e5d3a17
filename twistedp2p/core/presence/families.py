"""One group in two families of addresses, and when what is said by IPv4 is to be said by IPv6, too.

The IPv6 group of 239.0.0.1 is ff12::ef00:1: transient, of link scope (RFC 4291, section 2.7), with
the IPv4 address as its group id (RFC 3307, section 4.3: dynamic ids are 0x80000000 up).

A host that has both would send everything twice, and a group of a thousand would pay double for
what one family brings to all. So it does that only

    while a key is heard by IPv6 that is not heard by IPv4: such a node needs it,
    for some seconds after links changed, so that hellos go by both, and
    once in a while, for those whose IPv4 multicast is filtered on the way.

Where two nodes hear each other by IPv6 alone, each finds that the other needs it. An interface that
has no IPv4 address uses IPv6 anyway, and is not asked about here.
"""

from __future__ import annotations

import ipaddress

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.limits import CappedTable

EAGER = 10.0  # seconds after links changed: hellos come at 0, 1 and 3, and their answers
REMIND_EVERY = 300.0  # seconds without anything by both
TOGETHER = 2.0  # seconds within which both copies of one datagram come
NEEDED_FOR = 420.0  # seconds: 3.5 beacons of the slowest node
MAX_KEYS = 4096
MAX_NEEDY = 64  # keys: one is as good as all

_LINK_SCOPE = 0xFF12 << 112


def group_address(text: str) -> str:
    """A multicast address as people write it, in its one spelling; raises `ShareError`."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or not address.is_multicast or "%" in text:
        raise ShareError(
            N_("{group} is no multicast address; take one from 239.0.0.0 up."),
            Exit.BAD_GROUP,
            group=text,
        )
    return str(address)


def groups_of(group: str) -> list[str]:
    """The multicast addresses of a group that a person names by one of them.

    That of an IPv4 group has an IPv6 group beside it. An IPv6 group is alone: who names it means
    it, and its scope.
    """
    address = ipaddress.ip_address(group)
    if address.version == 6:
        return [str(address)]
    return [str(address), str(ipaddress.IPv6Address(_LINK_SCOPE | int(address)))]


class Families:
    """By which family each key is heard of late. All times in seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._by_ipv4: CappedTable[bytes, float] = CappedTable(MAX_KEYS)
        self._needy: CappedTable[bytes, float] = CappedTable(MAX_NEEDY)
        self._eager_until = now + EAGER
        self._reminded = now

    def links_changed(self, now: float) -> None:
        """An interface came, or went, or woke."""
        self._eager_until = now + EAGER

    def heard(self, key: bytes, ipv6: bool, now: float) -> None:
        """A datagram of that key came by the multicast group."""
        if not ipv6:
            self._by_ipv4.put(key, now)
            self._needy.pop(key)
            return
        by_ipv4 = self._by_ipv4.peek(key)
        if by_ipv4 is None or now - by_ipv4 > TOGETHER:
            self._needy.put(key, now)

    def both(self, now: float) -> bool:
        """Whether what is sent now is to go by IPv6 as well."""
        needed = any(now - heard < NEEDED_FOR for heard in self._needy.values())
        if now < self._eager_until or needed or now - self._reminded >= REMIND_EVERY:
            self._reminded = now
            return True
        return False
