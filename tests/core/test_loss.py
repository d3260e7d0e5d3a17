"""How much of the multicast is lost, by the counts in beacons."""

from __future__ import annotations

import random

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.core.presence.loss import MARKS, TELLING, Losses, loss


def after(pattern: list[bool]) -> Losses:
    """What is known after so many beacons, each heard or lost."""
    losses = Losses()
    for sent, came in enumerate(pattern, 1):
        if came:
            losses.heard()
            losses.beacon(sent)
    return losses


class LossTests(SynchronousTestCase):
    def test_nothing_is_known_at_first(self) -> None:
        self.assertEqual(Losses().counts(), (0, 0))
        self.assertIsNone(loss([]))
        self.assertIsNone(loss([Losses().counts()]))

    @given(st.lists(st.booleans(), max_size=MARKS))
    def test_what_lies_between_two_beacons_that_came_is_counted(self, pattern: list[bool]) -> None:
        came = [at for at, heard in enumerate(pattern) if heard]
        span = pattern[came[0] + 1 : came[-1] + 1] if came else []
        self.assertEqual(after(pattern).counts(), (len(span), span.count(False)))

    def test_the_estimate_of_many_is_close(self) -> None:
        dice = random.Random(4)
        for truth in (0.0, 0.05, 0.2, 0.4):
            peers = [after([dice.random() >= truth for _ in range(30)]) for _ in range(50)]
            found = loss(peer.counts() for peer in peers)
            assert found is not None
            self.assertLess(abs(found - truth), 0.05)

    def test_few_messages_tell_nothing(self) -> None:
        self.assertIsNone(loss([(TELLING - 1, 5)]))
        self.assertEqual(loss([(TELLING - 1, 0), (1, 1)]), 1 / TELLING)

    def test_only_the_last_beacons_count(self) -> None:
        bad, good = [False, True] * MARKS, [True] * (MARKS + 1)
        self.assertEqual(after(bad + good).counts()[1], 0)

    def test_a_restart_begins_anew(self) -> None:
        losses = after([True, False, True, True])
        losses.heard()
        losses.beacon(1)
        self.assertEqual(losses.counts(), (0, 0))

    def test_messages_heard_by_unicast_are_none_of_them(self) -> None:
        losses = Losses()
        for sent in (7, 7, 7):  # greetings answered, while no multicast is sent
            losses.beacon(sent)
        self.assertEqual(losses.counts(), (0, 0))

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, MAX_NUMBER)), max_size=60))
    @example([(False, 0), (False, 765_385)])
    def test_lies_make_no_nonsense(self, said: list[tuple[bool, int]]) -> None:
        """Attack 40: a beacon may say anything."""
        losses = Losses()
        for came, sent in said:
            if came:
                losses.heard()
            losses.beacon(sent)
        total, lost = losses.counts()
        self.assertTrue(0 <= lost <= total)
        found = loss([losses.counts(), (100, 0), (100, 0)])
        assert found is not None
        self.assertTrue(0.0 <= found <= 1 / 3 + 1e-9)
