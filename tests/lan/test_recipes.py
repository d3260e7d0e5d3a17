"""The recipes of docs/cli.md, as they stand there."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import unittest
from pathlib import Path

from tests.lan.nodes import PATIENCE, environment, until
from tests.lan.test_commands import CommandsTestCase, Machine

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
ALICE = "egxj-f3k3-tsxm-ay3m"  # the fingerprint that stands in the document


def recipes() -> dict[str, list[str]]:
    """The scripts under each heading."""
    parts = DOCUMENT.read_text("utf-8").partition("## Recipes")[2].split("\n### ")[1:]
    return {part.partition("\n")[0]: part.split("\n```\n")[1::2] for part in parts}


class RecipesTests(CommandsTestCase):
    def setUp(self) -> None:
        if shutil.which("jq") is None:
            raise unittest.SkipTest("jq is not installed")
        super().setUp()

    def follow_script(self, machine: Machine, script: str, alice: str) -> subprocess.Popen[str]:
        """A recipe under way, in that machine's home; its errors are seen by whoever runs this."""
        return machine.lan.popen(
            machine.ns,
            ["sh", "-c", script.replace(ALICE, alice)],
            cwd=machine.home,
            env=self.environment(machine),
            stderr=None,
        )

    def environment(self, machine: Machine) -> dict[str, str]:
        """With `p2pshare` among the programs."""
        programs = machine.home / "bin"
        programs.mkdir(exist_ok=True)
        command = programs / "p2pshare"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m twistedp2p.cli "$@"\n')
        command.chmod(0o755)
        around = environment(machine.home)
        return {**around, "PATH": f"{programs}:{around.get('PATH', os.defpath)}"}

    def listens(self, machine: Machine) -> None:
        """Wait until a recipe there follows the events."""
        until(lambda: self.listeners(machine), "it follows the events")

    def listeners(self, machine: Machine) -> bool:
        place = machine.home / ".local/state/p2pshare/1/control.sock"
        asked = machine.lan.run(
            machine.ns,
            [
                sys.executable, "-c",
                "import sys; from twistedp2p.cli.client import UnixConnection as C;"
                "c = C(sys.argv[1], 60); c.request('GET', '/metrics');"
                "print(c.getresponse().read().decode())",
                str(place.resolve()),
            ],
            env=environment(machine.home),
        )  # fmt: skip
        return "p2pshare_event_listeners 1" in asked.stdout

    def ends_with_the_node(self, machine: Machine, script: subprocess.Popen[str]) -> None:
        machine.ok("stop")
        script.wait(PATIENCE)

    def test_everything_of_one_person(self) -> None:
        (script,) = recipes()["Fetch everything of one person, as it appears"]
        alice, bob = self.daemons()
        self.file(alice, "before.bin")
        alice.ok("offer", "--public", "before.bin")
        self.listed(bob, "before.bin")
        self.file(bob, "own.bin")
        bob.ok("offer", "--public", "own.bin")
        fingerprint = alice.json("status")["fingerprint"]
        running = self.follow_script(bob, script, fingerprint)
        there = bob.home / "from-alice"
        until((there / "before.bin").exists, "what was there before comes")
        self.listens(bob)
        self.file(alice, "after.bin")
        alice.ok("offer", "--public", "after.bin")
        until((there / "after.bin").exists, "what is new comes")
        until(lambda: len(list((there / ".had").iterdir())) == 2, "it is noted")
        self.ends_with_the_node(bob, running)
        bob.run("start", "--daemon", "--nick", "bob")
        self.listed(bob, "before.bin")
        again = self.follow_script(bob, script, fingerprint)
        self.listens(bob)
        self.ends_with_the_node(bob, again)
        names = sorted(path.name for path in there.iterdir())
        self.assertEqual(names, [".had", "after.bin", "before.bin"])

    def test_a_build(self) -> None:
        announce, install = recipes()["Announce a build"]
        alice, bob = self.daemons()
        running = self.follow_script(bob, install, alice.json("status")["fingerprint"])
        self.listens(bob)
        (alice.home / "dist").mkdir()
        for content in (b"first", b"second"):
            with tarfile.open(alice.home / "dist" / "app-1.2.tar.gz", "w:gz") as archive:
                entry = tarfile.TarInfo("app")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            announcing = self.follow_script(alice, announce, "")
            self.assertEqual(announcing.wait(PATIENCE), 0)
            app = bob.home / "installed" / "app"
            until(lambda a=app, c=content: a.exists() and a.read_bytes() == c, "it is installed")
        said = bob.ok("chat", "--no-follow").splitlines()
        self.assertEqual(len(said), 2)
        self.assertIn("new build: app-1.2.tar.gz, ", said[0])
        self.ends_with_the_node(bob, running)

    def test_a_drop_box(self) -> None:
        (script,) = recipes()["A drop box"]
        alice, bob = self.daemons()
        (bob.home / "box-password").write_text("monpass\n")
        running = self.follow_script(bob, script, "")
        self.listens(bob)
        chat = alice.follow("chat")
        self.listens(alice)
        for name in ("homework 1.pdf", "diary.pdf"):
            self.file(alice, name)
            alice.ok("offer", name, P2PSHARE_PASSWORD="monpass")
        self.assertIn("\tdirect\tThank you, it is here.\n", chat.stdout.readline())
        (box,) = (bob.home / "box").iterdir()
        self.assertEqual(box.name, alice.json("status")["fingerprint"])
        self.assertEqual([path.name for path in box.iterdir()], ["homework 1.pdf"])
        self.ends_with_the_node(bob, running)
