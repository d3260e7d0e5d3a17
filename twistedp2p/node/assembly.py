"""The rooms of one node: put together here and nowhere else, opened, and let go of."""

from __future__ import annotations

import ipaddress
import os
import random
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs

from twistedp2p.core.calls.lines import Sync, Tell
from twistedp2p.core.datagrams.closed import Envelope, OpenEnvelope
from twistedp2p.core.datagrams.datagram import Signed, Signer, group_name
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.limits import counted_as
from twistedp2p.core.names import fingerprint
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import Ping
from twistedp2p.core.presence.roster import Roster
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.state.instance import Instance
from twistedp2p.net.dial import Dialer
from twistedp2p.net.fetch import Fetcher
from twistedp2p.net.group import Group
from twistedp2p.net.interfaces import Interface, UnknownInterface, choose, choose_present
from twistedp2p.net.lookup import addresses_of
from twistedp2p.net.mdns import Mdns
from twistedp2p.net.serve import FileService
from twistedp2p.net.sockets import SocketError, file_listeners
from twistedp2p.net.talk import Calls, Talks
from twistedp2p.net.tls import NodeTLS
from twistedp2p.node.config import Config
from twistedp2p.node.diagnosis.examination import Examination, LooksAt
from twistedp2p.node.dispatch import Dispatch, Rooms
from twistedp2p.node.downloads.getting import Sharing
from twistedp2p.node.downloads.holdings import Holdings
from twistedp2p.node.downloads.leftovers import Leftovers
from twistedp2p.node.downloads.transfers import Transfers
from twistedp2p.node.faces import Faces
from twistedp2p.node.feeds.feeds import Feeds
from twistedp2p.node.feeds.own_key import OwnKey
from twistedp2p.node.feeds.sync import Syncs
from twistedp2p.node.memory import Notes
from twistedp2p.node.messages.chat import Chat
from twistedp2p.node.messages.direct import DirectMessages
from twistedp2p.node.offers.serving import Serving
from twistedp2p.node.offers.shared_folder import SharedFolder
from twistedp2p.node.offers.shares import Shares
from twistedp2p.node.offers.shelves import Shelves
from twistedp2p.node.presence.membership import Membership
from twistedp2p.node.presence.nicks import Nicks
from twistedp2p.node.presence.others import Others
from twistedp2p.node.presence.pings import Pings
from twistedp2p.node.presence.presence import Presence, pins_of_earlier_runs
from twistedp2p.node.presence.reach import Reach
from twistedp2p.node.presence.tidings import Tidings
from twistedp2p.node.progress import Courses
from twistedp2p.node.renewal import Renewal
from twistedp2p.node.threads import Threads
from twistedp2p.node.tidying import Tidying
from twistedp2p.node.timetable import Timetable


