"""The commands about files: what they ask of the node, and what they print."""

from __future__ import annotations

import getpass
import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from tests.cli.fakes import API, ID, CommandTestCase, Problem, offer
from tests.lan.netns import child_environment
from twistedp2p.cli import parser, show
from twistedp2p.core.errors import Exit
from twistedp2p.face.texts import translations

TICKET = '("192.0.2.2",9393),("hatchet-amber-sake","lecture.mp4")'
HOSTILE = "a\x1b]0;x\x07\u202e\tgpj.exe"


class ListTests(CommandTestCase):
    def catalogue(self, *items: dict[str, Any]) -> None:
        self.fake = self.node()
        self.fake.answers["GET", "catalogue"] = {"items": list(items), "next": None}

    def test_on_a_pipe_it_is_values_between_tabs(self) -> None:
        self.catalogue(offer(), offer("b.txt", public=True))
        self.assertEqual(self.command("list"), 0)
        first, second = self.out.splitlines()
        fields = [ID, "120000000", "lecture.mp4", "alice", "egxj-f3k3-tsxm-ay3m", "yes"]
        self.assertEqual(first.split("\t"), [*fields, "blake3:00"])
        self.assertEqual(second.split("\t")[5], "no")
        self.assertEqual(self.err, "")

    def test_on_a_terminal_it_is_a_table(self) -> None:
        self.catalogue(offer(), offer("漢字.txt", size=5, public=True, own=True))
        os.environ["TERM"] = "xterm"
        self.command("list", terminal=True)
        head, first, second = self.out.splitlines()
        self.assertEqual(head, "\x1b[1m  Size  Name         Owner  Access            Id\x1b[0m")
        self.assertEqual(first, f"120 MB  lecture.mp4  alice  under a password  {ID}")
        self.assertEqual(second, f"   5 B  漢字.txt     you    for everybody     {ID}")

    def test_colours_are_left_out_where_they_are_not_wanted(self) -> None:
        self.catalogue(offer())
        for variables in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
            os.environ.pop("TERM", None)
            os.environ.update(variables)
            self.command("list", terminal=True)
            self.assertNotIn("\x1b", self.out)

    def test_json_is_one_document_of_plain_letters(self) -> None:
        items = [offer("été.txt"), offer(HOSTILE)]
        self.catalogue(*items)
        self.command("list", "--json", terminal=True)
        self.assertEqual(json.loads(self.out), {"items": items})
        self.assertTrue(self.out.isascii() and self.out[:-1].isprintable())

    def test_hostile_names_are_shown_without_what_makes_them_so(self) -> None:
        """Attack 32: escapes. Attack 33: bidi. And a tab, which would forge a column."""
        self.catalogue(offer(HOSTILE))
        for terminal in (True, False):
            self.command("list", terminal=terminal)
            for row in self.out.splitlines():
                self.assertFalse(set(row) & set("\x1b\x07\u202e"), row)
        self.assertEqual(self.out.split("\t")[2], "a]0;x gpj.exe")

    def test_all_pages_are_asked_for(self) -> None:
        node = self.node()

        def page(query: dict[str, str], _body: object) -> dict[str, Any]:
            at = int(query.get("after", 0))
            items = [offer(f"{number}") for number in range(at, at + int(query["limit"]))]
            return {"items": items, "next": str(at + len(items)) if at < 2000 else None}

        node.answers["GET", "catalogue"] = page
        self.command("list")
        names = [line.split("\t")[2] for line in self.out.splitlines()]
        self.assertEqual(names, [str(number) for number in range(3000)])
        self.command("list", "--limit", "1500")
        self.assertEqual(len(self.out.splitlines()), 1500)
        for wrong in ("0", "-1", "x", "²"):
            self.assertEqual(self.command("list", f"--limit={wrong}"), Exit.USAGE)

    def test_words_are_searched_together_and_of_one_owner(self) -> None:
        self.catalogue()
        self.command("search", "beach", "2020 é&x", "--owner", "alice")
        self.assertEqual(
            self.fake.asked[-1][2], {"q": "beach 2020 é&x", "owner": "alice", "limit": "1000"}
        )
        self.assertEqual(self.out, "")
        self.assertEqual(self.command("search"), Exit.USAGE)


