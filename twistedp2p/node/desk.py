"""The desk: what a face can ask of a node, and the stream of what happens.

A `Node` is put together from its rooms here and nowhere else. It needs no terminal and no
twistd: `tap` and `api` both open it.
"""

from __future__ import annotations

import ipaddress
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.lines import Sync, Tell
from twistedp2p.core.catalogue import Listing, Offer, Query
from twistedp2p.core.clock import HybridClock
from twistedp2p.core.datagrams.closed import Envelope, OpenEnvelope
from twistedp2p.core.datagrams.datagram import Signer, group_name
from twistedp2p.core.diagnosis import Diagnosis
from twistedp2p.core.diagnosis.findings import Finding
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import (
    Event,
    Said,
)
from twistedp2p.core.limits import counted_as
from twistedp2p.core.names import clean_name, clean_nick, fingerprint
from twistedp2p.core.presence.roster import Address, Peer, Pin, Roster
from twistedp2p.core.ticket import Ticket
from twistedp2p.disk.instance import Instance
from twistedp2p.disk.shelf import open_file
from twistedp2p.disk.store import Store
from twistedp2p.disk.taking import remove_left
from twistedp2p.net.dial import Dialer
from twistedp2p.net.fetch import Fetcher
from twistedp2p.net.group import Group
from twistedp2p.net.interfaces import Interface, choose, choose_present
from twistedp2p.net.lookup import addresses_of
from twistedp2p.net.mdns import Mdns
from twistedp2p.net.serve import FileService
from twistedp2p.net.sockets import SocketError, file_listeners
from twistedp2p.net.talk import Calls, Talks
from twistedp2p.net.tls import NodeTLS
from twistedp2p.node.chat import Chat
from twistedp2p.node.config import Config, Status
from twistedp2p.node.direct import DirectMessages
from twistedp2p.node.dispatch import Dispatch, Rooms
from twistedp2p.node.doctor import Doctor, Plan
from twistedp2p.node.faces import Faces
from twistedp2p.node.feeds import Feeds
from twistedp2p.node.getting import Sharing
from twistedp2p.node.holdings import Holdings
from twistedp2p.node.membership import Membership
from twistedp2p.node.memory import Notes
from twistedp2p.node.nicks import Nicks
from twistedp2p.node.own_key import OwnKey
from twistedp2p.node.pings import Pings
from twistedp2p.node.presence import Presence
from twistedp2p.node.progress import Courses
from twistedp2p.node.reach import Reach
from twistedp2p.node.renewal import Renewal
from twistedp2p.node.shares import Offered, Shares
from twistedp2p.node.shelves import Shelves
from twistedp2p.node.sync import Syncs
from twistedp2p.node.threads import Threads
from twistedp2p.node.tidings import Tidings
from twistedp2p.node.timetable import Timetable
from twistedp2p.node.transfers import Transfer, Transfers

TIDY_EVERY = 10.0  # seconds
CLOCK = "clock"  # counter: what the group's time was, milliseconds since 1970

