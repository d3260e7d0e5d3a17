"""Who is here: beacons, freshness, nicks that look the same, and floods of strangers."""

from __future__ import annotations

import json

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed
from twistedp2p.core.feeds.feed import Heads
from twistedp2p.core.presence import roster as roster_module
from twistedp2p.core.presence.beacon import SILENCE_LEAST, SILENCE_MOST, Beacon
from twistedp2p.core.presence.roster import (
    MAX_ADDRESSES,
    MAX_PEERS,
    MAX_PINS,
    PIN_AFTER,
    PINS_BURST,
    SEEN_EVERY,
    WELL_KNOWN,
    WINDOW,
    Arrival,
    Pin,
    ReplayWindow,
    Roster,
)

OWN, ANN, BOB = b"O" * 32, b"A" * 32, b"B" * 32
HERE = ("192.168.1.7", 50_000)
BEACON = Beacon(5, 9393, Heads((1, 12), (1, 3)))
GOOD = {"every": 5, "files": 9393, "chat": [1, 12], "offers": [1, 3]}


def message(key: bytes = ANN, number: int = 1, *, epoch: int = 1, nick: str = "ann") -> Signed:
    return Signed("beacon", key, epoch, number, 0, nick, BEACON.write(), b"")


def pins(**nicks: str) -> dict[bytes, Pin]:
    """Well-known keys, by the letter that they are made of."""
    return {
        letter.encode() * 32: Pin(nick, -2 * WELL_KNOWN, -60.0, -60.0)
        for letter, nick in nicks.items()
    }


def stranger(n: int) -> bytes:
    return b"throw-away" + n.to_bytes(22, "big")


class Alive(SynchronousTestCase):
    def test_files_are_where_the_datagram_came_from(self) -> None:
        """Attack 39: whatever else the beacon says."""
        body = json.dumps({**GOOD, "host": "10.0.0.1", "address": ["10.0.0.1", 80]})
        arrival = Roster(OWN).heard(message(), Beacon.read(body), HERE, 0.0)
        self.assertEqual(arrival.peer.addresses, [HERE])

    def test_any_fresh_message_is_a_sign_of_life(self) -> None:
        roster = Roster(OWN)
        roster.alive(ANN, 0.0)
        roster.heard(message(), BEACON, HERE, 0.0)
        roster.alive(ANN, 15.0)
        self.assertEqual(roster.expire(15.0 + SILENCE_LEAST * 5 - 0.1), [])
        self.assertEqual(len(roster.expire(15.0 + SILENCE_LEAST * 5)), 1)

    def beacons(self, roster: Roster, arrives: list[bool], direct: bool = False) -> None:
        """Of so many beacons of one node those come that are marked."""
        for number, comes in enumerate(arrives, start=1):
            if comes:
                beacon = attrs.evolve(BEACON, sent=number)
                roster.alive(ANN, 0.0, direct=direct)
                roster.heard(message(), beacon, HERE, 0.0, direct=direct)

    def test_what_is_lost_is_measured_by_what_was_sent(self) -> None:
        roster = Roster(OWN)
        self.beacons(roster, [True] * 400)
        self.assertEqual(roster.loss.part, 0.0)
        self.beacons(roster, [bool(turn % 5 > 1) for turn in range(2000)])
        self.assertLess(abs(roster.loss.part - 0.4), 0.05)

    def test_whom_no_multicast_brings_is_not_taken_for_loss(self) -> None:
        roster = Roster(OWN)
        self.beacons(roster, [True] * 50, direct=True)
        self.assertEqual(roster.loss.part, 0.0)

    def test_where_more_is_lost_the_silent_are_waited_for_longer(self) -> None:
        roster = Roster(OWN)
        self.beacons(roster, [bool(turn % 5 > 1) for turn in range(2000)])
        silence = roster.loss.silence
        self.assertGreater(silence, 2 * SILENCE_LEAST)
        self.assertLessEqual(0.4**silence, 1e-5)
        self.assertEqual(roster.expire(silence * 5 - 1), [])
        self.assertEqual(len(roster.expire(silence * 5 + 1)), 1)

    def test_in_a_group_that_has_grown_the_intervals_of_before_are_too_short(self) -> None:
        roster = Roster(OWN)
        roster.heard(message(), BEACON, HERE, 0.0)
        self.assertEqual(roster.expire(SILENCE_LEAST * 100 - 1, 100), [])
        self.assertEqual(len(roster.expire(SILENCE_LEAST * 100, 100)), 1)

    def test_counts_that_lie_or_begin_anew_measure_nothing_absurd(self) -> None:
        """Attack 18."""
        roster = Roster(OWN)
        for sent in (MAX_NUMBER, 0, 1, MAX_NUMBER, 5, 4, 3):
            roster.alive(ANN, 0.0)
            roster.heard(message(), attrs.evolve(BEACON, sent=sent), HERE, 0.0)
        self.assertTrue(0 <= roster.loss.part <= 1)
        self.assertTrue(SILENCE_LEAST <= roster.loss.silence <= SILENCE_MOST)


