"""A thousand clients at once, each with a key of its own, fetch one small file from one node.

    python -m benchmarks.clients
    python -m benchmarks.clients --clients 200 --kib 256

The node is `twistd -n p2pshare` with its limits raised by --max-clients; the clients are another
process, and connect over loopback, all at the same time. Told are the whole time, the slowest
client beside the median one (from its first step to the last byte), and the memory of the node at
its peak. Keys and certificates are made, and the password is stretched, before: that is each
client's own work, and not the node's.
"""

from __future__ import annotations

import argparse
import os
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
from twisted.internet.task import deferLater, react

from benchmarks.processes import STOP_TIMEOUT
from twistedp2p.core.calls.cpace import stretch
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.errors import ShareError
from twistedp2p.core.names import offer_id
from twistedp2p.net.descriptors import make_room
from twistedp2p.net.dial import Dialer
from twistedp2p.net.fetch import Fetcher, FileClient
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.tls import NodeTLS

PASSWORD = "abacus abdomen abdominal"
NAME = "small.bin"
PORT = 17_393  # TCP
HOST = "127.0.0.1"
GROUP_PORT = 17_394  # UDP
READY_TIMEOUT = 30.0  # seconds for the node to serve its file
TIMEOUT = 60.0  # seconds for a connection, while a thousand others are made


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clients", description="A thousand clients at once."
    )
    parser.add_argument("--clients", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--kib", type=int, default=1024, help="size of the file (1024)")
    return parser.parse_args()


@attrs.define
class Known:
    """An order whose password is stretched once for all. Implements `net.fetch.Order`."""

    secret: tuple[bytes, bytes] | None = None

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """Known but for the first time."""
        if self.secret is None:
            offer = offer_id(owner_key, NAME)
            self.secret = offer, stretch(PASSWORD, owner_key, offer)
        return succeed(self.secret)

    def may_prove(self) -> bool:
        """Always."""
        return True

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


def make_client(reactor: Any) -> Fetcher:
    """One with a key of its own."""
    key = Ed25519PrivateKey.generate()
    own = key.public_key().public_bytes_raw()
    return Fetcher(Dialer(reactor, NodeTLS(key), TIMEOUT), own, reactor, in_threads_of(reactor))


async def until_served(reactor: Any, order: Known) -> None:
    """Wait until the node serves the file."""
    fetcher, deadline = make_client(reactor), time.monotonic() + READY_TIMEOUT
    while True:
        try:
            client = await fetcher.connect(order, [(HOST, PORT)])
        except ShareError:
            if time.monotonic() > deadline:
                raise
            await deferLater(reactor, 0.2)
        else:
            client.close()
            return


async def fetch(fetcher: Fetcher, order: Known, size: int) -> float:
    """One client: seconds that it took."""
    begun = time.monotonic()
    client = await fetcher.connect(order, [(HOST, PORT)])
    sink = Counting(client, size)
    for offset in range(0, size, 2**20):
        client.fetch(offset, min(2**20, size - offset), sink)
    return await sink.done - begun


def memory(node: int, which: str) -> float:
    """A line of the status of that process, in MiB."""
    status = Path(f"/proc/{node}/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1024


async def measure(reactor: Any, options: argparse.Namespace, node: int) -> None:
    """All of them, and what came of it."""
    order = Known()
    await until_served(reactor, order)
    clients = [make_client(reactor) for _ in range(options.clients)]
    before = memory(node, "VmRSS")
    begun = time.monotonic()
    seconds = await gatherResults(
        [Deferred.fromCoroutine(fetch(each, order, options.kib * 1024)) for each in clients],
        consumeErrors=True,
    )
    took, median = time.monotonic() - begun, statistics.median(seconds)
    print(
        f"{options.clients} clients x {options.kib} KiB: all done after {took:.1f} s; "
        f"median {median:.2f} s, slowest {max(seconds):.2f} s = {max(seconds) / median:.2f} of it, "
        f"fastest {min(seconds):.2f} s; the node's memory {before:.0f} MiB before, "
        f"{memory(node, 'VmHWM'):.0f} MiB at its peak"
    )


def main() -> None:
    """Run it."""
    options = arguments()
    make_room(4 * options.clients + 100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file, password, log = folder / NAME, folder / "password", folder / "log"
        file.write_bytes(os.urandom(options.kib * 1024))
        password.write_text(PASSWORD)
        node = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "twistd", "-n", "p2pshare", "--menu", "never"),
                *("--state-dir", folder / "state", "--nick", "owner", "--no-mdns"),
                *("--interface", HOST, "--port", str(GROUP_PORT), "--file-port", str(PORT)),
                *("--offer", file, "--password-file", password),
                f"--max-clients={options.clients}",
                f"--max-clients-per-address={options.clients}",
            ],
            cwd=folder,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        try:
            react(lambda reactor: Deferred.fromCoroutine(measure(reactor, options, node.pid)))
        finally:
            node.terminate()
            node.wait(STOP_TIMEOUT)


if __name__ == "__main__":
    main()
