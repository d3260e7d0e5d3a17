"""Feeds: runs of numbers, when to ask, and that all that is live arrives in the end."""

from __future__ import annotations

import json
import random
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core import feed as feed_module
from twistedp2p.core.body import BadBody
from twistedp2p.core.datagram import MAX_DATAGRAM, MAX_NUMBER, Signer
from twistedp2p.core.feed import (
    ASK_ITEMS,
    CHAT_BACKLOG,
    GONE_RANGES,
    LOG_NAMES,
    MAX_RANGES,
    RETRY_MOST,
    TRIES,
    Ask,
    Feed,
    Heads,
    Ranges,
    first_of,
    read_gone,
    write_gone,
)
from twistedp2p.core.names import b64

ORIGIN = b"o" * 32
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32), b"255.255.255.255:65535")


def sent_size(kind: str, body: str) -> int:
    """Bytes of a datagram with the longest trailer."""
    numbers = MAX_NUMBER, MAX_NUMBER, MAX_NUMBER
    return len(SIGNER.sign(kind, *numbers, "😀" * 20, body).raw)


def numbers(runs: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in runs for number in range(low, high + 1)}


SMALL = st.integers(1, 60)
RUNS = st.tuples(SMALL, st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


class RunsOfNumbers(SynchronousTestCase):
    @settings(deadline=None, max_examples=200)
    @given(st.lists(RUNS, max_size=30), RUNS)
    def test_they_are_a_set(self, added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
        ranges, model = Ranges(), set()
        for low, high in added:
            self.assertTrue(ranges.add(low, high))
            model |= numbers([(low, high)])
        self.assertEqual(numbers(ranges.runs()), model)
        self.assertEqual([n in ranges for n in range(70)], [n in model for n in range(70)])
        self.assertEqual(numbers(ranges.missing(*asked)), numbers([asked]) - model)
        for runs in (ranges.runs(), list(ranges.missing(*asked))):
            self.assertTrue(all(low <= high for low, high in runs))
            between = pairwise(runs)
            self.assertTrue(all(high + 1 < low for (_, high), (low, _) in between))
        self.assertEqual(Ranges(ranges.runs()), ranges)

    def test_single_numbers(self) -> None:
        ranges = Ranges()
        for number in (5, 3, 4, MAX_NUMBER, 1):
            self.assertTrue(ranges.add(number))
        self.assertEqual(ranges.runs(), [(1, 1), (3, 5), (MAX_NUMBER, MAX_NUMBER)])
        self.assertEqual(list(ranges.missing(1, MAX_NUMBER)), [(2, 2), (6, MAX_NUMBER - 1)])
        self.assertEqual(list(ranges.missing(7, 6)), [])

    def test_there_are_never_too_many(self) -> None:
        """Attack 40: a feed of every other number, upward, downward and at random."""
        every_other = list(range(10, 10 + 6 * MAX_RANGES, 2))
        shuffled = random.Random(1).sample(every_other, len(every_other))
        for order in (every_other, every_other[::-1], shuffled):
            ranges = Ranges()
            for number in order:
                self.assertEqual(ranges.add(number), number in ranges)
            self.assertLessEqual(len(ranges.runs()), MAX_RANGES + 1)
            for number in every_other:
                ranges.add(number + 1)
            self.assertLessEqual(len(ranges.runs()), MAX_RANGES + 1)

    def test_a_full_one_takes_what_joins_its_runs(self) -> None:
        ranges = Ranges()
        for number in range(1, 1 + 2 * MAX_RANGES, 2):
            ranges.add(number)
        self.assertFalse(ranges.add(10**6))
        self.assertTrue(ranges.add(2))
        self.assertTrue(ranges.add(10**6))

    def test_the_copy_of_the_runs_is_the_callers_own(self) -> None:
        ranges = Ranges([(1, 2)])
        ranges.runs().append((5, 6))
        self.assertEqual(ranges.runs(), [(1, 2)])

    @settings(deadline=None)
    @given(st.lists(RUNS, max_size=10), st.integers(0, 50), st.integers(0, 60))
    def test_the_first_of_them(self, added: list, most: int, room: int) -> None:
        ranges = Ranges()
        for run in added:
            ranges.add(*run)
        taken = first_of(ranges.runs(), most, room)
        self.assertLessEqual(len(numbers(taken)), most)
        self.assertLessEqual(len(json.dumps(taken, separators=(",", ":"))), max(2, room + 1))
        everything = sorted(numbers(ranges.runs()))
        self.assertEqual(sorted(numbers(taken)), everything[: len(numbers(taken))])
        if room == 60 and most and everything and len(added) <= 5:
            self.assertTrue(taken)


class Messages(SynchronousTestCase):
    def test_an_ask_is_read_as_written(self) -> None:
        ask = Ask(ORIGIN, 3, {"chat": [(4, 9), (11, 11)], "offers": [(1, MAX_NUMBER)]})
        read = Ask.read(ask.write())
        self.assertEqual(
            (read.origin, read.epoch, read.gaps["chat"]), (ORIGIN, 3, ask.gaps["chat"])
        )
        self.assertEqual(read.gaps["offers"], [(1, ASK_ITEMS)])

    def test_an_ask_for_more_than_its_share_is_cut(self) -> None:
        """Attack 40: one datagram asks for at most a hundred numbers of a log."""
        text = json.dumps({"origin": b64(ORIGIN), "epoch": 1, "chat": [[1, 60], [70, 10**9]]})
        self.assertEqual(len(numbers(Ask.read(text).gaps["chat"])), ASK_ITEMS)

    def test_a_malformed_ask_is_refused(self) -> None:
        """Attack 38."""
        good = {"origin": b64(ORIGIN), "epoch": 1, "chat": [[1, 2]]}
        for name, values in {
            "origin": ["", "A" * 42, b64(ORIGIN) + "=", "é" * 43, "\ud800" * 43, None, 5,
                       b64(ORIGIN)[:-1] + "_"],
            "epoch": [0, -1, 2**53, 1.0, "1", None],
            "chat": [None, 5, [5], [[0, 1]], [[2, 1]], [[1, 2**53]], [[1, 2]] * 2,
                     [[n, n] for n in range(1, 4 * ASK_ITEMS, 2)]],
        }.items():  # fmt: skip
            for value in values:
                self.assertRaises(BadBody, Ask.read, json.dumps({**good, name: value}))

    def test_a_gone_is_read_as_written(self) -> None:
        for log in LOG_NAMES:
            ranges = [(1, 7), (9, 9), (11, MAX_NUMBER)]
            self.assertEqual(read_gone(write_gone(log, ranges)), (log, ranges))

    def test_a_malformed_gone_is_refused(self) -> None:
        """Attack 38."""
        for fields in ({}, {"log": "say", "ranges": []}, {"log": ["chat"], "ranges": []},
                       {"log": "chat", "ranges": [[2, 1]]}, {"log": "chat", "ranges": 5},
                       {"log": "chat", "ranges": [[n, n] for n in range(1, 99, 2)]}):  # fmt: skip
            self.assertRaises(BadBody, read_gone, json.dumps(fields))

    def test_the_largest_ask_fits_a_datagram(self) -> None:
        """Attack 40: a torn feed of huge numbers must not make an ask that cannot be sent."""
        for top in (10**3, 10**6, 10**9, MAX_NUMBER):
            feed = Feed(ORIGIN, MAX_NUMBER)
            first = top - 4 * MAX_RANGES if top > 10**4 else 1
            for log in LOG_NAMES:
                for number in range(first, top, 2)[:MAX_RANGES]:
                    feed.heard_entry(log, number, 0.0, 0.0)
            feed.heard_heads(Heads((first, top), (first, top)), 0.0, 0.0)
            gaps = feed.due_ask(1.0)
            self.assertEqual(set(gaps), set(LOG_NAMES))
            self.assertGreaterEqual(min(map(len, gaps.values())), 9)
            self.assertLessEqual(
                sent_size("ask", Ask(ORIGIN, MAX_NUMBER, gaps).write()), MAX_DATAGRAM
            )

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(1, MAX_NUMBER), st.integers(0, 99)), max_size=40))
    def test_any_ask_fits_a_datagram_and_is_read_whole(self, held: list[tuple[int, int]]) -> None:
        feed = Feed(ORIGIN, MAX_NUMBER)
        for log in LOG_NAMES:
            for low, more in held:
                feed.have[log].add(low, min(MAX_NUMBER, low + more))
        feed.heard_heads(Heads((1, MAX_NUMBER), (1, MAX_NUMBER)), 0.0, 0.0)
        ask = Ask(ORIGIN, MAX_NUMBER, feed.due_ask(0.0))
        self.assertLessEqual(sent_size("ask", ask.write()), MAX_DATAGRAM)
        self.assertEqual(Ask.read(ask.write()), ask)

    def test_the_largest_gone_fits_a_datagram_and_is_read(self) -> None:
        low = MAX_NUMBER - 2 * GONE_RANGES
        runs = [(low + 2 * n, low + 2 * n) for n in range(GONE_RANGES)]
        text = write_gone("offers", runs)
        self.assertLessEqual(sent_size("gone", text), MAX_DATAGRAM)
        self.assertEqual(read_gone(text), ("offers", runs))


