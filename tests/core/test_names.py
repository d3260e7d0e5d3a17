import re
import time
import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core import names as names_module
from twistedp2p.core.names import (
    b64,
    clean_line,
    clean_name,
    clean_nick,
    fingerprint,
    look_alike,
    offer_id,
    unb64,
)

# What has broken cleaners: dots, signs, Windows, marks of all classes, characters that NFC turns
# into others or into several, joiners, selectors, tags, Hangul parts, surrogates, unassigned.
HOSTILE = [
    *". ~-_/\\:<>\"|?*$'`()#%\t\n\r\0\x1b\x7f\x80\x85\x9b\xa0\xad 012¹²³aeoAé",
    *["CON", "con", "PRN", "AUX", "NUL", "COM1", "LPT", "CONIN$", "..", ".jpg", ".tar", "x" * 60],
    *["é" * 20, "漢" * 20, "x" * 170],
    *"\u0300\u0301\u0302\u0316\u0323\u0327\u0338\u0345\u034f\u0488\u05b4\u05bc\u05c1\u064b\u0651",
    *"\u037e\u0387\u0958\u09c7\u09be\u0b47\u0b3e\u0f71\u0f72\u0fb2\u1025\u102e\u1b05\u1b35\u103c",
    *"\u1100\u1161\u11a8\u115f\u1160\u1680\u17b4\u180b\u180e\u1fef\u2000\u2001\u200b\u200c\u200d",
    *"\u200e\u200f\u2028\u2029\u202a\u202e\u202f\u2060\u2064\u2066\u2069\u206f\u2126\u212a\u2800",
    *"\u3000\u3099\u309a\u304b\u3164\uac00\ud800\udc00\udfff\ue000\uf8ff\uf900\ufb1d\ufb2c\ufe0e",
    *"\ufe0f\u20e3\ufeff\uffa0\ufff9\ufffc\ufffe\uffff\U0001d15e\U0001d165\U0001d16d\U0001f3f4",
    *"\U0001f3fd\U0001f468\U0001f469\u2764\U0001f1eb\U0001f1f7\U0001faff\U000e0001\U000e0067",
    *"\U000e007f\U000e0100\U000f0000\U0010ffff\U0002fa1d漢אש\u2fff\u0378",
]
hostile = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.sampled_from(HOSTILE), st.characters(categories=None)),
    max_size=40,
).map("".join)

NEVER_SEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    port + digit for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
FAMILY = "👨‍👩‍👧‍👦"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


def longest_row_of_marks(text):
    longest = row = 0
    for char in text:
        row = row + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        longest = max(longest, row)
    return longest