class OfferTests(CommandTestCase):
    def offered(self, **more: Any) -> None:
        self.fake = self.node()
        self.fake.answers["POST", "offers"] = {"id": ID, "name": "a", "ticket": TICKET, **more}

    def test_three_words_are_made_and_told(self) -> None:
        self.offered(password="hatchet-amber-sake")
        self.patch(os, "getcwd", lambda: "/home/bob")
        self.assertEqual(self.command("offer", "x/../a.jpg", "/b"), 0)
        bodies = [body for _, _, _, body in self.fake.asked]
        self.assertEqual([body["path"] for body in bodies], ["/home/bob/a.jpg", "/b"])
        self.assertNotIn("password", bodies[0])
        self.assertEqual(
            self.out.splitlines()[0].split("\t"), [ID, "a", TICKET, "hatchet-amber-sake"]
        )
        self.command("offer", "/b", terminal=True)
        self.assertIn("Its password: hatchet-amber-sake\n", self.out)
        self.assertIn(f"Its ticket: {TICKET}\n", self.out)

    def test_a_password_comes_from_a_file_from_standard_input_or_the_environment(self) -> None:
        self.offered()
        path = self.folder / "password"
        path.write_text("from a file\nmore\n")
        self.command("offer", "/b", "--password-file", str(path))
        self.command("offer", "/b", "--password-file", "-", typed="from stdin\n")
        os.environ["P2PSHARE_PASSWORD"] = "from the environment"
        self.command("offer", "/b")
        given = [body["password"] for _, _, _, body in self.fake.asked]
        self.assertEqual(given, ["from a file", "from stdin", "from the environment"])
        self.command("offer", "/b", "--public")
        self.assertEqual(self.fake.asked[-1][3], {"path": "/b", "public": True})

    def test_a_file_without_a_password_in_it(self) -> None:
        self.offered()
        (self.folder / "bad").write_bytes(b"\xff\n")
        (self.folder / "empty").write_bytes(b"\nsecond\n")
        (self.folder / "long").write_text("x" * 257)
        for name in ("bad", "empty", "long", "missing"):
            code = self.command("offer", "/b", "--password-file", str(self.folder / name))
            self.assertEqual(code, Exit.NO_INPUT)
        self.assertEqual(self.fake.asked, [])

    def test_one_that_fails_keeps_none_of_the_others(self) -> None:
        node = self.node()

        def answer(_query: object, body: dict[str, Any]) -> dict[str, Any]:
            if body["path"] == "/missing":
                raise Problem(404, "There is no /missing.", 5)
            return {"id": ID, "name": body["path"], "ticket": None}

        node.answers["POST", "offers"] = answer
        self.assertEqual(self.command("offer", "/missing", "/b", "--public"), Exit.NOT_FOUND)
        self.assertEqual(self.out, f"{ID}\t/b\t\t\n")
        self.assertEqual(self.err, "p2pshare: There is no /missing.\n")

    def test_what_is_left_out_of_a_folder_is_told(self) -> None:
        left_out = {"links": 2, "special": 1, "unreadable": 0}
        offered = {"id": ID, "name": "photos", "ticket": None, "left_out": left_out}
        self.node().answers["POST", "offers"] = offered
        self.command("offer", "photos", "--public")
        said = "Left out of photos: 2 links, 1 special files, 0 that cannot be read.\n"
        self.assertEqual((self.out, self.err), (f"{ID}\tphotos\t\t\n", said))
        left_out["links"] = left_out["special"] = 0
        self.command("offer", "photos", "--public")
        self.assertEqual(self.err, "")

    def test_an_id_may_begin_like_an_option(self) -> None:
        for what in (
            "-VOBP0Am4tGSwb8lgURNnQ",
            "--OBP0Am4tGSwb8lgURNnQ",
            "-VOBP0Am4tGSwb8lgURNnQ/a b",
        ):
            options = parser("get").parse_args(["--quiet", what, "-o", "there"])
            self.assertEqual((options.what, options.output), ([what], "there"))
        for what in ("-VOBP0Am4tGSwb8lgURNn", "--no-such-option-at-all"):
            with redirect_stderr(io.StringIO()):
                self.assertRaises(SystemExit, parser("get").parse_args, [what])

    def test_withdrawing_goes_by_name_or_id(self) -> None:
        node = self.node()
        own = [{"name": "a", "id": ID}, {"name": "b", "id": "b" * 22}]
        node.answers["GET", "offers"] = {"items": own, "next": None}
        node.answers["DELETE", f"offers/{ID}"] = node.answers["DELETE", "offers/" + "b" * 22] = {}
        self.assertEqual(self.command("withdraw", "--", "b", ID, "a"), 0)
        self.assertEqual(
            [where for method, where, _, _ in node.asked if method == "DELETE"],
            ["offers/" + "b" * 22, f"offers/{ID}"],
        )
        node.asked.clear()
        self.assertEqual(self.command("withdraw", "a", "c"), Exit.NOT_FOUND)
        self.assertEqual([method for method, *_ in node.asked], ["GET"])


