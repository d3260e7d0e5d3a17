"""Reaching everybody where multicast does not pass."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import PORT, FakeMdns, Lan, Stranger, group_of, offer_of
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Left, Said
from twistedp2p.core.feeds.feed import Heads
from twistedp2p.core.feeds.requests import Ask, Vector
from twistedp2p.core.limits import TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ladder import ALL_BURST, ALL_RATE, HOST_BURST, NAMED_FIRST
from twistedp2p.core.presence.roster import Beacon
from twistedp2p.node import Node, assembly
from twistedp2p.node.diagnosis import examination
from twistedp2p.node.presence.reach import (
    ANSWER_BURST,
    ANSWER_RATE,
    HEARD_LASTS,
    MAX_NOTED,
    SYNC_EVERY,
)

VICTIM = "10.0.9.9"


def nothing_passes(_source: str, _to: str) -> bool:
    return False


class ReachTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)

    def nicks(self, node: Node) -> set[str]:
        """Whom that node knows to be here."""
        return {peer.nick for peer in node.peers()}

    def meet(self, *nodes: Node, within: float = 10) -> None:
        """All know each other by then."""
        self.lan.run_for(within)
        everybody = {node.nick for node in nodes}
        for node in nodes:
            self.assertEqual(self.nicks(node), everybody - {node.nick})

    def say_all(self, *nodes: Node, within: float = 1) -> None:
        """What each says now, every other shows."""
        before = {node.nick: len(self.lan.lines(node)) for node in nodes}
        for node in nodes:
            node.say(f"{node.nick} speaks")
        self.lan.run_for(within)
        for node in nodes:
            heard = sorted(self.lan.lines(node)[before[node.nick] :])
            expected = sorted(f"{each.nick} speaks" for each in nodes if each is not node)
            self.assertEqual(heard, expected, node.nick)


class LadderTests(ReachTestCase):
    """Found without multicast."""

    def test_by_broadcast(self) -> None:
        self.lan.multicast = nothing_passes
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(alice, bob)
        self.say_all(alice, bob)
        self.assertEqual(alice.status().unicast_only, 1)
        self.assertTrue(bob.way_to(alice.key)[0])

    def test_who_hears_no_multicast_finds_those_who_hear_its_own(self) -> None:
        bob = self.lan.node("bob")
        self.lan.run_for(20)  # its own broadcasts are rare by now
        alice = self.lan.node("alice")
        self.lan.multicast = lambda _source, to: to != group_of(alice).address[0]
        self.meet(alice, bob)
        self.say_all(alice, bob)

    def test_by_known_hosts_of_an_earlier_run(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(alice, bob)
        self.lan.stop(bob)
        self.lan.multicast, self.lan.broadcasts = nothing_passes, False
        bob = self.lan.node("bob")
        self.meet(alice, bob, within=2)
        self.say_all(alice, bob)

    def test_known_hosts_that_multicast_brings_are_not_greeted(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(alice, bob)
        self.lan.stop(bob)
        bob = self.lan.node("bob")
        self.meet(alice, bob)
        self.assertEqual(group_of(bob).replies, {})

    def test_few_hosts_are_remembered_of_a_large_group(self) -> None:
        """Attack 40."""
        alice = self.lan.node("alice")
        for number in range(MAX_NOTED + 9):
            Stranger(self.lan, f"10.0.8.{number}").beacon()
        self.lan.run_for(1)
        self.assertEqual(len(alice._store.hosts_on("10.0.")), MAX_NOTED)

    def test_a_memory_that_fails_ends_nothing(self) -> None:
        self.lan.multicast, self.lan.broadcasts = nothing_passes, False
        alice, bob = self.lan.node("alice"), self.lan.node("bob")

        def unreadable(*_: object) -> int:
            raise ShareError("unreadable")

        with mock.patch.object(alice._store, "lowest", unreadable):
            for now in (3, 100, 200):
                alice._reach._look(now)
        alice._reach.learnt([("10.0.0.2", PORT + 1)])
        self.meet(alice, bob, within=5)

    def test_hosts_known_on_another_network_are_left_alone(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(alice, bob)
        self.lan.stop(bob)
        bob = self.lan.node("bob", host="10.5.0.1")
        self.lan.run_for(10)
        self.assertEqual(group_of(bob).replies, {})
        self.assertEqual(self.nicks(bob), set())

    def test_by_name_behind_a_router(self) -> None:
        far = self.lan.node("far", host="10.7.0.1")
        alice = self.lan.node("alice", peers=[("10.7.0.1", PORT + 1)])
        self.meet(alice, far, within=2)
        self.say_all(alice, far)

    def test_a_named_peer_that_comes_later(self) -> None:
        alice = self.lan.node("alice", peers=[("10.7.0.1", PORT + 1)])
        self.lan.run_for(100)
        self.assertEqual(group_of(alice).count("hello", since=10), 1 + 90 // NAMED_FIRST)
        far = self.lan.node("far", host="10.7.0.1")
        self.meet(alice, far, within=NAMED_FIRST + 2)

    def test_where_multicast_passes_nothing_else_is_used(self) -> None:
        nodes = self.lan.crowd(5)
        self.lan.run_for(60)
        for node in nodes:
            self.assertEqual(group_of(node).replies, {})
            self.assertEqual((node.status().unicast_only, node.status().loss), (0, 0.0))

    def test_two_halves_that_come_together_find_each_other(self) -> None:
        self.lan.multicast = nothing_passes
        nodes = [self.lan.node(name) for name in ("a", "b")]
        self.meet(*nodes)
        others = [self.lan.node(name) for name in ("c", "d")]
        self.lan.cut_off = {group_of(node).address[0] for node in others}
        self.lan.run_for(30)
        self.assertEqual(self.nicks(nodes[0]), {"b"})
        self.lan.cut_off = set()
        self.lan.run_for(300)
        self.meet(*nodes, *others)

    def test_links_that_change_begin_it_anew(self) -> None:
        self.lan.multicast, self.lan.broadcasts = nothing_passes, False
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.lan.run_for(20)
        self.lan.broadcasts = True
        alice._reach.links_changed()
        self.meet(alice, bob, within=5)


class MdnsTests(ReachTestCase):
    def mdns_of(self, node: Node) -> FakeMdns:
        mdns: Any = node._mdns
        return mdns  # type: ignore[no-any-return]

    def test_what_it_finds_is_greeted(self) -> None:
        self.lan.multicast, self.lan.broadcasts = nothing_passes, False
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.lan.run_for(5)
        told = self.mdns_of(alice).named
        self.assertEqual((told["group"], told["port"]), ("239.0.0.1:9392", PORT + 1))
        self.assertEqual(told["addresses"](), ["10.0.0.1"])
        told["found"]([("10.0.0.2", PORT + 1)])
        self.meet(alice, bob, within=2)

    def test_whom_multicast_brings_is_not_greeted_too(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(alice, bob)
        self.mdns_of(alice).named["found"]([("10.0.0.2", PORT + 1)])
        self.lan.run_for(5)
        self.assertEqual(group_of(alice).replies, {})
        self.lan.vanish(bob)
        self.lan.run_for(HEARD_LASTS)
        self.mdns_of(alice).named["found"]([("10.0.0.2", PORT + 1)])
        self.lan.run_for(1)
        self.assertGreater(group_of(alice).replies["hello", "10.0.0.2"], 0)

    def test_it_lives_with_the_node(self) -> None:
        alice = self.lan.node("alice")
        group_of(alice).listener.links_changed()
        self.lan.stop(alice)
        self.assertEqual(self.mdns_of(alice).done, ["start", "links changed", "stop"])

    def test_it_can_be_switched_off(self) -> None:
        alice = self.lan.node("alice", mdns=False)
        group_of(alice).listener.links_changed()
        self.assertEqual(self.mdns_of(alice).done, [])


class UnicastOnlyTests(ReachTestCase):
    """Nobody hears multicast."""

    def setUp(self) -> None:
        super().setUp()
        self.lan.multicast = nothing_passes
        self.nodes = [self.lan.node(name) for name in ("a", "b", "c", "d")]
        self.meet(*self.nodes)

    def test_chat_and_catalogue_are_complete(self) -> None:
        for number, node in enumerate(self.nodes):
            node._feeds.publish_offer(offer_of(node, f"file {number}"))
        self.say_all(*self.nodes)
        self.lan.run_for(20)
        for node in self.nodes:
            self.assertEqual(self.lan.catalogue(node), [f"file {number}" for number in range(4)])

    def test_chat_is_complete_though_much_is_lost(self) -> None:
        self.lan.loss = 0.3
        self.say_all(*self.nodes, within=60)

    def test_they_stay_for_as_long_as_they_are_there(self) -> None:
        self.lan.run_for(600)
        for node in self.nodes:
            self.assertEqual(self.lan.events(node, Left), [])
            self.assertEqual(node.status().unicast_only, 3)
            self.assertIsNone(node.status().loss)

    def test_they_stay_though_much_is_lost(self) -> None:
        self.lan.loss = 0.2
        self.lan.run_for(600)
        left = [event for node in self.nodes for event in self.lan.events(node, Left)]
        self.assertLessEqual(len(left), 2)

    def test_it_costs_little(self) -> None:
        before = [len(group_of(node).sent) for node in self.nodes]
        self.lan.run_for(100)
        for node, count in zip(self.nodes, before, strict=True):
            # Twenty beacons, and for each of three peers twenty greetings or answers.
            self.assertLess(len(group_of(node).sent) - count, 100)

    def test_goodbye_is_heard(self) -> None:
        self.lan.stop(self.nodes.pop())
        self.lan.run_for(1)
        for node in self.nodes:
            self.assertEqual([left.goodbye for left in self.lan.events(node, Left)], [True])

    def test_a_line_that_goes_by_unicast_alone_is_sent(self) -> None:
        node = self.nodes[0]
        group = group_of(node)
        self.patch(group, "say", lambda _: False)
        self.assertTrue(node._reach.say(node._feeds.own.message("head", "{}")))
        group.refuses = True
        self.assertFalse(node._reach.say(node._feeds.own.message("head", "{}")))

    def test_a_line_that_no_network_took_goes_by_unicast_alone_later(self) -> None:
        node, others = self.nodes[0], self.nodes[1:]
        group = group_of(node)
        self.patch(group, "say", lambda _: False)
        group.refuses = True
        node.say("the cable is out")
        self.lan.run_for(5)
        self.assertEqual([said.sent for said in self.lan.events(node, Said)], [False])
        group.refuses = False
        self.lan.run_for(5)
        self.assertEqual([self.lan.lines(each) for each in others], 3 * [["the cable is out"]])
        self.assertEqual([said.sent for said in node.last_said(1)], [True])

    def test_another_node_at_a_known_host_is_greeted(self) -> None:
        node = self.nodes[0]
        before = group_of(node).count("hello")
        node._reach.learnt([("10.0.0.2", 50_000)])
        self.lan.run_for(1)
        self.assertGreater(group_of(node).count("hello"), before)

    def test_who_comes_back_to_multicast_is_sent_no_copies(self) -> None:
        self.lan.multicast = lambda _from, _to: True
        self.lan.run_for(40)
        self.assertEqual([node.status().unicast_only for node in self.nodes], [0] * 4)
        before = [sum(group_of(node).replies.values()) for node in self.nodes]
        self.say_all(*self.nodes)
        self.lan.run_for(60)
        after = [sum(group_of(node).replies.values()) for node in self.nodes]
        self.assertEqual(after, before)


class OneWayTests(ReachTestCase):
    """Multicast passes in one direction, or for some."""

    def test_from_one_to_the_other_only(self) -> None:
        self.lan.multicast = lambda source, _to: source == "10.0.0.1"
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(alice, bob)
        for _ in range(5):
            self.say_all(alice, bob)
            self.lan.run_for(20)
        self.assertEqual(self.lan.events(alice, Left) + self.lan.events(bob, Left), [])
        self.assertEqual([node.status().unicast_only for node in (alice, bob)], [1, 1])

    def test_one_of_many_whom_nobody_hears(self) -> None:
        self.lan.multicast = lambda source, _to: source != "10.0.0.1"
        nodes = [self.lan.node(name) for name in ("mute", "a", "b", "c")]
        self.meet(*nodes, within=12)
        self.say_all(*nodes)
        self.lan.run_for(100)
        self.say_all(*nodes)

    def test_one_of_many_who_hears_nobody(self) -> None:
        self.lan.multicast = lambda _from, to: to != "10.0.0.1"
        nodes = [self.lan.node(name) for name in ("deaf", "a", "b", "c")]
        self.meet(*nodes)
        self.say_all(*nodes)
        self.lan.run_for(100)
        self.say_all(*nodes)
        self.assertTrue(nodes[0]._reach.deaf())
        self.assertEqual([node.status().unicast_only for node in nodes], [3, 1, 1, 1])


class LossTests(ReachTestCase):
    def test_it_is_estimated_from_the_counts_in_beacons(self) -> None:
        nodes = self.lan.crowd(10)
        self.lan.loss = 0.2
        self.lan.run_for(120)
        losses = [node.status().loss for node in nodes]
        for loss in losses:
            assert loss is not None
            self.assertLess(abs(loss - 0.2), 0.1)


class SyncTests(ReachTestCase):
    def wanted(self, node: Node) -> list[bytes]:
        keys: list[bytes] = []
        node._reach._want_sync = keys.append
        return keys

    def test_one_of_those_apart_is_synced_with_every_ten_seconds(self) -> None:
        self.lan.multicast = nothing_passes
        alice, bob, carol = (self.lan.node(name) for name in ("alice", "bob", "carol"))
        self.meet(alice, bob, carol)
        keys = self.wanted(alice)
        self.lan.run_for(20 * SYNC_EVERY)
        self.assertEqual(len(keys), 20)
        self.assertEqual(set(keys), {bob.key, carol.key})

    def test_nobody_where_multicast_passes(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        keys = self.wanted(alice)
        self.meet(alice, bob)
        self.lan.run_for(60)
        self.assertEqual(keys, [])


class CrowdTests(ReachTestCase):
    """What is told to a crowd is not answered by all of it at one moment."""

    def setUp(self) -> None:
        super().setUp()
        self.nodes = self.lan.crowd(8)
        for node in self.nodes:
            node._reach._peers = lambda: 1000
        self.since = self.lan.reactor.seconds()

    def greetings(self) -> int:
        return sum(group_of(node).replies["hello", VICTIM] for node in self.nodes)

    def assert_spread(self) -> None:
        self.lan.run_for(1.5)
        self.assertLessEqual(self.greetings(), 3)
        self.lan.run_for(30)
        self.assertGreaterEqual(self.greetings(), 8)

    def test_a_broadcast_of_one_who_hears_nothing(self) -> None:
        """Attack 39: one datagram in another's name, answered by everybody."""
        stranger = Stranger(self.lan, VICTIM)
        hello = stranger.signed("hello", Beacon(5, 9393, Heads(), direct=True).write())
        self.lan.carry(hello, stranger.address, None, direct=True)
        self.assert_spread()

    def test_a_beacon_of_one_who_hears_nothing(self) -> None:
        """Attack 39."""
        stranger = Stranger(self.lan, VICTIM)
        for _ in range(2):
            stranger.send("beacon", Beacon(5, 9393, Heads(), direct=True).write())
        self.assert_spread()

    def test_whom_mdns_announces_to_all(self) -> None:
        """Attack 39."""
        for node in self.nodes:
            node._reach.found([(VICTIM, 9393)])
        self.assert_spread()


