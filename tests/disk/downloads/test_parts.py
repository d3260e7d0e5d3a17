"""Numbered names, and the umask."""

import errno
import os

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.names import FILE_NAME_BYTES, clean_name
from twistedp2p.disk.downloads import parts
from twistedp2p.disk.downloads.parts import numbered


class NumberTests(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.text(max_size=200), st.integers(2, 1000))
    @example("a." + "x" * 178, 2)
    @example("x" * 176 + ".jpg", 1000)
    @example("é" * 90, 2)
    @example("a .jpg", 2)
    @example("._", 3)
    def test_a_numbered_name_is_clean_and_another_for_each_number(self, name, number):
        name = clean_name(name)
        self.assertEqual(numbered(name, 1), name)
        other = numbered(name, number)
        self.assertEqual(clean_name(other), other)
        self.assertIn(f"({number})", other)
        self.assertNotIn(other, (name, numbered(name, number + 1)))
        self.assertLessEqual(len(other.encode()), FILE_NAME_BYTES)

    def test_the_extension_stays_at_the_end(self):
        for name, second in {"a.jpg": "a (2).jpg", "a.tar.gz": "a (2).tar.gz", "a": "a (2)",
                             "a b.c d": "a b (2).c d"}.items():  # fmt: skip
            self.assertEqual(numbered(name, 2), second)


class ModeTests(SynchronousTestCase):
    def setUp(self):
        umask = os.umask(0o022)
        self.addCleanup(os.umask, umask)

    def test_the_umask_is_read_without_being_changed(self):
        for umask in (0, 0o022, 0o077, 0o027):
            os.umask(umask)
            self.assertEqual(parts.umask(), umask)
            self.assertEqual(os.umask(umask), umask)

    def test_where_it_cannot_be_read_the_strictest_is_taken(self):
        def unreadable(_):
            raise OSError(errno.ENOENT, "No such file")

        self.patch(parts.Path, "read_text", unreadable)
        self.assertEqual(parts.umask(), 0o077)
