"""When and with whom a node SYNCs, and what it takes from whom. The partners are fakes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, group_of, offer_of
from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import Err, Sync
from twistedp2p.core.calls.sync import MAX_PEERS_TOLD, Have, LivePeer
from twistedp2p.core.datagrams.datagram import Signed, Signer
from twistedp2p.core.errors import ShareError
from twistedp2p.core.presence.roster import Peer
from twistedp2p.net.sync import PROGRESS
from twistedp2p.net.talk import refused
from twistedp2p.node.feeds.hearsay import UNKNOWN_BURST
from twistedp2p.node.feeds.sync import (
    BUSY_WAIT,
    ENOUGH,
    IDLE,
    OUT_BURST,
    OUT_MOST,
    PATIENCE,
    PLACES,
    PLACES_EACH,
    RETRY_MOST,
    SHUN,
    TRIES,
    Syncs,
)

GROUP = b"239.0.0.1:9392"
ME, ANNA, BOB, CARL, DORA = (name * 32 for name in (b"m", b"a", b"b", b"c", b"d"))


@attrs.define
class Call:
    """One conversation that was begun."""

    talk: Any
    addresses: Sequence[tuple[str, int]]
    wanted: Callable[[bytes], bool]
    done: Deferred[None] = attrs.Factory(Deferred)
    again: Any = None  # makes a talk with another address


class FakeRoster:
    def __init__(self) -> None:
        self.here: dict[bytes, Peer] = {}

    def peers(self) -> list[Peer]:
        return list(self.here.values())

    def addresses_of(self, key: bytes) -> list[tuple[str, int]]:
        return [(host, self.here[key].files) for host, _ in self.here[key].addresses]

    def add(self, key: bytes, *hosts: str, files: int = 9393) -> None:
        addresses = [(host, 40_000) for host in hosts]
        self.here[key] = Peer(key, "nick", files, addresses, 0.0, 0.0, 5, 0.0)


class FakeNode:
    """Everything that `Syncs` needs."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        self.entries: list[Signed] = []
        self.settled_as: list[Have] = []
        self.peers: list[LivePeer] = []
        self.calls: list[Call] = []
        self.together_count = 0
        self.not_kept: set[bytes] = set()
        self.disk_is_full = False

    # Replica
    def vector(self) -> list[Have]:
        return []

    def lacking(self, theirs: Sequence[Have]) -> list[Have]:
        return []

    def has(self, entry: Signed) -> bool:
        return False

    def entries_above(self, have: Have) -> Iterator[bytes]:
        yield from ()

    def settled(self, have: Have) -> None:
        self.settled_as.append(have)

    # Told
    def is_stranger(self, key: bytes) -> bool:
        return key not in self.known

    def synced(self, message: Signed) -> None:
        self.entries.append(message)
        self.known.add(message.key)

    def peers_learnt(self, peers: Sequence[LivePeer]) -> None:
        self.peers += peers

    def unkept(self, origins: set[bytes]) -> None:
        self.not_kept |= origins

    # Calling
    async def call(self, verb: Any, talk: Any, addresses: Any, wanted: Any) -> None:
        assert verb is Sync
        call = Call(talk(addresses[0][0]), addresses, wanted)
        call.again = talk
        self.calls.append(call)
        await call.done

    @contextmanager
    def together(self) -> Iterator[None]:
        self.together_count += 1
        yield
        if self.disk_is_full:
            raise ShareError("The disk is full.")


class SyncsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.node, self.roster = FakeNode(), FakeRoster()
        self.randoms = 0.0
        self.last: Any = None
        self.syncs = Syncs(
            self.node,
            self.node,
            self.node,
            self.roster,  # type: ignore[arg-type]
            addresses_of=self.roster.addresses_of,
            own_key=ME,
            group=GROUP,
            together=self.node.together,
            clock=self.clock,
            random=lambda: self.randoms,
        )

    def called(self) -> list[str]:
        """The hosts that were called since the last time."""
        self.clock.advance(0)
        hosts = [call.addresses[0][0] for call in self.node.calls]
        self.last = [self.last, *self.node.calls][-1]
        self.node.calls = []
        return hosts

    def visit(self, address: str = "10.0.0.1", key: bytes = ANNA) -> Any:
        """What takes what a partner says that called from there; its place is free again."""
        visit: Any = self.syncs.answer(key, address)._visit
        visit.gone()
        return visit

    def end_well(self) -> None:
        self.last.done.callback(None)

    def end_badly(self) -> None:
        self.last.done.errback(ShareError("The connection broke off."))

    def end_busy(self) -> None:
        self.last.done.errback(refused(Err(503)))


