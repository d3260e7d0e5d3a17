"""A thousand clients at once, each with a key of its own, fetch one small file from one node.

    python -m benchmarks.clients
    python -m benchmarks.clients --clients 200 --kib 256

The node is a process with its limits raised; the clients are another, and connect over loopback,
all at the same time, from addresses of their own. Told are the whole time, the slowest client
beside the median one (from its first step to the last byte), and the memory of the node at its
peak. The password is stretched once, before: that is each client's own work, and not the node's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import react

from twistedp2p.core.calls.cpace import stretch
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.names import offer_id
from twistedp2p.net.dial import Dialer
from twistedp2p.net.fetch import Fetcher, FileClient
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.tls import NodeTLS

PASSWORD = "abacus abdomen abdominal"
NAME = "small.bin"
PORT = 17_393  # TCP
HOSTS = 16  # addresses of 127.0.0.0/8 at which the node is called
TIMEOUT = 60.0  # seconds for a connection, while a thousand others are made
NODE = """
import json, resource, sys
from pathlib import Path
from twisted.internet import reactor
from twistedp2p.disk.instance import claim
from twistedp2p.node.config import Config
from twistedp2p.node.desk import Node
from twistedp2p.net.serve import Limits

resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
folder, count = Path(sys.argv[1]), 2 * int(sys.argv[2])
limits = Limits(connections_rate=count, connections_burst=count, unproven_per_address=count,
                unproven=count, transfers=count, transfers_per_address=count)
node = Node(reactor, Config(port=int(sys.argv[3]) - 1, nick="owner", interfaces=["127.0.0.1"],
                            mdns=False, limits=limits), claim(folder / "state"))
node.start()
node.offer(sys.argv[4], sys.argv[5]).addCallback(
    lambda _: print(json.dumps(node.key.hex()), flush=True))
reactor.run()
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clients", description="A thousand clients at once."
    )
    parser.add_argument("--clients", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--kib", type=int, default=1024, help="size of the file (1024)")
    return parser.parse_args()


@attrs.frozen
class Known:
    """An order whose password is stretched already: implements `net.fetch.Order`."""

    secret: tuple[bytes, bytes]

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """It is known."""
        return succeed(self.secret)

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """Whatever it is."""


class Counting:
    """A sink that counts; implements `net.fetch.Sink`."""

    def __init__(self, client: FileClient, size: int) -> None:
        self._client = client
        self._left = size
        self.done: Deferred[float] = Deferred()
        client.ended.addCallback(self._ended)

    def write(self, data: memoryview) -> int:
        """In a thread."""
        return len(data)

    def written(self, results: list[int]) -> None:
        """So much has been written."""
        self._left -= sum(results)
        if not self._left:
            self.done.callback(time.monotonic())
            self._client.close()

    def came(self, size: int) -> None:
        """`written` counts."""

    def _ended(self, error: BaseException | None) -> None:
        if self._left:
            self.done.errback(error or RuntimeError("closed too early"))


async def fetch(reactor: Any, secret: tuple[bytes, bytes], host: str, size: int) -> float:
    """One client: seconds that it took."""
    key = Ed25519PrivateKey.generate()
    begun = time.monotonic()
    fetcher = Fetcher(
        Dialer(reactor, NodeTLS(key), TIMEOUT),
        key.public_key().public_bytes_raw(),
        reactor,
        in_threads_of(reactor),
    )
    client = await fetcher.connect(Known(secret), [(host, PORT)])
    sink = Counting(client, size)
    for offset in range(0, size, 2**20):
        client.fetch(offset, min(2**20, size - offset), sink)
    return await sink.done - begun


async def measure(reactor: Any, options: argparse.Namespace, owner: bytes, node: int) -> None:
    """All of them, and what came of it."""
    offer = offer_id(owner, NAME)
    secret = offer, stretch(PASSWORD, owner, offer)
    begun = time.monotonic()
    seconds = await gatherResults(
        [
            Deferred.fromCoroutine(
                fetch(reactor, secret, f"127.0.0.{1 + number % HOSTS}", options.kib * 1024)
            )
            for number in range(options.clients)
        ],
        consumeErrors=True,
    )
    took, median = time.monotonic() - begun, statistics.median(seconds)
    status = Path(f"/proc/{node}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(
        f"{options.clients} clients x {options.kib} KiB: all done after {took:.1f} s; "
        f"median {median:.2f} s, slowest {max(seconds):.2f} s = {max(seconds) / median:.2f} of it, "
        f"fastest {min(seconds):.2f} s; the node's memory at its peak {peak:.0f} MiB"
    )


def main() -> None:
    """Run it."""
    options = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / NAME
        file.write_bytes(os.urandom(options.kib * 1024))
        argv = [sys.executable, "-c", NODE, temporary, str(options.clients), str(PORT), str(file)]
        node = subprocess.Popen([*argv, PASSWORD], stdout=subprocess.PIPE, text=True)
        try:
            assert node.stdout is not None
            owner = bytes.fromhex(json.loads(node.stdout.readline()))
            react(
                lambda reactor: Deferred.fromCoroutine(measure(reactor, options, owner, node.pid))
            )
        finally:
            node.kill()
            node.wait()


if __name__ == "__main__":
    main()
