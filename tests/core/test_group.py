"""Groups on the real core: everything reaches everybody once, whatever the network does."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation import Entry, Group
from twistedp2p.core.feeds.feed import Feed

NODES = 40


class GroupTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        gc.disable()  # nothing here is garbage before the end
        self.addCleanup(gc.enable)

    def group(self, count: int = NODES, loss: float = 0.0, *, spare: int = 0) -> Group:
        """So many nodes that know each other; `spare` more are not started."""
        group = Group(count + spare)
        group.loss = loss
        group.start(count=count)
        group.run_until(6.0)
        return group

    def say(self, group: Group, count: int, every: float = 0.1) -> list[Entry]:
        """So many lines of nodes that run, one after the other."""
        said = []
        for _ in range(count):
            running = [node for node in group.nodes if node.running]
            said.append(group.random.choice(running).say())
            group.run_until(group.now + every)
        return said

    def all_have(self, group: Group, said: Sequence[Entry], within: float) -> None:
        """Every running node has every line once (`Entry.reached` sees to that)."""
        running = [node.index for node in group.nodes if node.running]

        def reached() -> bool:
            return all(entry.had[index] for entry in said for index in running)

        group.run_until(group.now + within, reached)
        lacking = sum(not entry.had[index] for entry in said for index in running)
        self.assertEqual(lacking, 0)


class LineTests(GroupTestCase):
    def lines(self, loss: float, within: float) -> Group:
        group = self.group(100, loss=loss)
        said = self.say(group, 20)
        self.all_have(group, said, within)
        return group

    def test_every_line_reaches_everybody(self) -> None:
        group = self.lines(0.0, 1)
        self.assertEqual(group.sent["ask"], 0)
        self.assertEqual(group.sent["SYNC"], 0)

    def test_it_does_where_a_fifth_is_lost(self) -> None:
        self.lines(0.2, 5)

    def test_it_does_where_two_fifths_are_lost_and_few_datagrams_are_spent_on_it(self) -> None:
        group = self.lines(0.4, 8)
        self.assertLess(group.sent["ask"] / 20, 6)
        self.assertLess(group.sent["say"] / 20, 12)

    def test_nothing_is_shown_twice_where_datagrams_are_doubled_and_come_in_disorder(self) -> None:
        group = self.group()
        group.twice, group.delay = 0.2, (0.001, 0.05)
        said = self.say(group, 30, every=0.05)
        self.all_have(group, said, 2)

    def test_who_was_stopped_meanwhile_has_it_too(self) -> None:
        group = self.group(loss=0.2)
        group.nodes[0].stop()
        said = self.say(group, 10)
        group.nodes[0].start()
        said += self.say(group, 10)
        self.all_have(group, said, 10)

    def test_what_its_publisher_said_last_outlives_it(self) -> None:
        group = self.group(loss=0.4)
        for node in group.nodes[:5]:
            said = node.say()
            group.run_until(group.now + 0.05)
            node.stop()
            self.all_have(group, [said], 30)


class ComingAndGoingTests(GroupTestCase):
    def test_all_who_start_at_once_have_all_that_each_has(self) -> None:
        group = Group(NODES)
        group.loss = 0.2
        for node in group.nodes:
            group.publish(node.index, "chat", 1)
            node.kept = {node.key: Feed.kept(node.key, 1, {"chat": [(1, 1)]})}
        group.start()
        group.run_until(2.0)
        group.run_until(20.0, group.complete)
        self.assertTrue(group.complete())

    def test_who_comes_late_has_all_within_seconds(self) -> None:
        group = self.group(spare=2)
        said = self.say(group, 150, every=0.02)
        group.run_until(group.now + 5)
        for late in group.nodes[NODES:]:
            group.loss = 0.2
            late.start()
            self.all_have(group, said, 6)

    def test_two_halves_that_were_parted_have_all_within_seconds(self) -> None:
        group = self.group(loss=0.2)
        group.sides = [node.index % 2 for node in group.nodes]
        said = self.say(group, 20, every=1.5)
        self.assertTrue(all(sum(entry.had) <= NODES / 2 for entry in said))
        group.sides = None
        self.all_have(group, said, 10)

    def test_nobody_comes_and_goes_where_two_fifths_are_lost(self) -> None:
        group = self.group(loss=0.4)
        group.run_until(120)
        before = group.departures
        group.run_until(240)
        self.assertLessEqual(group.departures - before, 2)  # of 1,560 pairs

    def test_a_quiet_group_is_quiet(self) -> None:
        """64 kbit/s in all, however large it is."""
        group = self.group(loss=0.2)
        self.say(group, 20)
        group.run_until(group.now + 60)
        group.sent.clear()
        before, since = group.bytes, group.now
        group.run_until(since + 60)
        self.assertLess((group.bytes - before) * 8 / 60, 64_000)
        self.assertLess(sum(group.sent.values()) / 60, 12)
        self.assertEqual(set(group.sent), {"beacon"})


class CatalogueTests(GroupTestCase):
    def test_many_offers_come_to_all_over_tcp(self) -> None:
        group = Group(40)
        group.track = False
        for node in group.nodes:
            for number in range(1, 101):
                group.publish(node.index, "offers", number)
            node.kept = {node.key: Feed.kept(node.key, 1, {"offers": [(1, 100)]})}
        group.start()
        group.run_until(2.0)
        group.run_until(20.0, group.complete)
        self.assertTrue(group.complete())
        self.assertEqual(sum(feed.counted[0] for feed in group.nodes[0].gossip.feeds()), 4000)
        self.assertLess(group.sent["SYNC"] / 40, 12)
        self.assertLess(group.sent["offer"], 200)

    def test_many_new_offers_of_one_are_told_by_their_head(self) -> None:
        group = self.group(30)
        group.nodes[0].offer(500)
        group.run_until(group.now + 15, lambda: group.sent["head"] > 0 and group.complete())
        self.assertTrue(group.complete())
        self.assertLess(group.sent["offer"], 100)
        self.assertGreaterEqual(group.sent["SYNC"], 5)

    def test_without_any_tcp_they_come_all_the_same(self) -> None:
        group = self.group(5)
        group.sync = lambda *_: None  # type: ignore[method-assign]
        group.nodes[0].offer(300)
        group.run_until(group.now + 60, lambda: group.sent["head"] > 0 and group.complete())
        self.assertTrue(group.complete())
