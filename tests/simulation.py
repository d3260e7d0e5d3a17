"""A whole group on a simulated network, seeded: every node runs the real core.

What is real: `Gossip` with all that it is made of, `Beacons`, `Roster`, `Beacon` and every body,
written by its sender and read once for all its receivers. What is a model: the network (loss,
delay, duplicates, partitions), the store (entries are shared, so that a thousand nodes fit), and
SYNC (the same exchange of what either lacks, taking time for the connection and for each entry,
which is there for others as it comes; begun when and with how many as in `node.feeds.sync`). There
are no signatures: nobody cheats here.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import attrs

from twistedp2p.core.agenda import Agenda, Appointment
from twistedp2p.core.datagrams import body as bodies
from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.feeds.feed import CHAT_BACKLOG, LOG_NAMES, Feed, Have, Heads
from twistedp2p.core.feeds.gossip import Gossip
from twistedp2p.core.feeds.ranges import count
from twistedp2p.core.feeds.requests import Ask, Gone, Vector, read_heads
from twistedp2p.core.limits import TokenBucket
from twistedp2p.core.presence.beacon import Beacon, Beacons
from twistedp2p.core.presence.roster import Arrival, Roster
from twistedp2p.node.feeds.sync import BUSY_WAIT, OUT_BURST, OUT_MOST, OUT_RATE, PLACES, TRIES

TRAILER, IP_AND_UDP = 215, 28  # bytes that each signed datagram has beside its body
DELAY = 0.0005, 0.003  # seconds on the way
SLOTS = 4  # moments between the two at which the receivers of one datagram hear it
SYNC_CONNECT = 0.03  # seconds for TCP, TLS and the two vectors
SYNC_ENTRY, SYNC_TWICE = 1e-4, 2e-5  # seconds to check and keep an entry; to see that it is here
SYNC_SLICE = 1000  # entries that are taken in, and told to others, at the same moment
BOOT = 1 << 24  # messages of one run
READERS: dict[str, Callable[[str], Any]] = {
    "beacon": Beacon.read,
    "hello": Beacon.read,
    "head": lambda text: read_heads(bodies.read(text)),
    "ask": Ask.read,
    "gone": Gone.read,
    "vector": Vector.read,
    "bye": bodies.read,
}

Run = tuple[Have, str, int, int]  # of a log of a feed of which so much is there: first, last


class Entry:
    """One entry, and who has it since when."""

    __slots__ = ("at", "had", "last", "log", "number", "origin", "raw", "waits")

    def __init__(self, origin: int, log: str, number: int, at: float, nodes: int) -> None:
        self.origin, self.log, self.number, self.at = origin, log, number, at
        self.raw = b"%d %s %d" % (origin, log.encode(), number)
        self.had = bytearray(nodes)
        self.waits: list[float] = []  # seconds, of each who came to have it
        self.last = at

    def reached(self, node: int, now: float) -> None:
        """That node has it, for the first time."""
        if not self.had:
            return
        assert not self.had[node], "shown twice"
        self.had[node] = 1
        self.waits.append(now - self.at)
        self.last = now


@attrs.frozen
class Datagram:
    """What is on the way. `content` is the entry, or the message as it was read."""

    sender: int
    message: Signed  # without nick, body and signature
    content: Any
    size: int  # bytes


@attrs.define
class Talk:
    """A SYNC that `node` began: what each of the two is yet to be told, by its index."""

    node: Node
    other: Node
    told: dict[int, Iterator[Run]] = attrs.Factory(dict)
    heard_all: bool = False  # `node` has, and has not gone on to another yet


class NodeAgenda(Agenda):
    """An agenda that the network's heap of events follows."""

    def __init__(self, wake: Callable[[float], None]) -> None:
        super().__init__()
        self._wake = wake
        self.waking = float("inf")

    def at(self, at: float, call: Callable[..., object], *arguments: object) -> Appointment:
        appointment = super().at(at, call, *arguments)
        if at < self.waking:
            self.waking = at
            self._wake(at)
        return appointment


