"""One feed: what of it is here, and what is missing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.core.feeds import ranges as ranges_module
from twistedp2p.core.feeds.feed import ASK_ITEMS, CHAT_BACKLOG, LOG_NAMES, Feed, Have, Heads
from twistedp2p.core.feeds.ranges import MAX_RANGES

ORIGIN = b"o" * 32


def numbers(runs: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in runs for number in range(low, high + 1)}


class Following(SynchronousTestCase):
    def setUp(self) -> None:
        self.feed = Feed(ORIGIN, 1)

    def hear(self, log: str, *entries: int) -> list[bool]:
        return [self.feed.heard_entries(log, number, number) for number in entries]

    def test_nothing_missing_nothing_wanted(self) -> None:
        self.feed.heard_heads(Heads())
        self.assertEqual((self.feed.missing(), self.feed.wanted()), (0, {}))
        self.assertFalse(self.feed.is_proven)

    def test_what_its_publisher_told_of_is_wanted(self) -> None:
        self.feed.heard_heads(Heads((1, 3), (2, 5)))
        self.assertEqual(self.feed.wanted(), {"chat": [(1, 3)], "offers": [(2, 5)]})
        self.assertEqual(self.feed.missing(), 7)

    def test_an_entry_beyond_the_head_opens_a_gap(self) -> None:
        self.hear("chat", 1)
        self.assertEqual(self.feed.wanted(), {})
        self.hear("chat", 4)
        self.assertEqual(self.feed.wanted(), {"chat": [(2, 3)]})

    def test_an_entry_is_new_once(self) -> None:
        """Attack 36: a replayed or doubled entry is no news."""
        heard = self.hear("chat", 1, 3, 1, 2, 3, 2)
        self.assertEqual(heard, [True, True, False, True, False, False])
        self.assertEqual(self.hear("offers", 1), [True])

    def test_a_lying_head_costs_neither_time_nor_memory(self) -> None:
        """Attack 40: thousands of entries spread over the whole range of numbers."""
        step = MAX_NUMBER // (3 * MAX_RANGES)
        self.hear("offers", *(1 + n * step for n in range(3 * MAX_RANGES)))
        self.feed.heard_heads(Heads((1, MAX_NUMBER), (MAX_NUMBER, MAX_NUMBER)))
        self.feed.heard_gone("offers", [(1, MAX_NUMBER)])
        self.assertLessEqual(len(self.feed.have["offers"].runs()), MAX_RANGES + 1)
        wanted = self.feed.wanted()
        self.assertLessEqual(len(numbers([r for g in wanted.values() for r in g])), ASK_ITEMS)

    def test_heads_that_are_upside_down_are_nothing_to_ask_for(self) -> None:
        """Attack 18."""
        for heads in (Heads((MAX_NUMBER, 0), (9, 3)), Heads((MAX_NUMBER, 1), (2, 1))):
            self.feed.heard_heads(heads)
            self.assertEqual(self.feed.wanted(), {})

    def test_a_head_that_was_overtaken_takes_nothing_back(self) -> None:
        self.assertTrue(self.feed.heard_heads(Heads((1, 9), (1, 3))))
        self.assertFalse(self.feed.heard_heads(Heads((1, 4), (1, 3))))
        self.assertEqual(self.feed.missing(), 12)
        self.assertTrue(self.feed.heard_heads(Heads((1, 9), (3, 3))))
        self.assertFalse(self.feed.heard_heads(Heads((1, 9), (2, 3))))
        self.assertEqual(self.feed.missing(), 10)

    def test_what_is_not_worth_asking_for_counts_as_here(self) -> None:
        self.feed.heard_heads(Heads((901, 1000), (40, 50)))
        self.assertEqual(self.hear("offers", 39, 40), [False, True])
        self.assertEqual(list(self.feed.gaps("offers")), [(41, 50)])
        self.assertEqual(list(self.feed.gaps("chat")), [(901, 1000)])

    def test_what_is_gone_is_wanted_no_more(self) -> None:
        self.feed.heard_heads(Heads((1, 0), (1, 9)))
        self.feed.heard_gone("offers", [(1, 4), (6, 9)])
        self.assertEqual(self.feed.wanted(), {"offers": [(5, 5)]})
        self.hear("offers", 5)
        self.assertEqual(self.feed.missing(), 0)

    def test_what_is_gone_beyond_the_head_is_not_taken(self) -> None:
        """Attack 18: numbers that are not there yet cannot be declared gone in advance."""
        self.feed.heard_heads(Heads((1, 0), (1, 9)))
        self.feed.heard_gone("offers", [(5, MAX_NUMBER)])
        self.assertEqual(self.feed.have["offers"].runs(), [(5, 9)])
        self.feed.heard_gone("offers", [(11, 20), (30, 40)])
        self.feed.heard_gone("chat", [(1, 5)])
        self.assertEqual(self.feed.have["offers"].runs(), [(5, 9)])
        self.assertEqual(self.feed.have["chat"].runs(), [])
        self.assertEqual(self.hear("offers", 10), [True])

    def test_a_newcomer_wants_the_last_lines_of_chat_and_all_offers(self) -> None:
        self.feed.heard_heads(Heads((1, 1000), (1, 50)))
        backlog = 1000 - CHAT_BACKLOG + 1
        self.assertEqual(list(self.feed.gaps("chat")), [(backlog, 1000)])
        self.assertEqual(list(self.feed.gaps("offers")), [(1, 50)])

    def test_who_followed_before_wants_every_line_that_is_kept(self) -> None:
        """Who was away for longer than a newcomer's backlog loses nothing that is kept."""
        self.hear("chat", *range(1, 6))
        self.feed.heard_heads(Heads((1, 300)))
        self.assertEqual(self.feed.wanted(), {"chat": [(6, 105)]})
        self.feed.heard_heads(Heads((50, 300)))
        self.assertEqual(self.feed.wanted(), {"chat": [(50, 149)]})

    def test_one_ask_asks_for_so_many_of_both_logs_together(self) -> None:
        self.hear("chat", 1)
        self.feed.heard_heads(Heads((1, 61), (1, 900)))
        self.assertEqual(self.feed.wanted(), {"chat": [(2, 61)], "offers": [(1, 40)]})

    def test_a_torn_feed_is_mended_from_below(self) -> None:
        """However torn, asking ends with everything there: no gap is refused for ever."""
        self.patch(ranges_module, "MAX_RANGES", 8)
        head = 400
        self.hear("offers", *range(head, 200, -2))
        self.assertLessEqual(len(self.feed.have["offers"].runs()), 9)
        for _ in range(100):
            self.feed.heard_heads(Heads((1, 0), (1, head)))
            self.hear("offers", *sorted(numbers(self.feed.wanted().get("offers", []))))
        self.assertEqual(self.feed.have["offers"].runs(), [(1, head)])


