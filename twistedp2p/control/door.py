"""Who may come in: on the socket the user of this node, on the loopback whoever has the token.

What is refused is refused when the headers are there, before a body is read, and the connection
ends with it. On the loopback a web page in the user's browser is a stranger, too: the host must be
ours by name and port (a foreign name may lead here, by DNS rebinding), and so must the origin.
Whoever is on this machine can connect there: who has not shown the token gives way to others.
"""
# Twisted's web has no annotations.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import struct
from collections.abc import Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers
from twisted.web.server import Request, Site

from twistedp2p.control.problem import InWords, Problem
from twistedp2p.core.errors import N_, Exit

BODY_MOST = 262_144  # bytes: the longest text, each of its characters escaped
CONNECTIONS_MOST = 128  # at one door
HEADERS_WITHIN = 5.0  # seconds from the connection, or the first byte of a request
IDLE = 60.0  # seconds that a connection is kept for another request
ONCE = (b"Host", b"Origin", b"Content-Type", b"Authorization", b"Sec-Fetch-Site")
ALWAYS = {
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
}
"""Sent with everything: none of it is a page, and none of it for other pages."""

_BEARER = re.compile(rb"\nAuthorization:[ \t]*(Bearer [!-~]+)", re.IGNORECASE)
_PEER = struct.Struct("iII")  # struct ucred: process, user, group (unix(7))


@attrs.frozen
class Web:
    """The door on 127.0.0.1. token: 43 characters, see `disk.state.token`."""

    port: int
    token: str = attrs.field(repr=False)

    @property
    def address(self) -> str:
        """As a browser has it."""
        return f"http://127.0.0.1:{self.port}"

    def vouches(self, sent: bytes) -> bool:
        """Whether the token is in what somebody has sent so far; more than a hint it is not."""
        given = _BEARER.search(sent)
        return given is not None and secrets.compare_digest(given[1], self._bearer)

    @property
    def _bearer(self) -> bytes:
        return b"Bearer " + self.token.encode()

    def refused(self, headers: Headers) -> Problem | None:
        """Why who sends these is not let in, if so."""
        names = [f"{host}:{self.port}".encode() for host in ("127.0.0.1", "localhost")]
        host, origin = _one(headers, b"Host"), _one(headers, b"Origin")
        if host not in names:
            return _denied(HTTPStatus.MISDIRECTED_REQUEST, "foreign-host", N_("Not our host."))
        if origin is not None and origin not in [b"http://" + name for name in names]:
            return _denied(HTTPStatus.FORBIDDEN, "foreign-origin", N_("Not from another page."))
        if _one(headers, b"Sec-Fetch-Site") not in (None, b"same-origin", b"none"):
            return _denied(HTTPStatus.FORBIDDEN, "foreign-origin", N_("Not from another page."))
        given = _one(headers, b"Authorization") or b""
        if not secrets.compare_digest(given, self._bearer):
            return _denied(HTTPStatus.UNAUTHORIZED, "token-needed", N_("The token is needed."))
        return None


def refusal(method: bytes, headers: Headers, length: int | None, web: Web | None) -> Problem | None:
    """Why a request is refused before its body is read, or None.

    :param length: of the body, in bytes; None where that is not said.
    :param web: the door on the loopback; None on the socket.
    """
    if any(len(headers.getRawHeaders(name, [])) > 1 for name in ONCE):
        return _refused(HTTPStatus.BAD_REQUEST, N_("One header came twice."))
    denied = web.refused(headers) if web is not None else None
    if denied is not None:
        return denied
    if length is None or headers.hasHeader(b"Transfer-Encoding"):
        return _refused(HTTPStatus.LENGTH_REQUIRED, N_("The length of the body must be said."))
    if length > BODY_MOST:
        sentence = N_("The body may have {most} bytes at most.")
        return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence, most=BODY_MOST)
    kind = (_one(headers, b"Content-Type") or b"").partition(b";")[0].strip().lower()
    if (length or method == b"POST") and kind != b"application/json":
        sentence = N_("The content type must be application/json.")
        return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
    return None


def _one(headers: Headers, name: bytes) -> bytes | None:
    values: Sequence[bytes] = headers.getRawHeaders(name, [])
    return values[0] if values else None


def language_of(headers: Headers) -> str:
    """What of them says which languages are wanted."""
    return ", ".join(headers.getRawHeaders("Accept-Language", []))


