"""What a doctor makes of facts: the table of conditions, each check, and the cause of it all."""

from __future__ import annotations

import itertools
from errno import ENETUNREACH, EPERM
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.diagnosis import CHECKS, WHOLE, diagnose
from twistedp2p.core.diagnosis.conditions import CONDITIONS, Cause, Sign, Signs, causes
from twistedp2p.core.diagnosis.facts import (
    Answers,
    Buffers,
    Device,
    Facts,
    Listened,
    Loop,
    Oneself,
    Other,
    Route,
    Trial,
)
from twistedp2p.core.diagnosis.findings import NAMES_MOST, Verdict, listed
from twistedp2p.core.diagnosis.firewalls import INWARD, OUTWARD, open_inward, open_outward
from twistedp2p.core.diagnosis.there import cause_of
from twistedp2p.core.errors import Exit, words

ALL, SOME, NONE = Answers(20, 20), Answers(20, 15), Answers(20, 0)
OK, NO, EPERM_, TIMEOUT = Sign.OK, Sign.NO, Sign.REFUSED, Sign.TIMEOUT
REACHABLE, INCOMPLETE = Sign.REACHABLE, Sign.INCOMPLETE
ETH0 = Device("eth0", ("10.0.0.1/24", "fe80::1/64"), 1500)
LO = Device("lo", ("127.0.0.1/8",), 65536, loopback=True)
BOB = Other(
    "bob",
    ("10.0.0.2",),
    True,
    ALL,
    Answers(5, 5),
    Answers(5, 5),
    OK,
    REACHABLE,
    ahead=0.1,
    program="1",
)
FINE = Facts(
    "239.0.0.1",
    9392,
    devices=(ETH0, LO),
    route=Route("eth0"),
    trials=(Trial("UDP 9392"), Trial("UDP 9393")),
    loops=(Loop("eth0", 20, 20),),
    oneself=(Oneself("10.0.0.1", True, True),),
    listened=Listened(10.0, 1, 0, 0),
    others=(BOB,),
    buffers=Buffers(4_194_304, 212_992, 0),
)
# As NETWORK.md's table has it: self-loop, multicast, broadcast, unicast, TCP, ARP.
TABLE = {
    Cause.FINE: (OK, OK, OK, OK, OK, REACHABLE),
    Cause.CLIENT_ISOLATION: (OK, NO, NO, NO, TIMEOUT, INCOMPLETE),
    Cause.MULTICAST_FILTERED: (OK, NO, OK, OK, OK, REACHABLE),
    Cause.PEER_FIREWALL: (OK, NO, NO, NO, TIMEOUT, REACHABLE),
    Cause.OWN_FIREWALL: (NO, NO, NO, OK, OK, REACHABLE),
    Cause.OUTGOING_RULE: (EPERM_, EPERM_, OK, OK, OK, REACHABLE),
}
ANSWERS = {OK: ALL, NO: NONE, EPERM_: Answers(20, 0, 0, EPERM), None: Answers()}
LOOPS = {OK: Loop("eth0", 20, 20), NO: Loop("eth0", 20, 0), EPERM_: Loop("eth0", 20, 0, EPERM)}


def facts_of(signs: Signs) -> Facts:
    """Facts with one other host of these signs."""
    other = Other(
        "bob",
        ("10.0.0.2",),
        multicast=ANSWERS[signs.multicast],
        broadcast=ANSWERS[signs.broadcast],
        unicast=ANSWERS[signs.unicast],
        tcp=signs.tcp,
        arp=signs.arp,
    )
    loops = (LOOPS[signs.loop],) if signs.loop else ()
    return attrs.evolve(FINE, loops=loops, others=(other,))


def with_bob(**changes: Any) -> Facts:
    """Fine facts, but for these of bob's."""
    return attrs.evolve(FINE, others=(attrs.evolve(BOB, **changes),))


