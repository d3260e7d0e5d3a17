"""Where the control socket is, whose it may be, and what is left of one."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.state.instance import claim
from twistedp2p.disk.state.socket_path import (
    ADDRESS_MOST,
    check_instance,
    find_socket,
    places,
    slot_folder,
    take_place,
)

KILLED = """
import os, socket, sys
from pathlib import Path
from twistedp2p.disk.state.socket_path import take_place

place = take_place([Path(sys.argv[1])], Path(sys.argv[2]))
socket.socket(socket.AF_UNIX).bind(sys.argv[1])
os.kill(os.getpid(), 9)
"""


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def answers(path):
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as calling:
        try:
            calling.connect(str(path))
        except OSError:
            return False
    return True


class SocketTestCase(SynchronousTestCase):
    def setUp(self):
        self.home = new_folder(self)
        self.runtime = new_folder(self)
        self.environment = {
            "XDG_STATE_HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        self.state = self.home / "p2pshare"

    def claimed(self, state=None, **more):
        instance = claim(state or self.state, **more)
        self.addCleanup(instance.release)
        return instance

    def opened(self, instance):
        """A place, and somebody who listens there."""
        made = take_place(places(self.environment, instance.folder), instance.folder)
        self.addCleanup(made.close)
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(str(made.path))
        listening.listen()
        return made


class PlaceTests(SocketTestCase):
    def test_it_is_in_the_runtime_folder_and_found_by_the_state_folder(self):
        opened = self.opened(self.claimed())
        self.assertEqual(opened.path, self.runtime / "p2pshare" / "default" / "control.sock")
        self.assertEqual(find_socket(self.environment), opened.path)
        self.assertEqual(find_socket({}, state_folder=self.state), opened.path)
        self.assertTrue(answers(opened.path))

    def test_without_a_runtime_folder_it_is_in_the_slot(self):
        self.environment["XDG_RUNTIME_DIR"] = str(self.runtime / "missing")
        opened = self.opened(self.claimed())
        self.assertEqual(opened.path, self.state / "1" / "control.sock")
        self.assertEqual(find_socket(self.environment), opened.path)

    def test_a_runtime_folder_of_somebody_else_is_not_used(self):
        with mock.patch("os.geteuid", return_value=os.geteuid() + 1):
            found = places(self.environment, self.state / "1")
        self.assertEqual(found[0], self.state / "1" / "control.sock")

    def test_a_state_folder_of_its_own_has_the_socket_as_well(self):
        other = new_folder(self)
        opened = self.opened(self.claimed(other))
        self.assertEqual(opened.path, other / "1" / "control.sock")
        self.assertEqual(find_socket(self.environment, state_folder=other), opened.path)

    def test_a_path_that_is_too_long_for_an_address_is_replaced_by_a_short_one(self):
        state = self.home / ("x" * ADDRESS_MOST)
        opened = self.opened(self.claimed(state))
        self.addCleanup(rmtree, opened.path.parent, True)
        self.assertTrue(str(opened.path).startswith(f"/tmp/p2pshare-{os.geteuid()}/"))
        self.assertEqual(find_socket(self.environment, state_folder=state), opened.path)
        self.assertTrue(answers(opened.path))

    def test_instances_have_sockets_of_their_own(self):
        first, second, named = self.claimed(), self.claimed(), self.claimed(instance="work")
        self.assertEqual([each.name for each in (first, second, named)], ["default", "2", "work"])
        paths = [self.opened(each).path.parent.name for each in (first, second, named)]
        self.assertEqual(paths, ["default", "2", "work"])
        for each in (first, second, named):
            self.assertEqual(slot_folder(self.state, each.name), each.folder)
        error = self.assertRaises(ShareError, claim, self.state, "work")
        self.assertIn("The node work runs already", str(error))

    def test_a_name_that_could_lead_elsewhere_is_refused(self):
        for name in ("", "..", "a/b", "a b", "é", "x" * 33, "\x00", "a.b"):
            self.assertRaises(ShareError, check_instance, name)
        self.assertEqual(check_instance("work-2_a"), "work-2_a")

    def test_where_no_node_runs_there_is_no_socket(self):
        self.assertFalse(find_socket(self.environment, "work").exists())


class PrivacyTests(SocketTestCase):
    def test_the_folders_are_the_owners_alone(self):
        """Attack 45: another user of this machine gets no farther than the folder."""
        opened = self.opened(self.claimed())
        self.assertEqual(mode(opened.path.parent), 0o700)
        self.assertEqual(mode(opened.path.parent.parent), 0o700)

    def test_a_folder_that_others_write_to_is_not_believed(self):
        """Attack 45: somebody else's socket in the place of ours."""
        opened = self.opened(self.claimed())
        opened.path.parent.chmod(0o770)
        error = self.assertRaises(ShareError, find_socket, self.environment)
        self.assertEqual(error.code, Exit.DENIED)

    def test_a_folder_that_is_a_link_is_not_used(self):
        (self.runtime / "p2pshare").mkdir(0o700)
        (self.runtime / "p2pshare" / "default").symlink_to(new_folder(self))
        self.assertEqual(self.opened(self.claimed()).path, self.state / "1" / "control.sock")

    def test_a_state_folder_keeps_its_mode(self):
        other = new_folder(self)
        other.chmod(0o755)
        self.opened(self.claimed(other))
        self.assertEqual(mode(other), 0o755)


class LeftTests(SocketTestCase):
    def test_what_a_killed_node_left_is_put_away(self):
        instance = self.claimed()
        path = places(self.environment, instance.folder)[0]
        subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(instance.folder)],
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        self.assertTrue(path.is_socket())
        self.assertFalse(answers(path))
        self.assertEqual(self.opened(instance).path, path)
        self.assertTrue(answers(path))

    def test_the_socket_of_a_node_that_runs_is_left_alone(self):
        first = self.opened(self.claimed())
        other = claim(new_folder(self))
        self.addCleanup(other.release)
        second = take_place([first.path, other.folder / "control.sock"], other.folder)
        self.addCleanup(second.close)
        self.assertEqual(second.path, other.folder / "control.sock")
        error = self.assertRaises(ShareError, take_place, [first.path], other.folder)
        self.assertIn("another node has it", str(error))

    def test_in_the_end_nothing_is_left_but_the_lock(self):
        instance = self.claimed()
        opened = self.opened(instance)
        opened.close()
        opened.close()
        self.assertEqual(os.listdir(opened.path.parent), ["control.lock"])
        self.assertFalse((instance.folder / "control.sock").is_symlink())
        self.assertEqual(self.opened(instance).path, opened.path)

    def test_what_the_disk_refuses_is_one_sentence(self):
        instance = self.claimed()
        (instance.folder / "control.sock").mkdir()
        error = self.assertRaises(
            ShareError, take_place, [instance.folder / "control.sock"], instance.folder
        )
        self.assertIn("Is a directory", str(error))


class CostTests(SynchronousTestCase):
    def test_finding_it_imports_nothing_heavy(self):
        code = (
            "import sys, twistedp2p.disk.state.socket_path, twistedp2p.disk.state.token;"
            "heavy = 'twisted', 'cryptography', 'sqlite3';"
            "print([name for name in heavy if name in sys.modules])"
        )
        path = str(Path(__file__).parents[3])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))
