"""The last events, kept once for all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.control.ring import BYTES_MOST, EVENTS_MOST, Ring


class RingTests(SynchronousTestCase):
    def test_what_came_after_is_there_in_its_order(self) -> None:
        ring = Ring()
        for text in (b"a", b"b", b"c"):
            ring.put(text)
        self.assertEqual(ring.after(0), [(1, b"a"), (2, b"b"), (3, b"c")])
        self.assertEqual(ring.after(2), [(3, b"c")])
        self.assertEqual(ring.after(3), [])

    def test_of_a_transfer_the_latest_progress_alone_is_kept(self) -> None:
        ring = Ring()
        for number in range(10 * EVENTS_MOST):
            ring.put(b"progress %d" % number, 1 + number % 2)
        self.assertEqual(len(ring.after(0)), 2)
        self.assertEqual(ring.forgotten, 0)

    def test_the_oldest_makes_room(self) -> None:
        ring = Ring()
        for number in range(EVENTS_MOST + 2):
            ring.put(b"%d" % number)
        self.assertEqual((ring.forgotten, len(ring.after(0))), (2, EVENTS_MOST))
        large = Ring()
        for _ in range(3):
            large.put(b"x" * (BYTES_MOST // 2))
        self.assertEqual((large.forgotten, len(large.after(0))), (1, 2))

    @given(st.lists(st.tuples(st.integers(0, 3_000_000), st.sampled_from([None, 1, 2]))))
    def test_it_never_grows_and_loses_nothing_in_secret(
        self, events: list[tuple[int, int | None]]
    ) -> None:
        ring = Ring()
        for number, (size, transfer) in enumerate(events, 1):
            ring.put(bytes(size), transfer)
            kept = dict(ring.after(0))
            self.assertLessEqual(sum(map(len, kept.values())), BYTES_MOST)
            self.assertEqual(ring.last, number)
            plain = {
                each + 1
                for each, (_, other) in enumerate(events[:number])
                if other is None and each + 1 > ring.forgotten
            }
            self.assertLessEqual(plain, set(kept))
