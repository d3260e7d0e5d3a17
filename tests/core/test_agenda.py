"""The agenda: calls in the order of their times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.agenda import Agenda


class AgendaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.agenda = Agenda()
        self.made: list[tuple[float, object]] = []

    def note(self, now: float, what: object) -> None:
        self.made.append((now, what))

    def test_calls_are_made_when_they_are_due_in_order(self) -> None:
        for at in (3.0, 1.0, 2.0):
            self.agenda.at(at, self.note, at)
        self.assertEqual(self.agenda.next_due(), 1.0)
        self.agenda.due(0.5)
        self.assertEqual(self.made, [])
        self.agenda.due(2.5)
        self.assertEqual(self.made, [(2.5, 1.0), (2.5, 2.0)])
        self.assertEqual(self.agenda.next_due(), 3.0)

    def test_a_cancelled_call_is_not_made(self) -> None:
        self.agenda.at(1.0, self.note, "a").cancel()
        self.assertIsNone(self.agenda.next_due())
        later = self.agenda.at(2.0, self.note, "b")
        self.agenda.at(1.0, lambda now: later.cancel())
        self.agenda.due(5.0)
        self.assertEqual(self.made, [])

    def test_a_call_may_add_others_that_are_due(self) -> None:
        self.agenda.at(1.0, lambda now: self.agenda.at(now, self.note, "b"))
        self.agenda.due(1.0)
        self.assertEqual(self.made, [(1.0, "b")])

    def test_one_that_fails_leaves_the_others(self) -> None:
        self.agenda.at(1.0, lambda now: 1 / 0)
        self.agenda.at(1.0, self.note, "b")
        self.assertRaises(ZeroDivisionError, self.agenda.due, 1.0)
        self.agenda.due(1.0)
        self.assertEqual(self.made, [(1.0, "b")])

    def test_cleared_it_is_empty(self) -> None:
        self.agenda.at(1.0, self.note, "a")
        self.agenda.clear()
        self.assertIsNone(self.agenda.next_due())

    @given(st.lists(st.tuples(st.integers(0, 50), st.booleans())))
    def test_it_is_a_sorted_list(self, planned: list[tuple[int, bool]]) -> None:
        agenda, made = Agenda(), []
        for at, cancelled in planned:
            appointment = agenda.at(float(at), lambda now, at: made.append(at), at)
            if cancelled:
                appointment.cancel()
        agenda.due(100.0)
        self.assertEqual(made, sorted(at for at, cancelled in planned if not cancelled))
