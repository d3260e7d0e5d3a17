"""What becomes known of the others, as events."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger
from twistedp2p.core.events import Joined, Left, OfferAdded, OfferGone, Renamed
from twistedp2p.core.names import fingerprint
from twistedp2p.node.presence import tidings


class TidingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)

    def test_comings_and_goings(self) -> None:
        bob = Stranger(self.lan, "10.0.0.7", "bob")
        bob.beacon()
        self.lan.run_for(1)
        bob.nick = ""
        bob.beacon()
        self.lan.run_for(1)
        bob.send("bye", "{}")
        self.lan.run_for(1)
        key = fingerprint(bob.key)
        events = [self.lan.events(self.alice, kind)[-1] for kind in (Joined, Renamed, Left)]
        self.assertEqual(
            events,
            [
                Joined(bob.key, "bob", "10.0.0.7", None),
                Renamed(bob.key, key, "bob", None),
                Left(bob.key, key, True),
            ],
        )

    def test_an_offer_is_told_once_its_owner_is_here_and_can_then_be_found(self) -> None:
        self.lan.delay = 0.001, 0.001
        bob = Stranger(self.lan, nick="bob")
        for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
            bob.offer(number + 1, name=name)
        bob.send("withdraw", '{"name":"b.jpg"}', 4)
        self.lan.run_for(1)
        self.assertEqual(self.lan.events(self.alice, OfferAdded), [])
        found: list[list[str]] = []
        self.alice.subscribe(
            lambda event: (
                isinstance(event, OfferAdded)
                and found.append((event.nick, *self.lan.catalogue(self.alice)))
            )
        )
        for _ in range(2):
            bob.beacon()
            self.lan.run_for(1)
        added = self.lan.events(self.alice, OfferAdded)
        self.assertEqual([event.offer.name for event in added], ["a.jpg", "c.jpg"])
        self.assertEqual(found, 2 * [("bob", "a.jpg", "c.jpg")])
        self.assertEqual(self.lan.events(self.alice, OfferGone), [])

    def test_few_offers_wait_for_their_owners(self) -> None:
        """Attack 40: offers of keys that never come."""
        self.patch(tidings, "MAX_EARLY", 3)
        self.lan.delay = 0.001, 0.001
        alice = self.lan.node("another")
        self.lan.delay = 0.001, 0.001
        mallory = Stranger(self.lan)
        for number in range(5):
            mallory.offer(number + 1, name=str(number))
        self.lan.run_for(1)
        mallory.beacon()
        self.lan.run_for(1)
        names = [event.offer.name for event in self.lan.events(alice, OfferAdded)]
        self.assertEqual(names, ["2", "3", "4"])
