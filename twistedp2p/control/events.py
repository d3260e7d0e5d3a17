"""`GET /api/v1/events`: what happens, as it happens (server-sent events, WHATWG HTML)::

    event: said
    id: 1732296000123.17
    data: {"text": "hello", "nick": "bob", ...}

An id is the start of the node, in milliseconds since 1970, and a number. Who sends `Last-Event-ID`
gets what came since; where that is not kept any more (see `ring`), an event `lost` comes first:
what he knew is to be asked for anew. Who reads more slowly than things happen has nothing waiting
for him but 64 KiB at the transport; who is so far behind that what comes next for him is gone is
cut.
"""
# Twisted's web has no annotations.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from twistedp2p.control.answering import Answering, Reply, asked_by, begin, send
from twistedp2p.control.problem import InWords, Problem
from twistedp2p.control.ring import Ring
from twistedp2p.control.values import event_document, name_of
from twistedp2p.core.errors import N_, Exit
from twistedp2p.core.events import Event, Progress
from twistedp2p.node import Node

LISTENERS_MOST = 64
ALIVE_EVERY = 15.0  # seconds between two signs of life, which also find out who is gone
KIND = "text/event-stream"


@implementer(IPushProducer)
class Listener:
    """One who listens, from the number `at` on."""

    def __init__(self, request: Any, ring: Ring, at: int) -> None:
        self._request = request
        self._ring = ring
        self._at = at
        self._paused = False
        self._cut = False

    def catch_up(self) -> None:
        """Send what there is, as long as it is read."""
        if self._paused:
            if self._at < self._ring.forgotten and not self._cut:
                self._cut = True
                self._request.channel.forceAbortClient()
            return
        for number, event in self._ring.after(self._at):
            self._at = number
            self._request.write(event)
            if self._paused:
                return
        self._at = self._ring.last

    def tell(self, event: bytes) -> None:
        """Send what is not kept, if it is read."""
        if not self._paused:
            self._request.write(event)

    def pauseProducing(self) -> None:
        """Called by Twisted: what was sent is not read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Called by Twisted: it is read."""
        self._paused = False
        self.catch_up()

    def stopProducing(self) -> None:
        """Called by Twisted: the other end is gone."""
        self._paused = True


class Events(Answering):
    """The stream. Direct messages are taken as long as somebody listens.

    :param started: seconds since 1970.
    """

    def __init__(self, in_words: InWords, node: Node, clock: Any, started: float) -> None:
        super().__init__(in_words, {"GET": self._never})
        self._node = node
        self._run = int(started * 1000)
        self._ring = Ring()
        self._listeners: list[Listener] = []
        self._not_reader: Callable[[], None] | None = None
        self._closed = False
        self._unsubscribe = node.subscribe(self._happened)
        self._alive = LoopingCall(self._tell, b": \n\n")
        self._alive.clock = clock

    def __len__(self) -> int:
        return len(self._listeners)

    def close(self) -> None:
        """Follow no more; may be called twice."""
        self._closed = True
        end, self._unsubscribe = self._unsubscribe, lambda: None
        end()
        if self._not_reader is not None:
            self._not_reader()
            self._not_reader = None
        if self._alive.running:
            self._alive.stop()

    async def _never(self, _asked: object) -> Reply:
        raise NotImplementedError  # a GET is answered by `render`

    def render(self, request: Any) -> int:
        """Called by Twisted."""
        if request.method != b"GET":
            return super().render(request)
        try:
            asked_by(request).only()
            if len(self._listeners) >= LISTENERS_MOST:
                busy, sentence = (
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    N_("{most} programs listen already."),
                )
                raise Problem(busy, "busy", sentence, Exit.FAILED, most=LISTENERS_MOST)
        except Problem as problem:
            send(request, self._refusal(problem, request))
        else:
            self._listen(request)
        return NOT_DONE_YET

    def _listen(self, request: Any) -> None:
        at, lost = self._place(request.getHeader(b"Last-Event-ID"))
        begin(request, KIND)
        request.write(b": \n\n" if not lost else b"event: lost\ndata: {}\n\n")
        listener = Listener(request, self._ring, at)
        self._listeners.append(listener)
        self._note_readers()
        request.notifyFinish().addBoth(lambda _: self._left(listener))
        request.registerProducer(listener, True)
        listener.catch_up()

    def _place(self, last: bytes | None) -> tuple[int, bool]:
        """From where on to send, and whether there is a gap before it."""
        if not last:
            return self._ring.last, False
        run, _, number = last.partition(b".")
        known = run == b"%d" % self._run and number.isdigit() and len(number) < 18
        at = int(number) if known else -1
        if self._ring.forgotten <= at <= self._ring.last:
            return at, False
        return self._ring.forgotten, True

    def _left(self, listener: Listener) -> None:
        self._listeners.remove(listener)
        self._note_readers()

    def _note_readers(self) -> None:
        """A direct message is for somebody who reads it, so it is refused where nobody does."""
        if self._closed:
            return
        if self._listeners and self._not_reader is None:
            self._not_reader = self._node.subscribe(_nothing, reader=True)
            self._alive.start(ALIVE_EVERY, now=False)
        elif not self._listeners and self._not_reader is not None:
            self._not_reader()
            self._not_reader = None
            self._alive.stop()

    def _happened(self, event: Event) -> None:
        data = json.dumps(event_document(event), ensure_ascii=False)
        head = f"event: {name_of(event)}\nid: {self._run}.{self._ring.last + 1}\n"
        sent = f"{head}data: {data}\n\n".encode("utf-8", "replace")
        transfer = event.number if isinstance(event, Progress) else None
        self._ring.put(sent, transfer)
        for listener in list(self._listeners):
            listener.catch_up()

    def _tell(self, event: bytes) -> None:
        for listener in list(self._listeners):
            listener.tell(event)


def _nothing(_event: Event) -> None:
    pass
