"""The small JSON objects: whatever comes, a value within its bounds or `BadBody`."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.catalogue import Offer, read_withdraw
from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.core.feeds.requests import Ask, Gone
from twistedp2p.core.presence.beacon import Beacon

READERS = (
    Beacon.read,
    Ask.read,
    Gone.read,
    read_withdraw,
    lambda text: Offer.read(b"k" * 32, text),
)
FIELDS = st.sampled_from(
    [
        "every",
        "files",
        "chat",
        "offers",
        "origin",
        "epoch",
        "log",
        "ranges",
        "name",
        "digest",
        "size",
        "public",
    ]
)
HUGE = st.sampled_from([2**53, 2**64, -1, 10**400, 1e400, float("nan"), -0.0, True])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), HUGE,
    st.text(st.characters(categories=["L", "Cs", "Cc", "Mn"]), max_size=50),
    st.sampled_from(["chat", "offers", "a.jpg", "A" * 43, "blake3:" + "0" * 64]),
)  # fmt: skip
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=8)


class Reading(SynchronousTestCase):
    def test_what_we_write_is_read_back(self) -> None:
        fields = {"b": [[1, 2]], "a": 'é漢\u2028"\\', "c": True}
        self.assertEqual(body.read(body.write(fields)), fields)

    def test_there_is_one_way_to_write_an_object(self) -> None:
        self.assertEqual(body.write({"b": 1, "a": "é"}), '{"a":"é","b":1}')

    def test_what_is_no_object_is_refused(self) -> None:
        for text in ("", "x", "[]", "1", "null", '"a"', "{", "{}x", "\ufeff{}", "{'a':1}"):
            self.assertRaises(BadBody, body.read, text)

    def test_fields_that_are_not_known_are_left_alone(self) -> None:
        self.assertEqual(read_withdraw('{"name":"a.jpg","later":[1]}'), "a.jpg")

    def test_deep_nesting_is_refused(self) -> None:
        """Attack 38: a body of nothing but brackets, beyond what a datagram holds."""
        for text in ("[" * 200_000, '{"a":' * 100_000, '{"a":' + "[" * 50_000 + "]" * 50_000 + "}"):
            self.assertRaises(BadBody, body.read, text)

    def test_a_number_of_thousands_of_digits_is_refused(self) -> None:
        for reader in READERS:
            self.assertRaises(BadBody, reader, '{"every":' + "9" * 5000 + ',"files":0}')

    @settings(deadline=None, max_examples=300)
    @given(st.dictionaries(FIELDS, VALUES))
    def test_readers_raise_nothing_but_bad_body_on_any_object(self, fields: dict) -> None:
        """Attack 38: forged and malformed beacons, asks, gones, offers, withdrawals."""
        for reader in READERS:
            for text in (json.dumps(fields), body.write(fields)):
                with contextlib.suppress(BadBody):
                    reader(text)

    @settings(deadline=None, max_examples=300)
    @given(st.text(alphabet='{}[]:,"\\ud80e+-.0123NaInfity ', max_size=80) | st.text(max_size=40))
    def test_readers_raise_nothing_but_bad_body_on_any_text(self, text: str) -> None:
        for reader in READERS:
            with contextlib.suppress(BadBody):
                reader(text)


class Whole(SynchronousTestCase):
    def test_a_number_within_its_bounds_is_taken(self) -> None:
        for value in (3, 4, 9):
            self.assertEqual(body.whole({"n": value}, "n", 9, 3), value)
        self.assertEqual(body.whole({"n": MAX_NUMBER}, "n"), 2**53 - 1)

    def test_anything_else_is_refused(self) -> None:
        """Attack 18: negative, huge, fractional, not a number, a truth value."""
        for text in ("-1", "9007199254740992", "1e3", "1.0", "NaN", "Infinity", "-Infinity",
                     "true", "null", '"1"', "[1]", "{}", "1" * 400):  # fmt: skip
            self.assertRaises(BadBody, body.whole, json.loads(f'{{"n":{text}}}'), "n")
        self.assertRaises(BadBody, body.whole, {}, "n")
        self.assertRaises(BadBody, body.whole, {"n": 2}, "n", 9, 3)
        self.assertRaises(BadBody, body.whole, {"n": 10}, "n", 9, 3)


class Text(SynchronousTestCase):
    def test_a_text_within_its_bounds_is_taken(self) -> None:
        self.assertEqual(body.text({"t": "é" * 5}, "t", 5), "é" * 5)
        self.assertEqual(body.text(body.read('{"t":"\\ud83d\\ude00"}'), "t"), "😀")

    def test_anything_else_is_refused(self) -> None:
        for value in (None, 1, b"a", ["a"], "x" * 6):
            self.assertRaises(BadBody, body.text, {"t": value}, "t", 5)
        self.assertRaises(BadBody, body.text, {}, "t")

    def test_half_of_a_surrogate_pair_is_refused(self) -> None:
        """Attack 38: it would raise far away, where the text meets SQLite or a terminal."""
        for escaped in ("\\ud800", "a\\udfff", "\\ude00\\ud83d", "\\ud83d!"):
            self.assertRaises(BadBody, body.text, body.read(f'{{"t":"{escaped}"}}'), "t")


class TheRanges(SynchronousTestCase):
    def read(self, text: str, most: int = 3) -> list[tuple[int, int]]:
        return body.ranges(body.read(f'{{"r":{text}}}'), "r", most)

    def test_rising_disjoint_ranges_are_taken(self) -> None:
        self.assertEqual(self.read(f"[[1,1],[2,9],[11,{MAX_NUMBER}]]"),
                         [(1, 1), (2, 9), (11, MAX_NUMBER)])  # fmt: skip

    def test_none_are_an_empty_list(self) -> None:
        self.assertEqual(body.ranges({}, "r", 3), [])

    def test_anything_else_is_refused(self) -> None:
        """Attack 18: backward, overlapping, from zero, too large, too many."""
        for text in ("[[0,1]]", "[[-5,1]]", "[[2,1]]", "[[1,5],[5,6]]", "[[5,6],[1,2]]",
                     "[[1,9007199254740992]]", "[[1]]", "[[1,2,3]]", "[1,2]", "{}", "1", "null",
                     "[[1,2.0]]", "[[true,2]]", "[[1,null]]", '["12"]', "[{}]",
                     "[[1,1],[3,3],[5,5],[7,7]]"):  # fmt: skip
            self.assertRaises(BadBody, self.read, text)
