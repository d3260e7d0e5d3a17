"""Three ways of writing which pieces somebody has."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.swarm.bitmap import (
    bitmap_size,
    from_bitmap,
    from_number,
    to_bitmap,
    to_number,
)

PIECES = st.lists(st.integers(0, 1), max_size=70).map(bytearray)


class BitmapTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(PIECES)
    def test_a_bitmap_is_read_back(self, have: bytearray) -> None:
        bitmap = to_bitmap(have)
        self.assertEqual(bitmap_size(len(have)), len(bitmap))
        self.assertEqual(have, from_bitmap(bitmap, len(have)))

    @settings(deadline=None)
    @given(PIECES)
    def test_a_number_is_read_back(self, have: bytearray) -> None:
        self.assertEqual(have, from_number(to_number(have), len(have)))

    def test_piece_0_is_the_highest_bit_of_a_bitmap_and_the_lowest_of_a_number(
        self,
    ) -> None:
        have = bytearray([1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
        self.assertEqual(b"\x80\x40", to_bitmap(have))
        self.assertEqual(1 + 2**9, to_number(have))

    def test_any_byte_but_0_is_a_piece_that_is_there(self) -> None:
        have = bytearray([255, 0, 2])
        self.assertEqual(b"\xa0", to_bitmap(have))
        self.assertEqual(5, to_number(have))

    def test_what_is_no_bitmap_of_so_many(self) -> None:
        """Attack 38."""
        for wrong in (b"", b"\0", b"\0\1", bytes(3)):
            self.assertRaises(ValueError, from_bitmap, wrong, 10)
