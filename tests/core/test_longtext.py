"""Long texts in parts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import TEXT_MOST
from twistedp2p.core.datagrams.longtext import GAP, MAX_PARTS, Part, cut, join
from twistedp2p.core.names import MAX_TEXT, clean_line

# Widths of one to four bytes, and blanks: what decides where a text is cut.
long_texts = st.lists(st.text("aé漢😀 ", min_size=1, max_size=40), min_size=1).map(
    lambda some: ("".join(some) * (MAX_TEXT // len("".join(some)) + 1))[:MAX_TEXT]
)


def put_together(text: str) -> str:
    parts = [Part.read(body) for _kind, body in cut(text)]
    return join({part.index: part.text for part in parts}, parts[0].count)


class TestCut(SynchronousTestCase):
    def test_what_fits_one_datagram_is_one_line(self) -> None:
        self.assertEqual(cut("coucou"), [("say", "coucou")])
        self.assertEqual(cut("x" * TEXT_MOST), [("say", "x" * TEXT_MOST)])

    def test_parts_are_legible(self) -> None:
        parts = cut("word " * 250)
        self.assertEqual([kind for kind, _ in parts], ["part", "part"])
        self.assertEqual(parts[0][1][:14], "1/2 word word ")
        self.assertEqual(parts[1][1][:9], "2/2 word ")

    @settings(deadline=None, max_examples=100)
    @given(long_texts)
    def test_together_they_are_the_text(self, text: str) -> None:
        parts = cut(text)
        self.assertTrue(2 <= len(parts) <= MAX_PARTS)
        self.assertTrue(all(len(body.encode()) <= TEXT_MOST for _kind, body in parts))
        self.assertEqual(put_together(text), text)

    @settings(deadline=None, max_examples=30)
    @given(st.text(min_size=1200, max_size=2000))
    def test_any_text_that_may_be_said(self, text: str) -> None:
        line = clean_line(text * 5, MAX_TEXT).strip()
        if len(line.encode()) > TEXT_MOST:
            self.assertEqual(put_together(line), line)


class TestJoin(SynchronousTestCase):
    def test_in_order(self) -> None:
        self.assertEqual(join({2: "b", 1: "a"}, 2), "ab")

    def test_one_gap_for_what_is_not_here(self) -> None:
        self.assertEqual(join({1: "a", 4: "d"}, 4), f"a{GAP}d")
        self.assertEqual(join({2: "b"}, 3), f"{GAP}b{GAP}")


class TestPart(SynchronousTestCase):
    def test_its_body(self) -> None:
        self.assertEqual(Part.read("2/5 and so on "), Part(2, 5, "and so on "))
        self.assertEqual(Part(2, 5, "and so on ").write(), "2/5 and so on ")

    def test_where_its_text_begins(self) -> None:
        self.assertEqual(Part(2, 5, "").first(11), 10)
        self.assertRaises(BadBody, Part(2, 5, "").first, 1)

    def test_bad_bodies(self) -> None:
        bad = ("", "a", "1/2", "1/1 a", "0/2 a", "3/2 a", "01/2 a", "1/02 a", "1/251 a", " 1/2 a",
               "1 /2 a", "-1/2 a", "1/2\ta", "1/1000 a", "1/2٣ a")  # fmt: skip
        for body in bad:
            self.assertRaises(BadBody, Part.read, body)
