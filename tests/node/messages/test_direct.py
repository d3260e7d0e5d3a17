"""Direct messages: who is meant, who may, and what is said when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan
from tests.node.feeds.test_sync import ANNA, BOB, CARL, FakeRoster
from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import Tell
from twistedp2p.core.calls.tell import MAX_TEXT
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import DirectMessage
from twistedp2p.core.names import fingerprint
from twistedp2p.node.messages.direct import (
    ADDRESS_BURST,
    ALL_BURST,
    KEY_BURST,
    PLACES_EACH,
    DirectMessages,
)


class FakeNode:
    def __init__(self) -> None:
        self.reader = True
        self.shown: list[DirectMessage] = []
        self.clashing: set[bytes] = set()
        self.failure: ShareError | None = None
        self.called: list[tuple[Any, Callable[[bytes], bool]]] = []

    def heard(self, key: bytes) -> str:
        return {ANNA: "anna", BOB: "Bob"}.get(key, "")

    def is_known(self, key: bytes, nick: str) -> bool:
        return nick == "anna"

    def is_clashing(self, key: bytes) -> bool:
        return key in self.clashing

    async def call(self, verb: Any, talk: Any, addresses: Any, wanted: Any) -> None:
        assert verb is Tell
        self.called.append((addresses, wanted))
        if self.failure is not None:
            raise self.failure


class DirectTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.node, self.roster = FakeNode(), FakeRoster()
        for key, nick in ((ANNA, "anna"), (BOB, "Bob"), (CARL, "")):
            self.roster.add(key, "10.0.0.1")
            self.roster.here[key].nick = nick
        self.direct = DirectMessages(
            self.node,
            self.roster,  # type: ignore[arg-type]
            self.node,  # type: ignore[arg-type]
            self.node.shown.append,  # type: ignore[arg-type]
            has_reader=lambda: self.node.reader,
            addresses_of=lambda key: [("10.0.0.1", 9393)],
            clock=self.clock,
            wall=lambda: 1_700_000_000.5,
        )

    def error(self, call: Callable[..., Any], *arguments: Any) -> ShareError:
        with self.assertRaises(ShareError) as caught:
            call(*arguments)
        return caught.exception


class MeantTests(DirectTestCase):
    def meant(self, who: str) -> bytes:
        return self.direct.meant(who).key

    def test_a_nick_in_any_case(self) -> None:
        self.assertEqual(ANNA, self.meant("anna"))
        self.assertEqual(BOB, self.meant("bob"))

    def test_a_key_or_its_beginning(self) -> None:
        for key in (ANNA, CARL):
            for size in (19, 12, 4):
                self.assertEqual(key, self.meant(fingerprint(key)[:size].upper()))
        self.error(self.meant, fingerprint(ANNA)[:3])

    def test_nobody(self) -> None:
        for who in ("dora", "ann", ""):
            error = self.error(self.meant, who)
            self.assertEqual(Exit.NOT_FOUND, error.code)

    def test_two_of_one_nick_are_refused_by_name(self) -> None:
        """Attack 35: a node that takes a nick to get somebody's messages."""
        self.roster.here[BOB].nick = "Anna"
        error = str(self.error(self.meant, "anna"))
        self.assertIn(f"anna {fingerprint(ANNA)}", error)
        self.assertIn(f"Anna {fingerprint(BOB)}", error)
        self.assertEqual(BOB, self.meant(fingerprint(BOB)))

    def test_a_nick_that_looks_like_another_is_refused(self) -> None:
        """Attack 35: a nick that looks like that of somebody who is here, or has gone."""
        self.roster.here[BOB].nick = "аnna"
        self.node.clashing |= {ANNA, BOB}
        error = str(self.error(self.meant, "anna"))
        for key in (ANNA, BOB):
            self.assertIn(fingerprint(key), error)
        del self.roster.here[ANNA]
        self.assertNotIn(fingerprint(ANNA), str(self.error(self.meant, "аnna")))
        self.assertEqual(BOB, self.meant(fingerprint(BOB)))

    def test_a_nick_that_is_the_key_of_another(self) -> None:
        """Attack 35: a key as a nick."""
        self.roster.here[BOB].nick = fingerprint(ANNA)
        self.assertEqual(ANNA, self.meant(fingerprint(ANNA)))
        self.roster.here[BOB].nick = fingerprint(ANNA)[:9]
        self.error(self.meant, fingerprint(ANNA)[:9])


