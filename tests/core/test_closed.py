"""The envelope of a closed group: what opens it, and what does not."""

from __future__ import annotations

import functools
from unittest import mock

from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams import closed
from twistedp2p.core.datagrams.closed import (
    BLOCK,
    MARK,
    NONCE,
    ClosedEnvelope,
    GroupKey,
    OpenEnvelope,
    is_sealed,
)
from twistedp2p.core.datagrams.codes import make_code
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_SENT, BadDatagram, parse
from twistedp2p.core.errors import ShareError

GROUP, OTHER_GROUP = b"239.0.0.1:9392", b"239.0.0.1:9492"
CODES = [make_code(lambda _, n=n: n) for n in (1, 2, 3)]
# Of the first five words of the list, and `coucou` sealed with a nonce of zeros.
FIRST = "abacus-abdomen-abdominal-abide-abiding-03"
MEMORY = "3462ba73a015a700"
PROOF = "19f41906d2805702d2a2a862b047f5632998547ecf508e0c1f09772637db9258"
PUBLIC = "f9d294541af6c6667e3ab8ee9fdebae2a814eab7779e6a44e9f7b2697555b999"
SEALED = "478314cc939e18773c371d207dd190144c7eab79847c"
DATAGRAMS = st.binary(min_size=1, max_size=MAX_DATAGRAM).filter(lambda data: data[-1] != 0)


@functools.cache
def key(number: int, group: bytes = GROUP) -> GroupKey:
    """Of one of the three codes."""
    return GroupKey.of_code(CODES[number], group)


def envelope(number: int = 0, old: int | None = None, group: bytes = GROUP) -> ClosedEnvelope:
    old_key = None if old is None else key(old, group)
    return ClosedEnvelope(group, key(number, group), old_key)


class Deriving(SynchronousTestCase):
    def test_nodes_of_different_versions_agree_on_the_keys(self) -> None:
        one = GroupKey.of_code(FIRST, GROUP)
        self.assertEqual(one.memory, MEMORY)
        self.assertEqual(one.proof.hex(), PROOF)
        self.assertEqual(one.public.hex(), PUBLIC)
        sealed = one.cipher.encrypt(bytes(NONCE), b"coucou", MARK)
        self.assertEqual(sealed.hex(), SEALED)

    def test_another_code_or_group_shares_nothing(self) -> None:
        keys = [key(0), key(1), key(0, OTHER_GROUP)]
        for name in ("memory", "proof", "public"):
            self.assertEqual(len({getattr(each, name) for each in keys}), 3)

    def test_a_guess_at_a_captured_datagram_costs_an_argon2id_each(self) -> None:
        """Attack 12: offline, nothing about a code is cheaper than the stretching of it."""
        with mock.patch.object(closed, "Argon2id") as kdf:
            kdf.return_value.derive.return_value = bytes(32)
            GroupKey.of_code(CODES[0], GROUP)
        ((_, cost),) = kdf.call_args_list
        self.assertEqual((cost["memory_cost"], cost["iterations"]), (65_536, 3))

    def test_no_key_is_in_a_repr(self) -> None:
        """Attack 46: what is logged by accident gives nothing away."""
        self.assertEqual(repr(key(0)), f"GroupKey(memory='{key(0).memory}')")

    def test_without_the_cipher_the_reason_is_a_sentence(self) -> None:
        with mock.patch.object(closed, "AESGCMSIV", side_effect=UnsupportedAlgorithm("no")):
            error = self.assertRaises(ShareError, GroupKey.of_code, CODES[0], GROUP)
        self.assertIn("OpenSSL 3.2", str(error))


