"""The bodies of ask, gone, head and vector: read as written, bounded, and never over a datagram."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_NUMBER, TEXT_MOST, Signer
from twistedp2p.core.feeds.feed import ASK_ITEMS, LOG_NAMES, Feed, Have, Heads
from twistedp2p.core.feeds.ranges import MAX_RANGES, count
from twistedp2p.core.feeds.requests import (
    GONE_RANGES,
    VECTOR_FEEDS,
    VECTOR_HASHES,
    Ask,
    Gone,
    Vector,
    head_fields,
    pack_haves,
    read_feeds,
    read_heads,
)
from twistedp2p.core.feeds.summary import BUCKETS, HASH_SIZE
from twistedp2p.core.names import b64

ORIGIN, OTHER = b"o" * 32, b"p" * 32
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32), b"255.255.255.255:65535")
NUMBERS = st.integers(0, MAX_NUMBER)
HAVES = st.builds(Have, st.binary(min_size=32, max_size=32), st.integers(1, MAX_NUMBER), NUMBERS,
                  NUMBERS)  # fmt: skip


def sent_size(kind: str, text: str) -> int:
    """Bytes of a datagram with the longest trailer."""
    numbers = MAX_NUMBER, MAX_NUMBER, MAX_NUMBER
    return len(SIGNER.sign(kind, *numbers, "😀" * 20, text).raw)


class Asks(SynchronousTestCase):
    def test_an_ask_is_read_as_written(self) -> None:
        for to in (None, OTHER):
            ask = Ask(ORIGIN, 3, {"chat": [(4, 9), (11, 11)], "offers": [(1, 93)]}, to)
            self.assertEqual(Ask.read(ask.write()), ask)

    def test_an_ask_for_more_than_its_share_is_cut(self) -> None:
        """Attack 40: one datagram asks for at most a hundred numbers."""
        fields = {"origin": b64(ORIGIN), "epoch": 1, "chat": [[1, 60], [70, 10**9]]}
        fields["offers"] = [[1, MAX_NUMBER]]
        gaps = Ask.read(json.dumps(fields)).gaps
        self.assertEqual(sum(map(count, gaps.values())), ASK_ITEMS)

    def test_a_malformed_ask_is_refused(self) -> None:
        """Attack 38."""
        good = {"origin": b64(ORIGIN), "epoch": 1, "chat": [[1, 2]]}
        no_keys = ["", "A" * 42, b64(ORIGIN) + "=", "é" * 43, "\ud800" * 43, None, 5,
                   b64(ORIGIN)[:-1] + "_", b64(b"o" * 31), b64(b"o" * 33)]  # fmt: skip
        for name, values in {
            "origin": no_keys,
            "to": no_keys,
            "epoch": [0, -1, 2**53, 1.0, "1", None],
            "chat": [None, 5, [5], [[0, 1]], [[2, 1]], [[1, 2**53]], [[1, 2]] * 2,
                     [[n, n] for n in range(1, 4 * ASK_ITEMS, 2)]],
        }.items():  # fmt: skip
            for value in values:
                self.assertRaises(BadBody, Ask.read, json.dumps({**good, name: value}))

    def test_it_covers_what_begins_in_it(self) -> None:
        ask = Ask(ORIGIN, 1, {"offers": [(3, 5), (9, 9)]})
        for gaps, covered in (
            ({"offers": [(3, 3)]}, True),
            ({"offers": [(5, 7), (8, 8)]}, True),
            ({"offers": [(9, 12)]}, True),
            ({"offers": [(2, 9)]}, False),
            ({"offers": [(6, 9)]}, False),
            ({"chat": [(3, 3)], "offers": [(3, 3)]}, False),
        ):
            self.assertEqual(ask.covers(gaps), covered, gaps)

    def test_the_largest_ask_fits_a_datagram(self) -> None:
        """Attack 40: a torn feed of huge numbers must not make an ask that cannot be sent."""
        for top in (10**3, 10**6, 10**9, MAX_NUMBER):
            feed = Feed(ORIGIN, MAX_NUMBER)
            first = top - 4 * MAX_RANGES if top > 10**4 else 1
            for log in LOG_NAMES:
                for number in range(first, top, 2)[:MAX_RANGES]:
                    feed.heard_entries(log, number, number)
            feed.heard_heads(Heads((first, top), (first, top)))
            ask = Ask(ORIGIN, MAX_NUMBER, feed.wanted(), OTHER)
            self.assertGreaterEqual(sum(map(len, ask.gaps.values())), 10)
            self.assertLessEqual(sent_size("ask", ask.write()), MAX_DATAGRAM)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(1, MAX_NUMBER), st.integers(0, 99)), max_size=40))
    def test_any_ask_fits_a_datagram_and_is_read_whole(self, held: list[tuple[int, int]]) -> None:
        feed = Feed(ORIGIN, MAX_NUMBER)
        for log in LOG_NAMES:
            for low, more in held:
                feed.have[log].add(low, min(MAX_NUMBER, low + more))
        feed.heard_heads(Heads((1, MAX_NUMBER), (1, MAX_NUMBER)))
        ask = Ask(ORIGIN, MAX_NUMBER, feed.wanted(), OTHER)
        self.assertLessEqual(sent_size("ask", ask.write()), MAX_DATAGRAM)
        self.assertEqual(Ask.read(ask.write()), ask)


class GonesAndHeads(SynchronousTestCase):
    def test_a_gone_is_read_as_written(self) -> None:
        for log in LOG_NAMES:
            ranges = [(1, 7), (9, 9), (11, MAX_NUMBER)]
            gone = Gone(log, tuple(ranges))
            self.assertEqual(Gone.read(gone.write()), gone)

    def test_a_malformed_gone_is_refused(self) -> None:
        """Attack 38."""
        for fields in ({}, {"log": "say", "ranges": []}, {"log": ["chat"], "ranges": []},
                       {"log": "chat", "ranges": [[2, 1]]}, {"log": "chat", "ranges": 5},
                       {"log": "chat", "ranges": [[n, n] for n in range(1, 99, 2)]}):  # fmt: skip
            self.assertRaises(BadBody, Gone.read, json.dumps(fields))

    def test_the_largest_gone_fits_a_datagram_and_is_read(self) -> None:
        low = MAX_NUMBER - 2 * GONE_RANGES
        runs = [(low + 2 * n, low + 2 * n) for n in range(GONE_RANGES)]
        text = Gone("offers", tuple(runs)).write()
        self.assertLessEqual(sent_size("gone", text), MAX_DATAGRAM)
        self.assertEqual(Gone.read(text), Gone("offers", tuple(runs)))

    def test_heads_are_read_as_written(self) -> None:
        for heads in (Heads(), Heads((3, MAX_NUMBER), (1, 1))):
            self.assertEqual(read_heads(body.read(body.write(head_fields(heads)))), heads)


class Vectors(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.lists(HAVES, max_size=VECTOR_FEEDS + 3))
    def test_an_answer_is_read_as_written_as_far_as_it_fits(self, haves: list[Have]) -> None:
        vector = Vector(feeds=tuple(haves))
        text = vector.write()
        read = Vector.read(text).feeds
        self.assertEqual(read, tuple(haves[: len(read)]))
        self.assertLessEqual(len(text), TEXT_MOST)
        self.assertGreaterEqual(len(read), min(len(haves), 8))

    def test_the_largest_question_fits_a_datagram(self) -> None:
        hashes = bytes(range(HASH_SIZE)) * VECTOR_HASHES
        vector = Vector(tuple(range(BUCKETS)), hashes)
        self.assertLessEqual(sent_size("vector", vector.write()), MAX_DATAGRAM)
        self.assertEqual(Vector.read(vector.write()), vector)

    def test_what_it_knows(self) -> None:
        self.assertEqual(Vector((1,), b"aaaabbbb").knows(), {b"aaaa", b"bbbb"})

    def test_a_malformed_vector_is_refused(self) -> None:
        """Attack 38."""
        good = {"buckets": [1, 2], "hashes": b64(b"aaaa")}
        for name, values in {
            "buckets": [None, [], 5, "1", [BUCKETS], [-1], [1.0], ["1"], [1] * 33, [[1]], [True]],
            "hashes": [None, 5, b64(b"aaa"), b64(b"a" * 4 * (VECTOR_HASHES + 1)), "é", "a==="],
            "feeds": [None, 5, "é", "AA", b64(ORIGIN), b64(ORIGIN + b"\0\1\1"),
                      b64(ORIGIN + b"\x81\0\1\1"), b64(ORIGIN + b"\xff" * 8 + b"\1\1"),
                      b64(ORIGIN + b"\xff" * 24), b64((ORIGIN + b"\1\1\1") * (VECTOR_FEEDS + 1))],
        }.items():  # fmt: skip
            for value in values:
                self.assertRaises(BadBody, Vector.read, json.dumps({**good, name: value}))

    @settings(deadline=None, max_examples=300)
    @given(st.binary(max_size=120))
    def test_any_packed_bytes_are_read_or_refused(self, packed: bytes) -> None:
        """Attack 38: and there is one way to write what is read."""
        try:
            haves = read_feeds({"feeds": b64(packed)}, "feeds")
        except BadBody:
            return
        self.assertEqual(pack_haves(haves, 10_000), b64(packed))
