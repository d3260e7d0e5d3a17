"""The desk: what a face can ask of a node, and the stream of what happens.

A `Node` is put together from its rooms here and nowhere else. It needs no terminal and no
twistd: `tap` and `api` both open it.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import random
import secrets
import socket as socket_module
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.lines import Sync, Tell
from twistedp2p.core.calls.sync import LivePeer
from twistedp2p.core.catalogue import Listing, Offer, Query
from twistedp2p.core.clock import HybridClock
from twistedp2p.core.datagrams.body import DAMAGED, BadBody
from twistedp2p.core.datagrams.closed import Envelope, OpenEnvelope
from twistedp2p.core.datagrams.datagram import Signed, Signer, group_name
from twistedp2p.core.diagnosis import Diagnosis
from twistedp2p.core.diagnosis.findings import Finding
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import (
    DirectMessage,
    Event,
    Joined,
    Left,
    Notice,
    OfferAdded,
    OfferGone,
    Renamed,
    Said,
)
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.core.limits import CappedTable, TokenBucket, counted_as
from twistedp2p.core.names import clean_line, clean_name, clean_nick, fingerprint, look_alike
from twistedp2p.core.presence.roster import MAX_PEERS, Address, Arrival, Peer, Pin, Roster
from twistedp2p.core.ticket import Ticket
from twistedp2p.disk.instance import Instance
from twistedp2p.disk.parts import remove_left
from twistedp2p.disk.shelf import open_file
from twistedp2p.disk.store import Store
from twistedp2p.net.dial import Dialer
from twistedp2p.net.fetch import Fetcher
from twistedp2p.net.group import Group
from twistedp2p.net.interfaces import Interface, choose, choose_present
from twistedp2p.net.lookup import addresses_of
from twistedp2p.net.mdns import Mdns
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.serve import FileService, Limits
from twistedp2p.net.sockets import SocketError, file_listeners
from twistedp2p.net.talk import Calls, Talks
from twistedp2p.net.tls import NodeTLS
from twistedp2p.node.chat import Chat
from twistedp2p.node.direct import DirectMessages
from twistedp2p.node.doctor import Doctor, Plan
from twistedp2p.node.feeds import Feeds
from twistedp2p.node.membership import Membership
from twistedp2p.node.memory import Notes
from twistedp2p.node.own_key import OwnKey
from twistedp2p.node.pings import Pings
from twistedp2p.node.presence import Presence
from twistedp2p.node.progress import Courses
from twistedp2p.node.reach import Reach
from twistedp2p.node.shares import Offered, Shares
from twistedp2p.node.sync import Syncs
from twistedp2p.node.timetable import Timetable
from twistedp2p.node.transfers import Transfer, Transfers

# A thousand nodes answer a newcomer at 50 a second; each new key costs a millisecond to take in.
STRANGERS_RATE, STRANGERS_BURST = 50.0, 500.0  # datagrams of keys that we know nothing of
MAX_EARLY = 1000  # offers heard before the first beacon of their owners
TIDY_EVERY = 10.0  # seconds
REST_PATIENCE, REST_LOOK = 5.0, 0.02  # seconds to wait for threads at the end; between two looks
OPEN_AGAIN = 5.0  # seconds until ports that are taken are tried again
CLOCK = "clock"  # counter: what the group's time was, milliseconds since 1970

_log = Logger()


def default_nick() -> str:
    """The user's name on this host, or the host's."""
    try:
        return clean_nick(getpass.getuser())
    except (KeyError, OSError):
        return clean_nick(socket_module.gethostname())


@attrs.frozen
class Config:
    """How a node is to run."""

    group: str = "239.0.0.1"
    port: int = 9392
    interfaces: Sequence[str] = ()  # names or addresses; empty: every usable one
    nick: str = attrs.field(factory=default_nick)
    download_folder: Path = attrs.field(factory=Path.cwd)
    file_port: int | None = None  # None: port + 1, or any free one
    ttl: int = 1  # routers plus one
    # Of a closed group: its code, or the file to read it from and to watch. None: an open group.
    code: str | Path | None = attrs.field(default=None, repr=False)
    peers: Sequence[tuple[str, int]] = ()  # hosts and UDP ports to greet, wherever they are
    mdns: bool = True
    limits: Limits = attrs.field(factory=Limits)


@attrs.frozen
class Status:
    """The line at the bottom of the screen."""

    nodes: int  # ourselves included
    offers: int
    transfers: int
    unicast_only: int = 0  # of the nodes: multicast does not pass between them and us
    loss: float | None = None  # of the multicast, 0 to 1; None: not known


class Node:
    """One node. Made with everything that can fail already done: ports are taken, memory is open.

    Raises `ShareError` when it cannot be made; nothing is left half started then.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        instance: Instance,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self._reactor = reactor
        self._wall = wall
        self._instance = instance
        self._to_thread = in_threads_of(reactor)
        self._in_threads = 0  # calls
        self._faces: list[Callable[[Event], None]] = []
        self._readers = 0
        self._is_open = self._was_open = self._quitting = False
        self._renewal: Deferred[None] | None = None
        self._open()

    def _open(self) -> None:
        """Become the node of our key: nothing is carried over from an earlier one."""
        self.key = Signer(self._instance.private_key, b"").key
        self._stopped = False
        self._tidying: IDelayedCall | None = None
        self._examining: Deferred[Diagnosis] | None = None
        self._sealed_told = False
        self._notes = Notes()
        self._clashes: CappedTable[bytes, bool] = CappedTable(MAX_PEERS)
        self._early: CappedTable[tuple[bytes, str], tuple[Signed, Offer]] = CappedTable(MAX_EARLY)
        self._strangers = TokenBucket.full(STRANGERS_RATE, STRANGERS_BURST, self._reactor.seconds())
        self._ports: list[Any] = []
        self._membership = self._become_member()
        self._store = Store(self._database(), self.key)
        with ExitStack() as opened:  # all, or nothing
            opened.callback(self._store.close)
            self._take_ports(opened)
            self._assemble()
            opened.pop_all()
        self._is_open = self._was_open = True

    def _become_member(self) -> Membership | None:
        """Of a closed group; the envelope of ours, whichever it is, is at hand then."""
        config = self.config
        group = group_name(config.group, config.port)
        if config.code is None:
            self._envelope: Envelope = OpenEnvelope(group)
            return None
        membership = Membership(
            group,
            config.code,
            self._instance,
            self,
            self._emit,
            clock=self._reactor,
            wall=self._wall,
            in_thread=self._in_thread,
        )
        self._envelope = membership.envelope
        return membership

    def _database(self) -> Path:
        if self._membership is not None:
            return self._membership.database
        return self._instance.database_of(self._envelope.group.decode("ascii"))

    def _take_ports(self, opened: ExitStack) -> None:
        config = self.config
        try:
            self._listening = file_listeners(
                config.port + 1 if config.file_port is None else config.file_port,
                fallback=config.file_port is None,
            )
            for sock in self._listening:
                opened.callback(sock.close)
            self.file_port: int = self._listening[0].getsockname()[1]
            self._group = Group(
                self._reactor,
                config.group,
                config.port,
                self._interfaces,
                ttl=config.ttl,
                envelope=self._envelope,
            )
            opened.callback(self._group.close)
        except SocketError as error:
            raise ShareError("{why}", Exit.PORT_TAKEN, why=error) from error

    def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run in a thread. Cancelling ends the waiting; the thread runs on, and counts as such."""
        self._in_threads += 1
        running = self._to_thread(call, *arguments)
        waiting: Deferred[Any] = Deferred()

        def ended(result: Any) -> None:
            self._in_threads -= 1
            if not waiting.called:
                waiting.callback(result)  # a Failure makes it fail

        running.addBoth(ended)
        return waiting

    def _interfaces(self) -> list[Interface]:
        if self._was_open:  # each was there at the start, and may come back
            return choose_present(self.config.interfaces)
        try:
            return choose(self.config.interfaces)
        except ValueError as error:
            raise ShareError("{why}", Exit.NO_INTERFACE, why=error) from error

    def _assemble(self) -> None:
        reactor, config = self._reactor, self.config
        self._courses = Courses(reactor.seconds, self._emit)
        self._roster = Roster(
            self.key,
            self._pins_of_earlier_runs(),
            lambda key: self._notes.note(self._store.unpin, key),
        )
        self._agenda = Timetable(reactor)
        last = max(self._store.latest_stamp(), self._store.counter(CLOCK))
        self._group_time = group_time = HybridClock(last, self._now_ms())
        since = group_time.read(self._now_ms())
        self._reach = Reach(
            self._group,
            self._store,
            config.peers,
            agenda=self._agenda,
            clock=reactor,
            wall=self._wall,
            random=random,
            port=config.port + 1,
            secret=os.urandom(16),
            peers=lambda: len(self._roster),
            message=lambda kind, body: self._feeds.message(kind, body),
            beacon=lambda direct, token: self._presence.beacon(direct, token),
            lookup=lambda host, port: self._in_thread(addresses_of, host, port),
            want_sync=lambda key: self._syncs.want(key),
            far=config.ttl > 1,
        )
        self._mdns = Mdns(
            reactor,
            self._in_thread,
            group=self._envelope.group.decode(),
            # Outsiders are not to know who is in a closed group.
            name=secrets.token_hex(8) if self.closed else fingerprint(self.key),
            port=config.port + 1,
            addresses=self._real_addresses,
            found=self._reach.found,
        )
        self._feeds = Feeds(
            self._store,
            Signer(self._instance.private_key, self._envelope.group),
            self._reach,
            self,
            agenda=self._agenda,
            clock=reactor,
            wall=self._wall,
            stamp=lambda: group_time.stamp(self._now_ms()),
            random=random.random,
            nick=config.nick,
            nodes=lambda: self._presence.nodes,
            address_of=self._address_of,
            sync_wanted=lambda partner: self._syncs.want(partner),
        )
        self._own_key = OwnKey(
            self._feeds, self, agenda=self._agenda, since=since, seconds=reactor.seconds
        )
        self._chat = Chat(
            self._store,
            self.key,
            group_time,
            self._feeds,
            self._reach,
            self,
            self._emit,
            clock=reactor,
            wall=self._wall,
        )
        self._presence = Presence(
            self._roster,
            self,
            self._feeds,
            agenda=self._agenda,
            clock=reactor,
            random=random.random,
            files=self.file_port,
            direct=self._reach.deaf,
        )
        self._pings = Pings(
            self.key,
            self._group,
            clock=reactor,
            message=self._feeds.message,
            files=self.file_port,
            nodes=lambda: len(self._roster) + 1,
        )
        self._shares = Shares(
            self._store,
            self.key,
            self,
            self._courses,
            self._emit,
            clock=reactor,
            wall=self._wall,
            in_thread=self._in_thread,
            nick=lambda: self.nick,
            public_prs=self._envelope.public_prs,
        )
        tls = NodeTLS(self._instance.private_key)
        calls = Calls(Dialer(reactor, tls), self._envelope, reactor)
        self._syncs = Syncs(
            self._feeds,
            self,
            calls,
            self._roster,
            addresses_of=self._file_addresses,
            own_key=self.key,
            group=self._envelope.group,
            together=self._store.together,
            clock=reactor,
            random=random.random,
        )
        self._direct = DirectMessages(
            self, calls, self._roster, addresses_of=self._file_addresses, clock=reactor
        )
        talks = Talks(self._envelope, {Sync: self._syncs.answer, Tell: self._direct.answer})
        self._service = FileService(
            tls,
            self.key,
            self._shares,
            reactor,
            config.limits,
            talks,
            count_as=lambda host: counted_as(host, self._group.on_link),
        )
        self._transfers = Transfers(
            Fetcher(reactor, tls, self.key, self._in_thread),
            self._courses,
            self._emit,
            clock=reactor,
            in_thread=self._in_thread,
            folder=config.download_folder,
            owner_changed=self._owner_changed,
            public_prs=self._envelope.public_prs,
        )

    def _pins_of_earlier_runs(self) -> dict[bytes, Pin]:
        """Those pins as of the reactor's clock, which jumps less than the time of day."""
        now, wall = self._reactor.seconds(), self._wall()
        pins = {}
        for key, nick, first, seen in self._store.pins():
            last = now - max(0.0, wall - seen / 1000)
            pins[key] = Pin(nick, last - max(0, seen - first) / 1000, last, last)
        return pins

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)

    # -- life

    def start(self) -> None:
        """Listen, say hello, watch the offered files."""
        factory = self._service.listening_factory()
        for sock in self._listening:
            self._ports.append(self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory))
            sock.close()
        self._group.start(self)
        self._presence.start()
        self._chat.start()
        self._reach.start()
        if self.config.mdns:
            self._mdns.start()
        self._shares.start()
        if self._membership is not None:
            self._membership.start()
        self._in_thread(remove_left, self.config.download_folder, self._wall())
        self._tidy_later()

    def _tidy_later(self, _: object = None) -> None:
        if not self._stopped:
            self._tidying = self._reactor.callLater(TIDY_EVERY, self._tidy)

    def _tidy(self) -> None:
        if self._group_time.read(self._now_ms()) > self._now_ms():
            self._keep_clock()
        done = self._in_thread(self._notes.note, self._store.tidy, self._now_ms())
        done.addErrback(lambda failure: _log.failure("tidying the memory", failure))
        done.addCallback(self._tidy_later)

    def _keep_clock(self) -> None:
        self._notes.note(self._store.set_counter, CLOCK, self._group_time.read(self._now_ms()))

    async def stop(self) -> None:
        """Say goodbye, stop the transfers, let go of everything."""
        self._quitting = True
        if self._renewal is not None:
            await self._renewal
        if self._is_open:
            self._presence.stop()
            await self._let_go()
        self._instance.release()

    async def _let_go(self) -> None:
        """Stop all rooms, without a word to the others."""
        self._stopped, self._is_open = True, False
        if self._tidying is not None and self._tidying.active():
            self._tidying.cancel()
        if self._examining is not None:
            self._examining.cancel()
        self._shares.stop()
        if self._membership is not None:
            self._membership.stop()
        self._transfers.stop()
        self._syncs.stop()
        self._direct.stop()
        self._chat.stop()
        self._reach.stop()
        self._mdns.stop()
        self._agenda.clear()
        await self._group.close()
        for port in self._ports:
            await port.stopListening()
        self._service.cut()
        await self._threads_at_rest()
        self._keep_clock()
        self._store.close()

    async def _threads_at_rest(self) -> None:
        """Wait for what a stopped transfer has yet to remove from the disk."""
        until = self._reactor.seconds() + REST_PATIENCE
        while self._in_threads and self._reactor.seconds() < until:
            await deferLater(self._reactor, REST_LOOK)

    # -- what a face asks for

    def subscribe(
        self, face: Callable[[Event], None], *, reader: bool = False
    ) -> Callable[[], None]:
        """Have every event told to `face` from now on; call what is returned to end that.

        A `reader` shows direct messages to a person: they are refused where there is none.
        """
        self._faces.append(face)
        self._readers += reader

        def end() -> None:
            self._faces.remove(face)
            self._readers -= reader

        return end

    def _emit(self, event: Event) -> None:
        for face in list(self._faces):
            try:
                face(event)
            except Exception:
                _log.failure("a face failed")

    @property
    def nick(self) -> str:
        """Our nick, or our fingerprint where we have none."""
        return self._feeds.nick or fingerprint(self.key)

    @property
    def closed(self) -> bool:
        """Whether only those who have the group's code know what is said and offered here."""
        return self._membership is not None

    def set_nick(self, nick: str) -> str:
        """Bear another nick from the next beacon on; returns it as cleaned."""
        self._feeds.nick = clean_nick(nick)
        self._note_present(self.key, True, self._feeds.nick)
        self._presence.changed()
        return self.nick

    def status(self) -> Status:
        """How many are here, offer, and are moving."""
        return Status(
            len(self._roster) + 1,
            self._store.count_offers(),
            len(self._courses),
            sum(self._reach.unicast_only(peer.key) for peer in self._roster.peers()),
            self._reach.loss(),
        )

    def way_to(self, key: bytes) -> tuple[bool, float | None]:
        """Whether a peer is reached by unicast only; the part of its multicast that is lost."""
        return self._reach.unicast_only(key), self._reach.loss(key)

    def peers(self) -> list[Peer]:
        """Everybody else who is here, by nick."""
        return sorted(self._roster.peers(), key=lambda peer: (peer.nick.casefold(), peer.key))

    def nick_of(self, key: bytes) -> str:
        """What to call a node: its nick, or its fingerprint; both where others look like it."""
        if key == self.key:
            return self.nick
        return self._shown(key, self._nick_heard(key))

    def _nick_heard(self, key: bytes) -> str:
        peer = self._roster.peer(key)
        return peer.nick if peer is not None else self._pinned_nick(key) or ""

    def _pinned_nick(self, key: bytes) -> str | None:
        pin = self._roster.pins.get(key)
        return pin.nick if pin is not None else None

    def _shown(self, key: bytes, nick: str) -> str:
        if nick and nick == self._nick_heard(key) and key not in self._clashes:
            return nick
        return f"{nick} ({fingerprint(key)})" if nick else fingerprint(key)

    def host_of(self, key: bytes) -> str:
        """The IP address of a node that is here, else an empty string."""
        address = self._address_of(key)
        return "" if address is None else address[0]

    def is_known(self, key: bytes, nick: str) -> bool:
        """Whether that nick on a line of that key can go without its fingerprint."""
        return key not in self._clashes and self._pinned_nick(key) == nick

    def say(self, text: str) -> None:
        """Say `text` (at most `longtext.MAX_TEXT` characters); raises `ShareError`."""
        self._chat.say(text)

    def send_direct(self, who: str, text: str) -> Deferred[None]:
        """Say `text` to one node's person alone: see `direct.DirectMessages.send`."""

        def sent(shown: tuple[Peer, str]) -> None:
            self._emit(self._direct_message(shown[0].key, shown[1], own=True))

        return self._direct.send(who, text).addCallback(sent)

    def last_said(self, most: int) -> list[Said]:
        """The last `most` signed lines of everybody, this run's and earlier ones', oldest first."""
        return self._chat.last_said(most)

    def offer(self, path: str, password: str = "", public: bool = False) -> Deferred[Offered]:
        """Offer a file; fires when the group has been told, or fails with `ShareError`."""
        return Deferred.fromCoroutine(self._shares.offer(path, password, public))

    def check_file(self, path: str) -> None:
        """Raise `ShareError` where that file could not be offered."""
        os.close(open_file(os.path.expanduser(path)))

    def withdraw(self, name: str) -> None:
        """Offer a file no more; raises `ShareError`."""
        self._shares.withdraw(name)

    def own_offers(self, most: int = 200) -> list[Offer]:
        """The first `most` of what this node offers, by name."""
        return self._store.offers_of(self.key, most)

    def ticket(self, name: str, password: str) -> Ticket:
        """What somebody pastes to fetch an own offer."""
        host = next(iter(self._group.addresses()), "127.0.0.1")  # no network: this host alone
        return Ticket(host, self.file_port, password, name)

    def search(self, text: str = "", most: int = 200) -> Deferred[list[Listing]]:
        """What is on offer, best match first; everything, latest first, for an empty text."""
        return self._in_thread(self._store.search, Query.parse(text), self.key, most)

    def get(self, offer: Offer, password: str = "", folder: Path | None = None) -> Transfer:
        """Fetch an offer of the catalogue."""
        return self._transfers.get(
            offer.name, password, self._file_addresses(offer.owner), offer, folder
        )

    def get_ticket(self, ticket: Ticket, folder: Path | None = None) -> Transfer:
        """Fetch by ticket; where one node alone can be meant, its key is required too."""
        name = clean_name(ticket.name)
        offers = [
            offer
            for peer in self._roster.peers()
            if peer.files == ticket.port and any(a[0] == ticket.host for a in peer.addresses)
            if (offer := self._store.offer(peer.key, name)) is not None
        ]
        if len(offers) == 1:
            return self.get(offers[0], ticket.password, folder)
        addresses = [(host, ticket.port) for host in self._group.ways_to(ticket.host)]
        return self._transfers.get(name, ticket.password, addresses, None, folder)

    def _owner_changed(self, host: str, port: int, key: bytes) -> bool:
        now_ms = self._now_ms()
        return bool(self._notes.note(self._store.owner_changed, host, port, key, now_ms))

    def get_running(self) -> list[Transfer]:
        """The gets that are under way."""
        return self._transfers.running()

    def examine(self, told: Callable[[Finding], object]) -> Deferred[Diagnosis]:
        """Look for what keeps nodes from each other; some 15 s. `told` is called with each finding.

        Raises `ShareError` where that is done already; fails with it when the node stops.
        """
        if self._examining is not None:
            raise ShareError(N_("The doctor is looking already."))
        config = self.config
        peers = [(each.nick or each.addresses[0][0], each.addresses[0]) for each in self.peers()]
        here = {address[0] for _, address in peers}
        peers += [each for each in self._reach.named() if each[1][0] not in here]
        networks = self._group.networks()
        remembered = [host for each in networks for host in self._store.hosts_on(each)]
        plan = Plan(
            config.group,
            config.port,
            config.ttl,
            peers,
            remembered,
            self._envelope,
            asked_for=bool(config.interfaces),
        )
        doctor = Doctor(
            self._reactor, plan, self._interfaces(), wall=self._wall, in_thread=self._in_thread
        )
        self._examining = Deferred.fromCoroutine(doctor.examine(told))
        return self._examining.addBoth(self._examined)

    def _examined(self, result: Any) -> Any:
        self._examining = None
        if isinstance(result, Failure) and result.check(CancelledError):
            raise ShareError(N_("Stopped."))
        return result

    def dropped(self) -> dict[str, int]:
        """Datagrams that were dropped, and why."""
        rooms = self._group, self._feeds, self._syncs, self._pings
        return dict(sum((room.dropped for room in rooms), Counter[str]()))

    def _file_addresses(self, owner: bytes) -> list[tuple[str, int]]:
        peer = self._roster.peer(owner)
        if peer is None or not peer.files:
            return []
        hosts = dict.fromkeys(address[0] for address in peer.addresses)
        return [(host, peer.files) for host in sorted(hosts, key=lambda host: ":" in host)]

    def _real_addresses(self) -> list[str]:
        addresses = self._group.addresses()
        return [each for each in addresses if not ipaddress.ip_address(each).is_loopback]

    def _address_of(self, key: bytes) -> Address | None:
        peer = self._roster.peer(key)
        return self._reach.address(key) if peer is not None else None

    # -- what our feed tells (shares.Publishing)

    def publish_offer(self, offer: Offer) -> None:
        """Tell the group of an own offer."""
        self._feeds.publish_offer(offer)

    def publish_withdraw(self, name: str, body: str) -> None:
        """Tell the group that an own offer is no more."""
        self._feeds.publish_withdraw(name, body)

    # -- what the group tells (net.group.Listener)

    def is_pinned(self, key: bytes) -> bool:
        """Whether that key is known from before."""
        return key in self._roster.pins

    def links_changed(self) -> None:
        """An interface came or went, or the host has slept."""
        self._presence.hello()
        self._reach.links_changed()
        if self.config.mdns:
            self._mdns.links_changed()

    def plain_heard(self, text: str, address: Address) -> None:
        """Plain text of a script: shown as what it is."""
        line = clean_line(text).strip()
        if line:
            self._emit(Said(line, "", None, address[0], self._now_ms()))

    def sealed_heard(self) -> None:
        """A closed group is here whose code we do not have: said once."""
        if self._sealed_told:
            return
        self._sealed_told = True
        if self._membership is None:
            self._emit(Notice(N_("A closed group is here too; ask for its code."), {}))
        else:
            sentence = N_("Another closed group is here too, or some have another code than you.")
            self._emit(Notice(sentence, {}))

    def codes_changed(self) -> None:
        """Which codes open the group's datagrams has changed (membership.Told)."""
        self._sealed_told = False
        self._shares.renew_public()

    def signed_heard(self, message: Signed, address: Address, direct: bool) -> None:
        """A datagram of another node, its signature checked."""
        if message.key == self.key:
            self._own_key.heard(message)
            self._group_time.follow(message.stamp, self._now_ms())
            return
        if self.is_stranger(message.key) and not self._strangers.take(self._reactor.seconds()):
            self._group.dropped[N_("too many strangers")] += 1
            return
        try:
            if message.log is not None:
                self._feeds.heard_entry(message)
            else:
                fresh = self._roster.fresh(message)
                self._reach.heard(message, address, direct, fresh)
                if fresh:
                    self._chat.heard_clock(message)
                    self._presence.alive(message.key, direct)
                    self._message_heard(message, address, direct)
        except BadBody:
            self._group.dropped[DAMAGED] += 1

    def is_stranger(self, key: bytes) -> bool:
        """Whether nothing is known of that key yet."""
        return not (
            self.is_pinned(key) or self._feeds.follows(key) or self._roster.peer(key) is not None
        )

    def _message_heard(self, message: Signed, address: Address, direct: bool) -> None:
        if message.kind in ("beacon", "hello"):
            came = self._roster.peer(message.key) is None
            beacon = self._presence.heard(message, address, direct)
            self._reach.heard_beacon(message, beacon, address, direct)
            self._feeds.heard_beacon(message, beacon, address)
            self._note_present(message.key, True, message.nick)
            if came:
                self._tell_early(message.key)
        elif message.kind == "bye":
            self._presence.heard_bye(message)
        elif message.kind in ("ask", "vector") and not self._reach.may_answer(address, direct):
            self._group.dropped[N_("an ask from elsewhere")] += 1
        elif message.kind == "ping":
            self._pings.heard(message, address, direct)
        elif message.kind != "pong":
            self._feeds.heard(message, address, direct, self._reach.is_proved(address[0]))

    def _note_present(self, key: bytes, present: bool, nick: str) -> None:
        self._notes.note(self._store.set_present, key, present, nick, self._now_ms())

    # -- what our own key tells (own_key.Told)

    def log_lost(self, epoch: int) -> None:
        """Our log is not what the others have of it."""
        if self._notes.note(self._feeds.begin_epoch, epoch) is not None:
            self._chat.said_anew()
            self._shares.tell_again()

    def be_heard(self) -> None:
        """Somebody who came after us may have our key, and takes another one on hearing us."""
        self._presence.changed()

    def twin_stays(self) -> None:
        """Somebody has our key, and was here before us."""
        if self._renewal is None and not self._quitting:
            self._renewal = Deferred.fromCoroutine(self._renew())
            self._renewal.addErrback(lambda failure: _log.failure("a new identity", failure))

    async def _renew(self) -> None:
        """Become another node: all rooms are made anew, for our key is in every one of them."""
        await deferLater(self._reactor, 0)  # out of what told it
        try:
            self._instance.renew()
        except ShareError as error:  # it is not tried again: a twin is told of every few seconds
            self._emit(Notice(error.sentence, error.values))
            return
        self.config = attrs.evolve(self.config, nick=self._feeds.nick)
        await self._let_go()
        while not (self._quitting or self._is_open):
            try:
                self._open()
            except ShareError as error:
                self._emit(Notice(error.sentence, error.values))
                await deferLater(self._reactor, OPEN_AGAIN)
        if self._is_open:
            self._renewal = None
            self.start()
            why = N_("Another node has the identity of this one (a copy?), so it is {key} now.")
            self._emit(Notice(why, {"key": fingerprint(self.key)}))

    # -- what the roster tells (presence.Told)

    def arrived(self, arrival: Arrival, address: Address) -> None:
        """A beacon was taken in."""
        peer = arrival.peer
        if not arrival.joined and arrival.old_nick is None:
            return
        twin = self._twin(arrival)
        nick = peer.nick or fingerprint(peer.key)
        if arrival.joined:
            self._emit(Joined(peer.key, nick, address[0], twin))
        else:
            old = arrival.old_nick or fingerprint(peer.key)
            self._emit(Renamed(peer.key, nick, old, twin))

    def _twin(self, arrival: Arrival) -> bytes | None:
        """Whose nick that of the newcomer looks like; from now on both go with fingerprints."""
        peer, twin = arrival.peer, arrival.looks_like
        if peer.nick and look_alike(peer.nick) == look_alike(self._feeds.nick):
            twin = self.key
        if twin is None:
            self._clashes.pop(peer.key)
            return None
        for key in (peer.key, twin):
            self._clashes.put(key, True)
        return twin

    def departed(self, peer: Peer, goodbye: bool) -> None:
        """A node went."""
        self._reach.left(peer.key)
        self._note_present(peer.key, False, peer.nick)
        self._emit(Left(peer.key, peer.nick or fingerprint(peer.key), goodbye))

    def pinned(self, peer: Peer) -> None:
        """A key is to be remembered."""
        self._notes.note(self._store.pin, peer.key, peer.nick, self._now_ms())

    # -- what the feeds tell (feeds.Told)

    def said(self, entry: Signed, feed: Feed) -> None:
        """A line of chat, for the first time."""
        self._chat.said(entry, feed)

    def offered(self, entry: Signed, offer: Offer) -> None:
        """An offer of another node, for the first time."""
        if self._roster.peer(entry.key) is not None:
            self._emit(OfferAdded(offer, self._shown(entry.key, entry.nick)))
        else:  # whoever is told can search and get it: not before its owner is known to be here
            self._early.put((entry.key, offer.name), (entry, offer))

    def _tell_early(self, owner: bytes) -> None:
        for key, early in self._early.items():
            if key[0] == owner:
                self._early.pop(key)
                self.offered(*early)

    def withdrawn(self, entry: Signed, name: str) -> None:
        """An offer of another node is no more."""
        if self._early.pop((entry.key, name)) is None:
            self._emit(OfferGone(name, entry.key, self._shown(entry.key, entry.nick)))

    # -- what those say who call (direct.Told)

    def has_reader(self) -> bool:
        """Whether a person is there to see direct messages."""
        return self._readers > 0

    def is_clashing(self, key: bytes) -> bool:
        """Whether another node bears, or bore, a nick that looks like that node's."""
        return key in self._clashes

    def direct_heard(self, key: bytes, text: str) -> None:
        """A message for us alone."""
        self._emit(self._direct_message(key, text, own=False))

    def _direct_message(self, key: bytes, text: str, *, own: bool) -> DirectMessage:
        nick = self._nick_heard(key)
        stamp = int(self._wall() * 1000)
        known = self.is_known(key, nick)
        return DirectMessage(text, nick or fingerprint(key), key, stamp, own, known or not nick)

    # -- what partners say (sync.Told)

    def synced(self, entry: Signed) -> None:
        """An entry that a partner kept."""
        if entry.key == self.key:
            self._own_key.heard(entry)
        else:
            self._feeds.heard_entry(entry, synced=True)

    def unkept(self, origins: Iterable[bytes]) -> None:
        """The disk refused what partners told of these last."""
        for origin in origins:
            self._feeds.forget_unkept(origin)

    def peers_learnt(self, peers: Sequence[LivePeer]) -> None:
        """Nodes that are here, as a partner says."""
        self._reach.learnt(
            (peer.host, peer.port)
            for peer in peers
            if peer.key != self.key and self._roster.peer(peer.key) is None
        )
