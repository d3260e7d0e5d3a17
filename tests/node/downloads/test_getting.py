"""One get: cut, gone on with, given up, and what is said of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import FakeReactor
from tests.node.gets import OTHER, OWNER, FakeClient, Fetching, random_content, tree_of
from tests.node.offers.test_shares import quick_stretch
from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.lines import Err, Ok
from twistedp2p.core.calls.pieces import PEERS, TREE
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.content.manifest import Entry, Manifest
from twistedp2p.core.content.tree import TreeHash
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import Fetched, FetchFailed, Notice, Progress
from twistedp2p.disk.downloads.download import Download
from twistedp2p.net.dial import NoAnswer, nonsense
from twistedp2p.net.fetch import Refused, broken
from twistedp2p.net.pump import in_threads_of
from twistedp2p.node.downloads import order as order_module
from twistedp2p.node.downloads.getting import PATIENCE_WITH_OTHERS, Sharing
from twistedp2p.node.downloads.holdings import Holdings
from twistedp2p.node.downloads.opening import (
    AGAIN_FIRST,
    AGAIN_MOST,
    BUSY_LEAST,
    BUSY_PATIENCE,
    PATIENCE,
)
from twistedp2p.node.downloads.swarm import PEERS_EVERY
from twistedp2p.node.downloads.transfers import CHECKS_AT_ONCE, Transfer, Transfers
from twistedp2p.node.presence.neighbours import UNANSWERED_MOST
from twistedp2p.node.progress import Courses

CONTENT = random_content(40)
DIGEST = tree_of(CONTENT).digest
WHERE = [("10.0.0.9", 9393)]


class GettingTestCase(SynchronousTestCase):
    swarm = False

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(order_module, "stretch", quick_stretch)
        self.clock, self.fetching = FakeReactor(), Fetching()
        self.events: list[Any] = []
        self.holdings = Holdings(self.clock.seconds)
        self.addCleanup(self.holdings.stop)
        self.transfers = Transfers(
            self.fetching,
            Courses(self.clock.seconds, self.events.append),
            self.events.append,
            clock=self.clock,
            in_thread=in_threads_of(self.clock),
            folder=self.folder,
            sharing=Sharing(self.holdings, 9393) if self.swarm else None,
        )
        self.where = list(WHERE)
        self.open_before = self.open_files()
        self.addCleanup(self.nothing_is_left)

    def open_files(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def nothing_is_left(self) -> None:
        self.transfers.stop()
        self.holdings.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(self.open_before, self.open_files())
        self.assertEqual([], self.flushLoggedErrors())

    def get(self, **fields: Any) -> Transfer:
        offer = Offer(OWNER, "a.bin", len(CONTENT), DIGEST, False)
        return self.transfers.get("a.bin", "secret", lambda: self.where, offer, **fields)

    def connect(self, **fields: Any) -> FakeClient:
        """The connection that is being made stands."""
        client = FakeClient(CONTENT, **fields)
        self.fetching.end(client)
        return client

    def cut(self, client: FakeClient, error: ShareError | None = None) -> None:
        client.lose(error or broken())

    def arrived(self, transfer: Transfer) -> None:
        path = Path(self.successResultOf(transfer.done).path)
        self.assertEqual(CONTENT, path.read_bytes())
        self.assertEqual([path.name], [each.name for each in self.folder.iterdir()])

    def failed(self, transfer: Transfer) -> ShareError:
        error = self.failureResultOf(transfer.done, ShareError).value
        str(error)
        return error  # type: ignore[no-any-return]

    def told(self) -> list[Progress]:
        return [each for each in self.events if isinstance(each, Progress)]

    def notices(self) -> list[str]:
        return [
            each.sentence.format(**each.values)
            for each in self.events
            if isinstance(each, Notice)
        ]  # fmt: skip


class AgainTests(GettingTestCase):
    def test_a_cut_get_goes_on_where_it_was(self) -> None:
        transfer = self.get()
        first = self.connect()
        self.assertEqual(1, first.asked_for(TREE))
        first.give()
        self.cut(first)
        self.clock.advance(AGAIN_FIRST)
        second = self.connect()
        self.assertEqual([1], second.pieces)
        second.give_all()
        self.arrived(transfer)
        self.assertEqual([], self.notices())

    def test_it_is_not_all_while_a_piece_is_missing(self) -> None:
        """Whatever came twice, or was wrong."""
        transfer = self.get()
        first = self.connect()
        self.clock.advance(1)
        first.queue[0].sink.came(len(CONTENT))
        self.assertEqual(len(CONTENT) - 1, self.told()[-1].done)
        self.cut(first)
        self.clock.advance(AGAIN_FIRST)
        self.connect().give_all()
        self.arrived(transfer)
        self.assertEqual((len(CONTENT), True), (self.told()[-1].done, self.told()[-1].ended))

    def test_of_a_part_of_a_folder_its_own_bytes_count(self) -> None:
        """Not those of the pieces in which it lies."""
        made = TreeHash(len(CONTENT))
        made.update(CONTENT)
        entries = (Entry("a.txt", 3000, 0), Entry("b.txt", len(CONTENT) - 3000, 0))
        client = FakeClient(CONTENT)
        client.tree = tree = made.finish(Manifest(entries).write())
        client.ok = Ok(b"", tree.size, len(tree.manifest), tree.digest, "d")
        transfer = self.transfers.get("d", "secret", lambda: self.where, None, wanted=["a.txt"])
        self.fetching.end(client)
        client.give_all()
        self.assertEqual(3000, self.successResultOf(transfer.done).size)
        self.assertEqual((3000, 3000), (self.told()[-1].done, self.told()[-1].size))

    def test_that_the_owner_is_away_is_said_once_however_often(self) -> None:
        transfer = self.get()
        client = self.connect()
        for _ in range(5):
            self.clock.advance(AGAIN_FIRST)
            self.cut(client)
            self.clock.advance(AGAIN_FIRST)
            self.fetching.end(ShareError("Nothing listens there.", Exit.NOT_FOUND))
            self.clock.advance(2 * AGAIN_FIRST)
            client = self.connect()
        client.give_all()
        self.arrived(transfer)
        self.assertEqual(1, len(self.notices()))
        self.assertIn("broke in the middle. It goes on", self.notices()[0])

    def test_the_owner_is_asked_where_it_is_by_then(self) -> None:
        """It was started anew, and listens at another port."""
        self.get()
        client = self.connect()
        self.where = [("10.0.0.9", 20_000)]
        self.cut(client)
        self.clock.advance(AGAIN_FIRST)
        self.assertEqual(self.where, self.fetching.asked[-1][1])

    def test_an_owner_that_does_not_come_back(self) -> None:
        transfer = self.get()
        client = self.connect()
        client.give()
        self.cut(client)
        for _ in range(200):
            if len(self.fetching.asked) and not self.fetching.asked[-1][2].called:
                self.fetching.end(ShareError("Nothing listens there.", Exit.NOT_FOUND))
            self.clock.advance(1)
        error = self.failed(transfer)
        self.assertEqual(Exit.NOT_FOUND, error.code)
        self.assertEqual(
            "Nothing listens there. What came of a.bin is kept: another get goes on there.",
            str(error),
        )
        self.assertLess(len(self.fetching.asked), PATIENCE / 4)
        self.assertEqual(1, len([each for each in self.events if isinstance(each, FetchFailed)]))
        # and a later get finds it
        again = self.get()
        client = self.connect()
        self.assertEqual([1], client.pieces)
        client.give_all()
        self.arrived(again)

    def test_an_owner_that_has_left_the_list_of_nodes_is_said_to_be_gone(self) -> None:
        transfer = self.get()
        client = self.connect()
        client.give()
        self.where = []
        self.cut(client)
        for _ in range(int(PATIENCE) + 10):
            if not self.fetching.asked[-1][2].called:
                self.fetching.end(NoAnswer("No address of the owner is known.", Exit.NOT_FOUND))
            self.clock.advance(1)
        error = self.failed(transfer)
        self.assertEqual(Exit.NOT_FOUND, error.code)
        self.assertIn("The owner was not reached, and nothing came for 60 s.", str(error))
        self.assertIn("is kept", str(error))

    def test_an_owner_that_always_cuts_off_is_left_in_the_end(self) -> None:
        """It proves the password, and sends nothing: connecting again is no progress."""
        transfer = self.get()
        for _ in range(200):
            if not self.fetching.asked[-1][2].called:
                self.cut(self.connect())
            self.clock.advance(1)
        self.assertEqual("The connection broke in the middle.", str(self.failed(transfer)))

    def test_where_nothing_came_nothing_is_said_to_be_kept(self) -> None:
        transfer = self.get()
        self.cut(self.connect())
        self.clock.advance(AGAIN_FIRST)
        self.fetching.end(Refused(Err(404)))
        self.clock.run_for(10)
        self.assertNotIn("kept", str(self.failed(transfer)))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_what_will_not_change_is_said_soon(self) -> None:
        """Attack 14: no further try after 403. Attack 16: the file has changed."""
        for error in (Refused(Err(403)), Refused(Err(404)), Refused(Err(409))):
            transfer = self.get()
            self.cut(self.connect())
            self.clock.advance(AGAIN_FIRST)
            tried = len(self.fetching.asked)
            self.fetching.end(error)
            self.assertEqual(error.code, self.failed(transfer).code)
            self.assertEqual([], self.notices())
            self.clock.run_for(20)
            self.assertEqual(tried, len(self.fetching.asked))

    def test_an_owner_that_is_busy_is_waited_for(self) -> None:
        transfer = self.get()
        for tried in range(1, 4):
            self.assertEqual(tried, len(self.fetching.asked))
            self.fetching.end(Refused(Err(503, 5)))
            self.clock.advance(4.9)
            self.assertEqual(tried, len(self.fetching.asked))
            self.clock.advance(5.1)
        self.connect().give_all()
        self.arrived(transfer)
        (notice,) = [each for each in self.events if isinstance(each, Notice)]
        self.assertEqual(transfer.number, notice.number)
        self.assertIn("a.bin: the owner is busy", notice.sentence.format(**notice.values))

    def test_an_owner_that_stays_busy_is_left_in_the_end(self) -> None:
        for seconds in (None, 5, 9999):
            transfer, tried = self.get(), len(self.fetching.asked)
            for _ in range(int(BUSY_PATIENCE) + 1):
                if not self.fetching.asked[-1][2].called:
                    self.fetching.end(Refused(Err(503, seconds)))
                self.clock.advance(1)
            self.assertIn("busy", str(self.failed(transfer)))
            self.assertIn(
                len(self.fetching.asked) - tried, range(2, int(BUSY_PATIENCE / BUSY_LEAST))
            )

    def test_waiting_for_a_busy_owner_can_be_cancelled(self) -> None:
        transfer = self.get()
        self.fetching.end(Refused(Err(503, 5)))
        transfer.cancel()
        self.assertEqual("Stopped.", str(self.failed(transfer)))

    def test_an_owner_that_talks_nonsense_is_left_the_second_time_at_the_same_place(self) -> None:
        transfer = self.get()
        for _ in range(2):  # further pieces come each time
            client = self.connect()
            client.give()
            self.cut(client, nonsense())
            self.clock.advance(AGAIN_FIRST)
        tried = len(self.fetching.asked)
        self.fetching.end(nonsense())
        self.clock.run_for(20)
        self.assertEqual(tried, len(self.fetching.asked))
        self.assertIn("does not keep to the protocol", str(self.failed(transfer)))

    def test_another_node_at_the_address_is_not_the_end(self) -> None:
        """Another node took the address while the owner was away."""
        transfer = self.get()
        self.cut(self.connect())
        self.clock.advance(AGAIN_FIRST)
        self.connect(owner=OTHER)
        self.clock.advance(2 * AGAIN_FIRST)
        self.connect().give_all()
        self.arrived(transfer)

    def test_a_full_disk_ends_it_at_once(self) -> None:
        transfer = self.get()
        client = self.connect()
        client.give()
        self.cut(client, ShareError("The disk is full.", Exit.NO_FOLDER))
        error = self.failed(transfer)
        self.assertEqual(Exit.NO_FOLDER, error.code)
        self.assertIn("is kept", str(error))

    def test_an_owner_that_sends_what_was_not_offered_is_left(self) -> None:
        transfer = self.get()
        client = self.connect()
        client.give(wrong=True)
        self.assertTrue(client.over)
        self.assertEqual(Exit.DAMAGED, self.failed(transfer).code)

    def test_a_list_of_hashes_that_is_not_that_of_the_offer(self) -> None:
        """Attack 17: another file's."""
        transfer = self.get()
        client = FakeClient(CONTENT)
        client.tree = tree_of(bytes(len(CONTENT)))
        self.fetching.end(client)
        self.assertEqual(Exit.DAMAGED, self.failed(transfer).code)
        self.assertTrue(client.over)

    def test_a_folder_whose_files_do_not_add_up_is_not_begun(self) -> None:
        """Attack 18: its owner offered what nobody could ever have whole."""
        for size in (10, len(CONTENT) + 1):
            made = TreeHash(len(CONTENT))
            made.update(CONTENT)
            client = FakeClient(CONTENT)
            client.tree = tree = made.finish(Manifest((Entry("a.txt", size, 0),)).write())
            client.ok = Ok(b"", len(CONTENT), len(tree.manifest), tree.digest, "d")
            transfer = self.transfers.get("d", "secret", lambda: self.where, None)
            self.fetching.end(client)
            self.assertEqual(Exit.DAMAGED, self.failed(transfer).code)
            self.assertEqual([], client.pieces)
            self.assertTrue(client.over)
            self.assertEqual([], list(self.folder.iterdir()))

    def test_a_folder_in_a_folder_is_refused_before_it_comes_where_one_file_is_wanted(self) -> None:
        entries = (Entry("paris/", 0, 0), Entry("paris/a.txt", len(CONTENT), 0))
        made = TreeHash(len(CONTENT))
        made.update(CONTENT)
        tree = made.finish(Manifest(entries).write())
        for part, taken in (("paris", False), ("paris/a.txt", True)):
            client = FakeClient(CONTENT)
            client.tree, client.ok = tree, Ok(b"", tree.size, len(tree.manifest), tree.digest, "d")
            transfer = self.transfers.get(
                "d", "secret", lambda: self.where, None, wanted=[part], one_file=True
            )
            self.fetching.end(client)
            if taken:
                client.give_all()
                self.successResultOf(transfer.done)
            else:
                error = self.failed(transfer)
                self.assertEqual((Exit.USAGE, "d/paris"), (error.code, error.values["name"]))
                self.assertEqual([], client.pieces)
                self.assertEqual([], list(self.folder.iterdir()))

    def test_a_defect_of_this_program_ends_it(self) -> None:
        """It would be met again with each connection, for ever."""

        def fail(*_: Any) -> bool:
            raise ValueError("beyond the end")

        self.patch(Download, "write", fail)
        transfer = self.get()
        client = self.connect()
        try:
            client.give()
        except ValueError as error:  # as `net.pump` tells it
            client.lose(error)
        self.assertIn("A defect of this program (ValueError)", str(self.failed(transfer)))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.clock.run_for(20)
        self.assertEqual(1, len(self.fetching.asked))

    def test_another_content_than_before_is_not_mixed_in(self) -> None:
        """Attack 17: resume against another file."""
        transfer = self.transfers.get("a.bin", "secret", lambda: self.where, None)
        client = self.connect()
        client.give()
        self.cut(client)
        self.clock.advance(AGAIN_FIRST)
        other = FakeClient(random_content(40, seed=2))
        self.fetching.end(other)
        self.clock.run_for(10)
        error = self.failed(transfer)
        self.assertEqual(Exit.DAMAGED, error.code)
        sentence = "a.bin has changed at its owner meanwhile: get it again."
        self.assertEqual(sentence, str(error))  # what came is of no use for that
        self.assertEqual([], other.pieces)

    def test_another_key_than_before_is_not_gone_on_with(self) -> None:
        """Attack 4: a ticket names no key, but the first that proved the password stays."""
        transfer = self.transfers.get("a.bin", "secret", lambda: self.where, None)
        self.cut(self.connect())
        self.clock.advance(AGAIN_FIRST)
        self.fetching.end(FakeClient(CONTENT, owner=OTHER))
        self.assertEqual([transfer], self.transfers.running())
        self.assertIsInstance(
            self.failureResultOf(self.fetching.asked[-1][0].stretched(OTHER)).value, ShareError
        )


