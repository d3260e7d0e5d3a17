"""One group in two families, and when both are used."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.presence.families import (
    EAGER,
    MAX_NEEDY,
    NEEDED_FOR,
    REMIND_EVERY,
    TOGETHER,
    Families,
    groups_of,
)

BOB, EVE = b"b" * 32, b"e" * 32


class GroupsOfTests(SynchronousTestCase):
    def test_an_ipv4_group_has_an_ipv6_group_beside_it(self) -> None:
        self.assertEqual(groups_of("239.0.0.1"), ["239.0.0.1", "ff12::ef00:1"])
        self.assertEqual(groups_of("224.1.2.3"), ["224.1.2.3", "ff12::e001:203"])

    def test_an_ipv6_group_is_alone_however_it_is_written(self) -> None:
        self.assertEqual(groups_of("FF15:0:0::0001"), ["ff15::1"])

    @given(st.ip_addresses(v=4, network="224.0.0.0/4"))
    def test_every_group_has_one_of_its_own(self, group: ipaddress.IPv4Address) -> None:
        _, beside = groups_of(str(group))
        address = ipaddress.IPv6Address(beside)
        self.assertTrue(address.is_multicast)
        self.assertEqual(int(address) & 0xFFFFFFFF, int(group))


class FamiliesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.families = Families(0.0)
        self.now = EAGER  # just when it is eager no more

    def both(self) -> bool:
        return self.families.both(self.now)

    def test_for_a_while_after_links_changed_everything_goes_by_both(self) -> None:
        self.assertTrue(self.families.both(EAGER - 0.1))
        self.assertFalse(self.both())
        self.families.links_changed(self.now)
        self.assertTrue(self.families.both(self.now + EAGER - 0.1))
        self.assertFalse(self.families.both(self.now + EAGER))

    def test_a_key_that_is_heard_by_ipv6_alone_needs_it(self) -> None:
        self.families.heard(BOB, True, self.now)
        self.assertTrue(self.both())
        self.now += NEEDED_FOR - 1
        self.assertTrue(self.both())
        self.now += 1
        self.assertFalse(self.both())

    def test_a_key_that_is_heard_by_both_does_not_whichever_comes_first(self) -> None:
        self.families.heard(BOB, False, self.now)
        self.families.heard(BOB, True, self.now + 0.1)
        self.assertFalse(self.both())
        self.families.heard(EVE, True, self.now)
        self.families.heard(EVE, False, self.now + 0.1)
        self.assertFalse(self.both())

    def test_a_key_that_lost_its_ipv4_is_noticed_at_once(self) -> None:
        self.families.heard(BOB, False, self.now)
        self.now += TOGETHER + 0.1
        self.families.heard(BOB, True, self.now)
        self.assertTrue(self.both())

    def test_once_in_a_while_something_goes_by_both_anyway(self) -> None:
        self.assertTrue(self.families.both(EAGER - 1))
        self.now = EAGER - 1 + REMIND_EVERY - 0.1
        self.assertFalse(self.both())
        self.now += 0.1
        self.assertTrue(self.both())
        self.assertFalse(self.both())

    def test_keys_without_end_are_forgotten_and_one_that_needs_it_is_enough(self) -> None:
        """Attack 40: throw-away keys make us say things twice, and no more than that."""
        for number in range(10_000):
            self.families.heard(number.to_bytes(32, "big"), True, self.now)
        self.assertEqual(len(self.families._needy), MAX_NEEDY)
        self.assertTrue(self.both())
