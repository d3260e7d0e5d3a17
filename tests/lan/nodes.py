"""Real nodes as child processes: `twistd -n p2pshare --menu plain` at the end of two pipes.

    class TestSomething(NodesMixin, TestCase):
        def test_it(self):
            one, other = self.node("one"), self.node("other")
            one.expect("other is here")
            one.type("1", "coucou")
            other.expect("one :> coucou")

Every node has a folder of its own, which is its home and where it is started; on this host it is
given the loopback alone and a group and port that no other test has. When the test ends, nodes
that still run are killed, and one that logged a traceback fails the test.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.lan.netns import Lan, child_environment

PATIENCE = 60.0  # seconds for what should come at once; the machine may be busy
POLL = 0.02  # seconds between two looks
RUN = "from twisted.scripts.twistd import run; run()"
TWISTD_VARIABLES = (
    "LANGUAGE", "LC_ALL", "LC_MESSAGES", "NO_COLOR", "TERM", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
)  # fmt: skip
TAIL = 3000  # characters of each text that a failure shows


def environment(home: Path) -> dict[str, str]:
    """What a node finds around it: our packages, English, and `home` as the place to write to."""
    inherited = child_environment()
    for name in TWISTD_VARIABLES:
        inherited.pop(name, None)
    return {**inherited, "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C.UTF-8"}


def twistd(*arguments: str, before: str = "") -> list[str]:
    """The command line of twistd with this Python; `before` is run in it first."""
    return [sys.executable, "-c", f"{before}\n{RUN}", *arguments]


def until(true: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """Wait until `true()` is, and return it; an AssertionError that names `what` when it never is.

    For what cannot be waited for in another way: that a process or a file is gone.
    """
    deadline = time.monotonic() + within
    while not (result := true()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what}")
        time.sleep(POLL)
    return result


def free_port() -> int:
    """A port that is free with the one after it, UDP and TCP: one of each for the kernel to ask."""
    while True:
        port = random.randrange(20_000, 32_000)  # below the ports that the kernel gives away
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                for each in (port, port + 1):
                    sock = stack.enter_context(socket.socket(socket.AF_INET, kind))
                    sock.bind(("", each))
            return port


class NodeProcess:
    """One node: feed it lines, wait for its lines."""

    def __init__(self, popen: Callable[..., Any], argv: Sequence[str], folder: Path, name: str):
        self.name = name
        self.folder = folder
        self.output = ""
        self._at = 0  # where in the output the next thing is looked for
        self._errors = open(folder / f"{name}.stderr", "a+b")  # noqa: SIM115
        self.process: subprocess.Popen[bytes] = popen(
            list(argv),
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=False,
            bufsize=0,
        )
        os.set_blocking(self.process.stdout.fileno(), False)  # type: ignore[union-attr]

    @property
    def slot(self) -> Path:
        """The folder of its identity and memory, where it is the first in its home."""
        return self.folder / ".local" / "state" / "p2pshare" / "1"

    @property
    def database(self) -> Path:
        """The memory of the group that it is in, where there was no other."""
        (path,) = self.slot.glob("group-*.db")
        return path

    @property
    def log(self) -> str:
        """Its log so far."""
        path = self.slot / "node.log"
        return path.read_text() if path.exists() else ""

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return (self.folder / f"{self.name}.stderr").read_text()

    def type(self, *lines: str) -> None:
        """Give it these lines."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(line + "\n" for line in lines).encode())

    def expect(self, pattern: str, within: float = PATIENCE) -> re.Match[str]:
        """Wait for the regular expression in what it shows after what was expected before."""
        deadline = time.monotonic() + within
        while True:
            match = re.compile(pattern).search(self.output, self._at)
            if match:
                self._at = match.end()
                return match
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{self.name} did not show {pattern!r}.\n{self.story()}")

    def expect_all(self, *patterns: str) -> None:
        """Wait for all of them, in whatever order they come."""
        start, furthest = self._at, self._at
        for pattern in patterns:
            self._at = start
            self.expect(pattern)
            furthest = max(furthest, self._at)
        self._at = furthest

    def expect_not(self, pattern: str) -> None:
        """Fail when the regular expression is anywhere in what it has shown so far."""
        while self._read(0.0):
            pass
        if re.search(pattern, self.output):
            raise AssertionError(f"{self.name} showed {pattern!r}.\n{self.story()}")

    def skip(self) -> None:
        """What it has shown so far is not what is expected next."""
        while self._read(0.0):
            pass
        self._at = len(self.output)

    def _read(self, seconds: float) -> bool:
        """Take in what comes within that time; False when nothing does, or nothing will."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, seconds)):
                return False
        data = self.process.stdout.read()
        self.output += (data or b"").decode(errors="replace")
        return bool(data)

    def story(self) -> str:
        """What it showed, complained of and logged: for the message of a failure."""
        return (
            f"--- {self.name} showed:\n{self.output[-TAIL:]}\n"
            f"--- standard error:\n{self.errors[-TAIL:]}\n--- log:\n{self.log[-TAIL:]}"
        )

    def wait(self, within: float = PATIENCE) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} goes on and on.\n{self.story()}") from None

    def quit(self) -> int:
        """Have it quit from its menu; the exit code."""
        self.type("3")
        return self.wait()

    def signal(self, number: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """Kill it, if it runs, and close the pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._errors.close()


