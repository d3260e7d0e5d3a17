"""The gossip of one node: who asks, who answers, and what a liar or a flood can make of it."""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation import Datagram, Group, Node
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed
from twistedp2p.core.feeds import asking as asking_module
from twistedp2p.core.feeds.asking import (
    BARREN_FIRST,
    DOUBTFUL_BURST,
    DOUBTFUL_RATE,
    LACKS_MOST,
    SYNC_BURST,
    SYNC_MOST,
    SYNC_PATIENCE,
    SYNC_RATE,
    TRIES,
)
from twistedp2p.core.feeds.feed import Feed, Have, Heads
from twistedp2p.core.feeds.gossip import (
    MAX_FEEDS,
    MAX_RUMOURS,
    NODE_BURST,
    NODE_RATE,
    OFFERS_BURST,
    OTHERS_BURST,
    REPEAT_AFTER,
)
from twistedp2p.core.feeds.repairs import GROUP_BURST, GROUP_RATE, RESERVE_RATE
from twistedp2p.core.feeds.requests import VECTOR_FEEDS, Ask, Vector
from twistedp2p.core.feeds.summary import SUMMARY_SIZE
from twistedp2p.core.feeds.vectors import TELL_BURST, TELL_RATE


class GossipTestCase(SynchronousTestCase):
    """`nodes` know each other; the last place of the group is `mallory`'s, who is no node."""

    count = 3

    def setUp(self) -> None:
        self.group = Group(self.count + 1)
        self.nodes = self.group.nodes[: self.count]
        self.mallory = self.group.nodes[self.count]
        self.number = 0
        self.carried: list[tuple[float, Datagram, Any]] = []
        carry = self.group.carry

        def note(datagram: Datagram, to: Any) -> None:
            self.carried.append((self.group.now, datagram, to))
            carry(datagram, to)

        self.group.carry = note  # type: ignore[method-assign]
        self.group.start(count=self.count)
        self.run_for(6)
        self.carried.clear()

    def run_for(self, seconds: float) -> None:
        self.group.run_until(self.group.now + seconds)

    def send(self, kind: str, content: Any, to: int | None = None) -> None:
        """Mallory sends a message."""
        self.number += 1
        message = Signed(kind, self.mallory.key, 1, self.number, 0, "", "", b"")
        datagram = Datagram(self.mallory.index, message, content, 500)
        for node in self.nodes if to is None else [self.nodes[to]]:
            self.group.push(self.group.now + 0.001, node.heard, datagram)

    def sent(self, kind: str, sender: int | None = None) -> list[tuple[float, Datagram, Any]]:
        return [
            each
            for each in self.carried
            if each[1].message.kind == kind and sender in (None, each[1].sender)
        ]

    def deaf(self, *nodes: Node) -> Any:
        """Within, these nodes hear nothing."""
        group = self.group

        class Deaf:
            def __enter__(self) -> None:
                group.sides = [int(each in nodes) for each in group.nodes]

            def __exit__(self, *_: object) -> None:
                group.sides = None

        return Deaf()


class PublishingTests(GossipTestCase):
    def test_a_line_is_sent_twice_and_its_head_four_times(self) -> None:
        self.nodes[0].say()
        start = self.group.now
        self.run_for(20)
        said = [round(at - start, 2) for at, _, _ in self.sent("say")]
        self.assertEqual(said, [0, REPEAT_AFTER])
        heads = [round(at - start, 2) for at, _, _ in self.sent("head")]
        self.assertEqual(heads, [0.75, 1.75, 3.75, 7.75])

    def test_the_next_line_puts_the_heads_off(self) -> None:
        for _ in range(6):
            self.nodes[0].say()
            self.run_for(0.5)
        self.assertEqual(self.sent("head"), [])
        self.run_for(10)
        self.assertEqual(len(self.sent("head")), 4)

    def test_of_many_offers_few_go_by_datagram(self) -> None:
        self.nodes[0].offer(50)
        self.assertEqual(len(self.sent("offer")), OFFERS_BURST)
        self.run_for(9)
        self.assertEqual(len(self.sent("head")), 4)
        self.assertTrue(self.group.complete(self.nodes))

    def test_in_a_busy_group_offers_go_by_no_datagram(self) -> None:
        for _ in range(150):
            self.send("head", Heads())
        self.run_for(0.1)
        self.nodes[0].offer()
        self.assertEqual(self.sent("offer"), [])


