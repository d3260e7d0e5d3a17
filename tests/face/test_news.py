import re
import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.face.fakes import ANNA, BOB, OWN_KEY, offer
from twistedp2p.core import events
from twistedp2p.core.names import fingerprint
from twistedp2p.face.news import (
    CHAT_BURST,
    CHAT_RATE,
    LEFT_OUT_AFTER,
    MAX_TICKETS,
    NEWS_BURST,
    WARN_AGAIN,
    WARNING_BURST,
    News,
)

TICKET = '("10.0.0.{}",9000),("pw","f.txt")'


class NewsCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.lines = []
        self.styles = []
        self.numbers = {}
        self.news = self.make(lambda text: text)

    def make(self, translate):
        return News(
            OWN_KEY,
            self.show,
            translate,
            self.nick_of,
            self.number,
            self.clock.seconds,
            self.clock.seconds,
        )

    def show(self, text, style):
        self.lines.append(text)
        self.styles.append(style)

    def nick_of(self, key):
        return {ANNA: "anna", BOB: "bob"}.get(key, "somebody")

    def number(self, thing):
        return self.numbers.setdefault(thing, len(self.numbers) + 1)

    def tell(self, *happened):
        """What is shown of these events."""
        self.lines.clear()
        for event in happened:
            self.news.tell(event)
        return list(self.lines)


def said(text, key=ANNA, **more):
    return events.Said(text, "anna" if key else "", key, "132.227.64.88", 0, **more)


class ChatTests(NewsCase):
    def test_a_line_of_a_script_shows_its_address_and_that_it_is_unverified(self):
        self.assertEqual(
            self.tell(said("coucou !", None)), ["132.227.64.88 :> coucou !  (unverified)"]
        )
        self.assertEqual(self.styles, ["plain"])

    def test_a_known_node_is_shown_by_its_nick(self):
        self.assertEqual(self.tell(said("hi")), ["anna :> hi"])

    def test_a_new_or_clashing_one_by_nick_and_fingerprint(self):
        self.assertEqual(self.tell(said("hi", known=False)), [f"anna ({fingerprint(ANNA)}) :> hi"])

    def test_an_old_line_has_its_time(self):
        clock_time = time.strftime("%H:%M", time.localtime(0))
        self.assertEqual(self.tell(said("hi", late=True)), [f"{clock_time} anna :> hi"])

    def test_one_of_another_day_has_its_day(self):
        self.clock.advance(2 * 86_400)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(0))
        self.assertEqual(self.tell(said("hi", late=True)), [f"{when} anna :> hi"])

    def test_a_stamp_of_any_size_is_shown(self):
        event = events.Said("hi", "anna", ANNA, "", 2**53 - 1, late=True)
        self.assertRegex(self.tell(event)[0], r"^\d+-\d\d-\d\d \d\d:\d\d anna :> hi$")

    def test_what_no_network_took_is_marked_in_history(self):
        self.lines.clear()
        self.news.line_of(said("hi", own=True, sent=False))
        self.assertEqual(self.lines, ["anna :> hi  (not sent)"])

    def test_own_lines_are_not_repeated(self):
        self.assertEqual(self.tell(said(TICKET.format(1), own=True)), [])

    def test_plain_text_that_imitates_others_stays_behind_its_address(self):
        """Attack 35: plain text imitating a signed or system line."""
        for text in ("anna :> hi", "* bob is here (1.2.3.4)", "! CAREFUL: x", "> 1 x"):
            self.assertEqual(
                self.tell(said(text, None)), [f"132.227.64.88 :> {text}  (unverified)"]
            )

    def test_runs_of_blanks_are_one(self):
        self.assertEqual(self.tell(said("a" + " " * 70 + "* b\u2003\u2003c")), ["anna :> a * b c"])

    def test_braces_of_others_are_only_text(self):
        joined = events.Joined(ANNA, "{0.__class__}", "{address}")
        self.assertEqual(self.tell(joined), ["* {0.__class__} is here ({address})"])

    def test_a_flood_of_strangers_is_cut_and_counted(self):
        """Attack 40: flood: the screen stays bounded."""
        flood = [said("x", bytes([n % 256]) * 32, known=False) for n in range(int(CHAT_BURST) + 50)]
        self.assertEqual(len(self.tell(*flood)), int(CHAT_BURST))
        self.assertEqual(self.tell(said("hi")), ["anna :> hi"])
        self.clock.advance(LEFT_OUT_AFTER)
        self.assertEqual(
            self.tell(said("hi")),
            ["anna :> hi", "* (lines left out, too many at once: 50)"],
        )

    def test_what_many_people_say_in_an_hour_is_all_shown(self):
        shown = 0
        for _ in range(3600):
            shown += len(self.tell(*[said("hi", None)] * int(CHAT_RATE)))
            self.clock.advance(1)
        self.assertEqual(shown, 3600 * int(CHAT_RATE))


