"""Summaries: equal where the same is here, and which side lacks more."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.core.feeds.feed import Feed, Have
from twistedp2p.core.feeds.summary import (
    BUCKETS,
    HASH_SIZE,
    SUMMARY_SIZE,
    Summary,
    bucket_of,
    hash_of,
)


def key(number: int) -> bytes:
    return bytes([number % 256]) * 31 + bytes([number // 256])


def feed(number: int, chat: int, offers: int = 0, epoch: int = 1) -> Feed:
    made = Feed(key(number), epoch)
    if chat:
        made.heard_entries("chat", 1, chat)
    if offers:
        made.heard_entries("offers", 1, offers)
    return made


def summary(*feeds: Feed) -> Summary:
    made = Summary()
    for each in feeds:
        made.update(each)
    return made


class Summaries(SynchronousTestCase):
    def test_the_same_feeds_make_the_same_whatever_the_order(self) -> None:
        feeds = [feed(n, n + 1, n) for n in range(300)]
        shuffled = random.Random(1).sample(feeds, len(feeds))
        copies = [feed(n, n + 1, n) for n in range(300)]
        self.assertEqual(summary(*shuffled).packed, summary(*copies).packed)
        self.assertEqual(len(summary(*[]).packed), SUMMARY_SIZE)

    def test_a_feed_of_which_nothing_is_here_counts_for_nothing(self) -> None:
        self.assertEqual(summary(feed(1, 0)).packed, bytes(SUMMARY_SIZE))

    def test_it_follows_every_change(self) -> None:
        changing = feed(1, 5)
        made = summary(changing, feed(33, 7))
        self.assertFalse(made.update(changing))
        changing.heard_entries("chat", 6, 6)
        self.assertTrue(made.update(changing))
        self.assertEqual(made.packed, summary(feed(1, 6), feed(33, 7)).packed)
        made.drop(changing)
        self.assertEqual(made.packed, summary(feed(33, 7)).packed)
        made.drop(changing)
        self.assertEqual(made.packed, summary(feed(33, 7)).packed)

    def test_who_has_more_is_ahead_and_who_has_less_is_not(self) -> None:
        less, more = summary(feed(1, 5), feed(2, 9)), summary(feed(1, 6), feed(2, 9), feed(40, 1))
        self.assertEqual(less.ahead(bytes(more.packed)), [1, 40 % BUCKETS])
        self.assertEqual(more.ahead(bytes(less.packed)), [])
        self.assertEqual(more.ahead(bytes(more.packed)), [])

    def test_of_two_that_differ_one_at_least_asks(self) -> None:
        chance = random.Random(2)
        for _ in range(300):
            bounds = 1, chance.choice((3, 1000, MAX_NUMBER))
            one = summary(feed(1, chance.randint(*bounds), epoch=1))
            other = summary(feed(1, chance.randint(*bounds), epoch=2))
            self.assertTrue(one.ahead(bytes(other.packed)) or other.ahead(bytes(one.packed)))

    def test_a_later_epoch_is_a_difference(self) -> None:
        one, other = summary(feed(1, 5, epoch=1)), summary(feed(1, 5, epoch=2))
        self.assertEqual(one.ahead(bytes(other.packed)), [1])

    @settings(deadline=None)
    @given(st.binary(min_size=SUMMARY_SIZE, max_size=SUMMARY_SIZE))
    def test_any_bytes_are_compared(self, theirs: bytes) -> None:
        """Attack 40."""
        mine = summary(feed(1, 5))
        self.assertTrue(set(mine.ahead(theirs)) <= set(range(BUCKETS)))

    def test_hashes_and_buckets(self) -> None:
        have = Have(key(1), 1, 2, 3)
        self.assertEqual(len(hash_of(have)), HASH_SIZE)
        self.assertNotEqual(hash_of(have), hash_of(Have(key(1), 1, 3, 2)))
        self.assertEqual(bucket_of(key(35)), 3)
