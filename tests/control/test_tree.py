"""What is answered at each address."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import attrs
from twisted.internet.defer import Deferred, fail

from tests.control.fakes import ControlTestCase
from twistedp2p.control.values import event_document
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.diagnosis import Diagnosis
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import Fetched, FetchFailed, Notice, OfferAdded, Progress
from twistedp2p.core.names import b64, fingerprint
from twistedp2p.node import Node


class PeopleTests(ControlTestCase):
    def test_the_status_tells_who_and_how_the_node_is(self) -> None:
        status = self.get("status")
        self.assertEqual((status["nick"], status["key"]), ("alice", b64(self.alice.key)))
        self.assertEqual(status["fingerprint"], fingerprint(self.alice.key))
        self.assertEqual((status["nodes"], status["offers"], status["transfers"]), (2, 0, 0))
        self.assertEqual((status["instance"], status["pid"]), ("default", os.getpid()))
        self.assertLess(abs(status["uptime"] - 5), 1)

    def test_who_is_here(self) -> None:
        page = self.get("peers")
        (bob,) = page["items"]
        self.assertEqual((bob["nick"], bob["key"]), ("bob", b64(self.bob.key)))
        self.assertEqual(bob["addresses"], ["10.0.0.2"])
        self.assertLess(abs(bob["since"] - self.lan.wall() + 5), 1)
        self.assertIsNone(page["next"])

    def test_an_address_with_several_ports_is_told_once(self) -> None:
        (peer,) = self.alice.peers()
        ports = [("10.0.0.2", 9393), ("10.0.0.2", 9394), ("10.0.0.3", 9393)]
        again = attrs.evolve(peer, addresses=ports)
        with mock.patch.object(Node, "peers", return_value=[again]):
            (bob,) = self.get("peers")["items"]
        self.assertEqual(bob["addresses"], ["10.0.0.2", "10.0.0.3"])

    def test_another_name_is_borne_at_once_and_told_as_cleaned(self) -> None:
        nick = {"nick": "new name\u202e"}
        self.assertEqual(self.ask("POST", "nick", nick).document, {"nick": "new_name"})
        self.assertEqual(self.ask("GET", "status").document["nick"], "new_name")
        self.assertEqual(self.ask("POST", "nick", {"nick": "\u202e"}).status, 422)

    def test_the_event_of_an_offer_tells_whose_it_is(self) -> None:
        offer = Offer(self.bob.key, "a.txt", 1, "blake3:0", True)
        told = event_document(OfferAdded(offer, "bob"))["offer"]
        owner = {"key": b64(self.bob.key), "nick": "bob", "fingerprint": fingerprint(self.bob.key)}
        self.assertEqual((told["id"], told["owner"]), (b64(offer.id), owner))

    def test_lists_come_page_by_page(self) -> None:
        self.lan.node("carol")
        self.lan.run_for(5)
        first = self.get("peers?limit=1")
        second = self.get(f"peers?limit=1&after={first['next']}")
        self.assertEqual([first["items"][0]["nick"], second["items"][0]["nick"]], ["bob", "carol"])
        self.assertIsNone(second["next"])

    def test_what_is_said_reaches_the_others_and_is_told_back(self) -> None:
        answer = self.ask("POST", "messages", {"text": "hello"})
        self.assertEqual((answer.status, answer.document["text"]), (201, "hello"))
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.bob), ["hello"])
        self.assertEqual([each["text"] for each in self.get("messages")["items"]], ["hello"])

    def test_what_no_network_took_is_accepted(self) -> None:
        with mock.patch.object(self.alice._chat._publishing._sending, "say", return_value=False):
            answer = self.ask("POST", "messages", {"text": "hello"})
        self.assertEqual((answer.status, answer.document["sent"]), (202, False))

    def test_messages_after_one(self) -> None:
        for text in ("one", "two", "three"):
            self.bob.say(text)
            self.lan.run_for(1)
        one, two, three = self.get("messages")["items"]
        self.assertEqual(self.get("messages?limit=1")["items"], [three])
        after = self.get(f"messages?after={one['id']}&limit=1")
        self.assertEqual((after["items"], after["next"]), ([two], two["id"]))
        gone = str(int(two["stamp"] * 1000)) + "-AAAAAAAA"
        self.assertEqual(self.get(f"messages?after={gone}")["items"], [three])
        self.assertEqual(self.ask("GET", "messages?after=moon").status, 422)

    def test_another_name_is_borne_from_then_on(self) -> None:
        answer = self.ask("POST", "nick", {"nick": "ali cia"})
        self.assertEqual((answer.status, answer.document), (200, {"nick": "ali_cia"}))
        self.assertEqual(self.get("status")["nick"], "ali_cia")
        self.assertEqual(self.ask("POST", "nick", {"nick": "\u200b"}).status, 422)

    def test_nothing_is_not_said(self) -> None:
        for text in ("", " ", "\x1b", "\u200b"):
            answer = self.ask("POST", "messages", {"text": text})
            self.assertEqual((answer.status, answer.document["exit"]), (422, Exit.USAGE), text)

    def test_a_direct_message_is_answered_when_it_was_shown(self) -> None:
        answer = self.ask("POST", "messages", {"text": "psst", "to": "bob"}, seconds=5)
        self.assertEqual((answer.status, answer.document), (201, {"to": "bob", "sent": True}))
        answer = self.ask("POST", "messages", {"text": "psst", "to": "nobody"})
        self.assertEqual((answer.status, answer.document["exit"]), (404, Exit.NOT_FOUND))

    def test_the_doctor_answers_with_its_document(self) -> None:
        examined: Deferred[Diagnosis] = Deferred()
        with mock.patch.object(Node, "examine", return_value=examined):
            answer = self.program()
            answer.send(b"POST /api/v1/doctor HTTP/1.1\r\nHost: a\r\n")
            answer.send(b"Content-Type: application/json\r\n\r\n")
        self.assertEqual(answer.came, b"")
        examined.errback(ShareError("Stopped."))
        self.assertIn(b"409 Conflict", answer.came)

    def test_a_stop_is_answered_first(self) -> None:
        answer = self.ask("POST", "stop", {})
        self.assertEqual((answer.status, self.stops), (202, ["stop"]))


class FilesTests(ControlTestCase):
    def test_an_offer_from_the_first_to_the_last(self) -> None:
        answer = self.ask("POST", "offers", {"path": self.file("a.txt")})
        made = answer.document
        self.assertEqual((answer.status, made["name"], made["size"]), (201, "a.txt", 7))
        self.assertIn(made["password"], made["ticket"])
        self.lan.run_for(2)
        self.assertEqual(self.lan.catalogue(self.bob), ["a.txt"])
        self.assertEqual([each["id"] for each in self.get("offers")["items"]], [made["id"]])
        gone = self.ask("DELETE", f"offers/{made['id']}")
        self.assertEqual(gone.document, {"id": made["id"], "name": "a.txt"})
        self.assertEqual(self.get("offers")["items"], [])
        self.assertEqual(self.ask("DELETE", f"offers/{made['id']}").status, 404)

    def test_a_password_that_was_given_is_not_told_back_but_in_the_ticket(self) -> None:
        body = {"path": self.file("a.txt"), "password": "monpass"}
        made = self.ask("POST", "offers", body).document
        self.assertNotIn("password", made)
        self.assertIn('"monpass"', made["ticket"])

    def test_what_is_public_has_neither(self) -> None:
        made = self.ask("POST", "offers", {"path": self.file("a.txt"), "public": True}).document
        self.assertEqual((made["public"], made["ticket"]), (True, None))

    def test_what_cannot_be_offered_is_refused(self) -> None:
        for body, status in (
            ({"path": "a.txt"}, 422),
            ({"path": "/no/such/file"}, 404),
            ({"path": self.file("b"), "public": True, "password": "x"}, 422),
            ({"path": 5}, 422),
            ({"path": "/a\0b"}, 422),
            ({"path": "/\ud800"}, 422),
            ({}, 422),
        ):
            self.assertEqual(self.ask("POST", "offers", body).status, status, body)
        for wrong in ("moon", "A" * 22, "", "%ff"):
            self.assertIn(self.ask("DELETE", f"offers/{wrong}").status, (404, 422), wrong)

    def test_own_offers_come_page_by_page(self) -> None:
        for name in ("a", "b", "c"):
            self.offered(self.alice, name, public=True)
        first = self.get("offers?limit=2")
        self.assertEqual([each["name"] for each in first["items"]], ["a", "b"])
        second = self.get(f"offers?limit=2&after={first['next']}")
        self.assertEqual([each["name"] for each in second["items"]], ["c"])
        self.assertIsNone(second["next"])

    def test_the_catalogue_is_searched_by_words_and_owner(self) -> None:
        self.offered(self.alice, "lecture one.mp4", public=True)
        self.offered(self.bob, "lecture two.mp4")

        def names(query: str) -> list[str]:
            return sorted(each["name"] for each in self.get(f"catalogue?{query}")["items"])

        both = ["lecture one.mp4", "lecture two.mp4"]
        self.assertEqual(names(""), both)
        self.assertEqual(names("q=lect"), both)
        self.assertEqual(names("q=two"), both[1:])
        for owner in ("bob", b64(self.bob.key), fingerprint(self.bob.key)):
            self.assertEqual(names(f"owner={owner}"), both[1:])
        self.assertEqual(names("name=lecture%20one.mp4"), both[:1])
        self.assertEqual(names("name=lecture%20one.mp4&owner=bob"), [])
        (two,) = self.get("catalogue?q=two")["items"]
        self.assertEqual((two["own"], two["owner"]["nick"]), (False, "bob"))
        self.assertEqual(self.get(f"catalogue?id={two['id']}")["items"], [two])
        self.assertEqual(self.get(f"catalogue?id={'A' * 22}")["items"], [])
        first = self.get("catalogue?limit=1")
        second = self.get(f"catalogue?limit=1&after={first['next']}")
        self.assertNotEqual(first["items"], second["items"])
        self.assertIsNone(second["next"])

    def test_an_id_that_was_told_is_found_without_looking_at_all(self) -> None:
        self.offered(self.bob, "a.txt", public=True)
        (told,) = self.get("catalogue")["items"]
        with mock.patch.object(Node, "find", side_effect=AssertionError):
            self.assertEqual(self.get(f"catalogue?id={told['id']}")["items"], [told])
        self.bob.withdraw("a.txt")
        self.lan.run_for(2)
        self.assertEqual(self.get(f"catalogue?id={told['id']}")["items"], [])

    def test_all_can_be_gone_through_while_more_come(self) -> None:
        for number in range(5):
            self.offered(self.bob, f"{number}.txt", public=True)
        names, after = [], ""
        while after is not None:
            page = self.get(f"catalogue?owner=bob&limit=2{after}")
            names += [each["name"] for each in page["items"]]
            after = page["next"] and f"&after={page['next']}"
            self.offered(self.bob, f"later {len(names)}", public=True)
        self.assertEqual(names, [f"{number}.txt" for number in (4, 3, 2, 1, 0)])
        self.assertEqual(self.ask("GET", "catalogue?q=a&after=10001").status, 422)


class Transfer:
    """What a desk gives for a get."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.done: Deferred[Any] = Deferred()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class TransfersTests(ControlTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.got: list[tuple[Any, ...]] = []
        self.running: list[Transfer] = []
        self.one_file: list[bool] = []
        self.patch(self.alice, "get", self.begun)
        self.patch(self.alice, "get_ticket", self.begun)
        self.patch(self.alice, "get_running", lambda: self.running)

    def begun(self, *what: Any, one_file: bool) -> Transfer:
        self.got.append(what)
        self.one_file.append(one_file)
        self.running.append(Transfer(len(self.running) + 1, what[0].name))
        return self.running[-1]

    def test_a_get_by_id_name_or_ticket(self) -> None:
        offer = self.offered(self.bob, "a.txt", password="monpass").offer
        folder = str(self.lan.folder)
        for body in (
            {"id": b64(offer.id), "password": "monpass", "folder": folder},
            {"name": "a.txt", "owner": "bob", "password": "monpass", "folder": folder},
        ):
            answer = self.ask("POST", "transfers", body)
            self.assertEqual(answer.status, 201)
            self.assertEqual(self.got.pop(), (offer, "monpass", self.lan.folder, ""))
            self.assertEqual(answer.document["state"], "waiting")
        answer = self.ask("POST", "transfers", {"ticket": '("10.0.0.2",9393),("monpass","a.txt")'})
        self.assertEqual((answer.status, self.got.pop()[0].password), (201, "monpass"))

    def test_a_part_of_a_folder(self) -> None:
        self.offered(self.bob, "photos", public=True)
        ticket = '("10.0.0.2",9393),("monpass","photos")'
        for body, part in (
            ({"name": "photos", "part": "paris/a b.jpg"}, "paris/a b.jpg"),
            ({"ticket": ticket, "part": "paris"}, "paris"),
            ({"ticket": f"{ticket}/rome"}, "rome"),
            ({"ticket": ticket}, ""),
        ):
            self.assertEqual(self.ask("POST", "transfers", body).status, 201)
            self.assertEqual(self.got.pop()[-1], part)

    def test_one_file_and_no_folder(self) -> None:
        (self.lan.folder / "photos").mkdir()
        self.file("photos/a.jpg")
        self.successResultOf(self.bob.offer(str(self.lan.folder / "photos"), public=True))
        self.lan.run_for(2)
        wanted = {"name": "photos", "one_file": True}
        answer = self.ask("POST", "transfers", wanted)
        self.assertEqual((answer.status, answer.document["exit"]), (422, Exit.USAGE))
        self.assertEqual(self.got, [])
        self.assertEqual(self.ask("POST", "transfers", {**wanted, "part": "a.jpg"}).status, 201)
        ticket = {"ticket": '("10.0.0.2",9393),("monpass","photos")', "one_file": True}
        self.assertEqual(self.ask("POST", "transfers", ticket).status, 201)
        self.assertEqual(self.one_file, [True, True])

    def test_a_get_that_makes_no_sense_is_refused(self) -> None:
        self.offered(self.bob, "a.txt")
        self.offered(self.alice, "own.txt", public=True)
        self.offered(self.bob, "twice.txt", public=True)
        self.offered(self.lan.node("carol"), "twice.txt", public=True)
        for body, status, kind, code in (
            ({}, 422, "wrong", 2),
            ({"id": "A" * 22, "name": "a.txt"}, 422, "wrong", 2),
            ({"id": "A" * 22}, 404, "not-found", 5),
            ({"id": "short"}, 422, "wrong", 2),
            ({"name": "moon"}, 404, "not-found", 5),
            ({"name": "a.txt", "owner": "carol"}, 404, "not-found", 5),
            ({"name": "a.txt"}, 403, "password-needed", 4),
            ({"name": "own.txt"}, 409, "own", 2),
            ({"name": "twice.txt"}, 409, "ambiguous", 2),
            ({"ticket": "moon"}, 422, "wrong", 2),
            ({"name": "twice.txt", "owner": "bob", "folder": "here"}, 422, "wrong", 2),
            ({"name": "twice.txt", "owner": "bob", "folder": "/no/such"}, 422, "wrong", 2),
            ({"name": "twice.txt", "wait": "yes"}, 409, "ambiguous", 2),
            ({"name": "twice.txt", "owner": "bob", "moon": 1}, 422, "wrong", 2),
        ):
            answer = self.ask("POST", "transfers", body)
            problem = answer.document
            self.assertEqual((answer.status, problem["exit"]), (status, code), body)
            self.assertTrue(problem["type"].endswith(f":{kind}"), problem)
        self.assertEqual(self.got, [])
        hidden = {"name": "a.txt", "owner": "bob", "password": "x", "folder": "/no/such"}
        self.assertIn("/no/such", self.ask("POST", "transfers", hidden).document["detail"])

    def test_with_wait_it_is_answered_when_it_is_over(self) -> None:
        self.offered(self.bob, "a.txt", public=True)
        program = self.program()
        program.send(
            b"POST /api/v1/transfers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b'Content-Length: 30\r\n\r\n{"name": "a.txt", "wait":true}'
        )
        self.assertEqual(program.came, b"")
        self.running[0].done.callback(None)
        self.assertIn(b"201 Created", program.came)

    def test_what_one_offered_who_has_gone_can_be_got_of_others(self) -> None:
        self.offered(self.bob, "a.txt", public=True)
        (offer,) = self.get("catalogue")["items"]
        self.lan.stop(self.bob)
        self.assertEqual(self.get("catalogue?name=a.txt")["items"], [])
        owner = offer["owner"]["fingerprint"]
        for wanted in ({"name": "a.txt"}, {"id": offer["id"]}, {"name": "a.txt", "owner": owner}):
            self.assertEqual(self.ask("POST", "transfers", wanted).status, 201)
        missing = self.ask("POST", "transfers", {"name": "a.txt", "owner": "alice"})
        self.assertEqual(missing.status, 404)

    def test_a_get_that_fails_is_a_problem_with_its_exit_code(self) -> None:
        self.offered(self.bob, "a.txt", public=True)
        with (
            mock.patch.object(Transfer, "done", fail(ShareError("No.", Exit.DAMAGED)), create=True),
            mock.patch.object(Transfer, "__init__", _bare),
        ):
            answer = self.ask("POST", "transfers", {"name": "a.txt", "wait": True})
        self.assertEqual((answer.status, answer.document["exit"]), (502, Exit.DAMAGED))

    def test_a_transfer_is_followed_and_cancelled(self) -> None:
        self.offered(self.bob, "a.txt", public=True)
        number = self.ask("POST", "transfers", {"name": "a.txt"}).document["number"]
        told = self.control._transfers._happened
        told(Notice("The owner of {name} is busy.", {"name": "a.txt"}, number))
        told(Notice("Something else.", {}))
        told(Progress(number, "check", "a.txt", 3, 7, 1.5))
        told(Progress(number, "get", "a.txt", 3, 7, 1.5))
        self.assertEqual(self.get(f"transfers/{number}")["notice"], "The owner of a.txt is busy.")
        told(Notice("{name} is your own.", {"name": "a.txt"}, number))
        french = {"Accept-Language": "fr"}
        (row,) = self.ask("GET", "transfers", headers=french).document["items"]
        self.assertEqual(row["notice"], "a.txt est à vous.")
        row = self.get(f"transfers/{number}")
        self.assertEqual((row["state"], row["done"], row["size"]), ("moving", 3, 7))
        self.assertEqual(self.ask("DELETE", f"transfers/{number}").status, 200)
        self.assertTrue(self.running[0].cancelled)
        told(Progress(number, "get", "a.txt", 3, 7, 1.5, ended=True))
        told(FetchFailed(number, "a.txt", "{name} is your own.", {"name": "a"}, Exit.TIMEOUT))
        self.running.clear()
        row = self.get(f"transfers/{number}")
        self.assertEqual((row["state"], row["error"]["exit"]), ("failed", Exit.TIMEOUT))
        self.assertEqual(row["error"]["detail"], "a is your own.")
        row = self.ask("GET", f"transfers/{number}", headers=french).document
        self.assertEqual(row["error"]["detail"], "a est à vous.")
        self.assertEqual(self.ask("DELETE", f"transfers/{number}").status, 404)

    def test_what_has_come_tells_where(self) -> None:
        told = self.control._transfers._happened
        told(Progress(7, "get", "a.txt", 3, 7, 1.5))
        told(Fetched(7, "a.txt", "/a.txt", 7, 0.5, self.bob.key, True))
        told(Progress(8, "serve", "b.txt", 3, 7, 1.5))
        told(Progress(8, "serve", "b.txt", 7, 7, 1.5, ended=True))
        one, other = [row for row in self.get("transfers")["items"] if row["number"] > 6]
        self.assertEqual((one["state"], one["path"], one["done"]), ("done", "/a.txt", 7))
        self.assertEqual((other["kind"], other["state"]), ("serve", "done"))
        first = self.get("transfers?limit=1")
        self.assertEqual(first["next"], str(first["items"][0]["number"]))

    def test_a_number_that_nothing_has(self) -> None:
        for wrong in ("99", "0", "-1", "moon", "9" * 40, "1/2", "%C2%B2"):
            self.assertEqual(self.ask("GET", f"transfers/{wrong}").status, 404, wrong)


