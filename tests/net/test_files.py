from __future__ import annotations

import datetime
import inspect
import os
import random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides, directlyProvides

from tests.net.test_pump import SlowThread
from tests.net.wire import (
    OFFER,
    SECRET,
    Bench,
    End,
    FakeOrder,
    MemoryReader,
    WholeFetch,
    Wire,
    public,
    wrap,
)
from twistedp2p.core.calls.conversation import ClientEnd, Refusal, Session
from twistedp2p.core.calls.cpace import Exchange
from twistedp2p.core.calls.frames import FRAME, SMALL, SMALL_FRAME, TAG, Frames
from twistedp2p.core.calls.lines import Auth, Get, Ok, Share, parse_owner
from twistedp2p.core.calls.pieces import BYTES, HAVE, MAX_WAITING, TREE, Ask
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.net import answers as answers_module
from twistedp2p.net.admission import YIELDS, Limits
from twistedp2p.net.answers import IDLE, STALL
from twistedp2p.net.body import UNSENT, WAKE, BodyReceiver
from twistedp2p.net.dial import HANDSHAKE_DEADLINE
from twistedp2p.net.fetch import STALL as CLIENT_STALL
from twistedp2p.net.serve import GO_DEADLINE, PROOF_DEADLINE
from twistedp2p.net.tls import ALPN, NodeTLS, _node_key, make_certificate, peer_of


class Script(LineReceiver):
    """A peer of ours that says what a test makes it say."""

    delimiter = b"\r\n"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.raw = b""
        self.lost: Failure | None = None

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def rawDataReceived(self, data: bytes) -> None:
        self.raw += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class FilesTestCase(SynchronousTestCase):
    def fetched(self, bench: Bench, order: FakeOrder | None = None) -> bytes:
        client, wire = bench.connect(order)
        wire.run()
        return self.successResultOf(client.done)

    def failure(self, client: WholeFetch) -> ShareError:
        return self.failureResultOf(client.done, ShareError).value

    def refused(self, bench: Bench, sentence: str, order: FakeOrder | None = None) -> ShareError:
        client, wire = bench.connect(order)
        wire.run()
        error = self.failure(client)
        self.assertIn(sentence, str(error))
        return error

    def script(self, bench: Bench, address: str = "10.0.0.1") -> tuple[Script, Wire]:
        """A scripted client, its TLS handshake done."""
        script = Script()
        wire = Wire(wrap(script, NodeTLS(bench.client_key), bench.clock), bench.accept(address))
        wire.run()
        return script, wire

    def said(self, script: Script, wire: Wire, line: bytes) -> bytes:
        """What the service answers to a line."""
        script.sendLine(line)
        wire.run()
        return script.lines[-1] if script.lines else b""

    def proof_line(self, script: Script, wire: Wire) -> bytes:
        """A GET with a right proof, after AUTH and SHARE."""
        handle = wire.client.getHandle()
        peer = peer_of(handle)
        own = handle.get_certificate().to_cryptography().public_key().public_bytes_raw()
        end = ClientEnd(Session(peer.key, own, peer.binding), OFFER, SECRET)
        end.heard(parse_owner(self.said(script, wire, end.auth().line())))
        return end.get().line()


