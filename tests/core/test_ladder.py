"""Whom to look for, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ladder import (
    ALL_BURST,
    BROADCAST_EVERY,
    EACH_LOOK,
    FIRST_BROADCAST,
    HOST_BURST,
    MAX_LEARNT,
    NAMED_FIRST,
    NAMED_LATER,
    TRIES,
    TRY_AGAIN,
    Broadcasts,
    Learnt,
    Named,
    parse_peer,
)


class ParsePeerTests(SynchronousTestCase):
    def test_a_host_and_maybe_a_port(self) -> None:
        for text, host, port in [
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:7000", "192.0.2.1", 7000),
            (" box.example ", "box.example", None),
            ("box.example:1", "box.example", 1),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65_535),
            ("fe80::1%eth0", "fe80::1%eth0", None),
        ]:
            self.assertEqual(parse_peer(text), (host, port))

    def test_anything_else_is_refused(self) -> None:
        for text in ("", ":", ":1", "a:b", "a:0", "a:65536", "::x", "[::1", "a b", "[]", "a:1:x"):
            self.assertRaises(ValueError, parse_peer, text)

    @given(st.text(max_size=300))
    def test_any_text_is_a_peer_or_refused(self, text: str) -> None:
        try:
            host, port = parse_peer(text)
        except ValueError:
            return
        self.assertIn(host, text)
        self.assertTrue(port is None or 0 < port < 65_536)


class NamedTests(SynchronousTestCase):
    def times(self, named: Named, until: float) -> list[float]:
        found, now = [], 0.0
        while now <= until:
            if named.due(now):
                found.append(now)
            now += 1
        return found

    def test_it_is_greeted_often_until_it_is_heard(self) -> None:
        self.assertEqual(
            self.times(Named("h", 1), 50), [0, NAMED_FIRST, 2 * NAMED_FIRST, 3 * NAMED_FIRST]
        )

    def test_then_seldom(self) -> None:
        named = Named("h", 1, [("10.0.0.1", 1)])
        named.due(0)
        named.heard("10.0.0.9", 1)
        self.assertFalse(named.is_there(1))
        named.heard("10.0.0.1", 1)
        self.assertTrue(named.is_there(1))
        self.assertEqual(self.times(named, 62), [1 + NAMED_LATER])

    def test_and_often_again_once_it_is_silent(self) -> None:
        named = Named("h", 1, [("10.0.0.1", 1)])
        named.heard("10.0.0.1", 0)
        self.assertEqual(self.times(named, 155), [60, 120, 135, 150])


class BroadcastsTests(SynchronousTestCase):
    def times(self, peers: int, apart: int, until: float, random: float = 0.5) -> list[float]:
        broadcasts, now, found = Broadcasts(0), 0.0, []
        while now <= until:
            if broadcasts.due(peers, apart, now, lambda: random):
                found.append(now)
            now += 1
        return found

    def test_alone_after_three_seconds_and_then_every_minute(self) -> None:
        self.assertEqual(self.times(0, 0, 130), [FIRST_BROADCAST, 63, 123])

    def test_where_multicast_passes_once(self) -> None:
        self.assertEqual(self.times(5, 0, 1000), [FIRST_BROADCAST])

    def test_all_whom_only_unicast_reaches_do_it_together_once_a_minute(self) -> None:
        self.assertEqual(self.times(2, 2, 400), [FIRST_BROADCAST, 183, 363])
        self.assertEqual(self.times(2, 2, 100, random=0.0), [FIRST_BROADCAST, 93])

    def test_who_is_alone_again_need_not_wait_for_long(self) -> None:
        broadcasts = Broadcasts(0)
        self.assertTrue(broadcasts.due(99, 99, 3, lambda: 1.0))
        self.assertFalse(broadcasts.due(0, 0, 10, lambda: 1.0))
        self.assertTrue(broadcasts.due(0, 0, 10 + BROADCAST_EVERY, lambda: 1.0))

    def test_other_links_begin_anew(self) -> None:
        broadcasts = Broadcasts(0)
        broadcasts.due(0, 0, 3, lambda: 0.5)
        broadcasts.restart(10)
        self.assertTrue(broadcasts.due(0, 0, 10 + FIRST_BROADCAST, lambda: 0.5))


class LearntTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.learnt = Learnt(0)

    def greeted(self, until: float, first: float = 0) -> list[Address]:
        found: list[Address] = []
        for second in range(int(first), int(until) + 1):
            due = self.learnt.due(second)
            self.assertLessEqual(len(due), EACH_LOOK)
            found += due
        return found

    def test_each_address_is_tried_twice(self) -> None:
        self.learnt.add(("10.0.0.1", 1), 0)
        self.learnt.add(("10.0.0.1", 1), 0)
        self.assertEqual(self.greeted(TRY_AGAIN - 1), [("10.0.0.1", 1)])
        self.assertEqual(self.greeted(60, TRY_AGAIN), [("10.0.0.1", 1)])
        self.assertEqual(len(self.learnt), 0)

    def test_not_again_when_it_has_answered(self) -> None:
        self.learnt.add(("10.0.0.1", 1), 0)
        self.learnt.add(("10.0.0.1", 2), 0)
        self.learnt.due(0)
        self.learnt.heard(("10.0.0.1", 1))
        self.assertEqual(self.greeted(60, 1), [("10.0.0.1", 2)])
        self.learnt.heard(("10.0.0.1", 1))

    def test_not_before_its_time(self) -> None:
        self.learnt.add(("10.0.0.1", 1), 5)
        self.assertEqual(self.greeted(4), [])
        self.assertEqual(self.greeted(5, 5), [("10.0.0.1", 1)])

    def test_one_victim_gets_few_however_many_ports_are_named(self) -> None:
        """Attack 39: lists that point at another host."""
        for now in range(600):
            for port in range(MAX_LEARNT):
                self.learnt.add(("10.9.9.9", 1024 + port), now)
            self.assertEqual(self.learnt.due(now) != [], now in (0, *self.refills()), now)
        found = Learnt(0)
        for port in range(MAX_LEARNT):
            found.add(("10.9.9.9", 1024 + port), 0)
        self.assertEqual(len(found.due(0)), HOST_BURST)

    def refills(self) -> range:
        return range(75, 600, 75)  # one each, as the bucket refills

    def test_all_together_get_no_more_than_a_list_and_a_little(self) -> None:
        """Attack 39: lists that point at a whole network."""
        for number in range(5 * MAX_LEARNT):
            self.learnt.add((f"10.{number // 250}.0.{number % 250}", 1), 0)
        self.assertEqual(len(self.learnt), MAX_LEARNT)
        count = len(self.greeted(59))
        self.assertTrue(ALL_BURST <= count <= ALL_BURST + 2 * 60, count)

    def test_who_waits_for_the_others_is_not_forgotten(self) -> None:
        self.learnt._all.tokens, self.learnt._all.rate = 0.0, 0.0  # the others use them up
        self.learnt.add(("10.0.0.1", 1), 61)
        self.assertEqual(self.greeted(200, 61), [])
        self.learnt._all.tokens = 1.0
        self.assertEqual(self.learnt.due(201), [("10.0.0.1", 1)])

    def test_a_list_is_worked_off_in_little_time(self) -> None:
        addresses = [(f"10.0.0.{number}", 1) for number in range(200)]
        for address in addresses:
            self.learnt.add(address, 0)
        self.assertLessEqual(set(addresses), set(self.greeted(20)))
        self.assertEqual(TRIES, 2)
