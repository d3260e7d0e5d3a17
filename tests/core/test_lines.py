"""The lines of the file conversation, as a stranger may write them."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls import lines
from twistedp2p.core.calls.lines import (
    ERRORS,
    MAX_LINE,
    MAX_MANIFEST,
    MAX_SIZE,
    MAX_WAIT,
    Auth,
    BadLine,
    Err,
    Get,
    Go,
    Here,
    Ok,
    Share,
    Sync,
    Tell,
    parse_client,
    parse_host,
    parse_owner,
)
from twistedp2p.core.names import b64, clean_name

SHARE, TAG, OFFER = b"s" * 32, b"t" * 64, b"o" * 16
DIGEST = "blake3:" + "0123456789abcdef" * 4
NUMBERS = st.integers(0, MAX_SIZE)
BAD_NUMBERS = ("-1", "+1", "01", "00", "1.0", "1e9", "0x10", "1_000", " 1", "", "٣", "²", "NaN",
               str(2**53), str(2**63), str(2**64), "9" * 16, "9" * 17, "9" * 300)  # fmt: skip


def ok_line(size: object = 10, manifest: object = 0, name: str = "a") -> bytes:
    return f"OK {b64(TAG)} {size} {manifest} {DIGEST} {name}".encode()


def get_line(tag: str = b64(TAG)) -> bytes:
    return f"GET {tag}".encode()


class WhatWeWrite(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
    def test_auth_and_share_are_read_back(self, offer: bytes, share: bytes) -> None:
        self.assertEqual(parse_client(Auth(offer, share).line()), Auth(offer, share))
        self.assertEqual(parse_owner(Share(share).line()), Share(share))

    @settings(deadline=None)
    @given(st.binary(min_size=64, max_size=64))
    def test_get_is_read_back(self, tag: bytes) -> None:
        get = Get(tag)
        self.assertEqual(parse_client(get.line()), get)

    @settings(deadline=None)
    @given(NUMBERS, st.integers(0, MAX_MANIFEST), st.text())
    def test_ok_is_read_back_and_fits_a_line(self, size: int, manifest: int, text: str) -> None:
        for name in (clean_name(text), clean_name("漢" * 90)):
            ok = Ok(TAG, size, manifest, DIGEST, name)
            self.assertEqual(parse_owner(ok.line()), ok)
            self.assertLessEqual(len(ok.line()), MAX_LINE)

    def test_the_lines_are_the_ones_that_are_drawn(self) -> None:
        self.assertEqual(Auth(OFFER, SHARE).line(), b"AUTH " + b"6f" * 16 + b" " + SHARE64)
        self.assertEqual(Share(SHARE).line(), b"SHARE " + SHARE64)
        self.assertEqual(Get(TAG).line(), b"GET " + TAG64)
        self.assertEqual(Go().line(), b"GO")
        self.assertEqual(parse_client(b"GO"), Go())
        ok = b"OK " + TAG64 + b" 9 5 " + DIGEST.encode() + " é b.txt".encode()
        self.assertEqual(Ok(TAG, 9, 5, DIGEST, "é b.txt").line(), ok)

    def test_every_error_is_read_back(self) -> None:
        for code in ERRORS:
            for seconds in (None, 0, 1, MAX_WAIT):
                self.assertEqual(parse_owner(Err(code, seconds).line()), Err(code, seconds))

    def test_we_ask_nobody_to_wait_longer_than_a_day(self) -> None:
        self.assertEqual(Err(429, 10**9).line(), b"ERR 429 86400")


SHARE64, TAG64 = b64(SHARE).encode(), b64(TAG).encode()


class WhatIsRefused(SynchronousTestCase):
    def refused(self, *wrong: bytes) -> None:
        for line in wrong:
            self.assertRaises(BadLine, parse_client, line)
            self.assertRaises(BadLine, parse_owner, line)

    def test_negative_huge_and_overflowing_numbers_in_ok(self) -> None:
        """Attack 18: sizes that no file has (CVE-2021-21404)."""
        for number in BAD_NUMBERS:
            self.refused(ok_line(size=number), ok_line(manifest=number))
        self.refused(ok_line(manifest=MAX_MANIFEST + 1))
        self.assertEqual(parse_owner(ok_line(MAX_SIZE)), Ok(TAG, MAX_SIZE, 0, DIGEST, "a"))

    def test_an_over_long_line(self) -> None:
        """Attack 19: what is longer than 512 bytes is refused before it is looked at."""
        self.refused(b"A" * (MAX_LINE + 1), get_line() + b" " * MAX_LINE, b"\xff" * 10**6)
        self.assertRaises(BadLine, parse_owner, ok_line(name="é" * 190))
        self.assertRaises(BadLine, parse_owner, ok_line(name="漢" * 120))

    def test_base64_that_is_not_canonical(self) -> None:
        """Attack 36: one spelling of a share and of a proof."""
        twin = b64(SHARE)[:-1] + chr(ord(b64(SHARE)[-1]) + 1)
        for share in (twin, b64(SHARE) + "=", b64(SHARE)[:-1], "+" * 43, "/" * 43, "é" * 43):
            self.refused(f"AUTH {OFFER.hex()} {share}".encode(), f"SHARE {share}".encode())
        twin = b64(TAG)[:-1] + chr(ord(b64(TAG)[-1]) + 1)
        for tag in (twin, b64(TAG) + "==", b64(TAG)[:-1], "+" * 86, "ａ" * 86):
            self.refused(get_line(tag=tag), ok_line().replace(TAG64, tag.encode()))

    def test_a_malformed_offer_id(self) -> None:
        """Attack 38."""
        for offer in ("", "6f" * 15, "6f" * 17, "6F" * 16, "g" * 32, "../" * 10 + "aa", "٠" * 32):
            self.refused(f"AUTH {offer} {b64(SHARE)}".encode())

    def test_a_malformed_digest(self) -> None:
        for digest in (
            "",
            "blake3:",
            DIGEST[:-1],
            DIGEST + "0",
            DIGEST.upper(),
            "sha256:" + "0" * 64,
        ):
            self.refused(ok_line().replace(DIGEST.encode(), digest.encode()))

    def test_a_name_that_is_empty_too_long_or_two_lines(self) -> None:
        self.refused(ok_line(name=""), ok_line(name="a" * 201), ok_line(name="a\nb"))

    def test_errors_out_of_bounds(self) -> None:
        for line in ("ERR", "ERR ", "ERR 40", "ERR 4000", "ERR 099", "ERR -12", "ERR 429 ",
                     "ERR 429 -1", "ERR 429 01", "ERR 429 86401", "ERR 429 9999999", "err 429",
                     "ERR 429 1 1", "ERR 429 x", "ERR  429"):  # fmt: skip
            self.refused(line.encode())

    def test_a_line_of_the_other_end(self) -> None:
        for line in (Auth(OFFER, SHARE).line(), get_line(), b"GO"):
            self.assertRaises(BadLine, parse_owner, line)
        for line in (Share(SHARE).line(), ok_line(), b"ERR 404"):
            self.assertRaises(BadLine, parse_client, line)

    def test_other_blanks_cases_and_line_ends(self) -> None:
        for good in (
            Auth(OFFER, SHARE).line(),
            get_line(),
            Share(SHARE).line(),
            b"ERR 429 5",
            b"GO ",
        ):
            self.refused(b"", b" " + good, good + b" ", good + b"\n", good + b"\r", good + b"\0",
                         good.replace(b" ", b"  "), good.replace(b" ", b"\t"),
                         good.lower(), "\ufeff".encode() + good)  # fmt: skip

    def test_what_is_not_utf8(self) -> None:
        self.refused(
            ok_line(name="a") + b"\xff", ok_line() + b"\xed\xa0\x80", ok_line() + b"\xc0\xaf"
        )

    @settings(deadline=None, max_examples=300)
    @given(
        st.binary(max_size=600)
        | st.lists(
            st.sampled_from(
                [b"AUTH", b"SHARE", b"GET", b"OK", b"ERR", b" ", b"-", b"0", b"9" * 16, b"404",
                 OFFER.hex().encode(), SHARE64, TAG64, DIGEST.encode(), b"a\r", b"\xff"]
            ),
            max_size=14,
        ).map(b"".join)
    )  # fmt: skip
    def test_any_bytes_are_a_line_or_refused_and_what_is_taken_has_one_spelling(
        self, line: bytes
    ) -> None:
        for parse in (parse_client, parse_owner):
            with contextlib.suppress(BadLine):
                self.assertEqual(parse(line).line(), line)

    def test_the_sentences_have_no_values_of_strangers(self) -> None:
        for code, sentence in lines.ERRORS.items():
            self.assertEqual(len(str(code)), 3)
            self.assertNotIn("{", sentence)


class TalkLines(SynchronousTestCase):
    def test_they_are_read_back(self) -> None:
        for line in (Sync(SHARE), Tell(SHARE)):
            self.assertEqual(parse_client(line.line()), line)
        self.assertEqual(parse_host(Here(SHARE).line()), Here(SHARE))
        self.assertEqual(parse_host(Err(503, 5).line()), Err(503, 5))

    def test_the_lines_are_the_ones_that_are_drawn(self) -> None:
        proof = b64(SHARE).encode()
        self.assertEqual(b"SYNC " + proof, Sync(SHARE).line())
        self.assertEqual(b"TELL " + proof, Tell(SHARE).line())
        self.assertEqual(b"HERE " + proof, Here(SHARE).line())

    def test_each_end_has_lines_of_its_own(self) -> None:
        self.assertRaises(BadLine, parse_client, Here(SHARE).line())
        self.assertRaises(BadLine, parse_owner, Here(SHARE).line())
        for line in (Sync(SHARE), Tell(SHARE), Share(SHARE)):
            self.assertRaises(BadLine, parse_host, line.line())

    def test_damaged_ones(self) -> None:
        proof = b64(SHARE)
        for bad in ("SYNC", "SYNC ", f"SYNC {proof} ", f"SYNC  {proof}", f"sync {proof}",
                    f"SYNC {proof[:-1]}", f"SYNC {proof}=", f"SYNC {proof[:-1]}x",
                    "TELL é"):  # fmt: skip
            self.assertRaises(BadLine, parse_client, bad.encode())

    @given(st.binary(max_size=600))
    def test_any_bytes_are_an_answer_or_refused(self, data: bytes) -> None:
        with contextlib.suppress(BadLine):
            self.assertIsInstance(parse_host(data), Here | Err)
