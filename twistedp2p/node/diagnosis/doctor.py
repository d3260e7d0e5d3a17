"""The doctor: looks for what keeps nodes from each other, with sockets and a key of its own.

It sends pings and nothing else, so it is never taken for a node, and runs beside one or alone::

    0 s       reads what the host tells; tries the sockets that a node needs
    0 to 2 s  a train of 20 pings to the group, a few by broadcast; asks mDNS who is there
    to 10 s   listens; each node that is heard or answers, and each place that was named, is looked
              at on its own: 5 pings by unicast (15 if in vain), to all its addresses in turn, then
              a knock at its file port (7 s at most)
    260 s     with `long`: another train, once switches have forgotten who listens
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.closed import Envelope, OpenEnvelope, is_sealed
from twistedp2p.core.datagrams.datagram import (
    BadDatagram,
    Signed,
    Signer,
    group_name,
    parse,
    verify,
)
from twistedp2p.core.diagnosis import CHECKS, Diagnosis, diagnose
from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Buffers, Facts, Listened, Oneself, Other
from twistedp2p.core.diagnosis.findings import Finding
from twistedp2p.core.diagnosis.record import (
    MAX_MACHINES,
    MAX_VERSIONS,
    Known,
    Record,
    Train,
)
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import TRAIN_LENGTH, Ping, Pong, where
from twistedp2p.net.group import ADDRESS_BURST, ADDRESS_RATE, ALL_BURST, ALL_RATE
from twistedp2p.net.host import Host, drops, look, neighbours
from twistedp2p.net.interfaces import Interface
from twistedp2p.net.probe import MDNS_SERVICE, Mouth, Probe, knock
from twistedp2p.net.sockets import RECEIVER_BUFFER

BETWEEN_PINGS = 0.1  # seconds, in the train to the group
FEW = 5  # pings by broadcast; to one host
FEW_IN_VAIN = 15  # pings to one host that answers none: two in three may be lost
BETWEEN_FEW = 0.2  # seconds
ANSWERS_WAIT = 1.0  # seconds after the last ping
KNOCK_PATIENCE = 3.0  # seconds
LISTEN, LISTEN_QUICKLY = 10.0, 3.0  # seconds: a small group's beacons come within 7.5
AGEING = 260.0  # seconds: what switches remember by default (RFC 3376, section 8.4)
_OTHER_VERSION = re.compile(rb"~p2pshare/(?!1 )(\d{1,4}) [^\n]*\Z")

_TCP_BEST_FIRST = (Sign.OK, Sign.REFUSED, Sign.TIMEOUT)

_log = Logger()


@attrs.frozen
class Plan:
    """What to look at, and for how long."""

    group: str
    port: int
    ttl: int = 1
    peers: Sequence[tuple[str, Address]] = ()  # what ought to be a node: its name, its UDP port
    remembered: Sequence[str] = ()  # hosts of earlier times, which may be elsewhere
    envelope: Envelope | None = None  # of a closed group; None: of the open one
    asked_for: bool = False  # the interfaces were named by the user
    own: bytes = b""  # the key of the node that asks
    listen: float = LISTEN  # seconds
    long: bool = False


class Doctor:
    """One examination. `wall` is the time of day in seconds since 1970."""

    def __init__(
        self,
        reactor: Any,
        plan: Plan,
        interfaces: Sequence[Interface],
        *,
        wall: Callable[[], float],
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._reactor = reactor
        self._plan = plan
        self._interfaces = interfaces
        self._wall = wall
        self._in_thread = in_thread
        self._envelope = plan.envelope or OpenEnvelope(group_name(plan.group, plan.port))
        self._signer = Signer(Ed25519PrivateKey.generate(), self._envelope.group)
        self._number = 0
        self._record = Record()
        self._probe = Probe(reactor, plan.group, plan.port, plan.ttl, self)
        self._looking: list[Deferred[None]] = []
        self._told: list[str] = []
        self._addresses: Buckets[str] = Buckets(ADDRESS_RATE, ADDRESS_BURST)
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, reactor.seconds())
        self._facts = Facts(plan.group, plan.port, asked_for=plan.asked_for)

    async def examine(self, told: Callable[[Finding], object]) -> Diagnosis:
        """Look at everything; `told` is called with each finding as soon as it is certain.

        Takes `plan.listen` seconds and 7 more at most; with `plan.long`, five minutes. Cancelling
        ends it and lets go of its sockets.
        """
        plan = self._plan
        try:
            host = await self._in_thread(look, plan.group, plan.port, self._interfaces)
            self._take_host(host)
            self._tell(told, "interfaces", "ports")
            began = self._reactor.seconds()
            for name, address in plan.peers:
                self._look_for(name, address)
            for host in plan.remembered:
                self._look_for(host, (host, plan.port + 1), remembered=True)
            await self._send_trains()
            await self._reach_oneself()
            self._tell(told, "loop", "oneself")
            await self._wait(began + plan.listen - self._reactor.seconds())
            listened = self._reactor.seconds() - began
            self._record.late = True
            await gatherResults(self._looking)
            self._take_heard(listened)
            if plan.long:
                await self._look_again(began)
        finally:
            for looking in self._looking:
                looking.cancel()
            await self._probe.close()
        self._tell(told, *[name for name in CHECKS if name not in self._told])
        return diagnose(self._facts)

    def _tell(self, told: Callable[[Finding], object], *names: str) -> None:
        for name in names:
            self._told.append(name)
            told(CHECKS[name](self._facts))

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, max(0.0, seconds))

    # -- the host itself

    def _take_host(self, host: Host) -> None:
        self._probe.open(self._interfaces)
        self._facts = attrs.evolve(
            self._facts,
            devices=host.devices,
            route=host.route,
            firewall=host.firewall,
            trials=tuple(self._probe.trials),
        )

    async def _reach_oneself(self) -> None:
        reached: list[Oneself] = []
        for mouth in self._real_mouths():
            reached.append(await self._probe.reach_oneself(mouth))
        self._facts = attrs.evolve(self._facts, loops=self._record.loops(), oneself=tuple(reached))

    def _real_mouths(self) -> list[Mouth]:
        """Those on a network; where there is none, the loopback's."""
        mouths = self._probe.mouths
        return [each for each in mouths if not each.loopback] or mouths

    # -- out

    def _ping(self, train: Train) -> bytes:
        self._number += 1
        text = Ping(train.name, train.sent + 1).write()
        stamp = int(self._wall() * 1000)
        ping = self._signer.sign("ping", 1, self._number, stamp, "", text)
        return self._envelope.seal(ping.raw)

    def _train(self, way: str, mouth: Mouth | None = None) -> Train:
        train = Train(secrets.token_hex(8), way)
        if mouth is not None:
            train = attrs.evolve(
                train,
                device=mouth.device,
                source=where(*mouth.address),
                loopback=mouth.loopback,
            )
        return self._record.begin(train)

    async def _send_trains(self) -> None:
        """To the group and by broadcast, through each interface at the same time.

        Through the loopback, too: there may be nodes on this machine that have nothing else.
        """
        self._probe.ask_mdns()
        mouths = self._probe.mouths
        groups = [(mouth, self._train("multicast", mouth)) for mouth in mouths]
        networks = [(mouth, self._train("broadcast", mouth)) for mouth in mouths if mouth.everybody]
        for number in range(TRAIN_LENGTH):
            for mouth, train in groups:
                train.note_sent(self._probe.to_group(mouth, self._ping(train)))
            for mouth, train in networks if number < FEW else ():
                train.note_sent(self._probe.to_network(mouth, self._ping(train)))
            await self._wait(BETWEEN_PINGS)
        await self._wait(ANSWERS_WAIT)

    async def _look_again(self, began: float) -> None:
        """Once switches have forgotten who listens: does multicast still pass?"""
        await self._wait(began + AGEING - self._reactor.seconds())
        trains = [(mouth, self._train("afterwards", mouth)) for mouth in self._real_mouths()]
        for _ in range(TRAIN_LENGTH):
            for mouth, train in trains:
                train.note_sent(self._probe.to_group(mouth, self._ping(train)))
            await self._wait(BETWEEN_PINGS)
        await self._wait(ANSWERS_WAIT)
        self._facts = attrs.evolve(self._facts, others=self._others(), aged=True)

    def _look_for(self, name: str, address: Address, *, remembered: bool = False) -> None:
        """Begin to look at a place of another host, once."""
        if not self._is_this_host(address[0]):
            self._look_at(self._record.expect(name, address, remembered=remembered))

    def _look_at(self, known: Known | None) -> None:
        """Begin to look at a node or a place, once."""
        if known is not None and known.train is None:
            known.train = self._train("unicast")
            if not known.key:
                known.train.place = known.addresses[0]
            looking = Deferred.fromCoroutine(self._look(known, known.train))
            self._looking.append(looking.addErrback(_look_failed))

    async def _look(self, known: Known, train: Train) -> None:
        while train.sent < (FEW_IN_VAIN if train.in_vain else FEW):
            ways = self._ways_to(known)
            address = ways[train.sent % len(ways)]
            train.note_sent(self._probe.to_host(self._ping(train), address))
            await self._wait(BETWEEN_FEW)
        await self._wait(ANSWERS_WAIT)
        if known.key or train.in_vain:  # else it is a node's, which is looked at on its own
            known.tcp = await self._knock(known)

    async def _knock(self, known: Known) -> Sign | None:
        """At the file port of each of its addresses: the best answer, None without such a port."""
        files = self._plan.port + 1 if known.files is None else known.files
        if not files:
            return None
        knocking = [knock(self._reactor, host, files, KNOCK_PATIENCE) for host in known.hosts]
        signs = await gatherResults(knocking)
        return next(each for each in _TCP_BEST_FIRST if each in signs)

    def _ways_to(self, known: Known) -> list[Address]:
        """Where pings to it alone go: of a node, to the port that all of its hosts share, too."""
        if not known.key:
            return known.addresses
        shared = [(host, self._plan.port + 1) for host in known.hosts]
        return list(dict.fromkeys([*known.addresses, *shared]))

    # -- in (net.probe.Hearing)

    def heard_group(self, data: bytes, address: Address) -> None:
        """Something came by the group."""
        if self._is_own(address):
            train = self._own_train(data, address[0])
            if train:
                self._record.looped(train)
            return
        message = self._taken(data, address)
        if message is None or message.kind in ("ping", "pong", "bye"):  # of another doctor, mostly
            return
        if self._is_this_host(address[0]):
            self._is_here(message.key)
            return
        outside = self._is_outside(address[0])
        self._look_at(
            self._record.heard(message.key, message.nick, address, outside, _files(message))
        )

    def heard_answer(self, data: bytes, address: Address) -> None:
        """Something came to an address of ours."""
        message = self._taken(data, address)
        if message is None or message.kind != "pong":
            return
        if self._is_this_host(address[0]):
            self._is_here(message.key)
            return
        try:
            pong = Pong.read(message.body)
        except BadBody:
            return
        self._look_at(self._record.answered(message.key, message.nick, address, pong, self._wall()))

    def _is_here(self, key: bytes) -> None:
        if key != self._plan.own:
            self._record.is_here(key)

    def heard_mdns(self, data: bytes, address: Address) -> None:
        """A machine spoke mDNS."""
        host, machines = address[0], self._record.machines
        if self._is_this_host(host) or len(machines) >= MAX_MACHINES:
            return
        machines.add(host)
        if MDNS_SERVICE in data:  # a node, or another doctor
            self._look_for(host, (host, self._plan.port + 1), remembered=True)

    def _taken(self, data: bytes, address: Address) -> Signed | None:
        """The signed message that these bytes are, as long as its sender keeps to the limits."""
        now = self._reactor.seconds()
        if not self._addresses.take(address[0], now):
            return None
        message = self._opened(data, address[0])
        if message is None or not self._all.take(now):
            return None
        return message if verify(message, self._envelope.group) else None

    def _opened(self, data: bytes, host: str) -> Signed | None:
        """The signed message in these bytes of that host, its signature not checked."""
        opened = self._envelope.open(data)
        if opened is None:
            if is_sealed(data):
                self._record.sealed(host)
            return None
        try:
            message = parse(opened)
        except BadDatagram:
            return None
        if isinstance(message, Signed):
            return message
        other = _OTHER_VERSION.search(data)
        if other and len(self._record.versions) < MAX_VERSIONS:
            self._record.versions.add(other[1].decode("ascii"))
        return None

    def _own_train(self, data: bytes, host: str) -> str:
        """The train of a ping of ours that came back."""
        message = self._opened(data, host)
        try:
            return Ping.read(message.body).train if message is not None else ""
        except BadBody:
            return ""

    def _is_own(self, address: Address) -> bool:
        return any(mouth.address == address for mouth in self._probe.mouths)

    def _is_this_host(self, host: str) -> bool:
        """Two interfaces on one network hear each other: a link-local address comes with the name
        of the one that heard it."""
        host = host.partition("%")[0]
        here = any(one.address == host for one in self._interfaces)
        return here or ipaddress.ip_address(host).is_loopback

    def _is_outside(self, host: str) -> bool:
        """Whether a host whose multicast came without a router is within none of our masks."""
        return self._plan.ttl <= 1 and not self._is_near(host)

    def _is_near(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        return any(interface.reaches(address) for interface in self._interfaces)

    def _others(self) -> tuple[Other, ...]:
        others = self._record.others(neighbours())
        return tuple(
            attrs.evolve(each, far=not any(map(self._is_near, each.hosts))) for each in others
        )

    def _take_heard(self, seconds: float) -> None:
        record = self._record
        self._facts = attrs.evolve(
            self._facts,
            loops=record.loops(),
            listened=Listened(
                seconds, len(record.heard_keys), len(record.machines), len(record.local)
            ),
            others=self._others(),
            versions=tuple(sorted(record.versions)),
            buffers=self._buffers(),
            closed=record.closed,
        )

    def _buffers(self) -> Buffers | None:
        dropped = drops((self._plan.port, self._plan.port + 1))
        if dropped is None:
            return None
        return Buffers(RECEIVER_BUFFER, self._probe.granted, dropped)


def _look_failed(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("a host could not be looked at", failure)


def _files(message: Signed) -> int:
    """The TCP port of a beacon, or 0."""
    if message.kind not in ("beacon", "hello"):
        return 0
    try:
        return body.whole(body.read(message.body), "files", 65_535)
    except BadBody:
        return 0
