"""SYNC: two nodes tell each other what the other lacks, by their version vectors.

Both ends do the same at the same time; `records` has the bytes::

    said     VECTOR ... VECTOR_END  PEERS ...        at once
             (ENTRY ... SETTLED) ...  END            once the other's VECTOR_END has come

    heard    vector --VECTOR--> vector --VECTOR_END--> rest --END--> ended
                                                       rest --ENTRY, SETTLED, PEERS--> rest

A vector names for each feed the numbers up to which all is here. After the entries of a feed, and
now and then among them, SETTLED says up to where the sender has now given all that it keeps of
it: what did not come below was superseded, or has aged. What a state does not await is a
`Violation`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import attrs

from twistedp2p.core.calls.conversation import Violation
from twistedp2p.core.calls.records import (
    END,
    ENTRY,
    MAX_RECORD,
    PEERS,
    SETTLED,
    VECTOR,
    VECTOR_END,
    BadRecord,
    record,
)
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed, parse
from twistedp2p.core.feeds.feed import Have
from twistedp2p.core.names import KEY_SIZE
from twistedp2p.core.presence.addresses import read_host

MAX_FEEDS = 4096  # of one vector
MAX_PEERS_TOLD = 256  # live peers told in one conversation
MAX_HOST = 64  # bytes of an address
SETTLE_EVERY = 100  # entries: a feed in which much was superseded has many gaps
_HAVE = struct.Struct(f">{KEY_SIZE}sQQQ")
_PEER = struct.Struct(f">{KEY_SIZE}sHHB")
HAVES_IN_RECORD = MAX_RECORD // _HAVE.size


def write_have(have: Have) -> bytes:
    """The 56 bytes of a feed."""
    return _HAVE.pack(have.origin, have.epoch, have.chat, have.offers)


def read_have(content: bytes) -> Have:
    """Read the 56 bytes of a feed; raises `BadRecord`."""
    if len(content) != _HAVE.size:
        raise BadRecord("a feed of another size")
    have = Have(*_HAVE.unpack(content))
    if not 1 <= have.epoch <= MAX_NUMBER or max(have.chat, have.offers) > MAX_NUMBER:
        raise BadRecord("a number out of its bounds")
    return have


@attrs.frozen
class LivePeer:
    """A node that is here, and where: `host` is an IP address without scope."""

    key: bytes
    host: str
    port: int  # UDP, of its replies
    files: int  # TCP

    def write(self) -> bytes:
        """Its bytes."""
        host = self.host.encode("ascii")
        return _PEER.pack(self.key, self.port, self.files, len(host)) + host


def read_peers(content: bytes) -> list[LivePeer]:
    """The peers of one record; raises `BadRecord`."""
    peers = []
    while content:
        if len(content) < _PEER.size:
            raise BadRecord("half a peer")
        key, port, files, size = _PEER.unpack_from(content)
        end = _PEER.size + size
        if not 0 < size <= MAX_HOST or len(content) < end:
            raise BadRecord("an address of another size")
        try:
            host = read_host(content[_PEER.size : end].decode("ascii"))
        except ValueError as error:
            raise BadRecord("an address where no node is") from error
        if port < 1024 or 0 < files < 1024:
            raise BadRecord("a port where no node is")
        peers.append(LivePeer(key, host, port, files))
        content = content[end:]
    if not peers:
        raise BadRecord("no peer")
    return peers


class Replica(Protocol):
    """All feeds as one node has them."""

    def vector(self) -> Sequence[Have]:
        """The feeds, and up to where they are here."""

    def lacking(self, theirs: Sequence[Have]) -> Sequence[Have]:
        """The feeds of which we have more, as the other end has them (0 where unknown)."""

    def entries_above(self, have: Have) -> Iterator[bytes]:
        """The signed bytes that we keep of a feed above `have`, at hand one by one."""

    def has(self, entry: Signed) -> bool:
        """Whether an entry of that number is here, so that this one need not be looked at."""

    def settled(self, have: Have) -> None:
        """The other end has sent all that it keeps up to these numbers."""


@attrs.frozen
class Theirs:
    """The other end's vector is whole."""

    vector: list[Have]


@attrs.frozen
class Entry:
    """A signed datagram; nothing of it has been checked."""

    raw: bytes


@attrs.frozen
class Settled:
    """All that the other end keeps of a feed up to these numbers has come."""

    have: Have


@attrs.frozen
class Learnt:
    """Who else is here, as the other end says."""

    peers: list[LivePeer]


@attrs.frozen
class Ended:
    """The other end has said all."""


