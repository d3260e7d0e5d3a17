"""Waiting for a random time, so that of many who could speak a few do and the others hear it."""

from __future__ import annotations

import math
from collections.abc import Callable

ROUND = 0.05  # seconds in which one datagram is surely heard on a local network


def round_time(nodes: int) -> float:
    """Seconds over which a group of `nodes` spreads what one of them is to say."""
    return ROUND * (1 + math.log10(max(1, nodes)))


def random_backoff(most: float, nodes: int, random: Callable[[], float]) -> float:
    """A random time up to `most` seconds: late for most of the `nodes`, early for a few.

    RandomBackoff of RFC 5401, section 4.1: a truncated exponential distribution, so that the
    number of those who speak before they hear another is small whatever the group's size.
    `random` gives numbers from 0 to 1.
    """
    steep = math.log(max(1, nodes)) + 1
    # Of the RFC's two steps with `most` taken out: x runs from 1 to e to the power of steep.
    return most / steep * math.log(1 + random() * (math.exp(steep) - 1))
