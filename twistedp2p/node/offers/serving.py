"""Our own offers as they are served to those who know their passwords."""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedp2p.core.calls.conversation import Refusal
from twistedp2p.core.calls.pieces import HAVE, TREE, Ask, write_peers
from twistedp2p.core.content.tree import Tree, piece_count
from twistedp2p.core.errors import ShareError
from twistedp2p.core.limits import CappedTable
from twistedp2p.core.swarm.audience import Audience
from twistedp2p.core.swarm.bitmap import to_bitmap
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.memory.store import Store
from twistedp2p.disk.offered import OfferedFolder, open_offered
from twistedp2p.disk.offered.file import Changed, FileReader
from twistedp2p.disk.offered.folder import FolderReader
from twistedp2p.node.offers.shares import Shares
from twistedp2p.node.progress import Courses

MAX_AUDIENCES = 1000  # offers of which it is known who fetches them

_log = Logger()


class Serving:
    """Implements `net.answers.Shelf` for the offers of this node."""

    def __init__(self, shares: Shares, store: Store, courses: Courses, *, clock: Any) -> None:
        self._shares = shares
        self._guesses = shares.guesses
        self._store = store
        self._courses = courses
        self._clock = clock
        self._audiences: CappedTable[tuple[str, str], Audience] = CappedTable(MAX_AUDIENCES)
        self._under_way: dict[object, int] = {}  # connection -> number

    def find(self, offer: bytes) -> Share:
        """The offer of that id; raises `Refusal`."""
        return self._shares.find(offer)

    def guess(self, served: Share, address: str, key: bytes) -> None:
        """Ask for one guess; raises `Refusal` when there is none."""
        self._guesses.guess(served, address, key)

    def guessed(self, served: Share, address: str, key: bytes, right: bool) -> None:
        """Note how a guess came out."""
        self._guesses.guessed(served, address, key, right)

    def loading(self, served: Share) -> Deferred[None] | None:
        """None where all that `check` and `open` need is in memory; else what fires then."""
        loading = self._shares.folders.loading(served)
        return None if loading is None else loading.addErrback(self._not_loaded, served)

    def _not_loaded(self, failure: Failure, served: Share) -> None:
        failure.trap(ShareError, ValueError)
        _log.error("{path}: {error}", path=served.path, error=str(failure.value))
        raise Refusal(500)

    def check(self, served: Share) -> None:
        """Raise `Refusal` where it is not what was offered, or its hashes are not known yet."""
        self.open(served, 0, 0).close()
        if not served.manifest:  # a folder that is opened is in memory, tree and all
            self._tree(served)

    def open(self, served: Share, offset: int, length: int) -> FileReader | FolderReader:
        """The bytes to send; raises `Refusal` where it is not what was offered, or no more."""
        self._shares.check_offered(served)
        try:
            return open_offered(served, self._folder(served), offset, length)
        except Changed as change:
            self._shares.withdraw_changed(served, str(change))
            raise Refusal(409) from None
        except (OSError, ShareError, ValueError) as error:
            _log.error("{path}: {error}", path=served.path, error=str(error))
            raise Refusal(500) from None

    def broke(self, served: Share, error: BaseException | None) -> None:
        """Withdraw what turned out to have changed: who asks again is told so."""
        if isinstance(error, Changed):
            self._shares.withdraw_changed(served, str(error))

    def next(self, served: Share, have: bytes) -> int | None:
        """The piece for a client who has these (a bitmap)."""
        try:
            return self._audience(served).next(have)
        except ValueError:
            raise Refusal(400) from None

    def chosen(self, served: Share, offset: int, length: int) -> None:
        """A client chose these bytes itself, and was sent them."""
        self._audience(served).handed(offset, length, served.size)

    def _audience(self, served: Share) -> Audience:
        which = served.name, served.digest
        audience = self._audiences.get(which)
        if audience is None:
            audience = Audience(piece_count(served.size), secrets.randbelow)
            self._audiences.put(which, audience)
        return audience

    def text(self, served: Share, ask: Ask, key: bytes, host: str) -> bytes:
        """What to answer to TREE, HAVE and PEERS."""
        if ask.kind == TREE:
            folder = self._folder(served)
            return self._tree(served).text if folder is None else folder.text
        if ask.kind == HAVE:
            return to_bitmap(b"\1" * piece_count(served.size))
        now = self._clock.seconds()
        return write_peers(self._audience(served).seen(key, host, ask.a, now))

    def _folder(self, served: Share) -> OfferedFolder | None:
        try:
            return self._shares.folders.of(served)
        except ValueError as error:
            _log.error("{path}: {error}", path=served.path, error=str(error))
            raise Refusal(500) from None

    def _tree(self, served: Share) -> Tree:
        """A file's, which is 2 MiB at most."""
        try:
            tree = self._store.tree(served)
        except ShareError as error:
            _log.error("{name}: {error}", name=served.name, error=str(error))
            raise Refusal(500) from None
        if tree is None:
            raise Refusal(503, 10)  # it is being read anew
        return tree

    def progress(self, served: Share, connection: object, sent: int) -> None:
        """A connection has been sent so much."""
        number = self._under_way.get(connection)
        if number is None:
            number = self._under_way[connection] = self._courses.number()
            self._courses.begin(number, "serve", served.name, served.size)
        self._courses.moved(number, sent)

    def ended(self, served: Share, connection: object) -> None:
        """A connection is over."""
        number = self._under_way.pop(connection, None)
        if number is not None:
            self._courses.end(number)