class Freshness(SynchronousTestCase):
    def test_a_replay_is_noticed(self) -> None:
        """Attack 36."""
        roster = Roster(OWN)
        self.assertTrue(roster.fresh(message(number=5)))
        self.assertFalse(roster.fresh(message(number=5)))
        self.assertTrue(roster.fresh(message(number=6)))
        self.assertFalse(roster.fresh(message(number=5)))

    def test_messages_out_of_order_are_each_taken_once(self) -> None:
        """Attack 36: reordering."""
        window = ReplayWindow()
        window.fresh(1, 100)
        order = [103, 101, 102, 110, 104, 109]
        self.assertEqual([window.fresh(1, number) for number in order], [True] * 6)
        self.assertEqual([window.fresh(1, number) for number in order], [False] * 6)

    def test_what_is_too_old_to_tell_is_refused(self) -> None:
        """Attack 36."""
        window = ReplayWindow()
        window.fresh(1, 1000)
        self.assertTrue(window.fresh(1, 1000 + WINDOW))
        self.assertFalse(window.fresh(1, 1000))
        self.assertTrue(window.fresh(1, 1001))

    def test_a_restarted_publisher_is_heard_and_its_past_is_not(self) -> None:
        """Attack 36: restart. Its numbers go on above; a lost memory has a later epoch."""
        window = ReplayWindow()
        self.assertTrue(window.fresh(1, (1 << 24) + 5))
        self.assertTrue(window.fresh(1, (2 << 24) + 1))
        self.assertFalse(window.fresh(1, (1 << 24) + 6))
        self.assertTrue(window.fresh(2, 1))
        self.assertFalse(window.fresh(1, (3 << 24) + 1))
        self.assertTrue(window.fresh(2, 2))

    def test_after_our_restart_what_came_before_the_first_we_hear_is_refused(self) -> None:
        """Attack 36: a goodbye of our last run, replayed right after a beacon of this one."""
        roster = Roster(OWN)
        self.assertTrue(roster.fresh(message(number=500)))
        for number in range(436, 501):
            self.assertFalse(roster.fresh(message(number=number)), number)
        self.assertTrue(roster.fresh(message(number=501)))

    def test_what_an_earlier_run_heard_of_a_pinned_key_is_refused(self) -> None:
        """Attack 36: a beacon of our last run, replayed before anything else comes."""
        before = Roster(OWN, pins(A="ann"))
        before.fresh(message(number=500))
        before.fresh(message(number=499))
        self.assertEqual(before.unkept([ANN, stranger(1)]), [(ANN, (1, 500))])
        self.assertEqual(before.unkept([ANN]), [])
        roster = Roster(OWN, before.pins)
        for number in (500, 499, 436, 1):
            self.assertFalse(roster.fresh(message(number=number)), number)
        self.assertTrue(roster.fresh(message(number=501)))

    def test_who_lost_his_memory_begins_low_in_a_later_epoch(self) -> None:
        window = ReplayWindow((3, 500))
        self.assertFalse(window.fresh(2, 900))
        self.assertTrue(window.fresh(4, 1))

    def test_numbers_at_their_ends(self) -> None:
        """Attack 18."""
        window = ReplayWindow()
        for epoch, number, fresh in [
            (1, 1, True), (1, MAX_NUMBER, True), (1, MAX_NUMBER, False), (1, 1, False),
            (1, MAX_NUMBER - 1, True), (1, MAX_NUMBER - WINDOW, False), (MAX_NUMBER, 1, True),
        ]:  # fmt: skip
            self.assertEqual(window.fresh(epoch, number), fresh, (epoch, number))
        self.assertLess(window._seen, 1 << WINDOW)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 200)), max_size=300))
    def test_nothing_is_ever_taken_twice_and_nothing_new_is_lost(
        self, heard: list[tuple[int, int]]
    ) -> None:
        """Attack 36, against a model that forgets nothing."""
        window, taken, first = ReplayWindow(), set(), {}
        for epoch, number in heard:
            latest = max((e for e, _ in taken), default=0)
            highest = max((n for e, n in taken if e == epoch), default=0)
            if epoch > latest:
                first[epoch] = number
            expected = (
                epoch >= latest
                and (epoch, number) not in taken
                and number > highest - WINDOW
                and number >= first[epoch]
            )
            self.assertEqual(window.fresh(epoch, number), expected)
            if expected:
                taken.add((epoch, number))

    def test_throw_away_keys_do_not_make_a_pinned_one_forgotten(self) -> None:
        """Attack 37: throw-away keys, then replay of a pinned key."""
        roster = Roster(OWN, pins(A="ann"))
        self.assertTrue(roster.fresh(message(ANN, 7)))
        for n in range(2 * MAX_PEERS):
            self.assertTrue(roster.fresh(message(stranger(n))))
        self.assertFalse(roster.fresh(message(ANN, 7)))
        self.assertLessEqual(len(roster._windows), MAX_PEERS)

    def test_a_key_that_has_stayed_in_this_run_is_protected_too(self) -> None:
        """Attack 37."""
        roster = Roster(OWN)
        roster.fresh(message(ANN, 7))
        peer = roster.heard(message(ANN, 7), BEACON, HERE, 0.0).peer
        self.assertTrue(roster.pin_due(peer, PIN_AFTER))
        roster.heard(message(ANN, 8), BEACON, HERE, WELL_KNOWN)
        for n in range(2 * MAX_PEERS):
            roster.fresh(message(stranger(n)))
            roster.heard(message(stranger(n)), BEACON, HERE, WELL_KNOWN)
        self.assertFalse(roster.fresh(message(ANN, 7)))
        self.assertIs(roster.peer(ANN), peer)


