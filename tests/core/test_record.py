"""What a doctor keeps of what it hears, and what it makes of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Answers, Loop, Other
from twistedp2p.core.diagnosis.record import MAX_HOSTS, Record, Train
from twistedp2p.core.presence.ping import SAMPLE, Pong
from twistedp2p.core.presence.roster import MAX_PEERS

BOB, CAROL = b"b" * 32, b"c" * 32
HERE, THERE = ("10.0.0.2", 40_000), ("10.0.0.3", 40_000)
SOURCE = "10.0.0.1:5000"


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.record = Record()
        self.record.expect("10.0.0.2", HERE)
        self.train = self.begin("multicast", sent=20)

    def begin(self, way: str, sent: int = 0, name: str = "") -> Train:
        train = self.record.begin(Train(name or way, way, "eth0", SOURCE))
        for _ in range(sent):
            train.note_sent(0)
        return train

    def pong(
        self, number: int = 1, key: bytes = BOB, address=HERE, train: str = "multicast", **more
    ):  # type: ignore[no-untyped-def]
        fields = {"seen": SOURCE, "files": 9393, "program": "0.1.0", **more}
        self.record.answered(key, "bob", address, Pong(train, number, **fields), 0.5)

    @property
    def bob(self) -> Other:
        return self.record.others({"10.0.0.2": Sign.REACHABLE})[0]

    def test_each_number_counts_once_and_the_rest_as_twice(self) -> None:
        for number in (1, 2, 3, 3, 3):
            self.pong(number)
        self.assertEqual(self.bob.multicast, Answers(20, 3, 2))
        self.assertEqual(self.bob.broadcast, Answers())

    def test_what_a_pong_tells_is_kept(self) -> None:
        self.pong()
        bob = self.bob
        self.assertEqual((bob.name, bob.host, bob.arp), ("bob", "10.0.0.2", Sign.REACHABLE))
        self.assertEqual((bob.ahead, bob.program, bob.seen_as), (0.5, "0.1.0", ""))
        self.assertEqual(self.record.hosts["10.0.0.2"].files, 9393)

    def test_a_privileged_port_is_not_taken_for_a_file_service(self) -> None:
        """Attack 39: an announcement that points at a privileged port."""
        self.pong(files=22)
        self.record.heard(BOB, "bob", HERE, False, 22)
        self.assertIsNone(self.record.hosts["10.0.0.2"].files)
        self.pong(2, files=0)
        self.assertEqual(self.record.hosts["10.0.0.2"].files, 0)

    def test_another_address_than_ours_is_told(self) -> None:
        self.pong(seen="192.0.2.1:7")
        self.assertEqual(self.bob.seen_as, "192.0.2.1:7")

    def test_pongs_of_nothing_and_of_nobody_are_nothing(self) -> None:
        self.pong(train="another")
        self.pong(address=THERE, key=CAROL)
        self.assertEqual(self.bob.multicast, Answers(20, 0))
        self.assertEqual(len(self.record.hosts), 1)

    def test_one_ping_answered_by_one_key_from_two_hosts_is_a_clone(self) -> None:
        self.record.expect("10.0.0.3", THERE)
        self.pong()
        self.pong(address=THERE, key=CAROL)
        self.pong(2, address=THERE)
        self.assertEqual([each.cloned for each in self.record.others({})], [False, False])
        self.pong(address=THERE)
        self.assertEqual([each.cloned for each in self.record.others({})], [False, True])

    def test_of_two_interfaces_that_which_leads_there_counts(self) -> None:
        self.begin("multicast", sent=20, name="other")
        self.pong(1)
        self.assertEqual(self.bob.multicast, Answers(20, 1))

    def test_who_is_heard(self) -> None:
        self.record.heard(BOB, "bob", HERE, True, 9393)
        self.record.heard(CAROL, "", THERE, False, 0)
        self.assertEqual(
            (self.bob.heard, self.bob.outside, self.bob.name), (True, "10.0.0.2", "bob")
        )
        self.assertEqual(self.record.nodes, {BOB, CAROL})

    def test_one_node_heard_by_both_families_is_one_host(self) -> None:
        six = "fe80::2%eth0", 40_000
        self.assertIsNone(self.record.known(BOB, six[0]))
        self.record.heard(BOB, "bob", HERE, False, 0)
        self.assertIsNotNone(self.record.known(BOB, six[0]))
        self.pong(7, address=six)
        self.assertEqual((self.bob.multicast.answered, self.bob.cloned), (1, False))
        self.assertEqual(self.record.hosts["10.0.0.2"].address, HERE)
        self.assertIsNone(self.record.known(CAROL, six[0]))

    def test_one_node_heard_from_two_interfaces_is_one_host(self) -> None:
        self.record.heard(BOB, "bob", HERE, False, 0)
        self.record.heard(BOB, "bob", THERE, False, 0)
        self.pong(7, address=THERE)
        self.assertEqual(self.bob.multicast.answered, 1)
        self.assertEqual([each.cloned for each in self.record.others({})], [False])
        self.pong(7)
        self.assertTrue(self.bob.cloned)

    def test_who_is_only_remembered_counts_where_it_answers_or_nobody_else_is_known(self) -> None:
        record = Record()
        record.expect("10.0.0.8", ("10.0.0.8", 9393), remembered=True)
        record.expect("10.0.0.9", ("10.0.0.9", 9393), remembered=True)

        def hosts() -> list[str]:
            return [other.host for other in record.others({})]

        self.assertEqual(hosts(), ["10.0.0.8", "10.0.0.9"])
        record.heard(BOB, "bob", ("10.0.0.8", 40_000), False, 0)
        self.assertEqual(hosts(), ["10.0.0.8"])
        record.expect("10.0.0.3", THERE)
        self.assertEqual(hosts(), ["10.0.0.8", "10.0.0.3"])

    def test_another_address_that_is_remembered_of_a_node_is_no_other_host(self) -> None:
        self.record.expect("10.9.0.2", ("10.9.0.2", 9393), remembered=True)
        self.record.heard(BOB, "bob", HERE, False, 0)
        self.pong(address=("10.9.0.2", 9393))
        self.assertEqual(list(self.record.hosts), ["10.0.0.2"])
        self.assertEqual(self.bob.multicast.answered, 1)

    def test_our_own_pings_that_come_back(self) -> None:
        self.record.looped("multicast")
        self.record.looped("another")
        self.assertEqual(self.record.loops(), (Loop("eth0", 20, 1),))

    def test_a_refused_ping(self) -> None:
        self.train.note_sent(1)
        self.assertEqual(self.record.loops()[0].errno, 1)
        self.assertIs(self.bob.multicast.sign, Sign.REFUSED)

    def test_of_a_crowd_not_all_answer(self) -> None:
        self.assertIs(self.bob.multicast.sign, Sign.NO)
        for number in range(SAMPLE + 1):
            self.record.heard(number.to_bytes(32, "big"), "", THERE, False, 0)
        self.assertIsNone(self.bob.multicast.sign)

    def test_afterwards(self) -> None:
        self.assertIsNone(self.bob.afterwards)
        self.begin("afterwards", sent=20)
        self.pong(train="afterwards")
        self.assertEqual(self.bob.afterwards, Answers(20, 1))

    def test_no_flood_fills_the_tables(self) -> None:
        """Attack 40: a flood of nodes."""
        for number in range(3 * MAX_PEERS):
            address = f"10.1.{number >> 8}.{number & 255}", 40_000
            key = number.to_bytes(32, "big")
            self.record.expect("x", address)
            self.record.heard(key, "", address, False, 0)
            self.pong(key=key, address=address)
            self.pong(key=key)
        self.assertEqual(len(self.record.hosts), MAX_HOSTS)
        self.assertEqual(len(self.record.nodes), MAX_PEERS)
        self.assertLessEqual(len(self.record._answerers), MAX_HOSTS * 100 + 1)