class WantTests(SyncsTestCase):
    def test_nobody_is_here(self) -> None:
        self.syncs.want()
        self.roster.add(ANNA, "10.0.0.1", files=0)
        self.syncs.want()
        self.assertEqual([], self.called())
        self.roster.add(BOB, "10.0.0.2")
        self.assertEqual([], self.called())
        self.syncs.want()
        self.assertEqual(["10.0.0.2"], self.called())

    def test_one_at_a_time(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.roster.add(BOB, "10.0.0.2")
        for _ in range(3):
            self.syncs.want()
            self.clock.advance(PATIENCE / 4)
        self.assertEqual(["10.0.0.1"], self.called())
        self.end_well()
        self.assertEqual(["10.0.0.2"], self.called())
        self.end_well()
        self.clock.advance(100)
        self.assertEqual([], self.called())

    def test_not_the_same_again_when_there_are_others(self) -> None:
        for key, host in ((ANNA, "10.0.0.1"), (BOB, "10.0.0.2"), (CARL, "10.0.0.3")):
            self.roster.add(key, host)
        called = []
        for _ in range(4):
            self.syncs.want()
            called += self.called()
            self.end_well()
        self.assertEqual(["10.0.0.1", "10.0.0.2"] * 2, called)

    def test_the_only_one_again_and_again(self) -> None:
        self.roster.add(ANNA, "10.0.0.1", "10.0.0.9")
        for _ in range(3):
            self.syncs.want()
            self.assertEqual(["10.0.0.1"], self.called())
            self.assertEqual([("10.0.0.1", 9393), ("10.0.0.9", 9393)], self.last.addresses)
            self.end_well()

    def test_a_certain_one_if_it_is_here(self) -> None:
        for key, host in ((ANNA, "10.0.0.1"), (BOB, "10.0.0.2")):
            self.roster.add(key, host)
        self.syncs.want(BOB)
        self.assertEqual(["10.0.0.2"], self.called())
        self.end_well()
        self.syncs.want(CARL)
        self.assertEqual(["10.0.0.1"], self.called())

    def test_a_certain_one_that_failed_just_now_holds_up_nobody(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.roster.add(BOB, "10.0.0.2")
        self.syncs.want(BOB)
        self.assertEqual(["10.0.0.2"], self.called())
        self.end_badly()
        self.clock.advance(1)
        self.assertEqual(["10.0.0.1"], self.called())
        self.end_well()
        self.syncs.want(BOB)
        self.assertEqual(["10.0.0.1"], self.called())
        self.end_well()
        self.clock.advance(SHUN)
        self.syncs.want(BOB)
        self.assertEqual(["10.0.0.2"], self.called())

    def test_what_is_said_to_a_host_is_for_the_address_that_it_answers_at(self) -> None:
        self.roster.add(ANNA, "10.0.0.1", "127.0.0.1")
        self.roster.add(BOB, "127.0.0.1")
        self.syncs.want(ANNA)
        self.called()
        self.assertEqual(["10.0.0.1"], [peer.host for peer in self.last.talk._peers])
        talk = self.last.again("127.0.0.1")
        self.assertEqual("127.0.0.1", talk._visit._address)
        self.assertIn("127.0.0.1", [peer.host for peer in talk._peers])

    def test_nobody_else_who_answers_there(self) -> None:
        """Attack 3: what another says of a feed is not taken for its origin's word."""
        self.roster.add(ANNA, "10.0.0.1")
        self.syncs.want()
        self.called()
        self.assertTrue(self.last.wanted(ANNA))
        self.assertFalse(self.last.wanted(BOB))
        self.assertFalse(self.last.wanted(ME))

    def test_hosts_are_chosen_not_keys(self) -> None:
        """Attack 37: throw-away keys of one host: they are not chosen more often for that."""
        self.roster.add(ANNA, "10.0.0.1")
        for number in range(1000):
            self.roster.add(number.to_bytes(32, "big"), "10.0.0.9")
        chance = random.Random(1)
        called = []
        for _ in range(20):
            self.randoms = chance.random()
            self.syncs.want()
            called += self.called()
            self.end_well()
            self.clock.advance(2)
        self.assertGreater(called.count("10.0.0.1"), 5)

    def test_a_failure_is_tried_with_another(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.roster.add(BOB, "10.0.0.2")
        self.syncs.want()
        self.assertEqual(["10.0.0.1"], self.called())
        self.end_badly()
        self.assertEqual([], self.called())
        self.clock.advance(1)
        self.assertEqual(["10.0.0.2"], self.called())
        self.end_well()
        for _ in range(2):  # and the one that failed is left alone for a while
            self.clock.advance(2)
            self.syncs.want()
            self.assertEqual(["10.0.0.2"], self.called())
            self.end_well()
        self.clock.advance(SHUN)
        self.syncs.want()
        self.assertEqual(["10.0.0.1"], self.called())

    def test_who_is_busy_has_not_failed(self) -> None:
        """Another is asked soon, however often that happens, and it may be asked itself again."""
        self.roster.add(ANNA, "10.0.0.1")
        self.roster.add(BOB, "10.0.0.2")
        self.syncs.want(ANNA)
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"):
            self.assertEqual([host], self.called())
            self.end_busy()
            self.assertEqual([], self.called())
            self.clock.advance(1.5 * BUSY_WAIT)
        self.assertEqual(["10.0.0.1"], self.called())

    def test_a_group_that_is_busy_is_asked_so_many_times(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.syncs.want()
        for _ in range(TRIES):
            self.assertEqual(["10.0.0.1"], self.called())
            self.end_busy()
            self.clock.advance(1.5 * BUSY_WAIT)
        self.assertEqual([], self.called())
        self.syncs.want()
        self.assertEqual(["10.0.0.1"], self.called())

    def test_nobody_waits_for_a_partner_that_has_told_all(self) -> None:
        """It may take its time over what we say."""
        for key, host in ((ANNA, "10.0.0.1"), (BOB, "10.0.0.2")):
            self.roster.add(key, host)
        self.assertTrue(self.syncs.want(ANNA))
        self.assertEqual(["10.0.0.1"], self.called())
        anna = self.last
        self.assertFalse(self.syncs.want())
        self.assertEqual([], self.called())
        anna.talk._visit.heard_all()
        self.assertEqual(["10.0.0.2"], self.called())
        self.syncs.want()
        anna.done.callback(None)
        self.assertEqual([], self.called())
        self.last.talk._visit.heard_all()
        self.assertEqual(["10.0.0.1"], self.called())

    def test_nobody_is_called_twice_at_once(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.syncs.want()
        self.called()
        self.last.talk._visit.heard_all()
        self.syncs.want(ANNA)
        self.assertEqual([], self.called())
        self.end_well()
        self.assertEqual(["10.0.0.1"], self.called())

    def test_nobody_waits_for_a_partner_that_tells_little(self) -> None:
        """Attack 41: a partner that tells a line now and then, and never ends."""
        for key, host in ((ANNA, "10.0.0.1"), (BOB, "10.0.0.2")):
            self.roster.add(key, host)
        self.syncs.want(ANNA)
        self.assertEqual(["10.0.0.1"], self.called())
        anna = self.last
        self.clock.advance(PATIENCE)
        self.assertEqual([], self.called())  # nothing is wanted
        self.assertFalse(self.syncs.want())
        for _ in range(3):
            anna.talk._visit.brought(ENOUGH)
            self.clock.advance(PATIENCE)
            self.assertEqual([], self.called())
        anna.talk._visit.brought(ENOUGH - 1)
        self.clock.advance(PATIENCE)
        self.assertEqual(["10.0.0.2"], self.called())
        self.assertNoResult(anna.done)
        anna.talk._visit.brought(ENOUGH)  # of the one that is waited for now it says nothing
        self.syncs.want()
        self.clock.advance(PATIENCE)
        self.assertEqual([], self.called())  # there is nobody else
        anna.done.callback(None)
        self.assertEqual(["10.0.0.1"], self.called())
        self.syncs.stop()

    def test_partners_that_tell_little_leave_room_for_another(self) -> None:
        """Attack 41: so many of them that there is room for no other."""
        for number in range(OUT_MOST + 1):
            self.roster.add(bytes([number]) * 32, f"10.0.0.{number}")
        begun = []
        for _ in range(OUT_MOST):
            self.syncs.want()
            self.assertEqual(1, len(self.called()))
            begun.append(self.last)
            self.syncs.want()
            self.clock.advance(PATIENCE)
        self.clock.advance(1)
        self.assertEqual(["10.0.0.4"], self.called())
        self.assertEqual([False] * 3 + [True], [bool(call.done.called) for call in begun])
        self.syncs.stop()

    def test_another_host_than_those_that_are_called_already(self) -> None:
        """Attack 41: one host with many keys, all of which tell little."""
        for number in range(9):
            self.roster.add(bytes([number]) * 32, "10.0.0.1")
        self.roster.add(BOB, "10.0.0.2")
        self.syncs.want()
        self.assertEqual(["10.0.0.1"], self.called())
        self.syncs.want()
        self.clock.advance(PATIENCE)
        self.assertEqual(["10.0.0.2"], self.called())
        self.syncs.stop()

    def test_so_many_partners_may_be_slow_to_take_in(self) -> None:
        """Attack 41: partners that tell little and never end."""
        for number in range(2 * OUT_MOST):
            self.roster.add(bytes([number]) * 32, f"10.0.0.{number}")
        begun = []
        for _ in range(2 * OUT_MOST):
            self.syncs.want()
            if self.called():
                begun.append(self.last)
                self.last.talk._visit.heard_all()
        self.assertEqual(OUT_MOST, len(begun))
        begun[0].done.errback(ShareError("The connection broke off."))
        self.clock.advance(1)
        self.assertEqual([], self.called())
        begun[-1].done.callback(None)
        self.assertEqual(1, len(self.called()))
        self.syncs.stop()
        self.assertTrue(all(call.done.called for call in [*begun, self.last]))

    def test_failures_end(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.syncs.want()
        for _ in range(TRIES):
            self.clock.pump([RETRY_MOST * 2])
            self.assertEqual(["10.0.0.1"], self.called())
            self.end_badly()
        self.clock.advance(1000)
        self.assertEqual([], self.called())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_wishes_are_paced(self) -> None:
        """Attack 40: beacons that claim anything make no storm of conversations."""
        self.roster.add(ANNA, "10.0.0.1")
        count = 0
        for _ in range(600):
            self.syncs.want()
            for _ in self.called():
                count += 1
                self.end_well()
            self.clock.advance(0.1)
        self.assertLessEqual(count, OUT_BURST + 31)
        self.assertGreater(count, 30)

    def test_stopping_breaks_off(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.syncs.want()
        self.called()
        self.syncs.stop()
        self.assertTrue(self.last.done.called)
        self.syncs.want()
        self.clock.advance(100)
        self.assertEqual([], self.called())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_defect_is_logged_and_is_no_end(self) -> None:
        self.roster.add(ANNA, "10.0.0.1")
        self.syncs.want()
        self.called()
        self.last.done.errback(ZeroDivisionError())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.clock.advance(1)
        self.assertEqual(["10.0.0.1"], self.called())


class PlacesTests(SyncsTestCase):
    def full(self) -> list[Any]:
        """All places are taken, by two hosts."""
        hosts = ["10.0.9.1", "10.0.9.2"] * PLACES_EACH
        assert len(hosts) == PLACES
        return [self.syncs.answer(ANNA, host) for host in hosts]

    def test_who_stands_still_gives_way_to_another(self) -> None:
        """Attack 41: idle conversations of two hosts in all places."""
        guests = self.full()
        transports = [StringTransport() for _ in guests]
        for guest, transport in zip(guests, transports, strict=True):
            guest.begin(transport)
        self.clock.advance(IDLE - 0.1)
        self.assertRaises(Refusal, self.syncs.answer, BOB, "10.0.0.1")
        self.clock.advance(0.1)
        guests[0].received(b"x" * PROGRESS)
        self.syncs.answer(BOB, "10.0.0.1")
        self.assertEqual([False, True, False, False], [each.disconnected for each in transports])
        with self.assertRaises(ShareError):
            guests[1].lost()
        self.syncs.answer(CARL, "10.0.0.2")
        self.syncs.answer(DORA, "10.0.0.3")
        self.assertRaises(Refusal, self.syncs.answer, ANNA, "10.0.0.4")

    def test_who_has_enough_places_takes_none_of_another(self) -> None:
        """Attack 41."""
        self.full()
        self.clock.advance(IDLE)
        for _ in range(3):
            self.syncs.answer(ANNA, "10.0.9.1")
            hosts = sorted(host for host, _ in self.syncs._guests.values())
            self.assertEqual(["10.0.9.1"] * 2 + ["10.0.9.2"] * 2, hosts)
            self.clock.advance(IDLE)


class TakeTests(SyncsTestCase):
    def entries(self, count: int) -> list[Signed]:
        made = []
        for _ in range(count):
            signer = Signer(Ed25519PrivateKey.generate(), GROUP)
            made.append(signer.sign("say", 1, 1, 0, "", "coucou"))
        return made

    def test_entries_come_in_together(self) -> None:
        entries = self.entries(3)
        self.visit().take(entries)
        self.assertEqual(entries, self.node.entries)
        self.assertEqual(1, self.node.together_count)

    def test_what_the_disk_refused_is_not_here(self) -> None:
        entries = self.entries(3)
        self.node.disk_is_full = True
        self.assertRaises(ShareError, self.visit().take, entries)
        self.assertEqual({entry.key for entry in entries}, self.node.not_kept)

    def test_a_newcomer_to_a_thousand_nodes(self) -> None:
        entries = self.entries(1000)
        self.visit().take(entries)
        self.assertEqual(1000, len(self.node.entries))
        self.assertEqual({}, dict(self.syncs.dropped))

    def test_throw_away_keys_of_one_host(self) -> None:
        """Attack 40: feeds without end: one host can fill no table, and others are heard."""
        one = self.entries(1)[0]
        many = [attrs.evolve(one, key=n.to_bytes(32, "big")) for n in range(5000)]
        self.visit().take(many)
        self.assertEqual(UNKNOWN_BURST, len(self.node.entries))
        self.assertEqual(5000 - UNKNOWN_BURST, self.syncs.dropped["too many strangers"])
        self.visit().take(many[-10:])
        self.assertEqual(UNKNOWN_BURST, len(self.node.entries))
        self.visit("10.0.0.2").take(many[-10:])
        self.assertEqual(UNKNOWN_BURST + 10, len(self.node.entries))

    def test_known_feeds_are_always_taken(self) -> None:
        entry = self.entries(1)[0]
        self.node.known.add(entry.key)
        self.visit().take([entry] * 3000)
        self.assertEqual(3000, len(self.node.entries))

    def test_what_was_refused_is_not_settled(self) -> None:
        one = self.entries(1)[0]
        many = [attrs.evolve(one, key=n.to_bytes(32, "big")) for n in range(2000)]
        visit = self.visit()
        visit.take(many)
        self.node.known.add(many[-1].key)  # somebody else told of it meanwhile
        for entry in (many[0], many[-1]):
            visit.settled(Have(entry.key, 1, 1, 0))
        self.assertEqual([Have(many[0].key, 1, 1, 0)], self.node.settled_as)

    def test_places(self) -> None:
        """Attack 41: one host cannot take all places; those who go leave theirs."""
        talks = [self.syncs.answer(ANNA, "10.0.0.1") for _ in range(PLACES_EACH)]
        self.assertRaises(Refusal, self.syncs.answer, ANNA, "10.0.0.1")
        for number in range(PLACES - PLACES_EACH):
            self.syncs.answer(BOB, f"10.0.0.{number + 2}")
        self.assertRaises(Refusal, self.syncs.answer, CARL, "10.0.0.99")
        self.assertRaises(ShareError, talks[0].lost)
        self.syncs.answer(ANNA, "10.0.0.1")


class SettledTests(SyncsTestCase):
    """Attack 38: a partner that says that there is no more, to have lost lines stay lost."""

    have = Have(CARL, 1, 9, 3)

    def setUp(self) -> None:
        super().setUp()
        self.node.known.add(CARL)
        for key, host in ((ANNA, "10.0.0.1"), (BOB, "10.0.0.2"), (DORA, "10.0.0.3")):
            self.roster.add(key, host)

    def test_one_alone_is_not_believed(self) -> None:
        self.visit().settled(self.have)
        self.visit().settled(self.have)
        self.visit(key=BOB).settled(self.have)
        self.assertEqual([], self.node.settled_as)

    def test_a_second_host_is(self) -> None:
        self.visit("10.0.0.1").settled(self.have)
        self.visit("10.0.0.2").settled(Have(CARL, 1, 12, 2))
        self.assertEqual([Have(CARL, 1, 9, 2)], self.node.settled_as)
        self.visit("10.0.0.1").settled(Have(CARL, 1, 12, 3))
        self.assertEqual(Have(CARL, 1, 12, 2), self.node.settled_as[-1])

    def test_one_host_may_have_an_address_of_each_family(self) -> None:
        self.visit("10.0.0.1").settled(self.have)
        self.visit("fe80::1%eth0").settled(self.have)
        self.assertEqual([], self.node.settled_as)
        self.visit("fe80::2%eth0").settled(self.have)
        self.assertEqual([self.have], self.node.settled_as)

    def test_what_one_alone_says_is_asked_of_another(self) -> None:
        self.node.vector = lambda: [attrs.evolve(self.have, offers=2)]
        visit = self.visit()
        visit.settled(self.have)
        self.assertEqual([], self.called())
        visit.gone()
        self.assertEqual(1, len(self.called()))

    def test_where_nothing_is_missing_nobody_is_asked(self) -> None:
        for here in (self.have, attrs.evolve(self.have, epoch=2, chat=0)):
            self.node.vector = lambda here=here: [here]
            visit = self.visit()
            visit.settled(self.have)
            visit.gone()
            self.assertEqual([], self.called())

    def test_another_epoch_is_another_matter(self) -> None:
        self.visit("10.0.0.1").settled(self.have)
        self.visit("10.0.0.2").settled(attrs.evolve(self.have, epoch=2))
        self.assertEqual([], self.node.settled_as)

    def test_the_origin_is(self) -> None:
        self.visit(key=CARL).settled(self.have)
        self.assertEqual([self.have], self.node.settled_as)

    def test_the_only_one_that_there_is(self) -> None:
        del self.roster.here[BOB], self.roster.here[DORA]
        self.visit("fe80::1%eth0").settled(self.have)  # from another address than we know
        self.assertEqual([self.have], self.node.settled_as)


class PeersTests(SyncsTestCase):
    def told(self, partner: str) -> list[LivePeer]:
        return list(self.syncs.answer(ANNA, partner)._peers)

    def test_who_is_told_of(self) -> None:
        self.roster.add(ANNA, "10.0.0.1", "10.9.0.1")
        self.roster.add(BOB, "fe80::2%eth0")
        self.roster.add(CARL, "127.0.0.1")
        anna = LivePeer(ANNA, "10.0.0.1", 40_000, 9393)
        bob = LivePeer(BOB, "fe80::2", 40_000, 9393)
        carl = LivePeer(CARL, "127.0.0.1", 40_000, 9393)
        self.assertEqual([anna, bob], self.told("10.0.0.7"))
        self.assertEqual([anna, bob, carl], self.told("127.0.0.1"))

    def test_not_too_many(self) -> None:
        for number in range(MAX_PEERS_TOLD + 50):
            self.roster.add(number.to_bytes(32, "big"), f"10.0.{number // 200}.{number % 200}")
        self.assertEqual(MAX_PEERS_TOLD, len(self.told("10.0.0.7")))

    def test_what_is_learnt(self) -> None:
        near, far = LivePeer(BOB, "fe80::2", 40_000, 9393), LivePeer(BOB, "10.0.0.2", 40_000, 9393)
        here = LivePeer(CARL, "127.0.0.1", 40_000, 9393)
        self.visit("fe80::1%eth0").learnt([near, far, here])
        self.assertEqual([attrs.evolve(near, host="fe80::2%eth0"), far], self.node.peers)


class NodesTests(SynchronousTestCase):
    """Real nodes on a network in memory."""

    def setUp(self) -> None:
        self.lan = Lan(self)

    def publish(self, node: Any, offers: int, lines: int = 0) -> None:
        for number in range(offers):
            node._feeds.publish_offer(offer_of(node, f"{node.nick}{number}.txt"))
        for number in range(lines):
            node.say(f"{node.nick} {number}")

    def everybody_has(self, count: int) -> None:
        for node in self.lan.nodes:
            self.assertEqual(count, node.status().offers)

    def test_a_late_joiner_gets_the_history(self) -> None:
        anna, bob = self.lan.node("anna"), self.lan.node("bob")
        self.lan.run_for(5)
        self.publish(anna, 150, 30)
        self.lan.run_for(10)
        self.lan.vanish(anna)  # what it said is with bob alone
        dora = self.lan.node("dora")
        self.lan.run_for(5)
        self.assertEqual([f"anna {number}" for number in range(30)], self.lan.lines(dora))
        offers = {offer.name for offer in dora._store.offers_of(anna.key)}
        self.assertEqual(150, len(offers))
        self.assertIn((group_of(dora).address[0], group_of(bob).address[0]), self.lan.calls)

    def test_many_offers_go_over_tcp(self) -> None:
        nodes = [self.lan.node(name) for name in ("anna", "bob", "carl")]
        self.lan.run_for(5)
        self.publish(nodes[0], 400)
        self.publish(nodes[1], 100)
        self.lan.run_for(10)
        self.everybody_has(500)
        told = sum(group_of(node).count(kind) for node in nodes for kind in ("offer", "ask"))
        self.assertLess(told, 250)

    def test_both_ends_of_a_partition(self) -> None:
        nodes = [self.lan.node(name) for name in ("anna", "bob")]
        self.lan.run_for(5)
        self.lan.cut_off.add("10.0.0.1")
        for node in nodes:
            self.publish(node, 100, 20)
        self.lan.run_for(10)
        self.lan.cut_off.clear()
        self.lan.run_for(15)
        self.everybody_has(200)
        self.assertEqual([f"bob {number}" for number in range(20)], self.lan.lines(nodes[0]))

    def test_nodes_that_stop_in_the_middle_leave_nothing(self) -> None:
        anna = self.lan.node("anna")
        self.publish(anna, 1000)
        bob = self.lan.node("bob")
        for _ in range(5000):
            self.lan.run_for(0.001)
            if bob._store.offers_of(anna.key, 100) and anna._service.admission.connections:
                break
        self.assertEqual(1, len(anna._service.admission.connections))
        self.assertLess(len(bob._store.offers_of(anna.key)), 1000)
        self.lan.stop(bob)
        self.assertEqual(0, len(anna._service.admission.connections))
        self.lan.stop(anna)
        self.lan.run_for(1)
        self.assertEqual([], self.lan.reactor.getDelayedCalls())

    def test_a_full_disk_and_then_room(self) -> None:
        anna, bob = self.lan.node("anna"), self.lan.node("bob")
        self.lan.run_for(5)
        full = True
        together = bob._store.together

        @contextmanager
        def refusing() -> Iterator[None]:
            with together():
                yield
                if full:
                    raise ShareError("The disk is full.")

        bob._syncs.hearsay.together = refusing
        self.publish(anna, 200)
        self.lan.run_for(10)
        self.assertLess(bob.status().offers, 200)
        full = False
        self.lan.run_for(60)
        self.everybody_has(200)

    def test_what_is_left_out_is_counted(self) -> None:
        anna = self.lan.node("anna")
        anna._syncs.hearsay.drop("too many strangers")
        self.assertEqual(1, anna.dropped()["too many strangers"])