class WhoIsHere(SynchronousTestCase):
    def setUp(self) -> None:
        self.roster = Roster(OWN)

    def heard(self, key: bytes = ANN, nick: str = "ann", now: float = 0.0) -> Arrival | None:
        return self.roster.heard(message(key, nick=nick), BEACON, HERE, now)

    def test_the_first_beacon_is_an_arrival(self) -> None:
        self.assertTrue(self.heard().joined)
        again = self.heard(now=5.0)
        self.assertFalse(again.joined)
        self.assertIsNone(again.old_nick)
        self.assertEqual((len(self.roster), self.roster.peers()), (1, [again.peer]))

    def test_another_nick_is_told(self) -> None:
        self.heard()
        arrival = self.heard(nick="anna")
        self.assertEqual((arrival.joined, arrival.old_nick, arrival.peer.nick),
                         (False, "ann", "anna"))  # fmt: skip

    def test_the_silent_expire_after_three_and_a_half_intervals(self) -> None:
        self.heard()
        self.heard(BOB, "bob", now=10.0)
        self.assertEqual(self.roster.expire(SILENCE_LEAST * 5 - 0.1), [])
        self.assertEqual([peer.key for peer in self.roster.expire(SILENCE_LEAST * 5)], [ANN])
        self.assertEqual([peer.key for peer in self.roster.peers()], [BOB])
        self.assertTrue(self.heard(now=100.0).joined)

    def test_a_goodbye_removes(self) -> None:
        self.heard()
        self.assertEqual(self.roster.left(ANN).nick, "ann")
        self.assertIsNone(self.roster.left(ANN))
        self.assertIsNone(self.roster.peer(ANN))

    def test_the_latest_addresses_are_kept_and_no_more(self) -> None:
        """Attack 40."""
        for n in (*range(1, 100), 97):
            address = (f"10.0.0.{n}", 5)
            arrival = self.roster.heard(message(), BEACON, address, 0.0)
        hosts = [host for host, _ in arrival.peer.addresses]
        self.assertEqual(hosts, ["10.0.0.97", "10.0.0.99", "10.0.0.98", "10.0.0.96"])
        self.assertEqual(len(hosts), MAX_ADDRESSES)

    def test_a_flood_of_strangers_is_bounded_and_leaves_the_pinned_alone(self) -> None:
        """Attacks 37 and 40."""
        self.roster = Roster(OWN, pins(A="ann"))
        self.heard()
        for n in range(2 * MAX_PEERS):
            self.heard(stranger(n), f"nick{n}")
        self.assertEqual(len(self.roster), MAX_PEERS)
        self.assertIsNotNone(self.roster.peer(ANN))

    def test_a_newcomer_is_heard_however_many_are_well_known(self) -> None:
        """Attack 37: keys that somebody made by the thousand and had pinned close no door."""
        known = {stranger(n): Pin("", -1e6, 0.0, 0.0) for n in range(MAX_PINS)}
        self.roster = Roster(OWN, known)
        for n in range(MAX_PINS):
            self.roster.fresh(message(stranger(n)))
            self.heard(stranger(n))
        self.assertTrue(self.roster.fresh(message(ANN)))
        self.assertTrue(self.heard(ANN).joined)
        self.assertTrue(self.roster.fresh(message(BOB)))
        self.assertTrue(self.heard(BOB).joined)
        self.assertFalse(self.roster.fresh(message(ANN)))
        self.assertIsNotNone(self.roster.peer(ANN))
        self.assertEqual(len(self.roster), MAX_PEERS)

    def test_who_was_crowded_out_is_told_as_gone(self) -> None:
        for n in range(MAX_PEERS + 2):
            self.heard(stranger(n))
        self.heard(stranger(1))
        self.assertEqual([peer.key for peer in self.roster.expire(0.0)], [stranger(0), stranger(2)])
        self.assertEqual(self.roster.expire(0.0), [])