class DirectMessageTests(NewsCase):
    def message(self, text="coucou", **more):
        return events.DirectMessage(text, "anna", ANNA, 0, **more)

    def test_it_is_seen_to_be_private_at_both_ends(self):
        self.assertEqual(self.tell(self.message()), ["anna (privately) :> coucou"])
        self.assertEqual(self.tell(self.message(own=True)), ["(privately to anna) :> coucou"])

    def test_a_new_or_clashing_sender_goes_with_its_key(self):
        """Attack 35: a nick that looks like another's."""
        key = fingerprint(ANNA)
        unknown = self.message(known=False)
        self.assertEqual(self.tell(unknown), [f"anna ({key}) (privately) :> coucou"])
        unknown = self.message(known=False, own=True)
        self.assertEqual(self.tell(unknown), [f"(privately to anna ({key})) :> coucou"])

    def test_a_ticket_in_it_is_numbered(self):
        shown = self.tell(self.message('("10.0.0.1",9393),("secret","a.jpg")'))
        self.assertIn("type 2", shown[1])


class TicketTests(NewsCase):
    def test_a_ticket_in_the_chat_is_numbered_and_its_password_not_repeated(self):
        lines = self.tell(said("look " + TICKET.format(7)))
        self.assertEqual(lines[1:], ["* a ticket for f.txt at 10.0.0.7: type 2 1 to get it"])

    def test_one_line_gives_a_few_tickets_at_most(self):
        line = " ".join(TICKET.format(n) for n in range(1, 20))
        self.assertEqual(len(self.tell(said(line))), 1 + MAX_TICKETS)

    def test_a_line_too_long_for_tickets_is_shown_all_the_same(self):
        self.assertEqual(len(self.tell(said("(" * 5000))), 1)


class ComingAndGoingTests(NewsCase):
    def test_each_is_one_line(self):
        self.assertEqual(
            self.tell(
                events.Joined(ANNA, "anna", "10.0.0.1"),
                events.Renamed(ANNA, "ann", "anna"),
                events.Left(ANNA, "ann", True),
                events.Left(BOB, "bob", False),
            ),
            [
                "* anna is here (10.0.0.1)",
                "* anna is called ann now",
                "* ann has left",
                "* bob is silent: gone",
            ],
        )

    def test_a_crowd_is_cut_and_counted_once(self):
        crowd = [events.Joined(ANNA, "anna", "10.0.0.1")] * 100
        self.assertEqual(len(self.tell(*crowd)), int(NEWS_BURST))
        self.clock.advance(LEFT_OUT_AFTER)
        self.assertEqual(
            self.tell(crowd[0]),
            ["* anna is here (10.0.0.1)", f"* (lines left out, too many at once: {100 - 8})"],
        )
        self.clock.advance(LEFT_OUT_AFTER)
        self.assertEqual(self.tell(crowd[0]), ["* anna is here (10.0.0.1)"])

    def test_the_count_does_not_come_with_the_first_line_left_out(self):
        self.tell(*[events.Left(ANNA, "anna", True)] * int(NEWS_BURST))
        self.assertEqual(self.tell(events.Left(ANNA, "anna", True)), [])

    def test_a_second_bearer_of_a_nick_is_warned_of(self):
        """Attack 35: look-alike nick."""
        lines = self.tell(events.Joined(BOB, "anna", "10.0.0.2", looks_like=ANNA))
        self.assertEqual(
            lines[1],
            f"! CAREFUL: anna with the key {fingerprint(BOB)} is not the anna with the key"
            f" {fingerprint(ANNA)}.",
        )
        self.assertEqual(self.styles[1], "warning")
        renamed = self.tell(events.Renamed(ANNA, "bob", "x", looks_like=BOB))
        self.assertTrue(renamed[1].startswith("! CAREFUL: bob"))

    def test_throw_away_keys_cannot_flood_warnings(self):
        """Attack 40: flood of nodes that bear somebody's nick."""
        flood = [
            events.Joined(n.to_bytes(32, "big"), "anna", "10.0.0.2", looks_like=ANNA)
            for n in range(500)
        ]
        warnings = [line for line in self.tell(*flood) if line.startswith("!")]
        self.assertEqual(len(warnings), 1)
        other = self.tell(events.Renamed(flood[0].key, "bob", "anna", looks_like=BOB))
        self.assertTrue(other[-1].startswith("! CAREFUL: bob"))
        self.clock.advance(WARN_AGAIN)
        self.assertEqual(len([x for x in self.tell(*flood) if x.startswith("!")]), 1)