class ConditionTests(SynchronousTestCase):
    def test_every_row_of_the_table_is_told_by_its_signs(self) -> None:
        for cause, row in TABLE.items():
            self.assertEqual(causes(Signs(*row)), [cause])
            self.assertEqual(diagnose(facts_of(Signs(*row))).cause, cause)

    def test_every_row_is_told_from_all_others(self) -> None:
        for one, other in itertools.combinations(TABLE.values(), 2):
            self.assertNotEqual(one, other)

    def test_every_row_of_ours_gives_its_own_cause_first_where_it_is_seen_whole(self) -> None:
        for cause, row in CONDITIONS:
            seen = attrs.evolve(row)
            self.assertIn(cause, causes(seen))

    def test_what_was_not_looked_at_agrees_with_everything(self) -> None:
        self.assertEqual(set(causes(Signs())), {cause for cause, _ in CONDITIONS})
        for cause, row in TABLE.items():
            for at in range(6):
                seen = [*row[:at], None, *row[at + 1 :]]
                self.assertIn(cause, causes(Signs(*seen)))

    def test_signs_of_no_row_are_unclear(self) -> None:
        self.assertEqual(causes(Signs(OK, NO, OK, NO, OK, REACHABLE)), [Cause.UNCLEAR])

    def test_whatever_the_signs_one_cause_with_its_words_is_given(self) -> None:
        ways = (OK, NO, EPERM_, None)
        every = itertools.product(
            (OK, NO, EPERM_, None), ways, ways, ways, (OK, EPERM_, TIMEOUT, None),
            (REACHABLE, INCOMPLETE, None),
        )  # fmt: skip
        for signs in every:
            diagnosis = diagnose(facts_of(Signs(*signs)))
            if signs[0] is NO:
                self.assertIs(diagnosis.cause, Cause.OWN_FIREWALL)
            elif signs[0] is EPERM_:
                self.assertIs(diagnosis.cause, Cause.OUTGOING_RULE)
            elif signs[:4] == (OK, OK, OK, OK) and signs[4] is OK:
                self.assertIs(diagnosis.cause, Cause.FINE)
            self.assertEqual(diagnosis.exit == Exit.OK, diagnosis.cause is Cause.FINE)
            self.assertNotIn("{", str(diagnosis.what) + str(diagnosis.advice))

    def test_every_cause_has_words_a_verdict_and_an_exit_code(self) -> None:
        self.assertEqual(set(WHOLE), set(Cause))


