"""Gets: their order, their pace, whom they believe, and how they end."""

from __future__ import annotations

import gc
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import FakeReactor
from tests.node.gets import CONTENT, OTHER, OWNER, FakeClient, Fetching, tree_of
from tests.node.offers.test_shares import quick_stretch
from twistedp2p.core.calls.cpace import PUBLIC_PASSWORD
from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import Fetched, FetchFailed, Progress
from twistedp2p.core.names import offer_id
from twistedp2p.net.pump import in_threads_of
from twistedp2p.node.downloads import order as order_module
from twistedp2p.node.downloads.order import Order
from twistedp2p.node.downloads.transfers import (
    AT_ONCE,
    AT_ONCE_EACH,
    CONNECTIONS_BURST,
    Transfer,
    Transfers,
)
from twistedp2p.node.progress import Courses

DIGEST = tree_of(CONTENT).digest


class TransfersTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(order_module, "stretch", quick_stretch)
        self.clock, self.fetching = FakeReactor(), Fetching()
        self.events: list[Any] = []
        self.transfers = Transfers(
            self.fetching,
            Courses(self.clock.seconds, self.events.append),
            self.events.append,
            clock=self.clock,
            in_thread=in_threads_of(self.clock),
            folder=self.folder,
        )
        self.addCleanup(self.transfers.stop)

    def get(self, name: str = "a.jpg", host: str = "10.0.0.9", **fields: Any) -> Transfer:
        """Get from the catalogue."""
        offer = Offer(OWNER, name, len(CONTENT), fields.pop("digest", DIGEST), False)
        return self.transfers.get(name, "secret", lambda: [(host, 9393)], offer, **fields)

    def get_unknown(self, password: str = "secret") -> Transfer:
        """Get by a ticket whose owner is not known."""
        return self.transfers.get("a.jpg", password, lambda: [("10.0.0.9", 9393)], None)

    def order(self, number: int = -1) -> Order:
        return self.fetching.asked[number][0]

    def end(self, error: Exception | None = None, number: int = -1, owner: bytes = OWNER) -> None:
        """A connection fails, or all comes over it."""
        client = FakeClient(owner=owner)
        self.fetching.end(error or client, number)
        client.give_all()

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def failed(self, transfer: Transfer) -> ShareError:
        error = self.failureResultOf(transfer.done, ShareError).value
        str(error)  # every sentence has its values
        return error  # type: ignore[no-any-return]