def _bare(self: Transfer, number: int, name: str) -> None:
    self.number, self.name = number, name


class AnsweringTests(ControlTestCase):
    def test_what_is_not_there_and_what_is_not_answered(self) -> None:
        for path in ("/", "/api", "/api/v1/moon", "/api/v1/status/more", "/api/v2/status"):
            self.assertEqual(self.ask("GET", path).status, 404, path)
        for method, where in (("DELETE", "status"), ("PUT", "peers"), ("GET", "stop")):
            answer = self.ask(method, where)
            self.assertEqual(answer.status, 405)
            self.assertTrue(answer.headers["Allow"])
        self.assertEqual(self.ask("POST", "events", {}).status, 405)

    def test_every_problem_is_a_problem_document(self) -> None:
        for answer in (
            self.ask("GET", "moon"),
            self.ask("GET", "peers?limit=x"),
            self.ask("GET", "status", door=self.web),
            self.ask("POST", "messages", b"{"),
            self.ask("GET", "events?moon=1"),
        ):
            self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
            problem = answer.document
            self.assertEqual(problem["status"], answer.status)
            self.assertEqual(set(problem), {"type", "title", "status", "detail", "exit"})

    def test_sentences_are_in_the_language_that_is_asked_for(self) -> None:
        ticket = {"ticket": "moon"}
        french = {"Accept-Language": "de;q=0.5, fr-CA"}

        def detail(method: str, where: str, body: Any = None, **more: Any) -> tuple[str, str]:
            asked = [self.ask(method, where, body, lang, **more) for lang in (None, french)]
            return asked[0].document["detail"], asked[1].document["detail"]

        for asked, english, other in (
            (("POST", "transfers", {"name": "moon"}), "No file on offer", "Aucun fichier"),
            (("POST", "transfers", {"folder": "moon"}), "folder is the", "folder est le chemin"),
            (("POST", "transfers", ticket), "A ticket looks like", "Un ticket ressemble"),
            (("POST", "messages", {"text": "x", "to": "y"}), "Nobody here", "Personne ici"),
            (("GET", "moon"), "There is nothing", "Il n'y a rien"),
            (("GET", "events?moon=1"), "There is no 'moon'", "Il n'y a pas de 'moon'"),
        ):
            one, two = detail(*asked)
            self.assertIn(english, one)
            self.assertIn(other, two)
        self.assertEqual(
            detail("GET", "status", door=self.web),
            ("Not our host.", "Cet hôte n'est pas le nôtre."),
        )

    def test_what_is_misspelt_or_malformed_is_refused(self) -> None:
        for where in ("peers?limt=1", "peers?limit=1&limit=2", "peers?limit=-1", "peers?limit=%ff"):
            self.assertIn(self.ask("GET", where).status, (400, 422), where)
        self.assertEqual(self.ask("GET", f"catalogue?q={'x' * 2000}").status, 422)
        for body in (b"[]", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"text": NaN}', b"1" * 9999):
            self.assertIn(self.ask("POST", "messages", body).status, (400, 422), body[:20])

    def test_a_defect_is_logged_and_tells_nothing(self) -> None:
        with mock.patch.object(Node, "peers", side_effect=ZeroDivisionError("secret")):
            answer = self.ask("GET", "peers")
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_has_gone_is_not_answered(self) -> None:
        examined: Deferred[Diagnosis] = Deferred()
        with mock.patch.object(Node, "examine", return_value=examined):
            program = self.program()
            program.send(
                b"POST /api/v1/doctor HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n"
            )
        program.go()
        examined.errback(ShareError("Stopped."))
        self.assertEqual(program.came, b"")

    def test_metrics_are_told_in_the_text_format(self) -> None:
        answer = self.ask("GET", "/metrics")
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        lines = answer.body.decode().splitlines()
        self.assertIn("p2pshare_nodes 2.0", lines)
        self.assertIn('p2pshare_info{instance="default",version="0.1.0"} 1.0', lines)