class Assembly:
    """One node, without what a face asks of it (see `desk`).

    Made with everything that can fail already done: ports are taken, memory is open. Raises
    `ShareError` when it cannot be made; nothing is left half started then.
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
            raise ShareError("{why}", Exit.PORT_TAKEN, why=error.words) from error

    def _interfaces(self) -> list[Interface]:
        if self._was_open:  # each was there at the start, and may come back
            return choose_present(self.config.interfaces)
        try:
            return choose(self.config.interfaces)
        except UnknownInterface as error:
            raise ShareError("{why}", Exit.NO_INTERFACE, why=error.words) from error

    # -- the rooms

    def _assemble(self) -> None:
        self._assemble_presence()
        self._assemble_feeds()
        self._assemble_files()
        self._assemble_dispatch()
        self._assemble_calls()
        self._examination = Examination(
            self._reactor, self.config, self._doctor_looks_at, self._threads.run, wall=self._wall
        )

    def _assemble_presence(self) -> None:
        """Who is here, and how each is reached."""
        reactor, config = self._reactor, self.config
        self._courses = Courses(reactor.seconds, self._faces.emit)
        self._roster = Roster(
            self.key,
            pins_of_earlier_runs(self._store, reactor.seconds(), self._wall()),
            lambda key: self._notes.note(self._store.unpin, key),
        )
        self._nicks = Nicks(self.key, lambda: self._feeds.own.nick, self._roster)
        self._agenda = Timetable(reactor)
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
            message=lambda kind, body: self._feeds.own.message(kind, body),
            beacon=lambda direct, token: self._presence.beacon(direct, token),
            lookup=lambda host, port: self._threads.run(addresses_of, host, port),
            want_sync=lambda key: self._syncs.want(key),
            far=config.ttl > 1,
        )
        self._others = Others(self._roster, self._nicks, self._reach, self._group)
        self._mdns = Mdns(
            reactor,
            self._threads.run,
            group=self._envelope.group.decode(),
            # Outsiders are not to know who is in a closed group.
            name=secrets.token_hex(8) if self._membership is not None else fingerprint(self.key),
            port=config.port + 1,
            addresses=self._real_addresses,
            found=self._reach.found,
        )

    def _assemble_feeds(self) -> None:
        """What all publish, and what of it is said."""
        reactor = self._reactor
        self._tidying = Tidying(
            self._store, clock=reactor, wall=self._wall, in_thread=self._threads.run
        )
        self._group_time = group_time = self._tidying.group_time
        since = group_time.read(self._now_ms())
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
            nick=self.config.nick,
            nodes=lambda: self._presence.nodes,
            address_of=self._others.address_of,
            sync_wanted=lambda partner: self._syncs.want(partner),
        )
        self._own_key = OwnKey(
            self._feeds.own,
            self,
            agenda=self._agenda,
            since=since,
            seconds=reactor.seconds,
            draw=lambda: secrets.token_hex(8),
        )
        self._chat = Chat(
            self._store,
            self.key,
            group_time,
            self._feeds,
            self._reach,
            self._others,
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

    def _assemble_files(self) -> None:
        """What we offer, and what we get. Both ends of the file conversation."""
        reactor = self._reactor
        self._tls = NodeTLS(self._instance.private_key)
        self._shares = Shares(
            self._store,
            self.key,
            self._feeds,
            self._courses,
            self._faces.emit,
            clock=reactor,
            wall=self._wall,
            in_thread=self._threads.run,
            nick=self._nicks.own,
            public_prs=self._envelope.public_prs,
        )
        self._shared = [
            SharedFolder(
                path,
                self._shares,
                self._faces.emit,
                lambda face: self._faces.subscribe(face, reader=False),
                password=self.config.shared_password,
                public=self.config.shared_public,
                clock=reactor,
                in_thread=self._threads.run,
            )
            for path in self.config.shared
        ]
        self._serving = Serving(self._shares, self._store, self._courses, clock=reactor)
        self._holdings = Holdings(reactor.seconds)
        self._leftovers = Leftovers(
            self._store,
            self.config.download_folder,
            clock=reactor,
            wall=self._wall,
            in_thread=self._threads.run,
        )
        self._transfers = Transfers(
            Fetcher(Dialer(reactor, self._tls), self.key, reactor, self._threads.run),
            self._courses,
            self._faces.emit,
            clock=reactor,
            in_thread=self._threads.run,
            folder=self.config.download_folder,
            goes_to=self._leftovers.goes_to,
            sharing=(
                Sharing(
                    self._holdings,
                    self.file_port,
                    self._others.may_be_a_node,
                    self._others.file_services_but,
                )
                if self.config.swarm
                else None
            ),
            owner_changed=self._owner_changed,
            public_prs=self._envelope.public_prs,
        )

    def _assemble_dispatch(self) -> None:
        """To whom datagrams are told."""
        self._pings = Pings(
            self.key,
            self._group,
            clock=self._reactor,
            wall=self._wall,
            message=self._feeds.own.message,
            files=self.file_port,
            nodes=lambda: len(self._roster) + 1,
        )
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
            closed=self._membership is not None,
            group_time=self._group_time,
            links_changed=self._links_changed,
            count_as=self._count_as,
            clock=self._reactor,
            wall=self._wall,
        )

    def _assemble_calls(self) -> None:
        """Those that go out, and the one port where all come in."""
        reactor = self._reactor
        calls = Calls(Dialer(reactor, self._tls), self._envelope, reactor)
        self._syncs = Syncs(
            self._feeds,
            self._dispatch,
            calls,
            self._roster,
            addresses_of=self._others.file_addresses,
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
            addresses_of=self._others.file_addresses,
            clock=reactor,
            wall=self._wall,
        )
        talks = Talks(self._envelope, {Sync: self._syncs.answer, Tell: self._direct.answer})
        self._service = FileService(
            self._tls,
            self.key,
            Shelves(self._serving, self._holdings),
            reactor,
            self.config.limits,
            talks,
            count_as=self._count_as,
        )

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
        for folder in self._shared:
            folder.start()
        if self._membership is not None:
            self._membership.start()
        self._leftovers.start()
        self._tidying.start()

    async def stop(self) -> None:
        """Say goodbye, stop the transfers, let go of everything."""
        await self._renewal.stop()
        if self._is_open:
            self._presence.goodbye()
            await self._let_go()
        self._instance.release()

    async def _let_go(self) -> None:
        """Stop all rooms, without a word to the others."""
        self._is_open = False
        self._tidying.stop()
        self._leftovers.stop()
        self._examination.stop()
        for folder in self._shared:
            folder.stop()
        self._shares.stop()
        if self._membership is not None:
            self._membership.stop()
        self._transfers.stop()
        self._holdings.stop()
        self._syncs.stop()
        self._direct.stop()
        self._chat.stop()
        self._presence.stop()
        self._reach.stop()
        self._mdns.stop()
        self._agenda.clear()
        await self._group.close()
        for port in self._ports:
            await port.stopListening()
        self._service.cut()
        await self._threads.at_rest()
        self._tidying.keep_time()
        self._store.close()

    # -- what rooms ask of each other

    def _real_addresses(self) -> list[str]:
        addresses = self._group.addresses()
        return [each for each in addresses if not ipaddress.ip_address(each).is_loopback]

    def _owner_changed(self, host: str, port: int, key: bytes) -> bool:
        now_ms = self._now_ms()
        return bool(self._notes.note(self._store.owner_changed, host, port, key, now_ms))

    def _count_as(self, host: str) -> str:
        return counted_as(host, self._group.on_link)

    def is_known(self, key: bytes, nick: str) -> bool:
        """Whether that nick on a line of that key can go without its fingerprint."""
        return self._nicks.is_known(key, nick)

    def _doctor_looks_at(self) -> LooksAt:
        networks = self._group.networks()
        return LooksAt(
            self.key,
            self._roster.peers(),
            self._reach.named(),
            [host for each in networks for host in self._store.hosts_on(each)],
            self._envelope,
            self._interfaces(),
        )

    # -- what a membership, the links and our own key tell (membership.Told, own_key.Told)

    def codes_changed(self) -> None:
        """Which codes open the group's datagrams has changed (membership.Told)."""
        self._dispatch.codes_changed()
        self._shares.renew_public()

    def _links_changed(self) -> None:
        self._presence.hello()
        self._reach.links_changed()
        if self.config.mdns:
            self._mdns.links_changed()

    def log_lost(self, epoch: int) -> None:
        """Our log is not what the others have of it."""
        if self._notes.note(self._feeds.begin_epoch, epoch) is not None:
            self._chat.said_anew()
            self._shares.tell_again()

    def be_heard(self) -> None:
        """Somebody who came after us may have our key, and takes another one on hearing us."""
        self._presence.changed()

    def ping(self, ping: Ping, address: Address) -> None:
        """Somebody there may have our key: who has it can answer."""
        self._feeds.reply("ping", ping.write(), address)

    def answer(self, ping: Signed, address: Address) -> None:
        """Somebody there has our key, or replays who had it, and pings us."""
        self._pings.heard(ping, address, True)

    def twin_stays(self) -> None:
        """Somebody has our key, and was here before us."""
        self._renewal.begin()

    def _change_key(self) -> None:
        self._instance.renew()
        self.config = attrs.evolve(self.config, nick=self._feeds.own.nick)

    def _open_anew(self) -> str:
        self._open()
        self.start()
        return fingerprint(self.key)
