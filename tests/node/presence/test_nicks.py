"""What the others are called: nobody passes for somebody else."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger, group_of
from twistedp2p.core.events import Joined, OfferAdded, Renamed, Said
from twistedp2p.core.names import fingerprint
from twistedp2p.core.presence.roster import MAX_PEERS


class NicksTests(SynchronousTestCase):
    """Attack 35, and promise 4: a signed line comes from the key shown; plain is shown as such."""

    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)

    def said(self) -> list[Said]:
        return [said for said in self.lan.events(self.alice, Said) if not said.own]

    def stays(self, peer: Stranger, seconds: int = 40) -> None:
        """Be here for so long that the key is pinned."""
        for _ in range(seconds // 5):
            peer.beacon()
            self.lan.run_for(5)

    def last(self) -> Said:
        return self.said()[-1]

    def say(self, peer: Stranger, number: int) -> Said:
        peer.send("say", f"line {number}", number)
        self.lan.run_for(1)
        return self.last()

    def test_plain_text_never_looks_signed(self) -> None:
        """Attack 35: plain text that imitates a signed line, or a line of the program."""
        for text in ("bob :> hello", "* bob has left", "bob (abcd-efgh-ijkl-mnop) :> hello"):
            group_of(self.alice).listener.plain_heard(text, ("10.0.0.9", 40_000))
            said = self.last()
            self.assertEqual((said.key, said.nick, said.address), (None, "", "10.0.0.9"))
            self.assertEqual(said.text, text)

    def test_a_newcomer_goes_with_his_fingerprint_until_he_has_stayed(self) -> None:
        bob = Stranger(self.lan, nick="bob")
        bob.beacon()
        self.assertFalse(self.say(bob, 1).known)
        self.stays(bob)
        self.assertTrue(self.say(bob, 2).known)

    def test_another_key_with_a_look_alike_nick_is_told_and_both_go_with_fingerprints(self) -> None:
        """Attack 35: a nick in other letters that look the same."""
        bob, mallory = Stranger(self.lan, nick="bob"), Stranger(self.lan, nick="b\u043eb")
        self.stays(bob)
        self.assertTrue(self.say(bob, 1).known)
        mallory.beacon()
        self.lan.run_for(1)
        joined = self.lan.events(self.alice, Joined)[-1]
        self.assertEqual(joined.looks_like, bob.key)
        self.stays(mallory)
        self.stays(bob, 5)
        self.assertFalse(self.say(mallory, 1).known)
        self.assertFalse(self.say(bob, 2).known)
        self.assertIn(fingerprint(mallory.key), self.alice.nick_of(mallory.key))
        self.assertIn(fingerprint(bob.key), self.alice.nick_of(bob.key))

    def test_a_pinned_key_that_takes_the_nick_of_another_is_told(self) -> None:
        """Attack 35: known as somebody else first."""
        bob, mallory = Stranger(self.lan, nick="bob"), Stranger(self.lan, nick="mallory")
        for _ in range(8):
            self.stays(bob, 5)
            self.stays(mallory, 5)
        self.assertTrue(self.say(mallory, 1).known)
        mallory.nick = "Bob"
        self.assertFalse(self.say(mallory, 2).known)  # before any beacon tells of it
        self.stays(mallory)
        renamed = self.lan.events(self.alice, Renamed)[-1]
        self.assertEqual(renamed.looks_like, bob.key)
        self.assertFalse(self.say(mallory, 3).known)

    def test_who_bears_our_own_nick_is_told(self) -> None:
        """Attack 35: somebody who poses as ourselves."""
        mallory = Stranger(self.lan, nick="Al\u0456ce")
        mallory.beacon()
        self.lan.run_for(1)
        joined = self.lan.events(self.alice, Joined)[-1]
        self.assertEqual(joined.looks_like, self.alice.key)
        self.stays(mallory)
        self.assertFalse(self.say(mallory, 1).known)

    def test_an_offer_under_another_s_nick_goes_with_a_fingerprint(self) -> None:
        bob, mallory = Stranger(self.lan, nick="bob"), Stranger(self.lan)
        self.stays(bob)
        mallory.beacon()
        mallory.nick = "bob"
        mallory.offer(1)
        bob.offer(1)
        self.lan.run_for(1)
        nicks = [added.nick for added in self.lan.events(self.alice, OfferAdded)]
        self.assertCountEqual(nicks, [f"bob ({fingerprint(mallory.key)})", "bob"])

    def test_who_has_no_nick_goes_by_his_fingerprint(self) -> None:
        bob = Stranger(self.lan, nick="")
        bob.beacon()
        self.assertEqual(self.say(bob, 1).nick, fingerprint(bob.key))
        self.assertEqual(self.alice.nick_of(bob.key), fingerprint(bob.key))

    def test_clashes_are_remembered_of_a_bounded_number_of_keys(self) -> None:
        """Attack 40: a flood of nodes that all bear one nick."""
        for _ in range(300):
            Stranger(self.lan, nick="alice").beacon()
        self.lan.run_for(1)
        self.assertLessEqual(len(self.alice._nicks._clashes), MAX_PEERS)
        self.alice.say("still here")
