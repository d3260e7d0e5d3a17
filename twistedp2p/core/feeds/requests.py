"""What nodes tell and ask each other about feeds: the bodies of head, ask, gone and vector.

JSON objects::

    head     {"chat": [1, 12], "offers": [1, 3]}      lowest worth asking for, highest there is
    ask      {"epoch": 3, "origin": "<key>", "chat": [[4, 9]], "offers": [[1, 1]], "to": "<key>"}
    gone     {"log": "offers", "ranges": [[1, 7], [9, 9]]}
    vector   {"buckets": [3, 17], "hashes": "<base64>"}     who lacks something asks
    vector   {"feeds": "<base64>"}                          the answer

    feeds    for each feed: key (32 bytes), epoch, chat, offers: numbers as LEB128
    hashes   for each feed in those buckets, 4 bytes, rising (see `core.feeds.summary`)

``to`` stands in an ask that is sent to one node alone, and names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import attrs

from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody, Range
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_NUMBER, TEXT_MOST
from twistedp2p.core.feeds.feed import ASK_ITEMS, LOG_NAMES, Have, Heads
from twistedp2p.core.feeds.ranges import count, first_of
from twistedp2p.core.feeds.summary import BUCKETS, HASH_SIZE
from twistedp2p.core.names import KEY_SIZE, b64, unb64

GONE_RANGES = 20  # ranges in one gone message: fits, however large the numbers
VECTOR_FEEDS = 12  # feeds in one answer, or in a beacon
VECTOR_ROOM = TEXT_MOST - 60  # characters of feeds, in base64
VECTOR_HASHES = 120  # feeds in one vector that asks


def head_fields(heads: Heads) -> dict[str, Any]:
    """`heads` as fields of a body."""
    return {log: list(getattr(heads, log)) for log in LOG_NAMES}


def read_heads(fields: dict[str, Any]) -> Heads:
    """The heads of a head, beacon or hello; raises `BadBody`."""
    return Heads(*(_head(fields.get(log)) for log in LOG_NAMES))


def _head(pair: object) -> Range:
    if not isinstance(pair, list) or [type(end) for end in pair] != [int, int]:
        raise BadBody("a head is a pair of numbers")
    if not (1 <= pair[0] <= MAX_NUMBER and 0 <= pair[1] <= MAX_NUMBER):
        raise BadBody("a head is out of bounds")
    return pair[0], pair[1]


def _binary(fields: dict[str, Any], name: str) -> bytes:
    try:
        text = body.text(fields, name)
        return unb64(text, len(text) * 3 // 4)
    except ValueError as error:
        raise BadBody(f"{name} is not base64") from error


def _key(fields: dict[str, Any], name: str) -> bytes:
    key = _binary(fields, name)
    if len(key) != KEY_SIZE:
        raise BadBody(f"{name} is no key")
    return key


@attrs.frozen
class Ask:
    """A request for numbers of one feed, to all or to one node."""

    origin: bytes
    epoch: int
    gaps: dict[str, list[Range]]
    to: bytes | None = None

    def write(self) -> str:
        """The body."""
        to = {} if self.to is None else {"to": b64(self.to)}
        return body.write({"epoch": self.epoch, "origin": b64(self.origin), **self.gaps, **to})

    @classmethod
    def read(cls, text: str) -> Ask:
        """Read a body; raises `BadBody`. Of more than `ASK_ITEMS` numbers the first are read."""
        fields = body.read(text)
        gaps, left = {}, ASK_ITEMS
        for log in LOG_NAMES:
            if found := first_of(body.ranges(fields, log, ASK_ITEMS), left, MAX_DATAGRAM):
                gaps[log] = found
                left -= count(found)
        to = _key(fields, "to") if "to" in fields else None
        epoch = body.whole(fields, "epoch", MAX_NUMBER, 1)
        return cls(_key(fields, "origin"), epoch, gaps, to)

    def covers(self, gaps: dict[str, list[Range]]) -> bool:
        """Whether the first of all `gaps` is asked for here."""
        for log, ranges in gaps.items():
            first = ranges[0][0]
            return any(low <= first <= high for low, high in self.gaps.get(log, ()))
        return True


@attrs.frozen
class Gone:
    """Numbers of a log of the sender that were superseded: at most `GONE_RANGES` ranges."""

    log: str
    ranges: tuple[Range, ...]

    def write(self) -> str:
        """The body."""
        return body.write({"log": self.log, "ranges": self.ranges})

    @classmethod
    def read(cls, text: str) -> Gone:
        """Read a body; raises `BadBody`."""
        fields = body.read(text)
        log = body.text(fields, "log")
        if log not in LOG_NAMES:
            raise BadBody("an unknown log")
        return cls(log, tuple(body.ranges(fields, "ranges", GONE_RANGES)))


def pack_haves(haves: Iterable[Have], room: int) -> str:
    """How much of the first `VECTOR_FEEDS` feeds is here, as at most `room` characters."""
    packed = bytearray()
    for have in islice(haves, VECTOR_FEEDS):
        numbers = b"".join(map(_packed, (have.epoch, have.chat, have.offers)))
        if (len(packed) + KEY_SIZE + len(numbers)) * 4 > room * 3:
            break
        packed += have.origin + numbers
    return b64(bytes(packed))


def _packed(number: int) -> bytes:
    packed = bytearray()
    while number > 127:
        packed.append(128 | number & 127)
        number >>= 7
    packed.append(number)
    return bytes(packed)


def unpack_haves(packed: bytes) -> tuple[Have, ...]:
    """At most `VECTOR_FEEDS` of them; raises `BadBody`."""
    haves, at = [], 0
    while at < len(packed):
        origin, at = packed[at : at + KEY_SIZE], at + KEY_SIZE
        numbers = []
        for _ in range(3):
            number, at = _leb128(packed, at)
            numbers.append(number)
        haves.append(Have(origin, *numbers))
    if len(haves) > VECTOR_FEEDS or any(not have.epoch for have in haves):
        raise BadBody("feeds are not within their bounds")
    return tuple(haves)


def _leb128(packed: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next one begins."""
    number = shift = 0
    while at < len(packed) and shift < 56:
        byte = packed[at]
        number |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            if number > MAX_NUMBER or (not byte and shift > 7):
                break
            return number, at
    raise BadBody("feeds are damaged")


