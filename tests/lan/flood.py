"""A host that floods the group with all that its processes can send."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.lan.netns import Lan
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.datagrams.datagram import Signer, group_name
from twistedp2p.core.feeds.feed import Heads
from twistedp2p.core.presence.beacon import Beacon

GROUP, PORT = "239.0.0.1", 9392
KEYS = 2000  # throw-away keys of a flood
DIGEST = f"blake3:{0:064x}"
PROCESSES = 2
SENDER = """
import socket, sys, time
path, address, group, port, seconds = sys.argv[1:]
data, datagrams = open(path, "rb").read(), []
while data:
    size = int.from_bytes(data[:2], "big")
    datagrams.append(data[2 : 2 + size])
    data = data[2 + size :]
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
sock.connect((group, int(port)))
sent, begun = 0, time.monotonic()
while time.monotonic() - begun < float(seconds):
    for datagram in datagrams[sent % len(datagrams):][:200]:
        sock.send(datagram)
        sent += 1
print(sent / (time.monotonic() - begun))
"""


def plain(chance: random.Random) -> Iterator[bytes]:
    """Lines of text, each another one."""
    for number in range(KEYS):
        yield f"line {number} {chance.random()}".encode()


def garbage(chance: random.Random) -> Iterator[bytes]:
    """Bytes that mean nothing."""
    for _ in range(KEYS):
        yield chance.randbytes(chance.randrange(1, 1200))


def strangers(chance: random.Random) -> Iterator[bytes]:
    """What throw-away keys have signed: a beacon, a line and an offer of each."""
    for number in range(KEYS):
        signer = Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))
        beacon = Beacon(5, 9393, Heads((1, 9), (1, 9))).write()
        offer = Offer(signer.key, f"{chance.random()}.jpg", number, DIGEST, public=False)
        for kind, body in (("beacon", beacon), ("say", "spam"), ("offer", offer.write())):
            yield signer.sign(kind, 1, 1, 1, f"nick{number}", body).raw


def forged(chance: random.Random) -> Iterator[bytes]:
    """The same, with wrong signatures."""
    for raw in strangers(chance):
        covered, _, signature = raw.rpartition(b" ")
        yield covered + b" " + signature[::-1][1:] + b"A"


def replayed(chance: random.Random) -> Iterator[bytes]:
    """One offer, again and again."""
    first = next(strangers(chance))
    yield from [first] * KEYS


KINDS = {each.__name__: each for each in (plain, garbage, strangers, forged, replayed)}


def mixed(chance: random.Random) -> Iterator[bytes]:
    """Some of each."""
    every = [raw for make in KINDS.values() for raw in make(chance)]
    chance.shuffle(every)
    yield from every


def flood(lan: Lan, ns: int, folder: Path, datagrams: list[bytes], seconds: float) -> list[Any]:
    """Start to flood both ports from namespace `ns`; the processes, which print their rates."""
    path = folder / "datagrams"
    path.write_bytes(b"".join(len(raw).to_bytes(2, "big") + raw for raw in datagrams))
    return [
        lan.popen(ns, [sys.executable, "-c", SENDER, str(path), lan.address(ns), GROUP,
                       str(PORT + (number + 1) % 2), str(seconds)])
        for number in range(PROCESSES)
    ]  # fmt: skip
