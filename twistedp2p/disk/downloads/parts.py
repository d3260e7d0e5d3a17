"""What the parts of files and of folders have in common: numbered names, and the umask."""

from __future__ import annotations

from pathlib import Path

from twistedp2p.core.names import EXTENSION_BYTES, FILE_NAME_BYTES, clean_name


def numbered(name: str, number: int) -> str:
    """``a.jpg`` becomes ``a (2).jpg``, ``a.tar.gz`` ``a (2).tar.gz``.

    Cleaned again, so that it is never too long.
    """
    if number == 1:
        return name
    stem, dot, extension = name.rpartition(".")
    if stem.lower().endswith(".tar") and stem[:-4]:
        stem, extension = stem[:-4], f"{stem[-3:]}.{extension}"
    if not stem or len(f".{extension}".encode()) > EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    suffix = f" ({number}){dot}{extension}"
    room = FILE_NAME_BYTES - len(suffix.encode())
    return clean_name(stem.encode()[:room].decode(errors="ignore").rstrip() + suffix)


def umask() -> int:
    """The process's umask, read without setting it: other threads make files meanwhile."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o077
