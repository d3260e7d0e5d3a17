"""Where nodes are, and to whom that is told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.presence.addresses import means_the_same, read_host


class AddressTests(SynchronousTestCase):
    def test_a_host_is_read_in_its_one_spelling(self) -> None:
        for text, host in {
            "10.0.0.1": "10.0.0.1",
            "127.0.0.1": "127.0.0.1",
            "FE80:0::1": "fe80::1",
            "2001:db8::1": "2001:db8::1",
        }.items():
            self.assertEqual(host, read_host(text))

    def test_where_no_node_is(self) -> None:
        """Attack 39: no name to look up, no group, nobody, nothing in another's dress."""
        for text in (
            *("", "a", "10.0.0", "10.0.0.1 ", "fe80::1%eth0", "239.0.0.1", "ff12::1"),
            *("0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0"),
        ):
            self.assertRaises(ValueError, read_host, text)

    def test_a_loopback_address_is_for_its_host_alone(self) -> None:
        self.assertTrue(means_the_same("10.0.0.1", "10.0.0.2"))
        self.assertTrue(means_the_same("10.0.0.1", "127.0.0.1"))
        self.assertTrue(means_the_same("127.0.0.1", "127.0.0.1"))
        self.assertFalse(means_the_same("127.0.0.1", "10.0.0.2"))
        self.assertFalse(means_the_same("::1", "fe80::1%eth0"))
        self.assertFalse(means_the_same("::1", "2001:db8::/64"))
