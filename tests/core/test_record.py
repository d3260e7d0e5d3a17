"""What a doctor keeps of what it hears, and what it makes of it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Answers, Loop, Other
from twistedp2p.core.diagnosis.record import (
    MAX_ADDRESSES,
    MAX_LOOKED_AT,
    MAX_MACHINES,
    MAX_OF_HOST,
    Known,
    Record,
    Train,
)
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.ping import SAMPLE, Pong
from twistedp2p.core.presence.roster import MAX_PEERS

BOB, CAROL = b"b" * 32, b"c" * 32
HERE, THERE = ("10.0.0.2", 40_000), ("10.0.0.3", 40_000)
SOURCE = "10.0.0.1:5000"


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.record = Record()
        self.train = self.begin("multicast", sent=20)

    def begin(self, way: str, sent: int = 0, name: str = "", **more: Any) -> Train:
        train = self.record.begin(Train(name or way, way, "eth0", SOURCE, **more))
        for _ in range(sent):
            train.note_sent(0)
        return train

    def pong(
        self,
        number: int = 1,
        key: bytes = BOB,
        address: Address = HERE,
        train: str = "multicast",
        **more: Any,
    ) -> Known | None:
        fields = {"seen": SOURCE, "files": 9393, "program": "0.1.0", **more}
        return self.record.answered(key, "bob", address, Pong(train, number, **fields), 100.0)

    def hear(self, key: bytes = BOB, address: Address = HERE, **more: Any) -> Known | None:
        fields = {"outside": False, "files": 0, **more}
        return self.record.heard(key, "bob", address, **fields)

    def look(self, place: Known | None) -> Train:
        """Five pings to it alone, as the doctor sends them."""
        assert place is not None
        address = None if place.key else place.addresses[0]
        place.train = self.begin("unicast", 5, f"to {place.addresses}", place=address)
        return place.train

    @property
    def bob(self) -> Other:
        return self.record.others({"10.0.0.2": Sign.REACHABLE})[0]

    def hosts(self) -> list[tuple[str, ...]]:
        return [other.hosts for other in self.record.others({})]


class AnswerTests(RecordTests):
    def test_each_number_counts_once_and_the_rest_as_twice(self) -> None:
        for number in (1, 2, 3, 3, 3):
            self.pong(number)
        self.assertEqual(self.bob.multicast, Answers(20, 3, 2))
        self.assertEqual(self.bob.broadcast, Answers())

    def test_what_a_pong_tells_is_kept(self) -> None:
        self.pong(time=100_500)
        bob = self.bob
        self.assertEqual((bob.name, bob.hosts, bob.arp), ("bob", ("10.0.0.2",), Sign.REACHABLE))
        self.assertEqual((bob.ahead, bob.program, bob.seen_as), (0.5, "0.1.0", ""))
        self.assertEqual(self.record.nodes[BOB].files, 9393)

    def test_a_pong_that_does_not_tell_its_time_says_nothing_of_clocks(self) -> None:
        self.pong()
        self.assertIsNone(self.bob.ahead)

    def test_a_privileged_port_is_not_taken_for_a_file_service(self) -> None:
        """Attack 39: an announcement that points at a privileged port."""
        self.pong(files=22)
        self.hear(files=22)
        self.assertIsNone(self.record.nodes[BOB].files)
        self.pong(2, files=0)
        self.assertEqual(self.record.nodes[BOB].files, 0)

    def test_another_address_than_ours_is_told(self) -> None:
        self.pong(seen="192.0.2.1:7")
        self.assertEqual(self.bob.seen_as, "192.0.2.1:7")

    def test_pongs_of_nothing_are_nothing(self) -> None:
        self.assertIsNone(self.pong(train="another"))
        self.assertEqual(self.record.nodes, {})

    def test_of_two_interfaces_that_which_leads_there_counts(self) -> None:
        self.begin("multicast", sent=20, name="other")
        self.pong(1)
        self.assertEqual(self.bob.multicast, Answers(20, 1))

    def test_our_own_pings_that_come_back(self) -> None:
        self.record.looped("multicast")
        self.record.looped("another")
        loop = Loop("eth0", 20, 1, source="10.0.0.1:5000")
        self.assertEqual(self.record.loops(), (loop,))

    def test_a_refused_ping(self) -> None:
        self.hear()
        self.train.note_sent(1)
        self.assertEqual(self.record.loops()[0].errno, 1)
        self.assertIs(self.bob.multicast.sign, Sign.REFUSED)

    def test_a_ping_that_was_refused_once_says_nothing_of_those_that_went_later(self) -> None:
        self.hear()
        self.train.note_sent(1)
        self.train.note_sent(0)
        self.assertIs(self.record.loops()[0].sign, Sign.NO)
        self.assertIs(self.bob.multicast.sign, Sign.NO)

    def test_what_came_back_counts_though_a_ping_was_refused(self) -> None:
        self.record.looped("multicast")
        self.train.note_sent(1)
        self.assertIs(self.record.loops()[0].sign, Sign.OK)

    def test_of_a_crowd_not_all_answer(self) -> None:
        self.hear()
        self.assertIs(self.bob.multicast.sign, Sign.NO)
        for number in range(SAMPLE):
            self.hear(number.to_bytes(32, "big"), THERE)
        self.assertIsNone(self.bob.multicast.sign)

    def test_afterwards(self) -> None:
        self.hear()
        self.assertIsNone(self.bob.afterwards)
        self.begin("afterwards", sent=20)
        self.pong(train="afterwards")
        self.assertEqual(self.bob.afterwards, Answers(20, 1))


class NodeTests(RecordTests):
    """A node is told by its key, wherever it is."""

    def test_who_is_heard(self) -> None:
        self.hear(outside=True)
        self.hear(CAROL, THERE)
        self.assertEqual((self.bob.heard, self.bob.outside), (True, "10.0.0.2"))
        self.assertEqual(self.record.heard_keys, {BOB, CAROL})

    def test_several_addresses_of_a_node_are_one_row(self) -> None:
        six = "fe80::2%eth0", 40_000
        for address in (HERE, THERE, six):
            self.hear(address=address)
        self.pong(7, address=six)
        self.pong(8, address=THERE)
        self.assertEqual(self.hosts(), [("10.0.0.2", "10.0.0.3", "fe80::2%eth0")])
        self.assertEqual((self.bob.multicast.answered, self.bob.cloned), (2, False))
        self.assertIs(self.bob.arp, Sign.REACHABLE)  # of one of them

    def test_a_place_where_a_node_answers_from_another_of_its_addresses_is_its_own(self) -> None:
        """A machine with two cables answers over that which its routes lead through."""
        for remembered in (True, False):
            with self.subTest(remembered=remembered):
                self.record = Record()
                place = self.record.expect("10.0.0.3", THERE, remembered=remembered)
                train = self.look(place)
                assert place is not None
                place.tcp = Sign.OK
                self.pong(address=HERE, train=train.name)
                [bob] = self.record.others({})
                self.assertEqual(bob.hosts, ("10.0.0.2", "10.0.0.3"))
                self.assertEqual(bob.unicast, Answers(5, 1))
                self.assertIsNone(self.record.expect("10.0.0.3", THERE))

    def test_an_address_that_is_silent_while_another_of_its_node_answers_is_nothing(self) -> None:
        place = self.record.expect("10.0.0.3", THERE)
        self.look(place)
        self.pong()
        self.hear(address=THERE)
        [bob] = self.record.others({})
        self.assertEqual((bob.hosts, bob.multicast.answered), (("10.0.0.2", "10.0.0.3"), 1))

    def test_another_port_of_a_host_that_has_a_node_is_no_other_node(self) -> None:
        self.record.expect("10.0.0.2", ("10.0.0.2", 9393))
        self.record.expect("10.0.0.2", ("10.0.0.2", 50_000))
        self.assertEqual(len(self.hosts()), 2)
        self.hear()
        self.assertEqual(self.hosts(), [("10.0.0.2",)])

    def test_several_nodes_of_one_host_are_several_and_repeat_nothing(self) -> None:
        self.pong()
        self.pong(key=CAROL, address=("10.0.0.2", 50_000))
        for other in self.record.others({}):
            self.assertEqual(other.multicast, Answers(20, 1, twice=0))
        self.assertEqual([other.cloned for other in self.record.others({})], [False, False])

    def test_pings_to_the_port_that_nodes_of_a_host_share_are_of_whoever_answers(self) -> None:
        train = self.look(self.record.expect("10.0.0.2", HERE))
        self.pong(train=train.name)
        self.look(self.pong(key=CAROL, address=("10.0.0.2", 50_000)))
        bob, carol = self.record.others({})
        self.assertEqual((bob.unicast, carol.unicast), (Answers(5, 1), Answers(5, 0)))

    def test_one_ping_answered_by_one_key_from_two_hosts_is_a_clone(self) -> None:
        self.pong()
        self.pong(address=THERE, key=CAROL)
        self.pong(2, address=THERE)
        self.assertFalse(any(each.cloned for each in self.record.others({})))
        self.pong(address=THERE)
        self.assertEqual([each.cloned for each in self.record.others({})], [True, False])

    def test_one_address_within_our_masks_is_enough(self) -> None:
        self.hear(address=("10.9.0.2", 40_000), outside=True)
        self.hear(address=("fe80::2%eth0", 40_000))
        self.assertEqual(self.bob.outside, "10.9.0.2")
        self.hear()
        self.assertEqual(self.bob.outside, "")

    def test_who_is_only_remembered_counts_where_nobody_else_is_known(self) -> None:
        for host in ("10.0.0.8", "10.0.0.9"):
            place = self.record.expect(host, (host, 9393), remembered=True)
            assert place is not None
            place.tcp = Sign.OK  # of whatever program
        self.assertEqual(self.hosts(), [("10.0.0.8",), ("10.0.0.9",)])
        self.hear(address=("10.0.0.8", 40_000))
        self.assertEqual(self.hosts(), [("10.0.0.8",)])
        self.record.expect("10.0.0.3", THERE)
        self.assertEqual(self.hosts(), [("10.0.0.8",), ("10.0.0.3",)])

    def test_a_place_is_pinged_for_itself(self) -> None:
        self.look(self.record.expect("10.0.0.2", HERE)).note_sent(101)
        self.look(self.record.expect("10.0.0.3", THERE))
        signs = [other.unicast.sign for other in self.record.others({})]
        self.assertEqual(signs, [Sign.REFUSED, Sign.NO])

    def test_who_comes_too_late_is_not_looked_at(self) -> None:
        self.record.expect("10.0.0.2", HERE)
        self.record.late = True
        self.assertIsNone(self.hear())
        self.assertIsNone(self.record.expect("10.0.0.3", THERE))
        self.assertEqual(self.hosts(), [("10.0.0.2",)])

    def test_no_flood_fills_the_tables(self) -> None:
        """Attack 40: a flood of nodes."""
        for number in range(3 * MAX_PEERS):
            address = f"10.1.{number >> 8}.{number & 255}", 40_000
            key = number.to_bytes(32, "big")
            self.record.expect("x", address)
            self.hear(key, address)
            self.pong(key=key, address=address)
            self.pong(key=key)
            self.record.is_here(key)
            self.record.sealed(address[0])
        self.assertEqual(len(self.record.nodes) + len(self.record.places), MAX_LOOKED_AT)
        self.assertEqual(len(self.record.heard_keys), MAX_PEERS)
        self.assertEqual(len(self.record.local), MAX_PEERS)
        self.assertEqual(len(self.record.closed_hosts), MAX_MACHINES)
        self.assertLessEqual(len(self.record._answerers), MAX_LOOKED_AT * 100 + 1)

    def test_one_host_fills_no_table(self) -> None:
        """Attack 40: a flood of nodes, of one host."""
        for number in range(1000):
            self.hear(number.to_bytes(32, "big"))
        self.assertEqual(len(self.record.nodes), MAX_OF_HOST)
        for number in range(1000):
            self.hear(bytes(32), (f"10.2.{number >> 8}.{number & 255}", 40_000))
        self.assertEqual(len(self.record.nodes[bytes(32)].addresses), MAX_ADDRESSES)
