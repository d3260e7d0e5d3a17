"""Programs that speak to a node's control interface: a real node of a `Lan`, the real tree and
doors, and transports of strings."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Mapping
from http.client import HTTPResponse, IncompleteRead
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan
from tests.node.offers.test_shares import quick_stretch
from twistedp2p.control.door import Door, Web
from twistedp2p.control.people import Running
from twistedp2p.control.tree import Control
from twistedp2p.face.report import document
from twistedp2p.face.texts import accepted, in_words
from twistedp2p.node.downloads import order as order_module
from twistedp2p.node.offers import shares as shares_module

API = "/api/v1/"
TOKEN = "t" * 43
WEB = Web(9394, TOKEN)
OF_WEB = {"Host": "127.0.0.1:9394", "Authorization": f"Bearer {TOKEN}"}


class Transport(StringTransport):
    """The near end of a connection. `user` is whose process is at the other end."""

    def __init__(self, user: int | None = None) -> None:
        super().__init__()
        self._user = os.geteuid() if user is None else user

    def getHandle(self) -> Transport:
        return self

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("iII", 1, self._user, 1)


class _Socket(io.BytesIO):
    def makefile(self, *_: Any, **__: Any) -> _Socket:
        return self


class Answer:
    """What came back, the first answer of it."""

    def __init__(self, raw: bytes, method: str = "GET") -> None:
        response = HTTPResponse(_Socket(raw), method=method)  # type: ignore[arg-type]
        response.begin()
        self.status = response.status
        self.headers = response.headers
        try:
            self.body = response.read()
        except IncompleteRead as error:  # a stream goes on
            self.body = error.partial

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Program:
    """One connection to a door."""

    def __init__(self, door: Door, user: int | None = None) -> None:
        self.transport = Transport(user)
        self.visit = door.buildProtocol(None)
        self.visit.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Whatever it likes."""
        self.visit.dataReceived(data)

    @property
    def came(self) -> bytes:
        """What came back so far."""
        return self.transport.value()

    @property
    def cut(self) -> bool:
        """Whether the node has ended it."""
        return self.transport.disconnecting

    def go(self) -> None:
        """Leave."""
        self.visit.connectionLost(Failure(ConnectionDone()))


def written(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> bytes:
    """A request as it goes over the wire."""
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Host": "localhost", **(headers or {})}
    if method == "POST" or body is not None:
        lines = {"Content-Type": "application/json", "Content-Length": str(len(sent)), **lines}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + sent


class ControlTestCase(SynchronousTestCase):
    """`alice` has the control interface; `ask` asks it."""

    def setUp(self) -> None:
        self.patch(shares_module, "stretch", quick_stretch)
        self.patch(order_module, "stretch", quick_stretch)
        self.lan = Lan(self)
        self.alice = self.lan.node("alice", reader=False)
        self.bob = self.lan.node("bob")
        self.stops: list[str] = []
        running = Running(
            "default",
            self.lan.wall(),
            self.lan.wall,
            None,
            lambda language, diagnosis: document(accepted(language), diagnosis),
            lambda: self.stops.append("stop"),
        )

        def words(language: str, sentence: str, values: Mapping[str, object]) -> str:
            return in_words(accepted(language), sentence, values)

        self.control = Control(self.alice, running, words, self.lan.reactor)
        self.addCleanup(self.control.close)
        self.door = self.control.door()
        self.web = self.control.door(WEB)
        self.lan.run_for(5)

    def program(self, door: Door | None = None, user: int | None = None) -> Program:
        """A connection that ends with the test."""
        made = Program(door or self.door, user)
        self.addCleanup(made.go)
        return made

    def request(self, raw: bytes, door: Door | None = None, seconds: float = 0.1) -> Answer:
        """Have raw bytes answered."""
        program = self.program(door)
        program.send(raw)
        self.lan.run_for(seconds)
        return Answer(program.came)

    def ask(
        self,
        method: str,
        where: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        door: Door | None = None,
        seconds: float = 0.1,
    ) -> Answer:
        """Ask for something under `API`, or at a path that begins with a slash."""
        path = where if where.startswith("/") else API + where
        return self.request(written(method, path, body, headers), door, seconds)

    def get(self, where: str) -> Any:
        """The document there."""
        answer = self.ask("GET", where)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.document

    def file(self, name: str, content: bytes = b"content") -> str:
        """A file; its path."""
        path = self.lan.folder / name
        path.write_bytes(content)
        return str(path)

    def offered(self, node: Any, name: str, **how: Any) -> Any:
        """Have a node offer a file of that name, so that all know of it."""
        made = self.successResultOf(node.offer(self.file(name), **how))
        self.lan.run_for(2)
        return made
