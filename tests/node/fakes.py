"""A network of real nodes on a `task.Clock`: no socket, no thread, no time but the clock's."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.net.wire import Wire
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.closed import Envelope
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, Signed, Signer, group_name, parse
from twistedp2p.core.events import Event, Said
from twistedp2p.core.feeds.feed import Heads
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import Beacon
from twistedp2p.disk.state.instance import claim
from twistedp2p.net.dial import NoAnswer
from twistedp2p.net.tls import NodeTLS, NodeTLSFactory
from twistedp2p.node import Config, Node, assembly

GROUP, PORT = "239.0.0.1", 9392
DIGEST = "blake3:" + "0" * 64
EPOCH_START = 1_700_000_000  # the time of day when the clock says 0, seconds since 1970


class FakeReactor(Clock):
    """A clock that also runs "threads", at once and in this one. `listening` has the factories."""

    def __init__(self) -> None:
        super().__init__()
        self.listening: list[Any] = []

    def getThreadPool(self) -> FakeReactor:
        return self

    def callInThreadWithCallback(self, on_result: Any, call: Any, *arguments: Any) -> None:
        try:
            result = call(*arguments)
        except Exception as error:
            on_result(False, Failure(error))
        else:
            on_result(True, result)

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        call(*arguments)

    def adoptStreamPort(self, _fileno: int, _family: int, factory: Any) -> FakePort:
        self.listening.append(factory)
        return FakePort()

    def run_for(self, seconds: float) -> None:
        """Advance from call to call, so that each sees the time it was meant for."""
        end = self.seconds() + seconds
        while due := [at for call in self.getDelayedCalls() if (at := call.getTime()) <= end]:
            self.advance(max(0.0, min(due) - self.seconds()))
        self.advance(max(0.0, end - self.seconds()))


class FakePort:
    """What listening gives, and each that `file_listeners` gives."""

    family = 2

    def stopListening(self) -> Deferred[None]:
        return succeed(None)

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", PORT + 1

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


class FakeMdns:
    """What `net.mdns.Mdns` is elsewhere."""

    def __init__(self, *_arguments: Any, **named: Any) -> None:
        self.named = named
        self.done: list[str] = []

    def start(self) -> None:
        self.done.append("start")

    def links_changed(self) -> None:
        self.done.append("links changed")

    def stop(self) -> None:
        self.done.append("stop")


class FakeGroup:
    """One node's place on the `Lan`: what `net.group.Group` is elsewhere."""

    def __init__(self, lan: Lan, address: Address, envelope: Envelope) -> None:
        self.lan = lan
        self.envelope = envelope
        self.address = address
        self.dropped: Counter[str] = Counter()
        self.sent: list[tuple[float, str]] = []  # (seconds, kind) of each datagram
        self.replies: Counter[tuple[str, str]] = Counter()  # (kind, host) of those to one host
        self.refuses = False
        self.listener: Any = None

    def start(self, listener: Any) -> None:
        self.listener = listener
        self.lan.groups.append(self)

    def close(self) -> Deferred[None]:
        if self in self.lan.groups:
            self.lan.groups.remove(self)
        return succeed(None)

    def hears_at(self, address: Address) -> bool:
        return address[0] == self.address[0] and address[1] in (self.address[1], PORT + 1)

    @property
    def network(self) -> str:
        return self.address[0].rpartition(".")[0].rpartition(".")[0] + "."

    def networks(self) -> list[str]:
        return [self.network]

    def network_of(self, host: str) -> str:
        return self.network

    def on_link(self, host: str) -> bool:
        return host.startswith(self.network)

    def ways_to(self, host: str) -> list[str]:
        return [host]

    def addresses(self) -> list[str]:
        return [self.address[0]]

    def say(self, data: bytes) -> bool:
        return self._send(data, None)

    def tell(self, data: bytes) -> bool:
        return self._send(data, None)

    def broadcast(self, data: bytes) -> bool:
        return self._send(data, None, direct=True)

    def reply(self, data: bytes, address: Address) -> bool:
        return self._send(data, address)

    def _send(self, data: bytes, to: Address | None, *, direct: bool = False) -> bool:
        assert len(data) <= MAX_DATAGRAM
        if self.refuses:
            return False
        message = parse(data)
        assert isinstance(message, Signed)
        self.sent.append((self.lan.reactor.seconds(), message.kind))
        if to is not None:
            self.replies[message.kind, to[0]] += 1
        self.lan.carry(self.envelope.seal(data), self.address, to, direct=direct)
        return True

    def count(self, kind: str, since: float = 0.0) -> int:
        """How many datagrams of that kind were sent."""
        return sum(1 for at, sent in self.sent if sent == kind and at >= since)


