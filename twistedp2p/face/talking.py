"""Entry 1 of the menu and its kin: saying something to the group or to one, and under what name."""

from __future__ import annotations

from typing import Any, Protocol

from twistedp2p.face.dialogue import Dialogue
from twistedp2p.face.texts import Translate


class Desk(Protocol):
    """What of `node.Node` is needed."""

    def say(self, text: str) -> None: ...

    def send_direct(self, who: str, text: str) -> Any: ...

    def set_nick(self, nick: str) -> str: ...


class Talking:
    """What is asked before something can be said."""

    def __init__(self, desk: Desk, dialogue: Dialogue, translate: Translate) -> None:
        self._desk = desk
        self._dialogue = dialogue
        self._ = translate

    def message(self, rest: str) -> None:
        """`1 TEXT`."""
        self._dialogue.ask_unless(rest, self._("Your message?"), self._say, complete="nick")

    def _say(self, text: str) -> None:
        self._desk.say(text)
        self._dialogue.ask_top()

    def direct(self, rest: str) -> None:
        """`/msg NICK TEXT`."""
        self._dialogue.ask_unless(rest, self._("To whom?"), self._direct_to, complete="nick")

    def _direct_to(self, rest: str) -> None:
        who, _, text = rest.partition(" ")
        if who and not text.strip():
            question = self._("Your message to {nick}?").format(nick=who)
            self._dialogue.ask(question, lambda text: self._send_direct(who, text))
        else:
            self._send_direct(who, text)

    def _send_direct(self, who: str, text: str) -> None:
        if text.strip():
            self._dialogue.work(self._desk.send_direct(who, text), lambda _: None)
        self._dialogue.ask_top()

    def nick(self, rest: str) -> None:
        """`/nick NAME`."""
        self._dialogue.ask_unless(rest, self._("Your name?"), self._rename)

    def _rename(self, nick: str) -> None:
        if nick:
            self._dialogue.system(self._("You are {nick} now."), nick=self._desk.set_nick(nick))
        self._dialogue.ask_top()
