"""The checks of this host itself: each makes one `Finding` of the facts."""

from __future__ import annotations

from errno import EPERM

import attrs

from twistedp2p.core.diagnosis.conditions import Sign
from twistedp2p.core.diagnosis.facts import Device, Facts
from twistedp2p.core.diagnosis.findings import Finding, Verdict, listed, run
from twistedp2p.core.diagnosis.firewalls import open_inward, open_outward
from twistedp2p.core.errors import N_, Words, words

MTU_LEAST = 1280  # bytes: a whole datagram of 1,200 with its headers, over IPv6 too
_ADD_ROUTE = "sudo ip route add 224.0.0.0/4 dev {device}"


def interfaces(facts: Facts) -> Finding:
    """1: which interfaces there are, which are used, and who owns the route to the group."""
    used = [device for device in facts.devices if not device.why]
    real = [device.name for device in used if not device.loopback]
    names = listed(real or [device.name for device in used])
    rows = tuple(_device_row(device) for device in facts.devices)
    if not real and facts.asked_for and used:
        told = words(
            N_("Only {names} is used, as was asked for: other hosts cannot be met."), names=names
        )
        return Finding("interfaces", Verdict.WARNING, told, None, rows)
    if not real:
        told = words(N_("No network can be used: there is no interface but the loopback."))
        advice = words(N_("Plug in the cable or join the Wi-Fi; see the reasons above."))
        return Finding("interfaces", Verdict.PROBLEM, told, advice, rows)
    route = facts.route
    line = words(N_("For plain scripts: {line}"), line=_ADD_ROUTE.format(device=real[0]))
    if route is not None and not route.device:
        told = words(
            N_(
                "Interfaces used: {names}. There is no route to the group: nodes need none, plain"
                " scripts do."
            ),
            names=names,
        )
        return Finding("interfaces", Verdict.OK, told, line, rows)
    if route is not None and (route.tunnel or route.device not in {each.name for each in used}):
        told = words(
            N_(
                "Interfaces used: {names}. {device} owns the route to the group: plain scripts"
                " send into it, nodes do not."
            ),
            names=names,
            device=route.device,
        )
        return Finding("interfaces", Verdict.OK, told, line, rows)
    told = words(N_("Interfaces used: {names}."), names=names)
    return Finding("interfaces", Verdict.OK, told, None, rows)


def _device_row(device: Device) -> Words:
    values = {"name": device.name, "addresses": listed(device.addresses) or "-", "mtu": device.mtu}
    if device.why:
        return words(N_("{name}  {addresses}: not used, {why}"), **values, why=device.why)
    return words(N_("{name}  {addresses}, MTU {mtu}: used"), **values)


def ports(facts: Facts) -> Finding:
    """2: whether the ports can be had and the group joined, and who holds them else."""
    refused = [trial for trial in facts.trials if trial.refusal]
    rows = tuple(
        words(N_("{what}: {why}"), what=trial.what, why=trial.refusal) for trial in refused
    )
    if not any(trial.needed for trial in refused):
        told = words(
            N_("The ports {first} and {last} can be had, and the group joined."),
            first=facts.port,
            last=facts.port + 1,
        )
        return Finding("ports", Verdict.OK, told, None, rows)
    refused = [trial for trial in refused if trial.needed]
    told = words(N_("The system refuses: {why}."), why=refused[0].refusal)
    advice = words(N_("End the program that holds it, or have everybody take another --port."))
    if all(trial.join for trial in refused):
        advice = words(N_("The other interfaces do without; see the system's log on that one."))
        return Finding("ports", Verdict.WARNING, told, advice, rows)
    return Finding("ports", Verdict.PROBLEM, told, advice, rows)


def loop(facts: Facts) -> Finding:
    """3: whether this host hears what it sends itself, on each interface."""
    real = [each for each in facts.loops if not each.loopback] or list(facts.loops)
    bad = [each for each in real if each.sign is not Sign.OK]
    names = listed(each.device for each in bad)
    sources = [each.source for each in bad]
    verdict = Verdict.PROBLEM if len(bad) == len(real) else Verdict.WARNING
    if not real:
        return Finding("loop", Verdict.UNKNOWN, words(N_("Nothing could be sent to the group.")))
    if not bad:
        return Finding(
            "loop", Verdict.OK, words(N_("What is sent to the group is heard here again."))
        )
    if any(each.errno == EPERM for each in bad):
        told = words(
            N_("A rule of this machine's own firewall forbids sending to the group ({names})."),
            names=names,
        )
        return Finding(
            "loop", verdict, told, run(open_outward(facts.firewall, facts.port, sources))
        )
    if any(each.errno for each in bad):
        told = words(N_("The system refuses to send to the group ({names})."), names=names)
        return Finding("loop", verdict, told, words(N_("See checks 1 and 2.")))
    told = words(
        N_(
            "This machine does not hear what it sends: its own firewall drops what comes"
            " in ({names})."
        ),
        names=names,
    )
    return Finding("loop", verdict, told, run(open_inward(facts.firewall, facts.port, sources)))


def oneself(facts: Facts) -> Finding:
    """4: whether this host reaches itself over its address on the network."""
    bad = [each for each in facts.oneself if not (each.udp and each.tcp)]
    addresses = [each.address for each in bad]
    if not facts.oneself:
        return Finding(
            "oneself", Verdict.UNKNOWN, words(N_("There is no address to reach oneself by."))
        )
    if not bad:
        names = listed(each.address for each in facts.oneself)
        return Finding(
            "oneself",
            Verdict.OK,
            words(N_("This machine reaches itself over {names}."), names=names),
        )
    told = words(
        N_("This machine does not reach itself over {names}: its own firewall is in the way."),
        names=listed(addresses),
    )
    line = open_inward(facts.firewall, facts.port, addresses)
    return Finding("oneself", Verdict.PROBLEM, told, run(line))


def buffers(facts: Facts) -> Finding:
    """11: datagrams that the system dropped, the buffer that it grants, and the MTU."""
    narrow = [each for each in facts.devices if not each.why and each.mtu < MTU_LEAST]
    if narrow:
        told = words(
            N_("The MTU of {names} is under {least}: datagrams do not pass whole."),
            names=listed(each.name for each in narrow),
            least=MTU_LEAST,
        )
        advice = words(N_("Run: {line}"), line=f"sudo ip link set {narrow[0].name} mtu 1500")
        return Finding("buffers", Verdict.WARNING, told, advice)
    if facts.buffers is None:
        return Finding(
            "buffers", Verdict.UNKNOWN, words(N_("This system does not tell of its buffers."))
        )
    values = attrs.asdict(facts.buffers)
    if facts.buffers.dropped:
        told = words(
            N_(
                "The system dropped {dropped} datagrams that found no room (buffer"
                " {granted} of {asked} bytes)."
            ),
            **values,
        )
        return Finding(
            "buffers",
            Verdict.WARNING,
            told,
            run(f"sudo sysctl -w net.core.rmem_max={facts.buffers.asked}"),
        )
    told = words(
        N_("No datagram was dropped for want of room (buffer {granted} of {asked} bytes)."),
        **values,
    )
    return Finding("buffers", Verdict.OK, told)
