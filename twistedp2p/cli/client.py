"""The near end of a node's control interface (docs/control.md): HTTP over its unix socket.

Each request has a connection of its own, which costs some 50 µs here. What the node refuses comes
as a problem document (RFC 9457), in which `exit` is our exit code.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from twistedp2p.core.errors import N_, Exit, ShareError

PATIENCE = 30.0  # seconds for an answer that needs no file to be read
PAGE = 1000  # items that are asked for at a time
API = "/api/v1/"


class Event(NamedTuple):
    """One of the node's events, as it was sent."""

    number: str
    name: str
    data: dict[str, Any]


class Refused(ShareError):
    """What the node does not do; `kind` is the end of the problem's type."""

    kind = ""


class UnixConnection(HTTPConnection):
    """HTTP/1.1 over a unix socket."""

    def __init__(self, path: Path, patience: float | None) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        """Called by `http.client`."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """One node, at the other end of the socket at `path`. Everything raises `ShareError`.

    :param start: the command that starts this node, for who has none.
    :param language: an ``Accept-Language``: in which the node is to say why it refuses.
    """

    def __init__(self, path: Path, start: Sequence[str], language: str = "") -> None:
        self._path = path
        self._start = start
        self._language = language

    def get(self, *where: object, **query: object) -> Any:
        """The document at a place, such as ``get("transfers", 3)``."""
        return self._ask("GET", where, query)

    def post(self, *where: object, body: Mapping[str, Any], patience: float | None) -> Any:
        """Have something made or done; what the node says of it.

        :param patience: seconds without an answer; None: as long as it takes.
        """
        return self._ask("POST", where, {}, body, patience)

    def delete(self, *where: object) -> None:
        """Have something taken away."""
        self._ask("DELETE", where, {})

    def items(self, where: str, most: int | None = None, **query: object) -> Iterator[Any]:
        """Everything that is listed at a place, page by page, or the first `most` of it."""
        after = None
        while most is None or most > 0:
            limit = PAGE if most is None else min(PAGE, most)
            page = self.get(where, **query, limit=limit, after=after)
            yield from page["items"]
            after = page["next"]
            if most is not None:
                most -= len(page["items"])
            if after is None:
                return

    def events(self, after: str = "") -> Iterator[Event]:
        """What happens from this call on, or from after that event; ends with the node."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        connection = UnixConnection(self._path, None)
        try:
            answer = self._answer(connection, "GET", f"{API}events", None, headers)
        except (OSError, HTTPException) as error:
            connection.close()
            raise ShareError(N_("The node has stopped."), Exit.NO_NODE) from error
        except BaseException:
            connection.close()
            raise
        return _events(connection, answer)

    def _ask(
        self,
        method: str,
        where: tuple[object, ...],
        query: Mapping[str, object],
        body: Mapping[str, Any] | None = None,
        patience: float | None = PATIENCE,
    ) -> Any:
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        target = API + "/".join(quote(str(part), safe="") for part in where)
        if asked:
            target += f"?{urlencode(asked)}"
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Connection": "close", "Accept": "application/json"}
        if sent is not None:
            headers["Content-Type"] = "application/json"
        connection = UnixConnection(self._path, patience)
        try:
            answer = self._answer(connection, method, target, sent, headers).read()
            return json.loads(answer) if answer else None
        except TimeoutError as error:
            raise ShareError(N_("The node does not answer."), Exit.TIMEOUT) from error
        except (OSError, HTTPException, ValueError) as error:
            raise ShareError(N_("The node has stopped."), Exit.NO_NODE) from error
        finally:
            connection.close()

    def _answer(
        self,
        connection: UnixConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> HTTPResponse:
        """The answer, its body still to be read; raises `ShareError` for a refusal."""
        try:
            connection.connect()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            import shlex  # slow to load

            raise ShareError(
                N_("No node is running. To start one: {command}"),
                Exit.NO_NODE,
                command=shlex.join(self._start),
            ) from error
        except PermissionError as error:
            raise ShareError(N_("The node is somebody else's."), Exit.DENIED) from error
        wish = {"Accept-Language": self._language} if self._language else {}
        connection.request(method, target, body, {**headers, **wish})
        answer = connection.getresponse()
        if answer.status >= 400:
            raise refusal(answer.read())
        return answer


def refusal(body: bytes) -> Refused:
    """What an answer says that should be a problem document."""
    try:
        return refusal_of(json.loads(body))
    except ValueError:
        return refusal_of(None)


def refusal_of(problem: Any) -> Refused:
    """What a problem document says."""
    try:
        why = str(problem.get("detail") or problem["title"])
        refused = Refused("{why}", Exit(problem.get("exit", Exit.FAILED)), why=why)
        refused.kind = str(problem.get("type", "")).rpartition(":")[2]
    except (ValueError, KeyError, AttributeError):
        return Refused(N_("The node could not do that; its log tells why."))
    return refused


def _events(connection: UnixConnection, answer: HTTPResponse) -> Iterator[Event]:
    """Read a stream of events (HTML Living Standard, section 9.2.6)."""
    number, name, data = "", "", ""
    try:
        for row in answer:
            line = row.decode("utf-8", "replace").rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                number = value
            elif field == "event":
                name = value
            elif field == "data":
                data += value
            elif not line and data:
                yield Event(number, name, json.loads(data))
                name, data = "", ""
    except (OSError, HTTPException, ValueError):  # it ended in the middle
        return
    finally:
        connection.close()
