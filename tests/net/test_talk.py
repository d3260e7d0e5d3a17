"""From the first lines of SYNC and TELL to their records; direct messages; all in memory."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.net.test_files import Script
from tests.net.wire import Bench, Wire, public, wrap
from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import Auth, Err, Here, Sync, Tell
from twistedp2p.core.calls.records import END, ENTRY, TEXT, record
from twistedp2p.core.calls.tell import say_text
from twistedp2p.core.datagrams.closed import OpenEnvelope
from twistedp2p.core.errors import ShareError
from twistedp2p.net.dial import HANDSHAKE_DEADLINE
from twistedp2p.net.serve import PROOF_DEADLINE
from twistedp2p.net.talk import ANSWER_DEADLINE, Busy, Caller, Calls, Places, Talks, refused
from twistedp2p.net.tell import WHOLE, HearTalk, TellTalk
from twistedp2p.net.tls import NodeTLS, peer_of

GROUP = b"239.0.0.1:9392"


def run(clock: Any, wire: Wire) -> None:
    """Move bytes and time until nothing is to be done at once."""
    for _ in range(100_000):
        wire.run()
        if not any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
            return
        clock.advance(0)
    raise AssertionError("the two ends never stop")


class NoTalk:
    """Where a talk is not to begin."""

    begun = False

    def begin(self, transport: Any) -> None:
        self.begun = True

    def received(self, data: bytes) -> None:
        raise AssertionError(data)

    def lost(self) -> None:
        pass


class TalkBench(Bench):
    """A service that takes direct messages, and callers of it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.callers: list[tuple[bytes, str]] = []
        self.refusal: Refusal | None = None
        self.places = Places(4, 2)
        self.service.talks = Talks(OpenEnvelope(GROUP), {Tell: self.tell})

    def tell(self, key: bytes, address: str) -> HearTalk:
        if self.refusal is not None:
            raise self.refusal
        self.callers.append((key, address))
        return HearTalk(self.shown.append, self.places.take(address), self.clock)

    def caller(
        self,
        talk: Any,
        verb: Any = Tell,
        *,
        group: bytes = GROUP,
        wanted: bytes | None = None,
        tls: NodeTLS | None = None,
    ) -> tuple[Caller, Any]:
        """A caller, and the TLS around it."""
        key = wanted or public(self.owner_key)
        caller = Caller(verb, OpenEnvelope(group), talk, lambda there: there == key, self.clock)
        return caller, wrap(caller, tls or NodeTLS(self.client_key), self.clock)

    def call(self, talk: Any, verb: Any = Tell, **how: Any) -> tuple[Caller, Wire]:
        """A caller joined to the service; nothing has moved yet."""
        caller, outer = self.caller(talk, verb, **how)
        return caller, Wire(outer, self.accept(), "10.0.0.1")


class TalkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.bench = TalkBench()

    def refused(self, caller: Caller, sentence: str) -> None:
        error = self.failureResultOf(caller.done, ShareError).value
        self.assertIn(sentence, str(error))
        self.over()

    def over(self) -> None:
        """Nothing is left of any connection."""
        self.assertEqual([], self.bench.clock.getDelayedCalls())
        self.assertEqual({}, self.bench.service.admission.connections)
        self.assertEqual(0, self.bench.service.admission.unproven.total())
        self.assertEqual(0, len(self.bench.places))

    def script(self) -> tuple[Script, Wire]:
        """A scripted client of the service, its TLS handshake done."""
        script = Script()
        outer = wrap(script, NodeTLS(self.bench.client_key), self.bench.clock)
        wire = Wire(outer, self.bench.accept())
        wire.run()
        return script, wire

    def proof(self, wire: Wire, role: bytes = b"tell client", group: bytes = GROUP) -> bytes:
        return OpenEnvelope(group).proof(peer_of(wire.client.getHandle()).binding, role)

    def said(self, script: Script, wire: Wire, line: bytes) -> bytes:
        script.sendLine(line)
        run(self.bench.clock, wire)
        return script.lines[-1] if script.lines else b""


