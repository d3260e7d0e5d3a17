"""Presence: when beacons go out, and who is taken as here."""

from __future__ import annotations

import contextlib
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger, group_of
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import Signed
from twistedp2p.core.events import Joined, Left, Renamed
from twistedp2p.core.feeds.feed import Have, Heads
from twistedp2p.core.feeds.summary import SUMMARY_SIZE
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import ANSWERS, Beacon
from twistedp2p.core.presence.roster import Roster
from twistedp2p.node.presence.presence import KEEP_EVERY, Presence
from twistedp2p.node.timetable import Timetable

ME = b"m" * 32


class Told:
    """Notes who came and went; `fails` as a full disk would."""

    def __init__(self) -> None:
        self.arrivals: list[bytes] = []
        self.departures: list[tuple[bytes, bool]] = []
        self.pins: list[bytes] = []
        self.fails = False

    def arrived(self, arrival, address) -> None:  # type: ignore[no-untyped-def]
        if arrival.joined:
            self.arrivals.append(arrival.peer.key)

    def departed(self, peer, goodbye: bool) -> None:  # type: ignore[no-untyped-def]
        self.departures.append((peer.key, goodbye))
        if self.fails:
            raise OSError("no room")

    def pinned(self, peer) -> None:  # type: ignore[no-untyped-def]
        self.pins.append(peer.key)


