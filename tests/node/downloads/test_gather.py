"""The pieces of one download: of whom they are asked, and who is believed."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.node.gets import FakeClient, MemoryKept, random_content, tree_of
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.swarm.choice import BAD_MOST, Choice
from twistedp2p.node.downloads.gather import AHEAD, Gather, Source

PIECES = 12
CONTENT = random_content(PIECES)


class GatherTestCase(SynchronousTestCase):
    def begin(self, crowd: bool | None = False, have: set[int] | None = None) -> None:
        self.tree = tree_of(CONTENT)
        self.kept = MemoryKept(self.tree, have or set())
        self.lost: list[tuple[Source, Any]] = []
        self.moved = 0
        self.now = 0.0
        choice = Choice(self.tree.count, self.kept.have, random.Random(1).randrange)
        self.gather = Gather(
            self.tree, self.kept, choice, self._moved, lambda *what: self.lost.append(what),
            lambda: self.now,
            crowd=crowd,
        )  # fmt: skip

    def _moved(self, size: int) -> None:
        self.moved += size

    def give(self, client: FakeClient, seconds: float) -> None:
        """Its next answer, which takes so long."""
        self.now += seconds
        client.give()

    def add(self, *, owner: bool = False, has: set[int] | None = None) -> tuple[FakeClient, Source]:
        client = FakeClient(CONTENT, b"o" * 32 if owner else b"x" * 32)
        source = self.gather.add(client, client.ended, owner=owner)
        if not owner:
            had = range(PIECES) if has is None else has
            client.has = bytearray(index in had for index in range(PIECES))
            self.gather.has(source, _bitmap(client.has))
        return client, source

    def whole_but(self, before: set[int]) -> bool:
        """Whether it is over, and all has come but what was here before."""
        return self.gather.done.called and set(self.kept.data) == set(range(PIECES)) - before

    def whole(self) -> bool:
        """Whether it is over, and what came is the content."""
        if not self.gather.done.called:
            return False
        self.assertEqual(CONTENT, b"".join(self.kept.data[index] for index in range(PIECES)))
        return True


def _bitmap(has: bytearray) -> bytes:
    return int("".join(map(str, has)).ljust(-(-len(has) // 8) * 8, "0"), 2).to_bytes(
        -(-len(has) // 8), "big"
    )


class LoneSourceTests(GatherTestCase):
    def test_all_comes_from_the_owner_in_few_asks(self) -> None:
        self.begin()
        client, _ = self.add(owner=True)
        asks = 0
        while client.queue:
            asks += 1
            self.give(client, 0.001)
        self.assertLessEqual(asks, 4)
        self.assertTrue(self.whole())
        self.assertTrue(client.over)
        self.assertEqual(len(CONTENT), self.moved)

    def test_what_is_here_is_not_asked_for(self) -> None:
        """Attack 17: resumed, and only what is missing is sent."""
        self.begin(have={0, 1, 5})
        client, _ = self.add(owner=True)
        client.give_all()
        self.assertTrue(self.whole_but({0, 1, 5}))

    def test_where_all_is_here_nothing_is_asked_for(self) -> None:
        self.begin(have=set(range(PIECES)))
        client, _ = self.add(owner=True)
        self.gather.begin()
        self.assertTrue(self.gather.done.called)
        self.assertEqual([], client.pieces)

    def test_no_more_is_asked_for_than_is_to_be_under_way(self) -> None:
        self.begin(have={number for number in range(PIECES) if number % 2})
        client, _ = self.add(owner=True)
        self.give(client, 0.001)
        self.assertLessEqual(client.waiting, AHEAD + PIECE_LEAST)

    def test_as_much_is_asked_for_as_comes_in_a_moment(self) -> None:
        """What waits at a slow source is in the way of what is asked of it later."""
        for seconds, most in ((0.001, 11), (0.1, 7), (10.0, 1)):
            self.begin()
            client, _ = self.add(owner=True)
            self.assertEqual(1, len(client.pieces))
            self.give(client, seconds)
            self.assertIn(len(client.pieces), range(most // 2, most + 1))
            self.assertTrue(client.pieces)

    def test_nothing_is_asked_for_before_it_is_known_who_else_is_there(self) -> None:
        self.begin(crowd=None)
        client, _ = self.add(owner=True)
        self.assertEqual(0, len(client.queue))
        self.gather.others(False)
        client.give_all()
        self.assertTrue(self.whole())

    def test_what_a_lost_owner_did_not_send_is_asked_of_the_next(self) -> None:
        self.begin(have=set(range(1, PIECES, 2)))
        first, source = self.add(owner=True)
        first.give()
        first.lose(ShareError("gone"))
        self.assertEqual([source], [who for who, _ in self.lost])
        second, _ = self.add(owner=True)
        second.give_all()
        self.assertTrue(self.gather.done.called)

    def test_stopping_at_every_step_asks_nothing_more(self) -> None:
        for steps in range(4):
            self.begin(crowd=True)
            client, _ = self.add(owner=True)
            client.choose = lambda have: next(
                (n for n in range(PIECES) if not _is_in(have, n)), None
            )
            for _ in range(steps):
                client.give()
            self.gather.stop()
            self.assertTrue(client.over)
            self.assertEqual([], self.lost)
            self.assertFalse(self.gather.done.called)


def _is_in(bitmap: bytes, number: int) -> bool:
    return bool(bitmap[number // 8] & 128 >> number % 8)


class CrowdTests(GatherTestCase):
    def test_in_a_crowd_the_owner_chooses(self) -> None:
        self.begin(crowd=True)
        client, _ = self.add(owner=True)
        handed: list[int] = []

        def choose(have: bytes) -> int:
            left = [n for n in range(PIECES) if not _is_in(have, n) and n not in handed]
            handed.append(left[-1])
            return left[-1]

        client.choose = choose
        self.assertEqual([], client.pieces)
        self.assertEqual(1, len(client.queue))
        self.give(client, 0.001)
        self.assertEqual([PIECES - 1], [n for n in range(PIECES) if self.kept.have[n]])
        self.assertGreater(len(client.queue), 1)
        client.give_all()
        self.assertTrue(self.whole())
        self.assertEqual(0, self.kept.twice)

    def test_an_owner_without_anything_to_choose_is_asked_by_number(self) -> None:
        """It said that all had been handed out, and then a source went with what it was to send."""
        self.begin(crowd=True)
        owner, _ = self.add(owner=True)
        owner.give()
        owner.give()  # twice: there is none
        other, _ = self.add()
        owner.give_all()
        other.lose(None)
        owner.give_all()
        self.assertTrue(self.whole())

    def test_who_is_idle_is_asked_for_what_came_wrong_from_another(self) -> None:
        self.begin(crowd=True, have=set(range(1, PIECES)))
        wrong, slow, idle = (self.add()[0] for _ in range(3))
        self.assertEqual(([0], [0], []), (wrong.pieces, slow.pieces, idle.pieces))
        wrong.give(wrong=True)
        idle.give_all()
        self.assertTrue(self.gather.done.called)

    def test_an_idle_owner_ends_what_two_others_let_wait(self) -> None:
        """Attack 41: two that take asks and hardly send anything."""
        self.begin(crowd=True, have=set(range(4, PIECES)))
        slow = [self.add()[0] for _ in range(2)]
        owner, _ = self.add(owner=True)
        owner.give_all()
        self.assertTrue(self.gather.done.called)
        self.assertTrue(all(each.over for each in slow))

    def test_an_owner_that_chooses_what_is_here_is_not_believed(self) -> None:
        """NEXT answered for ever with the same piece would be a get without end."""
        self.begin(crowd=True, have={3})
        owner, _ = self.add(owner=True)
        owner.choose = lambda _have: 3
        owner.give()
        self.assertTrue(owner.over)
        self.assertEqual([Exit.DAMAGED], [error.code for _, error in self.lost])

    def test_no_piece_is_asked_of_two_before_the_end(self) -> None:
        self.begin(crowd=True)
        clients = [self.add()[0] for _ in range(4)]
        asked = [number for client in clients for number in client.pieces]
        self.assertEqual(len(set(asked)), len(asked))
        while sum(client.give() for client in clients):
            pass
        self.assertTrue(self.whole())
        self.assertLessEqual(self.kept.twice, 3)

    def test_who_says_to_have_more_than_there_is(self) -> None:
        """A bitmap of another size, or of pieces that there are not."""
        self.begin()
        _, source = self.add(has=set())
        for wrong in (b"", b"\0", bytes(3), b"\xff\xff"):
            self.assertRaises(ValueError, self.gather.has, source, wrong)

    def test_who_sends_wrong_pieces_is_shunned(self) -> None:
        """Attack: three wrong pieces of one source, and it is asked nothing more."""
        self.begin()
        wrong, source = self.add()
        owner, _ = self.add(owner=True)
        for _ in range(BAD_MOST):
            wrong.give(wrong=True)
        self.assertTrue(wrong.over)
        self.assertIsNotNone(source.wrong)
        self.assertEqual([(source, source.wrong)], self.lost)
        owner.give_all()
        self.assertTrue(self.whole())

    def test_one_wrong_piece_costs_that_piece_alone(self) -> None:
        self.begin(crowd=True)
        client, source = self.add()
        first = client.pieces[0]
        client.give(wrong=True)
        self.assertFalse(client.over)
        client.give_all()
        self.assertEqual([first], [n for n in range(PIECES) if not self.kept.have[n]])
        self.assertIsNone(source.wrong)

    def test_who_is_over_before_it_is_asked(self) -> None:
        self.begin()
        client = FakeClient(CONTENT)
        client.lose(None)
        self.gather.add(client, client.ended, owner=True)
        self.assertEqual(1, len(self.lost))
        self.assertEqual([], self.gather.sources)
