"""Our own offers: made, kept, watched, and served."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import EPOCH_START, FakeReactor
from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.cpace import PUBLIC_PASSWORD, stretch
from twistedp2p.core.calls.pieces import TREE, Ask
from twistedp2p.core.content.manifest import Manifest
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import Notice, OfferAdded, OfferGone, Progress, WrongPassword
from twistedp2p.core.limits import CHOSEN_BURST
from twistedp2p.core.names import offer_id
from twistedp2p.core.words import looks_generated
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.offered.file import Changed
from twistedp2p.net.pump import in_threads_of
from twistedp2p.node.offers import folders, reading, watching
from twistedp2p.node.offers import serving as serving_module
from twistedp2p.node.offers import shares as shares_module
from twistedp2p.node.offers.guesses import SAVE_AFTER
from twistedp2p.node.offers.reading import READING_AT_ONCE
from twistedp2p.node.offers.serving import Serving
from twistedp2p.node.offers.shares import TOLD_AT_ONCE, TOLD_PAUSE, Offered, Shares
from twistedp2p.node.offers.watching import GONE_AT_ONCE, WATCH_EVERY
from twistedp2p.node.progress import Courses

ME, PEER = b"m" * 32, b"p" * 32


def quick_stretch(password: str, owner: bytes, offer: bytes) -> bytes:
    """In the place of Argon2id, with its bounds."""
    if not 1 <= len(password) <= 256:
        raise ValueError("a password has 1 to 256 characters")
    return (password.encode() + owner + offer)[:32].ljust(32, b"\0")


class Publishing:
    """Notes what the group was told; `refuses` as where nothing can be kept."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.refuses = False

    def publish_offer(self, offer: Any) -> None:
        self._maybe_refuse()
        self.told.append(offer.name)

    def publish_withdraw(self, name: str, body: str) -> None:
        self._maybe_refuse()
        self.told.append(f"-{name}")

    def _maybe_refuse(self) -> None:
        if self.refuses:
            raise ShareError("the disk is full")


class SharesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(shares_module, "stretch", quick_stretch)
        self.clock, self.publishing = FakeReactor(), Publishing()
        self.events: list[Any] = []
        self.waiting: list[Deferred[None]] = []  # calls that wait for `go`
        self.arguments: list[tuple[Any, ...]] = []  # of those calls
        self.threads_wait = False
        self.store = Store(self.folder / "node.db", ME)
        self.addCleanup(lambda: self.store.close())
        self.make()

    def make(self, key: bytes = ME) -> None:
        """Begin a run."""
        courses = Courses(self.clock.seconds, self.events.append)
        self.shares = Shares(
            self.store,
            key,
            self.publishing,
            courses,
            self.events.append,
            clock=self.clock,
            wall=lambda: EPOCH_START + self.clock.seconds(),
            in_thread=self.in_thread,
            nick=lambda: "me",
        )
        self.serving = Serving(self.shares, self.store, courses, clock=self.clock)
        self.addCleanup(self.shares.stop)

    def in_thread(self, call: Any, *arguments: Any) -> Deferred[Any]:
        run = in_threads_of(self.clock)
        if not self.threads_wait:
            return run(call, *arguments)
        gate: Deferred[None] = Deferred()
        self.waiting.append(gate)
        self.arguments.append(arguments)
        return gate.addCallback(lambda _: run(call, *arguments))

    def go(self) -> None:
        """Let one call in a thread run."""
        self.waiting.pop(0).callback(None)

    def restart(self) -> None:
        self.shares.stop()
        self.store.close()
        self.store = Store(self.folder / "node.db", ME)
        self.make()

    def file(self, name: str = "a.jpg", content: bytes = b"content") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)
        return path

    def offering(self, path: object, password: str = "secret", public: bool = False) -> Any:
        return Deferred.fromCoroutine(self.shares.offer(str(path), password, public))

    def offer(self, path: object, password: str = "secret", public: bool = False) -> Offered:
        return self.successResultOf(self.offering(path, password, public))  # type: ignore[no-any-return]

    def refused(self, path: object, password: str = "secret") -> ShareError:
        error = self.failureResultOf(self.offering(path, password), ShareError).value
        str(error)  # every sentence has its values
        return error  # type: ignore[no-any-return]

    def names(self) -> list[str]:
        """What is on offer: in memory and on disk the same."""
        served = sorted(self.shares._shares)
        self.assertEqual([share.name for share in self.store.shares()], served)
        self.assertEqual(sorted(self.shares._names.values()), served)
        return served

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class OfferingTests(SharesTestCase):
    def test_an_offer_is_told_kept_and_served(self) -> None:
        offered = self.offer(self.file())
        self.assertEqual((offered.password, offered.generated), ("secret", False))
        self.assertEqual((offered.offer.name, offered.offer.size), ("a.jpg", 7))
        self.assertEqual(self.publishing.told, ["a.jpg"])
        (added,) = self.told(OfferAdded)
        self.assertTrue(added.own)
        served = self.serving.find(offered.offer.id)
        with contextlib.closing(self.serving.open(served, 2, 3)) as reader:
            room = memoryview(bytearray(100))
            self.assertEqual(bytes(room[: reader.readinto(room)]), b"nte")

    def test_the_password_is_stretched_for_this_owner_and_offer_and_not_kept(self) -> None:
        """Attack 46: nothing on disk tells the password."""
        self.patch(shares_module, "stretch", stretch)
        offered = self.offer(self.file(), "correct horse")
        served = self.serving.find(offered.offer.id)
        self.assertEqual(served.prs, stretch("correct horse", ME, offered.offer.id))
        self.store.close()
        for path in self.folder.glob("node.db*"):
            self.assertNotIn(b"correct horse", path.read_bytes())
        self.assertNotIn("correct horse", repr(offered) + repr(served))

    def test_no_password_makes_three_words(self) -> None:
        offered = self.offer(self.file(), "")
        self.assertTrue(offered.generated)
        self.assertTrue(looks_generated(offered.password))
        self.assertTrue(self.serving.find(offered.offer.id).generated)

    def test_a_public_offer_is_marked_and_needs_no_password(self) -> None:
        offered = self.offer(self.file(), public=True)
        self.assertEqual((offered.password, offered.generated), ("", False))
        self.assertTrue(offered.offer.public)
        served = self.serving.find(offered.offer.id)
        self.assertEqual(served.prs, quick_stretch(PUBLIC_PASSWORD, ME, offered.offer.id))

    def test_a_public_offer_of_a_closed_group_is_for_members(self) -> None:
        """Attack 9: whoever knows owner and name has no password for it."""
        code = b"1"
        self.shares._public_prs = lambda owner, offer: code + owner + offer
        public, other = self.offer(self.file(), public=True), self.offer(self.file("b.jpg"))
        self.assertEqual(self.serving.find(public.offer.id).prs, b"1" + ME + public.offer.id)
        code = b"2"
        self.shares.renew_public()
        self.assertEqual(self.serving.find(public.offer.id).prs, b"2" + ME + public.offer.id)
        expected = quick_stretch("secret", ME, other.offer.id)
        self.assertEqual(self.serving.find(other.offer.id).prs, expected)

    def test_another_file_of_the_same_name_gets_a_number(self) -> None:
        self.offer(self.file())
        offered = self.offer(self.file("other/a.jpg"))
        self.assertEqual(offered.offer.name, "a (2).jpg")
        self.assertEqual(self.names(), ["a (2).jpg", "a.jpg"])

    def test_the_same_file_again_takes_the_place_of_its_offer(self) -> None:
        path = self.file()
        self.offer(path)
        path.write_bytes(b"something else")
        offered = self.offer(self.folder / "." / "a.jpg", "other")
        self.assertEqual(offered.offer.size, 14)
        self.assertEqual(self.names(), ["a.jpg"])
        self.assertEqual(self.publishing.told, ["a.jpg", "a.jpg"])

    def test_a_file_is_not_read_twice_at_once(self) -> None:
        self.threads_wait = True
        path = self.file()
        first = self.offering(path)
        self.refused(path)
        self.go()
        self.go()
        self.successResultOf(first)
        self.assertEqual(self.names(), ["a.jpg"])

    def test_files_of_one_name_that_are_read_at_once_get_names_of_their_own(self) -> None:
        self.threads_wait = True
        both = [self.offering(self.file()), self.offering(self.file("other/a.jpg"))]
        while self.waiting:
            self.go()
        names = [self.successResultOf(each).offer.name for each in both]
        self.assertEqual(names, ["a.jpg", "a (2).jpg"])

    def test_few_files_are_read_at_once(self) -> None:
        self.threads_wait = True
        offers = [self.offering(self.file(f"{number}")) for number in range(10)]
        most = 0
        while self.waiting:
            most = max(most, len(self.waiting))
            self.go()
        self.assertEqual(most, READING_AT_ONCE)
        for offer in offers:
            self.successResultOf(offer)

    def test_what_is_no_file_or_has_a_bad_password_is_refused_in_a_sentence(self) -> None:
        os.mkfifo(self.folder / "pipe")
        for path in (self.folder / "none", self.folder / "pipe", "a\0b"):
            self.assertEqual(self.refused(path).code, Exit.NO_INPUT)
        self.assertEqual(self.refused(self.file(), "x" * 257).code, Exit.USAGE)
        self.assertEqual(self.names(), [])
        self.assertEqual(self.publishing.told, [])
        self.offer(self.file())  # a failure leaves no name taken

    def test_a_file_that_changes_while_it_is_read_is_refused(self) -> None:
        """Attack 16: the digest is of what is served, or there is no offer."""
        path = self.file(content=b"x" * 3_000_000)
        read = reading.read_content

        def read_content(path: str, note: Any, *more: Any) -> Any:
            def meddle(done: int, size: int) -> None:
                note(done, size)
                with open(path, "ab") as file:
                    file.write(b"more")

            return read(path, meddle, *more)

        self.patch(reading, "read_content", read_content)
        self.refused(path)
        self.assertEqual(self.names(), [])

    def test_the_progress_of_reading_is_told_while_it_lasts(self) -> None:
        self.threads_wait = True
        offering = self.offering(self.file())
        note = self.arguments[-1][1]
        note(100_000, 400_000)  # as the thread does
        self.clock.run_for(0.5)
        self.assertEqual(
            [(each.kind, each.done, each.size) for each in self.told(Progress)],
            [("read", 100_000, 400_000)],
        )
        self.go()
        self.go()
        self.successResultOf(offering)
        self.assertTrue(self.told(Progress)[-1].ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_ends_the_reading_and_offers_nothing_any_more(self) -> None:
        self.threads_wait = True
        offering = self.offering(self.file())
        self.go()  # read; the password is still to be stretched
        self.shares.stop()
        self.go()
        self.failureResultOf(offering, ShareError)
        self.assertEqual(self.publishing.told, [])
        self.assertEqual(self.names(), [])

    def test_there_is_a_most_of_offers(self) -> None:
        self.patch(shares_module, "MAX_OFFERS_PER_NODE", 2)
        self.offer(self.file("a"))
        self.offer(self.file("b"))
        self.refused(self.file("c"))

    def test_offers_survive_a_restart(self) -> None:
        offered = self.offer(self.file())
        self.restart()
        self.assertEqual(self.names(), ["a.jpg"])
        self.assertEqual(self.serving.find(offered.offer.id).digest, offered.offer.digest)

    def test_what_cannot_be_published_is_not_offered_and_an_earlier_offer_stays(self) -> None:
        """All or nothing, in memory and on disk."""
        self.publishing.refuses = True
        path = self.file()
        self.refused(path)
        self.assertEqual(self.names(), [])
        self.publishing.refuses = False
        offered = self.offer(path)
        path.write_bytes(b"something else")
        self.publishing.refuses = True
        self.refused(path, "other")
        self.assertEqual(self.serving.find(offered.offer.id).size, 7)
        self.restart()
        self.assertEqual(self.serving.find(offered.offer.id).size, 7)
        self.assertEqual(len(self.told(OfferAdded)), 1)

    def test_what_cannot_be_withdrawn_stays_on_offer(self) -> None:
        self.offer(self.file())
        self.publishing.refuses = True
        self.assertRaises(ShareError, self.shares.withdraw, "a.jpg")
        self.assertEqual(self.names(), ["a.jpg"])
        self.publishing.refuses = False
        self.patch(self.store, "drop_share", mock.Mock(side_effect=ShareError("the disk is full")))
        self.assertRaises(ShareError, self.shares.withdraw, "a.jpg")
        self.assertEqual(self.names(), ["a.jpg"])
        self.assertEqual(self.told(OfferGone), [])

    def test_withdrawing_ends_it(self) -> None:
        offered = self.offer(self.file())
        self.shares.withdraw("a.jpg")
        self.assertRaises(Refusal, self.serving.find, offered.offer.id)
        self.assertEqual(self.publishing.told, ["a.jpg", "-a.jpg"])
        error = self.assertRaises(ShareError, self.shares.withdraw, "a.jpg")
        self.assertEqual(error.code, Exit.NOT_FOUND)
        self.restart()
        self.assertEqual(self.names(), [])


class NoMoreOfferedTests(SharesTestCase):
    """Who has come to ask already is sent what is on offer, too, and nothing else."""

    def code(self, served: Share) -> int:
        try:
            self.serving.open(served, 0, 1).close()
        except Refusal as refusal:
            return refusal.line.code
        return 200

    def test_what_was_withdrawn_or_offered_otherwise_is_sent_no_more(self) -> None:
        path = self.file()

        def withdraw() -> None:
            self.shares.withdraw("a.jpg")

        def another_password() -> None:
            self.offer(path, "another")

        def public_no_more() -> None:
            self.offer(path, "secret")

        def other_content() -> None:
            path.write_bytes(b"other content")
            self.offer(path, "secret")

        for change in (withdraw, another_password, public_no_more, other_content):
            offered = self.offer(path, public=change is public_no_more)
            served = self.serving.find(offered.offer.id)
            self.assertEqual(self.code(served), 200)
            change()
            self.assertEqual(self.code(served), 404, change.__name__)

    def test_what_was_withdrawn_as_it_had_changed_is_said_to_have_changed(self) -> None:
        path = self.file()
        first = self.serving.find(self.offer(path).offer.id)
        path.write_bytes(b"other content")
        self.assertEqual([self.code(first), self.code(first)], [409, 409])

    def test_what_is_offered_again_as_it_was_is_sent_on(self) -> None:
        """And what is public in a closed group, when the group has another code."""
        code = b"1"
        self.shares._public_prs = lambda owner, offer: code + owner + offer
        path = self.file()
        for public in (False, True):
            served = self.serving.find(self.offer(path, public=public).offer.id)
            code += b"2"
            self.shares.renew_public()
            self.offer(path, public=public)
            self.assertEqual(self.code(served), 200)


class FolderTests(SharesTestCase):
    """An offered folder is one offer."""

    def setUp(self) -> None:
        super().setUp()
        self.top = self.folder / "photos"
        self.file("photos/a.jpg", b"first ")
        self.file("photos/b.jpg", b"second")
        (self.top / "empty").mkdir()
        self.offered = self.offer(self.top)
        self.served = self.serving.find(self.offered.offer.id)

    def load(self) -> None:
        """As `net.serve` does before it asks for anything."""
        loading = self.serving.loading(self.served)
        if loading is not None:
            self.successResultOf(loading)

    def read(self, offset: int, length: int) -> bytes:
        self.load()
        with contextlib.closing(self.serving.open(self.served, offset, length)) as reader:
            room = memoryview(bytearray(100))
            return bytes(room[: reader.readinto(room)])

    def tree(self) -> bytes:
        return self.serving.text(self.served, Ask(TREE), PEER, "10.0.0.9")

    def test_it_is_told_with_its_files_and_served_as_one_stream(self) -> None:
        offer = self.offered.offer
        self.assertEqual((offer.name, offer.size, offer.files), ("photos", 12, 2))
        self.assertEqual(self.read(3, 6), b"st sec")
        manifest = Manifest.read(self.tree()[: self.served.manifest])
        self.assertEqual([entry.path for entry in manifest.entries], ["a.jpg", "b.jpg", "empty/"])

    def test_it_is_served_after_a_restart(self) -> None:
        tree = self.tree()
        self.restart()
        self.served = self.serving.find(self.offered.offer.id)
        self.load()
        self.serving.check(self.served)
        self.assertEqual((self.tree(), self.read(6, 6)), (tree, b"second"))
        self.assertEqual(self.shares._offer_of(self.served), self.offered.offer)

    def test_what_is_not_offered_of_it_is_told_in_one_sentence(self) -> None:
        self.assertEqual(self.told(Notice), [])
        (self.top / "link").symlink_to("/etc/passwd")
        os.mkfifo(self.top / "pipe")
        self.offer(self.top)
        (notice,) = self.told(Notice)
        words = notice.sentence.format(**notice.values)
        self.assertIn("photos: 1 links, 1 special files, 0 that", words)

    def test_a_file_of_it_that_changed_or_went_ends_the_offer(self) -> None:
        """Attack 16: what is in the folder is what was offered, or there is no offer."""
        (self.top / "b.jpg").write_bytes(b"SECOND")
        os.utime(self.top / "b.jpg", (1, 1))
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(self.names(), [])
        self.assertTrue(self.told(OfferGone)[0].why)

    def test_what_changes_in_it_is_noticed_as_it_is_read_and_told_to_who_asks_again(self) -> None:
        """Attack 16: grown, a link in its place, a link in the place of a folder, or gone."""

        def grown(path: Path) -> None:
            path.write_bytes(b"longer than it was")

        def linked(path: Path) -> None:
            path.unlink()
            path.symlink_to("/etc/passwd")

        def folder_linked(path: Path) -> None:
            path.parent.rename(self.folder / f"moved{len(self.told(OfferGone))}")
            path.parent.symlink_to("/etc")

        for change in (grown, linked, folder_linked, Path.unlink):
            top = self.folder / change.__name__
            inside = self.file(f"{change.__name__}/sub/b.jpg", b"second")
            offered = self.offer(top)
            self.served = self.serving.find(offered.offer.id)
            change(inside)
            error = self.assertRaises(Changed, self.read, 0, 6)
            self.serving.broke(self.served, error)
            self.assertNotIn(top.name, self.names())
            self.assertEqual(self.told(OfferGone)[-1].why, str(error))
            refusal = self.assertRaises(Refusal, self.serving.find, offered.offer.id)
            self.assertEqual(refusal.line.code, 409)
        (self.folder / "grown/sub/b.jpg").write_bytes(b"another")
        self.serving.find(self.offer(self.folder / "grown").offer.id)

    def test_what_breaks_for_another_reason_ends_nothing(self) -> None:
        self.serving.broke(self.served, OSError(5, "Input/output error"))
        self.assertEqual(self.names(), ["photos"])

    def test_what_was_added_to_it_is_not_offered_and_ends_nothing(self) -> None:
        self.file("photos/c.jpg", b"third")
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(self.names(), ["photos"])

    def test_another_folder_in_its_place_is_refused(self) -> None:
        """Attack 28: a link put in its place."""
        self.top.rename(self.folder / "moved")
        self.top.symlink_to("/etc")
        refusal = self.assertRaises(Refusal, self.serving.open, self.served, 0, 1)
        self.assertEqual(refusal.line.code, 409)
        self.assertEqual(self.names(), [])

    def test_who_began_with_what_it_was_gets_nothing_else(self) -> None:
        """Attack 16: a folder that was offered anew is another content."""
        (self.top / "b.jpg").write_bytes(b"other!")
        self.offer(self.top)
        refusal = self.assertRaises(Refusal, self.serving.open, self.served, 6, 6)
        self.assertEqual(refusal.line.code, 404)
        self.assertEqual(self.names(), ["photos"])

    def test_it_is_read_from_the_memory_once_or_not_at_all(self) -> None:
        with mock.patch.object(self.store, "folder", wraps=self.store.folder) as read:
            self.read(0, 1)
            self.assertEqual(read.call_count, 0)
        self.restart()
        self.served = self.serving.find(self.offered.offer.id)
        with mock.patch.object(self.store, "folder", wraps=self.store.folder) as read:
            self.read(0, 1), self.read(6, 1)
            self.assertEqual(read.call_count, 1)
        self.shares.withdraw("photos")
        self.assertEqual(self.shares.folders.entries, 0)

    def test_its_tree_is_in_memory_once_whoever_is_sent_it(self) -> None:
        """Attack 31: many who ask for a large one, and never read."""
        self.restart()
        self.served = self.serving.find(self.offered.offer.id)
        self.load()
        reads = mock.patch.object(self.store, "tree", wraps=self.store.tree)
        with reads as read:
            self.serving.check(self.served)
            self.assertIs(self.tree(), self.tree())
            self.assertEqual(read.call_count, 0)

    def test_of_many_large_trees_a_few_are_kept_in_memory(self) -> None:
        self.patch(folders, "MAX_TEXT", 2 * len(self.tree()))
        for number in range(4):
            self.file(f"many{number}/a.jpg", b"x")
            self.offer(self.folder / f"many{number}")
        self.assertLessEqual(self.shares.folders.text, folders.MAX_TEXT)
        self.assertEqual(self.read(0, 1), b"f")

    def test_it_is_read_in_a_thread_and_for_many_who_ask_once(self) -> None:
        self.restart()
        self.served = self.serving.find(self.offered.offer.id)
        self.threads_wait = True
        both = [self.serving.loading(self.served) for _ in range(2)]
        self.assertEqual(len(self.waiting), 1)
        refusal = self.assertRaises(Refusal, self.serving.check, self.served)
        self.assertEqual(refusal.line.code, 500)
        self.go()
        for loading in both:
            self.successResultOf(loading)
        self.assertEqual(self.waiting, [])
        self.assertIsNone(self.serving.loading(self.served))
        self.serving.check(self.served)

    def test_what_is_kept_of_another_folder_is_not_served(self) -> None:
        """Attack 16: it was offered anew while it was read, or the memory is damaged."""
        self.restart()
        self.served = self.serving.find(self.offered.offer.id)
        self.store._db.run("UPDATE contents SET hashes = ?", bytes(32))
        refusal = self.failureResultOf(self.serving.loading(self.served), Refusal).value
        self.assertEqual(refusal.line.code, 500)

    def test_offered_anew_it_is_what_it_is_now(self) -> None:
        self.read(0, 1)
        (self.top / "b.jpg").write_bytes(b"other!")
        self.offer(self.top)
        self.served = self.serving.find(self.offered.offer.id)
        self.assertEqual(self.read(6, 6), b"other!")

    def test_of_many_folders_a_few_are_kept_in_memory(self) -> None:
        self.patch(folders, "MAX_ENTRIES", 5)
        for number in range(4):
            self.file(f"many{number}/a", b"x")
            self.offer(self.folder / f"many{number}")
        self.assertLessEqual(self.shares.folders.entries, 5)
        self.read(0, 1)
        self.assertLessEqual(self.shares.folders.entries, 5)


class EarlierLayoutTests(SharesTestCase):
    """Offers of which there are no hashes."""

    def setUp(self) -> None:
        super().setUp()
        self.small, self.large = self.file("small"), self.file("large", bytes(PIECE_LEAST + 1))
        self.ids = [self.offer(path).offer.id for path in (self.small, self.large)]
        self.store._db.run("DELETE FROM contents")
        self.publishing.told.clear()

    def test_what_is_larger_than_a_piece_is_not_served_until_it_was_read_anew(self) -> None:
        self.restart()
        small, large = (self.serving.find(each) for each in self.ids)
        self.serving.check(small)
        refusal = self.assertRaises(Refusal, self.serving.check, large)
        self.assertEqual(refusal.line.code, 503)
        self.shares.start()
        self.clock.run_for(0.1)
        self.serving.check(self.serving.find(self.ids[1]))
        self.assertEqual(self.publishing.told, ["large"])
        self.assertEqual(self.shares._shares["large"].prs, large.prs)

    def test_what_cannot_be_read_is_withdrawn_like_all_others(self) -> None:
        self.restart()
        self.large.unlink()
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(self.names(), ["small"])


class AnotherKeyTests(SharesTestCase):
    """A node that takes another key offers anew what needs no password."""

    def test_what_is_public_is_served_under_the_new_key_folders_and_large_files_too(self) -> None:
        self.shares.start()
        self.file("photos/a.jpg")
        paths = self.file(), self.folder / "photos", self.file("large", bytes(PIECE_LEAST + 1))
        for path in paths:
            self.offer(path, public=True)
        self.offer(self.file("secret"))
        self.shares.stop()
        self.make(PEER)
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(self.names(), ["a.jpg", "large", "photos"])
        for name in self.names():
            self.serving.check(self.serving.find(offer_id(PEER, name)))
        (notice,) = self.told(Notice)
        self.assertEqual(notice.values, {"names": "secret"})

    def test_stopping_leaves_nothing_to_be_done_later(self) -> None:
        self.make(PEER)
        self.store.put_share(Share("a.jpg", "/a.jpg", b"", False, True, 0, 0, 0, 0, ""))
        self.store.set_shares_owner(ME)
        self.make(PEER)
        self.shares.start()
        self.shares.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.run_for(0.1)
        self.assertEqual(self.publishing.told, [])


class AnotherEpochTests(SharesTestCase):
    """A node whose feed begins another epoch tells all its offers anew."""

    def setUp(self) -> None:
        super().setUp()
        self.expected = []
        for number in range(2 * TOLD_AT_ONCE + 1):
            name = f"{number}.jpg"
            share = Share(name, name, b"", False, False, 0, 0, 0, 0, "")
            self.shares._shares[name] = share
            self.expected.append(name)

    def test_some_at_a_time(self) -> None:
        self.shares.tell_again()
        self.assertEqual(self.publishing.told, self.expected[:TOLD_AT_ONCE])
        self.clock.run_for(3 * TOLD_PAUSE)
        self.assertEqual(self.publishing.told, self.expected)

    def test_of_two_epochs_the_later_is_told(self) -> None:
        self.shares.tell_again()
        self.publishing.told.clear()
        self.shares.tell_again()
        self.clock.run_for(4 * TOLD_PAUSE)
        self.assertEqual(self.publishing.told, self.expected)

    def test_stopping_tells_no_more(self) -> None:
        self.shares.tell_again()
        self.shares.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.shares.tell_again()
        self.assertEqual(self.publishing.told, self.expected[:TOLD_AT_ONCE])


class WatchingTests(SharesTestCase):
    def test_files_that_changed_or_went_are_withdrawn_and_why_is_told(self) -> None:
        kept, changed, gone, linked = (self.file(name) for name in ("k", "c", "g", "l"))
        for path in (kept, changed, gone, linked):
            self.offer(path)
        self.shares.start()
        self.clock.run_for(0.1)
        changed.write_bytes(b"other!!")
        os.utime(changed, (1, 1))
        gone.unlink()
        linked.unlink()
        linked.symlink_to(kept)
        self.clock.run_for(WATCH_EVERY + 1)
        self.assertEqual(self.names(), ["k"])
        whys = {event.name: event.why for event in self.told(OfferGone)}
        self.assertEqual(set(whys), {"c", "g", "l"})
        self.assertTrue(all(whys.values()))
        self.clock.run_for(WATCH_EVERY + 1)
        self.assertEqual(len(self.told(OfferGone)), 3)

    def test_a_folder_in_memory_is_looked_at_without_reading_what_is_kept_of_it(self) -> None:
        path = self.file("photos/b.jpg")
        self.offer(path.parent)
        with mock.patch.object(self.store, "folder", wraps=self.store.folder) as read:
            self.shares.start()
            self.clock.run_for(WATCH_EVERY + 1)
            self.assertEqual((0, ["photos"]), (read.call_count, self.names()))
            self.shares.folders.drop("photos")
            self.clock.run_for(WATCH_EVERY + 1)
            self.assertEqual((1, ["photos"]), (read.call_count, self.names()))
        self.assertEqual(0, self.shares.folders.entries)
        self.offer(path.parent)
        path.unlink()
        self.clock.run_for(WATCH_EVERY + 1)
        self.assertEqual([], self.names())

    def test_many_files_are_looked_at_some_at_a_time(self) -> None:
        self.patch(watching, "LOOK_AT_ONCE", 3)
        for number in range(10):
            self.offer(self.file(str(number)))
        self.threads_wait = True
        self.shares.start()
        self.clock.run_for(0.1)
        looks = []
        while self.waiting:
            looks.append(len(self.arguments[-1][1]))
            self.go()
            self.clock.run_for(0.1)
        self.assertEqual(looks, [3, 3, 3, 1])

    def test_a_look_that_fails_is_logged_and_the_next_one_comes(self) -> None:
        self.offer(self.file()), (self.folder / "a.jpg").unlink()
        changed = watching.changed
        self.patch(watching, "changed", lambda share, kept: 1 / 0)
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(watching, "changed", changed)
        self.clock.run_for(WATCH_EVERY + 1)
        self.assertEqual(self.names(), [])

    def test_what_changed_between_two_runs_is_noticed_at_the_start(self) -> None:
        path = self.file()
        self.offer(path)
        self.shares.stop()
        path.unlink()
        self.restart()
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(self.names(), [])

    def test_a_whole_disk_that_went_is_withdrawn_a_few_at_a_time(self) -> None:
        for number in range(5 * GONE_AT_ONCE):
            self.offer(self.file(f"disk/{number}"))
        shutil.rmtree(self.folder / "disk")
        self.publishing.told.clear()
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(len(self.publishing.told), GONE_AT_ONCE)
        self.clock.run_for(2)
        self.assertEqual(len(self.publishing.told), 5 * GONE_AT_ONCE)
        self.assertEqual(self.names(), [])

    def test_the_look_goes_on_whatever_fails(self) -> None:
        for name in ("a", "b"):
            self.offer(self.file(name)), (self.folder / name).unlink()
        self.publishing.refuses = True
        self.shares.start()
        self.clock.run_for(0.1)
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(self.told(OfferGone), [])
        self.publishing.refuses = False
        self.offer(self.file("c")), (self.folder / "c").unlink()
        self.clock.run_for(WATCH_EVERY + 1)
        self.assertEqual(self.names(), [])

    def test_a_look_that_comes_back_after_the_end_does_nothing(self) -> None:
        self.offer(self.file()), (self.folder / "a.jpg").unlink()
        self.threads_wait = True
        self.shares.start()
        self.clock.run_for(0.1)
        self.shares.stop()
        self.go()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.told(OfferGone), [])

    def test_an_offer_made_anew_during_the_look_stays(self) -> None:
        path = self.file()
        self.offer(path)
        path.write_bytes(b"changed")
        os.utime(path, (1, 1))
        self.threads_wait = True
        self.shares.start()
        self.clock.run_for(0.1)
        self.threads_wait = False
        self.offer(path)
        self.go()
        self.assertEqual(self.names(), ["a.jpg"])


