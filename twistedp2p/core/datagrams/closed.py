"""What keeps a group closed: every datagram is sealed with a key that is made of the group's code.

A sealed datagram goes around a signed one; nothing of that is seen outside::

    0      4                16                                              n-16      n <= 1,200
    +------+----------------+-----------------------------------------------+---------+
    | mark |  nonce         |  sealed: signed datagram, zeros               |  tag    |
    +------+----------------+-----------------------------------------------+---------+

    mark     FF 70 32 01: no UTF-8 text begins so, so that other nodes can tell it from all else
    nonce    12 random bytes
    sealed   AES-256-GCM-SIV (RFC 8452), the mark being its associated data
    zeros    up to the next multiple of 64 bytes: the length tells little of what is said

SIV, because all nodes of a group share one key for years and none knows the nonces of the others:
where two are the same, all that shows is whether two datagrams are.

The key, from the code in its canonical form (`codes`)::

    root = Argon2id(code, salt = first 16 bytes of SHA-256("p2pshare/1 closed group" NUL group),
                    64 MiB, t=3, p=4, 32 bytes)        RFC 9106, section 4, second recommendation
    each = HKDF-Expand-SHA-256(root, "p2pshare/1 closed " what, 32 bytes)            RFC 5869, 2.3

    what     datagram   key of the sealed datagrams
             proof      key of HMAC-SHA-256, by which both ends of a TCP connection prove membership
             public     key of HMAC-SHA-256 that makes the PRS of a public offer (see `cpace`)
             memory     8 bytes: by which a node finds again what it remembers of this group

What members sign has ``<group> closed`` as the group's name, so nothing that was said inside is
valid outside, nor the other way round.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from os import urandom
from typing import Protocol

import attrs
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_SENT
from twistedp2p.core.errors import N_, ShareError

MARK = b"\xffp2\x01"
NONCE = 12  # bytes
TAG = 16  # bytes
BLOCK = 64  # bytes: what is sealed is a multiple of it
OLD_CODE_FOR = 600.0  # seconds from a change during which the code before it still opens

_SALT_DOMAIN = b"p2pshare/1 closed group\0"
_MEMORY = 64 * 1024  # KiB


class Envelope(Protocol):
    """What goes around each datagram of a group, and what its members can prove."""

    @property
    def group(self) -> bytes:
        """The group as its members sign it."""

    @property
    def plain_allowed(self) -> bool:
        """Whether plain lines are heard, and what is said goes where scripts can read it."""

    def seal(self, datagram: bytes) -> bytes:
        """The bytes to send of a signed datagram."""

    def open(self, data: bytes) -> bytes | None:
        """The datagram in what came, or None where that is not of this group."""

    def proof(self, binding: bytes, role: bytes) -> bytes:
        """32 bytes that prove membership to the other end of a session.

        `binding` is the session's own (RFC 9266), never used twice; `role` names the end that
        proves, so that its proof cannot be sent back to it.
        """

    def proves(self, proof: bytes, binding: bytes, role: bytes) -> bool:
        """Whether that is the proof of a member in that `role`; in constant time."""

    def public_prs(self, owner: bytes, offer: bytes) -> bytes | None:
        """What stands for the password of a public offer (owner's key, id) towards `cpace`.

        None: the stretched `cpace.PUBLIC_PASSWORD`, for it is open to all.
        """


def is_sealed(data: bytes) -> bool:
    """Whether that looks like a datagram of some closed group."""
    return data.startswith(MARK)


def _mac(key: bytes, role: bytes, binding: bytes) -> bytes:
    return hmac.digest(key, role + b"\0" + binding, "sha256")


@attrs.frozen
class OpenEnvelope:
    """None at all: anybody may take part. `proof` only tells this group from others."""

    group: bytes
    plain_allowed: bool = attrs.field(default=True, init=False)

    def seal(self, datagram: bytes) -> bytes:
        """`datagram` itself."""
        return datagram

    def open(self, data: bytes) -> bytes | None:
        """`data` itself, where it is not sealed."""
        return None if is_sealed(data) else data

    def proof(self, binding: bytes, role: bytes) -> bytes:
        """HMAC-SHA-256 under the hash of the group's name, which everybody knows."""
        return _mac(sha256(self.group).digest(), role, binding)

    def proves(self, proof: bytes, binding: bytes, role: bytes) -> bool:
        """Whether the other end is in this group."""
        return hmac.compare_digest(proof, self.proof(binding, role))

    def public_prs(self, owner: bytes, offer: bytes) -> bytes | None:
        """None: public offers are for everybody."""
        return None


@attrs.frozen
class GroupKey:
    """What a code is worth in one group. Made by `of_code`."""

    memory: str  # 16 hex digits
    proof: bytes = attrs.field(repr=False)
    public: bytes = attrs.field(repr=False)
    cipher: AESGCMSIV = attrs.field(repr=False, eq=False)

    @classmethod
    def of_code(cls, code: str, group: bytes) -> GroupKey:
        """Derive it: a quarter of a second and 64 MiB, so it belongs in a thread once a node runs.

        :param code: in its canonical form, see `codes.read_code`.
        :param group: as of `datagram.group_name`.
        :raises ShareError: this Python has no AES-GCM-SIV.
        """
        salt = sha256(_SALT_DOMAIN + group).digest()[:16]
        kdf = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=_MEMORY)
        root = kdf.derive(code.encode("utf-8"))

        def derived(what: bytes, length: int = 32) -> bytes:
            return HKDFExpand(SHA256(), length, b"p2pshare/1 closed " + what).derive(root)

        cipher = _cipher(derived(b"datagram"))
        return cls(derived(b"memory", 8).hex(), derived(b"proof"), derived(b"public"), cipher)


