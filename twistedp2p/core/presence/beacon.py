"""The beacon, by which a node tells that it is here; and when to send it.

A beacon (or a hello, which asks the others for theirs) is a JSON object::

    {"every": 5, "files": 9393, "chat": [1, 12], "offers": [1, 3],
     "sent": 17, "direct": true, "summary": "<base64>", "recent": "<base64>",
     "token": "<base64>"}

    every    seconds to its next beacon, on average
    files    TCP port of its file service, 0 for none
    chat, offers    lowest number worth asking for, highest there is
    sent     messages that are no entries, told to everybody in this run of the node, this one too
    direct   send to it alone as well: multicast does not reach it
    summary  of all feeds that it has (see `core.feeds.summary`)
    token    in a hello: to be repeated by the beacon that answers it; at most 16 characters
    recent   feeds that changed lately, as in a vector (see `core.feeds.requests`)

Beacons are rarer in a larger group, so that the whole group has a budget: at most ten a second,
of some 700 bytes each (64 kbit/s), whatever its size. (The idea is that of RTCP, RFC 3550.)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any

import attrs

from twistedp2p.core.agenda import Agenda, Appointment
from twistedp2p.core.datagrams import body
from twistedp2p.core.datagrams.body import BadBody
from twistedp2p.core.datagrams.datagram import TEXT_MOST
from twistedp2p.core.feeds.backoff import random_backoff, round_time
from twistedp2p.core.feeds.feed import Have, Heads
from twistedp2p.core.feeds.requests import head_fields, pack_haves, read_feeds, read_heads
from twistedp2p.core.feeds.summary import SUMMARY_SIZE
from twistedp2p.core.names import b64, unb64

EVERY_LEAST, EVERY_MOST = 5, 600  # seconds between beacons of one node, on average
NODES_PER_SECOND = 10  # nodes of the group that send a beacon in one second, in a large group
HELLO_AT = (0.0, 1.0, 3.0)  # seconds after the start
LEAST_BETWEEN = 1.0  # seconds between two beacons of ours, however many hellos come
ANSWERS = 8  # beacons that answer a hello: a small group is known at once, a large one in time
ANSWER_ROUNDS = 4  # rounds of the group over which the answers are spread
WITHIN = 1.0  # seconds in which beacons heard count as answers
SILENCE_LEAST, SILENCE_MOST = 3.5, 16.0  # beacon intervals before somebody is taken for gone
FALSE_ALARM = 1e-6  # chance that somebody who is here is taken for gone, at each beacon
LOSS_WEIGHT = 0.02  # of each beacon in the measure of loss
TOKEN_MOST = 16  # characters
NEWCOMER = 60.0  # seconds in which the others know better than we how large the group is
HEARD_MOST = 16  # beacons of which the group's size is told


@attrs.frozen
class Beacon:
    """What a node says of itself."""

    every: int  # seconds
    files: int  # TCP port
    heads: Heads
    sent: int = 0  # messages
    direct: bool = False
    summary: bytes = bytes(SUMMARY_SIZE)
    recent: tuple[Have, ...] = ()
    token: str = ""

    def write(self) -> str:
        """The body; of `recent` as many as fit."""
        fields: dict[str, Any] = {"every": self.every, "files": self.files, "sent": self.sent}
        fields |= head_fields(self.heads)
        if self.direct:
            fields["direct"] = True
        if self.token:
            fields["token"] = self.token
        if any(self.summary):
            fields["summary"] = b64(self.summary)
        if self.recent:
            room = TEXT_MOST - len(body.write({**fields, "recent": ""}))
            fields["recent"] = pack_haves(self.recent, room)
        return body.write(fields)

    @classmethod
    def read(cls, text: str) -> Beacon:
        """Read a body; raises `BadBody`. A port below 1024 is refused: files are never there."""
        fields = body.read(text)
        every = body.whole(fields, "every", EVERY_MOST, 1)
        files = body.whole(fields, "files", 65_535)
        if 0 < files < 1024:
            raise BadBody("files names a privileged port")
        sent = body.whole(fields, "sent") if "sent" in fields else 0
        direct = fields.get("direct") is True
        heads, recent = read_heads(fields), read_feeds(fields, "recent")
        token = body.text(fields, "token", TOKEN_MOST) if "token" in fields else ""
        return cls(every, files, heads, sent, direct, _summary(fields), recent, token)


def _summary(fields: dict[str, Any]) -> bytes:
    if "summary" not in fields:
        return bytes(SUMMARY_SIZE)
    try:
        return unb64(body.text(fields, "summary"), SUMMARY_SIZE)
    except ValueError as error:
        raise BadBody("a damaged summary") from error


def beacon_interval(nodes: int) -> int:
    """Seconds between a node's beacons in a group of `nodes`: the group has the budget."""
    return min(EVERY_MOST, max(EVERY_LEAST, nodes // NODES_PER_SECOND))


class Beacons:
    """When this node says that it is here. `send` is given "hello" or "beacon".

    `known` counts the nodes that are known to be here, ourselves included.
    """

    def __init__(
        self,
        agenda: Agenda,
        send: Callable[[str], None],
        *,
        now: float,
        random: Callable[[], float],
        known: Callable[[], int],
    ) -> None:
        self._agenda = agenda
        self._send = send
        self._random = random
        self._known = known
        self._sent_at = now - LEAST_BETWEEN
        self._next: Appointment | None = None
        self._hellos: list[Appointment] = []
        self._answering = False
        self._heard: deque[tuple[float, int]] = deque(maxlen=HEARD_MOST)  # (seconds, every)
        self._others: int | None = 0  # nodes, by what was heard; None when not reckoned yet
        self._newcomer_until = now + NEWCOMER

    @property
    def nodes(self) -> int:
        """How large the group is: as many as are known here, or as others seem to know."""
        if self._others is None:
            every = int(median(every for _, every in self._heard))
            told = every > EVERY_LEAST and len(self._heard) >= HEARD_MOST // 2
            self._others = every * NODES_PER_SECOND if told else 0
        return max(self._known(), self._others)

    @property
    def every(self) -> int:
        """Seconds between our beacons, on average."""
        return beacon_interval(self.nodes)

    def hello(self, now: float) -> None:
        """Say hello, at the start and when the network has changed, and go on with beacons."""
        self._newcomer_until = now + NEWCOMER
        for hello in self._hellos:
            hello.cancel()
        self._hellos = [
            self._agenda.at(now + wait + self._random() * WITHIN, self._say, "hello")
            for wait in HELLO_AT[1:]
        ]
        self._say(now, "hello")

    def _say(self, now: float, kind: str = "beacon") -> None:
        # First of all: whatever fails below, the next beacon goes out.
        self._sent_at = now
        wait = self.every * (0.5 + self._random())
        if kind == "hello":  # of many who start at once, each is at another point of its interval
            wait = max(LEAST_BETWEEN, wait * self._random())
        self._plan(now + wait)
        self._send(kind)

    def _plan(self, at: float) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = self._agenda.at(at, self._say)

    def soon(self, now: float) -> None:
        """Something that a beacon tells has changed."""
        at = max(now, self._sent_at + LEAST_BETWEEN)
        if self._next is None or self._next.at > at:
            self._plan(at)

    def heard(self, every: int, now: float, *, hello: bool, joined: bool = False) -> None:
        """Another's beacon came; `hello` asks for ours, and `joined` is of somebody new here.

        Who is new here without a hello has been elsewhere all the time, and may not know us. In a
        large group there is always somebody who was not heard before: some answer for all.
        """
        self._heard.append((now, every))
        # Later we know the group ourselves; going by what others tell would keep all as they are.
        self._others = None if now < self._newcomer_until else 0
        answer = hello or (joined and self._random() * self.nodes < ANSWERS)
        if answer and not self._answering:
            self._answering = True
            nodes = self.nodes
            wait = random_backoff(ANSWER_ROUNDS * round_time(nodes), nodes, self._random)
            self._agenda.at(max(now + wait, self._sent_at + LEAST_BETWEEN), self._answer, now)

    def _answer(self, now: float, since: float) -> None:
        """Answer a hello, unless enough others did."""
        self._answering = False
        since = min(since, now - WITHIN)
        if sum(1 for at, _ in self._heard if at > since) <= ANSWERS:
            self._say(now)


class Loss:
    """The part of all beacons that is lost on the way to us, from the counts that they carry."""

    def __init__(self) -> None:
        self.part = 0.0
        self._sent = 0  # messages that were counted

    def heard(self, sent: int, came: int) -> None:
        """Of `sent` messages of somebody so many came."""
        for lost in range(min(sent, HEARD_MOST)):
            self._sent += 1
            self.part += max(LOSS_WEIGHT, 1 / self._sent) * ((lost >= came) - self.part)

    @property
    def silence(self) -> float:
        """For how many of its beacon intervals somebody may be silent and yet be here."""
        intervals = math.log(FALSE_ALARM) / math.log(min(max(self.part, 0.01), 0.99))
        return min(SILENCE_MOST, max(SILENCE_LEAST, intervals))
