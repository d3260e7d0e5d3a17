"""Folders between two real nodes: whole, in part, and a watched one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.lan.nodes import until
from tests.lan.test_nodes import NodesTestCase, digest

FILES = 1000
ODD = ("été 漢字.txt", "a b.txt", "UPPER.TXT", "quote's.txt", "emoji 😀.txt", "no extension")


def make_folder(top: Path) -> None:
    """Small files in folders, empty ones, odd names, a link and a pipe."""
    for number in range(FILES):
        path = top / f"part {number % 10}" / f"deep{number % 3}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number % 5000))
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    for name in ODD:
        (top / name).write_text(name)
    (top / "empty folder").mkdir()
    (top / "link").symlink_to("/etc/passwd")
    os.mkfifo(top / "pipe")


def contents(top: Path) -> dict[str, tuple[str, int] | None]:
    """The digest and modification time of each file below; None of a folder."""
    return {
        str(path.relative_to(top)): (digest(path), int(path.stat().st_mtime))
        if path.is_file()
        else None
        for path in top.rglob("*")
        if not path.is_symlink() and (path.is_file() or path.is_dir())
    }


class FolderTests(NodesTestCase):
    timeout = 120

    def test_a_folder_comes_whole_and_in_part(self) -> None:
        one, other = self.node("one"), self.node("other")
        self.meet(one, other)
        top = one.folder / "photos"
        make_folder(top)
        one.type("4", str(top), "monpass", "n")
        one.expect("Left out of photos: 1 links, 1 special files")
        one.expect(rf"The group was told: photos, .*, folder, {FILES + len(ODD)} files")
        other.expect("one offers photos")
        other.type("5", "photos")
        other.expect(rf"photos  — one  \(folder, {FILES + len(ODD)} files\)")

        other.type("2 photos", "monpass")
        other.expect(r"photos is here, whole: \S+/photos \(")
        self.assertEqual(contents(other.folder / "photos"), contents(top))

        other.type("2 photos/part 3/deep0", "monpass")
        other.expect(r"photos is here, whole: \S+/photos \(2\) \(")
        part = contents(other.folder / "photos (2)")
        expected = {
            path: known
            for path, known in contents(top).items()
            if path == "part 3" or (path + "/").startswith("part 3/deep0/")
        }
        self.assertEqual(part, expected)

        other.type("2 photos/nothing", "monpass")
        other.expect(r"photos: There is no nothing in photos")
        self.assertEqual([node.quit() for node in (other, one)], [0, 0])

    def test_a_watched_folder_is_offered_as_it_comes_and_goes(self) -> None:
        shared = self.home("one") / "shared"
        shared.mkdir()
        (shared / "a.txt").write_text("first")
        (shared / ".hidden").write_text("x")
        (shared / "b.part").write_text("x")
        one = self.node("one", "--share", str(shared), "--share-public")
        other = self.node("other")
        other.expect(r"one offers a\.txt \(5 B\)")
        (shared / "sub").mkdir()
        (shared / "sub" / "c.txt").write_text("third")
        other.expect(r"one offers sub \(5 B, folder, 1 files\)")
        (shared / "a.txt").write_text("changed!")
        other.expect(r"one offers a\.txt \(8 B\)")
        other.type("2 a.txt")
        other.expect(r"a\.txt is here, whole")
        self.assertEqual((other.folder / "a.txt").read_text(), "changed!")
        (shared / "sub" / "d.txt").write_text("fourth")
        other.expect(r"one offers sub \(11 B, folder, 2 files\)")
        other.type("2 sub")
        other.expect(r"sub is here, whole")
        until((other.folder / "sub" / "d.txt").exists, "the folder is here")
        (shared / "a.txt").unlink()
        other.expect(r"one does not offer a\.txt any more")
        other.expect_not(r"hidden|b\.part")
        self.assertEqual([node.quit() for node in (other, one)], [0, 0])
