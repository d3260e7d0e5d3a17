"""Whom to ask for what: each piece once, the rarest first, and nobody waited for at the end."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.swarm.choice import TWICE_MOST, Choice, _nth, _run

COUNT = 20


def some(*pieces, count=COUNT):
    """A byte for each piece."""
    return bytes(index in pieces for index in range(count))


class ChoiceTests(SynchronousTestCase):
    def choice(self, have=(), count=COUNT):
        return Choice(count, some(*have, count=count), random.Random(1).randrange)

    def drained(self, choice, key, most=1):
        """All that a source is asked for until there is no more for it."""
        found = []
        while asked := choice.next(key, most):
            found += asked
        return found


class OneSourceTests(ChoiceTests):
    def test_one_source_is_asked_for_rows(self):
        choice = self.choice(have=(0, 5, 18))
        choice.source("owner", None, owner=True)
        rows = [choice.next("owner", 8) for _ in range(5)]
        self.assertEqual(rows, [[1, 2, 3, 4], list(range(6, 14)), [14, 15, 16, 17], [19], []])

    def test_what_it_has_not_is_not_asked_for(self):
        choice = self.choice(have=(3,))
        choice.source("peer", some(2, 3, 4, 9))
        self.assertEqual([choice.next("peer", 16) for _ in range(4)], [[2], [4], [9], []])
        choice.source("peer", some(2, 3, 4, 9, 10))
        self.assertEqual(choice.next("peer", 16), [10])

    def test_who_is_not_known_is_asked_nothing(self):
        choice = self.choice()
        self.assertEqual(choice.next("nobody", 16), [])
        choice.gone("nobody")
        choice.failed("nobody")
        choice.came("nobody", 1, False)
        self.assertFalse(choice.shunned("nobody"))

    def test_when_all_is_here_nothing_is_asked_for(self):
        for choice in (self.choice(have=range(COUNT)), Choice(0, b"", lambda n: 0)):
            choice.source("owner", None, owner=True)
            self.assertEqual((choice.missing, choice.next("owner", 16)), (0, []))

    def test_what_failed_is_free_again(self):
        choice = self.choice()
        choice.source("owner", None, owner=True)
        choice.next("owner", 16)
        choice.came("owner", 0, True)
        choice.failed("owner")
        self.assertEqual(choice.next("owner", 16), list(range(1, 17)))
        self.assertEqual(choice.missing, COUNT - 1)


class SwarmTests(ChoiceTests):
    def test_each_piece_is_asked_of_one(self):
        choice = self.choice()
        for key in "abc":
            choice.source(key, None)
        asked = [choice.next("abc"[turn % 3], 16) for turn in range(COUNT)]
        self.assertEqual(sorted(asked), [[index] for index in range(COUNT)])

    def test_the_rarest_comes_first(self):
        choice = self.choice()
        choice.source("a", some(*range(20)))
        choice.source("b", some(*range(5, 20)))
        choice.source("c", some(*range(10, 20)))
        found = self.drained(choice, "a")
        self.assertEqual(sorted(found[:5]), list(range(5)))
        self.assertEqual(sorted(found[5:10]), list(range(5, 10)))
        choice.failed("a")
        choice.source("c", some(*range(8), *range(10, 20)))
        self.assertEqual(sorted(self.drained(choice, "a")[:7]), [0, 1, 2, 3, 4, 8, 9])
        choice.failed("a")
        choice.gone("c")
        choice.source("b", some(0, 1))
        found = self.drained(choice, "a")
        self.assertEqual(sorted(found[-2:]), [0, 1])

    def test_of_the_owner_first_what_nobody_else_has(self):
        choice = self.choice()
        choice.source("owner", None, owner=True)
        choice.source("peer", some(*range(15)))
        self.assertEqual(sorted(self.drained(choice, "owner")[:5]), [15, 16, 17, 18, 19])

    def test_among_equals_it_is_random(self):
        firsts = set()
        for seed in range(200):
            choice = Choice(COUNT, bytes(COUNT), random.Random(seed).randrange)
            choice.source("a", None)
            choice.source("b", None)
            firsts.add(choice.next("a", 1)[0])
        self.assertEqual(firsts, set(range(COUNT)))

    def test_what_one_had_that_is_gone_is_asked_of_others(self):
        choice = self.choice()
        choice.source("a", None)
        choice.source("b", some(3, 4))
        taken = choice.next("b", 1)
        choice.gone("b")
        self.assertEqual(sorted(self.drained(choice, "a")), list(range(COUNT)))
        self.assertIn(taken[0], range(COUNT))
        self.assertEqual(choice.next("b", 1), [])


class EndTests(ChoiceTests):
    def end(self, *keys):
        """Everything has been asked of a slow source, and others have nothing to do."""
        choice = self.choice(have=range(4, COUNT))
        choice.source("slow", None)
        self.assertEqual(choice.next("slow", 4), [0, 1, 2, 3])
        for key in keys:
            choice.source(key, None)
        return choice

    def test_at_the_end_a_second_source_is_asked_for_a_few_but_no_third(self):
        choice = self.end("fast", "third")
        self.assertEqual(self.drained(choice, "fast"), [3, 2])
        self.assertEqual(choice.next("third", 16), [])
        self.assertEqual(choice.next("slow", 16), [])

    def test_two_that_let_us_wait_do_not_keep_us_from_the_owner(self):
        """Attack 41: two that take an ask and hardly send hold nothing up where the owner is."""
        choice = self.end("second")
        self.assertEqual(self.drained(choice, "second"), [3, 2])
        choice.source("owner", None, owner=True)
        self.assertEqual(self.drained(choice, "owner"), [3, 2])
        for index, then in ((3, [1]), (2, [0]), (1, [])):
            choice.came("owner", index, True)
            self.assertEqual(self.drained(choice, "owner"), then)
        choice.came("owner", 0, True)
        self.assertEqual(choice.missing, 0)

    def test_what_the_owner_is_asked_for_too_is_asked_of_no_third(self):
        choice = self.end("third")
        choice.source("owner", None, owner=True)
        self.assertEqual(self.drained(choice, "owner"), [3, 2])
        self.assertEqual(choice.next("third", 16), [])

    def test_what_was_asked_first_is_asked_again_first(self):
        choice = self.choice(have=range(4, COUNT))
        for key in "abc":
            choice.source(key, None)
        order = [choice.next(key, 1)[0] for key in "abab"]
        self.assertEqual(self.drained(choice, "c"), order[:TWICE_MOST])

    def test_the_first_that_comes_is_enough(self):
        choice = self.end("fast")
        self.assertEqual(choice.next("fast", 1), [3])
        choice.came("fast", 3, True)
        choice.came("slow", 3, True)
        self.assertEqual((choice.missing, choice.next("fast", 1)), (3, [2]))

    def test_it_is_not_the_end_while_something_is_free(self):
        choice = self.choice(have=range(4, COUNT))
        choice.source("a", some(0))
        choice.source("b", None)
        choice.next("b", 1)
        choice.next("b", 1)
        choice.source("c", some(0, 1))
        free = self.drained(choice, "c")
        self.assertLessEqual(set(free), {0, 1})

    def test_what_a_second_fails_to_send_stays_with_the_first(self):
        choice = self.end("fast")
        self.drained(choice, "fast")
        choice.failed("fast")
        self.assertEqual(choice.next("slow", 1), [])
        choice.gone("slow")
        self.assertEqual(choice.next("fast", 16), [0, 1, 2, 3])


class WrongTests(ChoiceTests):
    def test_a_wrong_piece_is_asked_of_another(self):
        choice = self.choice(have=range(2, COUNT))
        choice.source("a", None)
        choice.source("b", None)
        (index,) = choice.next("a", 1)
        choice.came("a", index, False)
        self.assertEqual(choice.next("a", 1), [1 - index])
        self.assertEqual(choice.next("a", 1), [])
        self.assertEqual(choice.next("b", 1), [index])
        self.assertEqual(choice.missing, 2)

    def test_after_one_the_owner_is_asked_nothing_more(self):
        """Attack 16: his file is another than he offered, and he has no other."""
        choice = self.choice()
        choice.source("owner", None, owner=True)
        (index,) = choice.next("owner", 1)
        choice.came("owner", index, False)
        self.assertTrue(choice.shunned("owner"))
        self.assertEqual(choice.next("owner", 16), [])

    def test_after_three_a_source_is_asked_nothing_more(self):
        """Attack 40: who sends rubbish costs a piece three times."""
        choice = self.choice()
        choice.source("bad", None)
        asked = choice.next("bad", 16)
        for index in asked[:3]:
            self.assertFalse(choice.shunned("bad"))
            choice.came("bad", index, False)
            choice.came("bad", index, False)
        self.assertTrue(choice.shunned("bad"))
        self.assertEqual(choice.next("bad", 16), [])
        choice.source("bad", None)
        self.assertEqual(choice.next("bad", 16), [])
        choice.source("good", None)
        self.assertEqual(sorted(self.drained(choice, "good")), list(range(COUNT)))


class WholeTests(ChoiceTests):
    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 6))
    def test_everything_comes_whatever_happens(self, seed, count, sources):
        """Sources come, go, fail and lie; what is asked for is always sound, and all comes."""
        chance = random.Random(seed)
        choice = Choice(count, bytes(count), chance.randrange)
        choice.source(0, None, owner=True)
        asked: dict[int, list[int]] = {}
        come = set()
        for _ in range(100_000):
            if not choice.missing:
                break
            key = chance.randrange(sources)
            what = chance.random()
            if key and what < 0.05:
                has = bytes(chance.randrange(2) for _ in range(count))
                choice.source(key, has)
            elif key and what < 0.1:
                choice.gone(key)
                asked.pop(key, None)
            elif what < 0.15:
                choice.failed(key)
                asked.pop(key, None)
            elif asked.get(key) and what < 0.6:
                index = asked[key].pop(0)
                good = key == 0 or chance.random() < 0.7 or index in come
                if good:
                    come.add(index)
                    for row in asked.values():
                        if index in row:
                            row.remove(index)
                choice.came(key, index, good)
                if choice.shunned(key):
                    asked.pop(key, None)
            else:
                for index in choice.next(key, 4):
                    self.assertNotIn(index, come)
                    self.assertNotIn(index, asked.get(key, []))
                    asked.setdefault(key, []).append(index)
                    self.assertLessEqual(
                        sum(index in row for row in asked.values()), 2 + (key == 0)
                    )
        self.assertEqual((choice.missing, len(come)), (0, count))

    @given(st.sets(st.integers(0, 3000), min_size=1, max_size=60), st.integers(1, 20))
    def test_sets_as_numbers(self, pieces, most):
        number, row = sum(1 << index for index in pieces), sorted(pieces)
        self.assertEqual([_nth(number, n) for n in range(len(row))], row)
        run = _run(number, most)
        self.assertEqual(run, list(range(row[0], row[0] + len(run))))
        self.assertLessEqual(set(run), pieces)
        self.assertTrue(len(run) == most or run[-1] + 1 not in pieces)
