"""What opens the control interface on the loopback."""

import stat

from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from twistedp2p.core.errors import ShareError
from twistedp2p.core.names import unb64
from twistedp2p.disk.state.token import NAME, SIZE, keep_token, read_token


class TokenTests(SynchronousTestCase):
    def setUp(self):
        self.slot = new_folder(self)

    def test_it_is_made_once_by_chance_and_for_its_owner_alone(self):
        """Attack 45: there is no default credential."""
        token = keep_token(self.slot)
        self.assertEqual(len(unb64(token, SIZE)), 32)
        self.assertEqual(keep_token(self.slot), token)
        self.assertEqual(read_token(self.slot), token)
        self.assertNotEqual(keep_token(new_folder(self)), token)
        self.assertEqual(stat.S_IMODE((self.slot / NAME).lstat().st_mode), 0o600)

    def test_what_is_no_token_is_refused(self):
        for text in ("", "secret", "x" * 43 + "=", "é" * 43):
            (self.slot / NAME).write_text(text)
            self.assertRaises(ShareError, keep_token, self.slot)

    def test_what_cannot_be_made_or_read_is_refused(self):
        self.assertRaises(ShareError, read_token, self.slot)
        self.assertRaises(ShareError, keep_token, self.slot / "missing")
