"""Who is reached how."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import SILENCE_LEAST as SILENCE
from twistedp2p.core.presence.beacon import TOKEN_MOST
from twistedp2p.core.presence.reach import (
    FAN_OUT,
    GREET_AGAIN,
    MAX_HOSTS,
    SETTLED,
    TOKEN_LASTS,
    TWIN_WINDOW,
    TWINS,
    Tokens,
    Ways,
)
from twistedp2p.core.presence.roster import MAX_PEERS

SECRET = bytes(16)
EVERY = 5  # seconds
KEY = b"k" * 32
HOME: Address = ("10.0.0.2", 40_000)


def sample(population: list[Address], count: int) -> list[Address]:
    return random.Random(1).sample(population, count)


class WaysTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.ways = Ways()
        self.number = 0

    def hear(
        self,
        now: float,
        *,
        direct: bool = False,
        key: bytes = KEY,
        address: Address = HOME,
        wants: bool = False,
        sent: int = 0,
    ) -> int:
        """A beacon comes; its number."""
        self.number += 1
        self.ways.met(key, address, now)
        self.ways.heard(key, (1, self.number), address, direct, True, now)
        self.ways.beacon(key, EVERY, wants, sent, now)
        return self.number

    def again(self, number: int, now: float, *, direct: bool = False) -> None:
        self.ways.heard(KEY, (1, number), HOME, direct, False, now)

    def apart(self, now: float) -> bool:
        self.ways.look(now)
        return KEY in self.ways.apart()

    def targets(self, now: float) -> list[Address]:
        self.ways.look(now)
        return self.ways.targets(lambda _: True, sample)


class ApartTests(WaysTestCase):
    def test_whom_multicast_reaches_gets_nothing_by_unicast(self) -> None:
        self.hear(0)
        self.assertEqual(self.targets(1), [])
        self.assertFalse(self.ways.unicast_only(KEY, 1))

    def test_whoever_was_heard_by_unicast_only_gets_everything_at_once(self) -> None:
        self.hear(0, direct=True)
        self.assertEqual(self.ways.targets(lambda _: True, sample), [HOME])
        self.assertEqual(self.targets(0.1), [HOME])

    def test_people_are_told_of_it_only_when_multicast_would_have_come(self) -> None:
        self.hear(0, direct=True)
        self.assertFalse(self.ways.unicast_only(KEY, SETTLED * EVERY - 0.1))
        self.assertTrue(self.ways.unicast_only(KEY, SETTLED * EVERY))

    def test_multicast_that_stops_is_noticed_after_three_and_a_half_intervals(self) -> None:
        self.hear(0)
        self.hear(17, direct=True)
        self.assertFalse(self.apart(SILENCE * EVERY - 0.1))
        self.assertTrue(self.apart(SILENCE * EVERY))
        self.assertTrue(self.ways.unheard(KEY, SILENCE * EVERY))

    def test_multicast_that_comes_back_is_noticed_at_once(self) -> None:
        self.hear(0, direct=True)
        self.hear(1)
        self.assertFalse(self.apart(1))

    def test_who_does_not_hear_us_says_so_and_gets_everything_for_a_while(self) -> None:
        self.hear(0)
        self.hear(1, wants=True)
        self.assertTrue(self.apart(1))
        self.assertFalse(self.ways.unheard(KEY, 1))
        self.assertTrue(self.ways.unicast_only(KEY, 1))
        for now in range(2, 18):
            self.hear(now)  # to the group it says nothing of that: others hear it
        self.assertTrue(self.apart(1 + SILENCE * EVERY - 0.1))
        self.assertFalse(self.apart(1 + SILENCE * EVERY))

    def test_the_later_copy_by_multicast_counts_too(self) -> None:
        number = self.hear(0, direct=True)
        self.again(number, 0.2)
        self.assertFalse(self.apart(0.3))

    def test_a_copy_counts_once_and_soon(self) -> None:
        """Attack 36: a replay by multicast of what came by unicast."""
        number = self.hear(0, direct=True)
        self.again(number, TWIN_WINDOW)
        self.again(number, 0.1, direct=True)
        self.again(number + 1, 0.1)
        self.again(number, 0.1)
        self.assertFalse(self.apart(1))
        self.again(number, 1.0)
        self.assertTrue(self.apart(0.1 + SILENCE * EVERY))

    def test_copies_are_remembered_in_a_bounded_number(self) -> None:
        numbers = [self.hear(0, direct=True) for _ in range(TWINS + 1)]
        self.again(numbers[0], 0.1)
        self.assertTrue(self.apart(0.2))

    def test_who_said_nothing_of_itself_is_no_peer(self) -> None:
        self.ways.heard(KEY, (1, 1), HOME, True, True, 0)
        self.assertEqual(self.targets(0), [])

    def test_who_left_is_forgotten(self) -> None:
        self.hear(0, direct=True)
        self.ways.left(KEY)
        self.assertEqual(self.targets(0), [])
        self.assertFalse(self.ways.unicast_only(KEY, 99))
        self.assertIsNone(self.ways.address(KEY))
        self.ways.left(KEY)
        self.ways.beacon(KEY, EVERY, True, 1, 0)
        self.assertEqual(self.targets(0), [])

    def test_the_address_is_where_it_was_last_heard_from_by_unicast(self) -> None:
        elsewhere = "10.0.0.3", 1
        self.hear(0, address=elsewhere)
        self.assertEqual(self.ways.address(KEY), elsewhere)
        self.hear(1, direct=True)
        self.hear(2, address=elsewhere)
        self.assertEqual(self.ways.address(KEY), HOME)

    def test_there_are_no_more_than_the_roster_holds(self) -> None:
        """Attack 40."""
        for number in range(MAX_PEERS + 10):
            self.hear(0, direct=True, key=number.to_bytes(32, "big"))
        self.ways.look(0)
        self.assertEqual(len(self.ways.apart()), MAX_PEERS)


class FanOutTests(WaysTestCase):
    def test_one_datagram_goes_to_a_bounded_number_of_them(self) -> None:
        for number in range(3 * FAN_OUT):
            address = f"10.0.0.{number}", 1
            self.hear(0, direct=True, key=number.to_bytes(32, "big"), address=address)
        targets = self.targets(0)
        self.assertEqual(len(set(targets)), FAN_OUT)

    def test_hosts_that_proved_nothing_get_nothing(self) -> None:
        """Attack 39: sources are forged so that we send to a victim."""
        self.hear(0, direct=True, wants=True)
        self.assertEqual(self.ways.targets(lambda host: host != HOME[0], sample), [])


class SilenceTests(WaysTestCase):
    def silent(self, now: float) -> bool:
        self.ways.look(now)
        return self.ways.silent(now) == [(KEY, HOME)]

    def test_whoever_is_apart_is_greeted_after_an_interval_of_silence(self) -> None:
        self.hear(0, direct=True)
        self.assertFalse(self.silent(EVERY - 0.1))
        self.assertTrue(self.silent(EVERY))
        self.ways.greeted(KEY, EVERY)
        self.assertFalse(self.silent(EVERY + GREET_AGAIN - 0.1))
        self.assertTrue(self.silent(EVERY + GREET_AGAIN))
        self.hear(EVERY + 2.1, direct=True)
        self.assertFalse(self.silent(EVERY + 5))

    def test_whom_multicast_reaches_is_not_greeted(self) -> None:
        for now in range(20):
            self.hear(now)
        self.assertFalse(self.silent(20))

    def test_the_longest_silent_come_first(self) -> None:
        for number in (3, 1, 2):
            self.hear(number, direct=True, key=bytes([number]) * 32)
        self.ways.look(99)
        self.assertEqual([key[0] for key, _ in self.ways.silent(99)], [1, 2, 3])


class DeafTests(WaysTestCase):
    def test_alone_nobody_is_deaf(self) -> None:
        self.assertFalse(self.ways.deaf(1000))

    def test_one_peer_would_have_been_heard_in_three_and_a_half_intervals(self) -> None:
        self.hear(0, direct=True)
        self.assertFalse(self.ways.deaf(SILENCE * EVERY - 0.1))
        self.assertTrue(self.ways.deaf(SILENCE * EVERY))

    def test_of_many_peers_one_would_have_been_heard_sooner(self) -> None:
        for number in range(10):
            self.hear(0, direct=True, key=bytes([number]) * 32)
        self.assertFalse(self.ways.deaf(SETTLED * EVERY - 0.1))
        self.assertTrue(self.ways.deaf(SETTLED * EVERY))

    def test_multicast_of_one_is_enough(self) -> None:
        for number in range(10):
            self.hear(0, direct=True, key=bytes([number]) * 32)
        self.hear(7)
        self.assertFalse(self.ways.deaf(8))
        self.assertTrue(self.ways.deaf(7 + SETTLED * EVERY))


class LossTests(WaysTestCase):
    def test_the_loss_is_of_those_whom_multicast_brings(self) -> None:
        other = b"o" * 32
        for sent in range(1, 41):
            if sent % 4:
                self.hear(sent / 10, sent=sent)
            self.hear(sent / 10, sent=sent, direct=True, key=other)
        loss, of_one = self.ways.loss(4), self.ways.loss_of(KEY, 4)
        assert loss is not None
        self.assertLess(abs(loss - 0.25), 0.05)
        self.assertEqual(of_one, loss)
        self.assertIsNone(self.ways.loss_of(other, 4))
        self.assertIsNone(self.ways.loss_of(b"?" * 32, 4))
        self.assertIsNone(self.ways.loss(4 + SILENCE * EVERY))


class TokenTests(SynchronousTestCase):
    @given(st.text(max_size=40), st.floats(0, 1e9))
    def test_who_repeats_it_has_proved_where_he_is(self, host: str, now: float) -> None:
        tokens = Tokens(SECRET)
        token = tokens.make(host, now)
        self.assertLessEqual(len(token), TOKEN_MOST)
        self.assertFalse(tokens.proved(host, now))
        self.assertTrue(tokens.heard(token, host, now))
        self.assertTrue(tokens.proved(host, now))
        self.assertFalse(tokens.proved(host, now + TOKEN_LASTS))

    def test_another_host_or_node_or_a_guess_proves_nothing(self) -> None:
        """Attack 39."""
        tokens, others = Tokens(SECRET), Tokens(b"x" * 16)
        token = tokens.make("10.0.0.2", 0)
        for wrong in ("", "A" * 11, others.make("10.0.0.2", 0), tokens.make("10.0.0.3", 0)):
            self.assertFalse(tokens.heard(wrong, "10.0.0.2", 0))
        self.assertFalse(tokens.proved("10.0.0.2", 0))
        self.assertFalse(tokens.heard(token, "10.0.0.3", 0))

    def test_it_ages(self) -> None:
        tokens = Tokens(SECRET)
        token = tokens.make("h", 0)
        self.assertTrue(tokens.heard(token, "h", 2 * TOKEN_LASTS - 1))
        self.assertFalse(tokens.heard(token, "h", 2 * TOKEN_LASTS))

    def test_hosts_that_proved_themselves_are_bounded(self) -> None:
        """Attack 40."""
        tokens = Tokens(SECRET)
        for number in range(MAX_HOSTS + 1):
            tokens.heard(tokens.make(str(number), 0), str(number), 0)
        self.assertFalse(tokens.proved("0", 0))
        self.assertTrue(tokens.proved("1", 0))
