"""Tickets: what a person pastes to fetch a file.

    ("192.168.1.7",9000),("monpass","monImage.jpg")

Read from whatever surrounds them, as chat programs and word processors hand them on:

    ticket = pair [","] pair             white space and invisible characters between any two
    pair   = "(" value "," value ")"     the first: host and port; the second: password and name
    value  = quoted | digits             digits for the port only
    quoted = quote (any | "\\" quote | "\\\\")* quote

Parentheses and commas may be full-width. A quotation ends with the mark that belongs to the one
that opened it, so that a password may hold all others; only where no ticket comes of that, with
any mark of its class, double or single. The time is linear in the text: each value has a bound.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import unicodedata

import attrs

from twistedp2p.core.errors import N_
from twistedp2p.core.names import clean_name

TEXT_CHARACTERS = 4096
"""The longest text that is looked at."""

PASSWORD_CHARACTERS = 256
HOST_CHARACTERS = 253
"""Of a DNS name (RFC 1123, section 2.1)."""

_VALUE_CHARACTERS = 1024
"""The longest quotation, escapes included: above any host, password or file name."""

_DOUBLE = '"“”„‟«»″＂'
_SINGLE = "'‘’‚‛‹›′＇"
_CLOSES = {
    '"': '"', "“": "”", "”": "”", "„": "“”", "‟": "”", "«": "»", "»": "«»", "″": "″", "＂": "＂",
    "'": "'", "‘": "’", "’": "’", "‚": "‘’", "‛": "’", "‹": "›", "›": "‹›", "′": "′", "＇": "＇",
}  # fmt: skip
_CLOSES_BY_CLASS = {mark: marks for marks in (_DOUBLE, _SINGLE) for mark in marks}
_SPACED_INSIDE = "«»‹›"

_OPEN = "(（"
_CLOSE = ")）"
_COMMA = ",，"
# The invisible characters are those that come along when text is copied out of a page.
_BLANKS = re.compile("[\\s\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*")
# A digit: so that an address without its quotes is told as such.
_START = re.compile(f"[{_OPEN}]{_BLANKS.pattern}(?=[{_DOUBLE}{_SINGLE}0-9])")
_ESCAPED = re.compile(f"\\\\([\\\\{_DOUBLE}{_SINGLE}])")
_DIGITS = re.compile("[0-9]+")
_LABEL = re.compile("[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_SCOPE = re.compile("[A-Za-z0-9._-]{1,15}")


class TicketError(ValueError):
    """No ticket: its text is one sentence that tells a person why, without the password."""


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        return _ipv6(bare)
    labels = text.split(".")
    if labels[-1].isdecimal():
        return _ipv4(text)
    if len(text) <= HOST_CHARACTERS and all(_LABEL.fullmatch(label) for label in labels):
        return text
    raise TicketError(N_("The first value is neither an IP address nor a host name."))


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise TicketError(N_("The IP address is four numbers from 0 to 255.")) from None


def _ipv6(text: str) -> str:
    address, percent, scope = text.partition("%")
    if percent and not _SCOPE.fullmatch(scope):
        raise TicketError(N_("What follows the % of the IP address is no interface."))
    try:
        return str(ipaddress.IPv6Address(address)) + percent + scope
    except ValueError:
        raise TicketError(N_("The IPv6 address is malformed.")) from None


def _port(number: int) -> int:
    if not 1 <= number <= 65535:
        raise TicketError(N_("The port is a number from 1 to 65535."))
    return number


def _password(text: str) -> str:
    if not 1 <= len(text) <= PASSWORD_CHARACTERS:
        raise TicketError(N_("The password has 1 to 256 characters."))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise TicketError(N_("The password has a control character in it."))
    return text


def _name(text: str) -> str:
    if not text.strip():
        raise TicketError(N_("The name of the file is missing."))
    return clean_name(text)


@attrs.frozen
class Ticket:
    """Where a file is, and what opens it. `str` gives the text to paste, `repr` no password.

    host: IPv4 or IPv6 address (a scope may follow `%`), or DNS name. port: TCP, 1 to 65535.
    password: 1 to 256 characters, no control characters. name: of the file; it is cleaned.
    Raises TicketError when a value is out of these bounds.
    """

    host: str = attrs.field(converter=_host)
    port: int = attrs.field(converter=_port)
    password: str = attrs.field(converter=_password, repr=False)
    name: str = attrs.field(converter=_name)

    def __str__(self) -> str:
        return format_ticket(self)


def format_ticket(ticket: Ticket) -> str:
    """The ticket as people paste it, on one line; `parse_ticket` gives the same ticket back."""
    password, name = _escaped(ticket.password), _escaped(ticket.name)
    return f'("{ticket.host}",{ticket.port}),("{password}","{name}")'


def parse_ticket(text: str) -> Ticket:
    """The first ticket in what a person pasted.

    Raises TicketError, with the reason why the likeliest candidate is none, when there is no
    ticket or more than 4,096 characters.
    """
    return parse_wanted(text)[0]


def parse_wanted(text: str) -> tuple[Ticket, str]:
    """The first ticket, and the part of its folder that is named right after it: ``TICKET/PART``.

    Raises TicketError, as `parse_ticket` does.
    """
    tickets, why_not = _scan(text, 1)
    if not tickets:
        raise why_not
    ticket, end = tickets[0]
    return ticket, text[end + 1 :].strip() if text.startswith("/", end) else ""


def find_tickets(text: str, most: int = 8) -> list[Ticket]:
    """The first `most` tickets in a text, in their order; there may be none.

    Raises TicketError when the text has more than 4,096 characters.
    """
    return [ticket for ticket, _ in _scan(text, most)[0]]


def looks_like_ticket(text: str) -> bool:
    """Whether it is, or has in it, a ticket or what was meant to be one."""
    if text.lstrip().startswith(tuple(_OPEN)):
        return True
    try:
        return bool(find_tickets(text, 1))
    except TicketError:
        return False


def _scan(text: str, most: int) -> tuple[list[tuple[Ticket, int]], TicketError]:
    """The tickets and where each ends; what is wrong with the first candidate that is none."""
    if len(text) > TEXT_CHARACTERS:
        raise TicketError(N_("A text of more than 4096 characters is not read."))
    found: list[tuple[Ticket, int]] = []
    why_not = None
    position = 0
    while len(found) < most and (start := _START.search(text, position)):
        try:
            ticket, position = _ticket_at(text, start.start())
        except TicketError as error:
            why_not = why_not or error
            position = start.end()
        else:
            found.append((ticket, position))
    looks = N_('A ticket looks like ("192.168.1.7",9000),("password","file.jpg").')
    return found, why_not or TicketError(looks)


def _ticket_at(text: str, start: int) -> tuple[Ticket, int]:
    """The ticket and where it ends; the error of the reading that came farther."""
    exact = _Scanner(text, start, _CLOSES)
    try:
        return exact.ticket(), exact.position
    except TicketError as error:
        why_not = error
    by_class = _Scanner(text, start, _CLOSES_BY_CLASS)
    try:
        return by_class.ticket(), by_class.position
    except TicketError as error:
        raise error if by_class.position > exact.position else why_not from None


@attrs.define
class _Scanner:
    """Reads one ticket from `position` on, which stays where reading failed."""

    text: str
    position: int
    closes: dict[str, str]

    def ticket(self) -> Ticket:
        self._expect(_OPEN, N_("An opening parenthesis is missing."))
        host = self._quoted(
            N_("Quotes are missing around the IP address."),
            N_("The closing quote is missing after the IP address."),
        ).strip()
        self._expect(_COMMA, N_("A comma is missing between IP address and port."))
        port = self._number()
        self._expect(_CLOSE, N_("A closing parenthesis is missing after the port."))
        self._next_is(_COMMA)
        self._expect(_OPEN, N_('After IP address and port, ("password","file") is missing.'))
        password = self._quoted(
            N_("Quotes are missing around the password."),
            N_("The closing quote is missing after the password."),
        )
        self._expect(_COMMA, N_("A comma is missing between password and file."))
        name = self._quoted(
            N_("Quotes are missing around the file."),
            N_("The closing quote is missing after the file."),
        )
        self._expect(_CLOSE, N_("A closing parenthesis is missing after the file."))
        return Ticket(host, port, password, name)

    def _next_is(self, marks: str) -> bool:
        """Past blanks and, if it is the next, one of `marks`."""
        self._skip_blanks()
        there = self.text[self.position : self.position + 1]
        if not there or there not in marks:
            return False
        self.position += 1
        return True

    def _expect(self, marks: str, or_else: str) -> None:
        if not self._next_is(marks):
            raise TicketError(or_else)

    def _quoted(self, or_unquoted: str, or_unclosed: str) -> str:
        self._skip_blanks()
        opening = self.text[self.position : self.position + 1]
        if opening not in self.closes:
            raise TicketError(or_unquoted)
        found = _quotation(self.closes[opening]).match(self.text, self.position + 1)
        if found is None:
            raise TicketError(or_unclosed)
        self.position = found.end()
        value = _ESCAPED.sub(r"\1", found[1])
        return value.strip() if opening in _SPACED_INSIDE else value

    def _number(self) -> int:
        self._skip_blanks()
        bare = _DIGITS.match(self.text, self.position)
        if bare:
            self.position = bare.end()
            digits = bare[0]
        else:
            digits = self._quoted(
                N_("Quotes are missing around the port."),
                N_("The closing quote is missing after the port."),
            ).strip()
        if not _DIGITS.fullmatch(digits) or len(digits) > 5:
            raise TicketError(N_("The port is a number from 1 to 65535."))
        return int(digits)

    def _skip_blanks(self) -> None:
        blanks = _BLANKS.match(self.text, self.position)
        self.position = blanks.end() if blanks else self.position


@functools.cache
def _quotation(closing: str) -> re.Pattern[str]:
    r"""The rest of a quotation: one way to read each character, so that nothing is tried twice.

    A backslash before a quote or a backslash takes its meaning away; elsewhere it is itself.
    """
    quote = rf"[\\{_DOUBLE}{_SINGLE}]"
    inside = rf"(?:[^\\{closing}]|\\{quote}|\\(?!{quote})){{0,{_VALUE_CHARACTERS}}}"
    return re.compile(f"({inside})[{closing}]")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
