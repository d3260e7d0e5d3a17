"""CPace against the draft's vectors, against another implementation, and against an attacker."""

from __future__ import annotations

import json
from pathlib import Path

import cpace as other
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls import cpace
from twistedp2p.core.calls.cpace import (
    PUBLIC_PASSWORD,
    CPaceError,
    Exchange,
    channel_identifier,
    stretch,
)

VECTORS = json.loads((Path(__file__).parent / "cpace_vectors.json").read_text("utf-8"))
RUN = {name: bytes.fromhex(value) for name, value in VECTORS["run"].items()}
SCALAR = bytes.fromhex(VECTORS["points"]["scalar"])
LOW_ORDER = {name: bytes.fromhex(u) for name, u in VECTORS["points"]["low_order"].items()}

PINNED_PRS = "275ef36f25bcf94547ff3ac562dae37b1d2a490486f4655cd641a4a1099994ec"
PINNED_TAG = (
    "13e3f7c7e857bf824392c4e8ffb0d1b3c6e1acfe0baaa9584dbccd8326904f73"
    "12a0d10d15816e295806c73f62ce4619423ce64dae9f45bea9910d4580bde371"
)

OWNER, CLIENT, OFFER = b"o" * 32, b"c" * 32, b"offer"
PRS, SID, CI = b"p" * 32, b"s" * 32, channel_identifier(OWNER, CLIENT, OFFER)


def client_of(prs: bytes = PRS, sid: bytes = SID, ci: bytes = CI) -> Exchange:
    return Exchange(prs, sid, ci, initiator=True)


def owner_of(prs: bytes = PRS, sid: bytes = SID, ci: bytes = CI) -> Exchange:
    return Exchange(prs, sid, ci, initiator=False)


def run(client: Exchange, owner: Exchange) -> None:
    owner.finish(client.share)
    client.finish(owner.share)


class TheDraftsVectors(SynchronousTestCase):
    def side(self, *, initiator: bool) -> Exchange:
        return Exchange(
            RUN["PRS"],
            RUN["sid"],
            RUN["CI"],
            initiator=initiator,
            scalar=RUN["ya" if initiator else "yb"],
            ad_a=RUN["ADa"],
            ad_b=RUN["ADb"],
        )

    def test_a_length_is_prepended_in_leb128(self) -> None:
        for data, expected in VECTORS["strings"]["prepend_len"]:
            self.assertEqual(cpace._prepend_len(bytes.fromhex(data)).hex(), expected)
        for length, prefix in ((127, b"\x7f"), (128, b"\x80\x01"), (20_000, b"\xa0\x9c\x01")):
            self.assertEqual(cpace._prepend_len(bytes(length)), prefix + bytes(length))

    def test_parts_are_joined_with_their_lengths(self) -> None:
        for parts, expected in VECTORS["strings"]["lv_cat"]:
            self.assertEqual(cpace._lv_cat(*map(bytes.fromhex, parts)).hex(), expected)

    def test_the_generator_string_and_the_generator_are_those_of_the_draft(self) -> None:
        inputs = RUN["PRS"], RUN["CI"], RUN["sid"]
        self.assertEqual(cpace._generator_string(*inputs), RUN["generator_string"])
        self.assertEqual(cpace._generator(*inputs), RUN["g"])

    def test_both_shares_are_those_of_the_draft(self) -> None:
        self.assertEqual(self.side(initiator=True).share, RUN["Ya"])
        self.assertEqual(self.side(initiator=False).share, RUN["Yb"])

    def test_the_secret_point_is_that_of_the_draft(self) -> None:
        self.assertEqual(cpace._scalar_mult(RUN["ya"], RUN["Yb"]), RUN["K"])
        self.assertEqual(cpace._scalar_mult(RUN["yb"], RUN["Ya"]), RUN["K"])

    def test_both_ends_reach_the_session_key_of_the_draft(self) -> None:
        client, owner = self.side(initiator=True), self.side(initiator=False)
        run(client, owner)
        self.assertEqual(client.isk, RUN["ISK"])
        self.assertEqual(owner.isk, RUN["ISK"])

    def test_a_point_with_bit_255_set_gives_the_listed_result(self) -> None:
        for name, (u, q) in VECTORS["points"]["valid"].items():
            self.assertEqual(cpace._scalar_mult(SCALAR, bytes.fromhex(u)).hex(), q, name)
            owner_of().finish(bytes.fromhex(u))

    def test_low_order_points_end_the_run_in_both_roles(self) -> None:
        """Attack 7: every low-order point of the draft."""
        for u in LOW_ORDER.values():
            self.assertRaises(CPaceError, cpace._scalar_mult, SCALAR, u)
            for side in (client_of(), owner_of()):
                self.assertRaises(CPaceError, side.finish, u)
                self.assertRaises(CPaceError, side.tag)
                self.assertRaises(CPaceError, side.verify, bytes(64))

    def test_low_order_points_with_bit_255_set_end_the_run(self) -> None:
        """Attack 7, in the encodings that RFC 7748 makes equal to those of the draft."""
        for u in LOW_ORDER.values():
            self.assertRaises(CPaceError, owner_of().finish, u[:31] + bytes([u[31] | 0x80]))


