"""The plugin's options, and what it does before any node is there."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin, getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from tests.lan.nodes import free_port
from twistedp2p import options, service, tap
from twistedp2p.core.datagrams.codes import make_code
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.state import config_file
from twistedp2p.disk.state.config_file import OF_PATHS, OPTIONS, Kind
from twistedp2p.disk.state.instance import claim
from twistedp2p.options import Options

ROOT = Path(__file__).resolve().parents[1]
# What makes a process slow to start, or puts a reactor in place before twistd chooses one.
NOT_AT_IMPORT = ("twisted.internet.reactor", "twisted.conch")


class OptionsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.errors = io.StringIO()
        self.patch(sys, "__stderr__", self.errors)
        # Not the files of whoever runs the tests.
        self.patch(config_file, "MACHINE", self.folder / "machine.toml")
        given = {name: value for name, value in os.environ.items() if name[:9] != "P2PSHARE_"}
        given["XDG_CONFIG_HOME"] = str(self.folder / "config")
        environment = mock.patch.dict(os.environ, given, clear=True)
        environment.start()
        self.addCleanup(environment.stop)

    def options(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(["--download-dir", str(self.folder), *arguments])
        return options

    def refused(self, *arguments: str) -> tuple[int, str]:
        """The exit code and the sentence."""
        stop = self.assertRaises(SystemExit, self.options, *arguments)
        return stop.code, self.errors.getvalue()

    def file(self, name: str, content: bytes = b"a file") -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


class DefaultsTests(OptionsTestCase):
    def test_without_options_the_group_is_the_usual_one(self) -> None:
        options = self.options()
        self.assertEqual((options["group"], options["port"]), ("239.0.0.1", 9392))
        self.assertEqual((options["interfaces"], options["offers"]), ([], []))
        self.assertEqual((options["file-port"], options["nick"]), (None, None))
        self.assertEqual((options["menu"], options["ttl"], options["password"]), ("auto", 1, ""))

    def test_the_configuration_file_knows_them_all(self) -> None:
        options = Options()
        several = {f"{name}s" for name in config_file.OPTIONS}
        known = {name for name in options if name not in several}
        known |= {name[:-1] for name in options if name in several}
        self.assertEqual(known - {"config"}, set(config_file.OPTIONS))
        flags = {flag for flag, *_ in options.optFlags}
        paths = {
            name
            for name, action in options.compData.optActions.items()
            if isinstance(action, (usage.CompleteFiles, usage.CompleteDirs))
        }
        for name, kind in config_file.OPTIONS.items():
            self.assertEqual(kind is Kind.FLAG, name in flags, name)
            self.assertEqual(kind in (Kind.PATH, Kind.PATHS), name in paths, name)
            self.assertEqual(kind in (Kind.TEXTS, Kind.PATHS), f"{name}s" in options, name)

    def test_they_are_documented_with_their_defaults(self) -> None:
        shown = re.search(r"```toml\n(.*?)```", (ROOT / "docs/service.md").read_text(), re.S)[1]
        given = self.folder / "documented.toml"
        given.write_text(shown)
        documented, usual = self.options("--config", str(given)), self.options()
        self.assertEqual(dict(documented), {**usual, "config": str(given)})
        names = re.findall(r"^#?([a-z-]+) = .*# \w", shown, re.M)
        self.assertEqual(names, list(config_file.OPTIONS))

    def test_downloads_go_to_the_folder_of_the_start(self) -> None:
        options = Options()
        options.parseOptions([])
        self.assertEqual(options["download-dir"], Path.cwd())

    def test_two_sets_of_options_share_no_list(self) -> None:
        self.options("-i", "lo")
        self.assertEqual(self.options()["interfaces"], [])


class PlaceTests(OptionsTestCase):
    def test_a_state_folder_that_takes_no_pid_file_is_refused_in_a_sentence(self) -> None:
        instance = claim(self.folder)
        self.addCleanup(instance.release)
        service.pid_file(instance).mkdir()
        stop = self.assertRaises(SystemExit, tap._own_pid_file, instance)
        self.assertEqual(stop.code, Exit.NO_FOLDER)
        self.assertIn("cannot be used: Is a directory.", self.errors.getvalue())

    def test_a_taken_port_of_the_loopback_is_refused_before_anything_is_started(self) -> None:
        options, made = self.options("--web", str(port := free_port())), mock.Mock()
        options["state-dir"] = str(self.folder)
        self.patch(tap, "P2PShare", made)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            stop = self.assertRaises(SystemExit, tap.makeService, options)
        self.assertEqual(stop.code, Exit.PORT_TAKEN)
        self.assertIn(f"Port {port} of 127.0.0.1 cannot be had: Address", self.errors.getvalue())
        made.assert_not_called()


class ValuesTests(OptionsTestCase):
    def test_what_may_be_given_several_times_is_collected_in_order(self) -> None:
        one, two = self.file("one"), self.file("two")
        options = self.options("-i", "lo", "--interface", "10.0.0.1", "-o", one, "--offer", two)
        self.assertEqual(options["interfaces"], ["lo", "10.0.0.1"])
        self.assertEqual(options["offers"], [one, two])

    def test_peers_are_hosts_with_the_port_at_which_nodes_listen(self) -> None:
        options = self.options("--port", "7000", "--peer", "box", "--peer", "[fe80::1]:5")
        self.assertEqual(options["peers"], [("box", 7001), ("fe80::1", 5)])

    def test_the_path_of_an_offer_is_made_absolute(self) -> None:
        path = self.file("one")
        os.symlink(path, self.folder / "link")
        with mock.patch.dict(os.environ, {"HOME": str(self.folder)}):
            self.assertEqual(self.options("-o", "~/one")["offers"], [path])
        relative = os.path.relpath(path)
        self.assertEqual(self.options("-o", relative)["offers"], [path])

    def test_a_nick_is_cleaned(self) -> None:
        self.assertEqual(self.options("--nick", "al\x1bi\u202ece\n")["nick"], "alice")

    def test_the_password_is_the_first_line_of_its_file_and_nothing_more(self) -> None:
        for content in (b" p\xc3\xa4ss ", b" p\xc3\xa4ss \n", b" p\xc3\xa4ss \r\nsecond\n"):
            options = self.options("--password-file", self.file("password", content))
            self.assertEqual(options["password"], " päss ")

    def test_the_password_cannot_be_given_as_an_option(self) -> None:
        """Attack 46: every user of the host can read a command line."""
        for option in ("--password=x", "--pass=x"):  # short for --password-file, to getopt
            self.assertEqual(self.refused(option)[0], Exit.NO_INPUT)

    def test_a_closed_group_is_joined_by_a_file_with_its_code(self) -> None:
        """Attack 46: the code itself cannot be given as an option."""
        code = make_code()
        path = self.file("code", code.encode())
        os.chmod(path, 0o600)
        self.assertEqual(self.options("-c", path)["group-code-file"], Path(path))
        self.assertEqual(self.options()["group-code-file"], None)
        relative = self.options("--group-code-file", os.path.relpath(path))["group-code-file"]
        self.assertTrue(relative.is_absolute() and relative.samefile(path))
        self.assertEqual(self.refused("--group-code", code)[0], Exit.NO_INPUT)

    def test_a_file_that_holds_no_code_is_refused_in_a_sentence(self) -> None:
        missing = self.refused("-c", str(self.folder / "missing"))
        self.assertEqual(missing[0], Exit.NO_INPUT)
        thought_up = self.file("code", b"our secret room")
        os.chmod(thought_up, 0o600)
        code, sentence = self.refused("-c", thought_up)
        self.assertEqual(code, Exit.NO_INPUT)
        self.assertIn("whoever captures one datagram can try them all out", sentence)
        os.chmod(thought_up, 0o644)
        self.assertIn("chmod 600", self.refused("-c", thought_up)[1])

    def test_the_version_is_ours(self) -> None:
        shown = io.StringIO()
        with mock.patch("sys.stdout", shown):
            stop = self.assertRaises(SystemExit, self.options, "--version")
        self.assertEqual(stop.code, 0)
        self.assertRegex(shown.getvalue(), r"\Ap2pshare \d+\.\d+\.\d+\n\Z")


class RefusedOptionsTests(OptionsTestCase):
    def test_what_is_misspelt_is_one_sentence_and_not_a_page(self) -> None:
        for arguments in (
            ["--moon"],
            ["moon"],
            ["--port"],
            ["--menu", "moon"],
            ["--peer", "a:b"],
        ):
            self.errors.truncate(0)
            code, sentence = self.refused(*arguments)
            self.assertEqual(code, Exit.USAGE)
            self.assertRegex(sentence, r"p2pshare: [^\n]+\. See: twistd p2pshare --help\n\Z")

    def test_an_empty_path_is_not_the_current_folder(self) -> None:
        for name, kind in {"config": Kind.PATH, **OPTIONS}.items():
            if kind in OF_PATHS:
                code, sentence = self.refused(f"--{name}=")
                self.assertEqual(code, Exit.USAGE, name)
                self.assertIn(f"--{name} has an empty value", sentence)

    def test_numbers_have_bounds(self) -> None:
        for name, low, high in (
            ("port", 1024, 65534),
            ("file-port", 1024, 65535),
            ("web", 1024, 65535),
            ("ttl", 0, 255),
            ("max-clients", 1, 10_000),
            ("max-clients-per-address", 1, 10_000),
        ):
            for value in (low, high):
                self.assertEqual(self.options(f"--{name}", str(value))[name], value)
            for wrong in (low - 1, high + 1, "", "1e4", "1_0", "٣٠", "000100000"):
                code, sentence = self.refused(f"--{name}={wrong}")
                self.assertEqual(code, Exit.USAGE, wrong)
                self.assertIn(f"--{name} is a number from {low} to {high}", sentence)

    def test_only_an_ipv4_multicast_address_is_a_group(self) -> None:
        for group in ("224.0.0.251", "239.255.255.255"):
            self.assertEqual(self.options("-g", group)["group"], group)
        for wrong in ("10.0.0.1", "240.0.0.1", "", "moon", "239.0.0", "239.0.0.1/8", "ff12::1%lo"):
            self.assertEqual(self.refused("-g", wrong)[0], Exit.BAD_GROUP, wrong)

    def test_downloads_need_a_folder_that_can_be_written_to(self) -> None:
        for wrong in (self.file("file"), str(self.folder / "missing")):
            self.assertEqual(self.refused("-d", wrong)[0], Exit.NO_FOLDER)
        with mock.patch("os.access", return_value=False):
            code, sentence = self.refused("-d", str(self.folder))
        self.assertEqual(code, Exit.NO_FOLDER)
        self.assertIn("--download-dir", sentence)

    def test_a_password_file_that_holds_none(self) -> None:
        contents = (b"", b"\npassword\n", b"x" * 257, b"\xff\xfe")
        for content in contents:
            path = self.file("password", content)
            self.assertEqual(self.refused("--password-file", path)[0], Exit.NO_INPUT, content)
        self.assertEqual(self.refused("--password-file", str(self.folder))[0], Exit.NO_INPUT)

    def test_no_refusal_shows_the_password(self) -> None:
        """Attack 46: what is refused as a password may be one all the same."""
        path = self.file("password", b"Trompette" * 40)
        self.assertNotIn("Trompette", self.refused("--password-file", path)[1])

    def test_only_a_file_that_can_be_read_is_offered(self) -> None:
        os.mkfifo(self.folder / "fifo")
        for wrong in ("missing", "fifo"):
            code, sentence = self.refused("--offer", str(self.folder / wrong))
            self.assertEqual(code, Exit.NO_INPUT, wrong)
            self.assertIn(str(self.folder), sentence)

    def test_a_watched_folder_needs_one_password_or_none_and_is_a_folder(self) -> None:
        password = self.folder / "password"
        password.write_text("secret")
        here, file = ("--share", str(self.folder)), ("--share-password-file", str(password))
        for given in (here, (*here, *file, "--share-public")):
            self.assertEqual(self.refused(*given)[0], Exit.USAGE)
        self.assertEqual(self.refused("--share", str(password), *file)[0], Exit.NO_INPUT)
        options = self.options(*here, *file)
        self.assertEqual(options["shares"], [os.path.realpath(self.folder)])
        self.assertEqual(options["share-password"], "secret")

    def test_a_mistake_without_a_standard_error_is_silent(self) -> None:
        self.patch(sys, "__stderr__", None)
        stop = self.assertRaises(SystemExit, self.options, "--port", "moon")
        self.assertEqual(stop.code, Exit.USAGE)


class SettingsTests(OptionsTestCase):
    """An option comes before the environment, that before the user's file, the machine's last."""

    def config(self, text: str, machine: bool = False) -> Path:
        path = self.folder / ("machine.toml" if machine else "config/p2pshare/config.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def test_the_first_that_has_it_decides(self) -> None:
        self.assertEqual(self.options()["port"], 9392)
        self.config('port = 7001\npeer = ["one"]\nno-mdns = true', machine=True)
        self.assertEqual(self.options()["port"], 7001)
        self.config("port = 7002")
        self.assertEqual(self.options()["port"], 7002)
        os.environ["P2PSHARE_PORT"] = "7003"
        self.assertEqual(self.options()["port"], 7003)
        options = self.options("--port", "7004")
        self.assertEqual(options["port"], 7004)
        self.assertEqual((options["peers"], options["no-mdns"]), ([("one", 7005)], True))

    def test_a_list_that_is_given_is_the_whole_list(self) -> None:
        self.config('interface = ["lo", "eth0"]')
        self.assertEqual(self.options()["interfaces"], ["lo", "eth0"])
        self.assertEqual(self.options("-i", "eth1")["interfaces"], ["eth1"])

    def test_what_is_given_empty_is_given(self) -> None:
        self.config('nick = "bob"')
        self.assertEqual(self.options()["nick"], "bob")
        self.assertNotEqual(self.options("--nick", "")["nick"], "bob")

    def test_one_file_instead_of_the_usual_ones(self) -> None:
        self.config("port = 7001")
        other = self.file("other.toml", b"ttl = 3")
        for made in (self.options("--config", other), self.elsewhere(other)):
            self.assertEqual((made["port"], made["ttl"]), (9392, 3))
        self.assertEqual(self.refused("--config", other + ".not")[0], Exit.NO_INPUT)

    def elsewhere(self, path: str) -> Options:
        with mock.patch.dict(os.environ, {"P2PSHARE_CONFIG": path}):
            return self.options()

    def test_what_is_wrong_in_a_file_is_told_with_its_line(self) -> None:
        for text, code, sentence in (
            ("ttl = 1\n\nport = 80", Exit.USAGE, ":3: --port is a number from 1024 to 65534."),
            ('group = "10.0.0.1"', Exit.BAD_GROUP, ":1: 10.0.0.1 is no multicast address"),
            ('\noffer = ["moon"]', Exit.NO_INPUT, "/p2pshare/moon cannot be read: No such file"),
            ('offer = [""]', Exit.USAGE, ":1: offer is to be a path.\n"),
            ('state-dir = ""', Exit.USAGE, ":1: state-dir is to be a path.\n"),
            ('peer = ["host:x"]', Exit.USAGE, ":1: --peer host:x: "),
            ('prot = "7"', Exit.USAGE, ":1: there is no option prot; is port meant?\n"),
        ):
            path = self.config(text)
            self.errors.truncate(self.errors.seek(0))
            given, said = self.refused()
            self.assertEqual(given, code, text)
            self.assertTrue(said.startswith(f"p2pshare: {path}:"), said)
            self.assertIn(sentence, said)
            self.assertEqual(said.count("\n"), 1)

    def test_help_needs_no_file_in_order(self) -> None:
        self.config("]")
        shown = io.StringIO()
        with mock.patch("sys.stdout", shown):
            stop = self.assertRaises(SystemExit, self.options, "--help")
        self.assertEqual(stop.code, 0)
        self.assertIn("[default: 9392]", shown.getvalue())


class PidFileTests(OptionsTestCase):
    """twistd's own would be in the folder of the start, and refuse a second node there."""

    def given(self, pidfile: str) -> str:
        options = Options()
        options.parent = usage.Options()
        options.parent["pidfile"] = pidfile
        options.parseOptions(["--download-dir", str(self.folder)])
        return options.parent["pidfile"]

    def test_the_default_of_twistd_is_not_used(self) -> None:
        self.assertEqual(self.given("twistd.pid"), "")

    def test_what_the_person_chose_stays(self) -> None:
        self.assertEqual(self.given("/run/p2pshare.pid"), "/run/p2pshare.pid")


