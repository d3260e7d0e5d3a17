"""Finding out which feeds differ, from summaries that do.

A beacon whose summary is ahead of ours in some buckets means that we lack something. What is just
on its way needs no question; so after a while, if the difference is still there, one of those
that lack it sends the hashes of the feeds in those buckets to the beacon's sender, which tells
everybody the feeds that differ. A bucket in which others stay ahead of us is a matter for a SYNC.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

import attrs

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.feeds.asking import Asking
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.core.feeds.requests import VECTOR_FEEDS, VECTOR_HASHES, Vector
from twistedp2p.core.feeds.summary import Summary, bucket_of, hash_of
from twistedp2p.core.limits import TokenBucket

PATIENCE = 0.5  # seconds for what is on its way
PAUSE = 1.0  # seconds between two questions of ours
TELL_RATE, TELL_BURST = 5.0, 10.0  # answers to everybody, of the whole group
TOLD_FOR = 0.4  # seconds in which the same is not told again
TOLD_MOST = 256  # feeds that are remembered as told
STUCK_BEACONS = 3  # beacons ahead of us in a bucket that does not change
STUCK_FOR = 3.0  # seconds, doubled with each SYNC that changes nothing
STUCK_DOUBLED = 8  # times at most


class Sending(Protocol):
    """What is needed to ask and answer."""

    def tell(self, kind: str, body: str, to: Hashable | None) -> object:
        """Send a message to everybody, or to one address."""


@attrs.define
class _Stuck:
    """A bucket of ours in which others are ahead."""

    bucket: bytes
    since: float  # seconds
    beacons: int = 0
    syncs: int = 0


class Vectors:
    """Our summary, and what is done about those that are ahead of it."""

    def __init__(
        self,
        agenda: Agenda,
        sending: Sending,
        pace: TokenBucket,
        asking: Asking,
        random: Callable[[], float],
    ) -> None:
        self.summary = Summary()
        self._agenda = agenda
        self._sending = sending
        self._pace = pace
        self._asking = asking
        self._random = random
        self._feeds: dict[int, dict[bytes, Feed]] = {}  # by bucket
        self._stuck: dict[int, _Stuck] = {}
        self._tells = TokenBucket.full(TELL_RATE, TELL_BURST, pace.at)
        self._told: OrderedDict[bytes, float] = OrderedDict()
        self._answered_at = pace.at
        self._ask_after = pace.at
        self._waiting = False

    def changed(self, feed: Feed) -> bool:
        """Something of a feed came; False when the summary is the same."""
        if not self.summary.update(feed):
            return False
        bucket = self._feeds.setdefault(bucket_of(feed.origin), {})
        if feed.counted == (0, 0):
            bucket.pop(feed.origin, None)
        else:
            bucket[feed.origin] = feed
        return True

    def forgotten(self, feed: Feed) -> None:
        """That feed is followed no more."""
        self.summary.drop(feed)
        self._feeds.get(bucket_of(feed.origin), {}).pop(feed.origin, None)

    # -- asking

    def heard(self, partner: bytes, address: Hashable, theirs: bytes, now: float) -> list[int]:
        """A beacon told a summary; the buckets in which it is ahead, where that is asked about."""
        # Where much is missing, a SYNC is wanted as it is.
        if self._asking.much or not (ahead := self.summary.ahead(theirs)):
            return []
        stuck = [index for index in ahead if self._is_stuck(index, now)]
        if stuck:
            self._asking.want_sync(partner, now)
        if not self._waiting and now >= self._ask_after:
            self._waiting = True
            wait = PATIENCE + self._asking.backoff()
            self._agenda.at(now + wait, self._ask, address, theirs, now)
        return ahead

    def _is_stuck(self, index: int, now: float) -> bool:
        bucket = self.summary.bucket(index)
        stuck = self._stuck.get(index)
        if stuck is None or stuck.bucket != bucket:
            stuck = self._stuck[index] = _Stuck(bucket, now)
        stuck.beacons += 1
        patience = STUCK_FOR * 2**stuck.syncs
        if stuck.beacons < STUCK_BEACONS or now - stuck.since < patience:
            return False
        stuck.beacons, stuck.since = 0, now
        stuck.syncs = min(STUCK_DOUBLED, stuck.syncs + 1)
        return True

    def _ask(self, now: float, address: Hashable, theirs: bytes, since: float) -> None:
        """Ask about what still differs, unless everybody was told of it meanwhile."""
        self._waiting = False
        ahead = self.summary.ahead(theirs)
        if not ahead or self._answered_at >= since or not self._pace.take(now):
            return
        self._ask_after = now + PAUSE
        start = int(self._random() * len(ahead))
        chosen: list[int] = []
        hashes: list[bytes] = []
        for index in ahead[start:] + ahead[:start]:
            found = [hash_of(feed.whole()) for feed in self._feeds.get(index, {}).values()]
            if len(hashes) + len(found) <= VECTOR_HASHES:
                chosen.append(index)
                hashes += found
        if chosen:
            vector = Vector(tuple(chosen), b"".join(sorted(hashes)))
            self._sending.tell("vector", vector.write(), address)

    # -- answering

    def answer(self, vector: Vector, address: Hashable | None, now: float) -> None:
        """Another asks which feeds differ in some buckets: tell everybody.

        address: where to tell it alone when everybody was told much; None where that may not be.
        """
        knows = vector.knows()
        differ = []
        for index in vector.buckets:
            for feed in self._feeds.get(index, {}).values():
                have = feed.whole()
                mark = hash_of(have)
                if mark not in knows and now - self._told.get(mark, -TOLD_FOR) >= TOLD_FOR:
                    differ.append(have)
        to_all = bool(differ) and self._tells.take(now)
        if not differ or (not to_all and address is None) or not self._pace.take(now):
            return
        start = int(self._random() * len(differ)) if len(differ) > VECTOR_FEEDS else 0
        answer = Vector(feeds=tuple(differ[start : start + VECTOR_FEEDS]))
        if to_all:
            self._note(answer, now)
        self._sending.tell("vector", answer.write(), None if to_all else address)

    def heard_answer(self, vector: Vector, now: float) -> None:
        """Another told everybody which feeds differ."""
        self._tells.spend(now)
        self._answered_at = now
        self._note(vector, now)

    def _note(self, vector: Vector, now: float) -> None:
        for have in vector.feeds:
            self._told[hash_of(have)] = now
            self._told.move_to_end(hash_of(have))
        while len(self._told) > TOLD_MOST:
            self._told.popitem(last=False)