class Pins(SynchronousTestCase):
    def stays(self, roster: Roster, key: bytes, host: str, since: float, until: float) -> bool:
        """Be here from then to then; whether the key is pinned at the end."""
        peer = roster.heard(message(key), BEACON, (host, 1), since).peer
        roster.heard(message(key), BEACON, (host, 1), until)
        roster.pin_due(peer, until)
        return key in roster.pins

    def full(self, since: float = -90.0, last: float = 0.0) -> Roster:
        """All pins are those of throw-away keys."""
        self.unpinned: list[bytes] = []
        known = {stranger(n): Pin("", since, last, last) for n in range(MAX_PINS - 1)}
        return Roster(OWN, {**known, **pins(A="ann")}, self.unpinned.append)

    def test_who_stays_is_pinned_once(self) -> None:
        roster = Roster(OWN)
        peer = roster.heard(message(), BEACON, HERE, 100.0).peer
        self.assertFalse(roster.pin_due(peer, 100.0 + PIN_AFTER - 1))
        self.assertTrue(roster.pin_due(peer, 100.0 + PIN_AFTER))
        self.assertFalse(roster.pin_due(peer, 200.0))
        self.assertEqual({key: pin.nick for key, pin in roster.pins.items()}, {ANN: "ann"})

    def test_a_pinned_key_is_pinned_anew_under_another_nick(self) -> None:
        roster = Roster(OWN, pins(A="ann"))
        peer = roster.heard(message(nick="anna"), BEACON, HERE, 0.0).peer
        self.assertTrue(roster.pin_due(peer, 0.0))
        self.assertEqual(roster.pins[ANN].nick, "anna")

    def test_that_a_pinned_key_is_here_is_noted_now_and_then(self) -> None:
        roster = Roster(OWN, pins(A="ann"))
        peer = roster.heard(message(), BEACON, HERE, 0.0).peer
        due = [roster.pin_due(peer, float(at)) for at in range(0, int(2.2 * SEEN_EVERY), 60)]
        self.assertEqual(due.count(True), 2)

    def test_pins_are_bounded(self) -> None:
        """Attack 40: of this run and of a memory of hostile size."""
        many = {stranger(n): Pin("", -90.0, 0.0, 0.0) for n in range(2 * MAX_PINS)}
        roster = Roster(OWN, many)
        self.assertEqual(len(roster.pins), MAX_PINS)
        self.assertTrue(self.stays(roster, ANN, "10.0.0.1", 0.0, 100.0))
        self.assertEqual(len(roster.pins), MAX_PINS)

    def test_an_honest_newcomer_takes_the_pin_of_a_throw_away_key(self) -> None:
        """Attack 37: pins that were earned by staying a moment do not close the table."""
        roster = self.full()
        self.assertFalse(self.stays(roster, BOB, "10.0.0.1", 0.0, PIN_AFTER - 1))
        self.assertTrue(self.stays(roster, BOB, "10.0.0.1", 0.0, 61.0))
        self.assertEqual(len(self.unpinned), 1)
        self.assertIn(ANN, roster.pins)
        self.assertIsNone(roster._pinned_nicks._look.get(self.unpinned[0]))

    def test_one_who_is_here_for_longer_goes_before_one_who_came_later(self) -> None:
        """Attack 37: keys kept here for an hour are worth more than a minute, less than a day."""
        roster = self.full(-3600.0, 100.0)
        self.assertFalse(self.stays(roster, BOB, "10.0.0.1", 0.0, 100.0))
        self.assertTrue(self.stays(roster, b"C" * 32, "10.0.0.1", -86_400.0, 100.0))

    def test_throw_away_keys_never_take_the_pin_of_one_that_is_known_for_long(self) -> None:
        """Attack 37: though he is away over night."""
        night = 12 * 3600.0
        known = {stranger(n): Pin("", -30 * 86_400.0, -night, -night) for n in range(MAX_PINS)}
        roster = Roster(OWN, known)
        for n in range(100):
            key, host = stranger(MAX_PINS + n), f"10.0.0.{n}"
            self.assertFalse(self.stays(roster, key, host, 0.0, 3600.0))
        self.assertEqual(roster.pins.keys(), known.keys())

    def test_one_who_is_long_gone_makes_room(self) -> None:
        roster = self.full(-86_400.0, 0.0)
        self.assertTrue(self.stays(roster, BOB, "10.0.0.1", 2 * 86_400.0, 2 * 86_400.0 + 60))

    def test_one_address_earns_few_pins(self) -> None:
        """Attack 37: throw-away keys of one host."""
        roster = Roster(OWN)
        earned = [self.stays(roster, stranger(n), "10.0.0.9", 0.0, 100.0) for n in range(100)]
        self.assertEqual(earned.count(True), PINS_BURST)
        self.assertTrue(self.stays(roster, ANN, "10.0.0.1", 0.0, 100.0))

    def test_a_key_that_finds_no_room_tries_again_but_not_with_each_beacon(self) -> None:
        """Attack 40: looking for room costs a look at every pin."""
        roster, looks = self.full(-3600.0, 0.0), []
        worth = Pin.worth
        self.patch(Pin, "worth", lambda pin, now: (looks.append(pin), worth(pin, now))[1])
        peer = roster.heard(message(BOB), BEACON, HERE, 0.0).peer
        for at in range(0, 95, 5):
            roster.pin_due(peer, float(at))
        self.assertLessEqual(len(looks), 3 * (MAX_PINS + 2))


