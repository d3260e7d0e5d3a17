"""What is made from the parsers: completions, which the shells themselves try, and manual pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.cli import COMMANDS
from twistedp2p.cli.completion import SHELLS, script
from twistedp2p.cli.grammar import before, commands, plugin_arguments
from twistedp2p.cli.manual import pages
from twistedp2p.disk.state.config_file import OPTIONS
from twistedp2p.options import Options

BASH = """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }
_p2pshare; printf '%s\\n' "${COMPREPLY[@]}"
"""


def run(shell: str, text: str, *arguments: str, folder: Path | None = None) -> list[str]:
    """The lines that a shell prints; the test is skipped where it is not installed."""
    path = shutil.which(shell)
    if path is None:
        raise unittest.SkipTest(f"{shell} is not installed")
    done = subprocess.run(
        [path, "-c", text, *arguments],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


class GrammarTests(SynchronousTestCase):
    def test_it_knows_every_command_and_what_each_takes(self) -> None:
        found = {command.name: command for command in commands()}
        self.assertEqual(list(found), list(COMMANDS))
        (path,) = found["offer"].rest
        self.assertEqual((path.value, path.of_files), ("PATH", True))
        options = {name: option for option in found["get"].options for name in option.names}
        self.assertTrue(options["--output"].of_folders)
        self.assertIs(options["--output"], options["-o"])
        self.assertTrue(options["--password-file"].of_files)
        self.assertEqual(options["--json"].value, "")
        self.assertIn("--version", [name for each in before().options for name in each.names])

    def test_what_is_refused_is_not_offered(self) -> None:
        for command in commands():
            for option in command.options:
                self.assertNotIn("--password", option.names, command.name)

    def test_the_options_of_the_plugin(self) -> None:
        found = {argument.names[-1][2:] for argument in plugin_arguments()}
        self.assertEqual(found, {name.rstrip("=") for name in Options().longOpt})


class CompletionTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "a file").touch()
        (self.folder / "folder").mkdir()

    def bash(self, *words: str) -> list[str]:
        text = script("bash") + BASH
        found = run("bash", text, "bash", "p2pshare", *words, folder=self.folder)
        return [word for word in found if word]

    def test_bash_completes_commands_options_and_files(self) -> None:
        self.assertEqual(self.bash("wi"), ["withdraw"])
        self.assertEqual(self.bash(""), list(COMMANDS))
        self.assertEqual(self.bash("--v"), ["--version"])
        self.assertEqual(self.bash("get", "--o"), ["--output", "--owner"])
        self.assertEqual(self.bash("get", "--output", ""), ["folder"])
        self.assertEqual(self.bash("offer", "--password-file", "a"), ["a file"])
        self.assertEqual(self.bash("offer", "a"), ["a file"])
        self.assertEqual(self.bash("completion", "z"), ["zsh"])
        self.assertEqual(self.bash("say", "x"), [])

    def test_fish_completes_commands_and_options(self) -> None:
        text = script("fish") + 'complete -C "p2pshare wi"; complete -C "p2pshare get --ow"'
        found = run("fish", text)
        self.assertEqual([line.partition("\t")[0] for line in found], ["withdraw", "--owner"])

    def test_zsh_takes_it(self) -> None:
        text = f"autoload -U compinit; compinit -u -d {self.folder}/dump\n{script('zsh')}"
        self.assertEqual(run("zsh", text + "print $_comps[p2pshare]"), ["_p2pshare"])

    def test_every_script_names_every_option(self) -> None:
        for shell in SHELLS:
            made = script(shell)
            for command in commands():
                for option in command.options:
                    name = option.names[-1]
                    wanted = f"-l {name[2:]}" if shell == "fish" else name
                    self.assertIn(wanted, made, shell)


class ManualTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pages = pages("1.2.3")

    def test_they_name_every_command_option_and_variable(self) -> None:
        page = self.pages["p2pshare.1"].replace(r"\-", "-")
        for command in commands():
            self.assertIn(f"\n.SS {command.name}\n", page)
        for option in OPTIONS:
            variable = "P2PSHARE_" + option.upper().replace("-", "_")
            self.assertIn(variable, page)
            self.assertIn(rf"\fB--{option}\fR", self.pages["twistd-p2pshare.1"].replace(r"\-", "-"))

    def test_no_text_is_taken_for_a_request(self) -> None:
        requests = {"TH", "SH", "SS", "TP", "PP", "nf", "fi", "B", "I", "BR"}
        for page in self.pages.values():
            self.assertEqual(set(re.findall(r"(?m)^[.'](\w*)", page)) - requests, set())
            self.assertTrue(page.startswith(".TH "))
            self.assertIn("p2pshare 1.2.3", page.splitlines()[0])

    def test_groff_has_nothing_to_say_against_them(self) -> None:
        for page in self.pages.values():
            with tempfile.NamedTemporaryFile("w", suffix=".1") as file:
                file.write(page)
                file.flush()
                run("sh", f"command -v groff >/dev/null || exit; groff -man -ww -z {file.name}")