class CauseTests(SynchronousTestCase):
    def cause(self, **changes: Any) -> Cause:
        return diagnose(attrs.evolve(FINE, **changes)).cause

    def test_all_well(self) -> None:
        diagnosis = diagnose(FINE)
        self.assertEqual((diagnosis.cause, diagnosis.exit), (Cause.FINE, Exit.OK))
        self.assertEqual(str(diagnosis.what), "All is well: nodes reached every way: 1.")
        self.assertIsNone(diagnosis.advice)
        self.assertEqual([found.check for found in diagnosis.findings], list(CHECKS))

    def test_what_is_wrong_here_comes_before_what_is_wrong_elsewhere(self) -> None:
        held = Trial("UDP 9392", words("UDP port 9392 is held by nc (process 7)"))
        wrong = {
            "others": facts_of(Signs(*TABLE[Cause.PEER_FIREWALL])).others,
            "oneself": (Oneself("10.0.0.1", True, 0),),
            "loops": (LOOPS[NO],),
            "trials": (held,),
            "devices": (attrs.evolve(ETH0, why="it is down"), LO),
        }
        order = [
            Cause.PEER_FIREWALL,
            Cause.OWN_FIREWALL,
            Cause.OWN_FIREWALL,
            Cause.PORT_TAKEN,
            Cause.NO_NETWORK,
        ]
        facts = FINE
        for (name, value), cause in zip(wrong.items(), order, strict=True):
            facts = attrs.evolve(facts, **{name: value})
            self.assertIs(diagnose(facts).cause, cause)
            self.assertEqual(diagnose(facts).verdict, Verdict.PROBLEM)

    def test_nobody_there(self) -> None:
        self.assertIs(self.cause(others=(), listened=Listened(10, 0, 0, 0)), Cause.ALONE)
        heard = Listened(10, 0, 3, 0)
        self.assertIs(self.cause(others=(), listened=heard), Cause.FILTERED_OR_ALONE)
        self.assertIs(self.cause(others=(), listened=heard, closed=1), Cause.CLOSED_GROUP)
        diagnosis = diagnose(attrs.evolve(FINE, others=()))
        self.assertEqual((diagnosis.exit, diagnosis.verdict), (Exit.ALONE, Verdict.UNKNOWN))

    def test_a_host_of_a_closed_group_is_not_said_to_have_a_firewall(self) -> None:
        [anna] = facts_of(Signs(OK, NO, NO, NO, OK, REACHABLE)).others
        self.assertIs(self.cause(others=(anna,)), Cause.PEER_FIREWALL)
        sealed = attrs.evolve(anna, closed=True)
        for others in (
            (sealed,),
            (sealed, anna),  # who did not speak while we listened
            (attrs.evolve(sealed, tcp=EPERM_),),  # without files
        ):
            diagnosis = diagnose(attrs.evolve(FINE, others=others, closed=1))
            self.assertEqual((diagnosis.cause, diagnosis.exit), (Cause.CLOSED_GROUP, Exit.ALONE))
            found = diagnosis.findings[list(CHECKS).index("hosts")]
            self.assertIs(found.verdict, Verdict.UNKNOWN)
            self.assertIn(f"closed group, whose code is not here: {len(others)}.", str(found.what))
        speaks = attrs.evolve(sealed, heard=True)  # to our group, too
        self.assertIs(self.cause(others=(speaks,), closed=1), Cause.PEER_FIREWALL)
        shut = attrs.evolve(anna, tcp=TIMEOUT)
        self.assertIs(self.cause(others=(sealed, shut, shut), closed=1), Cause.PEER_FIREWALL)
        self.assertIs(self.cause(others=(BOB, sealed), closed=1), Cause.SEE_CHECKS)

    def test_nobody_but_on_this_machine(self) -> None:
        diagnosis = diagnose(attrs.evolve(FINE, others=(), listened=Listened(10, 0, 3, 2)))
        self.assertEqual((diagnosis.cause, diagnosis.exit), (Cause.THIS_MACHINE, Exit.ALONE))
        self.assertIn("(2)", str(diagnosis.what))

    def test_another_network_is_nothing_to_mend(self) -> None:
        [far] = facts_of(Signs(*TABLE[Cause.MULTICAST_FILTERED])).others
        far = attrs.evolve(far, name="carol", far=True, broadcast=NONE, arp=None)
        diagnosis = diagnose(attrs.evolve(FINE, others=(far,)))
        self.assertEqual((diagnosis.cause, diagnosis.exit), (Cause.OTHER_NETWORK, Exit.OK))
        self.assertEqual(diagnosis.verdict, Verdict.OK)
        self.assertIn("carol is on another network", str(diagnosis.what))
        both = diagnose(attrs.evolve(FINE, others=(BOB, far)))
        self.assertEqual((both.cause, both.exit), (Cause.FINE, Exit.OK))
        self.assertEqual(str(both.what), "All is well: nodes reached every way: 1.")
        [hosts] = [each for each in both.findings if each.check == "hosts"]
        self.assertEqual((hosts.verdict, hosts.what.values["far"]), (Verdict.OK, 1))
        silent = facts_of(Signs(*TABLE[Cause.PEER_FIREWALL])).others
        worse = diagnose(attrs.evolve(FINE, others=(far, *silent)))
        self.assertEqual((worse.cause, worse.exit), (Cause.PEER_FIREWALL, Exit.WARNED))

    def test_where_some_are_reached_every_way_the_rest_is_a_warning(self) -> None:
        [bad] = facts_of(Signs(*TABLE[Cause.MULTICAST_FILTERED])).others
        diagnosis = diagnose(attrs.evolve(FINE, others=(BOB, attrs.evolve(bad, name="carol"))))
        self.assertEqual(
            (diagnosis.cause, diagnosis.exit, diagnosis.verdict),
            (Cause.MULTICAST_FILTERED, Exit.WARNED, Verdict.WARNING),
        )
        self.assertIn("carol", str(diagnosis.what))
        self.assertNotIn("bob", str(diagnosis.what))

    def test_the_cause_that_most_suffer_from_is_told(self) -> None:
        firewall = facts_of(Signs(*TABLE[Cause.PEER_FIREWALL])).others
        filtered = facts_of(Signs(*TABLE[Cause.MULTICAST_FILTERED])).others
        self.assertIs(self.cause(others=firewall + 2 * filtered), Cause.MULTICAST_FILTERED)
        self.assertIs(self.cause(others=2 * firewall + filtered), Cause.PEER_FIREWALL)

    def test_one_that_is_silent_while_others_answer_arp_is_not_isolated(self) -> None:
        [silent] = facts_of(Signs(*TABLE[Cause.CLIENT_ISOLATION])).others
        self.assertIs(self.cause(others=(silent,)), Cause.CLIENT_ISOLATION)
        self.assertIs(self.cause(others=(silent, BOB)), Cause.ABSENT)

    def test_without_arp_silence_has_no_one_cause(self) -> None:
        self.assertIs(diagnose(facts_of(Signs(OK, NO, NO, NO, TIMEOUT))).cause, Cause.UNCLEAR)

    def test_a_host_outside_of_our_masks_that_is_not_reached_has_a_wrong_one(self) -> None:
        self.assertIs(diagnose(with_bob(outside="10.0.9.2", unicast=NONE)).cause, Cause.WRONG_MASK)
        self.assertIs(diagnose(with_bob(outside="10.0.9.2", tcp=TIMEOUT)).cause, Cause.WRONG_MASK)
        reached = diagnose(with_bob(outside="10.0.9.2"))
        self.assertEqual((reached.cause, reached.exit), (Cause.SEE_CHECKS, Exit.WARNED))
        self.assertIn("check 8", str(reached.what))

    def test_one_way(self) -> None:
        deaf = attrs.evolve(BOB, multicast=NONE, broadcast=NONE)
        self.assertIs(cause_of(deaf, FINE), Cause.ONE_WAY)
        self.assertIs(cause_of(attrs.evolve(deaf, heard=False), FINE), Cause.MULTICAST_FILTERED)

    def test_a_machine_without_a_node(self) -> None:
        signs = Signs(OK, NO, NO, NO, EPERM_, REACHABLE)
        self.assertIs(diagnose(facts_of(signs)).cause, Cause.NO_NODE)

    def test_files_that_cannot_be_fetched(self) -> None:
        for tcp in (TIMEOUT, EPERM_):
            self.assertIs(diagnose(with_bob(tcp=tcp)).cause, Cause.FILES_BLOCKED)
        self.assertIs(diagnose(with_bob(tcp=None)).cause, Cause.FINE)  # it serves none

    def test_the_sign_of_several_interfaces(self) -> None:
        lo = Loop("lo", 20, 20, loopback=True)
        for loops, sign in (
            ((), None),
            ((lo,), OK),
            ((lo, LOOPS[NO]), NO),
            ((LOOPS[NO], LOOPS[OK]), OK),
            ((LOOPS[NO], LOOPS[EPERM_]), EPERM_),
        ):
            self.assertIs(attrs.evolve(FINE, loops=loops).loop, sign)


