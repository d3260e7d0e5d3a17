"""The interface for scripts, on real sockets of the loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.lan.nodes import free_port
from twistedp2p.api import Chat, Exit, FileServer, ShareError, fetch_file, join_chat, serve_files
from twistedp2p.core.datagrams.codes import make_code

HOST = "127.0.0.1"
GROUP = "239.0.0.1"
CONTENT = bytes(range(256)) * 1000


def has_ipv6() -> bool:
    """Whether the loopback has an address of IPv6."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


def open_files() -> list[str]:
    """What this process has open, but for the reactor's own pipes."""
    folder = Path("/proc/self/fd")
    found = [os.readlink(each) for each in folder.iterdir() if each.is_symlink()]
    return sorted(each for each in found if not each.startswith("pipe:"))


def hears(sock: socket.socket, heard: list[bytes]) -> bool:
    """Whether anything has come there; it goes to `heard`."""
    with contextlib.suppress(BlockingIOError):
        heard.append(sock.recv(2000))
    return bool(heard)


class ApiTestCase(TestCase):
    timeout = 120  # seconds: the machine may be busy

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        # What is made for a server or a chat goes here, so that its going can be seen.
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        self.patch(tempfile, "tempdir", str(self.temporary))
        self.here = self.folder / "here"
        self.here.mkdir()
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual([path for path in self.here.iterdir() if path.suffix == ".part"], [])

    def file(self, name: str = "a.jpg", content: bytes = CONTENT) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    async def serve(self, *paths: Path, password: str = "secret") -> FileServer:
        server = await serve_files(reactor, 0, password, paths, HOST)
        self.addCleanup(server.stop)
        return server

    async def fetch(self, server: FileServer, password: str, name: str) -> Path:
        return await fetch_file(reactor, (HOST, server.port), (password, name), self.here)

    async def refused(self, server: FileServer, password: str, name: str) -> ShareError:
        try:
            await self.fetch(server, password, name)
        except ShareError as error:
            str(error)
            return error
        raise AssertionError("it was not refused")

    async def until(self, happened: Any) -> None:
        while not happened():
            await deferLater(reactor, 0.02)


