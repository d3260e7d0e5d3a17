"""What we serve: our own offers, and what we have of others'. Implements `net.answers.Shelf`."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.pieces import Ask
from twistedp2p.node.downloads.holdings import Held, Holdings
from twistedp2p.node.offers.serving import Serving


@attrs.frozen
class Shelves:
    """Asks the one of the two rooms whose offer it is."""

    _serving: Serving
    _holdings: Holdings

    def _of(self, served: Any) -> Any:
        return self._holdings if isinstance(served, Held) else self._serving

    def find(self, offer: bytes) -> Any:
        """Our own offer of that id, or the download; raises `Refusal`."""
        try:
            return self._serving.find(offer)
        except Refusal as refusal:
            try:
                return self._holdings.find(offer)
            except Refusal:  # what was ours and has changed is more than what is not here
                raise refusal from None

    def guess(self, served: Any, address: str, key: bytes) -> None:
        """As `net.answers.Shelf.guess`."""
        self._of(served).guess(served, address, key)

    def guessed(self, served: Any, address: str, key: bytes, right: bool) -> None:
        """As `net.answers.Shelf.guessed`."""
        self._of(served).guessed(served, address, key, right)

    def loading(self, served: Any) -> Deferred[None] | None:
        """As `net.answers.Shelf.loading`."""
        loading: Deferred[None] | None = self._of(served).loading(served)
        return loading

    def check(self, served: Any) -> None:
        """As `net.answers.Shelf.check`."""
        self._of(served).check(served)

    def chosen(self, served: Any, offset: int, length: int) -> None:
        """As `net.answers.Shelf.chosen`."""
        self._of(served).chosen(served, offset, length)

    def open(self, served: Any, offset: int, length: int) -> Any:
        """As `net.answers.Shelf.open`."""
        return self._of(served).open(served, offset, length)

    def next(self, served: Any, have: bytes) -> int | None:
        """As `net.answers.Shelf.next`."""
        number: int | None = self._of(served).next(served, have)
        return number

    def text(self, served: Any, ask: Ask, key: bytes, host: str) -> bytes:
        """As `net.answers.Shelf.text`."""
        text: bytes = self._of(served).text(served, ask, key, host)
        return text

    def broke(self, served: Any, error: BaseException | None) -> None:
        """As `net.answers.Shelf.broke`."""
        self._of(served).broke(served, error)

    def progress(self, served: Any, connection: object, sent: int) -> None:
        """As `net.answers.Shelf.progress`."""
        self._of(served).progress(served, connection, sent)

    def ended(self, served: Any, connection: object) -> None:
        """As `net.answers.Shelf.ended`."""
        self._of(served).ended(served, connection)