class TellTests(TalkTestCase):
    def test_who_proved_his_group_takes_no_place_of_the_unproven(self) -> None:
        script, wire = self.script()
        self.assertEqual(1, self.bench.service.admission.unproven.total())
        self.said(script, wire, Tell(self.proof(wire)).line())
        self.assertEqual(0, self.bench.service.admission.unproven.total())
        self.assertEqual(1, len(self.bench.places))

    def test_a_text_is_shown_and_that_is_told(self) -> None:
        for text in ("coucou", "日" * 1000):
            caller, wire = self.bench.call(TellTalk(text, self.bench.clock))
            run(self.bench.clock, wire)
            self.assertIsNone(self.successResultOf(caller.done))
            self.assertEqual(text, self.bench.shown.pop())
            self.assertEqual((public(self.bench.client_key), "10.0.0.1"), self.bench.callers.pop())
            self.over()

    def test_the_text_is_not_on_the_wire(self) -> None:
        """Attack 12: a recorded session; a direct message is for nobody else."""
        caller, wire = self.bench.call(TellTalk("coucou" * 9, self.bench.clock))
        run(self.bench.clock, wire)
        self.successResultOf(caller.done)
        for direction in (wire.to_server, wire.to_client):
            self.assertNotIn(b"coucou", direction)

    def test_another_node_at_the_address_is_told_nothing(self) -> None:
        """Attack 11: another key than the one that is meant."""
        caller, wire = self.bench.call(TellTalk("secret", self.bench.clock), wanted=b"x" * 32)
        run(self.bench.clock, wire)
        self.refused(caller, "Another node")
        self.assertEqual([], self.bench.callers)

    def test_a_refusal(self) -> None:
        for code, sentence in ((429, "too many messages"), (480, "nobody reads"), (503, "busy")):
            self.bench.refusal = Refusal(code, 5)
            caller, wire = self.bench.call(TellTalk("coucou", self.bench.clock))
            run(self.bench.clock, wire)
            self.assertIn(sentence, str(self.failureResultOf(caller.done, ShareError).value))
        self.over()

    def test_a_connection_that_breaks_before_the_answer(self) -> None:
        caller, wire = self.bench.call(TellTalk("coucou", self.bench.clock))
        while not self.bench.callers:
            wire.step()
        wire.close(ConnectionDone())
        self.refused(caller, "perhaps not")

    def test_who_does_not_answer(self) -> None:
        caller, wire = self.bench.call(TellTalk("coucou", self.bench.clock))
        wire.change = lambda data, to_client: b"" if to_client and self.bench.shown else data
        run(self.bench.clock, wire)
        self.bench.clock.advance(WHOLE)
        run(self.bench.clock, wire)
        self.refused(caller, "perhaps not")

    def test_who_says_nothing_more(self) -> None:
        """Attack 41: a caller that keeps its place and is silent."""
        script, wire = self.script()
        self.assertTrue(self.said(script, wire, Tell(self.proof(wire)).line()).startswith(b"HERE "))
        script.transport.write(record(TEXT, b"cou"))
        run(self.bench.clock, wire)
        self.bench.clock.advance(WHOLE)
        run(self.bench.clock, wire)
        self.assertIsNotNone(script.lost)
        self.assertEqual([], self.bench.shown)
        self.over()

    def test_nonsense_is_cut(self) -> None:
        for bad in (record(ENTRY, b"x"), b"\xff\xff\xff", record(END), record(TEXT, b"\xff") * 2,
                    b"".join(say_text("coucou")) + record(TEXT, b"x")):  # fmt: skip
            script, wire = self.script()
            self.said(script, wire, Tell(self.proof(wire)).line())
            script.transport.write(bad)
            run(self.bench.clock, wire)
            script.transport.write(record(END))
            run(self.bench.clock, wire)
            self.assertIsNotNone(script.lost)
        self.assertEqual(["coucou"], self.bench.shown)
        self.over()

    def test_an_answer_that_is_none(self) -> None:
        for bad in (record(END, b"x"), record(TEXT), b"\xff\xff\xff"):
            talk = TellTalk("coucou", self.bench.clock)
            here = NoTransport()
            talk.begin(here)
            talk.received(bad)
            self.assertTrue(here.closed)
            self.assertRaises(ShareError, talk.lost)


