"""One examination from beginning to end, on a clock and a network that are made up."""

from __future__ import annotations

from collections.abc import Callable
from socket import AF_INET6
from typing import Any
from unittest import mock

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.closed import MARK, ClosedEnvelope, GroupKey
from twistedp2p.core.datagrams.datagram import Signed, Signer, group_name, parse
from twistedp2p.core.diagnosis import CHECKS, Diagnosis
from twistedp2p.core.diagnosis.conditions import Cause, Sign
from twistedp2p.core.diagnosis.facts import Device, Oneself, Route, Trial
from twistedp2p.core.diagnosis.findings import Verdict
from twistedp2p.core.diagnosis.record import MAX_LOOKED_AT, MAX_MACHINES
from twistedp2p.core.presence.ping import TRAIN_LENGTH, Ping, Pong, where
from twistedp2p.net.host import Host
from twistedp2p.net.interfaces import Interface
from twistedp2p.net.probe import MDNS_QUESTION
from twistedp2p.node.diagnosis import doctor as doctor_module
from twistedp2p.node.diagnosis.doctor import AGEING, FEW, FEW_IN_VAIN, LISTEN, Doctor, Plan

GROUP, PORT = "239.0.0.1", 9392
ETH0 = Interface("eth0", 2, "10.0.0.1", "255.255.255.0", False)
LO = Interface("lo", 1, "127.0.0.1", "255.0.0.0", True)
HOST = Host((Device("eth0", ("10.0.0.1/24",), 1500),), Route("eth0"), "ufw")
BOB = "10.0.0.2", 40_000
WALL = 1_700_000_000.0
ALL = ("multicast", "broadcast", "unicast")
BEACON = '{"chat":[1,0],"every":5,"files":9393,"offers":[1,0]}'


@attrs.define
class FakeMouth:
    interface: Interface
    address: tuple[str, int]

    @property
    def device(self) -> str:
        return self.interface.name

    @property
    def loopback(self) -> bool:
        return self.interface.loopback

    @property
    def everybody(self) -> str | None:
        return self.interface.broadcast


class FakeProbe:
    """Notes what is sent as (way, where, bytes); `loops` is whether the host hears itself."""

    def __init__(self, _reactor: Any, _group: str, _port: int, _ttl: int, hearing: Any) -> None:
        self.hearing = hearing
        self.mouths: list[FakeMouth] = []
        self.trials = [Trial("UDP 9392")]
        self.granted = 212_992
        self.sent: list[tuple[str, Any, bytes]] = []
        self.loops = True
        self.errno = 0
        self.closed = False
        self.questions = 0
        self.answer: Callable[[str, bytes, Any], None] = lambda _way, _data, _source: None

    def open(self, interfaces: Any) -> None:
        self.mouths = [FakeMouth(each, (each.address, 5000 + each.index)) for each in interfaces]

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)

    async def reach_oneself(self, mouth: FakeMouth) -> Oneself:
        return Oneself(mouth.address[0], True, True)

    def ask_mdns(self) -> None:
        self.questions += 1

    def to_group(self, mouth: FakeMouth, data: bytes) -> int:
        if self.errno:
            return self.errno
        self._note("multicast", mouth.device, data, mouth.address)
        if self.loops:
            self.hearing.heard_group(data, mouth.address)
        return 0

    def to_network(self, mouth: FakeMouth, data: bytes) -> int:
        self._note("broadcast", mouth.device, data, mouth.address)
        return 0

    def to_host(self, data: bytes, address: Any) -> int:
        self._note("unicast", address, data, self.mouths[0].address)
        return 0

    def _note(self, way: str, to: Any, data: bytes, source: Any) -> None:
        self.sent.append((way, to, data))
        self.answer(way, data, source)


