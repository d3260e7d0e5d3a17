"""Beacons: their bodies, when they are sent, and what they cost the group."""

from __future__ import annotations

import json
import random

import attrs
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.agenda import Agenda
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_NUMBER, TEXT_MOST
from twistedp2p.core.feeds.feed import Have, Heads
from twistedp2p.core.feeds.requests import VECTOR_FEEDS
from twistedp2p.core.feeds.summary import SUMMARY_SIZE
from twistedp2p.core.names import b64
from twistedp2p.core.presence.beacon import (
    ANSWERS,
    EVERY_LEAST,
    EVERY_MOST,
    LEAST_BETWEEN,
    NEWCOMER,
    NODES_PER_SECOND,
    TOKEN_MOST,
    WITHIN,
    Beacon,
    Beacons,
    beacon_interval,
)
from twistedp2p.core.presence.roster import MAX_PEERS

BEACON = Beacon(5, 9393, Heads((1, 12), (1, 3)))
GOOD = {"every": 5, "files": 9393, "chat": [1, 12], "offers": [1, 3]}
FULL = Beacon(
    EVERY_MOST,
    65_535,
    Heads((MAX_NUMBER, MAX_NUMBER), (MAX_NUMBER, MAX_NUMBER)),
    MAX_NUMBER,
    True,
    b"\xff" * SUMMARY_SIZE,
    (Have(b"o" * 32, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER),) * VECTOR_FEEDS,
)
IP_AND_UDP = 28  # bytes
TRAILER = 225  # bytes, with a long nick


class ABeacon(SynchronousTestCase):
    def read(self, **changed: object) -> Beacon:
        return Beacon.read(json.dumps({**GOOD, **changed}))

    def test_it_is_read_as_written(self) -> None:
        self.assertEqual(self.read(), BEACON)
        for beacon in (
            BEACON,
            Beacon(1, 0, Heads()),
            Beacon(120, 65_535, Heads((9, 3), (1, 1)), token="A" * TOKEN_MOST),
        ):
            self.assertEqual(Beacon.read(beacon.write()), beacon)

    def test_it_has_no_address_and_no_host(self) -> None:
        """Attack 39: files are where the datagram came from, whatever else the beacon says."""
        self.assertEqual(self.read(host="10.0.0.1", address=["10.0.0.1", 80]), BEACON)

    def test_a_privileged_port_is_refused(self) -> None:
        """Attack 39: an announcement that points our connections at somebody's port 22."""
        for port in (1, 22, 80, 443, 631, 1023):
            self.assertRaises(BadBody, self.read, files=port)
        self.assertEqual([self.read(files=port).files for port in (0, 1024, 65_535)],
                         [0, 1024, 65_535])  # fmt: skip

    def test_a_port_that_is_none_is_refused(self) -> None:
        """Attack 39."""
        for port in (-1, 65_536, 65_536 + 9393, 2**64, 9393.0, "9393", None, True, [9393]):
            self.assertRaises(BadBody, self.read, files=port)

    def test_an_interval_out_of_bounds_is_refused(self) -> None:
        """Attack 40: nobody stays on the list for a year by one datagram."""
        for every in (0, -5, EVERY_MOST + 1, 2**53, 5.0, "5", None, True):
            self.assertRaises(BadBody, self.read, every=every)

    def test_heads_out_of_bounds_are_refused(self) -> None:
        """Attack 18."""
        for head in (None, 5, [], [1], [1, 2, 3], [0, 5], [-1, 5], [1, -1], [1, 2**53], [2**53, 1],
                     [1.0, 2], [1, "2"], [True, 2], {"1": 2}, "12"):  # fmt: skip
            self.assertRaises(BadBody, self.read, chat=head)
            self.assertRaises(BadBody, self.read, offers=head)
        self.assertEqual(self.read(chat=[1, MAX_NUMBER]).heads.chat, (1, MAX_NUMBER))

    def test_a_field_that_is_missing_is_refused(self) -> None:
        for name in GOOD:
            fields = {key: value for key, value in GOOD.items() if key != name}
            self.assertRaises(BadBody, Beacon.read, json.dumps(fields))

    def test_the_fields_that_may_be_left_out_are_checked_where_they_are(self) -> None:
        """Attack 38."""
        short = b64(bytes(SUMMARY_SIZE - 1))
        for name, values in {
            "sent": [-1, 2**53, 1.0, "1", None],
            "summary": ["", None, 5, short, "é" * 299],
            "recent": [None, 5, "A", b64(b"o" * 32)],
            "token": ["A" * (TOKEN_MOST + 1), 5, None, ["A"]],
        }.items():
            for value in values:
                self.assertRaises(BadBody, self.read, **{name: value})
        self.assertFalse(self.read(direct="yes").direct)

    def test_the_largest_fits_a_datagram_by_telling_of_fewer_feeds(self) -> None:
        text = FULL.write()
        self.assertLessEqual(len(text.encode()), TEXT_MOST)
        read = Beacon.read(text)
        self.assertEqual(attrs.evolve(read, recent=FULL.recent), FULL)
        self.assertGreaterEqual(len(read.recent), 3)
        self.assertLess(TEXT_MOST, MAX_DATAGRAM)

    def test_the_group_has_the_budget_not_the_node(self) -> None:
        """A quiet group, however large, sends less than 64 kbit/s of beacons."""
        self.assertEqual([beacon_interval(n) for n in (1, 50, 300, 100_000)],
                         [EVERY_LEAST, EVERY_LEAST, 30, EVERY_MOST])  # fmt: skip
        quiet = Beacon(400, 9393, Heads((500, 999), (800, 999)), 10**6, summary=FULL.summary)
        size = IP_AND_UDP + TRAILER + len(quiet.write())
        for nodes in range(1, MAX_PEERS + 2, 7):
            per_second = nodes / beacon_interval(nodes)
            self.assertLess(per_second * size * 8, 64_000, nodes)


