"""What a doctor has heard so far: trains of pings, the hosts that answered, who else is here.

All tables that strangers fill have a cap.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Answers, Loop, Other
from twistedp2p.core.presence.ping import SAMPLE, Pong
from twistedp2p.core.presence.roster import MAX_PEERS, Address

MAX_HOSTS = 100  # looked at on their own
MAX_MACHINES = 256  # that are heard by mDNS
MAX_VERSIONS = 5  # of the protocol
FEWEST_FILES = 1024  # TCP port: no node's is below


@attrs.define
class Train:
    """Pings sent one way, and what came back of them, from each host.

    way: multicast, broadcast, unicast, or afterwards (multicast, later). source: the address that
    they are sent from, "" where the system chooses.
    """

    name: str
    way: str
    device: str = ""
    source: str = ""
    loopback: bool = False
    sent: int = 0
    looped: int = 0
    errno: int = 0  # of the last refusal
    _came: dict[str, set[int]] = attrs.field(factory=dict)
    _twice: dict[str, int] = attrs.field(factory=dict)

    def note_sent(self, errno: int) -> None:
        """A ping was sent, or was refused."""
        self.sent += 1
        self.errno = errno

    def answered(self, host: str, number: int) -> None:
        """That host answered; of at most `MAX_HOSTS` hosts it is counted."""
        if host not in self._came and len(self._came) >= MAX_HOSTS:
            return
        numbers = self._came.setdefault(host, set())
        if number in numbers:
            self._twice[host] = self._twice.get(host, 0) + 1
        numbers.add(number)

    def answers_of(self, host: str) -> Answers:
        """What that host answered."""
        came = len(self._came.get(host, ()))
        return Answers(self.sent, came, self._twice.get(host, 0), self.errno)


@attrs.define
class Known:
    """A host that has, or ought to have, a node."""

    name: str
    address: Address  # where pings to it alone go
    files: int | None = None  # TCP port
    heard: bool = False
    outside: str = ""
    seen_as: str = ""
    ahead: float | None = None  # seconds
    program: str = ""
    cloned: bool = False
    tcp: Sign | None = None
    remembered: bool = False  # of an earlier time: it may well be elsewhere

    @property
    def host(self) -> str:
        """Its IP address."""
        return self.address[0]


class Record:
    """Takes in what is heard, and gives it back as facts."""

    def __init__(self) -> None:
        self._trains: dict[str, Train] = {}
        self.hosts: dict[str, Known] = {}
        self._hosts_of: dict[bytes, Known] = {}  # by a node's key
        self.nodes: set[bytes] = set()  # keys heard by multicast
        self.local = False  # a node runs on this very host
        self.machines: set[str] = set()
        self.versions: set[str] = set()
        self.closed = 0  # datagrams of a closed group
        self._answerers: dict[tuple[str, int, bytes], str] = {}

    def begin(self, train: Train) -> Train:
        """From now on pongs of that train count."""
        self._trains[train.name] = train
        return train

    def expect(self, name: str, address: Address, *, remembered: bool = False) -> Known | None:
        """A host that is to be looked at, where it is not yet and there is room for it."""
        if address[0] in self.hosts or len(self.hosts) >= MAX_HOSTS:
            return None
        known = Known(name, address, remembered=remembered)
        self.hosts[address[0]] = known
        return known

    def known(self, key: bytes, host: str) -> Known | None:
        """The host that is looked at of a node that was heard from there.

        One that was heard from another address before is the same: it has two interfaces, or both
        families.
        """
        known, first = self.hosts.get(host), self._hosts_of.get(key)
        if known is None:
            return first
        if known.remembered and first is not None and first is not known:
            del self.hosts[host]  # another address of a node that is looked at already
            return first
        if len(self._hosts_of) < MAX_PEERS:
            self._hosts_of.setdefault(key, known)
        return known

    def looped(self, train: str) -> None:
        """A ping of ours came back by the group."""
        if train in self._trains:
            self._trains[train].looped += 1

    def heard(self, key: bytes, nick: str, address: Address, outside: bool, files: int) -> None:
        """A node was heard by multicast. files: the TCP port of its beacon, or 0."""
        if len(self.nodes) < MAX_PEERS:
            self.nodes.add(key)
        known = self.known(key, address[0])
        if known is not None:
            known.heard = True
            known.outside = known.outside or (address[0] if outside else "")
            self._note(known, nick, address, files or None)

    def answered(self, key: bytes, nick: str, address: Address, pong: Pong, ahead: float) -> None:
        """A pong came; one of a train that is not ours is nothing."""
        train, known = self._trains.get(pong.train), self.known(key, address[0])
        if train is None or known is None:
            return
        train.answered(known.host, pong.number)
        known.ahead, known.program = ahead, pong.program
        if train.source and pong.seen != train.source:
            known.seen_as = pong.seen
        self._note(known, nick, address, pong.files)
        # A node answers each ping once, whichever way it heard it: who answers again from elsewhere
        # is another node with its key.
        answer = pong.train, pong.number, key
        if self._answerers.setdefault(answer, address[0]) != address[0]:
            known.cloned = True
        if len(self._answerers) > MAX_HOSTS * 100:
            self._answerers.clear()

    def _note(self, known: Known, nick: str, address: Address, files: int | None) -> None:
        known.name = nick or known.name
        if address[0] == known.host:
            known.address = address
        if files is not None and (files == 0 or files >= FEWEST_FILES):
            known.files = files

    def loops(self) -> tuple[Loop, ...]:
        """What was heard of ourselves, on each interface."""
        return tuple(
            Loop(train.device, train.sent, train.looped, train.errno, train.loopback)
            for train in self._trains.values()
            if train.way == "multicast"
        )

    def others(self, arp: Mapping[str, Sign]) -> tuple[Other, ...]:
        """All hosts. arp: of neighbours, what the system knows of them.

        One that is only remembered and does not answer says something where nobody else is known.
        """
        every = [(known, self._other(known, arp)) for known in self.hosts.values()]
        sure = [other for known, other in every if not known.remembered or other.answers]
        return tuple(sure or [other for _, other in every])

    def _other(self, known: Known, arp: Mapping[str, Sign]) -> Other:
        multicast = self._best(known.host, "multicast")
        if len(self.nodes) > SAMPLE and not multicast.answered:
            multicast = Answers()  # not all of a crowd answer
        afterwards = self._best(known.host, "afterwards")
        return Other(
            name=known.name,
            host=known.host,
            heard=known.heard,
            multicast=multicast,
            broadcast=self._best(known.host, "broadcast"),
            unicast=self._best(known.host, "unicast"),
            tcp=known.tcp,
            arp=arp.get(known.host),
            outside=known.outside,
            seen_as=known.seen_as,
            ahead=known.ahead,
            program=known.program,
            cloned=known.cloned,
            afterwards=afterwards if afterwards.sent else None,
        )

    def _best(self, host: str, way: str) -> Answers:
        """Of the trains that went this way: one interface leads to a host, others need not."""
        trains = [train.answers_of(host) for train in self._trains.values() if train.way == way]
        return max(trains, key=lambda answers: answers.answered, default=Answers())
