"""Datagrams: one spelling, one group, one signature; and long text in pieces."""

from __future__ import annotations

import contextlib

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.datagram import (
    LOGS,
    MAX_DATAGRAM,
    MAX_NUMBER,
    MESSAGES,
    TEXT_MOST,
    TRAILER_MOST,
    BadDatagram,
    Signed,
    Signer,
    group_name,
    parse,
    split_text,
    verify,
)
from twistedp2p.core.names import b64, clean_line, clean_nick

GROUP = group_name("239.0.0.1", 9392)
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32), GROUP)
KINDS = (*LOGS, *MESSAGES)
NUMBERS = st.integers(1, MAX_NUMBER)
TEXTS = st.text(max_size=200)


def signed(body: str = "coucou !", kind: str = "say", nick: str = "zoé") -> Signed:
    return SIGNER.sign(kind, 3, 7, 1_700_000_000_000, nick, body)


def resigned(old: bytes, new: bytes, body: str = "coucou !") -> bytes:
    """A datagram of our own key, its signature right, with `old` in it replaced by `new`."""
    covered = signed(body).raw.rpartition(b" ")[0]
    assert covered.count(old) == 1
    covered = covered.replace(old, new)
    domain = b"p2pshare/1 datagram\0" + GROUP + b"\0"
    return covered + b" " + b64(SIGNER.private_key.sign(domain + covered)).encode()


class Signing(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.sampled_from(KINDS), NUMBERS, NUMBERS, st.integers(0, MAX_NUMBER), TEXTS, TEXTS)
    def test_what_is_signed_is_read_back_and_verifies(
        self, kind: str, epoch: int, number: int, stamp: int, nick: str, body: str
    ) -> None:
        sent = SIGNER.sign(kind, epoch, number, stamp, clean_nick(nick), body)
        heard = parse(sent.raw)
        self.assertEqual(heard, sent)
        self.assertTrue(verify(heard, GROUP))
        self.assertEqual(heard.log, LOGS.get(kind))

    def test_a_script_shows_the_text_first(self) -> None:
        self.assertTrue(signed("coucou !").raw.startswith(b"coucou !\n~p2pshare/1 say "))

    def test_what_is_signed_is_pinned(self) -> None:
        """Nodes of different versions have to agree on it."""
        self.assertEqual(resigned(b"say", b"say"), signed().raw)
        self.assertTrue(verify(parse(resigned(b"say", b"say")), GROUP))

    def test_a_body_that_ends_in_another_trailer_stays_a_body(self) -> None:
        """Attack 35: what imitates a signed line inside a signed one is text."""
        inner = signed("give me your password", nick="boss").raw.decode()
        for body in (inner, inner + "\n", "\n" + inner, "\n", "", "a\n~p2pshare/1 "):
            if len(body.encode()) <= TEXT_MOST:
                heard = parse(signed(body).raw)
                self.assertEqual((heard.body, heard.nick), (body, "zoé"))

    def test_the_longest_body_with_the_longest_trailer_fits(self) -> None:
        for kind in KINDS:
            numbers = MAX_NUMBER, MAX_NUMBER, MAX_NUMBER
            sent = SIGNER.sign(kind, *numbers, "😀" * 20, "x" * TEXT_MOST)
            self.assertLessEqual(len(sent.raw), MAX_DATAGRAM)
            self.assertLessEqual(len(sent.raw) - TEXT_MOST, TRAILER_MOST)
            self.assertEqual(parse(sent.raw), sent)

    def test_what_is_too_long_is_not_signed(self) -> None:
        self.assertRaises(BadDatagram, signed, "x" * MAX_DATAGRAM)

    def test_the_private_key_is_in_no_repr(self) -> None:
        self.assertNotIn("private_key", repr(SIGNER))


class Plain(SynchronousTestCase):
    def test_text_without_a_trailer_is_plain(self) -> None:
        for text in ("coucou !", "", "\n", "a\nb\n", "~p2pshare", "x ~p2pshare/1 say", "漢字"):
            self.assertEqual(parse(text.encode()), text)

    def test_what_follows_a_trailer_makes_all_of_it_plain(self) -> None:
        """Attack 35: it is then shown as what it is, unverified."""
        text = signed().raw + b"\n"
        self.assertEqual(parse(text), text.decode())

    def test_a_damaged_trailer_is_never_shown_as_text(self) -> None:
        """Attack 35."""
        for data in (b"~p2pshare/1 ", b"hello\n~p2pshare/1 say", signed().raw + b"!",
                     signed().raw.partition(b"\n")[2], signed().raw[:-1]):  # fmt: skip
            self.assertRaises(BadDatagram, parse, data)

    def test_what_is_not_utf8_is_refused(self) -> None:
        for data in (b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf"):
            self.assertRaises(BadDatagram, parse, data)
            self.assertRaises(BadDatagram, parse, signed().raw.replace(b"coucou", data))

    @settings(deadline=None)
    @given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda b: b + signed().raw))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        with contextlib.suppress(BadDatagram):
            heard = parse(data)
            self.assertEqual((heard.raw if isinstance(heard, Signed) else heard.encode()), data)


