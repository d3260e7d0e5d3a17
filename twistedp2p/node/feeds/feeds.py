"""Publishing our feed and following those of the others, so that nothing said or offered is lost.

What we publish is kept before it is sent: see `own_feed`. What others publish is kept once,
whichever way and however often it comes. When to ask, to answer and to tell is for
`core.feeds.gossip` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.catalogue import Offer, read_withdraw
from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import DAMAGED, BadBody
from twistedp2p.core.datagrams.datagram import Signed, Signer
from twistedp2p.core.feeds.feed import CHAT_BACKLOG, LOG_NAMES, Feed, Have, Heads
from twistedp2p.core.feeds.gossip import Gossip
from twistedp2p.core.feeds.requests import Ask, Gone, Vector, read_heads
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import Beacon
from twistedp2p.disk.memory.store import Store
from twistedp2p.node.feeds.own_feed import OwnFeed
from twistedp2p.node.memory import Notes

SLICE = 100  # entries read at once
FORGET_EVERY = 3600.0  # seconds between two looks at who was not here for long


class Sending(Protocol):
    """What of `net.group.Group` is needed to send."""

    def say(self, data: bytes) -> bool: ...

    def tell(self, data: bytes) -> bool: ...

    def reply(self, data: bytes, address: Address) -> bool: ...


class Told(Protocol):
    """Who is told of new entries, each once."""

    def said(self, entry: Signed, feed: Feed) -> None: ...  # which is also to be kept

    def offered(self, entry: Signed, offer: Offer) -> None: ...

    def withdrawn(self, entry: Signed, name: str) -> None: ...


class Feeds:
    """All feeds as one node knows them.

    `wall` is the time of day in seconds since 1970, `stamp` gives stamps of the group's time.
    `nodes` counts the group, ourselves included. `sync_wanted` is told with whom to exchange, over
    TCP, all that either lacks: with the node of that key, or None for any.
    """

    def __init__(
        self,
        store: Store,
        signer: Signer,
        sending: Sending,
        told: Told,
        *,
        agenda: Agenda,
        clock: Any,
        wall: Callable[[], float],
        stamp: Callable[[], int],
        random: Callable[[], float],
        nick: str,
        nodes: Callable[[], int],
        address_of: Callable[[bytes], Address | None],
        sync_wanted: Callable[[bytes | None], bool],
    ) -> None:
        self._store = store
        self._sending = sending
        self._told = told
        self._clock = clock
        self._wall = wall
        self._sync_wanted = sync_wanted
        self._notes = Notes()
        self.dropped: Counter[str] = Counter()
        self.sent = 0  # messages to everybody in this run
        self.own = OwnFeed(store, signer, self._notes, wall=wall, stamp=stamp, nick=nick)
        self._gossip = Gossip(
            self.own.feed,
            agenda,
            self,
            self,
            now=clock.seconds(),
            random=random,
            nodes=nodes,
            address_of=address_of,
        )
        self._agenda = agenda
        self._forget_gone(clock.seconds())
        for feed in store.feeds():
            if feed.origin != signer.key:
                self._gossip.follow(feed)

    def _forget_gone(self, now: float) -> None:
        """Whose nodes were not here for long is followed no more."""
        self._agenda.at(now + FORGET_EVERY, self._forget_gone)
        for origin in self._notes.note(self._store.forget_gone, int(self._wall() * 1000)) or ():
            self._gossip.forget(origin)

    def follows(self, key: bytes) -> bool:
        """Whether that node's feed is at hand."""
        return self._gossip.feed(key) is not None

    # -- sending (gossip.Sending, gossip.Kept, and what a beacon tells)

    def tell(self, kind: str, body: str, to: Hashable | None = None) -> bool:
        """Send a message to everybody, or to one address; False when no interface took it."""
        if to is not None:
            return self.reply(kind, body, to)
        self.sent += 1
        return self._sending.tell(self.own.message(kind, body))

    def reply(self, kind: str, body: str, to: Any) -> bool:
        """Send a message to one address; False when no interface took it."""
        return self._sending.reply(self.own.message(kind, body), to)

    def repeat(self, raw: bytes, to: Any = None) -> None:
        """Send signed bytes of old to everybody, or to one address."""
        if to is None:
            self._sending.tell(raw)
        else:
            self._sending.reply(raw, to)

    def want_sync(self, partner: bytes | None) -> bool:
        """Have a SYNC made; False where one goes on, or was wanted before."""
        return self._sync_wanted(partner)

    def entry(self, origin: bytes, log: str, number: int) -> bytes | None:
        """The signed bytes of one entry that is kept, or None."""
        found = self._store.entries(origin, log, number, number)
        return found[0][1] if found else None

    def own_heads(self) -> Heads:
        """Lowest number kept and highest there is of our own logs."""
        return self.own.heads()

    def summary(self) -> bytes:
        """What our beacon tells of all feeds."""
        return self._gossip.summary()

    def recent(self) -> tuple[Have, ...]:
        """The feeds that changed lately, for our beacon."""
        return tuple(self._gossip.recent(self._clock.seconds()))

    # -- publishing

    def begin_epoch(self, epoch: int) -> int:
        """Go on under a later epoch: as `OwnFeed.begin_epoch`."""
        self.own.begin_epoch(epoch)
        self._gossip.begin(self.own.feed)
        self._gossip.published(None, self._clock.seconds())
        return epoch

    def publish_said(self, pieces: Sequence[tuple[str, str]]) -> tuple[list[Signed], bool]:
        """Say one text, as its entries (kind, body); the entries, and whether all were sent.

        As all that publish: raises `ShareError` when it cannot be kept, and sends nothing then.
        """
        entries, sent = self.own.say(pieces), True
        for entry in entries:
            sent = self._sending.say(entry.raw) and sent
            self._gossip.published(entry.raw, self._clock.seconds())
        return entries, sent

    def publish_offer(self, offer: Offer) -> Signed:
        """Tell the group of an offer."""
        entry = self.own.entry("offer", offer.write())
        self._store.put_offer(entry, self.own.feed, offer)
        self._store.once_kept(lambda: self._publish_quietly(entry))
        return entry

    def publish_withdraw(self, name: str, body: str) -> Signed:
        """Tell the group that an offer is no more."""
        entry = self.own.entry("withdraw", body)
        self._store.put_withdraw(entry, self.own.feed, name)
        self._store.once_kept(lambda: self._publish_quietly(entry))
        return entry

    def _publish_quietly(self, entry: Signed) -> None:
        """Of many offers at once the head alone is told: who lacks them gets them over TCP."""
        now = self._clock.seconds()
        alone = self._gossip.may_tell_offer(now)
        if alone:
            self._sending.tell(entry.raw)
        self._gossip.published(entry.raw if alone else None, now)

    # -- hearing

    def heard_entry(self, entry: Signed, *, synced: bool = False) -> None:
        """A verified entry of another node came, by datagram or by SYNC, maybe once more."""
        now, gossip, number = self._clock.seconds(), self._gossip, entry.number
        if not synced:
            gossip.heard(now)
        log = entry.log
        feed = self._follow(entry)
        if log is None or feed is None:
            return
        if not gossip.heard_entries(feed, log, number, number, now, synced=synced):
            if not synced:
                self._heard_again(entry, log, now)
            return
        try:
            self._take(entry, feed)
        except BadBody:
            self.dropped[DAMAGED] += 1

    def _heard_again(self, entry: Signed, log: str, now: float) -> None:
        kept = self._notes.note(self.entry, entry.key, log, entry.number)
        if kept is None or kept == entry.raw:
            self._gossip.heard_again(entry.raw, now)
        else:
            self._gossip.heard_other(entry.key, kept, now)

    def _take(self, entry: Signed, feed: Feed) -> None:
        note = self._notes.note
        if entry.log == "chat":
            self._told.said(entry, feed)
            return
        if entry.kind == "offer":
            offer = Offer.read(entry.key, entry.body, entry.stamp)
            taken = note(self._store.put_offer, entry, feed, offer)
            if taken:
                self._told.offered(entry, offer)
        else:
            name = read_withdraw(entry.body)
            taken = note(self._store.put_withdraw, entry, feed, name)
            if taken:
                self._told.withdrawn(entry, name)
        if taken is None:
            self.forget_unkept(entry.key)

    def forget_unkept(self, origin: bytes) -> None:
        """Offers that could not be kept are not here: they are to be asked for again."""
        feed = self._gossip.feed(origin)
        stored = self._notes.note(self._store.feed, origin)
        if feed is not None and stored is not None:
            held = stored.have["offers"].runs()
            self._gossip.lost(feed, "offers", held, self._clock.seconds())

    def _follow(self, message: Signed) -> Feed | None:
        """The feed that a message belongs to; None when it is of an epoch that is over."""
        feed = self._gossip.feed(message.key)
        if feed is not None and feed.epoch == message.epoch:
            return feed
        if feed is None and (kept := self._store.feed(message.key)) is not None:
            self._gossip.follow(kept)
            return self._follow(message)
        if feed is not None and feed.epoch > message.epoch:
            return None
        feed = Feed(message.key, message.epoch)
        # What a SYNC brings of somebody long gone does not make him one who was just here.
        heard = min(message.stamp, int(self._wall() * 1000))
        crowd = self._notes.note(self._store.start_feed, feed, message.nick, heard)
        for origin in crowd or ():
            self._gossip.forget(origin)
        self._gossip.follow(feed)
        return feed

    def heard_beacon(self, message: Signed, beacon: Beacon, address: Address) -> None:
        """A fresh beacon told how far its own feed goes, and what it has of all."""
        now = self._clock.seconds()
        feed = self._follow(message)
        if feed is not None:
            self._heard_heads(message, feed, beacon.heads, live=False)
        self._gossip.heard_summary(message.key, address, beacon.summary, beacon.recent, now)

    def heard(self, message: Signed, address: Address, direct: bool, proved: bool) -> None:
        """A fresh head, ask, gone or vector came; raises `BadBody`.

        proved: its host gets what is sent there, so it may be answered alone.
        """
        now = self._clock.seconds()
        self._gossip.heard(now)
        alone = address if proved else None
        if message.kind == "ask":
            self._gossip.heard_ask(Ask.read(message.body), address[0], alone, now, direct=direct)
        elif message.kind == "vector":
            vector = Vector.read(message.body)
            self._gossip.heard_vector(vector, alone, now, direct=direct)
        elif (feed := self._follow(message)) is not None:
            self._heard_of_own(message, feed, now)

    def _heard_of_own(self, message: Signed, feed: Feed, now: float) -> None:
        """A publisher tells of its own feed."""
        if message.kind == "head":
            self._heard_heads(message, feed, read_heads(body.read(message.body)), live=True)
        else:
            self._gossip.heard_gone(feed, Gone.read(message.body), now)
            self._notes.note(self._store.save_ranges, feed)

    def _heard_heads(self, message: Signed, feed: Feed, heads: Heads, *, live: bool) -> None:
        self._gossip.heard_heads(feed, heads, self._clock.seconds(), live=live)
        for name in self._notes.note(self._store.drop_below, feed, heads.offers[0]) or ():
            self._told.withdrawn(message, name)

    # -- SYNC (net.sync.Replica)

    def vector(self) -> list[Have]:
        """How much of every feed is here."""
        return self._gossip.vector()

    def lacking(self, theirs: Sequence[Have]) -> list[Have]:
        """The feeds of which we have more than a partner, as the partner has them (or 0)."""
        return self._gossip.lacking(theirs)

    def has(self, entry: Signed) -> bool:
        """Whether an entry of that number is here; never of our own: another one tells much."""
        feed = self._gossip.feed(entry.key)
        if feed is None or feed is self._gossip.own or entry.log is None:
            return False
        return feed.epoch == entry.epoch and entry.number in feed.have[entry.log]

    def entries_above(self, have: Have) -> Iterator[bytes]:
        """The signed bytes that we keep of a feed above those numbers, each log rising.

        Of a chat that the partner knows nothing of (epoch 0) at most the last `CHAT_BACKLOG` lines.
        They are read as they are taken.
        """
        feed = self._gossip.feed(have.origin)
        if feed is None:
            return
        for log in LOG_NAMES:
            above = getattr(have, log)
            if log == "chat" and not have.epoch:
                above = max(above, feed.have[log].highest - CHAT_BACKLOG)
            while found := self._store.entries_above(have.origin, log, above, SLICE):
                yield from (raw for _, raw in found)
                above = found[-1][0]

    def settled(self, have: Have) -> None:
        """A partner has sent all that it keeps of a feed up to there: ask for no more of that.

        It may be told again and again while a long feed is sent, so that even the most torn one
        is followed: the numbers up to there that did not come by then are not waited for.
        """
        self._gossip.settled(have, self._clock.seconds())
