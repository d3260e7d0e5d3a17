"""The checks of who else is here: each makes one `Finding` of the facts."""

from __future__ import annotations

import attrs

from twistedp2p.core.diagnosis.conditions import Cause, Sign, causes
from twistedp2p.core.diagnosis.facts import Facts, Other
from twistedp2p.core.diagnosis.findings import ROWS_MOST, Finding, Verdict, listed
from twistedp2p.core.errors import N_, Words, words

LOSS_SEEN = 0.1  # of the pings: Wi-Fi loses some; above this, people notice
BEACON_COMES = 8.0  # seconds: in the smallest group, the longest between two of one node are 7.5
CLOCK_SEEN = 60.0  # seconds that clocks may differ before it is said


def listening(facts: Facts) -> Finding:
    """5: who is heard without asking."""
    heard = facts.listened
    if heard is None:
        return Finding("listening", Verdict.UNKNOWN, words(N_("Nobody listened.")))
    values = {"seconds": round(heard.seconds), "nodes": heard.nodes, "machines": heard.machines}
    rows = (words(N_("Nodes on this machine: {count}."), count=heard.local),) * bool(heard.local)
    if heard.nodes:
        told = words(N_("Nodes heard by multicast within {seconds} s: {nodes}."), **values)
        return Finding("listening", Verdict.OK, told, None, rows)
    if facts.closed:
        told = words(N_("A closed group is here; without its code nothing more can be said."))
        return Finding(
            "listening", Verdict.UNKNOWN, told, words(N_("Ask for its code: --group-code-file."))
        )
    if any(each.multicast.answered and each.multicast.loss <= LOSS_SEEN for each in facts.others):
        if heard.seconds < BEACON_COMES:
            told = words(N_("Nodes answer; none spoke of itself within {seconds} s."), **values)
            return Finding("listening", Verdict.OK, told, None, rows)
        told = words(
            N_(
                "Nodes hear this machine, but it heard no multicast of theirs within {seconds} s:"
                " it passes in one direction only."
            ),
            **values,
        )
        advice = words(N_("A firewall here, or a switch on the way, drops multicast."))
        return Finding("listening", Verdict.WARNING, told, advice, rows)
    if heard.machines:
        told = words(
            N_(
                "No node was heard within {seconds} s, though other machines are here"
                " (mDNS: {machines})."
            ),
            **values,
        )
        advice = words(N_("Where a node does run, the network filters multicast but mDNS."))
        return Finding("listening", Verdict.WARNING, told, advice, rows)
    nobody = N_("Nothing at all was heard within {seconds} s: alone here, or kept apart.")
    if heard.local:
        nobody = N_("Nobody was heard within {seconds} s but nodes of this machine.")
    return Finding("listening", Verdict.UNKNOWN, words(nobody, **values), None, rows)


def hosts(facts: Facts) -> Finding:
    """6: each known host: ARP, unicast, TCP, multicast."""
    if not facts.others:
        told = words(N_("No other node is known; --peer HOST names one to look for."))
        return Finding("hosts", Verdict.UNKNOWN, told)
    named = by_cause(facts)
    rows = tuple(_host_row(each, facts) for each in facts.others[:ROWS_MOST])
    fine, far = (len(named.get(cause, ())) for cause in (Cause.FINE, Cause.OTHER_NETWORK))
    values = {"fine": fine, "far": far, "count": len(facts.others)}
    if fine + far == len(facts.others):
        return Finding(
            "hosts",
            Verdict.OK,
            words(
                N_("Nodes reached every way: {fine}; on another network, by unicast: {far}.")
                if far
                else N_("Nodes reached every way: {count}."),
                **values,
            ),
            None,
            rows,
        )
    if named.keys() == {Cause.CLOSED_GROUP}:
        told = words(N_("Of a closed group, whose code is not here: {count}."), **values)
        return Finding("hosts", Verdict.UNKNOWN, told, None, rows)
    verdict = Verdict.WARNING if fine or far else Verdict.PROBLEM
    told = words(N_("Nodes reached every way: {fine} of {count}."), **values)
    return Finding("hosts", verdict, told, None, rows)


