"""The table by which a doctor tells what is wrong between two hosts.

Each row has what is seen in one condition; None there is anything. What was not looked at (None in
the signs that are compared) agrees with every row.
"""

from __future__ import annotations

from enum import Enum

import attrs


class Sign(str, Enum):
    """How one way turned out."""

    OK = "ok"
    NO = "no"
    REFUSED = "refused"  # by this host (EPERM) when sent; of TCP: by the other one
    TIMEOUT = "timeout"
    REACHABLE = "reachable"
    INCOMPLETE = "incomplete"


class Cause(str, Enum):
    """What is wrong. The values are for programs to read, and stay."""

    FINE = "fine"
    SEE_CHECKS = "see_checks"
    NO_NETWORK = "no_network"
    PORT_TAKEN = "port_taken"
    OUTGOING_RULE = "outgoing_rule"
    OWN_FIREWALL = "own_firewall"
    ALONE = "alone"
    THIS_MACHINE = "this_machine"
    FILTERED_OR_ALONE = "filtered_or_alone"
    CLOSED_GROUP = "closed_group"
    CLIENT_ISOLATION = "client_isolation"
    MULTICAST_FILTERED = "multicast_filtered"
    OTHER_NETWORK = "other_network"
    PEER_FIREWALL = "peer_firewall"
    FILES_BLOCKED = "files_blocked"
    NO_NODE = "no_node"
    ABSENT = "absent"
    WRONG_MASK = "wrong_mask"
    ONE_WAY = "one_way"
    UNCLEAR = "unclear"


@attrs.frozen
class Signs:
    """What was seen of another host; `loop` is of our own datagrams heard here again."""

    loop: Sign | None = None
    multicast: Sign | None = None
    broadcast: Sign | None = None
    unicast: Sign | None = None
    tcp: Sign | None = None
    arp: Sign | None = None

    def agree_with(self, row: Signs) -> bool:
        """Whether these can be the signs of that row."""
        return all(
            seen is None or told is None or seen is told
            for seen, told in zip(attrs.astuple(self), attrs.astuple(row), strict=True)
        )


_OK, _NO, _EPERM, _LATE = Sign.OK, Sign.NO, Sign.REFUSED, Sign.TIMEOUT
_HERE, _ABSENT = Sign.REACHABLE, Sign.INCOMPLETE

# Multicast and broadcast: pings that went so and were answered (by unicast, whichever way).
CONDITIONS: tuple[tuple[Cause, Signs], ...] = (
    (Cause.FINE, Signs(_OK, _OK, _OK, _OK, _OK, _HERE)),
    (Cause.CLIENT_ISOLATION, Signs(_OK, _NO, _NO, _NO, _LATE, _ABSENT)),
    (Cause.MULTICAST_FILTERED, Signs(_OK, _NO, _OK, _OK, _OK, _HERE)),
    (Cause.PEER_FIREWALL, Signs(_OK, _NO, _NO, _NO, _LATE, _HERE)),
    (Cause.OWN_FIREWALL, Signs(_NO, _NO, _NO, _OK, _OK, _HERE)),
    (Cause.OUTGOING_RULE, Signs(_EPERM, _EPERM, _OK, _OK, _OK, _HERE)),
    # Between these textbook cases:
    (Cause.FINE, Signs(_OK, _OK, None, _OK, _OK)),  # broadcast is a fallback only
    (Cause.MULTICAST_FILTERED, Signs(_OK, _NO, None, _OK, _OK)),  # over a router, for one
    (Cause.FILES_BLOCKED, Signs(_OK, _OK, None, _OK, _LATE)),
    (Cause.FILES_BLOCKED, Signs(_OK, _OK, None, _OK, _EPERM)),
    (Cause.NO_NODE, Signs(_OK, _NO, _NO, _NO, _EPERM, _HERE)),
    (Cause.PEER_FIREWALL, Signs(_OK, _NO, _NO, _NO, _OK)),  # UDP alone is dropped there
    (Cause.PEER_FIREWALL, Signs(_OK, _OK, None, _NO)),  # what goes to one port only passes
    (Cause.OWN_FIREWALL, Signs(_NO)),
    (Cause.OUTGOING_RULE, Signs(_EPERM)),
)


def causes(signs: Signs) -> list[Cause]:
    """What these signs allow, in the order of the table, each once; nothing: `UNCLEAR`."""
    found = dict.fromkeys(cause for cause, row in CONDITIONS if signs.agree_with(row))
    return list(found) or [Cause.UNCLEAR]
