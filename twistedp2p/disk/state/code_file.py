"""The file that holds the code of a closed group, with nobody but its owner to read it.

::

    crumb-tulip-radar-visor-oxygen-42        the code
    rust-lapel-untie-yonder-gravy-07         optional: the one before, which still opens for a while

Blank lines are nothing. A change counts from the file's time of modification.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import stat
from pathlib import Path

import attrs

from twistedp2p.core.datagrams.codes import read_code
from twistedp2p.core.errors import N_, Exit, ShareError

MOST = 4096  # bytes that are read

Look = tuple[int, int, int]  # device, inode, nanoseconds since 1970: another one is another content


@attrs.frozen
class Codes:
    """What such a file says. `old` is empty where it names none."""

    current: str = attrs.field(repr=False)
    old: str = attrs.field(default="", repr=False)
    changed: float = 0.0  # seconds since 1970
    look: Look | None = None


def look_of(path: Path) -> Look | None:
    """What tells whether the file has changed, or None where there is none."""
    try:
        return _look(path.stat())
    except OSError:
        return None


def _look(status: os.stat_result) -> Look:
    return status.st_dev, status.st_ino, status.st_mtime_ns


def read_codes(path: Path) -> Codes:
    """Read such a file; raises `ShareError` where it cannot be, is no code, or others may read it.

    As with ssh's keys, a file of ours that others may read is refused rather than warned of.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            _check_private(path, status)
            lines = file.read(MOST).decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise ShareError(
            N_("{path} cannot be read: {why}."), Exit.NO_INPUT, path=path, why=error.strerror
        ) from None
    codes = [read_code(line) for line in lines if line.strip()]
    if not codes:
        raise ShareError(N_("{path} holds no code."), Exit.NO_INPUT, path=path)
    old = codes[1] if len(codes) > 1 and codes[1] != codes[0] else ""
    return Codes(codes[0], old, status.st_mtime, _look(status))


def _check_private(path: Path, status: os.stat_result) -> None:
    others = stat.S_IRWXG | stat.S_IRWXO
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & others:
        raise ShareError(
            N_("Others may read {path}, and so its code: make it yours alone with {command}"),
            Exit.NO_INPUT,
            path=path,
            command=f"chmod 600 {shlex.quote(str(path))}",
        )


def write_codes(path: Path, current: str, old: str = "", *, replace: bool = False) -> None:
    """Write such a file, mode 0600, whole or not at all.

    Raises `ShareError`; also where there is one already, unless it is to be replaced.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        target = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(target, "w", encoding="utf-8") as file:
                file.write("".join(f"{code}\n" for code in (current, old) if code))
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.rename(fresh, path)
            else:
                os.link(fresh, path)  # which never replaces
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
    except FileExistsError:
        raise ShareError(
            N_("{path} is there already: --rotate puts a new code into it."),
            Exit.NO_FOLDER,
            path=path,
        ) from None
    except OSError as error:
        raise ShareError(
            N_("{path} cannot be written: {why}."), Exit.NO_FOLDER, path=path, why=error.strerror
        ) from None
