"""The situations in which nodes are to find each other, or the doctor is to say why they cannot.

One table for the test (`test_situations`) and for users (docs/discovery.md):

    python -m tests.lan.situations                   visits all, and prints what was measured
    python -m tests.lan.situations vpn own_firewall  these only
    python -m tests.lan.situations --record docs/discovery.md     all, into the table there
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import attrs

from tests.lan.netns import Lan

Change = Callable[[Lan], None]
GROUPS = (("IPv4", "--ip-destination", "224.0.0.0/4"), ("IPv6", "--ip6-destination", "ff12::/16"))
MDNS = "224.0.0.251"
IPV4_ONLY = {"ipv6": False}
ROUTER = {"default_route": True}


@attrs.frozen(kw_only=True)
class Situation:
    """A network of two hosts: `one`, in namespace 0, where the doctor is asked, and `other`.

    key: its name. what: what it is, and advice: what to do, for users to read. cause: what the
    doctor says. build: makes it so before any node runs. change: happens while both nodes run, who
    met before it where `met_before`; the doctor is asked after it. meet: packets can pass, so the
    nodes must find each other; where not, `sees_none` is the name of who sees nobody. files: TCP
    can pass. refused: what a node says that does not even start. options: of `one`. peer: the
    address of `other`, "" for the usual one. listens: the doctor does so for long. lan: as `Lan`.
    """

    key: str
    what: str
    cause: str
    advice: str = ""
    build: Change = lambda lan: None
    change: Change | None = None
    met_before: bool = False
    meet: bool = True
    sees_none: str = "one"
    files: bool = True
    refused: str = ""
    options: tuple[str, ...] = ()
    peer: str = ""
    listens: bool = False
    lan: Mapping[str, bool] = attrs.field(factory=dict)


def two_cables(lan: Lan) -> None:
    for ns in range(2):
        lan.plug(ns, "eth1", f"10.77.0.{101 + ns}/24")


def vpn(lan: Lan) -> None:
    for ns in range(2):
        lan.tunnel(ns, "tun0", f"10.99.{ns}.2/24", "0.0.0.0/1", "128.0.0.0/1")


def no_cable(lan: Lan) -> None:
    lan.unplug(0)


def cable(lan: Lan) -> None:
    lan.plug(0, "eth0", "10.77.0.1/24")


def new_cable(lan: Lan) -> None:
    no_cable(lan)
    cable(lan)


def new_address(lan: Lan) -> None:
    lan.remove_address(0, "10.77.0.1/24")
    lan.add_address(0, "10.77.0.99/24")


def no_multicast(lan: Lan) -> None:
    """As a switch does that knows no querier: what keeps IPv6 going passes, and mDNS."""
    lan.switch("-p", "IPv4", "--ip-destination", MDNS, "-j", "ACCEPT")
    for family, option, group in GROUPS:
        lan.switch("-p", family, option, group, "-j", "DROP")


def mdns_only(lan: Lan) -> None:
    no_multicast(lan)
    lan.switch("-d", "Broadcast", "-p", "IPv4", "-j", "DROP")


def unicast_only(lan: Lan) -> None:
    lan.switch("-p", "IPv4", "--ip-destination", MDNS, "-j", "DROP")
    mdns_only(lan)


def one_way(lan: Lan) -> None:
    """Multicast reaches `other`, and none comes back."""
    for family, option, group in GROUPS:
        lan.switch("-o", "port0", "-p", family, option, group, "-j", "DROP")


def isolation(lan: Lan) -> None:
    for ns in range(2):
        lan.port(ns, "isolated", "on")


def close_inward(lan: Lan, ns: int) -> None:
    """As a firewall that was switched on and not told more: nothing but answers comes in."""
    lan.firewall(ns, "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
    lan.firewall(ns, "-A", "INPUT", "-p", "icmp", "-j", "ACCEPT")
    state = ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED")
    lan.firewall(ns, "-A", "INPUT", *state, "-j", "ACCEPT")
    lan.firewall(ns, "-A", "INPUT", "-j", "DROP")


def own_firewall(lan: Lan) -> None:
    close_inward(lan, 0)


def peer_firewall(lan: Lan) -> None:
    close_inward(lan, 1)


def outgoing_rule(lan: Lan) -> None:
    for name, groups in (("iptables", "224.0.0.0/4"), ("ip6tables", "ff12::/16")):
        lan.run(0, [name, "-w", "-A", "OUTPUT", "-d", groups, "-j", "DROP"])


def routed(lan: Lan) -> None:
    lan.bridge_more("br1")
    lan.unplug(1)
    lan.plug(1, "eth0", "10.78.0.2/24", bridge="br1")
    lan.router(0, "10.77.0.254/24")
    lan.router(1, "10.78.0.254/24", "br1")


def wrong_mask(lan: Lan) -> None:
    lan.remove_address(1, "10.77.0.2/24")
    lan.add_address(1, "10.77.5.2/16")


def loss(lan: Lan) -> None:
    for ns in range(2):
        chance = ("-m", "statistic", "--mode", "random", "--probability", "0.4")
        lan.firewall(ns, "-A", "INPUT", "-i", "eth0", "-p", "udp", *chance, "-j", "DROP")


HOLD = """
import socket, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
sock = socket.socket(socket.AF_INET, kind)
sock.bind(("", 9393))
kind == socket.SOCK_STREAM and sock.listen()
print("held", flush=True)
sys.stdin.read()
"""


def hold(lan: Lan, kind: str) -> None:
    """Another program has port P+1 of `one`."""
    holder = lan.popen(0, [sys.executable, "-c", HOLD, kind])
    assert holder.stdout is not None
    holder.stdout.readline()


def udp_taken(lan: Lan) -> None:
    hold(lan, "udp")


def tcp_taken(lan: Lan) -> None:
    hold(lan, "tcp")


SITUATIONS = (
    Situation(
        key="plain",
        what="an ordinary network with a router",
        cause="fine",
        lan=ROUTER,
    ),
    Situation(
        key="no_route",
        what="no default route: no router, no internet",
        cause="fine",
    ),
    Situation(
        key="two_interfaces",
        what="both machines twice on one network: cable and Wi-Fi",
        cause="fine",
        build=two_cables,
    ),
    Situation(
        key="vpn",
        what="a VPN that takes all routes (0.0.0.0/1 and 128.0.0.0/1)",
        cause="fine",
        build=vpn,
        lan=ROUTER,
    ),
    Situation(
        key="later",
        what="the network comes when the node runs already",
        cause="fine",
        build=no_cable,
        change=cable,
    ),
    Situation(
        key="made_anew",
        what="the interface goes and comes back (a dock, a USB adapter, sleep)",
        cause="fine",
        change=new_cable,
        met_before=True,
    ),
    Situation(
        key="new_address",
        what="the machine gets another address",
        cause="fine",
        change=new_address,
        met_before=True,
        lan=IPV4_ONLY,
    ),
    Situation(
        key="ipv6_only",
        what="IPv6 alone, with nothing but link-local addresses",
        cause="fine",
        lan={"ipv4": False},
    ),
    Situation(
        key="loss",
        what="40 % of all datagrams are lost at each machine",
        cause="see_checks",
        advice="come nearer to the access point, or use a cable",
        build=loss,
    ),
    Situation(
        key="multicast_filtered",
        what="multicast is filtered, but mDNS",
        cause="multicast_filtered",
        advice="nothing needed; to have multicast, IGMP snooping off, or with a querier",
        build=no_multicast,
    ),
    Situation(
        key="mdns_only",
        what="multicast but mDNS is filtered, and broadcast too",
        cause="multicast_filtered",
        advice="nothing needed",
        build=mdns_only,
    ),
    Situation(
        key="unicast_only",
        what="all multicast and broadcast is filtered; `--peer` is given",
        cause="multicast_filtered",
        advice="`--peer` on one of two; later their addresses are known",
        build=unicast_only,
        options=("--peer", "10.77.0.2"),
    ),
    Situation(
        key="one_way",
        what="multicast passes in one direction only",
        cause="see_checks",
        advice="nothing needed; see check 5",
        build=one_way,
        listens=True,
    ),
    Situation(
        key="routed",
        what="two networks with a router between them; `--peer` is given",
        cause="other_network",
        advice="`--peer` on one node of one of the networks",
        build=routed,
        options=("--peer", "10.78.0.2"),
        peer="10.78.0.2",
        lan=IPV4_ONLY,
    ),
    Situation(
        key="wrong_mask",
        what="a wrong network mask, and no IPv6: chat passes, files do not",
        cause="wrong_mask",
        advice="the same mask for all",
        build=wrong_mask,
        files=False,
        peer="10.77.5.2",
        listens=True,
        lan=IPV4_ONLY,
    ),
    Situation(
        key="outgoing_rule",
        what="a firewall rule forbids this machine to send multicast",
        cause="outgoing_rule",
        advice="nothing needed; the line of check 3 mends it",
        build=outgoing_rule,
    ),
    Situation(
        key="file_port_taken",
        what="another program has TCP port 9393",
        cause="fine",
        build=tcp_taken,
    ),
    Situation(
        key="own_firewall",
        what="the firewall of this machine drops what comes in",
        cause="own_firewall",
        advice="the line of check 3",
        build=own_firewall,
        meet=False,
    ),
    Situation(
        key="peer_firewall",
        what="the firewall of the other machine drops what comes in",
        cause="peer_firewall",
        advice="the line that the doctor shows, there",
        build=peer_firewall,
        meet=False,
        sees_none="other",
    ),
    Situation(
        key="client_isolation",
        what="the Wi-Fi keeps its clients apart (guest network, AP isolation)",
        cause="client_isolation",
        advice="switch that off, or take another network, a cable, a hotspot",
        build=isolation,
        meet=False,
    ),
    Situation(
        key="port_taken",
        what="another program has UDP port 9393",
        cause="port_taken",
        advice="end it, or another `--port` for all",
        build=udp_taken,
        meet=False,
        refused="9393",
    ),
    Situation(
        key="no_network",
        what="no network at all",
        cause="no_network",
        advice="a cable, or Wi-Fi",
        build=no_cable,
        meet=False,
    ),
)


if __name__ == "__main__":
    from tests.lan.visits import main

    main(sys.argv[1:])
