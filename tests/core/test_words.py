import itertools
import math
import re
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.words import (
    LIST_SIZE,
    looks_generated,
    three_words,
    words,
)


class GeneratedPasswordTests(SynchronousTestCase):
    def test_entropy_is_the_promised_one(self):
        """Attack 20: generated passwords have the entropy promised (CVE-2025-32898)."""
        asked = []

        def choose(n):
            asked.append(n)
            return 0

        three_words(choose)
        self.assertEqual(asked, [7776, 7776, 7776])
        self.assertEqual(len(set(words())), 7776)
        self.assertEqual(LIST_SIZE, 7776)
        self.assertGreaterEqual(math.log2(len(words()) ** len(asked)), 38.7)

    def test_every_word_is_as_likely(self):
        """Attack 20: the choice is even: each number gives one word, in each of the places."""
        for place in range(3):
            found = Counter()
            for index in range(LIST_SIZE):
                numbers = iter([0] * place + [index] + [0] * (2 - place))
                found[three_words(lambda _, numbers=numbers: next(numbers)).split("-")[place]] += 1
            self.assertEqual(len(found), LIST_SIZE)
            self.assertEqual(set(found.values()), {1})

    def test_the_default_choice_reaches_far(self):
        """Attack 20: two thousand passwords in a row are all different."""
        self.assertEqual(len({three_words() for _ in range(2000)}), 2000)

    def test_words_are_plain_letters(self):
        for word in words():
            self.assertTrue(re.fullmatch("[a-z]{3,9}", word), word)

    def test_no_word_is_the_beginning_of_another(self):
        in_order = sorted(words())
        for one, following in itertools.pairwise(in_order):
            self.assertFalse(following.startswith(one), (one, following))

    @settings(deadline=None)
    @given(st.lists(st.integers(0, LIST_SIZE - 1), min_size=3, max_size=3))
    def test_a_password_tells_its_three_words_and_looks_generated(self, numbers):
        left = iter(numbers)
        password = three_words(lambda _: next(left))
        self.assertEqual(password.split("-"), [words()[number] for number in numbers])
        self.assertTrue(looks_generated(password))

    def test_what_people_choose_does_not_look_generated(self):
        for password in (
            "",
            "monpass",
            "abacus",
            "abacus-abdomen",
            "abacus-abdomen-abide-abiding",
            "abacus abdomen abide",
            "Abacus-abdomen-abide",
            "abacus-abdomen-",
            "yo-yo-abide",
            "abacus-abdomen-xyzzy",
        ):
            self.assertFalse(looks_generated(password), password)
