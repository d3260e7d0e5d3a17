"""`p2pshare chat`: what is said, as it is said."""

from __future__ import annotations

import argparse
import calendar
import re
import time
from collections.abc import Iterator
from typing import Any

from twistedp2p.cli.ask import add_common, client_of, output_of
from twistedp2p.cli.client import Client
from twistedp2p.cli.show import Output
from twistedp2p.core.errors import N_, Exit, ShareError

LAST = 10  # lines that are shown first, unless more are asked for
MOST = 1000  # lines that a node tells again
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds
SPAN = re.compile(r"([0-9]{1,9})([smhd])")
DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(Z?))?")
EPILOG = """\
WHEN is a span (90s, 15m, 2h, 1d) or a date (2026-11-22, 2026-11-22T14:30; with
a Z at its end UTC, else local). Between tabs on a pipe: seconds since 1970,
nick, fingerprint (none: not signed, anybody's), address, "direct" for what
was said to you alone, and the text. A node tells its last 1,000 lines again.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--since", type=moment, metavar="WHEN", help=f"from then on (else: the last {LAST} lines)")
    add("--no-follow", action="store_true", help="end after what has been said")
    add_common(parser, json="print JSON, a line for each message")


def moment(text: str) -> float:
    """Seconds since 1970."""
    if span := SPAN.fullmatch(text):
        return time.time() - int(span[1]) * UNITS[span[2]]
    if date := DATE.fullmatch(text):
        try:
            parts = time.strptime(f"{date[1]} {date[2] or '00:00'}", "%Y-%m-%d %H:%M")
            return float(calendar.timegm(parts)) if date[3] else time.mktime(parts)
        except (ValueError, OverflowError):
            pass
    raise argparse.ArgumentTypeError("a span such as 15m, or a date such as 2026-11-22T14:30")


def run(options: argparse.Namespace) -> int:
    """Print what was said, then what is; raises `ShareError`."""
    output, client = output_of(options), client_of(options)
    for said in _messages(client, options.since, follow=not options.no_follow):
        _show(output, said)
    if options.no_follow:
        return Exit.OK
    raise ShareError(N_("The node has stopped."), Exit.NO_NODE)


def _messages(client: Client, since: float | None, *, follow: bool) -> Iterator[dict[str, Any]]:
    """What was said, each once. The stream is opened first: nothing falls between the two."""
    stream = client.events() if follow else iter(())
    shown = set()
    for said in client.get("messages", limit=LAST if since is None else MOST)["items"]:
        if since is None or said["stamp"] >= since:
            shown.add(_mark(said))
            yield said
    for event in stream:
        if event.name == "said" and _mark(event.data) not in shown:
            yield event.data
        elif event.name == "direct_message":
            yield {**event.data, "direct": True}


def _mark(said: dict[str, Any]) -> tuple[object, ...]:
    """What tells a line from another; the stream has no ids of lines."""
    return said["stamp"], said["key"], said["text"]


def _show(output: Output, said: dict[str, Any]) -> None:
    direct = said.get("direct", False)
    if output.document:
        output.json(said)
    elif output.terminal:
        when = time.strftime("%H:%M", time.localtime(said["stamp"]))
        output.line(f"{when} {_who(output, said, direct)} :> {said['text']}")
    else:
        output.row(
            f"{said['stamp']:.3f}",
            said["nick"],
            said.get("fingerprint"),
            said.get("address"),
            "direct" if direct else "",
            said["text"],
        )


def _who(output: Output, said: dict[str, Any], direct: bool) -> str:
    """What stands in brackets cannot be said by anybody: no nick has brackets."""
    if said["key"] is None:
        return f"{said['address']} {output.translate(N_('(unverified)'))}"
    who = said["nick"] if said["known"] else f"{said['nick']} ({said['fingerprint']})"
    if not direct:
        return str(who)
    if said["own"]:
        return output.translate(N_("(privately to {nick})")).format(nick=who)
    return f"{who} {output.translate(N_('(privately)'))}"
