import fcntl
import os
import pty
import shutil
import signal
import socket
import struct
import sys
import termios
import time
from types import SimpleNamespace

import pyte
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.face.nodes import (
    LOOPBACK,
    Process,
    arguments,
    environment,
    folder_of,
    group_of,
)
from tests.lan.nodes import free_port
from twistedp2p.face.editor import MAX_WAITING, Editor, _History, _Words

PATIENCE = 60.0  # seconds: the machine may be busy
LINES_PER_SECOND = 20
SENDERS = 12  # addresses: a node shows two plain lines a second of each


class WordTests(SynchronousTestCase):
    def setUp(self):
        self.completer = _Words()
        self.completer.words = {
            "nick": ("anna", "bob"),
            "choice": ("a b.txt", "Ähre.jpg"),
            "own": ("mine.txt",),
        }

    def complete(self, kind, text):
        self.completer.kind = kind
        document = Document(text)
        found = self.completer.get_completions(document, CompleteEvent(completion_requested=True))
        return [text[: len(text) + each.start_position] + each.text for each in found]

    def test_commands_at_the_start(self):
        self.assertEqual(self.complete("command", "/wi"), ["/withdraw "])
        self.assertEqual(self.complete("command", "x /wi"), [])

    def test_nicks_in_a_message_and_after_a_command(self):
        self.assertEqual(self.complete("nick", "hello AN"), ["hello anna"])
        self.assertEqual(self.complete("command", "1 hi bo"), ["1 hi bob"])

    def test_offers_where_something_is_to_be_got(self):
        self.assertEqual(self.complete("choice", "äh"), ["Ähre.jpg"])
        self.assertEqual(self.complete("command", "2 a b"), ["2 a b.txt"])
        self.assertEqual(self.complete("command", "/get a"), ["/get a b.txt"])

    def test_own_offers_where_one_is_to_be_withdrawn(self):
        self.assertEqual(self.complete("own", "mi"), ["mine.txt"])
        self.assertEqual(self.complete("command", "7 mi"), ["7 mine.txt"])

    def test_paths_where_one_is_to_be_offered(self):
        folder = folder_of(self)
        os.mkdir(os.path.join(folder, "some folder"))
        for kind, before in (("path", ""), ("command", "4 "), ("command", "/offer ")):
            text = f"{before}{folder}/so"
            self.assertEqual(self.complete(kind, text), [f"{before}{folder}/some folder"])

    def test_nothing_for_a_yes_or_a_secret(self):
        self.assertEqual(self.complete("", "an"), [])


class HistoryTests(SynchronousTestCase):
    def test_a_line_with_a_ticket_is_not_kept(self):
        history = _History()
        for line in ("1 hi", '("10.0.0.1",9000),("pw","f")', ' ("10.0.0.1',
                     'x ("10.0.0.1",9000),("pw","f")'):  # fmt: skip
            history.append_string(line)
        self.assertEqual(history.get_strings(), ["1 hi"])


class WaitingLineTests(SynchronousTestCase):
    def test_a_terminal_that_takes_nothing_costs_little_memory(self):
        editor = Editor(None, {})
        for number in range(3 * MAX_WAITING):
            editor.show(str(number))
        self.assertEqual(len(editor._lines), MAX_WAITING)
        self.assertEqual(editor._lines[-1], (str(3 * MAX_WAITING - 1), ""))

    def test_escapes_never_reach_the_terminal(self):
        """Attack 32: ANSI, C1 and OSC in names, nicks, chat."""
        editor = Editor(None, {"NO_COLOR": "1"})
        self.assertEqual(editor._painted("a\x1b[31m\x9b\x07b", "chat"), "a[31mb\r\n")
        self.assertNotIn("\x07", editor._painted("\x07", "ticket"))
        editor.set_bottom(["1 get \x1b[2Jx"], {})
        self.assertEqual(editor._toolbar, "1 get [2Jx")

    def test_a_bottom_that_changes_just_when_the_prompt_ends_is_kept_for_the_next(self):
        def invalidate():
            raise RuntimeError("Event loop is closed")

        editor = Editor(None, {})
        editor._running = SimpleNamespace(app=SimpleNamespace(invalidate=invalidate))
        editor.set_bottom(["1 get"], {})
        self.assertEqual(editor._toolbar, "1 get")

    def test_colours_unless_nobody_wants_them(self):
        self.assertEqual(Editor(None, {})._painted("x", "error"), "\x1b[1;31mx\x1b[0m\r\n")
        self.assertEqual(Editor(None, {"NO_COLOR": "1"})._painted("x", "error"), "x\r\n")


