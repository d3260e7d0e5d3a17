"""The control interface, described for programs (OpenAPI 3.1). Tests hold the tree to it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from twistedp2p.control.answering import QUERY_MOST
from twistedp2p.control.files import NUMBER_MOST as CURSOR_MOST
from twistedp2p.control.files import OFFERS_MOST
from twistedp2p.control.people import LINES_MOST, PEERS_MOST
from twistedp2p.control.transfers import KEPT, NUMBER_MOST
from twistedp2p.control.values import SAID_ID

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
GIVEN: Json = {"type": "string", "minLength": 1}
ASKED: Json = {"type": "string", "maxLength": QUERY_MOST}
FLAG: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
SECONDS: Json = {"type": "number", "minimum": 0}
TIME: Json = {"type": "number", "description": "seconds since 1970"}
KEY: Json = {"type": "string", "pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"}
OFFER_ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"}
PRINT: Json = {"type": "string", "pattern": "^[a-z2-7]{4}(-[a-z2-7]{4}){3}$"}
PATH: Json = {"type": "string", "pattern": "^/"}


def _or_null(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _object(required: Json, optional: Json | None = None, *, closed: bool = False) -> Json:
    """An object; a `closed` one has no other members."""
    properties = {**required, **(optional or {})}
    made: Json = {"type": "object", "properties": properties, "required": list(required)}
    return {**made, "additionalProperties": False} if closed else made


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Json:
    items = {"type": "array", "items": _ref(name)}
    return _object({"items": items, "next": _or_null(TEXT)})


OWNER = {"key": KEY, "nick": TEXT, "fingerprint": PRINT}
OFFER = {
    "id": OFFER_ID,
    "name": TEXT,
    "size": COUNT,
    "digest": TEXT,
    "public": FLAG,
    "stamp": TIME,
    "folder": _or_null(_object({"files": COUNT})),
}
LEFT_OUT = {"links": COUNT, "special": COUNT, "unreadable": COUNT}
STATUS = {
    "instance": TEXT,
    "group": TEXT,
    "port": COUNT,
    "file_port": COUNT,
    "closed": FLAG,
    "version": TEXT,
    "pid": COUNT,
    "uptime": SECONDS,
    "web": _or_null(TEXT),
    "nodes": COUNT,
    "offers": COUNT,
    "transfers": COUNT,
    "unicast_only": COUNT,
    "loss": _or_null(SECONDS),
    "dropped": {"type": "object", "additionalProperties": COUNT},
}
MESSAGE = {
    "id": TEXT,
    "text": TEXT,
    "nick": TEXT,
    "key": _or_null(KEY),
    "address": TEXT,
    "stamp": TIME,
    "own": FLAG,
    "known": FLAG,
    "late": FLAG,
    "sent": FLAG,
}
TRANSFER = {
    "number": COUNT,
    "kind": {"enum": ["get", "check", "serve", "read"]},
    "name": TEXT,
    "state": {"enum": ["waiting", "moving", "done", "failed"]},
    "done": COUNT,
    "size": COUNT,
    "rate": SECONDS,
}
OF_A_GET = {
    "notice": TEXT,
    "path": PATH,
    "seconds": SECONDS,
    "owner_known": FLAG,
    "owner_changed": FLAG,
    "error": {"$ref": "#/components/schemas/Problem"},
}
CHECK = {
    "check": TEXT,
    "verdict": TEXT,
    "what": TEXT,
    "advice": TEXT,
    "rows": {"type": "array", "items": TEXT},
}
DIAGNOSIS = {
    "format": COUNT,
    "verdict": TEXT,
    "cause": TEXT,
    "exit": COUNT,
    "what": TEXT,
    "advice": TEXT,
    "checks": {"type": "array", "items": _object(CHECK)},
}
PROBLEM = {
    "type": {"type": "string", "pattern": "^urn:p2pshare:problem:[a-z-]+$"},
    "title": TEXT,
    "status": COUNT,
    "detail": TEXT,
    "exit": {"enum": [1, 2, 4, 5, 6, 7]},
}
SCHEMAS = {
    "Problem": _object(PROBLEM),
    "Status": _object({**OWNER, **STATUS}),
    "Peer": _object(
        {
            **OWNER,
            "addresses": {"type": "array", "items": TEXT},
            "files": COUNT,
            "since": TIME,
            "verified": FLAG,
            "unicast_only": FLAG,
            "loss": _or_null(SECONDS),
        }
    ),
    "Message": _object(MESSAGE, {"fingerprint": PRINT}),
    "Named": _object({"nick": TEXT}),
    "Sent": _object({"to": TEXT, "sent": FLAG}),
    "Listing": _object({**OFFER, "owner": _object(OWNER), "own": FLAG}),
    "Offer": _object(OFFER),
    "Offered": _object(
        {**OFFER, "ticket": _or_null(TEXT)}, {"password": TEXT, "left_out": _object(LEFT_OUT)}
    ),
    "Withdrawn": _object({"id": OFFER_ID, "name": TEXT}),
    "Transfer": _object(TRANSFER, OF_A_GET),
    "Diagnosis": _object(DIAGNOSIS),
    "Stopping": _object({"stopping": FLAG}),
}
BODIES = {
    "nick": _object({"nick": GIVEN}, closed=True),
    "say": _object({"text": GIVEN}, {"to": TEXT}, closed=True),
    "offer": _object({"path": PATH}, {"password": TEXT, "public": FLAG}, closed=True),
    "get": _object(
        {},
        {
            "id": OFFER_ID,
            "ticket": GIVEN,
            "name": GIVEN,
            "owner": TEXT,
            "part": TEXT,
            "one_file": FLAG,
            "password": TEXT,
            "folder": PATH,
            "wait": FLAG,
        },
        closed=True,
    ),
    "nothing": _object({}, closed=True),
}
MESSAGE_ID: Json = {"type": "string", "pattern": f"^{SAID_ID}$"}


def _query(limit: int, after: Json, **more: Json) -> tuple[tuple[str, Json], ...]:
    """What a list is asked by."""
    return (*more.items(), ("limit", _most(limit)), ("after", after))


def _most(most: int) -> Json:
    return {**COUNT, "maximum": most}


OF_PEERS = _query(PEERS_MOST, _most(PEERS_MOST))
OF_MESSAGES = _query(LINES_MOST, MESSAGE_ID)
OF_OFFERS = _query(OFFERS_MOST, ASKED)
OF_CATALOGUE = _query(
    OFFERS_MOST, _most(CURSOR_MOST), q=ASKED, owner=ASKED, id=OFFER_ID, name=ASKED
)
OF_TRANSFERS = _query(KEPT, _most(NUMBER_MOST))


def _operation(
    name: str,
    summary: str,
    answers: dict[str, Json | None],
    query: tuple[tuple[str, Json], ...] = (),
    body: str = "",
    path: tuple[str, Json] | None = None,
) -> Json:
    """answers: by status, the schema of what is sent, None for what is no JSON."""
    parameters: list[Json] = [
        {"name": each, "in": "query", "schema": schema} for each, schema in query
    ]
    if path is not None:
        named = {"name": path[0], "in": "path", "required": True, "schema": path[1]}
        parameters.append(named)
    responses: Json = {}
    for status, schema in answers.items():
        responses[status] = {"description": summary}
        if schema is not None:
            responses[status]["content"] = {"application/json": {"schema": schema}}
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    responses["default"] = {"description": "what went wrong (RFC 9457)", "content": problem}
    made: Json = {"operationId": name, "summary": summary, "responses": responses}
    if parameters:
        made["parameters"] = parameters
    if body:
        content = {"application/json": {"schema": BODIES[body]}}
        made["requestBody"] = {"required": body != "nothing", "content": content}
    return made


def _stream() -> Json:
    made = _operation("events", "what happens, as it happens", {"200": None})
    made["responses"]["200"]["content"] = {"text/event-stream": {"schema": TEXT}}
    made["parameters"] = [{"name": "Last-Event-ID", "in": "header", "schema": TEXT}]
    return made


def _metrics() -> Json:
    made = _operation("metrics", "numbers for Prometheus", {"200": None})
    made["responses"]["200"]["content"] = {"text/plain": {"schema": TEXT}}
    return made


NUMBER, ID = ("number", COUNT), ("id", OFFER_ID)
PATHS: Json = {
    "/api/v1/status": {"get": _operation("status", "how it is", {"200": _ref("Status")})},
    "/api/v1/nick": {
        "post": _operation("rename", "bear another name", {"200": _ref("Named")}, body="nick")
    },
    "/api/v1/peers": {
        "get": _operation("peers", "who else is here", {"200": _list("Peer")}, OF_PEERS)
    },
    "/api/v1/messages": {
        "get": _operation("messages", "what was said", {"200": _list("Message")}, OF_MESSAGES),
        "post": _operation(
            "say",
            "say something, to all or to one; 202: when there is a network",
            {"201": {"anyOf": [_ref("Message"), _ref("Sent")]}, "202": _ref("Message")},
            body="say",
        ),
    },
    "/api/v1/catalogue": {
        "get": _operation("catalogue", "what is on offer", {"200": _list("Listing")}, OF_CATALOGUE)
    },
    "/api/v1/offers": {
        "get": _operation("offers", "our own offers", {"200": _list("Offer")}, OF_OFFERS),
        "post": _operation(
            "offer", "offer a file or folder", {"201": _ref("Offered")}, body="offer"
        ),
    },
    "/api/v1/offers/{id}": {
        "delete": _operation("withdraw", "offer it no more", {"200": _ref("Withdrawn")}, path=ID)
    },
    "/api/v1/transfers": {
        "get": _operation("transfers", "what is moving", {"200": _list("Transfer")}, OF_TRANSFERS),
        "post": _operation(
            "get", "fetch a file, a folder or a part of one", {"201": _ref("Transfer")}, body="get"
        ),
    },
    "/api/v1/transfers/{number}": {
        "get": _operation("transfer", "how far it is", {"200": _ref("Transfer")}, path=NUMBER),
        "delete": _operation("cancel", "stop it", {"200": _ref("Transfer")}, path=NUMBER),
    },
    "/api/v1/events": {"get": _stream()},
    "/api/v1/doctor": {
        "post": _operation(
            "examine", "find out what is wrong", {"200": _ref("Diagnosis")}, body="nothing"
        )
    },
    "/api/v1/stop": {
        "post": _operation("stop", "end the node", {"202": _ref("Stopping")}, body="nothing")
    },
    "/api/v1/openapi.json": {
        "get": _operation("openapi", "this document", {"200": {"type": "object"}})
    },
    "/metrics": {"get": _metrics()},
}


def document() -> Json:
    """The whole."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "p2pshare control interface",
            "version": version("twistedp2p"),
            "license": {"name": "MIT"},
        },
        "paths": PATHS,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],  # on the loopback; on the socket
    }
