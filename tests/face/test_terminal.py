import os
import pty
import sys
import termios

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.face.fakes import Desk
from tests.face.nodes import Process, arguments, environment, folder_of
from twistedp2p.face.menu import Menu
from twistedp2p.face.terminal import MAX_AHEAD, MAX_LINE, Echo, PlainTerminal, choose_mode

TOP = "1 message  2 get  3 quit  4 offer  5 files  6 who  7 withdraw  ? help >"
TICKET = '("192.168.1.7",9000),("monpass","monImage.jpg")'


class Transport(StringTransport):
    """Takes a producer and drops it, as standard output does."""

    def unregisterProducer(self):
        self.producer = None


class MenuOfLines:
    """Keeps the lines, and asks for the next one at once, or when told."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.lines = []
        self.ended = 0
        self.ask_on = True

    def line(self, text):
        self.lines.append(text)
        if self.ask_on:
            self.terminal.ask("?")

    def end_of_input(self):
        self.ended += 1


class TerminalCase(SynchronousTestCase):
    def open(self, interactive=False, **more):
        self.restored = 0
        self.terminal = PlainTerminal(interactive, self.restore, **more)
        self.terminal.menu = self.menu = MenuOfLines(self.terminal)
        self.transport = Transport()
        self.terminal.makeConnection(self.transport)

    def restore(self):
        self.restored += 1

    def written(self):
        text = self.transport.value().decode()
        self.transport.clear()
        return text


class LineTests(TerminalCase):
    def setUp(self):
        self.open()

    def test_a_line_waits_until_it_is_asked_for(self):
        self.terminal.dataReceived(b"1\ncoucou\n")
        self.assertEqual(self.menu.lines, [])
        self.menu.ask_on = False
        self.terminal.ask("?")
        self.assertEqual(self.menu.lines, ["1"])
        self.terminal.ask("?")
        self.assertEqual(self.menu.lines, ["1", "coucou"])

    def test_a_line_comes_in_any_pieces(self):
        self.terminal.ask("?")
        for byte in "é漢😀\r\n".encode():
            self.terminal.dataReceived(bytes([byte]))
        self.assertEqual(self.menu.lines, ["é漢😀"])

    def test_bytes_that_are_no_utf_8_are_taken_as_such(self):
        self.terminal.ask("?")
        self.terminal.dataReceived(b"\xff\xfe\n")
        self.assertEqual(self.menu.lines, ["\ufffd\ufffd"])

    def test_a_script_may_write_more_answers_than_are_read_ahead(self):
        answers = [str(n) for n in range(MAX_AHEAD * 5)]
        self.terminal.dataReceived("\n".join([*answers, ""]).encode())
        self.assertEqual(self.transport.producerState, "paused")
        self.terminal.ask("?")
        self.assertEqual(self.menu.lines, answers)
        self.assertEqual(self.transport.producerState, "producing")

    def test_empty_answers_beyond_what_is_read_ahead_are_not_lost(self):
        self.terminal.dataReceived(b"x\n" * MAX_AHEAD + b"\n\n3\n")
        self.terminal.readConnectionLost()
        self.terminal.ask("?")
        self.assertEqual(self.menu.lines[MAX_AHEAD:], ["", "", "3"])

    def test_the_beginning_of_too_long_a_line_is_the_answer_and_the_rest_is_none(self):
        self.terminal.ask("?")
        for piece in (b"x" * MAX_LINE * 3, b"y" * MAX_LINE * 3, b"z\n", b"3\n"):
            self.terminal.dataReceived(piece)
        self.assertEqual(self.menu.lines, ["x" * MAX_LINE, "3"])

    def test_too_long_a_line_in_one_piece_with_others(self):
        self.terminal.ask("?")
        self.terminal.dataReceived(b"1\n" + b"x" * MAX_LINE * 3 + b"\n2\n3\n")
        self.assertEqual(self.menu.lines, ["1", "x" * MAX_LINE, "2", "3"])

    def test_the_rest_of_too_long_a_line_is_no_answer_at_the_end_of_input_either(self):
        self.terminal.ask("?")
        self.terminal.dataReceived(b"x" * MAX_LINE * 3)
        self.terminal.dataReceived(b"y")
        self.terminal.readConnectionLost()
        self.assertEqual(self.menu.lines, ["x" * MAX_LINE])

    def test_no_more_than_a_little_is_kept_of_what_nobody_asks_for(self):
        for _ in range(50):
            self.terminal.dataReceived(b"x" * 4096)
        self.assertLess(len(self.terminal._buffer), 2 * MAX_LINE)


class EndTests(TerminalCase):
    def setUp(self):
        self.open()

    def test_the_last_line_needs_no_line_end(self):
        self.terminal.ask("?")
        self.terminal.dataReceived(b"1\ncoucou")
        self.terminal.readConnectionLost()
        self.assertEqual(self.menu.lines, ["1", "coucou"])
        self.assertEqual(self.menu.ended, 1)

    def test_the_end_is_told_when_the_next_question_finds_no_line(self):
        self.menu.ask_on = False
        self.terminal.ask("?")
        self.terminal.dataReceived(b"5 x\n")
        self.terminal.readConnectionLost()
        self.assertEqual(self.menu.ended, 0)
        self.terminal.ask("?")
        self.assertEqual(self.menu.ended, 1)

    def test_a_reader_that_goes_away_is_an_end(self):
        self.terminal.writeConnectionLost()
        self.assertEqual((self.menu.ended, self.restored), (1, 1))

    def test_a_hang_up_is_an_end_told_once(self):
        self.terminal.writeConnectionLost()
        self.terminal.connectionLost()
        self.assertEqual(self.menu.ended, 1)

    def test_after_close_nothing_is_told_or_written(self):
        self.terminal.ask("?")
        self.terminal.close()
        self.terminal.show("late")
        self.terminal.dataReceived(b"3\n")
        self.terminal.connectionLost()
        self.assertEqual((self.menu.lines, self.menu.ended, self.restored), ([], 0, 1))
        self.assertEqual(self.written(), "?\n")
        self.assertTrue(self.transport.disconnecting)


class ShowTests(TerminalCase):
    def test_on_a_pipe_each_line_and_question_is_one_line(self):
        self.open()
        self.terminal.show("* one " + "x " * 200)
        self.terminal.ask("Your message?")
        self.terminal.show("anna :> hi")
        self.assertEqual(self.written(), "* one " + "x " * 200 + "\nYour message?\nanna :> hi\n")

    def test_escapes_never_reach_the_terminal(self):
        """Attack 32: ANSI, C1 and OSC in names."""
        self.open()
        self.terminal.show("/tmp/\x1b]0;x\x07\x9b31m\nfile")
        self.terminal.ask("\x1b[2J?")
        self.assertEqual(self.written(), "/tmp/]0;x31m file\n[2J?\n")

    def test_half_a_character_from_a_file_name_is_shown_as_nothing(self):
        self.open()
        self.terminal.show("a\udcffb")
        self.assertEqual(self.written(), "ab\n")

    def test_on_a_terminal_lines_are_wrapped_and_the_question_stands_again(self):
        self.open(interactive=True, columns=lambda: 20)
        self.terminal.ask("Your message?")
        self.terminal.show("anna :> one two three four")
        self.assertEqual(
            self.written(),
            "Your message? \nanna :> one two\n    three four\nYour message? ",
        )

    def test_a_ticket_is_not_broken(self):
        self.open(interactive=True, columns=lambda: 20)
        self.terminal.show(TICKET, "ticket")
        self.assertEqual(self.written(), TICKET + "\n")

    def test_while_nobody_reads_no_news_pile_up_and_no_answer_is_taken(self):
        self.open()
        self.terminal.ask("?")
        tide = self.transport.producer
        tide.pauseProducing()
        for _ in range(100):
            self.terminal.show("anna :> hi")
        self.terminal.dataReceived(b"1\n")
        self.assertEqual((self.written(), self.menu.lines), ("?\n", []))
        tide.resumeProducing()
        self.assertEqual(self.menu.lines, ["1"])
        self.terminal.show("anna :> hi")
        self.assertIn("anna :> hi", self.written())
        tide.stopProducing()

    def test_one_prompt_one_answer_with_the_real_menu(self):
        self.open()
        desk = Desk()
        left = []
        self.terminal.menu = Menu(desk, self.terminal, lambda text: text, lambda: left.append(1))
        self.terminal.dataReceived(b"1\ncoucou\n3\n")
        self.terminal.readConnectionLost()
        self.terminal.menu.start()
        self.assertEqual(self.written().splitlines()[1:], [TOP, "Your message?", TOP])
        self.assertEqual((desk.done, left), ([("say", "coucou")], [1]))


class SecretTests(TerminalCase):
    def setUp(self):
        self.master, self.slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, self.slave)
        self.echo = Echo(self.slave)
        self.before = termios.tcgetattr(self.slave)
        self.open(interactive=True, echo=self.echo)

    def is_shown(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def assert_as_before(self):
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_a_secret_is_not_shown_while_it_is_typed(self):
        self.terminal.ask("Password?", secret=True)
        self.assertFalse(self.is_shown())
        self.terminal.dataReceived(b" my pass \n")
        self.assertEqual(self.menu.lines, [" my pass "])
        self.assert_as_before()

    def test_other_answers_are_shown(self):
        self.terminal.ask("Path?")
        self.assertTrue(self.is_shown())

    def test_the_end_puts_the_terminal_in_order(self):
        for end in ("close", "connectionLost", "writeConnectionLost"):
            self.open(interactive=True, echo=self.echo)
            self.terminal.ask("Password?", secret=True)
            getattr(self.terminal, end)()
            self.assert_as_before()

    def test_what_the_shell_undid_is_done_again(self):
        self.echo.again()
        self.assert_as_before()
        self.terminal.ask("Password?", secret=True)
        termios.tcsetattr(self.slave, termios.TCSANOW, self.before)
        self.echo.again()
        self.assertFalse(self.is_shown())
        self.terminal.dataReceived(b"x\n")
        self.assert_as_before()

    def test_a_terminal_that_has_gone_is_no_failure(self):
        master, slave = pty.openpty()
        echo = Echo(slave)
        echo.off()
        os.close(master)
        os.close(slave)
        echo.again()
        echo.on()


class ModeTests(SynchronousTestCase):
    def setUp(self):
        self.null = os.open(os.devnull, os.O_RDWR)
        self.pipe = os.pipe()
        self.master, self.slave = pty.openpty()
        for descriptor in (self.null, *self.pipe, self.master, self.slave):
            self.addCleanup(os.close, descriptor)

    def mode(self, wanted, stdin, stdout=None, **variables):
        return choose_mode(wanted, variables, stdin, self.null if stdout is None else stdout)

    def test_a_pipe_has_a_plain_menu(self):
        for wanted in ("auto", "always", "plain"):
            self.assertEqual(self.mode(wanted, self.pipe[0]), "plain")

    def test_never_is_never(self):
        for descriptor in (self.pipe[0], self.slave, self.null):
            self.assertEqual(self.mode("never", descriptor), "never")

    def test_dev_null_has_none_unless_it_is_wanted(self):
        self.assertEqual(self.mode("auto", self.null), "never")
        self.assertEqual(self.mode("always", self.null), "plain")

    def test_a_closed_standard_input_or_output_has_none(self):
        closed = os.dup(self.null)
        os.close(closed)
        for wanted in ("auto", "always", "plain"):
            self.assertEqual(self.mode(wanted, closed), "never")
            self.assertEqual(self.mode(wanted, self.pipe[0], closed), "never")

    def test_a_terminal_that_another_job_has_has_none(self):
        self.assertEqual(self.mode("auto", self.slave, self.slave, TERM="xterm"), "never")

    def test_a_terminal_has_the_editor_if_it_is_no_simple_one(self):
        both = (self.slave, self.slave)
        self.assertEqual(self.mode("always", *both, TERM="xterm"), "editor")
        for term in ("dumb", "", "unknown"):
            self.assertEqual(self.mode("always", *both, TERM=term), "plain")
        self.assertEqual(self.mode("always", *both), "plain")
        self.assertEqual(self.mode("plain", *both, TERM="xterm"), "plain")
        self.assertEqual(self.mode("always", self.slave, self.pipe[1], TERM="xterm"), "plain")


class ProcessTests(TestCase):
    """A real node on the loopback, with standard input as people and scripts have it."""

    timeout = 120

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor

    def spawn(self, *more, stdin="w", command=None, **variables):
        state = folder_of(self)
        process = Process()
        command = command or [sys.executable, *arguments(state, *more)]
        self.reactor.spawnProcess(
            process, command[0], command, environment(**variables),
            childFDs={0: stdin, 1: "r", 2: "r"},
        )  # fmt: skip
        self.addCleanup(process.kill)
        return process

    async def test_a_script_pipes_its_answers_and_the_last_needs_no_line_end(self):
        process = self.spawn()
        process.transport.write(b"1\ncoucou\n3")
        process.transport.closeStdin()
        self.assertEqual(await process.ended, 0)
        self.assertEqual(process.lines()[1:], [TOP, "Your message?", TOP])

    async def test_french_and_the_end_of_input(self):
        process = self.spawn(LANGUAGE="fr")
        process.transport.write(b"1\n")
        await process.shows("Votre message ?\n")
        process.transport.closeStdin()
        self.assertEqual(await process.ended, 0)

    async def test_without_standard_input_the_node_lives_on_without_a_menu(self):
        for redirected in ("<&-", "</dev/null"):
            state = folder_of(self)
            words = " ".join([sys.executable, *arguments(state, "--verbose")])
            process = self.spawn(command=["/bin/sh", "-c", f"exec {words} {redirected}"])
            await process.shows("_Ear starting on")
            self.assertNotIn("1 message", process.text())
            process.transport.signalProcess("TERM")
            await process.ended
            self.assertIn("Server Shut Down", process.text())
