"""The command itself: how it starts, what it refuses, how it ends, and that it keeps secrets."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.nodes import (
    PATIENCE,
    NodeProcess,
    NodesMixin,
    environment,
    is_running,
    kill,
    twistd,
    until,
)
from twistedp2p.core.errors import Exit

FAILING_START = """
from twistedp2p.node import Node
def start(self):
    raise RuntimeError("the moon is full")
Node.start = start
"""
# A signal that comes at once, before the loop runs.
ENDED_AT_ONCE = """
import os, signal
from twistedp2p.node import Node
start = Node.start
def start_and_be_told_to_end(self):
    start(self)
    os.kill(os.getpid(), signal.{name})
Node.start = start_and_be_told_to_end
"""
# A node in a background job of a terminal: the shell keeps the foreground.
BACKGROUND_JOB = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    os.execv(sys.argv[1], sys.argv[1:])
print("job", job, flush=True)
os.waitpid(job, 0)
"""


class TwistdTestCase(NodesMixin, TestCase):
    timeout = 60  # seconds, never met: every wait has a deadline of its own

    def background(self, home: str, *options: str) -> int:
        """Start a node without -n; its process id."""
        done = self.run_node("p2pshare", *self.here(*options), home=home)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        said = re.search(r"Its log: (\S+)\. To stop it: p2pshare (stop.*)\n$", done.stderr)
        self.assertIsNotNone(said, done.stderr)
        log, self.stop = Path(said[1]), said[2].split()
        pid = int((log.parent / "node.pid").read_text())
        self.addCleanup(kill, pid)
        self.assertTrue(log.exists())
        return pid


