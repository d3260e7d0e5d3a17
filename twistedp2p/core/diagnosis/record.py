"""What a doctor has heard so far: trains of pings, the nodes that answered, who else is here.

A node is told by its key: one that has several addresses is one node, and several nodes of one host
are several. A place is an address where a node ought to be, as long as none has answered there.

All tables that strangers fill have a cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Answers, Loop, Other
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import SAMPLE, Pong
from twistedp2p.core.presence.roster import MAX_PEERS

MAX_LOOKED_AT = 100  # nodes and places, each on its own
MAX_OF_HOST = 8  # nodes
MAX_ADDRESSES = 8  # of one node
MAX_MACHINES = 256  # that are heard by mDNS; that are in a closed group
MAX_VERSIONS = 5  # of the protocol
FEWEST_FILES = 1024  # TCP port: no node's is below


@attrs.define(eq=False)
class Train:
    """Pings sent one way, and the keys of those that answered.

    way: multicast, broadcast, unicast, or afterwards (multicast, later). source: the address that
    they are sent from, "" where the system chooses. place: where they went, if to a place.
    """

    name: str
    way: str
    device: str = ""
    source: str = ""
    loopback: bool = False
    place: Address | None = None
    sent: int = 0
    looped: int = 0
    errno: int = 0  # of the last ping; 0: it went
    _came: dict[bytes, set[int]] = attrs.field(factory=dict)
    _twice: dict[bytes, int] = attrs.field(factory=dict)

    def note_sent(self, errno: int) -> None:
        """A ping was sent, or was refused."""
        self.sent += 1
        self.errno = errno

    def answered(self, key: bytes, number: int) -> None:
        """The node of that key answered; the caller sees to it that these are few."""
        numbers = self._came.setdefault(key, set())
        if number in numbers:
            self._twice[key] = self._twice.get(key, 0) + 1
        numbers.add(number)

    @property
    def in_vain(self) -> bool:
        """Whether nobody at all has answered."""
        return not self._came

    def answers_of(self, key: bytes) -> Answers:
        """What the node of that key answered."""
        came = len(self._came.get(key, ()))
        return Answers(self.sent, came, self._twice.get(key, 0), self.errno)


@attrs.define(eq=False)
class Known:
    """A node, or (without a key) a place: what is looked at."""

    name: str
    addresses: list[Address]  # at the first it was met first
    key: bytes = b""
    files: int | None = None  # TCP port
    heard: bool = False
    outside: str = ""
    within: bool = False  # it was heard by IPv4 from within our masks
    seen_as: str = ""
    ahead: float | None = None  # seconds
    program: str = ""
    cloned: bool = False
    tcp: Sign | None = None
    remembered: bool = False  # of an earlier time: it may well be elsewhere
    train: Train | None = None  # of pings to it alone

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its IP addresses."""
        return tuple(dict.fromkeys(host for host, _ in self.addresses))

    def at(self, address: Address) -> None:
        """It was met at that address."""
        if address not in self.addresses and len(self.addresses) < MAX_ADDRESSES:
            self.addresses.append(address)


