import re
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_diagnosis import FINE
from tests.face.fakes import ANNA, BOB, OWN_KEY, Desk, Screen, offer, peer
from twistedp2p.core.catalogue import Listing
from twistedp2p.core.diagnosis import diagnose
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import (
    FetchFailed,
    Joined,
    OfferAdded,
    OfferGone,
    Progress,
    Said,
)
from twistedp2p.core.ticket import Ticket, looks_like_ticket
from twistedp2p.face.getting import TICKET_PROMPT
from twistedp2p.face.listings import LIST_ROWS, LOSS_SHOWN, REASONS, WHO_ROWS
from twistedp2p.face.menu import COMPLETIONS, Menu
from twistedp2p.face.texts import translations

TICKET = '("192.168.1.7",9000),("monpass","monImage.jpg")'
READ = Ticket("192.168.1.7", 9000, "monpass", "monImage.jpg")
PASSWORD_OF_OFFER = "Password (empty: three words are made; *: none, for everybody)?"


def offered(name="a.txt", password="three-words-made", generated=True, public=False):
    return SimpleNamespace(offer=offer(name, OWN_KEY, 12, public), password=password,
                           generated=generated)  # fmt: skip


def said(text, key=None, **more):
    return Said(text, "anna", key, "10.0.0.9", 0, **more)


class MenuCase(SynchronousTestCase):
    interactive = has_bottom = True

    def setUp(self):
        self.desk = Desk()
        self.screen = Screen(self.interactive, self.has_bottom)
        self.left = 0
        self.menu = Menu(self.desk, self.screen, lambda text: text, self.leave)
        self.menu.start()
        self.screen.take()

    def leave(self):
        self.left += 1

    def type(self, *lines):
        for line in lines:
            self.menu.line(line)

    def assert_at_top(self):
        self.assertEqual(self.screen.questions[-1], (">", False, "command"))


class StartTests(MenuCase):
    def test_the_greeting_tells_nick_fingerprint_group_and_port(self):
        menu = Menu(self.desk, self.screen, lambda text: text, self.leave)
        menu.start()
        (line,) = self.screen.shown
        self.assertRegex(
            line, r"^\* me \(([a-z2-7]{4}-){3}[a-z2-7]{4}\) in .* 239.0.0.1, port 9392"
        )
        self.assert_at_top()

    def test_a_closed_group_is_said_to_be_closed(self):
        self.desk.closed = True
        menu = Menu(self.desk, self.screen, lambda text: text, self.leave)
        menu.start()
        self.assertIn(") in the CLOSED group 239.0.0.1", self.screen.shown[0])

    def test_it_speaks_french(self):
        menu = Menu(self.desk, self.screen, translations({"LANG": "fr_FR.UTF-8"}), self.leave)
        menu.start()
        menu.line("1")
        self.assertEqual(self.screen.question, "Votre message ?")
        menu.line("coucou")
        menu.event(OfferAdded(offer("photo.jpg"), "anna"))
        menu.line("2 1")
        self.assertEqual(self.screen.question, "Mot de passe de photo.jpg ?")
        menu.line("x" * 257)
        self.assertEqual(self.screen.shown[-1], "! Le mot de passe compte de 1 à 256 caractères.")
        self.desk.serving = 1
        menu.line("3")
        menu.line("Oui")
        self.assertEqual(self.left, 1)


class MessageTests(MenuCase):
    def test_1_asks_for_the_message_and_says_it(self):
        self.type("1")
        self.assertEqual(self.screen.questions[-1], ("Your message?", False, "nick"))
        self.type("coucou !")
        self.assertEqual(self.desk.done, [("say", "coucou !")])
        self.assert_at_top()

    def test_the_message_may_follow_the_number_or_the_word(self):
        self.type("1 one", "/say two", "/SAY three", "/message four")
        self.assertEqual([what for _, what in self.desk.done], ["one", "two", "three", "four"])

    def test_a_message_may_be_a_number_or_a_command(self):
        self.type("1", "3", "1", "/quit")
        self.assertEqual(self.desk.done, [("say", "3"), ("say", "/quit")])
        self.assertFalse(self.left)

    def test_text_at_the_top_is_not_said(self):
        self.type("my secret")
        self.assertEqual(self.desk.done, [])
        self.assertEqual(len(self.screen.shown), 1)
        self.assert_at_top()

    def test_escapes_of_a_paste_are_not_said(self):
        self.type("1 \x1b[31mred\x1b[0m")
        self.assertEqual(self.desk.done, [("say", "[31mred[0m")])

    def test_what_goes_wrong_is_shown_and_the_menu_goes_on(self):
        def refuse(text):
            raise ShareError("No {what}.", what="way")

        self.desk.say = refuse
        self.type("1 text")
        self.assertEqual(self.screen.take(), ["! No way."])
        self.assert_at_top()

    def test_what_nobody_foresaw_is_logged_and_the_menu_goes_on(self):
        self.desk.say = lambda text: 1 // 0
        self.type("1", "text")
        (line,) = self.screen.take()
        self.assertIn("A defect of this program", line)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_at_top()


