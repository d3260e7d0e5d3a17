"""The addresses of what is moving: gets, what others get from us, files that are read."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from twistedp2p.control.answering import Asked, Reply
from twistedp2p.control.files import Files, means
from twistedp2p.control.problem import InWords, Problem, not_found, wrong
from twistedp2p.control.values import owner_document, page
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import N_, Exit, ShareError, Words
from twistedp2p.core.events import Event, Fetched, FetchFailed, Notice, Progress
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.ticket import TicketError, parse_wanted
from twistedp2p.node import Node
from twistedp2p.node.downloads.order import a_folder

NUMBER_MOST = 10**15
KEPT = 1000  # transfers, the ended ones included
CHOICES = 8  # owners named where it is not clear whose is meant
MOVING, DONE, FAILED, WAITING = "moving", "done", "failed", "waiting"
Row = dict[str, Any]


class Transfers:
    """What is answered at these addresses, of this run."""

    def __init__(self, node: Node, files: Files, in_words: InWords) -> None:
        self._node = node
        self._files = files
        self._in_words = in_words
        self._rows: CappedTable[int, Row] = CappedTable(KEPT)
        self._unsubscribe = node.subscribe(self._happened)

    def close(self) -> None:
        """Follow no more; may be called twice."""
        end, self._unsubscribe = self._unsubscribe, lambda: None
        end()

    # -- what is told of them

    def _happened(self, event: Event) -> None:
        if isinstance(event, Progress):
            row = self._row(event.number, event.name, event.kind)
            row.update(kind=event.kind, done=event.done, size=event.size, rate=event.rate)
            over = DONE if event.ended and event.kind not in ("get", "check") else MOVING
            row["state"] = row["state"] if row["state"] in (DONE, FAILED) else over
        elif isinstance(event, Fetched):
            row = self._row(event.number, event.name)
            row.update(
                kind="get",
                state=DONE,
                done=event.size,
                size=event.size,
                path=event.path,
                seconds=event.seconds,
                owner_known=event.owner_known,
                owner_changed=event.owner_changed,
            )
        elif isinstance(event, Notice):
            about = None if event.number is None else self._rows.peek(event.number)
            if about is not None:
                about["notice"] = Words(event.sentence, event.values)
        elif isinstance(event, FetchFailed):
            row = self._row(event.number, event.name)
            error = ShareError(event.sentence, event.code, **event.values)
            row.update(kind="get", state=FAILED, error=error)

    def _row(self, number: int, name: str, kind: str = "get") -> Row:
        row = self._rows.peek(number)
        if row is None:
            row = {
                "number": number,
                "kind": kind,
                "name": name,
                "state": WAITING,
                "done": 0,
                "size": 0,
                "rate": 0.0,
            }
            self._rows.put(number, row)
        return row

    def _told(self, row: Row, language: str) -> Row:
        """As it is sent, its sentences in that language."""
        told, notice, error = dict(row), row.get("notice"), row.get("error")
        if notice is not None:
            told["notice"] = self._in_words(language, notice.sentence, notice.values)
        if error is not None:
            told["error"] = Problem.of(error).document(self._in_words, language)
        return told

    async def transfers(self, asked: Asked) -> Reply:
        """``GET /transfers``: those of this run that are known yet, by number."""
        asked.only("limit", "after")
        limit, after = asked.number("limit", KEPT, KEPT), asked.number("after", 0, NUMBER_MOST)
        for transfer in self._node.get_running():
            self._row(transfer.number, transfer.name)
        rows = [row for number, row in sorted(self._rows.items()) if number > after]
        more = len(rows) > limit > 0
        told = [self._told(row, asked.language) for row in rows[:limit]]
        return Reply(page(told, rows[limit - 1]["number"] if more else None))

    async def transfer(self, number: str, asked: Asked) -> Reply:
        """``GET /transfers/{number}``"""
        asked.only()
        return Reply(self._told(self._known(number), asked.language))

    def _known(self, number: str) -> Row:
        row = self._rows.peek(_number(number))
        if row is None:
            for transfer in self._node.get_running():
                if transfer.number == _number(number):
                    return self._row(transfer.number, transfer.name)
            raise not_found(N_("No transfer has that number."))
        return row

    async def cancel(self, number: str, asked: Asked) -> Reply:
        """``DELETE /transfers/{number}``"""
        asked.only()
        for transfer in self._node.get_running():
            if transfer.number == _number(number):
                transfer.cancel()
                return Reply(self._told(self._known(number), asked.language))
        raise not_found(N_("No file that is coming has that number."))

    # -- a get

    async def get(self, asked: Asked) -> Reply:
        """``POST /transfers``: begins a get; with `wait`, answered when it is over."""
        asked.only(
            "id", "ticket", "name", "owner", "part", "one_file", "password", "folder", "wait"
        )
        transfer = await self._begun(asked, _folder(asked.text("folder")))
        row = self._row(transfer.number, transfer.name)
        if asked.flag("wait"):
            await transfer.done
        return Reply(self._told(row, asked.language), HTTPStatus.CREATED)

    async def _begun(self, asked: Asked, folder: Path | None) -> Any:
        one_file = asked.flag("one_file")
        given = [name for name in ("id", "ticket", "name") if asked.text(name)]
        if len(given) != 1:
            raise wrong(N_("Say one of id, ticket and name."))
        if given == ["ticket"]:
            try:
                ticket, part = parse_wanted(asked.text("ticket"))
            except TicketError as error:
                raise ShareError(str(error), Exit.USAGE) from None
            part = asked.text("part") or part
            return self._node.get_ticket(ticket, folder, part, one_file=one_file)
        offer = await self._meant(asked)
        part, password = asked.text("part"), asked.text("password")
        if one_file and offer.files is not None and not part.strip("/"):
            raise a_folder(offer.name)
        if offer.owner == self._node.key:
            status, sentence = HTTPStatus.CONFLICT, N_("{name} is your own.")
            raise Problem(status, "own", sentence, Exit.USAGE, name=offer.name)
        if not offer.public and not password:
            status, sentence = HTTPStatus.FORBIDDEN, N_("{name} needs a password.")
            raise Problem(status, "password-needed", sentence, Exit.DENIED, name=offer.name)
        return self._node.get(offer, password, folder, part, one_file=one_file)

    async def _meant(self, asked: Asked) -> Offer:
        """The offer that is named: of somebody who is here, else of one who has gone."""
        name, owner = asked.text("name"), asked.text("owner")
        if not name:
            known = asked.text("id")
            found = await self._files.by_id(known) or await self._files.by_id(known, here=False)
            if found is None:
                raise not_found(N_("No file on offer has that id."))
            return found
        offers = self._called(name, owner, True) or self._called(name, owner, False)
        if not offers:
            raise not_found(N_("No file on offer is called that."))
        if len(offers) > 1:
            owners = [owner_document(o.owner, self._node.nick_of(o.owner)) for o in offers]
            who = ", ".join(f"{o['nick']} {o['fingerprint']}" for o in owners[:CHOICES])
            status, sentence = HTTPStatus.CONFLICT, N_("More than one has it: {who}.")
            raise Problem(status, "ambiguous", sentence, Exit.USAGE, who=who)
        return offers[0]

    def _called(self, name: str, owner: str, here: bool) -> list[Offer]:
        heard = self._node.nick_heard
        offers = self._node.called(name, here=here)
        return [each for each in offers if means(owner, each.owner, heard(each.owner))]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0


def _folder(text: str) -> Path | None:
    if not text:
        return None
    folder = Path(text)
    if not folder.is_absolute():
        raise wrong(N_("folder is the absolute path of a folder."))
    if not folder.is_dir():  # of a service that is shut in, or in a folder of somebody else
        sentence = N_("The node cannot see the folder {folder}: name one that it can, with -o.")
        raise ShareError(sentence, Exit.USAGE, folder=folder)
    return folder