class BelievingTests(TransfersTestCase):
    def test_the_password_is_stretched_for_the_owner_that_signed_the_offer(self) -> None:
        self.get()
        offer, prs = self.successResultOf(self.order().stretched(OWNER))
        self.assertEqual(offer, offer_id(OWNER, "a.jpg"))
        self.assertEqual(prs, quick_stretch("secret", OWNER, offer))

    def test_each_owner_that_a_ticket_may_mean_has_a_secret_of_its_own(self) -> None:
        self.get_unknown()
        for owner in (OWNER, OTHER):
            offer, prs = self.successResultOf(self.order().stretched(owner))
            self.assertEqual(prs, quick_stretch("secret", owner, offer))

    def test_another_owner_than_the_one_that_signed_the_offer_is_refused(self) -> None:
        """Attack 4: an impostor with the password and another key."""
        transfer = self.get()
        failure = self.failureResultOf(self.order().stretched(OTHER), ShareError)
        self.end(failure.value)
        self.assertEqual(self.failed(transfer).code, Exit.DENIED)

    def test_another_digest_or_size_than_was_offered_is_not_taken(self) -> None:
        """Attack 11: what is announced, and what comes then."""
        self.get()
        for size, digest in ((len(CONTENT), "blake3:" + "0" * 64), (1, DIGEST), (0, DIGEST)):
            ok = Ok(b"", size, 0, digest, "a.jpg")
            error = self.assertRaises(ShareError, self.order().agreed, ok, OWNER)
            self.assertEqual(error.code, Exit.DAMAGED)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_the_name_that_was_asked_for_is_used_whatever_the_owner_says(self) -> None:
        """Attack 25: the server sends another name than asked (CVE-2019-6111)."""
        for get in (self.get, self.get_unknown):
            transfer = get()
            client = FakeClient()
            client.ok = Ok(b"", len(CONTENT), 0, DIGEST, ".bashrc")
            self.fetching.end(client)
            client.give_all()
            self.assertTrue(Path(self.successResultOf(transfer.done).path).name.startswith("a"))
        names = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(names, ["a (2).jpg", "a.jpg"])

    def test_a_name_with_a_path_in_it_is_cleaned(self) -> None:
        """Attack 21."""
        self.transfers.get("../../.bashrc", "secret", lambda: [("10.0.0.9", 1)], None)
        self.assertEqual(self.order().name, "bashrc")

    def test_a_public_offer_needs_no_password(self) -> None:
        offer = Offer(OWNER, "a.jpg", 7, DIGEST, True)
        self.transfers.get("a.jpg", "", lambda: [("10.0.0.9", 1)], offer)
        self.assertEqual(self.order().password, PUBLIC_PASSWORD)

    def test_a_public_offer_of_a_closed_group_needs_membership(self) -> None:
        """Attack 9: what its owner expects is made of the group's code, not of a known word."""
        self.transfers._public_prs = lambda owner, offer: owner[:16] + offer
        offer = Offer(OWNER, "a.jpg", 7, DIGEST, True)
        self.transfers.get("a.jpg", "", lambda: [("10.0.0.9", 1)], offer)
        wanted = offer.id, OWNER[:16] + offer.id
        self.assertEqual(self.successResultOf(self.order().stretched(OWNER)), wanted)

    def test_a_password_is_a_password_in_a_closed_group_too(self) -> None:
        self.transfers._public_prs = lambda owner, offer: b"x" * 32
        self.get()
        prs = self.successResultOf(self.order().stretched(OWNER))[1]
        self.assertEqual(prs, quick_stretch("secret", OWNER, offer_id(OWNER, "a.jpg")))

    def test_a_ticket_s_unknown_owner_is_told_as_such(self) -> None:
        transfer = self.get_unknown()
        self.end(owner=OTHER)
        fetched = self.successResultOf(transfer.done)
        self.assertEqual((fetched.owner, fetched.owner_known), (OTHER, False))

    def test_another_key_at_the_address_of_an_earlier_ticket_is_told(self) -> None:
        """Attack 4: the key of a ticket's owner is remembered, and only that of a ticket's."""
        asked: list[tuple[str, int, bytes]] = []
        self.transfers._owner_changed = lambda *asking: bool(asked.append(asking)) or len(asked) > 1
        for get in (self.get, self.get_unknown, self.get_unknown):
            get()
            self.successResultOf(self.order().stretched(OWNER))
            self.end()
        self.assertEqual([each.owner_changed for each in self.told(Fetched)], [False, False, True])
        self.assertEqual(asked, 2 * [("10.0.0.9", 9393, OWNER)])

    def test_no_password_shows_in_a_representation(self) -> None:
        """Attack 46."""
        transfer = self.get()
        self.assertNotIn("secret", repr(self.order()) + repr(transfer))

    def test_a_password_that_is_none_fails_in_a_sentence(self) -> None:
        for password in ("", "x" * 257):
            transfer = self.get_unknown(password)
            failure = self.failureResultOf(self.order().stretched(OWNER), ShareError)
            self.end(failure.value)
            self.assertEqual(self.failed(transfer).code, Exit.USAGE)

    def test_where_the_owner_is_known_no_connection_is_made_for_no_password(self) -> None:
        offer = Offer(OWNER, "a.jpg", 7, DIGEST, False)
        transfer = self.transfers.get("a.jpg", "", lambda: [("10.0.0.9", 1)], offer)
        self.assertEqual(self.failed(transfer).code, Exit.USAGE)
        self.assertEqual(self.fetching.asked, [])

    def test_a_key_can_be_required_without_an_offer(self) -> None:
        """Attack 4: what a script knows of the owner."""
        transfer = self.transfers.get(
            "a.jpg", "secret", lambda: [("10.0.0.9", 1)], None, owner=OWNER
        )
        self.failureResultOf(self.order().stretched(OTHER), ShareError)
        self.successResultOf(self.order().stretched(OWNER))
        self.end()
        self.assertTrue(self.successResultOf(transfer.done).owner_known)


