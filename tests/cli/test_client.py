"""What every command does: it finds the node, and tells what went wrong by its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.fakes import CommandTestCase, Problem
from tests.lan.netns import child_environment
from twistedp2p import cli
from twistedp2p.cli.client import refusal
from twistedp2p.core.errors import Exit

LOOK = """
import sys
from twistedp2p.cli import main, parser
try:
    for name in {names}:
        parser(name)
    main({arguments!r})
finally:
    loaded = [name for name in sys.modules if name.partition(".")[0] in {heavy}]
    sys.stderr.write("loaded: " + " ".join(loaded))
"""
HEAVY = ("twisted", "attr", "attrs", "cryptography", "prompt_toolkit", "sqlite3", "asyncio")


class ProcessTests(CommandTestCase):
    def test_a_full_disk_is_told_in_one_sentence(self) -> None:
        self.node().answers["GET", "catalogue"] = {"items": [], "next": None}
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run(
                [sys.executable, "-m", "twistedp2p.cli", "list", "--json"],
                env={**child_environment(), "XDG_STATE_HOME": str(self.folder), "LC_ALL": "C"},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=30,
                check=False,
            )
        said = "p2pshare: Nothing can be written: No space left on device.\n"
        self.assertEqual((done.returncode, done.stderr), (Exit.FAILED, said))

    def test_no_command_but_start_and_doctor_loads_anything_heavy(self) -> None:
        others = ("start", "doctor", "unit", "code", "completion")
        names = [name for name in cli.COMMANDS if name not in others]
        source = LOOK.format(names=names, arguments=["list"], heavy=HEAVY)
        self.node().answers["GET", "catalogue"] = {"items": [], "next": None}
        done = subprocess.run(
            [sys.executable, "-c", source],
            env={**child_environment(), "XDG_STATE_HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "loaded: "))


class NoNodeTests(CommandTestCase):
    def test_it_says_how_to_start_one(self) -> None:
        for arguments in (["say", "hello"], ["say", "-"], ["list"], ["events"], ["stop"]):
            self.assertEqual(self.command(*arguments), Exit.NO_NODE)
            said = "p2pshare: No node is running. To start one: p2pshare start --daemon\n"
            self.assertEqual((self.out, self.err), ("", said))

    def test_and_that_of_an_instance(self) -> None:
        self.assertEqual(self.command("status", "--instance", "two"), Exit.NO_NODE)
        self.assertIn("p2pshare start --daemon --instance two\n", self.err)
        self.command("status", "--state-dir", f"{self.folder}/a b")
        self.assertIn(f"--state-dir '{self.folder}/a b'", self.err)

    def test_a_socket_that_a_killed_node_left(self) -> None:
        self.node().close()
        self.assertEqual(self.command("status"), Exit.NO_NODE)

    def test_which_node_is_meant_stands_where_its_own_options_stand(self) -> None:
        (self.folder / "p2pshare").mkdir()
        (self.folder / "p2pshare" / "config.toml").write_text('instance = "filed"')
        os.environ["XDG_CONFIG_HOME"] = str(self.folder)
        self.command("status")
        self.assertIn("--instance filed\n", self.err)
        os.environ["P2PSHARE_INSTANCE"] = "two"
        self.command("status")
        self.assertIn("--instance two\n", self.err)
        self.command("status", "--instance", "three")
        self.assertIn("--instance three\n", self.err)

    def test_no_such_name_of_an_instance(self) -> None:
        self.assertEqual(self.command("status", "--instance", "../1"), Exit.USAGE)


class RefusalTests(CommandTestCase):
    def test_the_exit_code_and_the_sentence_are_the_node_s(self) -> None:
        node = self.node()

        def refuse(*_: object) -> None:
            raise Problem(404, "Nobody\x1b[31m here\nis called bob.", 5)

        node.answers["POST", "messages"] = refuse
        self.assertEqual(self.command("say", "--to", "bob", "hello"), Exit.NOT_FOUND)
        self.assertEqual(self.err, "p2pshare: Nobody[31m here is called bob.\n")

    def test_the_node_is_told_in_which_language_it_is_read(self) -> None:
        node = self.node()
        os.environ["LANGUAGE"] = "fr_FR.UTF-8:de"
        for everything, wish in (("C", None), ("fr_FR.UTF-8", "fr-FR, de")):
            os.environ["LC_ALL"] = everything
            self.command("status")
            self.assertEqual(node.languages.pop(), wish)

    def test_what_is_no_problem_document_is_a_failure(self) -> None:
        for body in (b"", b"<html>", b"[]", b"{}", b'{"title": "x", "exit": 99}', b"\xff"):
            self.assertEqual(refusal(body).code, Exit.FAILED)

    def test_an_answer_that_is_no_json(self) -> None:
        node = self.node()
        node.answers["GET", "status"] = lambda *_: json.loads("{")
        self.assertEqual(self.command("status"), Exit.NO_NODE)


class PasswordTests(CommandTestCase):
    def test_none_on_the_command_line(self) -> None:
        """Attack 46."""
        for command in ("get", "offer"):
            for password in (["--password", "secret"], ["--password=secret"]):
                self.assertEqual(self.command(command, *password, "file"), Exit.USAGE)
                self.assertIn("can be read by everybody on this machine", self.err)
                self.assertNotIn("secret", self.err)


class HelpTests(SynchronousTestCase):
    def test_every_command_has_a_module(self) -> None:
        for name in cli.COMMANDS:
            self.assertEqual(cli.parser(name).prog, f"p2pshare {name}")