class ServingTests(SharesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.file()
        self.offered = self.offer(self.path)
        self.served = self.serving.find(self.offered.offer.id)

    def guess(self, address: str = "10.0.0.9", right: bool = False) -> None:
        self.serving.guess(self.served, address, PEER)
        self.serving.guessed(self.served, address, PEER, right)

    def test_a_file_that_is_not_what_was_offered_is_refused_and_withdrawn(self) -> None:
        """Attack 28: a link put in its place; attack 16: another file."""
        self.path.unlink()
        self.path.symlink_to("/etc/passwd")
        refusal = self.assertRaises(Refusal, self.serving.open, self.served, 0, 7)
        self.assertEqual(refusal.line.code, 409)
        self.assertEqual(self.names(), [])
        self.assertTrue(self.told(OfferGone)[0].why)
        refusal = self.assertRaises(Refusal, self.serving.open, self.served, 0, 7)
        self.assertEqual(len(self.told(OfferGone)), 1)

    def test_it_is_refused_even_where_the_withdrawal_cannot_be_kept(self) -> None:
        self.publishing.refuses = True
        self.path.unlink()
        self.assertRaises(Refusal, self.serving.open, self.served, 0, 7)

    def test_a_file_that_cannot_be_opened_now_is_refused_and_stays_on_offer(self) -> None:
        error = OSError(errno.EMFILE, "too many open files")
        self.patch(serving_module, "open_offered", mock.Mock(side_effect=error))
        refusal = self.assertRaises(Refusal, self.serving.open, self.served, 0, 7)
        self.assertEqual(refusal.line.code, 500)
        self.assertEqual(self.names(), ["a.jpg"])
        self.assertEqual(self.told(OfferGone), [])

    def test_an_unknown_offer_and_one_after_the_end_are_not_found(self) -> None:
        refusal = self.assertRaises(Refusal, self.serving.find, offer_id(ME, "b.jpg"))
        self.assertEqual(refusal.line.code, 404)
        self.shares.stop()
        self.assertRaises(Refusal, self.serving.find, self.offered.offer.id)

    def test_wrong_guesses_are_told_and_limited(self) -> None:
        for number in range(int(CHOSEN_BURST)):
            self.guess(f"10.0.1.{number}")
        self.assertEqual(len(self.told(WrongPassword)), CHOSEN_BURST)
        refusal = self.assertRaises(Refusal, self.guess, "10.0.2.1")
        self.assertEqual(refusal.line.code, 429)
        self.assertGreater(refusal.line.seconds, 0)

    def test_the_count_of_guesses_survives_a_restart(self) -> None:
        for number in range(int(CHOSEN_BURST)):
            self.guess(f"10.0.1.{number}")
        self.restart()
        self.assertRaises(Refusal, self.guess, "10.0.2.1")
        self.clock.advance(61)
        self.guess("10.0.2.1")

    def test_the_count_of_guesses_is_written_once_a_second(self) -> None:
        """Attack 13: a guess costs no writing of all that others guessed."""
        with mock.patch.object(self.store, "save_guesses") as save:
            for number in range(8):
                self.guess(f"10.0.1.{number}")
            self.assertEqual(save.call_count, 0)
            self.clock.advance(SAVE_AFTER)
            self.assertEqual(save.call_count, 1)
            self.clock.advance(5)
            self.guess("10.0.1.9")
            self.shares.stop()
            self.assertEqual(save.call_count, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_guess_that_ends_after_the_stop_is_written_at_once(self) -> None:
        self.shares.stop()
        with mock.patch.object(self.store, "save_guesses") as save:
            self.guess()
        self.assertEqual(save.call_count, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_was_right_once_is_not_limited_even_after_a_restart(self) -> None:
        self.guess(right=True)
        self.restart()
        for number in range(30):
            self.guess(f"10.0.1.{number}")

    def test_another_password_ends_the_exemption_of_who_knew_the_old_one(self) -> None:
        self.guess(right=True)
        self.offer(self.path, "secret")
        for _ in range(20):
            self.serving.guess(self.served, "10.0.0.9", PEER)
        self.offer(self.path, "another")
        served = self.serving.find(self.offered.offer.id)
        for _ in range(3):
            self.serving.guess(served, "10.0.0.9", PEER)
        self.assertRaises(Refusal, self.serving.guess, served, "10.0.0.9", PEER)

    def test_offering_the_same_file_again_forgives_no_guesses(self) -> None:
        for number in range(int(CHOSEN_BURST)):
            self.guess(f"10.0.1.{number}")
        self.offer(self.path)
        self.assertRaises(Refusal, self.guess, "10.0.2.1")

    def test_a_damaged_count_does_not_hinder_serving(self) -> None:
        self.store.save_guesses("a.jpg", {"tokens": "many"})
        self.restart()
        self.guess()

    def test_no_guess_is_granted_while_the_count_cannot_be_read(self) -> None:
        self.restart()
        self.patch(self.store, "guesses", mock.Mock(side_effect=ShareError("the disk fails")))
        self.assertEqual(self.assertRaises(Refusal, self.guess).line.code, 500)

    def test_public_offers_are_not_limited(self) -> None:
        self.served = self.serving.find(self.offer(self.file("p"), public=True).offer.id)
        for _ in range(100):
            self.guess()
        self.assertEqual(self.told(WrongPassword), [])

    def test_a_count_that_cannot_be_kept_does_not_hinder_serving(self) -> None:
        self.store._db._db.execute("PRAGMA query_only = 1")
        self.guess()
        self.clock.advance(SAVE_AFTER)
        self.assertEqual(len(self.told(WrongPassword)), 1)

    def test_what_is_sent_is_told_as_one_transfer(self) -> None:
        connection = object()
        self.serving.progress(self.served, connection, 3)
        self.serving.progress(self.served, connection, 7)
        self.serving.ended(self.served, connection)
        self.serving.ended(self.served, connection)
        ended = [event for event in self.told(Progress) if event.kind == "serve" and event.ended]
        self.assertEqual([(each.name, each.done, each.size) for each in ended], [("a.jpg", 7, 7)])
        self.assertEqual(self.serving._under_way, {})
