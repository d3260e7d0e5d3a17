"""What runs that were killed have left in the folders that downloads went to, tidied away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twistedp2p.disk.downloads.taking import remove_left
from twistedp2p.disk.memory.store import Store
from twistedp2p.net.pump import InThread
from twistedp2p.node.again import Again
from twistedp2p.node.memory import Notes

LOOK_EVERY = 86_400.0  # seconds


class Leftovers:
    """Looks for parts that nobody has gone on with for long, wherever downloads went."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        clock: Any,
        wall: Callable[[], float],
        in_thread: InThread,
    ) -> None:
        """`folder`: where downloads go when nothing else is said; `wall`: the time of day."""
        self._store = store
        self._folder = folder
        self._wall = wall
        self._in_thread = in_thread
        self._notes = Notes()
        self._again = Again(self._look, pause=LOOK_EVERY, what="parts that were left", clock=clock)

    def start(self) -> None:
        """Look now, and every day."""
        self._again.start()

    def stop(self) -> None:
        """Look no more."""
        self._again.stop()

    def goes_to(self, folder: Path) -> None:
        """A download goes to that folder."""
        if folder.absolute() != self._folder.absolute():
            self._notes.note(self._store.put_part_folder, folder.absolute(), self._now_ms())

    async def _look(self) -> float:
        await self._in_thread(remove_left, self._folder, self._wall())
        for folder, used in self._notes.note(self._store.part_folders, self._now_ms()) or ():
            left = await self._in_thread(remove_left, folder, self._wall())
            if not left and self._now_ms() - used > LOOK_EVERY * 1000:  # nor is to come
                self._notes.note(self._store.drop_part_folder, folder, used)
        return LOOK_EVERY

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)
