"""Telling of us by mDNS (RFC 6762, 6763), and hearing of others: service ``_p2pshare._udp``.

::

    <name>._p2pshare._udp.local.   SRV   port P+1, <name>.local.
                                   TXT   group=239.0.0.1:9392  key=<name>

    name   the node's fingerprint; 16 random hex digits in a closed group

224.0.0.251 is not held back by switches that filter multicast, and reflectors carry it to other
networks. What is found is an address to greet and nothing more: anybody can announce anything.

python-zeroconf does the work in threads of its own. It is imported in a thread, too, some seconds
after the start, and where it cannot have port 5353 there is no mDNS and nothing else is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twistedp2p.core.limits import TokenBucket
from twistedp2p.core.presence.addresses import Address
from twistedp2p.net.lookup import scoped

SERVICE = "_p2pshare._udp.local."
START_AFTER = 2.0  # seconds: most have found each other by then; links settle in that time
ASK_TIMEOUT = 1000  # milliseconds for the addresses of one name
NAMES_RATE, NAMES_BURST = 1.0, 256.0  # names that are looked at
MAX_ADDRESSES = 4  # of one name

_log = Logger()


class Mdns:
    """One node's part in mDNS.

    :param in_thread: runs a call in a thread.
    :param group: the group as it is signed, `core.datagrams.datagram.group_name`.
    :param name: what to call ourselves there.
    :param port: UDP port at which we hear unicast.
    :param addresses: our addresses on real networks, now.
    :param found: told, in the reactor's thread, where a node of the group may be.
    """

    def __init__(
        self,
        reactor: Any,
        in_thread: Callable[..., Deferred[Any]],
        *,
        group: str,
        name: str,
        port: int,
        addresses: Callable[[], list[str]],
        found: Callable[[list[Address]], object],
    ) -> None:
        self._reactor = reactor
        self._in_thread = in_thread
        self._group = group
        self._name = name
        self._port = port
        self._addresses = addresses
        self._found = found
        self._here: list[str] = []  # addresses that it runs on
        self._zeroconf: Any = None
        self._names = TokenBucket.full(NAMES_RATE, NAMES_BURST, time.monotonic())
        self._one_at_a_time = DeferredLock()
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin, in a while."""
        self._call = self._reactor.callLater(START_AFTER, self._follow_links)

    def links_changed(self) -> None:
        """Our addresses may be others now."""
        if self._call is not None and self._call.active():
            self._call.reset(START_AFTER)
        else:
            self.start()

    def stop(self) -> Deferred[Any]:
        """Say goodbye, and end the threads."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._found = lambda _: None
        return self._run_on([])

    def _follow_links(self) -> None:
        self._run_on(self._addresses())

    def _run_on(self, addresses: list[str]) -> Deferred[Any]:
        done = self._one_at_a_time.run(self._change, addresses)
        return done.addErrback(lambda failure: _log.info("no mDNS: {why}", why=failure.value))

    def _change(self, addresses: list[str]) -> Deferred[None] | None:
        if addresses == self._here:
            return None
        self._here = addresses
        return self._in_thread(self._reopen, addresses)

    # -- in threads

    def _reopen(self, addresses: list[str]) -> None:
        if self._zeroconf is not None:
            self._zeroconf.close()
            self._zeroconf = None
        if addresses:
            self._zeroconf = self._open(addresses)

    def _open(self, addresses: list[str]) -> Any:
        from zeroconf import ServiceBrowser, ServiceInfo, Zeroconf

        opened = Zeroconf(interfaces=list(addresses))
        try:
            info = ServiceInfo(
                SERVICE,
                f"{self._name}.{SERVICE}",
                port=self._port,
                properties={"group": self._group, "key": self._name},
                server=f"{self._name}.local.",
                parsed_addresses=[address.partition("%")[0] for address in addresses],
            )
            # The name is nobody else's: no need to wait whether somebody objects.
            opened.register_service(info, cooperating_responders=True)
            ServiceBrowser(opened, SERVICE, handlers=[self._changed])
        except BaseException:
            opened.close()
            raise
        return opened

    def _changed(self, zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        """Called by the thread of zeroconf's browser, by these names."""
        from zeroconf import ServiceStateChange

        ours = name == f"{self._name}.{SERVICE}"
        if ours or state_change is ServiceStateChange.Removed:
            return
        if not self._names.take(time.monotonic()):
            return
        info = zeroconf.get_service_info(service_type, name, ASK_TIMEOUT)
        if info is not None and info.properties.get(b"group") == self._group.encode():
            addresses: list[Address] = []
            for host in info.parsed_scoped_addresses()[:MAX_ADDRESSES]:
                with suppress(OSError):  # its interface has just gone
                    addresses.append((scoped(host), info.port))
            if info.port and addresses:
                self._reactor.callFromThread(lambda: self._found(addresses))