class NamedTests(ReachTestCase):
    def test_a_slow_name_server_is_asked_once_at_a_time(self) -> None:
        answers: list[Deferred[list[Address]]] = []

        def lookup(_host: str, _port: int) -> Deferred[list[Address]]:
            answers.append(Deferred())
            return answers[-1]

        alice = self.lan.node("alice", start=False, peers=[("box", PORT + 1)])
        alice._reach._lookup = lookup
        alice.start()
        for _ in range(20):
            alice._reach.links_changed()
            self.lan.run_for(NAMED_FIRST)
        self.assertEqual(len(answers), 1)
        answers[0].errback(OSError("nobody to ask"))
        self.lan.run_for(NAMED_FIRST)
        self.assertEqual(len(answers), 2)
        answers[1].callback([("10.0.0.2", PORT + 1)])
        self.assertEqual(alice._reach.named(), [("box", ("10.0.0.2", PORT + 1))])

    def test_a_name_without_address_is_looked_up_again(self) -> None:
        asked: list[tuple[str, int]] = []
        found: list[Address] = []

        def addresses_of(host: str, port: int) -> list[Address]:
            asked.append((host, port))
            if not found:
                raise OSError("no such name")
            return found

        self.patch(assembly, "addresses_of", addresses_of)
        far = self.lan.node("far", host="10.7.0.1")
        alice = self.lan.node("alice", peers=[("box.example", 7000)])
        self.lan.run_for(40)
        self.assertEqual(asked, [("box.example", 7000)] * 3)
        found.append(("10.7.0.1", PORT + 1))
        self.meet(alice, far, within=10)
        self.lan.run_for(200)
        self.assertEqual(len(asked), 4)

    def test_the_doctor_looks_at_those_that_do_not_answer(self) -> None:
        plans: list[Any] = []

        class FakeDoctor:
            def __init__(self, _reactor: object, plan: Any, *_: object, **_named: object) -> None:
                plans.append(plan)

            async def examine(self, _told: object) -> None:
                pass

        self.patch(examination, "Doctor", FakeDoctor)
        self.patch(assembly, "choose_present", lambda _: [])
        named = [("10.7.0.1", PORT + 1), ("10.7.0.2", PORT + 1)]
        alice = self.lan.node("alice", peers=named)
        self.lan.node("far", host="10.7.0.1")
        self.lan.run_for(5)
        self.successResultOf(alice.examine(lambda _: None))
        peers = [("far", ("10.7.0.1", 40_000)), ("10.7.0.2", named[1])]
        self.assertEqual(plans[0].peers, peers)