class Times(SynchronousTestCase):
    def setUp(self) -> None:
        self.agenda = Agenda()
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self.known = 1
        self.chance = 0.5
        self.beacons = Beacons(
            self.agenda,
            lambda kind: self.sent.append((self.now, kind)),
            now=0.0,
            random=lambda: self.chance,
            known=lambda: self.known,
        )

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.agenda.next_due()) is not None and at <= end:
            self.now = max(at, self.now)
            self.agenda.due(self.now)
        self.now = end

    def times(self, kind: str) -> list[float]:
        return [at for at, sent in self.sent if sent == kind]

    def hear(self, count: int = 1, every: int = 5, *, answer: bool = False) -> None:
        for _ in range(count):
            self.beacons.heard(every, self.now, hello=answer)

    def started(self) -> None:
        self.beacons.hello(0.0)
        self.run_for(4.5)
        self.sent.clear()

    def test_three_hellos_then_a_beacon_in_each_interval(self) -> None:
        self.beacons.hello(0.0)
        self.run_for(20)
        self.assertEqual([int(at) for at in self.times("hello")], [0, 1, 3])
        self.assertEqual([int(at) for at in self.times("beacon")], [6, 11, 16])

    def test_of_many_who_start_at_once_some_tell_soon_and_some_late(self) -> None:
        """A whole interval of silence, and then all: that would be twice what a group may send."""
        self.known, firsts = 1000, []
        for step in range(20):
            self.chance = (step + 0.5) / 20
            self.beacons.hello(self.now)
            self.run_for(5)
            self.sent.clear()
            self.run_for(160)
            firsts.append(self.times("beacon")[0] - self.now + 160)
        self.assertLess(firsts[1], 10)
        self.assertGreater(firsts[-1], 100)

    def test_another_start_replaces_the_hellos_to_come(self) -> None:
        self.beacons.hello(0.0)
        self.run_for(0.5)
        self.beacons.hello(0.5)
        self.run_for(4.5)
        self.assertEqual(len(self.times("hello")), 4)

    def test_who_has_been_here_goes_by_whom_it_knows(self) -> None:
        """Attack 40: sixteen beacons that tell of a huge group do not keep everybody silent."""
        self.started()
        self.hear(16, every=600)
        self.assertEqual(self.beacons.every, 600)
        self.run_for(NEWCOMER)
        self.hear(16, every=600)
        self.assertEqual(self.beacons.every, 5)

    def test_who_is_new_without_a_hello_is_answered_by_some_of_a_large_group(self) -> None:
        self.started()
        self.run_for(2)
        self.sent.clear()
        self.known, self.chance = 1000, 0.01
        self.beacons.heard(100, self.now, hello=False, joined=True)
        self.run_for(2)
        self.assertEqual(self.times("beacon"), [])
        self.known = 8
        self.beacons.heard(5, self.now, hello=False, joined=True)
        self.run_for(2)
        self.assertEqual(len(self.times("beacon")), 1)

    def test_the_beacons_of_a_large_group_are_rare(self) -> None:
        """The group has a budget: ten beacons a second, whatever its size."""
        self.known = 300
        self.beacons.hello(0.0)
        self.run_for(100)
        self.sent.clear()
        self.run_for(300)
        self.assertEqual(len(self.times("beacon")), 10)
        self.assertEqual(self.beacons.every, 30)

    def test_a_newcomer_learns_the_size_of_the_group_from_the_others(self) -> None:
        self.hear(20, every=100)
        self.assertEqual(self.beacons.nodes, 100 * NODES_PER_SECOND)

    def test_a_few_liars_do_not_change_the_size_of_the_group(self) -> None:
        """Attack 40: whoever says that the group is huge would make everybody rare."""
        self.hear(9, every=5)
        self.hear(7, every=EVERY_MOST)
        self.assertEqual(self.beacons.nodes, self.known)

    def test_a_hello_is_answered_soon_and_once(self) -> None:
        self.started()
        self.hear(3, answer=True)
        self.run_for(1)
        self.assertEqual(len(self.times("beacon")), 1)

    def test_it_is_not_when_enough_others_did(self) -> None:
        self.started()
        self.hear(answer=True)
        self.hear(ANSWERS)
        self.run_for(1)
        self.assertEqual(self.times("beacon"), [])

    def test_of_a_large_group_a_few_answer(self) -> None:
        chance = random.Random(1)
        answers = 0
        everybody = []
        for _ in range(500):
            agenda = Agenda()
            beacons = Beacons(
                agenda, lambda kind: None, now=-9.0, random=chance.random, known=lambda: 500
            )
            beacons.heard(5, 0.0, hello=True)
            everybody.append((agenda.next_due(), beacons))
        for at, beacons in sorted(everybody, key=lambda each: each[0]):
            sent: list[str] = []
            beacons._send = sent.append
            beacons._agenda.due(at)
            if sent:
                answers += 1
                for _, other in everybody:
                    other.heard(50, at + 0.002, hello=False)
        self.assertTrue(ANSWERS <= answers <= 3 * ANSWERS, answers)

    def test_a_flood_of_hellos_is_answered_once_a_second(self) -> None:
        """Attack 40: one small datagram must not make every node send one, without end."""
        self.started()
        self.chance = 0.0
        for _ in range(100):
            self.hear(answer=True)
            self.run_for(0.1)
        self.assertLessEqual(len(self.sent), 10 / LEAST_BETWEEN + 1)

    def test_a_flood_of_fast_hellos_is_hardly_answered(self) -> None:
        """Attack 40: hellos are beacons, too."""
        self.started()
        for _ in range(1000):
            self.hear(answer=True)
            self.run_for(WITHIN / 100)
        self.assertLessEqual(len(self.sent), 3)

    def test_a_beacon_is_brought_forward_when_something_changed(self) -> None:
        self.started()
        for _ in range(5):
            self.beacons.soon(self.now)
        self.run_for(LEAST_BETWEEN)
        self.assertEqual(len(self.times("beacon")), 1)