class Contents:
    """What `Feeds` is to a `Presence`; `fails` as a memory that cannot be read."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent = 0
        self.told: list[tuple[float, str, str]] = []
        self.fails = False

    def own_heads(self) -> Heads:
        if self.fails:
            raise OSError("unreadable")
        return Heads((2, 5), (1, 3))

    def summary(self) -> bytes:
        return b"s" * SUMMARY_SIZE

    def recent(self) -> tuple[Have, ...]:
        return (Have(ME, 1, 2, 3),)

    def tell(self, kind: str, body: str) -> bool:
        self.sent += 1
        self.told.append((self.clock.seconds(), kind, body))
        return True


class ReplayTests(SynchronousTestCase):
    """Attack 36: what somebody recorded, sent again after they who sent it have left."""

    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice, self.bob = self.lan.crowd(2)
        self.recorded: list[bytes] = []
        carry = self.lan.carry
        source = group_of(self.bob).address

        def record(data: bytes, address: Address, *rest: Any, **named: Any) -> None:
            if address == source:
                self.recorded.append(data)
            carry(data, address, *rest, **named)

        self.lan.carry = record  # type: ignore[method-assign]
        self.lan.run_for(60)
        self.bob.say("so long")
        self.lan.run_for(10)

    def replay(self) -> None:
        for data in list(self.recorded):
            self.lan.carry(data, ("10.0.9.9", 50_000), None)
        self.lan.run_for(2)

    def test_who_has_left_does_not_come_back_by_it(self) -> None:
        """Attack 36: replay to a node that was restarted."""
        self.lan.stop(self.bob)
        self.lan.stop(self.alice)
        alice = self.lan.node("node0")
        self.replay()
        self.assertEqual(alice.peers(), [])
        self.assertEqual(self.lan.events(alice, Joined), [])

    def test_who_went_without_a_word_does_not_either(self) -> None:
        """Attack 36: replay to a node that was restarted."""
        self.lan.vanish(self.bob)
        self.lan.stop(self.alice)
        alice = self.lan.node("node0")
        self.replay()
        self.assertEqual(alice.peers(), [])

    def test_after_a_crash_only_what_came_shortly_before_it_can_be_replayed(self) -> None:
        """Attack 36: replay to a node that was killed."""
        self.lan.run_for(KEEP_EVERY)
        old = len(self.recorded)
        self.lan.run_for(KEEP_EVERY)
        self.patch(self.alice._presence, "stop", lambda: None)
        self.lan.vanish(self.alice)
        self.lan.vanish(self.bob)
        del self.recorded[old:]
        alice = self.lan.node("node0")
        self.replay()
        self.assertEqual(alice.peers(), [])

    def test_who_comes_back_or_has_lost_its_memory_is_heard(self) -> None:
        self.lan.stop(self.bob)
        self.lan.stop(self.alice)
        alice, bob = self.lan.node("node0"), self.lan.node("node1")
        self.lan.run_for(5)
        self.assertEqual([peer.key for peer in alice.peers()], [bob.key])
        self.lan.vanish(bob)
        self.lan.stop(alice)
        self.lan.database_of("node1").unlink()
        alice, bob = self.lan.node("node0"), self.lan.node("node1")
        self.lan.run_for(5)
        self.assertEqual([peer.key for peer in alice.peers()], [bob.key])


class TimingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.told = Clock(), Told()
        self.contents = Contents(self.clock)
        self.agenda = Timetable(self.clock)
        self.direct = False
        self.presence = Presence(
            Roster(ME),
            self.told,
            self.contents,
            agenda=self.agenda,
            clock=self.clock,
            random=lambda: 0.5,
            files=9393,
            direct=lambda: self.direct,
        )
        self.number = 0

    def times(self, kind: str) -> list[float]:
        return [at for at, sent, _ in self.contents.told if sent == kind]

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            with contextlib.suppress(OSError):
                self.clock.advance(0.05)

    def hear(
        self, key: bytes, kind: str = "beacon", every: int = 5, files: int = 9393, **kwargs: bool
    ) -> None:
        self.number += 1
        text = Beacon(every, files, Heads()).write()
        message = Signed(kind, key, 1, self.number, 0, "", text, b"")
        self.presence.heard(message, ("10.0.0.9", 1), kwargs.get("direct", False))

    def test_three_hellos_at_the_start_then_a_beacon_in_each_interval(self) -> None:
        self.presence.start()
        self.run_for(20)
        self.assertEqual(len(self.times("hello")), 3)
        self.assertEqual(len(self.times("beacon")), 3)

    def test_a_beacon_tells_all_that_the_others_are_to_know(self) -> None:
        self.presence.start()
        self.direct = True
        self.presence.hello()
        first, second = (Beacon.read(body) for _, _, body in self.contents.told)
        self.assertEqual((first.sent, second.sent), (1, 2))
        self.assertEqual((first.direct, second.direct), (False, True))
        self.assertEqual(second.heads, Heads((2, 5), (1, 3)))
        self.assertEqual(second.summary, b"s" * SUMMARY_SIZE)
        self.assertEqual(second.recent, (Have(ME, 1, 2, 3),))
        self.assertEqual((second.every, second.files), (5, 9393))

    def test_another_nick_is_told_soon(self) -> None:
        self.presence.start()
        self.run_for(5)
        before = len(self.times("beacon"))
        self.presence.changed()
        self.run_for(0.1)
        self.assertEqual(len(self.times("beacon")), before + 1)

    def test_the_silent_go_after_three_and_a_half_of_their_own_intervals(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32, every=5)
        self.hear(b"b" * 32, every=60)
        self.run_for(17)
        self.assertEqual(self.told.departures, [])
        self.run_for(8)
        self.assertEqual(self.told.departures, [(b"a" * 32, False)])

    def test_who_sends_anything_else_is_here(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32, every=5)
        for _ in range(10):
            self.run_for(5)
            self.presence.alive(b"a" * 32, False)
        self.assertEqual(self.told.departures, [])

    def test_beacons_go_on_whatever_a_departure_meets(self) -> None:
        self.told.fails = True
        self.presence.start()
        self.hear(b"a" * 32)
        self.run_for(40)
        self.assertEqual(len(self.told.departures), 1)
        self.assertGreater(self.times("beacon")[-1], 30)

    def test_the_silent_go_even_where_our_own_heads_cannot_be_read(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32)
        self.contents.fails = True
        self.run_for(40)
        self.assertEqual(self.told.departures, [(b"a" * 32, False)])

    def test_a_goodbye_is_told_once(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32)
        bye = Signed("bye", b"a" * 32, 1, 99, 0, "", "{}", b"")
        self.presence.heard_bye(bye)
        self.presence.heard_bye(bye)
        self.assertEqual(self.told.departures, [(b"a" * 32, True)])
        self.presence.goodbye()
        self.assertEqual(self.contents.told[-1][1], "bye")

    def test_who_stays_is_pinned(self) -> None:
        for _ in range(8):
            self.hear(b"a" * 32)
            self.clock.advance(5)
        self.assertEqual(self.told.pins, [b"a" * 32])

    def test_a_privileged_port_is_refused(self) -> None:
        """Attack 39: an announcement that points at another service."""
        self.assertRaises(BadBody, self.hear, b"a" * 32, files=22)
        self.assertEqual(self.told.arrivals, [])

    def test_a_hello_to_us_alone_is_not_answered_to_all(self) -> None:
        self.hear(b"a" * 32, "hello", direct=True)
        self.hear(b"b" * 32, direct=True)
        self.run_for(3)
        self.assertEqual(self.contents.told, [])

    def test_a_beacon_for_one_alone_is_none_of_those_that_are_counted(self) -> None:
        self.presence.start()
        beacon = self.presence.beacon(True, "token")
        self.assertEqual((beacon.sent, beacon.direct, beacon.token), (1, True, "token"))


class TogetherTests(SynchronousTestCase):
    def test_all_meet_within_seconds_and_are_not_told_twice(self) -> None:
        lan = Lan(self)
        nodes = [lan.node(f"node{number}") for number in range(10)]
        lan.run_for(3)
        for node in nodes:
            self.assertEqual(node.status().nodes, 10)
            self.assertEqual(len(lan.events(node, Joined)), 9)

    def test_one_hello_brings_some_beacons_and_no_storm(self) -> None:
        lan = Lan(self)
        nodes = lan.crowd(10)
        since = lan.reactor.seconds()
        Stranger(lan).beacon(kind="hello")
        lan.run_for(1.1)
        sent = [group_of(node).count("beacon", since) for node in nodes]
        self.assertLessEqual(max(sent), 2)
        self.assertGreaterEqual(sum(sent), ANSWERS)

    def test_who_quits_and_who_vanishes_are_told_apart(self) -> None:
        lan = Lan(self)
        alice, bob, carol = lan.crowd(3)
        lan.stop(bob)
        lan.run_for(1)
        self.assertEqual([left.goodbye for left in lan.events(alice, Left)], [True])
        lan.vanish(carol)
        lan.run_for(40)
        self.assertEqual([left.goodbye for left in lan.events(alice, Left)], [True, False])
        self.assertEqual(alice.status().nodes, 1)

    def test_addresses_are_the_sources_and_nothing_that_a_beacon_says(self) -> None:
        """Attack 39: an announcement that points at another host."""
        lan = Lan(self)
        (alice,) = lan.crowd(1)
        mallory = Stranger(lan)
        mallory.send(
            "beacon",
            '{"every":5,"files":9393,"chat":[1,0],"offers":[1,0],"host":"10.0.0.1",'
            '"address":["10.0.0.1",22],"addresses":["10.0.0.1"]}',
        )
        lan.run_for(1)
        (peer,) = alice.peers()
        self.assertEqual(peer.addresses, [mallory.address])
        self.assertEqual(alice._others.file_addresses(mallory.key), [(mallory.address[0], 9393)])

    def test_a_replayed_beacon_moves_nobody(self) -> None:
        """Attack 36: a beacon heard before, sent again from elsewhere."""
        lan = Lan(self)
        (alice,) = lan.crowd(1)
        bob = Stranger(lan, "10.0.0.7", "bob")
        beacon = bob.signed("beacon", Beacon(5, 9393, Heads()).write())
        lan.carry(beacon, bob.address, None)
        lan.run_for(1)
        lan.carry(beacon, ("10.0.9.9", 1), None)
        lan.run_for(1)
        self.assertEqual(alice.peers()[0].addresses, [bob.address])

    def test_another_nick_is_told(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        bob.set_nick("robert")
        lan.run_for(2)
        (renamed,) = lan.events(alice, Renamed)
        self.assertEqual((renamed.old_nick, renamed.nick), ("node1", "robert"))
