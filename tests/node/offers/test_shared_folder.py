"""A watched folder: what is put in is offered, what is taken out withdrawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import OfferGone
from twistedp2p.node.offers import shared_folder
from twistedp2p.node.offers.shared_folder import (
    AGAIN_FIRST,
    AGAIN_MOST,
    AT_ONCE,
    GONE_AT_ONCE,
    LOOK_EVERY,
    LOOK_PART,
    SharedFolder,
)


class SharedFolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inside: dict[str, tuple[int, ...]] = {}
        self.patch(shared_folder, "look", lambda path: dict(self.inside))
        self.done: list[str] = []
        self.waiting: list[Deferred[None]] | None = None
        self.refuses = ""
        self.events: list[Any] = []
        self.known: dict[str, str] = {}  # what is on offer: `shared` -> name
        self.marks = 0
        self.begin()

    def begin(self, password: str = "secret") -> None:
        """Begin a run."""
        self.password = password
        self.followers: list[Any] = []
        self.folder = SharedFolder(
            "/shared",
            self,
            self.events.append,
            self.follow,
            password=password,
            public=False,
            clock=self.clock,
            in_thread=lambda call, *arguments: succeed(call(*arguments)),
        )
        self.folder.start()
        self.clock.advance(0)

    def follow(self, face: Any) -> Any:
        self.followers.append(face)
        return lambda: self.followers.remove(face)

    async def mark(self, path: str, password: str, public: bool) -> bytes:
        self.assertEqual((path, password, public), ("/shared", self.password, False))
        self.marks += 1
        return password.encode()

    def shared(self) -> dict[str, str]:
        return dict(self.known)

    async def offer(self, path: str, password: str, public: bool, shared: str) -> Any:
        self.assertEqual((password, public), (self.password, False))
        self.done.append(path)
        if self.waiting is not None:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.refuses:
            raise ShareError("{path} cannot be read: {why}.", path=path, why=self.refuses)
        name = path.rpartition("/")[2]
        self.forget(name)
        self.known[shared] = name
        return SimpleNamespace(offer=SimpleNamespace(name=name))

    def forget(self, name: str) -> None:
        self.known = {shared: other for shared, other in self.known.items() if other != name}

    def lose(self, name: str, why: str = "the file has changed") -> None:
        """It is on offer no more; `why` is empty where a person said so."""
        self.forget(name)
        for face in self.followers:
            face(OfferGone(name, b"m" * 32, "me", own=True, why=why))

    def withdraw(self, name: str) -> None:
        if self.refuses:
            raise ShareError("You do not offer {name}.", name=name)
        self.done.append(f"-{name}")
        self.forget(name)

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
        self.looks(50)
        self.assertEqual(len(self.events), 1)
        self.inside["a"] = (2,)
        self.refuses = ""
        self.assertEqual(self.looks(2), ["/shared/a"])
        self.refuses = "it was found out already"
        del self.inside["a"]
        self.assertEqual(self.looks(2), [])

    def test_what_failed_is_tried_again_later_and_later(self) -> None:
        self.inside["a"] = (1,)
        self.refuses = "a server is away"
        times = round((AGAIN_FIRST + 2 * AGAIN_FIRST) / LOOK_EVERY) + 4
        self.assertEqual(self.looks(times), 3 * ["/shared/a"])
        self.refuses = ""
        self.assertEqual(self.looks(round(AGAIN_MOST / LOOK_EVERY)), ["/shared/a"])

    def test_what_fails_for_months_is_tried_all_the_same(self) -> None:
        self.patch(shared_folder, "AGAIN_MOST", LOOK_EVERY)
        self.inside["a"] = (1,)
        self.refuses = "it may not be read"
        self.assertGreater(len(self.looks(1100)), 1050)
        self.refuses = ""
        self.assertEqual(self.looks(2), ["/shared/a"])

    def test_what_was_replaced_while_it_was_read_is_offered_as_it_is_now(self) -> None:
        self.waiting = []
        self.inside["a"] = (1,)
        self.looks(2)
        self.inside["a"] = (2,)
        self.assertEqual(self.looks(3), [])
        self.waiting.pop().callback(None)
        self.assertEqual(self.looks(1), ["/shared/a"])

    def test_what_was_lost_is_offered_again_and_what_a_person_withdrew_is_not(self) -> None:
        self.inside.update(a=(1,), b=(1,))
        self.looks(2)
        self.lose("a", "the file cannot be read any more")
        self.lose("b", "")
        self.assertEqual(self.looks(round(AGAIN_FIRST / LOOK_EVERY)), ["/shared/a"])
        self.inside["b"] = (2,)
        self.assertEqual(self.looks(3), ["/shared/b"])

    def test_what_an_earlier_run_offered_stays_unless_it_or_the_password_changed(self) -> None:
        self.inside.update(a=(1,), b=(1,), c=(1,))
        self.looks(2)
        self.folder.stop()
        self.assertEqual(self.followers, [])
        self.inside["b"] = (2,)
        self.lose("c")
        self.begin()
        self.assertEqual(self.looks(3), ["/shared/b", "/shared/c"])
        del self.inside["a"]
        self.assertEqual(self.looks(1), ["-a"])
        self.folder.stop()
        self.begin("another")
        self.assertEqual(self.looks(3), ["/shared/b", "/shared/c"])
        self.assertEqual(self.marks, 3)

    def test_a_look_that_takes_long_is_followed_by_a_long_pause(self) -> None:
        looked: list[Deferred[Any]] = []
        self.folder._in_thread = lambda call, path: looked.append(Deferred()) or looked[-1]
        self.looks(1)
        self.clock.advance(5)
        looked[0].callback({})
        self.clock.pump([1] * (LOOK_PART * 5 - 1))
        self.assertEqual(len(looked), 1)
        self.clock.advance(1)
        self.assertEqual(len(looked), 2)

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
