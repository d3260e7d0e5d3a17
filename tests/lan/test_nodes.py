"""Two real nodes: on one host with nothing but its loopback, and in namespaces on one bridge."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.netns import Lan, LanMixin, command, require_namespaces
from tests.lan.nodes import NodeProcess, NodesMixin, free_port, until

MIB = 2**20  # bytes
BIG = 20 * MIB
LINK = 100  # megabits a second: BIG takes 1.7 s
SLOW_LINK = 8  # Mbit/s: BIG takes 21 s, time enough for something to happen in the middle
# The wait of a person, made short; what waits is the same code.
IMPATIENT = """
import twistedp2p.net.fetch
twistedp2p.net.fetch.STALL = 3.0
"""


def digest(path: Path) -> str:
    """SHA-256, which the program itself does not use for files."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class NodesTestCase(NodesMixin, LanMixin, TestCase):
    timeout = 60  # seconds, never met: every wait has a deadline of its own

    def make(self, node: NodeProcess, name: str, size: int = BIG) -> Path:
        """A file of random bytes in the folder of a node."""
        path = node.folder / name
        with open(path, "wb") as file:
            for at in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - at)))
        return path

    def offer(self, node: NodeProcess, path: Path, password: str = "monpass") -> str:
        """Offer a file from the menu; the ticket that is shown."""
        node.type("4", str(path), password, "n")
        node.expect(rf"The group was told: {re.escape(path.name)}")
        return node.expect(r"Its ticket: (\(.*\))")[1]

    def number(self, node: NodeProcess, name: str) -> str:
        """The number of an offer in the list of a node."""
        node.type("5", name)
        return node.expect(rf"(?m)^ +(\d+) .*  {re.escape(name)}  — ")[1]

    def meet(self, *nodes: NodeProcess) -> None:
        """Wait until each knows of all the others."""
        for node in nodes:
            node.expect_all(*(f"{other.name} is here" for other in nodes if other is not node))

    def in_the_middle(self, node: NodeProcess) -> None:
        """Wait until some of the body has come."""

        def some() -> bool:
            return any(path.stat().st_size for path in node.folder.glob(".*.part"))

        until(some, f"{node.name} gets something")

    def nothing_is_left(self, node: NodeProcess, *there: str) -> None:
        """The folder of a node holds these files and no more, once its thread has removed them."""

        def names() -> set[str]:
            found = {path.name for path in node.folder.iterdir() if path.suffix != ".stderr"}
            return found - {".local"}

        with contextlib.suppress(AssertionError):  # what is there says more
            until(lambda: names() == set(there), "nothing is left")
        self.assertEqual(names(), set(there))