class ChooseMenuTests(OptionsTestCase):
    def mode(self, *arguments: str, nodaemon: bool = True) -> str:
        options = self.options(*arguments)
        options.parent = usage.Options()
        options.parent["nodaemon"] = nodaemon
        with mock.patch.object(tap, "choose_mode", side_effect=lambda wanted, _: wanted):
            return tap.choose_menu(options)

    def test_there_is_none_in_the_background(self) -> None:
        self.assertEqual(self.mode("--menu", "plain"), "plain")
        self.assertEqual(self.mode("--menu", "plain", nodaemon=False), "never")

    def test_there_is_none_where_input_or_output_are_closed(self) -> None:
        for name in ("__stdin__", "__stdout__"):
            with mock.patch.object(sys, name, None):
                self.assertEqual(self.mode("--menu", "plain"), "never")

    def test_without_one_an_offer_needs_a_password_that_somebody_knows(self) -> None:
        offer = ("--menu", "never", "--offer", self.file("one"))
        self.assertRaises(SystemExit, self.mode, *offer)
        self.assertIn("--password-file", self.errors.getvalue())
        password = ("--password-file", self.file("password", b"monpass"))
        self.assertEqual(self.mode(*offer, *password), "never")


class SentenceTests(OptionsTestCase):
    def test_a_sentence_and_the_words_in_it_are_translated(self) -> None:
        error = ShareError("{path}: {why}", Exit.NO_INPUT, path=Path("/a"), why="gone")
        french = {"{path}: {why}": "{why} : {path}", "gone": "parti"}
        with mock.patch.object(options, "translations", return_value=french.get):
            stop = self.assertRaises(SystemExit, options.fail, error)
        self.assertEqual((stop.code, self.errors.getvalue()), (66, "p2pshare: parti : /a\n"))


