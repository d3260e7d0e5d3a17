"""The hosts where nodes were met."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

from tests.disk.fakes import StoreTests
from twistedp2p.disk.memory.hosts import MAX_HOSTS, MAX_NETWORKS, hosts_remembered

HOME, WORK = "192.168.1.0/24", "10.0.0.0/8"


class HostsTests(StoreTests):
    def test_they_are_kept_by_network_the_latest_first(self) -> None:
        for now, (network, host) in enumerate(
            [(HOME, "a"), (WORK, "b"), (HOME, "c"), (HOME, "a"), (HOME, "d")]
        ):
            self.store.met_host(network, host, now)
        store = self.reopen()
        self.assertEqual(store.hosts_on(HOME), ["d", "a", "c"])
        self.assertEqual(store.hosts_on(WORK), ["b"])
        self.assertEqual(store.hosts_on("elsewhere"), [])

    def test_the_longest_unseen_make_room(self) -> None:
        """Attack 40."""
        for now in range(MAX_HOSTS + 3):
            self.store.met_host(HOME, str(now), now)
        hosts = self.store.hosts_on(HOME)
        self.assertEqual((hosts[-1], len(hosts)), ("3", MAX_HOSTS))
        for now in range(MAX_NETWORKS):
            self.store.met_host(f"network {now}", "a", 1000 + now)
        self.assertEqual(self.store.hosts_on(HOME), [])
        self.assertEqual(self.store.hosts_on("network 0"), ["a"])


class RememberedTests(StoreTests):
    def test_they_are_read_while_a_node_uses_them(self) -> None:
        for now, (network, host) in enumerate([(HOME, "a"), (WORK, "b"), (HOME, "c")]):
            self.store.met_host(network, host, now)
        folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        for slot in ("1", "2", "3"):
            (folder / slot).mkdir()
        (folder / "1" / "group-239.0.0.1-9392.db").symlink_to(self.path)
        (folder / "2" / "damaged.db").write_bytes(b"no database at all" * 100)
        (folder / "3" / "empty.db").touch()
        self.assertEqual(hosts_remembered(folder, [HOME]), ["c", "a"])
        self.assertEqual(hosts_remembered(folder, [HOME, WORK]), ["c", "b", "a"])
        self.assertEqual(hosts_remembered(folder, [HOME], "1"), ["c", "a"])
        self.assertEqual(hosts_remembered(folder, [HOME], "2"), [])
        self.assertEqual(hosts_remembered(folder, []), [])
        self.assertEqual(hosts_remembered(folder / "nothing", [HOME]), [])
        self.store.met_host(HOME, "d", 9)
        self.assertEqual(hosts_remembered(folder, [HOME])[0], "d")
