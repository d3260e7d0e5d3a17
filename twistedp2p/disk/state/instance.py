"""The folder of one running node: its lock, its identity, its memory.

The state folder holds numbered slots; a node takes the first that no other holds, so the same
command works several times at once and each node keeps an identity of its own. A node that is
given a name (an instance) has the slot of that name::

    <state folder>/1/   node.key   Ed25519 private key, PEM, 0600
                        node.key.1 an earlier one, of which there was a copy elsewhere
                        group-<name>.db     memory of one group (see `store`); a link where a
                                   closed group had another code before
                        lock       held by flock as long as the node runs
                        node.log   the log of a node that runs without a terminal
                        control.sock, control.lock, control.token  see `socket_path`, `token`
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.state.private import make_private, try_lock
from twistedp2p.disk.state.socket_path import DEFAULT, check_instance, instance_name

MAX_SLOTS = 100  # nodes of one user on one host
KEY_FILE = "node.key"  # in the folder of a node


@attrs.define
class Instance:
    """A claimed slot. The lock goes with the process, or with `release`."""

    folder: Path
    private_key: Ed25519PrivateKey = attrs.field(repr=False)
    _lock: int  # file descriptor, -1 once released

    @property
    def name(self) -> str:
        """What commands call it: see `socket_path`."""
        return instance_name(self.folder)

    @property
    def database(self) -> Path:
        """Where the memory of a node without a group is."""
        return self.folder / "node.db"

    def database_of(self, group: str) -> Path:
        """Where the memory of a group is: of an open one by its name (``239.0.0.1:9392``), of a
        closed one by its `closed.GroupKey.memory`.

        Each has its own: what was said in one is not to be repeated in another, where its
        signatures are wrong, and which may be none of its business.
        """
        return self._database(group).resolve()

    def _database(self, group: str) -> Path:
        return self.folder / f"group-{group.replace(':', '-')}.db"

    def same_memory(self, old: str, new: str) -> None:
        """A closed group is called `new` now, and remembers what it did as `old`.

        Raises `ShareError`.
        """
        known, link = self.database_of(old), self._database(new)
        try:
            if known.exists() and not link.exists():
                link.symlink_to(known.name)
        except OSError as error:
            raise _unusable(self.folder, error) from error

    @property
    def log_file(self) -> Path:
        """Where the log goes."""
        return self.folder / "node.log"

    def renew(self) -> None:
        """Take a new identity; the old one is kept as ``node.key.1``, or the next free number.

        Raises `ShareError`, and the identity is then as it was.
        """
        path = self.folder / KEY_FILE
        try:
            _keep_aside(path)
            _make_identity(path)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        self.private_key = _identity(path)

    def release(self) -> None:
        """Let another node take the slot; may be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def claim(state_folder: Path, instance: str = DEFAULT) -> Instance:
    """Take a slot, making folder and identity as needed; raises `ShareError`.

    :param instance: the name of the slot; by default the first free one of those with numbers.
    """
    names = map(str, range(1, MAX_SLOTS + 1)) if instance == DEFAULT else [check_instance(instance)]
    try:
        for name in names:
            folder = state_folder / name
            make_private(folder)
            lock = try_lock(folder / "lock")
            if lock is not None:
                try:
                    return Instance(folder, _identity(folder / KEY_FILE), lock)
                except BaseException:
                    os.close(lock)
                    raise
    except OSError as error:
        raise _unusable(state_folder, error) from error
    if instance != DEFAULT:
        raise ShareError(N_("The node {name} runs already."), Exit.NO_FOLDER, name=instance)
    raise ShareError(
        N_("{count} nodes run from {folder} already."),
        Exit.NO_FOLDER,
        count=MAX_SLOTS,
        folder=state_folder,
    )


def _unusable(folder: Path, error: OSError) -> ShareError:
    return ShareError(
        N_("The folder {folder} cannot be used: {why}. Choose another with --state-dir."),
        Exit.NO_FOLDER,
        folder=folder,
        why=error.strerror,
    )


def _identity(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        _make_identity(path)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it wants a password
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ShareError(
            N_("{path} is not a node key; move it away to get a new identity."),
            Exit.NO_FOLDER,
            path=path,
        )
    return key


def _keep_aside(path: Path) -> None:
    for number in count(1):
        try:
            os.link(path, path.with_name(f"{path.name}.{number}"))
        except FileExistsError:
            continue
        return


def _make_identity(path: Path) -> None:
    """Write a new key whole or not at all: a power cut leaves no half identity."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    target = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(target, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