class AskingTests(GossipTestCase):
    count = 10

    def test_of_all_that_lack_the_same_hardly_more_than_one_asks(self) -> None:
        with self.deaf(*self.nodes[1:9]):
            self.nodes[0].say()
            self.run_for(0.5)
        self.nodes[0].say()
        self.run_for(5)
        self.assertLessEqual(len(self.sent("ask")), 3)
        self.assertTrue(self.group.complete(self.nodes))

    def test_who_hears_only_part_of_it_asked_asks_for_its_own(self) -> None:
        first, second = self.nodes[1], self.nodes[2]
        with self.deaf(first, second):
            self.nodes[0].say()
            self.run_for(0.5)
        with self.deaf(first):
            self.nodes[0].say()
            self.run_for(0.5)
        self.run_for(10)
        self.assertTrue(self.group.complete(self.nodes))

    def test_any_holder_answers_where_the_publisher_is_gone(self) -> None:
        late = self.nodes[9]
        with self.deaf(late):
            self.nodes[0].say()
            self.run_for(0.5)
            self.nodes[0].stop()
        self.carried.clear()
        self.run_for(10)
        self.assertTrue(self.group.complete(self.nodes[1:]))
        self.assertLessEqual(len(self.sent("say")), 2)

    def test_what_nobody_has_is_asked_for_a_few_times_by_one_for_all(self) -> None:
        """Attack 40: a publisher that tells of numbers that never were."""
        self.send("head", Heads((1, 5)))
        self.run_for(25)
        asks = self.sent("ask")
        to_all = [each for each in asks if each[2] is None]
        self.assertTrue(TRIES <= len(to_all) <= 3 * TRIES, len(to_all))
        self.run_for(BARREN_FIRST)
        before = len(self.sent("ask"))
        self.run_for(60)
        self.assertEqual(len(self.sent("ask")), before)

    def test_its_publisher_is_asked_alone_then_a_sync_is_wanted_then_there_is_silence(self) -> None:
        self.patch(asking_module, "ALONE", self.count)
        one, origin = self.nodes[1], b"o" * 32
        wanted: list[object] = []
        one.want_sync = lambda partner: not wanted.append(partner)  # type: ignore[method-assign]
        one.gossip._asking._address_of = lambda _: "its address"
        self.group.carry = lambda *sent: self.carried.append(  # type: ignore[method-assign]
            (self.group.now, *sent)
        )
        feed = Feed(origin, 1)
        one.gossip.follow(feed)
        one.gossip.heard_heads(feed, Heads((1, 5)), self.group.now, live=True)
        self.run_for(12)
        self.assertEqual(wanted, [])
        self.run_for(8)
        asks = self.sent("ask", 1)
        self.assertEqual([each[2] for each in asks], [None] * TRIES + ["its address"])
        self.assertEqual([each[1].content.to for each in asks], [None] * TRIES + [origin])
        self.assertEqual(wanted, [None])
        self.run_for(60)
        self.assertEqual(len(self.sent("ask", 1)), TRIES + 1)

    def test_who_goes_on_lying_is_asked_ever_less(self) -> None:
        """Attack 40: a lie in every beacon."""
        counts = []
        for _ in range(4):
            before = len(self.sent("ask"))
            for turn in range(60):
                self.send("head", Heads((1, MAX_NUMBER), (1, 5 + turn)))
                self.run_for(5)
            counts.append(len(self.sent("ask")) - before)
        self.assertLess(counts[1], counts[0])
        self.assertLessEqual(counts[-1], 3 * (TRIES + 1))
        syncs = self.group.sent["SYNC"]
        self.assertLess(syncs, self.count * (SYNC_BURST + 1200 * SYNC_RATE))

    def test_who_lies_and_speaks_on_is_asked_no_more_for_that(self) -> None:
        """Attack 40: a number that never was, and an entry beyond it now and then."""
        gossip = self.nodes[1].gossip
        self.group.sync = lambda *_: None  # type: ignore[method-assign]
        feed = Feed(b"o" * 32, 1)
        gossip.follow(feed)
        counts = []
        for turn in range(48):
            number = 10**9 + turn
            gossip.heard_entries(feed, "offers", number, number, self.group.now)
            gossip.heard_heads(feed, Heads((1, 0), (1, number)), self.group.now, live=True)
            self.assertLessEqual(gossip._asking.lacks, LACKS_MOST)
            self.run_for(10)
            counts.append(len(self.sent("ask", 1)))
        self.assertLess(counts[-1] - counts[23], counts[11] / 2)
        self.assertFalse(gossip._asking.much)

    def test_who_fills_a_gap_is_asked_on(self) -> None:
        gossip = self.nodes[1].gossip
        feed = Feed(b"o" * 32, 1)
        gossip.follow(feed)
        for _ in range(8):  # until nobody asks about it for long
            gossip.heard_heads(feed, Heads((1, 0), (1, 9)), self.group.now, live=True)
            self.run_for(60)
        before = len(self.sent("ask", 1))
        gossip.heard_entries(feed, "offers", 3, 3, self.group.now)
        self.run_for(3)
        self.assertGreater(len(self.sent("ask", 1)), before)

    def test_many_that_lie_share_one_slow_pace(self) -> None:
        """Attack 40: throw-away keys, each with a feed of its own; live lines come first."""
        chance = random.Random(7)
        for node in self.nodes:
            for _ in range(300):
                feed = Feed(chance.randbytes(32), 1)
                node.gossip.follow(feed)
                node.gossip.heard_heads(feed, Heads((1, 9)), self.group.now, live=True)
        with self.deaf(self.nodes[5]):
            self.nodes[0].say()
            self.run_for(0.5)
        said = self.nodes[0].say()
        self.run_for(3)
        feed = self.nodes[5].gossip.feed(self.nodes[0].key)
        assert feed is not None
        self.assertIn(said.number, feed.have["chat"])
        self.run_for(7)
        mine = self.sent("ask", 5)
        self.assertLessEqual(len(mine), DOUBTFUL_BURST + 10 * DOUBTFUL_RATE + 5)

    def test_much_that_is_missing_waits_for_a_sync_and_what_is_live_does_not(self) -> None:
        self.group.sync = lambda *_: None  # type: ignore[method-assign]
        late = self.nodes[9]
        with self.deaf(late):
            self.nodes[0].say()
            for _ in range(100):
                self.nodes[1].say()
                self.run_for(0.01)
        self.run_for(1)
        before = len(self.sent("ask", 9))
        self.assertTrue(late.gossip._asking.much)
        self.run_for(SYNC_PATIENCE - 2)
        self.assertLessEqual(len(self.sent("ask", 9)) - before, 1)
        self.run_for(20)
        self.assertTrue(self.group.complete(self.nodes))

    def test_a_sync_that_brings_something_is_waited_for_and_repairs_are_not(self) -> None:
        gossip = self.nodes[9].gossip
        self.group.sync = lambda *_: None  # type: ignore[method-assign]
        feed = Feed(b"o" * 32, 1)
        gossip.follow(feed)
        gossip.heard_heads(feed, Heads((1, 0), (1, 200)), self.group.now, live=False)
        for number in range(1, int(SYNC_MOST) + 10):
            gossip.heard_entries(feed, "offers", number, number, self.group.now, synced=True)
            self.run_for(1)
        self.assertEqual(self.sent("ask", 9), [])
        for number in range(int(SYNC_MOST) + 10, int(SYNC_MOST) + 30):
            gossip.heard_entries(feed, "offers", number, number, self.group.now)
            self.run_for(1)
        self.assertNotEqual(self.sent("ask", 9), [])

    def test_a_sync_that_brings_another_feed_is_not_waited_for_without_end(self) -> None:
        """Attack 41: a partner that tells a line of a stranger now and then, and never ends."""
        gossip = self.nodes[9].gossip
        self.group.sync = lambda *_: None  # type: ignore[method-assign]
        feed, other = Feed(b"o" * 32, 1), Feed(b"x" * 32, 1)
        gossip.follow(feed)
        gossip.follow(other)
        gossip.heard_heads(feed, Heads((1, 0), (1, 200)), self.group.now, live=False)
        for number in range(1, 40):
            gossip.heard_entries(other, "chat", number, number, self.group.now, synced=True)
            self.run_for(1)
            if number < SYNC_MOST:
                self.assertEqual(self.sent("ask", 9), [])
        self.assertNotEqual(self.sent("ask", 9), [])

    def test_syncs_that_bring_something_are_free(self) -> None:
        asking, feed = self.nodes[9].gossip._asking, Feed(b"o" * 32, 1)
        wanted = []
        asking._sending.want_sync = lambda partner: not wanted.append(partner)
        for _ in range(100):
            asking.want_sync(None, self.group.now)
        self.assertEqual(len(wanted), SYNC_BURST)
        for _ in range(100):
            asking.synced(feed, self.group.now)
            asking.want_sync(None, self.group.now)
        self.assertEqual(len(wanted), SYNC_BURST + 100)


