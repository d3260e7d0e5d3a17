"""What is said: in order whatever the clocks, whole however long, marked where nobody took it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import EPOCH_START, Lan, Stranger, group_of
from twistedp2p.core.clock import FOLLOWED_MOST
from twistedp2p.core.datagrams.longtext import GAP
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Notice, NotSent, Said
from twistedp2p.core.names import MAX_TEXT, fingerprint
from twistedp2p.disk.memory import entries as entries_module
from twistedp2p.node.desk import Node
from twistedp2p.node.messages.chat import LATE, TRY_EVERY
from twistedp2p.node.messages.texts import PATIENCE

HOUR, DAY = 3600.0, 86_400.0


class ChatTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)

    def texts(self, node: Node, most: int = 99) -> list[str]:
        return [said.text for said in node.last_said(most)]

    def heard(self, node: Node) -> list[Said]:
        return [said for said in self.lan.events(node, Said) if not said.own]


class ClockTests(ChatTestCase):
    def talk(self, alice: Node, bob: Node) -> None:
        """Questions and answers, each said when the other was heard."""
        for number in range(3):
            alice.say(f"question {number}")
            self.lan.run_for(1)
            bob.say(f"answer {number}")
            self.lan.run_for(1)

    def test_question_and_answer_stay_in_order_where_a_clock_is_an_hour_off(self) -> None:
        for off in (-HOUR, HOUR, FOLLOWED_MOST / 1000 - 60):
            lan = self.lan = Lan(self)
            alice, bob = lan.node("alice", ahead=off), lan.node("bob")
            lan.run_for(5)
            self.talk(alice, bob)
            order = [f"{what} {n}" for n in range(3) for what in ("question", "answer")]
            lan.stop(bob)
            bob = lan.node("bob")
            carol = lan.node("carol", ahead=off / 2)
            lan.run_for(60)
            for node in (alice, bob, carol):
                self.assertEqual(self.texts(node), order)

    def test_nothing_live_is_late_and_its_time_is_the_reader_s(self) -> None:
        for off in (-HOUR, HOUR, -30 * DAY, 30 * DAY):
            lan = self.lan = Lan(self)
            alice, bob = lan.node("alice", ahead=off), lan.node("bob")
            lan.run_for(5)
            self.talk(alice, bob)
            for node, ahead in ((alice, off), (bob, 0.0)):
                said = self.heard(node)
                self.assertEqual(len(said), 3)
                self.assertEqual([each.late for each in said], [False] * 3)
                now = (lan.wall() + ahead) * 1000
                for each in said:
                    self.assertTrue(0 <= now - each.stamp < 10_000, now - each.stamp)

    def test_live_lines_are_not_late_long_after_the_fast_clock_has_left(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        fast = self.lan.node("fast", ahead=HOUR)
        self.lan.run_for(10)
        self.lan.stop(fast)
        for _ in range(20):
            self.lan.run_for(60)
            alice.say("hello")
        self.lan.run_for(1)
        self.assertFalse(any(said.late for said in self.heard(bob)))
        carol = self.lan.node("carol")
        self.lan.run_for(10)
        said = sorted(self.heard(carol), key=lambda each: each.stamp)
        self.assertEqual([each.late for each in said], [True] * 19 + [False])
        ages = [round(self.lan.wall() - each.stamp / 1000) for each in said]
        for before, after in pairwise(ages):
            self.assertIn(before - after, range(45, 75), ages)

    def test_a_line_of_before_we_came_is_late_whatever_the_clocks(self) -> None:
        for off in (-HOUR, 0.0, HOUR, 30 * DAY):
            lan = self.lan = Lan(self)
            alice = lan.node("alice", ahead=off)
            lan.run_for(5)
            alice.say("old")
            lan.run_for(LATE / 1000 + 60)
            bob = lan.node("bob")
            lan.run_for(10)
            (said,) = self.heard(bob)
            self.assertTrue(said.late)
            if off >= 0:  # else hers jumps to ours as we come, and the line was stamped before
                self.assertApproximates(said.stamp / 1000, EPOCH_START + 5, 2)

    def test_a_clock_that_is_years_ahead_does_not_order_history(self) -> None:
        alice = self.lan.node("alice")
        future = self.lan.node("future", ahead=1000 * DAY)
        self.lan.run_for(5)
        self.talk(future, alice)
        self.lan.run_for(5)
        alice.say("last")
        order = [f"{what} {n}" for n in range(3) for what in ("question", "answer")]
        self.assertEqual(self.texts(alice), [*order, "last"])

    def test_a_clock_that_is_years_behind_does_not_order_history(self) -> None:
        alice = self.lan.node("alice")
        past = self.lan.node("past", ahead=-1000 * DAY)
        self.lan.run_for(5)
        self.talk(alice, past)
        order = [f"{what} {n}" for n in range(3) for what in ("question", "answer")]
        self.assertEqual(self.texts(alice), order)

    def test_stamps_do_not_fall_over_a_restart_with_the_clock_set_back(self) -> None:
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.lan.run_for(5)
        alice.say("before")
        self.lan.run_for(1)
        self.lan.stop(alice)
        alice = self.lan.node("alice", ahead=-HOUR)
        alice.say("after")
        self.lan.run_for(5)
        for node in (alice, bob):
            self.assertEqual(self.texts(node), ["before", "after"])

    def test_throw_away_clocks_are_forgotten(self) -> None:
        """Attack 40."""
        alice = self.lan.node("alice")
        table = alice._chat._ahead
        self.patch(table, "_cap", 10)
        for _ in range(30):
            Stranger(self.lan).beacon()
            self.lan.run_for(1)
        self.assertEqual(len(table), 10)


class LongTextTests(ChatTestCase):
    text = " ".join(f"word{number}" for number in range(2500))[:MAX_TEXT].strip()

    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.lan.crowd(2)

    def test_a_long_text_is_one_message(self) -> None:
        self.alice.say(self.text)
        self.lan.run_for(1)
        self.assertTrue([said.text for said in self.lan.events(self.alice, Said)] == [self.text])
        self.assertTrue(self.lan.lines(self.bob) == [self.text])
        for node in (self.alice, self.bob):
            self.assertTrue(self.texts(node) == [self.text])
        self.assertGreater(group_of(self.alice).count("part"), 10)

    def test_it_comes_whole_and_once_through_loss_and_disorder(self) -> None:
        self.lan.loss, self.lan.twice, self.lan.delay = 0.4, 0.3, (0.001, 0.2)
        self.alice.say(self.text)
        self.bob.say(self.text[::-1])
        self.lan.run_for(25)
        self.assertTrue(self.lan.lines(self.bob) == [self.text])
        self.assertTrue(self.lan.lines(self.alice) == [self.text[::-1]])
        self.assertFalse(any(said.late for said in self.heard(self.bob)))

    def test_lines_around_it_are_not_held_up(self) -> None:
        self.lan.cut_off = {group_of(self.bob).address[0]}
        self.alice.say(self.text)
        self.lan.run_for(0.2)
        self.lan.cut_off = set()
        self.alice.say("after")
        self.lan.run_for(20)
        lines = self.lan.lines(self.bob)
        self.assertTrue(lines == ["after", self.text], [line[:9] for line in lines])
        self.assertTrue(self.texts(self.bob) == [self.text, "after"])

    def part(self, mallory: Stranger, index: int, count: int = 3) -> None:
        mallory.send("part", f"{index}/{count} {index}", 10 + index)

    def test_what_never_comes_is_marked_after_a_while(self) -> None:
        mallory = Stranger(self.lan)
        self.part(mallory, 1)
        self.part(mallory, 3)
        self.lan.run_for(PATIENCE - 1)
        self.assertEqual(self.lan.lines(self.bob), [])
        self.lan.run_for(2)
        self.assertEqual(self.lan.lines(self.bob), [f"1{GAP}3"])
        self.part(mallory, 2)
        self.lan.run_for(PATIENCE + 1)
        self.assertEqual(self.lan.lines(self.bob), [f"1{GAP}3"])
        self.assertEqual(self.texts(self.bob), ["123"])

    def test_a_text_torn_by_a_restart_is_put_together(self) -> None:
        mallory = Stranger(self.lan)
        self.part(mallory, 1)
        self.part(mallory, 2)
        self.lan.run_for(1)
        self.lan.stop(self.bob)
        self.bob = self.lan.node("node1")
        self.part(mallory, 3)
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.bob), ["123"])

    def test_parts_that_do_not_belong_together_are_not_joined(self) -> None:
        mallory = Stranger(self.lan)
        self.part(mallory, 1)
        self.part(mallory, 2, count=4)
        mallory.send("say", "3", 13)
        self.lan.run_for(PATIENCE + 1)
        self.assertEqual(sorted(self.lan.lines(self.bob)), sorted(["3", f"1{GAP}", f"{GAP}2{GAP}"]))

    def test_bad_parts_are_counted_and_dropped(self) -> None:
        mallory = Stranger(self.lan)
        for number, text in enumerate(("", "no head", "3/2 x", "1/999 x", "9/9 x"), 1):
            mallory.send("part", text, number)
        self.lan.run_for(1)
        self.assertEqual(sum(self.bob.dropped().values()), 5)
        self.assertEqual(self.texts(self.bob), [])

    def test_texts_that_wait_are_bounded(self) -> None:
        """Attack 40: parts without end, of texts that never come whole."""
        self.patch(self.bob._chat._texts._waiting, "_cap", 5)
        self.patch(self.bob._chat._texts._shown_torn, "_cap", 5)
        mallory = Stranger(self.lan)
        for number in range(1, 100, 3):
            mallory.send("part", "1/2 x", number)
            self.lan.run_for(0.1)
        texts = self.bob._chat._texts
        self.assertEqual((len(texts._waiting), len(texts._shown_torn)), (5, 5))
        self.assertEqual(set(self.lan.lines(self.bob)), {f"x{GAP}"})

    def test_what_cannot_be_kept_is_shown_in_its_parts(self) -> None:
        def refuse(*_: Any) -> None:
            raise ShareError("full")

        self.patch(self.bob._store, "put_say", refuse)
        self.alice.say("x" * 1500)
        self.lan.run_for(0.5)
        self.assertEqual("".join(self.lan.lines(self.bob)).count("x"), 1500)
        self.flushLoggedErrors()


class UnsentTests(ChatTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.lan.crowd(2)

    def sent(self, node: Node) -> dict[str, bool]:
        return {said.text: said.sent for said in node.last_said(99)}

    def test_what_no_network_took_is_marked_until_one_does(self) -> None:
        self.alice.say("sent")
        self.lan.run_for(1)
        group_of(self.alice).refuses = True
        self.alice.say("one")
        self.alice.say("two")
        self.assertEqual(len(self.lan.events(self.alice, NotSent)), 2)
        self.assertFalse(self.lan.events(self.alice, Said)[-1].sent)
        self.lan.run_for(30)
        self.assertEqual(self.sent(self.alice), {"sent": True, "one": False, "two": False})
        group_of(self.alice).refuses = False
        self.lan.run_for(3)
        self.assertEqual(set(self.sent(self.alice).values()), {True})
        self.assertEqual(
            [each.values for each in self.lan.events(self.alice, Notice)], [{"count": 2}]
        )
        self.lan.run_for(10)
        self.assertEqual(sorted(self.lan.lines(self.bob)), ["one", "sent", "two"])

    def test_the_mark_outlives_a_restart(self) -> None:
        group_of(self.alice).refuses = True
        self.alice.say("one")
        self.lan.stop(self.alice)
        self.alice = self.lan.node("node0", start=False)
        group_of(self.alice).refuses = True
        self.alice.start()
        self.lan.run_for(10)
        self.assertEqual(self.sent(self.alice), {"one": False})
        group_of(self.alice).refuses = False
        self.lan.run_for(20)
        self.assertEqual(self.sent(self.alice), {"one": True})
        self.assertEqual(self.lan.lines(self.bob), ["one"])

    def test_many_are_sent_some_at_a_time(self) -> None:
        group_of(self.alice).refuses = True
        for number in range(50):
            self.alice.say(str(number))
        self.lan.vanish(self.bob)
        self.lan.run_for(TRY_EVERY - 1)
        group_of(self.alice).refuses = False
        for sent in (20, 40, 50, 50):
            self.lan.run_for(TRY_EVERY)
            self.assertEqual(group_of(self.alice).count("say"), sent)
        self.assertEqual(set(self.sent(self.alice).values()), {True})


class NickTests(ChatTestCase):
    def test_history_shows_who_has_no_nick_by_fingerprint(self) -> None:
        (alice,) = self.lan.crowd(1)
        Stranger(self.lan, nick="").send("say", "hello", 1)
        self.lan.run_for(1)
        (said,) = alice.last_said(9)
        self.assertEqual(said.nick, fingerprint(said.key or b""))


class CrowdedOutTests(ChatTestCase):
    def test_a_line_is_shown_once_though_its_feed_was_crowded_out(self) -> None:
        """Attack 36: strangers fill the table of feeds, then what was said is sent again."""
        self.patch(entries_module, "MAX_FEEDS", 3)
        alice, bob = self.lan.node("alice"), self.lan.node("bob")
        self.lan.run_for(5)
        bob.say("hello")
        self.lan.run_for(5)
        raw = alice._store.history(1)[0][0]
        self.lan.stop(bob)
        for _ in range(5):
            Stranger(self.lan).beacon()
            self.lan.run_for(1)
        self.assertIsNone(alice._store.feed(bob.key))
        self.lan.carry(raw, ("10.0.9.9", 1), None)
        self.lan.run_for(5)
        self.assertEqual(self.lan.lines(alice), ["hello"])
        self.assertEqual(self.texts(alice), ["hello"])
        bob = self.lan.node("bob")
        self.lan.run_for(5)
        bob.say("again")
        self.lan.run_for(5)
        self.assertEqual(self.lan.lines(alice), ["hello", "again"])
