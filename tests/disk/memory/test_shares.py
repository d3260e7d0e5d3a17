"""What is needed to serve our own offers."""

import os

import attrs

from tests.disk.fakes import SHARE, StoreTests
from twistedp2p.core.calls.cpace import stretch
from twistedp2p.core.names import offer_id


class ShareTests(StoreTests):
    def test_a_share_survives_reopening(self):
        self.store.put_share(SHARE)
        self.assertEqual(self.reopen().shares(), [SHARE])
        self.store.drop_share("a.jpg")
        self.assertEqual(self.reopen().shares(), [])

    def test_a_share_may_have_any_path_and_identity_that_a_system_gives(self):
        odd = attrs.evolve(
            SHARE, path=os.fsdecode(b"/tmp/\xe9t\xe9.jpg"), inode=2**64 - 1, mtime_ns=2**63,
            device=2**64 - 1, size=2**53 - 1,
        )  # fmt: skip
        self.store.put_share(odd)
        self.assertEqual(self.reopen().shares(), [odd])

    def test_guesses_survive_reopening_and_a_renewed_offer(self):
        self.assertIsNone(self.store.guesses("a.jpg"))
        self.store.put_share(SHARE)
        self.assertIsNone(self.store.guesses("a.jpg"))
        self.store.save_guesses("a.jpg", {"tokens": 2.5, "at": 1.0})
        self.store.put_share(attrs.evolve(SHARE, size=9))
        self.assertEqual(self.reopen().guesses("a.jpg"), {"tokens": 2.5, "at": 1.0})

    def test_whose_they_are_survives_reopening(self):
        self.assertIsNone(self.store.shares_owner())
        self.store.set_shares_owner(b"k" * 32)
        self.assertEqual(self.reopen().shares_owner(), b"k" * 32)

    def test_no_password_is_in_the_database(self):
        """Attack 46: the stretched value alone is kept, and nothing of it is shown."""
        password, key = "tr0ub4dor-and-3", b"k" * 32
        prs = stretch(password, key, offer_id(key, "a.jpg"))
        share = attrs.evolve(SHARE, prs=prs)
        self.store.put_share(share)
        self.store.save_guesses("a.jpg", {"tokens": 1.0, "at": 2.0, "exempt": [], "addresses": {}})
        self.store.close()
        for path in self.path.parent.iterdir():
            self.assertNotIn(password.encode(), path.read_bytes(), path)
        self.assertNotIn(repr(prs), repr(share))