class EmptyTests(CommandTestCase):
    """A variable of a script that was never set is not the current folder, nor everybody."""

    def test_an_empty_value_is_refused_and_nothing_is_asked_of_the_node(self) -> None:
        node = self.node()
        for line in (
            ["offer", ""],
            ["offer", "a", "", "--public"],
            ["offer", "a", "--password-file="],
            ["get", ""],
            ["get", "a", " "],
            ["get", "a", "-o", ""],
            ["get", "a", "--owner="],
            ["list", "--owner", ""],
            ["list", "--instance="],
            ["list", "--state-dir="],
            ["search", ""],
            ["search", " "],
            ["withdraw", ""],
            ["cancel", ""],
            ["say", "--to", "", "for one alone"],
            ["nick", ""],
            ["code", "-o", ""],
            ["code", "--rotate="],
            ["code", "--show="],
            ["unit", "--instance="],
            ["doctor", "-c", ""],
            ["doctor", "--group="],
            ["doctor", "--interface="],
            ["doctor", "--state-dir="],
        ):
            self.assertEqual(self.command(*line), Exit.USAGE, line)
            self.assertIn("an empty value", self.err)
        self.assertEqual(node.asked, [])

    def test_standard_input_that_names_nothing(self) -> None:
        node = self.node()
        for typed in ("", "\n", " \n\n"):
            self.assertEqual(self.command("get", "-", typed=typed), Exit.USAGE)
            self.assertEqual(self.err, "p2pshare: Standard input names nothing.\n")
        self.assertEqual(node.asked, [])


class GetTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake = self.node()
        self.there = {"number": 7, "name": "lecture.mp4", "kind": "get", "size": 8, "done": 8}
        self.there |= {"rate": 0.0, "state": "done", "path": "/home/bob/lecture.mp4"}
        self.fake.answers["POST", "transfers"] = {"number": 7, "name": "lecture.mp4"}
        self.fake.answers["GET", "transfers/7"] = lambda *_: self.there
        self.fake.answers["GET", "catalogue"] = {"items": [], "next": None}

    def posted(self) -> list[dict[str, Any]]:
        """What was wanted, without where it was to go."""
        bodies = [body for method, _, _, body in self.fake.asked if method == "POST"]
        return [{name: body[name] for name in body if name != "folder"} for body in bodies]

    def want_password(self) -> None:
        def answer(_query: object, body: dict[str, Any]) -> Any:
            if "password" in body:
                return {"number": 7, "name": "lecture.mp4"}
            problem = Problem(403, "it needs a password", 4)
            problem.body["type"] = "urn:p2pshare:problem:password-needed"
            raise problem

        self.fake.answers["POST", "transfers"] = answer

    def test_on_a_pipe_the_path_is_printed_and_nothing_else(self) -> None:
        self.assertEqual(self.command("get", "lecture.mp4", "-o", "/usr"), 0)
        self.assertEqual((self.out, self.err), ("/home/bob/lecture.mp4\n", ""))
        self.assertEqual(self.fake.asked[0][3], {"name": "lecture.mp4", "folder": "/usr"})

    def test_a_node_that_stops_meanwhile(self) -> None:
        def stop(*_: object) -> dict[str, Any]:
            (self.folder / "p2pshare" / "1" / "control.sock").unlink()
            return {**self.there, "state": "running"}

        self.fake.answers["GET", "transfers/7"] = stop
        self.assertEqual(self.command("get", "lecture.mp4"), Exit.NO_NODE)
        self.assertEqual(self.err, "p2pshare: The node has stopped.\n")

    def test_a_folder_that_is_not_there(self) -> None:
        self.assertEqual(self.command("get", "lecture.mp4", "-o", "/no/such"), Exit.USAGE)
        self.assertIn("There is no folder /no/such.", self.err)
        self.assertEqual([], self.fake.asked)

    def test_json(self) -> None:
        self.command("get", "lecture.mp4", "--json")
        self.assertEqual(json.loads(self.out), self.there)

    def test_a_terminal_gets_a_sentence(self) -> None:
        self.command("get", "lecture.mp4", terminal=True)
        self.assertIn("lecture.mp4 is here, whole: /home/bob/lecture.mp4 (8 B)\n", self.out)

    def test_name_id_ticket_and_owner(self) -> None:
        self.command("get", "--owner", "alice", "--", "lecture.mp4", ID, f" {TICKET}")
        wanted = [{"name": "lecture.mp4", "owner": "alice"}, {"id": ID}, {"ticket": f" {TICKET}"}]
        self.assertEqual(self.posted(), wanted)

    def test_a_part_of_a_folder(self) -> None:
        wanted = ("photos/paris/a b.jpg", f"{ID}/paris", f"{TICKET}/paris", "photos/", "/etc")
        self.command("get", "--", *wanted)
        self.assertEqual(
            self.posted(),
            [
                {"name": "photos", "part": "paris/a b.jpg"},
                {"id": ID, "part": "paris"},
                {"ticket": f"{TICKET}/paris"},
                {"name": "photos"},
                {"name": "/etc"},
            ],
        )

    def test_what_looks_like_an_id_may_be_a_name(self) -> None:
        def answer(_query: object, body: dict[str, Any]) -> Any:
            if "id" in body:
                raise Problem(404, "No file on offer has that id.", 5)
            return {"number": 7, "name": "x"}

        self.fake.answers["POST", "transfers"] = answer
        self.assertEqual(self.command("get", "a" * 22), 0)
        self.assertEqual(self.posted()[1], {"name": "a" * 22})

    def test_tickets_come_from_standard_input_too(self) -> None:
        """Attack 46: a ticket has a password in it, and arguments can be read by everybody."""
        self.command("get", "-", typed=f"{TICKET}\n\nlecture.mp4\n")
        self.assertEqual(self.posted(), [{"ticket": TICKET}, {"name": "lecture.mp4"}])

    def test_a_password_is_asked_for_at_the_keyboard_where_one_is_needed(self) -> None:
        self.want_password()
        asked = []
        self.patch(getpass, "getpass", lambda question: asked.append(question) or "monpass")
        self.assertEqual(self.command("get", "lecture.mp4", keyboard=True), 0)
        self.assertEqual(asked, ["Password of lecture.mp4? "])
        self.assertEqual(self.posted()[-1]["password"], "monpass")

    def test_without_a_keyboard_it_says_how_to_give_one(self) -> None:
        self.want_password()
        self.assertEqual(self.command("get", "lecture.mp4"), Exit.USAGE)
        self.assertIn("--password-file", self.err)
        os.environ["P2PSHARE_PASSWORD"] = "monpass"
        self.assertEqual(self.command("get", "lecture.mp4"), 0)

    def test_the_exit_code_is_that_of_what_went_wrong(self) -> None:
        for code in (4, 5, 6, 7):
            self.there = {**self.there, "state": "failed", "error": {"detail": "No.", "exit": code}}
            self.assertEqual(self.command("get", "lecture.mp4"), code)
            self.assertEqual((self.out, self.err), ("", "p2pshare: lecture.mp4: No.\n"))

    def test_progress_is_drawn_on_a_terminal_s_standard_error_alone(self) -> None:
        whole, looks = self.there, iter((1, 2))

        def look(*_: object) -> dict[str, Any]:
            done = next(looks, 8)
            return {**whole, "done": done, "state": "done" if done == 8 else "moving", "rate": 2.0}

        self.fake.answers["GET", "transfers/7"] = look
        os.environ["TERM"] = "xterm"
        self.command("get", "lecture.mp4", terminal=True)
        self.assertIn("█░░░░░░░░░░░  12 %  2 B/s  4 s", self.err)
        self.assertTrue(self.err.endswith("\r\x1b[K"))
        self.assertNotIn("█", self.out)
        for more in (["--quiet"], []):
            looks = iter((1, 2))
            self.command("get", "lecture.mp4", *more, terminal=bool(more))
            self.assertEqual(self.err, "")

    def test_what_there_is_to_know_is_said_once(self) -> None:
        whole, looks = self.there, iter(("busy", "busy", "away"))

        def look(*_: object) -> dict[str, Any]:
            notice = next(looks, "")
            return {**whole, "notice": notice or "away", "state": "moving" if notice else "done"}

        self.fake.answers["GET", "transfers/7"] = look
        self.command("get", "lecture.mp4")
        self.assertEqual((self.out, self.err), ("/home/bob/lecture.mp4\n", "busy\naway\n"))

    def test_to_standard_output_goes_the_whole_from_a_folder_that_is_gone_then(self) -> None:
        folders: list[Path] = []

        def begin(_query: object, body: dict[str, Any]) -> Any:
            folders.append(Path(body["folder"]))
            (folders[0] / "a").write_bytes(b"\x00\xffdata")
            self.there = {**self.there, "path": str(folders[0] / "a")}
            return {"number": 7, "name": "a"}

        self.fake.answers["POST", "transfers"] = begin
        self.assertEqual(self.command("get", "a", "-o", "-"), 0)
        self.assertEqual((self.bytes_out, self.out, self.err), (b"\x00\xffdata", "", ""))
        self.assertFalse(folders[0].exists())

    def test_to_standard_output_goes_one_file(self) -> None:
        def begin(_query: object, body: dict[str, Any]) -> Any:
            top = Path(body["folder"]) / "photos"
            if "part" in body:
                (top / "paris").mkdir(parents=True)
                (top / "paris" / "tower.jpg").write_bytes(b"tower")
            else:
                top.write_bytes(b"a file")
            self.there = {**self.there, "path": str(top)}
            return {"number": 7, "name": "photos"}

        self.fake.answers["POST", "transfers"] = begin
        self.assertEqual(self.command("get", "photos/paris/tower.jpg", "-o", "-"), 0)
        self.assertEqual((self.bytes_out, self.err), (b"tower", ""))
        part = {"name": "photos", "part": "paris/tower.jpg", "one_file": True}
        self.assertEqual(self.posted(), [part])  # the node refuses a folder, before it comes
        self.assertEqual(self.command("get", TICKET, "-o", "-"), 0)
        self.assertEqual(self.posted()[1:], [{"ticket": TICKET, "one_file": True}])

    def test_of_several_it_is_said_which_is_not_there(self) -> None:
        def begin(_query: object, body: dict[str, Any]) -> Any:
            if body.get("name") == "b":
                return {"number": 7, "name": "b"}
            raise Problem(404, "No file on offer is called that.", 5)

        self.fake.answers["POST", "transfers"] = begin
        self.assertEqual(self.command("get", "a", "b", "c", TICKET), Exit.NOT_FOUND)
        why = "No file on offer is called that.\n"
        self.assertEqual(self.err, f"p2pshare: a: {why}p2pshare: c: {why}p2pshare: {why}")

    def test_a_ticket_is_found_in_the_line_that_has_it(self) -> None:
        line, name = f"take this: {TICKET}", "a (1).txt"
        self.command("get", line, name)
        self.assertEqual(self.posted(), [{"ticket": line}, {"name": name}])

    def test_sigterm_and_sighup_cancel_it_and_leave_nothing(self) -> None:
        self.fake.answers["DELETE", "transfers/7"] = {}
        temporary = self.folder / "tmp"
        temporary.mkdir()
        for number in (signal.SIGTERM, signal.SIGHUP):
            looked = threading.Event()

            def look(*_: object, looked: threading.Event = looked) -> dict[str, Any]:
                looked.set()
                return {**self.there, "state": "moving"}

            self.fake.answers["GET", "transfers/7"] = look
            process = subprocess.Popen(
                [sys.executable, "-m", "twistedp2p.cli", "get", "lecture.mp4", "-o", "-"],
                env={**child_environment(), "TMPDIR": str(temporary)},
                stdout=subprocess.DEVNULL,
            )
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.assertTrue(looked.wait(50))
            self.assertEqual(len(list(temporary.iterdir())), 1)
            process.send_signal(number)
            self.assertEqual(process.wait(50), -number)
            self.assertEqual(self.fake.asked[-1][:2], ("DELETE", "transfers/7"))
            self.assertEqual(list(temporary.iterdir()), [])

    def test_what_comes_before_the_number_is_known_cancels_it_too(self) -> None:
        self.fake.answers["DELETE", "transfers/7"] = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asked, answer = threading.Event(), threading.Event()

            def begin(*_: object, **__: object) -> dict[str, Any]:
                asked.set()  # noqa: B023 - they are those of this round
                answer.wait(50)  # noqa: B023
                return {"number": 7, "name": "lecture.mp4"}

            self.fake.answers["POST", "transfers"] = begin
            process = subprocess.Popen(
                [sys.executable, "-m", "twistedp2p.cli", "get", "lecture.mp4"],
                env=child_environment(),
            )
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.assertTrue(asked.wait(50))
            process.send_signal(number)
            self.assertRaises(subprocess.TimeoutExpired, process.wait, 0.2)
            answer.set()
            ended = Exit.INTERRUPTED if number == signal.SIGINT else -number
            self.assertEqual(process.wait(50), ended)
            self.assertEqual(self.fake.asked[-1][:2], ("DELETE", "transfers/7"))

    def test_nothing_that_was_not_checked_is_printed(self) -> None:
        self.there = {**self.there, "state": "failed", "error": {"detail": "Damaged.", "exit": 6}}
        self.assertEqual(self.command("get", "a", "-o", "-"), Exit.DAMAGED)
        self.assertEqual((self.bytes_out, self.out), (b"", ""))

    def test_ctrl_c_cancels_it(self) -> None:
        self.fake.answers["DELETE", "transfers/7"] = {}

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        self.patch(__import__("time"), "sleep", interrupt)
        self.there = {**self.there, "state": "moving"}
        self.assertEqual(self.command("get", "lecture.mp4"), Exit.INTERRUPTED)
        self.assertEqual(self.fake.asked[-1][:2], ("DELETE", "transfers/7"))

    def test_transfers_and_cancel(self) -> None:
        self.fake.answers["GET", "transfers"] = {"items": [self.there], "next": None}
        self.command("transfers")
        self.assertEqual(self.out, "7\tget\tdone\t8\t8\t0\tlecture.mp4\n")
        self.patch(show, "translations", lambda: translations({"LANGUAGE": "fr"}))
        self.command("transfers", terminal=True)
        self.assertRegex(self.out, r"7 +réception +fini +100 %")
        self.fake.answers["DELETE", "transfers/7"] = {}
        self.assertEqual(self.command("cancel", "7"), 0)
        self.assertEqual(self.command("cancel", "7/../8"), Exit.NOT_FOUND)
        self.assertEqual(self.fake.asked[-1][1], "transfers/7%2F..%2F8")
        self.assertEqual(API, "/api/v1/")

    def test_one_that_is_over_does_not_keep_the_others_running(self) -> None:
        for number in (2, 3):
            self.fake.answers["DELETE", f"transfers/{number}"] = {}
        self.assertEqual(self.command("cancel", "1", "2", "3"), Exit.NOT_FOUND)
        asked = [path for method, path, *_ in self.fake.asked if method == "DELETE"]
        self.assertEqual(asked, ["transfers/1", "transfers/2", "transfers/3"])
        self.assertEqual(len(self.err.splitlines()), 1)
