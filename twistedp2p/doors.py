"""Where the control interface of a node is served: always on its socket, and on the loopback where
that is wanted."""
# Twisted's ports have no annotations.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from twistedp2p.control.door import Door, Web
from twistedp2p.control.people import Running
from twistedp2p.control.tree import Control
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.state.instance import Instance
from twistedp2p.disk.state.socket_path import Place, places, take_place
from twistedp2p.disk.state.token import keep_token
from twistedp2p.face.report import document
from twistedp2p.face.texts import accepted, in_words
from twistedp2p.net.doorstep import BACKLOG, Doorstep
from twistedp2p.node import Node

LOOPBACK = "127.0.0.1"
ANSWERED_WITHIN = 0.1  # seconds that the answer to a stop has to go out

_log = Logger()


def try_web(port: int) -> None:
    """Raise `ShareError` where that port of the loopback cannot be had now.

    For who can still tell it to somebody, before anything is started.
    """
    with socket.socket() as tried:
        try:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((LOOPBACK, port))
            tried.listen()
        except OSError as error:
            raise _not_to_be_had(port, error) from error


def _not_to_be_had(port: int, error: OSError) -> ShareError:
    return ShareError(
        N_("Port {port} of {host} cannot be had: {why}."),
        Exit.PORT_TAKEN,
        port=port,
        host=LOOPBACK,
        why=os.strerror(error.errno or 0),
    )


class Doors:
    """Those of one node.

    :param web: port of the loopback, or None.
    :param stop: ends the node.
    """

    def __init__(
        self,
        reactor: Any,
        node: Node,
        instance: Instance,
        web: int | None,
        stop: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._instance = instance
        self._web = None if web is None else Web(web, keep_token(instance.folder))
        running = Running(
            instance.name,
            time.time(),
            time.time,
            None if self._web is None else self._web.address,
            lambda language, diagnosis: document(accepted(language), diagnosis),
            lambda: reactor.callLater(ANSWERED_WITHIN, stop),
        )
        self._control = Control(
            node,
            running,
            lambda language, sentence, values: in_words(accepted(language), sentence, values),
            reactor,
        )
        self._doors: list[tuple[Door, Any]] = []
        self._place: Place | None = None

    def open(self, environment: Mapping[str, str]) -> None:
        """Listen. Raises `ShareError` where the loopback's port cannot be had: it was asked for.

        Without a socket the node is as good for its user, and for all others: the log tells why.
        """
        if self._web is not None:
            self._open_web(self._web)
        try:
            folder = self._instance.folder
            self._place = take_place(places(environment, folder), folder)
            door = self._control.door()
            path = str(self._place.path)
            port = self._reactor.listenUNIX(path, door, backlog=BACKLOG, mode=0o600)
            self._doors.append((door, port))
        except (ShareError, CannotListenError) as error:
            _log.error("no control socket: {error}", error=error)

    def _open_web(self, web: Web) -> None:
        door = self._control.door(web)
        try:
            step = Doorstep(self._reactor, LOOPBACK, web.port, door, web.vouches)
        except OSError as error:
            raise _not_to_be_had(web.port, error) from error
        self._doors.append((door, step))

    def close(self) -> Deferred[Any]:
        """Let nobody in any more, and those inside go; fires when that is done. May be called
        twice."""
        self._control.close()
        place, self._place = self._place, None
        if place is not None:
            with contextlib.suppress(OSError):  # Twisted fails where there is nothing to remove
                place.path.touch()
        closing = []
        for door, port in self._doors:
            stopped = maybeDeferred(port.stopListening)
            closing.append(stopped.addErrback(lambda failure: failure.trap(OSError)))
            door.close()
        self._doors.clear()
        closed = gatherResults(closing)
        return closed if place is None else closed.addBoth(lambda _: place.close())
