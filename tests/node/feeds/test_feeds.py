"""The feeds of whole nodes, on a network that loses, doubles, delays and parts."""

from __future__ import annotations

import sqlite3
from unittest import mock

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import Lan, Stranger, group_of, offer_of
from twistedp2p.core.datagrams.datagram import MAX_NUMBER, Signed, parse
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Joined, NotSent, OfferAdded, OfferGone, Said
from twistedp2p.core.feeds.asking import DOUBTFUL_BURST, DOUBTFUL_RATE
from twistedp2p.core.feeds.feed import CHAT_BACKLOG, Have, Heads
from twistedp2p.core.feeds.gossip import MAX_FEEDS, NODE_BURST, NODE_RATE
from twistedp2p.core.feeds.repairs import MAX_JOBS_EACH
from twistedp2p.core.feeds.requests import Ask, Gone
from twistedp2p.disk.memory import entries as entries_module
from twistedp2p.node.feeds.feeds import FORGET_EVERY


class DeliveryTests(SynchronousTestCase):
    def said_and_offered(self, loss: float, seconds: float) -> None:
        lan = Lan(self)
        nodes = lan.crowd(8)
        lan.loss, lan.twice, lan.delay = loss, 0.2, (0.001, 0.05)
        for number, node in enumerate(nodes):
            for turn in range(3):
                node.say(f"{number} says {turn}")
                node._feeds.publish_offer(offer_of(node, f"{number}.{turn}"))
                lan.run_for(0.1)
        lan.run_for(seconds)
        all_lines = {f"{number} says {turn}" for number in range(8) for turn in range(3)}
        for number, node in enumerate(nodes):
            own = {f"{number} says {turn}" for turn in range(3)}
            self.assertEqual(sorted(lan.lines(node)), sorted(all_lines - own))
            self.assertEqual(len(lan.events(node, OfferAdded)), 21)
            # Who was not heard for a while is taken as gone, and what he offers is not shown.
            kept = [offer for other in nodes for offer in node._store.offers_of(other.key)]
            self.assertEqual(len(kept), 24)

    def test_all_that_is_said_and_offered_comes_once_to_everybody(self) -> None:
        self.said_and_offered(0.0, 1)

    def test_it_does_so_where_a_fifth_is_lost(self) -> None:
        self.said_and_offered(0.2, 20)

    def test_it_does_so_where_two_fifths_are_lost(self) -> None:
        self.said_and_offered(0.4, 40)

    def test_each_hears_the_lines_of_one_in_their_order_where_nothing_is_lost(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        for number in range(20):
            alice.say(str(number))
            lan.run_for(0.1)
        self.assertEqual(lan.lines(bob), [str(number) for number in range(20)])

    def test_what_was_withdrawn_goes_from_everybody_s_catalogue(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        alice._feeds.publish_offer(offer_of(alice, "a"))
        lan.run_for(1)
        lan.loss = 0.4
        alice._feeds.publish_withdraw("a", '{"name":"a"}')
        lan.run_for(20)
        self.assertEqual(lan.catalogue(bob), [])
        self.assertEqual(len(lan.events(bob, OfferGone)), 1)

    def test_who_was_cut_off_learns_of_what_was_withdrawn_by_one_number(self) -> None:
        """Nothing of it is kept to be sent again: its publisher tells that it has none below."""
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        for name in ("a", "b"):
            alice._feeds.publish_offer(offer_of(alice, name))
        lan.run_for(1)
        lan.cut_off = {group_of(bob).address[0]}
        for name in ("a", "b"):
            alice._feeds.publish_withdraw(name, f'{{"name":"{name}"}}')
        self.assertEqual(alice._store.entries(alice.key, "offers", 1, 9), [])
        lan.run_for(5)
        lan.cut_off = set()
        lan.run_for(15)
        self.assertEqual(bob._store.offers_of(alice.key), [])
        gone = [event.name for event in lan.events(bob, OfferGone)]
        self.assertEqual(sorted(gone), ["a", "b"])

    def test_a_part_that_was_cut_off_gets_what_it_missed(self) -> None:
        lan = Lan(self)
        alice, bob, carol = lan.crowd(3)
        lan.cut_off = {group_of(carol).address[0]}
        alice.say("one")
        bob._feeds.publish_offer(offer_of(bob, "b"))
        carol.say("two")
        lan.run_for(60)
        self.assertEqual(lan.lines(carol), [])
        lan.cut_off = set()
        lan.run_for(15)
        self.assertEqual(lan.lines(carol), ["one"])
        self.assertEqual(lan.lines(alice), ["two"])
        self.assertEqual(lan.catalogue(carol), ["b"])

    def test_a_line_that_no_network_took_is_told_and_comes_when_there_is_one(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        group_of(alice).refuses = True
        alice.say("hello")
        self.assertEqual(len(lan.events(alice, NotSent)), 1)
        lan.run_for(5)
        self.assertEqual(lan.lines(bob), [])
        group_of(alice).refuses = False
        lan.run_for(20)
        self.assertEqual(lan.lines(bob), ["hello"])

    def test_own_packets_that_loop_back_are_not_heard(self) -> None:
        lan = Lan(self)
        (alice,) = lan.crowd(1)
        alice.say("hello")
        alice._feeds.publish_offer(offer_of(alice, "a"))
        lan.run_for(10)
        self.assertEqual(lan.lines(alice), [])
        self.assertEqual(lan.events(alice, Joined), [])
        self.assertEqual(alice.status().nodes, 1)


class LateTests(SynchronousTestCase):
    def test_a_newcomer_gets_all_offers_and_the_last_lines_marked_late(self) -> None:
        lan = Lan(self)
        (alice,) = lan.crowd(1)
        for number in range(CHAT_BACKLOG + 50):
            alice.say(str(number))
        for number in range(120):
            alice._feeds.publish_offer(offer_of(alice, f"{number:03}"))
        alice._feeds.publish_withdraw("007", '{"name":"007"}')
        lan.run_for(60)
        bob = lan.node("bob")
        lan.run_for(20)
        said = lan.events(bob, Said)
        self.assertEqual(sorted(int(each.text) for each in said), list(range(50, 150)))
        self.assertTrue(all(each.late for each in said))
        self.assertEqual(len(lan.catalogue(bob)), 119)
        alice.say("now")
        lan.run_for(1)
        self.assertFalse(lan.events(bob, Said)[-1].late)

    def test_after_a_restart_numbers_go_on_and_nothing_is_told_twice(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        alice.say("one")
        alice._feeds.publish_offer(offer_of(alice, "a"))
        lan.run_for(1)
        for node in (alice, bob):
            lan.stop(node)
        alice, bob = lan.node("node0"), lan.node("node1")
        lan.run_for(10)
        self.assertEqual(lan.lines(bob), [])
        alice.say("two")
        alice._feeds.publish_offer(offer_of(alice, "b"))
        lan.run_for(10)
        self.assertEqual(lan.lines(bob), ["two"])
        self.assertEqual(lan.catalogue(bob), ["a", "b"])

    def test_who_was_not_here_for_a_month_is_forgotten_without_a_restart(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        key = bob.key
        bob.say("hello")
        lan.run_for(5)
        lan.vanish(bob)
        lan.run_for(60)
        self.patch(entries_module, "GONE_AFTER", 3600_000)
        lan.run_for(FORGET_EVERY)
        self.assertTrue(alice._feeds.follows(key))
        lan.run_for(FORGET_EVERY)
        self.assertFalse(alice._feeds.follows(key))
        self.assertEqual(lan.lines(alice), ["hello"])

    def test_who_stayed_believes_the_messages_of_one_who_was_restarted(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        lan.vanish(alice)
        alice = lan.node("node0")
        alice.set_nick("anew")
        lan.run_for(5)
        self.assertEqual([peer.nick for peer in bob.peers()], ["anew"])

    def test_a_node_that_lost_its_memory_is_followed_anew(self) -> None:
        lan = Lan(self)
        alice, bob = lan.crowd(2)
        for number in range(3):
            alice.say(f"before {number}")
            alice._feeds.publish_offer(offer_of(alice, f"old {number}"))
        lan.run_for(1)
        key = alice.key
        lan.stop(alice)
        lan.database_of("node0").unlink()
        alice = lan.node("node0")
        self.assertEqual(alice.key, key)
        alice.say("after")
        alice._feeds.publish_offer(offer_of(alice, "new"))
        lan.run_for(10)
        self.assertEqual(lan.lines(bob)[3:], ["after"])
        self.assertEqual(lan.catalogue(bob), ["new"])

    def test_what_is_left_of_an_epoch_that_is_over_is_not_heard(self) -> None:
        """Attack 36: entries and beacons of an earlier epoch, sent again."""
        lan = Lan(self)
        (alice,) = lan.crowd(1)
        mallory = Stranger(lan)
        old = [mallory.signed("say", "old", 5), mallory.signed("bye", "{}")]
        mallory.epoch = 2
        mallory.beacon()
        mallory.send("say", "new", 1)
        lan.run_for(1)
        for data in old:
            lan.carry(data, mallory.address, None)
        lan.run_for(1)
        self.assertEqual(lan.lines(alice), ["new"])
        self.assertEqual(alice.status().nodes, 2)

    def test_entries_sent_again_are_told_once_even_after_a_restart(self) -> None:
        """Attack 36: replay."""
        lan = Lan(self)
        alice, _ = lan.crowd(2)
        mallory = Stranger(lan)
        mallory.beacon()
        line = mallory.signed("say", "hello", 1)
        for _ in range(5):
            lan.carry(line, mallory.address, None)
        lan.run_for(1)
        self.assertEqual(lan.lines(alice), ["hello"])
        lan.stop(alice)
        alice = lan.node("node0")
        lan.carry(line, mallory.address, None)
        lan.run_for(1)
        self.assertEqual(lan.lines(alice), [])


class HostileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice, self.bob = self.lan.crowd(2)
        self.mallory = Stranger(self.lan)
        self.mallory.beacon()
        self.lan.run_for(1)

    def others_go_on(self, seconds: float = 10) -> None:
        before = len(self.lan.lines(self.bob))
        self.alice.say("still here")
        self.alice._feeds.publish_offer(offer_of(self.alice, "still here"))
        self.lan.run_for(seconds)
        self.assertEqual(self.lan.lines(self.bob)[before:], ["still here"])
        self.assertIn("still here", self.lan.catalogue(self.bob))

    def test_answers_are_paced_and_bounded_however_often_is_asked(self) -> None:
        """Attack 40: a peer that asks for everything all the time."""
        for number in range(200):
            self.alice.say(str(number))
            self.alice._feeds.publish_offer(offer_of(self.alice, str(number)))
        self.lan.run_for(5)
        feeds, start = self.alice._feeds, self.lan.reactor.seconds()
        ask = Ask(self.alice.key, feeds.own.epoch, {"chat": [(1, 100)]}).write()
        for turn in range(1000):
            self.mallory.address = "10.0.9.9", 50_000 + turn  # a port of its own each time
            self.mallory.send("ask", ask)
            if turn % 100 == 0:
                self.lan.run_for(0.1)
            self.assertLessEqual(len(feeds._gossip._repairs), 2 * MAX_JOBS_EACH)
        self.lan.run_for(1)
        seconds = self.lan.reactor.seconds() - start
        sent = group_of(self.alice).count("say", start)
        self.assertLessEqual(sent, NODE_BURST + NODE_RATE * seconds)
        self.assertGreaterEqual(sent, 99)
        self.others_go_on(30)

    def test_who_asks_honestly_does_not_wait_behind_who_asks_all_the_time(self) -> None:
        """Attack 40: each host has its turn."""
        for number in range(100):
            self.alice.say(str(number))
        self.lan.run_for(2)
        epoch = self.alice._feeds.own.epoch
        ask = Ask(self.alice.key, epoch, {"chat": [(1, 100)]}).write()
        for host in range(7):
            self.mallory.address = f"10.0.9.{host}", 1
            self.mallory.send("ask", ask)
        self.lan.run_for(0.5)
        carol = self.lan.node("carol")
        self.lan.run_for(6)
        self.assertGreater(len(self.lan.lines(carol)), 10)

    def test_an_ask_from_another_network_is_not_answered_but_counted(self) -> None:
        """Attack 40: one forged datagram must not bring hundreds upon somebody else."""
        self.alice.say("hello")
        self.lan.run_for(1)
        since, sent = self.lan.reactor.seconds(), group_of(self.alice)
        ask = Ask(self.alice.key, self.alice._feeds.own.epoch, {"chat": [(1, 1)]}).write()
        self.mallory.address = "8.8.8.8", 53
        self.lan.carry(self.mallory.signed("ask", ask), self.mallory.address, sent.address)
        self.lan.run_for(1)
        self.assertEqual(sent.count("say", since), 0)
        self.assertEqual(self.alice.dropped()["an ask from elsewhere"], 1)
        self.mallory.address = "10.0.9.9", 53
        self.mallory.send("ask", ask)
        self.lan.run_for(1)
        self.assertEqual(sent.count("say", since), 1)

    def test_an_ask_for_what_never_was_costs_no_answer(self) -> None:
        since = self.lan.reactor.seconds()
        epoch = self.alice._feeds.own.epoch
        for gaps in ([(1, MAX_NUMBER)], [(5, 5), (MAX_NUMBER, MAX_NUMBER)]):
            self.mallory.send("ask", Ask(self.alice.key, epoch, {"offers": gaps}).write())
        self.mallory.send("ask", Ask(self.alice.key, epoch + 1, {"chat": [(1, 1)]}).write())
        self.mallory.send("ask", Ask(self.mallory.key, 1, {"chat": [(1, 1)]}).write())
        self.mallory.send("ask", "{}")
        self.lan.run_for(1)
        self.assertEqual(group_of(self.alice).count("gone", since), 0)
        self.others_go_on()

    def test_heads_that_lie_cost_a_few_asks_for_each_beacon(self) -> None:
        """Attack 40: a feed that claims numbers without end."""
        since = self.lan.reactor.seconds()
        for _ in range(100):
            self.mallory.beacon(Heads((1, MAX_NUMBER), (1, MAX_NUMBER)))
            self.mallory.beacon(Heads((MAX_NUMBER, 1), (MAX_NUMBER, MAX_NUMBER)))
            self.lan.run_for(0.1)
        self.assertLess(group_of(self.alice).count("ask", since), 30)
        self.lan.run_for(30)
        quiet = self.lan.reactor.seconds()
        self.lan.run_for(30)
        self.assertEqual(group_of(self.alice).count("ask", quiet), 0)
        self.others_go_on()

    def test_many_that_lie_share_one_pace_of_asks(self) -> None:
        """Attack 40: throw-away nodes, each with a feed that it claims and nobody has."""
        since = self.lan.reactor.seconds()
        for _ in range(400):
            Stranger(self.lan).beacon(Heads((1, 100), (1, 100)))
        self.lan.run_for(30)
        asked = sum(group_of(node).count("ask", since) for node in self.lan.nodes)
        self.assertLessEqual(asked, 2 * (DOUBTFUL_BURST + 30 * DOUBTFUL_RATE))
        self.assertGreater(asked, 20)
        self.lan.loss = 0.5
        self.others_go_on(10)

    def test_entries_of_huge_and_scattered_numbers_are_bounded(self) -> None:
        """Attack 40: a feed torn to pieces."""
        for turn in range(1500):
            self.mallory.send("say", "x", 2 * turn + 1)
            if turn % 100 == 0:
                self.lan.run_for(0.1)
        self.mallory.send("say", "x", MAX_NUMBER)
        self.mallory.offer(MAX_NUMBER)
        self.lan.run_for(1)
        feed = self.alice._feeds._gossip.feed(self.mallory.key)
        self.assertLessEqual(len(feed.have["chat"].runs()), 1026)
        self.others_go_on()

    def test_gone_messages_of_enormous_ranges_touch_their_own_feed_only(self) -> None:
        self.alice._feeds.publish_offer(offer_of(self.alice, "kept"))
        self.mallory.send("gone", Gone("offers", ((1, MAX_NUMBER),)).write())
        self.mallory.send("gone", Gone("chat", ((10, 11), (MAX_NUMBER - 1, MAX_NUMBER))).write())
        self.mallory.send("gone", '{"log":"chat","ranges":[[5,4]]}')
        self.lan.run_for(1)
        self.assertEqual(self.lan.catalogue(self.bob), ["kept"])
        self.mallory.send("say", "later", 1)
        self.mallory.offer(1)
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.alice), ["later"])
        self.others_go_on()

    def test_throw_away_keys_push_out_no_pinned_one_and_not_ourselves(self) -> None:
        """Attack 37: more keys than there is room for, then a replay of a pinned one's line."""
        self.alice._feeds.publish_offer(offer_of(self.alice, "mine"))
        self.lan.run_for(1)
        line = self.mallory.signed("say", "once", 1)
        self.lan.carry(line, self.mallory.address, None)
        for _ in range(8):
            self.mallory.beacon()
            self.lan.run_for(5)
        self.assertTrue(self.alice._others.is_pinned(self.mallory.key))
        feeds, flood = self.alice._feeds, parse(self.mallory.signed("say", "x", 1))
        for number in range(MAX_FEEDS + 10):
            feeds.heard_entry(attrs.evolve(flood, key=number.to_bytes(32, "big")))
        self.assertLessEqual(len(feeds.vector()), MAX_FEEDS)
        told = len(self.lan.lines(self.alice))
        self.lan.carry(line, self.mallory.address, None)
        self.lan.run_for(1)
        self.assertEqual(len(self.lan.lines(self.alice)), told)
        self.assertEqual(self.alice.own_offers()[0].name, "mine")
        self.assertIn("mine", self.lan.catalogue(self.alice))

    def test_strangers_that_come_in_hosts_wait_but_those_known_do_not(self) -> None:
        """Attack 40: a flood of nodes."""
        for _ in range(700):
            Stranger(self.lan).beacon()
        self.lan.run_for(0.5)
        self.assertLess(self.alice.status().nodes, 560)
        self.assertGreater(self.alice.dropped()["too many strangers"], 100)
        self.others_go_on(1)

    def test_forged_and_malformed_offers_are_not_taken(self) -> None:
        """Attack 38: names that are paths, digests and sizes that are none, half characters."""
        mallory = self.mallory
        mallory.offer(1, name="../../etc/passwd")
        mallory.offer(2, name=".bashrc")
        mallory.offer(3, name="a\u202egpj.exe")
        mallory.offer(4, digest="sha1:00")
        mallory.offer(5, size=-1)
        mallory.offer(6, size=2**70)
        mallory.offer(7, public=1)
        mallory.send("offer", "[]", 8)
        mallory.send("offer", "{", 9)
        mallory.send("withdraw", '{"name": 5}', 10)
        mallory.send("offer", '{"digest":"\\ud800","name":"a","public":true,"size":1}', 11)
        self.lan.run_for(1)
        self.assertEqual(self.lan.events(self.alice, OfferAdded), [])
        self.assertEqual(self.lan.catalogue(self.alice), [])
        self.assertEqual(sum(self.alice._feeds.dropped.values()), 11)
        mallory.offer(12)
        self.lan.run_for(1)
        self.assertEqual(self.lan.catalogue(self.alice), ["a.jpg"])
        self.others_go_on()

    def test_an_offer_is_always_its_signer_s(self) -> None:
        """Attack 38: an offer that names another as its owner, a withdrawal of another's."""
        self.alice._feeds.publish_offer(offer_of(self.alice, "hers"))
        self.lan.run_for(1)
        self.mallory.send("withdraw", '{"name":"hers"}', 1)
        self.mallory.offer(2, name="hers", owner="AAAA", id="0" * 32)
        self.lan.run_for(1)
        found = self.successResultOf(self.bob.search("hers"))
        self.assertEqual(
            sorted(listing.offer.owner for listing in found),
            sorted([self.alice.key, self.mallory.key]),
        )


class FullDiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice, self.bob = self.lan.crowd(2)

    def fill(self, full: bool) -> None:
        """Have the database of bob refuse every write, as on a full disk."""
        db: sqlite3.Connection = self.bob._store._db._db
        pages = db.execute("PRAGMA page_count").fetchone()[0] if full else 2**30
        db.execute(f"PRAGMA max_page_count = {pages}")
        db.execute(f"PRAGMA query_only = {int(full)}")

    def test_chat_goes_on_and_offers_come_when_there_is_room(self) -> None:
        self.fill(True)
        self.alice.say("hello")
        self.alice._feeds.publish_offer(offer_of(self.alice, "a"))
        self.lan.run_for(20)
        self.assertEqual(self.lan.lines(self.bob), ["hello"])
        self.assertEqual(self.lan.catalogue(self.bob), [])
        self.fill(False)
        self.alice.say("again")
        self.lan.run_for(20)
        self.assertEqual(self.lan.lines(self.bob), ["hello", "again"])
        self.assertEqual(self.lan.catalogue(self.bob), ["a"])

    def test_a_newcomer_is_heard_and_the_silent_expire(self) -> None:
        self.fill(True)
        carol = self.lan.node("carol")
        self.lan.run_for(5)
        carol.say("hello")
        self.lan.run_for(5)
        self.assertEqual(self.lan.lines(self.bob), ["hello"])
        self.lan.vanish(carol)
        self.lan.run_for(40)
        self.assertEqual(self.bob.status().nodes, 2)
        self.assertEqual(self.alice.status().nodes, 2)  # bob's beacons went on

    def test_beacons_go_on_where_nothing_can_be_read(self) -> None:
        def lowest(*_: object) -> int:
            raise ShareError("The memory cannot be read.")

        self.alice.say("hello")
        self.lan.run_for(10)
        self.patch(self.alice._store, "lowest", lowest)
        self.lan.run_for(60)
        self.assertEqual(self.bob.status().nodes, 2)

    def test_nothing_is_published_that_cannot_be_kept(self) -> None:
        self.fill(True)
        self.assertRaises(ShareError, self.bob.say, "lost")
        self.assertRaises(ShareError, self.bob._feeds.publish_offer, offer_of(self.bob, "b"))
        self.assertEqual(self.lan.events(self.bob, Said), [])
        self.fill(False)
        self.bob.say("kept")
        self.lan.run_for(10)
        self.assertEqual(self.lan.lines(self.alice), ["kept"])
        self.assertEqual(self.lan.catalogue(self.alice), [])


class ReplicaTests(SynchronousTestCase):
    """What a SYNC gives and takes."""

    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice, self.bob = self.lan.crowd(2)
        self.feeds = self.bob._feeds
        for number in range(CHAT_BACKLOG + 20):
            self.alice.say(str(number))
        for number in range(30):
            self.alice._feeds.publish_offer(offer_of(self.alice, str(number % 20)))
        self.lan.run_for(60)
        (self.have,) = [have for have in self.feeds.vector() if have.origin == self.alice.key]

    def given(self, have: Have) -> list[tuple[str, int]]:
        entries = [parse(raw) for raw in self.feeds.entries_above(have)]
        return [(entry.kind, entry.number) for entry in entries if isinstance(entry, Signed)]

    def test_both_have_the_same_in_the_end(self) -> None:
        self.assertEqual((self.have.chat, self.have.offers), (CHAT_BACKLOG + 20, 30))
        self.assertEqual(self.feeds.lacking(self.alice._feeds.vector()), [])

    def test_what_is_above_is_given_in_order(self) -> None:
        given = self.given(attrs.evolve(self.have, chat=118, offers=28))
        self.assertEqual(given, [("say", 119), ("say", 120), ("offer", 29), ("offer", 30)])

    def test_who_knows_nothing_gets_the_last_lines_and_all_that_is_on_offer(self) -> None:
        given = self.given(Have(self.alice.key, 0, 0, 0))
        lines = [number for kind, number in given if kind == "say"]
        self.assertEqual(lines, list(range(21, 121)))
        offers = [number for kind, number in given if kind == "offer"]
        self.assertEqual(offers, list(range(11, 31)))

    def test_entries_are_read_as_they_are_taken(self) -> None:
        with mock.patch.object(self.feeds._store, "entries_above") as read:
            self.feeds.entries_above(self.have)
        read.assert_not_called()

    def test_of_an_unknown_feed_nothing_is_given(self) -> None:
        self.assertEqual(self.given(Have(b"u" * 32, 0, 0, 0)), [])

    def test_what_was_settled_is_not_asked_for(self) -> None:
        stranger = Stranger(self.lan)
        stranger.beacon(Heads((1, 0), (1, 9)))
        for number in (7, 9):
            stranger.offer(number, name=f"{number}.jpg")
        self.lan.run_for(0.01)
        since = self.lan.reactor.seconds()
        for node in (self.alice, self.bob):
            node._feeds.settled(Have(stranger.key, 1, 0, 9))
        self.lan.run_for(30)
        self.assertEqual(group_of(self.bob).count("ask", since), 0)
        stranger.offer(8, name="8.jpg")
        self.lan.run_for(1)
        self.assertIsNotNone(self.bob._store.offer(stranger.key, "8.jpg"))

    def test_what_comes_by_sync_makes_no_group_busy(self) -> None:
        """Where the group is busy, new offers are told by their head alone."""
        raws = list(self.feeds.entries_above(Have(self.alice.key, 0, 0, 0)))
        for entry in (parse(raw) for _ in range(3) for raw in raws):
            assert isinstance(entry, Signed)
            self.feeds.heard_entry(entry, synced=True)
        since = self.lan.reactor.seconds()
        self.bob._feeds.publish_offer(offer_of(self.bob, "new"))
        self.assertEqual(group_of(self.bob).count("offer", since), 1)

    def test_a_sync_is_wanted_where_much_is_missing(self) -> None:
        wanted: list[object] = []
        self.feeds._sync_wanted = lambda partner: not wanted.append(partner)
        Stranger(self.lan).beacon(Heads((1, 0), (1, 1000)))
        self.lan.run_for(3)
        self.assertIn(None, wanted)
