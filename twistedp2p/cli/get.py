"""`p2pshare get`: get files and folders, by name, id or ticket."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twistedp2p.cli.ask import (
    add_common,
    add_password,
    asked_password,
    client_of,
    filled,
    for_each,
    given_password,
    lines_of,
    output_of,
)
from twistedp2p.cli.client import PATIENCE, Client, Refused, refusal_of
from twistedp2p.cli.show import Output
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.face.texts import size_text

ID = re.compile(r"[A-Za-z0-9_-]{22}")
OPENS = re.compile(r"[(（]")  # a ticket does
LOOK_FIRST, LOOK_LAST = 0.02, 0.2  # seconds between two looks at how far it has come

EPILOG = """\
WHAT/PART, as photos/paris, gets a part of a folder. - reads such lines from
standard input: a ticket has its password in it, and arguments can be read by
everybody on this machine. -o - writes a file when all of it was checked. On a
pipe: the path of what has come.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.usage = "p2pshare get [options] WHAT..."
    parser.epilog = EPILOG
    add = parser.add_argument
    add("what", nargs="+", type=filled, metavar="WHAT", help="a name, an id or a ticket, or -")
    add(
        "-o",
        "--output",
        type=filled,
        metavar="FOLDER",
        help="where to put it, or - (else: where you are)",
    )
    add("--owner", type=filled, metavar="NICK", help="of this person: a nick, or a fingerprint")
    add_password(parser)
    add_common(parser, json="print JSON, a line for each file")


def run(options: argparse.Namespace) -> int:
    """Get one after the other; the exit code of the last that failed; raises `ShareError`."""
    output, client = output_of(options), client_of(options)
    password = given_password(options)
    to_stdout = options.output == "-"
    if options.output and not to_stdout and not os.path.isdir(options.output):
        raise ShareError(N_("There is no folder {folder}."), Exit.USAGE, folder=options.output)
    wanted = lines_of(options.what)

    def one(what: str) -> None:
        if to_stdout:
            _pour(get.file(what, options.owner or ""))
        else:
            _show(output, get.whole(what, options.owner or ""))

    with Signals() as signals:
        folder = Path(tempfile.mkdtemp(prefix="p2pshare-") if to_stdout else options.output or ".")
        get = Get(output, client, folder.absolute(), password, signals)
        try:
            return for_each(wanted, one)
        finally:
            if to_stdout:
                shutil.rmtree(folder, ignore_errors=True)


class Signals:
    """SIGTERM and SIGHUP end what is done here as Ctrl-C does, and then the process."""

    def __init__(self) -> None:
        usual = (signal.SIG_DFL, signal.default_int_handler)
        each = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # What is ignored stays so: nohup wants that.
        self._before = {one: way for one in each if (way := signal.getsignal(one)) in usual}
        self._came: list[int] = []
        self._held = False

    def __enter__(self) -> Signals:
        for each in self._before:
            signal.signal(each, self._interrupt)
        return self

    def _interrupt(self, number: int, _frame: object) -> None:
        self._came.append(number)
        for each in self._before:  # what is cleaned up meanwhile is cut by nothing but Ctrl-C
            if each != signal.SIGINT:
                signal.signal(each, signal.SIG_IGN)
        if not self._held or len(self._came) > 1:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The first that comes meanwhile waits for the end of this."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._came:
                raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        for each, way in self._before.items():
            signal.signal(each, way)
        if self._came and self._came[0] != signal.SIGINT:
            os.kill(os.getpid(), self._came[0])


