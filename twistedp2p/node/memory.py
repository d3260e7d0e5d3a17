"""Going on when the node's memory, a database on a disk, refuses (a full disk, mostly).

What others tell is shown all the same, and is asked for again after a restart. What we publish is
another matter: it is never sent before it is kept, or its number would be used twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from twistedp2p.core.errors import ShareError

_log = Logger()


class Notes:
    """Writes that the node can go on without. `failed` counts those that were refused."""

    def __init__(self) -> None:
        self.failed = 0

    def note(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What `call` gives, or None when it was refused."""
        try:
            return call(*arguments)
        except ShareError as error:
            if not self.failed:  # the first tells all: the log is on the same disk
                _log.error("{error}", error=str(error))
            self.failed += 1
            return None
