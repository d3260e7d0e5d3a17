"""What rooms ask of the other nodes: where each is, and whether it is known."""

from __future__ import annotations

import attrs

from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.roster import Roster
from twistedp2p.net.group import Group
from twistedp2p.node.presence.nicks import Nicks
from twistedp2p.node.presence.reach import Reach


@attrs.frozen
class Others:
    """Those who are here, by all that is known of them. A `chat.Others`."""

    _roster: Roster
    _nicks: Nicks
    _reach: Reach
    _group: Group

    def is_pinned(self, key: bytes) -> bool:
        """Whether that key is known from before."""
        return key in self._roster.pins

    def is_known(self, key: bytes, nick: str) -> bool:
        """Whether that nick on a line of that key can go without its fingerprint."""
        return self._nicks.is_known(key, nick)

    def address_of(self, key: bytes) -> Address | None:
        """Where what is for that node alone is sent; None where it is not here."""
        peer = self._roster.peer(key)
        return self._reach.address(key) if peer is not None else None

    def host_of(self, key: bytes) -> str:
        """The IP address of a node that is here, else an empty string."""
        address = self.address_of(key)
        return "" if address is None else address[0]

    def file_addresses(self, key: bytes) -> list[Address]:
        """Where that node takes calls: those of IPv4 first, none where it takes none."""
        peer = self._roster.peer(key)
        if peer is None or not peer.files:
            return []
        hosts = dict.fromkeys(address[0] for address in peer.addresses)
        return [(host, peer.files) for host in sorted(hosts, key=lambda host: ":" in host)]

    def file_services_but(self, key: bytes) -> list[Address]:
        """Where everybody takes calls who is here, but that node."""
        others = (peer.key for peer in self._roster.peers() if peer.key != key)
        return [found[0] for each in others if (found := self.file_addresses(each))]

    def may_be_a_node(self, host: str) -> bool:
        """Whether a node could be at that IP address: on a network of ours, or one that is here."""
        here = (each[0] for peer in self._roster.peers() for each in peer.addresses)
        return self._group.on_link(host) or host in here
