"""How many files and sockets this process may have open at once."""

from __future__ import annotations

import resource


def make_room(needed: int) -> int:
    """Raise the soft limit to `needed`, as far as the hard one goes; how many may be open then.

    See getrlimit(2), RLIMIT_NOFILE. A limit that is higher stays.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # systems have bounds of their own below the hard limit
        return soft
    return wanted
