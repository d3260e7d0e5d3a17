"""One text from one node to another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.conversation import Violation
from twistedp2p.core.calls.records import END, ENTRY, MAX_RECORD, TEXT, Records
from twistedp2p.core.calls.tell import MAX_TEXT, Hearing, say_text
from twistedp2p.core.names import clean_line


def told(said: list[tuple[int, bytes]]) -> str | None:
    """What is heard of these records."""
    hearing = Hearing()
    return [hearing.heard(*one) for one in said][-1]


def records_of(text: str) -> list[tuple[int, bytes]]:
    records = Records()
    records.feed(b"".join(say_text(text)))
    found = []
    while (one := records.next()) is not None:
        found.append(one)
    return found


class TellTests(SynchronousTestCase):
    @given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=MAX_TEXT))
    def test_what_is_said_is_heard_as_it_may_be_shown(self, text: str) -> None:
        line = clean_line(text).strip()
        if line:
            self.assertEqual(line, told(records_of(text)))
        else:
            self.assertRaises(Violation, told, records_of(text))

    def test_the_longest(self) -> None:
        for char in ("a", "é", "日", "\U0001f600"):
            text = char * MAX_TEXT
            said = records_of(text)
            self.assertEqual(text, told(said))
            self.assertLessEqual(max(len(content) for _, content in said), MAX_RECORD)

    def test_a_text_that_is_too_long(self) -> None:
        """Attack 19: text without end."""
        self.assertRaises(Violation, told, records_of("a" * (MAX_TEXT + 1)))
        hearing = Hearing()
        for _ in range(3):
            hearing.heard(TEXT, bytes(MAX_RECORD))
        self.assertRaises(Violation, hearing.heard, TEXT, bytes(MAX_RECORD))

    def test_escape_sequences_are_not_heard(self) -> None:
        """Attack 32: escape sequences in a direct message."""
        self.assertEqual("[31mred", told(records_of("\x1b[31mred\x07")))

    def test_what_is_no_text(self) -> None:
        for said in (
            [(TEXT, b"\xff"), (END, b"")],
            [(END, b"")],
            [(TEXT, b"")],
            [(END, b"x")],
            [(ENTRY, b"x")],
            [(TEXT, b"a"), (END, b""), (TEXT, b"b")],
            [(TEXT, b"a"), (END, b""), (END, b"")],
        ):
            self.assertRaises(Violation, told, said)

    @given(st.lists(st.tuples(st.sampled_from([TEXT, END, ENTRY]), st.binary(max_size=9))))
    def test_any_records_are_a_text_or_refused(self, said) -> None:
        hearing = Hearing()
        try:
            texts = [text for one in said if (text := hearing.heard(*one)) is not None]
        except Violation:
            return
        self.assertLessEqual(len(texts), 1)