class OpeningTests(GettingTestCase):
    """What goes wrong before the first byte of the content has come."""

    def away(self) -> NoAnswer:
        return NoAnswer("Nothing listens there.", Exit.NOT_FOUND)

    def test_an_owner_that_is_not_reached_is_waited_for(self) -> None:
        transfer = self.get()
        for _ in range(3):
            self.fetching.end(self.away())
            self.clock.run_for(AGAIN_MOST)
        self.connect().give_all()
        self.arrived(transfer)
        (notice,) = self.notices()
        self.assertIn("a.bin: Nothing listens there. It goes on", notice)

    def test_a_cut_while_the_password_is_proved(self) -> None:
        transfer = self.get()
        self.fetching.end(broken())
        self.clock.run_for(AGAIN_FIRST)
        self.connect().give_all()
        self.arrived(transfer)

    def test_a_cut_in_the_list_of_hashes(self) -> None:
        """Of a ticket, too: its owner has answered."""
        for offer in (True, False):
            transfer = self.get() if offer else self.get_ticket()
            client = FakeClient(CONTENT)
            client.silent = {TREE}
            self.fetching.end(client)
            self.cut(client)
            self.clock.run_for(AGAIN_FIRST)
            self.connect().give_all()
            path = Path(self.successResultOf(transfer.done).path)
            self.assertEqual(CONTENT, path.read_bytes())

    def get_ticket(self) -> Transfer:
        return self.transfers.get("a.bin", "secret", lambda: self.where, None)

    def test_what_an_owner_answers_ends_it(self) -> None:
        """Attack 14: a wrong password is not tried again."""
        for code in (403, 404, 409, 429):
            error = Refused(Err(code))
            transfer, tried = self.get(), len(self.fetching.asked)
            self.fetching.end(error)
            self.assertEqual(error.code, self.failed(transfer).code)
            self.clock.run_for(PATIENCE)
            self.assertEqual(tried, len(self.fetching.asked))

    def test_where_a_ticket_points_at_nobody_that_is_said_at_once(self) -> None:
        transfer = self.get_ticket()
        self.fetching.end(self.away())
        self.assertEqual("Nothing listens there.", str(self.failed(transfer)))

    def test_an_owner_that_never_comes_is_left_in_the_end(self) -> None:
        transfer = self.get()
        for _ in range(int(PATIENCE) + 1):
            if not self.fetching.asked[-1][2].called:
                self.fetching.end(self.away())
            self.clock.advance(1)
        self.assertEqual("Nothing listens there.", str(self.failed(transfer)))
        self.assertLess(len(self.fetching.asked), PATIENCE / 4)

    def test_stopping_while_it_is_waited_for(self) -> None:
        transfer = self.get()
        self.fetching.end(self.away())
        transfer.stop()
        self.assertEqual("Stopped.", str(self.failed(transfer)))


