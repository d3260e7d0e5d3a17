"""The last events, as they are sent: kept once, however many listen.

An event's number in this run is its place. Who listens keeps the place of what he had last, and
takes from there what he has not had: so nothing waits for him but what is kept for all. Of a
transfer only the latest progress is kept.
"""

from __future__ import annotations

EVENTS_MOST = 1000
BYTES_MOST = 4_194_304  # of all events that are kept


class Ring:
    """At most `EVENTS_MOST` events in `BYTES_MOST`."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}  # in the order of the numbers
        self._size = 0  # bytes
        self._latest: dict[int, int] = {}  # of a transfer: the number of its latest progress
        self._transfers: dict[int, int] = {}  # the other way round
        self.last = 0  # number
        self.forgotten = 0  # the highest number that had to make room

    def put(self, event: bytes, transfer: int | None = None) -> None:
        """Keep the next event, under the number `last + 1`.

        :param transfer: whose progress it is, if it is one.
        """
        self.last += 1
        if transfer is not None:
            before = self._latest.get(transfer)
            if before is not None:
                self._drop(before)
            self._latest[transfer] = self.last
            self._transfers[self.last] = transfer
        self._kept[self.last] = event
        self._size += len(event)
        while len(self._kept) > EVENTS_MOST or self._size > BYTES_MOST:
            self.forgotten = next(iter(self._kept))
            self._drop(self.forgotten)

    def _drop(self, number: int) -> None:
        self._size -= len(self._kept.pop(number))
        transfer = self._transfers.pop(number, None)
        if transfer is not None and self._latest.get(transfer) == number:
            del self._latest[transfer]

    def after(self, number: int) -> list[tuple[int, bytes]]:
        """What is kept of what came after that number, oldest first."""
        found = []
        for each in reversed(self._kept):
            if each <= number:
                break
            found.append((each, self._kept[each]))
        found.reverse()
        return found
