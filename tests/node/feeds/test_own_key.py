"""Our own key from elsewhere: a memory that was lost, and a copy of ourselves."""

from __future__ import annotations

import shutil
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import EPOCH_START, GROUP, PORT, Lan, Stranger, group_of, offer_of
from tests.node.offers.test_shares import quick_stretch
from twistedp2p.core.agenda import Agenda
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed, Signer, group_name, parse
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Notice, OfferGone, Said
from twistedp2p.core.feeds.feed import Have, Heads
from twistedp2p.core.feeds.requests import Vector
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.beacon import Beacon
from twistedp2p.core.presence.ping import Ping, Pong
from twistedp2p.node.desk import Node
from twistedp2p.node.feeds.own_feed import BOOT_SHIFT
from twistedp2p.node.feeds.own_key import (
    ADDRESS_BURST,
    AHEAD,
    ALL_BURST,
    EPOCH_WAIT,
    EPOCHS_MOST,
    TWIN_PATIENCE,
    TWIN_SILENCE,
    OwnKey,
)
from twistedp2p.node.offers import shares as shares_module
from twistedp2p.node.renewal import OPEN_AGAIN

SINCE = 1_700_000_000_000  # milliseconds since 1970: our start
SIGNER = Signer(Ed25519PrivateKey.generate(), group_name(GROUP, PORT))
RUN = 1_700_000_000  # the second in which we started
DAY = 86_400.0
THERE = ("10.0.0.9", 40_000)


def message(
    number: int, *, run: int = RUN, epoch: int = 5, stamp: int = SINCE + 9, body: str = "{}"
) -> Signed:
    return SIGNER.sign("beacon", epoch, (run << BOOT_SHIFT) + number, stamp, "", body)


def pong(train: str, number: int, run: int = RUN, program: str = "1") -> Signed:
    body = Pong(train, 1, "10.0.0.1:1", 9393, program).write()
    return SIGNER.sign("pong", 5, (run << BOOT_SHIFT) + number, SINCE + 9, "", body)


def entry(number: int, *, epoch: int = 5, stamp: int = SINCE + 9, text: str = "hello") -> Signed:
    return SIGNER.sign("say", epoch, number, stamp, "", text)


class Ours:
    """A feed of ten lines, and a hundred messages sent."""

    epoch = 5
    last = message(0)

    def __init__(self) -> None:
        self.skipped: list[int] = []

    def has_published(self, other: Signed) -> bool:
        return other.number <= 10 and other.body == "hello"

    def skip_to(self, number: int) -> None:
        self.skipped.append(number)


class OwnKeyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.told: list[Any] = []
        self.ours = Ours()
        self.agenda = Agenda()
        self.own_key = OwnKey(
            self.ours,
            self,
            agenda=self.agenda,
            since=SINCE,
            seconds=lambda: self.now,
            draw=lambda: f"{len(self.trains):016x}",
        )
        self.trains: list[str] = []
        self.ours.last = message(100)

    def log_lost(self, epoch: int) -> None:
        self.told.append(epoch)
        self.ours.epoch = epoch

    def twin_stays(self) -> None:
        self.told.append("stays")

    def be_heard(self) -> None:
        self.told.append("be heard")

    def ping(self, ping: Ping, address: Address) -> None:
        self.trains.append(ping.train)

    def answer(self, ping: Signed, address: Address) -> None:
        self.told.append("answer")

    def prove(self, number: int, run: int = RUN) -> list[Any]:
        """What is told when a twin is heard, and answers the ping that it gets."""
        self.own_key.heard(message(101, run=RUN + 1), THERE)
        return self.hear(pong(self.trains[-1], number, run))

    def hear(self, *signed: Signed) -> list[Any]:
        """What is told when these come."""
        self.told.clear()
        for each in signed:
            self.own_key.heard(each, THERE)
        return list(self.told)

    def wait(self) -> list[Any]:
        """What is told some seconds later."""
        self.told.clear()
        self.now += EPOCH_WAIT
        self.agenda.due(self.now)
        return list(self.told)

    def test_what_we_sent_says_nothing_however_often_it_comes(self) -> None:
        """Attack 36: a replay of our own datagrams makes us neither forget nor renew anything."""
        self.assertEqual(
            self.hear(message(100), message(100), message(1), message(99, body="x")), []
        )
        self.assertEqual(self.hear(entry(1), entry(10), entry(3, epoch=4, text="old")), [])

    def test_what_an_earlier_run_sent_says_nothing(self) -> None:
        """Attack 36."""
        for run in (RUN - 1000, RUN + 1000):
            self.assertEqual(self.hear(message(7, run=run, stamp=SINCE)), [])

    def test_an_entry_that_we_do_not_know_of_begins_an_epoch(self) -> None:
        self.assertEqual(self.hear(entry(11), entry(12)), ["be heard"])
        self.assertEqual(self.wait(), [6])
        self.assertEqual(self.hear(entry(11), entry(12)), [])

    def test_so_does_one_with_other_content_and_one_of_a_later_epoch(self) -> None:
        self.hear(entry(3, text="other"))
        self.assertEqual(self.wait(), [6])
        self.hear(entry(1, epoch=9), entry(1, epoch=8))
        self.assertEqual(self.wait(), [10])

    def test_a_message_of_old_with_a_later_epoch_begins_one_too(self) -> None:
        self.hear(message(3, run=7, epoch=8, stamp=1))
        self.assertEqual(self.wait(), [9])

    def test_epochs_do_not_rise_without_end(self) -> None:
        """Somebody goes on publishing under our key, and is heard by others only."""
        for epoch in range(10, 10 * EPOCHS_MOST + 10, 10):
            self.hear(entry(50, epoch=epoch))
            self.assertEqual(self.wait(), [epoch + 1])
        self.assertEqual(self.hear(entry(1, epoch=99)), ["stays"])

    def test_there_is_no_epoch_after_the_last(self) -> None:
        self.assertEqual(self.hear(entry(1, epoch=MAX_NUMBER)), ["stays"])

    def test_of_two_the_one_that_started_later_goes(self) -> None:
        self.assertEqual(self.prove(5, run=RUN - 1), ["stays"])
        self.now += 10
        self.assertEqual(self.prove(5, run=RUN + 1), ["be heard"])

    def test_of_a_running_machine_that_was_cloned_the_one_that_has_said_less_goes(self) -> None:
        self.assertEqual(self.prove(101), ["stays"])
        self.now += 10
        self.assertEqual(self.prove(99), ["be heard"])

    def test_exactly_one_goes_of_two_that_have_said_as_much(self) -> None:
        told: list[Any] = []
        for ours, theirs in (("1", "2"), ("2", "1")):
            self.now += 10
            self.own_key.heard(message(101, run=RUN + 1), THERE)
            self.ours.last = pong("0" * 16, 100, program=ours)
            twin = pong(self.trains[-1], 100, program=theirs)
            told += self.hear(twin), self.ours.last.raw < twin.raw
        self.assertEqual([told[0] == ["stays"], told[2] == ["stays"]], [told[1], told[3]])

    def test_nothing_but_an_answer_proves_a_twin(self) -> None:
        """Attack 36: our clock was ahead, or our memory is gone: replays seem to be of a twin."""
        replays = [message(n, run=RUN - 500, stamp=SINCE + 3_600_000) for n in range(50)]
        self.assertEqual(self.hear(*replays, *replays), [])
        self.assertEqual(self.hear(pong("f" * 16, 5, run=RUN - 500)), [])
        twin = pong(self.trains[0], 5, run=RUN - 500)
        self.assertEqual(self.hear(twin), ["stays"])
        self.assertEqual(self.hear(twin), [])  # it answers once

    def test_our_own_pings_are_not_answered_whoever_sends_them_back(self) -> None:
        """Attack 36: a mirror is no twin."""
        self.hear(message(101))
        mirrored = SIGNER.sign(
            "ping", 5, (RUN << BOOT_SHIFT) + 999, SINCE + 9, "", Ping(self.trains[0], 1).write()
        )
        self.assertEqual(self.hear(mirrored), [])
        twins = SIGNER.sign(
            "ping", 5, (RUN << BOOT_SHIFT) + 999, SINCE + 9, "", Ping("f" * 16, 1).write()
        )
        self.assertEqual(self.hear(twins), ["answer"])
        self.assertEqual(len(self.trains), 2)

    def test_replays_have_us_ping_nobody_often(self) -> None:
        """Attack 39: they come in the name of one host, and of many."""
        for _ in range(100):
            self.own_key.heard(message(101), THERE)
        self.assertEqual(len(self.trains), ADDRESS_BURST)
        for port in range(1000):
            self.own_key.heard(message(101), ("10.0.0.8", port))
        self.assertEqual(len(self.trains), ALL_BURST)

    def test_numbers_go_on_above_those_of_the_one_that_goes(self) -> None:
        other = message(5, run=RUN + 1)
        self.hear(other)
        self.assertEqual(self.ours.skipped, [other.number + AHEAD])

    def test_one_of_a_later_epoch_is_followed_by_a_later_one(self) -> None:
        self.hear(message(5, run=RUN + 1, epoch=7))
        self.assertEqual(self.wait(), [8])

    def test_a_later_one_that_answers_for_long_cannot_go(self) -> None:
        for self.now in (0.0, TWIN_SILENCE, TWIN_PATIENCE):
            self.assertEqual(self.prove(5, run=RUN + 1), ["be heard"])
        self.now += 1
        self.assertEqual(self.prove(5, run=RUN + 1), ["stays"])

    def test_one_that_went_and_one_that_comes_later_are_two(self) -> None:
        for self.now in (0.0, TWIN_SILENCE + 1, TWIN_PATIENCE + 1):
            self.assertEqual(self.prove(5, run=RUN + 1), ["be heard"])


class NodesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(shares_module, "stretch", quick_stretch)
        self.lan = Lan(self)
        self.alice, self.bob = self.lan.node("alice"), self.lan.node("bob")
        self.lan.run_for(10)

    def file(self, name: str) -> str:
        path = self.lan.folder / name
        path.write_text(name)
        return str(path)

    def offer(self, node: Node, name: str, **how: Any) -> None:
        node.offer(self.file(name), **how)
        self.lan.run_for(1)

    def texts(self, node: Node) -> list[str]:
        return [said.text for said in node.last_said(99)]

    def notices(self, node: Node) -> list[str]:
        return [each.sentence.format(**each.values) for each in self.lan.events(node, Notice)]


class LostLogTests(NodesTestCase):
    def test_a_memory_that_was_deleted(self) -> None:
        self.alice.say("one")
        self.alice._feeds.publish_offer(offer_of(self.alice, "old"))
        self.lan.run_for(3)
        self.lan.stop(self.alice)
        self.lan.database_of("alice").unlink()
        self.alice = self.lan.node("alice")
        self.alice.say("two")
        self.offer(self.alice, "new")
        self.lan.run_for(10)
        self.assertEqual(self.lan.lines(self.bob), ["one", "two"])
        self.assertEqual(self.texts(self.bob), ["one", "two"])
        self.assertEqual(self.lan.catalogue(self.bob), ["new"])

    def test_a_memory_that_was_deleted_while_the_clock_was_set_back(self) -> None:
        self.alice.say("one")
        self.lan.run_for(3)
        epoch = self.alice._feeds.own.epoch
        self.lan.stop(self.alice)
        self.lan.database_of("alice").unlink()
        self.alice = self.lan.node("alice", ahead=-7 * DAY)
        self.assertLess(self.alice._feeds.own.epoch, epoch)
        self.alice.say("two")
        self.offer(self.alice, "new")
        self.lan.run_for(30)
        self.assertEqual(self.alice._feeds.own.epoch, epoch + 1)
        self.assertEqual(self.lan.lines(self.bob), ["one", "two"])
        self.assertEqual(self.lan.catalogue(self.bob), ["new"])
        self.assertEqual(self.notices(self.alice), [])

    def roll_back(self, forgotten: str = "b") -> None:
        """Alice has the memory of before she said two and three, and offered what is forgotten."""
        self.alice.say("one")
        self.offer(self.alice, "a")
        self.lan.stop(self.alice)
        self.lan.copy("alice", "backup")
        self.alice = self.lan.node("alice")
        self.alice.say("two")
        self.alice.say("three")
        if forgotten:
            self.offer(self.alice, forgotten)
        self.lan.run_for(5)
        self.lan.stop(self.alice)
        shutil.rmtree(self.lan.folder / "alice")
        self.lan.copy("backup", "alice")
        self.alice = self.lan.node("alice")

    def test_an_older_copy_of_the_memory(self) -> None:
        key, epoch = self.alice.key, self.alice._feeds.own.epoch
        self.roll_back()
        self.lan.run_for(30)
        self.assertEqual((self.alice.key, self.alice._feeds.own.epoch), (key, epoch + 1))
        self.alice.say("four")
        self.lan.run_for(3)
        self.assertEqual(sorted(self.lan.lines(self.bob)), sorted(["one", "two", "three", "four"]))
        self.assertEqual(self.texts(self.bob), ["one", "two", "three", "four"])
        self.assertEqual(self.lan.catalogue(self.bob), ["a"])
        self.assertEqual(self.notices(self.alice), [])

    def test_what_is_said_before_that_is_known_comes_once_all_the_same(self) -> None:
        self.roll_back()
        for number in range(5):
            self.alice.say(f"new {number}")
        self.offer(self.alice, "c")
        self.lan.run_for(30)
        new = [f"new {number}" for number in range(5)]
        for node in (self.bob, self.lan.node("carol")):
            self.lan.run_for(10)
            self.assertEqual(sorted(set(self.texts(node)) & set(new)), new)
            self.assertEqual(self.lan.catalogue(node), ["a", "c"])
        self.assertEqual(sorted(self.lan.lines(self.bob)), sorted(["one", "two", "three", *new]))
        self.assertEqual(self.lan.events(self.bob, OfferGone), [])

    def test_as_many_new_lines_as_were_forgotten_come_all_the_same(self) -> None:
        """Nobody has more of our feed than we have, only others: who keeps them shows them us."""
        self.roll_back(forgotten="")
        for text in ("two, anew", "three, anew"):
            self.alice.say(text)
        self.lan.run_for(10)
        said = ["one", "two", "three", "two, anew", "three, anew"]
        self.assertEqual(sorted(self.lan.lines(self.bob)), sorted(said))
        self.assertEqual(self.texts(self.bob), said)
        self.assertEqual(self.texts(self.alice), ["one", *said[3:]])

    def test_so_do_offers(self) -> None:
        self.roll_back()
        self.offer(self.alice, "c")
        self.lan.run_for(30)
        self.assertEqual(self.lan.catalogue(self.bob), ["a", "c"])

    def test_who_only_says_that_there_is_more_of_our_feed_proves_nothing(self) -> None:
        """Attack 40: somebody claims a billion lines of ours; an epoch needs what we signed."""
        self.alice.say("one")
        self.lan.run_for(3)
        epoch = self.alice._feeds.own.epoch
        mallory = Stranger(self.lan)
        for _ in range(12):
            claim = Have(self.alice.key, epoch, 10**9, 10**9)
            mallory.send("vector", Vector(feeds=(claim,)).write())
            mallory.send("beacon", Beacon(5, 9393, Heads(), recent=(claim,)).write())
            self.lan.run_for(5)
        self.assertEqual(self.alice._feeds.own.epoch, epoch)
        self.alice.say("two")
        self.lan.run_for(3)
        self.assertEqual(self.lan.lines(self.bob), ["one", "two"])

    def test_it_goes_on_where_the_disk_is_full(self) -> None:
        def refuse(*_: Any) -> None:
            raise ShareError("full")

        self.patch(self.alice._store, "start_feed", refuse)
        epoch = self.alice._feeds.own.epoch
        self.alice.log_lost(epoch + 1)
        self.assertEqual(self.alice._feeds.own.epoch, epoch)
        self.alice.say("hello")
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.bob), ["hello"])
        self.flushLoggedErrors()

    def test_what_was_not_sent_is_still_to_be_sent_in_the_new_epoch(self) -> None:
        for number in range(3):
            self.alice.say(str(number))
        self.lan.stop(self.alice)
        self.alice = self.lan.node("alice")
        group_of(self.alice).refuses = True
        self.alice.say("hello")
        self.alice.log_lost(self.alice._feeds.own.epoch + 1)
        self.assertFalse(self.alice.last_said(1)[0].sent)
        group_of(self.alice).refuses = False
        self.lan.run_for(5)
        self.assertTrue(self.alice.last_said(1)[0].sent)
        self.assertEqual(sorted(self.lan.lines(self.bob)), ["0", "1", "2", "hello"])


