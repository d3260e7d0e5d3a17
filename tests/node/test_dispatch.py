"""What comes from the network, and to whom it is told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger, group_of
from twistedp2p.core.events import Notice, Said
from twistedp2p.node.dispatch import STRANGERS_BURST, STRANGERS_PART, STRANGERS_RATE


class DispatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)

    def said(self) -> list[Said]:
        return [said for said in self.lan.events(self.alice, Said) if not said.own]

    def test_a_stranger_s_datagrams_are_limited_and_who_is_known_is_not(self) -> None:
        """Attack 40."""
        bob = Stranger(self.lan, nick="bob")
        bob.beacon()
        self.lan.run_for(1)
        for number in range(int(STRANGERS_BURST) + 50):
            Stranger(self.lan, f"10.0.8.{number % 50}").send("ask", "{}")
        for number in range(100):
            bob.send("say", "hello", number + 1)
        self.lan.run_for(1)
        self.assertGreater(self.alice.dropped()["too many strangers"], 0)
        self.assertEqual(len(self.said()), 100)

    def test_one_host_s_throw_away_keys_leave_newcomers_their_part(self) -> None:
        """Attack 40."""
        for _ in range(10):
            for _ in range(100):
                Stranger(self.lan, "10.0.8.1").beacon()
            self.lan.run_for(0.1)
        strangers = self.alice.status().nodes - 1
        self.assertLessEqual(strangers, STRANGERS_PART * (STRANGERS_BURST + 2 * STRANGERS_RATE))
        for number in range(50):
            Stranger(self.lan, f"10.0.7.{number}").beacon()
        self.lan.run_for(0.1)
        self.assertEqual(self.alice.status().nodes - 1, strangers + 50)

    def test_every_kind_of_message_with_every_kind_of_body_is_borne(self) -> None:
        mallory = Stranger(self.lan)
        bodies = ["", "[]", "{}", "null", "[" * 500, '{"every":1e999}', '{"epoch":"1"}', "\ud7ff"]
        bodies += ['{"chat":[[1]],"origin":1}', '{"log":[],"ranges":{}}', '{"name":"\\u0000"}']
        number = 0
        for kind in ("beacon", "hello", "bye", "ask", "gone", "say", "offer", "withdraw"):
            for body in bodies:
                number += 1
                mallory.send(kind, body, number)
        self.lan.run_for(1)
        self.assertEqual(self.lan.catalogue(self.alice), [])
        mallory.beacon()
        self.lan.run_for(1)
        self.assertEqual(self.alice.status().nodes, 2)

    def test_escapes_are_taken_out_of_what_is_said_and_of_what_is_heard(self) -> None:
        """Attack 32."""
        mallory = Stranger(self.lan)
        mallory.send("say", "red \x1b[31m\x9b1m\x07\n\u202eevil", 1)
        self.lan.run_for(1)
        self.assertEqual(self.said()[0].text, "red [31m1m evil")
        group_of(self.alice).listener.plain_heard("\x1b]0;title\x07hello", ("10.0.0.9", 1))
        self.assertEqual(self.said()[1].text, "]0;titlehello")

    def test_of_another_closed_group_is_told_once_and_once_more_for_another_code(self) -> None:
        listener = group_of(self.alice).listener
        for _ in range(3):
            listener.sealed_heard()
        self.assertEqual(len(self.lan.events(self.alice, Notice)), 1)
        self.alice.codes_changed()
        for _ in range(3):
            listener.sealed_heard()
        self.assertEqual(len(self.lan.events(self.alice, Notice)), 2)
