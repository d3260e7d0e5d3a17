"""Looking at what we offer, again and again: what is not the same any more is withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger

from twistedp2p.core.content.manifest import Manifest
from twistedp2p.core.errors import ShareError
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.offered import OfferedFolder, changed, known_folder
from twistedp2p.disk.offered.folder import FolderIdentity
from twistedp2p.net.pump import InThread
from twistedp2p.node.again import Again

WATCH_EVERY = 60.0  # seconds between looks at what is on offer
LOOK_AT_ONCE, LOOK_PAUSE = 200, 0.02  # offers looked at in one go; seconds in between
GONE_AT_ONCE, GONE_EVERY = 10, 0.2  # files withdrawn in one go; seconds: 50 datagrams a second

_log = Logger()
_Found = list[tuple[Share, str]]


class Watching:
    """Looks at the files and folders of `offered()`, and calls `withdraw(share, why)`."""

    def __init__(
        self,
        offered: Callable[[], list[Share]],
        withdraw: Callable[[Share, str], None],
        store: Store,
        in_memory: Callable[[Share], OfferedFolder | None],
        *,
        clock: Any,
        in_thread: InThread,
    ) -> None:
        """`in_memory`: what is known of a folder; None where the `store` is to be read."""
        self._offered = offered
        self._withdraw = withdraw
        self._store = store
        self._in_memory = in_memory
        self._clock = clock
        self._in_thread = in_thread
        self._again = Again(self._look, pause=WATCH_EVERY, what="what is on offer", clock=clock)

    def start(self) -> None:
        """Look at once, and go on looking."""
        self._again.start()

    def stop(self) -> None:
        """Look no more."""
        self._again.stop()

    async def _look(self) -> float:
        """Look at all, some at a time, and withdraw a few at a time: a whole disk may have gone."""
        rest = iter(self._offered())
        while some := list(islice(rest, LOOK_AT_ONCE)):
            known = [(share, self._in_memory(share)) for share in some]
            looked: _Found = await self._in_thread(_changed, self._store, known)
            for number, (share, why) in enumerate(looked, 1):
                self._withdraw(share, why)
                if number % GONE_AT_ONCE == 0:
                    await deferLater(self._clock, GONE_EVERY)
            await deferLater(self._clock, LOOK_PAUSE)
        return WATCH_EVERY


def _changed(store: Store, known: list[tuple[Share, OfferedFolder | None]]) -> _Found:
    """Those that are not what was offered, and why. Blocks."""
    found = []
    for share, here in known:
        try:
            why = changed(share, _folder(store, share, here))
        except (ShareError, ValueError):  # the memory cannot be read, or is damaged
            continue
        except Exception:  # of one it is no reason to look at no other
            _log.failure("looking at {path}", path=share.path)
            continue
        if why:
            found.append((share, why))
    return found


def _folder(
    store: Store, share: Share, here: OfferedFolder | None
) -> tuple[Manifest, FolderIdentity] | None:
    """None of a file."""
    if here is not None:
        return here.manifest, here.identity
    return known_folder(*store.folder(share)) if share.manifest else None
