"""The others who fetch the same: who is asked, how often, and who is left alone."""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.node.gets import FakeClient, Fetching, MemoryKept, random_content, tree_of
from twistedp2p.core.calls.lines import Err
from twistedp2p.core.calls.pieces import HAVE, PEERS
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.swarm.choice import Choice
from twistedp2p.net.fetch import Refused
from twistedp2p.node.downloads.gather import Gather
from twistedp2p.node.downloads.order import PeerOrder
from twistedp2p.node.downloads.swarm import (
    CHOSEN,
    HAVE_EVERY,
    MAX_SOURCES,
    PEERS_EVERY,
    PEERS_WAIT,
    TRIED_AGAIN,
    Swarm,
)

CONTENT = random_content(8)
PEER = ("10.0.0.3", 9393)
SECRET = (b"i" * 16, b"p" * 32)


class SwarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.fetching = Clock(), Fetching()
        tree = tree_of(CONTENT)
        self.kept = MemoryKept(tree)
        choice = Choice(tree.count, self.kept.have, random.Random(1).randrange)
        self.lost: list[Any] = []
        self.callers: list[tuple[str, int]] = []
        self.gather = Gather(
            tree, self.kept, choice, lambda _size: None, lambda *what: self.lost.append(what),
            self.clock.seconds,
            crowd=None,
        )  # fmt: skip
        self.owner = FakeClient(CONTENT)
        self.addCleanup(self.nothing_is_left)

    def begin(self, *peers: tuple[str, int]) -> Swarm:
        self.owner.peers = list(peers)
        self.gather.add(self.owner, self.owner.ended, owner=True)
        order = PeerOrder(SECRET, lambda _ok, _key: None)
        self.swarm = Swarm(
            self.gather,
            order,
            self.connect,
            9393,
            self.clock,
            lambda host: host != "8.8.8.8",
            lambda: self.callers,
        )
        return self.swarm

    async def connect(self, order: Any, addresses: Any) -> Any:
        return await self.fetching.connect(order, addresses)

    def nothing_is_left(self) -> None:
        self.swarm.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def joined(self) -> FakeClient:
        client = FakeClient(CONTENT, b"x" * 32, PEER[0])
        client.has = bytearray(len(client.has))
        self.fetching.end(client)
        return client

    def test_those_of_whom_the_owner_tells_are_asked_too(self) -> None:
        self.begin(PEER)
        self.assertEqual([PEER], self.fetching.asked[0][1])
        peer = self.joined()
        self.assertEqual(2, len(self.gather.sources))
        peer.has = bytearray(b"\1" * 8)
        self.run_for(2 * HAVE_EVERY)
        self.assertTrue(peer.pieces)

    def test_nobody_has_us_connect_to_where_no_node_can_be(self) -> None:
        """Attack 39: a list of peers that points anywhere."""
        self.begin(("8.8.8.8", 4444))
        self.run_for(2 * PEERS_EVERY)
        self.assertEqual([], self.fetching.asked)

    def test_the_password_is_the_same_for_all_and_proved_to_each(self) -> None:
        """Attack 3: nothing is believed of who does not know it."""
        self.begin(PEER)
        order = self.fetching.asked[0][0]
        self.assertEqual(SECRET, self.successResultOf(order.stretched(b"any" * 11)))
        self.assertNotIn("p" * 32, repr(order))

    def test_one_who_is_connected_is_not_connected_to_again(self) -> None:
        self.begin(PEER)
        self.joined()
        self.run_for(3 * TRIED_AGAIN)
        self.assertEqual(1, len(self.fetching.asked))

    def test_of_one_who_is_connected_nobody_looks_where_he_is(self) -> None:
        self.begin(PEER)
        self.joined()
        with mock.patch.object(self.swarm, "_near") as near:
            self.run_for(2 * PEERS_EVERY)
        self.assertFalse(near.called)

    def test_one_who_cannot_be_reached_is_tried_again_later(self) -> None:
        self.begin(PEER)
        self.fetching.end(ShareError("Nothing listens there."))
        self.run_for(TRIED_AGAIN - 1)
        self.assertEqual(1, len(self.fetching.asked))
        self.run_for(PEERS_EVERY + 1)
        self.assertEqual(2, len(self.fetching.asked))

    def test_where_nobody_is_left_those_who_were_lost_are_tried_again(self) -> None:
        """The owner has gone for good, and the cable was pulled for a moment."""
        self.begin(PEER)
        peer = self.joined()
        for client in (self.owner, peer):
            client.lose(ShareError("The other end went silent."))
        self.assertEqual([], self.gather.sources)
        self.run_for(TRIED_AGAIN + PEERS_EVERY)
        self.assertEqual([PEER] * 2, [addresses[0] for _, addresses, _ in self.fetching.asked])

    def test_one_who_refuses_the_password_is_not_tried_again(self) -> None:
        """Attack 14."""
        self.begin(PEER)
        self.fetching.end(ShareError("Refused", Exit.DENIED))
        self.run_for(5 * TRIED_AGAIN)
        self.assertEqual(1, len(self.fetching.asked))

    def test_one_who_sent_wrong_pieces_is_not_connected_to_again(self) -> None:
        self.begin(PEER)
        peer = self.joined()
        peer.has = bytearray(b"\1" * 8)
        for _ in range(8):
            self.run_for(2 * HAVE_EVERY)
            peer.give(wrong=True)
        self.assertTrue(peer.over)
        self.run_for(5 * TRIED_AGAIN)
        self.assertEqual(1, len(self.fetching.asked))

    def test_an_owner_that_never_tells_of_others_is_asked_for_pieces_all_the_same(self) -> None:
        self.owner.silent = {PEERS}
        self.begin()
        self.assertEqual(0, len(self.owner.queue))
        self.run_for(PEERS_WAIT)
        self.assertTrue(self.owner.pieces)

    def test_who_does_not_answer_is_asked_once(self) -> None:
        """A slow link has many asks before it already; over 64 that wait it is cut off."""
        self.owner.silent = {PEERS}
        self.begin()
        self.run_for(60)
        self.assertEqual(1, self.owner.asked_for(PEERS))

    def test_who_never_says_what_it_has_is_asked_for_that_once(self) -> None:
        self.begin(PEER)
        peer = self.joined()
        peer.silent = {HAVE}
        self.run_for(60)
        self.assertLessEqual(peer.asked_for(HAVE), 2)

    def test_who_says_nonsense_is_left(self) -> None:
        self.begin(PEER)
        peer = self.joined()
        peer.has = bytearray(b"\1" * 100)
        self.run_for(1)
        self.assertTrue(peer.over)
        self.assertEqual(Exit.DAMAGED, self.lost[0][1].code)

    def test_there_are_only_so_many_sources(self) -> None:
        """Attack 40: whoever tells of a thousand others."""
        peers = [(f"10.0.1.{number}", 9393) for number in range(16)]
        self.begin(*peers)
        self.run_for(30)
        self.assertEqual(CHOSEN - 1, len(self.fetching.asked))

    def test_who_chose_us_is_joined_in_return(self) -> None:
        """One whom nobody asks would keep to itself what the owner handed to it."""
        self.callers = [(f"10.0.2.{number}", 9393) for number in range(20)]
        self.begin(*((f"10.0.1.{number}", 9393) for number in range(16)))
        self.run_for(HAVE_EVERY)
        joined = [where for _, (where,), _ in self.fetching.asked]
        self.assertEqual(MAX_SOURCES - 1, len(joined))
        self.assertEqual(MAX_SOURCES - CHOSEN, len(set(self.callers) & set(joined)))

    def test_where_somebody_calls_there_is_a_crowd(self) -> None:
        """The answer of the owner may be late, behind what was asked of it before."""
        self.owner.silent = {PEERS}
        self.callers = [PEER]
        self.begin()
        self.assertEqual([PEER], self.fetching.asked[0][1])
        self.assertEqual([b"\0"], [asked.have for asked in self.owner.queue])

    def test_who_is_alone_again_is_served_as_one_who_is_alone(self) -> None:
        """Others have gone, of whom the owner tells for a while."""
        self.begin(PEER)
        peer = self.joined()
        self.run_for(PEERS_WAIT)
        self.assertEqual([b"\0"], [asked.have for asked in self.owner.queue])  # it chooses
        peer.lose(ShareError("The other end went silent."))
        self.run_for(2 * PEERS_EVERY)
        self.owner.choose = lambda _have: 0
        self.owner.give()
        self.assertTrue(self.owner.pieces)
        self.assertEqual([b""] * len(self.owner.queue), [each.have for each in self.owner.queue])

    def test_those_who_are_busy_are_a_crowd(self) -> None:
        self.begin(PEER)
        self.fetching.end(Refused(Err(503, 5)))
        self.run_for(PEERS_EVERY)
        self.owner.choose = lambda _have: 0
        self.owner.give()
        self.assertEqual([], self.owner.pieces)

    def test_nobody_who_calls_has_us_connect_to_where_no_node_can_be(self) -> None:
        """Attack 39."""
        self.callers = [("8.8.8.8", 9393)]
        self.begin()
        self.run_for(2 * PEERS_EVERY)
        self.assertEqual([], self.fetching.asked)

    def test_nobody_makes_us_connect_to_our_own_host(self) -> None:
        """Attack 39: an address of ours, told from elsewhere."""
        self.begin(("127.0.0.1", 9393), ("::1", 9393))
        self.assertEqual([], self.fetching.asked)
        self.owner.host = "127.0.0.1"
        self.run_for(PEERS_EVERY)
        self.assertEqual(2, len(self.fetching.asked))

    def test_stopping_cancels_what_is_under_way(self) -> None:
        self.begin(PEER)
        self.swarm.stop()
        self.assertEqual(1, self.fetching.cancelled)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.flushLoggedErrors())

    def test_who_comes_after_the_end_is_let_go(self) -> None:
        self.begin(PEER)
        late: Deferred[Any] = self.fetching.asked[0][2]
        self.swarm._over = True
        client = FakeClient(CONTENT)
        late.callback(client)
        self.assertTrue(client.over)