class Get:
    """What is wanted, one after the other, from what names it to where it stands.

    :param password: given beforehand, or empty: then a person is asked where one is needed.
    """

    def __init__(
        self, output: Output, client: Client, folder: Path, password: str, signals: Signals
    ) -> None:
        self._output = output
        self._client = client
        self._folder = folder
        self._password = password
        self._signals = signals
        self._number: int | None = None  # of the transfer that is under way

    def whole(self, what: str, owner: str, *, one_file: bool = False) -> dict[str, Any]:
        """The transfer, when all has come; raises `ShareError`.

        `one_file`: a folder is refused, before anything of it comes.
        """
        self._number = None
        try:
            number = self._begun(what, owner, {"one_file": True} if one_file else {})
            return self._followed(number)
        except Refused as refused:
            if is_ticket(what):  # it has a password in it
                raise
            raise ShareError("{name}: {why}", refused.code, name=what, why=refused) from None
        except KeyboardInterrupt:
            if self._number is not None:
                self._client.delete("transfers", self._number)
            raise
        finally:
            self._output.wipe()

    def file(self, what: str, owner: str) -> Path:
        """Where one file stands, when it has come, of a folder, too; raises `ShareError`."""
        path = Path(self.whole(what, owner, one_file=True)["path"])
        return path / named(what)[1] if path.is_dir() else path

    def _begun(self, what: str, owner: str, some: dict[str, Any]) -> int:
        """The number of a get under way. A ticket shows that it is one; what looks like an id may
        be a name.

        `some` goes with it.
        """
        if is_ticket(what):
            return self._post({"ticket": what, **some}, what)
        name, part = named(what)
        if part:
            some = {**some, "part": part}
        if ID.fullmatch(name):
            try:
                return self._post({"id": name, **some}, name)
            except ShareError as error:
                if error.code != Exit.NOT_FOUND:
                    raise
        if owner:
            some = {**some, "owner": owner}
        return self._post({"name": name, **some}, name)

    def _post(self, wanted: dict[str, Any], what: str) -> int:
        body = {**wanted, "folder": str(self._folder)}
        if self._password and "ticket" not in wanted:
            body["password"] = self._password
        try:
            return self._begin(body)
        except Refused as refused:
            if refused.kind != "password-needed":
                raise
        body["password"] = asked_password(self._output, what)
        return self._begin(body)

    def _begin(self, body: dict[str, Any]) -> int:
        """Who is interrupted here has to know what to cancel."""
        with self._signals.held():
            begun = self._client.post("transfers", body=body, patience=PATIENCE)
            self._number = int(begun["number"])
        return self._number

    def _looked_at(self, number: int) -> dict[str, Any]:
        try:
            transfer: dict[str, Any] = self._client.get("transfers", number)
        except ShareError as error:
            if error.code != Exit.NO_NODE:
                raise
            # It was there a moment ago: how to start one is no answer.
            raise ShareError(N_("The node has stopped."), Exit.NO_NODE) from error
        return transfer

    def _followed(self, number: int) -> dict[str, Any]:
        wait, notice = LOOK_FIRST, ""
        while True:
            transfer = self._looked_at(number)
            if transfer.get("notice", "") != notice:
                notice = transfer["notice"]
                self._output.note("{notice}", notice=notice)
            if transfer["state"] == "done":
                return transfer
            if transfer["state"] == "failed":
                refused = refusal_of(transfer["error"])
                raise ShareError("{name}: {why}", refused.code, name=transfer["name"], why=refused)
            self._output.progress(*(transfer[key] for key in ("name", "done", "size", "rate")))
            time.sleep(wait)
            wait = min(2 * wait, LOOK_LAST)


def is_ticket(what: str) -> bool:
    """As `core.ticket.looks_like_ticket`, which is not loaded for what has no parenthesis."""
    if not OPENS.search(what):
        return False
    from twistedp2p.core.ticket import looks_like_ticket  # slow to load

    return looks_like_ticket(what)


def named(what: str) -> tuple[str, str]:
    """The name or id in ``WHAT/PART``, and the part, which may be empty; of a ticket the part."""
    if is_ticket(what):
        from twistedp2p.core.ticket import TicketError, parse_wanted  # slow to load

        try:
            return "", parse_wanted(what)[1].strip("/")
        except TicketError:  # which the node says
            return "", ""
    name, _, part = what.partition("/") if what[0] != "/" else (what, "", "")
    return name, part.strip("/")


def _pour(path: Path) -> None:
    """A file to standard output, and away with it."""
    sys.stdout.flush()
    with open(path, "rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    os.unlink(path)


def _show(output: Output, got: dict[str, Any]) -> None:
    if output.document:
        output.json(got)
    elif not output.terminal:
        output.row(got["path"])
    else:
        output.sentence(
            N_("{name} is here, whole: {path} ({size})"),
            name=got["name"],
            path=got["path"],
            size=size_text(got["size"]),
        )
