"""Direct messages: from one person to another, shown at both ends, kept at none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import Tell
from twistedp2p.core.calls.tell import MAX_TEXT
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.events import DirectMessage, Event
from twistedp2p.core.limits import Buckets, TokenBucket
from twistedp2p.core.names import clean_line, fingerprint, look_alike
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.roster import Peer, Roster
from twistedp2p.net.talk import Calling, Places
from twistedp2p.net.tell import HearTalk, TellTalk
from twistedp2p.node.presence.nicks import Nicks

PLACES, PLACES_EACH = 16, 4  # messages that are coming, in all and from one address
KEY_RATE, KEY_BURST = 1.0, 5.0  # messages of one node
ADDRESS_RATE, ADDRESS_BURST = 2.0, 10.0  # messages from one address
ALL_RATE, ALL_BURST = 10.0, 50.0  # messages of all
LEAST_PREFIX = 4  # characters of a fingerprint that may stand for it
CHOICES = 5  # nodes named when it is not clear who is meant


class DirectMessages:
    """Those that go out and come in.

    `has_reader` says whether a person is there to see them; `wall` is the time of day in seconds
    since 1970.
    """

    def __init__(
        self,
        calls: Calling,
        roster: Roster,
        nicks: Nicks,
        emit: Callable[[Event], None],
        *,
        has_reader: Callable[[], bool],
        addresses_of: Callable[[bytes], list[Address]],
        clock: Any,
        wall: Callable[[], float],
    ) -> None:
        self._calls = calls
        self._roster = roster
        self._nicks = nicks
        self._emit = emit
        self._has_reader = has_reader
        self._addresses_of = addresses_of
        self._clock = clock
        self._wall = wall
        self._sending: set[Deferred[None]] = set()
        self._places = Places(PLACES, PLACES_EACH)
        self._keys: Buckets[bytes] = Buckets(KEY_RATE, KEY_BURST)
        self._addresses: Buckets[str] = Buckets(ADDRESS_RATE, ADDRESS_BURST)
        self._all = TokenBucket.full(ALL_RATE, ALL_BURST, clock.seconds())

    # -- out

    def stop(self) -> None:
        """Break off what is being sent."""
        for sending in list(self._sending):
            sending.cancel()

    def send(self, who: str, text: str) -> Deferred[None]:
        """Have a node's person shown `text`, and then show here that it was.

        `who` is a nick, a fingerprint, or the beginning of one. Fails with `ShareError` when it is
        not clear who is meant, or when the message was not seen to be shown.
        """
        sending = Deferred.fromCoroutine(self._send(who, text))
        self._sending.add(sending)

        def sent(result: Any) -> Any:
            self._sending.discard(sending)
            return result

        return sending.addBoth(sent)

    async def _send(self, who: str, text: str) -> None:
        peer = self.meant(who)
        line = clean_line(text, MAX_TEXT + 1).strip()
        if not line or len(line) > MAX_TEXT:
            raise ShareError(
                N_("A direct message has 1 to {most} characters."), Exit.USAGE, most=MAX_TEXT
            )
        talk = TellTalk(line, self._clock)
        addresses = self._addresses_of(peer.key)
        try:
            await self._calls.call(Tell, lambda _: talk, addresses, lambda key: key == peer.key)
        except ShareError as error:
            raise _undelivered(peer, error) from error
        except CancelledError:
            raise _undelivered(peer, ShareError(N_("Stopped."))) from None
        self._show(peer.key, line, own=True)

    def meant(self, who: str) -> Peer:
        """The node here that a person means; raises `ShareError`."""
        who = who.casefold()
        peers = self._roster.peers()
        keys = {peer.key: fingerprint(peer.key) for peer in peers}
        for peer in peers:
            if keys[peer.key] == who:
                return peer
        by_nick = [peer for peer in peers if who and peer.nick.casefold() == who]
        by_key = [
            peer
            for peer in peers
            if len(who) >= LEAST_PREFIX and keys[peer.key].startswith(who) and peer not in by_nick
        ]
        meant = by_nick + by_key
        if not meant:
            raise ShareError(N_("Nobody here is called {nick}."), Exit.NOT_FOUND, nick=who)
        if len(meant) == 1 and not (by_nick and self._nicks.is_clashing(meant[0].key)):
            return meant[0]
        twins = [peer for peer in peers if by_nick and look_alike(peer.nick) == look_alike(who)]
        some = {peer.key: peer for peer in meant + twins}.values()
        raise ShareError(
            N_("There is more than one {nick}; write the key of the one you mean: {choices}."),
            Exit.USAGE,
            nick=who,
            choices=", ".join(f"{p.nick} {keys[p.key]}" for p in list(some)[:CHOICES]),
        )

    # -- in

    def answer(self, key: bytes, address: str) -> HearTalk:
        """Hear a message of a node that called; raises `Refusal`."""
        now = self._clock.seconds()
        if not self._has_reader():
            raise Refusal(480)
        if not (
            self._addresses.take(address, now) and self._keys.take(key, now) and self._all.take(now)
        ):
            raise Refusal(429, 1)
        return HearTalk(
            lambda text: self._show(key, text, own=False),
            self._places.take(address),
            self._clock,
        )

    def _show(self, key: bytes, text: str, *, own: bool) -> None:
        nick = self._nicks.heard(key)
        known = not nick or self._nicks.is_known(key, nick)
        stamp = int(self._wall() * 1000)
        self._emit(DirectMessage(text, nick or fingerprint(key), key, stamp, own, known))


def _undelivered(peer: Peer, error: ShareError) -> ShareError:
    nick = peer.nick or fingerprint(peer.key)
    return ShareError(
        N_("Your message to {nick} was not delivered. {why}"), error.code, nick=nick, why=error
    )
