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
AT_ONCE = 256  # datagrams of one system call
SENDER = """
import ctypes, socket, sys, time
path, address, group, port, seconds, at_once = sys.argv[1:]
data, datagrams = open(path, "rb").read(), []
while data:
    size = int.from_bytes(data[:2], "big")
    datagrams.append(data[2 : 2 + size])
    data = data[2 + size :]

class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("size", ctypes.c_size_t)]

class Message(ctypes.Structure):  # a struct mmsghdr, as sendmmsg(2) has it
    _fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint32),
                ("parts", ctypes.POINTER(Iovec)), ("count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_size", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("sent", ctypes.c_uint)]

iovecs = (Iovec * len(datagrams))(*((raw, len(raw)) for raw in datagrams))
messages = (Message * len(datagrams))()
for message, iovec in zip(messages, iovecs):
    message.parts, message.count = ctypes.pointer(iovec), 1
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
sock.connect((group, int(port)))
libc = ctypes.CDLL(None, use_errno=True)
sent = at = 0
begun = time.monotonic()
while time.monotonic() - begun < float(seconds):
    count = min(int(at_once), len(messages) - at)
    done = libc.sendmmsg(sock.fileno(), ctypes.byref(messages[at]), count, 0)
    if done < 0:
        raise OSError(ctypes.get_errno(), "sendmmsg")
    sent, at = sent + done, (at + done) % len(messages)
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
                       str(PORT + (number + 1) % 2), str(seconds), str(AT_ONCE)])
        for number in range(PROCESSES)
    ]  # fmt: skip
