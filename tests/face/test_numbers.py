"""The numbers of offers and tickets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.catalogue import Offer
from twistedp2p.core.ticket import Ticket
from twistedp2p.face.numbers import MAX_NUMBERED, Numbers


def offer(name: str, size: int = 1) -> Offer:
    return Offer(b"o" * 32, name, size, "", True)


class NumbersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.numbers = Numbers()

    def test_a_number_once_given_stays_and_means_the_latest(self) -> None:
        ticket = Ticket("10.0.0.9", 9393, "x", "f")
        self.assertEqual([self.numbers.of(offer("a")), self.numbers.of(ticket)], [1, 2])
        self.assertEqual([self.numbers.of(offer("a", 2)), self.numbers.of(offer("b"))], [1, 3])
        self.assertEqual(self.numbers.meant("1"), offer("a", 2))
        self.assertEqual(self.numbers.meant("2"), ticket)
        self.assertEqual((self.numbers.names(1), self.numbers.names(9)), (("a",), ("b", "a")))

    def test_what_is_no_number_means_nothing(self) -> None:
        self.numbers.of(offer("a"))
        for text in ("", "0", "2", "-1", "one", "\u0661", "9" * 5000):
            self.assertIsNone(self.numbers.meant(text))

    def test_a_flood_of_tickets_leaves_offers_their_numbers(self) -> None:
        """Attack 40."""
        self.numbers.of(offer("a"))
        for port in range(1, MAX_NUMBERED + 2000):
            self.numbers.of(Ticket("10.0.0.9", port, "x", "f"))
        self.assertEqual(self.numbers.meant("1"), offer("a"))
        self.assertIsNone(self.numbers.meant("2"))
