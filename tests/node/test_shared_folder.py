"""A watched folder: what is put in is offered, what is taken out withdrawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.errors import ShareError
from twistedp2p.node import shared_folder
from twistedp2p.node.shared_folder import AT_ONCE, GONE_AT_ONCE, LOOK_EVERY, SharedFolder


class SharedFolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inside: dict[str, tuple[int, ...]] = {}
        self.patch(shared_folder, "look", lambda path: dict(self.inside))
        self.done: list[str] = []
        self.waiting: list[Deferred[None]] | None = None
        self.refuses = ""
        self.events: list[Any] = []
        self.folder = SharedFolder(
            "/shared",
            self,
            self.events.append,
            password="secret",
            public=False,
            clock=self.clock,
            in_thread=lambda call, *arguments: succeed(call(*arguments)),
        )
        self.folder.start()
        self.clock.advance(0)

    async def offer(self, path: str, password: str, public: bool) -> Any:
        self.assertEqual((password, public), ("secret", False))
        self.done.append(path)
        if self.waiting is not None:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.refuses:
            raise ShareError("{path} cannot be read: {why}.", path=path, why=self.refuses)
        return SimpleNamespace(offer=SimpleNamespace(name=path.rpartition("/")[2]))

    def withdraw(self, name: str) -> None:
        if self.refuses:
            raise ShareError("You do not offer {name}.", name=name)
        self.done.append(f"-{name}")

    def looks(self, count: int) -> list[str]:
        """What is done in so many looks."""
        self.done.clear()
        self.clock.pump([LOOK_EVERY] * count)
        return list(self.done)

    def test_what_rests_is_offered_once(self) -> None:
        self.inside["a"] = (1,)
        self.assertEqual(self.looks(1), [])
        self.assertEqual(self.looks(1), ["/shared/a"])
        self.assertEqual(self.looks(5), [])

    def test_what_is_still_written_waits(self) -> None:
        for size in range(5):
            self.inside["a"] = (size,)
            self.assertEqual(self.looks(1), [])
        self.assertEqual(self.looks(1), ["/shared/a"])

    def test_what_changes_is_offered_anew_and_what_is_taken_out_withdrawn(self) -> None:
        self.inside["a"] = (1,)
        self.looks(2)
        self.inside["a"] = (2,)
        self.assertEqual(self.looks(2), ["/shared/a"])
        del self.inside["a"]
        self.assertEqual(self.looks(3), ["-a"])
        self.inside["a"] = (2,)
        self.assertEqual(self.looks(2), ["/shared/a"])

    def test_what_cannot_be_offered_is_said_once_until_it_changes(self) -> None:
        self.inside["a"] = (1,)
        self.refuses = "no"
        self.looks(5)
        self.assertEqual(len(self.events), 1)
        self.inside["a"] = (2,)
        self.refuses = ""
        self.assertEqual(self.looks(2), ["/shared/a"])
        self.refuses = "it was found out already"
        del self.inside["a"]
        self.assertEqual(self.looks(2), [])

    def test_a_few_are_offered_at_once_and_all_in_the_end(self) -> None:
        self.waiting = []
        self.inside.update({str(number): (1,) for number in range(3 * AT_ONCE)})
        self.looks(5)
        self.assertEqual(len(self.waiting), AT_ONCE)
        while self.waiting:
            self.waiting.pop(0).callback(None)
        self.assertEqual(len(self.done), 3 * AT_ONCE)
        self.assertEqual(self.looks(3), [])
        self.assertEqual(self.folder._places.tokens, AT_ONCE)
        self.assertTrue(all(row.name for row in self.folder._rows.values()))

    def test_what_is_taken_out_while_it_is_read_is_withdrawn(self) -> None:
        self.waiting = []
        self.inside["a"] = (1,)
        self.looks(2)
        del self.inside["a"]
        self.looks(1)
        self.waiting.pop().callback(None)
        self.assertEqual(self.done, ["-a"])

    def test_a_disk_that_went_is_withdrawn_a_few_at_a_time(self) -> None:
        self.inside.update({str(number): (1,) for number in range(3 * GONE_AT_ONCE)})
        self.looks(2)
        self.inside.clear()
        self.assertEqual(len(self.looks(1)), GONE_AT_ONCE)
        self.assertEqual(len(self.looks(3)), 2 * GONE_AT_ONCE)

    def test_after_the_stop_nothing_is_done(self) -> None:
        self.inside["a"] = (1,)
        self.looks(1)
        self.folder.stop()
        self.assertEqual(self.looks(3), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_look_that_fails_is_logged_and_the_next_one_comes(self) -> None:
        self.patch(shared_folder, "look", lambda path: 1 / 0)
        self.folder._in_thread = lambda call, path: Deferred.fromCoroutine(self._call(call, path))
        self.looks(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(shared_folder, "look", lambda path: dict(self.inside))
        self.inside["a"] = (1,)
        self.assertEqual(self.looks(2), ["/shared/a"])

    async def _call(self, call: Any, path: str) -> Any:
        return call(path)
