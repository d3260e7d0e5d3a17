"""The group's time: a hybrid logical clock, by which lines are put in order.

After Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks" (OPODIS 2014), with
the counter folded into the milliseconds: a stamp is the time of day, but always above every stamp
given or heard before. So an answer is stamped after its question, also where the clock of who
answers is an hour behind, and a group whose clocks agree sees nothing but the time of day.

Two things are added. A stamp that is more than a day ahead is not followed: one wrong year would
be everybody's. And while it is ahead of the time of day the clock does not stand still, it runs a
little slower, as a clock that is being set does: how long ago something was said can be told
all the while, and what a wrong clock has left behind fades when it is gone.
"""

from __future__ import annotations

FOLLOWED_MOST = 24 * 3600 * 1000  # milliseconds that a followed stamp may be ahead of our clock
SLOWED = 8  # one part in so many is lost while we are ahead: an hour in eight


class HybridClock:
    """One node's clock. Every `now` is the time of day in milliseconds since 1970.

    `last` is the latest stamp that an earlier run has given or followed, 0 for none.
    """

    def __init__(self, last: int, now: int) -> None:
        self._last = min(last, now + FOLLOWED_MOST)
        self._at = now  # the time of day when the clock read `_last`

    def read(self, now: int) -> int:
        """What the clock shows; gives no stamp."""
        since = max(0, now - self._at)
        return max(now, self._last + since - since // SLOWED)

    def stamp(self, now: int) -> int:
        """A stamp above every one that was given or followed."""
        self._last, self._at = max(self.read(now), self._last + 1), now
        return self._last

    def follow(self, stamp: int, now: int) -> bool:
        """A stamp was heard; False when it is too far ahead to be followed, or to order by."""
        if stamp > now + FOLLOWED_MOST:
            return False
        if stamp >= self.read(now):
            self._last, self._at = stamp, now
        return True
