"""Real nodes with a wrong clock, with their memory gone, and two of one identity."""

from __future__ import annotations

import shutil
import time

from twisted.trial.unittest import TestCase

from tests.lan.nodes import NodeProcess, NodesMixin, until

# Before anything else has looked at the clock.
AHEAD = """
import time
right_time = time.time
time.time = lambda: right_time() + 3600
"""
# A clock that is set when the test says so, by a file in the node's home.
SET = """
import time
right_time = time.time
def set_time():
    try:
        with open("clock") as file:
            return right_time() + float(file.read())
    except (OSError, ValueError):
        return right_time()
time.time = set_time
"""


class LinesTestCase(NodesMixin, TestCase):
    timeout = 120  # seconds, never met: every wait has a deadline of its own

    def meet(self, *nodes: NodeProcess) -> None:
        """Wait until each knows of all the others."""
        for node in nodes:
            node.expect_all(*(f"{other.name} is here" for other in nodes if other is not node))


class ClockTests(LinesTestCase):
    def test_an_hour_between_two_clocks(self) -> None:
        """Answers stand after questions on both, also after a restart; nothing live is late."""
        fast, right = self.node("fast", before=AHEAD), self.node("right")
        self.meet(fast, right)
        for turn in ("first", "second"):
            fast.type("1", f"{turn} question")
            right.expect(rf"(?m)^(> )?fast \(.*\) :> {turn} question")
            right.type("1", f"{turn} answer")
            fast.expect(rf"(?m)^(> )?right \(.*\) :> {turn} answer")
        order = ["first question", "first answer", "second question", "second answer"]
        for node in (fast, right):
            self.shows_last(node, order)
        self.assertEqual(right.quit(), 0)
        right = self.node("right", home="right")
        self.shows_last(right, order)

    def test_a_clock_that_is_set(self) -> None:
        """Back or forward: it is still here, hears, is heard, and ends in good order."""
        for hours in (-1, 1):
            name = "back" if hours < 0 else "forward"
            clock = self.home(name) / "clock"
            node, other = self.node(name, before=SET), self.node(f"{name}_too")
            self.meet(node, other)
            clock.write_text(str(3600 * hours))
            later = self.node(f"{name}_later")
            self.meet(node, later)
            later.type("1", "hello")
            node.expect(":> hello")
            node.type("1", "I am still here")
            for each in (other, later):
                each.expect(":> I am still here")
            for each in (node, other, later):
                each.expect_not("has left|is silent")
            self.assertEqual([each.quit() for each in (node, other, later)], [0, 0, 0])

    def shows_last(self, node: NodeProcess, order: list[str]) -> None:
        node.type("/last")
        for text in order:
            node.expect(rf"(?m)^(> )?\d\d:\d\d .* :> {text}")


class MemoryTests(LinesTestCase):
    def test_a_memory_that_was_deleted(self) -> None:
        """What was said before is not shown again; what is said after it comes, once."""
        one, other = self.node("one"), self.node("other")
        self.meet(one, other)
        one.type("1", "before")
        other.expect(":> before")
        self.assertEqual(one.quit(), 0)
        other.expect("one has left")
        for path in one.slot.glob("group-*"):
            path.unlink()
        one = self.node("one", home="one")
        one.expect("other is here")
        one.type("1", "after")
        other.expect(":> after")
        other.type("1", "heard")
        one.expect(":> heard")
        for text in ("before", "after"):
            self.assertEqual(other.output.count(f":> {text}"), 1)
        other.type("/last")
        other.expect(r"(?s):> before.*:> after.*:> heard")

    def test_a_memory_that_was_put_back(self) -> None:
        """Under the numbers that it has forgotten others have other lines: none of both is lost."""
        one, other = self.node("one"), self.node("other")
        self.meet(one, other)
        one.type("1", "at first")
        other.expect(":> at first")
        self.assertEqual(one.quit(), 0)
        backup = self.home("backup") / "state"
        shutil.copytree(self.home("one") / ".local", backup)
        one = self.node("one", home="one")
        self.meet(one)
        for text in ("forgotten", "forgotten too"):
            one.type("1", text)
            other.expect(f":> {text}")
        self.assertEqual(one.quit(), 0)
        shutil.rmtree(self.home("one") / ".local")
        shutil.copytree(backup, self.home("one") / ".local")
        one = self.node("one", home="one")
        for text in ("new", "new too"):
            one.type("1", text)
        other.expect_all(":> new\n", ":> new too\n")
        for text in ("at first", "forgotten", "forgotten too", "new", "new too"):
            self.assertEqual(other.output.count(f":> {text}\n"), 1)
        other.type("/last")
        other.expect(r"(?s):> at first.*:> forgotten\n.*:> forgotten too\n.*:> new\n.*:> new too\n")

    def test_a_state_folder_that_was_copied(self) -> None:
        """Of the two nodes one, that came later, takes a new identity, and says so."""
        one, other = self.node("one"), self.node("other")
        self.meet(one, other)
        notes = self.home("one") / "notes.txt"
        notes.write_text("notes")
        one.type("4", str(notes), "monpass", "n")
        one.expect("The group was told: notes.txt")
        self.assertEqual(one.quit(), 0)
        other.expect("one has left")
        shutil.copytree(self.home("one") / ".local", self.home("copy") / ".local")
        one = self.node("one", home="one")
        other.expect("one is here")
        second = int(time.time())
        until(lambda: int(time.time()) > second, "the next second, by which the copy is later")
        copy = self.node("copy", home="copy")
        new = copy.expect(r"Another node has the identity of this one.* it is (\S+) now")[1]
        copy.expect("offer again what had a password: notes.txt")
        other.expect(r"copy is here")
        for node in (one, copy):
            node.type("1", f"I am {node.name}")
        other.expect_all(":> I am one", rf"copy \({new}\) :> I am copy")
        one.expect_not("Another node has the identity")
        self.assertEqual([one.quit(), copy.quit()], [0, 0])
        again = self.node("copy", home="copy")
        again.expect("other is here")
        again.expect_not("identity")
