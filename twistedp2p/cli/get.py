"""`p2pshare get`: get files and folders, by name, id or ticket."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twistedp2p.cli.ask import (
    add_common,
    add_password,
    asked_password,
    client_of,
    filled,
    given_password,
    lines_of,
    output_of,
)
from twistedp2p.cli.client import PATIENCE, Client, Refused, refusal_of
from twistedp2p.cli.show import Output
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.face.texts import size_text

ID = re.compile(r"[A-Za-z0-9_-]{22}")
LOOK_FIRST, LOOK_LAST = 0.02, 0.2  # seconds between two looks at how far it has come

EPILOG = """\
WHAT/PART, as photos/paris, gets a part of a folder. An id may begin with -:
put -- before it. - reads such lines from standard input: a ticket has its
password in it, and arguments can be read by everybody on this machine. -o -
writes a file when all of it was checked. On a pipe: the path of what has come.
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
    folder = Path(tempfile.mkdtemp(prefix="p2pshare-") if to_stdout else options.output or ".")
    ended = Exit.OK
    try:
        for what in wanted:
            get = Get(output, client, folder.absolute(), password)
            try:
                got = get.whole(what, options.owner or "")
            except ShareError as error:
                if error.code == Exit.NO_NODE:
                    raise
                output.error(error)
                ended = error.code
                continue
            if to_stdout and os.path.isdir(got["path"]):
                ended = Exit.USAGE
                output.error(ShareError(N_("{name} is a folder: -o - takes files."), name=what))
            elif to_stdout:
                _pour(got["path"])
            else:
                _show(output, got)
    finally:
        if to_stdout:
            shutil.rmtree(folder, ignore_errors=True)
    return ended


class Get:
    """One file, from what names it to where it stands.

    :param password: given beforehand, or empty: then a person is asked where one is needed.
    """

    def __init__(self, output: Output, client: Client, folder: Path, password: str) -> None:
        self._output = output
        self._client = client
        self._folder = folder
        self._password = password

    def whole(self, what: str, owner: str) -> dict[str, Any]:
        """The transfer, when the file has come; raises `ShareError`."""
        number = self._begun(what, owner)["number"]
        try:
            return self._followed(number)
        except KeyboardInterrupt:
            self._client.delete("transfers", number)
            raise
        finally:
            self._output.wipe()

    def _begun(self, what: str, owner: str) -> Any:
        """A get under way. A ticket shows that it is one; what looks like an id may be a name."""
        if what.lstrip().startswith(("(", "（")):
            return self._post({"ticket": what}, what)
        name, _, part = what.partition("/") if what[0] != "/" else (what, "", "")
        some = {"part": part} if part else {}
        if ID.fullmatch(name):
            try:
                return self._post({"id": name, **some}, name)
            except ShareError as error:
                if error.code != Exit.NOT_FOUND:
                    raise
        if owner:
            some["owner"] = owner
        return self._post({"name": name, **some}, name)

    def _post(self, wanted: dict[str, str], what: str) -> Any:
        body = {**wanted, "folder": str(self._folder)}
        if self._password and "ticket" not in wanted:
            body["password"] = self._password
        try:
            return self._client.post("transfers", body=body, patience=PATIENCE)
        except Refused as refused:
            if refused.kind != "password-needed":
                raise
        body["password"] = asked_password(self._output, what)
        return self._client.post("transfers", body=body, patience=PATIENCE)

    def _followed(self, number: int) -> dict[str, Any]:
        wait, notice = LOOK_FIRST, ""
        while True:
            transfer: dict[str, Any] = self._client.get("transfers", number)
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


def _pour(path: str) -> None:
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
