"""SYNC between two nodes in memory: all that is lacking comes, and no partner can do harm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet import reactor as _reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.net.test_files import Script
from tests.net.test_talk import GROUP, TalkBench, TalkTestCase, run
from tests.net.wire import FakeShelf, Wire, public
from twistedp2p.core.calls.lines import Sync
from twistedp2p.core.calls.records import END, ENTRY, SETTLED, VECTOR, VECTOR_END, Records, record
from twistedp2p.core.calls.sync import LivePeer, write_have
from twistedp2p.core.datagrams.body import DAMAGED
from twistedp2p.core.datagrams.closed import OpenEnvelope
from twistedp2p.core.datagrams.datagram import Signed, Signer
from twistedp2p.core.errors import ShareError
from twistedp2p.core.feeds.feed import Have
from twistedp2p.net import sync as sync_module
from twistedp2p.net.admission import Limits
from twistedp2p.net.dial import Dialer
from twistedp2p.net.serve import FileService
from twistedp2p.net.sync import (
    HEAR_SLICE,
    PROGRESS,
    READ_AHEAD,
    SAY_SLICE,
    STALL,
    WHOLE,
    SyncTalk,
)
from twistedp2p.net.talk import Caller, Calls, Talks
from twistedp2p.net.tls import NodeTLS

reactor: Any = _reactor
PEER = LivePeer(b"p" * 32, "10.0.0.7", 40_000, 9393)


def author(group: bytes = GROUP) -> Signer:
    return Signer(Ed25519PrivateKey.generate(), group)


def lines(signer: Signer, count: int, first: int = 1) -> list[Signed]:
    return [
        signer.sign("say", 1, number, 0, "anna", f"line {number}")
        for number in range(first, first + count)
    ]


class FakeReplica:
    """Chat of one epoch, as signed bytes; a `Replica` and the `Visit` of one partner."""

    def __init__(self, *entries: Signed) -> None:
        self.feeds: dict[bytes, dict[int, bytes]] = {}
        self.settled_as: list[Have] = []
        self.peers: list[LivePeer] = []
        self.batches: list[int] = []
        self.drops: list[str] = []
        self.goodbyes = self.drawn = self.ends = self.news = 0
        self.fails = False
        self.take(entries)

    def vector(self) -> list[Have]:
        if self.fails:
            raise ShareError("The disk is full.")
        return [Have(origin, 1, max(feed), 0) for origin, feed in self.feeds.items()]

    def lacking(self, theirs: Sequence[Have]) -> list[Have]:
        there = {have.origin: have for have in theirs}
        found = [there.get(have.origin, Have(have.origin, 1, 0, 0)) for have in self.vector()]
        return [have for have in found if have.chat < max(self.feeds[have.origin])]

    def has(self, entry: Signed) -> bool:
        return entry.number in self.feeds.get(entry.key, {})

    def entries_above(self, have: Have) -> Iterator[bytes]:
        for number in sorted(self.feeds[have.origin]):
            if number > have.chat:
                self.drawn += 1
                yield self.feeds[have.origin][number]

    def settled(self, have: Have) -> None:
        self.settled_as.append(have)

    def take(self, entries: Sequence[Signed]) -> None:
        self.batches.append(len(entries))
        for entry in entries:
            self.feeds.setdefault(entry.key, {})[entry.number] = entry.raw

    def brought(self, count: int) -> None:
        self.news += count

    def learnt(self, peers: Sequence[LivePeer]) -> None:
        self.peers += peers

    def dropped(self, reason: str) -> None:
        self.drops.append(reason)

    def heard_all(self) -> None:
        self.ends += 1

    def gone(self) -> None:
        self.goodbyes += 1


class SyncTestCase(TalkTestCase):
    def setUp(self) -> None:
        self.bench = TalkBench()
        self.here, self.there = FakeReplica(), FakeReplica()  # the caller's; the service's
        self.bench.service.talks = Talks(
            OpenEnvelope(GROUP), {Sync: lambda *_: self.talk(self.there)}
        )

    def talk(self, replica: FakeReplica) -> SyncTalk:
        return SyncTalk(replica, replica, [PEER], GROUP, self.bench.clock)

    def call_sync(self) -> tuple[Caller, Wire]:
        return self.bench.call(self.talk(self.here), Sync)

    def sync(self) -> None:
        caller, wire = self.call_sync()
        run(self.bench.clock, wire)
        self.successResultOf(caller.done)
        self.over()

    def stranger(self) -> tuple[Script, Wire]:
        """A scripted partner of the service, from its first record on."""
        script, wire = self.script()
        script.setRawMode()
        script.sendLine(Sync(self.proof(wire, b"sync client")).line())
        run(self.bench.clock, wire)
        self.assertIn(b"HERE ", script.raw)
        script.raw = script.raw.partition(b"\r\n")[2]
        return script, wire

    def says(self, script: Script, wire: Wire, *records: bytes) -> None:
        script.transport.write(b"".join(records))
        run(self.bench.clock, wire)

    def cut_after(self, *records: bytes) -> None:
        """A partner that says this is sent away."""
        script, wire = self.stranger()
        self.says(script, wire, *records)
        self.assertIsNotNone(script.lost)
        self.over()
        self.bench.clock.advance(10)


class WholeSyncTests(SyncTestCase):
    def test_both_have_all_then(self) -> None:
        anna, bob, carl = author(), author(), author()
        self.here.take([*lines(anna, 5), *lines(bob, 2)])
        self.there.take([*lines(bob, 9), *lines(carl, 3)])
        self.sync()
        self.assertEqual(self.here.feeds, self.there.feeds)
        self.assertEqual(5, self.here.drawn)
        self.assertEqual(10, self.there.drawn)
        self.assertEqual({Have(bob.key, 1, 9, 0), Have(carl.key, 1, 3, 0)},
                         set(self.here.settled_as))  # fmt: skip
        self.assertEqual([Have(anna.key, 1, 5, 0)], self.there.settled_as)
        self.assertEqual([PEER], self.here.peers)
        self.assertEqual([PEER], self.there.peers)
        self.assertEqual((1, 1), (self.here.goodbyes, self.there.goodbyes))
        self.assertEqual((1, 1), (self.here.ends, self.there.ends))

    def test_who_has_told_all_is_known_before_we_have(self) -> None:
        self.here.take(lines(author(), 10 * SAY_SLICE))
        caller, wire = self.call_sync()
        for _ in range(1000):
            if not self.here.ends:
                wire.step()
                self.bench.clock.advance(0)
        self.assertEqual((1, 0), (self.here.ends, self.there.ends))
        self.assertNoResult(caller.done)
        run(self.bench.clock, wire)
        self.successResultOf(caller.done)

    def test_nothing_to_tell(self) -> None:
        self.sync()
        self.assertEqual({}, self.here.feeds)

    def test_many_come_in_slices(self) -> None:
        count = 5 * HEAR_SLICE + SAY_SLICE
        self.there.take(lines(author(), count))
        self.sync()
        self.assertEqual(self.here.feeds, self.there.feeds)
        self.assertEqual(count, sum(self.here.batches))
        self.assertEqual(HEAR_SLICE, max(self.here.batches))

    def test_what_is_of_use_is_what_one_of_the_two_did_not_have(self) -> None:
        """Attack 41: the same entry without end, of a partner that wants to keep its place."""
        talks = []
        self.patch(
            self, "talk", lambda replica, talk=self.talk: talks.append(talk(replica)) or talks[-1]
        )
        script, wire = self.stranger()
        anna = author()
        known, new = lines(anna, 200)[:1], lines(anna, 200)[1:]
        self.there.take(known)
        self.says(script, wire, record(VECTOR_END))
        began, tells = talks[0].gained_at, record(ENTRY, known[0].raw)
        self.bench.clock.advance(1)
        self.says(script, wire, tells * (PROGRESS // len(tells) + 1))
        self.assertEqual((began, 0), (talks[0].gained_at, self.there.news))
        copies = [record(ENTRY, entry.raw) * HEAR_SLICE for entry in new[:20]]
        for some in copies:  # each of them in one turn
            self.says(script, wire, some)
        self.assertGreater(sum(map(len, copies)), PROGRESS)
        self.assertEqual((began, 20), (talks[0].gained_at, self.there.news))
        self.says(script, wire, *(record(ENTRY, entry.raw) for entry in new))
        self.assertEqual((began + 1, 199), (talks[0].gained_at, self.there.news))
        self.assertIsNone(script.lost)
        script.transport.loseConnection()
        run(self.bench.clock, wire)

    def test_what_another_partner_has_brought_meanwhile_is_not_looked_at(self) -> None:
        entries = lines(author(), 3)
        script, wire = self.stranger()
        self.says(script, wire, record(VECTOR_END))
        self.there.take(entries)
        self.patch(sync_module, "verify", lambda *_: self.fail("a signature was checked"))
        self.says(script, wire, *(record(ENTRY, entry.raw) for entry in entries), record(END))
        self.assertEqual(3, sum(self.there.batches))

    def test_a_thousand_feeds(self) -> None:
        for number in range(1000):
            key = number.to_bytes(32, "big")
            self.there.feeds[key] = {1: b""}
            self.here.feeds[key] = {1: b""}
        self.sync()

    def test_a_broken_memory_ends_it(self) -> None:
        self.there.take(lines(author(), 1))
        self.there.fails = True
        caller, wire = self.call_sync()
        run(self.bench.clock, wire)
        self.failureResultOf(caller.done, ShareError)
        self.assertEqual(1, self.there.goodbyes)
        self.over()

    def test_a_connection_lost_at_any_step(self) -> None:
        steps = 0
        while True:
            self.setUp()
            self.there.take(lines(author(), 100))
            caller, wire = self.call_sync()
            for _ in range(steps):
                wire.step()
                self.bench.clock.advance(0)
            if caller.done.called:
                break
            wire.close(ConnectionDone())
            if len(self.here.settled_as):  # nothing was lacking but the end
                self.assertEqual(self.here.feeds, self.there.feeds)
                caller.done.addErrback(lambda failure: failure.trap(ShareError))
            else:
                self.failureResultOf(caller.done, ShareError)
            self.over()
            steps += 1
        self.assertGreater(steps, 5)
        self.assertEqual(self.here.feeds, self.there.feeds)


class BackPressureTests(SyncTestCase):
    def test_a_slow_reader_costs_no_memory(self) -> None:
        """Attack 40: a partner that asks for all and reads nothing."""
        self.there.take(lines(author(), 20 * SAY_SLICE))
        script, wire = self.stranger()
        self.says(script, wire, record(VECTOR_END))
        self.assertEqual(20 * SAY_SLICE, self.there.drawn)
        self.there.drawn = 0
        script, wire = self.stranger()
        wire.server_end.full = True
        self.says(script, wire, record(VECTOR_END))
        self.assertLess(self.there.drawn, 10 * SAY_SLICE)
        self.assertLess(len(wire.server_end.written), 2 * wire.server_end.bufferSize)
        self.bench.clock.advance(STALL)
        run(self.bench.clock, wire)
        self.assertIsNotNone(script.lost)

    def test_it_goes_on_when_it_is_read(self) -> None:
        self.there.take(lines(author(), 20 * SAY_SLICE))
        script, wire = self.stranger()
        wire.server_end.full = True
        self.says(script, wire, record(VECTOR_END))
        wire.server_end.full = False
        run(self.bench.clock, wire)
        self.assertEqual(20 * SAY_SLICE, self.there.drawn)
        self.assertTrue(script.raw.endswith(record(END)))

    def test_what_comes_faster_than_it_is_taken_in_waits_at_the_sender(self) -> None:
        """Attack 40: entries at a rate that no node can take in."""
        entries = lines(author(), READ_AHEAD // 200 + 300)
        script, wire = self.stranger()
        script.transport.write(record(VECTOR_END))
        script.transport.write(b"".join(record(ENTRY, entry.raw) for entry in entries))
        wire.run()
        self.assertTrue(wire.server_end.paused)
        self.assertEqual([0], self.there.batches)
        run(self.bench.clock, wire)
        self.assertFalse(wire.server_end.paused)
        self.assertEqual(len(entries), sum(self.there.batches))


class HostilePartnerTests(SyncTestCase):
    def test_entries_that_nobody_signed(self) -> None:
        """Attack 38: forged entries."""
        entry, other = (each.raw for each in lines(author(), 2))
        for bad in (entry.replace(b"line", b"lime"), entry[:-86] + other[-86:], b"plain text"):
            self.cut_after(record(VECTOR_END), record(ENTRY, bad))
        self.assertEqual({}, self.there.feeds)

    def test_entries_that_another_version_may_understand(self) -> None:
        entry = lines(author(), 1)[0].raw
        script, wire = self.stranger()
        odd = [record(ENTRY, raw) for raw in (entry.replace(b" say ", b" sing "), b"\xff")]
        self.says(script, wire, record(VECTOR_END), *odd, record(END))
        self.assertEqual([DAMAGED, DAMAGED], self.there.drops)
        self.assertTrue(script.raw.endswith(record(END)))

    def test_entries_of_another_group(self) -> None:
        """Attack 36: another group."""
        entry = lines(author(b"239.0.0.1:7000"), 1)[0]
        self.cut_after(record(VECTOR_END), record(ENTRY, entry.raw))
        self.assertEqual({}, self.there.feeds)

    def test_what_came_before_the_lie_is_kept(self) -> None:
        good, bad = lines(author(), 1), lines(author(b"x"), 1)
        said = [record(ENTRY, entry.raw) for entry in (*good, *bad)]
        self.cut_after(record(VECTOR_END), *said)
        self.assertEqual([good[0].key], list(self.there.feeds))

    def test_only_entries_are_taken(self) -> None:
        """Attack 36: a beacon in the guise of an entry: its sender would be here, and is not."""
        signer = author()
        for kind in ("beacon", "hello", "ask", "gone", "bye"):
            message = signer.sign(kind, 1, 1, 0, "anna", "{}")
            self.cut_after(record(VECTOR_END), record(ENTRY, message.raw))
        self.assertEqual({}, self.there.feeds)

    def test_records_out_of_order_and_without_end(self) -> None:
        """Attack 19: records without end, and at the wrong moment."""
        have = write_have(Have(b"a" * 32, 1, 1, 0))
        for bad in (
            [b"\xff\xff\xff"],
            [record(ENTRY, b"x")],
            [record(VECTOR, have), record(VECTOR, have)],
            [record(VECTOR_END), record(SETTLED, have)],
            [record(VECTOR_END), record(END), record(END)],
            [record(VECTOR_END), record(END), b"x" * 9],
        ):
            self.cut_after(*bad)

    def test_vectors_without_end(self) -> None:
        """Attack 40: a vector of made-up feeds: it ends, and costs no table of ours a row."""
        said = [
            record(VECTOR, write_have(Have(number.to_bytes(32, "big"), 1, 1, 1)))
            for number in range(5000)
        ]
        self.cut_after(*said)
        self.assertEqual({}, self.there.feeds)

    def test_silence(self) -> None:
        """Attack 41: a partner that keeps its place and says nothing."""
        script, wire = self.stranger()
        self.bench.clock.advance(STALL - 1)
        run(self.bench.clock, wire)
        self.assertIsNone(script.lost)
        self.bench.clock.advance(1)
        run(self.bench.clock, wire)
        self.assertIsNotNone(script.lost)
        self.over()

    def test_a_byte_now_and_then_is_no_progress(self) -> None:
        """Attack 41: slow lines."""
        script, wire = self.stranger()
        self.says(script, wire, record(VECTOR_END))
        entry = record(ENTRY, lines(author(), 1)[0].raw)
        for _ in range(3 * int(STALL)):
            self.bench.clock.advance(1)
            if script.lost is None:
                self.says(script, wire, entry)
        self.assertIsNotNone(script.lost)
        self.assertLess(3 * STALL * len(entry), 3 * PROGRESS)

    def test_no_conversation_lasts_for_ever(self) -> None:
        """Attack 40: entries without end."""
        script, wire = self.stranger()
        self.says(script, wire, record(VECTOR_END))
        entry = record(ENTRY, lines(author(), 1)[0].raw)
        for _ in range(int(WHOLE / 10)):
            self.assertIsNone(script.lost)
            self.says(script, wire, entry * (PROGRESS // len(entry) + 1))
            self.bench.clock.advance(10)
            run(self.bench.clock, wire)
        self.assertIsNotNone(script.lost)
        self.over()

    def test_who_does_not_hang_up(self) -> None:
        script, wire = self.stranger()
        wire.change = lambda data, to_client: b"" if to_client else data
        self.says(script, wire, record(VECTOR_END), record(END))
        self.bench.clock.advance(STALL)
        run(self.bench.clock, wire)
        self.assertIsNotNone(script.lost)
        self.over()

    def test_the_records_are_the_ones_that_are_drawn(self) -> None:
        signer = author()
        entries = lines(signer, 3)
        self.there.take(entries)
        script, wire = self.stranger()
        have = write_have(Have(signer.key, 1, 1, 0))
        self.says(script, wire, record(VECTOR, have), record(VECTOR_END), record(END))
        records, said = Records(), []
        records.feed(script.raw)
        while (one := records.next()) is not None:
            said.append(one)
        full = write_have(Have(signer.key, 1, 3, 0))
        self.assertEqual(
            [
                (VECTOR, full),
                (VECTOR_END, b""),
                (ord("p"), PEER.write()),
                (ENTRY, entries[1].raw),
                (ENTRY, entries[2].raw),
                (SETTLED, full),
                (END, b""),
            ],
            said,
        )
        self.assertIsNotNone(script.lost)


class OnSocketsTests(TestCase):
    """Over a real connection of the loopback, which takes what it can hold and no more."""

    timeout = 60  # seconds
    count = 2000  # entries each way: more than the buffers hold

    def setUp(self) -> None:
        self.services: list[FileService] = []

    def listen(self, there: FakeReplica) -> tuple[str, int]:
        """A node with what `there` has; its address."""
        talks = Talks(OpenEnvelope(GROUP), {Sync: lambda *_: self.talk(there)})
        key = Ed25519PrivateKey.generate()
        service = FileService(NodeTLS(key), public(key), FakeShelf(), reactor, Limits(), talks)
        self.services.append(service)
        port = reactor.listenTCP(0, service.listening_factory(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return "127.0.0.1", port.getHost().port

    def talk(self, replica: FakeReplica) -> SyncTalk:
        return SyncTalk(replica, replica, [PEER], GROUP, reactor)

    async def sync(self, here: FakeReplica, *addresses: tuple[str, int]) -> None:
        """One SYNC with who goes along of these."""
        dialer = Dialer(reactor, NodeTLS(Ed25519PrivateKey.generate()))
        calls = Calls(dialer, OpenEnvelope(GROUP), reactor)
        try:
            await calls.call(Sync, lambda _: self.talk(here), addresses, lambda key: True)
        finally:
            while any(service.admission.connections for service in self.services):
                await deferLater(reactor, 0.001)

    async def test_much_both_ways(self) -> None:
        here, there = FakeReplica(*lines(author(), self.count)), FakeReplica()
        there.take(lines(author(), self.count))
        await self.sync(here, ("127.0.0.1", 1), self.listen(there))
        self.assertEqual(here.feeds, there.feeds)
        self.assertEqual((1, 1), (here.goodbyes, there.goodbyes))

    async def test_one_that_broke_off_is_not_begun_anew_elsewhere(self) -> None:
        here, bad, good = FakeReplica(*lines(author(), 1)), FakeReplica(), FakeReplica()
        bad.take(lines(author(b"another group"), 1))
        with self.assertRaises(ShareError):
            await self.sync(here, self.listen(bad), self.listen(good))
        self.assertEqual({}, good.feeds)

    async def test_nobody_who_goes_along(self) -> None:
        here, there = FakeReplica(), FakeReplica()
        there.fails = True
        with self.assertRaises(ShareError):
            await self.sync(here, self.listen(there))
