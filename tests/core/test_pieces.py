"""Asks and their answers, as a stranger may make them."""

from __future__ import annotations

import json
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.pieces import (
    ASK,
    BYTES,
    HAVE,
    MAX_PEERS,
    NEXT,
    NONE,
    NUMBER,
    PEERS,
    PEERS_SIZE,
    TREE,
    Ask,
    AskReader,
    BadAsk,
    Extent,
    piece_number,
    read_peers,
    write_peers,
)
from twistedp2p.core.content.tree import PIECE_LEAST

SIZE = 20 * PIECE_LEAST + 5  # bytes: 21 pieces
EXTENT = Extent(SIZE, 100)


def _is_a_host(text: str) -> bool:
    host = ip_address(text)
    return not (host.is_multicast or host.is_unspecified or getattr(host, "ipv4_mapped", None))


class AskTests(SynchronousTestCase):
    def read(self, *asks: Ask, step: int = 10**6, extent: Extent = EXTENT) -> list[Ask]:
        """What the owner's end makes of them, `step` bytes at a time."""
        reader, found = AskReader(extent), []
        data = b"".join(ask.write() for ask in asks)
        for at in range(0, len(data), step):
            found += reader.received(data[at : at + step])
        return found

    @settings(deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [
                    Ask(BYTES, 0, SIZE),
                    Ask(BYTES, 5, 7),
                    Ask(TREE),
                    Ask(HAVE),
                    Ask(NEXT, have=b"abc"),
                    Ask(PEERS, 9393),
                ]
            )
        ),
        st.integers(1, 100),
    )
    def test_asks_are_read_however_they_come(self, asks: list[Ask], step: int) -> None:
        self.assertEqual(asks, self.read(*asks, step=step))

    def test_what_is_not_there(self) -> None:
        """Attack 18: beyond the end, overflowing, empty."""
        for a, b in ((0, 0), (SIZE, 1), (0, SIZE + 1), (1, SIZE), (2**64 - 1, 1), (1, 2**64 - 1)):
            self.assertRaises(BadAsk, self.read, Ask(BYTES, a, b))

    def test_kinds_that_nobody_knows_and_fields_that_nobody_uses(self) -> None:
        """Attack 38."""
        for ask in (
            Ask(0),
            Ask(6),
            Ask(255),
            Ask(TREE, 1),
            Ask(HAVE, 0, 1),
            Ask(PEERS, 65_536),
            Ask(PEERS, 80),
            Ask(PEERS, 9393, 1),
            Ask(NEXT, 1, have=b"abc"),
        ):
            self.assertRaises(BadAsk, self.read, ask)
        self.assertRaises(BadAsk, self.read, Ask(NEXT), extent=Extent(0, 0))

    def test_every_answer_has_a_size_that_both_know(self) -> None:
        sizes = {
            Ask(BYTES, 3, 4): 4,
            Ask(TREE): 100 + 21 * 32,
            Ask(HAVE): 3,
            Ask(NEXT): 8,
            Ask(PEERS): PEERS_SIZE,
        }
        for ask, size in sizes.items():
            self.assertEqual(size, EXTENT.answer_size(ask))
        self.assertEqual(17, ASK.size)
        self.assertEqual(0, Extent(0, 0).bitmap)


class AnswerTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.ip_addresses().map(str).filter(_is_a_host), st.integers(1024, 65_535)),
            max_size=20,
        )
    )
    def test_peers_are_read_back_as_far_as_there_is_room(
        self, peers: list[tuple[str, int]]
    ) -> None:
        data = write_peers(peers)
        self.assertEqual(PEERS_SIZE, len(data))
        found = read_peers(data)
        self.assertEqual(peers[: len(found)], found)

    def test_what_is_no_list_of_peers(self) -> None:
        """Attack 38; and 39: no other port than a node's, no name to look up."""
        many = json.dumps([["10.0.0.1", 2000]] * (MAX_PEERS + 1)).encode()
        for data in (
            b"",
            b"{}",
            b"[" * 1024,
            b"[1]",
            b'[["a"]]',
            b'[["10.0.0.1",0]]',
            b'[["10.0.0.1",1023]]',
            b'[["10.0.0.1",65536]]',
            b'[["10.0.0.1",true]]',
            b'[["10.0.0.1",2000.0]]',
            b"[[1,2000]]",
            b'[["a",2000]]',
            b'[["fe80::1%eth0",2000]]',
            b'[["239.0.0.1",2000]]',
            b'[["0.0.0.0",2000]]',
            b'[["::ffff:127.0.0.1",2000]]',
            b'[["::ffff:0.0.0.0",2000]]',
            b"\xff",
            many,
        ):
            self.assertRaises(ValueError, read_peers, data)

    def test_the_number_of_a_piece(self) -> None:
        self.assertEqual(7, piece_number(NUMBER.pack(7)))
        self.assertIsNone(piece_number(NUMBER.pack(NONE)))
        self.assertRaises(ValueError, piece_number, NUMBER.pack(2**60))
