"""Where downloads went, kept until nothing is left there."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import open_store
from twistedp2p.disk.memory.part_folders import FORGOTTEN_AFTER, MAX_FOLDERS

DAY = 86_400_000  # milliseconds


class PartFoldersTests(SynchronousTestCase):
    def setUp(self):
        self.store = open_store(self)

    def folders(self, now_ms=0):
        return [str(folder) for folder, _ in self.store.part_folders(now_ms)]

    def test_the_latest_used_comes_first_and_once(self):
        for at, name in enumerate(("/a", "/b\udcff", "/a")):
            self.store.put_part_folder(Path(name), at)
        self.assertEqual(["/a", "/b\udcff"], self.folders())

    def test_what_is_used_again_meanwhile_is_not_dropped(self):
        self.store.put_part_folder(Path("/a"), 2)
        self.store.drop_part_folder(Path("/a"), 1)
        self.assertEqual(["/a"], self.folders())
        self.store.drop_part_folder(Path("/a"), 2)
        self.assertEqual([], self.folders())

    def test_there_are_only_so_many_and_only_for_so_long(self):
        """Attack 40: a script that gets each file into a folder of its own."""
        for number in range(MAX_FOLDERS + 3):
            self.store.put_part_folder(Path(f"/{number}"), number)
        self.assertEqual(MAX_FOLDERS, len(self.folders()))
        self.assertNotIn("/2", self.folders())
        self.assertEqual(2, len(self.folders(FORGOTTEN_AFTER + MAX_FOLDERS + 1)))