class FileTests(ApiTestCase):
    async def test_a_file_goes_there_and_is_the_same(self) -> None:
        server = await self.serve(self.file())
        path = await self.fetch(server, "secret", "a.jpg")
        self.assertEqual(path, self.here / "a.jpg")
        self.assertEqual(path.read_bytes(), CONTENT)

    async def test_what_a_killed_script_left_there_goes(self) -> None:
        """Attack 24: a part that nobody has gone on with for a week."""
        left, fresh = (self.here / f".{n}123456789abcdef.part" for n in "ab")
        for path in (left, fresh):
            path.write_bytes(b"half")
        os.utime(left, (0, 0))
        await self.fetch(await self.serve(self.file()), "secret", "a.jpg")
        await self.until(lambda: not left.exists())
        self.assertTrue(fresh.exists())
        fresh.unlink()

    async def test_an_empty_file_goes_there_too(self) -> None:
        server = await self.serve(self.file("empty", b""))
        self.assertEqual((await self.fetch(server, "secret", "empty")).read_bytes(), b"")

    async def test_a_part_of_a_folder(self) -> None:
        (self.folder / "photos" / "paris").mkdir(parents=True)
        for name in ("photos/a.jpg", "photos/paris/b.jpg"):
            self.file(name)
        server = await self.serve(self.folder / "photos")
        where, what = (HOST, server.port), ("secret", "photos")
        path = await fetch_file(reactor, where, what, self.here, part="paris")
        files = [str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()]
        self.assertEqual((path.name, files), ("photos", ["paris/b.jpg"]))
        for part, code in (("rome", Exit.NOT_FOUND), ("../a.jpg", Exit.NOT_FOUND)):
            with self.assertRaises(ShareError) as caught:
                await fetch_file(reactor, where, what, self.here, part=part)
            self.assertEqual(caught.exception.code, code)

    async def test_a_wrong_password_and_a_missing_name_are_told_apart(self) -> None:
        """Attack 1."""
        server = await self.serve(self.file())
        self.assertEqual((await self.refused(server, "wrong", "a.jpg")).code, Exit.DENIED)
        self.assertEqual((await self.refused(server, "secret", "b.jpg")).code, Exit.NOT_FOUND)
        self.assertEqual((await self.refused(server, "", "a.jpg")).code, Exit.USAGE)
        self.assertEqual(list(self.here.iterdir()), [])

    async def test_nobody_listening_is_a_sentence(self) -> None:
        server = await self.serve(self.file())
        await server.stop()
        self.assertEqual((await self.refused(server, "secret", "a.jpg")).code, Exit.NOT_FOUND)

    async def test_two_servers_have_files_and_passwords_of_their_own(self) -> None:
        one = await self.serve(self.file("one", b"1"), password="first")
        two = await self.serve(self.file("two", b"2"), password="second")
        paths = await gatherResults(
            [
                Deferred.fromCoroutine(self.fetch(one, "first", "one")),
                Deferred.fromCoroutine(self.fetch(two, "second", "two")),
            ]
        )
        self.assertEqual([path.read_bytes() for path in paths], [b"1", b"2"])
        self.assertEqual((await self.refused(one, "second", "one")).code, Exit.DENIED)
        self.assertEqual((await self.refused(two, "second", "one")).code, Exit.NOT_FOUND)

    async def test_more_files_come_and_go_while_it_runs(self) -> None:
        server = await self.serve()
        self.assertEqual(await server.offer(self.file(), "another"), "a.jpg")
        await self.fetch(server, "another", "a.jpg")
        server.withdraw("a.jpg")
        self.assertEqual((await self.refused(server, "another", "a.jpg")).code, Exit.NOT_FOUND)

    async def test_an_existing_file_is_not_overwritten(self) -> None:
        """Attack 27."""
        server = await self.serve(self.file())
        (self.here / "a.jpg").write_bytes(b"mine")
        path = await self.fetch(server, "secret", "a.jpg")
        self.assertEqual(path.name, "a (2).jpg")
        self.assertEqual((self.here / "a.jpg").read_bytes(), b"mine")

    async def test_a_file_that_is_not_there_leaves_no_server_behind(self) -> None:
        port = free_port()
        paths = [self.file(), self.folder / "none"]
        await self.assertFailure(serve_files(reactor, port, "secret", paths, HOST), ShareError)
        self.assertEqual(list(self.temporary.iterdir()), [])
        with socket.socket() as sock:
            sock.bind((HOST, port))

    async def test_a_port_that_is_taken_leaves_nothing_behind(self) -> None:
        server = await self.serve()
        await self.assertFailure(
            serve_files(reactor, server.port, "secret", [], HOST), CannotListenError
        )
        self.assertEqual(len(list(self.temporary.iterdir())), 1)

    async def test_by_default_it_is_served_at_every_address_of_either_family(self) -> None:
        before = open_files()
        server = await serve_files(reactor, 0, "secret", [self.file()])
        self.addCleanup(server.stop)
        for host in (HOST, "::1") if has_ipv6() else (HOST,):
            at = host, server.port
            path = await fetch_file(reactor, at, ("secret", "a.jpg"), self.here)
            self.assertEqual(path.read_bytes(), CONTENT)
        await self.assertFailure(serve_files(reactor, server.port, "secret"), CannotListenError)
        await server.stop()
        self.assertEqual(open_files(), before)

    async def test_stopping_twice_is_stopping_and_closes_every_file(self) -> None:
        before = open_files()
        server = await self.serve(self.file())
        await server.stop()
        await server.stop()
        self.assertEqual(open_files(), before)
        self.nothing_is_left()

    async def test_a_get_that_is_cancelled_leaves_nothing(self) -> None:
        server = await self.serve(self.file())
        getting = fetch_file(reactor, (HOST, server.port), ("secret", "a.jpg"), self.here)
        await deferLater(reactor, 0.01)
        getting.cancel()
        await self.assertFailure(getting, ShareError)
        await self.until(lambda: not list(self.here.iterdir()))


