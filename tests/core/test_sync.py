"""The states of a SYNC, the bytes of its records, and two replicas that become alike."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.conversation import Violation
from twistedp2p.core.calls.records import (
    END,
    ENTRY,
    PEERS,
    SETTLED,
    TEXT,
    VECTOR,
    VECTOR_END,
    BadRecord,
    Records,
)
from twistedp2p.core.calls.sync import (
    MAX_FEEDS,
    MAX_PEERS_TOLD,
    Ended,
    Entry,
    Exchange,
    Heard,
    Learnt,
    LivePeer,
    Settled,
    Theirs,
    read_have,
    read_peers,
    say_difference,
    say_peers,
    say_vector,
    write_have,
)
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed, Signer
from twistedp2p.core.feeds.feed import Have

ANNA, BOB, CARL = b"a" * 32, b"b" * 32, b"c" * 32
KINDS = [VECTOR, VECTOR_END, PEERS, ENTRY, SETTLED, TEXT, END, 0]


class FakeReplica:
    """Feeds of one epoch: for each origin the chat lines 1 to n, and those that it heard of."""

    def __init__(self, **chat: int) -> None:
        self.chat = {name.encode() * 32: count for name, count in chat.items()}
        self.entries: list[bytes] = []
        self.settled_as: list[Have] = []
        self.drawn = 0

    def vector(self) -> list[Have]:
        return [Have(origin, 1, count, 0) for origin, count in self.chat.items()]

    def lacking(self, theirs: Sequence[Have]) -> list[Have]:
        there = {have.origin: have for have in theirs}
        return [
            there.get(origin, Have(origin, 1, 0, 0))
            for origin, count in self.chat.items()
            if origin not in there or there[origin].chat < count
        ]

    def has(self, entry: Signed) -> bool:
        return False

    def entries_above(self, have: Have) -> Iterator[bytes]:
        for number in range(have.chat + 1, self.chat[have.origin] + 1):
            self.drawn += 1
            yield have.origin + b"%d" % number

    def settled(self, have: Have) -> None:
        self.settled_as.append(have)
        self.chat[have.origin] = max(self.chat.get(have.origin, 0), have.chat)


def records_of(stream: Iterator[bytes]) -> list[tuple[int, bytes]]:
    records, found = Records(), []
    for one in stream:
        records.feed(one)
    while (cut := records.next()) is not None:
        found.append(cut)
    return found


def vector(*haves: Have) -> bytes:
    return b"".join(write_have(have) for have in haves)


def exchange(a: FakeReplica, b: FakeReplica) -> None:
    """All of one SYNC between two replicas."""
    ends = (a, b), (b, a)
    vectors = {id(end): end.vector() for end in (a, b)}
    hearing = {id(end): Exchange() for end in (a, b)}
    for end, other in ends:
        for one in records_of(say_vector(vectors[id(other)])):
            hearing[id(end)].heard(*one)
    for end, other in ends:
        said = say_difference(other, vectors[id(other)], vectors[id(end)])
        for one in records_of(said):
            heard = hearing[id(end)].heard(*one)
            if isinstance(heard, Entry):
                end.entries.append(heard.raw)
            elif isinstance(heard, Settled):
                end.settled(heard.have)
    for end in (a, b):
        assert hearing[id(end)].state == "ended"


class DifferenceTests(SynchronousTestCase):
    @given(*[st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5))] * 2)
    def test_two_that_were_in_sync_have_the_same(self, one, other) -> None:
        a, b = FakeReplica(**one), FakeReplica(**other)
        exchange(a, b)
        self.assertEqual(a.chat, b.chat)
        self.assertEqual(a.drawn + b.drawn, sum(abs(one.get(x, 0) - other.get(x, 0))
                                                for x in "abcdefgh"))  # fmt: skip
        exchange(a, b)
        self.assertEqual(len(a.entries), b.drawn)

    def test_nothing_is_drawn_before_it_is_needed(self) -> None:
        replica = FakeReplica(a=100_000)
        said = say_difference(replica, replica.vector(), [])
        next(said)
        self.assertEqual(1, replica.drawn)

    def test_small_differences_come_first(self) -> None:
        replica = FakeReplica(a=9, b=2, c=5)
        said = records_of(say_difference(replica, replica.vector(), [Have(ANNA, 1, 8, 0)]))
        origins = [content[:32] for kind, content in said if kind == SETTLED]
        self.assertEqual([ANNA, BOB, CARL], origins)

    def test_a_long_feed_is_settled_as_it_goes(self) -> None:
        """Of many offers that were withdrawn since, the gaps alone would be too many to note."""
        signer = Signer(Ed25519PrivateKey.generate(), b"group")
        chat = [signer.sign("say", 1, number, 0, "", "x").raw for number in range(1, 151)]
        offers = [signer.sign("offer", 1, 2 * number, 0, "", "{}").raw for number in range(1, 151)]
        ours = Have(signer.key, 1, 150, 250)
        replica = FakeReplica()
        replica.vector = lambda: [ours]
        replica.lacking = lambda theirs: [Have(signer.key, 0, 0, 0)]
        replica.entries_above = lambda have: iter(chat + offers)
        said = records_of(say_difference(replica, [ours], []))
        settled = [read_have(content) for kind, content in said if kind == SETTLED]
        key = signer.key
        expected = [(100, 0), (150, 100), (150, 250), (150, 250)]
        self.assertEqual([Have(key, 1, *numbers) for numbers in expected], settled)

    def test_a_feed_that_began_since_is_for_another_time(self) -> None:
        replica = FakeReplica(a=1)
        mine = replica.vector()
        replica.chat[BOB] = 1
        said = records_of(say_difference(replica, mine, []))
        self.assertEqual([ENTRY, SETTLED, END], [kind for kind, _ in said])


class ExchangeTests(SynchronousTestCase):
    def heard(self, *said: tuple[int, bytes]) -> list[Heard | None]:
        exchange = Exchange()
        return [exchange.heard(*one) for one in said]

    def refused(self, *said: tuple[int, bytes]) -> None:
        exchange = Exchange()
        for one in said[:-1]:
            exchange.heard(*one)
        self.assertRaises((Violation, BadRecord), exchange.heard, *said[-1])

    def test_all_of_it(self) -> None:
        have = Have(ANNA, 7, 12, 3)
        peer = LivePeer(BOB, "10.0.0.2", 40_000, 9393)
        said = [
            (VECTOR, write_have(have)),
            (VECTOR_END, b""),
            (PEERS, peer.write()),
            (ENTRY, b"raw"),
            (SETTLED, write_have(have)),
            (END, b""),
        ]
        heard = [None, Theirs([have]), Learnt([peer]), Entry(b"raw"), Settled(have), Ended()]
        self.assertEqual(heard, self.heard(*said))

    def test_an_empty_vector(self) -> None:
        self.assertEqual([Theirs([]), Ended()], self.heard((VECTOR_END, b""), (END, b"")))

    def test_the_wrong_moment(self) -> None:
        start, end = (VECTOR_END, b""), (END, b"")
        have = Have(ANNA, 1, 1, 1)
        for kind in (ENTRY, SETTLED, PEERS, END, TEXT, 0):
            self.refused((kind, b""))
        self.refused(start, (VECTOR, write_have(have)))
        self.refused(start, start)
        for one in ((ENTRY, b"x"), end, start):
            self.refused(start, end, one)

    def test_nobody_settles_more_than_he_has(self) -> None:
        """Attack 38: a partner that settles what it does not have."""
        have = Have(ANNA, 1, 5, 5)
        start = (VECTOR, write_have(have)), (VECTOR_END, b"")
        for numbers in ((BOB, 1, 5, 5), (ANNA, 2, 5, 5), (ANNA, 1, 6, 5), (ANNA, 1, 5, 6)):
            self.refused(*start, (SETTLED, write_have(Have(*numbers))))
        less = Have(ANNA, 1, 3, 0)
        said = [(SETTLED, write_have(less)), (SETTLED, write_have(have))]
        self.assertEqual([Settled(less), Settled(have)], self.heard(*start, *said)[2:])

    def test_a_vector_has_an_end(self) -> None:
        """Attack 40: a vector without end, or with one feed again and again."""
        have = Have(ANNA, 1, 1, 1)
        self.refused((VECTOR, write_have(have)), (VECTOR, write_have(have)))
        self.refused((VECTOR, vector(have, have)))
        many = [
            (VECTOR, write_have(Have(number.to_bytes(32, "big"), 1, 1, 1)))
            for number in range(MAX_FEEDS + 1)
        ]
        self.refused(*many)

    def test_peers_have_an_end(self) -> None:
        """Attack 40: peers without end."""
        peer = (PEERS, LivePeer(BOB, "10.0.0.2", 40_000, 9393).write())
        self.refused((VECTOR_END, b""), *[peer] * (MAX_PEERS_TOLD + 1))

    def test_contents_of_another_size(self) -> None:
        have = write_have(Have(ANNA, 1, 1, 1))
        for bad in (b"", have[:-1], have + b"x"):
            self.refused((VECTOR, bad))
        self.refused((VECTOR_END, b"x"))
        self.refused((VECTOR_END, b""), (END, b"x"))
        self.refused((VECTOR, have), (VECTOR_END, b""), (SETTLED, have + have))

    @given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=120))))
    def test_any_records_are_understood_or_refused(self, said) -> None:
        exchange = Exchange()
        for one in said:
            try:
                exchange.heard(*one)
            except (Violation, BadRecord):
                return


class HaveTests(SynchronousTestCase):
    @given(
        st.binary(min_size=32, max_size=32),
        st.integers(1, MAX_NUMBER),
        *[st.integers(0, MAX_NUMBER)] * 2,
    )
    def test_there_and_back(self, origin, epoch, chat, offers) -> None:
        have = Have(origin, epoch, chat, offers)
        self.assertEqual(have, read_have(write_have(have)))

    def test_numbers_out_of_bounds(self) -> None:
        for numbers in ((0, 0, 0), (MAX_NUMBER + 1, 0, 0), (1, 2**63, 0), (1, 0, MAX_NUMBER + 1)):
            content = struct.pack(">32sQQQ", ANNA, *numbers)
            self.assertRaises(BadRecord, read_have, content)

    def test_the_bytes(self) -> None:
        numbers = b"".join(number.to_bytes(8, "big") for number in (7, 12, 3))
        self.assertEqual(ANNA + numbers, write_have(Have(ANNA, 7, 12, 3)))


class PeersTests(SynchronousTestCase):
    def test_there_and_back_in_records(self) -> None:
        hosts = ["10.0.0.1", "fe80::1", "2001:db8:1111:2222:3333:4444:5555:6666"]
        peers = [
            LivePeer(bytes([number]) * 32, hosts[number % 3], 40_000 + number, 9393)
            for number in range(100)
        ]
        said = records_of(say_peers(peers))
        self.assertGreater(len(said), 1)
        self.assertEqual(peers, [peer for _, content in said for peer in read_peers(content)])
        self.assertEqual([], list(say_peers([])))

    def test_the_bytes(self) -> None:
        content = LivePeer(ANNA, "10.0.0.1", 40_000, 9393).write()
        self.assertEqual(ANNA + b"\x9c\x40\x24\xb1\x0810.0.0.1", content)

    def test_addresses_where_no_node_is(self) -> None:
        """Attack 39: peers at broadcast-like, scoped and privileged places."""
        good = LivePeer(ANNA, "10.0.0.1", 40_000, 9393)
        read_peers(good.write())
        read_peers(LivePeer(ANNA, "10.0.0.1", 40_000, 0).write())
        for host in ("239.0.0.1", "ff02::1", "0.0.0.0", "::", "fe80::1%eth0", "localhost", "1.2"):
            bad = LivePeer(ANNA, host, 40_000, 9393)
            self.assertRaises(BadRecord, read_peers, bad.write())
        for port, files in ((53, 9393), (0, 9393), (40_000, 80)):
            bad = LivePeer(ANNA, "10.0.0.1", port, files)
            self.assertRaises(BadRecord, read_peers, bad.write())

    @given(st.binary(max_size=200))
    def test_any_bytes_are_peers_or_refused(self, content: bytes) -> None:
        try:
            peers = read_peers(content)
        except BadRecord:
            return
        self.assertLessEqual(len(peers), len(content) // 38)