class CleanNameTests(SynchronousTestCase):
    def becomes(self, cases):
        for name, cleaned in cases.items():
            self.assertEqual(clean_name(name), cleaned, ascii(name))

    def test_ordinary_names_stay(self):
        for name in (
            "monImage.jpg",
            "a (2).jpg",
            "été à Zürich.txt",
            "漢字.pdf",
            "한국어.hwp",
            "שלום.txt",
            "مرحبا.txt",
            "naïve~draft-2_final.tar.gz",
            "🎉 party 🇫🇷.png",
            "_private",
            "Makefile",
            "50% off & more, [x] {y} #1 @me +.txt",
        ):
            self.assertEqual(clean_name(name), name)

    def test_only_the_last_component(self):
        """Attack 21: `../`, `..\\`, absolute paths and drive letters choose no folder."""
        self.becomes(
            {
                "../../etc/passwd": "passwd",
                "..\\..\\boot.ini": "boot.ini",
                "/etc/shadow": "shadow",
                "C:\\Windows\\win.ini": "win.ini",
                "C:win.ini": "C_win.ini",
                "\\\\host\\share\\x.exe": "x.exe",
                "a/b\\c/d\\e": "e",
                "..": "file",
                "../": "file",
                ".": "file",
                "": "file",
                "a/": "file",
                "x/..": "file",
                "..\0/..\0": "file",
                ".\u200b.": "file",
                "\ufeff/../\u202e..": "file",
            }
        )

    def test_neither_hidden_nor_an_option(self):
        """Attack 26: no dotfile, and no name that a command takes for an option or a home."""
        self.becomes(
            {
                ".bashrc": "bashrc",
                "-rf": "rf",
                "~root": "root",
                "..-~. .ssh": "ssh",
                "\u200b.profile": "profile",
                " .profile": "profile",
                "\u0301.profile": "profile",
                ".\u0301x": "x",
                "---": "file",
            }
        )

    def test_what_windows_takes_for_something_else(self):
        """Attack 30: reserved names, with extension and superscript digits; streams; ends."""
        self.becomes(
            {
                "CON": "_CON",
                "con.txt": "_con.txt",
                "Aux.tar.gz": "_Aux.tar.gz",
                "NUL .txt": "_NUL .txt",
                "COM1": "_COM1",
                "com0.log": "_com0.log",
                "LPT³.x": "_LPT³.x",
                "COM¹": "_COM¹",
                "CONIN$": "_CONIN$",
                "conout$.txt": "_conout$.txt",
                ".con": "_con",
                "C\u200bO\u00adN": "_CON",
                "CON.": "_CON",
                "console": "console",
                "COM10": "COM10",
                "nul2": "nul2",
                "a.txt:evil.exe": "a.txt_evil.exe",
                "a.txt::$DATA": "a.txt__$DATA",
                '<>:"|?*': "_______",
                "12:30 notes.txt": "12_30 notes.txt",
                "a.txt. . .": "a.txt",
                "a ": "a",
            }
        )

    def test_what_is_not_seen_goes(self):
        """Attacks 32 and 33: escapes, bidi, zero-width, private, unassigned characters."""
        self.becomes(
            {
                "\x1b[31mred\x1b]0;t\x07.txt": "[31mred]0;t.txt",
                "\x9b2Ja": "2Ja",
                "photo\u202egpj.exe": "photogpj.exe",
                "a\u200b\u200d\u2060\ufeff\u00ad\u061cb": "ab",
                "a\ue000\U000f0000\ud800\uffff\u0378b": "ab",
                "a\n\t\r\u2028b.txt": "ab.txt",
                "a\u3164\uffa0\u115f\u2800b": "ab",
                "a\u00a0\u3000 \u2003b": "a b",
                "a.jpg                    .exe": "a.jpg .exe",
            }
        )

    def test_stacked_marks_are_cut(self):
        """Attack 33: three combining marks in a row at most, none on nothing."""
        self.assertEqual(clean_name("x" + "\u0316" * 50 + ".txt"), "x\u0316\u0316\u0316.txt")
        self.assertEqual(clean_name("\u0316\u0316x"), "x")

    def test_nfd_twins_are_one_name(self):
        """Attack 30: the composed and the decomposed spelling give one name."""
        for name in ("é.txt", "한국어.hwp", "Å", "ﬁ ǖ ệ"):
            twin = unicodedata.normalize("NFD", name)
            self.assertEqual(clean_name(twin), clean_name(name))

    def test_a_long_name_is_cut_and_keeps_its_extension(self):
        """Attack 30: 255-byte names."""
        self.becomes(
            {
                "x" * 255: "x" * 180,
                "x" * 255 + ".jpeg": "x" * 175 + ".jpeg",
                "é" * 127 + ".txt": "é" * 88 + ".txt",
                "x" * 180: "x" * 180,
                "a." + "x" * 255: "a." + "x" * 178,
                "x" * 100000 + ".gz": "x" * 177 + ".gz",
                "x" * 147 + " ." * 60 + "." + "y" * 31: "x" * 147 + "." + "y" * 31,
            }
        )

    def test_emoji_newer_than_python_are_kept(self):
        self.assertEqual(clean_name("\U0001faef.png"), "\U0001faef.png")

    @settings(deadline=None, max_examples=1200)
    @given(hostile)
    @example("CON" + "\u0316" * 4)
    @example("x" * 179 + "é")
    @example("\u1100\u1161\u200b\u11a8")
    def test_promise(self, name):
        """Attacks 21, 26, 30, 32, 33: whatever comes in, this is what goes out."""
        cleaned = clean_name(name)
        self.assertEqual(clean_name(cleaned), cleaned)
        self.assertTrue(unicodedata.is_normalized("NFC", cleaned))
        self.assertTrue(0 < len(cleaned.encode()) <= 180)
        self.assertTrue(set(cleaned).isdisjoint('/\\<>:"|?*\0'))
        self.assertNotIn(cleaned[0], ".-~ ")
        self.assertNotIn(cleaned[-1], ". ")
        self.assertNotIn("  ", cleaned)
        self.assertNotIn(cleaned.split(".")[0].rstrip().upper(), RESERVED)
        self.assertLessEqual(longest_row_of_marks(cleaned), 3)
        self.assertNotIn(unicodedata.category(cleaned[0]), ("Mn", "Me"))
        for char in cleaned:
            self.assertNotIn(unicodedata.category(char), NEVER_SEEN)
            self.assertTrue(char.isprintable() or "\U0001f000" <= char <= "\U0001faff", ascii(char))

    @settings(max_examples=500, deadline=None)
    @given(st.one_of(hostile, st.text(st.characters(max_codepoint=127), max_size=200)))
    @example("a" * 180)
    @example("a" * 181)
    @example("con .txt")
    @example("(1).jpg")
    def test_what_is_seen_to_be_clean_at_once_is_what_cleaning_leaves_alone(self, name):
        cleaned = clean_name(name)
        patch = self.patch(names_module, "_CLEAN_AS_IT_IS", re.compile("(?!)"))
        self.assertEqual(clean_name(name), cleaned)
        patch.restore()

    @settings(max_examples=2000)
    @given(st.text(st.characters(codec="utf-8"), max_size=8))
    @example("ᄀ" * 3 + "ᅡ" * 4)
    @example("\u1160a")
    @example("ﾠ")
    @example("é" * 100)
    @example("e\u0301")
    @example("com¹")
    @example("\U0001fbf0")
    def test_what_is_seen_to_be_clean_at_once_is_clean(self, name):
        if names_module._is_plainly_clean(name):
            self.assertEqual(names_module._settled(names_module._name_step, name), name)