class TicketTests(MenuCase):
    def assert_fetched(self, ticket=READ):
        self.assertEqual(self.desk.done, [("ticket", ticket)])
        self.assert_at_top()

    def test_2_shows_the_prompt_of_the_exercise_and_takes_the_ticket(self):
        self.type("2")
        self.assertEqual(self.screen.question, '("IP",port),("password","file")?')
        self.assertEqual(self.screen.questions[-1], (TICKET_PROMPT, False, "choice"))
        self.type(TICKET)
        self.assert_fetched()

    def test_a_ticket_may_follow_2(self):
        self.type("2 " + TICKET)
        self.assert_fetched()

    def test_a_ticket_is_taken_at_the_top(self):
        self.type(TICKET)
        self.assert_fetched()

    def test_a_ticket_inside_a_line_of_chat_is_taken(self):
        self.type("anna :> here: " + TICKET + " enjoy")
        self.assert_fetched()

    def test_curly_quotes_and_unbreakable_spaces_are_taken(self):
        self.type("(“192.168.1.7”,\u00a09000),\u00a0(“monpass”,\u202f“monImage.jpg”)")
        self.assert_fetched()

    def test_what_is_wrong_with_a_ticket_is_told(self):
        for text in ("2", '("1.2.3.4",9000),("pw","file)'), ('("1.2.3.4",9000),("pw","file)',):
            self.screen.take()
            self.type(*text)
            self.assertEqual(self.screen.shown, ["! The closing quote is missing after the file."])
            self.assert_at_top()
        self.assertEqual(self.desk.done, [])

    def test_a_line_too_long_for_a_ticket_is_no_ticket(self):
        self.type("x" * 10_000, "2", "(" * 10_000)
        self.assertEqual(self.desk.done, [])
        self.assertEqual(
            self.screen.shown[-1], "! A text of more than 4096 characters is not read."
        )
        self.assert_at_top()

    def test_2_and_the_number_of_a_ticket_of_the_chat_fills_in_all(self):
        self.menu.event(said("look: " + TICKET))
        self.assertEqual(
            self.screen.shown[-1],
            "* a ticket for monImage.jpg at 192.168.1.7: type 2 1 to get it",
        )
        self.type("2", "1")
        self.assert_fetched()

    def test_the_same_ticket_has_one_number(self):
        self.menu.event(said(TICKET))
        self.menu.event(said(TICKET, ANNA))
        self.assertEqual([line[-11:] for line in self.screen.shown if "ticket" in line],
                         ["1 to get it", "1 to get it"])  # fmt: skip

    def test_the_password_of_a_ticket_is_not_shown_again(self):
        self.type("2 " + TICKET)
        self.assertNotIn("monpass", "".join(self.screen.shown))


