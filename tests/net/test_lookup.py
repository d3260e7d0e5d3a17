"""The addresses of a host that a person named."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.net import lookup
from twistedp2p.net.lookup import MOST, addresses_of


class LookupTests(SynchronousTestCase):
    def test_an_address_is_itself(self) -> None:
        for host in ("192.0.2.1", "2001:db8::1", "fe80::1%lo"):
            self.assertEqual(addresses_of(host, 9393), [(host, 9393)])

    def test_a_name_has_a_bounded_number_each_once(self) -> None:
        def getaddrinfo(*_arguments: object, **_named: object) -> list[object]:
            hosts = ["192.0.2.1", *(f"192.0.2.{number}" for number in range(1, 20))]
            ipv4 = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, 7)) for host in hosts]
            return [(socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::1", 7, 0, 0)), *ipv4]

        self.patch(lookup.socket, "getaddrinfo", getaddrinfo)
        found = addresses_of("box.example", 7)
        self.assertEqual(found, [(f"192.0.2.{number}", 7) for number in range(1, MOST + 1)])

    def test_what_is_no_name_is_an_os_error(self) -> None:
        for name in ("x" * 64, "a..b", "256.1.1.1.", "no such name"):
            self.assertRaises(OSError, addresses_of, name, 9393)