class NoTransport:
    closed = False

    def write(self, data: bytes) -> None:
        pass

    def loseConnection(self) -> None:
        self.closed = True

    abortConnection = loseConnection


class FirstLineTests(TalkTestCase):
    def test_another_group(self) -> None:
        talk = NoTalk()
        caller, wire = self.bench.call(talk, group=b"239.0.0.1:7000")
        run(self.bench.clock, wire)
        self.refused(caller, "another group")
        self.assertFalse(talk.begun)
        self.assertEqual([], self.bench.callers)

    def test_a_server_of_another_group(self) -> None:
        """Attack 3: an impostor that says yes to any group."""

        class Yes(Talks):
            def answer(self, *_: Any) -> tuple[Here, NoTalk]:
                return Here(b"x" * 32), NoTalk()

        self.bench.service.talks = Yes(OpenEnvelope(b""), {})
        talk = NoTalk()
        caller, wire = self.bench.call(talk)
        run(self.bench.clock, wire)
        self.refused(caller, "another group")
        self.assertFalse(talk.begun)

    def test_a_proof_is_for_one_role_and_session(self) -> None:
        """Attack 9: a proof used for another verb, end or connection. Attack 8: replayed."""
        _, other = self.script()
        for role in (b"tell server", b"sync client", b"sync server", b""):
            script, wire = self.script()
            self.assertEqual(
                b"ERR 404", self.said(script, wire, Tell(self.proof(wire, role)).line())
            )
        script, wire = self.script()
        self.assertEqual(b"ERR 404", self.said(script, wire, Tell(self.proof(other)).line()))
        self.assertEqual([], self.bench.callers)

    def test_a_reflected_proof(self) -> None:
        """Attack 6: the client's own proof as the answer."""
        script, wire = self.reflecting()
        caller = script
        run(self.bench.clock, wire)
        self.refused(caller, "another group")

    def reflecting(self) -> tuple[Caller, Wire]:
        class Mirror(Talks):
            def answer(self, line: Any, *_: Any) -> tuple[Here, NoTalk]:
                return Here(line.proof), NoTalk()

        self.bench.service.talks = Mirror(OpenEnvelope(b""), {})
        return self.bench.call(NoTalk())

    def test_files_are_served_all_the_same(self) -> None:
        client, wire = self.bench.connect()
        run(self.bench.clock, wire)
        self.assertEqual(b"hello", self.successResultOf(client.done))

    def test_a_service_that_does_no_talks(self) -> None:
        self.bench.service.talks = None
        caller, wire = self.bench.call(NoTalk(), Sync)
        run(self.bench.clock, wire)
        self.refused(caller, "another group")

    def test_only_the_first_line_can_be_one(self) -> None:
        script, wire = self.script()
        self.said(script, wire, Auth(b"o" * 16, b"\x09" + bytes(31)).line())
        self.assertEqual(b"ERR 400", self.said(script, wire, Sync(self.proof(wire)).line()))

    def test_a_server_that_is_no_node(self) -> None:
        """Attack 10: plain text in the place of TLS."""
        caller, outer = self.bench.caller(NoTalk())
        wire = Wire(outer, Script())
        wire.server.sendLine(b"220 mail.example.org")
        run(self.bench.clock, wire)
        self.refused(caller, "not a p2pshare node")

    def test_a_full_house(self) -> None:
        caller, outer = self.bench.caller(NoTalk())
        wire = Wire(outer, Script())
        wire.close(ConnectionDone())
        self.refused(caller, "busy")

    def test_answers_that_are_none(self) -> None:
        """Attack 19: lines without end, and of another conversation."""
        for bad in (b"SHARE x", b"HERE", b"OK", b"x" * 600):
            script = Script()
            key = Ed25519PrivateKey.generate()
            caller, outer = self.bench.caller(NoTalk(), wanted=public(key))
            wire = Wire(outer, wrap(script, NodeTLS(key), self.bench.clock, client=False))
            wire.run()
            script.sendLine(bad)
            run(self.bench.clock, wire)
            self.refused(caller, "protocol")

    def test_silence_at_each_step(self) -> None:
        """Attack 41: a server that says nothing."""
        caller, outer = self.bench.caller(NoTalk())
        wire = Wire(outer, Script())
        self.bench.clock.advance(HANDSHAKE_DEADLINE)
        run(self.bench.clock, wire)
        self.refused(caller, "silent")
        key = Ed25519PrivateKey.generate()
        caller, outer = self.bench.caller(NoTalk(), wanted=public(key))
        wire = Wire(outer, wrap(Script(), NodeTLS(key), self.bench.clock, client=False))
        wire.run()
        self.bench.clock.advance(ANSWER_DEADLINE - 1)
        run(self.bench.clock, wire)
        self.assertNoResult(caller.done)
        self.bench.clock.advance(1)
        run(self.bench.clock, wire)
        self.refused(caller, "silent")

    def test_a_client_that_never_says_its_first_line(self) -> None:
        """Attack 41: half-open connections end."""
        script, wire = self.script()
        self.bench.clock.advance(PROOF_DEADLINE)
        run(self.bench.clock, wire)
        self.assertIsNotNone(script.lost)

    def test_cancelling_at_every_step(self) -> None:
        for steps in range(40):
            caller, wire = self.bench.call(TellTalk("coucou", self.bench.clock))
            for _ in range(steps):
                wire.step()
            if caller.done.called:
                self.successResultOf(caller.done)
                break
            caller.done.cancel()
            run(self.bench.clock, wire)
            self.failureResultOf(caller.done)
            self.assertEqual([], self.bench.clock.getDelayedCalls())
            self.bench.clock.advance(10)  # a token for the next connection
        self.assertGreater(steps, 3)