class Record:
    """Takes in what is heard, and gives it back as facts."""

    def __init__(self) -> None:
        self._trains: dict[str, Train] = {}
        self.nodes: dict[bytes, Known] = {}
        self.places: dict[Address, Known] = {}
        self.heard_keys: set[bytes] = set()  # by multicast
        self.local: set[bytes] = set()  # keys of nodes on this very host
        self.machines: set[str] = set()
        self.versions: set[str] = set()
        self.closed = 0  # datagrams of a closed group
        self.closed_hosts: set[str] = set()  # that they came from
        self.late = False  # who is new now cannot be looked at any more
        self._answerers: dict[tuple[str, int, bytes], str] = {}

    def begin(self, train: Train) -> Train:
        """From now on pongs of that train count."""
        self._trains[train.name] = train
        return train

    def expect(self, name: str, address: Address, *, remembered: bool = False) -> Known | None:
        """A place that is to be looked at, where it is not yet and there is room for it."""
        known = any(address in each.addresses for each in self.nodes.values())
        if known or address in self.places or self._is_full():
            return None
        place = Known(name, [address], remembered=remembered)
        self.places[address] = place
        return place

    def meet(self, key: bytes, nick: str, address: Address) -> Known | None:
        """The node of that key, which spoke from that address; None: there is no room for it."""
        node = self.nodes.get(key)
        if node is None:
            others = sum(address[0] in each.hosts for each in self.nodes.values())
            if others >= MAX_OF_HOST or self._is_full():
                return None
            node = self.nodes[key] = Known(nick or address[0], [], key)
        node.at(address)
        node.name = nick or node.name
        return node

    def _is_full(self) -> bool:
        return self.late or len(self.nodes) + len(self.places) >= MAX_LOOKED_AT

    def looped(self, train: str) -> None:
        """A ping of ours came back by the group."""
        if train in self._trains:
            self._trains[train].looped += 1

    def sealed(self, host: str) -> None:
        """A datagram of a closed group came from that host, and could not be opened."""
        self.closed += 1
        if len(self.closed_hosts) < MAX_MACHINES:
            self.closed_hosts.add(host)

    def is_here(self, key: bytes) -> None:
        """The node of that key runs on this very host."""
        if len(self.local) < MAX_PEERS:
            self.local.add(key)

    def heard(
        self, key: bytes, nick: str, address: Address, outside: bool, files: int
    ) -> Known | None:
        """A node was heard by multicast; it, if there is room. files: of its beacon, or 0."""
        if len(self.heard_keys) < MAX_PEERS:
            self.heard_keys.add(key)
        node = self.meet(key, nick, address)
        if node is not None:
            node.heard = True
            node.outside = node.outside or (address[0] if outside else "")
            node.within = node.within or not (outside or ":" in address[0])
            _note_files(node, files or None)
        return node

    def answered(
        self, key: bytes, nick: str, address: Address, pong: Pong, wall: float
    ) -> Known | None:
        """A pong came; the node that it is of, if there is room for it.

        One of a train that is not ours is nothing. wall: the time of day, seconds since 1970.
        """
        train = self._trains.get(pong.train)
        node = self.meet(key, nick, address) if train is not None else None
        if train is None or node is None:
            return None
        train.answered(key, pong.number)
        if train.place is not None:  # it may answer from another of its addresses
            node.at(train.place)
        node.ahead = None if pong.time is None else pong.time / 1000 - wall
        node.program = pong.program
        if train.source and pong.seen != train.source:
            node.seen_as = pong.seen
        _note_files(node, pong.files)
        # A node answers each ping once, whichever way it heard it: who answers again from elsewhere
        # is another node with its key.
        answer = pong.train, pong.number, key
        if self._answerers.setdefault(answer, address[0]) != address[0]:
            node.cloned = True
        if len(self._answerers) > MAX_LOOKED_AT * 100:
            self._answerers.clear()
        return node

    def loops(self) -> tuple[Loop, ...]:
        """What was heard of ourselves, on each interface."""
        return tuple(
            Loop(train.device, train.sent, train.looped, train.errno, train.loopback, train.source)
            for train in self._trains.values()
            if train.way == "multicast"
        )

    def others(self, arp: Mapping[str, Sign]) -> tuple[Other, ...]:
        """All nodes, and the places of hosts where there is none. arp: of neighbours, what the
        system knows of them.

        A place that is only remembered says something where nobody else is known.
        """
        met = {host for node in self.nodes.values() for host in node.hosts}
        places = [each for each in self.places.values() if met.isdisjoint(each.hosts)]
        sure = [*self.nodes.values(), *(each for each in places if not each.remembered)]
        return tuple(self._other(known, arp) for known in sure or places)

    def _other(self, known: Known, arp: Mapping[str, Sign]) -> Other:
        multicast = self._best(known, "multicast")
        if len(self.heard_keys) > SAMPLE and not multicast.answered:
            multicast = Answers()  # not all of a crowd answer
        afterwards = self._best(known, "afterwards")
        return Other(
            name=known.name,
            hosts=known.hosts,
            heard=known.heard,
            multicast=multicast,
            broadcast=self._best(known, "broadcast"),
            unicast=self._unicast(known),
            tcp=known.tcp,
            arp=_best_arp(arp.get(host) for host in known.hosts),
            outside="" if known.within else known.outside,
            seen_as=known.seen_as,
            ahead=known.ahead,
            program=known.program,
            cloned=known.cloned,
            afterwards=afterwards if afterwards.sent else None,
            closed=not self.closed_hosts.isdisjoint(known.hosts),
        )

    def _best(self, known: Known, way: str) -> Answers:
        """Of the trains that went this way: one interface leads to a node, others need not."""
        trains = [train for train in self._trains.values() if train.way == way]
        return _most([train.answers_of(known.key) for train in trains])

    def _unicast(self, known: Known) -> Answers:
        """Of the pings to it alone, and of those to a place where it turned out to be."""
        own = Answers() if known.train is None else known.train.answers_of(known.key)
        return _most([own, self._best(known, "unicast")])


def _note_files(node: Known, files: int | None) -> None:
    if files is not None and (files == 0 or files >= FEWEST_FILES):
        node.files = files


def _most(several: Iterable[Answers]) -> Answers:
    return max(several, key=lambda answers: answers.answered, default=Answers())


def _best_arp(signs: Iterable[Sign | None]) -> Sign | None:
    found = set(signs)
    return next((sign for sign in (Sign.REACHABLE, Sign.INCOMPLETE) if sign in found), None)
