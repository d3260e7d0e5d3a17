"""Reading what is to be offered: some at once, in threads, its progress told."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredSemaphore

from twistedp2p.core.errors import N_, ShareError
from twistedp2p.disk.offered import Content, read_content
from twistedp2p.net.pump import InThread
from twistedp2p.node.progress import Courses, Noted

READING_AT_ONCE = 2  # files and folders that are being read


class Reading:
    """All files and folders that are being read."""

    def __init__(self, courses: Courses, *, clock: Any, in_thread: InThread) -> None:
        self.places = DeferredSemaphore(READING_AT_ONCE)
        self._courses = courses
        self._clock = clock
        self._in_thread = in_thread
        self._stopped = False

    def stop(self) -> None:
        """What is being read fails."""
        self._stopped = True

    def check(self, path: str) -> None:
        """Raise `ShareError` after the stop."""
        if self._stopped:
            raise ShareError(N_("Reading {path} was stopped."), path=path)

    async def read(self, path: str, name: str, shared: bool) -> Content:
        """Read what is at `path`; raises `ShareError`. For who has one of the `places`.

        `shared`: it is of a watched folder.
        """
        number = self._courses.number()
        self._courses.begin(number, "read", name, 0)
        noted = Noted(self._clock, lambda done, size: self._courses.moved(number, done, size))
        try:
            content: Content = await self._in_thread(
                read_content, path, noted.note, lambda: self._stopped, shared
            )
            return content
        finally:
            noted.stop()
            self._courses.end(number)
