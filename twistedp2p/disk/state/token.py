"""What opens a node's control interface where it is not a socket of our own: made once, 0600.

<slot>/control.token    43 characters: 32 random bytes in base64, of the URL-safe alphabet
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.names import b64, unb64

SIZE = 32  # bytes
NAME = "control.token"


def read_token(slot: Path) -> str:
    """The token of that slot; raises `ShareError` where it has none, or it is not ours to read."""
    path = slot / NAME
    try:
        text = path.read_text("ascii").strip()
        unb64(text, SIZE)
    except FileNotFoundError:
        sentence = N_("There is no token: no node of that name was started with --web.")
        raise ShareError(sentence, Exit.NOT_FOUND) from None
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    except ValueError:
        raise _unreadable(path, N_("it is no token; remove it to get another one")) from None
    return text


def keep_token(slot: Path) -> str:
    """The token of that slot, made where there is none; raises `ShareError`."""
    path = slot / NAME
    fresh = path.with_suffix(".new")
    try:
        if not path.exists():
            fresh.unlink(missing_ok=True)
            target = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(target, "w") as file:
                file.write(b64(secrets.token_bytes(SIZE)) + "\n")
            fresh.rename(path)
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    return read_token(slot)


def _unreadable(path: Path, why: str | None) -> ShareError:
    return ShareError(N_("{path} cannot be read: {why}."), Exit.NO_FOLDER, path=path, why=why)