def _denied(status: HTTPStatus, kind: str, sentence: str) -> Problem:
    return Problem(status, kind, sentence, Exit.DENIED)


def _refused(status: HTTPStatus, sentence: str, **values: object) -> Problem:
    return Problem(status, "refused", sentence, Exit.USAGE, **values)


class Visit(HTTPChannel):
    """One connection."""

    site: Door
    transport: Any
    let_in = False  # by the token; on the socket by the user
    _waiting: IDelayedCall | None = None  # for headers that are begun

    def connectionMade(self) -> None:
        """Called by Twisted."""
        super().connectionMade()
        if self.site.enter(self):
            self._wait_for_headers()
        else:
            self.transport.abortConnection()

    def _wait_for_headers(self) -> None:
        if self._waiting is None:
            self._waiting = self.callLater(HEADERS_WITHIN, self._came_too_late)

    def _came_too_late(self) -> None:
        self._waiting = None
        self.transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        """Called by Twisted: however slowly lines come, all are to be there in time."""
        self._wait_for_headers()
        super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        """Called by Twisted: the moment to refuse what is not to be read."""
        self._stop_waiting()
        request = self.requests[-1]
        problem = refusal(self._command, request.requestHeaders, self.length, self.site.web)
        if problem is None:
            self.let_in = True
            super().allHeadersReceived()
        else:
            self._refuse(problem, language_of(request.requestHeaders))

    def _refuse(self, problem: Problem, language: str) -> None:
        body = json.dumps(problem.document(self.site.in_words, language)).encode()
        lines = [b"HTTP/1.1 %d %s" % (problem.status, problem.status.phrase.encode())]
        lines += [b"%s: %s" % header for header in ALWAYS.items()]
        if problem.status == HTTPStatus.UNAUTHORIZED:
            lines.append(b"WWW-Authenticate: Bearer")
        lines += [
            b"Content-Type: application/problem+json",
            b"Content-Length: %d" % len(body),
            b"Connection: close",
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        # What still comes is neither kept nor answered.
        for name in ("dataReceived", "lineReceived", "rawDataReceived", "allContentReceived"):
            setattr(self, name, _ignored)
        self.loseConnection()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted."""
        self._stop_waiting()
        self.site.leave(self)
        super().connectionLost(reason)


class Letter(Request):
    """One request."""

    def gotLength(self, length: int | None) -> None:
        """Called by Twisted: nothing that is sent here goes to the disk, however long."""
        self.content = BytesIO()


def _ignored(*_: object) -> None:
    pass


class Door(Site):
    """A way to the tree `root`. `web` is None for the socket, where the peer's user counts."""

    noisy = False
    requestFactory = Letter

    def __init__(self, root: Any, clock: Any, in_words: InWords, web: Web | None = None) -> None:
        super().__init__(root, timeout=IDLE, reactor=clock)
        self.in_words = in_words
        self.web = web
        self._inside: dict[Visit, None] = {}  # the oldest first

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Called by Twisted."""
        visit: Any = Visit()
        visit.factory = self
        visit.callLater = self.reactor.callLater
        visit.timeOut = self.timeOut
        visit.requestFactory = self.requestFactory
        visit.site = self
        return visit

    def startFactory(self) -> None:
        """Called by Twisted: no log of each request, and no clock for it."""

    def stopFactory(self) -> None:
        """Called by Twisted."""

    def log(self, request: Any) -> None:
        """Called by Twisted."""

    def enter(self, visit: Visit) -> bool:
        """Whether there is room, and it is somebody who may enter."""
        if self.web is None and not is_ours(visit.transport):
            return False
        visit.let_in = self.web is None
        if len(self._inside) >= CONNECTIONS_MOST and not self._make_room():
            return False
        self._inside[visit] = None
        return True

    def _make_room(self) -> bool:
        """End the oldest connection of one that was not let in yet, if there is one."""
        oldest = next((visit for visit in self._inside if not visit.let_in), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.transport.abortConnection()
        return True

    def leave(self, visit: Visit) -> None:
        """A connection has ended."""
        self._inside.pop(visit, None)

    def close(self) -> None:
        """End all connections, once what was written has gone out."""
        for visit in list(self._inside):
            visit.loseConnection()


def is_ours(transport: Any) -> bool:
    """Whether the process at the other end of a socket is of our user, or the machine's root."""
    credentials = transport.getHandle().getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
    )
    return _PEER.unpack(credentials)[1] in (os.geteuid(), 0)
