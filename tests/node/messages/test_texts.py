"""Texts that wait for parts."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import Signer
from twistedp2p.node.messages.texts import PATIENCE, Text, TextId, Texts


class StrictClock(Clock):
    """As a reactor, it refuses to call in the past."""

    def callLater(self, when: float, *call: Any) -> Any:
        assert when >= 0
        return super().callLater(when, *call)


class PatienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = StrictClock()
        self.signer = Signer(Ed25519PrivateKey.generate(), b"group")
        self.shown: list[str] = []
        self.takes = 0.0  # seconds to show one text
        self.read = 0  # times
        self.kept: list[tuple[int, bytes]] = []
        self.texts = Texts(
            self,  # type: ignore[arg-type]
            self.show,
            clock=self.clock,
            keep=lambda _: False,
        )

    def entries(self, key: bytes, log: str, low: int, high: int) -> list[tuple[int, bytes]]:
        self.read += 1
        return [row for row in self.kept if low <= row[0] <= high]

    def count_entries(self, key: bytes, log: str, low: int, high: int) -> int:
        return sum(low <= number <= high for number, _ in self.kept)

    def show(self, text: Text) -> None:
        self.shown.append(text.body)
        self.clock.rightNow += self.takes

    def hear(self, number: int) -> None:
        """The first of two parts."""
        part = self.signer.sign("part", 1, number, 0, "", f"1/2 text {number}")
        self.kept.append((number, part.raw))
        self.texts.came(TextId.of(part), number, 0)

    def test_texts_are_shown_without_what_never_came(self) -> None:
        self.hear(1)
        self.clock.advance(PATIENCE - 1)
        self.hear(3)
        self.clock.advance(1)
        self.assertEqual(len(self.shown), 1)
        self.clock.advance(PATIENCE - 1)
        self.assertEqual(len(self.shown), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_parts_of_a_long_text_are_read_once(self) -> None:
        """Attack 40: 250 parts, each of which would have all others read."""
        for number in range(1, 251):
            part = self.signer.sign("part", 1, number, 0, "", f"{number}/250 x")
            self.kept.append((number, part.raw))
            self.texts.came(TextId.of(part), number, 0)
        self.assertEqual((self.read, len(self.shown)), (1, 1))
        self.texts.stop()

    def test_one_that_is_slow_to_show_hinders_not_the_next(self) -> None:
        """Its time has come, and is over, when it is looked for."""
        self.hear(1)
        self.clock.advance(1)
        self.hear(3)
        self.takes = 5.0
        self.clock.advance(PATIENCE - 1)
        self.clock.advance(0)
        self.assertEqual([text.split()[1] for text in self.shown], ["1", "3"])
