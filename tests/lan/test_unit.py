"""A node as a service: what it tells systemd, how it ends, and how its unit shuts it in."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.lan.nodes import PATIENCE, NodesMixin, environment, twistd
from twistedp2p.cli.unit import unit
from twistedp2p.core.errors import Exit

CLEAN_END = 9.0  # seconds from SIGTERM: 5 on a machine that is not busy; a caller has 10
EXPOSED = 2.5  # of systemd-analyze security, whose scale ends at 10


class NotifyTests(NodesMixin, TestCase):
    timeout = 60  # seconds, never met: every wait has a deadline of its own

    def setUp(self) -> None:
        self.folder = self.home("service")
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.ear.close)
        self.ear.bind(str(self.folder / "notify"))
        self.told: queue.Queue[str] = queue.Queue()
        listening = threading.Thread(target=self.listen)
        listening.start()
        self.addCleanup(listening.join)
        self.addCleanup(self.ear.shutdown, socket.SHUT_RDWR)

    def listen(self) -> None:
        """In a thread: only some ten of what is told wait in a socket, and the rest is lost."""
        while told := self.ear.recv(1000):
            self.told.put(told.decode())

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            twistd("-n", "p2pshare", "--menu", "never", *self.here(*options)),
            cwd=self.folder,
            env={
                **environment(self.folder),
                "NOTIFY_SOCKET": str(self.folder / "notify"),
                "WATCHDOG_USEC": "400000",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def hear(self, word: str) -> str:
        """What is told next with that word in it."""
        until = time.monotonic() + PATIENCE
        while word not in (told := self.told.get(timeout=until - time.monotonic())):
            pass
        return told

    def test_it_tells_that_it_is_ready_that_it_lives_and_that_it_stops(self) -> None:
        (self.folder / "a.txt").write_text("a file")
        (self.folder / "password").write_text("monpass\n")
        child = self.start("--offer", "a.txt", "--password-file", "password")
        self.assertEqual(self.told.get(timeout=PATIENCE), "READY=1")
        self.hear("STATUS=nodes here: 1, offers: 1, transfers: 0")
        self.hear("WATCHDOG=1")
        other = self.node("other")
        number = other.expect(r"offers a\.txt .*: type 2 (\d+) to get it")[1]
        other.type("2", number, "monpass")
        other.expect(r"a\.txt is here, whole")
        self.hear("STATUS=nodes here: 2")
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        self.hear("STOPPING=1")
        self.assertEqual(child.wait(PATIENCE), -signal.SIGTERM)
        self.assertLess(time.monotonic() - began, CLEAN_END)
        other.expect("has left")

    def test_a_caller_that_stands_still_does_not_hold_up_the_end(self) -> None:
        child = self.start()
        self.hear("READY=1")
        with socket.create_connection(("127.0.0.1", self.port + 1)):
            began = time.monotonic()
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(PATIENCE), -signal.SIGTERM)
            self.assertLess(time.monotonic() - began, CLEAN_END)

    def test_a_node_that_does_not_start_is_never_ready(self) -> None:
        holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(holder.close)
        holder.bind(("", self.port))
        self.assertEqual(self.start().wait(PATIENCE), 69)
        self.assertTrue(self.told.empty())


class UnitTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_units_run_the_twistd_of_this_installation(self) -> None:
        programs = self.folder / "a b%$"
        programs.mkdir()
        self.assertIn("ExecStart=twistd --nodaemon p2pshare", unit("user", programs))
        (programs / "twistd").touch()
        path = str(programs).replace("%", "%%").replace("$", "$$")
        self.assertIn(f'ExecStart="{path}/twistd" --nodaemon p2pshare', unit("system", programs))

    def test_a_node_can_be_named(self) -> None:
        named = unit("user", self.folder, "two")
        self.assertIn("ExecStart=twistd --nodaemon p2pshare --instance two --menu never\n", named)

    def test_what_a_person_has_to_mend_first_is_not_tried_again(self) -> None:
        mend = (Exit.USAGE, Exit.BAD_GROUP, Exit.NO_INPUT, Exit.NO_INTERFACE, Exit.NO_FOLDER)
        line = "RestartPreventExitStatus=" + " ".join(str(int(code)) for code in mend)
        for name in ("user", "system"):
            self.assertIn(f"\n{line}\n", unit(name, self.folder))

    def analyze(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What systemd says of a unit, where it is at hand."""
        if shutil.which("systemd-analyze") is None:
            raise unittest.SkipTest("systemd-analyze is not installed")
        path = self.folder / "p2pshare.service"
        path.write_text(unit(name, Path("/usr/bin")).replace("=twistd", "=/usr/bin/true"))
        return subprocess.run(
            ["systemd-analyze", *arguments, "--no-pager", str(path)],
            env={**os.environ, "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_systemd_understands_every_line(self) -> None:
        for name in ("system", "user"):
            done = self.analyze(name, "verify", f"--{name}", "--man=no")
            said = [line for line in done.stderr.splitlines() if "p2pshare.service" in line]
            self.assertEqual((done.returncode, said), (0, []), done.stderr)

    def test_the_service_of_the_machine_is_shut_in(self) -> None:
        """As systemd itself reckons."""
        done = self.analyze("system", "security", "--offline=true")
        if "unrecognized option" in done.stderr:
            raise unittest.SkipTest("this systemd-analyze reads no unit that is not loaded")
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        self.assertIsNotNone(found, done.stderr)
        self.assertLess(float(found[1]), EXPOSED)