class OfferTests(NewsCase):
    def test_a_new_offer_has_a_number_to_get_it(self):
        self.assertEqual(
            self.tell(events.OfferAdded(offer("a.txt"), "anna")),
            ["* anna offers a.txt (1.5 kB): type 2 1 to get it"],
        )

    def test_an_offer_that_is_left_out_is_numbered_all_the_same(self):
        self.tell(*[events.Left(ANNA, "anna", True)] * 20)
        self.assertEqual(self.tell(events.OfferAdded(offer("a.txt"), "anna")), [])
        self.assertEqual(list(self.numbers), [offer("a.txt")])

    def test_own_offers_are_no_news(self):
        self.assertEqual(self.tell(events.OfferAdded(offer("a.txt"), "me", own=True)), [])

    def test_withdrawn_offers(self):
        self.assertEqual(
            self.tell(
                events.OfferGone("a.txt", ANNA, "anna"),
                events.OfferGone("b.txt", OWN_KEY, "me", own=True),
                events.OfferGone("c.txt", OWN_KEY, "me", True, "the file has changed"),
            ),
            [
                "* anna does not offer a.txt any more",
                "* b.txt is not on offer any more.",
                "! c.txt is not on offer any more: the file has changed.",
            ],
        )

    def test_a_wrong_password_is_told(self):
        self.assertEqual(
            self.tell(events.WrongPassword("a.txt", "10.0.0.9", BOB)),
            ["! bob at 10.0.0.9 tried a wrong password for a.txt"],
        )

    def test_wrong_passwords_cannot_flood(self):
        tries = [
            events.WrongPassword(f"{n % 50}.txt", "10.0.0.9", n.to_bytes(32, "big"))
            for n in range(500)
        ]
        self.assertEqual(len(self.tell(*tries)), int(WARNING_BURST))
        self.assertEqual(self.tell(events.Left(ANNA, "anna", True)), ["* anna has left"])
        self.clock.advance(LEFT_OUT_AFTER)
        self.assertIn(f"{500 - 8}", self.tell(events.Left(ANNA, "anna", True))[1])

    def test_wrong_passwords_for_one_offer_are_told_once_a_while(self):
        tries = [events.WrongPassword("a.txt", "10.0.0.9", BOB)] * 5
        self.assertEqual(len(self.tell(*tries)), 1)


class TransferTests(NewsCase):
    def progress(self, number=1, done=0, size=100, rate=0.0, **more):
        return events.Progress(number, "get", "a.txt", done, size, rate, **more)

    def test_progress_is_a_bar_with_rate_and_time_left_and_no_line(self):
        self.assertEqual(self.tell(self.progress(done=25_000_000, size=10**8, rate=2.5e6)), [])
        self.assertEqual(self.news.courses(), {1: "1 get ███░░░░░░░░░ 25 %  2.5 MB/s  30 s  a.txt"})

    def test_without_rate_or_size_there_is_no_time_left(self):
        self.tell(self.progress(size=0))
        self.assertEqual(self.news.courses(), {1: "1 get ░░░░░░░░░░░░ 0 %  a.txt"})

    def test_an_ended_transfer_has_no_bar(self):
        self.tell(self.progress(), self.progress(2), self.progress(ended=True))
        self.assertEqual(list(self.news.courses()), [2])

    def test_a_file_that_came_is_told_with_its_path_and_rate(self):
        fetched = events.Fetched(1, "a.txt", "/tmp/a (2).txt", 3_000_000, 1.5, ANNA, True)
        self.assertEqual(
            self.tell(fetched),
            ["* a.txt is here, whole: /tmp/a (2).txt (3.0 MB, 1.5 s, 2.0 MB/s)"],
        )

    def test_an_unknown_owner_is_warned_of(self):
        fetched = events.Fetched(1, "a.txt", "/tmp/a.txt", 3, 0.0, ANNA, False)
        self.assertEqual(
            self.tell(fetched)[1],
            f"! The owner of a.txt is unknown (key {fingerprint(ANNA)}): only the password"
            " vouches.",
        )

    def test_another_owner_than_last_time_is_warned_of(self):
        fetched = events.Fetched(
            1, "a.txt", "/tmp/a.txt", 3, 0.0, ANNA, owner_known=False, owner_changed=True
        )
        self.assertEqual(
            self.tell(fetched)[2:],
            ["! CAREFUL: another key than last time answered at that address."],
        )

    def test_what_failed_is_one_sentence(self):
        failed = events.FetchFailed(1, "a.txt", "Refused: {reason}.", {"reason": "wrong password"})
        self.assertEqual(self.tell(failed), ["! a.txt: Refused: wrong password."])
        self.assertEqual(self.tell(events.NotSent("No {net}.", {"net": "way"})), ["! No way."])

    def test_reasons_are_translated_and_names_are_not(self):
        self.news = self.make(lambda text: {"wrong password": "raté", "yes": "oui"}.get(text, text))
        failed = events.FetchFailed(
            1, "yes", "{name}, {reason}, {why}", {"name": "yes", "reason": "wrong password",
                                                 "why": ""},
        )  # fmt: skip
        self.assertEqual(self.tell(failed), ["! yes: yes, raté, "])


class AllTests(NewsCase):
    def test_every_event_has_its_teller(self):
        told = set(self.news._tellers)
        self.assertEqual(told, set(events.Event.__args__))

    def test_every_line_of_ours_has_its_mark(self):
        lines = self.tell(
            events.Joined(ANNA, "anna", "a", looks_like=BOB),
            events.OfferAdded(offer("a.txt"), "anna"),
            events.WrongPassword("a.txt", "10.0.0.9", BOB),
            events.NotSent("No.", {}),
        )
        self.assertTrue(all(re.match("[*!] ", line) for line in lines), lines)
