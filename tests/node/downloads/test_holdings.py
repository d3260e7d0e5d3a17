"""What is given on of downloads: verified pieces, as long as they are there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.node.gets import MemoryKept, random_content, tree_of
from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.pieces import HAVE, PEERS, TREE, Ask, read_peers
from twistedp2p.core.content.manifest import Entry, Manifest
from twistedp2p.core.content.tree import PIECE_LEAST
from twistedp2p.core.errors import ShareError
from twistedp2p.core.swarm.bitmap import from_bitmap
from twistedp2p.disk.downloads.finished import FinishedFile, FinishedFolder
from twistedp2p.node.downloads import holdings as holdings_module
from twistedp2p.node.downloads.holdings import Held, Holdings
from twistedp2p.node.offers.shelves import Shelves

CONTENT = random_content(4)
OFFER, PRS = b"i" * 16, b"p" * 32


class HoldingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.now = 1000.0
        self.holdings = Holdings(lambda: self.now)
        self.addCleanup(self.holdings.stop)

    def hold(self, offer: bytes = OFFER, have: set[int] = frozenset()) -> Held:  # type: ignore[assignment]
        tree = tree_of(CONTENT)
        kept = MemoryKept(tree, have)
        for index in have:
            kept.data[index] = CONTENT[index * PIECE_LEAST :][:PIECE_LEAST]
        return self.holdings.hold(offer, "a.bin", PRS, tree, kept)

    def finish(self, held: Held, name: str = "a.bin") -> Path:
        path = self.folder / name
        path.write_bytes(CONTENT)
        self.holdings.finished(held, FinishedFile(path))
        return path

    def finish_folder(self, held: Held, name: str = "album") -> Path:
        path = self.folder / name
        (path / "empty").mkdir(parents=True)
        half = len(CONTENT) // 2
        entries = [Entry("empty/", 0, 9)]
        for file, data in (("a.bin", CONTENT[:half]), ("b.bin", CONTENT[half:])):
            (path / file).write_bytes(data)
            os.utime(path / file, (9, 9))
            entries.append(Entry(file, len(data), 9))
        manifest = Manifest(tuple(sorted(entries, key=lambda entry: entry.path)))
        self.holdings.finished(held, FinishedFolder(path, manifest))
        return path

    def read(self, held: Held, offset: int, length: int) -> bytes:
        reader = self.holdings.open(held, offset, length)
        room, done = memoryview(bytearray(length)), 0
        while count := reader.readinto(room[done:]):
            done += count
        reader.close()
        return bytes(room[:done])

    def refused(self, call: Any, *arguments: Any) -> int:
        return self.assertRaises(Refusal, call, *arguments).line.code

    def open_files(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def test_verified_pieces_are_given_on_and_no_others(self) -> None:
        held = self.hold(have={1, 2})
        self.assertIs(held, self.holdings.find(OFFER))
        self.assertEqual(CONTENT[PIECE_LEAST + 3 :][:9], self.read(held, PIECE_LEAST + 3, 9))
        self.assertEqual(b"", self.read(held, 0, 9))
        answer = self.holdings.text(held, Ask(HAVE), b"k" * 32, "10.0.0.1")
        self.assertEqual([0, 1, 1, 0], list(from_bitmap(answer, 4)))
        answer = self.holdings.text(held, Ask(TREE), b"k" * 32, "10.0.0.1")
        self.assertEqual(tree_of(CONTENT).hashes, answer)

    def test_an_offer_that_nobody_fetches_here(self) -> None:
        self.assertEqual(404, self.refused(self.holdings.find, OFFER))

    def test_who_fetches_from_here_is_told_of_the_others(self) -> None:
        held = self.hold()
        for number in (1, 2):
            told = self.holdings.text(
                held, Ask(PEERS, 9393), bytes([number]) * 32, f"10.0.0.{number}"
            )
        self.assertEqual([("10.0.0.1", 9393)], read_peers(told))

    def test_this_host_s_loopback_is_told_to_this_host_alone(self) -> None:
        """Attack 39."""
        held = self.hold()
        self.holdings.text(held, Ask(PEERS, 9393), b"1" * 32, "127.0.0.1")
        for host, known in (("10.0.0.2", []), ("127.0.0.1", [("127.0.0.1", 9393)])):
            told = self.holdings.text(held, Ask(PEERS, 0), b"2" * 32, host)
            self.assertEqual(known, read_peers(told))

    def test_guesses_are_limited_here_as_at_the_owner(self) -> None:
        """Attack 13: a burst of ten, three of one address."""
        held = self.hold()
        for number in range(3):
            self.holdings.guess(held, "10.0.0.1", bytes([number]) * 32)
            self.holdings.guessed(held, "10.0.0.1", bytes([number]) * 32, False)
        self.assertEqual(429, self.refused(self.holdings.guess, held, "10.0.0.1", b"x" * 32))

    def test_what_is_read_goes_on_when_the_download_is_finished(self) -> None:
        held = self.hold(have={0, 1, 2, 3})
        reader = self.holdings.open(held, 0, len(CONTENT))
        room = memoryview(bytearray(len(CONTENT)))
        done = reader.readinto(room[:1000])
        self.finish(held)
        while count := reader.readinto(room[done:]):
            done += count
        self.assertEqual(CONTENT, bytes(room))

    def test_what_is_finished_is_given_on_until_it_changes(self) -> None:
        """Attack 16."""
        held = self.hold()
        path = self.finish(held)
        self.holdings.check(held)
        self.assertEqual(CONTENT, self.read(held, 0, len(CONTENT)))
        path.write_bytes(b"something else")
        self.assertEqual(404, self.refused(self.holdings.check, held))
        self.assertEqual(404, self.refused(self.holdings.find, OFFER))

    def test_what_its_user_takes_away_is_given_on_no_more(self) -> None:
        held = self.hold()
        path = self.finish(held)
        reader = self.holdings.open(held, 0, 100)
        path.unlink()
        self.assertEqual(0, reader.readinto(memoryview(bytearray(100))))
        self.assertEqual(404, self.refused(self.holdings.check, held))

    def test_what_is_dropped_while_it_is_read_is_read_no_more(self) -> None:
        held = self.hold()
        self.finish(held)
        reader = self.holdings.open(held, 0, 100)
        self.holdings.drop(held)
        self.assertEqual(0, reader.readinto(memoryview(bytearray(100))))
        self.assertEqual(404, self.refused(self.holdings.open, held, 0, 100))

    def test_a_link_in_the_place_of_what_was_finished_is_not_followed(self) -> None:
        """Attack 23."""
        link = self.folder / "link"
        link.symlink_to("/etc/passwd")
        self.assertRaises(OSError, FinishedFile, link)
        held = self.hold()
        path = self.finish(held)
        path.rename(self.folder / "elsewhere")
        path.symlink_to(self.folder / "elsewhere")
        self.assertEqual(404, self.refused(self.holdings.check, held))

    def test_a_finished_folder_is_given_on_like_a_file(self) -> None:
        held = self.hold()
        path = self.finish_folder(held)
        self.holdings.check(held)
        self.assertEqual(CONTENT, self.read(held, 0, len(CONTENT)))
        self.assertEqual(CONTENT[-9:], self.read(held, len(CONTENT) - 9, 9))
        shutil.rmtree(path)
        self.assertEqual(404, self.refused(self.holdings.check, held))

    def test_a_file_that_changed_in_a_finished_folder_is_found_out(self) -> None:
        """Attack 16: when it is read, and then nothing of the folder is given on any more."""
        held = self.hold()
        path = self.finish_folder(held)
        (path / "b.bin").write_bytes(bytes(len(CONTENT) - len(CONTENT) // 2))
        self.holdings.check(held)
        self.read(held, 0, len(CONTENT))
        self.assertEqual(404, self.refused(self.holdings.find, OFFER))

    def test_links_put_into_a_finished_folder_are_not_followed(self) -> None:
        """Attack 28."""
        held = self.hold()
        path = self.finish_folder(held)
        (path / "b.bin").rename(self.folder / "b.bin")
        (path / "b.bin").symlink_to(self.folder / "b.bin")
        self.assertEqual(b"", self.read(held, len(CONTENT) - 9, 9))
        self.assertEqual(404, self.refused(self.holdings.find, OFFER))

    def test_a_folder_that_is_not_what_came_is_not_given_on(self) -> None:
        path = self.finish_folder(self.hold())
        manifest = Manifest((Entry("a.bin", len(CONTENT) // 2, 9), Entry("empty/", 0, 9)))
        FinishedFolder(path, manifest)
        for change in (
            lambda: os.utime(path / "a.bin", (8, 8)),
            lambda: (path / "a.bin").unlink(),
        ):
            change()
            self.assertRaises(OSError, FinishedFolder, path, manifest)

    def test_of_finished_folders_a_few_are_given_on_those_asked_for_last(self) -> None:
        self.patch(holdings_module, "MAX_ENTRIES", 6)
        offers = [bytes([number]) * 16 for number in range(3)]
        for number, offer in enumerate(offers):
            held = self.hold(offer)
            if number == 2:
                self.holdings.find(offers[0])
            self.finish_folder(held, str(number))
        self.holdings.find(offers[0]), self.holdings.find(offers[2])
        self.assertEqual(404, self.refused(self.holdings.find, offers[1]))

    def test_guesses_are_counted_after_the_end_of_a_download_too(self) -> None:
        """Attack 13."""
        for number in range(3):
            held = self.hold()
            self.holdings.guess(held, "10.0.0.1", bytes([number]) * 32)
            self.holdings.drop(held)
        held = self.hold()
        self.assertEqual(429, self.refused(self.holdings.guess, held, "10.0.0.1", b"x" * 32))

    def test_an_ask_opens_what_is_finished_when_it_is_read_and_no_more_often(self) -> None:
        held = self.hold()
        self.finish(held)
        with mock.patch.object(held.pieces, "readinto", wraps=held.pieces.readinto) as read:
            reader = self.holdings.open(held, 0, 9)
            self.assertEqual(0, read.call_count)
            self.assertEqual(9, reader.readinto(memoryview(bytearray(9))))
        self.assertEqual(1, read.call_count)

    def test_the_tree_of_a_folder_is_in_memory_once_for_all_who_are_sent_it(self) -> None:
        tree = attrs.evolve(tree_of(CONTENT), manifest=b"what is in it")
        held = self.holdings.hold(OFFER, "album", PRS, tree, MemoryKept(tree))
        first, second = (
            self.holdings.text(held, Ask(TREE), key * 32, "10.0.0.1") for key in (b"1", b"2")
        )
        self.assertEqual(tree.text, first)
        self.assertIs(first, second)

    def test_two_downloads_of_one_offer_do_not_end_each_other(self) -> None:
        first = self.hold()
        second = self.hold(have={1})
        self.holdings.drop(first)
        self.finish(first)
        self.assertIs(second, self.holdings.find(OFFER))
        self.assertEqual(CONTENT[PIECE_LEAST:][:5], self.read(second, PIECE_LEAST, 5))

    def test_what_is_finished_is_given_on_while_it_is_fetched_again(self) -> None:
        """And after that, be it that the second get is stopped, ends, or was of a part only."""
        first = self.hold()
        self.finish(first)
        second = self.hold(have={1})
        self.assertIs(first, self.holdings.find(OFFER))
        self.holdings.text(first, Ask(PEERS, 9393), b"k" * 32, "10.0.0.1")
        self.assertEqual([("10.0.0.1", 9393)], self.holdings.callers(second))
        self.holdings.drop(second)
        self.assertIs(first, self.holdings.find(OFFER))
        self.assertEqual(CONTENT, self.read(first, 0, len(CONTENT)))
        third = self.hold()
        self.finish(third, "a (2).bin")
        self.assertIs(third, self.holdings.find(OFFER))

    def test_what_is_finished_makes_room_for_other_content_and_for_what_is_there(self) -> None:
        first = self.hold()
        path = self.finish(first)
        other = tree_of(CONTENT[1:])
        for change in ("content", "password", "taken away"):
            if change == "taken away":
                path.unlink()
            prs = b"q" * 32 if change == "password" else PRS
            tree = other if change == "content" else first.tree
            second = self.holdings.hold(OFFER, "a.bin", prs, tree, MemoryKept(tree))
            self.assertIs(second, self.holdings.find(OFFER), change)
            self.holdings.drop(second)
            first = self.hold()
            if change != "taken away":
                path = self.finish(first)

    def test_of_two_downloads_that_which_is_finished_first_is_given_on(self) -> None:
        first, second = self.hold(), self.hold()
        self.finish(first)
        self.holdings.drop(second)
        self.assertIs(first, self.holdings.find(OFFER))

    def test_what_is_finished_late_does_not_take_the_place_of_other_content(self) -> None:
        first = self.hold()
        tree = tree_of(CONTENT[1:])
        second = self.holdings.hold(OFFER, "a.bin", PRS, tree, MemoryKept(tree))
        self.finish(first)
        self.assertIs(second, self.holdings.find(OFFER))

    def test_no_descriptor_is_left_behind(self) -> None:
        self.patch(holdings_module, "MAX_HELD", 3)
        self.holdings = Holdings(lambda: self.now)
        before = self.open_files()
        for number in range(10):
            self.finish(self.hold(bytes([number % 5]) * 16), str(number))
        self.assertEqual(before, self.open_files())
        self.holdings.stop()
        self.assertEqual(before, self.open_files())

    def test_what_cannot_be_read_for_now_is_refused_and_kept(self) -> None:
        """Attack 41: who opens as many files as we may have does not keep others waiting."""
        held = self.hold()
        self.finish(held)
        for error in (OSError(errno.EMFILE, "Too many open files"), ShareError("Not now.")):

            def fail(*_: Any, error: Exception = error) -> int:
                raise error

            patched = self.patch(FinishedFile, "readinto", fail)
            self.assertEqual(500, self.refused(self.holdings.check, held))
            self.assertRaises(type(error), self.read, held, 0, 1)
            patched.restore()
        self.assertEqual(CONTENT[:1], self.read(held, 0, 1))

    def test_own_offers_come_first(self) -> None:
        """A get of what bears the id of an own offer does not take its place."""

        class Shares:
            own: dict[bytes, str]

            def find(self, offer: bytes) -> str:
                if offer not in self.own:
                    raise Refusal(404)
                return self.own[offer]

            def check(self, served: str) -> None:
                raise Refusal(409)

        shares = Shares()
        shares.own = {OFFER: "own"}
        shelves = Shelves(shares, self.holdings)  # type: ignore[arg-type]
        held = self.hold()
        self.assertEqual("own", shelves.find(OFFER))
        self.assertEqual(409, self.refused(shelves.check, "own"))
        shares.own.clear()
        self.assertIs(held, shelves.find(OFFER))
        shelves.check(held)
        self.assertIsNone(shelves.next(held, b"\0"))
