"""Publishing our feed and following those of the others, so that nothing said or offered is lost.

What we publish is kept before it is sent. What others publish is kept once, whichever way and
however often it comes; what is missing is asked of its publisher, and we answer such asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall

from twistedp2p.core.body import BadBody, Range
from twistedp2p.core.catalogue import Offer, read_withdraw
from twistedp2p.core.datagram import Signed, Signer
from twistedp2p.core.feed import GONE_RANGES, Ask, Feed, Heads, Ranges, read_gone, write_gone
from twistedp2p.core.limits import CappedTable, TokenBucket
from twistedp2p.core.roster import MAX_PEERS, Address
from twistedp2p.disk.store import Store
from twistedp2p.node.memory import Notes
from twistedp2p.node.outbox import Outbox

ASKS_RATE, ASKS_BURST = 50.0, 100.0  # datagrams: throw-away nodes may claim any number of feeds
ASKS_EVERY = 0.05  # seconds between two looks at which asks are due
ASK_SPREAD = 0.25  # seconds: not everybody asks at the same moment
BOOT_SHIFT = 24  # bits: messages of one run before its numbers would meet the next run's


class Sending(Protocol):
    """What of `net.group.Group` is needed to send."""

    def say(self, data: bytes) -> bool: ...

    def tell(self, data: bytes) -> bool: ...

    def reply(self, data: bytes, address: Address) -> bool: ...


class Told(Protocol):
    """Who is told of new entries, each once."""

    def said(self, entry: Signed) -> None: ...

    def offered(self, entry: Signed, offer: Offer) -> None: ...

    def withdrawn(self, entry: Signed, name: str) -> None: ...


@attrs.define
class Own:
    """Our feed and the numbers of our messages."""

    feed: Feed
    message: int  # the number of the last message
    stamp: int = 0  # milliseconds since 1970, never falling


class Feeds:
    """All feeds as one node knows them. `wall` is the time of day in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        sending: Sending,
        told: Told,
        *,
        clock: Any,
        wall: Callable[[], float],
        random: Callable[[], float],
        nick: str,
        address_of: Callable[[bytes], Address | None],
    ) -> None:
        self._store = store
        self._signer = signer
        self._sending = sending
        self._told = told
        self._clock = clock
        self._wall = wall
        self._random = random
        self.nick = nick
        self._address_of = address_of
        self._feeds: CappedTable[bytes, Feed] = CappedTable(MAX_PEERS)  # the store has all
        self._asking: set[bytes] = set()
        self._asked_at = clock.seconds() - ASKS_EVERY
        self._ask_call: IDelayedCall | None = None
        self._asks_pace = TokenBucket.full(ASKS_RATE, ASKS_BURST, clock.seconds())
        self._answers = Outbox(sending.reply, clock)
        self._notes = Notes()
        self.dropped: Counter[str] = Counter()
        self._own = self._load_own()

    def _load_own(self) -> Own:
        now_ms = int(self._wall() * 1000)
        feed = self._store.feed(self._signer.key)
        if feed is None:
            # A lost memory gets a later epoch than the one it had: numbers are never used twice.
            feed = Feed(self._signer.key, max(1, now_ms // 1000))
            self._store.start_feed(feed, self.nick, now_ms)
        self._store.set_present(self._signer.key, True, self.nick, now_ms)
        boot = self._store.counter("boot") + 1
        self._store.set_counter("boot", boot)
        return Own(feed, boot << BOOT_SHIFT, now_ms)

    def close(self) -> None:
        """Stop asking and answering."""
        self._answers.close()
        if self._ask_call is not None and self._ask_call.active():
            self._ask_call.cancel()

    def follows(self, key: bytes) -> bool:
        """Whether that node's feed is at hand."""
        return key in self._feeds

    # -- our own

    def heads(self) -> Heads:
        """What our beacon tells of our feed."""
        key, heads = self._signer.key, self._own.feed.heads
        low = {log: self._store.lowest(key, log) for log in ("chat", "offers")}
        return Heads((low["chat"], heads.chat[1]), (low["offers"], heads.offers[1]))

    def message(self, kind: str, body: str) -> bytes:
        """Sign a message that is no entry."""
        self._own.message += 1
        own = self._own
        return self._signer.sign(
            kind, own.feed.epoch, own.message, self._stamp(), self.nick, body
        ).raw

    def _stamp(self) -> int:
        self._own.stamp = max(self._own.stamp, int(self._wall() * 1000))
        return self._own.stamp

    def publish_say(self, text: str) -> tuple[Signed, bool]:
        """Say one piece of text; the entry, and whether any interface took it.

        As all that publish: raises `ShareError` when it cannot be kept, and sends nothing then.
        """
        entry = self._entry("say", text)
        self._store.put_say(entry, self._own.feed)
        return entry, self._sending.say(entry.raw)

    def publish_offer(self, offer: Offer) -> Signed:
        """Tell the group of an offer."""
        entry = self._entry("offer", offer.write())
        self._store.put_offer(entry, self._own.feed, offer)
        self._store.once_kept(lambda: self._sending.tell(entry.raw))
        return entry

    def publish_withdraw(self, name: str, body: str) -> Signed:
        """Tell the group that an offer is no more."""
        entry = self._entry("withdraw", body)
        self._store.put_withdraw(entry, self._own.feed, name)
        self._store.once_kept(lambda: self._sending.tell(entry.raw))
        return entry

    def _entry(self, kind: str, body: str) -> Signed:
        own, log = self._own, "chat" if kind == "say" else "offers"
        number = getattr(own.feed.heads, log)[1] + 1
        entry = self._signer.sign(kind, own.feed.epoch, number, self._stamp(), self.nick, body)
        own.feed.heard_entry(log, number, 0.0, 0.0)
        return entry

    # -- the others'

    def heard_entry(self, entry: Signed) -> None:
        """A verified entry of another node came, for the first time or not."""
        log = entry.log
        feed = self._follow(entry)
        if log is None or feed is None:
            return
        now, spread = self._clock.seconds(), self._random() * ASK_SPREAD
        if not feed.heard_entry(log, entry.number, now, spread):
            return
        self._asks_of(feed)
        try:
            self._take(entry, feed)
        except BadBody as error:
            self.dropped[str(error)] += 1

    def _take(self, entry: Signed, feed: Feed) -> None:
        note = self._notes.note
        if entry.kind == "say":
            note(self._store.put_say, entry, feed)
            self._told.said(entry)
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
            self._forget_unkept(feed)

    def _forget_unkept(self, feed: Feed) -> None:
        """An offer that could not be kept is not here: it is to be asked for again."""
        stored = self._notes.note(self._store.feed, feed.origin)
        if stored is not None:
            feed.have["offers"] = stored.have["offers"]

    def _follow(self, message: Signed) -> Feed | None:
        """The feed that a message belongs to; None when it is of an epoch that is over."""
        feed = self._feeds.get(message.key) or self._store.feed(message.key)
        if feed is None or feed.epoch < message.epoch:
            feed = Feed(message.key, message.epoch)
            now_ms = int(self._wall() * 1000)
            crowd = self._notes.note(self._store.start_feed, feed, message.nick, now_ms)
            for origin in crowd or ():
                self._feeds.pop(origin)
        elif feed.epoch > message.epoch:
            return None
        self._feeds.put(message.key, feed)
        return feed

    def heard_heads(self, message: Signed, heads: Heads) -> None:
        """A fresh beacon told how far its feed goes."""
        feed = self._follow(message)
        if feed is not None:
            feed.heard_heads(heads, self._clock.seconds(), self._random() * ASK_SPREAD)
            self._asks_of(feed)

    def heard_gone(self, message: Signed) -> None:
        """A publisher says which of its numbers were superseded; raises `BadBody`."""
        feed = self._follow(message)
        if feed is not None:
            feed.heard_gone(*read_gone(message.body), self._clock.seconds())
            self._notes.note(self._store.save_ranges, feed)
            self._asks_of(feed)

    # -- asking

    def _asks_of(self, feed: Feed) -> None:
        if feed.ask_at is None:
            self._asking.discard(feed.origin)
            return
        self._asking.add(feed.origin)
        self._look_at(feed.ask_at)

    def _look_at(self, at: float) -> None:
        now = self._clock.seconds()
        at = max(at, now, self._asked_at + ASKS_EVERY)
        call = self._ask_call
        if call is None or not call.active():
            self._ask_call = self._clock.callLater(at - now, self._ask_due)
        elif call.getTime() > at:
            call.reset(at - now)

    def _ask_due(self) -> None:
        now = self._asked_at = self._clock.seconds()
        for origin in list(self._asking):
            feed = self._feeds.peek(origin)
            if feed is None or feed.ask_at is None:
                self._asking.discard(origin)
            elif feed.ask_at <= now and self._asks_pace.take(now):
                self._ask(origin, feed, now)
        waiting = [feed.ask_at for key in self._asking if (feed := self._feeds.peek(key))]
        if due := [at for at in waiting if at is not None]:
            self._look_at(min(due))

    def _ask(self, origin: bytes, feed: Feed, now: float) -> None:
        gaps, address = feed.due_ask(now), self._address_of(origin)
        if gaps and address is not None:
            ask = Ask(origin, feed.epoch, gaps)
            self._sending.reply(self.message("ask", ask.write()), address)

    # -- answering

    def heard_ask(self, message: Signed, address: Address) -> None:
        """Another node lacks some of a feed; raises `BadBody`. We answer for our own."""
        ask = Ask.read(message.body)
        own = self._own.feed
        if ask.origin != own.origin or ask.epoch != own.epoch:
            return
        for log, gaps in ask.gaps.items():
            if self._answers.has_room(address[0]):
                self._answer_gaps(log, gaps, address)

    def _answer_gaps(self, log: str, gaps: list[Range], address: Address) -> None:
        gone = Ranges()
        head = getattr(self._own.feed.heads, log)[1]
        for low, high in gaps:
            if low > head:
                break
            found = self._store.entries(self._own.feed.origin, log, low, min(high, head))
            here = Ranges()
            for number, raw in found:
                here.add(number)
                self._answers.put(raw, address)
            for first, last in here.missing(low, min(high, head)):
                gone.add(first, last)
        if runs := gone.runs()[:GONE_RANGES]:
            self._answers.put(self.message("gone", write_gone(log, runs)), address)
