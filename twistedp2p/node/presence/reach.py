"""Reaching everybody: by multicast, and where it does not pass by whatever does.

Stands between the rooms that send and the group. It copies what goes to the group to the peers
that only unicast reaches, looks for others by broadcast and by greetings, and keeps with those
greetings the peers alive of whom no multicast is heard. `core.presence` decides; this one sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.datagrams.datagram import Signed, kind_of
from twistedp2p.core.feeds.summary import SUMMARY_SIZE
from twistedp2p.core.limits import Buckets, CappedTable
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import Beacon
from twistedp2p.core.presence.ladder import EACH_LOOK, Broadcasts, Learnt, Named
from twistedp2p.core.presence.reach import Tokens, Ways
from twistedp2p.node.feeds.outbox import Outbox
from twistedp2p.node.memory import Notes

LOOK_EVERY = 1.0  # seconds
SYNC_EVERY = 10.0  # seconds, with one of those that only unicast reaches
ANSWER_RATE, ANSWER_BURST = 2.0, 20.0  # answers to the hellos of one host, which runs a few nodes
ANSWERS_PER_SECOND = 50  # nodes that answer one broadcast
MAX_ANSWERING = 256  # answers that wait to be sent
NOTE_EVERY = 3600.0  # seconds between two notes that a host is known
MAX_NOTED = 64  # hosts: as many as are remembered of a network
KNOWN_AFTER = 1.0  # seconds from the start in which known hosts may be heard without a greeting
HEARD_LASTS = 60.0  # seconds in which a host that was heard is not looked for
MAX_HEARD = 4096  # hosts


class Multicast(Protocol):
    """What of `net.group.Group` is needed."""

    def say(self, data: bytes) -> bool: ...

    def tell(self, data: bytes) -> bool: ...

    def reply(self, data: bytes, address: Address) -> bool: ...

    def broadcast(self, data: bytes) -> bool: ...

    def on_link(self, host: str) -> bool: ...

    def networks(self) -> list[str]: ...

    def network_of(self, host: str) -> str: ...


class Known(Protocol):
    """Where hosts are remembered, by the network on which they were met."""

    def hosts_on(self, network: str) -> list[str]: ...

    def met_host(self, network: str, host: str, now_ms: int) -> None: ...


class Random(Protocol):
    """What of the module `random` is needed."""

    def random(self) -> float: ...

    def sample(self, population: Sequence[Any], k: int) -> list[Any]: ...

    def choice(self, seq: Sequence[Any]) -> Any: ...


class Reach:
    """How this node reaches the others. What `feeds` and `presence` send goes through it.

    :param wall: the time of day in seconds since 1970.
    :param port: UDP port at which every node hears unicast.
    :param secret: 16 random bytes.
    :param peers: how many are here.
    :param message: signs (kind, body), and gives the datagram.
    :param beacon: our beacon; whether we want unicast, and the token, are filled in here.
    :param lookup: the addresses of (host, port).
    :param want_sync: asks for a SYNC with the node of a key.
    :param far: whether to look for hosts that are on no network of ours, too.
    """

    def __init__(
        self,
        group: Multicast,
        known: Known,
        named: Iterable[tuple[str, int]],
        *,
        agenda: Agenda,
        clock: Any,
        wall: Callable[[], float],
        random: Random,
        port: int,
        secret: bytes,
        peers: Callable[[], int],
        message: Callable[[str, str], bytes],
        beacon: Callable[[bool, str], Beacon],
        lookup: Callable[[str, int], Deferred[list[Address]]],
        want_sync: Callable[[bytes], object],
        far: bool = False,
    ) -> None:
        now = clock.seconds()
        self._group = group
        self._known = known
        self._named = [Named(host, at) for host, at in named]
        self._agenda = agenda
        self._clock = clock
        self._wall = wall
        self._random = random
        self._port = port
        self._peers = peers
        self._message = message
        self._beacon = beacon
        self._lookup = lookup
        self._want_sync = want_sync
        self._ways = Ways()
        self._tokens = Tokens(secret)
        self._learnt = Learnt(now)
        self._broadcasts = Broadcasts(now)
        self._outbox = Outbox(group.reply, clock)
        self._answers: Buckets[str] = Buckets(ANSWER_RATE, ANSWER_BURST)
        self._heard: CappedTable[str, float] = CappedTable(MAX_HEARD)
        self._noted: dict[str, float] = {}
        self._notes = Notes()
        self._far = far or bool(self._named)
        self._sync_at = now
        self._answering = 0  # answers that wait to be sent

    def start(self) -> None:
        """Look for the others, from now on."""
        self.links_changed()
        # Not all at the same moment: of two nodes only the first greets the other.
        wait = LOOK_EVERY * self._random.random()
        self._agenda.at(self._clock.seconds() + wait, self._look)

    def links_changed(self) -> None:
        """This host is, maybe, on another network: greet whom we know there, all else anew."""
        now = self._clock.seconds()
        self._broadcasts.restart(now)
        self._noted.clear()
        for network in self._group.networks() or [""]:  # link-local addresses alone
            for host in self._notes.note(self._known.hosts_on, network) or ():
                self._learnt.add((host, self._port), now + KNOWN_AFTER)
        for named in self._named:
            named.next_at = now

    def stop(self) -> None:
        """Send what waits, as far as the pace allows; the agenda is for its owner to clear."""
        self._outbox.flush()
        self._outbox.close()

    # -- sending (feeds.Sending)

    def say(self, data: bytes) -> bool:
        """A line for people, to all; False when nothing took it."""
        if self._group.say(data):
            self._copy(data)
            return True
        return sum(self._group.reply(data, address) for address in self._targets()) > 0

    def tell(self, data: bytes) -> bool:
        """A message for nodes, to all; False when nothing took it."""
        taken = self._group.tell(data)
        if kind_of(data) not in ("beacon", "hello"):  # whom these do not reach is greeted
            self._copy(data)
        return taken

    def reply(self, data: bytes, address: Address) -> bool:
        """To one node alone; False when no interface took it."""
        return self._group.reply(data, address)

    def _copy(self, data: bytes) -> None:
        for address in self._targets():
            self._outbox.put(data, address)

    def _targets(self) -> list[Address]:
        now = self._clock.seconds()
        return self._ways.targets(lambda host: self._tokens.proved(host, now), self._random.sample)

    # -- what is heard

    def heard(self, message: Signed, address: Address, direct: bool, fresh: bool) -> None:
        """A verified message of another node came (no entry of a feed: anybody repeats those)."""
        now = self._clock.seconds()
        if fresh and message.kind in ("beacon", "hello"):
            self._ways.met(message.key, address, now)
        number = message.epoch, message.number
        self._ways.heard(message.key, number, address, direct, fresh, now)

    def heard_beacon(self, message: Signed, beacon: Beacon, address: Address, direct: bool) -> None:
        """What a fresh beacon or hello says, after `heard` of it."""
        now, host = self._clock.seconds(), address[0]
        self._ways.beacon(message.key, beacon.every, beacon.direct, beacon.sent, now)
        self._note(host, now)
        self._heard.put(host, now)
        self._learnt.heard((host, self._port))
        if not direct:
            return
        if message.kind == "hello" and (beacon.token or self._ways.unheard(message.key, now)):
            self._answer_later(message, beacon.token, address, now)
        elif beacon.token and self._tokens.heard(beacon.token, host, now):
            self._learnt.heard(address)
            self._far = self._far or not self._group.on_link(host)
            for named in self._named:
                named.heard(host, now)
        if self._ways.is_apart(message.key, now) and not self._tokens.proved(host, now):
            # What was sent to us alone has a token; a broadcast was heard by all.
            at = now if beacon.token else now + self._backoff()
            if self._learnt.add(address, at):
                self._agenda.at(at, self._greet_learnt)

    def _answer_later(self, hello: Signed, token: str, address: Address, now: float) -> None:
        if self._answering < MAX_ANSWERING and self._answers.take(address[0], now):
            self._answering += 1
            self._agenda.at(now + self._backoff(), self._answer, len(hello.raw), token, address)

    def _backoff(self) -> float:
        """Seconds to wait before sending to one who told all: not everybody at once."""
        return self._random.random() * self._peers() / ANSWERS_PER_SECOND

    def _answer(self, _now: float, most: int, token: str, address: Address) -> None:
        """Sources can be forged: no answer is much longer, or more frequent, than what asks."""
        self._answering -= 1
        beacon = self._beacon(False, token)
        data = self._message("beacon", beacon.write())
        if len(data) > most:
            data = self._message("beacon", _bare(beacon).write())
        self._outbox.put(data, address)

    def _note(self, host: str, now: float) -> None:
        noted = self._noted.get(host)
        full = noted is None and len(self._noted) >= MAX_NOTED
        if not full and (noted is None or now - noted >= NOTE_EVERY):
            self._noted[host] = now
            network, now_ms = self._group.network_of(host), int(self._wall() * 1000)
            self._notes.note(self._known.met_host, network, host, now_ms)

    def left(self, key: bytes) -> None:
        """That peer is gone."""
        self._ways.left(key)

    def learnt(self, addresses: Iterable[Address]) -> None:
        """Others say that peers whom we do not know are there; nothing of it is believed."""
        self._look_for(addresses, self._clock.seconds())

    def found(self, addresses: Iterable[Address]) -> None:
        """As `learnt`, of whoever it may be that is there: known peers, mostly. All are told it."""
        now = self._clock.seconds()
        heard = ((address, self._heard.peek(address[0])) for address in addresses)
        news = [address for address, at in heard if at is None or now - at >= HEARD_LASTS]
        self._look_for(news, now + self._backoff())

    def _look_for(self, addresses: Iterable[Address], at: float) -> None:
        for address in addresses:
            if self._is_looked_for(address[0]):
                self._learnt.add(address, at)

    def _is_looked_for(self, host: str) -> bool:
        return self._far or self._group.on_link(host)

    def is_proved(self, host: str) -> bool:
        """Whether more may be sent to that host alone than came from it: it is really there."""
        return self._tokens.proved(host, self._clock.seconds())

    def may_answer(self, address: Address, direct: bool) -> bool:
        """Whether what is asked from there is answered, if only to everybody.

        Whoever asks us alone from beyond our networks has first to prove that it is there.
        """
        host = address[0]
        if not direct or self._group.on_link(host) or self.is_proved(host):
            return True
        self.learnt([address])
        return False

    # -- once a second

    def _look(self, now: float) -> None:
        self._agenda.at(now + LOOK_EVERY, self._look)
        self._notes.note(self._look_around, now)

    def _look_around(self, now: float) -> None:
        self._ways.look(now)
        apart = self._ways.apart()
        if self._broadcasts.due(self._peers(), len(apart), now, self._random.random):
            # Alone after all this time: maybe others hear us, and their multicast does not come.
            alone = not self._peers()
            self._group.broadcast(self._message("hello", self._beacon(alone, "").write()))
        self._greet_learnt(now)
        self._greet_named(now)
        self._greet_silent(now)
        if apart and now >= self._sync_at:
            self._sync_at = now + SYNC_EVERY
            self._want_sync(self._random.choice(list(apart)))

    def _greet(self, address: Address, now: float, *, wants: bool = False) -> None:
        beacon = self._beacon(wants, self._tokens.make(address[0], now))
        if not self._tokens.proved(address[0], now):
            beacon = _bare(beacon)
        self._outbox.put(self._message("hello", beacon.write()), address)

    def _greet_learnt(self, now: float) -> None:
        for address in self._learnt.due(now):
            self._greet(address, now)

    def _greet_named(self, now: float) -> None:
        for named in self._named:
            if not named.due(now):
                continue
            if named.addresses and named.is_there(now):
                self._greet_all_of(named)
            elif not named.looking_up:  # its name may have another address by now
                named.looking_up = True
                self._lookup(named.name, named.port).addBoth(self._looked_up, named)

    def _looked_up(self, addresses: list[Address] | Failure, named: Named) -> None:
        named.looking_up = False
        if not isinstance(addresses, Failure):
            named.addresses = addresses
            self._greet_all_of(named)

    def _greet_all_of(self, named: Named) -> None:
        for address in named.addresses:
            self._greet(address, self._clock.seconds())

    def _greet_silent(self, now: float) -> None:
        for key, address in self._ways.silent(now)[:EACH_LOOK]:
            if self._tokens.proved(address[0], now):
                self._ways.greeted(key, now)
                self._greet(address, now, wants=self._ways.unheard(key, now))
            else:  # all others may have heard that it wants it
                self._learnt.add(address, now + self._backoff())

    # -- what is told

    def named(self) -> list[tuple[str, Address]]:
        """Those to look for by name, and the first address of each that has one."""
        return [(each.name, each.addresses[0]) for each in self._named if each.addresses]

    def address(self, key: bytes) -> Address | None:
        """Where that peer gets what is sent to it alone."""
        return self._ways.address(key)

    def deaf(self) -> bool:
        """Whether we hear no multicast of anybody, though peers are here."""
        return self._ways.deaf(self._clock.seconds())

    def unicast_only(self, key: bytes) -> bool:
        """Whether multicast does not pass between that peer and us."""
        return self._ways.unicast_only(key, self._clock.seconds())

    def loss(self, key: bytes | None = None) -> float | None:
        """The part of the multicast (of one peer) that is lost, 0 to 1; None: not known."""
        now = self._clock.seconds()
        return self._ways.loss(now) if key is None else self._ways.loss_of(key, now)


def _bare(beacon: Beacon) -> Beacon:
    """A short one, without what it tells of feeds: to hosts that may never have asked for it."""
    return attrs.evolve(beacon, summary=bytes(SUMMARY_SIZE), recent=())
