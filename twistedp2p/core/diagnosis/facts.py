"""What a doctor measures of a network: values that `diagnosis` judges. None: not looked at."""

from __future__ import annotations

import attrs

from twistedp2p.core.diagnosis.conditions import Sign, Signs
from twistedp2p.core.errors import Words


@attrs.frozen
class Device:
    """A network interface. `why` says why the group does not use it; "" where it does."""

    name: str
    addresses: tuple[str, ...]  # with the length of the mask: 10.0.0.1/24
    mtu: int  # bytes
    why: str = ""
    loopback: bool = False


@attrs.frozen
class Route:
    """Where the system itself would send to the group: what a script that names nothing gets."""

    device: str  # "" where there is no route
    tunnel: bool = False  # a VPN, mostly


@attrs.frozen
class Trial:
    """Something that a node needs of the system, and its refusal, None where it was had."""

    what: str
    refusal: Words | None = None
    needed: bool = True  # False: a node goes on without it
    join: bool = False  # of the group, on one interface


@attrs.frozen
class Loop:
    """What was sent to the group on an interface, and what of it this host heard again."""

    device: str
    sent: int  # datagrams
    looped: int  # datagrams
    errno: int = 0  # of the system's refusal of the last one; 0: it went
    loopback: bool = False
    source: str = ""  # the address that it was sent from

    @property
    def sign(self) -> Sign:
        """The sign for the table of conditions."""
        if self.looped:
            return Sign.OK
        return Sign.REFUSED if self.errno else Sign.NO


@attrs.frozen
class Oneself:
    """Whether the host reached itself over one of its addresses on the network."""

    address: str
    udp: bool
    tcp: bool


@attrs.frozen
class Listened:
    """Who was heard by multicast, without our asking."""

    seconds: float
    nodes: int  # of the group, other hosts' ones only
    machines: int  # that were heard by mDNS
    local: int  # nodes on this very host


@attrs.frozen
class Answers:
    """Pings of one way, and who answered."""

    sent: int = 0
    answered: int = 0
    twice: int = 0  # pongs that came again
    errno: int = 0  # of the system's refusal of the last one; 0: it went

    @property
    def sign(self) -> Sign | None:
        """The sign for the table of conditions."""
        if self.errno and not self.answered:
            return Sign.REFUSED
        if not self.sent:
            return None
        return Sign.OK if self.answered else Sign.NO

    @property
    def loss(self) -> float:
        """The share of pings without a pong, 0 to 1: lost there or back."""
        return 1 - self.answered / self.sent if self.sent else 0.0


@attrs.frozen
class Other:
    """Another node, or a host where there ought to be one."""

    name: str  # its nick, or its address
    hosts: tuple[str, ...]  # its addresses, of which one that answers is enough
    heard: bool = False  # by multicast, without our asking
    multicast: Answers = Answers()
    broadcast: Answers = Answers()
    unicast: Answers = Answers()
    tcp: Sign | None = None
    arp: Sign | None = None
    outside: str = ""  # its address, where that is on our link, but within none of our masks
    far: bool = False  # on none of our networks: beyond a router, or in a VPN
    seen_as: str = ""  # the address by which it saw us, where that is not ours
    ahead: float | None = None  # seconds that its clock is ahead of ours
    program: str = ""  # its version
    cloned: bool = False  # two hosts answered with its key
    afterwards: Answers | None = None  # by multicast, after the memory of switches has run out
    closed: bool = False  # datagrams of a closed group came from it that could not be opened

    @property
    def silent(self) -> bool:
        """Whether nothing of our group was heard of it, asked or not."""
        ways = (self.multicast, self.broadcast, self.unicast)
        return not (self.heard or any(answers.answered for answers in ways))

    def signs(self, loop: Sign | None) -> Signs:
        """Its row for the table of conditions; `loop` is that of our own host."""
        multicast, broadcast, unicast = (
            answers.sign for answers in (self.multicast, self.broadcast, self.unicast)
        )
        return Signs(loop, multicast, broadcast, unicast, self.tcp, self.arp)


@attrs.frozen
class Buffers:
    """How the system keeps datagrams until a node reads them."""

    asked: int  # bytes
    granted: int  # bytes
    dropped: int  # datagrams that found no room, of the sockets on the group's ports


@attrs.frozen
class Facts:
    """All that was measured."""

    group: str
    port: int
    devices: tuple[Device, ...] = ()
    asked_for: bool = False  # the interfaces were named by the user
    route: Route | None = None
    trials: tuple[Trial, ...] = ()
    loops: tuple[Loop, ...] = ()
    oneself: tuple[Oneself, ...] = ()
    listened: Listened | None = None
    others: tuple[Other, ...] = ()
    aged: bool = False  # `Other.afterwards` was measured
    versions: tuple[str, ...] = ()  # of the protocol, other than ours, that were heard
    buffers: Buffers | None = None
    firewall: str = ""  # which one this host has, as in `firewalls.LINES`
    closed: int = 0  # datagrams of a closed group that could not be opened

    @property
    def loop(self) -> Sign | None:
        """The sign of the self-loop: that of real interfaces where there are any, the worst."""
        real = [loop for loop in self.loops if not loop.loopback] or list(self.loops)
        signs = [loop.sign for loop in real]
        if Sign.OK in signs:
            return Sign.OK
        return next((sign for sign in (Sign.REFUSED, Sign.NO) if sign in signs), None)