class LookAlikes(SynchronousTestCase):
    """Attack 35: the same or a look-alike nick from another key."""

    def setUp(self) -> None:
        self.roster = Roster(OWN, pins(A="Alice"))

    def looks_like(self, key: bytes, nick: str) -> bytes | None:
        return self.roster.heard(message(key, nick=nick), BEACON, HERE, 0.0).looks_like

    def test_that_of_a_pinned_key_is_told_though_it_is_not_here(self) -> None:
        """Attack 35."""
        for n, nick in enumerate(("Alice", "alice", "Аlісе", "A1ice", "ALICE")):
            self.assertEqual(self.looks_like(stranger(n), nick), ANN, nick)
        self.assertIsNone(self.looks_like(BOB, "bob"))

    def test_that_of_somebody_here_is_told_and_the_earlier_is_named(self) -> None:
        """Attack 35."""
        self.assertIsNone(self.looks_like(BOB, "bob"))
        self.assertEqual(self.looks_like(stranger(1), "B0B"), BOB)
        self.assertEqual(self.looks_like(stranger(2), "bob"), BOB)

    def test_taking_it_later_is_told(self) -> None:
        """Attack 35: a rename, once there is trust in the key."""
        self.looks_like(BOB, "bob")
        self.assertEqual(self.looks_like(BOB, "alice"), ANN)
        self.assertEqual(self.looks_like(stranger(1), "alice"), ANN)

    def test_ones_own_earlier_nick_and_an_empty_one_look_like_nobodys(self) -> None:
        self.assertIsNone(self.looks_like(ANN, "alice"))
        self.assertIsNone(self.looks_like(BOB, ""))
        self.assertIsNone(self.looks_like(stranger(1), ""))

    def test_a_nick_that_was_given_up_is_free(self) -> None:
        for leave in (
            lambda: self.roster.left(BOB),
            lambda: self.roster.expire(1e9),
            lambda: self.looks_like(BOB, "robert"),
        ):
            self.looks_like(BOB, "bob")
            leave()
            self.assertIsNone(self.looks_like(stranger(1), "bob"))
            self.roster.left(stranger(1))

    def test_a_pinned_key_that_changed_its_nick_is_known_by_the_new_one(self) -> None:
        """Attack 35."""
        peer = self.roster.heard(message(ANN, nick="Zoe"), BEACON, HERE, 0.0).peer
        self.roster.pin_due(peer, 0.0)
        self.roster.left(ANN)
        self.assertEqual(self.looks_like(BOB, "zoe"), ANN)
        self.assertIsNone(self.looks_like(stranger(1), "alice"))

    def test_a_flood_of_nicks_hides_no_look_alike(self) -> None:
        """Attacks 35 and 40."""
        for n in range(2 * MAX_PEERS):
            self.looks_like(stranger(n), f"x{n}")
        self.assertEqual(self.looks_like(BOB, "alice"), ANN)
        self.assertLessEqual(len(self.roster._nicks._look), MAX_PEERS)
        self.assertLessEqual(len(self.roster._nicks._keys), MAX_PEERS)

    def test_an_arrival_looks_at_its_own_nick_only(self) -> None:
        """Attack 40: among thousands, comparing with each would stall the reactor."""
        for n in range(500):
            self.looks_like(stranger(n), f"x{n}")
        looked: list[str] = []
        look_alike = roster_module.look_alike
        self.patch(
            roster_module, "look_alike", lambda nick: (looked.append(nick), look_alike(nick))[1]
        )
        self.assertEqual(self.looks_like(BOB, "alice"), ANN)
        self.assertEqual(set(looked), {"alice"})
        self.assertLessEqual(len(looked), 3)

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["heard", "left", "pin"]),
                st.integers(0, 5),
                st.sampled_from(["", "bob", "B0B", "eve"]),
            ),
            max_size=40,
        )
    )
    def test_it_is_told_when_and_only_when_another_key_bears_it(
        self, steps: list[tuple[str, int, str]]
    ) -> None:
        """Attack 35, against a model."""
        roster, here, pins = Roster(OWN), {}, {}
        for step, n, nick in steps:
            key, look = stranger(n), nick.lower().replace("0", "o")
            if step == "left":
                roster.left(key)
                here.pop(key, None)
            elif step == "pin" and key in here:
                roster.pin_due(roster.peer(key), PIN_AFTER)
                pins[key] = here[key]
            elif step == "heard":
                others = {other for bearers in (pins, here) for other, borne in bearers.items()
                          if look and borne == look and other != key}  # fmt: skip
                arrival = roster.heard(message(key, nick=nick), BEACON, HERE, 0.0)
                if arrival.joined or arrival.old_nick is not None:
                    self.assertEqual(arrival.looks_like is not None, bool(others))
                    self.assertTrue(not others or arrival.looks_like in others)
                here[key] = look
