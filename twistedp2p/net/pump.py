"""Moves what comes from a connection into a file that may block, off the reactor's thread.

What has come is written in one go while more comes in; when the disk falls behind, the sender is
paused, so memory stays bounded whatever the two speeds are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

MOST_FULL = 6  # full batches waiting or being written: pause the sender
MOST_AT_ONCE = 3  # batches that are written before the thread is given back


class Written(Protocol):
    """What is written to: `net.fetch.Sink` is more of it."""

    def write(self, data: memoryview) -> Any:
        """Take the next bytes."""

    def written(self, results: list[Any]) -> None:
        """What calls of `write` have returned."""


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

    What comes is put into buffers that are used again and again, for memory that is new each time
    costs more than a copy; and several are written in one call where several wait, for a change of
    threads costs as much as 100 KiB.

    `failed` is called once with the Failure of a write; nothing is written after that. `batch` is
    how much is written in one go, in bytes.
    """

    def __init__(
        self,
        file: Written,
        batch: int,
        in_thread: InThread,
        flow: Flow,
        failed: Callable[[Failure], None],
    ) -> None:
        self._file = file
        self._batch = batch
        self._in_thread = in_thread
        self._flow = flow
        self._failed = failed
        self._filling = bytearray()  # a buffer, once there is something for it
        self._filled = 0  # bytes of `_filling`
        self._full: deque[tuple[bytearray, int]] = deque()
        self._free: list[bytearray] = []
        self._busy = self._paused = self._stopped = False
        self._idle: list[Deferred[None]] = []

    def room(self, size: int) -> memoryview:
        """Where the next `size` bytes are to be put; at most a batch."""
        if self._batch - self._filled < size:
            self.flush()
        if not self._filling:
            self._filling = self._free.pop() if self._free else bytearray(self._batch)
        return memoryview(self._filling)[self._filled : self._filled + size]

    def filled(self, count: int) -> None:
        """That many bytes were put there; the sender is paused when too much waits."""
        if self._stopped:
            return
        self._filled += count
        if self._filled == self._batch:
            self._turn()

    def _turn(self) -> None:
        """What has been filled is to be written; go on with another buffer."""
        self._full.append((self._filling, self._filled))
        self._filling = bytearray()
        self._filled = 0
        if len(self._full) >= MOST_FULL and not self._paused:
            self._paused = True
            self._flow.pauseProducing()
        self._kick()

    def _kick(self) -> None:
        if not self._busy and self._full and not self._stopped:
            self._busy = True
            batches = list(islice(self._full, MOST_AT_ONCE))
            self._in_thread(self._write, batches).addCallbacks(self._written, self._broke)

    def _write(self, batches: list[tuple[bytearray, int]]) -> list[Any]:
        return [self._file.write(memoryview(buffer)[:count]) for buffer, count in batches]

    def _written(self, results: list[Any]) -> None:
        self._busy = False
        self._free += [self._full.popleft()[0] for _ in results]
        self._file.written(results)
        if self._paused and len(self._full) <= MOST_FULL // 2:
            self._paused = False
            self._flow.resumeProducing()
        self._kick()
        self._settle()

    def _broke(self, failure: Failure) -> None:
        self._busy, self._stopped = False, True
        self._settle()
        self._failed(failure)

    def _settle(self) -> None:
        if not self._busy and (self._stopped or not self._full):
            while self._idle:
                self._idle.pop().callback(None)

    def flush(self) -> None:
        """Nothing more will come for now: write what there is."""
        if self._filled and not self._stopped:
            self._turn()

    def stop(self) -> Deferred[None]:
        """Drop what waits; fires when nothing is being written any more."""
        self._stopped = True
        return self._when_idle()

    def drain(self) -> Deferred[None]:
        """Nothing more will come: write what waits; fires when that is done, or has failed."""
        self.flush()
        return self._when_idle()

    def _when_idle(self) -> Deferred[None]:
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._settle()
        return idle
