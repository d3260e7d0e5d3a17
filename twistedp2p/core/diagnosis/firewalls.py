"""The very line that opens each firewall for a group: what comes in, and what goes out.

`{first}` and `{last}` are the UDP ports; files are on TCP port `{last}`. Where IPv4 and IPv6 have
rules of their own, `{iptables}` and `{family}` say which; the other lines open both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

INWARD = {
    "ufw": "sudo ufw allow {first}:{last}/udp && sudo ufw allow {last}/tcp",
    "firewalld": "sudo firewall-cmd --permanent --add-port={first}-{last}/udp"
    " --add-port={last}/tcp && sudo firewall-cmd --reload",
    "iptables": "sudo {iptables} -I INPUT -p udp --dport {first}:{last} -j ACCEPT"
    " && sudo {iptables} -I INPUT -p tcp --dport {last} -j ACCEPT",
    "nft": "sudo nft insert rule inet filter input udp dport {first}-{last} accept"
    " && sudo nft insert rule inet filter input tcp dport {last} accept",
    "netsh": "netsh advfirewall firewall add rule name=p2pshare dir=in action=allow protocol=UDP"
    " localport={first}-{last}",
    "macos": 'sudo /usr/libexec/ApplicationFirewall/socketfilterfw --unblockapp "$(which python3)"',
}
OUTWARD = {
    "ufw": "sudo ufw allow out proto udp to any port {first}:{last}",
    "firewalld": "sudo firewall-cmd --permanent --direct --add-rule {family} filter OUTPUT 0 -p udp"
    " --dport {first}:{last} -j ACCEPT && sudo firewall-cmd --reload",
    "iptables": "sudo {iptables} -I OUTPUT -p udp --dport {first}:{last} -j ACCEPT",
    "nft": "sudo nft insert rule inet filter output udp dport {first}-{last} accept",
    "netsh": "netsh advfirewall firewall add rule name=p2pshare dir=out action=allow protocol=UDP"
    " remoteport={first}-{last}",
    "macos": "sudo pfctl -s rules",
}
USUAL = "iptables"
"""Whose lines work on most hosts where none is known."""


_IPV4 = {"iptables": "iptables", "family": "ipv4"}
_IPV6 = {"iptables": "ip6tables", "family": "ipv6"}


def open_inward(firewall: str, port: int, hosts: Iterable[str] = ()) -> str:
    """The line that lets the group in on ports `port` and `port` + 1.

    hosts: addresses that are shut; none: IPv4 ones.
    """
    return _line(INWARD, firewall, port, hosts)


def open_outward(firewall: str, port: int, hosts: Iterable[str] = ()) -> str:
    """The line that lets the group's datagrams out; `hosts` as of `open_inward`."""
    return _line(OUTWARD, firewall, port, hosts)


def _line(lines: Mapping[str, str], firewall: str, port: int, hosts: Iterable[str]) -> str:
    line = lines.get(firewall, lines[USUAL])
    ipv6 = {host.count(":") > 1 for host in hosts}  # one colon parts an IPv4 address from its port
    families = [_IPV6 if each else _IPV4 for each in sorted(ipv6 or {False})]
    told = [line.format(first=port, last=port + 1, **family) for family in families]
    return " && ".join(dict.fromkeys(told))