class NeighboursTests(GettingTestCase):
    """The owner is away, and others of the group may have it."""

    swarm = True

    def setUp(self) -> None:
        super().setUp()
        self.others = [(f"10.0.1.{number}", 9393) for number in range(4)]
        self.excluded: list[bytes] = []
        sharing = Sharing(self.holdings, 9393, others=self.there)
        self.transfers._sharing = sharing

    def there(self, owner: bytes) -> list[tuple[str, int]]:
        self.excluded.append(owner)
        return self.others

    def begin(self) -> Transfer:
        """Begun, and the owner is away."""
        transfer = self.get()
        self.fetching.end(NoAnswer("Nothing listens there.", Exit.NOT_FOUND), 0)
        return transfer

    def holder(self, number: int) -> FakeClient:
        client = FakeClient(CONTENT, OTHER, "10.0.1.1")
        self.fetching.end(client, number)
        return client

    def test_one_who_has_it_is_found_and_the_others_are_let_go(self) -> None:
        transfer = self.begin()
        asked = [addresses for _, addresses, _ in self.fetching.asked[1:]]
        self.assertEqual([[each] for each in sorted(self.others)], sorted(asked))
        self.assertEqual({OWNER}, set(self.excluded))
        self.fetching.end(Refused(Err(404)), 1)
        client = self.holder(2)
        self.assertEqual(2, self.fetching.cancelled)
        for _ in range(100):
            self.clock.advance(0.25)
            client.give_all()
        self.arrived(transfer)
        self.assertEqual([], self.notices())
        (fetched,) = [each for each in self.events if isinstance(each, Fetched)]
        self.assertEqual((OWNER, True), (fetched.owner, fetched.owner_known))

    def test_the_owner_is_looked_for_meanwhile(self) -> None:
        transfer = self.begin()
        self.holder(2)
        self.clock.run_for(AGAIN_FIRST)
        self.assertEqual(WHERE, self.fetching.asked[-1][1])
        owner = FakeClient(CONTENT)
        self.fetching.end(owner)
        for _ in range(20):
            self.clock.advance(0.25)
            owner.give_all()
        self.arrived(transfer)

    def test_who_knows_no_password_has_few_guesses_at_ours(self) -> None:
        """Attack 3: nodes that say that they have it, only to be proved the password."""
        transfer = self.begin()
        proofs = 0
        for _ in range(int(PATIENCE) + 10):
            for order, addresses, answer in self.fetching.asked:
                if answer.called:
                    continue
                if addresses == WHERE:
                    answer.errback(NoAnswer("Nothing listens there."))
                elif order.may_prove():
                    proofs += 1
                    answer.errback(Refused(Err(403)))
                else:
                    answer.errback(CancelledError())
            self.clock.advance(1)
        self.failed(transfer)
        self.assertEqual(UNANSWERED_MOST, proofs)

    def test_what_is_not_what_was_offered_is_not_taken(self) -> None:
        """Attack 17: from one who knows the password."""
        transfer = self.begin()
        other = FakeClient(random_content(40, seed=2), OTHER)
        self.fetching.end(other, 1)
        client = FakeClient(CONTENT, OTHER)
        client.tree = tree_of(bytes(len(CONTENT)))
        self.fetching.end(client, 2)
        self.assertTrue(client.over)
        self.assertEqual([transfer], self.transfers.running())

    def test_one_that_goes_is_replaced_by_another(self) -> None:
        transfer = self.begin()
        first = self.holder(1)
        self.clock.advance(0.25)
        first.give()
        self.cut(first)
        asked = len(self.fetching.asked)
        self.clock.run_for(PEERS_EVERY)
        number = next(
            number
            for number in range(asked, len(self.fetching.asked))
            if self.fetching.asked[number][1] != WHERE
        )
        second = self.holder(number)
        for _ in range(100):
            self.clock.advance(0.25)
            second.give_all()
        self.arrived(transfer)

    def test_nobody_is_asked_for_what_nobody_offered(self) -> None:
        """Only the owner's word says what it is; and what is one piece is given on by nobody."""
        small = random_content(1)
        self.transfers.get("a.bin", "secret", lambda: self.where, None, owner=OWNER)
        self.fetching.end(NoAnswer("Nothing listens there."))
        offer = Offer(OWNER, "s.bin", len(small), tree_of(small).digest, False)
        self.transfers.get("s.bin", "secret", lambda: self.where, offer)
        self.fetching.end(NoAnswer("Nothing listens there."))
        self.assertEqual([WHERE, WHERE], [addresses for _, addresses, _ in self.fetching.asked])


