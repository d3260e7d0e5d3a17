from __future__ import annotations

import resource

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net.descriptors import make_room

NEVER = resource.RLIM_INFINITY


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.limits = (1024, 4096)
        self.bound = 10**9  # of the system itself
        self.patch(resource, "getrlimit", lambda _kind: self.limits)
        self.patch(resource, "setrlimit", self.set)

    def set(self, kind: int, limits: tuple[int, int]) -> None:
        self.assertEqual(resource.RLIMIT_NOFILE, kind)
        if limits[0] > self.bound:
            raise ValueError("not that many")
        self.limits = limits

    def test_it_is_raised_as_far_as_needed(self) -> None:
        self.assertEqual(3000, make_room(3000))
        self.assertEqual((3000, 4096), self.limits)

    def test_it_is_raised_no_further_than_allowed(self) -> None:
        self.assertEqual(4096, make_room(5000))
        self.assertEqual((4096, 4096), self.limits)

    def test_a_system_with_a_bound_of_its_own(self) -> None:
        self.limits, self.bound = (256, NEVER), 10_240
        self.assertEqual(256, make_room(20_000))
        self.assertEqual((256, NEVER), self.limits)

    @given(st.integers(0, 2**20), st.integers(0, 2**20), st.integers(1, 2**20))
    def test_it_is_never_lowered(self, soft: int, more: int, needed: int) -> None:
        for hard in (soft + more, NEVER):
            self.limits = (soft, hard)
            allowed = make_room(needed)
            self.assertGreaterEqual(self.limits[0], soft)
            self.assertEqual(hard, self.limits[1])
            self.assertEqual(allowed >= needed, self.limits[0] >= needed)

    def test_no_limit_stays_none(self) -> None:
        self.limits = (NEVER, NEVER)
        self.assertEqual(7, make_room(7))
        self.assertEqual((NEVER, NEVER), self.limits)