class SharingTests(NodesTestCase):
    """Message, offer, list, search, get by number, by name and by ticket."""

    def share(self, one: NodeProcess, other: NodeProcess, address: str) -> None:
        self.meet(one, other)
        one.type("1", "coucou à tous 漢字")
        other.expect(r"one \(\S+\) :> coucou à tous 漢字")
        other.type("/say salut")
        one.expect(r"other \(\S+\) :> salut")

        paths = [self.make(one, "Image 1.jpg"), self.make(one, "b.bin", 1), self.make(one, "c", 0)]
        tickets = [self.offer(one, path) for path in paths]
        self.assertRegex(tickets[0], rf'\("{address}",\d+\),\("monpass","Image 1\.jpg"\)')
        other.expect_all(*(rf"one offers {path.name}" for path in paths))
        other.type("5", "")
        other.expect_all(*(rf"  {path.name}  — one" for path in paths))
        number = self.number(other, "Image 1.jpg")
        other.type("5 IMAGE jp")
        other.expect(rf" {number} +21\.0 MB  Image 1\.jpg  — one")
        other.type("5", "moon")
        other.expect("Nothing is on offer")

        other.type("2", number, "monpass")
        other.expect(r"Image 1\.jpg is here, whole: (\S+/Image 1\.jpg) \(21\.0 MB, ")
        other.type("2", "b.bin", "monpass")
        other.expect(r"b\.bin is here, whole")
        other.type("2", "c", "monpass")
        other.expect(r"c is here, whole")
        other.type(tickets[0])
        other.expect(r"Image 1\.jpg is here, whole: (\S+/Image 1 \(2\)\.jpg) \(")
        other.expect_not("The owner of")  # by the ticket, too, the owner's key was required

        for path in paths:
            self.assertEqual(digest(other.folder / path.name), digest(path))
        self.assertEqual(digest(other.folder / "Image 1 (2).jpg"), digest(paths[0]))
        self.assertEqual([node.quit() for node in (other, one)], [0, 0])

    def test_on_the_loopback_of_this_host_without_being_root(self) -> None:
        self.share(self.node("one"), self.node("other"), r"127\.0\.0\.1")

    def test_where_there_is_nothing_but_the_loopback(self) -> None:
        lan = self.lan(1)
        command("ip", "-n", lan.names[0], "link", "del", "eth0")
        nodes = [self.node(name, lan=lan) for name in ("one", "other")]
        self.share(*nodes, r"127\.0\.0\.1")

    def test_across_a_bridge(self) -> None:
        lan = self.lan(2)
        nodes = [self.node(name, lan=lan, ns=ns) for ns, name in enumerate(("one", "other"))]
        self.share(*nodes, r"10\.77\.0\.1")

    def test_what_was_said_and_offered_in_one_group_stays_there(self) -> None:
        """In another, nobody could believe its signatures: what is lacking would never come."""
        one = self.node("one")
        one.type("1", "in the first")
        self.offer(one, self.make(one, "a.bin", 1000))
        self.assertEqual(one.quit(), 0)
        elsewhere = ("--port", str(free_port()))
        again, other = self.node("one", *elsewhere), self.node("other", *elsewhere)
        self.meet(again, other)
        again.type("1", "in the second")
        other.expect("in the second")
        again.type("/last", "5", "")
        again.expect_all("in the second", "Nothing is on offer")
        again.expect_not("in the first")
        other.type("6")
        other.expect(r"one  \S+  127")
        other.expect_not("a wrong signature")
        self.assertEqual(again.quit(), 0)
        back = self.node("one")
        back.type("/last", "5", "")
        back.expect_all("in the first", "a.bin")

    def test_a_third_that_comes_later_sees_what_was_said_and_offered(self) -> None:
        one = self.node("one")
        one.type("1", "coucou")
        self.offer(one, self.make(one, "a.bin", 1000))
        late = self.node("late")
        late.expect_all("one is here", r"one .*:> coucou", r"one offers a\.bin")


class RefusedTests(NodesTestCase):
    def pair(self) -> tuple[NodeProcess, NodeProcess]:
        owner, other = self.node("owner"), self.node("other")
        self.meet(owner, other)
        return owner, other

    def test_a_wrong_password_is_a_sentence_at_both_ends_and_no_file(self) -> None:
        """Attack 1."""
        owner, other = self.pair()
        self.offer(owner, self.make(owner, "a.bin", 1000))
        other.expect(r"owner offers a\.bin")
        other.type("2", "a.bin", "wrong")
        other.expect(r"(?m)^! a\.bin: Refused: wrong password\.$")
        owner.expect(r"other at 127\.0\.0\.1 tried a wrong password for a\.bin")
        self.nothing_is_left(other)

    def test_a_file_that_changed_after_it_was_offered_is_not_sent(self) -> None:
        """Attack 16."""
        owner, other = self.pair()
        path = self.make(owner, "a.bin", 1000)
        self.offer(owner, path)
        other.expect(r"owner offers a\.bin")
        path.write_bytes(b"another file of the same name")
        other.type("2", "a.bin", "monpass")
        other.expect_all(
            r"(?m)^! a\.bin: Refused: the file has changed since it was offered\.$",
            r"owner does not offer a\.bin any more",
        )
        owner.expect(r"a\.bin is not on offer any more: the file has changed")
        self.nothing_is_left(other)

    def test_a_file_that_is_withdrawn_goes_from_the_list(self) -> None:
        owner, other = self.pair()
        self.offer(owner, self.make(owner, "a.bin", 1000))
        number = self.number(other, "a.bin")
        owner.type("7", "a.bin")
        other.expect(r"owner does not offer a\.bin any more")
        other.type("2", number, "monpass")
        other.expect(r"(?m)^! a\.bin: Refused: .*$")
        other.type("5", "")
        other.expect("Nothing is on offer")

    def test_the_offers_of_a_node_that_quit_go_from_the_list_and_come_back_with_it(self) -> None:
        owner, other = self.pair()
        identity = re.search(r"\(((\w{4}-){3}\w{4})\) in the group", owner.output)[1]
        path = self.make(owner, "a.bin", 1000)
        self.offer(owner, path)
        other.expect(r"owner offers a\.bin")
        self.assertEqual(owner.quit(), 0)
        other.expect("owner has left")
        other.type("5", "")
        other.expect("Nothing is on offer")

        again = self.node("owner")
        self.assertIn(f"({identity})", again.output)
        other.expect("owner is here")
        other.type("2", self.number(other, "a.bin"), "monpass")
        other.expect(r"a\.bin is here, whole")
        self.assertEqual(digest(other.folder / "a.bin"), digest(path))


