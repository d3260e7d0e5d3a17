"""Closed groups: who hears whom, what changes with the code, and what strangers get."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.groups import CODES, key_of
from tests.node.fakes import EPOCH_START, GROUP, PORT, FakeReactor, Lan, Stranger, offer_of
from twistedp2p.core.datagrams.closed import (
    BLOCK,
    MARK,
    NONCE,
    OLD_CODE_FOR,
    TAG,
    ClosedEnvelope,
    GroupKey,
)
from twistedp2p.core.datagrams.datagram import Signed, group_name, parse, verify
from twistedp2p.core.errors import ShareError
from twistedp2p.core.events import Event, Joined, Notice, OfferAdded, Said
from twistedp2p.core.names import offer_id
from twistedp2p.disk.state.code_file import write_codes
from twistedp2p.net.pump import in_threads_of
from twistedp2p.node import Node
from twistedp2p.node.presence.membership import LOOK_EVERY, Membership

NAME = group_name(GROUP, PORT)
ONE, OTHER, THIRD = CODES


class Memories:
    """Notes what it is asked; a memory is called as its group."""

    def __init__(self) -> None:
        self.same: list[tuple[str, str]] = []
        self.refuses = False

    def database_of(self, group: str) -> Path:
        return Path(group)

    def same_memory(self, old: str, new: str) -> None:
        if self.refuses:
            raise ShareError("The disk is full.")
        self.same.append((old, new))


class MembershipTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(GroupKey, "of_code", key_of)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "code"
        self.clock, self.memories = FakeReactor(), Memories()
        self.events: list[Event] = []
        self.changes = 0
        self.saves = 0

    def wall(self) -> float:
        return EPOCH_START + self.clock.seconds()

    def codes_changed(self) -> None:
        self.changes += 1

    def save(self, *codes: str, text: str | None = None) -> None:
        """Write the file as of now."""
        self.saves += 1
        if text is None:
            write_codes(self.path, *codes, replace=True)
        else:
            self.path.write_text(text)
            self.path.chmod(0o600)
        now = int(self.wall() * 10**9) + self.saves
        os.utime(self.path, ns=(now, now))

    def member(self, code: str | Path | None = None) -> Membership:
        membership = Membership(
            NAME,
            code or self.path,
            self.memories,
            self,
            self.events.append,
            clock=self.clock,
            wall=self.wall,
            in_thread=in_threads_of(self.clock),
        )
        self.addCleanup(membership.stop)
        membership.start()
        return membership

    def opens(self, membership: Membership) -> list[str]:
        """The codes whose datagrams are opened."""
        return [
            code
            for code in CODES
            if membership.envelope.open(ClosedEnvelope(NAME, key_of(code, NAME)).seal(b"coucou"))
        ]

    def seals(self, membership: Membership) -> list[str]:
        """The codes that open what is sealed."""
        sealed = membership.envelope.seal(b"coucou")
        return [code for code in CODES if ClosedEnvelope(NAME, key_of(code, NAME)).open(sealed)]

    def notices(self) -> list[str]:
        return [
            event.sentence.format(**event.values)
            for event in self.events
            if isinstance(event, Notice)
        ]


class StartTests(MembershipTestCase):
    def test_a_code_alone_opens_and_seals_and_is_not_watched(self) -> None:
        member = self.member(ONE.upper())
        self.assertEqual((self.opens(member), self.seals(member)), ([ONE], [ONE]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_code_of_before_opens_as_long_as_it_is_not_ten_minutes_ago(self) -> None:
        self.save(ONE, OTHER)
        self.clock.run_for(60)
        member = self.member()
        self.assertEqual((self.opens(member), self.seals(member)), ([ONE, OTHER], [ONE]))
        self.clock.run_for(OLD_CODE_FOR - 61)
        self.assertEqual(self.opens(member), [ONE, OTHER])
        self.clock.run_for(2)
        self.assertEqual(self.opens(member), [ONE])
        self.assertEqual(self.changes, 1)

    def test_after_that_it_opens_nothing(self) -> None:
        self.save(ONE, OTHER)
        self.clock.run_for(OLD_CODE_FOR)
        member = self.member()
        self.assertEqual(self.opens(member), [ONE])

    def test_a_file_of_the_future_gives_it_no_more_than_ten_minutes(self) -> None:
        self.clock.run_for(10**6)
        self.save(ONE, OTHER)
        self.clock = FakeReactor()
        member = self.member()
        self.clock.run_for(OLD_CODE_FOR + 1)
        self.assertEqual(self.opens(member), [ONE])

    def test_the_memory_is_that_of_the_code_of_before_however_long_ago(self) -> None:
        self.save(ONE, OTHER)
        self.clock.run_for(10 * OLD_CODE_FOR)
        member = self.member()
        one, other = (key_of(code, NAME).memory for code in (ONE, OTHER))
        self.assertEqual(self.memories.same, [(other, one)])
        self.assertEqual(member.database, Path(one))

    def test_without_a_code_of_before_there_is_nothing_to_forget(self) -> None:
        self.save(ONE)
        self.member()
        self.clock.run_for(2 * OLD_CODE_FOR)
        self.assertEqual((self.events, self.changes), ([], 0))

    def test_no_code_is_a_sentence(self) -> None:
        self.assertRaises(ShareError, self.member)
        self.assertRaises(ShareError, self.member, "monpass")


class ChangeTests(MembershipTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.save(ONE)
        self.it = self.member()
        self.clock.run_for(3 * LOOK_EVERY)

    def test_a_new_code_seals_at_once_and_the_old_one_opens_for_ten_minutes(self) -> None:
        self.save(OTHER)
        self.clock.run_for(2 * LOOK_EVERY)
        self.assertEqual((self.opens(self.it), self.seals(self.it)), ([ONE, OTHER], [OTHER]))
        self.clock.run_for(OLD_CODE_FOR - 1)
        self.assertEqual(self.opens(self.it), [ONE, OTHER])
        self.clock.run_for(2)
        self.assertEqual(self.opens(self.it), [OTHER])
        self.assertEqual(self.changes, 2)
        self.assertEqual(
            self.notices(),
            [
                "The group has a new code. The one before is taken for 10 minutes more.",
                "The group's code of before is taken no more.",
            ],
        )
        one, other = (key_of(code, NAME).memory for code in (ONE, OTHER))
        self.assertEqual(self.memories.same, [(one, other)])

    def test_a_second_change_ends_the_first_code(self) -> None:
        for code in (OTHER, THIRD):
            self.save(code)
            self.clock.run_for(60)
        self.assertEqual((self.opens(self.it), self.seals(self.it)), ([OTHER, THIRD], [THIRD]))
        self.clock.run_for(OLD_CODE_FOR - 60)
        self.assertEqual(self.opens(self.it), [OTHER, THIRD])
        self.clock.run_for(60)
        self.assertEqual(self.opens(self.it), [THIRD])

    def test_what_is_not_a_code_changes_nothing_and_is_told_once(self) -> None:
        self.save(text="monpass\n")
        self.clock.run_for(60)
        self.assertEqual((self.opens(self.it), self.seals(self.it)), ([ONE], [ONE]))
        self.assertEqual(self.notices()[0], "The code of the group stays as it was:")
        self.assertIn("five words", self.notices()[1])
        self.assertEqual(len(self.notices()), 2)
        self.save(OTHER)
        self.clock.run_for(60)
        self.assertEqual(self.seals(self.it), [OTHER])

    def test_a_file_that_is_being_written_is_waited_for(self) -> None:
        for text in ("", ONE[:10], OTHER):
            self.save(text=text)
            self.clock.run_for(LOOK_EVERY)
        self.clock.run_for(LOOK_EVERY)
        self.assertEqual(self.seals(self.it), [OTHER])
        self.assertEqual(len(self.notices()), 1)

    def test_a_file_that_goes_or_says_the_same_is_nothing(self) -> None:
        self.path.unlink()
        self.clock.run_for(60)
        self.save(ONE, OTHER)
        self.clock.run_for(60)
        self.assertEqual((self.opens(self.it), self.events, self.changes), ([ONE], [], 0))

    def test_a_memory_that_cannot_follow_keeps_the_code(self) -> None:
        self.memories.refuses = True
        self.save(OTHER)
        self.clock.run_for(60)
        self.assertEqual(self.seals(self.it), [ONE])
        self.assertEqual(self.notices()[1], "The disk is full.")

    def test_a_node_that_stops_looks_no_more(self) -> None:
        self.save(OTHER)
        self.clock.run_for(60)
        self.it.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class GroupTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(GroupKey, "of_code", key_of)
        self.lan = Lan(self)
        self.alice = self.lan.node("alice", code=ONE)
        self.bob = self.lan.node("bob", code=ONE)
        self.eve = self.lan.node("eve")
        self.lan.run_for(5)

    def nicks(self, node: Node) -> list[str]:
        return [peer.nick for peer in node.peers()]

    def notices(self, node: Node) -> list[str]:
        return [notice.sentence for notice in self.lan.events(node, Notice)]


class ClosedGroupTests(GroupTestCase):
    def test_members_find_and_hear_each_other(self) -> None:
        self.alice.say("coucou !")
        self.bob.say("salut")
        self.lan.run_for(5)
        self.assertEqual(self.lan.lines(self.alice), ["salut"])
        self.assertEqual(self.lan.lines(self.bob), ["coucou !"])
        self.assertEqual((self.nicks(self.alice), self.nicks(self.bob)), (["bob"], ["alice"]))

    def test_who_has_not_the_code_learns_that_there_is_a_group_and_no_more(self) -> None:
        """Attack 36: neither who is there nor what is said or offered."""
        self.alice.say("coucou !")
        self.alice._feeds.publish_offer(offer_of(self.alice, "a.jpg"))
        self.lan.run_for(60)
        self.assertEqual(self.nicks(self.eve), [])
        for kind in (Said, Joined, OfferAdded):
            self.assertEqual(self.lan.events(self.eve, kind), [])
        self.assertEqual(self.notices(self.eve), ["A closed group is here too; ask for its code."])

    def test_what_is_said_outside_is_not_heard_inside(self) -> None:
        """Attack 36: an open node cannot make a member listen."""
        self.eve.say("coucou !")
        Stranger(self.lan).beacon()
        self.lan.run_for(10)
        self.assertEqual(self.lan.lines(self.alice), [])
        self.assertEqual(self.nicks(self.alice), ["bob"])

    def test_two_closed_groups_do_not_mix(self) -> None:
        carol = self.lan.node("carol", code=OTHER)
        self.lan.run_for(5)
        carol.say("coucou !")
        self.lan.run_for(5)
        self.assertEqual((self.nicks(carol), self.lan.lines(self.alice)), ([], []))
        said = "Another closed group is here too, or some have another code than you."
        self.assertEqual((self.notices(carol), self.notices(self.alice)), ([said], [said]))

    def test_a_node_says_whether_its_group_is_closed(self) -> None:
        self.assertTrue(self.alice.closed)
        self.assertFalse(self.eve.closed)

    def test_nothing_that_a_member_sends_can_be_read(self) -> None:
        """Attack 36: not the text, not a key, not a nick, and its length hardly."""
        carried: list[bytes] = []
        carry = self.lan.carry
        self.patch(
            self.lan,
            "carry",
            lambda data, *to, **how: (carried.append(data), carry(data, *to, **how)),
        )
        for text in ("oui", "non, pas du tout"):
            self.alice.say(text)
        self.lan.run_for(0.1)
        self.assertEqual({data[:4] for data in carried}, {MARK})
        self.assertEqual({len(data) % BLOCK for data in carried}, {len(MARK) + NONCE + TAG})
        for secret in (b"oui", b"alice", b"p2pshare", self.alice.key):
            self.assertNotIn(secret, b"".join(carried))

    def test_what_members_sign_is_signed_for_the_closed_group(self) -> None:
        carried: list[bytes] = []
        self.patch(self.lan, "carry", lambda data, *_to, **_how: carried.append(data))
        self.alice.say("coucou !")
        message = parse(self.bob._envelope.open(carried[0]) or b"")
        assert isinstance(message, Signed)
        self.assertTrue(verify(message, NAME + b" closed"))
        self.assertFalse(verify(message, NAME))

    def test_a_member_who_restarts_remembers_the_group_and_nothing_of_it_elsewhere(self) -> None:
        """Attack 36: what was said in a closed group is never repeated in an open one."""
        self.alice.say("among ourselves")
        self.lan.run_for(5)
        self.lan.stop(self.bob)
        outside = self.lan.node("bob")
        self.lan.run_for(10)
        self.assertEqual(outside.last_said(10), [])
        self.assertEqual(self.lan.lines(self.eve), [])
        self.lan.stop(outside)
        again = self.lan.node("bob", code=ONE)
        self.assertEqual([said.text for said in again.last_said(10)], ["among ourselves"])

    def test_a_public_offer_is_one_for_members(self) -> None:
        """Attack 9: who knows its owner and name, but not the code, has no password for it."""
        path = self.lan.folder / "a.jpg"
        path.write_bytes(b"content")
        self.successResultOf(self.alice.offer(str(path), public=True))
        offer = offer_id(self.alice.key, "a.jpg")
        served = self.alice._shares.find(offer)
        expected = self.bob._envelope.public_prs(self.alice.key, offer)
        self.assertEqual(served.prs, expected)
        self.lan.stop(self.alice)
        again = self.lan.node("alice", code=ONE)
        self.assertEqual(again._shares.find(offer).prs, expected)


class RotationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(GroupKey, "of_code", key_of)
        self.lan = Lan(self)
        self.files = {nick: self.lan.folder / f"{nick}.code" for nick in ("alice", "bob")}
        for path in self.files.values():
            write_codes(path, ONE)
        self.alice, self.bob = (self.lan.node(nick, code=path) for nick, path in self.files.items())
        self.lan.run_for(5)

    def change(self, nick: str) -> None:
        write_codes(self.files[nick], OTHER, replace=True)
        self.lan.run_for(2 * LOOK_EVERY)

    def test_nothing_is_lost_while_one_after_the_other_changes_the_code(self) -> None:
        self.change("alice")
        self.bob.say("before I changed it")
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.alice), ["before I changed it"])
        self.alice.say("you cannot read this yet")
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.bob), [])
        self.change("bob")
        self.lan.run_for(10)
        self.assertEqual(self.lan.lines(self.bob), ["you cannot read this yet"])
        self.lan.run_for(OLD_CODE_FOR)
        self.alice.say("both")
        self.bob.say("both")
        self.lan.run_for(1)
        self.assertEqual(self.lan.lines(self.bob)[-1], "both")
        self.assertEqual(self.lan.lines(self.alice)[-1], "both")

    def test_who_does_not_change_it_is_out_after_ten_minutes(self) -> None:
        """Attack 36: somebody who was in the group, and knows its old code alone."""
        self.change("alice")
        self.lan.run_for(OLD_CODE_FOR)
        self.bob.say("am I still here?")
        self.lan.run_for(60)
        self.assertEqual(self.lan.lines(self.alice), [])
        self.assertEqual(self.alice.peers(), [])
        heard = [notice.sentence for notice in self.lan.events(self.bob, Notice)]
        self.assertEqual(
            heard, ["Another closed group is here too, or some have another code than you."]
        )

    def test_public_offers_go_on_while_the_code_changes(self) -> None:
        path = self.lan.folder / "a.jpg"
        path.write_bytes(b"content")
        self.successResultOf(self.alice.offer(str(path), public=True))
        offer = offer_id(self.alice.key, "a.jpg")

        def agree() -> bool:
            served = self.alice._shares.find(offer).prs
            return served == self.bob._envelope.public_prs(self.alice.key, offer)

        self.change("alice")
        self.assertTrue(agree())
        self.change("bob")
        self.assertTrue(agree())
        self.lan.run_for(OLD_CODE_FOR)
        self.assertTrue(agree())

    def test_what_is_remembered_stays_with_the_group(self) -> None:
        self.alice.say("before")
        self.change("bob")
        self.lan.stop(self.bob)
        again = self.lan.node("bob", code=self.files["bob"])
        self.assertEqual([said.text for said in again.last_said(10)], ["before"])