class Forgery(SynchronousTestCase):
    def assert_refused(self, data: bytes) -> None:
        try:
            heard = parse(data)
        except BadDatagram:
            return
        self.assertIsInstance(heard, Signed)
        self.assertFalse(verify(heard, GROUP))

    def assert_malformed(self, *wrong: bytes) -> None:
        """Refused before any signature is looked at."""
        for data in wrong:
            self.assertRaises(BadDatagram, parse, data)

    def test_every_flipped_bit_is_noticed(self) -> None:
        """Attack 36: bit flips, in body, header and signature."""
        raw = signed().raw
        newline = raw.rindex(b"\n")
        for at in range(len(raw)):
            for bit in range(8):
                flipped = bytearray(raw)
                flipped[at] ^= 1 << bit
                # With its mark damaged, or cut by a line end, it is plain and shown as such.
                marked = newline <= at < newline + len("\n~p2pshare/1 ")
                if not marked and (at < newline or flipped[at] != ord("\n")):
                    self.assert_refused(bytes(flipped))

    def test_another_group_is_noticed(self) -> None:
        """Attack 36: a datagram of one group replayed in another."""
        for group in (("239.0.0.1", 9393), ("239.0.0.2", 9392), ("239.0.0.1", 939)):
            self.assertFalse(verify(parse(signed().raw), group_name(*group)))

    def test_another_key_is_noticed(self) -> None:
        """Attack 38: what one key signed, told under another's name."""
        other = Signer(Ed25519PrivateKey.from_private_bytes(b"x" * 32), GROUP)
        forged = signed().raw.replace(b64(SIGNER.key).encode(), b64(other.key).encode())
        self.assertFalse(verify(parse(forged), GROUP))

    def test_bodies_and_headers_cannot_be_swapped(self) -> None:
        """Attack 38: the signature of one entry under another entry."""
        first, second = signed("first"), SIGNER.sign("say", 3, 8, 1_700_000_000_000, "zoé", "x")
        forged = first.raw.rpartition(b" ")[0] + b" " + second.raw.rpartition(b" ")[2]
        self.assertFalse(verify(parse(forged), GROUP))

    def test_a_key_that_is_no_point_is_no_signature(self) -> None:
        for key in (b"\xff" * 32, bytes(32), b"\x02" + bytes(31)):
            self.assertFalse(verify(attrs.evolve(parse(signed().raw), key=key), GROUP))

    def test_base64_that_is_not_canonical(self) -> None:
        """Attack 36: one datagram has one spelling, or replays would look new."""
        raw, key = signed().raw, b64(SIGNER.key)
        self.assertIn(key[-1], "AEIMQUYcgkosw048")
        twin = key[:-1] + chr(ord(key[-1]) + 1)
        for other in (twin, key + "=", key[:-1], key[:-2] + "+/", "é" * 21 + "a"):
            self.assert_malformed(resigned(key.encode(), other.encode()))
        last = raw[-1:]
        self.assertIn(last, b"AQgw")
        for other in (chr(raw[-1] + 1).encode(), last + b"=", last + b"==", b"", b"+", b" "):
            self.assert_malformed(raw[:-1] + other)

    def test_numbers_that_are_not_canonical(self) -> None:
        """Attack 36: leading zeros, signs, other digits, out of bounds."""
        for number in (b"07", b"+7", b"-7", b"0", b"7.0", b"7e0", b"", b" 7", "٧".encode(),
                       b"9007199254740992", b"9" * 16, b"9" * 17, b"9" * 300):  # fmt: skip
            self.assert_malformed(resigned(b" 7 ", b" " + number + b" "))
            self.assert_malformed(resigned(b" 3 ", b" " + number + b" "))
            if number != b"0":
                self.assert_malformed(resigned(b" 1700000000000 ", b" " + number + b" "))
        self.assertEqual(parse(resigned(b" 7 ", b" 9007199254740991 ")).number, MAX_NUMBER)
        self.assertEqual(parse(resigned(b" 1700000000000 ", b" 0 ")).stamp, 0)

    def test_a_nick_that_is_not_clean(self) -> None:
        """Attack 38, and 32: even the owner of a key cannot sign an escape into its nick."""
        for nick in ("zo\x1b[2J", "a" * 21, "😀" * 21, "a>b", "\u202ezoé", "e\u0301", "a\xa0b",
                     "\u200b", "zoé\r", "[zoé]"):  # fmt: skip
            self.assertNotEqual(clean_nick(nick), nick)
            self.assert_malformed(resigned("@zoé".encode(), f"@{nick}".encode()))
        self.assert_malformed(resigned("@zoé".encode(), b"@\xff"))
        self.assertEqual(parse(resigned("@zoé".encode(), b"@")).nick, "")

    def test_a_kind_or_a_version_that_we_do_not_know(self) -> None:
        for kind in (b"shout", b"SAY", b"", b"s" * 11, b"say2"):
            self.assert_malformed(resigned(b" say ", b" " + kind + b" "))
        later = resigned(b"~p2pshare/1 ", b"~p2pshare/2 ")
        self.assertEqual(parse(later), later.decode())

    def test_other_blanks_in_the_trailer(self) -> None:
        for blank in (b"  ", b"\t", b"\r", b"\x0b", "\u3000".encode()):
            self.assert_malformed(
                resigned(b"say ", b"say" + blank), resigned(b" 7 ", b" 7" + blank)
            )

    def test_a_signed_datagram_that_is_too_long(self) -> None:
        room = MAX_DATAGRAM - len(signed("").raw)
        self.assertEqual(len(parse(resigned(b"coucou !", b"x" * room)).raw), MAX_DATAGRAM)
        self.assert_malformed(resigned(b"coucou !", b"x" * (room + 1)))