class StoppingTests(GettingTestCase):
    def steps(self) -> list[Any]:
        def cut() -> None:
            self.cut(self.clients[-1])

        def connect() -> None:
            self.clients.append(self.connect())

        return [
            connect,
            lambda: self.clients[-1].give(),
            cut,
            lambda: self.clock.advance(1),
            connect,
        ]

    def test_stopping_at_every_step_keeps_what_came(self) -> None:
        for count in range(6):
            self.clients: list[FakeClient] = []
            transfer = self.get()
            for step in self.steps()[:count]:
                step()
            transfer.stop()
            self.assertEqual("Stopped.", str(self.failed(transfer)))
            self.assertTrue(all(client.over for client in self.clients))
            self.assertEqual([], self.clock.getDelayedCalls())
            self.assertEqual(self.open_before, self.open_files())
            left = list(self.folder.iterdir())
            self.assertEqual(1 if count > 1 else 0, len(left))
            for path in left:
                path.unlink()

    def test_cancelling_at_every_step_leaves_nothing(self) -> None:
        for count in range(6):
            self.clients = []
            transfer = self.get()
            for step in self.steps()[:count]:
                step()
            transfer.cancel()
            self.assertEqual("Stopped.", str(self.failed(transfer)))
            self.assertEqual([], self.clock.getDelayedCalls())
            self.assertEqual([], list(self.folder.iterdir()))

    def test_two_gets_of_the_same_at_once(self) -> None:
        """Into one folder, and into another: each has a part of its own."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        transfers = [self.get(), self.get(), self.get(folder=elsewhere)]
        clients = []
        for number in range(3):
            clients.append(FakeClient(CONTENT))
            self.fetching.end(clients[-1], number)
        while sum(client.give() for client in clients):
            pass
        paths = {self.successResultOf(transfer.done).path for transfer in transfers}
        self.assertEqual(3, len(paths))
        for path in paths:
            self.assertEqual(CONTENT, Path(path).read_bytes())

    def test_the_second_of_two_is_said_to_be_kept_where_it_is(self) -> None:
        for cancelled in (True, False):
            first, second = self.get(), self.get()
            clients = FakeClient(CONTENT), FakeClient(CONTENT)
            for number, client in enumerate(clients):
                self.fetching.end(client, number - 2)
                client.give()
            if cancelled:
                first.cancel()
            self.cut(clients[1], ShareError("The disk is full.", Exit.NO_FOLDER))
            self.assertEqual(cancelled, "is kept" in str(self.failed(second)))
            first.cancel()
            self.failed(first)
            self.assertEqual(int(cancelled), len(list(self.folder.iterdir())))
            for path in self.folder.iterdir():
                path.unlink()


class CheckingTests(GettingTestCase):
    """What an earlier get has left is read before anything is asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.get()
        client = self.connect()
        client.give()
        self.transfers.stop()
        self.assertEqual(1, len(list(self.folder.iterdir())))
        self.opening: list[tuple[Any, Any, Any]] = []
        self.run = in_threads_of(self.clock)
        self.transfers._in_thread = self.in_thread

    def in_thread(self, call: Any, *arguments: Any) -> Any:
        """What reads the part waits until `opened`; whoever cancels does not stop the thread."""
        if call.__name__ != "_check":
            return self.run(call, *arguments)
        waiting: Deferred[Any] = Deferred()
        self.opening.append((waiting, call, arguments))
        return waiting

    def opened(self) -> None:
        waiting, call, arguments = self.opening.pop(0)
        try:
            result = call(*arguments)
        except ShareError as error:
            result = Failure(error)
        if not waiting.called:
            waiting.callback(result)

    def test_how_far_it_has_come_is_told_as_such(self) -> None:
        transfer = self.get()
        client = self.connect()
        note = self.opening[0][2][1]
        note(2_000_000, len(CONTENT))
        self.clock.advance(0.25)
        (told,) = [each for each in self.events if isinstance(each, Progress) and not each.ended]
        self.assertEqual((transfer.number, "check", 2_000_000), (told.number, told.kind, told.done))
        self.opened()
        client.give_all()
        self.arrived(transfer)
        self.assertEqual("get", [e for e in self.events if isinstance(e, Progress)][-1].kind)

    def test_many_long_ones_leave_threads_to_all_others(self) -> None:
        """Attack 31: each thread hashes, and nothing that comes is written."""
        waiting = [self.checked() for _ in range(CHECKS_AT_ONCE + 2)]
        self.assertEqual(CHECKS_AT_ONCE, len(self.opening))
        new = self.get(folder=self.other_folder())
        self.connect().give_all()
        self.successResultOf(new.done)
        for client in waiting:
            self.opened()
            client.give_all()
        self.assertEqual([], self.opening)

    def checked(self) -> FakeClient:
        """A get that has something to hash, each in a place of its own."""
        folder = self.other_folder()
        for part in self.folder.glob(".*.part"):
            shutil.copy(part, folder)
        self.get(folder=folder)
        return self.connect()

    def other_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def test_stopping_keeps_the_part_and_cancelling_removes_it(self) -> None:
        for end, left in ((Transfer.stop, 1), (Transfer.cancel, 0)):
            transfer = self.get()
            client = self.connect()
            end(transfer)
            self.assertEqual("Stopped.", str(self.failed(transfer)))
            self.assertTrue(client.over)
            self.opened()
            self.assertEqual(left, len(list(self.folder.iterdir())))

    def test_an_owner_that_hung_up_meanwhile_is_asked_again_at_once(self) -> None:
        transfer = self.get()
        self.cut(self.connect())
        self.clock.advance(300)
        self.opened()
        self.clock.advance(0)
        client = self.connect()
        self.assertEqual([1], client.pieces)
        client.give_all()
        self.arrived(transfer)
        self.assertEqual([], self.notices())

    def test_an_owner_that_is_away_by_then_is_waited_for(self) -> None:
        transfer = self.get()
        self.cut(self.connect())
        self.opened()
        self.clock.advance(0)
        self.fetching.end(ShareError("Nothing listens there.", Exit.NOT_FOUND))
        self.assertEqual(1, len(self.notices()))
        self.clock.advance(AGAIN_FIRST)
        self.connect().give_all()
        self.arrived(transfer)


