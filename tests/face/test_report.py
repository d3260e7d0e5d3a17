"""What a doctor found, as rows and as a document."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_diagnosis import FINE, LOOPS, NO
from twistedp2p.core.diagnosis import CHECKS, WHOLE, diagnose
from twistedp2p.core.diagnosis.facts import Trial
from twistedp2p.core.diagnosis.findings import Finding, Verdict
from twistedp2p.core.errors import words
from twistedp2p.face.report import ROWS, diagnosis_rows, document, finding_rows
from twistedp2p.face.texts import in_words, translations
from twistedp2p.net.interfaces import UnknownInterface, choose
from twistedp2p.net.sockets import SocketError, file_listeners

ENGLISH, FRENCH = str, translations({"LANG": "fr"})


class RowTests(SynchronousTestCase):
    def test_a_finding_has_its_number_and_verdict_and_what_to_do(self) -> None:
        finding = CHECKS["loop"](attrs.evolve(FINE, loops=(LOOPS[NO],), firewall="ufw"))
        self.assertEqual(
            finding_rows(ENGLISH, finding),
            [
                (
                    " 3 problem    This machine does not hear what it sends: its own firewall drops"
                    " what comes in (eth0).",
                    "error",
                ),
                (
                    "        → Run: sudo ufw allow 9392:9393/udp && sudo ufw allow 9393/tcp",
                    "error",
                ),
            ],
        )

    def test_of_many_rows_some_are_shown(self) -> None:
        rows = tuple(words("row {number}", number=number) for number in range(ROWS + 5))
        finding = Finding("hosts", Verdict.OK, words("many"), None, rows)
        shown = [text.strip() for text, _ in finding_rows(ENGLISH, finding)]
        self.assertEqual(shown[1], "row 0")
        self.assertEqual(shown[-1], "… (+5)")
        self.assertEqual(len(shown), ROWS + 2)

    def test_the_whole(self) -> None:
        [row] = diagnosis_rows(ENGLISH, diagnose(FINE))
        self.assertEqual(row, ("All is well: nodes reached every way: 1.", "system"))
        rows = diagnosis_rows(ENGLISH, diagnose(attrs.evolve(FINE, loops=(LOOPS[NO],))))
        self.assertEqual([style for _, style in rows], ["error", "error"])

    def test_in_french_nothing_stays_english(self) -> None:
        for loops in (FINE.loops, (LOOPS[NO],)):
            diagnosis = diagnose(attrs.evolve(FINE, loops=loops))
            english = document(ENGLISH, diagnosis)
            french = document(FRENCH, diagnosis)
            for one, other in zip(english["checks"], french["checks"], strict=True):
                self.assertNotEqual(one["what"], other["what"])
            self.assertNotEqual(english["what"], french["what"])
        for _, what, advice in WHOLE.values():
            self.assertNotEqual(FRENCH(what.sentence), what.sentence)
            if advice is not None:
                self.assertNotEqual(FRENCH(advice.sentence), advice.sentence)

    def test_what_the_system_refuses_is_french_too(self) -> None:
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(taken.close)
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = self.assertRaises(SocketError, file_listeners, port, fallback=False)
        found = CHECKS["ports"](attrs.evolve(FINE, trials=(Trial("TCP", error.words),)))
        (text, _), *_ = finding_rows(FRENCH, found)
        self.assertIn(f"le port TCP {port} est pris par", text)
        self.assertIn(f"(processus {os.getpid()})", text)

    def test_an_unknown_interface_is_french_too(self) -> None:
        error = self.assertRaises(UnknownInterface, choose, ["eth0"], [])
        text = in_words(FRENCH, "{why}", {"why": error.words})
        self.assertEqual(text, "aucune interface utilisable ne s'appelle 'eth0' ; il y a : aucune")


class DocumentTests(SynchronousTestCase):
    def test_its_keys_stay(self) -> None:
        """Whoever parses it relies on them: a change of these raises `FORMAT`."""
        made: dict[str, Any] = json.loads(json.dumps(document(ENGLISH, diagnose(FINE))))
        self.assertEqual(
            list(made), ["format", "verdict", "cause", "exit", "what", "advice", "checks"]
        )
        self.assertEqual(made["format"], 1)
        self.assertEqual((made["verdict"], made["cause"], made["exit"]), ("ok", "fine", 0))
        for check in made["checks"]:
            self.assertEqual(list(check), ["check", "verdict", "what", "advice", "rows"])
        self.assertEqual(
            [check["check"] for check in made["checks"]],
            ["interfaces", "ports", "loop", "oneself", "listening", "hosts", "pings", "masks",
             "ageing", "versions", "buffers"],
        )  # fmt: skip
