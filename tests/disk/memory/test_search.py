"""What a search finds, and what it may look at."""

import sqlite3
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.disk.fakes import Origin, StoreTests, found
from twistedp2p.core.catalogue import Query, folded
from twistedp2p.core.names import clean_name, fingerprint
from twistedp2p.disk.memory import index as index_module
from twistedp2p.disk.memory import search as search_module
from twistedp2p.disk.memory import store as store_module

NAMES = st.text(st.sampled_from("abÉe\u0301 .'\"*%_-漢ß"), max_size=9)
WORDS = st.text(st.sampled_from("abÉe\u0301.'\"*%_-漢ß"), max_size=6)


def naive(query, offer, nick):
    """Whether an offer is meant, by looking at it."""
    words = [folded(word) for word in query.words]
    return (
        query.of(nick, fingerprint(offer.owner))
        and all(word in folded(offer.name) for word in words)
        and (any(words) or not words)
    )


class SearchTests(StoreTests):
    def offered(self, *names):
        origin = Origin(self.store, 1, "Anna")
        for stamp, name in enumerate(names):
            self.assertTrue(origin.offer(name, stamp=stamp))
        return origin

    def finds(self, expected):
        for text, names in expected.items():
            self.assertEqual(sorted(found(self.store, text)), sorted(names), ascii(text))

    def test_every_word_is_part_of_the_name_in_any_order_and_case(self):
        self.offered("Holiday Beach.JPG", "holiday.pdf", "STRASSE.txt")
        self.finds({
            "holiday": ["Holiday Beach.JPG", "holiday.pdf"], "OLIDA": ["Holiday Beach.JPG",
            "holiday.pdf"], "beach  holiday": ["Holiday Beach.JPG"], "jpg": ["Holiday Beach.JPG"],
            "holiday beach pdf": [], "straße": ["STRASSE.txt"], "nothing": [], "holiday.": [
            "holiday.pdf"], "y b": ["Holiday Beach.JPG"],
        })  # fmt: skip

    def test_accents_count_neither_in_the_name_nor_in_the_word(self):
        self.offered("Été à Orléans.jpg", "ete.txt", "漢字テスト.pdf", "한글.txt", "ACME™.gif")
        self.finds({
            "été": ["Été à Orléans.jpg", "ete.txt"], "ÉTÉ": ["Été à Orléans.jpg", "ete.txt"],
            "e\u0301te\u0301": ["Été à Orléans.jpg", "ete.txt"], "orleans": ["Été à Orléans.jpg"],
            "漢字": ["漢字テスト.pdf"], "字": ["漢字テスト.pdf"], "テスト": ["漢字テスト.pdf"],
            "한글": ["한글.txt"], "acmetm": ["ACME™.gif"], "ORLÉANS ete": ["Été à Orléans.jpg"],
        })  # fmt: skip

    def test_where_one_has_nearly_all_a_list_is_as_long_as_asked_for(self):
        many = Origin(self.store, 1, "Anna")
        for number in range(300):
            many.offer(f"{number}.txt", stamp=number)
        for key in range(2, 12):
            Origin(self.store, key, f"nick{key}").offer("one.txt")
        for most, listed in ((5, 5), (100, 100), (309, 309), (310, 310), (1000, 310)):
            self.assertEqual(len(self.store.search(Query.parse(""), b"", most)), listed)

    def test_operators_quotes_and_wildcards_are_plain_text(self):
        plain = "plain note.txt"
        odd = ["a AND b.txt", "it's (100% sure)_+.txt", "near-by.txt", "a^b{c}.txt"]
        self.offered(plain, *odd)
        self.finds({
            '"': [], '"""': [], '"plain"': [], "plain*": [], "*": [], "***": [], "%": odd[1:2],
            "___": [], "100%": odd[1:2], "pla_n": [], "p%e": [], "and": odd[:1],
            "plain and note": [], "plain not txt": [plain], "plain or note": [], "AND": odd[:1],
            "near": odd[2:3], "near(plain": [], "NEAR/2": [], "-note": [], "near-by": odd[2:3],
            "folded:plain": [], "it's": odd[1:2], "(100%": odd[1:2], "sure)_+": odd[1:2],
            "^plain": [], "a^b{c}": odd[3:], "\\": [], "+": odd[1:2],
            "'; drop table offers; --": [],
        })  # fmt: skip
        self.assertEqual(len(found(self.store, "txt")), 5)

    def test_one_and_two_letters_are_found(self):
        self.offered("a.jpg", "ab.jpg", "xaby.png", "zq", "é.gif")
        self.finds({
            "a": ["a.jpg", "ab.jpg", "xaby.png"], "ab": ["ab.jpg", "xaby.png"], "zq": ["zq"],
            "z": ["zq"], "é": ["é.gif"], "qz": [], "ab x": ["xaby.png"], "a png": ["xaby.png"],
        })  # fmt: skip

    def test_what_nobody_can_type_finds_nothing_and_breaks_nothing(self):
        self.offered("a.jpg")
        for text in ("\0", "\0\0\0", "\ud800", "\x1b[2J", "\u0301", "\u200b", "a\n.jpg", "\ufffe"):
            self.assertNotIn(None, found(self.store, text), ascii(text))
        for word in ("\0\0\0", "\u0301\u0301\u0301", "\ud800\ud800\ud800"):
            self.assertEqual(self.store.search(Query((word,), ()), b""), [])

    def test_without_words_the_latest_come_first(self):
        self.offered("first.jpg", "second.jpg", "third.jpg")
        self.assertEqual(found(self.store, ""), ["third.jpg", "second.jpg", "first.jpg"])
        self.assertEqual(found(self.store, "", most=2), ["third.jpg", "second.jpg"])

    def test_nobody_fills_the_list_however_many_and_however_stamped(self):
        """Attack 40: many offers from the future hide nothing."""
        quiet = Origin(self.store, 1, "Anna")
        quiet.offer("notes.txt", stamp=5)
        loud = Origin(self.store, 2, "Spam")
        for number in range(50):
            loud.offer(f"spam {number}.txt", stamp=2**53 - 1)
        first = found(self.store, "", most=4)
        self.assertEqual(first, ["spam 49.txt", "notes.txt", "spam 48.txt", "spam 47.txt"])

    def test_owners_are_named_by_nick_and_by_fingerprint(self):
        anna, bob = Origin(self.store, 1, "Anna"), Origin(self.store, 2, "bob")
        anna.offer("one.jpg")
        bob.offer("two.jpg")
        self.finds({
            "@anna": ["one.jpg"], "@ANN": ["one.jpg"], "@bob": ["two.jpg"], "@nobody": [],
            f"@{fingerprint(bob.key)}": ["two.jpg"], f"@{fingerprint(bob.key)[:9]}": ["two.jpg"],
            "@anna jpg": ["one.jpg"], "@anna two": [], "jpg @bob": ["two.jpg"], "@anna @bob": [],
            "@": ["one.jpg", "two.jpg"], "@bob t": ["two.jpg"],
        })  # fmt: skip
        listing = self.store.search(Query.parse("@anna"), anna.key)[0]
        self.assertEqual((listing.nick, listing.own), ("Anna", True))
        listing = self.store.search(Query.parse("@bob"), anna.key)[0]
        self.assertEqual((listing.nick, listing.own), ("bob", False))

    def test_the_owner_bears_its_latest_nick(self):
        anna = self.offered("a.jpg")
        self.store.set_present(anna.key, True, "Annabel", 0)
        self.assertEqual(self.store.search(Query.parse("a"), b"")[0].nick, "Annabel")

    def test_the_name_that_is_the_word_comes_first_then_those_that_begin_with_it(self):
        self.offered("my img.jpg", "img 2.jpg", "an img of mine.jpg", "img.jpg", "img")
        self.assertEqual(
            found(self.store, "img"),
            ["img", "img.jpg", "img 2.jpg", "my img.jpg", "an img of mine.jpg"],
        )

    def test_the_best_match_is_found_among_more_than_can_be_ranked(self):
        self.patch(store_module, "SEARCH_POOL", 5)
        names = [f"old img {n}.jpg" for n in range(20)] + [f"img {n}.jpg" for n in range(20)]
        self.offered(*names, "img", "IMG.png")
        self.assertEqual(found(self.store, "img", most=2), ["img", "IMG.png"])
        self.assertEqual(found(self.store, "img", most=3)[2][:4], "img ")
        self.assertEqual(len(found(self.store, "img", most=99)), 42)

    def test_no_more_are_given_than_wanted(self):
        self.offered(*(f"{n}.jpg" for n in range(20)))
        for text in ("", "jpg", "1", "@anna"):
            self.assertLessEqual(len(found(self.store, text, most=7)), 7)
        self.assertEqual(len(found(self.store, "jpg", most=7)), 7)

    def test_what_a_hint_finds_is_looked_at(self):
        """The first and the last letters of a long word are in names that do not have the word."""
        self.offered("hollow day.jpg", "a holiday.jpg", "daytime hole.jpg", "holidays.txt",
                     "holiday.jpg", "xyz holi day.jpg")  # fmt: skip
        for few in (0, 2, 3, 1000):
            self.patch(search_module, "FEW", few)
            self.finds({
                "jpg holiday": ["a holiday.jpg", "holiday.jpg"], "xyz holiday": [],
                "holiday x": ["holidays.txt"], "holiday jp": ["a holiday.jpg", "holiday.jpg"],
                "@anna holiday a": ["a holiday.jpg", "holidays.txt", "holiday.jpg"],
            })  # fmt: skip
            self.assertEqual(found(self.store, "holiday", most=1), ["holiday.jpg"])

    def test_owners_are_many_or_few(self):
        for number in range(1, 6):
            Origin(self.store, number, f"Anna{number}").offer(f"holiday {number}.jpg")
        self.patch(search_module, "FEW", 0)
        for most in (0, 1, 2, 64):
            self.patch(search_module, "OWNERS_MOST", most)
            self.finds({
                "@anna2 holiday": ["holiday 2.jpg"], "@anna2 holiday 3": [],
                "@anna holiday": [f"holiday {number}.jpg" for number in range(1, 6)],
            })  # fmt: skip

    def test_words_are_looked_up_not_looked_for(self):
        origins = [Origin(self.store, number, "Anna") for number in range(1, 80)]
        for origin in origins:
            origin.offer("a.jpg")
        Origin(self.store, 80, present=False).offer("a.jpg")
        self.patch(search_module, "FEW", 0)
        found(self.store, "a")  # opens the connection
        plans = []
        run = self.store._reading_db.run

        def explained(statement, *values):
            plans.extend(row[3] for row in run(f"EXPLAIN QUERY PLAN {statement}", *values))
            return run(statement, *values)

        self.patch(self.store._reading_db, "run", explained)
        for text in ("holiday", "holiday a", "a", "ho", "x y", "@nobody ho", "@anna ho", "", "@a"):
            found(self.store, text)
        scans = {plan.partition(" VIRTUAL")[0] for plan in plans if plan.startswith("SCAN")}
        allowed = {"SCAN names", "SCAN grams", "SCAN feeds", "SCAN f"}
        self.assertEqual({plan for plan in scans if "subquery" not in plan} - allowed, set())

    def test_a_feed_number_that_looks_like_another_shows_nobody_elses_offers(self):
        """Two feeds whose numbers are the same in the index are told apart all the same."""
        self.patch(index_module, "OWNER_BASE", 1)
        self.patch(search_module, "FEW", 0)
        anna, bob = Origin(self.store, 1, "Anna"), Origin(self.store, 2, "bob")
        anna.offer("a.jpg")
        bob.offer("b.jpg")
        self.finds({"@anna jpg": ["a.jpg"], "@bob jpg": ["b.jpg"], "jpg": ["a.jpg", "b.jpg"]})

    def test_case_is_the_same_for_the_index_and_for_words(self):
        """Whatever is folded the index takes as it is: no letter is lost to a rule of its own."""
        every = "".join(dict.fromkeys(folded("".join(map(chr, range(0x20, sys.maxunicode))))))
        db = sqlite3.connect(":memory:")
        self.addCleanup(db.close)
        db.executescript(
            "CREATE VIRTUAL TABLE t USING fts5(x, tokenize = 'trigram');"
            "CREATE VIRTUAL TABLE grams USING fts5vocab(t, row)"
        )
        for at in range(0, len(every), 1000):
            db.execute("INSERT INTO t VALUES (?)", (every[at : at + 1002],))
        kept = {gram for (gram,) in db.execute("SELECT term FROM grams")}
        changed = [every[n] for n in range(len(every) - 2) if every[n : n + 3] not in kept]
        self.assertEqual(changed, [])

    @settings(deadline=None, max_examples=150)
    @given(
        st.lists(st.lists(NAMES, max_size=6), min_size=4, max_size=4),
        st.lists(st.one_of(WORDS, st.sampled_from(["@ann", "@b", "@"])), max_size=4),
        st.sampled_from([0, 2, 3000]),
        st.sampled_from([0, 4, 1000]),
        st.sampled_from([0, 2, 256]),
        st.sampled_from([1, 3, 200]),
    )
    def test_the_index_finds_what_looking_at_every_name_finds(
        self, names, words, few, owners_cost, grams_most, most
    ):
        limits = {"FEW": few, "OWNERS_COST": owners_cost, "GRAMS_MOST": grams_most, "LONG": 4}
        for name, value in limits.items():
            self.patch(search_module, name, value)
        self.epoch = getattr(self, "epoch", 0) + 1
        here = []
        for number, nick in enumerate(("anna", "bob", "Ann", "gone"), 1):
            origin = Origin(self.store, number, nick, epoch=self.epoch, present=nick != "gone")
            for name in dict.fromkeys(map(clean_name, names[number - 1])):
                origin.offer(name)
                if nick != "gone":
                    here.append((self.store.offer(origin.key, name), nick))
        query = Query.parse(" ".join(words))
        wanted = [offer for offer, nick in here if naive(query, offer, nick)]
        shown = [listing.offer for listing in self.store.search(query, b"", most)]
        self.assertEqual(len(shown), len(set(shown)))
        self.assertEqual(len(shown), min(most, len(wanted)))
        self.assertLessEqual(set(shown), set(wanted))
        if query.words:
            ranks = sorted(query.rank(offer.name) for offer in wanted)
            self.assertEqual([query.rank(offer.name) for offer in shown], ranks[:most])
