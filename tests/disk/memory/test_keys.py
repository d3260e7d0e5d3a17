"""Keys seen before."""

from tests.disk.fakes import StoreTests
from twistedp2p.core.datagrams.datagram import MAX_NUMBER
from twistedp2p.disk.memory import keys as keys_module


class KeyTests(StoreTests):
    def test_pins_are_kept_latest_seen_first(self):
        self.store.pin(b"a" * 32, "anna", 1)
        self.store.pin(b"b" * 32, "bob", 2)
        self.store.pin(b"a" * 32, "Anna", 3)
        expected = [(b"a" * 32, "Anna", 1, 3, (0, 0)), (b"b" * 32, "bob", 2, 2, (0, 0))]
        self.assertEqual(self.reopen().pins(), expected)
        self.store.unpin(b"a" * 32)
        self.assertEqual(self.store.pins(), expected[1:])

    def test_the_latest_message_of_a_pinned_key_is_kept_with_it(self):
        """Attack 36."""
        self.store.pin(b"a" * 32, "anna", 1)
        self.store.keep_latest([(b"a" * 32, (3, MAX_NUMBER)), (b"b" * 32, (1, 1))])
        self.store.pin(b"a" * 32, "Anna", 3)
        self.assertEqual(self.reopen().pins(), [(b"a" * 32, "Anna", 1, 3, (3, MAX_NUMBER))])

    def test_no_more_pins_are_read_than_are_used(self):
        """Attack 40: the table in memory is capped."""
        self.patch(keys_module, "MAX_PINS", 2)
        for n in range(4):
            self.store.pin(bytes([n]) * 32, "n", n)
        self.assertEqual([key[0] for key, *_ in self.store.pins()], [3, 2])

    def test_the_owner_that_answered_at_an_address_is_remembered(self):
        def changed(key, port=9393):
            return self.store.owner_changed("10.0.0.9", port, key * 32, 0)

        self.assertEqual([changed(b"a"), changed(b"a"), changed(b"b", 1)], [False] * 3)
        self.reopen()
        self.assertEqual([changed(b"b"), changed(b"b"), changed(b"a")], [True, False, True])

    def test_the_owners_of_few_addresses_are_remembered_the_latest(self):
        """Attack 40."""
        self.patch(keys_module, "MAX_OWNERS", 2)
        for n in (1, 2, 3):
            self.store.owner_changed("10.0.0.9", n, b"a" * 32, n)
        changed = [self.store.owner_changed("10.0.0.9", n, b"b" * 32, 9) for n in (1, 3)]
        self.assertEqual(changed, [False, True])
        self.assertEqual(self.rows("owners"), 2)