class PlacesTests(SynchronousTestCase):
    def test_in_all_and_each(self) -> None:
        places = Places(3, 2)
        leave = places.take("a")
        places.take("a")
        self.assertRaises(Refusal, places.take, "a")
        places.take("b")
        self.assertRaises(Refusal, places.take, "c")
        leave()
        places.take("c")
        self.assertEqual(3, len(places))


class NoDialer:
    """Reaches nobody; what it raises for each host."""

    def __init__(self, **failures: ShareError) -> None:
        self.failures = failures

    async def dial(self, _make: Any, host: str, _port: int) -> Any:
        raise self.failures[host]


class CallsTests(SynchronousTestCase):
    def outcome(self, *failures: ShareError) -> ShareError:
        hosts = dict(zip("abc", failures, strict=False))
        dialer: Any = NoDialer(**hosts)
        calls = Calls(dialer, OpenEnvelope(GROUP), Clock())
        addresses = [(host, 9393) for host in hosts]
        calling = calls.call(Sync, lambda _: NoTalk(), addresses, lambda _: True)
        made = Deferred.fromCoroutine(calling)
        return self.failureResultOf(made, ShareError).value  # type: ignore[no-any-return]

    def test_who_is_busy_at_one_address_is_busy(self) -> None:
        busy, gone = refused(Err(503)), ShareError("No node answers there.")
        self.assertIsInstance(self.outcome(gone, busy), Busy)
        self.assertIsInstance(self.outcome(busy, gone), Busy)
        self.assertNotIsInstance(self.outcome(gone, refused(Err(404))), Busy)
        self.assertNotIsInstance(self.outcome(), Busy)
