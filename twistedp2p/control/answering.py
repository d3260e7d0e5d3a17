"""An address that answers with JSON, whatever happens behind it."""
# Twisted's web has no annotations.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from twistedp2p.control.door import ALWAYS, language_of
from twistedp2p.control.problem import InWords, Problem, not_found, wrong
from twistedp2p.core.errors import N_, Exit, ShareError

QUERY_MOST = 1024  # characters of one value
NAME_SHOWN = 50  # characters of what is misspelt
_log = Logger()


@attrs.frozen
class Asked:
    """What a request asks: by its query, and by the members of its body.

    language: as its ``Accept-Language``; may be empty.
    """

    query: Mapping[str, str]
    body: Mapping[str, Any] = attrs.field(repr=False)  # a password may be in it
    language: str = ""

    def only(self, *names: str) -> None:
        """Refuse what we do not know: it is misspelt."""
        for name in [*self.query, *self.body]:
            if name not in names:
                raise wrong(N_("There is no {name} here."), name=repr(name[:NAME_SHOWN]))

    def number(self, name: str, otherwise: int, most: int) -> int:
        """A whole number of the query, from 0 to `most`."""
        text = self.query.get(name)
        if text is None:
            return otherwise
        if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= most):
            raise wrong(N_("{name} is a number from 0 to {most}."), name=name, most=most)
        return int(text)

    def text(self, name: str) -> str:
        """A text of the body, or nothing."""
        return str(self._of(name, str, ""))

    def flag(self, name: str) -> bool:
        """Yes or no, by default no."""
        return bool(self._of(name, bool, False))

    def _of(self, name: str, kind: type, otherwise: object) -> object:
        value = self.body.get(name, otherwise)
        if type(value) is not kind:
            raise wrong(N_("{name} has the wrong type."), name=name)
        if isinstance(value, str):
            _check_text(name, value)
        return value


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong(N_("{name} is not Unicode text."), name=name) from None
    if "\0" in value:
        raise wrong(N_("{name} has a NUL in it."), name=name)


@attrs.frozen
class Reply:
    """What to send: a document, or bytes of another content type."""

    document: object
    status: HTTPStatus = HTTPStatus.OK
    kind: str = "application/json"


Method = Callable[[Asked], Awaitable[Reply]]


class Answering(Resource):
    """One address. `methods` has what it answers to GET, POST and DELETE."""

    def __init__(self, in_words: InWords, methods: Mapping[str, Method] = MappingProxyType({})):
        super().__init__()
        self._in_words = in_words
        self._methods = methods

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Called by Twisted: what was not put here is not here."""
        return Answering(self._in_words)

    def render(self, request: Any) -> int:
        """Called by Twisted."""
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        answered = Deferred.fromCoroutine(self._answer(request))
        answered.addErrback(self._as_problem, request)
        answered.addCallback(lambda reply: None if gone else send(request, reply))
        return NOT_DONE_YET

    async def _answer(self, request: Any) -> Reply:
        if not self._methods:
            raise not_found(N_("There is nothing at this address."))
        method = self._methods.get(request.method.decode("ascii", "replace"))
        if method is None:
            allowed = ", ".join(self._methods)
            request.setHeader(b"Allow", allowed.encode())
            status, sentence = HTTPStatus.METHOD_NOT_ALLOWED, N_("Only {allowed} is answered here.")
            raise Problem(status, "wrong", sentence, Exit.USAGE, allowed=allowed)
        return await method(asked_by(request))

    def _as_problem(self, failure: Failure, request: Any) -> Reply:
        error = failure.value
        if not isinstance(error, ShareError):
            _log.failure("a request failed", failure)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            sentence = N_("A defect of this program; the log says more.")
            error = Problem(status, "defect", sentence, Exit.FAILED)
        return self._refusal(error, request)

    def _refusal(self, error: ShareError, request: Any) -> Reply:
        problem = Problem.of(error)
        document = problem.document(self._in_words, language_of(request.requestHeaders))
        return Reply(document, problem.status, "application/problem+json")


def asked_by(request: Any) -> Asked:
    """Read query and body; raises `Problem`."""
    if any(len(values) > 1 for values in request.args.values()):
        raise wrong(N_("One name of the query came twice."))
    try:
        query = {name.decode(): values[0].decode() for name, values in request.args.items()}
        text = request.content.read().decode()
        body = json.loads(text, parse_constant=_no_number) if text else {}
    except (ValueError, RecursionError):
        sentence = N_("This is neither UTF-8 nor JSON.")
        raise Problem(HTTPStatus.BAD_REQUEST, "wrong", sentence, Exit.USAGE) from None
    if not isinstance(body, dict):
        raise wrong(N_("The body must be a JSON object."))
    if any(len(value) > QUERY_MOST or "\0" in value for value in query.values()):
        sentence = N_("A value of the query has {most} characters at most, none of them NUL.")
        raise wrong(sentence, most=QUERY_MOST)
    return Asked(query, body, language_of(request.requestHeaders))


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def send(request: Any, reply: Reply) -> None:
    """Send all of it, and end."""
    body = reply.document
    if not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    begin(request, reply.kind, reply.status)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def begin(request: Any, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
    """The head of an answer."""
    request.setResponseCode(int(status), status.phrase.encode())
    request.setHeader(b"Server", b"p2pshare")
    request.setHeader(b"Content-Type", kind.encode())
    for header in ALWAYS.items():
        request.setHeader(*header)
