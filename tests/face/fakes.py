"""A screen that keeps what it was shown, and a desk that keeps what it was asked for."""

from types import SimpleNamespace

from twisted.internet.defer import Deferred, succeed

from twistedp2p.core.catalogue import Listing, Offer
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.ticket import Ticket

OWN_KEY = bytes(32)
ANNA, BOB = b"\1" * 32, b"\2" * 32
DIGEST = "blake3:" + "0" * 64


def offer(name, owner=ANNA, size=1500, public=False, files=None):
    return Offer(owner, name, size, DIGEST, public, files=files)


class Screen:
    """A `menu.Screen`. `questions` has (question, secret, complete)."""

    def __init__(self, interactive=True, has_bottom=True):
        self.interactive = interactive
        self.has_bottom = has_bottom
        self.shown = []
        self.styles = []
        self.questions = []
        self.closed = 0

    def show(self, text, style=""):
        self.shown.append(text)
        self.styles.append(style)

    def ask(self, question, *, secret=False, complete=""):
        self.questions.append((question, secret, complete))

    def close(self):
        self.closed += 1

    @property
    def question(self):
        return self.questions[-1][0]

    def take(self):
        """What was shown since the last time."""
        shown, self.shown = self.shown, []
        return shown


class Transfer:
    def __init__(self, desk, number, name):
        self.desk, self.number, self.name = desk, number, name
        self.done = Deferred()
        self.cancelled = False

    def cancel(self):
        self.cancelled = True

    def end(self, result=None):
        self.desk.transfers.remove(self)
        done, self.done = self.done, Deferred()
        if isinstance(result, Exception):
            done.errback(result)
        else:
            done.callback(result)


class Desk:
    """A `menu.Desk`. `done` has what it was asked to do; set `offers` and `found` to answer."""

    def __init__(self):
        self.key = OWN_KEY
        self.config = SimpleNamespace(group="239.0.0.1", port=9392)
        self.nick = "me"
        self.closed = False
        self.done = []
        self.own = []
        self.gone = []  # offers of those who are not here
        self.own_asked = []  # how many of them at most, each time
        self.found = []
        self.said = []
        self.unreadable = []
        self.here = [peer("anna", ANNA), peer("bob", BOB)]
        self.transfers = []
        self.serving = 0
        self.drops = {}
        self.ways = {}
        self.loss = None
        self.offering = Deferred()
        self.sending = Deferred()
        self.examining = Deferred()
        self.told = None  # what a doctor would tell its findings
        self.searching = None  # a Deferred, to make a search wait

    def examine(self, told):
        self.told = told
        return self.examining

    def called(self, name, *, here=True):
        return [] if here else [offer for offer in self.gone if offer.name == name]

    def say(self, text):
        self.done.append(("say", text))

    def send_direct(self, who, text):
        self.done.append(("send_direct", who, text))
        return self.sending

    def last_said(self, most):
        return self.said[-most:]

    def offer(self, path, password="", public=False):
        self.done.append(("offer", path, password, public))
        return self.offering

    def check_path(self, path):
        if path in self.unreadable:
            raise ShareError("{path} cannot be read: {why}.", path=path, why="No such file")

    def withdraw(self, name):
        if name not in [each.name for each in self.own]:
            raise ShareError("You do not offer {name}.", Exit.NOT_FOUND, name=name)
        self.done.append(("withdraw", name))

    def own_offers(self, most=200):
        self.own_asked.append(most)
        return self.own[:most]

    def ticket(self, name, password):
        return Ticket("192.168.1.7", 9393, password, name)

    def search(self, text="", most=200):
        self.done.append(("search", text))
        return self.searching or succeed(
            [Listing(each, "", each.owner == OWN_KEY) for each in self.found]
        )

    def _transfer(self, name):
        transfer = Transfer(self, len(self.transfers) + 1, name)
        self.transfers.append(transfer)
        return transfer

    def get(self, wanted, password="", *, part=""):
        self.done.append(("get", wanted.name, password, *([part] if part else [])))
        return self._transfer(wanted.name)

    def get_ticket(self, ticket, *, part=""):
        self.done.append(("ticket", ticket, *([part] if part else [])))
        return self._transfer(ticket.name)

    def get_running(self):
        return list(self.transfers)

    def peers(self):
        return list(self.here)

    def nick_of(self, key):
        return {ANNA: "anna", BOB: "bob", OWN_KEY: self.nick}.get(key, "somebody")

    def set_nick(self, nick):
        self.nick = nick
        return nick

    def dropped(self):
        return dict(self.drops)

    def status(self):
        return SimpleNamespace(
            nodes=1 + len(self.here),
            offers=0,
            transfers=len(self.transfers) + self.serving,
            unicast_only=sum(apart for apart, _ in self.ways.values()),
            loss=self.loss,
        )

    def way_to(self, key):
        return self.ways.get(key, (False, None))


def peer(nick, key):
    return SimpleNamespace(nick=nick, key=key, addresses=[("10.0.0.1", 9392)])
