"""What a download believes of what it is to get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.lines import Ok
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.node.downloads.order import Order

OWNER = b"o" * 32
DIGEST = "blake3:" + "0" * 64


def ok(manifest: int, size: int = 12) -> Ok:
    return Ok(bytes(64), size, manifest, DIGEST, "photos")


class FolderOrFileTests(SynchronousTestCase):
    def order(self, offer: Offer | None) -> Order:
        def in_thread(call: Any, *arguments: Any) -> Any:
            return succeed(call(*arguments))

        return Order(offer, "photos", "secret", Path(), in_thread, OWNER)

    def refused(self, order: Order, said: Ok) -> None:
        error = self.assertRaises(ShareError, order.agreed, said, OWNER)
        self.assertEqual(error.code, Exit.DAMAGED)

    def test_the_signed_offer_says_whether_it_is_a_folder(self) -> None:
        """The digest of a file of one piece is not the place to find that out."""
        for files, right, wrong in ((None, 0, 40), (2, 40, 0), (0, 40, 0)):
            offer = Offer(OWNER, "photos", 12, DIGEST, False, files=files)
            self.refused(self.order(offer), ok(wrong))
            order = self.order(offer)
            order.agreed(ok(right), OWNER)
            self.assertEqual(order.ok, ok(right))

    def test_a_folder_is_refused_where_one_file_is_wanted(self) -> None:
        for wanted, manifest, refused in ((None, 40, True), (None, 0, False), (["a"], 40, False)):
            order = attrs.evolve(self.order(None), wanted=wanted, one_file=True)
            if refused:
                error = self.assertRaises(ShareError, order.agreed, ok(manifest), OWNER)
                self.assertEqual(error.code, Exit.USAGE)
            else:
                order.agreed(ok(manifest), OWNER)

    def test_without_one_the_first_who_proved_the_password_says_it_for_all(self) -> None:
        order = self.order(None)
        order.agreed(ok(40), OWNER)
        order.agreed(ok(40), OWNER)
        self.refused(order, ok(0))