class DoctorTestCase(SynchronousTestCase):
    interfaces = (ETH0, LO)

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.knocks: list[tuple[str, int]] = []
        self.knocked: Deferred[Sign] | Sign = Sign.OK
        self.arp = {"10.0.0.2": Sign.REACHABLE}
        self.node = Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))
        self.number = 0
        self.ahead = 0.0  # seconds: the node's clock
        self.ways: tuple[str, ...] = ()  # whose pings the node answers
        self.patch(doctor_module, "Probe", FakeProbe)
        self.patch(doctor_module, "knock", self.knock)
        self.patch(doctor_module, "neighbours", lambda: self.arp)
        self.patch(doctor_module, "drops", lambda _ports: 0)

    def knock(self, _reactor: Any, host: str, port: int, _patience: float) -> Deferred[Sign]:
        self.knocks.append((host, port))
        return succeed(self.knocked) if isinstance(self.knocked, Sign) else self.knocked

    def begin(self, **plan: Any) -> FakeProbe:
        made = Plan(GROUP, PORT, **plan)
        self.doctor = Doctor(
            self.clock,
            made,
            self.interfaces,
            wall=lambda: WALL,
            in_thread=lambda _call, *_arguments: succeed(HOST),
        )
        self.probe: Any = self.doctor._probe
        self.probe.answer = self.answer
        self.examining = Deferred.fromCoroutine(self.doctor.examine(self.told.append))
        self.addCleanup(self.end)
        return self.probe  # type: ignore[no-any-return]

    def end(self) -> None:
        self.examining.addErrback(lambda failure: failure.trap(CancelledError))
        self.examining.cancel()

    def answer(self, way: str, data: bytes, source: Any) -> None:
        if way in self.ways:
            self.pong(data, source)

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def signed(self, kind: str, body: str, signer: Signer | None = None) -> bytes:
        self.number += 1
        stamp = int((WALL + 7200) * 1000)  # the group's time, which is nobody's clock
        return (signer or self.node).sign(kind, 1, self.number, stamp, "bob", body).raw

    def pong(self, data: bytes, source: Any, address: Any = BOB, **more: Any) -> None:
        """Answer a ping as a node does."""
        message = parse(data)
        assert isinstance(message, Signed)
        ping = Ping.read(message.body)
        time = int((WALL + self.ahead) * 1000)
        fields = {"seen": where(*source), "files": 9393, "program": "0.1.0", "time": time, **more}
        pong = Pong(ping.train, ping.number, **fields)
        self.probe.hearing.heard_answer(self.signed("pong", pong.write()), address)

    def outcome(self) -> Diagnosis:
        return self.successResultOf(self.examining)  # type: ignore[no-any-return]


