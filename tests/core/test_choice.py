"""Which piece is asked of whom."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.content.choice import MOST_BAD, Choice


def choice(count: int, seed: int = 1) -> Choice:
    return Choice(bytearray(count), Random(seed))


class ChoiceTests(SynchronousTestCase):
    def test_one_source_is_asked_for_runs_in_order(self) -> None:
        it = choice(10)
        it.source("owner", None, owner=True)
        self.assertEqual([0, 1, 2, 3], it.next("owner", 4))
        self.assertEqual([4, 5, 6, 7], it.next("owner", 4))
        self.assertEqual([8, 9], it.next("owner", 4))
        self.assertEqual([], it.next("owner", 4))
        self.assertTrue(it.all_asked())

    def test_what_is_here_is_not_asked_for(self) -> None:
        it = Choice(bytearray(b"\1\0\0\1\0"), Random(1))
        it.source("owner", None, owner=True)
        self.assertEqual([1, 2], it.next("owner", 4))
        self.assertEqual([4], it.next("owner", 4))

    def test_the_rarest_comes_first(self) -> None:
        it = choice(3)
        it.source("a", bytearray(b"\1\1\0"), owner=False)
        it.source("b", bytearray(b"\1\1\1"), owner=False)
        self.assertEqual([2], it.next("b", 1))

    def test_of_the_owner_what_no_other_has(self) -> None:
        it = choice(4)
        it.source("owner", None, owner=True)
        it.source("a", bytearray(b"\1\1\0\1"), owner=False)
        self.assertEqual([2], it.next("owner", 1))

    def test_nothing_of_a_source_that_has_nothing(self) -> None:
        it = choice(4)
        it.source("a", bytearray(4), owner=False)
        it.source("b", None, owner=False)
        self.assertEqual([], it.next("a", 1))
        self.assertEqual([], it.next("nobody", 1))

    def test_at_the_end_a_second_source_is_asked_and_no_third(self) -> None:
        it = choice(2)
        for key in "abc":
            it.source(key, None, owner=False)
        first = it.next("a", 1) + it.next("a", 1)
        self.assertEqual(first, it.next("b", 1) + it.next("b", 1))
        self.assertEqual([], it.next("c", 1))

    def test_what_one_who_goes_was_asked_for_is_free(self) -> None:
        it = choice(4)
        it.source("a", None, owner=False)
        it.source("b", None, owner=False)
        asked = it.next("a", 1)
        it.gone("a")
        self.assertFalse(it.all_asked())
        self.assertIn(asked[0], it.next("b", 4))

    def test_a_bad_piece_is_not_asked_of_the_same_again_and_three_end_it(self) -> None:
        it = choice(10)
        it.source("a", None, owner=False)
        for _ in range(MOST_BAD):
            self.assertFalse(it.shuns("a"))
            (index,) = it.next("a", 1)
            it.came("a", index, good=False)
            self.assertEqual(0, it.asked_or_here()[index])
        self.assertTrue(it.shuns("a"))
        self.assertEqual([], it.next("a", 1))

    def test_what_the_owner_chose_is_asked_of_nobody_else(self) -> None:
        it = choice(1)
        it.source("owner", None, owner=True)
        it.source("a", None, owner=False)
        it.took("owner", 0)
        self.assertTrue(it.all_asked())
        it.came("owner", 0, good=True)
        self.assertEqual([], it.next("a", 1))

    @settings(deadline=None)
    @given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 1000), st.data())
    def test_every_piece_comes_whoever_goes_or_lies(
        self, count: int, sources: int, seed: int, data: st.DataObject
    ) -> None:
        it = choice(count, seed)
        here, asked = set[int](), Counter[int]()
        it.source("owner", None, owner=True)
        for key in range(sources):
            has = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
            it.source(key, bytearray(has), owner=False)
        alive: list[int | str] = list(range(sources))
        for _ in range(20 * count):
            key = data.draw(st.sampled_from([*alive, "owner"]))
            run = it.next(key, 4)
            asked.update(run)
            fate = data.draw(st.sampled_from(("good", "good", "bad", "gone")))
            if fate == "gone" and key != "owner":
                it.gone(key)
                alive.remove(key)
                continue
            for index in run:
                good = key == "owner" or fate == "good"
                it.came(key, index, good)
                if good:
                    here.add(index)
        while run := it.next("owner", 4):
            for index in run:
                it.came("owner", index, good=True)
                here.add(index)
        self.assertEqual(set(range(count)), here)