@attrs.frozen
class Vector:
    """The feeds of some buckets: their hashes when it asks, how much is here when it answers."""

    buckets: tuple[int, ...] = ()
    hashes: bytes = b""
    feeds: tuple[Have, ...] = ()

    def write(self) -> str:
        """The body."""
        if self.buckets:
            return body.write({"buckets": list(self.buckets), "hashes": b64(self.hashes)})
        return body.write({"feeds": pack_haves(self.feeds, VECTOR_ROOM)})

    @classmethod
    def read(cls, text: str) -> Vector:
        """Read a body; raises `BadBody`."""
        fields = body.read(text)
        if "feeds" in fields:
            return cls(feeds=read_feeds(fields, "feeds"))
        buckets, hashes = fields.get("buckets"), _binary(fields, "hashes")
        if not isinstance(buckets, list) or not 1 <= len(buckets) <= BUCKETS:
            raise BadBody("buckets is not a list within its bounds")
        if any(type(each) is not int or not 0 <= each < BUCKETS for each in buckets):
            raise BadBody("there is no such bucket")
        if len(hashes) % HASH_SIZE or len(hashes) > VECTOR_HASHES * HASH_SIZE:
            raise BadBody("hashes are not within their bounds")
        return cls(tuple(dict.fromkeys(buckets)), hashes)

    def knows(self) -> set[bytes]:
        """The hashes, one by one."""
        step = HASH_SIZE
        return {self.hashes[at : at + step] for at in range(0, len(self.hashes), step)}


def read_feeds(fields: dict[str, Any], name: str) -> tuple[Have, ...]:
    """Packed feeds of a body; none when absent; raises `BadBody`."""
    return unpack_haves(_binary(fields, name)) if name in fields else ()