class CopyTests(NodesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.offer(self.alice, "public", public=True)
        self.offer(self.alice, "secret", password="pass")
        self.key = self.alice.key
        self.lan.stop(self.alice)
        self.lan.copy("alice", "copy")

    def test_a_copy_that_comes_later_takes_a_new_identity(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(20)
        copy = self.lan.node("copy")
        copy.say("before I knew")
        self.lan.run_for(30)
        self.assertEqual(self.alice.key, self.key)
        self.assertNotEqual(copy.key, self.key)
        self.assertEqual(self.notices(self.alice), [])
        identity, lost = self.notices(copy)
        self.assertIn("Another node has the identity of this one", identity)
        self.assertIn("secret", lost)
        self.assertNotIn("public", lost)
        self.alice.say("I am alice")
        copy.say("I am new")
        self.lan.run_for(5)
        lines = self.lan.lines(self.bob)
        self.assertEqual(sorted(lines), ["I am alice", "I am new", "before I knew"])
        self.assertEqual(self.lan.catalogue(self.bob), ["public", "public", "secret"])
        self.assertEqual(len(self.bob.peers()), 2)

    def test_the_one_that_kept_the_identity_is_heard_as_by_anybody(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(20)
        copy = self.lan.node("copy")
        copy.say("before I knew")
        self.lan.run_for(20)
        self.alice.say("one")
        self.offer(self.alice, "new")
        self.lan.run_for(10)
        self.assertIn("one", self.lan.lines(copy))
        self.assertEqual(self.lan.catalogue(copy), ["new", "public", "public", "secret"])

    def test_a_key_that_was_deleted_leaves_the_public_offers(self) -> None:
        self.lan.database_of("alice").with_name("node.key").unlink()
        self.alice = self.lan.node("alice")
        self.lan.run_for(10)
        self.assertNotEqual(self.alice.key, self.key)
        (lost,) = self.notices(self.alice)
        self.assertTrue(lost.endswith(": secret"), lost)
        self.assertEqual(self.lan.catalogue(self.bob), ["public"])
        self.lan.stop(self.alice)
        self.alice = self.lan.node("alice")
        self.lan.run_for(10)
        self.assertEqual(self.notices(self.alice), [])
        self.assertEqual([offer.name for offer in self.alice.own_offers()], ["public"])

    def test_two_that_start_together_become_two(self) -> None:
        self.alice, copy = self.lan.node("alice"), self.lan.node("copy")
        self.lan.run_for(60)
        self.assertEqual([self.alice.key, copy.key].count(self.key), 1)
        self.assertEqual(len(self.bob.peers()), 2)

    def test_two_that_meet_late_become_two(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)
        epoch, copy = self.alice._feeds.own.epoch, self.lan.node("copy")
        self.lan.cut_off = {group_of(copy).address[0]}
        for number in range(3):
            self.alice.say(f"alice {number}")
            copy.say(f"copy {number}")
        self.lan.run_for(120)
        self.lan.cut_off = set()
        self.lan.run_for(60)
        self.assertEqual(self.alice.key, self.key)
        self.assertNotEqual(copy.key, self.key)
        self.assertLessEqual(self.alice._feeds.own.epoch, epoch + 1)
        for node in (self.alice, copy):
            node.say("now")
        self.lan.run_for(10)
        lines = self.lan.lines(self.bob)
        self.assertEqual(lines.count("now"), 2)
        self.assertEqual({f"alice {n}" for n in range(3)} - set(lines), set())
        self.assertEqual(len(lines), len(set(lines)) + 1)

    def test_a_clock_an_hour_off_leaves_one_of_them(self) -> None:
        for off in (-3600.0, 3600.0):
            lan = self.lan = Lan(self)
            lan.stop(lan.node("alice"))
            lan.copy("alice", "copy")
            alice = lan.node("alice")
            key = alice.key
            lan.run_for(20)
            copy = lan.node("copy", ahead=off)
            lan.run_for(120)
            self.assertEqual([alice.key, copy.key].count(key), 1)

    def test_a_replay_of_a_whole_earlier_run_changes_nobody(self) -> None:
        """Attack 36: everything that we said, and told, some time ago."""
        recorded = []
        carry = self.lan.carry

        def record(data: bytes, *where: Any, **how: Any) -> None:
            recorded.append(data)
            carry(data, *where, **how)

        self.patch(self.lan, "carry", record)
        self.alice = self.lan.node("alice")
        self.alice.say("hello")
        self.lan.run_for(30)
        self.lan.stop(self.alice)
        self.alice = self.lan.node("alice")
        epoch = self.alice._feeds.own.epoch
        self.lan.run_for(10)
        for data in list(recorded):
            signed = parse(data)
            if isinstance(signed, Signed) and signed.key == self.key:
                carry(data, ("10.0.9.9", 1), None)
        self.lan.run_for(60)
        self.assertEqual((self.alice.key, self.alice._feeds.own.epoch), (self.key, epoch))
        self.assertEqual(self.notices(self.alice), [])

    def test_nor_does_one_of_a_run_whose_clock_was_ahead(self) -> None:
        """Attack 36: killed, or quit in good order; or its memory was lost."""
        for ahead in (3600.0, 48 * 3600.0):
            for how in ("killed", "quit", "lost"):
                self.replay_run_ahead(ahead, how)

    def replay_run_ahead(self, ahead: float, how: str) -> None:
        lan = Lan(self)
        recorded: list[bytes] = []
        carry = lan.carry

        def record(data: bytes, *where: Any, **named: Any) -> None:
            recorded.append(data)
            carry(data, *where, **named)

        alice = lan.node("alice", ahead=ahead)
        self.patch(lan, "carry", record)
        lan.run_for(30)
        lan.copy("alice", "snapshot")
        lan.stop(alice)
        if how == "killed":
            shutil.rmtree(lan.folder / "alice")
            lan.copy("snapshot", "alice")
        elif how == "lost":
            lan.database_of("alice").unlink()
        key = alice.key
        alice = lan.node("alice")
        for data in list(recorded):
            carry(data, ("10.0.9.9", 1), None)
        lan.run_for(20)
        self.assertEqual(alice.key, key, (ahead, how))

    def test_an_identity_that_cannot_be_written_stays_and_it_is_said_once(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)
        copy = self.lan.node("copy")

        def refuse() -> None:
            raise ShareError("The disk is full.")

        self.patch(type(copy._instance), "renew", lambda _: refuse())
        self.lan.run_for(60)
        self.assertEqual(copy.key, self.key)
        self.assertEqual(self.notices(copy), ["The disk is full."])

    def test_ports_that_are_taken_meanwhile_are_tried_again(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)
        copy = self.lan.node("copy")
        open_, failures = copy._open, ["The port is taken."]

        def fail_once() -> None:
            if failures:
                raise ShareError(failures.pop())
            open_()

        self.patch(copy, "_open", fail_once)
        self.lan.run_for(5)
        self.assertEqual(self.notices(copy)[0], "The port is taken.")
        self.lan.run_for(OPEN_AGAIN + 1)
        self.assertNotEqual(copy.key, self.key)
        copy.say("hello")
        self.lan.run_for(3)
        self.assertEqual(self.lan.lines(self.alice), ["hello"])

    def test_quitting_at_that_moment_is_quitting(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)
        copy = self.lan.node("copy")
        copy.twin_stays()
        self.lan.stop(copy)
        self.lan.run_for(10)
        self.assertEqual(len(self.bob.peers()), 1)

    def test_the_nick_and_the_history_stay(self) -> None:
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)
        copy = self.lan.node("copy")
        copy.set_nick("bert")
        copy.say("one")
        copy.twin_stays()
        self.lan.run_for(5)
        self.assertEqual(copy.nick, "bert")
        self.assertIn("one", self.texts(copy))
        self.assertEqual([said.text for said in self.lan.events(copy, Said)].count("one"), 1)

    def test_message_numbers_go_on_above_those_of_before_though_the_clock_went_back(self) -> None:
        self.alice = self.lan.node("alice")
        self.alice._feeds.own.skip_to(self.alice._feeds.own.last.number + (5 << BOOT_SHIFT))
        self.alice._feeds.own.message("head", "{}")
        before = self.alice._feeds.own.last.number
        self.lan.vanish(self.alice)
        self.alice = self.lan.node("alice", ahead=-1000.0)
        self.assertGreater(self.alice._feeds.own.last.number, before)

    def test_message_numbers_begin_with_the_second_of_the_start(self) -> None:
        self.alice = self.lan.node("alice")
        now = int(EPOCH_START + self.lan.reactor.seconds())
        self.assertEqual(self.alice._feeds.own.last.number >> BOOT_SHIFT, now)
