"""What the doctor of a running node is asked to look at; what it does is `test_doctor`'s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import GROUP, PORT, Lan
from twistedp2p.core.errors import ShareError
from twistedp2p.node.diagnosis import examination
from twistedp2p.node.diagnosis.doctor import Plan


class ExaminationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lan = Lan(self)
        self.alice = self.lan.node("alice")
        self.plans: list[Plan] = []
        self.examining: Deferred[Any] = Deferred()
        self.patch(examination, "Doctor", self.doctor)
        self.bob = self.lan.node("bob")
        self.lan.run_for(5)

    def doctor(self, _reactor: Any, plan: Plan, _interfaces: Any, **_more: Any) -> Any:
        self.plans.append(plan)

        async def examine(told: Callable[[Any], object]) -> Any:
            told("a finding")
            return await self.examining

        return mock.Mock(examine=examine)

    def test_it_looks_at_those_who_are_here_and_tells_what_it_finds(self) -> None:
        told: list[Any] = []
        looking = self.alice.examine(told.append)
        [plan] = self.plans
        self.assertEqual((plan.group, plan.port, plan.asked_for), (GROUP, PORT, False))
        self.assertEqual([(name, host) for name, (host, _) in plan.peers], [("bob", "10.0.0.2")])
        self.assertEqual(told, ["a finding"])
        self.examining.callback("the diagnosis")
        self.assertEqual(self.successResultOf(looking), "the diagnosis")

    def test_one_at_a_time(self) -> None:
        looking = self.alice.examine(lambda _: None)
        self.assertRaises(ShareError, self.alice.examine, lambda _: None)
        self.examining.callback(None)
        self.successResultOf(looking)
        self.successResultOf(self.alice.examine(lambda _: None))

    def test_a_node_that_stops_ends_it(self) -> None:
        looking = self.alice.examine(lambda _: None)
        self.lan.stop(self.alice)
        self.assertEqual(str(self.failureResultOf(looking, ShareError).value), "Stopped.")