class FakeDialer:
    """One node's way to the file services of the others: what `net.dial.Dialer` is elsewhere."""

    def __init__(self, lan: Lan, host: str, tls: NodeTLS) -> None:
        self._lan = lan
        self._host = host
        self._tls = tls

    async def dial(self, make: Callable[[], Any], host: str, port: int) -> Any:
        clock = self._lan.reactor
        await deferLater(clock, 0.001)
        door = self._lan.doors.get(host)
        server = door and door.buildProtocol(IPv4Address("TCP", self._host, 40_000))
        if server is None or self._lan.is_parted(self._host, host):
            raise NoAnswer("Nothing listens there.")
        factory = NodeTLSFactory(self._tls, True, Factory.forProtocol(make), clock)
        client = factory.buildProtocol(None)
        self._lan.calls.append((self._host, host))
        self._move(Wire(client, server, self._host), host)
        return client.wrappedProtocol

    def _move(self, wire: Wire, host: str) -> None:
        if not self._lan.is_parted(self._host, host):
            wire.step()
        if not wire.client_end.closed:
            self._lan.reactor.callLater(self._lan.step, self._move, wire, host)


class Lan:
    """Carries datagrams between groups, as badly as it is told to."""

    def __init__(self, case: SynchronousTestCase, seed: int = 1) -> None:
        self.case = case
        self.reactor = FakeReactor()
        self.random = random.Random(seed)
        self.loss = 0.0  # part of the datagrams
        self.twice = 0.0  # part of the datagrams that come twice
        self.step = 0.001  # seconds for a frame on a connection
        self.delay = 0.001, 0.002  # seconds, least and most: the wider, the more reordering
        self.multicast: Callable[[str, str], bool] = lambda _from, _to: True  # does it pass?
        self.broadcasts = True  # do they pass?
        self.groups: list[FakeGroup] = []
        self.cut_off: set[str] = set()  # hosts on the far side of a partition
        self.doors: dict[str, Any] = {}  # of each host, the factory of its file service
        self.calls: list[tuple[str, str]] = []  # hosts that connected to another
        self.nodes: list[Node] = []
        self.heard: dict[int, list[Event]] = {}
        self.folder = Path(tempfile.mkdtemp())
        case.addCleanup(shutil.rmtree, self.folder)
        case.addCleanup(self._stop_all)

    def wall(self) -> float:
        return EPOCH_START + self.reactor.seconds()

    def node(
        self,
        nick: str,
        *,
        start: bool = True,
        ahead: float = 0.0,
        host: str = "",
        reader: bool = True,
        **config: Any,
    ) -> Node:
        """A real node of that nick, with the identity and memory that it had before, if any.

        `ahead`: seconds that its clock is ahead of the right time. `host`: on 10.0.0.0/16, where
        all are that are given none, or elsewhere, behind a router. `reader`: a person is there.
        """
        folder = self.folder / nick
        folder.mkdir(exist_ok=True)
        taken = {group_of(other).address[0] for other in self.nodes}
        hosts = (f"10.0.0.{number}" for number in itertools.count(1))
        address = host or next(host for host in hosts if host not in taken), 40_000
        fakes = {
            "Group": lambda *_a, envelope, **_k: FakeGroup(self, address, envelope),
            "file_listeners": lambda *_a, **_k: [FakePort()],
            "Dialer": lambda _reactor, tls: FakeDialer(self, address[0], tls),
            "random": self.random,
            "Mdns": FakeMdns,
        }
        with mock.patch.multiple(assembly, **fakes):
            node = Node(
                self.reactor,
                Config(GROUP, PORT, nick=nick, download_folder=folder, **config),
                claim(folder),
                lambda: self.wall() + ahead,
            )
        self._may_open_again(node, fakes)
        self.nodes.append(node)
        events: list[Event] = []
        self.heard[id(node)] = events
        node.subscribe(events.append, reader=reader)
        if start:
            node.start()
        return node

    def _may_open_again(self, node: Node, fakes: dict[str, Any]) -> None:
        """One that takes a new identity does, and is given the same fakes."""
        open_, start = node._open, node.start

        def open_again() -> None:
            with mock.patch.multiple(assembly, **fakes):
                open_()

        def start_again() -> None:
            start()
            self.doors[group_of(node).address[0]] = self.reactor.listening[-1]

        node._open = open_again  # type: ignore[method-assign]
        node.start = start_again  # type: ignore[method-assign]

    def copy(self, nick: str, to: str) -> None:
        """Copy the state of a node that is not running: its identity and its memory."""
        shutil.copytree(self.folder / nick, self.folder / to)

    def crowd(self, count: int) -> list[Node]:
        """So many nodes that know each other."""
        nodes = [self.node(f"node{number}") for number in range(count)]
        self.run_for(10)
        return nodes

    def database_of(self, nick: str) -> Path:
        """Where that node's memory is."""
        return self.folder / nick / "1" / f"group-{GROUP}-{PORT}.db"

    def stop(self, node: Node) -> None:
        """Quit in good order."""
        self.nodes.remove(node)
        self.doors.pop(group_of(node).address[0], None)
        done = Deferred.fromCoroutine(node.stop())
        self.run_for(0.1)
        self.case.successResultOf(done)

    def vanish(self, node: Node) -> None:
        """Go without a word."""
        group_of(node).refuses = True
        self.stop(node)

    def _stop_all(self) -> None:
        for node in list(self.nodes):
            self.stop(node)

    def run_for(self, seconds: float) -> None:
        self.reactor.run_for(seconds)

    def carry(
        self, data: bytes, source: Address, to: Address | None, *, direct: bool = False
    ) -> None:
        """Bring a datagram to everybody (the sender too: it loops back), or to `to` alone.

        direct: a broadcast, not the multicast group.
        """
        for group in self.groups:
            if self._passes(source, group, direct) if to is None else group.hears_at(to):
                copies = 1 + (self.random.random() < self.twice)
                for _ in range(copies):
                    self._carry_one(data, source, group, direct or to is not None)

    def is_parted(self, host: str, other: str) -> bool:
        """Whether the partition lies between them."""
        return (host in self.cut_off) != (other in self.cut_off)

    def _passes(self, source: Address, group: FakeGroup, direct: bool) -> bool:
        if source == group.address:
            return True
        if source[0].startswith("10.") and not group.on_link(source[0]):  # a router is between
            return False
        return self.broadcasts if direct else self.multicast(source[0], group.address[0])

    def _carry_one(self, data: bytes, source: Address, group: FakeGroup, direct: bool) -> None:
        parted = self.is_parted(source[0], group.address[0])
        if parted or (source != group.address and self.random.random() < self.loss):
            return
        wait = self.random.uniform(*self.delay)
        self.reactor.callLater(wait, self._arrive, data, source, group, direct)

    def _arrive(self, data: bytes, source: Address, group: FakeGroup, direct: bool) -> None:
        if group not in self.groups:
            return
        opened = group.envelope.open(data)
        if opened is None:
            group.listener.sealed_heard()
            return
        message = parse(opened)
        if isinstance(message, Signed):
            group.listener.signed_heard(message, source, direct)

    # -- what a test asks

    def events(self, node: Node, kind: type) -> list[Any]:
        """What that node told its faces, of one kind."""
        return [event for event in self.heard[id(node)] if isinstance(event, kind)]

    def lines(self, node: Node) -> list[str]:
        """The lines that others said, as that node showed them."""
        return [said.text for said in self.events(node, Said) if not said.own]

    def catalogue(self, node: Node) -> list[str]:
        """The names that a search for everything finds there."""
        found: list[Any] = self.case.successResultOf(node.search(""))
        return sorted(listing.offer.name for listing in found)