class AnotherImplementation(SynchronousTestCase):
    def meet(self, prs: bytes, sid: bytes, ci: bytes, *, initiator: bool) -> None:
        role = other.CPaceRole.RESPONDER if initiator else other.CPaceRole.INITIATOR
        our_ad, its_ad = (b"client", b"owner") if initiator else (b"owner", b"client")
        ours = Exchange(prs, sid, ci, initiator=initiator)
        its = other.CPace.start(role=role, prs=prs, sid=sid, ci=ci, ad=its_ad)
        ours.finish(its.public_share)
        its.derive(ours.share, our_ad)
        self.assertEqual(ours.isk, its.isk)
        self.assertTrue(ours.verify(its.tag()))
        self.assertTrue(its.verify(ours.tag()))

    @settings(deadline=None, max_examples=30)
    @given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
    def test_it_agrees_with_us_as_responder(self, prs: bytes, sid: bytes, ci: bytes) -> None:
        self.meet(prs, sid, ci, initiator=True)

    @settings(deadline=None, max_examples=30)
    @given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
    def test_it_agrees_with_us_as_initiator(self, prs: bytes, sid: bytes, ci: bytes) -> None:
        self.meet(prs, sid, ci, initiator=False)


class TheExchange(SynchronousTestCase):
    def refused(self, client: Exchange, owner: Exchange) -> None:
        run(client, owner)
        self.assertNotEqual(client.isk, owner.isk)
        self.assertIs(owner.verify(client.tag()), False)
        self.assertIs(client.verify(owner.tag()), False)

    def test_the_same_password_proves_both_ends(self) -> None:
        client, owner = client_of(), owner_of()
        run(client, owner)
        self.assertEqual((len(client.share), len(client.isk), len(client.tag())), (32, 64, 64))
        self.assertEqual(client.isk, owner.isk)
        self.assertIs(owner.verify(client.tag()), True)
        self.assertIs(client.verify(owner.tag()), True)

    def test_the_tag_is_a_mac_over_share_and_role(self) -> None:
        """Pinned: two nodes of different versions have to agree on it."""
        fixed = {"scalar": SCALAR, "initiator": True}
        client = Exchange(RUN["PRS"], RUN["sid"], RUN["CI"], **fixed)
        client.finish(RUN["Yb"])
        self.assertEqual(client.tag().hex(), PINNED_TAG)

    def test_a_wrong_password_proves_neither_end(self) -> None:
        """Attacks 1 and 3: a client, or an impostor, without the password."""
        self.refused(client_of(prs=b"q" * 32), owner_of())

    def test_another_tls_session_proves_neither_end(self) -> None:
        """Attack 2: a man in the middle who ends TLS twice and relays CPace."""
        self.refused(client_of(sid=b"t" * 32), owner_of())

    def test_a_proof_for_another_offer_owner_or_client_is_refused(self) -> None:
        """Attack 9, and attack 4: an impostor with the password and another key."""
        for ci in (
            channel_identifier(OWNER, CLIENT, b"other"),
            channel_identifier(b"x" * 32, CLIENT, OFFER),
            channel_identifier(OWNER, b"x" * 32, OFFER),
        ):
            self.refused(client_of(ci=ci), owner_of())

    def test_two_ends_in_the_same_role_do_not_agree(self) -> None:
        self.refused(client_of(), client_of())
        self.refused(owner_of(), owner_of())

    def test_a_replayed_transcript_proves_nothing(self) -> None:
        """Attack 8: the client's messages of one run sent again in the next."""
        client, owner, again = client_of(), owner_of(), owner_of()
        run(client, owner)
        self.assertTrue(owner.verify(client.tag()))
        again.finish(client.share)
        self.assertIs(again.verify(client.tag()), False)

    def test_a_reflected_share_ends_the_run(self) -> None:
        """Attack 6: CVE-2019-9497, also with the bit set that X25519 ignores."""
        for make in (client_of, owner_of):
            side = make()
            self.assertRaises(CPaceError, side.finish, side.share)
            side = make()
            twin = side.share[:31] + bytes([side.share[31] ^ 0x80])
            self.assertRaises(CPaceError, side.finish, twin)

    def test_our_own_tag_sent_back_is_refused(self) -> None:
        """Attack 6, the second half."""
        client, owner = client_of(), owner_of()
        run(client, owner)
        self.assertIs(client.verify(client.tag()), False)
        self.assertIs(owner.verify(owner.tag()), False)

    @settings(deadline=None, max_examples=50)
    @given(st.binary(max_size=80).filter(lambda data: len(data) != 32))
    def test_a_share_of_another_length_ends_the_run(self, share: bytes) -> None:
        self.assertRaises(CPaceError, owner_of().finish, share)

    @settings(deadline=None, max_examples=50)
    @given(st.binary(min_size=32, max_size=32))
    def test_any_32_bytes_give_a_key_or_a_cpace_error(self, share: bytes) -> None:
        side = owner_of()
        try:
            side.finish(share)
        except CPaceError:
            self.assertRaises(CPaceError, lambda: side.isk)
        else:
            self.assertEqual(len(side.isk), 64)

    @settings(deadline=None, max_examples=50)
    @given(st.binary(max_size=80))
    def test_a_tag_of_any_other_bytes_is_refused(self, tag: bytes) -> None:
        client, owner = client_of(), owner_of()
        run(client, owner)
        self.assertIs(owner.verify(tag), False)
        self.assertIs(owner.verify(client.tag()[: len(tag) % 64]), False)

    def test_a_tag_with_one_bit_changed_is_refused(self) -> None:
        client, owner = client_of(), owner_of()
        run(client, owner)
        for place in range(64):
            tag = bytearray(client.tag())
            tag[place] ^= 1 << place % 8
            self.assertIs(owner.verify(bytes(tag)), False)

    def test_it_serves_one_run_only(self) -> None:
        client, owner = client_of(), owner_of()
        run(client, owner)
        key = owner.isk
        self.assertRaises(CPaceError, owner.finish, client_of().share)
        self.assertEqual(owner.isk, key)

    def test_a_failed_run_is_a_run(self) -> None:
        for bad in (b"", LOW_ORDER["u0"]):
            owner = owner_of()
            self.assertRaises(CPaceError, owner.finish, bad)
            self.assertRaises(CPaceError, owner.finish, client_of().share)

    def test_there_is_no_key_before_the_other_share(self) -> None:
        side = client_of()
        self.assertRaises(CPaceError, lambda: side.isk)
        self.assertRaises(CPaceError, side.tag)
        self.assertRaises(CPaceError, side.verify, bytes(64))

    def test_shares_are_fresh_in_every_run(self) -> None:
        self.assertEqual(len({client_of().share for _ in range(20)}), 20)

    def test_a_scalar_of_another_length_is_refused(self) -> None:
        for scalar in (b"", bytes(31), bytes(33)):
            with self.assertRaises(CPaceError):
                Exchange(PRS, SID, CI, initiator=True, scalar=scalar)

    def test_an_error_is_a_value_error(self) -> None:
        self.assertTrue(issubclass(CPaceError, ValueError))


