"""Where the control socket of a node is, for both of its ends.

Nothing heavy is imported: a command that only speaks to a node is to be quick.

A node takes the first of these places that no other node has::

    $XDG_RUNTIME_DIR/p2pshare/<instance>/control.sock   where the state folder is the usual one
    <slot>/control.sock                                 where that is not too long for an address
    /tmp/p2pshare-<uid>/<hash of the slot>/control.sock

and ``<slot>/control.sock`` is a link to it elsewhere: so whoever knows the state folder finds it.
The slot of an instance is a folder of the state folder (see `instance`). Each folder is 0700 and
ours, the socket 0600. Beside it is ``control.lock``, held by flock: a socket that was left by a
node that was killed is known by that, whatever process ids say, and put away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.state.private import make_private, try_lock

DEFAULT = "default"
"""The instance that is meant where none is named: the one in the first slot."""

FIRST_SLOT = "1"
SOCKET, LOCK = "control.sock", "control.lock"
ADDRESS_MOST = 107  # bytes of a path in `sun_path`, without its NUL (unix(7))
NAME_MOST = 32  # characters


def default_state_folder(environment: Mapping[str, str]) -> Path:
    """``$XDG_STATE_HOME/p2pshare``, by default ``~/.local/state/p2pshare`` (XDG Base Directory)."""
    state = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state) / "p2pshare"
    return Path("~/.local/state/p2pshare").expanduser()


def check_instance(name: str) -> str:
    """The name of an instance, if it is one: 1 to 32 letters, digits, `-` and `_`, all ASCII.

    Raises `ShareError`.
    """
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(name) <= NAME_MOST):
        raise ShareError(
            N_("The name of an instance has 1 to {most} letters, digits, - and _."),
            Exit.USAGE,
            most=NAME_MOST,
        )
    return name


def slot_folder(state_folder: Path, instance: str = DEFAULT) -> Path:
    """The folder of that instance."""
    return state_folder / (FIRST_SLOT if instance == DEFAULT else instance)


def instance_name(slot: Path) -> str:
    """The instance whose folder that is."""
    return DEFAULT if slot.name == FIRST_SLOT else slot.name


def find_socket(
    environment: Mapping[str, str], instance: str = DEFAULT, state_folder: Path | None = None
) -> Path:
    """Where to connect to for that instance; there may be no socket, where no node runs.

    :param state_folder: as the node has it; by default that of the environment.

    Raises `ShareError` where somebody else could have put a socket there.
    """
    state = state_folder or default_state_folder(environment)
    path = Path(os.path.realpath(slot_folder(state, instance) / SOCKET))
    with contextlib.suppress(FileNotFoundError):
        status = path.parent.lstat()
        if status.st_mode & 0o077 or os.geteuid() not in (0, status.st_uid):
            raise ShareError(
                N_("The control socket {path} is in a folder that is not yours alone."),
                Exit.DENIED,
                path=path,
            )
    return path


def places(environment: Mapping[str, str], slot: Path) -> list[Path]:
    """Where the socket of the node of that slot may be, the best first."""
    found = [slot / SOCKET]
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if slot.parent == default_state_folder(environment) and _is_ours(runtime):
        found.insert(0, Path(runtime) / "p2pshare" / instance_name(slot) / SOCKET)
    short = hashlib.sha256(os.fsencode(slot)).hexdigest()[:12]
    found.append(Path(f"/tmp/p2pshare-{os.geteuid()}") / short / SOCKET)  # noqa: S108 - checked
    return [path for path in found if len(os.fsencode(path)) <= ADDRESS_MOST]


def _is_ours(folder: str) -> bool:
    """Whether it is a folder of ours: after `su` the variable may still name another user's."""
    if not os.path.isabs(folder):
        return False
    try:
        status = os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


class Place:
    """Where one node's socket is or will be; nobody else's, as long as the lock is held.

    No attrs class, as every command loads this module.
    """

    def __init__(self, path: Path, link: Path, lock: int) -> None:
        self.path = path
        self._link = link
        self._lock = lock

    def close(self) -> None:
        """Leave it, the lock last, as the next node may come then. May be called twice."""
        if self._lock < 0:
            return
        for path in {self.path, self._link}:
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(self._lock)
        self._lock = -1


def take_place(wanted: Iterable[Path], slot: Path) -> Place:
    """The first of these places that no other node has, cleared; raises `ShareError`."""
    why = N_("another node has it")
    for path in wanted:
        try:
            place = _take(path, slot / SOCKET)
        except OSError as error:
            why = error.strerror or str(error)
            continue
        if place is not None:
            return place
    raise ShareError(
        N_("There is no control socket in {folder}: {why}."), Exit.NO_FOLDER, folder=slot, why=why
    )


def _take(path: Path, link: Path) -> Place | None:
    if path != link:
        make_private(path.parent.parent)  # of all our sockets there
    make_private(path.parent)
    lock = try_lock(path.with_name(LOCK))
    if lock is None:
        return None
    try:
        path.unlink(missing_ok=True)
        if link != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    except OSError:
        os.close(lock)
        raise
    return Place(path, link, lock)
