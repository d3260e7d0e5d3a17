"""CPace: two ends prove to each other that they know one password, and show it to nobody.

The suite is CPACE-X25519-SHA512 of draft-irtf-cfrg-cpace-21, initiator-responder, with explicit
key confirmation (section 10.4). What travels, in the order in which it travels::

    client (initiator, A)                          owner (responder, B)
        Ya, 32 bytes      ---------------------->
                          <----------------------      Yb, 32 bytes
        Ta, 64 bytes      ---------------------->  verifies; a wrong Ta is one guess
    verifies              <----------------------      Tb, 64 bytes

Neither share nor tag lets a listener test a guess; an active end tests one password per run.
"""

from __future__ import annotations

import hmac
import unicodedata
from hashlib import sha256, sha512
from os import urandom

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

PUBLIC_PASSWORD = "public"  # noqa: S105 - meant to be known
"""The password of every offer that is marked public: open to all, the same conversation."""

MAX_PASSWORD = 256  # characters, after NFC

_SALT_DOMAIN = b"p2pshare/1 password"
_CHANNEL_DOMAIN = b"p2pshare/1 file"

_DSI = b"CPace255"
_BLOCK = 128  # bytes: the input block of SHA-512
_SIZE = 32  # bytes of a scalar, a field element, a share
_Q = 2**255 - 19  # order of the field of Curve25519
_A = 486662  # Curve25519: v^2 = u^3 + A u^2 + u


class CPaceError(ValueError):
    """The run cannot go on: a malformed, low-order or reflected share, or a second use."""


def stretch(password: str, owner_key: bytes, offer_id: bytes) -> bytes:
    """Derive PRS, the 32 bytes that stand for `password` on this offer of this owner.

    Argon2id (RFC 9106) over 19 MiB: it takes tens of milliseconds and belongs in a thread.

    :param password: 1 to 256 characters, counted after NFC, so that é typed either way is one.
    :param owner_key: the owner's Ed25519 public key, 32 bytes.
    :param offer_id: the offer's id, 16 bytes.
    :raises ValueError: too short, too long, or not encodable as UTF-8.
    """
    text = unicodedata.normalize("NFC", password)
    if not 1 <= len(text) <= MAX_PASSWORD:
        raise ValueError(f"a password has 1 to {MAX_PASSWORD} characters")
    # Looked for, rather than left to encode(): its exception carries the password with it.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a password is Unicode text, without surrogates")
    salt = sha256(_SALT_DOMAIN + owner_key + offer_id).digest()[:16]
    memory = 19 * 1024  # KiB
    kdf = Argon2id(salt=salt, length=32, iterations=2, lanes=1, memory_cost=memory)
    return kdf.derive(text.encode())


def channel_identifier(owner_key: bytes, client_key: bytes, offer_id: bytes) -> bytes:
    """Return CI, which binds a run to both ends and to one offer (draft, section 10.1).

    :param owner_key: Ed25519 public key of the end that serves, 32 bytes.
    :param client_key: Ed25519 public key of the end that fetches, 32 bytes.
    :param offer_id: the offer's id, 16 bytes.
    """
    return _lv_cat(_CHANNEL_DOMAIN, owner_key, client_key, offer_id)