class PluginTests(SynchronousTestCase):
    def test_twistd_finds_it(self) -> None:
        found = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "p2pshare"]
        self.assertEqual(len(found), 1)
        self.assertTrue(IPlugin.providedBy(found[0]))
        self.assertIs(found[0].options, Options)
        self.assertIs(found[0].makeService, tap.makeService)

    def test_importing_it_installs_no_reactor_and_the_plugin_imports_nothing_of_ours(self) -> None:
        code = (
            "import sys; import twisted.plugins.p2pshare_plugin;"
            "assert not [name for name in sys.modules if name.startswith('twistedp2p')];"
            "import twistedp2p.tap, twistedp2p.api;"
            f"print([name for name in {NOT_AT_IMPORT!r} if name in sys.modules])"
        )
        path = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **path},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))


class StandardDescriptorsTests(SynchronousTestCase):
    def test_what_is_closed_is_occupied_and_what_is_open_is_left_alone(self) -> None:
        code = (
            "import os, sys; from twistedp2p.options import occupy_standard_descriptors as occupy;"
            "os.close(0); os.close(2); occupy(); more = os.open('/', os.O_RDONLY);"
            "print(os.readlink('/proc/self/fd/0'), os.readlink('/proc/self/fd/2'), more > 2)"
        )
        path = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **path},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stdout, "/dev/null /dev/null True\n")
