"""A small network inside this host: namespaces, each with an `eth0`, joined by one bridge.

Namespace n (from 0) has the address 10.77.0.<n+1>/24, a link-local one of IPv6 and a loopback, and
no route beyond that unless asked for. The bridge is in a namespace of its own, so nothing of the
host is touched. More bridges, interfaces and addresses can be had.

    class TestSomething(LanMixin, SynchronousTestCase):
        def test_it(self):
            lan = self.lan(2)
            lan.run(0, ["ping", "-c1", lan.address(1)])
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from typing import Any

PREFIX = "p2pshare"
DEADLINE = 60  # seconds for any one command, and for a link to come up
_serial = itertools.count()


class CommandFailed(AssertionError):
    """A command that builds the network was refused; the text is what it said."""


def command(*argv: str) -> str:
    """Run a command and return what it printed.

    :raises CommandFailed: it is not installed, fails, or takes over a minute.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def why_no_namespaces() -> str | None:
    """Why this machine may not make a network of namespaces, or None when it may."""
    if shutil.which("ip") is None:
        return "the ip command (iproute2) is not installed"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    try:
        Lan(1).close()
    except CommandFailed as error:
        return str(error)
    return None


def require_namespaces(test: unittest.TestCase) -> None:
    """Skip `test` where namespaces cannot be had; under CI, fail it instead.

    :raises unittest.SkipTest: with the reason.
    """
    reason = why_no_namespaces()
    if reason is None:
        return
    if os.environ.get("CI"):
        test.fail(f"CI must be able to run this: {reason}")
    raise unittest.SkipTest(reason)


