"""A whole room on wires in memory: real nodes, an owner and those who fetch from it."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan
from tests.node.offers.test_shares import quick_stretch
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.core.events import Fetched, FetchFailed, Progress
from twistedp2p.node import Node
from twistedp2p.node.downloads import order as order_module
from twistedp2p.node.downloads.opening import PATIENCE
from twistedp2p.node.offers import shares as shares_module

SIZE = 12 * PIECE_LEAST - 5  # bytes


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(shares_module, "stretch", quick_stretch)
        self.patch(order_module, "stretch", quick_stretch)
        self.lan = Lan(self)
        self.path = self.lan.folder / "big.bin"
        self.path.write_bytes(os.urandom(SIZE))

    def room(self, receivers: int, *, swarm: bool = True) -> tuple[Node, list[Node]]:
        """An owner that offers the file, and who is going to fetch it."""
        owner = self.lan.node("alice", swarm=swarm)
        nodes = [self.lan.node(f"bob{number}", swarm=swarm) for number in range(receivers)]
        self.successResultOf(self.offering(owner))
        self.lan.run_for(10)
        return owner, nodes

    def offering(self, owner: Node):  # type: ignore[no-untyped-def]
        done = owner.offer(str(self.path), "secret")
        self.lan.run_for(1)
        return done

    def get(self, node: Node, password: str = "secret") -> None:
        (listing,) = self.successResultOf(node.search("big.bin"))
        node.get(listing.offer, password)

    def in_the_middle(self, node: Node) -> None:
        """Until a piece has come, but not all."""
        (transfer,) = node.get_running()
        for _ in range(1000):
            gather = transfer._getting.gather
            if gather is not None and any(gather.kept.have):
                return
            self.lan.run_for(0.001)
        self.fail("nothing comes")

    def sent_by(self, owner: Node) -> int:
        """Bytes of content that it has handed out."""
        ends = [each for each in self.lan.events(owner, Progress) if each.kind == "serve"]
        return sum(each.done for each in ends if each.ended)

    def whole(self, node: Node) -> None:
        (fetched,) = self.lan.events(node, Fetched)
        self.assertEqual(self.path.read_bytes(), Path(fetched.path).read_bytes())

    def test_two_fetch_and_give_on_to_each_other(self) -> None:
        owner, nodes = self.room(2)
        self.lan.step = 0.05
        for node in nodes:
            self.get(node)
        self.lan.run_for(30)
        for node in nodes:
            self.whole(node)
        self.assertLess(self.sent_by(owner), 2 * SIZE)

    def test_without_the_swarm_everybody_fetches_from_the_owner(self) -> None:
        owner, nodes = self.room(2, swarm=False)
        for node in nodes:
            self.get(node)
        self.lan.run_for(30)
        for node in nodes:
            self.whole(node)
        self.assertEqual(2 * SIZE, self.sent_by(owner))
        hosts = {to for _, to in self.lan.calls}
        self.assertEqual(1, len(hosts & {"10.0.0.1", "10.0.0.2", "10.0.0.3"}))

    def test_one_who_leaves_in_the_middle_costs_nobody_anything(self) -> None:
        _, (bob, carol) = self.room(2)
        self.get(bob)
        self.get(carol)
        self.in_the_middle(bob)
        self.lan.stop(bob)
        self.lan.run_for(60)
        self.whole(carol)
        self.assertEqual([], self.lan.events(bob, Fetched))

    def test_a_wrong_password_gets_nothing_from_those_who_have_pieces(self) -> None:
        """Attack 1: what is promised for the owner holds for all who give on."""
        _, (bob, carol) = self.room(2)
        self.get(bob)
        self.lan.run_for(10)
        self.whole(bob)
        self.get(carol, "guess")
        self.lan.run_for(10)
        self.assertEqual(1, len(self.lan.events(carol, FetchFailed)))
        (listing,) = self.successResultOf(carol.search("big.bin"))
        held = bob._holdings.find(listing.offer.id)
        self.assertEqual("big.bin", held.name)
        guesses = []
        with mock.patch.object(bob._holdings, "guessed", lambda *what: guesses.append(what[-1])):
            carol._transfers.get("big.bin", "guess", lambda: [("10.0.0.2", 9393)], listing.offer)
            self.lan.run_for(10)
        self.assertEqual([], [guess for guess in guesses if guess])
        self.assertEqual(2, len(self.lan.events(carol, FetchFailed)))

    def test_who_starts_again_after_the_owner_has_gone_finds_those_who_have_it(self) -> None:
        """The catalogue still binds what it is, and whoever is asked for it by its id answers."""
        owner, (bob, carol, _) = self.room(3)
        self.get(bob)
        self.lan.run_for(10)
        self.whole(bob)
        self.get(carol)
        self.in_the_middle(carol)
        self.lan.stop(carol)
        self.lan.stop(owner)
        carol = self.lan.node("bob1")
        self.lan.run_for(10)
        self.assertEqual([], self.successResultOf(carol.search("big.bin")))
        (offer,) = carol.called("big.bin", here=False)
        self.assertEqual(offer, self.successResultOf(carol.find(offer.id, here=False)))
        carol.get(offer, "secret")
        self.lan.run_for(10)
        self.whole(carol)
        (fetched,) = self.lan.events(carol, Fetched)
        self.assertEqual((offer.owner, True), (fetched.owner, fetched.owner_known))

    def test_where_nobody_has_it_any_more_that_is_said(self) -> None:
        owner, (bob,) = self.room(1)
        self.lan.stop(owner)
        (offer,) = bob.called("big.bin", here=False)
        bob.get(offer, "secret")
        self.lan.run_for(PATIENCE - 15)
        self.assertEqual([], self.lan.events(bob, FetchFailed))
        self.lan.run_for(15)
        self.assertEqual(1, len(self.lan.events(bob, FetchFailed)))

    def test_the_owner_goes_and_comes_back(self) -> None:
        owner, (bob,) = self.room(1)
        self.get(bob)
        self.in_the_middle(bob)
        self.lan.stop(owner)
        self.lan.run_for(5)
        self.assertEqual([], self.lan.events(bob, Fetched) + self.lan.events(bob, FetchFailed))
        self.lan.node("alice")
        self.lan.run_for(60)
        self.whole(bob)