class ReflectionTests(ReachTestCase):
    """Attack 39: making nodes send to a victim, by forged sources and by lists that lie."""

    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.lan.node("alice"), self.lan.node("bob")
        self.meet(self.alice, self.bob)
        self.mallory = Stranger(self.lan, VICTIM)

    def to_victim(self) -> int:
        """Datagrams that alice sent to it."""
        replies = group_of(self.alice).replies
        return sum(count for (_, host), count in replies.items() if host == VICTIM)

    def forge(self, kind: str, beacon: Beacon) -> None:
        """A datagram to alice alone whose source is the victim's address."""
        data = self.mallory.signed(kind, beacon.write())
        self.lan.carry(data, self.mallory.address, group_of(self.alice).address)

    def test_who_asks_for_copies_gets_none_before_a_proof(self) -> None:
        """Attack 39."""
        for _ in range(20):
            self.forge("beacon", Beacon(5, 9393, Heads(), direct=True, token="A" * 11))
            self.alice.say("a line")
            self.lan.run_for(1)
        self.assertEqual(group_of(self.alice).replies["say", VICTIM], 0)
        self.assertLessEqual(self.to_victim(), HOST_BURST)

    def test_many_keys_at_one_victim_get_no_more_than_one(self) -> None:
        """Attack 39."""
        for _ in range(50):
            self.mallory = Stranger(self.lan, VICTIM)
            self.forge("beacon", Beacon(5, 9393, Heads(), direct=True))
        self.lan.run_for(60)
        self.assertLessEqual(self.to_victim(), HOST_BURST + 1)

    def test_hellos_get_no_more_answers_than_there_are_hellos(self) -> None:
        """Attack 39."""
        for _ in range(10):
            self.forge("hello", Beacon(5, 9393, Heads(), token="A" * 11))
        self.lan.run_for(60)
        self.assertLessEqual(self.to_victim(), 10 + HOST_BURST)

    def test_a_flood_of_hellos_is_not_all_answered(self) -> None:
        """Attack 39."""
        for _ in range(30):
            for _ in range(10):
                self.forge("hello", Beacon(5, 9393, Heads()))
            self.lan.run_for(1)
        answers = group_of(self.alice).replies["beacon", VICTIM]
        self.assertLessEqual(answers, ANSWER_BURST + 31 * ANSWER_RATE)

    def test_an_answer_is_hardly_longer_than_what_asked_for_it(self) -> None:
        """Attack 39."""
        self.alice.say("so that there is something to tell of")
        self.bob.say("by both")
        self.lan.run_for(1)
        group, sizes = group_of(self.alice), []
        send = group.reply

        def reply(data: bytes, address: Address) -> bool:
            sizes.append(len(data))
            return send(data, address)

        self.patch(self.alice._reach._outbox, "_send", reply)
        hello = Beacon(5, 9393, Heads(), token="A" * 11)
        self.forge("hello", hello)
        self.lan.run_for(1)
        asked = len(self.mallory.signed("hello", hello.write()))
        self.assertTrue(sizes)
        self.assertLessEqual(max(sizes), 1.2 * asked)

    def test_a_list_that_names_one_victim(self) -> None:
        """Attack 39."""
        for _ in range(100):
            self.alice._reach.learnt([(VICTIM, port) for port in range(1024, 1280)])
            self.lan.run_for(1)
        self.assertLessEqual(self.to_victim(), HOST_BURST + 2)

    def test_a_list_that_names_a_whole_network(self) -> None:
        """Attack 39."""
        for number in range(60):
            hosts = [(f"10.0.{number}.{last}", 9393) for last in range(256)]
            self.alice._reach.learnt(hosts)
            self.lan.run_for(1)
        count = sum(group_of(self.alice).replies.values())
        self.assertLessEqual(count, ALL_BURST + 61 * ALL_RATE)

    def test_hosts_of_other_networks_are_not_looked_for(self) -> None:
        """Attack 39."""
        self.alice._reach.learnt([("192.0.2.1", 9393)])
        self.lan.run_for(10)
        self.assertEqual(group_of(self.alice).replies, {})

    def test_but_where_peers_behind_routers_are_wanted_or_known(self) -> None:
        far = self.lan.node("far", host="10.7.0.1", peers=[("10.0.0.1", PORT + 1)])
        self.lan.run_for(5)
        other = self.lan.node("other", host="10.7.0.2")
        self.alice._reach.learnt([("10.7.0.2", PORT + 1)])
        self.lan.run_for(2)
        for node in (far, other):
            node._reach.learnt([("10.0.0.2", PORT + 1)])
        self.meet(self.alice, self.bob, far, other, within=5)

    def test_who_is_far_and_proved_nothing_is_answered_nothing(self) -> None:
        far = "10.7.0.1", 40_000
        self.assertTrue(self.alice._reach.may_answer(("10.0.0.77", 40_000), True))
        self.assertTrue(self.alice._reach.may_answer(far, False))
        self.assertFalse(self.alice._reach.may_answer(far, True))
        self.lan.node("far", host="10.7.0.1", peers=[("10.0.0.1", PORT + 1)])
        self.lan.run_for(5)
        self.assertTrue(self.alice._reach.may_answer(far, True))

    def ask_alone(self, to: Node) -> None:
        """A datagram to a node alone, in the victim's name: it lacks every line."""
        gaps = {"chat": [(1, 100)]}
        ask = Ask(to.key, to._feeds.own.epoch, gaps, to.key).write()
        self.lan.carry(self.mallory.signed("ask", ask), self.mallory.address, group_of(to).address)
        self.lan.run_for(10)

    def test_who_asks_a_node_alone_is_answered_by_multicast_before_a_proof(self) -> None:
        """Attack 39: one forged ask brings no hundred entries upon a victim."""
        for number in range(100):
            self.alice.say(str(number))
        self.lan.run_for(10)
        since = self.lan.reactor.seconds()
        self.ask_alone(self.alice)
        self.assertEqual(self.to_victim(), 0)
        self.assertEqual(group_of(self.alice).count("say", since), 100)

    def test_who_asks_a_node_alone_and_gets_what_is_sent_there_is_answered_alone(self) -> None:
        alice, far = (
            self.alice,
            self.lan.node("far", host="10.7.0.1", peers=[("10.0.0.1", PORT + 1)]),
        )
        for number in range(20):
            alice.say(str(number))
        self.lan.run_for(10)
        self.mallory.address = group_of(far).address
        self.ask_alone(alice)
        self.assertGreaterEqual(group_of(alice).replies["say", "10.7.0.1"], 20)

    def test_where_routers_are_allowed_a_far_host_gets_greetings_and_nothing_else(self) -> None:
        """Attack 39."""
        router = self.lan.node("router", ttl=3)
        self.lan.run_for(10)
        router.say("something to ask for")
        self.mallory.address = "192.0.2.1", 9393
        for _ in range(5):
            self.ask_alone(router)
        replies = {(kind, host) for kind, host in group_of(router).replies if host == "192.0.2.1"}
        self.assertEqual(replies, {("hello", "192.0.2.1")})
        self.assertLessEqual(group_of(router).replies["hello", "192.0.2.1"], HOST_BURST)

    def test_differences_are_told_to_nobody_alone_before_a_proof(self) -> None:
        """Attack 39: a question whose answer is longer."""
        self.alice.say("something to tell of")
        self.lan.run_for(1)
        vectors = self.alice._feeds._gossip._vectors
        vectors._tells = TokenBucket(0.0, 1.0, 1.0, self.lan.reactor.seconds())  # one to everybody
        for _ in range(10):
            vector = Vector(tuple(range(32)), b"").write()
            data = self.mallory.signed("vector", vector)
            self.lan.carry(data, self.mallory.address, group_of(self.alice).address)
            self.lan.run_for(1)
        self.assertEqual(group_of(self.alice).count("vector"), 1)
        self.assertEqual(group_of(self.alice).replies["vector", VICTIM], 0)
