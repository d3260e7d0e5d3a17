"""The file with a group's code: who may read it, what it may say, how it is written."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from tests.groups import CODES
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.state.code_file import look_of, read_codes, write_codes

ONE, OTHER, THIRD = CODES


class CodeFileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = new_folder(self) / "group code"

    def write(self, text: str | bytes, mode: int = 0o600) -> None:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.path.chmod(mode)

    def refused(self) -> str:
        error: ShareError = self.assertRaises(ShareError, read_codes, self.path)
        self.assertEqual(error.code, Exit.NO_INPUT)
        return str(error)


class Reading(CodeFileTestCase):
    def test_the_first_line_is_the_code_and_the_second_the_one_before(self) -> None:
        for text, old in (
            (ONE, ""),
            (f"{ONE}\n", ""),
            (f"\n\n  {ONE.upper().replace('-', ' ')}\r\n\n", ""),
            (f"{ONE}\n{OTHER}\n", OTHER),
            (f"{ONE}\n\n{OTHER}\n{THIRD}", OTHER),
            (f"{ONE}\n{ONE}\n", ""),
        ):
            self.write(text)
            codes = read_codes(self.path)
            self.assertEqual((codes.current, codes.old), (ONE, old), text)

    def test_when_it_changed_is_told(self) -> None:
        self.write(ONE)
        os.utime(self.path, (0, 1_700_000_000))
        codes = read_codes(self.path)
        self.assertEqual(codes.changed, 1_700_000_000)
        self.assertEqual(codes.look, look_of(self.path))

    def test_a_file_that_others_may_read_is_refused_with_what_to_do(self) -> None:
        """Attack 46: as ssh does with its keys."""
        for mode in (0o640, 0o604, 0o660, 0o601, 0o777):
            self.write(ONE, mode)
            sentence = self.refused()
            self.assertIn(f"chmod 600 '{self.path}'", sentence)
            self.assertNotIn(ONE, sentence)
        for mode in (0o600, 0o400, 0o700):
            self.write(ONE, mode)
            self.assertEqual(read_codes(self.path).current, ONE)
            self.path.chmod(0o600)

    def test_somebody_elses_file_is_their_affair(self) -> None:
        """Such as root's, given to a service's group."""
        self.write(ONE, 0o640)
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1):
            self.assertEqual(read_codes(self.path).current, ONE)

    def test_what_is_no_file_or_no_code_is_a_sentence(self) -> None:
        self.assertIn("No such file", self.refused())
        for text in ("", "\n \n", "\0"):
            self.write(text)
            self.assertTrue(self.refused())
        for text in ("monpass", b"\xff\xfe", f"{ONE}\nmonpass", "x" * 10**6):
            self.write(text)
            self.assertIn("five words", self.refused())
        self.path.unlink()
        self.path.mkdir()
        self.assertIn("Is a directory", self.refused())

    @settings(deadline=None)
    @given(st.binary(max_size=400))
    def test_any_content_is_read_or_refused(self, content: bytes) -> None:
        self.write(content)
        try:
            read_codes(self.path)
        except ShareError as error:
            self.assertTrue(str(error))

    def test_a_pipe_is_read_too(self) -> None:
        """As a shell gives one: --group-code-file <(pass show group)."""
        os.mkfifo(self.path)
        writer = threading.Thread(target=self.path.write_text, args=(ONE,))
        writer.start()
        self.addCleanup(writer.join)
        self.assertEqual(read_codes(self.path).current, ONE)


class Looking(CodeFileTestCase):
    def test_another_content_looks_different(self) -> None:
        self.assertIsNone(look_of(self.path))
        write_codes(self.path, ONE)
        before = look_of(self.path)
        self.assertEqual(look_of(self.path), before)
        write_codes(self.path, OTHER, replace=True)
        self.assertNotEqual(look_of(self.path), before)


class Writing(CodeFileTestCase):
    def test_what_is_written_is_read_and_is_ours_alone(self) -> None:
        """Attack 46: whatever the umask."""
        before = os.umask(0)
        try:
            write_codes(self.path, ONE, OTHER)
        finally:
            os.umask(before)
        codes = read_codes(self.path)
        self.assertEqual((codes.current, codes.old), (ONE, OTHER))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(self) -> None:
        write_codes(self.path, ONE)
        error: ShareError = self.assertRaises(ShareError, write_codes, self.path, OTHER)
        self.assertIn("is there already", str(error))
        self.assertEqual(read_codes(self.path).current, ONE)
        write_codes(self.path, OTHER, ONE, replace=True)
        codes = read_codes(self.path)
        self.assertEqual((codes.current, codes.old), (OTHER, ONE))
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_a_link_is_replaced_and_never_written_through(self) -> None:
        target = self.path.with_name("target")
        target.write_text("mine")
        self.path.symlink_to(target)
        self.assertRaises(ShareError, write_codes, self.path, ONE)
        write_codes(self.path, ONE, replace=True)
        self.assertEqual(target.read_text(), "mine")
        self.assertFalse(self.path.is_symlink())

    def test_a_full_disk_leaves_the_file_as_it_was(self) -> None:
        write_codes(self.path, ONE)
        with mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left")):
            error = self.assertRaises(ShareError, write_codes, self.path, OTHER, replace=True)
        self.assertIn("No space left", str(error))
        self.assertEqual(read_codes(self.path).current, ONE)
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_a_folder_that_is_not_there_is_a_sentence(self) -> None:
        missing = Path(self.path.parent) / "missing" / "code"
        error: ShareError = self.assertRaises(ShareError, write_codes, missing, ONE)
        self.assertEqual(error.code, Exit.NO_FOLDER)
