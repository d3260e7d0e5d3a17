"""What one get wants, and what it believes of who answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from twistedp2p.core.calls.cpace import stretch
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import offer_id
from twistedp2p.net.pump import InThread

PublicPrs = Callable[[bytes, bytes], bytes | None]  # as of `closed.Envelope.public_prs`


class AnotherNode(ShareError):
    """Who answers is not the owner; the owner may be elsewhere by now."""


class Changed(ShareError):
    """Who answers has another content than what is under way: that will not be completed."""


@attrs.define
class Order:
    """What is wanted: implements `net.fetch.Order`.

    `offer` is the catalogue's or None; `required` is the key that the owner must have, or empty
    where a ticket is all that is known.
    """

    offer: Offer | None
    name: str
    password: str = attrs.field(repr=False)
    folder: Path
    in_thread: InThread
    required: bytes
    members_prs: PublicPrs | None = None  # for a public offer of a closed group
    wanted: Sequence[str] | None = None  # of a folder; None: all
    one_file: bool = False  # a folder is refused, before anything of it comes
    owner: bytes = b""
    ok: Ok | None = None  # what the first owner that proved the password said
    _secret: bytes = attrs.field(default=b"", repr=False)
    _secret_of: bytes = attrs.field(default=b"", repr=False)  # the owner whom it was stretched for

    async def prepare(self) -> None:
        """Stretch the password before any connection is made, where the owner is known."""
        if self.required:
            self._secret = await self._stretch(self.required)
            self._secret_of = self.required

    def _stretch(self, owner: bytes) -> Deferred[bytes]:
        prs = self.members_prs and self.members_prs(owner, offer_id(owner, self.name))
        if prs:
            return succeed(prs)
        secret: Deferred[bytes] = self.in_thread(
            stretch, self.password, owner, offer_id(owner, self.name)
        )
        return secret.addErrback(_no_password)

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password; fails when it is another owner."""
        required = self.required or (self.owner if self.ok is not None else b"")
        if required and owner_key != required:
            return fail(
                AnotherNode(
                    N_("Another node answers at the owner's address: {name} was not taken."),
                    Exit.DENIED,
                    name=self.name,
                )
            )
        self.owner = owner_key
        known = self._secret_of == owner_key
        secret = succeed(self._secret) if known else self._stretch(owner_key)
        return secret.addCallback(self._keep_secret, owner_key)

    def _keep_secret(self, prs: bytes, owner: bytes) -> tuple[bytes, bytes]:
        self._secret, self._secret_of = prs, owner
        return offer_id(owner, self.name), prs

    @property
    def secret(self) -> tuple[bytes, bytes]:
        """The offer's id and the stretched password, once an owner is known."""
        return offer_id(self.owner or self.required, self.name), self._secret

    def may_prove(self) -> bool:
        """The owner may have the proof: a person asked for that."""
        return True

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """What is to come must be what was offered, and the same from everybody."""
        meant = self.offer or self.ok
        if meant is not None and (
            (ok.digest, ok.size) != (meant.digest, meant.size)
            or bool(ok.manifest) != self._is_folder(meant)
        ):
            if self.ok is not None:
                sentence = N_("{name} has changed at its owner meanwhile: get it again.")
                raise Changed(sentence, Exit.DAMAGED, name=self.name)
            raise ShareError(
                N_("What was to come is not the {name} that was offered."),
                Exit.DAMAGED,
                name=self.name,
            )
        if self.one_file and ok.manifest and self.wanted is None:
            raise a_folder(self.name)
        self.ok = self.ok or ok

    @staticmethod
    def _is_folder(meant: Offer | Ok) -> bool:
        return bool(meant.manifest) if isinstance(meant, Ok) else meant.files is not None


@attrs.frozen
class PeerOrder:
    """Orders from another than the owner: implements `net.fetch.Order`.

    Whoever answers must know the same password and promise the same content; each piece is
    checked, so no more needs to be known of it.
    """

    secret: tuple[bytes, bytes] = attrs.field(repr=False)  # the offer's id, the stretched password
    check: Callable[[Ok, bytes], None]

    def stretched(self, owner_key: bytes) -> Deferred[tuple[bytes, bytes]]:
        """The offer's id and the stretched password."""
        return succeed(self.secret)

    def may_prove(self) -> bool:
        """Who told of it knows the password."""
        return True

    def agreed(self, ok: Ok, owner_key: bytes) -> None:
        """Raises `ShareError` where it has something else."""
        self.check(ok, owner_key)


def a_folder(name: str) -> ShareError:
    """Why it is refused where one file is wanted."""
    sentence = N_("{name} is a folder, and one file was asked for.")
    return ShareError(sentence, Exit.USAGE, name=name)


def _no_password(failure: Failure) -> Any:
    failure.trap(ValueError)
    raise ShareError(N_("A password has 1 to 256 characters."), Exit.USAGE)
