"""What the menu says of events: one line each, and never a flood."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from twistedp2p.core import events
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.core.names import fingerprint
from twistedp2p.core.ticket import Ticket, TicketError, find_tickets
from twistedp2p.face.texts import Translate, bar, extent_text, in_words, size_text, time_text

NEWS_RATE, NEWS_BURST = 1.0, 8.0  # lines about comings, goings and offers, per second
WARNING_RATE, WARNING_BURST = 1.0, 8.0  # warnings about others, per second
WARN_AGAIN = 60.0  # seconds until the same nick, or the same offer, is worth another warning
# A screenful and more a second is read by nobody; a newcomer is told much at once.
CHAT_RATE, CHAT_BURST = 20.0, 1000.0  # lines of chat, per second: strangers', and known nodes'
LEFT_OUT_AFTER = 5.0  # seconds from the first line left out until their count is told
MAX_TICKETS = 4  # of one line of chat that get a number
BARS = 4  # transfers drawn below the question


class News:
    """Turns events into lines. `show(text, style)` shows one; `number` numbers what can be got."""

    def __init__(
        self,
        own_key: bytes,
        show: Callable[[str, str], None],
        translate: Translate,
        nick_of: Callable[[bytes], str],
        number: Callable[[Offer | Ticket], int],
        seconds: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._own_key = own_key
        self._show = show
        self._ = translate
        self._nick_of = nick_of
        self._number = number
        self._seconds = seconds
        self._wall = wall
        now = seconds()
        self._bucket = TokenBucket.full(NEWS_RATE, NEWS_BURST, now)
        self._warning_bucket = TokenBucket.full(WARNING_RATE, WARNING_BURST, now)
        self._warned: Buckets[object] = Buckets(1 / WARN_AGAIN, 1.0)
        self._chat = {
            known: TokenBucket.full(CHAT_RATE, CHAT_BURST, now) for known in (True, False)
        }
        self._left_out = 0
        self._left_out_at = now
        self._courses: dict[int, events.Progress] = {}
        self._tellers: dict[type, Callable[..., None]] = {
            events.Said: self._said,
            events.DirectMessage: self._direct_message,
            events.Joined: self._joined,
            events.Renamed: self._renamed,
            events.Left: self._left,
            events.OfferAdded: self._offer_added,
            events.OfferGone: self._offer_gone,
            events.WrongPassword: self._wrong_password,
            events.Progress: self._progress,
            events.Fetched: self._fetched,
            events.FetchFailed: self._fetch_failed,
            events.NotSent: self._not_sent,
            events.Notice: self._notice,
        }

    def tell(self, event: events.Event) -> None:
        """Show an event, where there is something to show."""
        self._tellers[type(event)](event)
        self.tell_left_out()

    def tell_left_out(self) -> None:
        """Say how many lines were left out, some seconds after the first of them."""
        if self._left_out and self._seconds() >= self._left_out_at + LEFT_OUT_AFTER:
            count, self._left_out = self._left_out, 0
            self._line("system", self._("(lines left out, too many at once: {count})"), count=count)

    def _leave_out(self) -> None:
        if not self._left_out:
            self._left_out_at = self._seconds()
        self._left_out += 1

    def _line(self, style: str, sentence: str, **values: object) -> None:
        mark = {"error": "! ", "warning": "! "}.get(style, "* ")
        self._show(mark + sentence.format(**values), style)

    def _small_line(self, sentence: str, **values: object) -> None:
        """News that may be left out when there is too much of it."""
        if self._bucket.take(self._seconds()):
            self._line("system", sentence, **values)
        else:
            self._leave_out()

    def _warning(self, about: object, sentence: str, **values: object) -> None:
        """A warning, which strangers could provoke without end: one a while `about` the same."""
        now = self._seconds()
        if self._warned.take(about, now) and self._warning_bucket.take(now):
            self._line("warning", sentence, **values)
        else:
            self._leave_out()

    # -- chat

    def _said(self, said: events.Said) -> None:
        if said.own:
            return
        if not self._chat[said.key is not None and said.known].take(self._seconds()):
            self._leave_out()
            return
        self.line_of(said)
        self._tickets(said.text)

    def line_of(self, said: events.Said) -> None:
        """Show a line of chat as what it is."""
        when = self._when(said.stamp / 1000) if said.late else ""
        text = " ".join(said.text.split())
        if not said.sent:
            text += "  " + self._("(not sent)")
        if said.key is None:
            unverified = self._("(unverified)")
            self._show(f"{said.address} :> {text}  {unverified}", "plain")
        elif said.known:
            self._show(f"{when}{said.nick} :> {text}", "chat")
        else:
            self._show(f"{when}{said.nick} ({fingerprint(said.key)}) :> {text}", "chat")

    def _direct_message(self, message: events.DirectMessage) -> None:
        """What stands in brackets cannot be said by anybody: no nick has brackets."""
        nick = message.nick if message.known else f"{message.nick} ({fingerprint(message.key)})"
        text = " ".join(message.text.split())
        if message.own:
            to = self._("(privately to {nick})").format(nick=nick)
            self._show(f"{to} :> {text}", "private")
            return
        privately = self._("(privately)")
        self._show(f"{nick} {privately} :> {text}", "private")
        self._tickets(message.text)

    def _when(self, seconds: float) -> str:
        """The time of an old line, with its day where that was another."""
        then, today = time.localtime(seconds), time.localtime(self._wall())
        same = then[:3] == today[:3]
        return time.strftime("%H:%M " if same else "%Y-%m-%d %H:%M ", then)

    def _tickets(self, text: str) -> None:
        for ticket in tickets_in(text, MAX_TICKETS):
            self._line(
                "system",
                self._("a ticket for {name} at {host}: type 2 {number} to get it"),
                name=ticket.name,
                host=ticket.host,
                number=self._number(ticket),
            )

    # -- comings and goings

    def _joined(self, joined: events.Joined) -> None:
        self._small_line(
            self._("{nick} is here ({address})"), nick=joined.nick, address=joined.address
        )
        self._clash(joined)

    def _renamed(self, renamed: events.Renamed) -> None:
        self._small_line(
            self._("{old} is called {nick} now"), old=renamed.old_nick, nick=renamed.nick
        )
        self._clash(renamed)

    def _clash(self, event: events.Joined | events.Renamed) -> None:
        if event.looks_like is not None:
            self._warning(
                event.looks_like,
                self._("CAREFUL: {nick} with the key {new} is not the {nick} with the key {old}."),
                nick=event.nick,
                new=fingerprint(event.key),
                old=fingerprint(event.looks_like),
            )

    def _left(self, left: events.Left) -> None:
        sentence = self._("{nick} has left") if left.goodbye else self._("{nick} is silent: gone")
        self._small_line(sentence, nick=left.nick)

    # -- offers

    def _offer_added(self, added: events.OfferAdded) -> None:
        if added.own:
            return
        self._small_line(
            self._("{nick} offers {name} ({size}): type 2 {number} to get it"),
            nick=added.nick,
            name=added.offer.name,
            size=extent_text(self._, added.offer.size, added.offer.files),
            number=self._number(added.offer),
        )

    def _offer_gone(self, gone: events.OfferGone) -> None:
        if not gone.own:
            self._small_line(
                self._("{nick} does not offer {name} any more"), nick=gone.nick, name=gone.name
            )
        elif gone.why:
            self._line(
                "warning",
                self._("{name} is not on offer any more: {why}."),
                name=gone.name,
                why=self._(gone.why),
            )
        else:
            self._line("system", self._("{name} is not on offer any more."), name=gone.name)

    def _wrong_password(self, wrong: events.WrongPassword) -> None:
        self._warning(
            wrong.name,
            self._("{nick} at {address} tried a wrong password for {name}"),
            nick=self._nick_of(wrong.key),
            address=wrong.address,
            name=wrong.name,
        )

    # -- transfers

    def _progress(self, progress: events.Progress) -> None:
        if progress.ended:
            self._courses.pop(progress.number, None)
        else:
            self._courses[progress.number] = progress

    def courses(self) -> dict[int, str]:
        """A line for each transfer under way, by its number. The name, which may be long, is last:
        where there is no room for all of it, the rest is seen."""
        return {number: self._course(course) for number, course in self._courses.items()}

    def _course(self, course: events.Progress) -> str:
        kinds = {
            "get": self._("get"),
            "check": self._("check"),
            "serve": self._("send"),
            "read": self._("read"),
        }
        share = 100 * course.done // course.size if course.size else 0
        pace = ""
        if course.rate:
            left = time_text((course.size - course.done) / course.rate)
            pace = f"  {size_text(course.rate)}/s  {left}"
        done = bar(course.done, course.size)
        return f"{course.number} {kinds[course.kind]} {done} {share} %{pace}  {course.name}"

    def _fetched(self, fetched: events.Fetched) -> None:
        rate = fetched.size / fetched.seconds if fetched.seconds else 0.0
        self._line(
            "system",
            self._("{name} is here, whole: {path} ({size}, {seconds:.1f} s, {rate}/s)"),
            name=fetched.name,
            path=fetched.path,
            size=size_text(fetched.size),
            seconds=fetched.seconds,
            rate=size_text(rate),
        )
        if not fetched.owner_known:
            self._line(
                "warning",
                self._("The owner of {name} is unknown (key {key}): only the password vouches."),
                name=fetched.name,
                key=fingerprint(fetched.owner),
            )
        if fetched.owner_changed:
            self._line(
                "warning",
                self._("CAREFUL: another key than last time answered at that address."),
            )

    def _fetch_failed(self, failed: events.FetchFailed) -> None:
        why = self.failure(failed.sentence, failed.values)
        self._line("error", "{name}: {why}", name=failed.name, why=why)

    def _not_sent(self, not_sent: events.NotSent) -> None:
        self._line("error", "{why}", why=self.failure(not_sent.sentence, not_sent.values))

    def _notice(self, notice: events.Notice) -> None:
        self._line("system", "{why}", why=self.failure(notice.sentence, notice.values))

    def failure(self, sentence: str, values: Mapping[str, object]) -> str:
        """What went wrong, in the user's language."""
        return in_words(self._, sentence, values)


def tickets_in(text: str, most: int) -> list[Ticket]:
    """The first tickets in a text; none in one that is too long for a line of chat."""
    try:
        return find_tickets(text, most)
    except TicketError:
        return []
