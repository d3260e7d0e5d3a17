"""All that the menu does, done by scripts: daemons in two namespaces, and `p2pshare` commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from tests.lan.netns import Lan, LanMixin
from tests.lan.nodes import PATIENCE, NodesMixin, environment, until
from twistedp2p.core.errors import Exit

P2PSHARE = [sys.executable, "-m", "twistedp2p.cli"]
BIG = 60 * 2**20  # bytes
SLOW_LINK = 10  # megabits a second: BIG takes 50 s, time enough to stop it in the middle


@attrs.frozen
class Machine:
    """One of the network: its user's home, and what he types."""

    lan: Lan
    ns: int
    home: Path

    def run(self, *arguments: str, typed: str = "", **more: str) -> subprocess.CompletedProcess:
        """A command, to its end. `more` is for its environment."""
        return self.lan.run(
            self.ns,
            [*P2PSHARE, *arguments],
            cwd=self.home,
            env={**environment(self.home), **more},
            input=typed,
        )

    def ok(self, *arguments: str, typed: str = "", **more: str) -> str:
        """What a command prints that succeeds."""
        done = self.run(*arguments, typed=typed, **more)
        if done.returncode or done.stderr:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return str(done.stdout)

    def json(self, *arguments: str, **more: str) -> Any:
        """The document that a command prints."""
        return json.loads(self.ok(*arguments, "--json", **more))

    def follow(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on until it is stopped."""
        return self.lan.popen(
            self.ns, [*P2PSHARE, *arguments], cwd=self.home, env=environment(self.home)
        )


class CommandsTestCase(NodesMixin, LanMixin, TestCase):
    timeout = 120  # seconds, never met: every wait has a deadline of its own

    def machines(self) -> tuple[Machine, Machine]:
        """Two, on one network, without a node."""
        lan = self.lan(2)
        return Machine(lan, 0, self.home("alice")), Machine(lan, 1, self.home("bob"))

    def daemons(self) -> tuple[Machine, Machine]:
        """Two with nodes that know of each other."""
        both = self.machines()
        for machine in both:
            machine.run("start", "--daemon", "--nick", machine.home.name)
            self.addCleanup(self._end, machine)
        for machine, other in (both, both[::-1]):
            until(lambda m=machine, o=other: o.home.name in m.ok("peers"), "they meet")
        return both

    def _end(self, machine: Machine) -> None:
        machine.run("stop")
        log = (machine.home / ".local/state/p2pshare/1/node.log").read_text()
        if "Traceback" in log or "Unhandled" in log:
            raise AssertionError(f"{machine.home.name} stumbled:\n{log[-3000:]}")

    def file(self, machine: Machine, name: str, size: int = 100_000) -> Path:
        """A file of random bytes."""
        path = machine.home / name
        path.write_bytes(os.urandom(size))
        return path

    def listed(self, machine: Machine, name: str) -> dict[str, Any]:
        """An offer, when it is known there."""

        def found() -> list[dict[str, Any]]:
            return [each for each in machine.json("list")["items"] if each["name"] == name]

        return until(found, f"{name} is listed")[0]


class EverythingTests(CommandsTestCase):
    def test_chat(self) -> None:
        alice, bob = self.daemons()
        chat = bob.follow("chat")
        events = bob.follow("events", "--json", "--only", "said", "--after", "0")
        alice.ok("say", "hello,", "bob")
        alice.ok("say", "-", typed="été\n漢字\n")
        texts = [chat.stdout.readline().rstrip("\n").split("\t")[-1] for _ in range(3)]
        self.assertEqual(texts, ["hello, bob", "été", "漢字"])
        self.assertEqual(json.loads(events.stdout.readline())["data"]["text"], "hello, bob")
        alice.ok("say", "--to", "bob", "psst")
        self.assertEqual(chat.stdout.readline().split("\t")[-2:], ["direct", "psst\n"])
        alice.ok("say", "--to", bob.json("status")["fingerprint"], "by key")
        self.assertEqual(chat.stdout.readline().split("\t")[-1], "by key\n")
        self.assertEqual(alice.run("say", "--to", "nobody", "x").returncode, Exit.NOT_FOUND)
        last = bob.ok("chat", "--no-follow", "--since", "1h").splitlines()
        self.assertEqual([line.split("\t")[-1] for line in last], texts)
        for process in (chat, events):
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), Exit.INTERRUPTED)
            self.assertEqual(process.stderr.read(), "")

    def test_files(self) -> None:
        alice, bob = self.daemons()
        paths = {name: self.file(alice, name) for name in ("public.bin", "words.bin", "own.bin")}
        alice.ok("offer", "--public", "public.bin")
        words = alice.json("offer", "words.bin")
        alice.ok("offer", "--password-file", "-", "own.bin", typed="monpass\n")
        items = {name: self.listed(bob, name) for name in paths}
        self.assertEqual(items["own.bin"]["owner"]["nick"], "alice")
        self.assertEqual(bob.json("search", "WORDS")["items"], [items["words.bin"]])
        self.assertEqual(len(bob.json("list", "--owner", "alice")["items"]), 3)
        self.assertEqual(bob.json("search", "bin", "--owner", "bob")["items"], [])
        (bob.home / "in").mkdir()

        def same(printed: str, name: str) -> None:
            self.assertEqual(printed, f"{bob.home}/in/{name}\n")
            self.assertEqual((bob.home / "in" / name).read_bytes(), paths[name].read_bytes())

        same(bob.ok("get", "-o", "in", "public.bin"), "public.bin")
        password = {"P2PSHARE_PASSWORD": "monpass"}
        same(bob.ok("get", "-o", "in", "--", items["own.bin"]["id"], **password), "own.bin")
        same(bob.ok("get", "-o", "in", "-", typed=words["ticket"] + "\n"), "words.bin")
        piped = bob.follow("get", "-o", "-", "public.bin")
        self.assertEqual(piped.stdout.buffer.read(), paths["public.bin"].read_bytes())
        self.assertEqual(len(bob.ok("transfers").splitlines()), 4)
        for code, what, more in (
            (Exit.DENIED, "own.bin", {"P2PSHARE_PASSWORD": "wrong"}),
            (Exit.USAGE, "own.bin", {}),
            (Exit.NOT_FOUND, "nothing.bin", {}),
        ):
            done = bob.run("get", "-o", "in", what, **more)
            self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)
        alice.ok("withdraw", "own.bin", words["id"])
        self.assertEqual(alice.run("withdraw", "own.bin").returncode, Exit.NOT_FOUND)
        until(lambda: len(bob.json("list")["items"]) == 1, "they are gone")

    def test_a_folder_comes_whole_and_in_part(self) -> None:
        alice, bob = self.daemons()
        (alice.home / "photos" / "paris").mkdir(parents=True)
        for name in ("photos/all.jpg", "photos/paris/a b.jpg", "photos/paris/tower.jpg"):
            self.file(alice, name)
        (alice.home / "photos" / "link").symlink_to("/etc/passwd")
        offered = alice.run("offer", "photos", "--json")
        self.assertEqual(offered.stderr.count("Left out of photos: 1 links"), 1)
        photos = json.loads(offered.stdout)
        self.assertEqual((photos["folder"], photos["left_out"]["links"]), ({"files": 3}, 1))
        self.listed(bob, "photos")
        password = {"P2PSHARE_PASSWORD": photos["password"]}
        paris = ["paris/a b.jpg", "paris/tower.jpg"]
        for number, (what, files) in enumerate(
            (
                ("photos", ["all.jpg", *paris]),
                ("photos/paris", paris),
                (f"{photos['id']}/paris/a b.jpg", paris[:1]),
                (f"{photos['ticket']}/paris", paris),
            )
        ):
            there = bob.home / str(number)
            there.mkdir()
            got = bob.ok("get", "-o", str(there), "--", what, **password)
            self.assertEqual(got, f"{there}/photos\n")
            come = sorted(path for path in there.rglob("*.jpg"))
            self.assertEqual([str(path.relative_to(there / "photos")) for path in come], files)
            for path, name in zip(come, files, strict=True):
                self.assertEqual(path.read_bytes(), (alice.home / "photos" / name).read_bytes())
        missing = bob.run("get", "photos/rome", **password)
        self.assertEqual(missing.returncode, Exit.NOT_FOUND)
        self.assertIn("There is no rome in photos", missing.stderr)

    def test_a_get_can_be_stopped_from_elsewhere(self) -> None:
        alice, bob = self.daemons()
        self.file(alice, "big.bin", BIG)
        alice.lan.rate(0, SLOW_LINK)
        alice.ok("offer", "--public", "big.bin")
        self.listed(bob, "big.bin")
        get = bob.follow("get", "big.bin")
        moving = until(
            lambda: [each for each in bob.json("transfers")["items"] if each["done"]], "it comes"
        )
        bob.ok("cancel", str(moving[0]["number"]))
        self.assertEqual(get.wait(PATIENCE), Exit.FAILED)
        self.assertEqual(get.stdout.read(), "")
        self.assertEqual([path for path in bob.home.iterdir() if path.suffix == ".bin"], [])

    def test_who_is_here_under_which_name_and_whether_all_is_well(self) -> None:
        alice, bob = self.daemons()
        self.assertEqual(alice.json("status")["nodes"], 2)
        fingerprint = bob.json("status")["fingerprint"]
        self.assertRegex(alice.ok("peers"), rf"^bob\t{fingerprint}\t10\.77\.0\.2")
        bob.ok("nick", "robert")
        until(lambda: alice.ok("peers").startswith("robert\t"), "the name is told")
        examined = alice.run("doctor", "--quick", "--json", "--interface", "eth0")
        self.assertEqual(examined.returncode, 0, examined.stdout)
        bob.ok("stop")
        until(lambda: not alice.ok("peers"), "he is gone")
        self.assertEqual(bob.run("status").returncode, Exit.NO_NODE)


class ProcessTests(CommandsTestCase):
    def test_without_a_node_a_command_says_how_to_start_one_and_that_works(self) -> None:
        _, bob = self.machines()
        done = bob.run("say", "hello")
        self.assertEqual((done.returncode, done.stdout), (Exit.NO_NODE, ""))
        command = re.search(r"To start one: p2pshare (.*)\n", done.stderr)[1]
        started = bob.run(*command.split())
        self.addCleanup(bob.run, "stop")
        self.assertEqual(started.returncode, 0, started.stderr)
        bob.ok("say", "hello")

    def test_two_nodes_of_one_user_go_by_their_names(self) -> None:
        alice, _ = self.machines()
        for name in ("one", "two"):
            alice.run("start", "--daemon", "--instance", name, "--nick", name)
            self.addCleanup(alice.run, "stop", "--instance", name)
        for name in ("one", "two"):
            self.assertEqual(alice.json("status", "--instance", name)["nick"], name)

    def test_a_reader_that_has_seen_enough(self) -> None:
        alice, _ = self.daemons()
        reading, writing = os.pipe()
        os.close(reading)
        done = alice.lan.run(
            0, [*P2PSHARE, "status"], env=environment(alice.home), stdout=writing,
            capture_output=False, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(writing)
        self.assertEqual((done.returncode, done.stderr), (Exit.BROKEN_PIPE, ""))