def _cipher(key: bytes) -> AESGCMSIV:
    try:
        return AESGCMSIV(key)
    except UnsupportedAlgorithm as error:
        raise ShareError(
            N_(
                "Closed groups need AES-GCM-SIV, which the OpenSSL that Python's cryptography"
                " package was built with does not have: OpenSSL 3.2 or later does."
            )
        ) from error


class ClosedEnvelope:
    """A closed group's seal. For a while after a change two codes open; the new one seals.

    `group` is as of `datagram.group_name`.
    """

    plain_allowed = False

    def __init__(self, group: bytes, key: GroupKey, old: GroupKey | None = None) -> None:
        self.group = group + b" closed"
        self._key = key
        self._old = old

    @property
    def key(self) -> GroupKey:
        """The current one."""
        return self._key

    def change(self, key: GroupKey, old: GroupKey) -> None:
        """Seal with `key` from now on, and open what is sealed with either."""
        self._key, self._old = key, old

    def forget_old(self) -> None:
        """Open what is sealed with the current key alone."""
        self._old = None

    def _keys(self) -> list[GroupKey]:
        return [self._key] if self._old is None else [self._key, self._old]

    def seal(self, datagram: bytes) -> bytes:
        """The bytes to send of a signed datagram: at most `MAX_DATAGRAM`, and no zero at its end.

        Raises ValueError where it is longer.
        """
        if len(datagram) > MAX_DATAGRAM:
            raise ValueError(f"too long to be sealed: {len(datagram)} bytes")
        nonce = urandom(NONCE)
        padded = datagram + bytes(-len(datagram) % BLOCK)
        return MARK + nonce + self._key.cipher.encrypt(nonce, padded, MARK)

    def open(self, data: bytes) -> bytes | None:
        """The datagram in what came; None where no member sealed it. Some microseconds."""
        if not is_sealed(data) or len(data) > MAX_SENT:
            return None
        at = len(MARK) + NONCE
        nonce, sealed = data[len(MARK) : at], data[at:]
        if len(sealed) <= TAG:
            return None
        for key in self._keys():
            try:
                return key.cipher.decrypt(nonce, sealed, MARK).rstrip(b"\0")
            except InvalidTag:
                continue
        return None

    def proof(self, binding: bytes, role: bytes) -> bytes:
        """HMAC-SHA-256 under a key of the current code."""
        return _mac(self._key.proof, role, binding)

    def proves(self, proof: bytes, binding: bytes, role: bytes) -> bool:
        """Whether the other end knows the code; for a while the one before does as well."""
        expected = [_mac(key.proof, role, binding) for key in self._keys()]
        return any(hmac.compare_digest(proof, each) for each in expected)

    def public_prs(self, owner: bytes, offer: bytes) -> bytes | None:
        """What only members can compute.

        Of the oldest code that still opens: those who have not changed it yet know no other.
        """
        return hmac.digest(self._keys()[-1].public, owner + offer, "sha256")
