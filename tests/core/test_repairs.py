"""Sending again: paced, bounded, each asker in its turn, and the group together hardly more."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.feeds.backoff import random_backoff, round_time
from twistedp2p.core.feeds.repairs import (
    GROUP_BURST,
    GROUP_RATE,
    HOLD_OFF,
    LASTS,
    MAX_JOBS,
    MAX_JOBS_EACH,
    RECENT,
    RESERVE_RATE,
    Repairs,
)
from twistedp2p.core.feeds.requests import Gone
from twistedp2p.core.limits import TokenBucket

RATE, BURST = 50.0, 100.0


class RepairsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.agenda = Agenda()
        self.now = 0.0
        self.sent: list[tuple[float, bytes, Hashable]] = []
        self.nodes = 10
        pace = TokenBucket.full(RATE, BURST, 0.0)
        self.repairs = Repairs(
            self.agenda, self, pace, nodes=lambda: self.nodes, backoff=lambda: 0.01
        )

    def tell(self, kind: str, body: str, to: Hashable | None) -> None:
        self.sent.append((self.now, f"{kind} {body}".encode(), to))

    def repeat(self, raw: bytes, to: Hashable | None) -> None:
        self.sent.append((self.now, raw, to))

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.agenda.next_due()) is not None and at <= end:
            self.now = max(at, self.now)
            self.agenda.due(self.now)
        self.now = end

    def put(
        self, host: str, count: int, wait: float = 0.0, to: Hashable | None = None, first: int = 0
    ) -> bool:
        entries = (b"%d" % number for number in range(first, first + count))
        return self.repairs.put(self.now + wait, host, entries, to)

    def raws(self) -> list[bytes]:
        return [raw for _, raw, _ in self.sent]


class OneNodeTests(RepairsTestCase):
    def test_all_that_was_asked_for_is_sent_after_the_wait(self) -> None:
        self.put("a", 5, wait=0.1)
        self.run_for(0.09)
        self.assertEqual(self.sent, [])
        self.run_for(0.1)
        self.assertEqual(self.raws(), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(len(self.repairs), 0)

    def test_what_another_has_sent_meanwhile_is_not_sent(self) -> None:
        self.put("a", 3, wait=0.1)
        self.repairs.heard_again(b"1", self.now)
        self.run_for(1)
        self.assertEqual(self.raws(), [b"0", b"2"])

    def test_what_was_just_sent_is_not_sent_again(self) -> None:
        """Attack 36: an ask sent again and again."""
        for _ in range(40):
            self.put("a", 1)
            self.run_for(0.05)
        self.assertLessEqual(len(self.sent), 2 / HOLD_OFF + 1)
        self.assertGreaterEqual(len(self.sent), 4)

    def test_what_is_gone_is_told_in_its_turn(self) -> None:
        gone = Gone("offers", ((1, 7),))
        self.repairs.put(0.1, "a", iter((b"8", gone)), "address")
        self.repairs.put(0.1, "b", iter((gone,)), "address")
        self.run_for(0.05)
        self.assertEqual(self.sent, [])
        self.run_for(1)
        self.assertEqual(self.raws(), [b"8", b"gone " + gone.write().encode()])
        self.assertEqual(self.sent[1][2], "address")

    def test_who_asked_alone_is_answered_alone(self) -> None:
        self.put("a", 2, to=("10.0.0.1", 1))
        self.run_for(1)
        self.assertEqual([to for _, _, to in self.sent], [("10.0.0.1", 1)] * 2)

    def test_entries_are_read_as_they_are_sent(self) -> None:
        read: list[int] = []

        def entries() -> Iterator[bytes]:
            for number in range(1000):
                read.append(number)
                yield b"%d" % number

        self.repairs.put(0.0, "a", entries())
        self.run_for(0.1)
        self.assertLessEqual(len(read), BURST + 1)

    def test_the_pace_of_the_node_is_kept(self) -> None:
        self.put("a", 400)
        self.run_for(2)
        self.assertLessEqual(len(self.sent), BURST + 2 * RATE + 1)
        self.assertGreaterEqual(len(self.sent), BURST + 2 * RATE - 2)

    def test_who_still_lacks_something_after_a_while_has_asked_again(self) -> None:
        self.put("a", 400)
        self.run_for(20)
        self.assertLess(self.sent[-1][0], LASTS + 0.1)
        self.assertEqual(len(self.repairs), 0)

    def test_what_another_sent_long_ago_but_since_it_was_asked_for_is_not_sent(self) -> None:
        self.put("a", 150)
        self.run_for(0.5)
        self.repairs.heard_again(b"149", self.now)
        self.run_for(LASTS)
        self.assertEqual(len(self.sent), 149)

    def test_each_host_has_its_turn(self) -> None:
        """Attack 40: who asks for all does not delay who lacks a line."""
        for host in range(7):
            self.put(str(host), 100, first=1000 * host)
        self.run_for(0.5)
        self.assertGreaterEqual(len(self.sent), BURST)
        self.put("honest", 1, first=9999)
        self.run_for(0.3)
        self.assertIn(b"9999", self.raws())

    def test_one_host_and_all_hosts_have_so_many_asks_waiting(self) -> None:
        """Attack 40: asks in the name of others."""
        taken = [self.put("a", 100, first=100 * turn) for turn in range(10)]
        self.assertEqual(sum(taken), MAX_JOBS_EACH)
        for host in range(2 * MAX_JOBS):
            self.put(str(host), 100)
        self.assertEqual(len(self.repairs), MAX_JOBS)
        self.run_for(1000)
        self.assertEqual(len(self.repairs), 0)
        self.assertTrue(self.put("a", 1))

    def test_what_is_remembered_is_bounded(self) -> None:
        """Attack 40: memory."""
        for number in range(10 * RECENT):
            self.repairs.heard_again(b"%d" % number, 0.0)
        self.assertLessEqual(len(self.repairs._recent), RECENT)


class CrowdTests(RepairsTestCase):
    def test_a_crowd_of_holders_sends_together_hardly_more_than_one_may(self) -> None:
        """Attack 40: somebody asks for all there is, a hundred at a time, and 50 nodes have it."""
        agenda, chance = Agenda(), random.Random(1)
        sent: list[float] = []
        clock = [0.0]
        crowd: list[Repairs] = []

        class Member:
            def __init__(self) -> None:
                pace = TokenBucket.full(RATE, BURST, 0.0)
                self.repairs = Repairs(
                    agenda,
                    self,
                    pace,
                    nodes=lambda: 50,
                    backoff=lambda: random_backoff(round_time(50), 50, chance.random),
                )

            def repeat(self, raw: bytes, to: Hashable | None) -> None:
                sent.append(clock[0])
                for each in crowd:
                    if each is not self.repairs:
                        agenda.at(clock[0] + 0.001, lambda now, e=each: e.heard_again(raw, now))

        crowd += [Member().repairs for _ in range(50)]
        for turn in range(100):  # ten asks a second for ten seconds, all different
            for each in crowd:
                entries = (b"%d" % n for n in range(100 * turn, 100 * turn + 100))
                wait = 0.02 + chance.random() * 0.15
                agenda.at(turn / 10, lambda now, e=each, i=entries, w=wait: e.put(now + w, "m", i))
        while (at := agenda.next_due()) is not None and at < 12:
            clock[0] = at
            agenda.due(at)
        bound = GROUP_BURST + 12 * (GROUP_RATE + RESERVE_RATE)
        self.assertLess(len(sent), 1.5 * bound)
        self.assertGreater(len(sent), 0.2 * bound)

    def test_a_group_kept_busy_still_has_some_of_each_sent(self) -> None:
        """Attack 40: who repeats old entries all the time does not silence the others."""
        for number in range(3000):
            if number % 300 == 0:
                self.put("honest", 5, first=number)
            self.repairs.heard_again(b"old %d" % number, self.now)
            self.run_for(0.003)
        self.assertGreater(len(self.sent), 40)