_log = Logger()


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
        self._threads = Threads(reactor)
        self._faces = Faces()
        self._is_open = self._was_open = False
        self._renewal = Renewal(
            reactor, self._change_key, self._let_go, self._open_anew, self._faces.emit
        )
        self._open()

    def _open(self) -> None:
        """Become the node of our key: nothing is carried over from an earlier one."""
        self.key = Signer(self._instance.private_key, b"").key
        self._stopped = False
        self._tidying: IDelayedCall | None = None
        self._examining: Deferred[Diagnosis] | None = None
        self._notes = Notes()
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
            self._faces.emit,
            clock=self._reactor,
            wall=self._wall,
            in_thread=self._threads.run,
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

    def _interfaces(self) -> list[Interface]:
        if self._was_open:  # each was there at the start, and may come back
            return choose_present(self.config.interfaces)
        try:
            return choose(self.config.interfaces)
        except ValueError as error:
            raise ShareError("{why}", Exit.NO_INTERFACE, why=error) from error

    def _assemble(self) -> None:
        reactor, config = self._reactor, self.config
        self._courses = Courses(reactor.seconds, self._faces.emit)
        self._roster = Roster(
            self.key,
            self._pins_of_earlier_runs(),
            lambda key: self._notes.note(self._store.unpin, key),
        )
        self._nicks = Nicks(self.key, lambda: self._feeds.nick, self._roster)
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
            lookup=lambda host, port: self._threads.run(addresses_of, host, port),
            want_sync=lambda key: self._syncs.want(key),
            far=config.ttl > 1,
        )
        self._mdns = Mdns(
            reactor,
            self._threads.run,
            group=self._envelope.group.decode(),
            # Outsiders are not to know who is in a closed group.
            name=secrets.token_hex(8) if self.closed else fingerprint(self.key),
            port=config.port + 1,
            addresses=self._real_addresses,
            found=self._reach.found,
        )
        self._tidings = Tidings(
            self._store,
            self._roster,
            self._nicks,
            self._faces.emit,
            said=lambda entry, feed: self._chat.said(entry, feed),
            left=self._reach.left,
            wall=self._wall,
        )
        self._feeds = Feeds(
            self._store,
            Signer(self._instance.private_key, self._envelope.group),
            self._reach,
            self._tidings,
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
            self._faces.emit,
            clock=reactor,
            wall=self._wall,
        )
        self._presence = Presence(
            self._roster,
            self._tidings,
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
            self._faces.emit,
            clock=reactor,
            wall=self._wall,
            in_thread=self._threads.run,
            nick=lambda: self.nick,
            public_prs=self._envelope.public_prs,
        )
        self._holdings = Holdings(self._wall)
        tls = NodeTLS(self._instance.private_key)
        calls = Calls(Dialer(reactor, tls), self._envelope, reactor)
        rooms = Rooms(
            self._roster,
            self._own_key,
            self._reach,
            self._feeds,
            self._chat,
            self._presence,
            self._pings,
            self._tidings,
        )
        self._dispatch = Dispatch(
            self.key,
            rooms,
            self._faces.emit,
            closed=self.closed,
            group_time=group_time,
            links_changed=self._links_changed,
            clock=reactor,
            wall=self._wall,
        )
        self._syncs = Syncs(
            self._feeds,
            self._dispatch,
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
            calls,
            self._roster,
            self._nicks,
            self._faces.emit,
            has_reader=self._faces.has_reader,
            addresses_of=self._file_addresses,
            clock=reactor,
            wall=self._wall,
        )
        talks = Talks(self._envelope, {Sync: self._syncs.answer, Tell: self._direct.answer})
        self._service = FileService(
            tls,
            self.key,
            Shelves(self._shares, self._holdings),
            reactor,
            config.limits,
            talks,
            count_as=lambda host: counted_as(host, self._group.on_link),
        )
        self._transfers = Transfers(
            Fetcher(reactor, tls, self.key, self._threads.run),
            self._courses,
            self._faces.emit,
            clock=reactor,
            in_thread=self._threads.run,
            folder=config.download_folder,
            owner_changed=self._owner_changed,
            sharing=Sharing(self._holdings, self.file_port) if config.swarm else None,
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
        self._group.start(self._dispatch)
        self._presence.start()
        self._chat.start()
        self._reach.start()
        if self.config.mdns:
            self._mdns.start()
        self._shares.start()
        if self._membership is not None:
            self._membership.start()
        self._threads.run(remove_left, self.config.download_folder, self._wall())
        self._tidy_later()

    def _tidy_later(self, _: object = None) -> None:
        if not self._stopped:
            self._tidying = self._reactor.callLater(TIDY_EVERY, self._tidy)

    def _tidy(self) -> None:
        if self._group_time.read(self._now_ms()) > self._now_ms():
            self._keep_clock()
        done = self._threads.run(self._notes.note, self._store.tidy, self._now_ms())
        done.addErrback(lambda failure: _log.failure("tidying the memory", failure))
        done.addCallback(self._tidy_later)

    def _keep_clock(self) -> None:
        self._notes.note(self._store.set_counter, CLOCK, self._group_time.read(self._now_ms()))

    async def stop(self) -> None:
        """Say goodbye, stop the transfers, let go of everything."""
        await self._renewal.stop()
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
        await self._threads.at_rest()
        self._keep_clock()
        self._store.close()

    # -- what a face asks for

    def subscribe(
        self, face: Callable[[Event], None], *, reader: bool = False
    ) -> Callable[[], None]:
        """Have every event told to `face` from now on; call what is returned to end that.

        A `reader` shows direct messages to a person: they are refused where there is none.
        """
        return self._faces.subscribe(face, reader=reader)

    @property
    def nick(self) -> str:
        """Our nick, or our fingerprint where we have none."""
        return self._nicks.own()

    @property
    def closed(self) -> bool:
        """Whether only those who have the group's code know what is said and offered here."""
        return self._membership is not None

    def set_nick(self, nick: str) -> str:
        """Bear another nick from the next beacon on; returns it as cleaned."""
        self._feeds.nick = clean_nick(nick)
        self._tidings.note_present(self.key, True, self._feeds.nick)
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
        return self._nicks.of(key)

    def host_of(self, key: bytes) -> str:
        """The IP address of a node that is here, else an empty string."""
        address = self._address_of(key)
        return "" if address is None else address[0]

    def is_pinned(self, key: bytes) -> bool:
        """Whether that key is known from before."""
        return key in self._roster.pins

    def is_known(self, key: bytes, nick: str) -> bool:
        """Whether that nick on a line of that key can go without its fingerprint."""
        return self._nicks.is_known(key, nick)

    def say(self, text: str) -> None:
        """Say `text` (at most `longtext.MAX_TEXT` characters); raises `ShareError`."""
        self._chat.say(text)

    def send_direct(self, who: str, text: str) -> Deferred[None]:
        """Say `text` to one node's person alone: see `direct.DirectMessages.send`."""
        return self._direct.send(who, text)

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
        return self._threads.run(self._store.search, Query.parse(text), self.key, most)

    def get(self, offer: Offer, password: str = "", folder: Path | None = None) -> Transfer:
        """Fetch an offer of the catalogue."""
        return self._transfers.get(
            offer.name, password, lambda: self._file_addresses(offer.owner), offer, folder
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

        def addresses() -> list[tuple[str, int]]:
            return [(host, ticket.port) for host in self._group.ways_to(ticket.host)]

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
            self._reactor, plan, self._interfaces(), wall=self._wall, in_thread=self._threads.run
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
        rooms = self._group, self._dispatch, self._feeds, self._syncs, self._pings
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

    # -- what a membership and the links tell

    def codes_changed(self) -> None:
        """Which codes open the group's datagrams has changed (membership.Told)."""
        self._dispatch.codes_changed()
        self._shares.renew_public()

    def _links_changed(self) -> None:
        self._presence.hello()
        self._reach.links_changed()
        if self.config.mdns:
            self._mdns.links_changed()

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
        self._renewal.begin()

    def _change_key(self) -> None:
        self._instance.renew()
        self.config = attrs.evolve(self.config, nick=self._feeds.nick)

    def _open_anew(self) -> str:
        self._open()
        self.start()
        return fingerprint(self.key)
