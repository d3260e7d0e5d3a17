"""The stream of events: who reads it, who does not, and who comes back."""

from __future__ import annotations

import json
from typing import Any

from tests.control.fakes import API, ControlTestCase, Program, written
from twistedp2p.control.events import ALIVE_EVERY, LISTENERS_MOST
from twistedp2p.control.ring import BYTES_MOST, EVENTS_MOST
from twistedp2p.control.values import event_document, name_of
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit
from twistedp2p.core.events import (
    DirectMessage,
    FetchFailed,
    OfferAdded,
    Progress,
    Said,
)


def events_in(raw: bytes) -> list[dict[str, Any]]:
    """The events in what came."""
    found = []
    for block in raw.partition(b"\r\n\r\n")[2].decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] not in ":")
        if "event" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


class EventsTestCase(ControlTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.emit = self.control._events._happened

    def say(self, text: str) -> None:
        """One event."""
        self.emit(Said(text, "bob", None, "10.0.0.2", 1_700_000_000_500))

    def listen(self, last: str = "") -> Program:
        """A program that follows, from the event `last` on."""
        program = self.program()
        program.send(written("GET", f"{API}events", headers={"Last-Event-ID": last}))
        self.lan.run_for(0.1)
        return program

    def texts(self, program: Program) -> list[str]:
        """What was said, as it was told."""
        found = events_in(decoded(program.came))
        return [each["data"].get("text", each["event"]) for each in found]


def decoded(raw: bytes) -> bytes:
    """An answer in chunks, put together."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return head + b"\r\n\r\n" + body


class StreamTests(EventsTestCase):
    def test_what_happens_is_told_as_it_happens(self) -> None:
        program = self.listen()
        self.assertIn(b"Content-Type: text/event-stream", program.came)
        self.say("hello\nyou")
        (event,) = events_in(decoded(program.came))
        self.assertEqual(event["event"], "said")
        self.assertEqual(event["data"]["text"], "hello\nyou")
        self.assertEqual(event["data"]["stamp"], 1_700_000_000.5)

    def test_what_happened_before_is_not_told(self) -> None:
        self.say("before")
        program = self.listen()
        self.say("after")
        self.assertEqual(self.texts(program), ["after"])

    def test_who_comes_back_gets_what_he_missed(self) -> None:
        program = self.listen()
        self.say("one")
        last = events_in(decoded(program.came))[-1]["id"]
        program.go()
        self.say("two")
        self.assertEqual(self.texts(self.listen(last)), ["two"])

    def test_who_comes_back_too_late_or_from_another_run_is_told_so(self) -> None:
        program = self.listen()
        self.say("one")
        last = events_in(decoded(program.came))[-1]["id"]
        program.go()
        for number in range(EVENTS_MOST + 1):
            self.say(str(number))
        malformed = "0.1", "1", "moon", "1" * 9999, f"{last}000000", f"{last}.1", "-1.-1"
        for strange in (last, *malformed):
            texts = self.texts(self.listen(strange))
            self.assertEqual((texts[0], texts[-1]), ("lost", str(EVENTS_MOST)), strange)
            self.assertEqual(len(texts), EVENTS_MOST + 1)

    def test_a_sign_of_life_now_and_then(self) -> None:
        program = self.listen()
        before = len(program.came)
        self.lan.run_for(ALIVE_EVERY + 1)
        self.assertGreater(len(program.came), before)
        self.assertFalse(program.cut)

    def test_direct_messages_are_taken_as_long_as_somebody_listens(self) -> None:
        self.assertFalse(self.alice._faces.has_reader())
        one, other = self.listen(), self.listen()
        one.go()
        self.assertTrue(self.alice._faces.has_reader())
        other.go()
        self.assertFalse(self.alice._faces.has_reader())

    def test_there_is_room_for_so_many(self) -> None:
        programs = [self.listen() for _ in range(LISTENERS_MOST)]
        self.assertIn(b" 503 ", self.listen().came)
        programs[0].go()
        self.assertIn(b" 200 ", self.listen().came)

    def test_there_is_nothing_below_it(self) -> None:
        for where in ("events/x", "events/"):
            self.assertEqual(self.ask("GET", where).status, 404)

    def test_in_the_end_nothing_is_followed(self) -> None:
        program = self.listen()
        self.control.close()
        self.control.close()
        self.assertFalse(self.alice._faces.has_reader())
        self.door.close()
        self.assertTrue(program.cut)


class BackPressureTests(EventsTestCase):
    def test_who_does_not_read_has_nothing_waiting_and_reads_on_later(self) -> None:
        slow, quick = self.listen(), self.listen()
        slow.visit.pauseProducing()
        before = len(slow.came)
        for number in range(50):
            self.say(str(number))
        self.assertEqual(len(slow.came), before)
        self.assertEqual(len(self.texts(quick)), 50)
        slow.visit.resumeProducing()
        self.assertEqual(self.texts(slow), [str(number) for number in range(50)])

    def test_who_stops_reading_in_the_middle_misses_nothing(self) -> None:
        slow = self.listen()
        slow.visit.pauseProducing()
        for number in range(5):
            self.say(str(number))
        write = slow.transport.writeSequence

        def full(data: list[bytes]) -> None:
            write(data)
            slow.visit.pauseProducing()

        slow.transport.writeSequence = full
        for number in range(1, 6):
            slow.visit.resumeProducing()
            self.assertEqual(len(self.texts(slow)), number)
        self.assertEqual(self.texts(slow), [str(number) for number in range(5)])

    def test_who_is_too_far_behind_is_cut(self) -> None:
        slow, quick = self.listen(), self.listen()
        slow.visit.pauseProducing()
        for number in range(EVENTS_MOST):
            self.say(str(number))
        self.assertFalse(slow.cut)
        self.say("one more")
        self.assertEqual((slow.cut, quick.cut), (True, False))
        self.assertEqual(len(self.texts(quick)), EVENTS_MOST + 1)

    def test_twenty_that_never_read_cost_no_memory(self) -> None:
        slow = [self.listen() for _ in range(20)]
        for program in slow:
            program.visit.pauseProducing()
        before = [len(program.came) for program in slow]
        quick = self.listen()
        for number in range(3 * EVENTS_MOST):
            self.say(f"{number} " + "x" * 1000)
        self.assertEqual([len(program.came) for program in slow], before)
        self.assertTrue(all(program.cut for program in slow))
        self.assertEqual(len(self.texts(quick)), 3 * EVENTS_MOST)
        ring = self.control._events._ring
        self.assertLessEqual(sum(len(event) for _, event in ring.after(0)), BYTES_MOST)

    def test_progress_makes_nobody_late(self) -> None:
        slow = self.listen()
        slow.visit.pauseProducing()
        self.say("one")
        for number in range(3 * EVENTS_MOST):
            self.emit(Progress(1, "get", "a.txt", number, 9999, 1.0))
        slow.visit.resumeProducing()
        self.assertFalse(slow.cut)
        self.assertEqual(len(self.texts(slow)), 2)


class DocumentTests(EventsTestCase):
    def document(self, event: Any) -> dict[str, Any]:
        made = event_document(event)
        return json.loads(json.dumps(made))

    def test_keys_are_text_and_sentences_are_whole(self) -> None:
        key = bytes(32)
        offer = Offer(key, "a.txt", 5, "blake3:00", True, 1500)
        added = self.document(OfferAdded(offer, "bob"))
        self.assertEqual((added["offer"]["name"], added["offer"]["stamp"]), ("a.txt", 1.5))
        said = self.document(DirectMessage("hi", "bob", key, 1500))
        self.assertEqual((said["key"], said["fingerprint"][4]), ("A" * 43, "-"))
        failed = FetchFailed(3, "a.txt", "No {what}.", {"what": "luck"}, Exit.NO_INPUT)
        self.assertEqual(self.document(failed)["text"], "No luck.")
        self.assertEqual(self.document(failed)["code"], Exit.NOT_FOUND)

    def test_events_go_by_their_names(self) -> None:
        self.assertEqual(name_of(DirectMessage("", "", b"", 0)), "direct_message")
        self.assertEqual(name_of(Said("", "", None, "", 0)), "said")
