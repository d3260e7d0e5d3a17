"""What runs in threads, so that an end can wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twistedp2p.net.pump import in_threads_of

REST_PATIENCE, REST_LOOK = 5.0, 0.02  # seconds to wait for threads at the end; between two looks


class Threads:
    """The calls of one node in the threads of its reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._to_thread = in_threads_of(reactor)
        self._running = 0  # calls

    def run(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Run in a thread. Cancelling ends the waiting; the thread runs on, and counts as such."""
        self._running += 1
        running = self._to_thread(call, *arguments)
        waiting: Deferred[Any] = Deferred()

        def ended(result: Any) -> None:
            self._running -= 1
            if not waiting.called:
                waiting.callback(result)  # a Failure makes it fail

        running.addBoth(ended)
        return waiting

    async def at_rest(self) -> None:
        """Wait for all that run, but not for ever: one may hang."""
        until = self._reactor.seconds() + REST_PATIENCE
        while self._running and self._reactor.seconds() < until:
            await deferLater(self._reactor, REST_LOOK)