class CleanLineTests(SynchronousTestCase):
    def test_what_people_write_stays(self):
        for text in (
            "coucou !",
            "Élève, où est l'été ? – « là »…",
            "漢字かなカナ 한국어",
            "שָׁלוֹם مَرْحَبًا",
            "नमस्ते ไทยที่นี่ အကြွေး",
            "😀 👍🏽 🇫🇷🇯🇵 ❤️ 1️⃣ #️⃣ ☎︎",
            FAMILY,
            "👩🏽‍🚀 🏳️‍🌈 🏴‍☠️ 🕵🏽‍♂️ 👁️‍🗨️ ❤️‍🔥 🧑‍🤝‍🧑",
            ENGLAND,
            "\U0001faef newer than this Python",
            "  indented   code()",
        ):
            text = unicodedata.normalize("NFC", text)
            self.assertEqual(clean_line(text), text, ascii(text))

    def test_no_control_reaches_the_terminal(self):
        """Attack 32: ANSI, C1 and OSC sequences (CVE-2023-43620, CVE-2024-52005)."""
        for text, shown in {
            "\x1b[2J\x1b[31mred": "[2J[31mred",
            "\x1b]0;title\x07x": "]0;titlex",
            "\x9b31mred\x90q\x9c": "31mredq",
            "a\x08\x08b\x7f\0": "ab",
        }.items():
            self.assertEqual(clean_line(text), shown)

    def test_it_is_one_line(self):
        """Attack 35: no line end lets a text begin a line of its own."""
        for end in (
            "\n",
            "\r\n",
            "\r",
            "\v",
            "\f",
            "\x1c",
            "\x1d",
            "\x1e",
            "\x85",
            "\u2028",
            "\u2029",
        ):
            self.assertEqual(clean_line(f"hi{end}root :> x"), "hi root :> x", ascii(end))

    def test_no_bidi_no_zero_width_no_stack(self):
        """Attack 33: bidi, zero-width, stacked marks (CVE-2021-42574)."""
        for text, shown in {
            "a\u202eb\u2066c\u200fd\u061ce": "abcde",
            "a\u200bb\u2060c\ufeffd\u00ade\u200cf\u200dg": "abcdefg",
            "a\ufe0f b\u200d😀 😀\u200dc 😀\u200d": "a b😀 😀c 😀",
            "😀\u200d\u200d😀 😀\ufe0f\ufe0f": "😀😀 😀\ufe0f",
            "🏴\U000e0068\U000e0069\U000e007f x\U000e0068": "🏴 x",
            "z" + "\u0316" * 40: "z" + "\u0316" * 3,
            "\u0316start": "start",
            "\ue000\ud800\u3164\u034f": "",
            "a\u2800b": "a b",
        }.items():
            self.assertEqual(clean_line(text), shown, ascii(text))

    def test_limit(self):
        self.assertEqual(clean_line("x" * 2000), "x" * 1000)
        self.assertEqual(clean_line("é" * 2000, 7), "é" * 7)
        self.assertEqual(clean_line(FAMILY, 2), "👨")

    @settings(deadline=None, max_examples=800)
    @given(hostile, st.sampled_from([0, 1, 2, 3, 20, 1000]))
    def test_promise(self, text, limit):
        """Attacks 32 and 33: whatever comes in, this is what is shown."""
        line = clean_line(text, limit)
        self.assertEqual(clean_line(line, limit), line)
        self.assertLessEqual(len(line), limit)
        self.assertLessEqual(longest_row_of_marks(line), 3)
        self.assertEqual(line.splitlines(), [line] if line else [])
        for char in line.replace(ENGLAND, "").replace("\u200d", ""):
            self.assertNotIn(unicodedata.category(char), NEVER_SEEN, ascii(char))


