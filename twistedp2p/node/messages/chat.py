"""What is said: our lines and the others', put in order.

Lines are ordered by the group's time (see `core.clock`). When one was said, and so whether it is
shown as late, is told from its sender's clock alone: what that clock showed in the sender's last
fresh message, less what it showed when the line was stamped. No two clocks are compared, so a
wrong one makes nothing old or new. That a line came by itself, and not when asked for, would tell
less: what one node asks for all hear, and lines of those who have left come from others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from twistedp2p.core.clock import FOLLOWED_MOST, HybridClock
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed
from twistedp2p.core.datagrams.longtext import cut
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import Event, Notice, NotSent, Said
from twistedp2p.core.feeds.feed import Feed
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.names import MAX_TEXT, clean_line, fingerprint
from twistedp2p.core.presence.roster import MAX_PEERS
from twistedp2p.disk.memory.store import Store
from twistedp2p.node.memory import Notes
from twistedp2p.node.messages.texts import Text, TextId, Texts, texts_of

LATE = 30_000  # milliseconds: a line older than that is shown as said before
TRY_EVERY, TRY_COUNT = 2.0, 20  # seconds between tries to send what no network took; lines in one
UNSENT = "unsent"  # counter: the first line of our feed that no network took, 0 for none


class Publishing(Protocol):
    """What of `Feeds` is needed to speak."""

    def publish_said(self, pieces: Sequence[tuple[str, str]]) -> tuple[list[Signed], bool]: ...


class Sending(Protocol):
    """What of `net.group.Group` is needed to say again what no network took."""

    def say(self, data: bytes) -> bool: ...


class Others(Protocol):
    """What is to be known of who speaks."""

    def is_pinned(self, key: bytes) -> bool: ...

    def is_known(self, key: bytes, nick: str) -> bool: ...

    def host_of(self, key: bytes) -> str: ...


class Chat:
    """The lines of one node. `wall` is the time of day in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        own_key: bytes,
        group_time: HybridClock,
        publishing: Publishing,
        sending: Sending,
        others: Others,
        emit: Callable[[Event], None],
        *,
        clock: Any,
        wall: Callable[[], float],
    ) -> None:
        self._store = store
        self._own_key = own_key
        self._group_time = group_time
        self._publishing = publishing
        self._sending = sending
        self._others = others
        self._emit = emit
        self._clock = clock
        self._wall = wall
        self._ahead: CappedTable[bytes, int] = CappedTable(MAX_PEERS, others.is_pinned)
        self._texts = Texts(store, self._show, clock=clock, keep=others.is_pinned)
        self._notes = Notes()
        self._unsent = store.counter(UNSENT)
        self._trying: IDelayedCall | None = None

    def start(self) -> None:
        """Go on trying to send what no network took."""
        if self._unsent:
            self._try_later()

    def stop(self) -> None:
        """Try and wait no more."""
        self._texts.stop()
        if self._trying is not None and self._trying.active():
            self._trying.cancel()

    # -- ours

    def say(self, text: str) -> None:
        """Say `text` (at most `MAX_TEXT` characters) to the group; raises `ShareError`."""
        line = clean_line(text, MAX_TEXT + 1).strip()
        if not line:
            return
        if len(line) > MAX_TEXT:
            why = N_("A message has {most} characters at most. Offer a longer text as a file.")
            raise ShareError(why, Exit.USAGE, most=MAX_TEXT)
        entries, sent = self._publishing.publish_said(cut(line))
        if not sent and not self._unsent:
            self._set_unsent(entries[0].number)
            self._try_later()
        self._emit(self._line(Text(entries[0], line, self._now())))
        if not sent:
            why = N_("No network took that line: it will be sent when there is one.")
            self._emit(NotSent(why, {}))

    def _set_unsent(self, number: int) -> None:
        self._unsent = number
        self._notes.note(self._store.set_counter, UNSENT, number)

    def _try_later(self) -> None:
        self._trying = self._clock.callLater(TRY_EVERY, self._try_again)

    def _try_again(self) -> None:
        """Send, in order, what no network took. Whoever has it already drops it."""
        kept = self._notes.note(
            self._store.entries, self._own_key, "chat", self._unsent, MAX_NUMBER
        )
        if kept is not None:
            some = kept[:TRY_COUNT]
            taken = list(takewhile(lambda row: self._sending.say(row[1]), some))
            if taken:
                why = N_("Sent now, as there is a network (lines: {count}).")
                self._emit(Notice(why, {"count": len(taken)}))
            left = kept[len(taken) :]
            if taken or not left:
                self._set_unsent(left[0][0] if left else 0)
        if self._unsent:
            self._try_later()

    def said_anew(self) -> None:
        """Our feed has begun another epoch, with all that was said in this run."""
        if self._unsent:
            self._set_unsent(1)

    # -- the others'

    def heard_clock(self, message: Signed) -> None:
        """A fresh message, which nobody can repeat, shows what its sender's clock shows now."""
        now = self._now()
        self._group_time.follow(message.stamp, now)
        self._ahead.put(message.key, message.stamp - now)

    def said(self, entry: Signed, feed: Feed) -> None:
        """Keep and show a new entry of another node's chat; raises `BadBody`."""
        text = TextId.of(entry)
        order, said = self._order(entry), self._when(entry)
        new = self._notes.note(self._store.put_say, entry, feed, order, said)
        if new is False:
            return
        if text.count == 1 or new is None:  # what could not be kept cannot wait for the rest of it
            self._show(Text(entry, entry.body, said))
        else:
            self._texts.came(text, entry.number, said)

    def _when(self, entry: Signed) -> int:
        """When a line was said, by our own clock, in milliseconds since 1970."""
        now = self._now()
        ahead = self._ahead.peek(entry.key)
        if ahead is None:  # nothing of its sender in this run; but its stamps are the group's
            ahead = self._group_time.read(now) - now
        return max(0, min(now, entry.stamp - ahead))

    def _order(self, entry: Signed) -> int:
        """A line's place in history: by the group's time, or by ours if its clock is days off."""
        now = self._now()
        followed = self._group_time.follow(entry.stamp, now)
        if followed and (self._ahead.peek(entry.key) or 0) >= -FOLLOWED_MOST:
            return entry.stamp
        return self._group_time.stamp(now) - (now - self._when(entry))

    def _show(self, text: Text) -> None:
        self._emit(self._line(text, late=self._now() - text.said > LATE))

    # -- history

    def last_said(self, most: int) -> list[Said]:
        """The last `most` lines of everybody, this run's and earlier ones', oldest first."""
        texts = texts_of(self._store.history(most))
        return [self._line(text, late=True) for text in texts[-most:]]

    def _line(self, text: Text, *, late: bool = False) -> Said:
        entry = text.entry
        own = entry.key == self._own_key
        return Said(
            clean_line(text.body, MAX_TEXT),
            entry.nick or fingerprint(entry.key),
            entry.key,
            self._others.host_of(entry.key),
            text.said,
            own=own,
            known=self._others.is_known(entry.key, entry.nick),
            late=late,
            sent=not (own and 0 < self._unsent <= entry.number),
        )

    def _now(self) -> int:
        return int(self._wall() * 1000)
