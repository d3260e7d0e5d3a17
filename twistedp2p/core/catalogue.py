"""What an offer is, how it is told, and what a search means.

Bodies (JSON objects)::

    offer      {"digest": "blake3:<64 hex>", "name": "a.jpg", "public": false, "size": 1234}
    withdraw   {"name": "a.jpg"}

The offer of a folder says, too, how many files are in it: ``"files": 120``.

An offer's id is derived from the owner's key and the name (`names.offer_id`): a name stands for
one offer of an owner, and whoever has heard both knows the id. Of several entries with the same
name the one with the highest number counts.
"""

from __future__ import annotations

import unicodedata

import attrs

from twistedp2p.core.calls.lines import DIGEST, MAX_SIZE
from twistedp2p.core.content.manifest import MOST_ENTRIES
from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.names import clean_name, offer_id

MAX_OFFERS_PER_NODE = 100_000
MAX_OFFERS = 1_000_000
MAX_QUERY = 200  # characters
MAX_TERMS = 8


@attrs.frozen
class Offer:
    """A file or folder that a node serves."""

    owner: bytes
    name: str
    size: int  # bytes
    digest: str
    public: bool
    stamp: int = attrs.field(default=0, eq=False)  # milliseconds since 1970
    files: int | None = None  # in the folder that it is; None: it is a file

    @property
    def id(self) -> bytes:
        """16 bytes that name the offer everywhere."""
        return offer_id(self.owner, self.name)

    def write(self) -> str:
        """The body of its entry."""
        fields = {"digest": self.digest, "name": self.name, "size": self.size}
        folder = {} if self.files is None else {"files": self.files}
        return body.write({**fields, **folder, "public": self.public})

    @classmethod
    def read(cls, owner: bytes, text: str, stamp: int = 0) -> Offer:
        """Read the body of an entry that `owner` signed; raises `BadBody`."""
        fields = body.read(text)
        digest = body.text(fields, "digest")
        public = fields.get("public")
        if not DIGEST.fullmatch(digest) or not isinstance(public, bool):
            raise BadBody("a damaged offer")
        name = _clean(body.text(fields, "name"))
        size = body.whole(fields, "size", MAX_SIZE)
        files = body.whole(fields, "files", MOST_ENTRIES) if "files" in fields else None
        return cls(owner, name, size, digest, public, stamp, files)


def _clean(name: str) -> str:
    if clean_name(name) != name:
        raise BadBody("the name is not a clean file name")
    return name


def write_withdraw(name: str) -> str:
    """The body of a withdraw entry."""
    return body.write({"name": name})


def read_withdraw(text: str) -> str:
    """Read a withdraw entry: the name; raises `BadBody`."""
    return _clean(body.text(body.read(text), "name"))


def folded(text: str) -> str:
    """`text` without case, accents, compatibility forms, and what cannot be seen."""
    if text.isascii() and text.isprintable():
        return text.lower()
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in plain if c.isprintable() and not unicodedata.combining(c))


@attrs.frozen
class Listing:
    """One row of the catalogue as a person sees it."""

    offer: Offer
    nick: str
    own: bool


@attrs.frozen
class Query:
    """A search: every word must be part of the name; `@nick` limits to owners.

    Neither case nor accents count.
    """

    words: tuple[str, ...]
    owners: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read what a person typed; what is over `MAX_QUERY` and `MAX_TERMS` is left out."""
        # As names are: composed, and what no disk takes left out.
        text = unicodedata.normalize("NFC", text[:MAX_QUERY]).encode("utf-8", "ignore").decode()
        terms = text.casefold().split()[:MAX_TERMS]
        owners = tuple(term[1:] for term in terms if term.startswith("@") and len(term) > 1)
        return cls(tuple(term for term in terms if not term.startswith("@")), owners)

    def of(self, nick: str, fingerprint: str) -> bool:
        """Whether the `@` words mean this owner."""
        return all(part in nick.casefold() or part in fingerprint for part in self.owners)

    def rank(self, name: str) -> tuple[int, int, str]:
        """Sort key, best first: names that begin with the first word, then short ones."""
        plain = folded(name)
        first = folded(self.words[0]) if self.words else ""
        stem = plain.rsplit(".", 1)[0]
        place = 0 if stem == first else 1 if plain.startswith(first) else 2
        return place, len(name), plain
