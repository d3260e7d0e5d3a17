"""Telling and hearing by mDNS, on a zeroconf that sends nothing."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net import mdns
from twistedp2p.net.mdns import MAX_ADDRESSES, NAMES_BURST, SERVICE, START_AFTER, Mdns

GROUP = "239.0.0.1:9392"
ADDED, REMOVED = object(), object()


class FakeZeroconf:
    """What `zeroconf.Zeroconf` is elsewhere."""

    def __init__(self, interfaces: list[str]) -> None:
        if "refused" in interfaces:
            raise OSError("Address already in use")
        self.interfaces = interfaces
        self.registered: list[Any] = []
        self.infos: dict[str, Any] = {}
        self.asked = 0
        self.closed = False

    def register_service(self, info: Any, cooperating_responders: bool) -> None:
        if "unlucky" in self.interfaces:
            raise RuntimeError("no interface")
        self.registered.append(info)

    def get_service_info(self, service: str, name: str, timeout: int) -> Any:
        self.asked += 1
        return self.infos.get(name)

    def close(self) -> None:
        self.closed = True


class MdnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.opened: list[FakeZeroconf] = []
        self.clock: Any = Clock()
        self.clock.callFromThread = lambda call: call()
        self.addresses = ["192.168.1.7", "fe80::1%eth0"]
        self.found: list[list[tuple[str, int]]] = []
        fake = SimpleNamespace(
            Zeroconf=self.open,
            ServiceBrowser=lambda _zeroconf, service, handlers: self.browse(service, handlers),
            ServiceInfo=lambda service, name, **fields: SimpleNamespace(
                service=service, name=name, **fields
            ),
            ServiceStateChange=SimpleNamespace(Added=ADDED, Removed=REMOVED),
        )
        self.patch(sys, "modules", {**sys.modules, "zeroconf": fake})
        self.mdns = Mdns(
            self.clock,
            self.in_thread,
            group=GROUP,
            name="abcd-efgh",
            port=9393,
            addresses=lambda: self.addresses,
            found=self.found.append,
        )

    def in_thread(self, call: Any, *arguments: Any) -> Deferred[Any]:
        return maybeDeferred(call, *arguments)

    def open(self, interfaces: list[str]) -> FakeZeroconf:
        zeroconf = FakeZeroconf(interfaces)
        self.opened.append(zeroconf)
        return zeroconf

    def browse(self, service: str, handlers: list[Any]) -> None:
        self.assertEqual(service, SERVICE)
        (self.changed,) = handlers

    def start(self) -> FakeZeroconf:
        self.mdns.start()
        self.clock.advance(START_AFTER)
        return self.opened[-1]

    def hear(
        self, zeroconf: FakeZeroconf, label: str, change: object = ADDED, **fields: Any
    ) -> None:
        """That name is announced, with these fields in place of the usual ones."""
        info = {"port": 9393, "hosts": ["192.168.1.9"], "group": GROUP.encode(), **fields}
        name = f"{label}.{SERVICE}"
        zeroconf.infos[name] = SimpleNamespace(
            port=info["port"],
            properties={b"group": info["group"]},
            parsed_scoped_addresses=lambda: info["hosts"],
        )
        self.changed(zeroconf=zeroconf, service_type=SERVICE, name=name, state_change=change)

    def test_it_does_not_hold_up_the_start(self) -> None:
        self.mdns.start()
        self.clock.advance(START_AFTER - 0.1)
        self.assertEqual(self.opened, [])

    def test_it_tells_the_group_the_fingerprint_and_where_we_listen(self) -> None:
        (info,) = self.start().registered
        self.assertEqual(self.opened[0].interfaces, self.addresses)
        self.assertEqual((info.name, info.port), (f"abcd-efgh.{SERVICE}", 9393))
        self.assertEqual(info.properties, {"group": GROUP, "key": "abcd-efgh"})
        self.assertEqual(info.parsed_addresses, ["192.168.1.7", "fe80::1"])

    def test_nodes_of_the_group_are_found(self) -> None:
        zeroconf = self.start()
        self.hear(zeroconf, "other")
        self.assertEqual(self.found, [[("192.168.1.9", 9393)]])

    def test_others_are_not(self) -> None:
        zeroconf = self.start()
        self.hear(zeroconf, "abcd-efgh")
        self.hear(zeroconf, "other", REMOVED)
        self.hear(zeroconf, "other", group=b"239.0.0.2:9392")
        self.hear(zeroconf, "other", group=None)
        self.changed(zeroconf=zeroconf, service_type=SERVICE, name="?", state_change=ADDED)
        self.hear(zeroconf, "other", port=0)
        self.hear(zeroconf, "other", hosts=[])
        self.assertEqual(self.found, [])

    def test_a_link_local_address_names_its_interface(self) -> None:
        """python-zeroconf tells the interface by its number."""
        hosts = [f"fe80::9%{socket.if_nametoindex('lo')}", "fe80::9%999999", "2001:db8::9"]
        self.hear(self.start(), "other", hosts=hosts)
        self.assertEqual(self.found, [[("fe80::9%lo", 9393), ("2001:db8::9", 9393)]])

    def test_a_flood_of_names_is_not_looked_at(self) -> None:
        """Attack 40."""
        self.patch(mdns, "time", SimpleNamespace(monotonic=lambda: self.mdns._names.at))
        zeroconf = self.start()
        for number in range(2 * int(NAMES_BURST)):
            self.hear(zeroconf, str(number), hosts=[f"10.0.0.{last}" for last in range(99)])
        self.assertEqual(zeroconf.asked, NAMES_BURST)
        self.assertLessEqual(len(self.found), NAMES_BURST)
        self.assertEqual({len(addresses) for addresses in self.found}, {MAX_ADDRESSES})

    def test_other_addresses_begin_it_anew_and_the_same_do_not(self) -> None:
        first = self.start()
        self.mdns.links_changed()
        self.clock.advance(START_AFTER)
        self.assertEqual(self.opened, [first])
        self.addresses = ["10.0.0.1"]
        self.mdns.links_changed()
        self.mdns.links_changed()
        self.clock.advance(START_AFTER)
        self.assertTrue(first.closed)
        self.assertEqual([each.interfaces for each in self.opened[1:]], [["10.0.0.1"]])

    def test_with_no_network_there_is_none(self) -> None:
        self.addresses = []
        self.mdns.start()
        self.clock.advance(START_AFTER)
        self.assertEqual(self.opened, [])

    def test_where_its_port_is_not_to_be_had_nothing_else_is_missing(self) -> None:
        for address in ("refused", "unlucky"):
            self.addresses = [address]
            self.mdns.links_changed()
            self.clock.advance(START_AFTER)
        self.assertTrue(self.opened[-1].closed)
        self.addresses = ["10.0.0.1"]
        self.mdns.links_changed()
        self.clock.advance(START_AFTER)
        self.assertEqual(len(self.opened[-1].registered), 1)

    def test_the_end(self) -> None:
        zeroconf = self.start()
        self.successResultOf(self.mdns.stop())
        self.assertTrue(zeroconf.closed)
        self.hear(zeroconf, "other")
        self.assertEqual((self.found, self.clock.getDelayedCalls()), ([], []))

    def test_the_end_before_it_has_begun(self) -> None:
        self.mdns.start()
        self.successResultOf(self.mdns.stop())
        self.assertEqual((self.opened, self.clock.getDelayedCalls()), ([], []))
