"""Offers as entries, and what a search means."""

from __future__ import annotations

import json

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.lines import MAX_SIZE
from twistedp2p.core.catalogue import (
    MAX_QUERY,
    MAX_TERMS,
    Offer,
    Query,
    read_withdraw,
    write_withdraw,
)
from twistedp2p.core.content.manifest import MOST_ENTRIES
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_NUMBER, Signer
from twistedp2p.core.names import FILE_NAME_BYTES, clean_name, offer_id

OWNER = b"o" * 32
DIGEST = "blake3:" + "0123456789abcdef" * 4
GOOD = {"digest": DIGEST, "name": "a.jpg", "public": False, "size": 1234}


def read(**changed: object) -> Offer:
    return Offer.read(OWNER, json.dumps({**GOOD, **changed}))


class AnOffer(SynchronousTestCase):
    def test_it_is_read_as_written(self) -> None:
        for size, public in ((0, True), (1234, False), (MAX_SIZE, True)):
            offer = Offer(OWNER, "été 漢字.jpg", size, DIGEST, public, 7)
            self.assertEqual(Offer.read(OWNER, offer.write(), 7), offer)
            self.assertEqual(Offer.read(OWNER, offer.write(), 7).stamp, 7)

    def test_its_body_is_the_one_that_is_drawn(self) -> None:
        self.assertEqual(read().write(), json.dumps(GOOD, separators=(",", ":"), sort_keys=True))

    def test_a_folder_says_how_many_files_it_holds(self) -> None:
        self.assertIsNone(read().files)
        for files in (0, 1, MOST_ENTRIES):
            offer = read(files=files)
            self.assertEqual((offer.files, Offer.read(OWNER, offer.write())), (files, offer))
        for wrong in (-1, MOST_ENTRIES + 1, True, None, "3", 1.0):
            self.assertRaises(BadBody, read, files=wrong)

    def test_its_id_is_of_its_owner_and_name_alone(self) -> None:
        """Attack 38: an id is never taken from the wire, so none can be malformed or another's."""
        self.assertEqual(read(id="00").id, offer_id(OWNER, "a.jpg"))
        other = attrs.evolve(read(), owner=b"x" * 32)
        self.assertNotEqual(other.id, read().id)
        self.assertEqual(attrs.evolve(read(), size=5, digest="").id, read().id)

    def test_a_field_that_is_missing_is_refused(self) -> None:
        for name in GOOD:
            fields = {key: value for key, value in GOOD.items() if key != name}
            self.assertRaises(BadBody, Offer.read, OWNER, json.dumps(fields))

    def test_a_malformed_name_is_refused(self) -> None:
        """Attack 38: a name counts as it was signed, and only where the cleaner leaves it alone."""
        for name in ("", "../a", "/etc/passwd", "a/b", "a\\b", ".profile", "-rf", "~x", "a\n", "a ",
                     "CON", "con.txt", "a:b", "a\u202egpj.exe", "e\u0301", "a\x1b[2J", "a\ud800",
                     "x" * 181, "x" * 5000, 7, None, ["a"]):  # fmt: skip
            self.assertRaises(BadBody, read, name=name)
            if isinstance(name, str):
                withdraw = json.dumps({"name": name})
                self.assertRaises(BadBody, read_withdraw, withdraw)

    def test_a_malformed_size_is_refused(self) -> None:
        """Attack 38."""
        for size in (-1, MAX_SIZE + 1, 1.5, 1e3, float("nan"), "1", None, True):
            self.assertRaises(BadBody, read, size=size)

    def test_a_malformed_digest_is_refused(self) -> None:
        """Attack 38."""
        for digest in ("", DIGEST.upper(), DIGEST[:-1], DIGEST + "0", DIGEST + "\n",
                       " " + DIGEST, DIGEST.replace("blake3", "sha256"),
                       DIGEST.replace("0", "٠"), 5, None):  # fmt: skip
            self.assertRaises(BadBody, read, digest=digest)

    def test_public_is_yes_or_no(self) -> None:
        """Attack 38."""
        for public in (0, 1, "true", None, []):
            self.assertRaises(BadBody, read, public=public)

    @settings(deadline=None)
    @given(st.text())
    def test_the_entries_of_any_clean_name_fit_a_datagram(self, text: str) -> None:
        signer = Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32), b"239.0.0.1:9392")
        longest = clean_name("漢" * 200)
        self.assertGreater(len(longest.encode()), FILE_NAME_BYTES - 3)
        for name in (clean_name(text), longest):
            offer = Offer(OWNER, name, MAX_SIZE, DIGEST, False)
            for kind, entry in (("offer", offer.write()), ("withdraw", write_withdraw(name))):
                sent = signer.sign(kind, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER, "😀" * 20, entry)
                self.assertLessEqual(len(sent.raw), MAX_DATAGRAM)

    def test_a_withdrawal_is_read_as_written(self) -> None:
        self.assertEqual(read_withdraw(write_withdraw("été.jpg")), "été.jpg")


