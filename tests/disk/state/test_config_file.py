"""The configuration file and the environment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.state import config_file
from twistedp2p.disk.state.config_file import Setting, read_settings, user_file, variable


class ConfigFileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="p2pshare-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.patch(config_file, "MACHINE", self.folder / "machine.toml")
        self.environment = {"XDG_CONFIG_HOME": str(self.folder)}
        self.path = self.folder / "p2pshare" / "config.toml"
        self.path.parent.mkdir()

    def read(self, text: str = "", **environment: str) -> dict[str, Setting]:
        self.path.write_text(text)
        return read_settings({**self.environment, **environment})

    def values(self, text: str = "", **environment: str) -> dict[str, object]:
        return {name: each.value for name, each in self.read(text, **environment).items()}

    def refused(self, text: str = "", code: Exit = Exit.USAGE, **environment: str) -> str:
        error = self.assertRaises(ShareError, self.read, text, **environment)
        self.assertEqual(error.code, code)
        return str(error)


class FileTests(ConfigFileTestCase):
    def test_where_there_is_none_nothing_is_set(self) -> None:
        self.assertEqual(read_settings(self.environment), {})

    def test_its_place(self) -> None:
        self.assertEqual(user_file({"XDG_CONFIG_HOME": "/x"}), Path("/x/p2pshare/config.toml"))
        with mock.patch.dict(os.environ, {"HOME": "/home/bob"}):
            usual = Path("/home/bob/.config/p2pshare/config.toml")
            self.assertEqual(user_file({}), usual)
            self.assertEqual(user_file({"XDG_CONFIG_HOME": "relative"}), usual)

    def test_texts_numbers_flags_and_lists_with_their_lines(self) -> None:
        text = 'nick = "bob"\n# port = 1\nport = 7000\n\n"no-mdns" = true\npeer = [\n"one",\n]\n'
        self.assertEqual(
            self.read(text),
            {
                "nick": Setting("bob", f"{self.path}:1"),
                "port": Setting("7000", f"{self.path}:3"),
                "no-mdns": Setting(True, f"{self.path}:5"),
                "peer": Setting(["one"], f"{self.path}:6"),
            },
        )

    def test_paths_are_relative_to_it(self) -> None:
        text = 'state-dir = "state"\ndownload-dir = "/in"\noffer = ["a", "~/b", "/c"]'
        with mock.patch.dict(os.environ, {"HOME": "/home/bob"}):
            found = self.values(text)
        here = str(self.path.parent)
        self.assertEqual(found["state-dir"], f"{here}/state")
        self.assertEqual(found["download-dir"], "/in")
        self.assertEqual(found["offer"], [f"{here}/a", "/home/bob/b", "/c"])

    def test_that_of_the_machine_has_less_to_say(self) -> None:
        config_file.MACHINE.write_text("port = 7000\nttl = 2")
        self.assertEqual(self.values("port = 8000"), {"port": "8000", "ttl": "2"})

    def test_the_file_that_is_asked_for_must_be_there(self) -> None:
        (self.folder / "mine.toml").write_text("ttl = 2")
        found = read_settings(self.environment, str(self.folder / "mine.toml"))
        self.assertEqual(list(found), ["ttl"])
        error = self.assertRaises(ShareError, read_settings, {}, str(self.folder / "not.toml"))
        self.assertEqual(error.code, Exit.NO_INPUT)

    def test_what_is_not_understood_is_one_sentence_with_the_line(self) -> None:
        here = str(self.path)
        for text, sentence in {
            "nick = bob": f"{here} is not TOML: Invalid value (at line 1, column 8).",
            "ttl = 1\nttl = 2": f"{here} is not TOML: Cannot overwrite a value",
            "\nprot = 7000": f"{here}:2: there is no option prot; is port meant?",
            "password = 'x'": f"{here}:1: there is no option password; is password-file meant?",
            "\n[moon]\nphase = 1": f"{here}:2: there is no option moon.",
            "zzzz.x = 1": f"{here}:1: there is no option zzzz.",
            "no-mdns = 1": f"{here}:1: no-mdns is to be true or false.",
            'verbose = "yes"': f"{here}:1: verbose is to be true or false.",
            'peer = "one"': f"{here}:1: peer is to be a list of texts in quotes.",
            "offer = [1]": f"{here}:1: offer is to be a list of texts in quotes.",
            "port = true": f"{here}:1: port is to be a text in quotes, or a number.",
            "nick = 1.5": f"{here}:1: nick is to be a text in quotes, or a number.",
            "state-dir = []": f"{here}:1: state-dir is to be a text in quotes, or a number.",
        }.items():
            said = self.refused(text)
            self.assertTrue(said.startswith(sentence), said)

    def test_what_cannot_be_read(self) -> None:
        self.path.write_bytes(b"nick = '\xff'")
        error = self.assertRaises(ShareError, read_settings, self.environment)
        self.assertEqual((error.code, error.values["why"]), (66, "it is not UTF-8 text"))
        self.path.unlink()
        self.path.mkdir()
        error = self.assertRaises(ShareError, read_settings, self.environment)
        self.assertEqual((error.code, error.values["why"]), (66, "Is a directory"))

    def test_a_folder_that_is_shut_to_us_holds_nothing_for_us(self) -> None:
        with mock.patch.object(Path, "stat", side_effect=PermissionError):
            self.assertEqual(read_settings(self.environment), {})


class EnvironmentTests(ConfigFileTestCase):
    def test_the_names(self) -> None:
        self.assertEqual(variable("group-code-file"), "P2PSHARE_GROUP_CODE_FILE")

    def test_it_comes_before_the_files(self) -> None:
        found = self.read("port = 7000", P2PSHARE_PORT="8000", P2PSHARE_NICK="bob")
        self.assertEqual(found["port"], Setting("8000", "P2PSHARE_PORT"))
        self.assertEqual(found["nick"], Setting("bob", "P2PSHARE_NICK"))

    def test_what_is_empty_is_not_set(self) -> None:
        self.assertEqual(self.values("port = 7000", P2PSHARE_PORT=""), {"port": "7000"})

    def test_flags_and_lists(self) -> None:
        for text in ("1", "true", "YES", "on"):
            self.assertEqual(self.values(P2PSHARE_NO_MDNS=text), {"no-mdns": True})
        for text in ("0", "False", "no", "off"):
            self.assertEqual(self.values("no-mdns = true", P2PSHARE_NO_MDNS=text)["no-mdns"], False)
        wrong = self.refused(P2PSHARE_VERBOSE="moon")
        self.assertEqual(wrong, "P2PSHARE_VERBOSE: verbose is to be true or false.")
        peers = self.values(P2PSHARE_PEER="one, [fe80::1]:5,,")["peer"]
        self.assertEqual(peers, ["one", "[fe80::1]:5"])

    def test_variables_that_are_no_option_are_somebody_elses(self) -> None:
        self.assertEqual(self.values(P2PSHARE_PASSWORD="x", P2PSHARE_MOON="1"), {})
