"""Answering pings: whom, how often, and never to anybody's harm."""

from __future__ import annotations

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger, group_of
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import Signed, Signer, parse
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import SAMPLE, Ping, Pong
from twistedp2p.node.presence.pings import ALL_BURST, HOST_BURST, HOST_RATE, Pings

TRAIN = "0123456789abcdef"
NEAR, FAR = ("10.0.0.7", 40_000), ("192.0.2.1", 40_000)


class PingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.signer = Signer(Ed25519PrivateKey.generate(), b"group")
        self.nodes = 2
        self.sent: list[tuple[Signed, Address]] = []
        self.pings = Pings(
            self.signer.key,
            self,
            clock=self.clock,
            wall=lambda: 1_700_000_000.5,
            message=lambda kind, body: self.signer.sign(kind, 1, 1, 0, "anna", body).raw,
            files=9393,
            nodes=lambda: self.nodes,
        )

    def reply(self, data: bytes, address: Address) -> bool:
        message = parse(data)
        assert isinstance(message, Signed)
        self.sent.append((message, address))
        return True

    def on_link(self, host: str) -> bool:
        return host.startswith("10.")

    def ping(self, number: int = 1, train: str = TRAIN) -> Signed:
        return self.signer.sign("ping", 1, 1, 0, "", Ping(train, number).write())

    def test_a_ping_is_answered_where_it_came_from(self) -> None:
        self.pings.heard(self.ping(7), NEAR, False)
        [(message, address)] = self.sent
        self.assertEqual((message.kind, address), ("pong", NEAR))
        pong = Pong.read(message.body)
        self.assertEqual(attrs.astuple(pong)[:4], (TRAIN, 7, "10.0.0.7:40000", 9393))
        self.assertTrue(pong.program)
        self.assertEqual(pong.time, 1_700_000_000_500)

    def test_what_all_heard_is_answered_to_hosts_on_our_networks_only(self) -> None:
        """Attack 39: an announcement that points at another host."""
        self.pings.heard(self.ping(), FAR, False)
        self.assertEqual(self.sent, [])
        self.assertEqual(dict(self.pings.dropped), {"a ping from elsewhere": 1})
        self.pings.heard(self.ping(), FAR, True)
        self.assertEqual(len(self.sent), 1)

    def test_a_pong_is_never_longer_than_its_ping(self) -> None:
        """Attack 39: pings in another's name do not multiply what is sent to him."""
        body = '{"number":1,"train":"' + TRAIN + '"}'
        self.pings.heard(self.signer.sign("ping", 1, 1, 0, "", body), NEAR, True)
        self.assertEqual(self.sent, [])
        self.assertEqual(dict(self.pings.dropped), {"a ping that is too short": 1})

    def test_one_host_gets_so_many_and_all_together_so_many(self) -> None:
        """Attack 40: a flood of pings."""
        for _ in range(1000):
            self.pings.heard(self.ping(), NEAR, True)
        self.assertEqual(len(self.sent), HOST_BURST)
        self.clock.advance(2)
        for _ in range(1000):
            self.pings.heard(self.ping(), NEAR, True)
        self.assertEqual(len(self.sent), HOST_BURST + 2 * HOST_RATE)
        self.clock.advance(100)
        self.sent.clear()
        for number in range(1000):
            self.pings.heard(self.ping(), (f"10.0.1.{number % 250}", 40_000), True)
        self.assertEqual(len(self.sent), ALL_BURST)

    def test_in_a_crowd_some_answer_but_each_what_is_sent_to_it_alone(self) -> None:
        self.nodes = 100 * SAMPLE
        trains = [f"{number:016x}" for number in range(100)]
        for train in trains:
            self.pings.heard(self.ping(train=train), NEAR, False)
        self.assertLess(len(self.sent), 20)
        self.clock.advance(100)
        self.sent.clear()
        for train in trains:
            self.pings.heard(self.ping(train=train), NEAR, True)
        self.assertEqual(len(self.sent), 100)

    def test_what_is_no_ping_is_refused(self) -> None:
        bad = self.signer.sign("ping", 1, 1, 0, "", "{}")
        self.assertRaises(BadBody, self.pings.heard, bad, NEAR, True)


class NodeTests(SynchronousTestCase):
    def test_a_node_answers_each_ping_once_and_takes_whoever_pings_for_nobody(self) -> None:
        lan = Lan(self)
        node = lan.node("anna")
        lan.run_for(10)
        stranger = Stranger(lan)
        data = stranger.signed("ping", Ping(TRAIN, 1).write())
        for _ in range(3):
            lan.carry(data, stranger.address, None)
        lan.run_for(1)
        self.assertEqual(group_of(node).count("pong"), 1)
        self.assertEqual(node.peers(), [])
        stranger.send("ping", "{}")
        stranger.send("pong", "{}")
        lan.run_for(1)
        self.assertEqual(group_of(node).count("pong"), 1)