class StopTests(SynchronousTestCase):
    def test_the_terminal_is_not_taken_again_before_the_shell_has_had_it(self):
        calls = []
        editor = Editor(None, {})
        editor._continued = SimpleNamespace(
            clear=lambda: calls.append("clear"), wait=lambda seconds: calls.append("wait")
        )
        self.patch(os, "kill", lambda group, number: calls.append((group, number)))
        editor._suspend()
        self.assertEqual(calls, ["clear", (0, signal.SIGTSTP), "wait"])


class Pty(Process):
    """A process on a pseudo-terminal, and what can be seen there."""

    def __init__(self, columns, rows):
        super().__init__()
        self.master, self.theirs = pty.openpty()
        self.slave = os.dup(self.theirs)  # to look at its modes when the process has gone
        self.screen = pyte.Screen(columns, rows)
        self.screen.write_process_input = self.answer
        self.answers = b""
        self.in_character = False
        self.stream = pyte.ByteStream(self.screen)
        self.resize(columns, rows)
        self.before = self.modes()

    def spawn(self, reactor, command, **variables):
        reactor.spawnProcess(
            self, command[0], command, environment(**variables),
            usePTY=(self.master, self.theirs, os.ttyname(self.slave)),
        )  # fmt: skip

    def outReceived(self, data):
        self.stream.feed(data)
        super().outReceived(data)

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def modes(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO)

    def rows(self):
        return [row.rstrip() for row in self.screen.display]

    def seen(self):
        return "\n".join(self.rows())

    def type(self, text):
        self.transport.write(text.encode())

    def answer(self, data):
        """The terminal is asked where its cursor is. It may answer between any two characters."""
        self.answers += data.encode()
        self.write(b"", self.in_character)

    def write(self, data, in_character):
        """Keys that were typed, the last character of them only in part."""
        self.in_character = in_character
        if not in_character:
            data, self.answers = data + self.answers, b""
        self.transport.write(data)

    def processExited(self, reason):
        # Not `processEnded`, which waits until the terminal, which we look at, is closed.
        super().processEnded(reason)

    def processEnded(self, reason):
        pass

    async def kill(self):
        await super().kill()
        os.close(self.slave)
        self.transport.loseConnection()


class Receiver(DatagramProtocol):
    """The exercise's receiver: keeps the text of every datagram, ours with its trailer cut off."""

    def __init__(self):
        self.texts = []

    def datagramReceived(self, data, address):
        self.texts.append(data.partition(b"\n~p2pshare/1 ")[0].decode())


