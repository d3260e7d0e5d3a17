import ast
import gettext
import io
import re
import string
import unicodedata
from pathlib import Path

from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core import ticket
from twistedp2p.core.calls import lines
from twistedp2p.core.names import MAX_TEXT, clean_line
from twistedp2p.core.ticket import TicketError, parse_ticket
from twistedp2p.face.texts import (
    INDENT,
    LOCALE_FOLDER,
    MAX_SHOWN,
    accept_language,
    accepted,
    bar,
    rows_of,
    size_text,
    time_text,
    translations,
)

PACKAGE = LOCALE_FOLDER.parent
FRENCH = LOCALE_FOLDER / "fr" / "LC_MESSAGES" / "p2pshare.po"


def placeholders(sentence):
    return sorted(str(field[1:]) for field in string.Formatter().parse(sentence) if field[1])


class FrenchTests(SynchronousTestCase):
    def setUp(self):
        with open(FRENCH, "rb") as file:
            self.catalog = read_po(file, locale="fr")
        self.texts = {message.id: message for message in self.catalog if message.id}

    def test_every_sentence_of_the_package_is_there_and_no_other(self):
        found = {message for _, _, message, _, _ in extract_from_dir(PACKAGE)}
        wanted = found | set(lines.ERRORS.values())
        self.assertEqual(sorted(wanted - set(self.texts)), [], "missing")
        self.assertEqual(sorted(set(self.texts) - wanted), [], "no longer used")
        self.assertEqual(list(self.catalog.obsolete), [])

    def test_every_reason_for_which_datagrams_are_dropped_is_marked_for_translation(self):
        for path in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                reason = None
                if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("dropped"):
                    reason = node.slice
                elif isinstance(node, ast.Call) and node.args:
                    called = ast.unparse(node.func)
                    if called == "BadDatagram" or called.endswith(".dropped"):
                        reason = node.args[0]
                self.assertFalse(isinstance(reason, ast.Constant), ast.unparse(node))

    def test_every_sentence_is_translated_with_the_same_values(self):
        for english, message in self.texts.items():
            self.assertTrue(message.string, english)
            self.assertFalse(message.fuzzy, english)
            self.assertEqual(placeholders(english), placeholders(message.string), english)
            self.assertEqual(
                english.startswith(("* ", "  ")), message.string.startswith(("* ", "  ")), english
            )

    def test_the_compiled_file_is_that_of_the_source(self):
        fresh = io.BytesIO()
        write_mo(fresh, self.catalog)
        fresh.seek(0)
        with open(FRENCH.with_suffix(".mo"), "rb") as kept:
            self.assertEqual(self.read(fresh), self.read(kept))

    def read(self, file):
        texts = dict(gettext.GNUTranslations(file)._catalog)
        texts.pop("")  # the header names the version of the compiler
        return texts

    def test_no_letter_of_a_choice_is_lost(self):
        top = self.texts["1 message  2 get  3 quit  4 offer  5 files  6 who  7 withdraw  ? help"]
        self.assertEqual(re.findall(r"[1-7?]", top.string), list("1234567?"))
        self.assertLessEqual(len(top.string), 80)


class LocaleTests(SynchronousTestCase):
    def said(self, **environment):
        return translations(environment)("yes")

    def test_the_locale_is_chosen_by_the_usual_variables_in_their_order(self):
        self.assertEqual(self.said(LANG="fr_FR.UTF-8"), "oui")
        self.assertEqual(self.said(LC_MESSAGES="fr_CA", LANG="en_US.UTF-8"), "oui")
        self.assertEqual(self.said(LC_ALL="fr_BE@euro", LC_MESSAGES="C"), "oui")
        self.assertEqual(self.said(LANGUAGE="fr", LC_ALL="en_GB.UTF-8"), "oui")
        self.assertEqual(self.said(LANGUAGE="", LANG="fr"), "oui")

    def test_without_one_or_with_an_unknown_one_it_is_english(self):
        for environment in ({}, {"LANG": "C.UTF-8"}, {"LANG": "xx"}, {"LANG": "../../etc"}):
            self.assertEqual(self.said(**environment), "yes")

    def test_a_script_that_asks_for_stable_texts_gets_them(self):
        self.assertEqual(self.said(LC_ALL="C", LANGUAGE="fr_FR:fr"), "yes")
        self.assertEqual(self.said(LC_ALL="C.UTF-8", LANGUAGE="fr"), "yes")

    def test_who_prefers_english_to_french_gets_it(self):
        self.assertEqual(self.said(LANGUAGE="en_GB:fr"), "yes")
        self.assertEqual(self.said(LANGUAGE="de:fr:en"), "oui")


class AcceptedTests(SynchronousTestCase):
    def test_the_language_that_is_wanted_most_of_those_there_are(self):
        for wish, word in (
            ("fr", "oui"),
            ("FR-ca", "oui"),
            ("de, fr;q=0.5, en;q=0.1", "oui"),
            ("fr;q=0.3, en;q=0.8", "yes"),
            ("en-GB, fr", "yes"),
            ("fr;q=0, de", "yes"),
            ("", "yes"),
            ("*", "yes"),
            ("fr/../fr, ../fr, fr_FR.UTF-8", "yes"),
            (", " * 100 + "fr", "yes"),
        ):
            self.assertEqual(accepted(wish)("yes"), word, wish)

    def test_a_locale_is_the_same_wish(self):
        for environment, wish in (
            ({"LANG": "fr_FR.UTF-8"}, "fr-FR"),
            ({"LANGUAGE": "de:fr_BE@euro:en", "LANG": "C"}, "de, fr-BE, en"),
            ({"LC_ALL": "C", "LANGUAGE": "fr"}, ""),
            ({"LANG": "../../etc"}, ""),
            ({}, ""),
        ):
            self.assertEqual(accept_language(environment), wish)

    @given(st.text(max_size=300))
    def test_whatever_is_wanted(self, wish):
        self.assertIn(accepted(wish)("yes"), ("yes", "oui"))


