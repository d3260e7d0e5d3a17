"""Timers that go on whatever is done to the time of day.

A reactor reckons by the time of day: set back an hour (by hand, by NTP after a start with a wrong
clock), it makes no call for that hour; set forward, all its timeouts are over at once. The
monotonic clock knows neither. It stands still while the host sleeps: see `watch`.
"""

from __future__ import annotations

import time
from typing import Any


def keep_steady(reactor: Any) -> bool:
    """Have a reactor reckon by the monotonic clock from now on.

    False, and nothing done, where it runs already or has calls to make: those would be due at
    quite another time.
    """
    if reactor.running or reactor.getDelayedCalls():
        return False
    # All of Twisted asks the reactor for its time by this method (IReactorTime).
    reactor.seconds = time.monotonic
    return True
