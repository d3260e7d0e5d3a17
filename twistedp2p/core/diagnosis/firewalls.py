"""The very line that opens each firewall for a group: what comes in, and what goes out.

`{first}` and `{last}` are the UDP ports; files are on TCP port `{last}`.
"""

from __future__ import annotations

INWARD = {
    "ufw": "sudo ufw allow {first}:{last}/udp && sudo ufw allow {last}/tcp",
    "firewalld": "sudo firewall-cmd --permanent --add-port={first}-{last}/udp"
    " --add-port={last}/tcp && sudo firewall-cmd --reload",
    "iptables": "sudo iptables -I INPUT -p udp --dport {first}:{last} -j ACCEPT"
    " && sudo iptables -I INPUT -p tcp --dport {last} -j ACCEPT",
    "nft": "sudo nft insert rule inet filter input udp dport {first}-{last} accept"
    " && sudo nft insert rule inet filter input tcp dport {last} accept",
    "netsh": "netsh advfirewall firewall add rule name=p2pshare dir=in action=allow protocol=UDP"
    " localport={first}-{last}",
    "macos": 'sudo /usr/libexec/ApplicationFirewall/socketfilterfw --unblockapp "$(which python3)"',
}
OUTWARD = {
    "ufw": "sudo ufw allow out proto udp to any port {first}:{last}",
    "firewalld": "sudo firewall-cmd --permanent --direct --add-rule ipv4 filter OUTPUT 0 -p udp"
    " --dport {first}:{last} -j ACCEPT && sudo firewall-cmd --reload",
    "iptables": "sudo iptables -I OUTPUT -p udp --dport {first}:{last} -j ACCEPT",
    "nft": "sudo nft insert rule inet filter output udp dport {first}-{last} accept",
    "netsh": "netsh advfirewall firewall add rule name=p2pshare dir=out action=allow protocol=UDP"
    " remoteport={first}-{last}",
    "macos": "sudo pfctl -s rules",
}
USUAL = "iptables"
"""Whose lines work on most hosts where none is known."""


def open_inward(firewall: str, port: int) -> str:
    """The line that lets the group in on ports `port` and `port` + 1."""
    return INWARD.get(firewall, INWARD[USUAL]).format(first=port, last=port + 1)


def open_outward(firewall: str, port: int) -> str:
    """The line that lets the group's datagrams out."""
    return OUTWARD.get(firewall, OUTWARD[USUAL]).format(first=port, last=port + 1)
