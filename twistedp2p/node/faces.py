"""The stream of what happens, and who follows it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from twistedp2p.core.events import Event

_log = Logger()


class Faces:
    """Who is told of every event, in the order in which they came."""

    def __init__(self) -> None:
        self._faces: list[Callable[[Event], None]] = []
        self._readers = 0

    def subscribe(self, face: Callable[[Event], None], *, reader: bool) -> Callable[[], None]:
        """Have every event told to `face` from now on; call what is returned to end that."""
        self._faces.append(face)
        self._readers += reader

        def end() -> None:
            self._faces.remove(face)
            self._readers -= reader

        return end

    def emit(self, event: Event) -> None:
        """Tell all of them; one that fails hinders no other."""
        for face in list(self._faces):
            try:
                face(event)
            except Exception:
                _log.failure("a face failed")

    def has_reader(self) -> bool:
        """Whether one of them shows it to a person."""
        return self._readers > 0