class EditorTests(TestCase):
    """A real node on a pseudo-terminal, on the loopback alone."""

    timeout = 300

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.port = free_port()
        self.group = group_of(self.port)

    def open(self, columns=80, rows=24, script=None, term="xterm-256color", **variables):
        self.terminal = terminal = Pty(columns, rows)
        command = [sys.executable, *arguments(folder_of(self), port=self.port)]
        if script is not None:
            command = [shutil.which("bash"), "--norc", "-m", "-c", script, *command]
        terminal.spawn(self.reactor, command, TERM=term, **variables)
        self.addCleanup(lambda: Deferred.fromCoroutine(terminal.kill()))
        return terminal

    async def until(self, condition, what):
        """Wait for it, without going past what is true for a moment only."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline or not self.terminal.running:
                self.fail(f"not {what}; the screen:\n{self.terminal.seen()}")
            await deferLater(self.reactor, 0.02)

    async def sees(self, text):
        await self.until(lambda: text in self.terminal.seen(), f"seen: {text}")

    async def is_asked(self, question=">"):
        """The question stands, the line is empty, and the terminal takes keys."""
        await self.until(
            lambda: question in self.terminal.rows() and self.terminal.is_raw(),
            f"asked: {question}",
        )

    async def write_slowly(self, text, piece=3):
        """In pieces that cut characters, but not the escape sequences of a terminal."""
        for part in text.replace("\x1b", "\0\x1b").replace("~", "~\0").split("\0"):
            data = part.encode()
            step = len(data) if part.startswith("\x1b") else piece
            for start in range(0, len(data), step or 1):
                end = start + step
                in_character = data[:end].decode(errors="ignore").encode() != data[:end]
                self.terminal.write(data[start:end], in_character)
                await deferLater(self.reactor, 0.03)

    def listen(self):
        receiver = Receiver()
        listening = self.reactor.listenMulticast(self.port, receiver, listenMultiple=True)
        self.addCleanup(listening.stopListening)
        listening.joinGroup(self.group, LOOPBACK)
        return receiver

    def send_lines(self, text):
        """Twenty lines a second from now on; a list to which each that was sent is appended."""
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SENDERS)]
        for number, each in enumerate(sockets, 1):
            each.bind((f"127.0.1.{number}", 0))
            each.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            self.addCleanup(each.close)
        sent = []

        def send():
            line = text.format(len(sent))
            sockets[len(sent) % SENDERS].sendto(line.encode(), (self.group, self.port))
            sent.append(line)

        calling = LoopingCall(send)
        calling.start(1 / LINES_PER_SECOND)
        self.addCleanup(lambda: calling.running and calling.stop())
        return sent

    async def test_what_is_typed_stays_whole_while_twenty_lines_a_second_arrive(self):
        terminal = self.open(110, 24)
        receiver = self.listen()
        await self.is_asked()
        sent = self.send_lines("ligne {} — 漢字 é 😀")
        await self.sees("ligne 2 ")
        typed = "1 Été, ça va ? 漢字テスト 😀🎉 "
        paste = "collé: à\r\n漢字\n😀\r3\n"
        pasted = "collé: à 漢字 😀 3"
        await self.write_slowly(typed)
        await self.write_slowly(f"\x1b[200~{paste}\x1b[201~")
        await self.write_slowly(" fin")
        whole = f"> {typed}{pasted} fin"
        for _ in range(3):
            await self.until(lambda: whole in terminal.rows(), "whole on the screen")
            count = len(sent)
            await self.until(lambda: len(sent) > count + 5, "five lines on")  # noqa: B023
        await self.until(lambda: whole in terminal.rows(), "whole on the screen")
        terminal.type("\r")
        message = f"{typed[2:]}{pasted} fin"
        await self.until(lambda: message in receiver.texts, f"received: {message}")
        mine = [text for text in receiver.texts if not text.startswith("ligne ")]
        self.assertEqual(mine, [message])
        for line in sent[: len(sent) // 2]:
            self.assertIn(line, terminal.text())

    async def test_a_long_line_of_others_is_indented_and_the_terminal_can_be_made_small(self):
        """Attack 35: a wrapped line imitating a system line."""
        terminal = self.open(80, 24)
        await self.is_asked()
        await self.sees("here: 1")
        terminal.resize(40, 10)
        await self.until(
            lambda: any(row.startswith("here: 1") for row in terminal.rows()), "drawn anew"
        )
        sent = self.send_lines("{} " + "x" * 18 + "* bob is here " + " " * 60 + "* bob is here")
        await self.until(lambda: len(sent) > 3, "some lines on")
        await self.sees("* bob is here")
        terminal.type("half typed")
        await self.until(lambda: "> half typed" in terminal.rows(), "typed")
        for row in terminal.rows():
            self.assertFalse(row.startswith("* bob"), terminal.seen())

    async def test_a_secret_is_neither_seen_nor_remembered_and_all_is_in_order_at_the_end(self):
        terminal = self.open()
        await self.is_asked()
        terminal.type("/who\r")
        await self.sees("  you")
        terminal.type("4 /etc/hostname\r")
        await self.sees("Password (empty")
        terminal.type("geheim")
        await self.sees("******")
        terminal.type("\r")
        await self.sees("(y/n)")
        terminal.type("n\r")
        await self.sees("Its ticket:")
        secret_seen = terminal.text().count("geheim")
        self.assertEqual(secret_seen, 1)  # in the ticket
        terminal.type('("127.0.0.1",1),("other secret","f")\r')
        await self.sees("Nothing listens at 127.0.0.1:1")
        for line in ("4 /etc/hostname", "/who"):
            terminal.type("\x1b[A")
            await self.until(
                lambda: (
                    any(
                        row.startswith("> ") and row.endswith(line)  # noqa: B023
                        for row in terminal.rows()[-8:]
                    )
                    or "> n" in terminal.rows()
                ),
                "an earlier line",
            )
        terminal.type("\x03")
        await self.sees("Type 3 to quit.")
        terminal.type("\x04")
        self.assertEqual(await terminal.ended, 0)
        self.assertEqual(terminal.modes(), terminal.before)
        self.assertEqual(terminal.text().count("geheim"), secret_seen)

    async def test_it_can_be_stopped_and_continued(self):
        terminal = self.open(script='"$0" "$@"; stty sane; echo stopped; read x; fg >/dev/null')
        await self.is_asked()
        terminal.type("1 half ty")
        await self.sees("> 1 half ty")
        terminal.type("\x1a")
        await self.sees("stopped")
        self.assertFalse(terminal.is_raw())
        terminal.type("\r")
        await self.until(
            lambda: "> 1 half ty" in terminal.seen().partition("stopped")[2], "drawn anew"
        )
        await self.until(terminal.is_raw, "raw again")
        terminal.type("ped")
        await self.sees("> 1 half typed")
        terminal.type("\x03")
        await self.sees("Type 3 to quit.")
        terminal.type("3\r")
        self.assertEqual(await terminal.ended, 0)

    async def test_a_hang_up_ends_it(self):
        terminal = self.open()
        await self.is_asked()
        terminal.transport.loseConnection()
        await terminal.ended

    async def test_a_signal_puts_the_terminal_in_order(self):
        terminal = self.open()
        await self.is_asked()
        terminal.transport.signalProcess("TERM")
        await terminal.ended
        self.assertEqual(terminal.modes(), terminal.before)

    async def test_a_simple_terminal_shows_no_secret_and_is_in_order_after_a_signal(self):
        terminal = self.open(term="dumb")
        await self.sees("? help >")
        terminal.type("4 /etc/hostname\n")
        await self.sees("Password (empty")
        await self.until(lambda: not terminal.modes()[3] & termios.ECHO, "without echo")
        terminal.type("geheim\n")
        await self.sees("(y/n)")
        self.assertTrue(terminal.modes()[3] & termios.ECHO)
        self.assertNotIn("geheim", terminal.text())
        self.assertNotIn("\x1b", terminal.text())
        terminal.type("n\n")
        await self.sees("Its ticket:")
        terminal.type("4 /etc/hostname\n")
        await self.until(lambda: not terminal.modes()[3] & termios.ECHO, "without echo")
        terminal.transport.signalProcess("HUP")
        await terminal.ended
        self.assertEqual(terminal.modes(), terminal.before)

    async def test_without_colours_there_are_none(self):
        terminal = self.open(NO_COLOR="1")
        await self.is_asked()
        self.assertNotIn("\x1b[36m", terminal.text())
