"""p2pshare in ten lines, without a menu: for scripts, and for students.

    from twisted.internet.task import react
    from twistedp2p.api import fetch_file

    react(lambda reactor: fetch_file(
        reactor, ("192.168.1.7", 9393), ("monpass", "monImage.jpg")))

Each function takes the reactor first and gives a Deferred; nothing runs before it is called, and
nothing is kept on disk but the files that are fetched.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, ensureDeferred

from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import Event, Said
from twistedp2p.core.names import clean_nick
from twistedp2p.disk.instance import claim
from twistedp2p.disk.store import Store
from twistedp2p.net.fetch import Fetcher
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.serve import FileService, Limits
from twistedp2p.net.tls import NodeTLS
from twistedp2p.node import Config, Node
from twistedp2p.node.desk import default_nick
from twistedp2p.node.progress import Courses
from twistedp2p.node.shares import Shares
from twistedp2p.node.transfers import Transfers


def _nothing(_event: Event) -> None:
    """Nobody listens to the events of a script."""


def fetch_file(
    reactor: Any,
    server: tuple[str, int],
    file: tuple[str, str],
    folder: str | Path = ".",
) -> Deferred[Path]:
    """Fetch one file: `server` is (host, TCP port), `file` is (password, name).

    Fires with the path under `folder` where the file stands, whole. Fails with `ShareError`, whose
    text is one sentence.
    """
    key = Ed25519PrivateKey.generate()
    in_thread = in_threads_of(reactor)
    own_key = key.public_key().public_bytes_raw()
    transfers = Transfers(
        Fetcher(reactor, NodeTLS(key), own_key, in_thread),
        Courses(reactor.seconds, _nothing),
        _nothing,
        clock=reactor,
        in_thread=in_thread,
        folder=Path(folder),
    )
    password, name = file
    done = transfers.get(name, password, [server], None).done
    return done.addCallback(lambda fetched: Path(fetched.path))


@attrs.frozen
class _Nobody:
    """Takes the place of the group where there is none."""

    def publish_offer(self, offer: Offer) -> None:
        """Nobody is told."""

    def publish_withdraw(self, name: str, body: str) -> None:
        """Nobody is told."""


@attrs.define
class FileServer:
    """Files being served. `port` is the TCP port."""

    port: int
    _shares: Shares
    _store: Store
    _listening: Any
    _folder: Path

    def offer(self, path: str | Path, password: str) -> Deferred[str]:
        """Serve one more file; fires with its name."""
        offered = ensureDeferred(self._shares.offer(str(path), password, False))
        return offered.addCallback(lambda it: it.offer.name)

    def withdraw(self, name: str) -> None:
        """Serve a file no more; raises `ShareError`."""
        self._shares.withdraw(name)

    async def stop(self) -> None:
        """Serve nothing any more."""
        self._shares.stop()
        await self._listening.stopListening()
        self._store.close()
        shutil.rmtree(self._folder, ignore_errors=True)


async def _serve(
    reactor: Any, port: int, password: str, paths: Iterable[str | Path], host: str
) -> FileServer:
    folder = Path(tempfile.mkdtemp(prefix="p2pshare-"))
    instance = claim(folder)
    key = instance.private_key
    own_key = key.public_key().public_bytes_raw()
    store = Store(instance.database)
    shares = Shares(
        store,
        own_key,
        _Nobody(),
        Courses(reactor.seconds, _nothing),
        _nothing,
        clock=reactor,
        wall=time.time,
        in_thread=in_threads_of(reactor),
        nick=str,
    )
    service = FileService(NodeTLS(key), own_key, shares, reactor, Limits())
    try:
        listening = reactor.listenTCP(port, service.listening_factory(), interface=host)
    except BaseException:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    server = FileServer(listening.getHost().port, shares, store, listening, folder)
    reactor.addSystemEventTrigger("during", "shutdown", shutil.rmtree, folder, ignore_errors=True)
    for path in paths:
        await server.offer(path, password)
    return server


def serve_files(
    reactor: Any,
    port: int,
    password: str,
    paths: Iterable[str | Path] = (),
    host: str = "",
) -> Deferred[FileServer]:
    """Serve `paths` under one password on TCP `port` (0: any free one) of `host` (empty: all).

    Fires with the `FileServer` when all of them can be fetched; its `offer` takes more, each with
    a password of its own. Fails with `ShareError`, or Twisted's `CannotListenError`.
    """
    return Deferred.fromCoroutine(_serve(reactor, port, password, paths, host))


@attrs.define
class Chat:
    """Our place in a group."""

    _node: Node
    _folder: Path

    def say(self, text: str) -> None:
        """Say something to the group."""
        self._node.say(text)

    async def leave(self) -> None:
        """Say goodbye."""
        with suppress(ValueError):
            await self._node.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def join_chat(
    reactor: Any,
    group: str,
    port: int,
    heard: Callable[[str, str], object],
    nick: str | None = None,
    interfaces: Iterable[str] = (),
) -> Chat:
    """Join the chat of a group; `heard(who, text)` is called for each line of the others.

    `who` is a nick, or the address of a script that only sends plain text. Raises `ShareError`.
    """

    def tell(event: Event) -> None:
        if isinstance(event, Said) and not event.own:
            heard(event.nick or event.address, event.text)

    folder = Path(tempfile.mkdtemp(prefix="p2pshare-"))
    config = Config(
        group=group,
        port=port,
        interfaces=list(interfaces),
        nick=default_nick() if nick is None else clean_nick(nick),
    )
    try:
        node = Node(reactor, config, claim(folder))
    except ShareError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    node.subscribe(tell)
    node.start()
    chat = Chat(node, folder)
    reactor.addSystemEventTrigger("during", "shutdown", shutil.rmtree, folder, ignore_errors=True)
    return chat


__all__ = ["Chat", "Exit", "FileServer", "ShareError", "fetch_file", "join_chat", "serve_files"]