class NodesMixin:
    """For a TestCase: `self.node(...)` starts a node that goes when the test ends."""

    _group = ""
    _port = 0

    @property
    def group(self) -> str:
        """The group of this test on this host."""
        if not self._group:
            parts = ".".join(str(random.randrange(1, 255)) for _ in range(3))
            self._group, self._port = f"239.{parts}", free_port()
        return self._group

    @property
    def port(self) -> int:
        """The port of this test on this host; the next one is free as well."""
        return self._port if self.group else 0

    def home(self, name: str) -> Path:
        """The folder of the node of that name, in this test."""
        assert isinstance(self, unittest.TestCase)
        if not hasattr(self, "_homes"):
            self._homes = Path(tempfile.mkdtemp(prefix="p2pshare-test-"))
            self.addCleanup(shutil.rmtree, self._homes)
        folder: Path = self._homes / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def here(self, *more: str) -> list[str]:
        """The options of a node on this host: loopback, and the group and port of this test."""
        return ["--group", self.group, "--port", str(self.port), "--interface", "127.0.0.1", *more]

    def node(
        self,
        name: str,
        *options: str,
        lan: Lan | None = None,
        ns: int = 0,
        home: str = "",
        before: str = "",
        wait: bool = True,
    ) -> NodeProcess:
        """Start a node of that nick; returns when its menu is there.

        :param options: more options of p2pshare.
        :param lan: start it in namespace `ns` of this network, not on this host.
        :param home: whose folder to use, by default its own; the same one again is a restart.
        :param before: Python that runs in the process before twistd does.
        :param wait: whether to wait for the menu.
        """
        assert isinstance(self, unittest.TestCase)
        where = self.here() if lan is None else []
        options = ("-n", "p2pshare", "--menu", "plain", "--nick", name, *where, *options)
        argv = twistd(*options, before=before)
        popen: Any = subprocess.Popen
        if lan is not None:
            popen = lambda argv, **kw: lan.popen(ns, argv, **kw)  # noqa: E731
        node = NodeProcess(popen, argv, self.home(home or name), name)
        self.addCleanup(self._check, node)
        self.addCleanup(node.close)
        if wait:
            node.expect(r"\? help >")
        return node

    def _check(self, node: NodeProcess) -> None:
        """Whatever the test was about, a node that stumbled is a failure."""
        if "Traceback" in node.log or "Unhandled" in node.log or "Traceback" in node.errors:
            raise AssertionError(f"{node.name} stumbled.\n{node.story()}")

    def ear(self, port: int) -> socket.socket:
        """A plain socket that hears this test's group on the loopback."""
        assert isinstance(self, unittest.TestCase)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((self.group, port))
        member = struct.pack("4s4s", socket.inet_aton(self.group), socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sock.settimeout(PATIENCE)
        return sock

    def run_node(
        self, *arguments: str, home: str = "it", text: str | None = None, before: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run twistd with `arguments` to its end, `text` on its standard input (else /dev/null)."""
        folder = self.home(home)
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        return subprocess.run(
            twistd(*arguments, before=before),
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            **given,
        )


def is_running(pid: int) -> bool:
    """Whether that process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def kill(pid: int) -> None:
    """End a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
