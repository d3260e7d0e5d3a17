"""Who comes in, and what is refused before it is read."""

from __future__ import annotations

import json
import os
import re
import tempfile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.control.fakes import API, OF_WEB, TOKEN, WEB, ControlTestCase, Transport, written
from twistedp2p.control.door import (
    ALWAYS,
    BODY_MOST,
    CONNECTIONS_MOST,
    HEADERS_WITHIN,
    IDLE,
    is_ours,
    refusal,
)


class WebTests(ControlTestCase):
    """The door on the loopback."""

    def status(self, **headers: str) -> int:
        """What a program with the token gets, which sends these headers as well, or instead."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**OF_WEB, **named}
        return self.ask("GET", "status", headers=sent, door=self.web).status

    def test_who_has_the_token_comes_in_by_either_name(self) -> None:
        self.assertEqual(self.status(), 200)
        self.assertEqual(self.status(Host="localhost:9394"), 200)
        self.assertEqual(self.status(Origin="http://127.0.0.1:9394"), 200)
        for site in ("same-origin", "none"):
            self.assertEqual(self.status(Sec_Fetch_Site=site), 200)

    def test_a_foreign_host_is_refused(self) -> None:
        """Attack 42: a name of the attacker that leads to 127.0.0.1, by DNS rebinding."""
        for host in (
            "evil.example",
            "evil.example:9394",
            "127.0.0.1",
            "127.0.0.1:80",
            "0.0.0.0:9394",
            "[::1]:9394",
            "localhost.evil.example:9394",
            "127.0.0.1:9394.evil.example",
            "LOCALHOST:9394",
            "",
        ):
            self.assertEqual(self.status(Host=host), 421, host)

    def test_a_foreign_page_is_refused(self) -> None:
        """Attack 43: a page in the user's browser, of another port, or without an origin."""
        for origin in (
            "null",
            "http://evil.example",
            "http://127.0.0.1:8080",
            "http://127.0.0.1",
            "https://127.0.0.1:9394",
            "http://localhost:9394.evil.example",
        ):
            self.assertEqual(self.status(Origin=origin), 403, origin)
        for site in ("cross-site", "same-site", "moon"):
            self.assertEqual(self.status(Sec_Fetch_Site=site), 403, site)

    def test_no_page_may_read_an_answer_or_show_it(self) -> None:
        """Attack 43: no answer allows another origin anything."""
        sent = {**OF_WEB, "Origin": "http://127.0.0.1:9394"}
        for answer in (
            self.ask("GET", "status", headers=sent, door=self.web),
            self.ask("GET", "status", door=self.web),
            self.ask("OPTIONS", "status", headers=sent, door=self.web),
        ):
            for name, value in ALWAYS.items():
                self.assertEqual(answer.headers[name.decode()], value.decode())
            self.assertFalse([name for name in answer.headers if "access-control" in name.lower()])

    def test_a_form_is_refused(self) -> None:
        """Attack 43: what a page can send without asking is no JSON by its content type."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            headers = {**OF_WEB, "Content-Type": kind}
            answer = self.ask("POST", "stop", {}, headers, door=self.web)
            self.assertEqual(answer.status, 415, kind)
        bare = written("POST", f"{API}stop", b"", {**OF_WEB, "Content-Type": ""})
        self.assertEqual(self.request(bare, self.web).status, 415)
        self.assertEqual(self.stops, [])

    def test_without_the_token_nothing_is_told(self) -> None:
        """Attack 45: there is no default, and nothing can be seen without it."""
        for given in ("", "Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN, f"bearer{TOKEN}"):
            self.assertEqual(self.status(Authorization=given), 401, given)
        headers = {"Host": "127.0.0.1:9394"}
        for path in ("/", "/metrics", f"{API}openapi.json", f"{API}events", f"{API}moon"):
            answer = self.ask("GET", path, headers=headers, door=self.web)
            self.assertEqual(answer.status, 401, path)
            self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")

    def test_the_token_counts_in_its_header_alone(self) -> None:
        """Attack 43: a cookie goes with every request of a browser; there is none."""
        for headers in ({"Cookie": f"token={TOKEN}"}, {"X-Token": TOKEN}):
            sent = {"Host": "127.0.0.1:9394", **headers}
            self.assertEqual(self.ask("GET", "status", headers=sent, door=self.web).status, 401)
        answer = self.ask("GET", f"status?token={TOKEN}", headers=OF_WEB, door=self.web)
        self.assertEqual(answer.status, 422)
        answer = self.ask("GET", "status", headers=OF_WEB, door=self.web)
        self.assertNotIn("Set-Cookie", answer.headers)

    def test_who_has_no_token_gives_way(self) -> None:
        """Attack 45: another user of this machine holds all connections that there may be."""
        owner = self.program(self.web)
        owner.send(written("GET", f"{API}events", headers=OF_WEB))
        idle = [self.program(self.web) for _ in range(CONNECTIONS_MOST)]
        self.assertTrue(idle[0].cut)
        self.assertEqual(self.status(), 200)
        self.assertEqual([program.cut for program in idle[:3]], [True, True, False])
        self.assertFalse(owner.cut)
        self.lan.run_for(HEADERS_WITHIN + 0.1)
        self.assertTrue(all(program.cut for program in idle))
        self.assertFalse(owner.cut)

    def test_who_has_the_token_gives_way_to_nobody(self) -> None:
        owners = [self.program(self.web) for _ in range(CONNECTIONS_MOST)]
        for program in owners:
            program.send(written("GET", f"{API}status", headers=OF_WEB))
        self.assertTrue(self.program(self.web).cut)
        self.assertFalse(any(program.cut for program in owners))

    def test_a_header_that_comes_twice_is_refused(self) -> None:
        """Attack 44: which of two hosts is meant is not for us to choose."""
        raw = written("GET", f"{API}status", headers=OF_WEB)
        for line in (b"Host: evil.example", b"Origin: null", b"Authorization: Bearer x"):
            twice = raw.replace(b"\r\n", b"\r\n" + line + b"\r\n" + line + b"\r\n", 1)
            self.assertEqual(self.request(twice, self.web).status, 400, line)

    def test_nothing_of_a_request_is_echoed(self) -> None:
        """Attack 44: a host or path in an answer could be taken for ours."""
        for where, headers in (
            ("status", {"Host": "<script>evil"}),
            ("<script>evil", OF_WEB),
            ("status", {**OF_WEB, "Origin": "<script>evil"}),
        ):
            program = self.program(self.web)
            program.send(written("GET", API + where, headers=headers))
            self.lan.run_for(0.1)
            self.assertNotIn(b"evil", program.came)
            self.assertNotIn(b"Location", program.came)


class RequestTests(ControlTestCase):
    """Requests, through whichever door."""

    def test_answers_come_in_the_order_of_the_requests(self) -> None:
        """Attack 44: requests in one go, the first of which takes longest."""
        examined: Deferred[Any] = Deferred()
        self.patch(self.alice, "examine", lambda _: examined)
        program = self.program()
        program.send(written("POST", f"{API}doctor", {}) + written("GET", f"{API}status") * 3)
        self.assertEqual(program.came, b"")
        examined.errback(ZeroDivisionError())
        self.flushLoggedErrors(ZeroDivisionError)
        statuses = re.findall(rb"HTTP/1.1 (\d+)", program.came)
        self.assertEqual(statuses, [b"500", b"200", b"200", b"200"])

    def test_what_is_too_long_is_refused_before_it_is_read(self) -> None:
        program = self.program()
        head = f"POST {API}messages HTTP/1.1\r\nContent-Type: application/json\r\n"
        program.send(f"{head}Content-Length: {BODY_MOST + 1}\r\n\r\n".encode())
        self.assertIn(b" 413 ", program.came)
        self.assertTrue(program.cut)
        before = program.came
        program.send(b'{"text": "x"}' + written("GET", f"{API}status"))
        self.assertEqual(program.came, before)

    def test_a_body_without_a_length_is_refused(self) -> None:
        head = f"POST {API}messages HTTP/1.1\r\nContent-Type: application/json\r\n"
        raw = f'{head}Transfer-Encoding: chunked\r\n\r\nd\r\n{{"text": "x"}}\r\n0\r\n\r\n'
        self.assertEqual(self.request(raw.encode()).status, 411)

    def test_the_longest_text_can_be_said(self) -> None:
        text = json.dumps({"text": "\U0001f600" * 20_000})
        self.assertLess(len(text), BODY_MOST)
        self.assertEqual(self.ask("POST", "messages", text.encode()).status, 201)

    def test_no_secret_goes_to_the_disk(self) -> None:
        """Attack 46: a long body, in which a password may be, would be a file of Twisted's."""
        self.patch(tempfile, "TemporaryFile", self.fail)
        body = {"text": "x", "to": "y" * 200_000}
        self.assertEqual(self.ask("POST", "messages", body).status, 404)

    def test_nothing_is_logged_of_a_request(self) -> None:
        """Attack 46: neither tokens nor what is searched for."""
        logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        self.web.startFactory()
        self.ask("GET", "catalogue?q=secret", headers=OF_WEB, door=self.web)
        self.ask("GET", "catalogue?q=secret", door=self.web)
        self.web.stopFactory()
        self.assertEqual(logged, [])
        self.assertNotIn(TOKEN, repr(WEB))

    def test_headers_that_come_slowly_end_the_connection(self) -> None:
        for begun in (b"", b"GET / HTTP/1.1\r\n"):
            program = self.program()
            program.send(begun)
            self.lan.run_for(HEADERS_WITHIN / 2)
            program.send(b"Host: a" if begun else b"")
            self.lan.run_for(HEADERS_WITHIN / 2)
            self.assertTrue(program.cut)

    def test_a_connection_is_kept_for_another_request_for_a_while(self) -> None:
        program = self.program()
        program.send(written("GET", f"{API}status"))
        self.lan.run_for(IDLE - 1)
        self.assertFalse(program.cut)
        program.send(written("GET", f"{API}status"))
        self.assertEqual(program.came.count(b"HTTP/1.1 200"), 2)
        self.lan.run_for(IDLE + 1)
        self.assertTrue(program.cut)

    def test_a_connection_that_is_too_much_is_ended_at_once(self) -> None:
        programs = [self.program() for _ in range(CONNECTIONS_MOST)]
        self.assertTrue(self.program().cut)
        programs[0].go()
        self.assertFalse(self.program().cut)

    def test_garbage_is_refused(self) -> None:
        for raw in (
            b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
        ):
            program = self.program()
            program.send(raw)
            self.lan.run_for(0.1)
            status = int(program.came.split()[1]) if program.came else 0
            self.assertIn(status, (0, 400, 404, 505), raw[:30])

    def test_closing_ends_all_connections(self) -> None:
        programs = [self.program(), self.program()]
        self.door.close()
        self.assertEqual([program.cut for program in programs], [True, True])


class PeerTests(ControlTestCase):
    def test_another_user_is_refused_at_the_socket(self) -> None:
        """Attack 45: also where the folder's mode has been changed."""
        stranger = self.program(user=os.geteuid() + 12345)
        self.assertTrue(stranger.cut)
        stranger.send(written("GET", f"{API}status"))
        self.assertEqual(stranger.came, b"")

    def test_the_user_and_root_are_let_in(self) -> None:
        for user in (os.geteuid(), 0):
            self.assertTrue(is_ours(Transport(user)))


class RefusalTests(SynchronousTestCase):
    def test_the_type_of_a_body_may_name_its_characters(self) -> None:
        for kind, well in (
            (b"application/json", True),
            (b"Application/JSON; charset=utf-8", True),
            (b"application/jsonp", False),
            (b"text/plain; application/json", False),
        ):
            headers = Headers({b"Content-Type": [kind]})
            self.assertEqual(refusal(b"POST", headers, 2, None) is None, well, kind)
        self.assertIsNone(refusal(b"DELETE", Headers(), 0, None))