def group_of(node: Node) -> FakeGroup:
    """The fake under a node."""
    group: Any = node._group
    return group  # type: ignore[no-any-return]


def offer_of(node: Node, name: str, size: int = 1) -> Offer:
    """An offer that needs no file."""
    return Offer(node.key, name, size, DIGEST, False)


class Stranger:
    """Somebody with a key who sends whatever it likes."""

    def __init__(self, lan: Lan, host: str = "10.0.9.9", nick: str = "mallory") -> None:
        self.lan = lan
        self.address: Address = (host, 50_000)
        self.nick = nick
        self.signer = Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))
        self.key = self.signer.key
        self.epoch = 1
        self.number = 0

    def signed(self, kind: str, text: str, number: int | None = None) -> bytes:
        self.number += 1
        stamp = int(self.lan.wall() * 1000)
        number = self.number if number is None else number
        return self.signer.sign(kind, self.epoch, number, stamp, self.nick, text).raw

    def send(self, kind: str, text: str, number: int | None = None) -> None:
        """Send to everybody; an entry's number counts in its log."""
        self.lan.carry(self.signed(kind, text, number), self.address, None)

    def beacon(self, heads: Heads | None = None, kind: str = "beacon", files: int = 9393) -> None:
        self.send(kind, Beacon(5, files, heads or Heads()).write())

    def offer(self, number: int, **fields: Any) -> None:
        whole = {"digest": DIGEST, "name": "a.jpg", "public": False, "size": 1, **fields}
        self.send("offer", body.write(whole), number)
