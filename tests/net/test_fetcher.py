from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, TCP6ClientEndpoint
from twisted.internet.error import NoRouteError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from tests.net.wire import OFFER, SECRET, FakeOrder, FakeServed, FakeShelf, WholeFetch, public
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.net import dial as dial_module
from twistedp2p.net.admission import Limits
from twistedp2p.net.dial import Dialer, endpoint_to
from twistedp2p.net.fetch import BUSY, Fetcher
from twistedp2p.net.serve import FileService
from twistedp2p.net.tls import NodeTLS


class FetcherTests(TestCase):
    """Over real connections of the loopback."""

    timeout = 120  # seconds: the machine may be busy

    def setUp(self) -> None:
        self.shelves: list[FakeShelf] = []

    def fetch(self, *addresses: tuple[str, int], timeout: float = 5.0) -> Deferred[Any]:
        key = Ed25519PrivateKey.generate()
        dialer = Dialer(reactor, NodeTLS(key), timeout)
        fetcher = Fetcher(dialer, public(key), reactor, maybeDeferred)
        self.order = FakeOrder(OFFER, SECRET)
        return Deferred.fromCoroutine(self._fetch(fetcher, addresses))

    async def _fetch(self, fetcher: Fetcher, addresses: Sequence[tuple[str, int]]) -> bytes:
        client = await fetcher.connect(self.order, addresses)
        return await WholeFetch(client, self.order).done

    def service(self, key: Ed25519PrivateKey | None = None) -> tuple[str, int]:
        key, shelf = key or Ed25519PrivateKey.generate(), FakeShelf()
        shelf.offers[OFFER] = FakeServed(b"hello", SECRET)
        self.shelves.append(shelf)
        service = FileService(NodeTLS(key), public(key), shelf, reactor, Limits())
        return self.listen(service.listening_factory())

    def listen(self, factory: Any) -> tuple[str, int]:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return "127.0.0.1", port.getHost().port

    def test_an_address_of_ipv6_may_name_its_interface_or_not(self) -> None:
        self.assertIsInstance(endpoint_to(reactor, "::1", 7, 1.0), TCP6ClientEndpoint)
        self.assertIsInstance(endpoint_to(reactor, "fe80::1%lo", 7, 1.0), TCP6ClientEndpoint)
        for host in ("127.0.0.1", "localhost"):
            self.assertIsInstance(endpoint_to(reactor, host, 7, 1.0), HostnameEndpoint)

    async def test_an_interface_that_is_not_there_is_a_sentence(self) -> None:
        with self.assertRaises(ShareError) as caught:
            await self.fetch(("fe80::1%nosuch0", 9393))
        self.assertEqual(str(caught.exception), "There is no host fe80::1%nosuch0.")

    def greeter(self) -> tuple[str, int]:
        """Another program's server."""

        class Greeter(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"SSH-2.0-x\r\n")

        return self.listen(Factory.forProtocol(Greeter))

    @contextmanager
    def silent(self) -> Iterator[tuple[str, int]]:
        """The address of a listener whose queue is full: it answers nobody."""
        with socket.socket() as full, ExitStack() as waiting:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                sock = waiting.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            yield full.getsockname()

    def closed_port(self) -> tuple[str, int]:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return "127.0.0.1", sock.getsockname()[1]

    async def failing(self, *addresses: tuple[str, int], timeout: float = 5.0) -> ShareError:
        return await self.assertFailure(self.fetch(*addresses, timeout=timeout), ShareError)

    async def test_a_file_comes(self) -> None:
        self.assertEqual(b"hello", await self.fetch(self.service()))

    async def test_by_host_name(self) -> None:
        _, port = self.service()
        self.assertEqual(b"hello", await self.fetch(("localhost", port)))

    async def test_the_next_address_is_tried(self) -> None:
        self.assertEqual(b"hello", await self.fetch(self.closed_port(), self.service()))

    async def test_the_next_address_is_tried_where_another_node_answers(self) -> None:
        owner = Ed25519PrivateKey.generate()
        done = self.fetch(self.service(), self.service(owner))
        self.order.only = public(owner)
        self.assertEqual(b"hello", await done)

    async def test_the_next_address_is_tried_where_no_node_answers(self) -> None:
        """Attack 39: who is heard first must not hide the owner."""
        self.assertEqual(b"hello", await self.fetch(self.greeter(), self.service()))

    async def test_the_next_address_is_tried_where_nobody_speaks(self) -> None:
        self.patch(dial_module, "HANDSHAKE_DEADLINE", 0.2)
        mute = self.listen(Factory.forProtocol(Protocol))
        self.assertEqual(b"hello", await self.fetch(mute, self.service()))

    async def test_what_the_system_says_is_one_sentence(self) -> None:
        failing = mock.Mock(connect=lambda _: fail(NoRouteError(101, "Network is unreachable.")))
        self.patch(dial_module, "endpoint_to", lambda *_: failing)
        error = await self.failing(("192.0.2.1", 7))
        self.assertEqual(str(error), "192.0.2.1:7 cannot be reached: Network is unreachable.")

    async def test_an_owner_that_is_busy_is_not_hidden_by_the_next_address(self) -> None:
        class FullHouse(Protocol):
            def connectionMade(self) -> None:
                self.transport.loseConnection()

        busy = self.listen(Factory.forProtocol(FullHouse))
        error = await self.failing(busy, self.closed_port())
        self.assertEqual(getattr(error, "number", None), BUSY)

    async def test_what_the_owner_refuses_is_not_asked_of_another(self) -> None:
        first, second = self.service(), self.service()
        self.shelves[0].offers.clear()
        error = await self.failing(first, second)
        self.assertEqual(Exit.NOT_FOUND, error.code)
        self.assertEqual(0, self.shelves[1].asked)

    async def test_a_name_that_no_host_can_have(self) -> None:
        error = await self.failing(("xn--zzzzzz9999a", 9))
        self.assertIn("no host", str(error))

    async def test_a_look_up_without_end(self) -> None:
        self.patch(dial_module, "REACH_TIMEOUT", 1.0)
        with self.silent() as address:
            error = await self.failing(address, self.closed_port())
        self.assertIn("Nothing listens", str(error))
        with self.silent() as address:
            self.assertEqual(Exit.TIMEOUT, (await self.failing(address)).code)

    async def test_another_node_at_the_only_address(self) -> None:
        done = self.fetch(self.service())
        self.order.only = bytes(32)
        error = await self.assertFailure(done, ShareError)
        self.assertIn("Another node", str(error))

    async def test_nothing_listens(self) -> None:
        error = await self.failing(self.closed_port())
        self.assertIn("Nothing listens", str(error))
        self.assertEqual(Exit.NOT_FOUND, error.code)

    async def test_no_address(self) -> None:
        self.assertIn("No address", str(await self.failing()))

    async def test_a_name_that_is_no_host(self) -> None:
        error = await self.failing(("no-such-host.invalid", 9))
        self.assertIn("no-such-host.invalid", str(error))

    async def test_no_answer(self) -> None:
        """A listener whose queue is full drops what comes: like a firewall."""
        with self.silent() as address:
            error = await self.failing(address, timeout=0.3)
        self.assertEqual(Exit.TIMEOUT, error.code)

    async def test_another_program(self) -> None:
        error = await self.failing(self.greeter())
        self.assertIn("not a p2pshare node", str(error))

    async def test_cancelling_in_the_handshake_tries_no_other_address(self) -> None:
        met: Deferred[None] = Deferred()

        class Silent(Protocol):
            def connectionMade(self) -> None:
                met.callback(None)

        done = self.fetch(self.listen(Factory.forProtocol(Silent)), self.service())
        await met
        done.cancel()
        with self.assertRaises(CancelledError):
            await done
        self.assertEqual(0, self.shelves[0].asked)

    async def test_cancelling_while_connecting(self) -> None:
        done = self.fetch(self.service())
        done.cancel()
        await self.assertFailure(done, ShareError, CancelledError)
        self.assertIsNone(self.order.ok)