class EndingTests(TransfersTestCase):
    def test_a_get_that_succeeds_is_told_once(self) -> None:
        transfer = self.get()
        self.clock.advance(2)
        self.end()
        (fetched,) = self.told(Fetched)
        self.assertIs(self.successResultOf(transfer.done), fetched)
        self.assertEqual((fetched.seconds, fetched.owner_known), (2, True))
        self.assertEqual(self.transfers.running(), [])
        self.assertEqual(sum(each.ended for each in self.told(Progress)), 1)

    def test_a_get_that_fails_is_told_once_and_in_one_sentence(self) -> None:
        transfer = self.get()
        self.end(ShareError("Refused: {reason}.", Exit.DENIED, reason="wrong"))
        (told,) = self.told(FetchFailed)
        self.assertEqual(told.sentence.format(**told.values), "Refused: wrong.")
        self.assertEqual(self.failed(transfer).code, Exit.DENIED)
        self.assertEqual(self.transfers.running(), [])

    def test_a_failure_that_nobody_waits_for_is_no_unhandled_error(self) -> None:
        for error in (ShareError("no"), CancelledError()):
            self.get()
            self.end(error)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.told(FetchFailed)), 2)

    def test_all_who_ask_for_the_end_get_one_and_the_same_before_and_after_it(self) -> None:
        early, late = self.get(), self.get()
        done = early.done
        self.assertIs(early.done, done)
        self.end(number=0)
        self.end(number=1)
        self.assertEqual(self.successResultOf(done).path, str(self.folder / "a.jpg"))
        self.assertEqual(self.successResultOf(late.done).path, str(self.folder / "a (2).jpg"))

    def test_a_defect_of_ours_is_logged_and_told_in_a_sentence(self) -> None:
        transfer = self.get()
        self.end(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.failed(transfer)
        self.assertEqual(len(self.told(FetchFailed)), 1)

    def test_an_owner_that_is_not_here_is_a_failure_like_any_other(self) -> None:
        offer = Offer(OWNER, "a.jpg", 7, DIGEST, False)
        transfer = self.transfers.get("a.jpg", "secret", list, offer)
        self.assertEqual(self.fetching.asked[0][1], [])
        self.end(ShareError("No address of the owner is known.", Exit.NOT_FOUND))
        self.failed(transfer)


class PacingTests(TransfersTestCase):
    def asked(self) -> int:
        return len(self.fetching.asked)

    def end_all(self) -> None:
        for number, (_, _, answer) in enumerate(self.fetching.asked):
            if not answer.called:
                self.end(number=number)

    def test_few_at_once_from_one_owner_and_some_more_from_all(self) -> None:
        for _ in range(20):
            self.get()
        self.clock.run_for(60)
        self.assertEqual(self.asked(), AT_ONCE_EACH)
        for host in range(5):
            for _ in range(5):
                self.get(host=f"10.0.1.{host}")
        self.clock.run_for(60)
        self.assertEqual(self.asked(), AT_ONCE)

    def test_the_time_that_a_get_took_is_without_that_in_the_queue(self) -> None:
        for _ in range(AT_ONCE_EACH):
            self.get()
        transfer = self.get()
        self.clock.run_for(100)
        self.end(number=0)
        self.clock.run_for(2)
        self.end()
        self.assertEqual(self.successResultOf(transfer.done).seconds, 2)

    def test_all_come_in_the_end_and_in_their_order(self) -> None:
        for number in range(50):
            self.get(f"{number}.jpg")
        for _ in range(60):
            self.end_all()
            self.clock.run_for(1)
        names = [order.name for order, _, _ in self.fetching.asked]
        self.assertEqual(names, [f"{number}.jpg" for number in range(50)])
        self.assertEqual(self.transfers.running(), [])

    def test_many_small_files_of_one_owner_stay_under_what_its_door_lets_in(self) -> None:
        for _ in range(100):
            self.get()
        for _ in range(100):
            self.end_all()
            self.clock.run_for(0.1)
        self.assertLessEqual(self.asked(), CONNECTIONS_BURST + 4 * 10 + 1)
        self.assertGreater(self.asked(), 40)

    def test_cancelling_at_every_stage_frees_the_place_and_leaves_nothing(self) -> None:
        waiting_for_owner = [self.get() for _ in range(AT_ONCE_EACH + 3)][AT_ONCE_EACH:]
        waiting_for_place = [self.get(host="10.0.0.8") for _ in range(AT_ONCE_EACH)]
        waiting_for_place += [self.get(host="10.0.0.7") for _ in range(3)]
        for transfer in waiting_for_owner + waiting_for_place[-3:]:
            transfer.cancel()
            self.assertEqual(str(self.failed(transfer)), "Stopped.")
        self.assertEqual(self.asked(), AT_ONCE)
        for transfer in self.transfers.running():
            transfer.cancel()
            self.failed(transfer)
        self.assertEqual(self.fetching.cancelled, AT_ONCE)
        waiting_for_pace = self.get()
        self.assertEqual(self.asked(), AT_ONCE)
        waiting_for_pace.cancel()
        self.failed(waiting_for_pace)
        self.assertEqual(self.transfers.running(), [])
        self.assertEqual(len(self.told(FetchFailed)), 3 + 3 + AT_ONCE + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for _ in range(AT_ONCE):  # every place is free again
            self.get(host="10.0.0.6")
            self.get(host="10.0.0.5")
        self.assertEqual(self.asked(), 2 * AT_ONCE)

    def test_cancelling_what_waits_for_the_end_cancels_the_get(self) -> None:
        transfer = self.get()
        transfer.done.cancel()
        self.failed(transfer)
        self.assertEqual(self.fetching.cancelled, 1)
        transfer.cancel()  # too late, and no harm
        self.assertEqual(len(self.told(FetchFailed)), 1)

    def test_stopping_stops_all(self) -> None:
        gets = [self.get() for _ in range(20)]
        self.transfers.stop()
        for transfer in gets:
            self.failed(transfer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_password_stretched_too_late_is_no_failure(self) -> None:
        late: list[Deferred[bytes]] = []

        def in_thread(*_: Any) -> Deferred[bytes]:
            late.append(Deferred())
            return late[-1]

        self.transfers._in_thread = in_thread
        transfer = self.get()
        transfer.cancel()
        self.failed(transfer)
        late[0].errback(ValueError("no password"))
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
