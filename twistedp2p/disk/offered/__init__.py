"""What is offered, be it a file or a folder: read to know it, then opened while it is the same."""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs

from twistedp2p.core.content.manifest import BadManifest, Manifest
from twistedp2p.core.content.tree import Tree
from twistedp2p.disk.memory.shares import Share
from twistedp2p.disk.offered.file import (
    FileIdentity,
    FileReader,
    check_file,
    open_file,
    open_same_file,
    read_file,
)
from twistedp2p.disk.offered.folder import (
    FolderIdentity,
    FolderReader,
    check_folder,
    open_folder,
    open_same_folder,
    read_folder,
)
from twistedp2p.disk.offered.look import is_left_out
from twistedp2p.disk.offered.scan import Skipped


@attrs.frozen
class OfferedFolder:
    """What is known of an offered folder."""

    manifest: Manifest
    identity: FolderIdentity
    text: bytes = attrs.field(repr=False)  # of its tree: one object for all who are sent it

    @classmethod
    def of(cls, tree: Tree, identity: FolderIdentity) -> OfferedFolder:
        """Of what was read; raises ValueError. Takes 10 ms for 1,000 files: for a thread."""
        return cls(Manifest.read(tree.manifest), identity, tree.text)

    @classmethod
    def read(cls, tree: Tree, identity: bytes) -> OfferedFolder:
        """As they are kept; raises ValueError. For a thread, as `of`."""
        return cls(*known_folder(tree, identity), tree.text)


def known_folder(tree: Tree, identity: bytes) -> tuple[Manifest, FolderIdentity]:
    """What is in it and in which state, as they are kept; raises ValueError. For a thread."""
    manifest, known = Manifest.read(tree.manifest), FolderIdentity.read(identity)
    if len(known.times) != len(manifest.entries):
        raise BadManifest("not the identity of that folder")
    return manifest, known


@attrs.frozen
class Content:
    """What was read at a path."""

    identity: FileIdentity  # of a folder with the size of all its files
    tree: Tree
    folder: OfferedFolder | None = None
    skipped: Skipped = attrs.Factory(Skipped)


def check_path(path: str) -> None:
    """Raise `ShareError` where that could not be offered."""
    os.close(open_folder(path) if os.path.isdir(path) else open_file(path))


def read_content(
    path: str,
    progress: Callable[[int, int], None],
    stopped: Callable[[], bool],
    shared: bool = False,
) -> Content:
    """Read a file or folder; blocks as long as that takes. As `read_file` and `read_folder`.

    `shared`: it is of a watched folder, where some names are left out.
    """
    if not os.path.isdir(path):
        return Content(*read_file(path, progress, stopped))
    known, tree, skipped = read_folder(
        path, progress, stopped, is_left_out if shared else lambda _name: False
    )
    identity = FileIdentity(tree.size, 0, known.device, known.inode)
    return Content(identity, tree, OfferedFolder.of(tree, known), skipped)


def identity_of(share: Share) -> FileIdentity:
    """In which state it was offered."""
    return FileIdentity(share.size, share.mtime_ns, share.device, share.inode)


def open_offered(
    share: Share, folder: OfferedFolder | None, offset: int, length: int
) -> FileReader | FolderReader:
    """A reader of that range; raises `Changed`, or OSError: not now."""
    if folder is None:
        identity = identity_of(share)
        return FileReader(open_same_file(share.path, identity), identity, offset, length)
    top = open_same_folder(share.path, folder.identity)
    return FolderReader(top, folder.manifest, folder.identity, offset, length)


def changed(share: Share, folder: tuple[Manifest, FolderIdentity] | None) -> str:
    """The reason why it is not what was offered any more; empty where that is not known. Blocks.

    `folder`: of one, what `known_folder` gives.
    """
    if folder is None:
        return check_file(share.path, identity_of(share))
    return check_folder(share.path, *folder)