class GivingOnTests(GettingTestCase):
    swarm = True

    def held(self) -> Any:
        (order, _, _) = self.fetching.asked[0]
        return self.holdings.find(order.secret[0])

    def test_what_comes_is_given_on_meanwhile_and_after(self) -> None:
        transfer = self.get()
        client = self.connect()
        self.assertEqual("a.bin", self.held().name)
        client.give_all()
        self.arrived(transfer)
        reader = self.holdings.open(self.held(), 5, 9)
        room = bytearray(9)
        self.assertEqual((9, CONTENT[5:14]), (reader.readinto(memoryview(room)), bytes(room)))

    def test_what_is_stopped_is_given_on_no_more(self) -> None:
        transfer = self.get()
        self.connect()
        held = self.held()
        transfer.stop()
        self.failed(transfer)
        self.assertRaises(Refusal, self.holdings.find, held.offer)

    def test_others_go_on_without_the_owner(self) -> None:
        transfer = self.get()
        owner = FakeClient(CONTENT)
        owner.peers = [("10.0.0.3", 9393)]
        self.fetching.end(owner, 0)
        peer = FakeClient(CONTENT, OTHER, "10.0.0.3")
        self.fetching.end(peer, 1)
        self.clock.advance(0.25)
        self.cut(owner, Refused(Err(409)))
        self.assertEqual([], self.notices())
        for _ in range(200):
            self.clock.advance(0.25)
            peer.give_all()
        self.arrived(transfer)
        self.assertEqual(2, len(self.fetching.asked))  # nobody asks that owner again

    def test_others_that_send_nothing_do_not_keep_it_up_for_ever(self) -> None:
        transfer = self.get()
        owner = FakeClient(CONTENT)
        owner.peers = [("10.0.0.3", 9393)]
        self.fetching.end(owner, 0)
        peer = FakeClient(CONTENT, OTHER, "10.0.0.3")
        peer.has = bytearray(40)
        self.fetching.end(peer, 1)
        self.cut(owner, ShareError("What came was not that.", Exit.DAMAGED))
        self.clock.run_for(PATIENCE_WITH_OTHERS + AGAIN_MOST)
        self.assertEqual(Exit.DAMAGED, self.failed(transfer).code)
        self.assertTrue(peer.over)

    def test_a_file_of_one_piece_asks_for_no_company(self) -> None:
        small = random_content(1)
        offer = Offer(OWNER, "s.bin", len(small), tree_of(small).digest, False)
        transfer = self.transfers.get("s.bin", "secret", lambda: self.where, offer)
        client = FakeClient(small)
        self.fetching.end(client)
        client.give_all()
        self.successResultOf(transfer.done)
        self.assertEqual((0, 0), (client.asked_for(PEERS), client.asked_for(TREE)))
