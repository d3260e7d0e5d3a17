"""The two ends of the file conversation, against each other and against an attacker."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.conversation import ClientEnd, OwnerEnd, Refusal, Session, Violation
from twistedp2p.core.calls.cpace import CPaceError
from twistedp2p.core.calls.lines import Auth, Err, Get, Go, Ok, Share, parse_client, parse_owner

OWNER, OTHER_OWNER, CLIENT = b"A" * 32, b"B" * 32, b"c" * 32
OFFER, OTHER_OFFER = b"o" * 16, b"p" * 16
PRS, WRONG_PRS = b"right" * 6 + b"..", b"wrong" * 6 + b".."
SESSION = Session(OWNER, CLIENT, b"x" * 32)
SIZE, DIGEST = 100, "blake3:" + "0" * 64


class Talk:
    """A client and an owner joined by their lines; each believes in its own session and offer."""

    def __init__(
        self,
        *,
        client: Session = SESSION,
        owner: Session = SESSION,
        wanted: bytes = OFFER,
        served: bytes = OFFER,
        client_prs: bytes = PRS,
        owner_prs: bytes = PRS,
    ) -> None:
        self.client, self.owner = ClientEnd(client, wanted, client_prs), OwnerEnd(owner)
        auth = parse_client(self.client.auth().line())
        # A relay may name another offer to the owner than the client did.
        auth = self.owner.heard_auth(attrs.evolve(auth, offer=served))
        self.share = self.owner.share(auth, owner_prs)

    def get(self) -> Get:
        """The client's proof, as it reaches the owner."""
        self.client.heard(parse_owner(self.share.line()))
        get = parse_client(self.client.get().line())
        return self.owner.heard_get(get)

    def proven(self) -> bool:
        return self.owner.proven(self.get())

    def ok(self, manifest: int = 0) -> Ok:
        return self.owner.ok(SIZE, manifest, DIGEST, "a.jpg")


class TheRightPassword(SynchronousTestCase):
    def test_both_ends_prove_it_and_asks_follow(self) -> None:
        talk = Talk()
        self.assertIs(talk.proven(), True)
        ok = talk.client.heard(parse_owner(talk.ok(70).line()))
        self.assertEqual((ok.size, ok.manifest, ok.name), (SIZE, 70, "a.jpg"))
        self.assertEqual((talk.client.state, talk.owner.state), ("go", "go"))
        talk.owner.heard_go(parse_client(talk.client.go().line()))
        self.assertEqual((talk.client.state, talk.owner.state), ("body", "body"))

    def test_a_wrong_password_proves_nothing_to_either(self) -> None:
        """Attacks 1 and 3: neither a guesser nor an impostor gets past the proof."""
        talk = Talk(client_prs=WRONG_PRS)
        get = talk.get()
        self.assertIs(talk.owner.proven(get), False)
        self.assertRaises(Violation, talk.client.heard, talk.ok())
        self.assertEqual(talk.client.state, "answer")


class ProofsElsewhere(SynchronousTestCase):
    """The same stretched password everywhere: the binding alone must tell them apart."""

    def refused(self, talk: Talk) -> None:
        get = talk.get()
        self.assertIs(talk.owner.proven(get), False)
        self.assertRaises(Violation, talk.client.heard, talk.ok())

    def test_a_proof_for_one_offer_does_not_open_another(self) -> None:
        """Attack 9: a relay turns a proof for offer A to offer B."""
        self.refused(Talk(wanted=OFFER, served=OTHER_OFFER))

    def test_a_proof_for_one_owner_does_not_open_anothers(self) -> None:
        """Attack 9: what is proved to owner A is passed on to owner B."""
        self.refused(Talk(owner=attrs.evolve(SESSION, owner_key=OTHER_OWNER)))

    def test_a_proof_of_one_client_does_not_serve_another(self) -> None:
        """Attack 2: the man in the middle has a key of his own towards the owner."""
        self.refused(Talk(owner=attrs.evolve(SESSION, client_key=b"m" * 32)))

    def test_a_proof_of_one_tls_session_does_not_serve_another(self) -> None:
        """Attack 2: TLS that is ended twice has two exporters."""
        self.refused(Talk(owner=attrs.evolve(SESSION, binding=b"y" * 32)))

    def test_a_recorded_proof_does_not_open_a_second_run(self) -> None:
        """Attack 8: the owner's share is new each time, even in one and the same session."""
        first, second = Talk(), Talk()
        recorded = first.get()
        self.assertIs(first.owner.proven(recorded), True)
        self.assertIs(second.owner.proven(second.owner.heard_get(recorded)), False)

    def test_the_clients_own_proof_is_not_the_owners(self) -> None:
        """Attack 6: an impostor reflects the proof."""
        talk = Talk()
        get = talk.get()
        reflected = attrs.evolve(talk.ok(), tag=get.tag)
        self.assertRaises(Violation, talk.client.heard, reflected)

    def test_a_reflected_share_ends_the_run(self) -> None:
        """Attack 6: CVE-2019-9497."""
        client = ClientEnd(SESSION, OFFER, PRS)
        mine = client.auth().share
        self.assertRaises(Violation, client.heard, Share(mine))
        self.assertRaises(CPaceError, client.get)

    def test_a_share_of_low_order_ends_the_run_at_either_end(self) -> None:
        """Attack 7."""
        for share in (bytes(32), b"\x01" + bytes(31)):
            client, owner = ClientEnd(SESSION, OFFER, PRS), OwnerEnd(SESSION)
            client.auth()
            self.assertRaises(Violation, client.heard, Share(share))
            auth = owner.heard_auth(Auth(OFFER, share))
            self.assertRaises(Violation, owner.share, auth, PRS)
            self.assertIs(owner.proven(Get(bytes(64))), False)
            self.assertRaises(Violation, owner.heard_get, Get(bytes(64)))

    @settings(deadline=None, max_examples=50)
    @given(st.binary(min_size=64, max_size=64))
    def test_no_other_tag_is_a_proof(self, tag: bytes) -> None:
        talk = Talk()
        self.assertIs(talk.owner.proven(attrs.evolve(talk.get(), tag=tag)), False)


