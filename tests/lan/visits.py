"""What two real nodes and the doctor make of each of the `situations`; the table of it."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import unittest
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from tests.lan.netns import Lan, LanMixin
from tests.lan.nodes import PATIENCE, NodeProcess, NodesMixin, environment
from tests.lan.situations import SITUATIONS, Situation

SOON = 10.0  # seconds within which nodes find each other where packets can pass
BUSY = 3.0  # as many times that is waited on a busy machine
SIZE = 100_000  # bytes of the file that is offered
AT_ONCE = 8  # situations: most of each is waiting
DOCTOR = (sys.executable, "-m", "twistedp2p.cli", "doctor", "--json")
HEAD = "| the network | they find each other | the doctor says | what to do |\n"
RULE = "| --- | --- | --- | --- |\n"


@attrs.define
class Outcome:
    """What happened, and what went wrong. `causes`: the doctor's, with and without a node."""

    seconds: float | None = None  # until both had found each other
    causes: set[str] = attrs.field(factory=set)
    failures: list[str] = attrs.field(factory=list)
    skipped: str = ""


class Visit(NodesMixin, LanMixin, unittest.TestCase):
    """One situation, from its network to the end of its nodes."""

    def __init__(self, situation: Situation) -> None:
        super().__init__("visit")
        self.situation = situation
        self.outcome = Outcome()

    def visit(self) -> None:
        """The doctor without a node; the nodes; the doctor beside one."""
        situation = self.situation
        lan = self.lan(2, **situation.lan)
        situation.build(lan)
        other = self.start(lan, "other", 1)
        if situation.change is None:
            self.ask_doctor(lan)
        if situation.refused:
            self.start(lan, "one", 0)
            return
        one = self.start(lan, "one", 0)
        if situation.meet:
            self.meet(lan, one, other)
            self.fetch(one, other)
        self.ask_doctor(lan)
        if not situation.meet:
            {"one": one, "other": other}[situation.sees_none].expect_not("is here")
            return
        for speaker, listener in ((one, other), (other, one)):
            listener.expect_not(rf"(?s)(:> line of {speaker.name}\b.*){{2}}")
        if situation.change is not None:
            one.quit()
            self.ask_doctor(lan)

    def start(self, lan: Lan, name: str, ns: int) -> NodeProcess:
        """A node, whose menu is there unless it is refused."""
        options = self.situation.options if name == "one" else ()
        node = self.node(name, *options, lan=lan, ns=ns, wait=False)
        if name == "one" and self.situation.refused:
            self.assertEqual(node.wait(PATIENCE * BUSY), 69)
            self.assertIn(self.situation.refused, node.errors)
        else:
            node.expect(r"\? help >", PATIENCE * BUSY)
        return node

    def ask_doctor(self, lan: Lan) -> None:
        """Examine `one`, and note the cause; the document is kept for a failure to show."""
        situation = self.situation
        peer = situation.peer or lan.address(1)
        if not situation.lan.get("ipv4", True):
            peer = f"{lan.link_local(1)}%eth0"
        argv = [*DOCTOR, "--peer", peer, *["--quick"] * (not situation.listens)]
        done = lan.run(0, argv, env=environment(self.home("doctor")), timeout=SOON * 2 * BUSY)
        self.assertEqual("", done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(found["exit"], done.returncode)
        self.assertEqual(found["cause"], situation.cause, done.stdout)
        self.outcome.causes.add(found["cause"])

    def meet(self, lan: Lan, one: NodeProcess, other: NodeProcess) -> None:
        """They find each other, or after a change again, and each shows what the other says."""
        change, met_before = self.situation.change, self.situation.met_before
        began = time.monotonic()
        if change is None or met_before:
            self.find(one, other)
        if change is not None:
            change(lan)
            began = time.monotonic()
            if not met_before:
                self.find(one, other)
        seconds = time.monotonic() - began
        for speaker, listener in ((one, other), (other, one)):
            speaker.type("1", f"line of {speaker.name}")
            listener.expect(f":> line of {speaker.name}", SOON * BUSY)
        self.outcome.seconds = time.monotonic() - began if met_before else seconds

    def find(self, one: NodeProcess, other: NodeProcess) -> None:
        """Each shows that the other is here."""
        one.expect("other is here", SOON * BUSY)
        other.expect("one is here", SOON * BUSY)

    def fetch(self, one: NodeProcess, other: NodeProcess) -> None:
        """What `other` offers, `one` sees, and gets where TCP can pass."""
        path = other.folder / "a.bin"
        path.write_bytes(b"a" * SIZE)
        other.type("4", str(path), "monpass", "n")
        one.expect(r"other offers a\.bin", SOON * BUSY)
        if self.situation.files:
            one.type("2", "a.bin", "monpass")
            one.expect(r"a\.bin is here, whole", SOON * BUSY)
            self.assertEqual(SIZE, (one.folder / "a.bin").stat().st_size)


def visit(situation: Situation) -> Outcome:
    """Visit one; never raises."""
    it, result = Visit(situation), unittest.TestResult()
    it.run(result)
    it.outcome.failures = [text for _, text in result.errors + result.failures]
    it.outcome.skipped = "".join(why for _, why in result.skipped)
    return it.outcome


def visit_all(
    situations: Sequence[Situation] = SITUATIONS, at_once: int = AT_ONCE
) -> Iterator[tuple[Situation, Outcome]]:
    """Visit them, some at the same time, and those first that take longest; they come in order."""
    with ThreadPoolExecutor(at_once) as pool:
        longest_first = sorted(situations, key=lambda situation: not situation.listens)
        visits = {each.key: pool.submit(visit, each) for each in longest_first}
        for situation in situations:
            yield situation, visits[situation.key].result()


def row(situation: Situation, seconds: str) -> str:
    """The row of the table. seconds: until they found each other, as it is to be read."""
    found = seconds if situation.meet else "no"
    what = situation.what[0].upper() + situation.what[1:]
    return f"| {what} | {found} | `{situation.cause}` | {situation.advice} |\n"


def rows(outcomes: Iterable[tuple[Situation, Outcome]]) -> str:
    """The table, with its head."""
    measured = [row(each, f"{outcome.seconds or 0:.1f} s") for each, outcome in outcomes]
    return HEAD + RULE + "".join(measured)


def recorded(document: str) -> str:
    """The table in a document, with the seconds left out."""
    table = re.findall(r"^\|.*\n", document, re.M)
    return re.sub(r"\b\d+\.\d s\b", "S", "".join(table))


def main(arguments: Sequence[str]) -> None:
    """Visit those that are named, or all, two at a time, for the seconds to mean something."""
    parser = argparse.ArgumentParser(prog="python -m tests.lan.situations")
    parser.add_argument("keys", nargs="*", metavar="NAME")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table into FILE")
    options = parser.parse_args(arguments)
    wanted = [each for each in SITUATIONS if not options.keys or each.key in options.keys]
    outcomes = []
    for situation, outcome in visit_all(wanted, at_once=2):
        outcomes.append((situation, outcome))
        print(f"{situation.key:20}", outcome.seconds, *outcome.causes, *outcome.failures)
    if any(outcome.failures or outcome.skipped for _, outcome in outcomes):
        sys.exit("not all went as it should")
    if options.record:
        text = options.record.read_text()
        start, end = text.index(HEAD), text.rindex("|\n") + 2
        options.record.write_text(text[:start] + rows(outcomes) + text[end:])
