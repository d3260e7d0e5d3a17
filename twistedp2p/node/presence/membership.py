"""Being a member of a closed group: the key of its code, and the change to another code.

The file with the code is looked at every few seconds. When it says another code, that one seals
from then on; what is sealed with the one before is opened for ten minutes more, so that not all
members need to change it at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.datagrams.closed import OLD_CODE_FOR, ClosedEnvelope, GroupKey
from twistedp2p.core.datagrams.codes import read_code
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.events import Event, Notice
from twistedp2p.disk.state.code_file import Codes, look_of, read_codes
from twistedp2p.net.pump import InThread

LOOK_EVERY = 2.0  # seconds; a change counts when two looks in a row see the same

_log = Logger()


class Memories(Protocol):
    """What of `disk.state.instance.Instance` is needed: where a closed group's memory is."""

    def database_of(self, group: str) -> Path: ...

    def same_memory(self, old: str, new: str) -> None: ...


class Told(Protocol):
    """Who is told of a change."""

    def codes_changed(self) -> None:
        """Which codes open has changed."""


class Membership:
    """Of the group (as of `datagram.group_name`) with that `code`, or the one in that file.

    Derives its keys at once, which takes some tenths of a second; raises `ShareError`. `wall` is
    the time of day in seconds since 1970.
    """

    def __init__(
        self,
        group: bytes,
        code: str | Path,
        memories: Memories,
        told: Told,
        emit: Callable[[Event], None],
        *,
        clock: Any,
        wall: Callable[[], float],
        in_thread: InThread,
    ) -> None:
        self._group = group
        self._memories = memories
        self._told = told
        self._emit = emit
        self._clock = clock
        self._in_thread = in_thread
        codes = read_codes(code) if isinstance(code, Path) else Codes(read_code(code))
        key = GroupKey.of_code(codes.current, group)
        old = GroupKey.of_code(codes.old, group) if codes.old else None
        self._old_for = 0.0  # seconds
        if old is not None:
            # A clock that went back makes it no longer than it is after a change that we see.
            self._old_for = min(OLD_CODE_FOR, codes.changed + OLD_CODE_FOR - wall())
            memories.same_memory(old.memory, key.memory)
        self.envelope = ClosedEnvelope(group, key, old if self._old_for > 0 else None)
        self.database = memories.database_of(key.memory)
        self._path = code if isinstance(code, Path) else None
        self._code = codes.current
        self._taken = codes.look
        self._seen = codes.look
        self._looking: IDelayedCall | None = None
        self._forgetting: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Look at the file from now on, and end the time of the old code."""
        if self._old_for > 0:
            self._forgetting = self._clock.callLater(self._old_for, self._forget)
        self._look_later()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        for call in (self._looking, self._forgetting):
            if call is not None and call.active():
                call.cancel()

    def _look_later(self, _: object = None) -> None:
        if self._path is not None and not self._stopped:
            self._looking = self._clock.callLater(LOOK_EVERY, self._look)

    def _look(self) -> None:
        assert self._path is not None
        before, self._seen = self._seen, look_of(self._path)
        if self._seen is None or self._seen == self._taken or self._seen != before:
            self._look_later()
            return
        self._taken = self._seen
        reading = self._in_thread(self._read).addCallbacks(self._change, self._failed)
        reading.addBoth(self._look_later)

    def _read(self) -> tuple[str, GroupKey] | None:
        """The code that the file says now, with its key; None where it is the same. Blocks."""
        assert self._path is not None
        code = read_codes(self._path).current
        if code == self._code:
            return None
        key = GroupKey.of_code(code, self._group)
        self._memories.same_memory(self.envelope.key.memory, key.memory)
        return code, key

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, ShareError):
            _log.failure("reading the group's code", failure)
            return
        self._emit(Notice(N_("The code of the group stays as it was:"), {}))
        self._emit(Notice(error.sentence, error.values))

    def _change(self, read: tuple[str, GroupKey] | None) -> None:
        if read is None or self._stopped:
            return
        self._code, key = read
        self.envelope.change(key, self.envelope.key)
        if self._forgetting is not None and self._forgetting.active():
            self._forgetting.cancel()
        self._forgetting = self._clock.callLater(OLD_CODE_FOR, self._forget)
        self._emit(
            Notice(
                N_("The group has a new code. The one before is taken for {minutes} minutes more."),
                {"minutes": round(OLD_CODE_FOR / 60)},
            )
        )
        self._told.codes_changed()

    def _forget(self) -> None:
        self.envelope.forget_old()
        self._emit(Notice(N_("The group's code of before is taken no more."), {}))
        self._told.codes_changed()
