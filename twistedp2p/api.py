"""p2pshare in ten lines, without a menu: for scripts, and for students.

    from twisted.internet.task import react
    from twistedp2p.api import fetch_file

    react(lambda reactor: fetch_file(
        reactor, ("192.168.1.7", 9393), ("monpass", "monImage.jpg")))

Each function takes the reactor first and gives a Deferred; nothing runs before it is called, and
nothing is kept on disk but the files that are fetched.

A reactor's timers follow the time of day, so one whose host's clock is set back stands still for as
long. Where that may happen, call `keep_steady(reactor)` before anything is scheduled with it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError

from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import Event, Said
from twistedp2p.core.names import KEY_SIZE, b64, clean_nick, unb64
from twistedp2p.core.presence.ladder import parse_peer
from twistedp2p.disk.downloads.taking import remove_left
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.state.instance import Instance, claim
from twistedp2p.net.admission import Limits
from twistedp2p.net.dial import Dialer
from twistedp2p.net.fetch import Fetcher
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.serve import FileService
from twistedp2p.net.sockets import SocketError, file_listeners
from twistedp2p.net.steady import keep_steady
from twistedp2p.net.tls import NodeTLS
from twistedp2p.node import Config, Node
from twistedp2p.node.config import default_nick
from twistedp2p.node.downloads.transfers import Transfers, wanted_of
from twistedp2p.node.offers.serving import Serving
from twistedp2p.node.offers.shares import Shares
from twistedp2p.node.progress import Courses


def _nothing(_event: Event) -> None:
    """Nobody listens to the events of a script."""


def fetch_file(
    reactor: Any,
    server: tuple[str, int],
    file: tuple[str, str],
    folder: str | Path = ".",
    owner: str = "",
    part: str = "",
) -> Deferred[Path]:
    """Fetch one file or folder: `server` is (host, TCP port), `file` is (password, name).

    `part` is a file or folder below a folder, such as ``"paris/tower.jpg"``: then only that comes.

    `owner` is the owner's key as `FileServer.key` tells it; with it nobody else is believed, else
    the password alone vouches for the owner. Raises ValueError where it is no key.

    Fires with the path under `folder` where it stands, whole. Fails with `ShareError`, whose
    text is one sentence.
    """
    key = Ed25519PrivateKey.generate()
    in_thread = in_threads_of(reactor)
    own_key = key.public_key().public_bytes_raw()
    transfers = Transfers(
        Fetcher(Dialer(reactor, NodeTLS(key)), own_key, reactor, in_thread),
        Courses(reactor.seconds, _nothing),
        _nothing,
        clock=reactor,
        in_thread=in_thread,
        folder=Path(folder),
    )
    in_thread(remove_left, Path(folder), time.time()).addErrback(lambda _: None)
    password, name = file
    required = unb64(owner, KEY_SIZE) if owner else b""
    transfer = transfers.get(
        name, password, lambda: [server], None, owner=required, wanted=wanted_of(part)
    )
    return transfer.done.addCallback(lambda fetched: Path(fetched.path))


@attrs.frozen
class _Nobody:
    """Takes the place of the group where there is none."""

    def publish_offer(self, offer: Offer) -> None:
        """Nobody is told."""

    def publish_withdraw(self, name: str, body: str) -> None:
        """Nobody is told."""


class _Running:
    """Something that runs until it is ended, by its user or by the reactor's stop."""

    def __init__(self, reactor: Any, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._reactor = reactor
        self._end = end
        self._ended: Deferred[None] | None = None
        self._trigger: Any = reactor.addSystemEventTrigger("before", "shutdown", self._shutdown)

    def _shutdown(self) -> Deferred[None]:
        self._trigger = None
        return self._stop()

    def _stop(self) -> Deferred[None]:
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)
        if self._ended is None:
            self._ended = Deferred.fromCoroutine(self._end())
        return self._ended


class FileServer(_Running):
    """Files being served. `port` is the TCP port, `key` what `fetch_file` takes as `owner`."""

    def __init__(
        self,
        reactor: Any,
        service: FileService,
        shares: Shares,
        ports: Sequence[Any],
        opened: ExitStack,
    ) -> None:
        super().__init__(reactor, self._close)
        self.key = b64(service.own_key)
        self._service = service
        self.port: int = ports[0].getHost().port
        self._shares = shares
        self._ports = ports
        self._opened = opened

    def offer(self, path: str | Path, password: str) -> Deferred[str]:
        """Serve one more file; fires with its name, or fails with `ShareError`."""
        offered = ensureDeferred(self._shares.offer(str(path), password, False))
        return offered.addCallback(lambda it: it.offer.name)

    def withdraw(self, name: str) -> None:
        """Serve a file no more; raises `ShareError`."""
        self._shares.withdraw(name)

    def stop(self) -> Deferred[None]:
        """Serve nothing any more; may be called twice. The reactor's stop does it too."""
        return self._stop()

    async def _close(self) -> None:
        self._shares.stop()
        await gatherResults([maybeDeferred(port.stopListening) for port in self._ports])
        self._service.cut()
        self._opened.close()


