"""Looking at what we offer, again and again: what is not the same any more is withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.disk.offered import changed
from twistedp2p.disk.shares import Share
from twistedp2p.disk.store import Store
from twistedp2p.net.pump import InThread
from twistedp2p.node.memory import Notes

WATCH_EVERY = 60.0  # seconds between looks at what is on offer
LOOK_AT_ONCE, LOOK_PAUSE = 200, 0.02  # files looked at in one go: a few ms; seconds in between
GONE_AT_ONCE, GONE_EVERY = 10, 0.2  # files withdrawn in one go; seconds: 50 datagrams a second

_log = Logger()
_Row = tuple[Share, "tuple[bytes, bytes] | None"]


class Watching:
    """Looks at the files and folders of `offered()`, and calls `withdraw(share, why)`."""

    def __init__(
        self,
        offered: Callable[[], list[Share]],
        withdraw: Callable[[Share, str], None],
        store: Store,
        *,
        clock: Any,
        in_thread: InThread,
    ) -> None:
        self._offered = offered
        self._withdraw = withdraw
        self._store = store
        self._clock = clock
        self._in_thread = in_thread
        self._notes = Notes()
        self._next: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Look at once, and go on looking."""
        self._next = self._clock.callLater(0, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _look(self, rest: Iterator[Share] | None = None) -> None:
        """Look at all, or at the `rest` of them, some at a time."""
        rest = iter(self._offered()) if rest is None else rest
        some = [(share, self._kept(share)) for share in islice(rest, LOOK_AT_ONCE)]
        self._in_thread(_changed, some).addErrback(_not_looked).addCallback(
            self._looked, rest if some else None
        )

    def _kept(self, share: Share) -> tuple[bytes, bytes] | None:
        if not share.manifest:
            return None
        return self._notes.note(self._store.folder, share.name) or (b"", b"")

    def _looked(self, found: list[tuple[Share, str]], rest: Iterator[Share] | None) -> None:
        """Withdraw those, a few at a time (a whole disk may have gone), then look on."""
        if self._stopped:
            return
        now, later = found[:GONE_AT_ONCE], found[GONE_AT_ONCE:]
        if later:
            self._next = self._clock.callLater(GONE_EVERY, self._looked, later, rest)
        elif rest is not None:
            self._next = self._clock.callLater(LOOK_PAUSE, self._look, rest)
        else:
            self._next = self._clock.callLater(WATCH_EVERY, self._look)
        for share, why in now:
            self._withdraw(share, why)


def _not_looked(failure: Failure) -> list[tuple[Share, str]]:
    _log.failure("looking at the offered files", failure)
    return []


def _changed(rows: list[_Row]) -> list[tuple[Share, str]]:
    """Those that are not what was offered, and why. Blocks."""
    found = []
    for share, kept in rows:
        try:
            why = changed(share, kept)
        except ValueError:  # the memory could not be read now, or is damaged: that says nothing
            continue
        if why:
            found.append((share, why))
    return found
