"""The commands about the node, who is here, and what is said."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any, get_args

from tests.cli.fakes import KEY, CommandTestCase
from twistedp2p.cli import show
from twistedp2p.cli.chat import moment
from twistedp2p.cli.events import KINDS
from twistedp2p.core.errors import Exit
from twistedp2p.core.events import Event
from twistedp2p.face.texts import translations

FINGERPRINT = "egxj-f3k3-tsxm-ay3m"


def said(text: str = "hello", stamp: float = 1000.5, **more: Any) -> dict[str, Any]:
    """One message."""
    made = {"text": text, "nick": "alice", "key": KEY, "stamp": stamp}
    made |= {"address": "192.0.2.1", "fingerprint": FINGERPRINT, "own": False, "known": True}
    return {**made, "late": False, "sent": True, **more}


def plain(text: str) -> dict[str, Any]:
    """One of a script."""
    made = said(text, nick="", key=None, known=False)
    del made["fingerprint"]
    return made


class SayTests(CommandTestCase):
    def test_words_are_one_text(self) -> None:
        node = self.node()
        node.answers["POST", "messages"] = {}
        self.assertEqual(self.command("say", "hello", "all"), 0)
        self.assertEqual(self.command("say", "--to", "alice", "psst"), 0)
        self.assertEqual(
            [body for _, _, _, body in node.asked],
            [{"text": "hello all"}, {"text": "psst", "to": "alice"}],
        )
        self.assertEqual(self.out, "")

    def test_quiet_is_known_to_every_command_that_speaks_to_a_node(self) -> None:
        self.node().answers["POST", "messages"] = {}
        self.assertEqual(self.command("say", "--quiet", "hello"), 0)
        for name in ("stop", "withdraw", "cancel"):
            self.command(name, "--help")
            self.assertIn("--quiet", self.out)

    def test_each_line_of_standard_input_is_one(self) -> None:
        node = self.node()
        node.answers["POST", "messages"] = node.answers["GET", "status"] = {}
        self.assertEqual(self.command("say", "-", typed="one\n\ntwo"), 0)
        texts = [body["text"] for method, _, _, body in node.asked if method == "POST"]
        self.assertEqual(texts, ["one", "two"])


class ChatTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake = self.node()
        self.before = [said(), plain("coucou")]
        self.fake.answers["GET", "messages"] = lambda *_: {"items": self.before, "next": None}
        self.fake.events = [
            ("joined", {"nick": "bob"}),
            ("said", self.before[1]),
            ("said", said("new\tand\x1b[2J more", 1002.0)),
            ("direct_message", said("psst", 1003.0)),
        ]

    def test_what_was_said_then_what_is_each_once(self) -> None:
        self.assertEqual(self.command("chat"), Exit.NO_NODE)
        rows = [line.split("\t") for line in self.out.splitlines()]
        self.assertEqual(rows[0], ["1000.500", "alice", FINGERPRINT, "192.0.2.1", "", "hello"])
        self.assertEqual(rows[1], ["1000.500", "", "", "192.0.2.1", "", "coucou"])
        self.assertEqual(
            [row[4:] for row in rows[2:]], [["", "new and[2J more"], ["direct", "psst"]]
        )
        self.assertEqual(self.err, "p2pshare: The node has stopped.\n")
        self.assertEqual([where for _, where, _, _ in self.fake.asked], ["events", "messages"])

    def test_on_a_terminal_as_the_menu_shows_it(self) -> None:
        """Attack 35: what is not signed is shown as such."""
        os.environ["TZ"] = "UTC"
        time.tzset()
        self.addCleanup(time.tzset)
        self.addCleanup(os.environ.pop, "TZ")
        self.fake.events.append(("said", said("I", 1004.0, known=False)))
        self.fake.events.append(("direct_message", said("yes", 1005.0, own=True)))
        self.command("chat", terminal=True)
        self.assertEqual(
            self.out.splitlines(),
            [
                "00:16 alice :> hello",
                "00:16 192.0.2.1 (unverified) :> coucou",
                "00:16 alice :> new and[2J more",
                "00:16 alice (privately) :> psst",
                f"00:16 alice ({FINGERPRINT}) :> I",
                "00:16 (privately to alice) :> yes",
            ],
        )

    def test_json_lines(self) -> None:
        self.command("chat", "--json")
        self.assertEqual([json.loads(line)["text"] for line in self.out.splitlines()][:2],
                         ["hello", "coucou"])  # fmt: skip

    def test_since_and_no_follow(self) -> None:
        self.before = [said("old", 999.0), said("new", 1001.0)]
        code = self.command("chat", "--no-follow", "--since", "1970-01-01T00:16Z")
        self.assertEqual((code, len(self.out.splitlines())), (0, 2))
        self.assertEqual(self.fake.asked[-1][2], {"limit": "1000"})
        self.command("chat", "--no-follow", "--since", "1970-01-01T00:17Z")
        self.assertEqual(self.out, "")

    def test_moments(self) -> None:
        self.patch(time, "time", lambda: 100_000.0)
        spans = {"90s": 99_910, "15m": 99_100, "2h": 92_800, "1d": 13_600}
        for text, seconds in {**spans, "1970-01-02T00:00Z": 86_400}.items():
            self.assertEqual(moment(text), seconds)
        for wrong in ("", "1", "h", "1y", "2026-13-01", "2026-11-22T25:00", "-1h", "1970-01-01Z"):
            self.assertEqual(self.command("chat", f"--since={wrong}"), Exit.USAGE)


class EventsTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node().events = [
            ("joined", {"nick": "bob\t", "looks_like": None}),
            ("offer_added", {"offer": {"name": "a", "size": 1}, "own": True}),
        ]

    def test_values_between_tabs(self) -> None:
        self.assertEqual(self.command("events"), Exit.NO_NODE)
        rows = ["joined\tnick=bob \tlooks_like=", "offer_added\toffer=a\town=yes"]
        self.assertEqual(self.out.splitlines(), rows)

    def test_json_lines_of_those_that_are_wanted(self) -> None:
        self.command("events", "--json", "--only", "said,joined")
        data = {"nick": "bob\t", "looks_like": None}
        self.assertEqual(json.loads(self.out), {"event": "joined", "id": "1", "data": data})

    def test_events_that_there_are_not_are_refused(self) -> None:
        for wrong in ("bogus", "said,bogus", ""):
            self.assertEqual(self.command("events", "--only", wrong), Exit.USAGE)
        self.command("events", "--only", "bogus,said")
        self.assertIn("no event is called bogus; there are said, direct_message,", self.err)

    def test_the_names_are_those_of_the_events_that_there_are(self) -> None:
        named = {re.sub("(?<!^)(?=[A-Z])", "_", k.__name__).lower() for k in get_args(Event)}
        self.assertEqual({*KINDS}, {*named, "lost"})


class StatusTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.status = {"nick": "bob", "pid": 0, "uptime": 75.0, "loss": None, "closed": False}
        self.status["dropped"] = {"too fast": 3, "too long": 4}
        self.fake = self.node()
        self.fake.answers["GET", "status"] = self.status

    def test_the_three_ways(self) -> None:
        self.assertEqual(self.command("status"), 0)
        rows = dict(line.split("\t") for line in self.out.splitlines())
        self.assertEqual((rows["nick"], rows["uptime"], rows["dropped"]), ("bob", "75.0", "7"))
        self.assertEqual(rows["closed"], "no")
        self.command("status", terminal=True)
        self.assertRegex(self.out, r"(?m)^Runs for +1:15$")
        self.patch(show, "translations", lambda: translations({"LANGUAGE": "fr"}))
        self.command("status", terminal=True)
        self.assertRegex(self.out, r"(?m)^Groupe fermé +non$")
        self.command("status", "--json")
        self.assertEqual(json.loads(self.out), self.status)

    def test_the_token_is_printed_alone(self) -> None:
        self.assertEqual(self.command("status", "--token"), Exit.NOT_FOUND)
        self.assertEqual(self.err.count("--web"), 1)
        token = "A" * 43
        (self.folder / "p2pshare" / "1" / "control.token").write_text(token + "\n")
        self.assertEqual(self.command("status", "--token"), 0)
        self.assertEqual(self.out, token + "\n")

    def test_peers(self) -> None:
        peer = {"nick": "alice", "fingerprint": FINGERPRINT, "addresses": ["192.0.2.1", "fe80::1"]}
        peers = {"items": [{**peer, "verified": True}], "next": None}
        self.fake.answers["GET", "peers"] = peers
        self.command("peers")
        self.assertEqual(self.out, f"alice\t{FINGERPRINT}\t192.0.2.1,fe80::1\tyes\n")
        self.patch(show, "translations", lambda: translations({"LANGUAGE": "fr"}))
        self.command("peers", terminal=True)
        self.assertRegex(self.out, r"fe80::1 +oui\n$")
        self.command("peers")
        self.assertRegex(self.out, r"\tyes\n$")

    def test_stop_waits_for_the_end(self) -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        self.addCleanup(os.waitpid, child, 0)
        self.status["pid"] = child
        self.fake.answers["POST", "stop"] = {"stopping": True}
        self.assertEqual(self.command("stop"), 0)
