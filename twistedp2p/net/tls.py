"""TLS 1.3 between two nodes, each with a self-signed certificate of its node key.

No authority vouches for anybody: the certificate only carries the Ed25519 key, possession of
which the handshake proves. Who is meant by a key is decided above. Sessions are never resumed,
and the exporter (RFC 9266, ``tls-exporter``) binds what is said inside to this very session.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    ITCPTransport,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from twistedp2p.core.calls.frames import KEY, LABEL, Frames, frame_size

ALPN = b"p2pshare/1"
EXPORTER_LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266, section 4.2
EXPORTER_BYTES = 32
_FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59)  # RFC 5280, 4.1.2.5: no expiry
_LONG_AGO = datetime.datetime(2000, 1, 1)  # clocks in a classroom may be wrong


class NotANode(Exception):
    """The other end of a TLS session is not a node that speaks our protocol."""


def make_certificate(private_key: Ed25519PrivateKey) -> x509.Certificate:
    """A self-signed certificate that says nothing but the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2pshare")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_FOREVER)
        .sign(private_key, None)
    )


def _accept_self_signed(
    _connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _ok: int
) -> bool:
    """Depth 0 only, Ed25519 only: there is no chain to follow."""
    return depth == 0 and _node_key(certificate) is not None


def _node_key(certificate: crypto.X509 | None) -> bytes | None:
    """The Ed25519 key of a certificate; None where it has none, or is malformed in any way."""
    try:
        key = certificate.to_cryptography().public_key() if certificate is not None else None
    except Exception:  # whatever the parser makes of a stranger's bytes
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def _make_context(private_key: Ed25519PrivateKey, certificate: x509.Certificate) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.use_privatekey(private_key)
    context.use_certificate(certificate)
    context.check_privatekey()
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_self_signed)
    return context


def _select_alpn(_connection: SSL.Connection, offered: list[bytes]) -> Any:
    return ALPN if ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class NodeTLS:
    """Makes the TLS connections of one node, both as client and as server."""

    def __init__(
        self,
        private_key: Ed25519PrivateKey,
        make_certificate: Callable[[Ed25519PrivateKey], x509.Certificate] = make_certificate,
    ) -> None:
        certificate = make_certificate(private_key)
        self._server = _make_context(private_key, certificate)
        self._server.set_alpn_select_callback(_select_alpn)
        self._client = _make_context(private_key, certificate)
        self._client.set_alpn_protos([ALPN])

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Called by Twisted for each accepted connection."""
        return SSL.Connection(self._server, None)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Called by Twisted for each connection that we open."""
        return SSL.Connection(self._client, None)


class NodeTransport(TLSMemoryBIOProtocol):
    """TLS that steps aside for what an owner sends after GO (`core.calls.frames`)."""

    _receive: Callable[[bytes], None] | None = None

    def makeConnection(self, transport: Any) -> None:
        """Called by Twisted. What is asked is small, and is not to wait for an acknowledgement."""
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        super().makeConnection(transport)

    @property
    def tcp(self) -> Any:
        """The TCP transport below."""
        return self.transport

    def step_aside(self, receive: Callable[[bytes], None]) -> None:
        """From now on give what comes to `receive` as it is; what is written stays TLS."""
        self._receive = receive

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002 - as Twisted calls it
        """Called by Twisted."""
        if self._receive is None:
            super().dataReceived(bytes)
        else:
            self._receive(bytes)


class NodeTLSFactory(TLSMemoryBIOFactory):
    """Puts a `NodeTransport` around each protocol of a factory."""

    protocol = NodeTransport
    noisy = False


@attrs.frozen
class Peer:
    """Who is at the other end of a finished handshake, and what binds us to this session."""

    key: bytes  # Ed25519 public key, 32 bytes
    binding: bytes  # exporter, 32 bytes


def peer_of(connection: SSL.Connection) -> Peer:
    """Check a finished handshake; raises `NotANode`.

    Twisted goes on silently when no application protocol was agreed, so that is checked here.
    """
    if connection.get_protocol_version_name() != "TLSv1.3":
        raise NotANode("not TLS 1.3")
    if connection.get_alpn_proto_negotiated() != ALPN:
        raise NotANode("another application protocol")
    key = _node_key(connection.get_peer_certificate())
    if key is None:
        raise NotANode("no Ed25519 certificate")
    binding = connection.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES, b"")
    return Peer(key, binding)


def frames_of(connection: SSL.Connection, offer: bytes, size: int) -> Frames:
    """What the owner sends of that offer (16 bytes) once this session has come to GO.

    `size`: bytes of its content.
    """
    key = connection.export_keying_material(LABEL, KEY, offer)
    chacha = "CHACHA20" in (connection.get_cipher_name() or "")
    return Frames(key, frame_size(size), chacha=chacha)