class GetTests(MenuCase):
    def setUp(self):
        super().setUp()
        self.menu.event(OfferAdded(offer("photo.jpg"), "anna"))
        self.menu.event(OfferAdded(offer("public.iso", public=True), "anna"))
        self.screen.take()

    def test_a_number_asks_for_the_password_which_is_a_secret(self):
        self.type("2", "1")
        self.assertEqual(self.screen.questions[-1], ("Password of photo.jpg?", True, ""))
        self.type("  p w ")
        self.assertEqual(self.desk.done, [("get", "photo.jpg", "  p w ")])
        self.assertEqual(self.screen.shown, ["* photo.jpg: asked for. /cancel 1 stops it."])
        self.assert_at_top()

    def test_the_question_after_a_secret_is_none(self):
        self.type("2 1", "pw", " 1  coucou ")
        self.assertEqual(self.desk.done[-1], ("say", "coucou"))

    def test_what_one_offered_who_has_gone_can_be_got_by_its_name(self):
        self.desk.gone = [offer("gone.iso", public=True)]
        self.type("2", "gone.iso")
        self.assertEqual(self.desk.done[-1][:2], ("get", "gone.iso"))

    def test_no_password_no_get(self):
        self.type("2 1", "")
        self.assertEqual(self.desk.done, [])
        self.assert_at_top()

    def test_a_password_that_cannot_be_one_is_refused_at_once(self):
        self.type("2 1", "x" * 257)
        self.assertEqual(self.screen.shown, ["! The password has 1 to 256 characters."])
        self.assertEqual(self.desk.done, [])
        self.assert_at_top()

    def test_a_public_offer_needs_no_password(self):
        self.type("2 2")
        self.assertEqual(self.desk.done, [("get", "public.iso", "")])

    def test_the_whole_name_gets_the_file(self):
        self.desk.found = [offer("a.txt"), offer("aa.txt")]
        self.type("2 a.txt", "pw")
        self.assertEqual(self.desk.done, [("search", "a.txt"), ("get", "a.txt", "pw")])

    def test_a_part_of_a_folder_is_got_alone(self):
        self.desk.found = [offer("photos", files=9), offer("photos 2", files=9)]
        self.type("2 photos/paris/a b.jpg", "pw")
        self.assertEqual(
            self.desk.done, [("search", "photos"), ("get", "photos", "pw", "paris/a b.jpg")]
        )

    def test_a_part_of_a_folder_is_got_by_its_number_too(self):
        self.menu.event(OfferAdded(offer("photos", files=9, public=True), "anna"))
        number = self.screen.take()[-1].split(" type 2 ")[1].split()[0]
        self.type(f"2 {number}/paris")
        self.assertEqual(self.desk.done, [("get", "photos", "", "paris")])

    def test_a_part_of_a_folder_is_got_by_ticket_too(self):
        self.type(f"2 {TICKET}/paris", f"{TICKET}/rome")
        self.menu.event(said(f"take {TICKET}"))
        number = re.search(r"type 2 (\d+)", " ".join(self.screen.take()))[1]
        self.type(f"2 {number}/oslo")
        parts = [part for what, ticket, part in self.desk.done]
        self.assertEqual(parts, ["paris", "rome", "oslo"])

    def test_a_part_of_a_name_only_lists(self):
        self.desk.found = [offer("a.txt.exe", public=True)]
        self.type("2 a.txt")
        self.assertEqual(self.desk.done, [("search", "a.txt")])
        self.assertEqual(self.screen.shown[0], "* Which of these? Type 2 and its number.")
        self.assertIn("a.txt.exe", self.screen.shown[1])
        self.assert_at_top()

    def test_one_name_of_two_owners_lists_both(self):
        self.desk.found = [offer("a.txt", ANNA), offer("a.txt", BOB)]
        self.type("2 a.txt")
        self.assertEqual(len(self.screen.shown), 3)
        self.type("2 4", "pw")
        self.assertEqual(self.desk.done[-1], ("get", "a.txt", "pw"))

    def test_a_number_that_was_not_given_gets_nothing_by_its_digits(self):
        self.desk.found = [offer("img77.jpg", public=True)]
        self.type("2 77")
        self.assertEqual(self.desk.done, [("search", "77")])
        self.assertEqual(self.screen.shown, ["* No file on offer is called that."])

    def test_digits_without_end_are_a_name(self):
        self.type("2 " + "9" * 5000, "2 ٣")
        self.assertEqual([each[0] for each in self.desk.done], ["search", "search"])

    def test_a_file_called_by_digits_is_got_by_them(self):
        self.desk.found = [offer("77", public=True)]
        self.type("2 77")
        self.assertEqual(self.desk.done[-1], ("get", "77", ""))

    def test_an_own_offer_is_not_got(self):
        self.desk.found = [offer("mine.txt", OWN_KEY)]
        self.type("2 mine.txt")
        self.assertEqual(self.screen.shown, ["* mine.txt is your own."])
        self.assert_at_top()

    def test_the_number_stays_with_a_renewed_offer_and_means_the_new_one(self):
        new = offer("photo.jpg", size=99, public=True)
        self.menu.event(OfferAdded(new, "anna"))
        self.type("2 1")
        self.assertEqual(self.desk.done, [("get", "photo.jpg", "")])

    def test_what_failed_is_one_sentence_of_the_event_and_none_of_the_menu(self):
        self.type("2 2")
        self.screen.take()
        self.menu.event(FetchFailed(1, "public.iso", "There is no host {host}.", {"host": "h"}))
        self.desk.transfers[0].end(ShareError("There is no host {host}.", host="h"))
        self.assertEqual(self.screen.shown, ["! public.iso: There is no host h."])

    def test_a_defect_is_shown_and_logged(self):
        self.type("2 2")
        self.screen.take()
        self.desk.transfers[0].end(ZeroDivisionError("division"))
        self.assertEqual(
            self.screen.shown, ["! A defect of this program (division); the log says more."]
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_transfer_can_be_cancelled_by_its_number(self):
        self.type("2 2", "/cancel 7", "/cancel 1")
        self.assertEqual(
            self.screen.shown[1:], ["* No file that is coming has that number; see /transfers."]
        )
        self.assertTrue(self.desk.transfers[0].cancelled)

    def test_transfers_shows_all_that_moves_and_waits(self):
        self.type("/transfers")
        self.assertEqual(self.screen.take(), ["* Nothing is moving."])
        self.type("2 2")
        for number in range(2, 9):
            self.menu.event(Progress(number, "serve", "s.bin", 50, 100, 25.0))
        self.screen.take()
        self.type("/transfers")
        self.assertEqual(self.screen.shown[0], "1 get: waiting  public.iso")
        self.assertEqual(self.screen.shown[1], "2 send ██████░░░░░░ 50 %  25 B/s  2 s  s.bin")
        self.assertEqual(len(self.screen.shown), 8)


class OfferTests(MenuCase):
    def test_4_asks_for_path_password_and_whether_to_tell(self):
        self.type("4")
        self.assertEqual(
            self.screen.questions[-1], ("Which file or folder (its path)?", False, "path")
        )
        self.type("/tmp/a.txt")
        self.assertEqual(self.screen.questions[-1], (PASSWORD_OF_OFFER, True, ""))
        self.type(" my pass ")
        self.assertIn("Everybody on this network could then read it", self.screen.question)
        self.type("n")
        self.assertEqual(self.desk.done, [("offer", "/tmp/a.txt", " my pass ", False)])
        self.assert_at_top()

    def test_a_ticket_said_in_a_closed_group_is_for_its_members(self):
        self.desk.closed = True
        self.type("4", "/tmp/a.txt", "my pass")
        self.assertIn("Everybody in it could then get the file", self.screen.question)
        self.assertNotIn("network", self.screen.question)

    def test_what_the_group_was_told_and_the_ticket_are_shown(self):
        self.type("4 /tmp/a.txt", "monpass", "")
        self.desk.offering.callback(offered(password="monpass", generated=False))
        self.assertEqual(
            self.screen.shown,
            [
                "* The group was told: a.txt, 12 B, under a password.",
                '* Its ticket: ("192.168.1.7",9393),("monpass","a.txt")',
            ],
        )
        self.assertEqual(self.screen.styles[-1], "ticket")
        self.assertEqual([each[0] for each in self.desk.done], ["offer"])

    def test_a_generated_password_is_shown(self):
        self.type("4 /tmp/a.txt", "", "n")
        self.desk.offering.callback(offered())
        self.assertIn("* Its password: three-words-made", self.screen.shown)

    def test_the_ticket_is_said_only_to_a_yes(self):
        for answer, told in {"y": True, "YES": True, "o": True, "oui": True, "n": False,
                             "": False, "no": False}.items():  # fmt: skip
            self.desk.done, self.desk.offering = [], Deferred()
            self.type("4 /tmp/a.txt", "monpass", answer)
            self.desk.offering.callback(offered(password="monpass"))
            said_it = ("say", '("192.168.1.7",9393),("monpass","a.txt")') in self.desk.done
            self.assertEqual(said_it, told, answer)

    def test_a_star_offers_to_everybody_without_a_ticket(self):
        self.type("4 /tmp/a.txt", "*")
        self.assertEqual(self.desk.done, [("offer", "/tmp/a.txt", "", True)])
        self.desk.offering.callback(offered(public=True))
        self.assertEqual(self.screen.shown, ["* The group was told: a.txt, 12 B, for everybody."])

    def test_a_password_that_no_ticket_can_hold_is_refused_at_once(self):
        for password in ("a\tb", "x" * 257):
            self.type("4 /tmp/a.txt", password)
            self.assertTrue(self.screen.take()[0].startswith("! The password has"))
            self.assert_at_top()
        self.assertEqual(self.desk.done, [])

    def test_a_path_is_taken_as_it_is_spelt(self):
        odd = "/tmp/\x1b[31m\u200b\ue000 x.txt"
        self.type("4", odd + " ", "*", f"4 {odd}", "*", f"/offer  {odd}", "*")
        self.assertEqual([each[1] for each in self.desk.done], [odd] * 3)

    def test_the_quotes_of_a_dragged_file_are_not_of_its_path(self):
        self.type("4 '/tmp/my file.txt'", "*", '4 "/tmp/b"', "*", "4 '", "*", "4 it's", "*")
        self.assertEqual(
            [each[1] for each in self.desk.done], ["/tmp/my file.txt", "/tmp/b", "'", "it's"]
        )

    def test_what_went_wrong_is_told(self):
        self.type("4 /nowhere", "*")
        self.desk.offering.errback(ShareError("{path} cannot be read: {why}.", path="/n", why="-"))
        self.assertEqual(self.screen.shown, ["! /n cannot be read: -."])

    def test_a_defect_is_shown_and_logged(self):
        self.desk.offering = fail(ZeroDivisionError("division"))
        self.type("4 /nowhere", "*")
        self.assertEqual(
            self.screen.shown, ["! A defect of this program (division); the log says more."]
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_no_path_no_offer(self):
        self.type("4", " ")
        self.assert_at_top()


class ListTests(MenuCase):
    def test_a_folder_is_listed_as_one(self):
        self.desk.found = [offer("photos", files=120, public=True)]
        self.type("5", "")
        expected = "    1    1.5 kB  photos  — anna  (folder, 120 files)  (for everybody)"
        self.assertEqual(self.screen.take(), [expected])

    def test_5_lists_what_is_on_offer_with_numbers_that_stay(self):
        self.desk.found = [offer("a.txt"), offer("b.txt", OWN_KEY, 3_000_000, public=True)]
        self.type("5", "")
        self.assertEqual(
            self.screen.take(),
            [
                "    1    1.5 kB  a.txt  — anna",
                "    2    3.0 MB  b.txt  — you  (for everybody)",
            ],
        )
        self.desk.found.reverse()
        self.type("/files")
        self.type("")
        self.assertEqual(self.screen.shown[1], "    1    1.5 kB  a.txt  — anna")

    def test_words_are_searched(self):
        self.type("5", "holiday @anna", "/search x", "/files y", "/list z")
        self.assertEqual([what for _, what in self.desk.done], ["holiday @anna", "x", "y", "z"])
        self.assertEqual(set(self.screen.shown), {"* Nothing is on offer."})

    def test_no_question_is_open_while_a_search_runs(self):
        self.desk.searching = Deferred()
        asked = len(self.screen.questions)
        self.type("5 x")
        self.assertEqual(len(self.screen.questions), asked)
        self.desk.searching.callback([Listing(offer("x"), "", False)])
        self.assert_at_top()

    def test_a_search_that_fails_gives_the_prompt_back(self):
        self.desk.searching = fail(ShareError("No."))
        self.type("5 x")
        self.assertEqual(self.screen.shown, ["! No."])
        self.assert_at_top()

    def test_a_long_list_is_cut_and_says_so(self):
        self.desk.found = [offer(f"{number}.txt") for number in range(200)]
        self.type("5 txt")
        self.assertEqual(len(self.screen.shown), LIST_ROWS + 1)
        self.assertEqual(self.screen.shown[-1], "* … and more; search to narrow it down.")

    def test_msg_says_something_to_one_alone(self):
        self.type("/msg anna hello you", "/msg", "anna", "there", "/msg anna", "", "/msg", "")
        sent = [("send_direct", "anna", "hello you"), ("send_direct", "anna", "there")]
        self.assertEqual(self.desk.done, sent)
        self.assertIn(("To whom?", False, "nick"), self.screen.questions)
        self.assertIn(("Your message to anna?", False, ""), self.screen.questions)
        self.assert_at_top()

    def test_a_msg_that_was_not_delivered(self):
        self.type("/msg anna hello")
        why = ShareError("Nothing listens at {where}.", where="10.0.0.1:9393")
        self.desk.sending.errback(ShareError("Not delivered. {why}", why=why))
        self.assertEqual(self.screen.shown, ["! Not delivered. Nothing listens at 10.0.0.1:9393."])

    def test_last_shows_what_was_said_last_ones_own_too(self):
        self.type("/last")
        self.assertEqual(self.screen.shown, ["* Nothing has been said."])
        self.desk.said = [said("hello", ANNA, late=True), said("me too", OWN_KEY, own=True)]
        self.type("/last")
        self.assertRegex(self.screen.shown[1], r"^\d+-\d\d-\d\d \d\d:\d\d .* :> hello$")
        self.assertTrue(self.screen.shown[2].endswith(":> me too"))

    def test_a_file_that_cannot_be_read_is_told_before_anything_else_is_asked(self):
        self.desk.unreadable = ["gone.txt"]
        self.type("4", "gone.txt")
        self.assertEqual(self.screen.shown, ["! gone.txt cannot be read: No such file."])
        self.assertEqual(self.desk.done, [])

    def test_6_shows_who_is_here(self):
        self.type("6")
        self.assertTrue(self.screen.shown[0].endswith("  you"))
        self.assertRegex(self.screen.shown[1], r"^  anna  [a-z2-7-]{19}  10\.0\.0\.1$")
        self.assertEqual(len(self.screen.shown), 3)

    def test_6_shows_an_address_of_ipv4_where_there_is_one(self):
        heard, alone = peer("heard", ANNA), peer("alone", BOB)
        heard.addresses[:0] = alone.addresses = [("fe80::1%eth0", 9393)]
        self.desk.here = [heard, alone]
        self.type("6")
        self.assertRegex(self.screen.shown[1], r"heard  .*  10\.0\.0\.1$")
        self.assertRegex(self.screen.shown[2], r"alone  .*  fe80::1%eth0$")

    def test_6_shows_how_each_is_reached(self):
        self.desk.ways = {ANNA: (True, None), BOB: (False, 0.4)}
        self.desk.loss = 0.4
        self.type("6")
        self.assertRegex(self.screen.shown[1], r"10\.0\.0\.1  by unicast only$")
        self.assertRegex(self.screen.shown[2], r"10\.0\.0\.1  multicast loss 40 %$")
        said = "* 3 nodes, 1 by unicast only, multicast loss 40 %"
        self.assertEqual(self.screen.shown[3], said)

    def test_6_and_a_part_of_a_nick_narrows_it_down(self):
        self.type("/who AN")
        self.assertEqual(len(self.screen.shown), 2)

    def test_a_crowd_is_cut_and_says_so(self):
        self.desk.here = [peer(f"p{n}", n.to_bytes(32, "big")) for n in range(WHO_ROWS + 7)]
        self.type("6")
        self.assertEqual(len(self.screen.shown), WHO_ROWS + 2)
        self.assertEqual(self.screen.shown[-1], "* … and more: 7")


class DroppedTests(MenuCase):
    def test_who_is_here_ends_with_the_datagrams_that_were_dropped_and_why(self):
        self.desk.drops = {"a wrong signature": 2, "address over its limit": 10}
        self.type("6")
        self.assertEqual(
            self.screen.shown[-1],
            "* datagrams dropped: 12 (address over its limit: 10, a wrong signature: 2)",
        )

    def test_the_most_frequent_reasons_are_enough(self):
        self.desk.drops = {f"reason {number}": number for number in range(1, 9)}
        self.type("6")
        self.assertEqual(self.screen.shown[-1].count("reason"), REASONS)
        self.assertIn("36 (reason 8: 8, ", self.screen.shown[-1])

    def test_where_none_was_there_is_no_such_line(self):
        self.type("6")
        self.assertFalse([line for line in self.screen.shown if "dropped" in line])


class WithdrawTests(MenuCase):
    def test_nothing_to_withdraw(self):
        self.type("7")
        self.assertEqual(self.screen.shown, ["* You offer nothing."])
        self.assert_at_top()

    def test_by_number_or_name(self):
        self.desk.own = [offer("a.txt", OWN_KEY), offer("b.txt", OWN_KEY)]
        self.type("7")
        self.assertEqual(len(self.screen.shown), 2)
        self.assertEqual(self.screen.questions[-1][2], "own")
        self.type("2", "/withdraw a.txt")
        self.assertEqual(self.desk.done, [("withdraw", "b.txt"), ("withdraw", "a.txt")])

    def test_of_many_own_offers_a_few_are_read_and_any_can_be_withdrawn(self):
        self.desk.own = [offer(f"{number:05}.txt", OWN_KEY) for number in range(20_000)]
        self.menu.start()
        self.screen.take()
        self.type("7")
        self.assertEqual(len(self.screen.shown), LIST_ROWS + 1)
        self.assertIn("… and more", self.screen.shown[-1])
        self.type("19999.txt", "7 00300.txt")
        self.assertEqual(self.desk.done, [("withdraw", "19999.txt"), ("withdraw", "00300.txt")])
        words = self.menu.bottom(self.desk.status())[1]
        self.assertEqual(len(words["own"]), COMPLETIONS)
        self.assertEqual(self.desk.own_asked[-3:], [COMPLETIONS, LIST_ROWS + 1, LIST_ROWS + 1])

    def test_the_number_of_another_owner_withdraws_nothing(self):
        self.menu.event(OfferAdded(offer("a.txt"), "anna"))
        self.desk.own = [offer("a.txt", OWN_KEY)]
        self.screen.take()
        self.type("7 1")
        self.assertEqual(self.screen.shown, ["! You do not offer 1."])
        self.assert_at_top()

    def test_an_empty_answer_withdraws_nothing(self):
        self.desk.own = [offer("a.txt", OWN_KEY)]
        self.type("7", "")
        self.assertEqual(self.desk.done, [])


class LeaveTests(MenuCase):
    def test_3_quits(self):
        self.type("3")
        self.assertEqual((self.left, self.screen.closed), (1, 1))

    def test_3_asks_first_where_a_transfer_runs(self):
        self.type("2 " + TICKET, "3")
        self.assertEqual(self.screen.question, "Transfers under way: 1. Quit all the same (y/n)?")
        self.type("n")
        self.assertFalse(self.left)
        self.assert_at_top()
        self.type("/quit", "y")
        self.assertEqual(self.left, 1)

    def test_3_asks_too_where_somebody_gets_a_file_of_ours(self):
        self.desk.serving = 2
        self.type("3")
        self.assertIn("2", self.screen.question)

    def test_ctrl_d_is_3_and_its_yes(self):
        self.type("2 " + TICKET)
        self.menu.leave()
        self.assertFalse(self.left)
        self.menu.leave()
        self.assertEqual(self.left, 1)

    def test_one_can_quit_though_the_memory_of_the_node_fails(self):
        def fail_():
            raise ShareError("The memory cannot be used.")

        self.desk.status = fail_
        self.menu.event(Progress(1, "serve", "f", 1, 2, 0.0))
        self.type("3")
        self.assertIn("1", self.screen.question)
        self.type("y")
        self.menu.end_of_input()
        self.menu.event(Progress(1, "serve", "f", 2, 2, 0.0, ended=True))
        self.assertEqual(self.left, 2)
        self.menu.leave()
        self.assertEqual(self.left, 3)

    def test_ctrl_d_at_any_question_quits(self):
        self.type("1")
        self.menu.leave()
        self.assertEqual(self.left, 1)

    def test_ctrl_c_drops_the_question_and_does_not_quit(self):
        self.type("4")
        self.menu.interrupt()
        self.assert_at_top()
        self.assertEqual(self.screen.shown, [])
        self.menu.interrupt()
        self.assertEqual(self.screen.shown, ["* Type 3 to quit."])
        self.assertFalse(self.left)

    def test_ctrl_c_at_a_password_makes_the_next_answer_no_secret(self):
        self.menu.event(OfferAdded(offer("photo.jpg"), "anna"))
        self.type("2 1")
        self.menu.interrupt()
        self.type("  1  x ")
        self.assertEqual(self.desk.done, [("say", "x")])


class PipeTests(MenuCase):
    interactive = has_bottom = False

    def test_the_choices_are_in_the_question(self):
        self.assertEqual(
            self.screen.question,
            "1 message  2 get  3 quit  4 offer  5 files  6 who  7 withdraw  ? help >",
        )

    def test_every_line_gets_one_question(self):
        lines = "1,coucou,1 x,,foo,?,6,7,5,x,2,y,/nick,z,/transfers,/cancel,4,a,*,4,a,,n,2"
        lines = [*lines.split(","), TICKET]
        for count, line in enumerate(lines, 2):
            self.type(line)
            self.assertEqual(len(self.screen.questions), count, line)

    def test_end_of_input_quits(self):
        self.menu.end_of_input()
        self.assertEqual(self.left, 1)

    def test_end_of_input_lets_a_get_end(self):
        self.type("2 " + TICKET)
        self.menu.end_of_input()
        self.assertFalse(self.left)
        self.desk.transfers[0].end()
        self.assertEqual(self.left, 1)

    def test_3_on_a_pipe_lets_a_get_end_too_and_asks_nothing_more(self):
        self.type("2 " + TICKET)
        asked = len(self.screen.questions)
        self.type("3")
        self.assertFalse(self.left)
        self.desk.transfers[0].end(ShareError("No."))
        self.assertEqual((self.left, len(self.screen.questions)), (1, asked))

    def test_end_of_input_lets_an_offer_end_and_shows_its_ticket(self):
        self.type("4 a", "", "n")
        self.menu.end_of_input()
        self.assertFalse(self.left)
        self.desk.offering.callback(offered())
        self.assertIn("* Its ticket:", self.screen.shown[-1])
        self.assertEqual(self.left, 1)

    def test_end_of_input_lets_somebody_elses_get_end(self):
        self.desk.serving = 1
        self.menu.end_of_input()
        self.assertFalse(self.left)
        self.desk.serving = 0
        self.menu.event(Progress(1, "serve", "f", 9, 9, 1.0, ended=True))
        self.assertEqual(self.left, 1)

    def test_end_of_input_while_a_search_runs_quits_after_it(self):
        self.desk.searching = Deferred()
        self.type("5 x")
        self.menu.end_of_input()
        self.assertFalse(self.left)
        self.desk.searching.callback([])
        self.assertEqual(self.left, 1)


class BottomTests(MenuCase):
    def test_it_has_choices_state_and_bars(self):
        for number in range(9):
            self.menu.event(Progress(number, "get", "f", 1, 2, 0.0))
        lines, _ = self.menu.bottom(self.desk.status())
        self.assertEqual(len(lines), 6)
        self.assertIn("4 offer", lines[-2])
        self.assertEqual(lines[-1], "here: 3 · offers: 0 · transfers: 0")

    def test_it_says_what_multicast_does_not_do(self):
        self.desk.ways[ANNA] = True, None
        self.desk.loss = 0.123
        lines, _ = self.menu.bottom(self.desk.status())
        said = "3 nodes, 1 by unicast only, multicast loss 12 %"
        self.assertEqual(lines[-1], f"{said} · offers: 0 · transfers: 0")

    def test_a_small_loss_is_not_worth_a_word(self):
        self.desk.loss = LOSS_SHOWN - 0.001
        lines, _ = self.menu.bottom(self.desk.status())
        self.assertEqual(lines[-1], "here: 3 · offers: 0 · transfers: 0")

    def test_it_says_that_a_group_is_closed(self):
        self.desk.closed = True
        lines, _ = self.menu.bottom(self.desk.status())
        self.assertEqual(lines[-1], "closed group · here: 3 · offers: 0 · transfers: 0")

    def test_nicks_offers_and_own_offers_can_be_completed(self):
        self.desk.own = [offer("old.txt", OWN_KEY)]
        self.menu.start()
        self.menu.event(OfferAdded(offer("a.txt"), "anna"))
        self.menu.event(OfferAdded(offer("new.txt", OWN_KEY), "me", own=True))
        self.menu.event(OfferGone("old.txt", OWN_KEY, "me", own=True))
        _, words = self.menu.bottom(self.desk.status())
        self.assertEqual(
            words, {"nick": ("anna", "bob"), "choice": ("a.txt",), "own": ("new.txt",)}
        )

    def test_progress_alone_does_not_gather_the_words_again(self):
        self.menu.bottom(self.desk.status())
        self.desk.peers = self.desk.own_offers = lambda: self.fail("asked again")
        self.menu.event(Progress(1, "get", "f", 1, 2, 0.0))
        self.menu.bottom(self.desk.status())

    def test_who_came_can_be_completed(self):
        self.menu.bottom(self.desk.status())
        self.desk.here.append(peer("zoe", b"\7" * 32))
        self.menu.event(Joined(b"\7" * 32, "zoe", "10.0.0.7"))
        self.assertIn("zoe", self.menu.bottom(self.desk.status())[1]["nick"])


class HostileLineTests(MenuCase):
    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.text(max_size=30), max_size=6))
    def test_whatever_is_typed_is_answered_by_a_question_or_the_end(self, lines):
        self.setUp()
        for line in lines:
            asked = len(self.screen.questions)
            self.menu.line(line)
            self.assertTrue(self.left or len(self.screen.questions) == asked + 1, line)
            if self.left:
                break

    def test_what_was_meant_to_be_a_ticket_looks_like_one(self):
        for text in (TICKET, "x " + TICKET, '("', "（“a"):
            self.assertTrue(looks_like_ticket(text), text)
        for text in ("", "hello (really)", "1 message", "x" * 9999):
            self.assertFalse(looks_like_ticket(text), text)

    def test_nick(self):
        self.type("/nick", "zoe", "/nick max", "/nick", "")
        self.assertEqual(self.desk.nick, "max")
        self.assertEqual(self.screen.shown, ["* You are zoe now.", "* You are max now."])

    def test_help_names_every_number(self):
        self.type("?")
        self.assertEqual([line[0] for line in self.screen.shown[:7]], list("1234567"))


class DoctorTests(MenuCase):
    def test_findings_are_shown_as_they_come_and_the_menu_goes_on(self):
        self.type("/doctor")
        self.assertEqual(
            self.screen.take()[-1], "* Looking at the network; that takes some 15 seconds."
        )
        self.assert_at_top()
        diagnosis = diagnose(FINE)
        self.desk.told(diagnosis.findings[0])
        self.assertIn(" 1 ok         Interfaces used: eth0.", self.screen.take())
        self.type("1 coucou")
        self.assertEqual(self.desk.done, [("say", "coucou")])
        self.desk.examining.callback(diagnosis)
        self.assertEqual(self.screen.take(), ["All is well: nodes reached every way: 1."])
        self.assert_at_top()

    def test_a_script_waits_for_the_end_of_it(self):
        self.screen.interactive = False
        self.type("/doctor", "3")
        self.assertEqual(self.left, 0)
        self.desk.examining.callback(diagnose(FINE))
        self.assertEqual(self.left, 1)

    def test_what_goes_wrong_is_a_sentence(self):
        self.type("/doctor")
        self.desk.examining.errback(ShareError("Stopped."))
        self.assertEqual(self.screen.shown[-1], "! Stopped.")