def _host_row(other: Other, facts: Facts) -> Words:
    signs = other.signs(facts.loop)
    shown = {
        name: sign.value if isinstance(sign, Sign) else "-"
        for name, sign in attrs.asdict(signs, recurse=False).items()
        if name != "loop"
    }
    return words(
        N_(
            "{name} ({host}): multicast {multicast}, broadcast {broadcast}, unicast"
            " {unicast}, TCP {tcp}, ARP {arp}"
        ),
        name=other.name,
        host=listed(other.hosts),
        **shown,
    )


def cause_of(other: Other, facts: Facts) -> Cause:
    """What is wrong between this host and that one."""
    if other.outside and not (other.unicast.sign is Sign.OK and other.tcp in (Sign.OK, None)):
        return Cause.WRONG_MASK
    # Who keeps silent, but takes connections, is most likely of the closed group that was heard: in
    # a large one not everybody speaks while we listen.
    if other.silent and (other.closed or (facts.closed and other.tcp is Sign.OK)):
        return Cause.CLOSED_GROUP
    found = causes(other.signs(facts.loop))
    if Cause.FINE in found:
        return Cause.FINE
    cause = found[0] if len(found) == 1 else Cause.UNCLEAR
    if cause is Cause.MULTICAST_FILTERED and other.heard:
        return Cause.ONE_WAY
    if cause is Cause.MULTICAST_FILTERED and other.far:  # nobody's fault: routers keep it back
        return Cause.OTHER_NETWORK
    if cause is Cause.CLIENT_ISOLATION and any(each.arp is Sign.REACHABLE for each in facts.others):
        return Cause.ABSENT
    return cause


def by_cause(facts: Facts) -> dict[Cause, list[str]]:
    found: dict[Cause, list[str]] = {}
    for other in facts.others:
        found.setdefault(cause_of(other, facts), []).append(other.name)
    return found


def hosts_of(cause: Cause, facts: Facts) -> list[str]:
    """All addresses of the hosts that suffer from it."""
    return [
        host for other in facts.others if cause_of(other, facts) is cause for host in other.hosts
    ]


def pings(facts: Facts) -> Finding:
    """7: loss, one-way sight, duplicates, NAT."""
    answering = [each for each in facts.others if each.multicast.answered]
    rows = tuple(_ping_row(each) for each in answering[:ROWS_MOST])
    deaf = [each.name for each in facts.others if _one_way(each)]
    if deaf:
        told = words(
            N_("One way only: {names} is heard by multicast, but does not hear this machine."),
            names=listed(deaf),
        )
        advice = words(N_("A firewall there, or a switch on the way, drops multicast to it."))
        return Finding("pings", Verdict.WARNING, told, advice, rows)
    if not answering:
        return Finding("pings", Verdict.UNKNOWN, words(N_("No node answered pings by multicast.")))
    behind = [each for each in answering if each.seen_as]
    if behind:
        told = words(
            N_("{names} sees this machine as {seen}: there is a NAT in between."),
            names=listed(each.name for each in behind),
            seen=behind[0].seen_as,
        )
        advice = words(
            N_("Files can be fetched from this machine only where that address leads back to it.")
        )
        return Finding("pings", Verdict.WARNING, told, advice, rows)
    lossy = [each for each in answering if each.multicast.loss > LOSS_SEEN]
    if lossy:
        worst = max(lossy, key=lambda each: each.multicast.loss)
        told = words(
            N_(
                "Pings lost: {percent} %, with {name} the most. Lines come all the same, a"
                " little later."
            ),
            percent=round(100 * worst.multicast.loss),
            name=worst.name,
        )
        advice = words(
            N_("Wi-Fi loses multicast first: come nearer to the access point, or use a cable.")
        )
        return Finding("pings", Verdict.WARNING, told, advice, rows)
    twice = [each.name for each in answering if each.multicast.twice]
    if twice:
        told = words(
            N_("Datagrams of {names} come more than once: harmless; two ways lead there."),
            names=listed(twice),
        )
        return Finding("pings", Verdict.OK, told, None, rows)
    told = words(N_("Nodes that answer pings by multicast: {count}."), count=len(answering))
    return Finding("pings", Verdict.OK, told, None, rows)


