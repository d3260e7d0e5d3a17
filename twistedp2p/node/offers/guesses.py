"""Guesses at the passwords of our own offers: limited, and counted over restarts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Event, WrongPassword
from twistedp2p.core.limits import GuessLimiter
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store
from twistedp2p.node.memory import Notes

SAVE_AFTER = 1.0  # seconds from a guess until its count is written

_log = Logger()


class Guesses:
    """A limiter for each offer, by its name."""

    def __init__(
        self, store: Store, emit: Callable[[Event], None], *, clock: Any, wall: Callable[[], float]
    ) -> None:
        self._store = store
        self._emit = emit
        self._clock = clock
        self._wall = wall  # not the reactor's: the state outlives the process
        self._limiters: dict[str, GuessLimiter] = {}
        self._unsaved: set[str] = set()  # names of those whose count of guesses has changed
        self._saving: IDelayedCall | None = None
        self._notes = Notes()
        self._stopped = False

    def stop(self) -> None:
        """Write what has not been written."""
        self._stopped = True
        self.save()

    def _limiter(self, share: Share) -> GuessLimiter:
        limiter = self._limiters.get(share.name)
        if limiter is None:
            limiter = GuessLimiter(
                generated=share.generated, now=self._wall(), choose=secrets.randbelow
            )
            try:
                saved = self._store.guesses(share.name)
            except ShareError as error:  # a limiter that has forgotten would be no limiter
                _log.error("{name}: {error}", name=share.name, error=str(error))
                raise Refusal(500) from None
            if saved is not None:
                try:
                    limiter.restore(saved)
                except ValueError as error:
                    _log.warn("{name}: {error}", name=share.name, error=error)
            self._limiters[share.name] = limiter
        return limiter

    def guess(self, share: Share, address: str, key: bytes) -> None:
        """Ask for one guess; raises `Refusal` when there is none. Public offers need none."""
        if share.public:
            return
        wait = self._limiter(share).take(address, key, self._wall())
        if wait:
            raise Refusal(429, int(wait) + 1)

    def guessed(self, share: Share, address: str, key: bytes, right: bool) -> None:
        """Note how a guess came out; a wrong one is told to the owner."""
        if share.public:
            return
        limiter = self._limiter(share)
        if right:
            limiter.right(address, key)
        else:
            self._emit(WrongPassword(share.name, address, key))
        self._unsaved.add(share.name)
        if self._stopped:
            self.save()
        elif self._saving is None:
            self._saving = self._clock.callLater(SAVE_AFTER, self.save)

    def save(self) -> None:
        """Write the counts that have changed: thousands of rows each, where many have guessed."""
        if self._saving is not None and self._saving.active():
            self._saving.cancel()
        self._saving = None
        for name in self._unsaved & self._limiters.keys():
            state = self._limiters[name].state(self._wall())
            self._notes.note(self._store.save_guesses, name, state)
        self._unsaved.clear()

    def another_password(self, name: str) -> None:
        """Who proved the old one has no more guesses at this one than others."""
        state = self._store.guesses(name)
        if state is not None:
            self._store.save_guesses(name, {**state, "exempt": []})

    def drop(self, name: str) -> None:
        """What is kept on the disk counts from now on."""
        self._limiters.pop(name, None)
