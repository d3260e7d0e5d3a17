"""The p2pshare command: its options, what it prints, its exit codes."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.lan.netns import child_environment
from tests.lan.nodes import free_port
from twistedp2p import cli
from twistedp2p.cli import doctor, examining
from twistedp2p.cli.doctor import CODES
from twistedp2p.cli.manual import EXITS
from twistedp2p.control.problem import exit_of
from twistedp2p.core.diagnosis import CHECKS
from twistedp2p.core.errors import Exit, ShareError


def p2pshare(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    inherited = child_environment()
    for name in ("LANGUAGE", "LC_MESSAGES", "LC_ALL"):
        inherited.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "twistedp2p.cli", *arguments],
        env={**inherited, "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class OptionTests(SynchronousTestCase):
    def refused(self, *arguments: str) -> str:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            error = self.assertRaises(SystemExit, cli.main, arguments)
        self.assertEqual(error.code, Exit.USAGE)
        return errors.getvalue()

    def shown(self, *arguments: str) -> str:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            error = self.assertRaises(SystemExit, cli.main, arguments)
        self.assertEqual(error.code, Exit.OK)
        return text.getvalue()

    def test_help_names_every_command_and_fits_a_screen(self) -> None:
        with mock.patch.dict(os.environ, {"COLUMNS": "80"}):
            pages = [self.shown("--help"), *(self.shown(name, "--help") for name in cli.COMMANDS)]
        for name in cli.COMMANDS:
            self.assertIn(name, pages[0])
        for page in pages:
            lines = page.splitlines()
            self.assertLessEqual(len(lines), 23)  # and the prompt below
            self.assertLessEqual(max(map(len, lines)), 80)

    def test_the_version(self) -> None:
        self.assertRegex(self.shown("--version"), r"^p2pshare \d")

    def test_what_is_not_understood_is_refused(self) -> None:
        self.assertIn("COMMAND", self.refused())
        self.assertIn("docter", self.refused("docter"))
        self.assertIn("--speed", self.refused("doctor", "--speed"))
        for port in ("0", "1023", "65535", "x", "٩٣٩٢", "-1", "9" * 30):
            self.assertIn("1024 to 65534", self.refused("doctor", "--port", port))
        for peer in ("", ":9393", "host:0", "host:65536", "host:x"):
            self.assertIn("HOST", self.refused("doctor", f"--peer={peer}"))
        self.refused("doctor", "--ttl", "256")

    def test_the_peers(self) -> None:
        for text, peer in {
            "host": ("host", None),
            "10.0.0.1:9393": ("10.0.0.1", 9393),
            "[fe80::1]": ("fe80::1", None),
            "[fe80::1%eth0]:7": ("fe80::1%eth0", 7),
        }.items():
            self.assertEqual(doctor.peer(text), peer)
        parser = argparse.ArgumentParser()
        doctor.configure(parser)
        options = parser.parse_args(["--peer", "a", "--peer", "b:1024"])
        self.assertEqual(options.peer, [("a", None), ("b", 1024)])
        self.assertEqual(examining._address("fe80::1%lo", 9393), ("fe80::1%lo", 9393))

    def test_the_doctor_looks_where_the_nodes_are(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('port = 7001\npeer = ["a", "b:1024"]\nttl = 0\nstate-dir = "state"\n')
            file.flush()
            with mock.patch.dict(os.environ, {"P2PSHARE_CONFIG": file.name}):
                found = self.settled()
                given = self.settled("--port", "7002", "--peer", "c")
                with mock.patch.dict(os.environ, {"P2PSHARE_PORT": "80"}):
                    error = self.assertRaises(ShareError, self.settled)
        self.assertEqual((found.group, found.port, found.ttl), ("239.0.0.1", 7001, 0))
        self.assertEqual(found.peer, [("a", None), ("b", 1024)])
        self.assertEqual(found.state_dir, Path(file.name).parent / "state")
        self.assertEqual((found.interface, found.group_code_file), ([], None))
        self.assertEqual((given.port, given.peer), (7002, [("c", None)]))
        self.assertEqual(str(error), "P2PSHARE_PORT: port: a number from 1024 to 65534.")

    def test_the_doctor_looks_where_the_node_is_that_is_named(self) -> None:
        asked: list[str] = []

        class Client:
            def get(self, where: str) -> dict[str, object]:
                return {"group": "239.9.9.9", "port": 7003, "nick": "lab"}

        def client_of(options: argparse.Namespace) -> Client:
            asked.append(options.instance)
            return Client()

        with mock.patch.object(doctor, "client_of", client_of):
            found = self.settled("--instance", "lab")
            given = self.settled("--instance", "lab", "--port", "7002")
            self.settled()
        self.assertEqual((found.group, found.port, asked), ("239.9.9.9", 7003, ["lab", "lab"]))
        self.assertEqual((given.group, given.port), ("239.9.9.9", 7002))
        with tempfile.TemporaryDirectory() as state:
            none = self.assertRaises(
                ShareError, self.settled, "--instance", "lab", "--state-dir", state
            )
            self.assertEqual(none.code, Exit.NO_NODE)
            self.assertEqual(str(none), "There is no node of the name lab.")
            (Path(state) / "lab").mkdir(mode=0o700)  # it has been here, and does not run
            silent = self.settled("--instance", "lab", "--state-dir", state)
            self.assertEqual((silent.group, silent.port), ("239.0.0.1", 9392))
            bad = self.assertRaises(ShareError, self.settled, "--instance", "../x")
        self.assertEqual(bad.code, Exit.USAGE)

    def settled(self, *arguments: str) -> argparse.Namespace:
        options = cli.parser("doctor").parse_args(arguments)
        doctor.settle(options)
        return options

    def test_failures_are_one_sentence_with_a_code(self) -> None:
        for arguments, code, sentence in (
            (["doctor", "-g", "10.0.0.1"], Exit.BAD_GROUP, "p2pshare: 10.0.0.1 is no multicast"),
            (["doctor", "-i", "nope0"], Exit.NO_INTERFACE, "p2pshare: no usable interface is"),
            (["doctor", "--peer", "nope.invalid"], Exit.NOT_FOUND, "p2pshare: No address is"),
        ):
            done = p2pshare(*arguments)
            self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
            self.assertTrue(done.stderr.startswith(sentence), done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_who_interrupts_or_has_seen_enough_gets_no_traceback(self) -> None:
        for stop, code in ((KeyboardInterrupt(), Exit.INTERRUPTED), (ShareError("no"), 1)):
            with (
                mock.patch.object(doctor, "run", side_effect=stop),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                self.assertEqual(cli.main(["doctor"]), code)

    def test_a_reader_of_the_doctor_that_has_seen_enough(self) -> None:
        for more in ([], ["--json"]):
            reading, writing = os.pipe()
            os.close(reading)
            process = subprocess.run(
                [sys.executable, "-m", "twistedp2p.cli", "doctor", "--quick", "-i", "lo", *more],
                env={**child_environment(), "LC_ALL": "C.UTF-8"},
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
            os.close(writing)
            self.assertEqual((process.returncode, process.stderr), (Exit.BROKEN_PIPE, ""))


def codes_of(text: str) -> set[int]:
    """The numbers in the first column of each table."""
    firsts = re.findall(r"^\|([ 0-9,]+)\|", text, re.MULTILINE)
    return {int(number) for first in firsts for number in re.findall("[0-9]+", first)}


class ExitCodeTests(SynchronousTestCase):
    """What is documented is what there is."""

    def document(self, name: str) -> str:
        return (Path(__file__).parents[2] / name).read_text("utf-8")

    def test_of_commands(self) -> None:
        of_doctor = {Exit.WARNED, Exit.ALONE, Exit.HERE, Exit.BETWEEN}
        of_start = {Exit.BAD_GROUP, Exit.NO_INTERFACE, Exit.PORT_TAKEN, Exit.NO_FOLDER}
        text = self.document("docs/cli.md").partition("## Exit codes")[2].partition("\n## ")[0]
        self.assertEqual(codes_of(text), {*map(int, set(Exit) - of_doctor - of_start)})
        in_help = {int(number) for number in re.findall("[0-9]+", cli.EPILOG)}
        self.assertEqual(in_help, codes_of(text) - {Exit.NO_INPUT})

    def test_of_a_node_that_could_not_start(self) -> None:
        text = self.document("README.md").partition("Exit codes:")[2].partition("\n\n")[0]
        text = text.partition("(Those of")[0]
        told = {int(number) for number in re.findall("[0-9]+", text)}
        self.assertEqual(told, {*map(int, EXITS)})

    def test_of_the_doctor(self) -> None:
        text = self.document("docs/doctor.md").partition("| exit code |")[2]
        self.assertEqual(codes_of(text), {int(number) for number in re.findall("[0-9]+", CODES)})

    def test_of_the_control_interface(self) -> None:
        text = self.document("docs/control.md").partition("| exit |")[2].partition("\n\n")[0]
        self.assertEqual(codes_of(text), {int(exit_of(code)) for code in Exit} - {Exit.OK})


class ClosedStreamTests(SynchronousTestCase):
    """One sentence, no traceback."""

    def ended(self, line: str) -> tuple[int, str, str]:
        """What a shell makes of a command line: exit code, output, errors."""
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                ["sh", "-c", line.replace("p2pshare", f"{sys.executable} -m twistedp2p.cli")],
                env={**child_environment(), "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": home},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        return done.returncode, done.stdout, done.stderr

    def test_standard_output(self) -> None:
        said = "p2pshare: The system says: Bad file descriptor.\n"
        self.assertEqual(self.ended("p2pshare code --no-qr >&-"), (1, "", said))

    def test_standard_input(self) -> None:
        said = "p2pshare: The system says: Bad file descriptor.\n"
        self.assertEqual(self.ended("p2pshare get - <&-"), (1, "", said))

    def test_standard_error(self) -> None:
        self.assertEqual(self.ended("p2pshare list 2>&-"), (Exit.NO_NODE, "", ""))

    def test_what_the_system_refuses(self) -> None:
        for number, said in (
            (errno.EIO, "The system says: /a: Input/output error."),
            (errno.EDQUOT, "Nothing can be written: /a: Disk quota exceeded."),
            (errno.EFBIG, "Nothing can be written: /a: File too large."),
        ):
            errors = io.StringIO()
            with (
                mock.patch.object(
                    doctor, "run", side_effect=OSError(number, os.strerror(number), "/a")
                ),
                mock.patch.object(cli, "_write_no_more"),
                contextlib.redirect_stderr(errors),
            ):
                self.assertEqual(cli.main(["doctor"]), 1)
            self.assertEqual(errors.getvalue(), f"p2pshare: {said}\n")


class LoadingTests(SynchronousTestCase):
    def test_the_doctor_loads_no_desk(self) -> None:
        look = (
            "import sys, twistedp2p.cli.examining as e; from twistedp2p import node;"
            "print('twistedp2p.node.desk' in sys.modules, node.Node.__name__, hasattr(node, 'x'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", look],
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.stdout, done.stderr), ("False Node False\n", ""))


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.port = free_port()
        self.here = ("doctor", "-g", "239.77.2.2", "-p", str(self.port), "-i", "lo", "--quick")

    def test_on_the_loopback_alone_it_is_a_table(self) -> None:
        done = p2pshare(*self.here)
        self.assertEqual((done.returncode, done.stderr), (Exit.ALONE, ""), done.stdout)
        lines = done.stdout.splitlines()
        numbers = [int(line[:2]) for line in lines if line[:2].strip().isdigit()]
        self.assertEqual(numbers, list(range(1, len(CHECKS) + 1)))
        self.assertIn("No other node was found", done.stdout)

    def test_and_a_document(self) -> None:
        done = p2pshare(*self.here, "--json", LC_ALL="fr_FR.UTF-8")
        made = json.loads(done.stdout)
        self.assertEqual((done.returncode, made["exit"], made["cause"]), (11, 11, "alone"))
        self.assertIn("Aucun autre nœud", made["what"])

    def test_a_port_that_is_taken_is_the_cause(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", self.port))
            done = p2pshare(*self.here, "--json")
        made = json.loads(done.stdout)
        self.assertEqual((done.returncode, made["cause"]), (Exit.HERE, "port_taken"))
        self.assertIn(str(os.getpid()), made["checks"][1]["what"])
