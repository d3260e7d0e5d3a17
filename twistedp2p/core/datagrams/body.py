"""The bodies of signed datagrams that are not chat: one small JSON object each."""

from __future__ import annotations

import json
from typing import Any

from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.core.errors import N_

DAMAGED = N_("a damaged message")
"""What a person is told of any `BadBody`, whose own words are for who writes a client."""


class BadBody(ValueError):
    """A body that is not the object it should be."""


def write(fields: dict[str, Any]) -> str:
    """The one way in which we write an object: sorted, compact, UTF-8."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read(text: str) -> dict[str, Any]:
    """Read an object; raises `BadBody`. Fields that we do not know are left alone."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadBody("not JSON") from error
    if not isinstance(fields, dict):
        raise BadBody("not an object")
    return fields


def whole(fields: dict[str, Any], name: str, most: int = MAX_NUMBER, least: int = 0) -> int:
    """A whole number of `fields` within `least` and `most`; raises `BadBody`."""
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:
        raise BadBody(f"{name} is not a number within its bounds")
    return value


def text(fields: dict[str, Any], name: str, most: int = 1000) -> str:
    """A string of `fields` of at most `most` characters; raises `BadBody`."""
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise BadBody(f"{name} is not a text within its bounds")
    try:
        # JSON can escape half of a surrogate pair, which no disk and no screen takes.
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadBody(f"{name} is not Unicode text") from error
    return value


Range = tuple[int, int]  # first and last number, both included


def ranges(fields: dict[str, Any], name: str, most: int) -> list[Range]:
    """At most `most` rising, disjoint ranges of `fields` (none when absent); raises `BadBody`."""
    found = fields.get(name, [])
    if not isinstance(found, list) or len(found) > most:
        raise BadBody(f"{name} is not a list within its bounds")
    last = 0
    for pair in found:
        if not isinstance(pair, list) or [type(end) for end in pair] != [int, int]:
            raise BadBody(f"{name} has something that is no range")
        if not last < pair[0] <= pair[1] <= MAX_NUMBER:
            raise BadBody(f"{name} has a range out of order")
        last = pair[1]
    return [(low, high) for low, high in found]
