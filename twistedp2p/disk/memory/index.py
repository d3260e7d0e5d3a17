"""What is indexed of an offer, by all its trigrams.

::

    LF name LF | TAB a TAB b TAB ... TAB | CR owner

The name is folded. The letters after it, each once, are what it is made of; the owner is its
feed's number in two characters. No word has such blanks in it. So whatever is asked for stands in
the index, and a search is one expression over sorted lists, however common its words are.
"""

from __future__ import annotations

from twistedp2p.core.catalogue import folded
from twistedp2p.core.names import offer_id

EDGE, LETTER, OWNER = "\n", "\t", "\r"
GRAM = 3  # characters
NOWHERE = EDGE * GRAM
OWNER_FIRST, OWNER_BASE = 0x4E00, 4096  # code points, which have no case


def indexed(name: str, feed: int) -> str:
    """The text of the offer of that name in that feed."""
    plain = folded(name)
    letters = LETTER.join(sorted(set(plain)))
    return f"{EDGE}{plain}{EDGE}{LETTER}{letters}{LETTER}{owner_mark(feed)}"


def id_mark(owner: bytes, name: str) -> int:
    """The first 8 bytes of the id of that offer: enough to find it, and half of the room."""
    return mark_of(offer_id(owner, name))


def mark_of(offer: bytes) -> int:
    """That of an id."""
    return int.from_bytes(offer[:8], "big", signed=True)


def owner_mark(feed: int) -> str:
    """What stands for the owner; that of a feed whose number is 2^24 higher is the same."""
    high, low = divmod(feed % OWNER_BASE**2, OWNER_BASE)
    return f"{OWNER}{chr(OWNER_FIRST + high)}{chr(OWNER_FIRST + low)}"
