"""A node's control interface with nothing behind it: what is asked is noted, and answers are
prepared beforehand."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socketserver
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from twisted.trial.unittest import TestCase

from twistedp2p.cli import main

API = "/api/v1/"
ID = "-BQ5yLyL8SyUqTS_P-wnNg"
KEY = "a" * 43


def offer(name: str = "lecture.mp4", **more: Any) -> dict[str, Any]:
    """One of the catalogue."""
    owner = {"key": KEY, "nick": "alice", "fingerprint": "egxj-f3k3-tsxm-ay3m"}
    made = {"id": ID, "name": name, "size": 120_000_000, "digest": "blake3:00", "public": False}
    return {**made, "owner": owner, "own": False, "stamp": 1.5, "folder": False, **more}


class Stream(io.StringIO):
    """A stream that can be a terminal."""

    encoding = "utf-8"

    def __init__(self, text: str = "", *, terminal: bool = False) -> None:
        super().__init__(text)
        self.terminal = terminal
        self.buffer = io.BytesIO()  # what is written as bytes

    def isatty(self) -> bool:
        return self.terminal

    def fileno(self) -> int:
        raise OSError("no file")


class Problem(Exception):
    """An answer that refuses."""

    def __init__(self, status: int, detail: str, code: int) -> None:
        super().__init__(status, detail, code)
        self.status = status
        self.body = {"title": "no", "status": status, "detail": detail, "exit": code}


class FakeNode:
    """What answers. `answers` has a document, or what makes one of query and body, by method and
    place; `asked` is what was asked."""

    def __init__(self, path: Path) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.languages: list[str | None] = []  # that were wanted
        self.events: list[tuple[str, dict[str, Any]]] = []
        path.parent.mkdir(parents=True, mode=0o700)
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def handle_one_request(self) -> None:
                self.client_address = ("", 0)
                super().handle_one_request()

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                node._answer(self)

            do_POST = do_DELETE = do_GET

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...  # the command has gone

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        place = urlsplit(request.path)
        size = int(request.headers.get("Content-Length", 0))
        body = json.loads(request.rfile.read(size)) if size else None
        query = dict(parse_qsl(place.query))
        where = place.path.removeprefix(API)
        self.asked.append((request.command, where, query, body))
        self.languages.append(request.headers["Accept-Language"])
        if where == "events":
            self._stream(request)
            return
        status, kind = 200, "application/json"
        try:
            answer = self.answers[request.command, where]
            made = answer(query, body) if isinstance(answer, Callable) else answer
        except KeyError:
            made, status = Problem(404, "There is no such place.", 5).body, 404
        except Problem as problem:
            made, status, kind = problem.body, problem.status, "application/problem+json"
        sent = b"" if made is None else json.dumps(made).encode()
        request.send_response(204 if made is None else status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        request.wfile.write(sent)

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(b": hello\n\n")
        for number, (name, data) in enumerate(self.events, 1):
            text = f"event: {name}\nid: {number}\ndata: {json.dumps(data)}\n\n"
            request.wfile.write(text.encode())
        request.close_connection = True


class CommandTestCase(TestCase):
    """Commands, run in this process, and a node to speak to."""

    timeout = 60  # seconds, never met

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(os, "environ", {"LC_ALL": "C", "XDG_STATE_HOME": str(self.folder)})

    def node(self) -> FakeNode:
        """The node that commands find."""
        node = FakeNode(self.folder / "p2pshare" / "1" / "control.sock")
        self.addCleanup(node.close)
        return node

    def command(
        self, *arguments: str, terminal: bool = False, typed: str = "", keyboard: bool = False
    ) -> int:
        """Run a command: its exit code. What it printed is in `out`, `err` and `bytes_out`.

        :param terminal: whether its output and errors are one.
        :param keyboard: whether its input is one.
        """
        out, err = Stream(terminal=terminal), Stream(terminal=terminal)
        with (
            mock.patch.object(sys, "stdin", Stream(typed, terminal=keyboard)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                return main(arguments)
            except SystemExit as end:
                return int(str(end.code))
            finally:
                self.out, self.err = out.getvalue(), err.getvalue()
                self.bytes_out = out.buffer.getvalue()