class Exchange:
    """One side of one run, for a single use (draft, section 7.2).

    :param prs: what :func:`stretch` made of the password.
    :param sid: the session's id, never used twice: 32 bytes of the TLS exporter (RFC 9266).
    :param ci: see :func:`channel_identifier`.
    :param initiator: True at the client, False at the owner.
    :param scalar: 32 bytes for the test vectors; random otherwise.
    :param ad_a: associated data of the initiator.
    :param ad_b: associated data of the responder; it differs from `ad_a`, so that neither end's
        tag can stand for the other's.
    :raises CPaceError: `scalar` is not 32 bytes.
    """

    share: bytes
    """Our public share, 32 bytes, for the other end's :meth:`finish`."""

    def __init__(
        self,
        prs: bytes,
        sid: bytes,
        ci: bytes,
        *,
        initiator: bool,
        scalar: bytes | None = None,
        ad_a: bytes = b"client",
        ad_b: bytes = b"owner",
    ) -> None:
        self._sid = sid
        self._initiator = initiator
        self._ad, self._peer_ad = (ad_a, ad_b) if initiator else (ad_b, ad_a)
        self._secrets: tuple[bytes, bytes, bytes] | None = None  # ISK, our tag, the peer's tag
        scalar = urandom(_SIZE) if scalar is None else scalar
        self._scalar: bytes | None = scalar  # None once it was used
        self.share = _scalar_mult(scalar, _generator(prs, ci, sid))

    def finish(self, peer_share: bytes) -> None:
        """Derive the session key from the other end's share; only the first call counts.

        :raises CPaceError: the share is not 32 bytes, is of low order, or is our own; or this is
            the second call, whatever came of the first.
        """
        scalar, self._scalar = self._scalar, None
        if scalar is None:
            raise CPaceError("an exchange serves one run only")
        if _decode(peer_share) == _decode(self.share):
            raise CPaceError("our own share came back")
        self._derive(_scalar_mult(scalar, peer_share), peer_share)

    def _derive(self, k: bytes, peer_share: bytes) -> None:
        ours, theirs = _lv_cat(self.share, self._ad), _lv_cat(peer_share, self._peer_ad)
        transcript = ours + theirs if self._initiator else theirs + ours
        isk = sha512(_lv_cat(_DSI + b"_ISK", self._sid, k) + transcript).digest()
        mac_key = sha512(b"CPaceMac" + self._sid + isk).digest()
        tag, peer_tag = (hmac.digest(mac_key, message, "sha512") for message in (ours, theirs))
        self._secrets = isk, tag, peer_tag

    @property
    def isk(self) -> bytes:
        """The intermediate session key, 64 bytes; the same at both ends if the passwords are.

        :raises CPaceError: before :meth:`finish` succeeded.
        """
        return self._finished()[0]

    def tag(self) -> bytes:
        """Return our proof, 64 bytes (draft, section 10.4).

        :raises CPaceError: before :meth:`finish` succeeded.
        """
        return self._finished()[1]

    def verify(self, peer_tag: bytes) -> bool:
        """Whether `peer_tag` proves that the other end knows the password; in constant time.

        :param peer_tag: what it sent, of any length; our own tag sent back is False.
        :raises CPaceError: before :meth:`finish` succeeded.
        """
        return hmac.compare_digest(peer_tag, self._finished()[2])

    def _finished(self) -> tuple[bytes, bytes, bytes]:
        if self._secrets is None:
            raise CPaceError("there is no key before the other end's share")
        return self._secrets


def _prepend_len(data: bytes) -> bytes:
    """`data` after its length in LEB128 (draft, A.1.1)."""
    length, prefix = len(data), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + data


def _lv_cat(*parts: bytes) -> bytes:
    return b"".join(map(_prepend_len, parts))


def _generator_string(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    """Pad so that the password alone, and nothing of the session, is in the first hash block."""
    padding = max(0, _BLOCK - 1 - len(_lv_cat(_DSI, prs)))
    return _lv_cat(_DSI, prs, bytes(padding), ci, sid)


def _generator(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    digest = sha512(_generator_string(prs, ci, sid)).digest()
    return _elligator2(_decode(digest[:_SIZE]))


def _decode(coordinate: bytes) -> int:
    """decodeUCoordinate of RFC 7748, section 5: bit 255 is ignored."""
    return int.from_bytes(coordinate, "little") & (2**255 - 1)


def _elligator2(r: int) -> bytes:
    """The u-coordinate onto which RFC 9380, section 6.7.1 maps the field element `r` (Z = 2).

    The powers take long and not always equally long, and a stranger may start as many runs as he
    likes: each is taken of a value multiplied by a fresh random one, so that its time says nothing
    of the password. Neither is of 0: -1/2 is not a square, and `w` has no root but v = 0.
    """
    blind, mask = _random_element(), _random_element()
    v = -_A * blind * pow((1 + 2 * r * r) * blind, _Q - 2, _Q) % _Q
    w = (v**3 + _A * v**2 + v) % _Q
    epsilon = pow(w * mask * mask, (_Q - 1) // 2, _Q)  # 1 if w is a square, otherwise -1
    half = (_Q + 1) // 2
    return ((epsilon * v - (1 - epsilon) * _A * half) % _Q).to_bytes(_SIZE, "little")


def _random_element() -> int:
    """Random and never 0."""
    return int.from_bytes(urandom(_SIZE - 1), "little") + 1


def _scalar_mult(scalar: bytes, point: bytes) -> bytes:
    """X25519 (RFC 7748) that refuses the neutral element: scalar_mult_vfy of the draft, 8.2."""
    try:
        private = X25519PrivateKey.from_private_bytes(scalar)
        return private.exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError:  # the library's answer to another length and to an all-zero result
        raise CPaceError("a point of low order, or not of 32 bytes") from None
