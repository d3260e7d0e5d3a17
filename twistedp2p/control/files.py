"""The addresses of what is on offer: everybody's, and our own."""

from __future__ import annotations

import os
from http import HTTPStatus

from twistedp2p.control.answering import Asked, Reply
from twistedp2p.control.problem import wrong
from twistedp2p.control.values import offer_document, owner_document, page
from twistedp2p.core.catalogue import Listing, Offer
from twistedp2p.core.errors import N_
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import KEY_SIZE, OFFER_ID_SIZE, b64, fingerprint, unb64
from twistedp2p.node import Node

OFFERS, OFFERS_MOST = 100, 1000  # in one answer
TOLD = 10_000  # offers whose ids are remembered
MATCHES_MOST = 10_000  # that are told of one search, page by page
NUMBER_MOST = 2**53 - 1


def offer_id_of(text: str) -> bytes:
    """The id of an offer; raises `Problem`."""
    try:
        return unb64(text, OFFER_ID_SIZE)
    except ValueError:
        raise wrong(N_("An id has 22 characters, of base64.")) from None


def owner_term(owner: str) -> str:
    """What a search has for one owner, who is given by key, fingerprint or nick."""
    try:
        return f"@{fingerprint(unb64(owner, KEY_SIZE))}"
    except ValueError:
        return f"@{owner}" if owner else ""


def means(who: str, key: bytes, nick: str) -> bool:
    """Whether `who` is that node's key, its fingerprint, or its nick; nothing means everybody."""
    return who in ("", b64(key)) or who.casefold() in (nick.casefold(), fingerprint(key))


class Files:
    """What is answered at these addresses."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._told: CappedTable[object, Offer] = CappedTable(TOLD)  # by their ids, as told

    async def catalogue(self, asked: Asked) -> Reply:
        """``GET /catalogue``: the best match first; without words the latest heard first."""
        asked.only("q", "owner", "limit", "after", "id", "name")
        limit = asked.number("limit", OFFERS, OFFERS_MOST)
        after = asked.number("after", 0, NUMBER_MOST)
        if "id" in asked.query or "name" in asked.query:
            return Reply(page(self._rows(await self._exactly(asked))))
        words, owner = asked.query.get("q", "").strip(), owner_term(asked.query.get("owner", ""))
        if not words:
            return await self._all(owner, limit, after or NUMBER_MOST)
        if after > MATCHES_MOST:
            raise wrong(N_("Of what words find, {most} are told."), most=MATCHES_MOST)
        found = await self._node.search(f"{words} {owner}".strip(), after + limit + 1)
        items = self._rows(found[after : after + limit])
        return Reply(page(items, after + limit if len(found) > after + limit else None))

    async def _all(self, owner: str, limit: int, before: int) -> Reply:
        """Page by page, however many there are."""
        found = await self._node.heard_before(owner, before, limit + 1)
        items = self._rows([listing for _, listing in found[:limit]])
        return Reply(page(items, found[limit - 1][0] if len(found) > limit > 0 else None))

    def _rows(self, listings: list[Listing]) -> list[dict[str, object]]:
        """As they are told; their ids are likely to come back."""
        rows = [listing_document(listing) for listing in listings]
        for row, listing in zip(rows, listings, strict=True):
            self._told.put(row["id"], listing.offer)
        return rows

    async def by_id(self, text: str, *, here: bool = True) -> Offer | None:
        """The offer of that id, of a node that is here, or not: soon, if it was told lately."""
        wanted = offer_id_of(text)
        told = self._told.get(text)
        if told is not None:
            for offer in self._node.called(told.name, here=here):
                if offer.owner == told.owner:
                    return offer
        return await self._node.find(wanted, here=here)

    async def _exactly(self, asked: Asked) -> list[Listing]:
        """What has that id or that name, the owner apart."""
        node, query = self._node, asked.query
        if "id" in query:
            found = await self.by_id(query["id"])
            offers = [] if found is None else [found]
        else:
            offers = node.called(query["name"])
        nicks = {offer.owner: node.nick_heard(offer.owner) for offer in offers}
        return [
            Listing(offer, nicks[offer.owner], offer.owner == node.key)
            for offer in offers
            if means(query.get("owner", ""), offer.owner, nicks[offer.owner])
        ]

    async def offers(self, asked: Asked) -> Reply:
        """``GET /offers``: our own, by name."""
        asked.only("limit", "after")
        limit = asked.number("limit", OFFERS, OFFERS_MOST)
        found = self._node.own_offers(limit + 1, asked.query.get("after", ""))
        items = [offer_document(offer) for offer in found[:limit]]
        more = len(found) > limit > 0
        return Reply(page(items, found[limit - 1].name if more else None))

    async def offer(self, asked: Asked) -> Reply:
        """``POST /offers``: answered when the file has been read, and the group told."""
        asked.only("path", "password", "public")
        path, password, public = asked.text("path"), asked.text("password"), asked.flag("public")
        if not os.path.isabs(path):
            raise wrong(N_("path is the absolute path of a file."))
        if public and password:
            raise wrong(N_("What is public has no password."))
        offered = await self._node.offer(path, password, public)
        document = offer_document(offered.offer)
        if offered.generated:
            document["password"] = offered.password
        if offered.offer.files is not None:
            document["left_out"] = offered.left_out
        ticket = None if public else self._node.ticket(offered.offer.name, offered.password)
        document["ticket"] = None if ticket is None else str(ticket)
        return Reply(document, HTTPStatus.CREATED)

    async def withdraw(self, offer: str, asked: Asked) -> Reply:
        """``DELETE /offers/{id}``"""
        asked.only()
        name = self._node.own_name(offer_id_of(offer))
        self._node.withdraw(name)
        return Reply({"id": offer, "name": name})


def listing_document(listing: Listing) -> dict[str, object]:
    """A row of the catalogue."""
    owner = owner_document(listing.offer.owner, listing.nick)
    return {**offer_document(listing.offer), "owner": owner, "own": listing.own}