class Node:
    """One node: what `node.feeds` and `node.presence` do, without store and sockets."""

    def __init__(self, group: Group, index: int) -> None:
        self.group = group
        self.index = index
        self.key = group.keys[index]
        self.kept: dict[bytes, Feed] = {}  # what a restart finds
        self.epoch = 1
        self.boots = 0
        self.running = False
        self.hears = False
        self.syncs_in = self.syncs_out = 0
        self.busy_until = 0.0  # seconds: it is taking in entries
        self.connections = self.told = 0

    # -- life

    def start(self) -> None:
        """Begin, or begin again with what was kept."""
        now, group = self.group.now, self.group
        self.running = True
        self.boots += 1
        self.number = self.boots * BOOT
        self.sent = 0
        self.agenda = NodeAgenda(lambda at: group.push(at, self.wake, at))
        self.roster = Roster(self.key)
        self.wants = self.looks = False
        self.partner: bytes | None = None
        self.refusals = 0
        self.not_before = now
        self.pace = TokenBucket.full(OUT_RATE, OUT_BURST, now)
        own = self.kept.get(self.key) or Feed(self.key, self.epoch)
        self.beacons = Beacons(
            self.agenda,
            self._say,
            now=now,
            random=group.random.random,
            known=lambda: len(self.roster) + 1,
        )
        self.gossip = Gossip(
            own,
            self.agenda,
            self,
            self,
            now=now,
            random=group.random.random,
            nodes=lambda: self.beacons.nodes,
            address_of=lambda key: group.index.get(key) if self.roster.peer(key) else None,
        )
        for feed in self.kept.values():
            if feed is not own:
                self.gossip.follow(feed)
        self.beacons.hello(now)

    def stop(self, *, goodbye: bool = False) -> None:
        """End, and keep what is here."""
        if goodbye:
            self.tell("bye", "{}", None)
        self.running = False
        self.agenda.clear()
        self.kept = {
            feed.origin: Feed.kept(
                feed.origin, feed.epoch, {log: feed.have[log].runs() for log in LOG_NAMES}
            )
            for feed in self.gossip.feeds()
        }

    def wake(self, at: float) -> None:
        """Do what is due."""
        agenda = self.agenda
        if not self.running or at != agenda.waking:
            return
        agenda.waking = float("inf")
        agenda.due(at)
        following = agenda.next_due()
        if following is not None and following < agenda.waking:
            agenda.waking = following
            self.group.push(following, self.wake, following)

    # -- publishing

    def say(self) -> Entry:
        """Say a line."""
        entry = self._publish("chat")
        self._send(entry, None)
        self.gossip.published(entry.raw, self.group.now)
        return entry

    def offer(self, count: int = 1) -> None:
        """Offer so many files."""
        for _ in range(count):
            entry = self._publish("offers")
            alone = self.gossip.may_tell_offer(self.group.now)
            if alone:
                self._send(entry, None)
            self.gossip.published(entry.raw if alone else None, self.group.now)

    def _publish(self, log: str) -> Entry:
        own = self.gossip.own
        number = own.have[log].head + 1
        own.heard_entries(log, number, number)
        return self.group.publish(self.index, log, number)

    # -- sending (gossip.Sending, gossip.Kept)

    def _send(self, entry: Entry, to: Hashable | None) -> None:
        log_kind = "say" if entry.log == "chat" else "offer"
        size = TRAILER + IP_AND_UDP + (60 if entry.log == "chat" else 150)
        message = Signed(log_kind, self.group.keys[entry.origin], 1, entry.number, 0, "", "", b"")
        self.group.carry(Datagram(self.index, message, entry, size), to)

    def tell(self, kind: str, body: str, to: Hashable | None) -> bool:
        self.number += 1
        self.sent += to is None
        content = READERS[kind](body)
        size = TRAILER + IP_AND_UDP + len(body)
        message = Signed(kind, self.key, self.epoch, self.number, 0, "", "", b"")
        self.group.carry(Datagram(self.index, message, content, size), to)
        return True

    def repeat(self, raw: bytes, to: Hashable | None) -> None:
        self._send(self.group.by_raw[raw], to)

    def want_sync(self, partner: bytes | None) -> bool:
        new = not self.wants and not self.hears
        self.wants = True
        self.partner = partner or self.partner
        self.look()
        return new

    def entry(self, origin: bytes, log: str, number: int) -> bytes | None:
        return self.group.raw_of(origin, log, number)

    def own_heads(self) -> Heads:
        return self.gossip.own.heads

    def _say(self, kind: str) -> None:
        now, gossip = self.group.now, self.gossip
        beacon = Beacon(
            self.beacons.every,
            9393,
            self.own_heads(),
            self.sent + 1,
            False,
            gossip.summary(),
            tuple(gossip.recent(now)),
        )
        self.tell(kind, beacon.write(), None)
        self.group.departures += len(self.roster.expire(now, self.beacons.every))

    # -- hearing

    def heard(self, datagram: Datagram) -> None:
        """A datagram came, of somebody else or our own on its way back."""
        now = self.group.now
        self.gossip.heard(now)
        message = datagram.message
        if message.log is not None:
            self._heard_entry(datagram.content, now)
        elif self.roster.fresh(message):
            self.roster.alive(message.key, now)
            self._heard_message(message, datagram, now)

    def _heard_entry(self, entry: Entry, now: float) -> None:
        key = self.group.keys[entry.origin]
        if key == self.key:
            return
        feed = self._follow(key, self.group.nodes[entry.origin].epoch)
        if self.gossip.heard_entries(feed, entry.log, entry.number, entry.number, now):
            entry.reached(self.index, now)
        else:
            self.gossip.heard_again(entry.raw, now)

    def _follow(self, key: bytes, epoch: int) -> Feed:
        feed = self.gossip.feed(key)
        if feed is None:
            feed = Feed(key, epoch)
            self.gossip.follow(feed)
        return feed

    def _heard_message(self, message: Signed, datagram: Datagram, now: float) -> None:
        kind, content, sender = message.kind, datagram.content, datagram.sender
        gossip = self.gossip
        if kind in ("beacon", "hello"):
            arrival: Arrival = self.roster.heard(message, content, (str(sender), 1), now)
            hello, joined = kind == "hello", arrival.joined
            self.beacons.heard(content.every, now, hello=hello, joined=joined)
            if content.heads != Heads() or gossip.feed(message.key) is not None:
                feed = self._follow(message.key, message.epoch)
                gossip.heard_heads(feed, content.heads, now, live=False)
            gossip.heard_summary(message.key, sender, content.summary, content.recent, now)
        elif kind == "head":
            feed = self._follow(message.key, message.epoch)
            gossip.heard_heads(feed, content, now, live=True)
        elif kind == "gone":
            gossip.heard_gone(self._follow(message.key, message.epoch), content, now)
        elif kind == "ask":
            gossip.heard_ask(content, sender, sender, now)
        elif kind == "vector":
            gossip.heard_vector(content, sender, now)
        else:
            self.roster.left(message.key)

    # -- SYNC

    def look(self) -> None:
        """Begin one if it is wanted, and time."""
        if self.wants and not self.hears and not self.looks:
            self.looks = True
            now = self.group.now
            at = max(now, self.not_before, now + self.pace.wait(now))
            self.group.push(at, self.group.sync, self)

    def refused(self) -> None:
        """That partner was busy, or is not to be reached: another one."""
        self.refusals = (self.refusals + 1) % TRIES
        self.wants = self.wants or self.refusals > 0
        self.not_before = self.group.now + BUSY_WAIT * (0.5 + self.group.random.random())
        self.look()

    def lacks_of(self, other: Node) -> list[Run]:
        """The runs of numbers that `other` would send us, with how much of the feed it has."""
        runs = []
        for theirs in other.gossip.feeds():
            mine = self.gossip.feed(theirs.origin)
            if mine is not None and mine.counted == theirs.counted:
                continue  # as `Gossip.lacking` finds, at the cost of a thousand comparisons
            have = theirs.whole()
            for log in LOG_NAMES:
                here = theirs.have[log]
                above = 0 if mine is None else mine.have[log].whole
                if log == "chat" and mine is None:
                    above = max(above, here.highest - CHAT_BACKLOG)
                for low, high in here.runs():
                    low = max(low, above + 1)
                    if low <= high:
                        lacked = mine.have[log].missing(low, high) if mine else [(low, high)]
                        runs += [(have, log, *run) for run in lacked]
        return runs

    def cost(self, runs: Sequence[Run]) -> float:
        """Seconds to take these in: what another partner has brought meanwhile costs little."""
        seconds = 0.0
        for have, log, low, high in runs:
            feed = self.gossip.feed(have.origin)
            new = count(feed.have[log].missing(low, high)) if feed else high - low + 1
            seconds += new * SYNC_ENTRY + (high - low + 1 - new) * SYNC_TWICE
        return seconds

    def take(self, runs: Sequence[Run]) -> None:
        """A partner has sent these."""
        now, group = self.group.now, self.group
        for have, log, low, high in runs:
            feed = self._follow(have.origin, have.epoch)
            if feed is self.gossip.own:
                continue
            for first, last in list(feed.have[log].missing(low, high)):
                if self.gossip.heard_entries(feed, log, first, last, now, synced=True):
                    group.reached(self.index, have.origin, log, first, last)
        for have in dict.fromkeys(have for have, *_ in runs):
            self.gossip.settled(have, now)