class SendTests(DirectTestCase):
    def send(self, who: str, text: str) -> Any:
        return self.direct.send(who, text)

    def test_it_goes_to_that_key_alone(self) -> None:
        self.successResultOf(self.send("anna", " \x1bcoucou "))
        message = DirectMessage("coucou", "anna", ANNA, 1_700_000_000_500, True, True)
        self.assertEqual([message], self.node.shown)
        [(addresses, wanted)] = self.node.called
        self.assertEqual([("10.0.0.1", 9393)], addresses)
        self.assertTrue(wanted(ANNA))
        self.assertFalse(wanted(BOB))

    def test_too_long_or_nothing(self) -> None:
        self.successResultOf(self.send("anna", "a" * MAX_TEXT))
        for text in ("a" * (MAX_TEXT + 1), "", "  ", "\x07"):
            error = self.failureResultOf(self.send("anna", text), ShareError).value
            self.assertEqual(Exit.USAGE, error.code)

    def test_why_it_was_not_delivered(self) -> None:
        self.node.failure = ShareError("Nothing listens at {where}.", where="10.0.0.1:9393")
        error = self.failureResultOf(self.send("bob", "coucou"), ShareError).value
        self.assertEqual(
            "Your message to Bob was not delivered. Nothing listens at 10.0.0.1:9393.", str(error)
        )
        carl = self.send(fingerprint(CARL), "coucou")
        self.assertIn(fingerprint(CARL), str(self.failureResultOf(carl, ShareError).value))

    def test_stopping(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def call(*_: Any) -> None:
            await waiting

        self.patch(self.node, "call", call)
        sending = self.send("anna", "coucou")
        self.direct.stop()
        self.assertIn("not delivered", str(self.failureResultOf(sending, ShareError).value))
        self.direct.stop()


class AnswerTests(DirectTestCase):
    def refused(self, key: bytes, address: str) -> int:
        with self.assertRaises(Refusal) as caught:
            self.direct.answer(key, address)
        return caught.exception.line.code

    def take(self, key: bytes, address: str) -> None:
        self.direct.answer(key, address).lost()

    def test_nobody_reads(self) -> None:
        self.node.reader = False
        self.assertEqual(480, self.refused(ANNA, "10.0.0.1"))

    def test_too_many_of_one_node(self) -> None:
        """Attack 40: floods of messages."""
        for number in range(int(KEY_BURST)):
            self.take(ANNA, f"10.0.0.{number}")
        self.assertEqual(429, self.refused(ANNA, "10.0.0.99"))
        self.take(BOB, "10.0.0.99")
        self.clock.advance(1)
        self.take(ANNA, "10.0.0.99")

    def test_too_many_of_one_address(self) -> None:
        """Attack 37: throw-away keys."""
        for number in range(int(ADDRESS_BURST)):
            self.take(number.to_bytes(32, "big"), "10.0.0.1")
        self.assertEqual(429, self.refused(ANNA, "10.0.0.1"))
        self.take(ANNA, "10.0.0.2")

    def test_too_many_in_all(self) -> None:
        for number in range(int(ALL_BURST)):
            self.take(number.to_bytes(32, "big"), f"10.0.0.{number}")
        self.assertEqual(429, self.refused(ANNA, "10.0.1.1"))

    def test_places(self) -> None:
        talks = [self.direct.answer(bytes([n]) * 32, "10.0.0.1") for n in range(PLACES_EACH)]
        self.assertEqual(503, self.refused(ANNA, "10.0.0.1"))
        talks[0].lost()
        self.take(ANNA, "10.0.0.1")

    def test_what_comes_is_told(self) -> None:
        talk = self.direct.answer(ANNA, "10.0.0.1")
        talk._show("coucou")
        self.direct.answer(CARL, "10.0.0.2")._show("hello")
        self.direct.answer(BOB, "10.0.0.3")._show("me too")
        self.assertEqual(
            [
                ("anna", "coucou", True),
                (fingerprint(CARL), "hello", True),
                ("Bob", "me too", False),
            ],
            [(shown.nick, shown.text, shown.known) for shown in self.node.shown],
        )
        self.assertFalse(any(shown.own for shown in self.node.shown))


class NodesTests(SynchronousTestCase):
    """Real nodes on a network in memory."""

    def setUp(self) -> None:
        self.lan = Lan(self)
        self.anna, self.bob, self.carl = (self.lan.node(name) for name in ("anna", "bob", "carl"))
        self.lan.run_for(5)

    def messages(self, node: Any) -> list[tuple[str, str, bool]]:
        found = self.lan.events(node, DirectMessage)
        return [(message.nick, message.text, message.own) for message in found]

    def test_it_is_shown_at_both_ends_and_at_no_other(self) -> None:
        sending = self.anna.send_direct("bob", "coucou")
        self.lan.run_for(1)
        self.assertIsNone(self.successResultOf(sending))
        self.assertEqual([("bob", "coucou", True)], self.messages(self.anna))
        self.assertEqual([("anna", "coucou", False)], self.messages(self.bob))
        self.assertEqual([], self.messages(self.carl))
        self.assertEqual([], [*self.lan.lines(self.bob), *self.anna.last_said(9)])

    def test_until_a_key_is_known_it_goes_with_it(self) -> None:
        sending = self.anna.send_direct(fingerprint(self.bob.key), "coucou")
        self.lan.run_for(1)
        self.successResultOf(sending)
        self.assertFalse(self.lan.events(self.bob, DirectMessage)[0].known)
        self.lan.run_for(60)
        sending = self.anna.send_direct("bob", "coucou")
        self.lan.run_for(1)
        self.successResultOf(sending)
        self.assertTrue(self.lan.events(self.bob, DirectMessage)[1].known)

    def test_a_node_that_went(self) -> None:
        self.lan.vanish(self.bob)
        sending = self.anna.send_direct("bob", "coucou")
        self.lan.run_for(1)
        error = self.failureResultOf(sending, ShareError).value
        self.assertEqual(
            "Your message to bob was not delivered. Nothing listens there.", str(error)
        )

    def test_a_nick_that_two_bear(self) -> None:
        """Attack 35: a node that takes a nick to get somebody's messages."""
        self.lan.node("twin").set_nick("bob")
        self.lan.run_for(5)
        for nick in ("bob", "BOB"):
            self.failureResultOf(self.anna.send_direct(nick, "coucou"), ShareError)
        sending = self.anna.send_direct(fingerprint(self.bob.key), "coucou")
        self.lan.run_for(1)
        self.successResultOf(sending)
        self.assertEqual(1, len(self.messages(self.bob)))

    def test_nobody_reads(self) -> None:
        self.lan.node("deaf", reader=False)
        self.lan.run_for(5)
        sending = self.anna.send_direct("deaf", "coucou")
        self.lan.run_for(1)
        error = self.failureResultOf(sending, ShareError).value
        self.assertIn("nobody reads", str(error))
