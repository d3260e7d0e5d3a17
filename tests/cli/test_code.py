"""The command `p2pshare code`."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.groups import CODES
from twistedp2p.cli import code as code_command
from twistedp2p.cli import main
from twistedp2p.core.datagrams.codes import read_code
from twistedp2p.core.errors import Exit
from twistedp2p.disk.state.code_file import read_codes, write_codes

ONE, OTHER = CODES[:2]


class Stream(io.StringIO):
    """A stream that can be a terminal, in some encoding."""

    encoding = "utf-8"
    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class CodeCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "our code"
        self.patch(os, "environ", {"LC_ALL": "C"})
        self.typed = Stream()
        self.patch(sys, "stdin", self.typed)

    def run_command(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self.out, self.err = Stream(), Stream()
        with mock.patch.object(sys, "stdout", self.out), mock.patch.object(sys, "stderr", self.err):
            exit_code = main(["code", *map(str, arguments)])
        return exit_code, self.out.getvalue(), self.err.getvalue()

    def type(self, text: str) -> None:
        self.typed.write(text)
        self.typed.seek(0)

    def test_it_prints_a_new_code_each_time_and_that_alone(self) -> None:
        """Attack 20: made by chance."""
        codes = [self.run_command("--no-qr")[1] for _ in range(20)]
        self.assertEqual(len(set(codes)), 20)
        for line in codes:
            self.assertEqual(read_code(line) + "\n", line)

    def test_the_qr_code_says_the_code(self) -> None:
        with mock.patch("segno.make") as make:
            code = self.run_command()[1].strip()
        ((said,), how), _ = make.call_args_list[0], None
        self.assertEqual(read_code(said), code)
        self.assertEqual(said, said.upper())
        self.assertEqual(how["micro"], False)
        exit_code, _, shown = self.run_command()
        self.assertEqual(exit_code, 0)
        self.assertGreater(sum("█" in line for line in shown.splitlines()), 12)
        self.assertNotIn("█", self.run_command("--no-qr")[2])

    def test_where_no_blocks_can_be_shown_there_is_no_qr_code(self) -> None:
        self.patch(Stream, "encoding", "ascii")
        exit_code, code, shown = self.run_command()
        self.assertEqual(exit_code, 0)
        self.assertTrue(read_code(code))
        self.assertNotIn("█", shown)

    def test_output_is_a_file_that_nobody_else_reads(self) -> None:
        """Attack 46."""
        exit_code, code, shown = self.run_command("--output", self.path)
        self.assertEqual(exit_code, 0)
        self.assertEqual(read_codes(self.path).current, code.strip())
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertIn(f"--group-code-file '{self.path}'", shown)

    def test_a_file_that_is_there_is_not_overwritten(self) -> None:
        write_codes(self.path, ONE)
        exit_code, out, shown = self.run_command("--output", self.path)
        self.assertEqual((exit_code, out), (Exit.NO_FOLDER, ""))
        self.assertIn("--rotate", shown)
        self.assertEqual(read_codes(self.path).current, ONE)

    def test_rotation_keeps_the_code_of_before_on_the_second_line(self) -> None:
        write_codes(self.path, ONE)
        exit_code, code, _ = self.run_command("--rotate", self.path)
        codes = read_codes(self.path)
        self.assertEqual((exit_code, codes.current, codes.old), (0, code.strip(), ONE))
        self.assertNotEqual(codes.current, ONE)
        missing = self.folder / "missing"
        self.assertEqual(self.run_command("--rotate", missing)[0], Exit.NO_INPUT)
        self.assertFalse(missing.exists())

    def test_a_code_that_was_told_is_entered(self) -> None:
        self.type(f" {ONE.upper().replace('-', ' ')}\n")
        exit_code, code, _ = self.run_command("--enter", "--output", self.path)
        self.assertEqual((exit_code, code), (0, ONE + "\n"))
        self.assertEqual(read_codes(self.path).current, ONE)

    def test_a_mistyped_one_is_refused_before_anything_is_written(self) -> None:
        write_codes(self.path, ONE)
        for typed in ("", "our secret room\n", OTHER[:-2] + "xx\n"):
            self.typed.truncate(0)
            self.typed.seek(0)
            self.type(typed)
            exit_code, out, shown = self.run_command("--enter", "--rotate", self.path)
            self.assertEqual((exit_code, out), (Exit.NO_INPUT, ""))
            self.assertIn("Codes that people think up are refused", shown)
        self.assertEqual(read_codes(self.path).current, ONE)

    def test_on_a_terminal_what_is_typed_is_not_shown(self) -> None:
        """Attack 46."""
        self.typed.terminal = True
        self.patch(code_command.getpass, "getpass", lambda question: ONE)
        self.assertEqual(self.run_command("--enter", "--no-qr")[1], ONE + "\n")

    def test_entering_the_same_code_again_keeps_no_code_of_before(self) -> None:
        write_codes(self.path, ONE)
        self.type(ONE)
        self.run_command("--enter", "--rotate", self.path)
        self.assertEqual(self.path.read_text(), ONE + "\n")

    def test_the_code_of_a_file_is_shown_again(self) -> None:
        write_codes(self.path, ONE, OTHER)
        self.assertEqual(self.run_command("--show", self.path)[:2], (0, ONE + "\n"))
        self.assertEqual(read_codes(self.path).old, OTHER)

    def test_what_does_not_go_together_is_refused(self) -> None:
        stop = self.assertRaises(
            SystemExit, self.run_command, "--output", self.path, "--rotate", self.path
        )
        self.assertEqual(stop.code, Exit.USAGE)
