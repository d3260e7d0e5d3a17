"""Becoming another node while running: a new identity, for another node has the old one.

Our key is in every room, so all of them are let go of and made anew. What cannot be done at once
(ports are taken meanwhile) is tried again until it can, or until somebody quits.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.events import Event, Notice

OPEN_AGAIN = 5.0  # seconds until ports that are taken are tried again

_log = Logger()


class Renewal:
    """Of one node. `change` makes the new identity, or raises `ShareError`; `let_go` then stops all
    rooms, and `open_anew` opens those of the new identity, gives its fingerprint, or raises.
    """

    def __init__(
        self,
        reactor: Any,
        change: Callable[[], object],
        let_go: Callable[[], Coroutine[Any, Any, None]],
        open_anew: Callable[[], str],
        emit: Callable[[Event], None],
    ) -> None:
        self._reactor = reactor
        self._change = change
        self._let_go = let_go
        self._open_anew = open_anew
        self._emit = emit
        self._quitting = False
        self._under_way: Deferred[None] | None = None

    def begin(self) -> None:
        """Take a new identity, unless that is under way, has failed, or somebody quits."""
        if self._under_way is None and not self._quitting:
            self._under_way = Deferred.fromCoroutine(self._renew())
            self._under_way.addErrback(lambda failure: _log.failure("a new identity", failure))

    async def stop(self) -> None:
        """Begin no more, and wait for what is under way."""
        self._quitting = True
        if self._under_way is not None:
            await self._under_way

    async def _renew(self) -> None:
        await deferLater(self._reactor, 0)  # out of what told it
        try:
            self._change()
        except ShareError as error:  # it is not tried again: a twin is told of every few seconds
            self._emit(Notice(error.sentence, error.values))
            return
        await self._let_go()
        while not self._quitting:
            try:
                key = self._open_anew()
            except ShareError as error:
                self._emit(Notice(error.sentence, error.values))
                await deferLater(self._reactor, OPEN_AGAIN)
            else:
                self._under_way = None
                why = N_("Another node has the identity of this one (a copy?), so it is {key} now.")
                self._emit(Notice(why, {"key": key}))
                return
