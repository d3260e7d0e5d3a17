"""What a node tells, as JSON.

Keys and ids are base64url without padding, times seconds since 1970, sizes bytes. The events of
`core.events` go by their own names and those of their members: `OfferAdded` is ``offer_added``.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any

import attrs

from twistedp2p.control.problem import exit_of
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit, Words
from twistedp2p.core.events import Event, OfferAdded, Said
from twistedp2p.core.names import b64, fingerprint

SAID_ID = "[0-9]{1,18}-[A-Za-z0-9_-]{8}"
"""Of a line: see `said_id`."""

_CAPITAL = re.compile("(?<!^)(?=[A-Z])")


def seconds(stamp: int) -> float:
    """Of milliseconds."""
    return stamp / 1000


def name_of(event: Event) -> str:
    """``offer_added`` for an `OfferAdded`."""
    return _CAPITAL.sub("_", type(event).__name__).lower()


def event_document(event: Event) -> dict[str, object]:
    """All members of an event; a sentence with its values is one `text`, in English, and an offer
    has its owner."""
    members = {field.name: getattr(event, field.name) for field in attrs.fields(type(event))}
    if "sentence" in members:
        members["text"] = str(Words(members.pop("sentence"), members.pop("values")))
    found = {name: _plain(name, value) for name, value in members.items()}
    if isinstance(event, OfferAdded):
        owner = owner_document(event.offer.owner, event.nick)
        found["offer"] = {**offer_document(event.offer), "owner": owner}
    if members.get("key"):
        found["fingerprint"] = fingerprint(members["key"])
    return found


def message_document(said: Said) -> dict[str, object]:
    """A line of chat, which can be named."""
    return {"id": said_id(said), **event_document(said)}


def _plain(name: str, value: Any) -> object:
    if isinstance(value, bytes):
        return b64(value)
    if isinstance(value, Exit):
        return int(exit_of(value))
    return seconds(value) if name == "stamp" else value


def said_id(said: Said) -> str:
    """What names a line: when it was said, in milliseconds, and a hash of the rest."""
    rest = b"\0".join([said.key or said.address.encode(), said.text.encode("utf-8", "replace")])
    return f"{said.stamp}-{b64(hashlib.sha256(rest).digest()[:6])}"


def offer_document(offer: Offer) -> dict[str, object]:
    """What is known of a file on offer."""
    return {
        "id": b64(offer.id),
        "name": offer.name,
        "size": offer.size,
        "digest": offer.digest,
        "public": offer.public,
        "stamp": seconds(offer.stamp),
        "folder": None if offer.files is None else {"files": offer.files},
    }


def owner_document(key: bytes, nick: str) -> dict[str, object]:
    """Whose it is."""
    text, shown = _key_as_text(key)
    return {"key": text, "nick": nick, "fingerprint": shown}


@lru_cache(4096)
def _key_as_text(key: bytes) -> tuple[str, str]:
    return b64(key), fingerprint(key)


def page(items: list[dict[str, object]], after: object = None) -> dict[str, object]:
    """A list; `after` is what to ask for next, None at the end."""
    return {"items": items, "next": None if after is None else str(after)}