class ChatTests(ApiTestCase):
    def join(
        self, port: int, nick: str, code: str | None = None
    ) -> tuple[Chat, list[tuple[str, str]]]:
        heard: list[tuple[str, str]] = []
        chat = join_chat(
            reactor, GROUP, port, lambda who, text: heard.append((who, text)), nick, [HOST], code
        )
        self.addCleanup(chat.leave)
        return chat, heard

    async def test_lines_go_both_ways_and_not_back_to_who_said_them(self) -> None:
        port = free_port()
        (alice, to_alice), (bob, to_bob) = self.join(port, "alice"), self.join(port, "bob")
        alice.say("hello bob")
        bob.say("hello alice")
        await self.until(lambda: to_alice and to_bob)
        self.assertEqual((to_alice, to_bob), ([("bob", "hello alice")], [("alice", "hello bob")]))

    async def test_in_a_closed_group_only_who_has_the_code_hears(self) -> None:
        port, code = free_port(), make_code()
        alice, to_alice = self.join(port, "alice", code)
        bob, to_bob = self.join(port, "bob", code.upper())
        eve, to_eve = self.join(port, "eve")
        eve.say("anybody here?")
        alice.say("among ourselves")
        await self.until(lambda: to_bob)
        bob.say("yes")
        await self.until(lambda: to_alice)
        self.assertEqual((to_alice, to_bob), ([("bob", "yes")], [("alice", "among ourselves")]))
        self.assertEqual(to_eve, [])

    async def test_a_code_that_is_none_leaves_nothing_behind(self) -> None:
        self.assertRaises(ShareError, self.join, free_port(), "alice", "monpass")
        self.nothing_is_left()

    async def test_a_ten_line_script_hears_and_is_heard(self) -> None:
        port = free_port()
        alice, to_alice = self.join(port, "alice")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as script:
            script.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            script.bind(("", port))
            member = socket.inet_aton(GROUP) + socket.inet_aton(HOST)
            script.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            script.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
            script.setblocking(False)
            script.sendto(b"coucou !", (GROUP, port))
            await self.until(lambda: to_alice)
            self.assertEqual(to_alice, [(HOST, "coucou !")])
            script.recv(2000)  # its own
            alice.say("bonjour")
            heard: list[bytes] = []
            await self.until(lambda: hears(script, heard))
            self.assertEqual(heard[0].split(b"\n")[0], b"bonjour")

    async def test_peers_that_are_named_are_greeted(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((HOST, 0))
            peer.setblocking(False)
            named = [f"{HOST}:{peer.getsockname()[1]}"]
            chat = join_chat(reactor, GROUP, free_port(), print, "a", [HOST], peers=named)
            self.addCleanup(chat.leave)
            got: list[bytes] = []

            await self.until(lambda: hears(peer, got))
            self.assertIn(b"~p2pshare/1 hello ", got[0])
        self.assertRaises(ValueError, join_chat, reactor, GROUP, 9392, print, peers=["a b"])

    async def test_leaving_twice_is_leaving_and_closes_every_file(self) -> None:
        before = open_files()
        chat, _ = self.join(free_port(), "alice")
        await chat.leave()
        await chat.leave()
        self.assertEqual(open_files(), before)
        self.nothing_is_left()

    async def test_a_chat_that_cannot_be_joined_leaves_nothing_behind(self) -> None:
        before = open_files()
        self.assertRaises(
            ShareError, join_chat, reactor, GROUP, free_port(), print, "alice", ["nosuch0"]
        )
        self.assertEqual(open_files(), before)
        self.nothing_is_left()