class Lan:
    """`count` namespaces on one bridge, from construction until `close` (or a `with` block).

    :param count: 1 to 250.
    :param multicast_route: give each a route 224.0.0.0/4 over eth0.
    :param default_route: give each a default route over eth0, to a router that is not there.
    :param snooping: leave the bridge's multicast snooping on. There is no querier, so a bridge
        that snoops forgets members with time, as many a switch does.
    :param ipv4: False for no address of IPv4 at all, nor on the loopback.
    :param ipv6: False for no IPv6 at all.
    """

    def __init__(
        self,
        count: int = 2,
        *,
        multicast_route: bool = False,
        default_route: bool = False,
        snooping: bool = False,
        ipv4: bool = True,
        ipv6: bool = True,
    ) -> None:
        name = f"{PREFIX}-{os.getpid()}-{next(_serial)}"
        self.bridge = f"{name}-bridge"
        self.names = [f"{name}-{ns}" for ns in range(count)]
        self._made: list[str] = []
        self._children: list[subprocess.Popen[Any]] = []
        self._losses: dict[int, list[str]] = {}
        self._ports: dict[tuple[int, str], str] = {}  # (namespace, link) -> port of the bridge
        self._ipv4, self._ipv6 = ipv4, ipv6
        self._routes = ["224.0.0.0/4"] * multicast_route + ["default"] * default_route
        atexit.register(self.close)  # for a run that is interrupted before its cleanups
        try:
            self._build(snooping)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Lan:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what still runs in the namespaces and remove them; may be called twice."""
        while self._made:
            name = self._made.pop()
            with contextlib.suppress(CommandFailed):
                for pid in command("ip", "netns", "pids", name).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(CommandFailed):
                command("ip", "netns", "del", name)
        while self._children:
            self._reap(self._children.pop())
        atexit.unregister(self.close)

    def address(self, ns: int) -> str:
        """The IPv4 address of eth0 in namespace `ns`."""
        return f"10.77.0.{ns + 1}"

    def link_local(self, ns: int, link: str = "eth0") -> str:
        """The link-local IPv6 address of an interface, without its scope."""
        shown = json.loads(self._ip(ns, "-json", "-6", "address", "show", "dev", link))
        found: list[str] = [
            each["local"] for each in shown[0]["addr_info"] if each["scope"] == "link"
        ]
        return found[0]

    def argv(self, ns: int, argv: list[str]) -> list[str]:
        """The command line that runs `argv` inside namespace `ns`."""
        return ["ip", "netns", "exec", self.names[ns], *argv]

    def run(self, ns: int, argv: list[str], **kw: Any) -> subprocess.CompletedProcess[str]:
        """Run `argv` in namespace `ns` to its end, as `subprocess.run` does, with text captured.

        The exit code is the caller's to look at; over a minute raises subprocess.TimeoutExpired.
        """
        options: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "timeout": DEADLINE,
            "check": False,
        }
        options |= {"env": child_environment()}
        return subprocess.run(self.argv(ns, argv), **(options | kw))

    def popen(self, ns: int, argv: list[str], **kw: Any) -> subprocess.Popen[Any]:
        """Start `argv` in namespace `ns`; it is killed by `close` if it still runs then.

        The process is the command itself. By default its stdin, stdout and stderr are text pipes.
        """
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        options: dict[str, Any] = pipes | {"text": True, "env": child_environment()}
        child = subprocess.Popen(self.argv(ns, argv), **(options | kw))
        self._children.append(child)
        return child

    def down(self, ns: int, link: str = "eth0") -> None:
        """Take a link of namespace `ns` down."""
        self._ip(ns, "link", "set", link, "down")

    def up(self, ns: int, link: str = "eth0") -> None:
        """Bring a link of namespace `ns` up (again); returns when it carries.

        eth0 gets the routes again that the network was made with.
        """
        self._ip(ns, "link", "set", link, "up")
        for route in self._routes if link == "eth0" else ():
            self._ip(ns, "route", "replace", route, "dev", link)
        self._wait_until_it_carries(ns, link)

    def bridge_more(self, bridge: str, *, snooping: bool = False) -> None:
        """One more bridge, beside br0."""
        kind = ["bridge", "mcast_snooping", str(int(snooping))]
        command("ip", "-n", self.bridge, "link", "add", bridge, "type", *kind)
        command("ip", "-n", self.bridge, "link", "set", bridge, "up")

    def plug(self, ns: int, link: str, *addresses: str, bridge: str = "br0") -> None:
        """A cable from a port of a bridge to an interface `link` of `ns`; returns when it carries.

        :param addresses: such as 10.78.0.1/24 or fd00::1/64; none at all for the link-local one.
        """
        self._cable(ns, link, bridge)
        for address in addresses:
            self.add_address(ns, address, link)
        self.up(ns, link)

    def unplug(self, ns: int, link: str = "eth0") -> None:
        """Delete an interface of `ns`, and with it its port of the bridge."""
        self._ip(ns, "link", "del", link)

    def tunnel(self, ns: int, link: str, address: str, *routes: str) -> None:
        """An interface of `ns` with nobody behind it, and routes through it: a VPN's, say."""
        far_end = f"far{ns}-{link}"
        there = ["type", "veth", "peer", "name", far_end, "netns", self.bridge]
        self._ip(ns, "link", "add", link, *there)
        command("ip", "-n", self.bridge, "link", "set", far_end, "up")
        self.add_address(ns, address, link)
        self._ip(ns, "link", "set", link, "up")
        for route in routes:
            self._ip(ns, "route", "add", route, "dev", link)

    def add_address(self, ns: int, address: str, link: str = "eth0") -> None:
        """Give an interface one more address, with its prefix: 10.77.0.9/24."""
        more = ["nodad"] if ":" in address else ["broadcast", "+"]
        self._ip(ns, "address", "add", address, *more, "dev", link)

    def remove_address(self, ns: int, address: str, link: str = "eth0") -> None:
        """Take an address from an interface, with its prefix."""
        self._ip(ns, "address", "del", address, "dev", link)

    def sent(self, ns: int) -> int:
        """Bytes that eth0 of `ns` has sent up to now."""
        return int(self.run(ns, ["cat", "/sys/class/net/eth0/statistics/tx_bytes"]).stdout)

    def loss(self, ns: int, probability: float) -> None:
        """Drop this share (0 to 1) of what comes in over eth0 of `ns`, in place of any before.

        What `ns` hears of its own multicast counts as coming in, too.
        """
        if ns in self._losses:
            self.firewall(ns, "-D", *self._losses.pop(ns))
        if probability:
            rule = f"INPUT -i eth0 -m statistic --mode random --probability {probability} -j DROP"
            self.firewall(ns, "-A", *rule.split())
            self._losses[ns] = rule.split()

    def firewall(self, ns: int, *rule: str) -> None:
        """A rule of iptables in `ns`, for both families: "-A", "INPUT", "-p", "udp", ..."""
        command(*self.argv(ns, ["iptables", "-w", *rule]))
        if self._ipv6:
            command(*self.argv(ns, ["ip6tables", "-w", *rule]))

    def port(self, ns: int, *settings: str) -> None:
        """Settings of the bridge's port that eth0 of `ns` is plugged into, as bridge(8) has them.

        "isolated", "on": ports that have it do not reach each other, as the clients of an access
        point. "mcast_flood", "off": multicast does not pass, but broadcast does.
        """
        port = self._ports[ns, "eth0"]
        command("bridge", "-n", self.bridge, "link", "set", "dev", port, *settings)

    def switch(self, *rule: str) -> None:
        """A rule of ebtables for what the bridges carry: "-p", "IPv4", ..., "-j", "DROP"."""
        command("ip", "netns", "exec", self.bridge, "ebtables", "-A", "FORWARD", *rule)

    def router(self, ns: int, address: str, bridge: str = "br0") -> None:
        """A router with that address on a bridge, to the other bridges that have one, for `ns`."""
        command("ip", "netns", "exec", self.bridge, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        command("ip", "-n", self.bridge, "address", "add", address, "dev", bridge)
        self._ip(ns, "route", "add", "default", "via", address.partition("/")[0])

    def rate(self, ns: int, megabits: float, *, inwards: bool = False, whole: bool = False) -> None:
        """Let `ns` send, and with `inwards` receive, so many megabits a second over eth0.

        `whole`: what TCP hands over in one go (64 KiB) is not cut into packets, as a network card
        does it; that takes a fraction of the processors' time.
        """
        sides = [(self.names[ns], "eth0")]
        if inwards:
            sides.append((self.bridge, self._ports[ns, "eth0"]))
        for name, link in sides:
            burst = 128 if whole else 32
            limit = f"dev {link} root tbf rate {megabits}mbit burst {burst}kb latency 50ms"
            command("tc", "-n", name, "qdisc", "replace", *limit.split())

    def _build(self, snooping: bool) -> None:
        self._namespace(self.bridge)
        self.bridge_more("br0", snooping=snooping)
        for ns, name in enumerate(self.names):
            self._namespace(name)
            self._plug_in(ns)
        for ns in range(len(self.names)):
            self.up(ns)

    def _namespace(self, name: str) -> None:
        command("ip", "netns", "add", name)
        self._made.append(name)
        sysctl = ["ip", "netns", "exec", name, "sysctl", "-qw"]
        if self._ipv6:  # no wait of a second or two for an address to be found free
            command(*sysctl, "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
        else:
            command(*sysctl, "net.ipv6.conf.all.disable_ipv6=1")
        command("ip", "-n", name, "link", "set", "lo", "up")
        if not self._ipv4:
            command("ip", "-n", name, "address", "del", "127.0.0.1/8", "dev", "lo")

    def _plug_in(self, ns: int) -> None:
        """The namespace's eth0, still down."""
        self._cable(ns, "eth0", "br0")
        if self._ipv4:
            self.add_address(ns, f"{self.address(ns)}/24")

    def _cable(self, ns: int, link: str, bridge: str) -> None:
        port = f"port{ns}" if link == "eth0" else f"port{ns}-{link}"
        self._ports[ns, link] = port
        far_end = ["type", "veth", "peer", "name", link, "netns", self.names[ns]]
        command("ip", "-n", self.bridge, "link", "add", port, *far_end)
        command("ip", "-n", self.bridge, "link", "set", port, "master", bridge, "up")

    def _wait_until_it_carries(self, ns: int, link: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while self._state(self.names[ns], link) != "UP" or not self._forwards(ns, link):
            if time.monotonic() > deadline:
                raise CommandFailed(f"the link of namespace {ns} stayed down")

    def _state(self, name: str, link: str) -> str:
        shown = json.loads(command("ip", "-n", name, "-json", "link", "show", link))
        return str(shown[0]["operstate"])

    def _forwards(self, ns: int, link: str) -> bool:
        port = self._ports[ns, link]
        shown = command("bridge", "-n", self.bridge, "-json", "link", "show", "dev", port)
        return bool(json.loads(shown)[0]["state"] == "forwarding")

    def _ip(self, ns: int, *argv: str) -> str:
        return command("ip", "-n", self.names[ns], *argv)

    def _reap(self, child: subprocess.Popen[Any]) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class LanMixin:
    """For a TestCase: `self.lan(...)` makes a network that goes when the test ends."""

    def lan(self, count: int = 2, **options: bool) -> Lan:
        """A `Lan` of `count` namespaces; skips the test where there can be none."""
        assert isinstance(self, unittest.TestCase)
        require_namespaces(self)
        lan = Lan(count, **options)
        self.addCleanup(lan.close)
        return lan


def child_environment() -> dict[str, str]:
    """Our environment, in which a child's Python finds the packages that we find."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
