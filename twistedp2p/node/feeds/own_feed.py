"""Our own feed: what we publish is numbered, signed and kept here, before anybody sends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twistedp2p.core.datagrams.datagram import LOGS, MAX_NUMBER, Signed, Signer, parse
from twistedp2p.core.errors import ShareError
from twistedp2p.core.feeds.feed import LOG_NAMES, Feed, Heads
from twistedp2p.disk.memory.store import Store
from twistedp2p.node.memory import Notes

BOOT_SHIFT = 20  # bits: a run's messages are numbered from the second of its start on
BOOT = "boot"  # counter: that second, or the one that the numbers have got to


class OwnFeed:
    """Our feed, and the numbers of the messages that are no entries. An `own_key.Ours`.

    `wall` is the time of day in seconds since 1970, `stamp` gives stamps of the group's time.
    `last` is the last message that we signed.
    """

    def __init__(
        self,
        store: Store,
        signer: Signer,
        notes: Notes,
        *,
        wall: Callable[[], float],
        stamp: Callable[[], int],
        nick: str,
    ) -> None:
        self._store = store
        self._signer = signer
        self._notes = notes
        self._wall = wall
        self._stamp = stamp
        self.nick = nick
        now_ms = self._now_ms()
        self.feed = self._load(now_ms)
        self._boot = max(store.counter(BOOT) + 1, now_ms // 1000)
        store.set_counter(BOOT, self._boot)
        self._first = self.feed.have["chat"].head + 1  # the number of the first line of this run
        self._number = self._boot << BOOT_SHIFT  # of the last message
        self.last = self._signed_message("bye", "{}")  # none was sent yet

    def _load(self, now_ms: int) -> Feed:
        feed = self._store.feed(self._signer.key)
        if feed is None:
            # A lost memory gets a later epoch than the one it had: numbers are never used twice.
            feed = Feed(self._signer.key, max(1, now_ms // 1000))
            self._store.start_feed(feed, self.nick, now_ms)
        self._store.set_present(self._signer.key, True, self.nick, now_ms)
        return feed

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)

    @property
    def epoch(self) -> int:
        """That of our feed."""
        return self.feed.epoch

    def heads(self) -> Heads:
        """Lowest number kept and highest there is of our own logs."""
        key, heads = self._signer.key, self.feed.heads
        # What cannot be read now may be later: all of it is worth asking for.
        low = {log: self._notes.note(self._store.lowest, key, log) or 1 for log in LOG_NAMES}
        return Heads((low["chat"], heads.chat[1]), (low["offers"], heads.offers[1]))

    # -- messages that are no entries

    def message(self, kind: str, body: str) -> bytes:
        """Sign a message that is no entry."""
        self._number += 1
        if self._number >> BOOT_SHIFT > self._boot:  # the next run begins above it
            self._boot = self._number >> BOOT_SHIFT
            self._notes.note(self._store.set_counter, BOOT, self._boot)
        self.last = self._signed_message(kind, body)
        return self.last.raw

    def _signed_message(self, kind: str, body: str) -> Signed:
        return self._signer.sign(kind, self.epoch, self._number, self._stamp(), self.nick, body)

    def skip_to(self, number: int) -> None:
        """Number our messages from there on."""
        self._number = max(self._number, number)

    # -- entries

    def entry(self, kind: str, body: str, stamp: int | None = None) -> Signed:
        """The next entry of our feed, signed; to be kept before it is sent."""
        log = LOGS[kind]
        number = self.feed.have[log].head + 1
        stamp = self._stamp() if stamp is None else stamp
        entry = self._signer.sign(kind, self.epoch, number, stamp, self.nick, body)
        self.feed.heard_entries(log, number, number)
        return entry

    def say(self, pieces: Sequence[tuple[str, str]]) -> list[Signed]:
        """Keep one text, as its entries (kind, body), under one stamp.

        Raises `ShareError` when it cannot be kept.
        """
        stamp, now_ms = self._stamp(), self._now_ms()
        with self._store.together():
            entries = [self.entry(kind, body, stamp) for kind, body in pieces]
            for entry in entries:
                self._store.put_say(entry, self.feed, stamp, now_ms)
        return entries

    def has_published(self, entry: Signed) -> bool:
        """Whether that entry of our epoch is ours; so is one that is kept no more."""
        log = str(entry.log)
        kept = self._store.entries(entry.key, log, entry.number, entry.number)
        if not kept:
            return entry.number <= self.feed.have[log].head
        return kept[0][1] == entry.raw

    def begin_epoch(self, epoch: int) -> None:
        """Go on under a later epoch; raises `ShareError`, and has then changed nothing.

        What was said in this run is said anew, with the same stamps: who heard it does not show
        it twice. Offers are for their owner to tell anew.
        """
        before, first, now_ms = self.feed, self._first, self._now_ms()
        said = self._store.entries(self._signer.key, "chat", first, MAX_NUMBER)
        self.feed, self._first = Feed(self._signer.key, epoch), 1
        try:
            with self._store.together():
                self._store.start_feed(self.feed, self.nick, now_ms)
                self._store.set_present(self._signer.key, True, self.nick, now_ms)
                for _, raw in said:
                    self._say_anew(raw, now_ms)
        except ShareError:
            self.feed, self._first = before, first
            raise

    def _say_anew(self, raw: bytes, now_ms: int) -> None:
        old = parse(raw)
        if isinstance(old, Signed):
            entry = self.entry(old.kind, old.body, old.stamp)
            self._store.put_say(entry, self.feed, entry.stamp, now_ms)