class RefusedTests(TwistdTestCase):
    """One clear sentence, an exit code of its own, and nothing half started."""

    def refused(self, code: Exit, sentence: str, *options: str, background: bool = False) -> None:
        ears = [self.ear(self.port + 1)]
        mode = [] if background else ["-n"]
        done = self.run_node(*mode, "p2pshare", *self.here(*options), text="1\ncoucou\n3\n")
        self.assertRegex(done.stderr, rf"\Ap2pshare: {sentence}\n\Z")
        self.assertEqual((done.returncode, done.stdout), (code, ""))
        for ear in ears:
            ear.setblocking(False)
            self.assertRaises(BlockingIOError, ear.recv, 2000)
        home = self.home("it")
        self.assertEqual([path for path in home.iterdir() if path.name.startswith("twistd")], [])
        self.assertEqual(list(home.rglob("node.pid")), [])

    def holder(self, kind: socket.SocketKind, port: int) -> None:
        sock = socket.socket(socket.AF_INET, kind)
        self.addCleanup(sock.close)
        sock.bind(("", port))
        if kind == socket.SOCK_STREAM:
            sock.listen()

    def test_an_option_that_is_not_one(self) -> None:
        self.refused(Exit.USAGE, "option --moon not recognized. See: .* --help", "--moon")

    def test_a_group_that_is_no_multicast_address(self) -> None:
        self.refused(Exit.BAD_GROUP, r"10\.0\.0\.1 is no multicast address; .*", "-g", "10.0.0.1")

    def test_a_group_of_ipv6(self) -> None:
        self.refused(Exit.BAD_GROUP, "fe80::1 is no multicast address; .*", "-g", "fe80::1")

    def test_a_udp_port_that_is_not_shared(self) -> None:
        self.holder(socket.SOCK_DGRAM, self.port)
        # The same in the background, where nobody would see what is found too late.
        for background in (False, True):
            self.refused(
                Exit.PORT_TAKEN,
                rf"UDP port {self.port} is held by .*, which does not share it",
                background=background,
            )

    def test_a_port_for_files_that_is_taken(self) -> None:
        self.holder(socket.SOCK_STREAM, self.port)
        self.refused(
            Exit.PORT_TAKEN,
            rf"TCP port {self.port} is in use by .*",
            *("--file-port", str(self.port)),
        )

    def test_an_interface_that_is_not_there(self) -> None:
        self.refused(
            Exit.NO_INTERFACE,
            r"no usable interface is called 'moon0'; there are: .*lo \(127\.0\.0\.1\).*",
            *("--interface", "moon0"),
        )

    def test_a_state_folder_that_cannot_be_made(self) -> None:
        self.refused(
            Exit.NO_FOLDER,
            r"The folder /dev/null/state cannot be used: Not a directory\. Choose another .*",
            *("--state-dir", "/dev/null/state"),
        )

    def test_a_memory_that_cannot_be_used(self) -> None:
        slot = self.home("it") / ".local/state/p2pshare/1"
        slot.mkdir(parents=True)
        name = f"group-{self.group}-{self.port}.db"
        (slot / name).write_bytes(b"no database" * 1000)
        for background in (False, True):
            self.refused(
                Exit.NO_FOLDER,
                r"The node's memory \S+/group-\S+\.db cannot be used \(.*\); move it away .*",
                background=background,
            )

    def test_a_download_folder_that_cannot_be_written_to(self) -> None:
        self.refused(
            Exit.NO_FOLDER,
            r"Nothing can be written to /dev/null/in; choose another with --download-dir\.",
            *("--download-dir", "/dev/null/in"),
        )

    def test_a_password_file_that_cannot_be_read(self) -> None:
        self.refused(
            Exit.NO_INPUT,
            r"moon\.txt cannot be read: No such file or directory\.",
            *("--password-file", "moon.txt"),
        )

    def test_a_file_to_offer_that_is_not_there(self) -> None:
        self.refused(
            Exit.NO_INPUT,
            r"/\S+/it/moon\.jpg cannot be read: No such file or directory\.",
            *("--offer", "moon.jpg"),
        )

    def test_an_offer_whose_password_nobody_would_see(self) -> None:
        (self.home("it") / "a.txt").write_text("a")
        self.refused(
            Exit.USAGE,
            "--offer needs a --password-file where there is no menu to show a password.",
            *("--offer", "a.txt", "--menu", "never"),
        )

    def test_what_nobody_foresaw_is_one_sentence_too_and_the_log_has_the_rest(self) -> None:
        done = self.run_node(
            "-n", "p2pshare", *self.here(), text="1\ncoucou\n3\n", before=FAILING_START
        )
        log = self.home("it") / ".local/state/p2pshare/1/node.log"
        sentence = f"The node could not start (RuntimeError('the moon is full')); see {log}."
        self.assertEqual(done.stderr, f"p2pshare: {sentence}\n")
        self.assertEqual((done.returncode, done.stdout), (Exit.FAILED, ""))
        self.assertIn("Traceback", log.read_text())
        self.assertEqual(list(self.home("it").rglob("node.pid")), [])

    def test_what_nobody_foresaw_in_the_background_reaches_the_person(self) -> None:
        done = self.run_node("p2pshare", *self.here(), before=FAILING_START)
        self.assertEqual(done.returncode, Exit.FAILED)
        self.assertIn("the moon is full", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(list(self.home("it").rglob("node.pid")), [])


class TwiceTests(TwistdTestCase):
    def identity(self, node: NodeProcess) -> str:
        return re.search(r"\(((\w{4}-){3}\w{4})\) in the group", node.output)[1]

    def test_the_same_command_twice_in_one_folder_is_two_nodes_that_stay_who_they_are(self) -> None:
        first = [self.node("one", home="both"), self.node("two", home="both")]
        self.assertFalse((self.home("both") / "twistd.pid").exists())
        first[0].expect("two is here")
        first[1].expect("one is here")
        before = [self.identity(node) for node in first]
        self.assertEqual(len(set(before)), 2)
        self.assertEqual([node.quit() for node in first], [0, 0])
        again = [self.node("one", home="both"), self.node("two", home="both")]
        self.assertEqual([self.identity(node) for node in again], before)
        files = [again[0].slot.parent / slot / "node.pid" for slot in "12"]
        for node, file in zip(again, files, strict=True):
            self.assertEqual(int(file.read_text()), node.process.pid)
            self.assertEqual(node.quit(), 0)
            self.assertFalse(file.exists())


class EndTests(TwistdTestCase):
    def test_a_signal_says_goodbye_and_leaves_nothing(self) -> None:
        watcher = self.node("watcher")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            node = self.node(f"n{number:d}")
            watcher.expect(f"n{number:d} is here")
            self.assertIn(node.signal(number), (0, -number))
            watcher.expect(f"n{number:d} has left")
            self.assertEqual(node.errors, "")
            self.assertEqual(list(node.folder.rglob("node.pid")), [])
            self.assertEqual(list(node.folder.rglob("*.db-wal")), [])  # closed in good order

    def test_a_signal_before_the_loop_runs_says_goodbye_too(self) -> None:
        watcher = self.node("watcher")
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            node = self.node(name, before=ENDED_AT_ONCE.format(name=name), wait=False)
            watcher.expect(f"{name} is here")
            watcher.expect(f"{name} has left")
            self.assertIn(node.wait(), (0, -getattr(signal, name)))

    def test_a_node_whose_hang_up_is_ignored_outlives_its_terminal(self) -> None:
        ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
        node = self.node("node", before=ignore)
        node.process.send_signal(signal.SIGHUP)
        node.type("6")
        node.expect("node  .*  you")

    def test_a_script_says_one_line_and_quits(self) -> None:
        ear = self.ear(self.port)
        done = self.run_node("-n", "p2pshare", *self.here(), text="1\ncoucou\n3\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(ear.recv(2000), rb"\Acoucou\n~p2pshare/1 say ")
        self.assertEqual(done.stdout.splitlines()[2], "Your message?")

    def test_the_end_of_the_input_is_the_end(self) -> None:
        done = self.run_node("-n", "p2pshare", *self.here(), text="6")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("  you\n", done.stdout)


class NobodyTypesTests(TwistdTestCase):
    """Without anybody who could type there is no menu, and the node lives on."""

    def headless(self, name: str, redirection: str) -> subprocess.Popen[bytes]:
        folder = self.home(name)
        argv = twistd("-n", "p2pshare", "--nick", name, *self.here())
        with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
            child = subprocess.Popen(
                ["sh", "-c", f'exec "$@" {redirection}', "sh", *argv],
                cwd=folder,
                env=environment(folder),
                stdout=out,
                stderr=err,
            )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def test_standard_input_closed_or_dev_null(self) -> None:
        watcher = self.node("watcher")
        for name, redirection in {
            "closed": "<&-",
            "null": "</dev/null",
            "nothing": "<&- >&- 2>&-",
            "deaf": "</dev/null >&-",
        }.items():
            child = self.headless(name, redirection)
            watcher.expect(f"{name} is here")
            folder = self.home(name)
            self.assertNotIn("help >", (folder / "out").read_text())
            self.assertEqual((folder / "err").read_text(), "")
            self.assertIsNone(child.poll())
            # The lock of the slot is not among the standard descriptors.
            for descriptor in "012":
                target = os.readlink(f"/proc/{child.pid}/fd/{descriptor}")
                self.assertNotIn(".local", target)
            child.terminate()
            watcher.expect(f"{name} has left")
            self.assertEqual(child.wait(PATIENCE), -signal.SIGTERM)

    def test_a_background_job_of_a_terminal(self) -> None:
        watcher = self.node("watcher")
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        folder = self.home("job")
        argv = twistd("-n", "p2pshare", "--nick", "job", *self.here())
        shell = subprocess.Popen(
            [sys.executable, "-c", BACKGROUND_JOB, *argv],
            cwd=folder,
            env={**environment(folder), "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        shown = b""
        while b"\n" not in shown:
            self.assertTrue(select.select([ours], [], [], PATIENCE)[0], shown)
            shown += os.read(ours, 1000)
        pid = int(shown.split()[1])
        self.addCleanup(kill, pid)
        watcher.expect("job is here")
        os.kill(pid, signal.SIGTERM)
        watcher.expect("job has left")
        shell.wait(PATIENCE)
        self.assertTrue(select.select([ours], [], [], PATIENCE)[0])  # its log
        self.assertNotIn(b"help", os.read(ours, 65536))


class BackgroundTests(TwistdTestCase):
    def test_without_n_two_nodes_go_to_the_background_from_one_folder(self) -> None:
        watcher = self.node("watcher")
        pids, stops = [], []
        for name in ("one", "two"):
            pids.append(self.background("both", "--nick", name))
            stops.append(self.stop)
        self.assertEqual(stops, [["stop"], ["stop", "--instance", "2"]])
        watcher.expect("one is here")
        watcher.expect("two is here")
        home = self.home("both")
        self.assertEqual([path.name for path in home.iterdir()], [".local"])
        slots = home / ".local/state/p2pshare"
        for slot, pid, name, stop in zip("12", pids, ("one", "two"), stops, strict=True):
            self.assertEqual((slots / slot / "node.pid").read_text(), str(pid))
            self.assertIn("starting up", (slots / slot / "node.log").read_text())
            self.assertEqual((slots / slot / "node.log").stat().st_mode & 0o777, 0o600)
            ended = [sys.executable, "-m", "twistedp2p.cli", *stop]
            subprocess.run(ended, env=environment(home), check=True, timeout=PATIENCE)
            watcher.expect(f"{name} has left")
            until(lambda pid=pid: not is_running(pid), "the node has ended")
            self.assertFalse((slots / slot / "node.pid").exists())

    def test_what_it_offers_can_be_got(self) -> None:
        home = self.home("owner")
        (home / "a.txt").write_text("a file")
        (home / "password").write_text("monpass\n")
        watcher = self.node("watcher")
        self.background("owner", "--nick", "owner", "-o", "a.txt", "--password-file", "password")
        number = watcher.expect(r"owner offers a\.txt .*: type 2 (\d+) to get it")[1]
        watcher.type("2", number, "monpass")
        watcher.expect(r"a\.txt is here, whole")
        self.assertEqual((watcher.folder / "a.txt").read_text(), "a file")


class OfferOptionTests(TwistdTestCase):
    def test_the_menu_shows_the_ticket_of_a_file_offered_by_an_option(self) -> None:
        (self.home("owner") / "a.txt").write_text("a file")
        owner = self.node("owner", "--offer", "a.txt")
        ticket = owner.expect(r'a\.txt is on offer\. Its ticket: (\(".*"\))')[1]
        other = self.node("other")
        other.type("2", ticket)
        other.expect(r"a\.txt is here, whole")


class SecretTests(TwistdTestCase):
    def test_a_password_is_nowhere_but_in_the_two_heads_that_know_it(self) -> None:
        """Attack 46: not in argv, environment, log, memory on disk, temporary files, datagrams."""
        typed, filed = "Trompette-84-typed", "Trompette-84-filed"
        secrets = (typed.encode(), filed.encode())
        ears = [self.ear(self.port), self.ear(self.port + 1)]
        owner_home = self.home("owner")
        for name in ("a.txt", "b.txt"):
            (owner_home / name).write_text("a file")
        password_file = self.home("elsewhere") / "password"
        password_file.write_text(filed + "\n")
        owner = self.node(
            *("owner", "--verbose", "--offer", "b.txt", "--password-file", str(password_file))
        )
        other = self.node("other", "--verbose")
        owner.type("4", "a.txt", typed, "n")
        owner.expect(r"The group was told: a\.txt")
        other.expect_all("owner is here", r"offers a\.txt", r"offers b\.txt")
        for name, password in (("a.txt", typed), ("b.txt", filed)):
            other.type("2", name, password)
            other.expect(f"{name} is here, whole")
        other.type("2", "a.txt", "wrong")
        other.expect("Refused: wrong password")

        heard = []
        for ear in ears:
            ear.setblocking(False)
            try:
                while True:
                    heard.append(ear.recv(65536))
            except BlockingIOError:
                pass
        self.assertTrue(heard)
        texts = {f"datagram {data!r}": data for data in heard}
        for node in (owner, other):
            proc = Path(f"/proc/{node.process.pid}")
            texts |= {
                str(proc / name): (proc / name).read_bytes() for name in ("cmdline", "environ")
            }
            # While it runs: with the write-ahead log of its memory, and whatever is temporary.
            texts |= {str(p): p.read_bytes() for p in node.folder.rglob("*") if p.is_file()}
        for where, data in texts.items():
            for secret in (*secrets, b"wrong\n"):
                self.assertNotIn(secret, data, where[:200])
        # What is shown is the owner's alone: the ticket that a person hands on.
        self.assertNotIn(typed, other.output)
