"""What is in a folder: one spelling, safe names, and where each file is in the stream."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.content import manifest as manifest_module
from twistedp2p.core.content.manifest import (
    MOST_DEPTH,
    MOST_MTIME,
    MOST_SIZE,
    BadManifest,
    Entry,
    Manifest,
)

HEAD = b'["p2pshare/1 folder"]\n'
PHOTOS = Manifest(
    (
        Entry("a.txt", 5, 1),
        Entry("empty", 0, 2),
        Entry("photos-old.zip", 10, 4),
        Entry("photos/", 0, 3),
        Entry("photos/1.jpg", 7, 5),
        Entry("photos/empty/", 0, 6),
        Entry("photos/nothing", 0, 6),
        Entry("photos/sub/2.jpg", 9, 7),
        Entry("photos0", 1, 8),
    )
)

names = st.sampled_from(["a", "B", "c.txt", "été", "d e", "漢字", "x-1", "(1)"])


@st.composite
def manifests(draw):
    """Folders without twins, for all names of one depth differ in more than their case."""
    tree = st.recursive(
        st.one_of(st.integers(0, 300), st.just({})),
        lambda below: st.dictionaries(names, below, max_size=5),
        max_leaves=20,
    )
    entries = []

    def add(path, node):
        if isinstance(node, int):
            entries.append(Entry(path, node, draw(st.integers(0, MOST_MTIME))))
            return
        if path and (not node or draw(st.booleans())):
            entries.append(Entry(path + "/", 0, 0))
        for name, below in node.items():
            add(f"{path}/{name}".lstrip("/"), below)

    add("", draw(st.dictionaries(names, tree, max_size=6)))
    return Manifest(tuple(sorted(entries, key=lambda entry: entry.path)))


def lines(*paths):
    return HEAD + "".join(f'["{path}",0,0]\n' for path in paths).encode()


class WritingTests(SynchronousTestCase):
    def test_folders_on_the_way_count_as_well(self) -> None:
        """Attack 31: a short list of a million folders."""
        self.patch(manifest_module, "MOST_ENTRIES", 20)
        deep = tuple(Entry(f"{number}/" + "a/" * 9 + "a", 0, 0) for number in range(3))
        Manifest(deep[:1])
        self.assertRaises(BadManifest, Manifest, deep)

    def test_it_is_written_as_documented(self):
        self.assertEqual(
            Manifest((Entry("a b/", 0, 0), Entry("a b/é.txt", 12, 1700000000))).write(),
            HEAD + '["a b/",0,0]\n["a b/é.txt",12,1700000000]\n'.encode(),
        )
        self.assertEqual(Manifest.read(HEAD), Manifest(()))

    @given(manifests())
    def test_what_is_written_is_read(self, manifest):
        self.assertEqual(Manifest.read(manifest.write()), manifest)

    @given(st.binary(max_size=200))
    def test_anything_else_is_refused_in_one_way(self, data):
        for damaged in (data, HEAD + data):
            try:
                manifest = Manifest.read(damaged)
            except BadManifest:
                continue
            self.assertEqual(manifest.write(), damaged)

    def test_it_has_one_spelling(self):
        for line in ('["a", 0,0]', '["a",00,0]', '["a",0,+1]', '["a",-1,0]', '["a",0,-1]',
                     '["a",1e3,0]', '["a",0]', '["a",0,0,0]', "[[],0,0]", ' ["a",0,0]',
                     '["\\u0061",0,0]',
                     '["a\\/b",0,0]', '["a",٣,0]', '["a",0,0]["b",0,0]',
                     '["a",0,0]\r', "[" * 999, '["",0,0]',
                     '["a",12345678901234567,0]', ""):  # fmt: skip
            self.assertRaises(BadManifest, Manifest.read, HEAD + line.encode() + b"\n")
        for data in (
            b"", HEAD[:-1], HEAD + b"\xff", HEAD + b'["a",0,0]', b'["a",0,0]\n', HEAD * 2
        ):  # fmt: skip
            self.assertRaises(BadManifest, Manifest.read, data)

    def test_its_size_is_bounded(self):
        """Attack 31: by number, bytes, depth and sizes."""
        self.patch(manifest_module, "MOST_ENTRIES", 3)
        self.assertEqual(len(Manifest.read(lines("a", "b", "c")).entries), 3)
        self.assertRaises(BadManifest, Manifest.read, lines("a", "b", "c", "d"))
        four = tuple(Entry(path, 0, 0) for path in "abcd")
        self.assertRaises(BadManifest, Manifest, four)
        self.patch(manifest_module, "MOST_BYTES", len(lines("a", "b")))
        self.assertRaises(BadManifest, Manifest.read, lines("a", "bb"))
        self.assertRaises(BadManifest, Manifest(four[:3]).write)

    def test_depth_and_numbers_are_bounded(self):
        """Attack 31."""
        Manifest((Entry("a/" * (MOST_DEPTH - 1) + "a", 0, 0),))
        self.assertRaises(BadManifest, Manifest, (Entry("a/" * MOST_DEPTH + "a", 0, 0),))
        listed = tuple(Entry("a/" * depth, 0, 0) for depth in range(1, MOST_DEPTH + 2))
        Manifest(listed[:-1])
        self.assertRaises(BadManifest, Manifest, listed)
        self.assertRaises(BadManifest, Manifest, (Entry("a/" * MOST_DEPTH + "a/", 0, 0),))
        Manifest((Entry("a", MOST_SIZE, MOST_MTIME),))
        for entry in (Entry("b", -1, 0), Entry("b", 1, 0), Entry("b", 0, -1),
                      Entry("b", 0, MOST_MTIME + 1), Entry("b/", -1, 0)):  # fmt: skip
            self.assertRaises(BadManifest, Manifest, (Entry("a", MOST_SIZE, 0), entry))


class NameTests(SynchronousTestCase):
    def refused(self, *paths):
        self.assertRaises(BadManifest, Manifest.read, lines(*paths))

    def test_no_path_leads_out_of_the_folder(self):
        r"""Attack 21: `../`, absolute paths, `\`, drive letters."""
        for path in ("../a", "a/../b", "..", ".", "./a", "/a", "a//b", "/", "//", "a/./b", "C:/a",
                     "C:", "a/..", "a/../", "../", "\\a", "a\\b", "a/\\b"):  # fmt: skip
            self.refused(path)

    def test_every_component_is_clean(self):
        """Attack 26 and 30: hidden files, reserved names, what cannot be seen."""
        for name in (".bashrc", "-rf", "~a", "CON", "nul.txt", "a.", "a ", " a", "a  b", "a:b",
                     "a\u202eb", "e\u0301", "\u200b", "x" * 181, "a\tb", "a\x1bb"):  # fmt: skip
            for path in (name, name + "/", f"a/{name}", f"{name}/a", f"a/{name}/b"):
                self.refused(path)

    def test_no_two_names_are_one_on_another_disk(self):
        """Attack 30: twins by case or normal form."""
        for paths in (("A", "a"), ("STRASSE", "straße"), ("É", "é"), ("a/B", "a/b"), ("A/", "a/"),
                      ("A/b", "a/c"), ("a", "a"), ("ſ", "s"), ("K", "k"), ("a/", "a/"),
                      ("A/x/", "a/y/")):  # fmt: skip
            self.refused(*sorted(paths))
            self.refused(*paths)

    def test_nothing_is_below_a_file(self):
        for paths in (
            ("a", "a/b"),
            ("A", "a/b"),
            ("a", "a-b", "a/b"),
            ("a", "a/"),
            ("a/b", "a/b/c"),
        ):
            self.refused(*paths)

    def test_paths_are_sorted(self):
        self.refused("b", "a")
        Manifest.read(lines("a-b", "a/", "a/b", "a0"))

    @given(st.lists(st.text(max_size=8), max_size=4))
    def test_what_is_taken_is_clean(self, parts):
        path = "/".join(parts)
        try:
            Manifest((Entry(path, 0, 0),))
        except BadManifest:
            return
        self.assertEqual(unicodedata.normalize("NFC", path), path)
        for part in path.removesuffix("/").split("/"):
            self.assertNotIn(part, ("", ".", ".."))
            self.assertNotIn(part[0], ".-~")


class StreamTests(SynchronousTestCase):
    @settings(max_examples=200)
    @given(manifests(), st.integers(0, 1000), st.integers(0, 1000))
    def test_slices_are_those_of_the_joined_files(self, manifest, offset, length):
        stream = [(entry.path, at) for entry in manifest.entries for at in range(entry.size)]
        self.assertEqual(len(stream), manifest.size)
        offset = min(offset, manifest.size)
        length = min(length, manifest.size - offset)
        found = []
        for entry, at, count in manifest.slices(offset, length):
            self.assertGreater(count, 0)
            found += [(entry.path, at + n) for n in range(count)]
        self.assertEqual(found, stream[offset : offset + length])

    def test_beyond_the_end_is_nothing(self):
        for offset, length in ((0, 33), (32, 1), (33, 0), (-1, 1), (5, -1)):
            self.assertRaises(ValueError, list, PHOTOS.slices(offset, length))
        self.assertEqual(list(PHOTOS.slices(32, 0)), [])
        self.assertEqual(list(Manifest(()).slices(0, 0)), [])

    def test_a_part_is_where_its_files_are(self):
        for wanted, spans in {
            ("a.txt",): [(0, 5)], ("photos",): [(15, 16)], ("photos/",): [(15, 16)],
            ("photos/1.jpg",): [(15, 7)], ("photos/empty",): [], ("photos/empty/",): [],
            ("photos0", "a.txt"): [(0, 5), (31, 1)], ("photos-old.zip", "photos"): [(5, 26)],
            ("photos/sub",): [(22, 9)], ("a.txt", "a.txt", "photos", "photos/1.jpg"):
            [(0, 5), (15, 16)], (): [],
        }.items():  # fmt: skip
            self.assertEqual(PHOTOS.part(wanted), spans, wanted)
        self.assertEqual(PHOTOS.within(["photos"]), [3, 4, 5, 6, 7])

    def test_what_is_not_there_is_named(self):
        for path in ("", "b", "photo", "photos/1", "photos/1.jpg/x", "PHOTOS", "photos/sub/2", "z"):
            error = self.assertRaises(LookupError, PHOTOS.part, ["a.txt", path])
            self.assertEqual(error.args, (path,))

    @given(manifests())
    def test_the_part_of_all_is_the_whole(self, manifest):
        paths = [entry.path for entry in manifest.entries]
        whole = [(0, manifest.size)] if manifest.size else []
        self.assertEqual(manifest.part(paths), whole)
        self.assertEqual(manifest.within(paths), list(range(len(paths))))
