"""A direct message on its connection: both ends of TELL, from their first record on.

Who speaks to whom is proved by the node keys in TLS 1.3, whose keys no later theft of a node's
key opens again: `core.calls.tell` has the records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from twistedp2p.core.calls.conversation import Violation
from twistedp2p.core.calls.records import END, BadRecord, Records, record
from twistedp2p.core.calls.tell import Hearing, say_text
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.net.deadline import Deadline

WHOLE = 10.0  # seconds from the first record to the end


class TellTalk:
    """The end that has something to say; a `net.talk.Talk`."""

    def __init__(self, text: str, clock: IReactorTime) -> None:
        self._text = text
        self._records = Records()
        self._deadline = Deadline(clock, self._cut)
        self._shown = False
        self._transport: Any = None

    def begin(self, transport: Any) -> None:
        """Say it."""
        self._transport = transport
        self._deadline.set(WHOLE)
        transport.write(b"".join(say_text(self._text)))

    def received(self, data: bytes) -> None:
        """The answer."""
        self._records.feed(data)
        try:
            answer = self._records.next()
        except BadRecord:
            self._cut()
            return
        if answer is not None:
            self._shown = answer == (END, b"")
            self._transport.loseConnection()

    def lost(self) -> None:
        """The connection is gone; raises `ShareError` when nobody was seen to be shown it."""
        self._deadline.stop()
        if not self._shown:
            raise ShareError(
                N_("The connection broke off: perhaps it was shown, perhaps not."), Exit.TIMEOUT
            )

    def _cut(self) -> None:
        self._transport.abortConnection()


class HearTalk:
    """The end that is told something; a `net.talk.Talk`. `show` shows it to somebody."""

    def __init__(
        self, show: Callable[[str], None], gone: Callable[[], None], clock: IReactorTime
    ) -> None:
        self._show = show
        self._gone = gone
        self._records = Records()
        self._hearing = Hearing()
        self._deadline = Deadline(clock, self._cut)
        self._transport: Any = None

    def begin(self, transport: Any) -> None:
        """Listen."""
        self._transport = transport
        self._deadline.set(WHOLE)

    def received(self, data: bytes) -> None:
        """Some records, or parts of them."""
        self._records.feed(data)
        try:
            while (one := self._records.next()) is not None:
                text = self._hearing.heard(*one)
                if text is not None:
                    self._show(text)
                    self._transport.write(record(END))
                    self._transport.loseConnection()
        except (Violation, BadRecord):
            self._cut()

    def lost(self) -> None:
        """The connection is gone."""
        self._deadline.stop()
        self._gone()

    def _cut(self) -> None:
        self._transport.abortConnection()