class TheChannelIdentifier(SynchronousTestCase):
    def test_it_names_protocol_owner_client_and_offer(self) -> None:
        expected = b"\x0fp2pshare/1 file" + b"\x20" + OWNER + b"\x20" + CLIENT + b"\x05offer"
        self.assertEqual(channel_identifier(OWNER, CLIENT, OFFER), expected)

    @given(st.tuples(*[st.binary(max_size=3)] * 3), st.tuples(*[st.binary(max_size=3)] * 3))
    def test_different_parts_never_give_the_same(
        self, one: tuple[bytes, bytes, bytes], two: tuple[bytes, bytes, bytes]
    ) -> None:
        self.assertEqual(channel_identifier(*one) == channel_identifier(*two), one == two)


class Stretching(SynchronousTestCase):
    def test_it_is_stable(self) -> None:
        """Pinned: the value is stored, and computed anew at the other end."""
        owner_key = bytes(range(32))
        self.assertEqual(stretch("correct horse", owner_key, b"offer").hex(), PINNED_PRS)

    def test_composed_and_decomposed_characters_are_one_password(self) -> None:
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        self.assertEqual(stretch(composed, OWNER, OFFER), stretch(decomposed, OWNER, OFFER))
        self.assertNotEqual(stretch(composed, OWNER, OFFER), stretch("cafe", OWNER, OFFER))

    def test_one_password_differs_by_owner_and_by_offer(self) -> None:
        """Attack 9: what is stored or proved for one offer is worth nothing for another."""
        places = ((OWNER, OFFER), (CLIENT, OFFER), (OWNER, b"other"))
        self.assertEqual(len({stretch("monpass", *place) for place in places}), 3)

    def test_it_takes_1_to_256_characters_after_nfc(self) -> None:
        for password in ("x", "\u6f22" * 256, "e\u0301" * 256):
            self.assertEqual(len(stretch(password, OWNER, OFFER)), 32)
        for password in ("", "x" * 257, "e\u0301" * 257):
            self.assertRaises(ValueError, stretch, password, OWNER, OFFER)

    def test_a_refused_password_is_not_in_the_error(self) -> None:
        """Attack 46: no secret in a log."""
        for password in ("monpass\udce9", "monpass" * 40):
            error = self.assertRaises(ValueError, stretch, password, OWNER, OFFER)
            self.assertNotIsInstance(error, UnicodeError)
            self.assertNotIn("monpass", repr(error))

    def test_the_public_password_is_fixed(self) -> None:
        self.assertEqual(PUBLIC_PASSWORD, "public")
