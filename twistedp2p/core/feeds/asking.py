"""When to ask for what is missing, so that of many who lack the same one asks.

An ask goes to the whole group after a random wait (RFC 5401): whoever hears another's ask for the
same waits on as if it had asked itself. What nobody has answered after some asks is asked of its
publisher alone, then a SYNC over TCP is wanted, then there is silence, ever longer, until somebody
tells of it again.

Much that is missing at once is better had over TCP. Then only what was published just now is
asked for, unless no SYNC comes of it.

What others tell of somebody's feed is no proof. That nobody has it is held against them alone: what
its publisher tells next is asked for as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.feeds.backoff import random_backoff, round_time
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.core.feeds.requests import Ask
from twistedp2p.core.limits import CappedTable, TokenBucket

RETRY_FIRST, RETRY_FACTOR, RETRY_MOST = 0.35, 1.5, 5.0  # seconds, ratio, seconds
TRIES = 7  # asks of everybody without any answer, before the publisher alone is asked
BARREN_FIRST, BARREN_MOST = 5.0, 600.0  # seconds of silence after asks without any answer
ASKS_RATE, ASKS_BURST = 50.0, 100.0  # asks of the whole group
RESERVE_BURST = 2.0  # asks of this node, at ASKS_RATE for all nodes, when the group's are used up
ALONE = 8  # nodes of the group that ask a publisher alone
DOUBTFUL_RATE, DOUBTFUL_BURST = 4.0, 8.0  # asks for feeds of which nothing is here, and of old
SYNC_OVER = 64  # missing numbers
SYNC_RATE, SYNC_BURST = 0.1, 10.0  # SYNCs of which nothing comes
SYNC_PATIENCE = 5.0  # seconds in which nothing has come of one yet
# Seconds that a feed waits while SYNCs bring others: a catalogue of 100,000 offers takes 15 s.
SYNC_MOST = 20.0
SYNC_LOOK = 0.25  # seconds between two looks at whether one more is needed
MAX_BARREN = 8192  # feeds of which nothing came
LACKS_MOST = 1000  # numbers of one feed that count as missing, whatever its publisher claims


class Sending(Protocol):
    """What is needed to ask."""

    def tell(self, kind: str, body: str, to: Hashable | None) -> object:
        """Send a message to everybody, or to one address."""

    def want_sync(self, partner: bytes | None) -> bool:
        """Exchange all that either lacks with that node, or with any, over TCP.

        False where that is going on, or was wanted before.
        """


class Asking:
    """What is asked for, of all feeds. `pace` is that of all that this node sends."""

    def __init__(
        self,
        agenda: Agenda,
        sending: Sending,
        pace: TokenBucket,
        *,
        random: Callable[[], float],
        nodes: Callable[[], int],
        address_of: Callable[[bytes], Hashable | None],
    ) -> None:
        self._agenda = agenda
        self._sending = sending
        self._pace = pace
        self._random = random
        self._nodes = nodes
        self._address_of = address_of
        self._asks = TokenBucket.full(ASKS_RATE, ASKS_BURST, pace.at)
        self._reserve = TokenBucket.full(ASKS_RATE, RESERVE_BURST, pace.at)
        self._doubtful = TokenBucket.full(DOUBTFUL_RATE, DOUBTFUL_BURST, pace.at)
        self._syncs = TokenBucket.full(SYNC_RATE, SYNC_BURST, pace.at)
        self._sync_until = self._sync_most = pace.at
        self._looking = False
        self._barren: CappedTable[tuple[bytes, bool], tuple[float, float]] = CappedTable(MAX_BARREN)
        self.lacks = 0  # numbers, of all feeds that are asked for
        self._lacking = 0  # feeds

    def backoff(self) -> float:
        """Seconds to wait before saying what another may say first."""
        nodes = self._nodes()
        return random_backoff(round_time(nodes), nodes, self._random)

    # -- what is known of a feed changed

    def told(self, feed: Feed, now: float, *, live: bool) -> None:
        """Somebody told how far a feed goes; `live`: its publisher did, just now."""
        self._count(feed)
        if not feed.lacks:
            return self.drop(feed)
        feed.live = feed.live or (live and feed.lacks <= SYNC_OVER and feed.is_proven)
        if feed.asking is None and not self._is_barren(feed, now):
            feed.tries = 0
            feed.asking = self._agenda.at(now + self.backoff(), self._due, feed)
        if feed.asking is None:
            self._set(feed, 0)
        return self._look(now)

    def progress(self, feed: Feed, now: float, *, live: bool) -> None:
        """Something that was missing came: wait for more of it before asking again."""
        if feed.asking is None:
            return self.told(feed, now, live=live)
        filled = self._count(feed)
        if not feed.lacks:
            return self.drop(feed)
        if filled and feed.tries:
            feed.tries = 0
            self._ask_again(feed, now, RETRY_FIRST)
        return None

    def drop(self, feed: Feed) -> None:
        """Ask for nothing of that feed any more."""
        self._set(feed, 0)
        feed.tries = 0
        feed.live = False
        if feed.asking is not None:
            feed.asking.cancel()
            feed.asking = None

    def _count(self, feed: Feed) -> bool:
        """Count what is missing; whether some of what was has come: not what lies beyond it."""
        before, feed.gap = feed.gap, feed.missing()
        if feed.gap < before:
            self._barren.pop((feed.origin, False))
        self._set(feed, min(feed.gap, LACKS_MOST))
        return feed.gap < before

    def _set(self, feed: Feed, lacks: int) -> None:
        self.lacks += lacks - feed.lacks
        self._lacking += bool(lacks) - bool(feed.lacks)
        feed.lacks = lacks

    @property
    def much(self) -> bool:
        """Whether more is missing than should be asked for one by one."""
        return self.lacks > SYNC_OVER

    # -- asking

    def heard(self, ask: Ask, feed: Feed | None, now: float) -> None:
        """Another asked everybody: if we lack the same, wait as if we had asked."""
        self._asks.spend(now)
        if feed is None or feed.asking is None or ask.epoch != feed.epoch:
            return
        if ask.covers(feed.wanted()) and feed.tries < TRIES:
            feed.tries += 1
            self._ask_again(feed, now)

    def _ask_again(self, feed: Feed, now: float, wait: float | None = None) -> None:
        if feed.asking is not None:
            feed.asking.cancel()
        if wait is None:
            wait = min(RETRY_MOST, RETRY_FIRST * RETRY_FACTOR ** (feed.tries - 1))
        feed.asking = self._agenda.at(now + wait + self.backoff(), self._due, feed)

    def _due(self, now: float, feed: Feed) -> None:
        feed.asking = None
        gaps = feed.wanted()
        if not gaps:
            self.drop(feed)
        elif not feed.live and self.much and now < (until := self._synced_by(feed)):
            self._ask_again(feed, now, until - now)
        elif feed.tries > TRIES:
            self._give_up(feed, now)
        elif wait := self._wait(feed, now):
            self._ask_again(feed, now, wait)
        else:
            self._ask(Ask(feed.origin, feed.epoch, gaps), feed, now)

    def _wait(self, feed: Feed, now: float) -> float:
        """Draw what an ask costs: 0.0, or the seconds to wait before trying again."""
        doubtful = not feed.live and (self.much or not feed.is_proven)
        if doubtful and self._doubtful.whole(now) < 1:
            return (0.5 + self._random()) * self._lacking / DOUBTFUL_RATE
        if self._pace.whole(now) < 1:
            return self._pace.wait(now)
        self._reserve.rate = ASKS_RATE / max(1, self._nodes())
        if not self._asks.take(now) and not self._reserve.take(now):
            return min(self._asks.wait(now), self._reserve.wait(now))
        self._pace.take(now)
        if doubtful:
            self._doubtful.take(now)
        return 0.0

    def _ask(self, ask: Ask, feed: Feed, now: float) -> None:
        feed.tries += 1
        if feed.tries <= TRIES:
            self._sending.tell("ask", ask.write(), None)
        elif self._random() * self._nodes() < ALONE and (address := self._address_of(feed.origin)):
            alone = Ask(ask.origin, ask.epoch, ask.gaps, feed.origin)
            self._sending.tell("ask", alone.write(), address)
        self._ask_again(feed, now)

    def _give_up(self, feed: Feed, now: float) -> None:
        """Nobody answers: a SYNC may help; else be silent, the longer the more often."""
        self.want_sync(None, now)
        row = feed.origin, feed.is_hearsay
        _, pause = self._barren.get(row) or (0.0, BARREN_FIRST / 2)
        pause = min(BARREN_MOST, 2 * pause)
        self._barren.put(row, (now + pause, pause))
        feed.forget_told()
        feed.gap = feed.missing()  # what was forgotten is not filled
        self.drop(feed)

    def _is_barren(self, feed: Feed, now: float) -> bool:
        until, _ = self._barren.peek((feed.origin, feed.is_hearsay)) or (now, 0.0)
        return now < until

    # -- SYNC

    def want_sync(self, partner: bytes | None, now: float) -> None:
        """Want a SYNC, unless many were wanted of which nothing came."""
        if self._syncs.take(now) and not self._sending.want_sync(partner):
            self._syncs.give_back()

    def synced(self, feed: Feed, now: float) -> None:
        """A SYNC brings something of that feed: more of them are welcome."""
        feed.sync_until = self._sync_until = now + SYNC_PATIENCE
        self._syncs.give_back()

    def _synced_by(self, feed: Feed) -> float:
        """Until when a SYNC is waited for. Feeds of a stranger hold up no other one for long."""
        return max(feed.sync_until, min(self._sync_until, self._sync_most))

    def _look(self, now: float) -> None:
        """Want a SYNC while much is missing, and look again."""
        if self.much and not self._looking:
            self._looking = True
            self._sync_until, self._sync_most = now + SYNC_PATIENCE, now + SYNC_MOST
            self._agenda.at(now + self.backoff(), self._look_due)

    def _look_due(self, now: float) -> None:
        self._looking = False
        if self.much:
            self.want_sync(None, now)
            self._looking = True
            self._agenda.at(now + SYNC_LOOK * (0.5 + self._random()), self._look_due)