class TicketSentenceTests(SynchronousTestCase):
    def test_whatever_a_ticket_error_says_is_marked_where_it_stands(self):
        source = ast.parse(Path(ticket.__file__).read_text(encoding="utf-8"))
        marked = 0
        for call in (node for node in ast.walk(source) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) in ("TicketError", "self._expect", "self._quoted"):
                for said in call.args:
                    self.assertNotIsInstance(said, (ast.Constant, ast.JoinedStr))
                    marked += ast.unparse(said).startswith("N_(")
        self.assertGreater(marked, 15)

    def test_whatever_is_wrong_is_told_in_french(self):
        french = translations({"LANG": "fr"})
        for bad in (
            '(9,1),("p","f")',
            '("h",1),(p,"f")',
            '("h",1),("p",f)',
            '("h",x),("p","f")',
            '("h","1),(“p”,“f”)',
            '("h",1),("p',
            '("h",1),("p","f',
            '("h',
            '("h",1),("' + "p" * 257 + '","f")',
            "x" * 5000,
            "",
        ):
            error = self.assertRaises(TicketError, parse_ticket, bad)
            self.assertNotEqual(french(str(error)), str(error))

    def test_the_bounds_told_are_those_that_hold(self):
        for bad, bound in (
            ('("h",1),("' + "p" * 257 + '","f")', ticket.PASSWORD_CHARACTERS),
            ("x" * 5000, ticket.TEXT_CHARACTERS),
        ):
            self.assertIn(f" {bound} ", str(self.assertRaises(TicketError, parse_ticket, bad)))


class NumberTests(SynchronousTestCase):
    def test_sizes(self):
        for count, text in {
            0: "0 B", 999: "999 B", 1000: "1.0 kB", 1500: "1.5 kB", 99_400: "99.4 kB",
            99_999: "100 kB", 999_499: "999 kB", 999_500: "1.0 MB", 10**9: "1.0 GB",
            2**53: "9007 TB",
        }.items():  # fmt: skip
            self.assertEqual(size_text(count), text)

    def test_times(self):
        for seconds, text in {0: "0 s", 59.4: "59 s", 59.6: "1:00", 3599: "59:59",
                              3600: "1:00:00", 90_061: "25:01:01"}.items():  # fmt: skip
            self.assertEqual(time_text(seconds), text)

    @settings(deadline=None)
    @given(st.integers(0, 2**53), st.integers(0, 2**53))
    def test_a_bar_has_its_width_whatever_is_done(self, done, size):
        self.assertEqual(len(bar(done, size)), 12)

    def test_a_bar_is_full_at_the_end_only(self):
        self.assertEqual(bar(99, 100, 4), "███░")
        self.assertEqual(bar(100, 100, 4), "████")
        self.assertEqual(bar(0, 0, 4), "░░░░")


HOSTILE = [*"\x1b\x9b\x07\u202e\u200b\u0301\u0489 \t\n*!:>漢😀é", "\x1b]0;title\x07", "* bob", "  "]


class RowTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(
        st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)), max_size=60),
        st.integers(1, 90),
    )
    def test_no_row_is_wider_than_the_terminal_and_all_but_the_first_are_indented(
        self, parts, columns
    ):
        """Attack 35: a wrapped line imitating a system line."""
        text = "".join(parts)
        rows = rows_of(text, columns)
        for row in rows:
            self.assertLessEqual(get_cwidth(row), max(16, columns))
        for row in rows[1:]:
            self.assertTrue(row.startswith(INDENT))
        self.assertEqual("".join("".join(rows).split()), "".join(clean_line(text).split()))

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=60))
    def test_nothing_but_printable_characters_and_joiners_is_ever_shown(self, parts):
        """Attack 32: escapes. Attack 33: bidi."""
        for row in rows_of("".join(parts), 40):
            for char in row:
                if char not in "\u200d\ufe0e\ufe0f":
                    self.assertNotIn(unicodedata.category(char), ("Cc", "Cs", "Co", "Zl", "Zp"))
            self.assertFalse(set(row) & set("\x1b\x9b\u202a\u202e\u2066\u200b"))

    def test_it_breaks_at_blanks(self):
        self.assertEqual(rows_of("anna :> one two three", 16), ["anna :> one two", "    three"])

    def test_a_long_word_is_cut(self):
        self.assertEqual(rows_of("a " + "x" * 24, 16), ["a " + "x" * 14, "    " + "x" * 10])

    def test_wide_characters_count_twice(self):
        self.assertEqual(rows_of("漢" * 9, 16), ["漢" * 8, "    漢"])

    def test_what_imitates_a_line_of_ours_stands_indented(self):
        rows = rows_of("evil :> " + "x" * 72 + "* bob is here (10.0.0.2)", 80)
        self.assertEqual(rows[1], "    * bob is here (10.0.0.2)")

    def test_without_columns_it_is_one_row(self):
        self.assertEqual(rows_of("x " * 500), ["x " * 500])

    def test_the_longest_line_is_bounded(self):
        self.assertEqual(len(rows_of("x" * 100_000)[0]), MAX_SHOWN)

    def test_the_longest_message_is_shown_to_its_end(self):
        said = "somebody (egxj-f3k3-tsxm-ay3m) :> " + "x" * (MAX_TEXT - 4) + " END"
        self.assertTrue(rows_of(said, 80)[-1].endswith(" END"))