def _ping_row(other: Other) -> Words:
    return words(
        N_("{name}: {answered} of {sent} answered, {twice} twice"),
        name=other.name,
        answered=other.multicast.answered,
        sent=other.multicast.sent,
        twice=other.multicast.twice,
    )


def _one_way(other: Other) -> bool:
    deaf = other.multicast.sign is Sign.NO and other.unicast.sign is Sign.OK
    return other.heard and deaf and not other.outside


def masks(facts: Facts) -> Finding:
    """8: nodes on this link that are outside of our masks."""
    outside = [each for each in facts.others if each.outside]
    if not outside:
        return Finding(
            "masks", Verdict.OK, words(N_("All nodes heard are within the masks of this machine."))
        )
    told = words(
        N_(
            "{names} is on this network, but outside of this machine's mask: one of the"
            " two masks is wrong."
        ),
        names=listed(f"{each.name} ({each.outside})" for each in outside),
    )
    advice = words(
        N_("Give all machines of the network the same mask; this one has {masks}."),
        masks=own_masks(facts),
    )
    return Finding("masks", Verdict.PROBLEM, told, advice)


def own_masks(facts: Facts) -> str:
    real = [device for device in facts.devices if not device.why and not device.loopback]
    return listed(each for device in real for each in device.addresses if ":" not in each)


def ageing(facts: Facts) -> Finding:
    """9: whether multicast still passes once switches have forgotten who listens (IGMP)."""
    if not facts.aged:
        return Finding(
            "ageing", Verdict.UNKNOWN, words(N_("Not looked at: --long does, in five minutes."))
        )
    lost = [
        each.name
        for each in facts.others
        if each.afterwards is not None and each.multicast.answered and not each.afterwards.answered
    ]
    if not lost:
        return Finding("ageing", Verdict.OK, words(N_("Multicast still passes after 260 s.")))
    told = words(
        N_(
            "{names} does not answer by multicast any more after 260 s: a switch forgets"
            " who listens."
        ),
        names=listed(lost),
    )
    advice = words(
        N_("Have the switch or router send IGMP queries (a querier), or turn IGMP snooping off.")
    )
    return Finding("ageing", Verdict.WARNING, told, advice)


def versions(facts: Facts) -> Finding:
    """10: protocol, clocks, cloned identities."""
    cloned = [each.name for each in facts.others if each.cloned]
    rows = tuple(
        words(
            N_("{name}: version {program}, clock {ahead} s ahead"),
            name=each.name,
            program=each.program,
            ahead=round(each.ahead, 1),
        )
        for each in facts.others[:ROWS_MOST]
        if each.ahead is not None
    )
    if cloned:
        told = words(
            N_("Two machines share the identity of {names}: a disk was copied."),
            names=listed(cloned),
        )
        advice = words(
            N_(
                "On one of them quit, and move the state folder away: it gets an identity"
                " of its own."
            )
        )
        return Finding("versions", Verdict.PROBLEM, told, advice, rows)
    if facts.versions:
        told = words(
            N_("Another version of the protocol is spoken here too: {versions}."),
            versions=listed(facts.versions),
        )
        return Finding(
            "versions",
            Verdict.WARNING,
            told,
            words(N_("Use the same version of p2pshare everywhere.")),
            rows,
        )
    astray = [each for each in facts.others if abs(each.ahead or 0.0) > CLOCK_SEEN]
    if astray:
        worst = max(astray, key=lambda each: abs(each.ahead or 0.0))
        told = words(
            N_(
                "The clock of {name} is {seconds} s ahead of this one's; lines may show in"
                " an odd order."
            ),
            name=worst.name,
            seconds=round(worst.ahead or 0.0),
        )
        return Finding(
            "versions", Verdict.WARNING, told, words(N_("Have both clocks set by NTP.")), rows
        )
    told = words(N_("Protocol, clocks and identities agree with all nodes that answered."))
    if not rows:
        return Finding(
            "versions", Verdict.UNKNOWN, words(N_("Nobody to compare versions and clocks with."))
        )
    return Finding("versions", Verdict.OK, told, None, rows)
