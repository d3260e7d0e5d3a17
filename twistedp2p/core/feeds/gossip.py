"""All feeds as one node knows them, and what it sends so that everybody comes to have all.

Pure: parsed messages and `now` come in; what to send goes out through a `Sending`, what is to be
done later through the `Agenda`. All times are in seconds.

=========  ==========================================  =========================================
message    content                                     when
=========  ==========================================  =========================================
an entry   signed by its publisher                     at once, and once more after 0.25 s
head       how far the publisher's own logs go         0.75, 1.75, 3.75, 7.75 s after its last
                                                       entry
beacon     own heads, summary of all feeds, those      see `core.presence.beacon`
           that changed lately
ask        what is missing                             see `core.feeds.asking`
an entry   the same signed bytes, from any holder      see `core.feeds.repairs`
an entry   as we have it, to its publisher alone       where it says another under that number
gone       numbers that were superseded                the publisher's answer, beside entries
vector     hashes of the feeds in buckets that differ  to one who told a summary that is ahead
vector     the feeds that differ                       the answer: for everybody
=========  ==========================================  =========================================
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

from twistedp2p.core.agenda import Agenda, Appointment
from twistedp2p.core.datagrams.body import Range, write
from twistedp2p.core.feeds.asking import ALONE, Asking
from twistedp2p.core.feeds.feed import LOG_NAMES, Feed, Have, Heads
from twistedp2p.core.feeds.ranges import Ranges
from twistedp2p.core.feeds.repairs import Repair, Repairs
from twistedp2p.core.feeds.requests import GONE_RANGES, Ask, Gone, Vector, head_fields
from twistedp2p.core.feeds.vectors import Vectors
from twistedp2p.core.limits import Buckets, CappedTable, TokenBucket

MAX_FEEDS = 4096
MAX_RUMOURS = 256  # feeds that others told of, and of which nothing has come
ASKER_RATE, ASKER_BURST = 20.0, 60.0  # asks of one host that are heard: it may run some nodes
NODE_RATE, NODE_BURST = 50.0, 100.0  # datagrams of this node, but for what it publishes
REPEAT_AFTER = 0.25  # seconds
HEADS_AFTER = (0.75, 1.75, 3.75, 7.75)  # seconds after the last entry
OWN_WAIT = 0.005  # seconds in which the publisher answers
HOLDER_WAIT = 0.02  # seconds that any other holder waits at least
OFFERS_RATE, OFFERS_BURST = 4.0, 8.0  # offers told by datagram; more of them go over TCP
BUSY = 100  # datagrams a second in the group: then offers go over TCP
NEWCOMER_WAIT = 1.0  # seconds, at most, between the first beacon and the first SYNC
OTHERS_RATE, OTHERS_BURST = 0.5, 4.0  # entries shown to one publisher that says others
SHOWN_AGAIN = 1.0  # seconds
RECENT_FOR = 30.0  # seconds
RECENT_MOST = 8  # feeds that changed lately, in a beacon


class Sending(Protocol):
    """What the gossip needs to send."""

    def tell(self, kind: str, body: str, to: Hashable | None) -> object:
        """Send a message to everybody, or to one address."""

    def repeat(self, raw: bytes, to: Hashable | None) -> None:
        """Send signed bytes of old to everybody, or to one address."""

    def want_sync(self, partner: bytes | None) -> bool:
        """As `asking.Sending.want_sync`."""


class Kept(Protocol):
    """The entries that are kept."""

    def entry(self, origin: bytes, log: str, number: int) -> bytes | None:
        """The signed bytes of one entry, or None."""

    def own_heads(self) -> Heads:
        """Lowest number kept and highest there is of our own logs."""


class Gossip:
    """What one node does for all feeds. `nodes` counts the group, ourselves included."""

    def __init__(
        self,
        own: Feed,
        agenda: Agenda,
        sending: Sending,
        kept: Kept,
        *,
        now: float,
        random: Callable[[], float],
        nodes: Callable[[], int],
        address_of: Callable[[bytes], Hashable | None],
    ) -> None:
        self.own = own
        self._agenda = agenda
        self._sending = sending
        self._kept = kept
        self._random = random
        self._nodes = nodes
        self._address_of = address_of
        pace = TokenBucket.full(NODE_RATE, NODE_BURST, now)
        self._asking = Asking(
            agenda, sending, pace, random=random, nodes=nodes, address_of=address_of
        )
        self._repairs = Repairs(agenda, sending, pace, nodes=nodes, backoff=self._asking.backoff)
        self._vectors = Vectors(agenda, sending, pace, self._asking, random)
        self._others: Buckets[bytes] = Buckets(OTHERS_RATE, OTHERS_BURST)
        self._askers: Buckets[Hashable] = Buckets(ASKER_RATE, ASKER_BURST)
        self._offers = TokenBucket.full(OFFERS_RATE, OFFERS_BURST, now)
        self._rate = Rate(now)
        self._feeds: CappedTable[bytes, Feed] = CappedTable(
            MAX_FEEDS, lambda origin: origin == own.origin, self._forgotten
        )
        self._rumours: CappedTable[bytes, Feed] = CappedTable(
            MAX_RUMOURS, forgotten=self._asking.drop
        )
        self._changed: dict[bytes, float] = {}  # feeds that changed lately, the latest last
        self._heads_call: Appointment | None = None
        self._newcomer = True
        self.follow(own)

    # -- which feeds there are

    def __len__(self) -> int:
        return len(self._feeds)

    def feed(self, origin: bytes) -> Feed | None:
        """What is here of the feed of `origin`."""
        return self._feeds.peek(origin)

    def feeds(self) -> list[Feed]:
        """All of them."""
        return self._feeds.values()

    def follow(self, feed: Feed) -> None:
        """Take up a feed; one of the same origin is forgotten."""
        self.forget(feed.origin)
        rumour = self._rumours.peek(feed.origin)
        if rumour is not None and rumour.epoch <= feed.epoch:
            self._rumours.pop(feed.origin)
            self._asking.drop(rumour)
            if rumour.epoch == feed.epoch:
                feed.heard_of(rumour.told())
        self._feeds.put(feed.origin, feed)
        self._vectors.changed(feed)

    def forget(self, origin: bytes) -> None:
        """Follow that feed no more."""
        feed = self._feeds.pop(origin)
        if feed is not None:
            self._forgotten(feed)

    def _forgotten(self, feed: Feed) -> None:
        self._asking.drop(feed)
        self._vectors.forgotten(feed)
        self._changed.pop(feed.origin, None)

    # -- what we publish

    def begin(self, own: Feed) -> None:
        """Our own feed goes on under a later epoch."""
        self.own = own
        self.follow(own)

    def may_tell_offer(self, now: float) -> bool:
        """Whether a new offer is to go by datagram; else its head alone tells of it."""
        return self._rate.of(now) < BUSY and self._offers.take(now)

    def published(self, raw: bytes | None, now: float) -> None:
        """Our own feed went on, and `raw` was sent; None when the head alone is to tell of it."""
        self._note_change(self.own, now)
        if raw is not None:
            self._agenda.at(now + REPEAT_AFTER, self._repeat, raw)
        if self._heads_call is not None:
            self._heads_call.cancel()
        self._heads_call = self._agenda.at(now + HEADS_AFTER[0], self._tell_heads, now, 1)

    def _repeat(self, now: float, raw: bytes) -> None:
        self._sending.repeat(raw, None)

    def _tell_heads(self, now: float, since: float, turn: int) -> None:
        self._heads_call = None
        if turn < len(HEADS_AFTER):
            at = since + HEADS_AFTER[turn]
            self._heads_call = self._agenda.at(at, self._tell_heads, since, turn + 1)
        self._sending.tell("head", write(head_fields(self._kept.own_heads())), None)

    # -- what others publish

    def heard(self, now: float) -> None:
        """A datagram came: for the measure of how busy the group is."""
        self._rate.count(now)

    def heard_entries(
        self, feed: Feed, log: str, low: int, high: int, now: float, *, synced: bool = False
    ) -> bool:
        """Entries of a feed that is followed came; False when they were here already.

        `synced`: they came by SYNC, not by datagram.
        """
        if not feed.heard_entries(log, low, high):
            return False
        self._feeds.get(feed.origin)  # in use
        self._note_change(feed, now)
        if synced:
            self._asking.synced(feed, now)
        self._asking.progress(feed, now, live=not synced)
        return True

    def heard_again(self, raw: bytes, now: float) -> None:
        """An entry that was here already came once more."""
        self._repairs.heard_again(raw, now)

    def heard_other(self, origin: bytes, kept: bytes, now: float) -> None:
        """A publisher says something else under the number of an entry that is `kept` here.

        Its memory is an older copy, most likely: some of the group show it what it has said.
        Everybody else goes on with what came first.
        """
        some = self._random() * self._nodes() < ALONE
        if some and self._others.take(origin, now):
            for at in (now, now + SHOWN_AGAIN):
                self._agenda.at(at, self._show, origin, kept)

    def _show(self, now: float, origin: bytes, kept: bytes) -> None:
        if (address := self._address_of(origin)) is not None:
            self._sending.repeat(kept, address)

    def heard_heads(self, feed: Feed, heads: Heads, now: float, *, live: bool) -> None:
        """The publisher of a feed that is followed told its heads; `live`: it published lately."""
        self._feeds.get(feed.origin)  # in use
        news = feed.heard_heads(heads)
        if news:
            self._note_change(feed, now)
        if news or live or (feed.asking is None and not feed.lacks_nothing):
            self._asking.told(feed, now, live=live)

    def heard_gone(self, feed: Feed, gone: Gone, now: float) -> None:
        """The publisher of a feed that is followed says what of it was superseded."""
        feed.heard_gone(gone.log, gone.ranges)
        self._note_change(feed, now)
        self._asking.progress(feed, now, live=False)

    def lost(self, feed: Feed, log: str, held: list[Range], now: float) -> None:
        """No more than `held` of a log is here after all."""
        log_here = feed.have[log]
        feed.have[log] = type(log_here)(held)
        feed.have[log].head = log_here.head
        self._vectors.changed(feed)
        self._asking.told(feed, now, live=False)

    def _note_change(self, feed: Feed, now: float) -> None:
        if self._vectors.changed(feed):
            self._changed.pop(feed.origin, None)
            self._changed[feed.origin] = now
            if len(self._changed) > 4 * RECENT_MOST:
                del self._changed[next(iter(self._changed))]

    # -- what others know

    def summary(self) -> bytes:
        """What our beacon tells of all feeds."""
        return bytes(self._vectors.summary.packed)

    def recent(self, now: float) -> list[Have]:
        """The feeds that changed lately, for our beacon."""
        lately = [key for key, at in self._changed.items() if now - at < RECENT_FOR]
        feeds = map(self._feeds.peek, reversed(lately))
        return [feed.whole() for feed in feeds if feed is not None][:RECENT_MOST]

    def heard_summary(
        self, partner: bytes, address: Hashable, summary: bytes, recent: Sequence[Have], now: float
    ) -> None:
        """A beacon told what another has; it is answered to `address` if need be."""
        self.heard_of(recent, now)
        ahead = self._vectors.heard(partner, address, summary, now)
        if ahead and self._newcomer:
            wait = NEWCOMER_WAIT * self._random()
            self._agenda.at(now + wait, lambda now: self._asking.want_sync(None, now))
        self._newcomer = False

    def heard_of(self, haves: Sequence[Have], now: float) -> None:
        """Others have these feeds up to there. That proves nothing: it is asked for, no more."""
        for have in haves:
            feed = self._feeds.peek(have.origin)
            if feed is None or feed.epoch < have.epoch:
                feed = self._rumour(have)
            # Our own, too: our memory may be an older copy.
            if feed.epoch == have.epoch and feed.heard_of(have):
                self._asking.told(feed, now, live=False)

    def _rumour(self, have: Have) -> Feed:
        feed = self._rumours.get(have.origin)
        if feed is None or feed.epoch < have.epoch:
            if feed is not None:
                self._asking.drop(feed)
            feed = Feed(have.origin, have.epoch)
            self._rumours.put(have.origin, feed)
        return feed

    def heard_vector(
        self, vector: Vector, address: Hashable | None, now: float, *, direct: bool = False
    ) -> None:
        """Another asks which feeds differ, or tells it; `address`, `direct` as of `heard_ask`."""
        if vector.buckets:
            self._vectors.answer(vector, address, now)
            return
        if not direct:
            self._vectors.heard_answer(vector, now)
        self.heard_of(vector.feeds, now)

    # -- answering

    def heard_ask(
        self,
        ask: Ask,
        host: Hashable,
        address: Hashable | None,
        now: float,
        *,
        direct: bool = False,
    ) -> None:
        """Another node on `host` lacks some of a feed: whoever has it answers.

        address: where the asker may be answered alone; None where it has not proved that it gets
        what is sent there, which a forged source never does: then everybody is answered.
        direct: it came to us, not by the group: nobody else heard it, so our own ask does not wait.
        """
        if not self._askers.take(host, now):
            return
        feed = self._feeds.peek(ask.origin)
        if ask.to is None:
            known = feed if feed is not None and feed.epoch == ask.epoch else None
            if not direct:
                self._asking.heard(ask, known or self._rumours.peek(ask.origin), now)
        elif ask.to != self.own.origin:
            return
        if feed is None or feed.epoch != ask.epoch:
            return
        to = None if ask.to is None else address
        if feed is self.own:
            wait = OWN_WAIT * self._random()
            self._repairs.put(now + wait, host, self._own_answers(ask.gaps), to)
        elif any(True for _ in self._held(feed, ask.gaps)):
            wait = HOLDER_WAIT + self._asking.backoff()
            self._repairs.put(now + wait, host, self._answers(feed, ask.gaps), to)

    def _held(self, feed: Feed, gaps: dict[str, list[Range]]) -> Iterator[tuple[str, int]]:
        """What of `gaps` is here."""
        for log, ranges in gaps.items():
            here = feed.have[log]
            for low, high in ranges:
                for number in range(low, min(high, here.highest) + 1):
                    if number in here:
                        yield log, number

    def _answers(self, feed: Feed, gaps: dict[str, list[Range]]) -> Iterator[bytes]:
        for log, number in self._held(feed, gaps):
            raw = self._kept.entry(feed.origin, log, number)
            if raw is not None:
                yield raw

    def _own_answers(self, gaps: dict[str, list[Range]]) -> Iterator[Repair]:
        """Our own entries; what of them is no more is told at the end."""
        for log in LOG_NAMES:
            gone = Ranges()
            for _, number in self._held(self.own, {log: gaps.get(log, [])}):
                raw = self._kept.entry(self.own.origin, log, number)
                if raw is None:
                    gone.add(number)
                else:
                    yield raw
            if runs := gone.runs()[:GONE_RANGES]:
                yield Gone(log, tuple(runs))

    # -- SYNC

    def vector(self) -> list[Have]:
        """How much of every feed is here."""
        return [feed.whole() for feed in self._feeds.values()]

    def lacking(self, theirs: Sequence[Have]) -> list[Have]:
        """The feeds of which we have more than a partner, as the partner has them.

        All numbers are 0 where it has nothing of our epoch; feeds of which it has a later one are
        left out.
        """
        known = {have.origin: have for have in theirs}
        lacking = []
        for feed in self._feeds.values():
            have = known.get(feed.origin)
            if have is None or have.epoch < feed.epoch:
                have = Have(feed.origin, 0, 0, 0)
            elif have.epoch > feed.epoch:
                continue
            if any(feed.have[log].highest > getattr(have, log) for log in LOG_NAMES):
                lacking.append(have)
        return lacking

    def settled(self, have: Have, now: float) -> None:
        """A partner has sent all that it keeps of a feed up to there: ask for no more of that.

        What comes all the same is taken. After a restart it may be asked for again.
        """
        feed = self._feeds.peek(have.origin)
        if feed is not None and feed.epoch == have.epoch and feed is not self.own:
            feed.settle(have)
            self._note_change(feed, now)
            self._asking.told(feed, now, live=False)


class Rate:
    """How many in a second, roughly."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._count = 0
        self._before = 0.0

    def count(self, now: float) -> None:
        """One more."""
        self._roll(now)
        self._count += 1

    def of(self, now: float) -> float:
        """How many in the second before `now`."""
        self._roll(now)
        return self._before * (1 - (now - self._since)) + self._count

    def _roll(self, now: float) -> None:
        passed = now - self._since
        if passed >= 1:
            self._before = float(self._count) if passed < 2 else 0.0
            self._since, self._count = now, 0