class BrokenTests(NodesTestCase):
    """What happens on the way is told in a sentence, and costs what was under way of a piece."""

    def pair(self, before: str = "") -> tuple[NodeProcess, NodeProcess, Lan]:
        """An owner behind a slow cable, and another node. The owner offers a big file."""
        lan = self.lan(2)
        lan.rate(0, SLOW_LINK)
        owner = self.node("owner", lan=lan, ns=0)
        other = self.node("other", lan=lan, ns=1, before=before)
        self.meet(owner, other)
        self.offer(owner, self.make(owner, "big.bin"))
        other.expect(r"owner offers big\.bin")
        return owner, other, lan

    def is_whole(self, owner: NodeProcess, other: NodeProcess, lan: Lan) -> None:
        """It comes, and is what was offered; nothing else is left."""
        lan.rate(0, LINK)
        other.expect(r"big\.bin is here, whole")
        self.assertEqual(digest(other.folder / "big.bin"), digest(owner.folder / "big.bin"))
        self.nothing_is_left(other, "big.bin")

    def test_a_pulled_cable_is_a_sentence_and_once_it_is_back_the_file_comes(self) -> None:
        owner, other, lan = self.pair(IMPATIENT)
        other.type("2", "big.bin", "monpass")
        self.in_the_middle(other)
        lan.down(1)
        other.expect(r"big\.bin: The other end went silent\. It goes on as soon as")
        lan.up(1)
        self.is_whole(owner, other, lan)

        # The interface is looked for every so often: say it until it is heard.
        def heard() -> bool:
            other.type("1", "back again")
            try:
                return bool(owner.expect("other .*:> back again", within=0.5))
            except AssertionError:
                return False

        until(heard, "the line is heard again")
        owner.type("1", "welcome back")
        other.expect("owner .*:> welcome back")

    def test_an_owner_that_is_killed_and_comes_back_at_another_port(self) -> None:
        owner, other, lan = self.pair()
        other.type("2", "big.bin", "monpass")
        self.in_the_middle(other)
        owner.process.kill()
        other.expect(r"big\.bin: The connection broke in the middle\. It goes on as soon as")
        owner.wait()
        sent = lan.sent(0)
        again = self.node("owner", "--file-port", "20123", lan=lan, ns=0)
        self.is_whole(owner, other, lan)
        self.assertLess(lan.sent(0) - sent, BIG)
        other.expect_not("get it again")
        again.quit()

    def test_a_receiver_that_is_killed_goes_on_where_it_was(self) -> None:
        owner, other, lan = self.pair()
        other.type("2", "big.bin", "monpass")
        until(lambda: self.size_of_part(other) > BIG // 5, "a fifth has come")
        other.process.kill()
        other.wait()
        sent = lan.sent(0)
        again = self.node("other", lan=lan, ns=1, home="other")
        again.expect("owner is here")
        again.type("2", "big.bin", "monpass")
        self.is_whole(owner, again, lan)
        self.assertLess(lan.sent(0) - sent, 0.95 * BIG)

    def size_of_part(self, node: NodeProcess) -> int:
        """Bytes of the disk that the unfinished file takes."""
        return sum(path.stat().st_blocks * 512 for path in node.folder.glob(".*.part"))

    def test_a_file_that_changes_on_the_way_is_not_mixed(self) -> None:
        """Attack 16."""
        owner, other, _ = self.pair()
        other.type("2", "big.bin", "monpass")
        self.in_the_middle(other)
        os.truncate(owner.folder / "big.bin", MIB)
        other.expect(r"(?m)^! big\.bin: Refused: (the file has changed|there is no such file)")
        self.assertFalse((other.folder / "big.bin").exists())

    def test_a_get_that_is_cancelled(self) -> None:
        _, other, _ = self.pair()
        other.type("2", "big.bin", "monpass")
        self.in_the_middle(other)
        number = other.expect(r"big\.bin: asked for\. /cancel (\d+) stops it\.")[1]
        other.type(f"/cancel {number}")
        other.expect(r"big\.bin: Stopped\.")
        self.nothing_is_left(other)

    def test_a_node_that_quits_in_the_middle_of_a_get(self) -> None:
        owner, other, _ = self.pair()
        other.type("2", "big.bin", "monpass")
        self.in_the_middle(other)
        other.process.terminate()
        other.wait()
        owner.expect("other has left")
        (part,) = other.folder.glob(".*.part")
        self.nothing_is_left(other, part.name)


class RoomTests(NodesTestCase):
    """One file to a whole room."""

    def room(self, *options: str) -> tuple[Lan, NodeProcess, list[NodeProcess]]:
        """An owner behind a slow cable, and three who are going to fetch its file."""
        lan = self.lan(4)
        lan.rate(0, LINK)
        owner = self.node("owner", *options, lan=lan, ns=0)
        others = [self.node(f"bob{ns}", *options, lan=lan, ns=ns) for ns in (1, 2, 3)]
        self.offer(owner, self.make(owner, "big.bin"))
        for other in others:
            other.expect(r"owner offers big\.bin")
        return lan, owner, others

    def all_come(self, owner: NodeProcess, others: list[NodeProcess]) -> None:
        for other in others:
            other.expect(r"big\.bin is here, whole")
            self.assertEqual(digest(other.folder / "big.bin"), digest(owner.folder / "big.bin"))

    def test_three_fetch_and_one_is_killed_meanwhile(self) -> None:
        lan, owner, others = self.room()
        before = lan.sent(0)
        for other in others:
            other.type("2", "big.bin", "monpass")
        self.in_the_middle(others[0])
        others[0].process.kill()
        self.all_come(owner, others[1:])
        self.assertLess(lan.sent(0) - before, 2.2 * BIG)

    def test_without_the_swarm_each_fetches_from_the_owner(self) -> None:
        lan, owner, others = self.room("--no-swarm")
        before = lan.sent(0)
        for other in others:
            other.type("2", "big.bin", "monpass")
        self.all_come(owner, others)
        self.assertGreater(lan.sent(0) - before, 3 * BIG)


class FullDiskTests(NodesTestCase):
    def disk(self, home: str, size: int) -> Path:
        """A disk of that many bytes as the folder of a node."""
        require_namespaces(self)
        folder = self.home(home)
        command("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        self.addCleanup(command, "umount", "-l", str(folder))
        return folder

    def test_what_does_not_fit_is_not_begun(self) -> None:
        """Attack 31."""
        self.disk("other", BIG)
        owner, other = self.node("owner"), self.node("other")
        self.meet(owner, other)
        self.offer(owner, self.make(owner, "big.bin"))
        other.expect(r"owner offers big\.bin")
        other.type("2", "big.bin", "monpass")
        other.expect(r"(?m)^! big\.bin: There is not enough room in \S+ for big\.bin \(\d+ bytes\)")
        self.nothing_is_left(other)

    def test_a_disk_that_fills_up_on_the_way(self) -> None:
        """Attack 31."""
        disk = self.disk("other", 300 * MIB)
        lan = self.lan(2)
        lan.rate(0, SLOW_LINK)
        owner, other = (
            self.node(name, lan=lan, ns=ns) for ns, name in ((0, "owner"), (1, "other"))
        )
        self.meet(owner, other)
        self.offer(owner, self.make(owner, "big.bin"))
        other.expect(r"owner offers big\.bin")
        other.type("2", "big.bin", "monpass")
        self.in_the_middle(other)
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={disk}/full", "bs=1M"], capture_output=True, check=False
        )
        other.expect(r"(?m)^! big\.bin: The disk is full: .* to \S+\. What came of .* is kept")
        (part,) = other.folder.glob(".*.part")
        self.nothing_is_left(other, "full", part.name)
        # The node itself has no room left either, and lives on.
        other.type("6")
        other.expect(r"owner  .*  10\.77\.0\.1")
        # Once there is room, it goes on.
        (disk / "full").unlink()
        lan.rate(0, LINK)
        other.type("2", "big.bin", "monpass")
        other.expect(r"big\.bin is here, whole")
        self.assertEqual(digest(other.folder / "big.bin"), digest(owner.folder / "big.bin"))
