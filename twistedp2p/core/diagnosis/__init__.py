"""What a doctor makes of its facts: eleven findings, and the cause in one sentence.

    facts        what is measured
    here, there  the checks: of this host, and of who else is on the network
    conditions   the table by which is told what is wrong between two hosts
    firewalls    the very line that opens each

All of it is pure. Sentences are for people, and are translated where they are shown; the values of
`Verdict` and `Cause` and the names of checks are for programs, and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from twistedp2p.core.diagnosis import here, there
from twistedp2p.core.diagnosis.conditions import Cause, Sign
from twistedp2p.core.diagnosis.facts import Facts
from twistedp2p.core.diagnosis.findings import Finding, Verdict, listed
from twistedp2p.core.diagnosis.firewalls import USUAL, open_inward
from twistedp2p.core.errors import N_, Exit, Words, words

CHECKS: dict[str, Callable[[Facts], Finding]] = {
    "interfaces": here.interfaces,
    "ports": here.ports,
    "loop": here.loop,
    "oneself": here.oneself,
    "listening": there.listening,
    "hosts": there.hosts,
    "pings": there.pings,
    "masks": there.masks,
    "ageing": there.ageing,
    "versions": there.versions,
    "buffers": here.buffers,
}
"""All checks by name, in the order of their numbers from 1."""


@attrs.frozen
class Diagnosis:
    """The whole: the worst of it, its cause, and all findings."""

    cause: Cause
    verdict: Verdict
    what: Words
    advice: Words | None
    exit: Exit
    findings: tuple[Finding, ...]


WHOLE: dict[Cause, tuple[Exit, Words, Words | None]] = {
    Cause.FINE: (
        Exit.OK,
        words(N_("All is well: nodes reached every way: {count}.")),
        None,
    ),
    Cause.SEE_CHECKS: (
        Exit.WARNED,
        words(N_("The nodes find each other; what is worth a look: check {checks}.")),
        None,
    ),
    Cause.NO_NETWORK: (
        Exit.HERE,
        words(N_("This machine is on no network that can be used.")),
        words(N_("Plug in the cable or join the Wi-Fi; see check 1.")),
    ),
    Cause.PORT_TAKEN: (
        Exit.HERE,
        words(N_("Another program holds a port of the group, or the system refuses it.")),
        words(N_("End that program, or have everybody take another --port; see check 2.")),
    ),
    Cause.OUTGOING_RULE: (
        Exit.HERE,
        words(N_("A rule of this machine's own firewall keeps it from sending to the group.")),
        words(N_("Run the line of check 3.")),
    ),
    Cause.OWN_FIREWALL: (
        Exit.HERE,
        words(N_("This machine's own firewall drops what the group sends.")),
        words(N_("Run the line of check 3.")),
    ),
    Cause.ALONE: (
        Exit.ALONE,
        words(
            N_(
                "No other node was found, and nothing is wrong here: nobody else runs one in this"
                " group, or the network keeps its machines apart (client isolation)."
            )
        ),
        words(N_("Start a node elsewhere and look again, with --peer and its address.")),
    ),
    Cause.THIS_MACHINE: (
        Exit.ALONE,
        words(N_("Other nodes were found on this machine only ({here}); nothing is wrong here.")),
        words(N_("Start a node elsewhere and look again, with --peer and its address.")),
    ),
    Cause.FILTERED_OR_ALONE: (
        Exit.ALONE,
        words(
            N_(
                "No node was found, though other machines are here: nobody else runs one in this"
                " group, or the network filters multicast."
            )
        ),
        words(N_("Start a node elsewhere and look again, with --peer and its address.")),
    ),
    Cause.CLOSED_GROUP: (
        Exit.ALONE,
        words(N_("The group here is a closed one, and this machine does not have its code.")),
        words(N_("Ask for the code and name its file: --group-code-file.")),
    ),
    Cause.CLIENT_ISOLATION: (
        Exit.BETWEEN,
        words(
            N_(
                "Your router or access point keeps its machines apart (client isolation),"
                " or {names}"
                " is switched off: not even ARP is answered."
            )
        ),
        words(
            N_(
                "Turn client isolation (AP isolation, guest network) off, or use another network,"
                " cables, or a telephone's hotspot."
            )
        ),
    ),
    Cause.MULTICAST_FILTERED: (
        Exit.BETWEEN,
        words(N_("The network filters multicast: {names} is reached by other ways only.")),
        words(
            N_(
                "Nodes find each other by broadcast or --peer; to have all of it, allow multicast"
                " (IGMP snooping with a querier, or none) in switch and router."
            )
        ),
    ),
    Cause.OTHER_NETWORK: (
        Exit.OK,
        words(
            N_(
                "All is well: {names} is on another network, where multicast does not lead, and is"
                " reached by unicast."
            )
        ),
        None,
    ),
    Cause.PEER_FIREWALL: (
        Exit.BETWEEN,
        words(N_("The firewall of {names} drops what is sent to it.")),
        words(N_("There, run: {inward}")),
    ),
    Cause.FILES_BLOCKED: (
        Exit.BETWEEN,
        words(N_("Chat works, but the file port (TCP) of {names} does not answer.")),
        words(N_("There, run: {inward}")),
    ),
    Cause.NO_NODE: (
        Exit.BETWEEN,
        words(N_("The machine {names} is there, but no node of this group runs on it.")),
        words(N_("Start one there, with the same --group and --port.")),
    ),
    Cause.ABSENT: (
        Exit.BETWEEN,
        words(N_("{names} does not answer, though others do: switched off, or elsewhere.")),
        None,
    ),
    Cause.WRONG_MASK: (
        Exit.BETWEEN,
        words(N_("A wrong network mask: {names} is on this network, but outside of the mask.")),
        words(N_("Give all machines of the network the same mask; this one has {masks}.")),
    ),
    Cause.ONE_WAY: (
        Exit.BETWEEN,
        words(N_("One way only: {names} is heard by multicast, but does not hear this machine.")),
        words(N_("There, run: {inward}")),
    ),
    Cause.UNCLEAR: (
        Exit.BETWEEN,
        words(N_("{names} does not answer as it should, and why is not clear; see check 6.")),
        words(N_("Run the doctor there, too.")),
    ),
}
"""For each cause the exit code, the sentence and what to do."""


def diagnose(facts: Facts) -> Diagnosis:
    """The whole of it: one cause, and its verdict. Where some nodes are reached every way, what is
    wrong with others is a warning."""
    findings = tuple(check(facts) for check in CHECKS.values())
    by_cause = there.by_cause(facts)
    cause = _here(facts, findings) or _between(facts, by_cause)
    worth_a_look = [at for at, each in enumerate(findings, 1) if each.verdict in _BAD]
    if cause is Cause.FINE and worth_a_look:
        cause = Cause.SEE_CHECKS
    code, what, advice = WHOLE[cause]
    verdict = _VERDICTS[code]
    if code is Exit.BETWEEN and not by_cause.keys().isdisjoint(_WELL):
        code, verdict = Exit.WARNED, Verdict.WARNING
    values = {
        "checks": listed(str(number) for number in worth_a_look),
        "names": listed(by_cause.get(cause, ())),
        "count": len(by_cause.get(Cause.FINE, ())),
        "here": facts.listened.local if facts.listened is not None else 0,
        "inward": open_inward(USUAL, facts.port, there.hosts_of(cause, facts)),
        "masks": there.own_masks(facts),
    }
    told, advised = (each and Words(each.sentence, values) for each in (what, advice))
    return Diagnosis(cause, verdict, told or what, advised, code, findings)


_WELL = (Cause.FINE, Cause.OTHER_NETWORK)
_BAD = (Verdict.WARNING, Verdict.PROBLEM)
_VERDICTS = {
    Exit.OK: Verdict.OK,
    Exit.WARNED: Verdict.WARNING,
    Exit.ALONE: Verdict.UNKNOWN,
    Exit.HERE: Verdict.PROBLEM,
    Exit.BETWEEN: Verdict.PROBLEM,
}


def _here(facts: Facts, findings: Iterable[Finding]) -> Cause | None:
    """What is wrong on this host itself, the first first: it explains the rest."""
    problems = {each.check for each in findings if each.verdict is Verdict.PROBLEM}
    if "interfaces" in problems:
        return Cause.NO_NETWORK
    if "ports" in problems:
        return Cause.PORT_TAKEN
    if "loop" in problems:
        return Cause.OUTGOING_RULE if facts.loop is Sign.REFUSED else Cause.OWN_FIREWALL
    return Cause.OWN_FIREWALL if "oneself" in problems else None


def _between(facts: Facts, by_cause: Mapping[Cause, Sequence[str]]) -> Cause:
    """What is wrong between this host and most of those others that are not reached every way."""
    wrong = {cause: names for cause, names in by_cause.items() if cause not in _WELL}
    worst = max(wrong, key=lambda cause: len(wrong[cause]), default=Cause.CLOSED_GROUP)
    if worst is not Cause.CLOSED_GROUP:  # which is nobody's fault, and others' where ours is well
        return worst
    for cause in _WELL:
        if cause in by_cause:
            return cause
    if facts.closed:
        return Cause.CLOSED_GROUP
    if facts.listened is not None and facts.listened.local:
        return Cause.THIS_MACHINE
    here = facts.listened is not None and facts.listened.machines
    return Cause.FILTERED_OR_ALONE if here else Cause.ALONE