class ExaminationTests(DoctorTestCase):
    def test_all_well(self) -> None:
        self.ways = ALL
        self.begin()
        self.probe.hearing.heard_group(self.signed("beacon", BEACON), BOB)
        self.run_for(LISTEN + 1)
        diagnosis = self.outcome()
        self.assertEqual((diagnosis.cause, diagnosis.verdict), (Cause.FINE, Verdict.OK))
        [bob] = self.doctor._facts.others
        self.assertEqual((bob.name, bob.multicast.answered, bob.unicast.answered), ("bob", 20, 5))
        self.assertEqual((bob.tcp, bob.arp, bob.heard), (Sign.OK, Sign.REACHABLE, True))
        self.assertEqual(self.knocks, [("10.0.0.2", 9393)])
        self.assertTrue(self.probe.closed)

    def test_alone(self) -> None:
        self.begin()
        self.run_for(LISTEN + 0.2)
        self.assertIs(self.outcome().cause, Cause.ALONE)
        self.assertEqual(self.knocks, [])

    def test_it_pings_and_says_nothing_else(self) -> None:
        self.begin(peers=[("bob", BOB)])
        self.run_for(LISTEN + 1)
        kinds = [(way, to, parse(data).kind) for way, to, data in self.probe.sent]
        for way, to, count in (
            ("multicast", "eth0", TRAIN_LENGTH),
            ("multicast", "lo", TRAIN_LENGTH),
            ("broadcast", "eth0", FEW),
            ("unicast", BOB, FEW_IN_VAIN),
        ):
            self.assertEqual(kinds.count((way, to, "ping")), count)
        self.assertEqual(len(kinds), 2 * TRAIN_LENGTH + FEW + FEW_IN_VAIN)
        numbers = [parse(data).number for _, _, data in self.probe.sent]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(self.probe.questions, 1)

    def test_findings_are_told_as_soon_as_they_are_certain_and_each_once(self) -> None:
        self.begin()
        self.assertEqual([found.check for found in self.told], ["interfaces", "ports"])
        self.run_for(4)
        self.assertEqual([found.check for found in self.told][2:], ["loop", "oneself"])
        self.run_for(LISTEN)
        self.assertEqual([found.check for found in self.told], list(CHECKS))
        self.assertEqual(tuple(self.told), self.outcome().findings)

    def test_it_ends_in_time_whoever_comes_last(self) -> None:
        self.knocked = Deferred()
        self.begin()
        self.run_for(LISTEN - 0.2)
        self.probe.hearing.heard_group(self.signed("beacon", BEACON), BOB)
        self.run_for(5)
        self.assertNoResult(self.examining)
        self.knocked.callback(Sign.TIMEOUT)  # as knock() promises, after 3 s
        self.outcome()

    def test_who_comes_while_it_ends_is_not_told_of_half_looked_at(self) -> None:
        self.knocked = Deferred()
        self.begin(peers=[("bob", BOB)])
        self.run_for(LISTEN + 0.2)
        self.probe.hearing.heard_group(self.signed("beacon", BEACON), ("10.0.0.3", 40_000))
        self.knocked.callback(Sign.TIMEOUT)
        self.outcome()
        self.assertEqual([each.hosts for each in self.doctor._facts.others], [("10.0.0.2",)])

    def test_cancelling_lets_go_of_everything(self) -> None:
        self.begin(peers=[("bob", BOB)])
        self.run_for(1)
        self.examining.cancel()
        self.failureResultOf(self.examining, CancelledError)
        self.assertTrue(self.probe.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_machine_on_the_loopback_alone(self) -> None:
        self.interfaces = (LO,)
        self.begin(asked_for=True)
        self.run_for(LISTEN + 0.2)
        self.assertEqual({to for _, to, _ in self.probe.sent}, {"lo"})
        self.outcome()

    def test_a_machine_without_any_network(self) -> None:
        self.interfaces = ()
        self.begin()
        self.run_for(LISTEN + 0.2)
        self.assertIs(self.outcome().cause, Cause.ALONE)
        self.assertEqual(self.probe.sent, [])

    def test_after_260_seconds_again(self) -> None:
        self.ways = ALL
        self.begin(long=True)
        self.run_for(LISTEN + 5)
        self.ways = ()  # the switch forgets
        self.assertNoResult(self.examining)
        self.run_for(AGEING)
        [bob] = self.doctor._facts.others
        self.assertEqual(bob.afterwards.answered if bob.afterwards else None, 0)
        finding = next(each for each in self.outcome().findings if each.check == "ageing")
        self.assertIs(finding.verdict, Verdict.WARNING)


class ClosedTests(DoctorTestCase):
    def test_a_member_sees_a_closed_group_as_others_see_an_open_one(self) -> None:
        name = group_name(GROUP, PORT)
        envelope = ClosedEnvelope(name, GroupKey.of_code("a code", name))
        self.node = Signer(Ed25519PrivateKey.generate(), envelope.group)
        self.begin(envelope=envelope)
        self.assertFalse(any(b"ping" in data for _, _, data in self.probe.sent))
        beacon = envelope.seal(self.signed("beacon", BEACON))
        self.probe.hearing.heard_group(beacon, BOB)
        self.probe.hearing.heard_group(self.signed("beacon", BEACON), ("10.0.0.3", 1))
        self.run_for(LISTEN + 1)
        self.outcome()
        [bob] = self.doctor._facts.others
        self.assertEqual((bob.name, bob.hosts), ("bob", ("10.0.0.2",)))
        self.assertIs(self.doctor._facts.loop, Sign.OK)


class ConditionTests(DoctorTestCase):
    """Which pings are answered decides what is told."""

    def examine(self, *ways: str, tcp: Sign = Sign.OK, arp: Sign = Sign.REACHABLE) -> Cause:
        self.knocked, self.arp = tcp, {"10.0.0.2": arp}
        self.ways = ways
        self.begin(peers=[("10.0.0.2", ("10.0.0.2", PORT + 1))])
        self.run_for(LISTEN + 1)
        return self.outcome().cause

    def test_fine(self) -> None:
        self.clock.callLater(5, self.hear_beacon)
        self.assertIs(self.examine(*ALL), Cause.FINE)

    def test_what_is_sent_to_the_group_does_not_come_back_from_there(self) -> None:
        self.assertIs(self.examine(*ALL), Cause.SEE_CHECKS)

    def hear_beacon(self) -> None:
        self.probe.hearing.heard_group(self.signed("beacon", BEACON), BOB)

    def test_client_isolation(self) -> None:
        cause = self.examine(tcp=Sign.TIMEOUT, arp=Sign.INCOMPLETE)
        self.assertIs(cause, Cause.CLIENT_ISOLATION)

    def test_multicast_filtered(self) -> None:
        self.assertIs(self.examine("broadcast", "unicast"), Cause.MULTICAST_FILTERED)

    def test_the_peers_firewall(self) -> None:
        self.assertIs(self.examine(tcp=Sign.TIMEOUT), Cause.PEER_FIREWALL)

    def test_ones_own_firewall(self) -> None:
        self.patch(FakeProbe, "to_group", lambda *_: 0)
        self.assertIs(self.examine("unicast"), Cause.OWN_FIREWALL)

    def test_an_own_outgoing_rule(self) -> None:
        self.patch(FakeProbe, "to_group", lambda *_: 1)
        self.assertIs(self.examine("broadcast", "unicast"), Cause.OUTGOING_RULE)


class HearingTests(DoctorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hearing = self.begin().hearing
        self.record = self.doctor._record

    def test_who_is_heard_is_looked_at_once(self) -> None:
        for _ in range(3):
            self.hearing.heard_group(self.signed("beacon", BEACON), BOB)
        self.run_for(LISTEN + 1)
        self.assertEqual(sum(way == "unicast" for way, _, _ in self.probe.sent), FEW_IN_VAIN)
        self.assertEqual(self.knocks, [("10.0.0.2", 9393)])
        self.assertEqual([each.name for each in self.doctor._facts.others], ["bob"])

    def test_a_host_outside_of_our_masks(self) -> None:
        self.hearing.heard_group(self.signed("say", "coucou"), ("10.0.1.2", 40_000))
        self.assertEqual(self.record.nodes[self.node.key].outside, "10.0.1.2")

    def test_what_one_interface_hears_of_the_next_is_no_other_machine(self) -> None:
        """Two interfaces on one network: the scope is that of the one that heard it."""
        here = Interface("eth1", 3, "fe80::1", None, False, AF_INET6)
        doctor = Doctor(
            self.clock, Plan(GROUP, PORT), [ETH0, here], wall=lambda: WALL, in_thread=succeed
        )
        doctor.heard_group(self.signed("beacon", BEACON), ("fe80::1%eth0", 40_000))
        self.assertEqual((doctor._record.nodes, doctor._record.local), ({}, {self.node.key}))

    def test_a_node_of_this_machine_is_no_other(self) -> None:
        self.hearing.heard_group(self.signed("beacon", BEACON), ("10.0.0.1", 40_000))
        [(_, _, ping)] = self.probe.sent[:1]
        self.pong(ping, ("10.0.0.1", 5002), ("10.0.0.1", 40_000))
        self.assertEqual(self.record.local, {self.node.key})
        self.assertEqual((self.record.nodes, self.record.places), ({}, {}))

    def test_the_node_that_asks_is_not_found(self) -> None:
        doctor = Doctor(
            self.clock,
            Plan(GROUP, PORT, own=self.node.key),
            [ETH0],
            wall=lambda: WALL,
            in_thread=succeed,
        )
        doctor.heard_group(self.signed("beacon", BEACON), ("10.0.0.1", 40_000))
        self.assertEqual(doctor._record.local, set())

    def test_places_of_this_very_host_are_not_pinged(self) -> None:
        """Pongs of its own nodes count for nobody, so they would seem to be deaf."""
        self.end()
        self.interfaces = (ETH0,)
        for host in ("10.0.0.1", "127.0.0.1"):
            self.begin(peers=[("ada", (host, 40_000))])
            self.run_for(LISTEN + 1)
            self.assertEqual(self.doctor._facts.others, ())
            self.assertNotIn("unicast", [way for way, _, _ in self.probe.sent])

    def test_a_node_is_pinged_at_all_its_addresses_and_at_the_port_that_nodes_share(self) -> None:
        for host in ("10.0.0.2", "10.0.0.3"):
            self.hearing.heard_group(self.signed("beacon", BEACON), (host, 40_000))
        self.run_for(LISTEN + 1)
        pinged = {to for way, to, _ in self.probe.sent if way == "unicast"}
        hosts = ("10.0.0.2", "10.0.0.3")
        self.assertEqual(pinged, {(host, port) for host in hosts for port in (40_000, PORT + 1)})
        self.assertEqual(self.knocks, [(host, 9393) for host in hosts])

    def test_a_node_that_answers_from_another_address_than_was_pinged_is_one(self) -> None:
        """It has two cables in one network; mDNS told of the second."""
        self.hearing.heard_mdns(MDNS_QUESTION, ("10.0.0.3", 5353))
        self.probe.answer = lambda _way, data, source: self.pong(data, source)  # as BOB
        self.run_for(LISTEN + 1)
        [bob] = self.doctor._facts.others
        self.assertEqual(bob.hosts, ("10.0.0.2", "10.0.0.3"))
        self.assertEqual(bob.unicast.answered, FEW)
        self.assertEqual(self.knocks, [("10.0.0.2", 9393), ("10.0.0.3", 9393)])  # each once

    def test_one_address_that_lets_in_is_enough(self) -> None:
        signs = {"10.0.0.2": Sign.TIMEOUT, "10.0.0.3": Sign.OK, "10.0.0.4": Sign.REFUSED}
        self.patch(doctor_module, "knock", lambda _reactor, host, *_: succeed(signs[host]))
        for host in signs:
            self.hearing.heard_group(self.signed("beacon", BEACON), (host, 40_000))
        self.run_for(LISTEN + 1)
        self.assertIs(self.doctor._facts.others[0].tcp, Sign.OK)

    def test_a_place_on_another_network(self) -> None:
        self.end()
        self.begin(peers=[("bob", BOB), ("carol", ("10.0.9.2", 9393))])
        self.run_for(LISTEN + 5)
        far = {each.hosts: each.far for each in self.doctor._facts.others}
        self.assertEqual(far, {("10.0.0.2",): False, ("10.0.9.2",): True})

    def test_other_doctors_are_no_nodes(self) -> None:
        self.hearing.heard_group(self.signed("ping", Ping("0" * 16, 1).write()), BOB)
        self.hearing.heard_answer(self.signed("ping", Ping("0" * 16, 1).write()), BOB)
        self.assertEqual((self.record.places, self.record.nodes), ({}, {}))

    def test_other_groups_and_forgeries_are_nobody(self) -> None:
        """Attack 36: another group."""
        other = Signer(Ed25519PrivateKey.generate(), group_name("239.0.0.2", PORT))
        self.hearing.heard_group(self.signed("beacon", BEACON, other), BOB)
        self.hearing.heard_group(self.signed("beacon", BEACON).replace(b"9393", b"9394"), BOB)
        for data in (b"coucou", b"\xff\xfe", b"", b"x\n~p2pshare/1 beacon"):
            self.hearing.heard_group(data, BOB)
            self.hearing.heard_answer(data, BOB)
        self.hearing.heard_answer(self.signed("pong", "{}"), BOB)
        self.assertEqual((self.record.places, self.record.nodes), ({}, {}))

    def test_another_version_of_the_protocol_is_noted(self) -> None:
        for number in range(100):
            self.hearing.heard_group(b"body\n~p2pshare/%d beacon x" % number, BOB)
        self.assertEqual(len(self.record.versions), 5)
        self.assertNotIn("1", self.record.versions)

    def test_mdns_machines_are_counted(self) -> None:
        for host in ("10.0.0.1", "10.0.0.3", "10.0.0.3"):
            self.hearing.heard_mdns(b"", (host, 5353))
        self.assertEqual((self.record.machines, self.record.places), ({"10.0.0.3"}, {}))
        self.hearing.heard_mdns(MDNS_QUESTION, BOB)
        self.assertEqual(list(self.record.places), [("10.0.0.2", PORT + 1)])
        for number in range(1000):
            self.hearing.heard_mdns(b"", (f"10.0.{number >> 8}.{number & 255}", 5353))
        self.assertEqual(len(self.record.machines), MAX_MACHINES)

    def test_a_flood_costs_little(self) -> None:
        """Attack 40: a flood of nodes and signatures."""
        checked: list[Signed] = []
        signers = [
            Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))
            for _ in range(2 * MAX_LOOKED_AT)
        ]
        beacons = [self.signed("beacon", BEACON, signer) for signer in signers]
        with mock.patch.object(
            doctor_module, "verify", lambda message, _: checked.append(message) or True
        ):
            for number in range(5000):
                address = f"10.0.{number >> 8}.{number & 255}", 40_000
                self.hearing.heard_group(beacons[number % len(beacons)], address)
        self.assertEqual(len(self.record.nodes), MAX_LOOKED_AT)
        self.assertEqual(len(checked), doctor_module.ALL_BURST)
        checked.clear()
        for _ in range(5000):
            self.hearing.heard_group(beacons[0], BOB)
        self.assertEqual(checked, [])

    def test_a_closed_group_without_its_code(self) -> None:
        self.hearing.heard_group(MARK + bytes(100), BOB)
        self.run_for(LISTEN + 1)
        self.assertIs(self.outcome().cause, Cause.CLOSED_GROUP)

    def test_a_closed_group_without_its_code_at_a_place_that_is_named(self) -> None:
        address = BOB[0], PORT + 1
        self.record.expect("bob", address)
        self.hearing.heard_group(MARK + bytes(100), BOB)
        self.run_for(LISTEN + 1)
        self.assertEqual(
            [(each.name, each.closed) for each in self.record.others({})], [("bob", True)]
        )
        self.assertIs(self.outcome().cause, Cause.CLOSED_GROUP)

    def test_a_clock_that_differs(self) -> None:
        [(_, _, ping)] = self.probe.sent[:1]
        self.ahead = 3600.0
        self.pong(ping, ("10.0.0.1", 5002))
        self.assertEqual(self.record.nodes[self.node.key].ahead, 3600)

    def test_files_are_knocked_at_where_the_node_says_or_not_at_all(self) -> None:
        self.probe.answer = lambda _way, data, source: self.pong(data, source, files=0)
        self.run_for(LISTEN + 1)
        self.assertEqual(self.knocks, [])
