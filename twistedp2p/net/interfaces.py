"""Which network interfaces this host has, and which of them the group may use.

An interface counts once for each of its addresses: an alias is an address of its own to send from.
IPv4 only so far; `Interface.family` is there for the day when it is not.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import psutil

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


class UnknownInterface(ValueError):
    """A person asked for an interface that this host does not have; says which ones there are."""


@attrs.frozen
class Interface:
    """One address of one interface.

    `name` is the device's ("eth0", also for an address labelled "eth0:1"), `index` the kernel's
    number for it (1 up), `address` and `netmask` are dotted quads.
    """

    name: str
    index: int
    address: str
    netmask: str | None
    loopback: bool
    family: socket.AddressFamily = socket.AF_INET

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The network that the address is on; of an address without a mask, the address alone."""
        mask = self.netmask or "255.255.255.255"
        return ipaddress.IPv4Network(f"{self.address}/{mask}", strict=False)

    @property
    def broadcast(self) -> str | None:
        """The address of all hosts on that network; None where there is none."""
        if self.loopback or self.network.prefixlen > 30:
            return None
        return str(self.network.broadcast_address)


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
    return sorted(found, key=lambda one: (one.loopback, one.index))


def usable(listing: Listing | None = None) -> list[Interface]:
    """`present`, without the bridges and cable ends of containers and virtual machines."""
    return [one for one in present(listing) if not is_container(one.name)]


def choose(wanted: Sequence[str], available: Sequence[Interface] | None = None) -> list[Interface]:
    """The interfaces that a person asked for, or all usable ones when nobody asked.

    Who names a container bridge gets it.

    :param wanted: names or IPv4 addresses, in any order; empty for all usable.
    :param available: what to choose from, by default `present()`.
    :raises UnknownInterface: one of `wanted` is not there.
    """
    there = present() if available is None else available
    if not wanted:
        return [one for one in there if not is_container(one.name)]
    for word in wanted:
        if not any(word in (one.name, one.address) for one in there):
            names = ", ".join(f"{one.name} ({one.address})" for one in there) or "none at all"
            raise UnknownInterface(f"no usable interface is called {word!r}; there are: {names}")
    return [one for one in there if one.name in wanted or one.address in wanted]


def changes(
    before: Sequence[Interface], after: Sequence[Interface]
) -> tuple[list[Interface], list[Interface]]:
    """What `after` has and `before` had not, and what it has no more: (added, removed).

    An interface that was deleted and made anew has another index, so it is in both lists: its
    membership went with it and must be joined again.
    """
    added = [one for one in after if one not in before]
    removed = [one for one in before if one not in after]
    return added, removed


def is_container(name: str) -> bool:
    """Whether an interface of this name belongs to a container or virtual machine."""
    return _CONTAINER.fullmatch(name) is not None


def _of_device(name: str, addresses: Sequence[Any], listing: Listing) -> list[Interface]:
    """The device's IPv4 addresses as interfaces, or nothing when it cannot carry the group.

    psutil lists addresses under their label (eth0:1), but flags under the device alone.
    """
    flags = set(listing.stats[name].flags.split(",")) if name in listing.stats else set()
    loopback = "loopback" in flags
    if "up" not in flags or not (loopback or {"running", "multicast"} <= flags):
        return []
    try:
        index = listing.index(name)
    except OSError:  # it went away between the two looks
        return []
    return [
        Interface(name, index, address.address, address.netmask, loopback)
        for address in addresses
        if address.family == socket.AF_INET
    ]