Heard = Theirs | Entry | Settled | Learnt | Ended

_NEXT = {
    ("vector", VECTOR): "vector",
    ("vector", VECTOR_END): "rest",
    ("rest", ENTRY): "rest",
    ("rest", SETTLED): "rest",
    ("rest", PEERS): "rest",
    ("rest", END): "ended",
}


class Exchange:
    """What one end hears, as states; `state` is vector, rest or ended."""

    def __init__(self) -> None:
        self.state = "vector"
        self._vector: dict[bytes, Have] = {}
        self._peers = 0

    def heard(self, kind: int, content: bytes) -> Heard | None:
        """Take in one record: what it means, or None for a part of a vector.

        Raises `Violation` and `BadRecord`; the conversation is over then.
        """
        state = _NEXT.get((self.state, kind))
        if state is None:
            raise Violation("a record at the wrong moment")
        self.state = state
        if kind == ENTRY:
            return Entry(content)
        if kind == SETTLED:
            return self._heard_settled(read_have(content))
        if kind == VECTOR:
            self._heard_vector(content)
            return None
        if kind == PEERS:
            return self._heard_peers(read_peers(content))
        if content:
            raise BadRecord("a content where none belongs")
        return Ended() if kind == END else Theirs(list(self._vector.values()))

    def _heard_vector(self, content: bytes) -> None:
        if not content:
            raise BadRecord("no feed")
        for at in range(0, len(content), _HAVE.size):
            have = read_have(content[at : at + _HAVE.size])
            if have.origin in self._vector or len(self._vector) >= MAX_FEEDS:
                raise Violation("a feed twice, or too many")
            self._vector[have.origin] = have

    def _heard_settled(self, have: Have) -> Settled:
        """Nobody can settle more than he said that he has."""
        said = self._vector.get(have.origin)
        if said is None or have.epoch != said.epoch:
            raise Violation("settled a feed that was not in the vector")
        if have.chat > said.chat or have.offers > said.offers:
            raise Violation("settled more than was in the vector")
        return Settled(have)

    def _heard_peers(self, peers: list[LivePeer]) -> Learnt:
        self._peers += len(peers)
        if self._peers > MAX_PEERS_TOLD:
            raise Violation("too many peers")
        return Learnt(peers)


def say_vector(vector: Sequence[Have]) -> Iterator[bytes]:
    """The records of a vector of at most `MAX_FEEDS` feeds."""
    for at in range(0, len(vector), HAVES_IN_RECORD):
        some = vector[at : at + HAVES_IN_RECORD]
        yield record(VECTOR, b"".join(map(write_have, some)))
    yield record(VECTOR_END)


def say_peers(peers: Iterable[LivePeer]) -> Iterator[bytes]:
    """The records of at most `MAX_PEERS_TOLD` peers."""
    content = b""
    for peer in peers:
        one = peer.write()
        if len(content) + len(one) > MAX_RECORD:
            yield record(PEERS, content)
            content = b""
        content += one
    if content:
        yield record(PEERS, content)


def say_difference(
    replica: Replica, mine: Sequence[Have], theirs: Sequence[Have]
) -> Iterator[bytes]:
    """The records of all that the other end lacks, made one by one as they are drawn.

    `mine` is the vector that was said. Small differences come first: a line of chat does not wait
    for somebody's hundred thousand offers.
    """
    ours = {have.origin: have for have in mine}
    lacking = [have for have in replica.lacking(theirs) if have.origin in ours]
    for have in sorted(lacking, key=lambda have: _amount(have, ours[have.origin])):
        yield from _say_feed(replica.entries_above(have), ours[have.origin])
    yield record(END)


def _say_feed(entries: Iterator[bytes], ours: Have) -> Iterator[bytes]:
    """The records of one feed, whose entries come log by log, rising."""
    for count, raw in enumerate(entries, 1):
        yield record(ENTRY, raw)
        if count % SETTLE_EVERY == 0:
            yield record(SETTLED, write_have(_up_to(raw, ours)))
    yield record(SETTLED, write_have(ours))


def _up_to(raw: bytes, ours: Have) -> Have:
    """What is settled once the entry `raw` was said."""
    entry = parse(raw)
    assert isinstance(entry, Signed)
    if entry.log == "chat":
        return Have(ours.origin, ours.epoch, min(entry.number, ours.chat), 0)
    return Have(ours.origin, ours.epoch, ours.chat, min(entry.number, ours.offers))


def _amount(theirs: Have, ours: Have) -> int:
    return ours.chat + ours.offers - (theirs.chat + theirs.offers) * (theirs.epoch == ours.epoch)
