"""Processes of a benchmark: found, started, waited for, their CPU time counted, and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

START_TIMEOUT = 20.0  # seconds for a server to serve
FETCH_TIMEOUT = 900.0  # seconds for one fetch
STOP_TIMEOUT = 5.0  # seconds from SIGTERM to SIGKILL
POLL = 0.02  # seconds
QUIET = 0.2  # seconds without CPU use after which the two ends count as finished
TAIL = 1000  # characters of a failed command's output that are shown
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])


class PeerFailed(Exception):
    """A server did not start, a fetch failed, or what arrived is not what was sent."""


def find_program(name: str) -> str | None:
    """The path of a program, looked for in the system administrator's folders too."""
    return shutil.which(name, path=SYSTEM_PATH)


def program(name: str) -> str:
    """The path of a program that `Peer.missing` found; raises `PeerFailed` when it has gone."""
    path = find_program(name)
    if path is None:
        raise PeerFailed(f"{name} is not installed")
    return path


def run(*command: str | Path, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    """What a command prints on its standard output; raises `PeerFailed` with its complaint."""
    try:
        return subprocess.run(
            command,
            input=stdin,
            env=environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=FETCH_TIMEOUT,
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"{command[0]} took more than {FETCH_TIMEOUT:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout)[-TAIL:].strip()
        raise PeerFailed(f"{command[0]} ended with {error.returncode}: {said}") from error


def complaint(*command: str | Path) -> str:
    """The first line of what a command prints: most tools tell their version on standard error."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return (result.stdout + result.stderr).strip().partition("\n")[0]


def wait_until(true: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until `true()`; raises `PeerFailed` with the log of a server that does not."""
    deadline = time.monotonic() + START_TIMEOUT
    while not true():
        if server.poll() is not None or time.monotonic() > deadline:
            raise PeerFailed(f"did not start: {log.read_text(errors='replace')[-TAIL:]}")
        time.sleep(POLL)


def listening(port: int) -> bool:
    """Whether something accepts connections on a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.frozen
class ProcessTimes:
    """One process of /proc: its parent, and the CPU seconds of it and of its ended children."""

    pid: int
    parent: int
    cpu: float


def read_times(stat: Path) -> ProcessTimes | None:
    """One /proc/PID/stat (proc_pid_stat(5)); None when the process went meanwhile."""
    try:
        pid, _, rest = stat.read_text(errors="replace").partition(" (")
    except OSError:
        return None
    # The name may hold spaces and brackets: count from the last bracket, after which comes field 3.
    fields = rest.rpartition(") ")[2].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ProcessTimes(int(pid), int(fields[1]), ticks / os.sysconf("SC_CLK_TCK"))


def descendants() -> list[ProcessTimes]:
    """All processes that descend from this one, zombies included."""
    stats = Path("/proc").glob("[0-9]*/stat")
    table = [times for times in map(read_times, stats) if times is not None]
    family, found = {os.getpid()}, list[ProcessTimes]()
    while born := [t for t in table if t.parent in family and t.pid not in family]:
        family.update(times.pid for times in born)
        found += born
    return found


def cpu_seconds() -> float:
    """CPU seconds of all processes started so far, once they have come to rest."""
    deadline = time.monotonic() + STOP_TIMEOUT
    before = -1.0
    while True:
        ended = os.times()
        now = ended.children_user + ended.children_system + sum(t.cpu for t in descendants())
        if abs(now - before) < 1e-6 or time.monotonic() > deadline:
            return now
        before = now
        time.sleep(QUIET)


def stop_descendants() -> None:
    """End whatever this process started and is still there, politely first."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_TIMEOUT
        for times in descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(times.pid, kind)
        while descendants() and time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            time.sleep(POLL)