class Following(SynchronousTestCase):
    def setUp(self) -> None:
        self.feed = Feed(ORIGIN, 1)

    def test_nothing_missing_nothing_asked(self) -> None:
        self.feed.heard_heads(Heads(), 0.0, 0.2)
        self.assertEqual((self.feed.ask_at, self.feed.due_ask(100.0)), (None, {}))

    def test_a_gap_is_asked_for_after_the_spread(self) -> None:
        self.feed.heard_heads(Heads((1, 3), (2, 5)), 10.0, 0.2)
        self.assertEqual(self.feed.due_ask(10.1), {})
        self.assertEqual(self.feed.due_ask(10.2), {"chat": [(1, 3)], "offers": [(2, 5)]})

    def test_an_entry_beyond_the_head_opens_a_gap(self) -> None:
        self.feed.heard_entry("chat", 1, 0.0, 0.2)
        self.assertIsNone(self.feed.ask_at)
        self.feed.heard_entry("chat", 4, 0.0, 0.2)
        self.assertEqual(self.feed.due_ask(0.2), {"chat": [(2, 3)]})

    def test_an_entry_is_new_once(self) -> None:
        """Attack 36: a replayed or doubled entry is no news."""
        heard = [self.feed.heard_entry("chat", n, 0.0, 0.0) for n in (1, 3, 1, 2, 3, 2)]
        self.assertEqual(heard, [True, True, False, True, False, False])
        self.assertTrue(self.feed.heard_entry("offers", 1, 0.0, 0.0))

    def test_asks_are_repeated_ever_more_slowly_and_end(self) -> None:
        self.feed.heard_heads(Heads((1, 3)), 0.0, 0.0)
        asked, now = [], 0.0
        while self.feed.ask_at is not None:
            now = self.feed.ask_at
            self.assertTrue(self.feed.due_ask(now))
            asked.append(now)
        pauses = [b - a for a, b in pairwise(asked)]
        self.assertEqual(len(asked), TRIES)
        self.assertEqual(pauses, sorted(pauses))
        self.assertLessEqual(pauses[-1], RETRY_MOST)
        self.assertEqual(self.feed.due_ask(now + 1000), {})

    def test_a_lying_head_is_asked_for_a_few_times_per_beacon(self) -> None:
        """Attack 40: numbers that will never come, up to the largest there is."""
        lie = Heads((1, MAX_NUMBER), (1, MAX_NUMBER))
        asks, beacons = 0, 10
        for beacon in range(beacons):
            now = beacon * 60.0
            self.feed.heard_heads(lie, now, 0.1)
            for tick in range(600):
                gaps = self.feed.due_ask(now + tick / 10)
                asks += bool(gaps)
                self.assertLessEqual(len(numbers([r for g in gaps.values() for r in g])), 200)
        self.assertLessEqual(asks, beacons * TRIES)

    def test_a_lying_head_costs_neither_time_nor_memory(self) -> None:
        """Attack 40: thousands of entries spread over the whole range of numbers."""
        for n in range(3 * MAX_RANGES):
            self.feed.heard_entry("offers", 1 + n * (MAX_NUMBER // (3 * MAX_RANGES)), 0.0, 0.0)
        self.feed.heard_heads(Heads((1, MAX_NUMBER), (MAX_NUMBER, MAX_NUMBER)), 0.0, 0.0)
        self.feed.heard_gone("offers", [(1, MAX_NUMBER)], 0.0)
        self.assertLessEqual(len(self.feed.have["offers"].runs()), MAX_RANGES + 1)

    def test_heads_that_are_upside_down_are_nothing_to_ask_for(self) -> None:
        """Attack 18."""
        for heads in (Heads((MAX_NUMBER, 0), (9, 3)), Heads((MAX_NUMBER, 1), (2, 1))):
            self.feed.heard_heads(heads, 0.0, 0.0)
            self.assertEqual(self.feed.missing(), {})

    def test_what_is_not_worth_asking_for_counts_as_here(self) -> None:
        self.feed.heard_heads(Heads((901, 1000), (40, 50)), 0.0, 0.0)
        self.assertFalse(self.feed.heard_entry("offers", 39, 0.0, 0.0))
        self.assertTrue(self.feed.heard_entry("offers", 40, 0.0, 0.0))
        self.assertEqual(self.feed.missing(), {"chat": [(901, 1000)], "offers": [(41, 50)]})

    def test_what_is_gone_is_asked_for_no_more(self) -> None:
        self.feed.heard_heads(Heads((1, 0), (1, 9)), 0.0, 0.0)
        self.feed.heard_gone("offers", [(1, 4), (6, 9)], 0.0)
        self.assertEqual(self.feed.missing(), {"offers": [(5, 5)]})
        self.feed.heard_entry("offers", 5, 0.0, 0.0)
        self.assertIsNone(self.feed.ask_at)

    def test_what_is_gone_beyond_the_head_is_not_taken(self) -> None:
        """Attack 18: numbers that are not there yet cannot be declared gone in advance."""
        self.feed.heard_heads(Heads((1, 0), (1, 9)), 0.0, 0.0)
        self.feed.heard_gone("offers", [(5, MAX_NUMBER)], 0.0)
        self.assertEqual(self.feed.have["offers"].runs(), [(5, 9)])
        self.feed.heard_gone("offers", [(11, 20), (30, 40)], 0.0)
        self.feed.heard_gone("chat", [(1, 5)], 0.0)
        self.assertEqual(self.feed.have["offers"].runs(), [(5, 9)])
        self.assertEqual(self.feed.have["chat"].runs(), [])
        self.assertTrue(self.feed.heard_entry("offers", 10, 0.0, 0.0))

    def test_answers_that_come_in_put_the_next_ask_off(self) -> None:
        self.feed.heard_heads(Heads((1, 9)), 0.0, 0.0)
        self.assertTrue(self.feed.due_ask(0.0))
        due = self.feed.ask_at
        self.feed.heard_entry("chat", 1, due - 0.01, 0.0)
        self.assertEqual(self.feed.due_ask(due), {})
        self.assertEqual(self.feed.due_ask(due + 0.5), {"chat": [(2, 9)]})

    def test_a_newcomer_asks_for_the_last_lines_of_chat_and_for_all_offers(self) -> None:
        self.feed.heard_heads(Heads((1, 1000), (1, 50)), 0.0, 0.0)
        backlog = 1000 - CHAT_BACKLOG + 1
        self.assertEqual(self.feed.due_ask(0.0), {"chat": [(backlog, 1000)], "offers": [(1, 50)]})

    def test_who_followed_before_asks_for_every_line_that_is_kept(self) -> None:
        """Who was away for longer than a newcomer's backlog loses nothing that is kept."""
        for number in range(1, 6):
            self.feed.heard_entry("chat", number, 0.0, 0.0)
        self.feed.heard_heads(Heads((1, 300)), 0.0, 0.0)
        self.assertEqual(self.feed.due_ask(0.0), {"chat": [(6, 105)]})
        self.feed.heard_heads(Heads((50, 300)), 0.0, 0.0)
        self.assertEqual(self.feed.missing(), {"chat": [(50, 149)]})

    def test_a_torn_feed_is_mended_from_below(self) -> None:
        """However torn, asking ends with everything there: no gap is refused for ever."""
        self.patch(feed_module, "MAX_RANGES", 8)
        head = 400
        for number in range(head, 200, -2):
            self.feed.heard_entry("offers", number, 0.0, 0.0)
        self.assertLessEqual(len(self.feed.have["offers"].runs()), 9)
        for beacon in range(100):
            now = beacon * 10.0
            self.feed.heard_heads(Heads((1, 0), (1, head)), now, 0.0)
            for number in sorted(numbers(self.feed.due_ask(now + 1).get("offers", []))):
                self.feed.heard_entry("offers", number, now + 1, 0.0)
        self.assertEqual(self.feed.have["offers"].runs(), [(1, head)])


class Publisher:
    """The origin of a feed, with some of its numbers superseded."""

    def __init__(self) -> None:
        self.head = {"chat": 0, "offers": 0}
        self.live: dict[str, set[int]] = {"chat": set(), "offers": set()}

    def publish(self, log: str) -> tuple[str, int]:
        self.head[log] += 1
        self.live[log].add(self.head[log])
        return log, self.head[log]

    def supersede(self, log: str, choose: random.Random) -> None:
        if self.live[log]:
            self.live[log].discard(choose.choice(sorted(self.live[log])))

    def heads(self) -> Heads:
        low = {log: min(self.live[log], default=1) for log in LOG_NAMES}
        return Heads(*((low[log], self.head[log]) for log in LOG_NAMES))

    def answers(self, text: str) -> list[tuple]:
        """What it sends for an ask: live entries, and one message for those that are gone."""
        sent: list[tuple] = []
        for log, gaps in Ask.read(text).gaps.items():
            wanted = {n for n in numbers(gaps) if n <= self.head[log]}
            sent += [("entry", log, n) for n in sorted(wanted & self.live[log])]
            gone = Ranges()
            for number in sorted(wanted - self.live[log]):
                gone.add(number)
            if runs := gone.runs()[:GONE_RANGES]:
                sent.append(("gone", write_gone(log, runs)))
        return sent


STEPS = st.lists(
    st.sampled_from(["chat", "offers", "offers", "supersede chat", "supersede offers", "beacon"]),
    max_size=150,
)


class TheWholeConversation(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(STEPS, st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.4, 0.7]), st.booleans())
    def test_everything_live_arrives_whatever_is_lost_doubled_or_reordered(
        self, steps: list[str], seed: int, loss: float, newcomer: bool
    ) -> None:
        """Attack 36: and nothing arrives twice."""
        chance = random.Random(seed)
        origin, self.feed = Publisher(), Feed(ORIGIN, 1)
        self.got: list[tuple[str, int]] = []
        on_the_way: list[tuple[float, tuple]] = []  # arrival time, datagram
        now = 0.0

        def send(*datagram: object) -> None:
            for _ in range(chance.choice([1, 1, 1, 2])):
                if chance.random() >= loss:
                    on_the_way.append((now + chance.random() * 0.3, datagram))

        for step in [*steps, *["beacon"] * 300]:
            if step in LOG_NAMES:
                entry = origin.publish(step)
                if not newcomer:
                    send("entry", *entry)
            elif step == "beacon":
                newcomer = False
                now += 5.0
                send("heads", origin.heads())
            else:
                origin.supersede(step.split()[1], chance)
            for _ in range(30):
                now += 0.2
                ready = [each for each in on_the_way if each[0] <= now]
                on_the_way = [each for each in on_the_way if each[0] > now]
                for _, datagram in sorted(ready, key=lambda each: each[0]):
                    self.hear(datagram, now)
                if gaps := self.feed.due_ask(now):
                    ask = Ask(ORIGIN, 1, gaps).write()
                    self.assertLessEqual(sent_size("ask", ask), MAX_DATAGRAM)
                    if chance.random() >= loss:
                        for answer in origin.answers(ask):
                            send(*answer)
                if self.feed.ask_at is None and not on_the_way:
                    break
            if step == "beacon" and self.whole(origin):
                break
        self.assertTrue(self.whole(origin))
        self.assertEqual(len(self.got), len(set(self.got)))

    def hear(self, datagram: tuple, now: float) -> None:
        kind, *rest = datagram
        if kind == "entry":
            log, number = rest
            if self.feed.heard_entry(log, number, now, 0.1):
                self.got.append((log, number))
        elif kind == "gone":
            self.feed.heard_gone(*read_gone(*rest), now)
        else:
            self.feed.heard_heads(*rest, now, 0.1)

    def whole(self, origin: Publisher) -> bool:
        """Whether everything that is still live has come: offers all, chat what was followed."""
        held = {log: {n for each, n in self.got if each == log} for log in LOG_NAMES}
        newest = {n for n in origin.live["chat"] if n > origin.head["chat"] - CHAT_BACKLOG}
        return origin.live["offers"] <= held["offers"] and newest <= held["chat"]