class Group:
    """A network with its nodes. Set `loss`, `twice`, `delay` and `sides` as it is to be."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.loss = 0.0  # part of all datagrams, at each receiver
        self.twice = 0.0  # part of them that comes twice
        self.delay = DELAY
        self.sides: list[int] | None = None  # of each node, while the network is parted
        self.keys = [self.random.randbytes(32) for _ in range(count)]
        self.index = {key: number for number, key in enumerate(self.keys)}
        self.nodes = [Node(self, number) for number in range(count)]
        self.entries: dict[tuple[int, str], list[Entry]] = {}
        self.by_raw: dict[bytes, Entry] = {}
        self.sent: Counter[str] = Counter()  # datagrams of each kind
        self.bytes = 0
        self.published = 0
        self.departures = 0  # of nodes that were taken for gone
        self.track = True  # note who has which entry since when
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    # -- time

    def push(self, at: float, call: Callable[..., None], *arguments: Any) -> None:
        """Have a call made at that time."""
        self._count += 1
        heapq.heappush(self._events, (at, self._count, call, arguments))

    def run_until(self, end: float, enough: Callable[[], bool] | None = None) -> float:
        """Let time pass, until it is `enough` (asked a few times a second); the time then."""
        look = self.now
        while self._events and self._events[0][0] <= end:
            at, _, call, arguments = heapq.heappop(self._events)
            self.now = max(self.now, at)
            if enough is not None and self.now >= look:
                look = self.now + 0.05
                if enough():
                    return self.now
            call(*arguments)
        self.now = end
        return end

    def start(self, within: float = 1.0, *, count: int | None = None) -> None:
        """Start the first `count` nodes, or all, at random within so many seconds."""
        for node in self.nodes[:count]:
            self.push(self.now + self.random.random() * within, node.start)

    # -- the network

    def carry(self, datagram: Datagram, to: Any) -> None:
        """Bring a datagram to all but its sender, or to one node."""
        self.sent[datagram.message.kind] += 1
        self.bytes += datagram.size
        targets = self.nodes if to is None else [self.nodes[to]]
        for copy in range(2):
            slots: list[list[Node]] = [[] for _ in range(SLOTS)]
            for node in targets:
                chance = self.random.random()
                if chance >= self.loss and node.running and node.index != datagram.sender:
                    slots[int(SLOTS * (chance - self.loss) / (1 - self.loss))].append(node)
            least, most = self.delay
            for receivers in slots:
                if receivers:
                    wait = least + self.random.random() * (most - least)
                    self.push(self.now + wait, self._arrive, datagram, receivers)
            if copy or not self.twice:
                break
            targets = [node for node in targets if self.random.random() < self.twice]

    def _arrive(self, datagram: Datagram, receivers: list[Node]) -> None:
        sides = self.sides
        for node in receivers:
            if node.running and (sides is None or sides[node.index] == sides[datagram.sender]):
                node.heard(datagram)

    # -- what was published

    def publish(self, origin: int, log: str, number: int) -> Entry:
        """Note a new entry."""
        entry = Entry(origin, log, number, self.now, len(self.nodes) if self.track else 0)
        if self.track:
            entry.had[origin] = 1
        self.entries.setdefault((origin, log), []).append(entry)
        self.published += 1
        self.by_raw[entry.raw] = entry
        return entry

    def raw_of(self, origin: bytes, log: str, number: int) -> bytes | None:
        """The bytes of an entry; None of a feed that a test made up."""
        entries = self.entries.get((self.index.get(origin, -1), log))
        return entries[number - 1].raw if entries else None

    def reached(self, node: int, origin: bytes, log: str, low: int, high: int) -> None:
        """Entries came to a node by SYNC."""
        if self.track:
            for entry in self.entries[self.index[origin], log][low - 1 : high]:
                entry.reached(node, self.now)

    def all_entries(self) -> list[Entry]:
        """Everything that was published."""
        return [entry for entries in self.entries.values() for entry in entries]

    def complete(self, nodes: Sequence[Node] | None = None) -> bool:
        """Whether all those that run have all that was published."""
        running = [node for node in nodes or self.nodes if node.running]
        first = running[0].gossip
        summary = first.summary()
        return (
            all(node.gossip.summary() == summary for node in running)
            and sum(feed.counted[0] for feed in first.feeds()) == self.published
        )

    # -- SYNC

    def sync(self, node: Node) -> None:
        """One node begins an exchange with another, if that has a place."""
        peers = [peer.key for peer in node.roster.peers()]
        partner = node.partner or (self.random.choice(peers) if peers else None)
        node.looks, node.wants, node.partner = False, False, None
        if partner is None or not node.running:
            return
        node.pace.take(self.now)
        other = self.nodes[self.index[partner]]
        parted = self.sides is not None and self.sides[node.index] != self.sides[other.index]
        if not other.running or parted or other.syncs_in >= PLACES:
            node.refused()
            return
        node.hears, node.syncs_out, other.syncs_in = True, node.syncs_out + 1, other.syncs_in + 1
        node.connections += 1
        self.sent["SYNC"] += 1
        self.push(self.now + SYNC_CONNECT, self._exchange, Talk(node, other))

    def _exchange(self, talk: Talk) -> None:
        node, other = talk.node, talk.other
        both = node.running and other.running
        talk.told = {
            node.index: iter(node.lacks_of(other) if both else ()),
            other.index: iter(other.lacks_of(node) if both else ()),
        }
        self._tell(talk, node)
        self._tell(talk, other)

    def _tell(self, talk: Talk, taker: Node) -> None:
        """Tell one of the two more of what it lacks, as it takes it in."""
        runs: list[Run] = []
        entries = 0
        for run in talk.told[taker.index]:
            runs.append(run)
            entries += run[3] - run[2] + 1
            if entries >= SYNC_SLICE:
                break
        if not runs or not (talk.node.running and talk.other.running):
            self._told(talk, taker)
            return
        taker.told += entries
        taker.busy_until = max(self.now, taker.busy_until) + taker.cost(runs)
        self.push(taker.busy_until, self._take, talk, taker, runs)

    def _take(self, talk: Talk, taker: Node, runs: Sequence[Run]) -> None:
        if taker.running:
            taker.take(runs)
        self._tell(talk, taker)

    def _told(self, talk: Talk, taker: Node) -> None:
        del talk.told[taker.index]
        node = talk.node
        if taker is node:
            talk.heard_all = True
        if not talk.told:
            node.syncs_out -= 1
            talk.other.syncs_in -= 1
            node.refusals = 0
        if talk.heard_all and (not talk.told or node.syncs_out < OUT_MOST):
            node.hears = talk.heard_all = False
            node.look()