class CheckTests(SynchronousTestCase):
    def finding(self, check: str, **changes: Any) -> Any:
        return CHECKS[check](attrs.evolve(FINE, **changes))

    def assertFinding(self, check: str, verdict: Verdict, text: str, **changes: Any) -> Any:
        found = self.finding(check, **changes)
        self.assertEqual((found.check, found.verdict), (check, verdict))
        self.assertIn(text, f"{found.what}\n{found.advice}\n" + "\n".join(map(str, found.rows)))
        return found

    def test_nothing_is_wrong_with_fine_facts_and_little_with_none(self) -> None:
        for check in CHECKS:
            self.assertIn(self.finding(check).verdict, (Verdict.OK, Verdict.UNKNOWN))
        for check in ("loop", "oneself", "listening", "hosts", "pings", "versions", "buffers"):
            self.assertEqual(CHECKS[check](Facts("239.0.0.1", 9392)).verdict, Verdict.UNKNOWN)

    def test_interfaces(self) -> None:
        down = Device("wlan0", (), 1500, "it is down")
        self.assertFinding(
            "interfaces", Verdict.OK, "wlan0  -: not used, it is down", devices=(ETH0, down)
        )
        self.assertFinding(
            "interfaces", Verdict.OK, "ip route add 224.0.0.0/4 dev eth0", route=Route("")
        )
        self.assertFinding("interfaces", Verdict.OK, "tun0 owns the route", route=Route("tun0"))
        self.assertFinding(
            "interfaces", Verdict.OK, "eth0 owns the route", route=Route("eth0", True)
        )
        self.assertFinding("interfaces", Verdict.PROBLEM, "no interface but", devices=(down, LO))
        self.assertFinding("interfaces", Verdict.PROBLEM, "no interface but", devices=())
        self.assertFinding("interfaces", Verdict.WARNING, "Only lo", devices=(LO,), asked_for=True)

    def test_ports(self) -> None:
        held = "UDP port 9392 is held by nc (process 7), which does not share it"
        self.assertFinding("ports", Verdict.PROBLEM, held, trials=(Trial("UDP 9392", words(held)),))
        taken = Trial("TCP 9393", words("TCP port 9393 is in use"), needed=False)
        self.assertFinding("ports", Verdict.OK, "TCP port 9393 is in use", trials=(taken,))
        join = Trial("wlan0", words("cannot join 239.0.0.1 on wlan0"), join=True)
        self.assertFinding(
            "ports", Verdict.WARNING, "cannot join", trials=(join, Trial("UDP 9392"))
        )
        self.assertFinding(
            "ports", Verdict.PROBLEM, held, trials=(join, Trial("UDP 9392", words(held)))
        )

    def test_loop(self) -> None:
        for firewall in INWARD:
            self.assertFinding(
                "loop",
                Verdict.PROBLEM,
                open_inward(firewall, 9392),
                loops=(LOOPS[NO],),
                firewall=firewall,
            )
            self.assertNotIn("{", open_inward(firewall, 9392))
        for firewall in OUTWARD:
            self.assertFinding(
                "loop",
                Verdict.PROBLEM,
                open_outward(firewall, 9392),
                loops=(LOOPS[EPERM_],),
                firewall=firewall,
            )
        self.assertIn("iptables", str(self.finding("loop", loops=(LOOPS[NO],)).advice))
        refused = Loop("eth0", 20, 0, ENETUNREACH)
        self.assertFinding("loop", Verdict.PROBLEM, "refuses to send", loops=(refused,))
        wlan = Loop("wlan0", 20, 0)
        found = self.assertFinding("loop", Verdict.WARNING, "(wlan0)", loops=(LOOPS[OK], wlan))
        self.assertNotIn("eth0", str(found.what))

    def test_the_line_opens_the_family_that_is_shut(self) -> None:
        four, six = "10.0.0.2:9393", "[fe80::2%eth0]:9393"
        for way in (open_inward, open_outward):
            self.assertNotIn("ip6tables", way("iptables", 9392, [four]))
            only = way("iptables", 9392, [six])
            self.assertNotIn("sudo iptables", only)
            both = way("", 9392, [six, four, six])
            self.assertEqual(both, f"{way('iptables', 9392)} && {only}")
            for firewall in ("ufw", "nft", "netsh", "macos"):
                self.assertEqual(way(firewall, 9392, [six, four]), way(firewall, 9392))
        self.assertIn("--add-rule ipv6 filter", open_outward("firewalld", 9392, [six]))
        self.assertEqual(open_outward("firewalld", 9392, [six, four]).count("--add-rule"), 2)
        self.assertEqual(open_inward("firewalld", 9392, [six, four]).count("--add-port"), 2)

    def test_checks_and_cause_name_the_family_that_is_shut(self) -> None:
        for loop in (LOOPS[NO], LOOPS[EPERM_]):
            six = attrs.evolve(loop, source="[fe80::1]:5000")
            found = self.assertFinding("loop", Verdict.PROBLEM, "sudo ip6tables", loops=(six,))
            self.assertNotIn("sudo iptables", str(found.advice))
            found = self.assertFinding("loop", Verdict.PROBLEM, "sudo iptables", loops=(loop, six))
            self.assertIn("sudo ip6tables", str(found.advice))
        itself = (Oneself("fe80::1", False, True),)
        self.assertFinding("oneself", Verdict.PROBLEM, "sudo ip6tables", oneself=itself)
        shut = facts_of(Signs(*TABLE[Cause.PEER_FIREWALL]))
        [other] = shut.others
        six = attrs.evolve(other, hosts=("fe80::2%eth0",))
        advice = str(diagnose(attrs.evolve(shut, others=(six,))).advice)
        self.assertIn("sudo ip6tables", advice)
        self.assertNotIn("sudo iptables", advice)

    def test_oneself(self) -> None:
        for bad in (Oneself("10.0.0.1", False, True), Oneself("10.0.0.1", True, 0)):
            self.assertFinding("oneself", Verdict.PROBLEM, "10.0.0.1", oneself=(bad,))

    def test_listening(self) -> None:
        self.assertFinding("listening", Verdict.OK, "within 10 s: 1")
        self.assertFinding(
            "listening", Verdict.OK, "Nodes on this machine: 2", listened=Listened(3, 1, 0, 2)
        )
        for seconds, verdict, told in (
            (3, Verdict.OK, "none spoke of itself within 3 s"),
            (10, Verdict.WARNING, "in one direction only"),
        ):
            listened = Listened(seconds, 0, 2, 0)
            self.assertFinding("listening", verdict, told, listened=listened)
        alone = {"listened": Listened(3, 0, 0, 1), "others": ()}
        self.assertFinding("listening", Verdict.UNKNOWN, "but nodes of this", **alone)
        lossy = attrs.evolve(BOB, multicast=Answers(20, 9))
        for machines, others, verdict, told in (
            (2, (), Verdict.WARNING, "mDNS: 2"),
            (2, (lossy,), Verdict.WARNING, "mDNS: 2"),
            (0, (), Verdict.UNKNOWN, "kept apart"),
        ):
            listened = Listened(10, 0, machines, 0)
            self.assertFinding("listening", verdict, told, listened=listened, others=others)
        self.assertFinding(
            "listening",
            Verdict.UNKNOWN,
            "--group-code-file",
            listened=Listened(3, 0, 2, 0),
            closed=1,
        )

    def test_hosts(self) -> None:
        self.assertFinding("hosts", Verdict.OK, "TCP ok, ARP reachable")
        deaf = attrs.evolve(BOB, multicast=Answers(), unicast=NONE, tcp=TIMEOUT, arp=None)
        self.assertFinding(
            "hosts",
            Verdict.PROBLEM,
            "multicast -, broadcast ok, unicast no, TCP timeout, ARP -",
            others=(deaf,),
        )
        self.assertFinding("hosts", Verdict.WARNING, "1 of 2", others=(BOB, deaf))
        two = attrs.evolve(BOB, hosts=("10.0.0.2", "10.0.0.3"))
        self.assertFinding("hosts", Verdict.OK, "bob (10.0.0.2, 10.0.0.3): mul", others=(two,))
        self.assertFinding("hosts", Verdict.UNKNOWN, "--peer", others=())

    def test_pings(self) -> None:
        bad = {
            "25 %": attrs.evolve(BOB, multicast=SOME),
            "One way": attrs.evolve(BOB, multicast=NONE),
            "there is a NAT": attrs.evolve(BOB, seen_as="192.0.2.1:40000"),
        }
        for text, other in bad.items():
            self.assertFinding("pings", Verdict.WARNING, text, others=(other,))
        twice = attrs.evolve(BOB, multicast=Answers(20, 20, 20))
        self.assertFinding("pings", Verdict.OK, "more than once", others=(twice,))
        self.assertFinding(
            "pings",
            Verdict.OK,
            "bob: 18 of 20",
            others=(attrs.evolve(BOB, multicast=Answers(20, 18)),),
        )

    def test_masks(self) -> None:
        outside = attrs.evolve(BOB, outside="10.0.9.2")
        found = self.assertFinding("masks", Verdict.PROBLEM, "bob (10.0.9.2)", others=(outside,))
        self.assertIn("10.0.0.1/24", str(found.advice))
        self.assertNotIn("fe80", str(found.advice))

    def test_ageing(self) -> None:
        self.assertFinding("ageing", Verdict.UNKNOWN, "--long")
        for afterwards, verdict in ((ALL, Verdict.OK), (NONE, Verdict.WARNING)):
            other = attrs.evolve(BOB, afterwards=afterwards)
            self.assertFinding("ageing", verdict, "260 s", others=(other,), aged=True)

    def test_versions(self) -> None:
        self.assertFinding("versions", Verdict.OK, "bob: version 1, clock 0.1 s ahead")
        self.assertFinding(
            "versions",
            Verdict.PROBLEM,
            "a disk was copied",
            others=(attrs.evolve(BOB, cloned=True),),
        )
        self.assertFinding("versions", Verdict.WARNING, "too: 2", versions=("2",))
        for ahead in (3600.0, -3600.0):
            other = attrs.evolve(BOB, ahead=ahead)
            self.assertFinding(
                "versions", Verdict.WARNING, f"bob is {ahead:.0f} s", others=(BOB, other)
            )

    def test_buffers(self) -> None:
        self.assertFinding(
            "buffers", Verdict.WARNING, "rmem_max=4194304", buffers=Buffers(4_194_304, 212_992, 7)
        )
        narrow = attrs.evolve(ETH0, mtu=1279)
        self.assertFinding("buffers", Verdict.WARNING, "ip link set eth0 mtu", devices=(narrow,))
        self.assertFinding(
            "buffers", Verdict.OK, "212992", devices=(attrs.evolve(narrow, why="it is down"),)
        )

    @settings(deadline=None)
    @given(st.lists(st.text(max_size=5), max_size=20))
    def test_however_many_names_a_sentence_has_a_few(self, names: list[str]) -> None:
        text = listed(names)
        self.assertEqual("… (+" in text, len(set(names)) > NAMES_MOST)

    def test_a_crowd_makes_no_endless_report(self) -> None:
        crowd = tuple(attrs.evolve(BOB, name=f"node{number}") for number in range(1000))
        for finding in diagnose(attrs.evolve(FINE, others=crowd)).findings:
            self.assertLessEqual(len(finding.rows), 50)
            self.assertLess(len(str(finding.what)), 300)