class CleanNickTests(SynchronousTestCase):
    def test_cases(self):
        for nick, cleaned in {
            "Zoé": "Zoé",
            "  Jean  Paul ": "Jean_Paul",
            "漢字🎉": "漢字🎉",
            "x" * 30: "x" * 20,
            "a-b_c.d": "a-b_c.d",
            "O'Neil": "ONeil",
            "": "",
            "\n\u200b ": "",
            FAMILY: FAMILY,
        }.items():
            self.assertEqual(clean_nick(nick), cleaned, ascii(nick))

    def test_no_sign_of_our_own_lines(self):
        """Attack 35: a nick cannot hold what marks a signed, a plain or a system line."""
        self.assertEqual(clean_nick("<>:[]~#*!?\"',()"), "")
        self.assertEqual(clean_nick("＜＞：［］～＃＊！？＂＇，（）«»“”‘’‹›〈〉⟨⟩∶꞉‼≯"), "")
        self.assertEqual(clean_nick("10.0.0.1 :> hi"), "10.0.0.1_hi")

    @settings(deadline=None, max_examples=300)
    @given(hostile)
    def test_promise(self, nick):
        """Attack 35: whatever comes in, a nick is one short word without our signs."""
        cleaned = clean_nick(nick)
        self.assertEqual(clean_nick(cleaned), cleaned)
        self.assertEqual(clean_line(cleaned), cleaned)
        self.assertLessEqual(len(cleaned), 20)
        self.assertEqual(cleaned.split(), [cleaned] if cleaned else [])
        self.assertTrue(set(cleaned).isdisjoint("<>:[]~#*!?\"',()"))


class LongTextTests(SynchronousTestCase):
    def test_time_is_bounded(self):
        """Attack 33: marks without end, which normalising would sort in quadratic time."""
        for text in ("a" + "\u0301\u0316" * 100000, "é" * 200000, "\u200b" * 200000):
            for clean in (clean_name, clean_line, clean_nick):
                began = time.process_time()
                clean(text)
                self.assertLess(time.process_time() - began, 0.5, clean)