def _place(opened: ExitStack) -> Instance:
    """An identity in a temporary folder that goes when `opened` is closed."""
    folder = Path(tempfile.mkdtemp(prefix="p2pshare-"))
    opened.callback(shutil.rmtree, folder, ignore_errors=True)
    return claim(folder)


def _listen(reactor: Any, port: int, host: str, factory: Any) -> list[Any]:
    """Listen at that address, or at all of IPv4 and IPv6; raises `CannotListenError`."""
    if host:
        return [reactor.listenTCP(port, factory, interface=host)]
    ports = []
    try:
        for sock in file_listeners(port, fallback=False):
            with closing(sock):  # the reactor has its own
                ports.append(reactor.adoptStreamPort(sock.fileno(), sock.family, factory))
    except SocketError as error:
        raise CannotListenError(host, port, error) from error
    return ports


async def _serve(
    reactor: Any, port: int, password: str, paths: Iterable[str | Path], host: str
) -> FileServer:
    with ExitStack() as opened:
        instance = _place(opened)
        opened.callback(instance.release)
        key = instance.private_key
        own_key = key.public_key().public_bytes_raw()
        store = Store(instance.database, own_key)
        opened.callback(store.close)
        courses = Courses(reactor.seconds, _nothing)
        shares = Shares(
            store,
            own_key,
            _Nobody(),
            courses,
            _nothing,
            clock=reactor,
            wall=time.time,
            in_thread=in_threads_of(reactor),
            nick=str,
        )
        serving = Serving(shares, store, courses, clock=reactor)
        service = FileService(NodeTLS(key), own_key, serving, reactor, Limits())
        ports = _listen(reactor, port, host, service.listening_factory())
        server = FileServer(reactor, service, shares, ports, opened.pop_all())
    try:
        for path in paths:
            await server.offer(path, password)
    except BaseException:
        await server.stop()
        raise
    return server


def serve_files(
    reactor: Any,
    port: int,
    password: str,
    paths: Iterable[str | Path] = (),
    host: str = "",
) -> Deferred[FileServer]:
    """Serve `paths` under one password on TCP `port` (0: any free one) of the IP address `host`
    (empty: all of them, IPv4 and IPv6).

    Fires with the `FileServer` when all of them can be fetched; its `offer` takes more, each with
    a password of its own. Fails with `ShareError`, or Twisted's `CannotListenError`.
    """
    return Deferred.fromCoroutine(_serve(reactor, port, password, paths, host))


class Chat(_Running):
    """Our place in a group."""

    def __init__(self, reactor: Any, node: Node, opened: ExitStack) -> None:
        super().__init__(reactor, self._close)
        self._node = node
        self._opened = opened

    def say(self, text: str) -> None:
        """Say something to the group; raises `ShareError`."""
        self._node.say(text)

    def leave(self) -> Deferred[None]:
        """Say goodbye; may be called twice. The reactor's stop does it too."""
        return self._stop()

    async def _close(self) -> None:
        await self._node.stop()
        self._opened.close()


def join_chat(
    reactor: Any,
    group: str,
    port: int,
    heard: Callable[[str, str], object],
    nick: str | None = None,
    interfaces: Iterable[str] = (),
    code: str | None = None,
    peers: Iterable[str] = (),
) -> Chat:
    """Join the chat of a group; `heard(who, text)` is called for each line of the others.

    `who` is a nick, or the address of a script that only sends plain text. With a `code`, as
    `p2pshare code` makes it, the group is the closed one of those who have it. `peers` are hosts to
    look for where multicast does not reach them, each "HOST" or "HOST:PORT" (UDP, by default the
    port after the group's). Raises `ShareError`, and ValueError where one of `peers` is none.
    """

    def tell(event: Event) -> None:
        if isinstance(event, Said) and not event.own:
            heard(event.nick or event.address, event.text)

    config = Config(
        group=group,
        port=port,
        interfaces=list(interfaces),
        nick=default_nick() if nick is None else clean_nick(nick),
        code=code,
        peers=[(host, at or port + 1) for host, at in map(parse_peer, peers)],
    )
    with ExitStack() as opened:
        instance = _place(opened)
        try:
            node = Node(reactor, config, instance)
        except BaseException:
            instance.release()
            raise
        node.subscribe(tell)
        node.start()
        return Chat(reactor, node, opened.pop_all())


__all__ = [
    "Chat",
    "Exit",
    "FileServer",
    "ShareError",
    "fetch_file",
    "join_chat",
    "keep_steady",
    "serve_files",
]
