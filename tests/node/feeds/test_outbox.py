"""Datagrams that wait to be sent to single nodes."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.presence.addresses import Address
from twistedp2p.node.feeds.outbox import BURST, Outbox


class FlushTests(SynchronousTestCase):
    def test_what_waits_is_sent_at_once_as_far_as_the_pace_allows(self) -> None:
        sent: list[tuple[bytes, Address]] = []
        clock = Clock()
        outbox = Outbox(lambda data, address: sent.append((data, address)), clock)
        outbox.flush()
        for number in range(int(BURST) + 5):
            outbox.put(b"%d" % number, (f"10.0.0.{number}", 1))
        outbox.flush()
        self.assertEqual(len(sent), BURST)
        outbox.close()
        clock.advance(60)
        self.assertEqual(len(sent), BURST)
