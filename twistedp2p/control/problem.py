"""What went wrong, told to a program (RFC 9457)::

    {"type": "urn:p2pshare:problem:not-found", "title": "Not Found", "status": 404,
     "detail": "Nobody here is called bob.", "exit": 5}

`type` and `exit` stay what they are; `detail` is a sentence for people. `exit` is the code with
which a script that could not go on ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import attrs

from twistedp2p.core.errors import Exit, ShareError

TYPE = "urn:p2pshare:problem:"
InWords = Callable[[str, Mapping[str, object]], str]
"""A sentence with its values, in the language of the node's user."""

_OF_EXIT = {
    Exit.USAGE: (HTTPStatus.UNPROCESSABLE_ENTITY, "wrong"),
    Exit.DENIED: (HTTPStatus.FORBIDDEN, "denied"),
    Exit.NOT_FOUND: (HTTPStatus.NOT_FOUND, "not-found"),
    Exit.NO_INPUT: (HTTPStatus.NOT_FOUND, "not-found"),
    Exit.DAMAGED: (HTTPStatus.BAD_GATEWAY, "damaged"),
    Exit.TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "timeout"),
}


@attrs.frozen
class Problem(Exception):
    """An answer that is none. `kind` is the end of its `type`."""

    status: HTTPStatus
    kind: str
    detail: str
    exit: Exit = Exit.FAILED

    @classmethod
    def of(cls, error: ShareError, in_words: InWords) -> Problem:
        """What a face would show as a sentence."""
        status, kind = _OF_EXIT.get(error.code, (HTTPStatus.CONFLICT, "failed"))
        return cls(status, kind, in_words(error.sentence, error.values), exit_of(error.code))

    def document(self) -> dict[str, object]:
        """What is sent."""
        return {
            "type": TYPE + self.kind,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "exit": int(self.exit),
        }


def exit_of(code: Exit) -> Exit:
    """The exit code that commands have for it: one of 1, 2, 4, 5, 6, 7."""
    if code is Exit.NO_INPUT:
        return Exit.NOT_FOUND
    return code if code in _OF_EXIT else Exit.FAILED


def wrong(detail: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY) -> Problem:
    """What was asked makes no sense."""
    return Problem(status, "wrong", detail, Exit.USAGE)


def not_found(detail: str) -> Problem:
    """There is no such thing."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", detail, Exit.NOT_FOUND)