class WholeFileTests(FilesTestCase):
    def test_every_size_arrives_whole(self) -> None:
        around = [size + more for size in (SMALL_FRAME, FRAME, SMALL) for more in (-1, 0, 1)]
        for size in (0, 1, 1000, *around, SMALL + 3 * FRAME + 5):
            data = os.urandom(size)
            bench, order = Bench(data), FakeOrder(OFFER, SECRET)
            self.assertEqual(data, self.fetched(bench, order))
            self.assertTrue(order.file.finished)
            self.assertEqual(public(bench.owner_key), order.owner)
            self.assertEqual([True], bench.shelf.guesses)
            self.assertTrue(all(reader.closed for reader in bench.shelf.readers))
            self.assertEqual(1, bench.shelf.ends)
            self.assertEqual([], bench.clock.getDelayedCalls())

    def test_a_read_that_stops_in_a_frame_gives_the_turn_to_others(self) -> None:
        """Attack 31: a folder of 100,000 files of a byte. Two are served so at once."""
        reads: list[int] = []  # bytes each
        read = MemoryReader.readinto

        def some(reader: MemoryReader, room: memoryview) -> int:
            reads.append(read(reader, room[: FRAME // 3]))
            return reads[-1]

        self.patch(MemoryReader, "readinto", some)
        data = os.urandom(SMALL + 3)
        bench = Bench(data)
        both = [bench.connect(FakeOrder(OFFER, SECRET)) for _ in range(2)]
        turns = []
        while not all(client.done.called for client, _ in both):
            for _, wire in both:
                before = len(reads)
                wire.step()
                turns.append(len(reads) - before)
        for client, _ in both:
            self.assertEqual(data, self.successResultOf(client.done))
        self.assertLessEqual(max(turns), 2)  # what a frame lacked, and some of the next

    def test_what_the_transport_has_read_itself_counts_as_well(self) -> None:
        data = os.urandom(2 * FRAME + 5)
        client, wire = Bench(data).connect()

        def nothing(_room: memoryview) -> int:
            raise BlockingIOError

        wire.client_end.recv_into = nothing  # type: ignore[method-assign]
        wire.run()
        self.assertEqual(data, self.successResultOf(client.done))

    def test_a_slow_link_wakes_us_a_few_times_for_a_frame(self) -> None:
        """And never for more than is missing, or nobody would be woken at all."""
        end, key, came = End(), bytes(32), bytearray()
        sender, receiver = Frames(key, chacha=False), Frames(key, chacha=False)
        sender.begin(2 * FRAME + 5)
        receiver.begin(2 * FRAME + 5)
        sealed = memoryview(bytearray(FRAME + TAG))
        sent = b"".join(bytes(sender.seal(bytes(size), sealed)) for size in (FRAME, FRAME, 5))

        class Taken:
            def room(self, size: int) -> memoryview:
                return memoryview(bytearray(size))

            def opened(self, size: int) -> None:
                came.extend(bytes(size))

            def spoilt(self) -> None: ...

        body = BodyReceiver(end, receiver, Taken())
        woken = 0
        for at in range(0, len(sent), 1500):
            end.came += sent[at : at + 1500]
            if len(end.came) >= end.wakes_at:
                end.doRead()
                woken += 1
        self.assertEqual(2 * FRAME + 5, len(came))
        self.assertLessEqual(woken, 2 * (FRAME // WAKE + 2) + 2)
        self.assertEqual(1, end.wakes_at)
        body.stop()

    def test_small_contents_come_in_small_frames(self) -> None:
        for size, frame in ((SMALL, SMALL_FRAME), (SMALL + 1, FRAME)):
            bench = Bench(bytes(size))
            fetch, wire = bench.connect()
            wire.run()
            self.successResultOf(fetch.done)
            self.assertEqual(frame, fetch.moved[0])

    def test_progress_is_told_at_both_ends(self) -> None:
        bench = Bench(bytes(2 * FRAME + 1))
        fetch, wire = bench.connect()
        wire.run()
        self.assertEqual(2 * FRAME + 1, fetch.moved[-1])
        self.assertEqual(2 * FRAME + 1, bench.shelf.sent)

    def test_a_missing_offer(self) -> None:
        error = self.refused(Bench(), "no such file", FakeOrder(b"x" * 16, SECRET))
        self.assertEqual(Exit.NOT_FOUND, error.code)

    def test_a_file_that_changed_at_the_owner(self) -> None:
        bench = Bench()
        bench.shelf.open_refusal = 409
        self.refused(bench, "has changed")

    def test_what_has_to_be_read_first_is_awaited_before_ok(self) -> None:
        bench = Bench()
        bench.shelf.loads = []
        fetch, wire = bench.connect()
        wire.run()
        self.assertIsNone(fetch.client.ok)
        bench.shelf.loads[0].callback(None)
        wire.run()
        self.assertEqual(b"hello", self.successResultOf(fetch.done))
        self.assertEqual(1, len(bench.shelf.loads))

    def test_what_has_to_be_read_anew_is_awaited_before_the_answer(self) -> None:
        """Others took its place in memory after OK."""
        bench, data = Bench(bytes(FRAME)), bytes(FRAME)
        fetch, wire = bench.connect()
        while fetch.client.ok is None:
            wire.step()
        bench.shelf.loads = []
        wire.run()
        self.assertNoResult(fetch.done)
        bench.shelf.loads[0].callback(None)
        wire.run()
        self.assertEqual(data, self.successResultOf(fetch.done))

    def test_what_cannot_be_read_is_refused_and_after_ok_cut(self) -> None:
        for proven in (False, True):
            bench = Bench()
            fetch, wire = bench.connect()
            while proven and fetch.client.ok is None:
                wire.step()
            bench.shelf.loads = []
            wire.run()
            bench.shelf.loads[0].errback(Refusal(500))
            wire.run()
            self.failureResultOf(fetch.done, ShareError)
            self.assertEqual([], bench.clock.getDelayedCalls())

    def test_what_fails_in_a_way_of_its_own_while_it_is_read_leaves_nobody_waiting(self) -> None:
        for proven in (False, True):
            bench = Bench()
            fetch, wire = bench.connect()
            while proven and fetch.client.ok is None:
                wire.step()
            bench.shelf.loads = []
            wire.run()
            bench.shelf.loads[0].errback(KeyError("defect"))
            wire.run()
            self.assertEqual(not proven, "could not read" in str(self.failure(fetch)))
            self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))
            self.assertEqual([], bench.clock.getDelayedCalls())

    def test_the_deadline_of_the_proof_ends_with_the_proof(self) -> None:
        bench = Bench()
        bench.shelf.loads = []
        fetch, wire = bench.connect()
        wire.run()
        bench.clock.advance(PROOF_DEADLINE + 1)
        bench.shelf.loads[0].callback(None)
        wire.run()
        self.assertEqual(b"hello", self.successResultOf(fetch.done))

    def test_what_is_never_read_is_not_waited_for_without_end(self) -> None:
        bench = Bench()
        bench.shelf.loads = []
        script, wire = self.script(bench)
        self.said(script, wire, self.proof_line(script, wire))
        bench.clock.advance(STALL - 1)
        self.assertFalse(wire.server_end.aborted)
        bench.clock.advance(2)
        self.assertTrue(wire.server_end.aborted)

    def test_who_has_gone_while_it_was_read_holds_no_place(self) -> None:
        bench = Bench()
        bench.shelf.loads = []
        fetch, wire = bench.connect()
        wire.run()
        fetch.client.close()
        wire.run()
        bench.shelf.loads[0].callback(None)
        self.failureResultOf(fetch.done, ShareError)
        self.assertEqual(0, bench.shelf.ends)
        self.assertEqual([], bench.clock.getDelayedCalls())

    def test_a_full_disk_here_ends_the_transfer(self) -> None:
        bench, order = Bench(bytes(10 * FRAME)), FakeOrder(OFFER, SECRET)
        order.file.fail_at = FRAME
        self.refused(bench, "disk is full", order)
        self.assertTrue(order.file.discarded)
        self.assertTrue(bench.shelf.readers[0].closed)

    def test_cancelling_at_every_step_leaves_nothing(self) -> None:
        for steps in range(40):
            bench, order = Bench(bytes(3 * FRAME)), FakeOrder(OFFER, SECRET)
            client, wire = bench.connect(order)
            for _ in range(steps):
                wire.step()
            if client.done.called:
                self.assertTrue(order.file.finished)
                self.successResultOf(client.done)
                break
            client.done.cancel()
            wire.run()
            self.failureResultOf(client.done)
            self.assertFalse(order.file.finished)
            self.assertEqual([], bench.clock.getDelayedCalls())
        else:
            self.fail("the transfer never ended")


class PauseTests(FilesTestCase):
    def test_our_own_silence_is_not_that_of_the_other_end(self) -> None:
        bench, order = Bench(b"hello"), FakeOrder(OFFER, SECRET)
        order.idle = True
        fetch, wire = bench.connect(order)
        wire.run()
        fetch.client.pauseProducing()  # our disk stands still
        have = fetch.client.ask(Ask(HAVE))
        bench.clock.advance(CLIENT_STALL + 1)
        self.assertFalse(fetch.client.over)
        fetch.client.resumeProducing()
        bench.clock.advance(CLIENT_STALL + 1)
        self.assertTrue(fetch.client.over)
        for deferred in (have, fetch.done):
            self.failureResultOf(deferred)


class PasswordTests(FilesTestCase):
    def test_a_wrong_password(self) -> None:
        """Attack 1: 403, one guess, nothing written."""
        bench, order = Bench(), FakeOrder(OFFER, b"w" * 32)
        error = self.refused(bench, "wrong password", order)
        self.assertEqual(Exit.DENIED, error.code)
        self.assertEqual([False], bench.shelf.guesses)
        self.assertIsNone(order.ok)

    def test_no_automatic_retry(self) -> None:
        """Attack 14: after 403 the connection is over and no other is made."""
        bench = Bench()
        client, wire = bench.connect(FakeOrder(OFFER, b"w" * 32))
        wire.run()
        self.failure(client)
        self.assertEqual(1, bench.shelf.asked)
        self.assertTrue(wire.client_end.closed)

    def test_guesses_stay_within_the_bucket(self) -> None:
        """Attack 13: of many GETs at once only as many proofs are looked at as there are tokens."""
        bench = Bench(limits=Limits(connections_rate=1e6, connections_burst=1e6))
        pairs = [
            bench.connect(FakeOrder(OFFER, b"w" * 32), address=f"10.0.1.{number}")
            for number in range(60)
        ]
        for _ in range(30):
            for _client, wire in pairs:
                wire.step()
        codes = [self.failure(client).code for client, _ in pairs]
        self.assertEqual(60, len(codes))
        self.assertEqual([False] * 10, bench.shelf.guesses)
        self.assertEqual(60, bench.shelf.asked)

    def test_an_aborted_handshake_costs_no_guess(self) -> None:
        bench = Bench()
        script, wire = self.script(bench)
        self.assertTrue(
            self.said(script, wire, Auth(OFFER, os.urandom(32)).line()).startswith(b"SHARE ")
        )
        wire.close(ConnectionLost())
        self.assertEqual(0, bench.shelf.asked)

    def test_an_impostor_without_the_password(self) -> None:
        """Attack 3: who does not know the password cannot pretend to."""
        bench, order = Bench(), FakeOrder(OFFER, SECRET)
        bench.shelf.offers[OFFER].prs = b"i" * 32
        self.refused(bench, "wrong password", order)
        self.assertIsNone(order.ok)

    def test_an_impostor_that_says_ok_anyway(self) -> None:
        """Attack 3: an OK without proof is not believed, and nothing is opened."""
        bench, order = Bench(), FakeOrder(OFFER, SECRET)
        impostor = Script()
        client, outer = bench.client(order)
        wire = Wire(
            outer, wrap(impostor, NodeTLS(Ed25519PrivateKey.generate()), bench.clock, client=False)
        )
        wire.run()
        impostor.sendLine(Share(_a_share()).line())
        wire.run()
        self.assertTrue(impostor.lines[-1].startswith(b"GET "))
        impostor.sendLine(Ok(os.urandom(64), 5, 0, "blake3:" + "0" * 64, "a.bin").line())
        wire.run()
        self.assertIn("could not prove", str(self.failure(client)))
        self.assertIsNone(order.ok)

    def test_an_impostor_with_the_password_and_another_key(self) -> None:
        """Attacks 4 and 11: the key that signed the offer is required before anything is said."""
        bench = Bench()
        order = FakeOrder(OFFER, SECRET, only=public(Ed25519PrivateKey.generate()))
        self.refused(bench, "Another node", order)
        self.assertEqual(0, bench.shelf.asked)

    def test_a_man_in_the_middle_ends_tls_twice(self) -> None:
        """Attack 2: lines relayed between two TLS sessions prove nothing in either."""
        bench, order = Bench(), FakeOrder(OFFER, SECRET)
        to_client, to_owner = Script(), Script()
        client, outer = bench.client(order)
        middle = NodeTLS(Ed25519PrivateKey.generate())
        left = Wire(outer, wrap(to_client, middle, bench.clock, client=False))
        right = Wire(wrap(to_owner, middle, bench.clock), bench.accept())
        for _ in range(5):
            left.run()
            right.run()
            for source, target in ((to_client, to_owner), (to_owner, to_client)):
                while source.lines and target.lost is None:
                    target.sendLine(source.lines.pop(0))
        self.assertIn("wrong password", str(self.failure(client)))
        self.assertEqual([False], bench.shelf.guesses)
        self.assertIsNone(order.ok)

    def test_a_reflected_share(self) -> None:
        """Attack 6: our own share sent back (CVE-2019-9497)."""
        bench, order = Bench(), FakeOrder(OFFER, SECRET)
        impostor = Script()
        client, outer = bench.client(order)
        wire = Wire(
            outer, wrap(impostor, NodeTLS(Ed25519PrivateKey.generate()), bench.clock, client=False)
        )
        wire.run()
        impostor.sendLine(b"SHARE " + impostor.lines[-1].split()[2])
        wire.run()
        self.failure(client)
        self.assertIsNone(order.ok)

    def test_a_low_order_share(self) -> None:
        """Attack 7: a share of low order is refused before any proof."""
        bench = Bench()
        script, wire = self.script(bench)
        self.assertEqual(b"ERR 400", self.said(script, wire, Auth(OFFER, bytes(32)).line()))
        self.assertEqual(0, bench.shelf.asked)

    def test_a_replayed_transcript(self) -> None:
        """Attack 8: the bytes of an earlier session open nothing."""
        bench = Bench()
        _client, wire = bench.connect()
        wire.run()
        replay = Protocol()
        again = Wire(replay, bench.accept())
        again.client_end.write(bytes(wire.to_server))
        again.run()
        self.assertEqual([True], bench.shelf.guesses)
        self.assertNotIn(b"hello", bytes(again.to_client))

    def test_a_recorded_session_tests_no_guess(self) -> None:
        """Attack 12: nothing said twice is the same, not even inside TLS (CVE-2023-43617)."""
        bench = Bench()
        seen: list[bytes] = []
        for _ in range(2):
            script, wire = self.script(bench)
            line = self.proof_line(script, wire)
            self.said(script, wire, line)
            seen += [line.split()[1], script.lines[0].split()[1], script.lines[1].split()[1]]
        self.assertEqual(6, len(set(seen)))
        self.assertNotIn(SECRET, bytes(wire.to_client + wire.to_server))


def _a_share() -> bytes:
    return Exchange(b"p", b"s", b"c", initiator=False).share


class HandshakeTests(FilesTestCase):
    def served(self, context: SSL.Context, bench: Bench) -> bool:
        """Whether a client with this TLS context gets as far as an answer to AUTH."""

        class Own:
            def clientConnectionForTLS(self, _protocol: object) -> SSL.Connection:
                return SSL.Connection(context, None)

        own = Own()
        directlyProvides(own, IOpenSSLClientConnectionCreator)
        script = Script()
        wire = Wire(wrap(script, own, bench.clock), bench.accept())
        wire.run()
        if script.transport is not None and script.lost is None:
            script.sendLine(Auth(OFFER, _a_share()).line())
            wire.run()
        return bool(script.lines)

    def context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_alpn_protos([ALPN])
        return context

    def test_small_lines_do_not_wait_for_each_others_acknowledgement(self) -> None:
        said: list[bool] = []
        transport = StringTransport()
        transport.setTcpNoDelay = said.append  # type: ignore[attr-defined]
        alsoProvides(transport, ITCPTransport)
        bench = Bench()
        bench.accept().makeConnection(transport)
        self.assertEqual([True], said)

    def test_a_node_is_served(self) -> None:
        context, key = self.context(), Ed25519PrivateKey.generate()
        context.use_privatekey(key)
        context.use_certificate(make_certificate(key))
        self.assertTrue(self.served(context, Bench()))

    def test_tls_1_2(self) -> None:
        """Attack 10: an older TLS."""
        context, key = self.context(), Ed25519PrivateKey.generate()
        context.use_privatekey(key)
        context.use_certificate(make_certificate(key))
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        self.assertFalse(self.served(context, Bench()))

    def test_no_certificate(self) -> None:
        """Attack 10: a client without a key."""
        self.assertFalse(self.served(self.context(), Bench()))

    def test_certificates_of_other_kinds(self) -> None:
        """Attack 10: RSA and elliptic curve certificates."""
        for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
            context = self.context()
            context.use_privatekey(key)
            context.use_certificate(_other_certificate(key))
            self.assertFalse(self.served(context, Bench()))

    def test_another_application_protocol(self) -> None:
        """Attack 10: none, or another one."""
        for protocols in ([], [b"h2"], [b"p2pshare/2"]):
            context, key = SSL.Context(SSL.TLS_METHOD), Ed25519PrivateKey.generate()
            if protocols:
                context.set_alpn_protos(protocols)
            context.use_privatekey(key)
            context.use_certificate(make_certificate(key))
            self.assertFalse(self.served(context, Bench()))

    def test_plain_text(self) -> None:
        """Attack 10: no TLS at all."""
        bench = Bench()
        client = Script()
        wire = Wire(client, bench.accept())
        client.sendLine(Auth(OFFER, _a_share()).line())
        wire.run()
        self.assertNotIn(b"SHARE", bytes(wire.to_client))
        self.assertTrue(wire.server_end.closed)

    def test_a_server_that_is_no_node(self) -> None:
        """Attack 10: what answers must be a node, too."""
        bench = Bench()
        client, outer = bench.client()
        wire = Wire(outer, _Echo())
        wire.run()
        self.assertIn("not a p2pshare node", str(self.failure(client)))

    def test_the_owners_certificate_with_another_private_key(self) -> None:
        """Attack 5: a certificate is of no use without its private key."""
        owner, thief = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.assertRaises(SSL.Error, NodeTLS, thief, lambda _key: make_certificate(owner))

    def test_a_malformed_certificate_is_refused_and_nothing_more(self) -> None:
        """Attack 10: a certificate whose version no parser knows."""
        key = Ed25519PrivateKey.generate()
        der = bytearray(make_certificate(key).public_bytes(serialization.Encoding.DER))
        der[der.index(b"\xa0\x03\x02\x01\x02") + 4] = 7
        malformed = crypto.load_certificate(crypto.FILETYPE_ASN1, bytes(der))
        self.assertIsNone(_node_key(malformed))

    def test_a_forged_certificate_of_the_owners_key(self) -> None:
        """Attack 5: signed by the thief, it still needs the owner's private key."""
        owner, thief = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2pshare")])
        forged = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(owner.public_key())
            .serial_number(1)
            .not_valid_before(datetime.datetime(2020, 1, 1))
            .not_valid_after(datetime.datetime(2040, 1, 1))
            .sign(thief, None)
        )
        self.assertRaises(SSL.Error, NodeTLS, thief, lambda _key: forged)


class _Echo(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mail.example ESMTP\r\n")


def _other_certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2pshare")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2040, 1, 1))
        .sign(key, hashes.SHA256())
    )


class LineTests(FilesTestCase):
    def test_a_line_without_end(self) -> None:
        """Attack 19: more than 512 bytes without an end close the connection (CVE-2022-21716)."""
        bench = Bench()
        script, wire = self.script(bench)
        script.transport.write(b"A" * 600)
        wire.run()
        self.assertTrue(wire.server_end.closed)
        self.assertEqual([], script.lines)

    def test_a_line_that_is_too_long(self) -> None:
        """Attack 19: the same with an end."""
        bench = Bench()
        script, wire = self.script(bench)
        self.said(script, wire, b"AUTH " + b"0" * 600)
        self.assertTrue(wire.server_end.closed)

    def test_the_wrong_moment(self) -> None:
        bench = Bench()
        for line in (b"GO", Get(bytes(64)).line(), b"", b"HELLO", b"\xff\xfe"):
            script, wire = self.script(bench)
            self.assertEqual(b"ERR 400", self.said(script, wire, line))
            bench.clock.advance(10)

    def test_lines_sent_ahead_are_no_short_cut(self) -> None:
        bench = Bench()
        script, wire = self.script(bench)
        script.sendLine(Auth(OFFER, _a_share()).line())
        script.sendLine(Get(bytes(64)).line())
        script.sendLine(b"GO")
        wire.run()
        self.assertEqual([b"SHARE", b"ERR"], [line.split()[0] for line in script.lines])
        self.assertEqual([False], bench.shelf.guesses)
        self.assertEqual(b"", script.raw)

    def test_a_client_is_told_nothing_but_the_code(self) -> None:
        """What the owner words is never shown: only its number is used."""
        bench = Bench()
        for line, word in (
            (b"ERR 503 5", "busy"),
            (b"ERR 403 \x1b[31mx", "protocol"),
            (b"ERR 999", "did not understand"),
            (b"OK", "protocol"),
            (b"\x1b]0;x\x07", "protocol"),
        ):
            impostor = Script()
            client, outer = bench.client()
            tls = NodeTLS(Ed25519PrivateKey.generate())
            wire = Wire(outer, wrap(impostor, tls, bench.clock, client=False))
            wire.run()
            impostor.sendLine(line)
            wire.run()
            self.assertIn(word, str(self.failure(client)))


class BodyTests(FilesTestCase):
    size = 3 * SMALL_FRAME + 10

    def tampered(self, change: object, wanted: str = "") -> FakeOrder:
        """A transfer whose body `change(frames) -> bytes` replaces; it must fail."""
        bench, order = Bench(os.urandom(self.size)), FakeOrder(OFFER, SECRET)
        client, wire = bench.connect(order)
        body = bytearray()

        def hold(data: bytes, to_client: bool) -> bytes:
            if not to_client or client.client.ok is None:
                return data
            body.extend(data)
            if len(body) < self.size + 4 * TAG:
                return b""
            frames = [
                bytes(body[at : at + SMALL_FRAME + TAG])
                for at in range(0, len(body), SMALL_FRAME + TAG)
            ]
            return change(frames)  # type: ignore[operator,no-any-return]

        wire.change = hold
        wire.run()
        wire.server_end.loseConnection()
        wire.run()
        error = self.failure(client)
        self.assertIn(wanted, str(error))
        self.assertFalse(order.file.finished)
        self.assertTrue(order.file.discarded)
        self.assertEqual([], bench.clock.getDelayedCalls())
        return order

    def test_reordered_frames(self) -> None:
        """Attack 15: the second frame before the first."""
        self.tampered(lambda f: b"".join([f[1], f[0], *f[2:]]), "not what the owner sent")

    def test_a_dropped_frame(self) -> None:
        """Attack 15: one frame missing, then the end."""
        self.tampered(lambda f: b"".join([f[0], *f[2:]]), "")

    def test_a_repeated_frame(self) -> None:
        """Attack 15: one frame twice."""
        self.tampered(lambda f: b"".join([f[0], f[0], *f[2:]]), "not what the owner sent")

    def test_a_flipped_bit(self) -> None:
        """Attack 15: one bit changed."""
        self.tampered(
            lambda f: bytes([f[0][0] ^ 1]) + f[0][1:] + b"".join(f[1:]), "not what the owner sent"
        )

    def test_a_truncated_body(self) -> None:
        """Attack 15: the end before the last byte, cleanly."""
        self.tampered(lambda f: b"".join(f)[:-1], "broke in the middle")

    def test_a_body_cut_at_a_frame(self) -> None:
        """Attack 15: the end after a whole frame."""
        self.tampered(lambda f: b"".join(f[:-1]), "broke in the middle")

    def test_bytes_that_nobody_asked_for(self) -> None:
        """Attack 15: more than was asked for, after a pause."""
        bench = Bench(b"hello")
        fetch, outer = bench.client()
        fetch._look = lambda: None  # type: ignore[method-assign]  # it does not close
        wire = Wire(outer, bench.accept())
        wire.run()
        wire.client.dataReceived(b"x")
        wire.run()
        self.assertIn("protocol", str(self.failure(fetch)))

    def test_an_owner_that_drips_is_not_listened_to_for_ever(self) -> None:
        """Attack 41: a byte now and then does not put the end off."""
        bench, order = Bench(bytes(3 * FRAME)), FakeOrder(OFFER, SECRET)
        client, wire = bench.connect(order)
        while client.client.ok is None:
            wire.step()
        wire.client_end.paused = True
        for _ in range(40):
            bench.clock.advance(1)
            if not client.done.called:
                wire.client.dataReceived(b"x")
        self.assertEqual(Exit.TIMEOUT, self.failure(client).code)
        wire.client_end.paused = False
        wire.run()

    def test_a_slow_disk_of_ours_is_not_blamed_on_the_owner(self) -> None:
        bench, order = Bench(bytes(40 * FRAME)), FakeOrder(OFFER, SECRET)
        bench.in_thread = thread = SlowThread()
        client, wire = bench.connect(order)
        wire.run()
        thread.one()
        wire.run()
        self.assertTrue(wire.client_end.paused)
        bench.clock.advance(CLIENT_STALL - 5)
        self.assertFalse(client.done.called)
        while wire.client_end.paused:
            thread.one()
        while not client.done.called:
            wire.run()
            thread.all()
        self.assertEqual(bytes(40 * FRAME), self.successResultOf(client.done))

    def test_what_came_before_a_cut_is_written_before_that_is_told(self) -> None:
        bench, order = Bench(bytes(40 * FRAME)), FakeOrder(OFFER, SECRET)
        bench.in_thread = thread = SlowThread()
        client, wire = bench.connect(order)
        wire.run()
        came = client.moved[-1]
        wire.close(ConnectionLost())
        self.assertFalse(client.done.called)
        thread.all()
        self.assertEqual(came, len(order.file.data))
        self.failure(client)

    def test_a_piece_does_not_wait_for_the_next_one(self) -> None:
        bench, order = Bench(bytes(FRAME)), FakeOrder(OFFER, SECRET)
        order.idle = True
        client, wire = bench.connect(order)
        wire.run()
        for length in (5, 7):
            client.client.fetch(0, length, client)
        wire.run()
        self.assertEqual([5, 7], order.file.results)

    def test_frames_of_another_session(self) -> None:
        """Attack 15: a body recorded from another session."""
        bench = Bench(bytes(self.size))
        client, wire = bench.connect()
        wire.run()
        self.successResultOf(client.done)
        other = bytes(wire.to_client[-(self.size + 4 * TAG) :])
        self.tampered(lambda _f: other, "not what the owner sent")

    def test_a_system_that_takes_little_at_once(self) -> None:
        data = random.Random(1).randbytes(self.size)
        for takes in (1_000, SMALL_FRAME, SMALL_FRAME + TAG, 3 * SMALL_FRAME):
            bench = Bench(data)
            client, wire = bench.connect()
            wire.server_end.takes = takes
            wire.run()
            self.assertEqual(data, self.successResultOf(client.done))

    def test_nothing_is_read_for_a_connection_that_takes_nothing(self) -> None:
        """Else a frame for each of a thousand clients waits in memory."""
        bench = Bench(bytes(self.size))
        client, wire = bench.connect()
        while client.client.ok is None:
            wire.step()
        wire.server_end.full = True
        wire.run()
        self.assertEqual(b"", bytes(wire.server_end.written))
        wire.server_end.full = False
        wire.run()
        self.assertEqual(bytes(self.size), self.successResultOf(client.done))

    def test_the_owner_aborts(self) -> None:
        """Attacks 15 and 16: a file that changes while it is sent ends in an abort."""
        bench, order = Bench(bytes(self.size)), FakeOrder(OFFER, SECRET)
        bench.shelf.fail_at = SMALL_FRAME + 1
        self.refused(bench, "broke in the middle", order)
        self.assertTrue(order.file.discarded)
        self.assertTrue(bench.shelf.readers[0].closed)
        self.assertEqual(bench.shelf.breaks, ["the file has changed"])

    def test_an_owner_that_stops(self) -> None:
        bench, order = Bench(bytes(self.size)), FakeOrder(OFFER, SECRET)
        client, wire = bench.connect(order)
        while client.client.ok is None:
            wire.step()
        wire.client_end.paused = True
        wire.run()
        bench.clock.advance(CLIENT_STALL + 1)
        self.assertEqual(Exit.TIMEOUT, self.failure(client).code)
        self.assertTrue(order.file.discarded)

    def test_the_body_is_not_readable_on_the_wire(self) -> None:
        bench = Bench(b"a very secret text" * 10)
        client, wire = bench.connect()
        wire.run()
        self.successResultOf(client.done)
        self.assertNotIn(b"secret", bytes(wire.to_client))

    def raw(self, bench: Bench, data: bytes) -> tuple[Script, Wire]:
        """A client that says GO, and then something of its own."""
        script, wire = self.script(bench)
        self.said(script, wire, self.proof_line(script, wire))
        script.sendLine(b"GO")
        script.transport.write(data)
        wire.run()
        return script, wire

    def test_what_is_no_ask_ends_it(self) -> None:
        """Attack 18: beyond the end, overflowing (CVE-2021-21404), or unknown."""
        bench = Bench(b"hello", Limits(connections_rate=1e6, connections_burst=1e6))
        for kind, a, b in ((BYTES, 0, 6), (BYTES, 2**64 - 1, 2), (BYTES, 0, 0), (99, 0, 0)):
            _script, wire = self.raw(bench, Ask(kind, a, b).write())
            self.assertTrue(wire.server_end.closed)
            self.assertEqual([], bench.shelf.readers)

    def test_more_asks_than_may_wait(self) -> None:
        """Attack 40: they are not kept without end."""
        asks = Ask(BYTES, 0, 5).write()
        bench = Bench(b"hello")
        self.raw(bench, asks * (MAX_WAITING + 2))
        self.assertEqual([], bench.shelf.readers)
        self.raw(bench, asks * (MAX_WAITING - 1))
        self.assertNotEqual([], bench.shelf.readers)

    def test_many_asks_for_nothing_are_answered_one_after_another(self) -> None:
        """Attack 41: answers without a byte, as many as may wait, in no depth of calls."""
        bench, order = Bench(b""), FakeOrder(OFFER, SECRET)
        order.idle = True
        fetch, wire = bench.connect(order)
        wire.run()
        depths: list[int] = []

        def text(*_: object) -> bytes:
            depths.append(len(inspect.stack(0)))
            return b""

        bench.shelf.text = text  # type: ignore[method-assign]
        fetch.client.transport.write(Ask(HAVE).write() * MAX_WAITING)  # in one record of TLS
        wire.run()
        self.assertEqual(MAX_WAITING, len(depths))
        self.assertLess(max(depths) - min(depths), 50)
        self.assertFalse(wire.server_end.closed)

    def test_more_is_asked_for_at_the_moment_in_which_an_answer_is_whole(self) -> None:
        """Then the next body has begun already, and is not completed with the one before."""
        data = os.urandom(6 * FRAME)
        bench, order = Bench(data), FakeOrder(OFFER, SECRET)
        order.idle = True
        fetch, wire = bench.connect(order)
        wire.run()
        asked = [1]

        def came(size: int) -> None:
            if asked[0] < 6:
                fetch.client.fetch(asked[0] * FRAME, FRAME, fetch)
                asked[0] += 1

        fetch.came = came  # type: ignore[method-assign]
        fetch.client.fetch(0, FRAME, fetch)
        wire.run()
        self.assertEqual(data, bytes(order.file.data))
        self.assertEqual(0, fetch.client.waiting)

    def test_what_is_asked_for_counts_as_handed_out_once_it_was_sent(self) -> None:
        """Attack 41: the owner keeps pieces for others that nobody has taken."""
        for stops in (True, False):
            bench, order = Bench(bytes(10 * FRAME)), FakeOrder(OFFER, SECRET)
            order.idle = True
            fetch, wire = bench.connect(order)
            wire.run()
            wire.client_end.paused = stops
            wire.server_end.takes = FRAME
            fetch.client.fetch(FRAME, 9 * FRAME, fetch)
            wire.run()
            self.assertEqual([] if stops else [(FRAME, 9 * FRAME)], bench.shelf.handed)
            bench.clock.advance(STALL + 1)
            wire.client_end.paused = False
            wire.run()
            self.assertEqual(not stops, bool(bench.shelf.handed))
            bench.service.cut()
            wire.run()
            self.failure(fetch)

    def test_the_owner_gives_no_piece_twice_to_who_asks_ahead(self) -> None:
        """Two asks in a row have one bitmap: nobody knows yet what answers the first."""
        bench, order = Bench(bytes(3 * 2**20)), FakeOrder(OFFER, SECRET)
        order.idle = True
        had = []

        def first_lacking(_served: object, have: bytes) -> int | None:
            had.append(have)
            return next((n for n in range(3) if not have[0] & 0x80 >> n), None)

        bench.shelf.next = first_lacking  # type: ignore[method-assign]
        fetch, wire = bench.connect(order)
        wire.run()
        told = [fetch.client.fetch_next(b"\x40", fetch) for _ in range(3)]
        wire.run()
        self.assertEqual([0, 2, None], [self.successResultOf(each) for each in told])
        self.assertEqual([b"\x40", b"\xc0", b"\xe0"], had)

    def test_a_piece_that_there_is_not_ends_it(self) -> None:
        """NEXT answered with a number beyond the last piece, or with one too large for any."""
        for number in (1, 2**60):
            bench, order = Bench(bytes(1000)), FakeOrder(OFFER, SECRET)
            order.idle = True
            bench.shelf.next = lambda *_: None  # type: ignore[method-assign]
            self.patch(answers_module, "NONE", number)
            fetch, wire = bench.connect(order)
            wire.run()
            told = fetch.client.fetch_next(b"\0", fetch)
            wire.run()
            self.failureResultOf(told, ShareError)
            self.assertIn("thrown away", str(self.failure(fetch)))

    def test_texts_are_answered_in_the_order_of_the_asks(self) -> None:
        data = os.urandom(3 * 2**20)
        bench, order = Bench(data), FakeOrder(OFFER, SECRET)
        fetch, outer = bench.client(order)
        order.idle = True
        wire = Wire(outer, bench.accept())
        wire.run()
        client = fetch.client
        tree = client.ask(Ask(TREE))
        client.fetch(5, 10, fetch)
        have = client.ask(Ask(HAVE))
        wire.run()
        self.assertEqual(b"t" * 96, self.successResultOf(tree))
        self.assertEqual(b"t", self.successResultOf(have))
        self.assertEqual(data[5:15], bytes(order.file.data))
        self.assertEqual(0, client.waiting)

    def test_the_owner_chooses_a_piece(self) -> None:
        data = os.urandom(2 * 2**20 + 7)
        bench, order = Bench(data), FakeOrder(OFFER, SECRET)
        fetch, outer = bench.client(order)
        order.idle = True
        wire = Wire(outer, bench.accept())
        wire.run()
        numbers = [fetch.client.fetch_next(have, fetch) for have in (b"\xc0", b"\x40", b"\xe0")]
        wire.run()
        self.assertEqual([2, 0, None], [self.successResultOf(number) for number in numbers])
        self.assertEqual(data[2 * 2**20 :] + data[: 2**20], bytes(order.file.data))

    def test_who_asks_nothing_is_cut_in_the_end(self) -> None:
        bench = Bench(b"hello")
        _script, wire = self.raw(bench, b"")
        bench.clock.advance(IDLE - 1)
        self.assertFalse(wire.server_end.aborted)
        bench.clock.advance(2)
        self.assertTrue(wire.server_end.aborted)


class DoorTests(FilesTestCase):
    def test_connections_of_one_address_are_limited_before_tls(self) -> None:
        """Attack 41: a ClientHello flood is turned away before a TLS object is made."""
        bench = Bench(limits=Limits(unproven_per_address=1000, unproven=1000))
        accepted = [bench.accept("10.0.0.9") for _ in range(50)]
        self.assertEqual(10, sum(each is not None for each in accepted))
        self.assertIsNotNone(bench.accept("10.0.0.10"))
        bench.clock.advance(1)
        self.assertEqual(5, sum(bench.accept("10.0.0.9") is not None for _ in range(10)))

    def wires(self, bench: Bench, addresses: list[str]) -> list[Wire]:
        found = []
        for address in addresses:
            server = bench.accept(address)
            if server is not None:
                found.append(Wire(Script(), server, address))
        return found

    def test_idle_connections_are_limited_and_closed(self) -> None:
        """Attack 41: sockets that say nothing (CVE-2002-20001)."""
        bench = Bench(limits=Limits(connections_rate=1e6, connections_burst=1e6))
        self.assertEqual(8, len(self.wires(bench, ["10.0.0.9"] * 20)))
        others = [f"10.0.{number}.1" for number in range(100)]
        self.assertEqual(56 + 7, len(self.wires(bench, others)))  # the one has lost all but one
        self.assertEqual(64, bench.service.admission.unproven.total())
        bench.clock.advance(PROOF_DEADLINE + 1)

    def test_who_waits_for_what_is_loaded_counts_until_he_has_a_place(self) -> None:
        """Attack 41: who knows a password, and comes again and again while much is read."""
        bench = Bench(limits=Limits(unproven_per_address=2))
        bench.shelf.loads = []
        fetches = [bench.connect() for _ in range(2)]
        for _fetch, wire in fetches:
            wire.run()
        self.assertEqual(2, len(bench.shelf.loads))
        self.assertIsNone(bench.accept())
        self.assertIsNotNone(bench.accept("10.0.0.9"))
        for load in list(bench.shelf.loads):
            load.callback(None)
        self.assertEqual(0, bench.service.admission.unproven["10.0.0.1"])
        for fetch, wire in fetches:
            wire.run()
            self.assertEqual(b"hello", self.successResultOf(fetch.done))
        self.assertEqual(b"hello", self.fetched(bench))

    def test_a_few_addresses_do_not_close_the_door_for_all(self) -> None:
        """Attack 41: eight that say nothing take all places, again and again."""
        bench = Bench(limits=Limits(connections_rate=1e6, connections_burst=1e6))
        wires = self.wires(bench, [f"10.0.0.{number % 8}" for number in range(64)])
        self.assertEqual(64, len(wires))
        self.assertEqual(b"hello", self.fetched_from(bench, "10.0.1.1"))
        self.assertTrue(wires[0].server_end.aborted)
        self.assertFalse(any(wire.server_end.aborted for wire in wires[1:]))
        self.wires(bench, [f"10.0.0.{number % 8}" for number in range(64)])
        others = self.wires(bench, [f"10.0.2.{number}" for number in range(56)])
        self.assertEqual(56, len(others))
        self.assertEqual([], self.wires(bench, ["10.0.3.1"]))  # all have one: nobody has too many
        self.assertFalse(any(wire.server_end.aborted for wire in others))
        self.assertEqual(64, bench.service.admission.unproven.total())
        bench.clock.advance(PROOF_DEADLINE + 1)
        self.assertEqual(0, bench.service.admission.unproven.total())

    def fetched_from(self, bench: Bench, address: str) -> bytes:
        client, wire = bench.connect(address=address)
        wire.run()
        return self.successResultOf(client.done)

    def test_who_serves_more_lets_more_in_at_once(self) -> None:
        bench = Bench(limits=Limits.of(1000, 160))
        wires = self.wires(bench, [f"10.0.0.{number % 6}" for number in range(1200)])
        self.assertEqual(6 * 160, len(wires))
        bench.clock.advance(PROOF_DEADLINE + 1)

    def test_who_serves_less_still_talks_to_all(self) -> None:
        limits = Limits.of(1, 1)
        self.assertEqual(Limits(transfers=1, transfers_per_address=1), limits)

    def test_the_deadline_frees_the_places(self) -> None:
        """Attack 41: after the deadline others get in."""
        bench = Bench(limits=Limits(connections_rate=1e6, connections_burst=1e6))
        wires = self.wires(bench, ["10.0.0.9"] * 20)
        bench.clock.advance(PROOF_DEADLINE + 1)
        for wire in wires:
            wire.run()
            self.assertTrue(wire.server_end.closed)
        self.assertIsNotNone(bench.accept("10.0.0.9"))

    def test_slow_lines(self) -> None:
        """Attack 41: a byte now and then does not put the deadline off."""
        bench = Bench()
        script, wire = self.script(bench)
        for _ in range(12):
            bench.clock.advance(1)
            if not wire.server_end.aborted:
                script.transport.write(b"A")
                wire.run()
        wire.run()
        self.assertTrue(wire.server_end.closed)

    def test_a_client_is_sent_away_when_the_house_is_full(self) -> None:
        bench = Bench()
        client, outer = bench.client()
        wire = Wire(outer, Protocol())
        wire.close(ConnectionDone())
        self.assertIn("busy", str(self.failure(client)))

    def test_transfers_are_limited_per_node_and_in_all(self) -> None:
        bench = Bench(bytes(50 * FRAME), Limits(transfers_per_peer=2, connections_burst=100))
        pairs = [bench.connect(FakeOrder(OFFER, SECRET)) for _ in range(3)]
        for _ in range(30):
            for _client, wire in pairs:
                wire.step()
        self.assertEqual(503, 503 if pairs[2][0].done.called else 0)
        self.assertIn("busy", str(self.failure(pairs[2][0])))
        for client, wire in pairs[:2]:
            wire.run()
            self.successResultOf(client.done)
        self.assertEqual(bytes(50 * FRAME), self.fetched(bench))

    def test_transfers_are_limited_per_address_too(self) -> None:
        """Attack 41: keys cost nothing to make, so one host cannot take every place."""
        limits = Limits(transfers_per_address=2, connections_burst=100)
        bench = Bench(bytes(50 * FRAME), limits)
        clients = []
        for address in ["10.0.0.9"] * 3 + ["10.0.0.10"]:
            bench.client_key = Ed25519PrivateKey.generate()
            clients.append(bench.connect(address=address))
        for _ in range(30):
            for _client, wire in clients:
                wire.step()
        self.assertIn("busy", str(self.failure(clients[2][0])))
        for client, wire in (clients[0], clients[1], clients[3]):
            wire.run()
            self.successResultOf(client.done)

    def test_who_holds_a_place_and_asks_nothing_leaves_it_to_another(self) -> None:
        """Attack 41: places that are taken and not used."""
        bench = Bench(b"hello", Limits(transfers=1))
        order = FakeOrder(OFFER, SECRET)
        order.idle = True
        hog, hogs_wire = bench.connect(order)
        hogs_wire.run()
        self.refused(bench, "busy")
        bench.clock.advance(YIELDS)
        self.assertEqual(b"hello", self.fetched(bench))
        hogs_wire.run()
        self.failure(hog)
        self.assertEqual(2, bench.shelf.ends)
        self.assertEqual(b"hello", self.fetched(bench))

    def test_who_may_have_no_more_places_throws_nobody_out(self) -> None:
        """Attack 41: others lose their places to who would not get them."""
        bench = Bench(b"hello", Limits(transfers=2, transfers_per_address=1))
        pairs = []
        for address in ("10.0.0.1", "10.0.0.2"):
            order = FakeOrder(OFFER, SECRET)
            order.idle = True
            pairs.append(bench.connect(order, address=address))
            pairs[-1][1].run()
        bench.clock.advance(YIELDS)
        self.refused(bench, "busy")  # of 10.0.0.1
        self.assertFalse(any(fetch.done.called for fetch, _wire in pairs))
        self.assertEqual(0, bench.shelf.ends)

    def test_a_reader_that_stops_is_cut(self) -> None:
        bench = Bench(bytes(50 * FRAME))
        client, wire = bench.connect()
        while client.client.ok is None:
            wire.step()
        wire.client_end.paused = True
        wire.server_end.takes = FRAME
        wire.run()
        self.assertEqual(UNSENT, wire.server_end.keeps)
        bench.clock.advance(STALL + 1)
        self.assertTrue(wire.server_end.aborted)
        wire.client_end.paused = False
        wire.run()
        self.failure(client)
        self.assertTrue(bench.shelf.readers[0].closed)

    def test_cutting_the_service_ends_every_connection(self) -> None:
        bench = Bench(bytes(50 * FRAME))
        client, wire = bench.connect()
        while client.client.ok is None:
            wire.step()
        (idle,) = self.wires(bench, ["10.0.0.9"])
        bench.service.cut()
        for each in (wire, idle):
            each.run()
            self.assertTrue(each.server_end.closed)
        self.failure(client)
        self.assertEqual({}, bench.service.admission.connections)

    def test_a_client_that_never_says_go(self) -> None:
        bench = Bench()
        script, wire = self.script(bench)
        line = self.proof_line(script, wire)
        self.said(script, wire, line)
        bench.clock.advance(GO_DEADLINE + 1)
        wire.run()
        self.assertTrue(wire.server_end.closed)

    def test_a_server_that_never_answers(self) -> None:
        bench = Bench()
        client, outer = bench.client()
        wire = Wire(outer, Protocol())
        wire.run()
        bench.clock.advance(HANDSHAKE_DEADLINE + 1)
        wire.run()
        self.assertEqual(Exit.TIMEOUT, self.failure(client).code)
