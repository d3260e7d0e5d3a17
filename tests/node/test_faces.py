"""The stream of events, and who follows it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.events import Event, Notice
from twistedp2p.node.faces import Faces

ONE, TWO = Notice("one", {}), Notice("two", {})


class FacesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.faces = Faces()
        self.told: list[Event] = []

    def test_one_that_fails_hinders_no_other(self) -> None:
        end = self.faces.subscribe(lambda event: 1 / 0, reader=False)  # type: ignore[arg-type,return-value]
        self.faces.subscribe(self.told.append, reader=False)
        self.faces.emit(ONE)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        end()
        self.faces.emit(TWO)
        self.assertEqual(self.told, [ONE, TWO])

    def test_one_may_end_while_it_is_told(self) -> None:
        def once(event: Event) -> None:
            self.told.append(event)
            end()

        end = self.faces.subscribe(once, reader=True)
        self.faces.subscribe(self.told.append, reader=False)
        self.faces.emit(ONE)
        self.assertEqual(self.told, [ONE, ONE])
        self.assertFalse(self.faces.has_reader())

    def test_there_is_a_reader_until_the_last_one_went(self) -> None:
        self.assertFalse(self.faces.has_reader())
        self.faces.subscribe(self.told.append, reader=False)
        self.assertFalse(self.faces.has_reader())
        ends = [self.faces.subscribe(self.told.append, reader=True) for _ in range(2)]
        ends[0]()
        self.assertTrue(self.faces.has_reader())
        ends[1]()
        self.assertFalse(self.faces.has_reader())
