"""What went wrong, told to a program (RFC 9457)::

    {"type": "urn:p2pshare:problem:not-found", "title": "Not Found", "status": 404,
     "detail": "Nobody here is called bob.", "exit": 5}

`type` and `exit` stay what they are; `detail` is a sentence for people, in the language that they
ask for, else in English. `exit` is the code with which a script that could not go on ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from twistedp2p.core.errors import Exit, ShareError

TYPE = "urn:p2pshare:problem:"
InWords = Callable[[str, str, Mapping[str, object]], str]
"""In the language that an ``Accept-Language`` wants (RFC 9110, 12.5.4; empty: English), a sentence
with its values."""

_OF_EXIT = {
    Exit.USAGE: (HTTPStatus.UNPROCESSABLE_ENTITY, "wrong"),
    Exit.DENIED: (HTTPStatus.FORBIDDEN, "denied"),
    Exit.NOT_FOUND: (HTTPStatus.NOT_FOUND, "not-found"),
    Exit.NO_INPUT: (HTTPStatus.NOT_FOUND, "not-found"),
    Exit.DAMAGED: (HTTPStatus.BAD_GATEWAY, "damaged"),
    Exit.TIMEOUT: (HTTPStatus.GATEWAY_TIMEOUT, "timeout"),
}


class Problem(ShareError):
    """An answer that is none. `kind` is the end of its `type`."""

    def __init__(
        self, status: HTTPStatus, kind: str, sentence: str, code: Exit, **values: object
    ) -> None:
        super().__init__(sentence, code, **values)
        self.status = status
        self.kind = kind

    @classmethod
    def of(cls, error: ShareError) -> Problem:
        """What a node could not do."""
        if isinstance(error, Problem):
            return error
        status, kind = _OF_EXIT.get(error.code, (HTTPStatus.CONFLICT, "failed"))
        return cls(status, kind, error.sentence, exit_of(error.code), **error.values)

    def document(self, in_words: InWords, language: str) -> dict[str, object]:
        """What is sent to who accepts that language."""
        return {
            "type": TYPE + self.kind,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": in_words(language, self.sentence, self.values),
            "exit": int(self.code),
        }


def exit_of(code: Exit) -> Exit:
    """The exit code that commands have for it: one of 1, 2, 4, 5, 6, 7."""
    if code is Exit.NO_INPUT:
        return Exit.NOT_FOUND
    return code if code in _OF_EXIT else Exit.FAILED


def wrong(sentence: str, **values: object) -> Problem:
    """What was asked makes no sense."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "wrong", sentence, Exit.USAGE, **values)


def not_found(sentence: str) -> Problem:
    """There is no such thing."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", sentence, Exit.NOT_FOUND)
