"""The addresses of the control interface, and what opens and closes them."""
# Twisted's web has no annotations.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.web.resource import Resource

from twistedp2p.control.answering import Answering, Asked, Method, Reply
from twistedp2p.control.door import Door, Web
from twistedp2p.control.events import Events
from twistedp2p.control.files import Files
from twistedp2p.control.metrics import Metrics
from twistedp2p.control.openapi import document
from twistedp2p.control.people import People, Running
from twistedp2p.control.problem import InWords
from twistedp2p.control.transfers import Transfers
from twistedp2p.node import Node


class Each(Answering):
    """A list, and below it one address for each of its items, made as it is asked for.

    :param each: what is answered there, given the item's name.
    """

    def __init__(
        self,
        in_words: InWords,
        methods: Mapping[str, Method],
        each: Callable[[str], Mapping[str, Method]],
    ) -> None:
        super().__init__(in_words, methods)
        self._each = each

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Called by Twisted."""
        return Answering(self._in_words, self._each(path.decode("utf-8", "replace")))


class Control:
    """The control interface of one node: the same tree behind each door."""

    def __init__(self, node: Node, running: Running, in_words: InWords, clock: Any) -> None:
        self._clock = clock
        self._in_words = in_words
        people, files = People(node, running), Files(node)
        self._transfers = transfers = Transfers(node, files, in_words)
        self._events = events = Events(in_words, node, clock, running.started)
        metrics = Metrics(lambda: {**people.status_document(), "event_listeners": len(events)})
        self.root = Answering(in_words)
        api, v1 = Answering(in_words), Answering(in_words)
        self.root.putChild(b"metrics", Answering(in_words, {"GET": metrics.metrics}))
        self.root.putChild(b"api", api)
        api.putChild(b"v1", v1)
        for name, methods in {
            b"status": {"GET": people.status},
            b"nick": {"POST": people.rename},
            b"peers": {"GET": people.peers},
            b"messages": {"GET": people.messages, "POST": people.say},
            b"catalogue": {"GET": files.catalogue},
            b"doctor": {"POST": people.examine},
            b"stop": {"POST": people.stop},
            b"openapi.json": {"GET": _openapi},
        }.items():
            v1.putChild(name, Answering(in_words, methods))
        v1.putChild(
            b"offers",
            Each(
                in_words,
                {"GET": files.offers, "POST": files.offer},
                lambda name: {"DELETE": partial(files.withdraw, name)},
            ),
        )
        v1.putChild(
            b"transfers",
            Each(
                in_words,
                {"GET": transfers.transfers, "POST": transfers.get},
                lambda name: {
                    "GET": partial(transfers.transfer, name),
                    "DELETE": partial(transfers.cancel, name),
                },
            ),
        )
        v1.putChild(b"events", events)

    def door(self, web: Web | None = None) -> Door:
        """A way in: on the loopback, or on the socket."""
        return Door(self.root, self._clock, self._in_words, web)

    def close(self) -> None:
        """Follow the node no more; may be called twice."""
        self._transfers.close()
        self._events.close()


async def _openapi(asked: Asked) -> Reply:
    asked.only()
    return Reply(document())
