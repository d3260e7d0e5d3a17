"""Presence: when beacons go out, and who is taken as here."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger, group_of
from twistedp2p.core.body import BadBody
from twistedp2p.core.datagram import Signed
from twistedp2p.core.events import Joined, Left, Renamed
from twistedp2p.core.feed import Heads
from twistedp2p.core.roster import EVERY_LEAST, EVERY_MOST, Beacon, Roster
from twistedp2p.node.presence import AFTER_ENTRY, LEAST_BETWEEN, Presence

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


class TimingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.told = Clock(), Told()
        self.sent: list[tuple[float, str, str]] = []
        self.chance = 0.5
        self.presence = Presence(
            Roster(ME),
            self.told,
            clock=self.clock,
            random=lambda: self.chance,
            files=9393,
            heads=Heads,
            tell=self.tell,
        )
        self.number = 0

    def tell(self, kind: str, body: str) -> bool:
        self.sent.append((self.clock.seconds(), kind, body))
        return True

    def times(self, kind: str) -> list[float]:
        return [at for at, sent, _ in self.sent if sent == kind]

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def hear(self, key: bytes, kind: str = "beacon", every: int = 5, files: int = 9393) -> None:
        self.number += 1
        text = Beacon(every, files, Heads()).write()
        message = Signed(kind, key, 1, self.number, 0, "", text, b"")
        self.presence.heard(message, ("10.0.0.9", 1))

    def peers(self, count: int, every: int = EVERY_MOST) -> None:
        for number in range(count):
            self.hear(number.to_bytes(32, "big"), every=every)

    def test_three_hellos_at_the_start_then_a_beacon_in_each_interval(self) -> None:
        self.presence.start()
        self.run_for(20)
        self.assertEqual([round(at) for at in self.times("hello")], [0, 1, 3])
        self.assertEqual([round(at) for at in self.times("beacon")], [8, 13, 18])

    def test_the_beacons_of_a_large_group_are_rare_and_say_so(self) -> None:
        """The group has a budget: ten beacons a second, whatever its size."""
        self.presence.start()
        self.peers(299)
        self.run_for(35)
        self.sent.clear()
        self.run_for(300)
        self.assertEqual(len(self.times("beacon")), 10)
        self.assertEqual({Beacon.read(text).every for _, _, text in self.sent}, {30})

    def test_the_interval_is_never_under_or_over_its_bounds(self) -> None:
        self.presence.start()
        self.assertEqual(Beacon.read(self.sent[-1][2]).every, EVERY_LEAST)
        self.peers(3000)
        self.run_for(5)
        self.assertEqual(Beacon.read(self.sent[-1][2]).every, EVERY_MOST)

    def test_a_hello_is_answered_soon(self) -> None:
        self.presence.start()
        self.run_for(4)
        self.sent.clear()
        self.hear(b"a" * 32, "hello")
        self.run_for(1)
        self.assertEqual(len(self.times("beacon")), 1)

    def test_a_newcomer_is_answered_even_if_his_hello_was_lost(self) -> None:
        self.presence.start()
        self.run_for(4)
        self.sent.clear()
        self.hear(b"a" * 32)
        self.run_for(1)
        self.assertEqual(len(self.times("beacon")), 1)

    def test_a_flood_of_hellos_is_answered_once_a_second(self) -> None:
        """Attack 40: one small datagram must not make every node send one, without end."""
        self.presence.start()
        self.run_for(4)
        self.sent.clear()
        self.chance = 0.0
        for _ in range(1000):
            self.hear(b"a" * 32, "hello")
            self.clock.advance(0.01)
        self.assertLessEqual(len(self.sent), 10 / LEAST_BETWEEN + 1)
        self.assertGreaterEqual(len(self.sent), 9)

    def test_answers_to_a_hello_are_spread_in_a_large_group(self) -> None:
        self.presence.start()
        self.peers(1000)
        self.run_for(30)
        self.sent.clear()
        self.chance = 0.9
        self.hear(b"a" * 32, "hello")
        self.run_for(17)
        self.assertEqual(self.times("beacon"), [])
        self.run_for(2)
        self.assertEqual(len(self.times("beacon")), 1)

    def test_a_beacon_follows_what_was_published(self) -> None:
        self.presence.start()
        self.run_for(4)
        self.sent.clear()
        for _ in range(5):
            self.presence.entry_sent()
        self.run_for(AFTER_ENTRY + 0.1)
        self.assertEqual(len(self.times("beacon")), 1)

    def test_the_silent_go_after_three_and_a_half_of_their_own_intervals(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32, every=5)
        self.hear(b"b" * 32, every=60)
        self.run_for(17)
        self.assertEqual(self.told.departures, [])
        self.run_for(6)
        self.assertEqual(self.told.departures, [(b"a" * 32, False)])

    def test_beacons_go_on_whatever_a_departure_meets(self) -> None:
        self.told.fails = True
        self.presence.start()
        self.hear(b"a" * 32)
        for _ in range(800):
            try:
                self.clock.advance(0.05)
            except OSError:
                continue
        self.assertEqual(len(self.told.departures), 1)
        self.assertGreater(self.times("beacon")[-1], 35)

    def test_the_silent_go_even_where_our_own_heads_cannot_be_read(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32)
        self.presence._heads = lambda: 1 / 0
        for _ in range(800):
            try:
                self.clock.advance(0.05)
            except ZeroDivisionError:
                continue
        self.assertEqual(self.told.departures, [(b"a" * 32, False)])

    def test_a_goodbye_is_told_once_and_ours_ends_all_timers(self) -> None:
        self.presence.start()
        self.hear(b"a" * 32)
        bye = Signed("bye", b"a" * 32, 1, 99, 0, "", "{}", b"")
        self.presence.heard_bye(bye)
        self.presence.heard_bye(bye)
        self.assertEqual(self.told.departures, [(b"a" * 32, True)])
        self.presence.stop()
        self.assertEqual(self.sent[-1][1], "bye")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_stays_is_pinned(self) -> None:
        for _ in range(8):
            self.hear(b"a" * 32)
            self.clock.advance(5)
        self.assertEqual(self.told.pins, [b"a" * 32])

    def test_a_privileged_port_is_refused(self) -> None:
        """Attack 39: an announcement that points at another service."""
        self.assertRaises(BadBody, self.hear, b"a" * 32, files=22)
        self.assertEqual(self.told.arrivals, [])


class TogetherTests(SynchronousTestCase):
    def test_all_meet_within_seconds_and_are_not_told_twice(self) -> None:
        lan = Lan(self)
        nodes = [lan.node(f"node{number}") for number in range(10)]
        lan.run_for(3)
        for node in nodes:
            self.assertEqual(node.status().nodes, 10)
            self.assertEqual(len(lan.events(node, Joined)), 9)

    def test_one_hello_brings_one_beacon_of_each_and_no_storm(self) -> None:
        lan = Lan(self)
        nodes = lan.crowd(10)
        since = lan.reactor.seconds()
        Stranger(lan).beacon(kind="hello")
        lan.run_for(1.1)
        sent = [group_of(node).count("beacon", since) for node in nodes]
        self.assertTrue(all(1 <= count <= 2 for count in sent), sent)

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
        self.assertEqual(alice._file_addresses(mallory.key), [(mallory.address[0], 9393)])

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
