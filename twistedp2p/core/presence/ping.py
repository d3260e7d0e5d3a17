"""Pings, by which somebody finds out which way datagrams get through, and their pongs::

    ping  {"train": "0123456789abcdef", "number": 1, "pad": "..."}
    pong  {"train": "0123456789abcdef", "number": 1, "seen": "10.0.0.7:40000", "files": 9393,
           "program": "0.1.0", "time": 1700000000000}

    train    64 random bits of the sender: which way, through which interface it sent these pings
    number   1 to 20 within the train
    pad      anything; a pong that would be longer than its ping is not sent
    seen     the address that the ping came from, as the other end saw it
    files    TCP port of the node's file service, 0 for none
    program  the version of the node's program
    time     the time of day by the node's own clock, milliseconds since 1970; versions before do
             not tell

A node answers each ping by one pong to the address that it came from. In a large group only some
of the nodes answer a train that all of them hear; a hash of train and key says which.
"""

from __future__ import annotations

import hashlib
import re

import attrs

from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody

TRAIN_LENGTH = 20  # pings
PAD = 400  # characters: more than a pong with the longest nick and address is longer than a ping
SAMPLE = 50  # nodes that answer a train, in a large group
_TRAIN = re.compile("[0-9a-f]{16}")
_TIME_MOST = 2**53  # milliseconds: whole numbers that every JSON reader has
_SEEN_MOST = 80  # characters: an IPv6 address with its scope, in brackets, and a port
PROGRAM_MOST = 20  # characters


@attrs.frozen
class Ping:
    """One ping of a train."""

    train: str
    number: int

    def write(self) -> str:
        """The body."""
        return body.write({"train": self.train, "number": self.number, "pad": "." * PAD})

    @classmethod
    def read(cls, text: str) -> Ping:
        """Read a body; raises `BadBody`."""
        fields = body.read(text)
        return cls(_train(fields.get("train")), body.whole(fields, "number", TRAIN_LENGTH, 1))


@attrs.frozen
class Pong:
    """The answer to one ping. `seen` is where the ping came from, as whoever answers saw it; `time`
    is by its own clock, in milliseconds since 1970, None where it does not tell."""

    train: str
    number: int
    seen: str
    files: int  # TCP port
    program: str
    time: int | None = None

    def write(self) -> str:
        """The body."""
        fields = attrs.asdict(self)
        return body.write({name: value for name, value in fields.items() if value is not None})

    @classmethod
    def read(cls, text: str) -> Pong:
        """Read a body; raises `BadBody`."""
        fields = body.read(text)
        return cls(
            _train(fields.get("train")),
            body.whole(fields, "number", TRAIN_LENGTH, 1),
            body.text(fields, "seen", _SEEN_MOST),
            body.whole(fields, "files", 65_535),
            body.text(fields, "program", PROGRAM_MOST),
            body.whole(fields, "time", _TIME_MOST) if "time" in fields else None,
        )


def in_sample(train: str, key: bytes, nodes: int) -> bool:
    """Whether the node of that key answers a train that a group of `nodes` hears."""
    drawn = hashlib.sha256(train.encode("ascii") + key).digest()[:4]
    return int.from_bytes(drawn, "big") * nodes < SAMPLE << 32


def where(host: str, port: int) -> str:
    """``10.0.0.7:40000``, ``[fe80::1]:40000``: without its scope."""
    host = host.partition("%")[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _train(value: object) -> str:
    if not isinstance(value, str) or not _TRAIN.fullmatch(value):
        raise BadBody("train is not 16 hex digits")
    return value
