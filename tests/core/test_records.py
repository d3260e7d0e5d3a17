"""Cutting a stream into records, whatever the stream is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.records import END, ENTRY, MAX_RECORD, BadRecord, Records, record

CONTENTS = st.tuples(st.integers(0, 255), st.binary(max_size=MAX_RECORD))


def cut(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], int]:
    """The records of a stream that comes in these pieces, and how many bytes are left."""
    records, found = Records(), []
    for piece in pieces:
        records.feed(piece)
        while (one := records.next()) is not None:
            found.append(one)
    return found, len(records)


class RecordsTests(SynchronousTestCase):
    @given(st.lists(CONTENTS, max_size=20), st.data())
    def test_they_come_out_as_they_went_in_however_the_stream_is_cut(self, said, data) -> None:
        stream = b"".join(record(*one) for one in said)
        at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
        pieces = [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]
        self.assertEqual((said, 0), cut(pieces))

    @given(st.binary(max_size=5000))
    def test_any_bytes_are_records_or_refused(self, stream: bytes) -> None:
        """Attack 19: whatever comes, no more than one record is ever waited for."""
        try:
            found, left = cut([stream])
        except BadRecord:
            return
        self.assertEqual(len(stream), left + sum(3 + len(content) for _, content in found))
        self.assertLess(left, 3 + MAX_RECORD)

    def test_the_bytes(self) -> None:
        self.assertEqual(b"\0\2eab", record(ENTRY, b"ab"))
        self.assertEqual(b"\0\0z", record(END))

    def test_the_longest(self) -> None:
        longest = record(ENTRY, bytes(MAX_RECORD))
        self.assertEqual(([(ENTRY, bytes(MAX_RECORD))], 0), cut([longest]))
        self.assertRaises(BadRecord, record, ENTRY, bytes(MAX_RECORD + 1))

    def test_one_that_is_too_long_is_refused_at_its_head(self) -> None:
        """Attack 19: a record without end."""
        records = Records()
        records.feed((MAX_RECORD + 1).to_bytes(2, "big") + b"e")
        self.assertRaises(BadRecord, records.next)