class AQuery(SynchronousTestCase):
    def test_words_and_owners_are_told_apart_in_any_case(self) -> None:
        query = Query.parse("  Été @ALICE photo @ ")
        self.assertEqual(query, Query(("été", "photo"), ("alice",)))

    def test_what_is_too_much_is_left_out(self) -> None:
        """Attack 40: a query is bounded before it meets the index."""
        self.assertEqual(len(Query.parse("a " * 500).words), MAX_TERMS)
        self.assertLessEqual(len("".join(Query.parse("x" * 5000).words)), MAX_QUERY)

    def test_decomposed_letters_find_composed_names(self) -> None:
        self.assertEqual(Query.parse("e\u0301te\u0301").words, ("été",))

    def test_what_no_disk_takes_is_left_out(self) -> None:
        self.assertEqual(Query.parse("a\ud800b @c\udfff").words, ("ab",))
        self.assertEqual(Query.parse("a\ud800b @c\udfff").owners, ("c",))

    @settings(deadline=None)
    @given(st.text(st.characters()))
    def test_any_text_is_a_query_that_utf8_can_hold(self, text: str) -> None:
        query = Query.parse(text)
        " ".join(query.words + query.owners).encode("utf-8")
        query.rank(text)
        query.of(text, "abcd-efgh-ijkl-mnop")

    def test_an_owner_is_meant_by_part_of_nick_or_fingerprint(self) -> None:
        query = Query.parse("@ali")
        self.assertTrue(query.of("Alice", "abcd-efgh-ijkl-mnop"))
        self.assertFalse(query.of("Bob", "abcd-efgh-ijkl-mnop"))
        self.assertTrue(Query.parse("@efgh").of("Bob", "abcd-efgh-ijkl-mnop"))
        self.assertTrue(Query.parse("x").of("Bob", "abcd-efgh-ijkl-mnop"))
        self.assertFalse(Query.parse("@ali @bob").of("Alice", "abcd-efgh-ijkl-mnop"))

    def test_the_name_itself_comes_before_beginnings_before_parts(self) -> None:
        names = ["my cat.jpg", "catalogue.pdf", "Cat.jpg", "cats.jpg"]
        found = sorted(names, key=Query.parse("cat").rank)
        self.assertEqual(found, ["Cat.jpg", "cats.jpg", "catalogue.pdf", "my cat.jpg"])

    def test_neither_case_nor_accents_count_in_the_rank(self) -> None:
        names = ["un été.jpg", "Étésien.pdf", "ÉTÉ.jpg", "ete"]
        for text in ("été", "ETE", "e\u0301te\u0301"):
            found = sorted(names, key=Query.parse(text).rank)
            self.assertEqual(found, ["ete", "ÉTÉ.jpg", "Étésien.pdf", "un été.jpg"])
