"""The ten-line scripts of docs/examples and a real node: plain sockets on one side, a menu on the
other."""

from __future__ import annotations

import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests.lan.nodes import PATIENCE, NodesMixin, environment, free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


class ScriptsTestCase(NodesMixin, TestCase):
    timeout = 60  # seconds, never met: every wait has a deadline of its own

    def script(self, name: str, *arguments: str, home: str) -> subprocess.Popen[bytes]:
        """Start an example; without a terminal, it asks for a password on its standard input."""
        child = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            cwd=self.home(home),
            env=environment(self.home(home)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        for cleanup in (child.stdout.close, child.stdin.close, child.wait, child.kill):
            self.addCleanup(cleanup)
        return child

    def line(self, child: subprocess.Popen[bytes]) -> str:
        """Its next line."""
        deadline, line = time.monotonic() + PATIENCE, b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                byte = child.stdout.read(1) if ready else b""
                self.assertTrue(byte, f"the script went silent after {line!r}")
                line += byte
        return line.decode().rstrip("\n")


class ChatTests(ScriptsTestCase):
    def where(self) -> list[str]:
        return [self.group, str(self.port), "127.0.0.1"]

    def test_a_ten_line_receiver_prints_our_text_first_and_once(self) -> None:
        receiver = self.script("receiver.py", *self.where(), home="script")
        # It says nothing when it is ready: ask until it answers.
        sender = [sys.executable, str(EXAMPLES / "sender.py"), "ready?", *self.where()]
        with selectors.DefaultSelector() as selector:
            selector.register(receiver.stdout, selectors.EVENT_READ)
            while not selector.select(0.1):
                subprocess.run(sender, check=True)
        while not (line := self.line(receiver)).endswith("ready?"):
            self.fail(line)
        node = self.node("node")
        node.type("1", "coucou à tous, 漢字 🙂", "1", "et encore")
        heard = [self.line(receiver)]
        while heard[-1].endswith("ready?"):
            heard = [self.line(receiver)]
        self.assertEqual(heard, ["127.0.0.1 :> coucou à tous, 漢字 🙂"])
        self.assertRegex(self.line(receiver), r"\A~p2pshare/1 say ")
        self.assertEqual(self.line(receiver), "127.0.0.1 :> et encore")

    def test_a_ten_line_sender_is_shown_with_its_address_as_unverified(self) -> None:
        node = self.node("node")
        sender = self.script("sender.py", "coucou !", *self.where(), home="script")
        node.expect(r"(?m)^127\.0\.0\.1 :> coucou !  \(unverified\)$")
        self.assertEqual(sender.wait(PATIENCE), 0)

    def test_a_line_of_socat(self) -> None:
        if shutil.which("socat") is None:
            raise SkipTest("socat is not installed")
        node = self.node("node")
        to = f"UDP4-DATAGRAM:{self.group}:{self.port},ip-multicast-if=127.0.0.1"
        subprocess.run(["socat", "-", to], input=b"coucou !\n", check=True, timeout=PATIENCE)
        node.expect(r"(?m)^127\.0\.0\.1 :> coucou !  \(unverified\)$")

    def test_a_script_cannot_pass_for_a_node_or_for_the_program(self) -> None:
        """Attack 35: what imitates a signed or a system line is shown as a script's."""
        node = self.node("node")
        for text in ("* alice is here (10.0.0.1)", "alice :> salut", "! Refused", "\n* moon\n"):
            sender = self.script("sender.py", text, *self.where(), home="script")
            node.expect(r"(?m)^127\.0\.0\.1 :> .*  \(unverified\)$")
            self.assertEqual(sender.wait(PATIENCE), 0)
        node.expect_not(r"(?m)^(\* (alice|moon)|alice|! Refused)")


class FileTests(ScriptsTestCase):
    def test_a_file_of_a_node_comes_to_a_script_by_the_ticket(self) -> None:
        node = self.node("node")
        (node.folder / "monImage.jpg").write_bytes(b"image" * 100_000)
        node.type("4", "monImage.jpg", "monpass", "n")
        ticket = node.expect(r'Its ticket: \("127\.0\.0\.1",(\d+)\),\("monpass","(.*)"\)')
        fetch = self.script("fetch.py", "127.0.0.1", ticket[1], ticket[2], home="script")
        fetch.stdin.write(b"monpass\n")
        self.assertIn("monImage.jpg is here, whole.", self.line(fetch))
        self.assertEqual(fetch.wait(PATIENCE), 0)
        got = self.home("script") / "monImage.jpg"
        self.assertEqual(got.read_bytes(), b"image" * 100_000)

    def test_a_script_with_a_wrong_password_ends_with_a_sentence_and_nothing_else(self) -> None:
        node = self.node("node")
        (node.folder / "monImage.jpg").write_bytes(b"image")
        node.type("4", "monImage.jpg", "monpass", "n")
        port = node.expect(r'Its ticket: \("127\.0\.0\.1",(\d+)\)')[1]
        fetch = self.script("fetch.py", "127.0.0.1", port, "monImage.jpg", home="script")
        fetch.stdin.write(b"wrong\n")
        self.assertEqual(fetch.wait(PATIENCE), 1)
        self.assertEqual(list(self.home("script").iterdir()), [])
        node.expect(r"tried a wrong password for monImage\.jpg")

    def test_a_file_of_a_script_comes_to_a_node_by_a_pasted_ticket(self) -> None:
        port = free_port()
        (self.home("script") / "monImage.jpg").write_bytes(b"image" * 100_000)
        serve = self.script("serve.py", str(port), "monImage.jpg", home="script")
        serve.stdin.write(b"monpass\n")
        self.assertIn(f"Serving 1 files on port {port}.", self.line(serve))
        node = self.node("node")
        node.type("2", f'("127.0.0.1",{port}),("monpass","monImage.jpg")')
        node.expect(r"monImage\.jpg is here, whole")
        node.expect(r"The owner of monImage\.jpg is unknown")
        got = (node.folder / "monImage.jpg").read_bytes()
        self.assertEqual(got, b"image" * 100_000)
