"""The desk: what a face asks of a node, and what it is told."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.node.fakes import DIGEST, GROUP, PORT, FakePort, FakeReactor, Lan, Stranger, group_of
from tests.node.offers.test_shares import quick_stretch
from twistedp2p.core.catalogue import Offer
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.core.events import FetchFailed, Said
from twistedp2p.core.names import MAX_TEXT
from twistedp2p.core.ticket import parse_ticket
from twistedp2p.disk.state.instance import claim
from twistedp2p.net.sockets import SocketError
from twistedp2p.node import Config, Node, assembly
from twistedp2p.node.downloads.opening import PATIENCE
from twistedp2p.node.offers import shares as shares_module


class DeskTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(shares_module, "stretch", quick_stretch)
        self.lan = Lan(self)
        self.alice = self.lan.node("alice")
        self.lan.run_for(5)

    def said(self) -> list[Said]:
        return [said for said in self.lan.events(self.alice, Said) if not said.own]


class TalkTests(DeskTestCase):
    def test_what_was_said_last_is_kept_oldest_first(self) -> None:
        bob = self.lan.node("bob")
        self.lan.run_for(5)
        for node, text in ((self.alice, "one"), (bob, "two"), (self.alice, "three")):
            node.say(text)
            self.lan.run_for(1)
        for node in (self.alice, bob):
            self.assertEqual([said.text for said in node.last_said(9)], ["one", "two", "three"])
            self.assertEqual([said.text for said in node.last_said(1)], ["three"])
        self.assertEqual([said.own for said in bob.last_said(9)], [False, True, False])

    def test_a_file_that_could_not_be_offered_is_refused_before_it_is(self) -> None:
        self.alice.check_path(__file__)
        self.alice.check_path("/")
        for path in ("/no/such/file", "/dev/null"):
            self.assertRaises(ShareError, self.alice.check_path, path)

    def test_a_text_without_end_is_refused_whole_and_an_empty_one_is_not_said(self) -> None:
        self.assertRaises(ShareError, self.alice.say, "x" * (MAX_TEXT + 1))
        self.assertEqual(self.lan.events(self.alice, Said), [])
        self.alice.say("x" * MAX_TEXT)
        own = self.lan.events(self.alice, Said)
        self.assertEqual(sum(len(said.text) for said in own), MAX_TEXT)
        for empty in ("", "  ", "\n", "\x1b"):
            self.alice.say(empty)
        self.assertEqual(self.lan.events(self.alice, Said), own)


class OfferTests(DeskTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "a.jpg").write_bytes(b"content")

    def offer(self, **fields: Any) -> Any:
        return self.successResultOf(self.alice.offer(str(self.folder / "a.jpg"), **fields))

    def test_an_offer_is_announced_without_its_password(self) -> None:
        """Attack 46."""
        bob = self.lan.node("bob")
        self.lan.run_for(5)
        carried: list[bytes] = []
        carry = self.lan.carry
        self.patch(
            self.lan,
            "carry",
            lambda data, *to, **how: (carried.append(data), carry(data, *to, **how)),
        )
        self.offer(password="correct horse")
        self.lan.run_for(5)
        self.assertEqual(self.lan.catalogue(bob), ["a.jpg"])
        self.assertTrue(carried)
        self.assertNotIn(b"correct horse", b"".join(carried))

    def test_as_many_of_our_offers_as_are_asked_for_are_told(self) -> None:
        for name in "cab":
            self.alice._feeds.publish_offer(Offer(self.alice.key, name, 1, DIGEST, False))
        self.assertEqual([offer.name for offer in self.alice.own_offers()], ["a", "b", "c"])
        self.assertEqual([offer.name for offer in self.alice.own_offers(most=2)], ["a", "b"])

    def test_own_offers_are_found_under_the_nick_that_we_bear_now(self) -> None:
        self.offer(password="secret")
        self.alice.set_nick("zoe")
        for text, expected in (("@zoe", ["a.jpg"]), ("@alice", [])):
            found = self.successResultOf(self.alice.search(text))
            self.assertEqual([listing.offer.name for listing in found], expected)

    def test_a_ticket_is_what_a_person_pastes(self) -> None:
        self.offer(password="secret")
        ticket = self.alice.ticket("a.jpg", "secret")
        self.assertEqual(parse_ticket(str(ticket)), ticket)
        self.assertEqual(ticket.host, group_of(self.alice).address[0])

    def test_with_no_network_a_ticket_still_serves_this_host(self) -> None:
        group_of(self.alice).addresses = list  # type: ignore[method-assign]
        self.assertEqual(self.alice.ticket("a.jpg", "secret").host, "127.0.0.1")

    def test_an_offer_that_cannot_be_made_fails_in_a_sentence(self) -> None:
        self.failureResultOf(self.alice.offer(str(self.folder / "none")), ShareError)
        self.assertRaises(ShareError, self.alice.withdraw, "none")

    def test_getting_from_an_owner_that_is_not_here_fails_in_a_sentence(self) -> None:
        gone = Offer(b"o" * 32, "a.jpg", 1, DIGEST, False)
        done = self.alice.get(gone, "secret").done
        self.alice.get(gone, "secret")  # and nobody waits for it
        self.lan.run_for(PATIENCE)
        error = self.failureResultOf(done, ShareError).value
        self.assertEqual(error.code, Exit.NOT_FOUND)
        gc.collect()
        self.assertEqual(len(self.lan.events(self.alice, FetchFailed)), 2)
        self.assertEqual(self.alice.get_running(), [])

    def asked(self, get: Callable[[], object]) -> tuple[Any, ...]:
        """The arguments with which the desk asks the transfers."""
        with mock.patch.object(self.alice._transfers, "get") as asked:
            get()
        self.wanted = asked.call_args.kwargs.get("wanted")
        return tuple(asked.call_args.args)

    def test_a_ticket_of_one_who_is_here_requires_his_key(self) -> None:
        """Attack 4: a ticket's address alone proves nothing where more is known."""
        bob = Stranger(self.lan, "10.0.0.7", "bob")
        bob.beacon()
        bob.offer(1)
        self.lan.run_for(1)
        ticket = parse_ticket('("10.0.0.7",9393),("secret","a.jpg")')
        name, password, addresses, offer, _ = self.asked(lambda: self.alice.get_ticket(ticket))
        self.assertEqual((name, password, addresses()), ("a.jpg", "secret", [("10.0.0.7", 9393)]))
        self.assertEqual(offer.owner, bob.key)

    def test_a_ticket_that_two_could_have_made_requires_no_key_of_either(self) -> None:
        """Somebody who claims an address with an offer of that name does not lock its owner out."""
        for nick in ("bob", "mallory"):
            peer = Stranger(self.lan, "10.0.0.7", nick)
            peer.beacon()
            peer.offer(1)
        self.lan.run_for(1)
        ticket = parse_ticket('("10.0.0.7",9393),("secret","a.jpg")')
        _, _, addresses, offer, _ = self.asked(lambda: self.alice.get_ticket(ticket))
        self.assertEqual((addresses(), offer), ([("10.0.0.7", 9393)], None))

    def test_a_ticket_of_one_who_is_not_here_goes_by_its_address(self) -> None:
        ticket = parse_ticket('("10.0.0.7",9393),("secret","a.jpg")')
        _, _, addresses, offer, _ = self.asked(lambda: self.alice.get_ticket(ticket))
        self.assertEqual((addresses(), offer), ([("10.0.0.7", 9393)], None))

    def test_a_part_of_a_folder_comes_by_ticket_too(self) -> None:
        bob = Stranger(self.lan, "10.0.0.7", "bob")
        bob.beacon()
        bob.offer(1)
        self.lan.run_for(1)
        for host in ("10.0.0.7", "10.0.0.8"):
            ticket = parse_ticket(f'("{host}",9393),("secret","a.jpg")')
            for part, wanted in (("paris", ["paris"]), ("/", None)):
                self.asked(lambda t=ticket, p=part: self.alice.get_ticket(t, part=p))
                self.assertEqual(self.wanted, wanted)

    def test_the_owner_of_a_ticket_is_remembered_in_the_next_run(self) -> None:
        """Attack 4, and a memory that refuses is no failure of the get."""
        self.assertFalse(self.alice._owner_changed("10.0.0.7", 9393, b"a" * 32))
        self.lan.stop(self.alice)
        self.alice = self.lan.node("alice")
        changed = self.alice._transfers._owner_changed
        self.assertTrue(changed("10.0.0.7", 9393, b"b" * 32))
        self.alice._store._db._db.execute("PRAGMA query_only = 1")
        self.assertFalse(changed("10.0.0.7", 9393, b"c" * 32))

    def test_the_folder_asked_for_is_the_one_used(self) -> None:
        offer = Offer(b"o" * 32, "a.jpg", 1, DIGEST, False)
        folder = self.asked(lambda: self.alice.get(offer, "secret", self.folder))[-1]
        self.assertEqual(folder, self.folder)


