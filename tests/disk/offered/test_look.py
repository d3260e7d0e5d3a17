"""Looking at what is in a watched folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.disk.offered.look import look


class LookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def test_files_and_folders_are_found_and_nothing_else(self) -> None:
        for name in ("a.txt", ".hidden", "b.part", "c~", "d.crdownload", "sub/e", "f.part.txt"):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
        (self.folder / "link").symlink_to("/etc/passwd")
        (self.folder / "folder link").symlink_to("/etc")
        os.mkfifo(self.folder / "pipe")
        self.assertEqual(set(look(str(self.folder))), {"a.txt", "sub", "f.part.txt"})

    def test_whatever_changes_is_another_state(self) -> None:
        (self.folder / "a").write_text("x")
        (self.folder / "sub/deep").mkdir(parents=True)
        (self.folder / "sub/deep/b").write_text("x")
        states = [look(str(self.folder))]
        self.assertEqual(look(str(self.folder)), states[0])
        changes = (
            ("a", lambda: (self.folder / "a").write_text("xx")),
            ("a", lambda: os.utime(self.folder / "a", (1, 1))),
            ("sub", lambda: os.utime(self.folder / "sub/deep/b", (1, 1))),
            ("sub", lambda: (self.folder / "sub/deep/c").mkdir()),
            ("sub", lambda: (self.folder / "sub/deep/b").rename(self.folder / "sub/b")),
            ("sub", lambda: (self.folder / "sub/b").unlink()),
        )
        for name, change in changes:
            change()
            now = look(str(self.folder))
            self.assertEqual({each for each in now if now[each] != states[-1][each]}, {name})
            states.append(now)

    def test_what_is_left_out_is_so_at_any_depth(self) -> None:
        (self.folder / "sub/deep/.git").mkdir(parents=True)
        (self.folder / "sub/deep/b").write_text("x")
        states = look(str(self.folder))
        for name in ("sub/.DS_Store", "sub/deep/c.part", "sub/deep/.git/config", "sub/deep/d~"):
            (self.folder / name).write_text("x")
        self.assertEqual(look(str(self.folder)), states)

    def test_a_state_is_the_same_in_a_later_run(self) -> None:
        """What tells it is no hash that each run of Python makes anew."""
        (self.folder / "sub").mkdir()
        (self.folder / "sub/a").write_text("x")
        imported = "from twistedp2p.disk.offered.look import look"
        program = f"{imported}; print(look({str(self.folder)!r}))"
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        self.assertEqual(run.stdout.strip(), str(look(str(self.folder))))

    def test_a_folder_that_is_not_there_is_empty(self) -> None:
        self.assertEqual(look(str(self.folder / "none")), {})
