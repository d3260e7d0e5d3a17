"""Moves what comes from a connection into a file that may block, off the reactor's thread.

What has come is written in one go while more comes in; when the disk falls behind, the sender is
paused, so memory stays bounded whatever the two speeds are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

HIGH_WATER = 4 * 2**20  # bytes waiting: pause the sender
LOW_WATER = 1 * 2**20  # bytes waiting: let it go on
BATCH = 1 * 2**20  # bytes written in one go


class BlockingFile(Protocol):
    """What is written to: `disk.parts.PartFile` has this face."""

    def write(self, data: bytes) -> None:
        """Append."""

    def finish(self) -> Any:
        """Check the whole; the result is what `Pump.finish` gives."""

    def discard(self) -> None:
        """Leave nothing behind."""


class Flow(Protocol):
    """The sender's valve."""

    def pauseProducing(self) -> None:
        """Send no more for now."""

    def resumeProducing(self) -> None:
        """Go on."""


InThread = Callable[..., "Deferred[Any]"]


def in_threads_of(reactor: Any) -> InThread:
    """`in_thread(call, *arguments)`: run a blocking call in the reactor's thread pool."""

    def in_thread(call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), call, *arguments)

    return in_thread


class Pump:
    """Writes to `file` through `in_thread` (as `deferToThread`), one call at a time.

    `failed` is called once with the Failure of a write; nothing is written after that.
    """

    def __init__(
        self, file: BlockingFile, in_thread: InThread, flow: Flow, failed: Callable[[Failure], None]
    ) -> None:
        self._file = file
        self._in_thread = in_thread
        self._flow = flow
        self._failed = failed
        self._waiting: list[bytes] = []
        self._size = 0  # bytes in `_waiting` and in the batch being written
        self._busy = False
        self._paused = False
        self._broken = False
        self._idle: list[Deferred[None]] = []

    def write(self, data: bytes) -> None:
        """Take `data`; the sender is paused when too much waits."""
        if self._broken:
            return
        self._waiting.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._flow.pauseProducing()
        self._kick()

    def _kick(self) -> None:
        if self._busy or not self._waiting:
            return
        batch, size = [], 0
        while self._waiting and size < BATCH:
            batch.append(self._waiting.pop(0))
            size += len(batch[-1])
        self._busy = True
        self._in_thread(self._write_batch, batch).addCallbacks(
            self._written, self._broke, callbackArgs=(size,)
        )

    def _write_batch(self, batch: list[bytes]) -> None:
        self._file.write(b"".join(batch))

    def _written(self, _result: None, size: int) -> None:
        self._busy = False
        self._size -= size
        if self._paused and self._size < LOW_WATER:
            self._paused = False
            self._flow.resumeProducing()
        self._kick()
        self._settle()

    def _broke(self, failure: Failure) -> None:
        self._busy, self._broken = False, True
        self._waiting.clear()
        self._failed(failure)
        self._settle()

    def _settle(self) -> None:
        while not self._busy and not self._waiting and self._idle:
            self._idle.pop().callback(None)

    def _when_idle(self) -> Deferred[None]:
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._settle()
        return idle

    def finish(self) -> Deferred[Any]:
        """Write what waits, then finish the file in the thread; fires with its result."""
        return self._when_idle().addCallback(lambda _: self._in_thread(self._file.finish))

    def discard(self) -> Deferred[Any]:
        """Drop what waits, then discard the file in the thread."""
        self._broken = True
        self._waiting.clear()
        return self._when_idle().addCallback(lambda _: self._in_thread(self._file.discard))
