"""What a node tells its faces, as it happens: values, no behaviour."""

from __future__ import annotations

import attrs

from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import N_, Exit

LEFT_OUT = N_(
    "Left out of {name}: {links} links, {special} special files, {unreadable} that cannot be read."
)
"""The `Notice` of a folder that is not offered whole."""


@attrs.frozen
class Said:
    """A line of chat. `key` is None for plain text, of which nothing but the address is known.

    `stamp` is when it was said, by this node's own clock.
    """

    text: str
    nick: str
    key: bytes | None
    address: str
    stamp: int  # milliseconds since 1970
    own: bool = False
    known: bool = True  # False: a key not pinned yet, or a nick that looks like another's
    late: bool = False  # said before we came, or a while ago
    sent: bool = True  # False: of our own, and no network has taken it yet


@attrs.frozen
class DirectMessage:
    """A line for one person alone. `nick` and `key` are the other's, whoever said it."""

    text: str
    nick: str
    key: bytes
    stamp: int  # milliseconds since 1970
    own: bool = False  # we said it, and it was shown
    known: bool = True  # False: a key not pinned yet, or a nick that looks like another's


@attrs.frozen
class Joined:
    """A node is here. `looks_like` is the key of an earlier bearer of its nick."""

    key: bytes
    nick: str
    address: str
    looks_like: bytes | None = None


@attrs.frozen
class Renamed:
    """A node gave itself another nick."""

    key: bytes
    nick: str
    old_nick: str
    looks_like: bytes | None = None


@attrs.frozen
class Left:
    """A node said goodbye, or was silent for too long."""

    key: bytes
    nick: str
    goodbye: bool


@attrs.frozen
class OfferAdded:
    """A node offers a file."""

    offer: Offer
    nick: str
    own: bool = False


@attrs.frozen
class OfferGone:
    """An offer was withdrawn. `why` is a sentence when our own file changed or went."""

    name: str
    owner: bytes
    nick: str
    own: bool = False
    why: str = ""


@attrs.frozen
class WrongPassword:
    """Somebody tried a wrong password on one of our offers."""

    name: str
    address: str
    key: bytes


@attrs.frozen
class Progress:
    """How far a transfer (in or out) or the reading of a file to offer has come.

    A get first checks ("check") what an earlier one has left.
    """

    number: int  # of the transfer, unique in this run
    kind: str  # "get" | "check" | "serve" | "read"
    name: str
    done: int  # bytes
    size: int  # bytes
    rate: float  # bytes per second
    ended: bool = False


@attrs.frozen
class Fetched:
    """A file has come, is whole, and stands under `path`."""

    number: int
    name: str
    path: str
    size: int  # bytes
    seconds: float
    owner: bytes
    owner_known: bool  # False: a ticket's owner, of whom only the password is proof
    owner_changed: bool = False  # another key answered a ticket of that address before


@attrs.frozen
class FetchFailed:
    """A file did not come, and why, in one sentence with its values and an exit code."""

    number: int
    name: str
    sentence: str
    values: dict[str, object]
    code: Exit = Exit.FAILED


@attrs.frozen
class NotSent:
    """A datagram could not be sent on any interface."""

    sentence: str
    values: dict[str, object]


@attrs.frozen
class Notice:
    """Something about this node or its group that its user should know.

    number: of the transfer that it is about, or None.
    """

    sentence: str
    values: dict[str, object]
    number: int | None = None


Event = (
    Said
    | DirectMessage
    | Joined
    | Renamed
    | Left
    | OfferAdded
    | OfferGone
    | WrongPassword
    | Progress
    | Fetched
    | FetchFailed
    | NotSent
    | Notice
)