class WhatOthersTell(SynchronousTestCase):
    def setUp(self) -> None:
        self.feed = Feed(ORIGIN, 1)

    def test_it_is_wanted_but_proves_nothing(self) -> None:
        """Attack 40: who lies about another's feed must not make us count anything as here."""
        self.feed.heard_of(Have(ORIGIN, 1, MAX_NUMBER, 3))
        self.assertEqual(self.feed.missing(), CHAT_BACKLOG + 3)
        self.assertEqual(self.feed.whole(), Have(ORIGIN, 1, 0, 0))
        self.assertFalse(self.feed.is_proven)
        self.assertTrue(self.feed.heard_entries("chat", 1, 1))
        self.feed.forget_told()
        self.assertEqual(self.feed.missing(), 0)
        self.assertEqual(self.feed.heads, Heads((1, 1), (1, 0)))

    def test_how_much_is_here_is_told_up_to_the_first_gap(self) -> None:
        for number in (1, 2, 4):
            self.feed.heard_entries("offers", number, number)
        self.assertEqual(self.feed.whole(), Have(ORIGIN, 1, 0, 2))

    def test_what_is_settled_is_not_wanted_but_taken_when_it_comes(self) -> None:
        for number in (1, 4, 9):
            self.feed.heard_entries("offers", number, number)
        self.feed.settle(Have(ORIGIN, 1, 0, 6))
        self.assertEqual(list(self.feed.gaps("offers")), [(7, 8)])
        self.assertEqual(self.feed.whole().offers, 6)
        self.assertTrue(self.feed.heard_entries("offers", 2, 2))
        self.feed.settle(Have(ORIGIN, 1, 0, 8))
        self.assertEqual((self.feed.missing(), self.feed.whole().offers), (0, 9))

    def test_nobody_settles_what_is_not_there_yet(self) -> None:
        """Attack 40: a partner that settles all numbers there may ever be."""
        self.feed.heard_entries("offers", 1, 1)
        self.feed.settle(Have(ORIGIN, 1, MAX_NUMBER, MAX_NUMBER))
        self.feed.heard_heads(Heads((1, 2), (1, 5)))
        self.assertEqual(list(self.feed.gaps("offers")), [(2, 5)])
        self.assertEqual(list(self.feed.gaps("chat")), [(1, 2)])

    def test_nobody_settles_what_he_alone_has_told_of(self) -> None:
        """Attack 40: whoever tells of all numbers there may ever be, and then settles them."""
        self.feed.heard_of(Have(ORIGIN, 1, MAX_NUMBER, MAX_NUMBER))
        self.feed.settle(Have(ORIGIN, 1, MAX_NUMBER, MAX_NUMBER))
        self.feed.forget_told()
        self.assertLess(self.feed.whole().chat, MAX_NUMBER)
        self.feed.heard_heads(Heads((1, 2), (1, 0)))
        self.assertEqual([(1, 2)], list(self.feed.gaps("chat")))

    def test_a_feed_with_thousands_of_holes_is_followed_and_settled_in_the_end(self) -> None:
        """What a long-lived node offers has holes: half of all its entries were superseded."""
        top = 8 * MAX_RANGES
        for number in range(1, top, 2):
            self.assertTrue(self.feed.heard_entries("offers", number, number))
        self.assertLessEqual(len(self.feed.have["offers"].runs()), MAX_RANGES + 1)
        self.feed.settle(Have(ORIGIN, 1, 0, top))
        self.assertEqual(self.feed.have["offers"].runs(), [(1, top - 1)])
        self.assertEqual(self.feed.missing(), 0)
        self.assertEqual(self.feed.whole(), Have(ORIGIN, 1, 0, top - 1))
        self.assertFalse(self.feed.heard_entries("offers", 3, 3))

    def test_a_chat_too_torn_is_shown_no_line_twice(self) -> None:
        """Attack 36: so what cannot be remembered is not taken."""
        for number in range(1000, 1000 + 4 * MAX_RANGES, 2):
            self.feed.heard_entries("chat", number, number)
        beyond = 1000 + 6 * MAX_RANGES
        heard = [self.feed.heard_entries("chat", beyond, beyond) for _ in range(2)]
        self.assertEqual(heard, [False, False])

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(st.sampled_from(("entry", "head", "told", "settle", "gone")),
                      st.sampled_from(LOG_NAMES), st.integers(1, 40)),
            max_size=60,
        )
    )  # fmt: skip
    def test_the_counts_are_those_of_the_gaps(self, steps: list[tuple[str, str, int]]) -> None:
        here: set[tuple[str, int]] = set()
        for kind, log, number in steps:
            have = Have(ORIGIN, 1, *(number if log == each else 0 for each in LOG_NAMES))
            if kind == "entry":
                taken = self.feed.heard_entries(log, number, number)
                self.assertFalse(taken and (log, number) in here)
                here.add((log, number))
            elif kind == "head":
                self.feed.heard_heads(Heads(**{log: (1, number)}))
            elif kind == "told":
                self.feed.heard_of(have)
            elif kind == "settle":
                self.feed.settle(have)
            else:
                self.feed.heard_gone(log, [(number, number + 2)])
            gaps = {each: numbers(list(self.feed.gaps(each))) for each in LOG_NAMES}
            self.assertEqual(self.feed.missing(), sum(map(len, gaps.values())))
            for each in LOG_NAMES:
                whole = getattr(self.feed.whole(), each)
                self.assertFalse(gaps[each] & set(range(1, whole + 1)))
                self.assertFalse({(each, n) for n in gaps[each]} & here)
        self.feed = Feed(ORIGIN, 1)
