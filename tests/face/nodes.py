"""Real nodes in processes of their own, on the loopback alone."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from twisted.internet import protocol
from twisted.internet.defer import Deferred

from tests.lan.nodes import free_port

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"


def group_of(port):
    """A group that no other test is in."""
    return f"239.{port % 251}.{port % 253}.{1 + port % 254}"


def folder_of(test):
    """A folder that is there until the end of `test`."""
    path = tempfile.mkdtemp(prefix="p2pshare-")
    test.addCleanup(shutil.rmtree, path)
    return path


def arguments(state, *more, port=None):
    """For the interpreter: a node that keeps its memory in `state`."""
    port = port or free_port()
    return [
        "-W", "ignore", str(shutil.which("twistd", path=os.path.dirname(sys.executable))),
        "-n", "p2pshare", "--interface", LOOPBACK, "--group", group_of(port),
        "--port", str(port), "--state-dir", state,
        "--download-dir", state, "--nick", "me", *more,
    ]  # fmt: skip


def environment(**variables):
    """What such a process may know of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **variables}


class Process(protocol.ProcessProtocol):
    """Keeps what a process writes. `ended` fires with its exit code or, below 0, its signal."""

    def __init__(self):
        self.out = b""
        self.ended = Deferred()
        self.running = True
        self._waiting = []

    def outReceived(self, data):
        self.out += data
        for waiting in list(self._waiting):
            text, deferred = waiting
            if text in self.text():
                self._waiting.remove(waiting)
                deferred.callback(None)

    errReceived = outReceived

    def text(self):
        return self.out.decode("utf-8", "replace")

    def lines(self):
        return self.text().splitlines()

    def shows(self, text):
        """Fires when `text` has been written; fails when the process ends before."""
        deferred = Deferred()
        if text in self.text():
            deferred.callback(None)
        else:
            self._waiting.append((text, deferred))
        return deferred

    def processEnded(self, reason):
        self.running = False
        for _, deferred in self._waiting:
            deferred.errback(AssertionError(f"ended with: {self.text()}"))
        code = reason.value.exitCode
        self.ended.callback(-reason.value.signal if code is None else code)

    def kill(self):
        """For a clean-up: fires when the process is no more."""
        if self.running:
            self.transport.signalProcess("KILL")
        return self.ended
