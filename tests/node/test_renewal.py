"""Becoming another node, step by step."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Event, Notice
from twistedp2p.node.renewal import OPEN_AGAIN, Renewal


class RenewalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        self.events: list[Event] = []
        self.failing: dict[str, ShareError] = {}
        self.renewal = Renewal(
            self.clock, lambda: self.do("change"), self.let_go, self.open_anew, self.events.append
        )

    def do(self, what: str) -> None:
        self.done.append(what)
        if error := self.failing.pop(what, None):
            raise error

    async def let_go(self) -> None:
        self.do("let go")

    def open_anew(self) -> str:
        self.do("open")
        return "the-key"

    def said(self) -> list[str]:
        return [
            event.sentence.format(**event.values)
            for event in self.events
            if isinstance(event, Notice)
        ]

    def test_all_is_let_go_of_and_opened_anew(self) -> None:
        for _ in range(3):
            self.renewal.begin()
        self.assertEqual(self.done, [])  # out of what told it
        self.clock.advance(0)
        self.assertEqual(self.done, ["change", "let go", "open"])
        [said] = self.said()
        self.assertIn("it is the-key now", said)
        self.renewal.begin()  # the new one may have a twin, too
        self.clock.advance(0)
        self.assertEqual(len(self.done), 6)

    def test_a_key_that_cannot_be_changed_stays_and_that_is_said_once(self) -> None:
        self.failing["change"] = ShareError("The disk is full.")
        for _ in range(3):
            self.renewal.begin()
            self.clock.advance(0)
        self.assertEqual((self.done, self.said()), (["change"], ["The disk is full."]))

    def test_what_cannot_be_opened_is_tried_again(self) -> None:
        self.failing["open"] = ShareError("The port is taken.")
        self.renewal.begin()
        self.clock.advance(0)
        self.assertEqual(self.said(), ["The port is taken."])
        self.clock.advance(OPEN_AGAIN)
        self.assertEqual(self.done, ["change", "let go", "open", "open"])

    def test_quitting_waits_for_it_and_ends_it(self) -> None:
        self.failing["open"] = ShareError("The port is taken.")
        self.renewal.begin()
        self.clock.advance(0)
        quitting = Deferred.fromCoroutine(self.renewal.stop())
        self.assertNoResult(quitting)
        self.clock.advance(OPEN_AGAIN)
        self.successResultOf(quitting)
        self.assertEqual(self.done, ["change", "let go", "open"])
        self.renewal.begin()
        self.clock.advance(1)
        self.assertEqual(len(self.done), 3)
