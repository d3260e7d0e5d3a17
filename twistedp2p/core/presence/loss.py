"""How much of what is sent by multicast is lost on its way to us.

Each beacon tells how many messages (entries not counted: others repeat those) its node has sent
by multicast in this run. What we heard of them between two beacons, against what was sent, is the
loss: a ratio of two counts, as in the receiver reports of RTP (RFC 3550, section 6.4.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MARKS = 16  # beacons of one node that are looked back on
TELLING = 20  # messages sent, below which a count tells nothing
MOST = 100  # messages of one node that count in that of all: a liar is one of many


class Losses:
    """What came, and what did not, of the multicast messages of one node."""

    __slots__ = ("_heard", "_marks")

    def __init__(self) -> None:
        self._heard = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=MARKS)  # sent and heard so far

    def heard(self) -> None:
        """One of its messages came by multicast, for the first time."""
        self._heard += 1

    def beacon(self, sent: int) -> None:
        """A beacon of it (counted by `heard` already if it came by multicast) says `sent`."""
        if self._marks and sent < self._marks[-1][0]:
            self._marks.clear()  # another run
        self._marks.append((sent, self._heard))

    def counts(self) -> tuple[int, int]:
        """Messages sent, and those of them that were lost, in the time looked back on."""
        if not self._marks:
            return 0, 0
        (sent, heard), (sent_now, heard_now) = self._marks[0], self._marks[-1]
        total = sent_now - sent
        return total, max(0, total - (heard_now - heard))


def loss(all_counts: Iterable[tuple[int, int]]) -> float | None:
    """The part that is lost, 0 to 1, of these `Losses.counts`; None where they are too few."""
    total, lost = 0.0, 0.0
    for sent, missing in all_counts:
        if sent:
            counted = min(sent, MOST)
            total += counted
            lost += counted * missing / sent
    return lost / total if total >= TELLING else None