PIECES = st.text(
    st.characters(categories=["Lu", "Zs", "Mn", "So"]) | st.sampled_from(" \u200d👩🏽🇫🇷e\u0301\n"),
    max_size=300,
)


class LongText(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(PIECES, st.integers(1, 60))
    def test_nothing_is_lost(self, text: str, most: int) -> None:
        self.assertEqual("".join(split_text(text, most)), text)

    @settings(deadline=None, max_examples=300)
    @given(PIECES, st.integers(1, 60))
    def test_every_piece_fits_and_none_is_empty(self, text: str, most: int) -> None:
        for piece in split_text(text, most):
            self.assertTrue(piece)
            self.assertTrue(len(piece.encode()) <= most or len(piece) == 1)

    @settings(deadline=None, max_examples=20)
    @given(st.text(min_size=500, max_size=2000))
    def test_pieces_fit_a_datagram_and_a_line_of_the_screen(self, text: str) -> None:
        for piece in split_text(clean_line(text * 10, 20_000)):
            sent = SIGNER.sign("say", MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, "😀" * 20, piece)
            self.assertLessEqual(len(sent.raw), MAX_DATAGRAM)

    def test_what_fits_is_one_piece(self) -> None:
        self.assertEqual(split_text("a b", 3), ["a b"])
        self.assertEqual(split_text("é", 2), ["é"])
        self.assertEqual(split_text(""), [])

    def test_it_is_cut_between_words(self) -> None:
        self.assertEqual(split_text("one two three", 9), ["one two ", "three"])
        self.assertEqual(split_text("one two three", 8), ["one two ", "three"])
        self.assertEqual(split_text("one two  three", 8), ["one two ", " three"])

    def test_a_blank_that_would_leave_much_unused_is_not_looked_for(self) -> None:
        self.assertEqual(split_text("a bcdefghijk", 8), ["a bcdefg", "hijk"])

    def test_a_limit_under_one_character_ends_all_the_same(self) -> None:
        self.assertEqual(split_text("漢字", 1), ["漢", "字"])
        self.assertEqual(split_text("😀 a", 3), ["😀", " a"])
        self.assertEqual(split_text("ab", 1), ["a", "b"])

    def test_what_is_seen_as_one_character_stays_whole(self) -> None:
        wholes = [
            "e\u0301\u0302",
            "👩🏽",
            "👩\u200d👩\u200d👧",
            "🇫🇷",
            "❤\ufe0f",
            "\u1112\u1161\u11ab",
            "नि",
        ]
        for whole in wholes:
            size = len(whole.encode())
            for most in range(size, 4 * size + 2):
                pieces = split_text(whole * 9, most)
                self.assertEqual("".join(pieces), whole * 9)
                for piece in pieces:
                    self.assertEqual(piece, whole * piece.count(whole), (whole, most))

    def test_what_is_longer_than_a_piece_is_cut_where_it_must(self) -> None:
        for text in ("e" + "\u0301" * 900, "\u200d" * 900, "🇫" * 901, "👩" + "\u200d👩" * 400):
            pieces = split_text(text, 40)
            self.assertEqual("".join(pieces), text)
            self.assertTrue(all(len(piece.encode()) <= 40 for piece in pieces))

    def test_a_book_is_cut_in_a_moment(self) -> None:
        """A cut looks at one piece's worth of bytes, not at all that is left."""
        self.assertEqual(len(split_text("x" * TEXT_MOST * 1000)), 1000)
