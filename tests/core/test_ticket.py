import time

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.names import clean_name
from twistedp2p.core.ticket import (
    TEXT_CHARACTERS,
    Ticket,
    TicketError,
    find_tickets,
    format_ticket,
    parse_ticket,
    parse_wanted,
)

PLAIN = '("192.168.1.7",9000),("monpass","monImage.jpg")'
TICKET = Ticket("192.168.1.7", 9000, "monpass", "monImage.jpg")

hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.just("fe80::1%eth0"),
    st.from_regex(
        r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,9}[a-z])?)?", fullmatch=True
    ),
)
quotes = "\"'“”„‟«»″‘’‚‛‹›′()（）,，\\ a"
passwords = st.text(
    st.one_of(st.characters(exclude_categories=("Cc", "Cs")), st.sampled_from(quotes)),
    min_size=1,
    max_size=256,
)
names = st.text(min_size=1, max_size=60).filter(str.strip)


class ParseTests(SynchronousTestCase):
    def same(self, text, **other):
        self.assertEqual(parse_ticket(text), attrs.evolve(TICKET, **other), text)

    def test_the_plain_form(self):
        self.same(PLAIN)

    def test_a_part_of_a_folder_may_follow(self):
        for after, part in (
            ("", ""),
            ("/", ""),
            ("/paris/a b.jpg \n", "paris/a b.jpg"),
            (" /paris", ""),
            ("x/y", ""),
        ):
            self.assertEqual(parse_wanted(f"take {PLAIN}{after}"), (TICKET, part))
        self.assertRaises(TicketError, parse_wanted, "paris/a.jpg")

    def test_inside_a_chat_line(self):
        self.assertEqual(
            parse_ticket("132.227.64.88 :> prends (“10.0.0.1”, 9000),('pass','a b.jpg') vite"),
            Ticket("10.0.0.1", 9000, "pass", "a b.jpg"),
        )

    def test_quotes_of_all_kinds(self):
        for opening, closing in (
            '""', "''", "“”", "„“", "„”", "”“", "””", "«»", "»«", "»»",
            "‘’", "‚‘", "‚’", "’’", "‹›", "›‹", "′′", "″″", "\"”", "“\"", "'’", "‘'", "′'",
        ):  # fmt: skip
            self.same(PLAIN.replace(',"', "," + opening).replace('("', "(" + opening)
                      .replace('"', closing))  # fmt: skip

    def test_guillemets_with_spaces_inside(self):
        self.same("(«\u00a0192.168.1.7\u00a0», 9000), («\u202fmonpass\u202f», « monImage.jpg »)")

    def test_a_password_may_hold_the_other_quotes(self):
        self.same(PLAIN.replace('"monpass"', '"l’été «dur»"'), password="l’été «dur»")
        self.same(PLAIN.replace('"monpass"', '“it\'s "it"”'), password='it\'s "it"')
        self.same(PLAIN.replace('"monpass"', "'a“b”'"), password="a“b”")

    def test_escapes(self):
        self.same(PLAIN.replace("monpass", r"a\"b\\c\d"), password=r'a"b\c\d')

    def test_white_space_anywhere_between(self):
        for blank in (
            " ",
            "\u00a0",
            "\u202f",
            "\u3000",
            "\t",
            "\r\n",
            "\u200b",
            "\ufeff",
            " \u2009 ",
        ):
            text = PLAIN.replace(",", f"{blank},{blank}").replace("(", f"({blank}")
            self.same(blank + text.replace(")", f"{blank}){blank}"))

    def test_full_width_parentheses_and_commas(self):
        self.same(PLAIN.replace("(", "（").replace(")", "）").replace(",", "，"))

    def test_port_bare_or_quoted(self):
        self.same(PLAIN.replace("9000", "'9000'"))
        self.same(PLAIN.replace("9000", "“ 9000 ”"))

    def test_pairs_with_or_without_comma_and_outer_parentheses(self):
        self.same(PLAIN.replace("),(", ")("))
        self.same(PLAIN.replace("),(", ")  ("))
        self.same(f"({PLAIN})")
        self.same(f"(( {PLAIN} ) )?")

    def test_host_forms(self):
        for given_host, host in (
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("FE80::0:1%eth0", "fe80::1%eth0"),
            ("[fe80::1%wlan0.5]", "fe80::1%wlan0.5"),
            (" 10.0.0.1 ", "10.0.0.1"),
            ("localhost", "localhost"),
            ("my-box.local", "my-box.local"),
            ("xn--caf-dma.example", "xn--caf-dma.example"),
            (".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61])),
        ):
            self.same(PLAIN.replace("192.168.1.7", given_host), host=host)

    def test_name_is_cleaned(self):
        """Attack 21: a path in a ticket chooses no folder."""
        self.same(PLAIN.replace("monImage.jpg", "../../etc/passwd"), name="passwd")
        self.same(PLAIN.replace("monImage.jpg", r"C:\\x\\..\\y.txt"), name="y.txt")

    def test_privileged_port_is_parsed(self):
        """Attack 39: a privileged port is for the person to see, not for the parser to judge."""
        self.same(PLAIN.replace("9000", "22"), port=22)

    def test_the_first_of_two(self):
        self.same(f"{PLAIN} or {PLAIN.replace('9000', '9001')}")

    def test_after_parentheses_that_are_none(self):
        self.same(f'(look (here ("now", {PLAIN}')


class RefusedTests(SynchronousTestCase):
    def refused(self, text, reason):
        with self.assertRaises(TicketError) as caught:
            parse_ticket(text)
        sentence = str(caught.exception)
        self.assertIn(reason, sentence)
        self.assertTrue(sentence.endswith("."), sentence)
        self.assertNotIn("monpass", sentence)
        if len(text) <= TEXT_CHARACTERS:
            self.assertEqual(find_tickets(text), [])

    def test_no_ticket_at_all(self):
        for text in ("", "coucou", "(", "()", "salut (ça va)", "3"):
            with self.assertRaises(TicketError):
                parse_ticket(text)

    def test_hosts(self):
        for host in (
            "", "256.1.1.1", "1.2.3", "1.2.3.4.5", "1", "01.2.3.4", "a_b", "-a.de", "a-.de", "a..b",
            "a b", "été.fr", "a" * 64, ".".join(["a" * 63] * 4), "::g", "fe80::1%", "fe80::1%a b",
            "fe80::1%eth0;rm", "[::1", "user@host", "host/path", "http://x", "１.1.1.1", "a\x1b",
        ):  # fmt: skip
            self.refused(PLAIN.replace("192.168.1.7", host), "")

    def test_ports(self):
        for port in (
            "0",
            "65536",
            "99999",
            "1e3",
            '"x"',
            '"-1"',
            '"９000"',
            '"1234567890123"',
            '""',
        ):
            self.refused(PLAIN.replace("9000", port), "")
        self.refused(PLAIN.replace("9000", "65536"), "1 to 65535")

    def test_passwords(self):
        self.refused(PLAIN.replace("monpass", ""), "1 to 256")
        self.refused(PLAIN.replace("monpass", "x" * 257), "1 to 256")
        for char in "\0\n\r\t\x1b\x7f\x85\ud800":
            self.refused(PLAIN.replace("monpass", f"mon{char}pass"), "control")
        self.assertEqual(len(parse_ticket(PLAIN.replace("monpass", "x" * 256)).password), 256)

    def test_names(self):
        self.refused(PLAIN.replace("monImage.jpg", ""), "name of the file")
        self.refused(PLAIN.replace("monImage.jpg", " \u00a0"), "name of the file")

    def test_what_is_missing_is_named(self):
        self.refused('("192.168.1.7",9000)', '("password","file")')
        self.refused('("192.168.1.7" 9000),("monpass","a")', "comma")
        self.refused('("192.168.1.7",9000,("monpass","a")', "parenthesis")
        self.refused('("192.168.1.7",9000),(monpass,"a")', "Quotes are missing around the password")
        self.refused('("192.168.1.7",9000),("monpass","a)', "closing quote")
        self.refused('("192.168.1.7",9000),("monpass","a"', "parenthesis")
        self.refused('(192.168.1.7,9000),("monpass","a")', "Quotes are missing around the IP")
        self.refused('("IP",port),("password","file")', "port")

    def test_too_long(self):
        self.refused(PLAIN + " " * TEXT_CHARACTERS, "4096")
        self.assertRaises(TicketError, find_tickets, " " * (TEXT_CHARACTERS + 1))
        self.assertEqual(parse_ticket(PLAIN.ljust(TEXT_CHARACTERS)), TICKET)

    def test_a_ticket_cannot_be_made_out_of_bounds(self):
        for change in (
            {"host": "a b"},
            {"port": 0},
            {"port": 65536},
            {"password": ""},
            {"password": "\n"},
            {"name": ""},
        ):
            self.assertRaises(TicketError, attrs.evolve, TICKET, **change)


class FindTests(SynchronousTestCase):
    def test_all_in_their_order_up_to_the_most(self):
        texts = [PLAIN.replace("9000", str(port)) for port in range(1, 11)]
        text = " and ( ".join(texts)
        self.assertEqual([t.port for t in find_tickets(text)], list(range(1, 9)))
        self.assertEqual([t.port for t in find_tickets(text, most=3)], [1, 2, 3])
        self.assertEqual(find_tickets(text, most=0), [])

    def test_one_spoiled_does_not_hide_the_next(self):
        text = PLAIN.replace("9000", "0") + PLAIN + '("' + PLAIN
        self.assertEqual(find_tickets(text), [TICKET, TICKET])

    def test_none(self):
        self.assertEqual(find_tickets("coucou (tous)"), [])


class FormatTests(SynchronousTestCase):
    def test_the_text_is_that_of_the_exercise(self):
        self.assertEqual(str(TICKET), PLAIN)
        self.assertEqual(format_ticket(TICKET), PLAIN)

    def test_repr_hides_the_password(self):
        """Attack 46: a ticket in a log or a traceback shows no password."""
        self.assertNotIn("monpass", repr(TICKET))
        self.assertIn("monImage.jpg", repr(TICKET))

    @settings(deadline=None)
    @given(hosts, st.integers(1, 65535), passwords, names)
    @example("h", 1, "ends in \\", "a")
    @example("h", 1, '\\"', "a")
    @example("h", 1, '\\\\"”“\\”', "a")
    def test_round_trip(self, host, port, password, name):
        ticket = Ticket(host, port, password, name)
        self.assertEqual(ticket.name, clean_name(name))
        self.assertEqual(parse_ticket(str(ticket)), ticket)
        self.assertEqual(find_tickets(f"x :> ( {ticket} !"), [ticket])


class HostileTextTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=500)
    @given(st.text(st.sampled_from("()（）,，\"'“”«»‘’\\ \n\u00a09a.:%[]\0\ud800"), max_size=300))
    @example('("[]",1)("a","b")')
    def test_nothing_but_a_ticket_error(self, text):
        try:
            ticket = parse_ticket(text)
        except TicketError:
            self.assertEqual(find_tickets(text), [])
        else:
            self.assertEqual(find_tickets(text, 1), [ticket])

    def test_time_is_linear(self):
        """Attack 39: no text of the chat makes the parser slow."""
        pieces = [
            "(", '("', "(“", "('", "((", "(«a", "(1", '("a",', '("a",1)(', '("a",1),("',
            '("a",1),(“', "(‘a’,1)(‘", "(“”", "\\", '("\\', '("\\\\', "(“\\\\", "(“\\”",
            '("a",1),("b","', '("1.1.1.1",1),("b","c")',
        ]  # fmt: skip
        for piece in [*pieces, " (", "( ", '("a" ', "\u200b", "(\u200b"]:
            for text in (piece * TEXT_CHARACTERS, '("a",1),("' + piece * TEXT_CHARACTERS):
                began = time.process_time()
                find_tickets(text[:TEXT_CHARACTERS])
                self.assertLess(time.process_time() - began, 0.5, piece)
