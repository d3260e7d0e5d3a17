"""The two ends of the file conversation as states, without any transport.

::

    owner    auth --AUTH--> share --SHARE--> get --GET--> answer --OK--> go --GO--> body
    client   auth --AUTH--> share --SHARE--> get --GET--> answer --OK--> go --GO--> body

    ERR from the owner ends both. A line that its state does not await is a `Violation`.

The password is proved by CPace over the TLS session (its exporter is the session id) and over
both node keys and the offer (its channel identifier), the client first: `lines` has the wire.
"""

from __future__ import annotations

import attrs

from twistedp2p.core.calls.cpace import CPaceError, Exchange, channel_identifier
from twistedp2p.core.calls.lines import Auth, ClientLine, Err, Get, Go, Ok, Share


class Violation(ValueError):
    """The other end said what the conversation does not allow here."""


class Refusal(Exception):
    """The owner's side says no: a code of `lines.ERRORS`, and for some how long to wait."""

    def __init__(self, code: int, seconds: int | None = None) -> None:
        super().__init__(code)
        self.line = Err(code, seconds)


@attrs.frozen
class Session:
    """One TLS session: both node keys (32 bytes each) and its exporter (RFC 9266, 32 bytes)."""

    owner_key: bytes
    client_key: bytes
    binding: bytes

    def exchange(self, prs: bytes, offer: bytes, *, initiator: bool) -> Exchange:
        """Start CPace for `offer` (16 bytes) on this session with the stretched password."""
        channel = channel_identifier(self.owner_key, self.client_key, offer)
        return Exchange(prs, self.binding, channel, initiator=initiator)


class OwnerEnd:
    """The end that has the file."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._exchange: Exchange | None = None
        self.state = "auth"

    def heard_auth(self, line: ClientLine) -> Auth:
        """The first line of the client; raises `Violation` on any other."""
        if self.state != "auth" or not isinstance(line, Auth):
            raise Violation("AUTH was awaited")
        self.state = "share"
        return line

    def share(self, auth: Auth, prs: bytes) -> Share:
        """Answer `auth` for an offer with this stretched password; raises `Violation`."""
        exchange = self._session.exchange(prs, auth.offer, initiator=False)
        try:
            exchange.finish(auth.share)
        except CPaceError as error:
            raise Violation(str(error)) from error
        self._exchange = exchange
        self.state = "get"
        return Share(exchange.share)

    def heard_get(self, line: ClientLine) -> Get:
        """The second line of the client; raises `Violation` on any other."""
        if self.state != "get" or not isinstance(line, Get):
            raise Violation("GET was awaited")
        self.state = "answer"
        return line

    def proven(self, get: Get) -> bool:
        """Whether the client knows the password. Ask the guess limiter before."""
        return self._exchange is not None and self._exchange.verify(get.tag)

    def ok(self, size: int, manifest: int, digest: str, name: str) -> Ok:
        """The answer that proves the password, and says what there is; sizes in bytes."""
        assert self._exchange is not None
        self.state = "go"
        return Ok(self._exchange.tag(), size, manifest, digest, name)

    def heard_go(self, line: ClientLine) -> None:
        """The last line of the client; raises `Violation` on any other. Asks may follow."""
        if self.state != "go" or not isinstance(line, Go):
            raise Violation("GO was awaited")
        self.state = "body"


class ClientEnd:
    """The end that wants the file."""

    def __init__(self, session: Session, offer: bytes, prs: bytes) -> None:
        self._exchange = session.exchange(prs, offer, initiator=True)
        self._offer = offer
        self.state = "auth"

    def auth(self) -> Auth:
        """The first line to send."""
        self.state = "share"
        return Auth(self._offer, self._exchange.share)

    def heard(self, line: Share | Ok | Err) -> Share | Ok | Err:
        """Check a line of the owner against the state; raises `Violation`.

        After an `Ok` that passes, the owner has proved the password.
        """
        if isinstance(line, Err) and self.state not in ("body", "ended"):
            self.state = "ended"
        elif isinstance(line, Share) and self.state == "share":
            self._take_share(line)
        elif isinstance(line, Ok) and self.state == "answer":
            self._take_ok(line)
        else:
            raise Violation("an answer at the wrong moment")
        return line

    def _take_share(self, line: Share) -> None:
        try:
            self._exchange.finish(line.share)
        except CPaceError as error:
            raise Violation(str(error)) from error
        self.state = "get"

    def get(self) -> Get:
        """The proof, once `Share` has come."""
        self.state = "answer"
        return Get(self._exchange.tag())

    def _take_ok(self, line: Ok) -> None:
        if not self._exchange.verify(line.tag):
            raise Violation("the other end does not know the password")
        self.state = "go"

    def go(self) -> Go:
        """The last line: asks and answers follow."""
        self.state = "body"
        return Go()