class LifeTests(DeskTestCase):
    def test_what_a_killed_node_left_unfinished_goes_at_the_start(self) -> None:
        folder = self.alice.config.download_folder
        left, own = folder / f".{'0' * 16}.part", folder / "precious.part"
        for path in (left, own):
            path.write_bytes(b"")
            six_days_ago = self.lan.wall() - 6 * 86_400
            os.utime(path, (six_days_ago, six_days_ago))
        self.lan.run_for(2 * 86_400)
        self.lan.stop(self.alice)
        self.alice = self.lan.node("alice")
        self.assertEqual((left.exists(), own.exists()), (False, True))

    def test_stopping_says_goodbye_and_leaves_no_timer(self) -> None:
        self.lan.stop(self.alice)
        self.assertEqual(group_of(self.alice).sent[-1][1], "bye")
        self.assertEqual(self.lan.reactor.getDelayedCalls(), [])

    def test_stopping_waits_for_what_runs_in_threads(self) -> None:
        hanging: Deferred[None] = Deferred()
        self.alice._threads._to_thread = lambda *_: hanging
        self.alice._threads.run(print)
        done = Deferred.fromCoroutine(self.alice.stop())
        self.lan.nodes.remove(self.alice)
        self.lan.run_for(1)
        self.assertNoResult(done)
        hanging.callback(None)
        self.lan.run_for(0.1)
        self.successResultOf(done)


class BeginningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.instance = claim(self.folder)
        self.addCleanup(self.instance.release)
        self.listener = FakePort()
        self.listener.close = mock.Mock()  # type: ignore[method-assign]
        self.patch(assembly, "file_listeners", lambda *_a, **_k: [self.listener])

    def failing(self, **config: Any) -> ShareError:
        before = len(os.listdir("/proc/self/fd"))
        error: ShareError = self.assertRaises(
            ShareError,
            Node,
            FakeReactor(),
            Config(GROUP, PORT, download_folder=self.folder, **config),
            self.instance,
        )
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        return error

    def test_a_group_that_cannot_be_joined_leaves_nothing_open(self) -> None:
        def group(*_arguments: Any, **_options: Any) -> None:
            raise SocketError(98, "UDP port 9392 is held by another program")

        self.patch(assembly, "Group", group)
        self.assertEqual(self.failing().code, Exit.PORT_TAKEN)
        self.listener.close.assert_called_once_with()

    def test_an_unknown_interface_leaves_nothing_open(self) -> None:
        self.assertEqual(self.failing(interfaces=["nosuch0"]).code, Exit.NO_INTERFACE)
        self.listener.close.assert_called_once_with()

    def test_a_memory_that_cannot_be_used_leaves_nothing_open(self) -> None:
        self.instance.database_of(f"{GROUP}:{PORT}").write_bytes(b"this is no database" * 100)
        self.assertEqual(self.failing().code, Exit.NO_FOLDER)
