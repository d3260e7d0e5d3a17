"""Codes of closed groups: how they are made, and what is read as one."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.codes import MAX_TYPED, make_code, read_code
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.words import LIST_SIZE, words

CODE = make_code(lambda n: 4242)
NUMBERS = st.lists(st.integers(0, LIST_SIZE - 1), min_size=5, max_size=5)


def code_of(numbers: list[int]) -> str:
    left = iter(numbers)
    return make_code(lambda _: next(left))


class Making(SynchronousTestCase):
    def test_the_entropy_is_the_promised_one(self) -> None:
        """Attack 20: a code has five words, each chosen out of all."""
        asked: list[int] = []

        def choose(n: int) -> int:
            asked.append(n)
            return 0

        make_code(choose)
        self.assertEqual(asked, [7776] * 5)
        self.assertGreaterEqual(math.log2(len(set(words())) ** len(asked)), 64.6)
        self.assertEqual(len({make_code() for _ in range(500)}), 500)

    def test_nodes_of_different_versions_agree_on_the_check(self) -> None:
        self.assertEqual(code_of([0, 1, 2, 3, 4]), "abacus-abdomen-abdominal-abide-abiding-03")

    @settings(deadline=None)
    @given(NUMBERS)
    def test_what_is_made_is_read_as_it_is(self, numbers: list[int]) -> None:
        code = code_of(numbers)
        self.assertEqual(code.split("-")[:5], [words()[number] for number in numbers])
        self.assertEqual(read_code(code), code)


class Reading(SynchronousTestCase):
    def refused(self, typed: str) -> str:
        error: ShareError = self.assertRaises(ShareError, read_code, typed)
        self.assertEqual(error.code, Exit.NO_INPUT)
        return str(error)

    def test_case_and_what_is_between_the_words_do_not_matter(self) -> None:
        spaced = CODE.replace("-", " ")
        for typed in (
            CODE.upper(),
            spaced,
            f"  {spaced}\t\r\n",
            CODE.replace("-", " – "),
            CODE.replace("-", "_").title(),
            CODE.replace("-", ", "),
            CODE.translate({ord("a") + n: 0xFF41 + n for n in range(26)}),  # full width
        ):
            self.assertEqual(read_code(typed), CODE, typed)

    def test_what_a_person_thinks_up_is_refused_with_the_reason(self) -> None:
        for typed in (
            "",
            "monpass",
            "correct horse battery staple",
            "the quick brown fox jumps over",
            CODE.rpartition("-")[0],
            CODE.rpartition("-")[0] + "-7",
            CODE + "-7",
            CODE.rpartition("-")[0] + "-٤٢",
            "-".join([*CODE.split("-")[:4], "42"]),
            "x" * 10**6,
            CODE + " " * MAX_TYPED + "x",
            "-" * MAX_TYPED,
        ):
            self.assertIn("five words and two digits", self.refused(typed), typed[:80])
            self.assertIn("whoever captures one datagram", self.refused(typed))

    def test_a_word_that_is_not_in_the_list_is_told_by_its_place_alone(self) -> None:
        """Attack 46: what was typed may be a secret, and errors come into logs."""
        parts = CODE.split("-")
        for place in range(5):
            typed = "-".join([*parts[:place], "xyzzy", *parts[place + 1 :]])
            sentence = self.refused(typed)
            self.assertIn(f"Word {place + 1} ", sentence)
            self.assertNotIn("xyzzy", sentence)
            self.assertNotIn(parts[0], sentence)

    def test_words_in_another_order_and_other_digits_are_told(self) -> None:
        code = code_of([1, 2, 3, 4, 5])
        one, two, *rest = code.split("-")
        self.assertIn("mistyped", self.refused("-".join([two, one, *rest])))
        wrong = f"{(int(rest[-1]) + 1) % 100:02}"
        self.assertIn("mistyped", self.refused("-".join([one, two, *rest[:-1], wrong])))

    @settings(deadline=None)
    @given(NUMBERS, st.integers(0, 4), st.integers(0, LIST_SIZE - 1))
    def test_almost_every_other_word_is_told(
        self, numbers: list[int], place: int, other: int
    ) -> None:
        typed = code_of(numbers).split("-")
        typed[place] = words()[other]
        try:
            read = read_code("-".join(typed))
        except ShareError:
            return
        self.assertEqual(read, "-".join(typed))  # one in a hundred, or the same word
        self.assertEqual(read_code(read), read)

    @settings(deadline=None)
    @given(st.text(max_size=300))
    def test_any_text_is_read_or_refused(self, typed: str) -> None:
        try:
            code = read_code(typed)
        except ShareError:
            return
        self.assertEqual(read_code(code), code)
