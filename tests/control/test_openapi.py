"""The description holds: every address is as it says, and it says every address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.control.fakes import API, Answer, ControlTestCase
from tests.control.test_tree import Transfer
from twistedp2p.control.openapi import PATHS, document
from twistedp2p.control.tree import Each
from twistedp2p.core.diagnosis import Cause, Diagnosis
from twistedp2p.core.diagnosis.findings import Verdict
from twistedp2p.core.errors import Exit, Words
from twistedp2p.core.events import Fetched, FetchFailed
from twistedp2p.core.names import b64

NONE = "A" * 22  # an id that no offer has


def described() -> set[tuple[str, str]]:
    """Each method of each address, as it is described."""
    return {(path, method.upper()) for path in PATHS for method in PATHS[path]}


def answered(resource: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each method of each address, as the tree has it."""
    for method in resource._methods:
        yield path, method
    if isinstance(resource, Each):
        item = {"offers": "{id}", "transfers": "{number}"}[path.rpartition("/")[2]]
        for method in resource._each("x"):
            yield f"{path}/{item}", method
    for name, child in resource.children.items():
        yield from answered(child, f"{path}/{name.decode()}")


class DescriptionTests(SynchronousTestCase):
    def test_all_schemas_are_schemas(self) -> None:
        whole = document()
        for name, schema in whole["components"]["schemas"].items():
            self.assertIs(validator_for(schema, Draft202012Validator), Draft202012Validator)
            Draft202012Validator.check_schema(schema)
            self.assertIn("type", schema, name)

    def test_names_of_operations_are_unique(self) -> None:
        names = [PATHS[path][method]["operationId"] for path, method in lowered()]
        self.assertEqual(len(names), len(set(names)))


def lowered() -> list[tuple[str, str]]:
    """As the document has them."""
    return [(path, method.lower()) for path, method in described()]


class ConformanceTests(ControlTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: set[tuple[str, str]] = set()
        self.whole = self.get("openapi.json")

    def conforms(self, method: str, path: str, body: Any = None, **places: Any) -> Answer:
        """Ask; what comes back is as the document says."""
        query = path.partition("?")[2]
        path = path.partition("?")[0]
        operation = self.whole["paths"][path][method.lower()]
        where = path.format(**places) + (f"?{query}" if query else "")
        answer = self.ask(method, where, body, seconds=5)
        responses = operation["responses"]
        said = responses.get(str(answer.status), responses["default"])
        (kind, content) = next(iter(said["content"].items()))
        self.assertEqual(answer.headers["Content-Type"].partition(";")[0], kind)
        if kind.endswith("json"):
            schema = {**content["schema"], "components": self.whole["components"]}
            Draft202012Validator(schema).validate(answer.document)
        if answer.status < 400:
            self.seen.add((path, method))
            if body is not None:
                wanted = operation["requestBody"]["content"]["application/json"]["schema"]
                Draft202012Validator(wanted).validate(body)
        return answer

    def test_the_tree_has_what_is_described_and_nothing_else(self) -> None:
        self.assertEqual(set(answered(self.control.root)), described())

    def test_every_address_answers_as_described(self) -> None:
        transfer = Transfer(77, "a.txt")
        self.patch(self.alice, "get", lambda *_, **__: transfer)
        self.patch(self.alice, "get_running", lambda: [transfer])
        offer = self.offered(self.bob, "a.txt", public=True).offer
        told = self.control._transfers._happened
        told(Fetched(78, "b.txt", "/b.txt", 7, 0.5, self.bob.key, True))
        told(FetchFailed(79, "c.txt", "No.", {}, Exit.TIMEOUT))
        diagnosis = Diagnosis(Cause.FINE, Verdict.OK, Words("Fine."), None, Exit.OK, ())
        self.patch(self.alice, "examine", lambda _: succeed(diagnosis))
        conforms = self.conforms

        conforms("GET", f"{API}status")
        conforms("POST", f"{API}nick", {"nick": "alicia"})
        conforms("GET", f"{API}peers?limit=1")
        conforms("POST", f"{API}messages", {"text": "hello"})
        conforms("POST", f"{API}messages", {"text": "hello", "to": "bob"})
        conforms("GET", f"{API}messages")
        conforms("GET", f"{API}catalogue?q=a")
        conforms("GET", f"{API}catalogue?id={b64(offer.id)}")
        for body in ({"path": self.file("x")}, {"path": self.file("y"), "public": True}):
            made = conforms("POST", f"{API}offers", body).document
        conforms("GET", f"{API}offers")
        conforms("DELETE", f"{API}offers/{{id}}", id=made["id"])
        conforms("POST", f"{API}transfers", {"id": b64(offer.id)})
        conforms("GET", f"{API}transfers")
        for number in (77, 78, 79):
            conforms("GET", f"{API}transfers/{{number}}", number=number)
        conforms("DELETE", f"{API}transfers/{{number}}", number=77)
        conforms("GET", f"{API}events")
        conforms("GET", f"{API}openapi.json")
        conforms("GET", "/metrics")
        conforms("POST", f"{API}doctor", {})
        conforms("POST", f"{API}stop", {})
        self.assertEqual(self.seen, described())

    def test_every_refusal_is_as_described(self) -> None:
        for path, method in described():
            body = {} if method == "POST" else None
            for query in ("moon=1", "limit=moon", "limit=1&limit=2"):
                answer = self.conforms(method, f"{path}?{query}", body, id=NONE, number=9)
                self.assertGreaterEqual(answer.status, 400, (method, path, query))
            if method == "POST":
                for wrong in ({"moon": 1}, [], "text"):
                    answer = self.ask(method, path, wrong)
                    self.assertIn(answer.status, (400, 422), (path, wrong))
                    schema = {
                        "$ref": "#/components/schemas/Problem",
                        "components": self.whole["components"],
                    }
                    Draft202012Validator(schema).validate(answer.document)