class TheOwnersStates(SynchronousTestCase):
    def test_auth_is_awaited_first_and_once(self) -> None:
        owner, get = OwnerEnd(SESSION), Get(bytes(64))
        self.assertRaises(Violation, owner.heard_auth, get)
        self.assertRaises(Violation, owner.heard_get, get)
        auth = ClientEnd(SESSION, OFFER, PRS).auth()
        owner.heard_auth(auth)
        self.assertRaises(Violation, owner.heard_auth, auth)
        self.assertRaises(Violation, owner.heard_get, get)
        owner.share(auth, PRS)
        self.assertRaises(Violation, owner.heard_auth, auth)
        self.assertRaises(Violation, owner.heard_get, auth)

    def test_go_is_awaited_last_and_once(self) -> None:
        talk = Talk()
        self.assertRaises(Violation, talk.owner.heard_go, Go())
        get = talk.get()
        self.assertRaises(Violation, talk.owner.heard_go, Go())
        talk.ok()
        for line in (ClientEnd(SESSION, OFFER, PRS).auth(), get):
            self.assertRaises(Violation, talk.owner.heard_go, line)
        talk.owner.heard_go(Go())
        self.assertRaises(Violation, talk.owner.heard_go, Go())

    def test_one_guess_a_connection(self) -> None:
        """Attack 1: a second GET is no second guess."""
        talk = Talk(client_prs=WRONG_PRS)
        get = talk.get()
        self.assertRaises(Violation, talk.owner.heard_get, get)
        talk.ok()
        self.assertRaises(Violation, talk.owner.heard_get, get)

    def test_a_refusal_bears_its_line(self) -> None:
        self.assertEqual(Refusal(404).line, Err(404))
        self.assertEqual(Refusal(429, 60).line, Err(429, 60))


class TheClientsStates(SynchronousTestCase):
    def test_nothing_is_proved_before_the_owners_share(self) -> None:
        client = ClientEnd(SESSION, OFFER, PRS)
        client.auth()
        self.assertRaises(CPaceError, client.get)

    def test_an_answer_at_the_wrong_moment(self) -> None:
        talk, spare = Talk(), Talk()
        spare.get()
        ok = spare.ok()
        self.assertRaises(Violation, talk.client.heard, ok)
        talk.get()
        self.assertRaises(Violation, talk.client.heard, talk.share)
        talk.client.heard(talk.ok())
        self.assertRaises(Violation, talk.client.heard, talk.share)
        self.assertRaises(Violation, talk.client.heard, talk.ok())
        talk.client.go()
        for line in (talk.share, talk.ok(), Err(500)):
            self.assertRaises(Violation, talk.client.heard, line)

    def test_an_error_ends_it(self) -> None:
        for rounds in (0, 1):
            talk = Talk()
            if rounds:
                talk.get()
            self.assertEqual(talk.client.heard(Err(503, 5)), Err(503, 5))
            self.assertEqual(talk.client.state, "ended")
            for line in (Err(404), talk.share, Ok(bytes(64), 1, 0, DIGEST, "a")):
                self.assertRaises(Violation, talk.client.heard, line)