class Sealing(SynchronousTestCase):
    @settings(deadline=None)
    @given(DATAGRAMS)
    def test_what_a_member_seals_a_member_opens(self, datagram: bytes) -> None:
        sealed = envelope().seal(datagram)
        self.assertEqual(envelope().open(sealed), datagram)
        self.assertLessEqual(len(sealed), MAX_SENT)
        self.assertTrue(is_sealed(sealed))

    def test_nothing_longer_than_the_limit_is_sealed(self) -> None:
        self.assertRaises(ValueError, envelope().seal, b"x" * (MAX_DATAGRAM + 1))

    def test_the_length_tells_little(self) -> None:
        sizes = {len(envelope().seal(b"x" * length)) for length in range(1, MAX_DATAGRAM + 1)}
        self.assertEqual(len(sizes), MAX_DATAGRAM // BLOCK)

    def test_the_same_datagram_never_looks_the_same(self) -> None:
        self.assertEqual(len({envelope().seal(b"coucou") for _ in range(100)}), 100)

    def test_a_nonce_used_twice_shows_equality_and_nothing_more(self) -> None:
        """Nonces are random: in years some may meet."""
        with mock.patch.object(closed, "urandom", return_value=bytes(NONCE)):
            one, same, other = (envelope().seal(text) for text in (b"a" * 9, b"a" * 9, b"b" * 9))
        self.assertEqual(one, same)
        body, other_body = one[len(MARK) + NONCE :], other[len(MARK) + NONCE :]
        # With a plain counter mode the difference of the texts would stand here.
        mixed = bytes(a ^ b for a, b in zip(body[:9], other_body[:9], strict=True))
        self.assertNotEqual(mixed, bytes([ord("a") ^ ord("b")]) * 9)
        self.assertEqual(envelope().open(other), b"b" * 9)

    def test_no_text_looks_sealed(self) -> None:
        """A script that prints what it hears, and a node without the code, take it for no line."""
        self.assertRaises(UnicodeDecodeError, envelope().seal(b"coucou").decode, "utf-8")
        self.assertRaises(BadDatagram, parse, envelope().seal(b"coucou"))


class Opening(SynchronousTestCase):
    sealed = b""

    def setUp(self) -> None:
        self.sealed = envelope().seal(b"coucou !")

    def test_another_code_or_group_opens_nothing(self) -> None:
        """Attack 36: a datagram of another group."""
        for other in (envelope(1), envelope(1, old=2), envelope(0, group=OTHER_GROUP)):
            self.assertIsNone(other.open(self.sealed))

    @settings(deadline=None)
    @given(st.data())
    def test_a_changed_bit_opens_nothing(self, data: st.DataObject) -> None:
        """Attack 36: wherever it is."""
        bit = data.draw(st.integers(0, 8 * len(self.sealed) - 1))
        changed = bytearray(self.sealed)
        changed[bit // 8] ^= 1 << bit % 8
        self.assertIsNone(envelope().open(bytes(changed)))

    def test_a_shorter_or_longer_one_opens_nothing(self) -> None:
        """Attack 36: cut anywhere, or with more behind it."""
        for length in range(len(self.sealed)):
            self.assertIsNone(envelope().open(self.sealed[:length]))
        for more in (b"\0", b"\0" * 64, b"x" * 5000):
            self.assertIsNone(envelope().open(self.sealed + more))

    @settings(deadline=None)
    @given(st.binary(max_size=1300))
    def test_any_bytes_are_taken_in_stride(self, data: bytes) -> None:
        self.assertIsNone(envelope().open(data))
        self.assertIsNone(envelope(1, old=2).open(MARK + data))

    def test_what_is_not_sealed_is_not_of_a_closed_group(self) -> None:
        """Attack 36: a member takes neither plain lines nor signed ones without the seal."""
        for data in (b"coucou !", b"", MARK, MARK[:3]):
            self.assertIsNone(envelope().open(data))

    def test_a_member_without_padding_is_understood(self) -> None:
        sealed = MARK + bytes(NONCE) + key(0).cipher.encrypt(bytes(NONCE), b"coucou", MARK)
        self.assertEqual(envelope().open(sealed), b"coucou")


class Changing(SynchronousTestCase):
    def test_for_a_while_both_codes_open_and_the_new_one_seals(self) -> None:
        node, before, after = envelope(0), envelope(0), envelope(1)
        node.change(key(1), key(0))
        self.assertEqual(node.open(before.seal(b"old")), b"old")
        self.assertEqual(node.open(after.seal(b"new")), b"new")
        self.assertEqual(after.open(node.seal(b"mine")), b"mine")
        self.assertIsNone(before.open(node.seal(b"mine")))
        self.assertEqual(node.key, key(1))

    def test_then_the_old_one_opens_nothing(self) -> None:
        """Attack 36: a replay from before the change, which now is from another group."""
        node = envelope(1, old=0)
        captured = envelope(0).seal(b"old")
        self.assertEqual(node.open(captured), b"old")
        node.forget_old()
        self.assertIsNone(node.open(captured))
        self.assertFalse(
            node.proves(envelope(0).proof(b"session", b"client"), b"session", b"client")
        )

    def test_public_offers_go_by_the_code_that_everybody_has_still(self) -> None:
        changed, unchanged, after = envelope(1, old=0), envelope(0), envelope(1)
        self.assertEqual(changed.public_prs(b"o", b"i"), unchanged.public_prs(b"o", b"i"))
        changed.forget_old()
        self.assertEqual(changed.public_prs(b"o", b"i"), after.public_prs(b"o", b"i"))
        self.assertNotEqual(changed.public_prs(b"o", b"i"), unchanged.public_prs(b"o", b"i"))


class Proving(SynchronousTestCase):
    def test_a_member_proves_to_a_member(self) -> None:
        for made, checked in (
            (envelope(), envelope()),
            (envelope(0), envelope(1, old=0)),
            (envelope(1, old=0), envelope(1)),
            (OpenEnvelope(GROUP), OpenEnvelope(GROUP)),
        ):
            proof = made.proof(b"session", b"client")
            self.assertEqual(len(proof), 32)
            self.assertTrue(checked.proves(proof, b"session", b"client"))

    def test_a_proof_is_of_one_session_one_role_and_one_group(self) -> None:
        """Attack 8, 6: replayed in another session, or sent back to who made it."""
        for one in (envelope(), OpenEnvelope(GROUP)):
            proof = one.proof(b"session", b"client")
            self.assertFalse(one.proves(proof, b"another", b"client"))
            self.assertFalse(one.proves(proof, b"session", b"server"))
            self.assertFalse(one.proves(proof[:-1], b"session", b"client"))
            self.assertFalse(one.proves(b"", b"session", b"client"))
            for other in (envelope(1), envelope(0, group=OTHER_GROUP), OpenEnvelope(OTHER_GROUP)):
                self.assertFalse(other.proves(proof, b"session", b"client"))
        self.assertFalse(envelope().proves(OpenEnvelope(GROUP).proof(b"s", b"c"), b"s", b"c"))

    def test_what_stands_for_a_public_offer_is_of_that_offer_alone(self) -> None:
        found = {envelope().public_prs(owner, offer) for owner in (b"o" * 32, b"p" * 32)
                 for offer in (b"1" * 16, b"2" * 16)}  # fmt: skip
        self.assertEqual(len(found), 4)
        self.assertEqual({len(each or b"") for each in found}, {32})


class WithoutEnvelope(SynchronousTestCase):
    def test_an_open_group_sends_and_takes_what_there_is(self) -> None:
        group = OpenEnvelope(GROUP)
        self.assertEqual((group.seal(b"coucou"), group.open(b"coucou")), (b"coucou", b"coucou"))
        self.assertTrue(group.plain_allowed)
        self.assertEqual(group.group, GROUP)
        self.assertIsNone(group.public_prs(b"o", b"i"))

    def test_it_opens_nothing_that_is_sealed(self) -> None:
        self.assertIsNone(OpenEnvelope(GROUP).open(envelope().seal(b"coucou")))

    def test_what_is_signed_inside_counts_inside_alone(self) -> None:
        """Attack 36: a member's line, carried out, is signed for another group; and back in."""
        self.assertEqual(envelope().group, GROUP + b" closed")
        self.assertFalse(envelope().plain_allowed)
