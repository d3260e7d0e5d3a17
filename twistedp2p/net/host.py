"""What this host tells of its network: devices, routes, neighbours, drops, its kind of firewall.

All of it is read, nothing changed, and nothing needs root. What a system does not tell (most of
this is Linux's /proc) is None or empty.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs
import psutil

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Device, Route
from twistedp2p.core.errors import N_
from twistedp2p.net.interfaces import Interface, Listing, is_container

PROC = Path("/proc")
_TUNNEL = re.compile(r"(tun|tap|wg|ppp|utun|tailscale|zt|ipsec|nordlynx)\w*")
_COMPLETE = 0x2  # ATF_COM of arp(7): the neighbour's address is known
_SBIN = ":/usr/sbin:/sbin"  # where firewalls are, and users' PATH is not


def devices(used: Sequence[Interface], listing: Listing | None = None) -> tuple[Device, ...]:
    """Every device of this host, the loopback last, and why each that is not used is not.

    :param used: what the group uses.
    :param listing: what to read instead of the system.
    """
    if listing is None:
        listing = Listing(psutil.net_if_addrs(), psutil.net_if_stats())
    names = {interface.name for interface in used}
    found = []
    for name, stats in listing.stats.items():
        flags = set(stats.flags.split(","))
        addresses = _addresses(name, listing)
        why = "" if name in names else _why_not(name, flags, addresses)
        found.append(Device(name, addresses, stats.mtu, why, "loopback" in flags))
    return tuple(sorted(found, key=lambda device: (device.loopback, bool(device.why), device.name)))


def _why_not(name: str, flags: set[str], addresses: Sequence[str]) -> str:
    if "up" not in flags:
        return N_("it is down")
    if "running" not in flags:
        return N_("there is no cable in it, or no Wi-Fi joined")
    if not addresses:
        return N_("it has no address")
    if not {"multicast", "loopback"} & flags:
        return N_("it takes no multicast")
    if is_container(name):
        return N_("it belongs to containers or virtual machines")
    return N_("it was not asked for")


def _addresses(name: str, listing: Listing) -> tuple[str, ...]:
    """IPv4 and IPv6 addresses with the length of their masks; of labels (eth0:1) too."""
    return tuple(
        with_mask(each.address, each.netmask)
        for label, addresses in listing.addresses.items()
        if label.partition(":")[0] == name
        for each in addresses
        if each.family in (socket.AF_INET, socket.AF_INET6)
    )


def with_mask(address: str, netmask: str | None) -> str:
    """``10.0.0.1/24``, without scope."""
    host = address.partition("%")[0]
    if not netmask:
        return host
    bits = int(ipaddress.ip_address(netmask))
    return f"{host}/{bits.bit_count()}"


def route_to(group: str, port: int) -> Route:
    """Where the system would send to an IPv4 group on its own, by all its tables and rules."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((group, port))  # sends nothing
        except OSError:
            return Route("")
        address = sock.getsockname()[0]
    owners = [name for name, own in psutil.net_if_addrs().items() if _has(address, own)]
    name = owners[0].partition(":")[0] if owners else address
    return Route(name, _TUNNEL.fullmatch(name) is not None)


def _has(address: str, own: Iterable[object]) -> bool:
    return any(getattr(each, "address", None) == address for each in own)


def neighbours(proc: Path = PROC) -> dict[str, Sign]:
    """Which IPv4 neighbours answered ARP, and which were asked and did not (arp(7))."""
    found = {}
    for fields in _table(proc / "net" / "arp"):
        if len(fields) >= 6:
            complete = int(fields[2], 16) & _COMPLETE
            found[fields[0]] = Sign.REACHABLE if complete else Sign.INCOMPLETE
    return found


def drops(ports: Iterable[int], proc: Path = PROC) -> int | None:
    """Datagrams that found no room in the sockets of any program on these UDP ports."""
    wanted, found = set(ports), None
    for name in ("udp", "udp6"):
        for fields in _table(proc / "net" / name):
            found = found or 0
            if int(fields[1].rpartition(":")[2], 16) in wanted:
                found += int(fields[-1])
    return found


def _table(path: Path) -> list[list[str]]:
    """The rows of one of /proc's tables, without its head; none where there is no such table."""
    try:
        rows = path.read_text().splitlines()[1:]
    except OSError:
        return []
    return [row.split() for row in rows]


def firewall(environment: Mapping[str, str] = os.environ, etc: Path = Path("/etc")) -> str:
    """Which firewall this host has, as in `core.diagnosis.firewalls`; "" when none is seen."""
    known = {"win32": "netsh", "darwin": "macos"}.get(sys.platform)
    if known is not None:
        return known
    try:
        if re.search(r"(?im)^ENABLED=yes", (etc / "ufw" / "ufw.conf").read_text()):
            return "ufw"
    except OSError:
        pass
    if any(process.info["name"] == "firewalld" for process in psutil.process_iter(["name"])):
        return "firewalld"
    path = environment.get("PATH", os.defpath) + _SBIN
    return next((name for name in ("iptables", "nft") if shutil.which(name, path=path)), "")


@attrs.frozen
class Host:
    """What is read of a host before anything is sent."""

    devices: tuple[Device, ...]
    route: Route
    firewall: str


def look(group: str, port: int, used: Sequence[Interface]) -> Host:
    """Read it all: some tens of milliseconds."""
    return Host(devices(used), route_to(group, port), firewall())
