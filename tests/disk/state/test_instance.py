"""Slots, identities, and what is said when there is none to be had."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.disk.fakes import new_folder
from twistedp2p.core.errors import Exit, ShareError
from twistedp2p.disk.state import instance as instance_module
from twistedp2p.disk.state.instance import claim
from twistedp2p.disk.state.socket_path import default_state_folder

HOLDER = """
import sys
from pathlib import Path
from unittest import mock
from twistedp2p.disk.state.instance import claim

instance = claim(Path(sys.argv[1]))
print(instance.folder.name, instance.private_key.public_key().public_bytes_raw().hex(), flush=True)
sys.stdin.read()
"""


def public(instance):
    return instance.private_key.public_key().public_bytes_raw()


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


class InstanceTests(SynchronousTestCase):
    def setUp(self):
        self.state = new_folder(self) / "deep" / "state"

    def hold(self):
        """Claim without the test keeping anything open."""
        return claim(self.state)

    def refusal(self, state=None):
        error = self.assertRaises(ShareError, claim, state or self.state)
        self.assertEqual(error.code, Exit.NO_FOLDER)
        self.assertNotIn("\n", str(error))
        self.assertNotIn("None", str(error))
        return str(error)


class SlotTests(InstanceTests):
    def test_two_claims_get_two_slots_and_keys(self):
        one, two = self.hold(), self.hold()
        self.addCleanup(one.release)
        self.addCleanup(two.release)
        self.assertEqual([one.folder.name, two.folder.name], ["1", "2"])
        self.assertNotEqual(public(one), public(two))
        self.assertEqual(len({one.database, two.database, one.log_file, two.log_file}), 4)
        self.assertEqual(one.database.parent, self.state / "1")

    def test_a_released_slot_is_taken_again_with_the_same_key(self):
        one, two = self.hold(), self.hold()
        self.addCleanup(two.release)
        one.release()
        again = self.hold()
        self.addCleanup(again.release)
        self.assertEqual((again.folder, public(again)), (one.folder, public(one)))

    def test_releasing_twice_closes_nothing_of_others(self):
        instance = self.hold()
        instance.release()
        another = os.open(os.devnull, os.O_RDONLY)  # takes the number that became free
        self.addCleanup(os.close, another)
        instance.release()
        os.fstat(another)

    def test_a_killed_process_frees_its_slot(self):
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as holder:
            slot, key = holder.stdout.readline().split()
            meanwhile = self.hold()
            holder.kill()
        self.addCleanup(meanwhile.release)
        self.assertEqual((slot, meanwhile.folder.name), ("1", "2"))
        after = self.hold()
        self.addCleanup(after.release)
        self.assertEqual((after.folder.name, public(after).hex()), ("1", key))

    def test_when_all_slots_are_taken_it_says_so(self):
        self.patch(instance_module, "MAX_SLOTS", 2)
        for _ in range(2):
            self.addCleanup(self.hold().release)
        self.assertIn("2 nodes run from", self.refusal())

    def test_nothing_private_is_open_to_others(self):
        """Attack 46: whatever the umask."""
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        instance = self.hold()
        self.addCleanup(instance.release)
        for folder in (instance.folder, self.state):
            self.assertEqual(mode(folder), 0o700, folder)
        for name in ("node.key", "lock"):
            self.assertEqual(mode(instance.folder / name), 0o600, name)

    def test_a_folder_that_others_could_enter_is_closed(self):
        """Attack 46: made by hand or by a copy, it is made private before the key is."""
        (self.state / "1").mkdir(parents=True)
        (self.state / "1").chmod(0o777)
        instance = self.hold()
        self.addCleanup(instance.release)
        self.assertEqual(mode(instance.folder), 0o700)

    def test_the_folder_of_somebody_else_is_not_used(self):
        """Attack 46: who prepared it could know the identity."""
        (self.state / "1").mkdir(parents=True)
        self.patch(os, "geteuid", lambda: os.getuid() + 1)
        self.assertIn("it belongs to somebody else", self.refusal())
        self.assertEqual(list((self.state / "1").iterdir()), [])

    def test_a_link_in_place_of_a_slot_is_not_followed(self):
        elsewhere = new_folder(self)
        self.state.mkdir(parents=True)
        (self.state / "1").symlink_to(elsewhere)
        self.refusal()
        self.assertEqual(list(elsewhere.iterdir()), [])

    def test_a_link_in_place_of_the_lock_is_not_followed(self):
        target = new_folder(self) / "target"
        (self.state / "1").mkdir(parents=True)
        (self.state / "1" / "lock").symlink_to(target)
        self.refusal()
        self.assertFalse(target.exists())

    def test_a_folder_that_cannot_be_written_is_said(self):
        self.state.parent.mkdir(parents=True)
        self.state.write_text("a file")
        for state in (self.state, self.state / "below", Path("/proc/p2pshare")):
            said = self.refusal(state)
            self.assertIn(str(state), said)
            self.assertIn("--state-dir", said)

    def test_the_default_folder_is_that_of_xdg(self):
        home = Path("~/.local/state/p2pshare").expanduser()
        self.assertEqual(default_state_folder({"XDG_STATE_HOME": "/x"}), Path("/x/p2pshare"))
        for environment in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
            self.assertEqual(default_state_folder(environment), home)


class IdentityTests(InstanceTests):
    def damage(self, data):
        folder = self.state / "1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "node.key").write_bytes(data)

    def test_a_damaged_key_is_said_and_left_as_it_is(self):
        other = generate_private_key(65537, 2048)
        whole = self.hold()
        pem = (whole.folder / "node.key").read_bytes()
        locked = whole.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        )
        rsa = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        whole.release()
        for data in (b"", b"nonsense", b"\0" * 99, pem[:60], locked, rsa):
            self.damage(data)
            said = self.refusal()
            self.assertIn("is not a node key", said)
            self.assertIn(str(whole.folder / "node.key"), said)
            self.assertEqual((whole.folder / "node.key").read_bytes(), data)

    def test_a_refused_claim_holds_no_lock(self):
        self.damage(b"nonsense")
        self.refusal()
        (self.state / "1" / "node.key").unlink()
        instance = self.hold()
        self.addCleanup(instance.release)
        self.assertEqual(instance.folder.name, "1")

    def test_the_key_file_appears_whole_or_not_at_all(self):
        def cut(descriptor):
            raise OSError(28, "No space left on device")

        patched = self.patch(os, "fsync", cut)
        self.assertIn("No space left on device", self.refusal())
        patched.restore()
        self.assertFalse((self.state / "1" / "node.key").exists())
        instance = self.hold()  # what was left of the attempt is in nobody's way
        self.addCleanup(instance.release)
        self.assertEqual(
            sorted(path.name for path in instance.folder.iterdir()), ["lock", "node.key"]
        )

    def test_the_key_is_on_the_disk_before_it_bears_its_name(self):
        happened = []
        fsync, rename = os.fsync, Path.rename
        self.patch(os, "fsync", lambda fd: (happened.append("fsync"), fsync(fd))[1])
        self.patch(Path, "rename", lambda a, b: (happened.append("rename"), rename(a, b))[1])
        self.addCleanup(self.hold().release)
        self.assertEqual(happened, ["fsync", "rename"])

    def test_a_link_left_for_the_new_key_is_not_followed(self):
        target = new_folder(self) / "target"
        (self.state / "1").mkdir(parents=True)
        (self.state / "1" / "node.new").symlink_to(target)
        self.addCleanup(self.hold().release)
        self.assertFalse(target.exists())

    def test_the_key_is_not_in_what_is_printed(self):
        """Attack 46."""
        instance = self.hold()
        self.addCleanup(instance.release)
        self.assertNotIn("private_key", repr(instance))


class MemoryTests(InstanceTests):
    def setUp(self):
        super().setUp()
        self.instance = self.hold()
        self.addCleanup(self.instance.release)

    def test_each_closed_group_has_a_memory_of_its_own(self):
        """Attack 36: what was said in one must not be repeated in another."""
        one, other = map(self.instance.database_of, ("aa", "bb"))
        self.assertEqual(len({one, other, self.instance.database}), 3)
        self.assertEqual({one.parent, other.parent}, {self.instance.folder})

    def test_each_open_group_has_a_memory_of_its_own(self):
        names = ("239.0.0.1:9392", "239.0.0.1:9492", "239.0.0.2:9392", "[ff15::1]:9392")
        paths = [self.instance.database_of(name) for name in names]
        self.assertEqual(paths[0].name, "group-239.0.0.1-9392.db")
        self.assertEqual(len(set(paths)), 4)
        self.assertEqual({path.parent for path in paths}, {self.instance.folder})

    def test_a_group_with_another_code_remembers_what_it_did(self):
        one = self.instance.database_of("aa")
        one.write_text("memory")
        for old, new in (("aa", "bb"), ("bb", "cc"), ("cc", "aa")):
            self.instance.same_memory(old, new)
            self.assertEqual(self.instance.database_of(new), one)
        self.assertEqual(one.read_text(), "memory")

    def test_memories_of_two_groups_are_never_mixed(self):
        for name in ("aa", "bb"):
            self.instance.database_of(name).write_text(name)
        self.instance.same_memory("aa", "bb")
        self.assertEqual(self.instance.database_of("bb").read_text(), "bb")

    def test_without_a_memory_there_is_none_to_keep(self):
        self.instance.same_memory("aa", "bb")
        self.assertEqual(self.instance.database_of("bb").name, "group-bb.db")

    def test_a_disk_that_refuses_is_a_sentence(self):
        self.instance.database_of("aa").write_text("memory")
        refusal = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(Path, "symlink_to", side_effect=refusal):
            error = self.assertRaises(ShareError, self.instance.same_memory, "aa", "bb")
        self.assertIn("No space left", str(error))


class RenewTests(SynchronousTestCase):
    def setUp(self):
        self.instance = claim(new_folder(self) / "state")
        self.addCleanup(self.instance.release)
        self.old = public(self.instance)

    def kept(self):
        return sorted(path.name for path in self.instance.folder.glob("node.*"))

    def test_another_identity_is_there_to_stay_and_the_old_one_is_kept(self):
        self.instance.renew()
        new = public(self.instance)
        self.assertNotEqual(new, self.old)
        self.assertEqual(self.kept(), ["node.key", "node.key.1"])
        self.assertEqual([mode(self.instance.folder / name) for name in self.kept()], [0o600] * 2)
        self.instance.release()
        again = claim(self.instance.folder.parent)
        self.addCleanup(again.release)
        self.assertEqual(public(again), new)

    def test_each_old_one_has_its_number(self):
        self.instance.renew()
        self.instance.renew()
        self.assertEqual(self.kept(), ["node.key", "node.key.1", "node.key.2"])

    def test_where_it_cannot_be_written_the_old_one_stays(self):
        with mock.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left")):
            error = self.assertRaises(ShareError, self.instance.renew)
        self.assertIn("No space left", str(error))
        self.assertEqual(public(self.instance), self.old)
        self.instance.release()
        again = claim(self.instance.folder.parent)
        self.addCleanup(again.release)
        self.assertEqual(public(again), self.old)
