"""The addresses of the node itself, of who is here, and of what is said."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import attrs

from twistedp2p.control.answering import Asked, Reply
from twistedp2p.control.problem import wrong
from twistedp2p.control.values import SAID_ID, message_document, owner_document, page, said_id
from twistedp2p.core.diagnosis import Diagnosis
from twistedp2p.core.errors import N_
from twistedp2p.core.events import Event, Said
from twistedp2p.core.names import clean_nick
from twistedp2p.node import Node

LINES, LINES_MOST = 100, 1000  # of chat in one answer
PEERS, PEERS_MOST = 1000, 5000


@attrs.frozen
class Running:
    """What is known of the node by who runs it.

    started: seconds since 1970. web: where the loopback door is, or None. report: a diagnosis as
    `p2pshare doctor --json` prints it, in a language as of `InWords`. stop: ends the node.
    """

    instance: str
    started: float
    wall: Callable[[], float]
    web: str | None
    report: Callable[[str, Diagnosis], dict[str, Any]]
    stop: Callable[[], object]


class People:
    """What is answered at these addresses."""

    def __init__(self, node: Node, running: Running) -> None:
        self._node = node
        self._running = running

    async def status(self, asked: Asked) -> Reply:
        """``GET /status``"""
        asked.only()
        return Reply(self.status_document())

    def status_document(self) -> dict[str, Any]:
        """How the node is."""
        node, running = self._node, self._running
        return {
            **owner_document(node.key, node.nick),
            "instance": running.instance,
            "group": node.config.group,
            "port": node.config.port,
            "file_port": node.file_port,
            "closed": node.closed,
            "version": version("twistedp2p"),
            "pid": os.getpid(),
            "uptime": max(0.0, running.wall() - running.started),
            "web": running.web,
            **attrs.asdict(node.status()),
            "dropped": node.dropped(),
        }

    async def rename(self, asked: Asked) -> Reply:
        """``POST /nick``: bear another name."""
        asked.only("nick")
        nick = clean_nick(asked.text("nick"))
        if not nick:
            raise wrong(N_("Nothing of that name can be seen."))
        self._node.set_nick(nick)
        return Reply({"nick": nick})

    async def peers(self, asked: Asked) -> Reply:
        """``GET /peers``: everybody else who is here, by nick."""
        asked.only("limit", "after")
        limit = asked.number("limit", PEERS, PEERS_MOST)
        after = asked.number("after", 0, PEERS_MOST)
        peers = self._node.peers()
        items = [self._peer(peer) for peer in peers[after : after + limit]]
        more = after + limit < len(peers)
        return Reply(page(items, after + limit if more else None))

    def _peer(self, peer: Any) -> dict[str, object]:
        unicast_only, loss = self._node.way_to(peer.key)
        return {
            **owner_document(peer.key, peer.nick),
            "addresses": list(dict.fromkeys(host for host, _ in peer.addresses)),
            "files": peer.files,
            "since": self._running.wall() - self._node.age_of(peer),
            "verified": self._node.is_known(peer.key, peer.nick),
            "unicast_only": unicast_only,
            "loss": loss,
        }

    async def messages(self, asked: Asked) -> Reply:
        """``GET /messages``: the last lines, or those after one, oldest first."""
        asked.only("limit", "after")
        limit = asked.number("limit", LINES, LINES_MOST)
        after = asked.query.get("after")
        lines = self._node.last_said(limit if after is None else LINES_MOST)
        if after is not None:
            lines = lines[_place(lines, after) :]
        items = [message_document(line) for line in lines[:limit]]
        more = len(lines) > limit > 0
        return Reply(page(items, items[-1]["id"] if more else None))

    async def say(self, asked: Asked) -> Reply:
        """``POST /messages``: to everybody, or to one."""
        asked.only("text", "to")
        text, to = asked.text("text"), asked.text("to")
        if to:
            await self._node.send_direct(to, text)
            return Reply({"to": to, "sent": True}, HTTPStatus.CREATED)
        line = self._said(text)
        if line is None:
            raise wrong(N_("There is nothing to say."))
        status = HTTPStatus.CREATED if line.sent else HTTPStatus.ACCEPTED
        return Reply(message_document(line), status)

    def _said(self, text: str) -> Said | None:
        """Say it; the line as it was told, None where nothing of it can be seen."""
        told: list[Event] = []
        end = self._node.subscribe(told.append)
        try:
            self._node.say(text)
        finally:
            end()
        return next((event for event in told if isinstance(event, Said) and event.own), None)

    async def examine(self, asked: Asked) -> Reply:
        """``POST /doctor``: takes some 15 seconds."""
        asked.only()
        diagnosis = await self._node.examine(lambda _: None)
        return Reply(self._running.report(asked.language, diagnosis))

    async def stop(self, asked: Asked) -> Reply:
        """``POST /stop``: say goodbye and end."""
        asked.only()
        self._running.stop()
        return Reply({"stopping": True}, HTTPStatus.ACCEPTED)


def _place(lines: list[Any], after: str) -> int:
    """Where the lines after that one begin; of one that is not kept any more: those said later."""
    for number in range(len(lines), 0, -1):
        if said_id(lines[number - 1]) == after:
            return number
    if not re.fullmatch(SAID_ID, after):
        raise wrong(N_("after is the id of a message."))
    return sum(line.stamp <= int(after.partition("-")[0]) for line in lines)
