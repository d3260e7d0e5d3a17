"""Which network interfaces this host has, and which of them the group may use.

An interface counts once for each of its addresses, IPv4 and IPv6: an alias is an address of its own
to send from. `senders` are those that the group is sent from.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import psutil

from twistedp2p.core.errors import N_, Words, words

# Bridges and cable ends that containers and virtual machines bring along: nobody to talk to is
# behind them, and the host would meet itself there. The patterns are as narrow as the programs
# that choose these names, because a bridge that a person made (br0, br-lan) is a network.
_CONTAINER = re.compile(
    r"""docker\d+ | docker_gwbridge | br-[0-9a-f]{12} | veth.*   # Docker and its networks
      | podman\d+ | cni-podman\d+ | nerdctl\d+                   # Podman, nerdctl
      | virbr\d+(-nic)? | vnet\d+                                # libvirt
      | lxcbr\d+ | lxdbr\d+ | incusbr\d+ | waydroid\d+           # LXC, LXD, Incus, Waydroid
      | cni\d+ | flannel[.-].+ | cali[0-9a-f]{11} | vxlan\.calico | cilium_.+ | lxc[0-9a-f]{12}
    """,
    re.VERBOSE,
)

Host = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UnknownInterface(ValueError):
    """A person asked for an interface that this host does not have; `words` say which there are."""

    def __init__(self, words: Words) -> None:
        super().__init__(str(words))
        self.words = words


@attrs.frozen
class Interface:
    """One address of one interface.

    `name` is the device's ("eth0", also for an address labelled "eth0:1"), `index` the kernel's
    number for it (1 up), `address` and `netmask` are as people write them, without a scope.
    """

    name: str
    index: int
    address: str
    netmask: str | None
    loopback: bool
    family: socket.AddressFamily = socket.AF_INET
    network: Network = attrs.field(init=False, eq=False, repr=False)
    """The network that the address is on; of an address without a mask, the address alone."""

    @property
    def ipv6(self) -> bool:
        """Whether the address is of IPv6."""
        return self.family == socket.AF_INET6

    @property
    def link_local(self) -> bool:
        """Whether the address means something on this interface only (RFC 4291, section 2.5.6)."""
        return self.ipv6 and ipaddress.IPv6Address(self.address).is_link_local

    @property
    def host(self) -> str:
        """The address as this host can reach it: a link-local one names its interface."""
        return f"{self.address}%{self.name}" if self.link_local else self.address

    @network.default
    def _network(self) -> Network:
        if self.netmask is None:
            return ipaddress.ip_network(self.address)
        bits = int(ipaddress.ip_address(self.netmask)).bit_count()
        return ipaddress.ip_network(f"{self.address}/{bits}", strict=False)

    @property
    def broadcast(self) -> str | None:
        """The address of all hosts on that network; None where there is none."""
        if self.ipv6 or self.loopback or self.network.prefixlen > 30:
            return None
        return str(self.network.broadcast_address)

    def reaches(self, host: Host) -> bool:
        """Whether `host` is on that network; a link-local one must name this interface."""
        if isinstance(host, ipaddress.IPv6Address) and host.is_link_local:
            return self.link_local and host.scope_id == self.name
        return host.version == self.network.version and host in self.network


@attrs.frozen
class Listing:
    """What the system tells, in psutil's form.

    `addresses` is `psutil.net_if_addrs()`, `stats` is `psutil.net_if_stats()`, and `index` gives
    the kernel's number for a name, raising OSError when the interface has just gone.
    """

    addresses: Mapping[str, Sequence[Any]]
    stats: Mapping[str, Any]
    index: Callable[[str], int] = socket.if_nametoindex


def present(listing: Listing | None = None) -> list[Interface]:
    """Every interface that could carry the group, container bridges too; the loopback comes last.

    Up, and either the loopback or running and multicast-capable.

    :param listing: what to read instead of the system.
    """
    if listing is None:
        listing = Listing(psutil.net_if_addrs(), psutil.net_if_stats())
    found = [
        interface
        for label, addresses in listing.addresses.items()
        for interface in _of_device(label.partition(":")[0], addresses, listing)
    ]
    return sorted(found, key=lambda one: (one.loopback, one.index, one.ipv6))


def choose(wanted: Sequence[str], available: Sequence[Interface] | None = None) -> list[Interface]:
    """The interfaces that a person asked for, or all usable ones when nobody asked.

    Who names a container bridge gets it.

    :param wanted: names or addresses, in any order; empty for all usable.
    :param available: what to choose from, by default `present()`.
    :raises UnknownInterface: one of `wanted` is not there.
    """
    there = present() if available is None else available
    for word in wanted:
        if not any(word in _words(one) for one in there):
            names = ", ".join(f"{one.name} ({one.host})" for one in there)
            sentence = N_("no usable interface is called {name}; there are: {names}")
            raise UnknownInterface(
                words(sentence, name=repr(word), names=names or words(N_("none at all")))
            )
    return choose_present(wanted, there)


def choose_present(
    wanted: Sequence[str], available: Sequence[Interface] | None = None
) -> list[Interface]:
    """As `choose`, but what is wanted and is not there now is left out: it may come (back)."""
    there = present() if available is None else available
    if not wanted:
        return [one for one in there if not is_container(one.name)]
    return [one for one in there if not _words(one).isdisjoint(wanted)]


def _words(interface: Interface) -> set[str]:
    """What a person may call it."""
    return {interface.name, interface.address, interface.host}


def senders(interfaces: Sequence[Interface]) -> list[Interface]:
    """Of these, the ones that the group is sent from.

    Every IPv4 address; of IPv6 one for each device: its link-local address, which stays when
    prefixes change, or else the first that there is (a tunnel made by hand may have no other).
    """
    best: dict[int, Interface] = {}
    for one in interfaces:
        if one.ipv6 and (
            one.index not in best or (one.link_local and not best[one.index].link_local)
        ):
            best[one.index] = one
    return [one for one in interfaces if not one.ipv6 or best[one.index] is one]


def networks_of(interfaces: Sequence[Interface]) -> list[str]:
    """The networks that these are on, but the loopback and link-local ones: "192.168.1.0/24"."""
    found = [one for one in interfaces if not one.loopback and not one.link_local]
    return list(dict.fromkeys(str(one.network) for one in found))


def is_container(name: str) -> bool:
    """Whether an interface of this name belongs to a container or virtual machine."""
    return _CONTAINER.fullmatch(name) is not None


def _of_device(name: str, addresses: Sequence[Any], listing: Listing) -> list[Interface]:
    """The device's addresses as interfaces, or nothing when it cannot carry the group.

    psutil lists addresses under their label (eth0:1), but flags under the device alone. On the
    loopback there is no multicast of IPv6.
    """
    flags = set(listing.stats[name].flags.split(",")) if name in listing.stats else set()
    loopback = "loopback" in flags
    if "up" not in flags or not (loopback or {"running", "multicast"} <= flags):
        return []
    try:
        index = listing.index(name)
    except OSError:  # it went away between the two looks
        return []
    families = {socket.AF_INET} if loopback else {socket.AF_INET, socket.AF_INET6}
    return [
        Interface(
            name,
            index,
            address.address.partition("%")[0],
            address.netmask,
            loopback,
            address.family,
        )
        for address in addresses
        if address.family in families
    ]