class AnsweringTests(GossipTestCase):
    count = 10

    def setUp(self) -> None:
        super().setUp()
        for node in self.nodes[:3]:
            for _ in range(120):
                node.say()
            self.run_for(1)
        self.run_for(15)
        self.assertTrue(self.group.complete(self.nodes))
        self.carried.clear()

    def ask(self, origin: int, low: int, high: int, epoch: int = 1, **to: bytes) -> Ask:
        return Ask(self.nodes[origin].key, epoch, {"chat": [(low, high)]}, **to)

    def test_the_publisher_answers_at_once_and_the_others_hear_it(self) -> None:
        self.send("ask", self.ask(0, 5, 5))
        self.run_for(1)
        ((_, datagram, to),) = self.sent("say")
        self.assertEqual((datagram.sender, datagram.content.number, to), (0, 5, None))

    def test_one_of_all_holders_answers(self) -> None:
        self.nodes[0].stop()
        for number in range(1, 11):
            self.send("ask", self.ask(0, number, number))
            self.run_for(1)
        self.assertTrue(10 <= len(self.sent("say")) <= 25)

    def test_who_is_asked_alone_answers_alone(self) -> None:
        self.send("ask", self.ask(0, 5, 6, to=self.nodes[3].key))
        self.run_for(1)
        self.assertEqual({each[1].sender for each in self.sent("say")}, {3})
        self.assertEqual({each[2] for each in self.sent("say")}, {self.mallory.index})

    def test_what_never_was_is_not_answered(self) -> None:
        """Attack 18."""
        for ask in (
            self.ask(0, 121, 220),
            self.ask(0, MAX_NUMBER - 99, MAX_NUMBER),
            self.ask(0, 1, 5, epoch=2),
            Ask(self.mallory.key, 1, {"chat": [(1, 5)]}),
            Ask(self.nodes[0].key, 1, {"offers": [(1, 100)]}),
            Ask(self.nodes[0].key, 1, {}),
        ):
            self.send("ask", ask)
        self.run_for(2)
        self.assertEqual(self.sent("say") + self.sent("gone"), [])

    def test_the_publisher_tells_what_is_gone_and_no_holder_does(self) -> None:
        raw_of = self.group.raw_of
        self.group.raw_of = lambda origin, log, number: (  # type: ignore[method-assign]
            raw_of(origin, log, number) if number % 2 else None
        )
        self.send("ask", self.ask(0, 1, 10))
        self.run_for(1)
        ((_, datagram, _),) = self.sent("gone")
        self.assertEqual(datagram.sender, 0)
        self.assertEqual(datagram.content.ranges, tuple((n, n) for n in range(2, 11, 2)))
        self.assertEqual(len(self.sent("say")), 5)

    def test_what_is_gone_is_told_at_the_pace_of_all_that_is_sent(self) -> None:
        """Attack 40: asks for what was superseded, each for other numbers, of many hosts."""
        self.group.raw_of = lambda *_: None  # type: ignore[method-assign]
        since = self.group.now
        for turn in range(1000):
            low = 1 + turn % 120
            ask = self.ask(0, low, low + turn // 120)
            host = f"10.0.9.{turn % 100}"
            self.nodes[0].gossip.heard_ask(ask, host, None, self.group.now)
            self.run_for(0.005)
        seconds = self.group.now - since
        self.assertLessEqual(len(self.sent("gone")), NODE_BURST + NODE_RATE * seconds)
        self.assertGreater(len(self.sent("gone")), NODE_BURST)

    def test_a_crowd_of_holders_sends_little_for_a_flood_of_asks(self) -> None:
        """Attack 40: signed, fresh, and for all that there is, in the name of many hosts."""
        since = self.group.now
        turn = 0
        while self.group.now < since + 10:
            for origin in range(3):
                turn += 1
                content = self.ask(origin, 1 + turn % 20, 100 + turn % 20)
                for node in self.nodes:
                    host = f"10.0.{turn % 50}.9"
                    node.gossip.heard_ask(content, host, host, self.group.now)
            self.run_for(0.05)
        seconds = self.group.now - since
        bound = GROUP_BURST + seconds * (GROUP_RATE + RESERVE_RATE)
        self.assertLess(len(self.sent("say")), 1.3 * bound)
        said = self.nodes[5].say()
        self.run_for(1)
        self.assertEqual(len(said.waits), self.count - 1)

    def test_a_flood_of_asks_does_not_keep_the_others_from_asking(self) -> None:
        """Attack 40: who asks all the time uses up what the group may ask."""
        for turn in range(200):
            for host in range(10):
                for node in self.nodes:
                    ask = self.ask(0, 1 + turn % 100, 1 + turn % 100)
                    node.gossip.heard_ask(ask, f"10.0.9.{host}", self.mallory.index, self.group.now)
            if turn == 100:
                feed = Feed(b"o" * 32, 1)
                self.nodes[1].gossip.follow(feed)
                self.nodes[1].gossip.heard_heads(feed, Heads((1, 1)), self.group.now, live=True)
            self.run_for(0.05)
        self.assertGreaterEqual(len(self.sent("ask", 1)), 2)

    def test_vectors_asked_of_a_crowd_are_told_at_a_pace(self) -> None:
        """Attack 40: questions that differ, to each node alone."""
        since = self.group.now
        while self.group.now < since + 10:
            for node in range(self.count):
                self.send("vector", Vector(tuple(range(32)), b""), to=node)
            self.run_for(0.05)
        told = [each for each in self.sent("vector") if each[2] is None]
        self.assertLess(len(told), 2 * (TELL_BURST + 10 * TELL_RATE))
        self.assertTrue(all(len(each[1].content.feeds) <= VECTOR_FEEDS for each in told))


class OtherTests(GossipTestCase):
    """A publisher says other entries under numbers that it has used: its memory is an old copy."""

    def setUp(self) -> None:
        super().setUp()
        self.shown: list[tuple[bytes, Any]] = []
        self.gossip = self.nodes[1].gossip
        self.gossip._sending = mock.Mock(repeat=lambda *what: self.shown.append(what))

    def hear(self, key: bytes, times: int = 1) -> list[tuple[bytes, Any]]:
        """What is shown to that publisher within some seconds."""
        self.shown.clear()
        for _ in range(times):
            self.gossip.heard_other(key, b"kept", self.group.now)
        self.run_for(2)
        return self.shown

    def test_what_it_said_before_is_shown_to_it_alone_and_once_more(self) -> None:
        self.assertEqual(self.hear(self.nodes[0].key), 2 * [(b"kept", self.nodes[0].index)])

    def test_to_one_who_is_not_here_nothing_is_shown(self) -> None:
        self.assertEqual(self.hear(b"nobody" * 5), [])

    def test_not_by_everybody(self) -> None:
        """Attack 40: a thousand answers to one datagram."""
        self.gossip._nodes = lambda: 1000
        self.gossip._random = lambda: 0.009
        self.assertEqual(self.hear(self.nodes[0].key), [])

    def test_not_without_end(self) -> None:
        """Attack 40: somebody who says two things under each number, again and again."""
        shown = self.hear(self.nodes[0].key, 100)
        self.assertEqual(len(shown), 2 * OTHERS_BURST)


class HintTests(GossipTestCase):
    """What others tell of somebody's feed proves nothing."""

    def setUp(self) -> None:
        super().setUp()
        for _ in range(3):
            self.nodes[0].say()
        self.run_for(15)
        self.origin = self.nodes[0].key
        self.carried.clear()

    def test_who_told_the_truth_is_asked_for_it(self) -> None:
        with self.deaf(self.nodes[1]):
            self.nodes[0].say()
            self.run_for(9)
        self.nodes[0].stop()
        self.send("vector", Vector(feeds=(Have(self.origin, 1, 4, 0),)))
        self.run_for(2)
        self.assertTrue(self.group.complete(self.nodes[1:]))

    def test_what_its_publisher_told_of_and_only_another_has_is_asked_for(self) -> None:
        one, two = self.nodes[1], self.nodes[2]
        self.group.sync = lambda *_: None  # type: ignore[method-assign]
        with self.deaf(one):
            self.nodes[0].say()
            self.run_for(9)
        two.stop()
        self.nodes[0].stop()
        feed = one.gossip.feed(self.origin)
        assert feed is not None
        one.gossip.heard_heads(feed, Heads((1, 4)), self.group.now, live=True)
        self.run_for(60)
        self.assertIsNone(feed.asking)
        two.start()
        self.run_for(10)
        self.assertTrue(self.group.complete(self.nodes[1:]))

    def test_what_one_was_told_alone_keeps_him_from_no_question(self) -> None:
        """Attack 40: differences that nobody else hears of, told all the time."""
        one = self.nodes[1]
        for _ in range(5):
            one.gossip.heard_summary(self.nodes[2].key, 2, b"\1" * SUMMARY_SIZE, (), self.group.now)
            for _ in range(10):
                one.gossip.heard_vector(Vector(), None, self.group.now, direct=True)
                self.run_for(0.1)
        self.assertGreaterEqual(len(self.sent("vector", 1)), 3)

    def test_a_lie_about_a_feed_changes_nothing_that_is_here(self) -> None:
        """Attack 40: a later epoch, and numbers that never were, told by somebody else."""
        summaries = [node.gossip.summary() for node in self.nodes]
        for have in (
            Have(self.origin, MAX_NUMBER, 1, 1),
            Have(self.origin, 1, MAX_NUMBER, MAX_NUMBER),
            Have(self.nodes[1].key, 9, 9, 9),
            Have(b"nobody" * 5 + b"..", 1, 1, 1),
        ):
            self.send("vector", Vector(feeds=(have,)))
        self.run_for(60)
        self.assertEqual([node.gossip.summary() for node in self.nodes], summaries)
        for node in self.nodes:
            feed = node.gossip.feed(self.origin)
            assert feed is not None
            self.assertEqual((feed.epoch, feed.whole()), (1, Have(self.origin, 1, 3, 0)))
        said = self.nodes[0].say()
        self.run_for(1)
        self.assertEqual(len(said.waits), self.count - 1)

    def test_lies_about_a_feed_do_not_delay_what_its_publisher_says(self) -> None:
        """Attack 40: hints that nobody can fulfil, until nobody asks about that feed any more."""
        for turn in range(20):
            self.send("vector", Vector(feeds=(Have(self.origin, 1, 1000 + turn, 0),)))
            self.run_for(15)
        self.assertTrue(self.group.complete(self.nodes))
        with self.deaf(self.nodes[1]):
            said = self.nodes[0].say()
            self.run_for(0.5)
        self.run_for(2)
        self.assertTrue(said.had[1])

    def test_lies_about_many_feeds_are_bounded(self) -> None:
        """Attack 40: memory, and asks."""
        chance = random.Random(7)
        gossip = self.nodes[1].gossip
        for _ in range(3 * MAX_RUMOURS):
            have = Have(chance.randbytes(32), 1, 9, 9)
            gossip.heard_of([have], self.group.now)
        self.assertLessEqual(len(gossip._rumours), MAX_RUMOURS)
        self.assertLessEqual(gossip._asking.lacks, 18 * MAX_RUMOURS)
        self.run_for(10)
        self.assertLessEqual(len(self.sent("ask", 1)), DOUBTFUL_BURST + 10 * DOUBTFUL_RATE + 3)

    def test_a_summary_that_lies_costs_few_questions_and_few_syncs(self) -> None:
        """Attack 40: random bytes in every beacon, ten times a second."""
        chance = random.Random(7)
        before = self.group.sent["SYNC"]
        for _ in range(600):
            summary = chance.randbytes(SUMMARY_SIZE)
            for node in self.nodes:
                node.gossip.heard_summary(
                    self.mallory.key, self.mallory.index, summary, (), self.group.now
                )
            self.run_for(0.1)
        self.assertLessEqual(len(self.sent("vector")), 60 * self.count)
        self.assertLessEqual(self.group.sent["SYNC"] - before, 3 * (SYNC_BURST + 6))

    def test_a_summary_that_stays_ahead_is_a_reason_for_ever_fewer_syncs(self) -> None:
        """Attack 40: one bucket, always ahead of ours."""
        before = self.group.sent["SYNC"]
        for _ in range(120):
            for node in self.nodes:
                node.gossip.heard_summary(
                    self.mallory.key, self.mallory.index, b"\1" * SUMMARY_SIZE, (), self.group.now
                )
            self.run_for(0.5)
        syncs = self.group.sent["SYNC"] - before
        self.assertTrue(3 <= syncs <= 3 * 6, syncs)

    def test_a_later_epoch_that_others_tell_of_is_asked_for(self) -> None:
        one, two = self.nodes[1].gossip, self.nodes[2].gossip
        for gossip, epoch in ((one, 1), (two, 2)):
            feed = Feed(b"o" * 32, epoch)
            gossip.follow(feed)
            gossip.heard_entries(feed, "chat", 1, 1, self.group.now)
        one.heard_of(two.vector(), self.group.now)
        self.run_for(0.5)
        asks = {(each[1].content.origin, each[1].content.epoch) for each in self.sent("ask", 1)}
        self.assertEqual(asks, {(b"o" * 32, 2)})
        kept = one.feed(b"o" * 32)
        assert kept is not None
        self.assertEqual(kept.epoch, 1)

    def test_whoever_goes_on_speaking_is_followed_on_whoever_comes(self) -> None:
        """Attack 37: throw-away keys push out those that were heard least lately."""
        gossip, chance = self.nodes[1].gossip, random.Random(7)
        for turn in range(2 * MAX_FEEDS):
            gossip.follow(Feed(chance.randbytes(32), 1))
            if turn % 100 == 0:
                feed = gossip.feed(self.origin)
                assert feed is not None
                gossip.heard_heads(feed, Heads((1, 3)), self.group.now, live=False)
        self.assertIsNotNone(gossip.feed(self.origin))
        self.assertIsNone(gossip.feed(self.nodes[2].key))

    def test_feeds_of_throw_away_keys_are_bounded_and_never_push_out_ours(self) -> None:
        """Attack 37."""
        gossip, chance = self.nodes[1].gossip, random.Random(7)
        for _ in range(MAX_FEEDS + 50):
            feed = Feed(chance.randbytes(32), 1)
            gossip.follow(feed)
            gossip.heard_entries(feed, "chat", 1, 1, self.group.now)
        self.assertEqual(len(gossip), MAX_FEEDS)
        self.assertIs(gossip.feed(self.nodes[1].key), gossip.own)
        counted = [feed for feeds in gossip._vectors._feeds.values() for feed in feeds.values()]
        self.assertLessEqual(len(counted), MAX_FEEDS)
        self.assertLess(len(gossip._changed), 100)


class SyncTests(GossipTestCase):
    def test_what_a_partner_lacks_is_named_as_it_has_it(self) -> None:
        key = self.nodes[0].key
        for _ in range(3):
            self.nodes[0].say()
        self.run_for(1)
        gossip = self.nodes[1].gossip
        for theirs, lacking in (
            ([], [Have(key, 0, 0, 0)]),
            ([Have(key, 1, 2, 0)], [Have(key, 1, 2, 0)]),
            ([Have(key, 1, 3, 0)], []),
            ([Have(key, 2, 0, 0)], []),
            ([Have(key, 1, 9, 9)], []),
        ):
            self.assertEqual(gossip.lacking(theirs), lacking)
        self.assertIn(Have(key, 1, 3, 0), gossip.vector())

    def test_an_earlier_epoch_is_nothing(self) -> None:
        key = self.nodes[0].key
        gossip = self.nodes[1].gossip
        feed = Feed(key, 5)
        gossip.follow(feed)
        gossip.heard_entries(feed, "offers", 1, 1, self.group.now)
        self.assertEqual(gossip.lacking([Have(key, 4, 100, 100)]), [Have(key, 0, 0, 0)])

    def test_what_is_settled_is_asked_for_no_more(self) -> None:
        gossip, key = self.nodes[1].gossip, self.nodes[0].key
        feed = gossip.feed(key) or Feed(key, 1)
        gossip.follow(feed)
        for number in range(1, 6):
            self.group.publish(0, "offers", number)
        gossip.heard_entries(feed, "offers", 5, 5, self.group.now)
        gossip.settled(Have(key, 1, 0, 5), self.group.now)
        gossip.settled(Have(b"u" * 32, 1, 0, 5), self.group.now)
        self.nodes[0].stop()
        self.carried.clear()
        self.run_for(20)
        self.assertEqual(self.sent("ask", 1), [])
        self.assertEqual(gossip.vector()[-1].offers, 5)

    def test_our_own_feed_is_settled_by_nobody(self) -> None:
        gossip = self.nodes[1].gossip
        self.nodes[1].say()
        gossip.settled(Have(gossip.own.origin, 1, MAX_NUMBER, 0), self.group.now)
        self.assertEqual(gossip.own.whole().chat, 1)

    def test_what_others_tell_of_our_own_feed_is_asked_for_but_not_believed(self) -> None:
        """Our memory may be an older copy; or somebody lies."""
        gossip = self.nodes[1].gossip
        self.nodes[1].say()
        gossip.heard_of([Have(gossip.own.origin, 1, MAX_NUMBER, 0)], self.group.now)
        self.run_for(60)
        self.assertIn(len(self.sent("ask", 1)), range(1, 10))
        self.assertEqual(gossip.own.missing(), 0)
        self.assertEqual((gossip.own.whole().chat, gossip.own.heads.chat), (1, (1, 1)))