class LookAlikeTests(SynchronousTestCase):
    def test_the_same_to_the_eye(self):
        """Attack 35: look-alike nicks."""
        for one, other in (
            ("paypal", "раураl"),
            ("Paypal", "PAYPAL"),
            ("bob", "b0b"),
            ("bill", "bi11"),
            ("bill", "BIll"),
            ("alice", "a|ice"),
            ("Alice", "Αlісе"),
            ("zoe", "Zoé"),
            ("zoe", "z.o-e_"),
            ("modern", "rnodern"),
            ("will", "vvill"),
            ("admin", "𝐚𝐝𝐦𝐢𝐧"),
            ("admin", "ａｄｍｉｎ"),
            ("Hi", "Ні"),
            ("Hi", "Ηι"),
            ("Tom", "ТоМ"),
            ("file", "ﬁle"),
            ("x–y", "xy"),
            ("istanbul", "İstanbul"),
        ):
            self.assertEqual(look_alike(one), look_alike(other), (one, other))

    def test_others_stay_apart(self):
        nicks = ["alice", "bob", "carol", "dave", "eve", "漢字", "漢子", "🎉", "🎊", "राम", "रमा"]
        nicks += ["アリス", "שלום", "user1", "user3", "user4"]
        self.assertEqual(len({look_alike(nick) for nick in nicks}), len(nicks))

    @settings(deadline=None)
    @given(hostile)
    def test_never_raises(self, nick):
        self.assertIsInstance(look_alike(nick), str)
        self.assertEqual(look_alike(clean_nick(nick)), look_alike(clean_nick(nick).lower()))


class IdTests(SynchronousTestCase):
    def test_fingerprint(self):
        self.assertEqual(fingerprint(bytes(32)), "7v7t-k4to-crzr-ipcu")
        self.assertNotEqual(fingerprint(bytes(32)), fingerprint(bytes(31) + b"\1"))

    def test_offer_id(self):
        self.assertEqual(offer_id(bytes(32), "été.txt").hex(), "9e8283b53f26ce57d9f4082c722e26b9")
        self.assertEqual(offer_id(bytes(32), "e\u0301te\u0301.txt"), offer_id(bytes(32), "été.txt"))
        self.assertEqual(offer_id(bytes(32), "../x"), offer_id(bytes(32), "x"))
        self.assertNotEqual(offer_id(bytes(32), "x"), offer_id(bytes(32), "X"))
        self.assertNotEqual(offer_id(bytes(32), "x"), offer_id(b"\1" * 32, "x"))

    def test_keys_of_another_size(self):
        """Attack 38: no other split of key and name gives an id that exists."""
        for size in (0, 31, 33):
            self.assertRaises(ValueError, fingerprint, bytes(size))
            self.assertRaises(ValueError, offer_id, bytes(size), "x")


class Base64Tests(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.binary(max_size=80))
    def test_round_trip(self, data):
        text = b64(data)
        self.assertRegex(text, "^[A-Za-z0-9_-]*$")
        self.assertEqual(unb64(text, len(data)), data)

    def test_one_spelling_only(self):
        """Attack 36: non-canonical base64."""
        self.assertEqual(unb64("-_8", 2), b"\xfb\xff")
        for text in (
            "+/8",
            "-_9",
            "-_8=",
            "-_8\n",
            " -_8",
            "-_",
            "-_88",
            "",
            "-_\u00e98",
            "-_é",
            "-=8",
        ):
            self.assertRaises(ValueError, unb64, text, 2)
        self.assertRaises(ValueError, unb64, "AA==", 3)
        self.assertRaises(ValueError, unb64, "-\ud800A", 2)

    @settings(deadline=None)
    @given(st.text(st.sampled_from("AQgw_-+/=é \n\0\ud800"), max_size=8), st.integers(0, 6))
    def test_bad_text_is_a_value_error(self, text, size):
        try:
            data = unb64(text, size)
        except ValueError:
            return
        self.assertEqual((b64(data), len(data)), (text, size))
