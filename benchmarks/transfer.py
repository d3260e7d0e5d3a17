"""One file over loopback, from disk to disk: p2pshare beside scp, nginx with curl, magic-wormhole.

Every peer is a `Peer`: its server is started once on a free port of 127.0.0.1, with throw-away
keys in a temporary folder; then the peers fetch in turns, one at a time, so that whatever else the
machine does meets all of them alike. The source is in the page cache, the destination is a new
file, and the disk is synchronised before each fetch.

CPU time is that of all descendants of this process, living or ended, before and after a fetch:
each process's own time and that of the children it has waited for, from /proc/PID/stat. Only one
fetch runs at a time, and idle servers use none, so the difference is what both ends took together,
with the processes that sshd forks for each connection. (Linux only, for this reason.)
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib
import importlib.util
import ipaddress
import json
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import ClassVar

import attrs
from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

GIB = 1 << 30  # bytes
MB = 1_000_000  # bytes
SMALL_SIZE = 1024  # bytes
SMALL_RUNS = 3  # small fetches for each large one: they are short, and noisier
SPARE = 256 << 20  # bytes of disk to leave free
START_TIMEOUT = 20.0  # seconds for a server to serve
FETCH_TIMEOUT = 900.0  # seconds for one fetch
STOP_TIMEOUT = 5.0  # seconds from SIGTERM to SIGKILL
POLL = 0.02  # seconds
QUIET = 0.2  # seconds without CPU use after which the two ends count as finished
BLOCK = 1 << 20  # bytes read or written at once
TAIL = 1000  # characters of a failed command's output that are shown
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])
SSHD_EMPTY = Path("/run/sshd")  # Debian's sshd, run by root, refuses to start without this folder


class PeerFailed(Exception):
    """A server did not start, a fetch failed, or what arrived is not what was sent."""


# ---- processes ----------------------------------------------------------------------------------


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


# ---- peers --------------------------------------------------------------------------------------


class Peer:
    """One way to bring a file from a server process to a new file, over loopback.

    `setup` once, then any number of `offer`, `fetch`, `rest`, and `teardown` at the end.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.servers: list[subprocess.Popen[bytes]] = []

    def missing(self) -> str | None:
        """What is not installed, with the way to install it; None when all is here."""
        raise NotImplementedError

    def version(self) -> str:
        """Names and versions of the programs measured."""
        raise NotImplementedError

    def setup(self, folder: Path, sources: Sequence[Path]) -> None:
        """Start serving `sources` on a free port; both ends may use `folder` as they like."""
        self.folder, self.sources, self.port = folder, sources, free_port()
        self.serve()

    def serve(self) -> None:
        """Start the server, and return when it serves."""
        raise NotImplementedError

    def offer(self, source: Path) -> None:
        """What the server's end must do before each fetch. Not measured."""
        self.source = source

    def fetch(self, destination: Path) -> float | None:
        """Bring `source` to `destination`, of the same name. Measured from call to return.

        Returns the seconds that the client itself counted from call to done, without its own
        start-up, where it tells them.
        """
        raise NotImplementedError

    def rest(self) -> None:
        """Wait for what `offer` started. Not measured as time; its CPU time counts."""

    def teardown(self) -> None:
        """Stop the servers."""
        for server in self.servers:
            server.terminate()
            try:
                server.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self.servers.clear()

    def start(
        self, *command: str | Path, stdin: str = "", environment: dict[str, str] | None = None
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a server in a session of its own, out of Ctrl-C's way; returns it and its log."""
        log = self.folder / f"server-{len(self.servers)}.log"
        with log.open("wb") as output, tempfile.TemporaryFile(dir=self.folder) as lines:
            lines.write(stdin.encode())
            lines.seek(0)
            server = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=lines,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.servers.append(server)
        return server, log


def missing_programs(package: str, *names: str) -> str | None:
    """What `Peer.missing` answers for a peer made of programs of the system."""
    absent = [name for name in names if find_program(name) is None]
    return f"no {', '.join(absent)}: apt-get install {package}" if absent else None


class Scp(Peer):
    """scp from a private sshd, default ciphers."""

    name = "scp"
    made_empty = False

    def missing(self) -> str | None:
        return missing_programs("openssh-server openssh-client", "sshd", "scp", "ssh", "ssh-keygen")

    def version(self) -> str:
        return complaint(program("ssh"), "-V")

    def serve(self) -> None:
        folder = self.folder
        for key in ("host", "user"):
            run(program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
        host = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host}")
        # Without PAM, an account that has no password counts as locked; root's sshd needs none.
        pam = "no" if os.geteuid() == 0 else "yes"
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/user.pub\nAuthenticationMethods publickey\n"
            "PermitRootLogin prohibit-password\nStrictModes no\nSubsystem sftp internal-sftp\n"
            f"UsePAM {pam}\n"
        )
        if os.geteuid() == 0 and not SSHD_EMPTY.exists():
            SSHD_EMPTY.mkdir(mode=0o755)
            self.made_empty = True
        server, log = self.start(program("sshd"), "-D", "-e", "-f", folder / "sshd_config")
        wait_until(lambda: listening(self.port), server, log)

    def fetch(self, destination: Path) -> None:
        options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.folder}/known_hosts",
        ]
        flags = [flag for option in options for flag in ("-o", option)]
        user = pwd.getpwuid(os.geteuid()).pw_name
        remote = f"{user}@127.0.0.1:{self.source}"
        identity = ("-i", self.folder / "user", "-P", str(self.port))
        run(program("scp"), "-q", "-F", "none", *flags, *identity, remote, destination)

    def teardown(self) -> None:
        super().teardown()
        if self.made_empty:
            SSHD_EMPTY.rmdir()


class Https(Peer):
    """curl from a private nginx, TLS 1.3 with AES-256-GCM."""

    name = "nginx"

    def missing(self) -> str | None:
        return missing_programs("nginx-light curl", "nginx", "curl")

    def version(self) -> str:
        nginx = complaint(program("nginx"), "-v").removeprefix("nginx version: ")
        return f"{nginx}, {' '.join(complaint(program('curl'), '-V').split()[:2])}"

    def serve(self) -> None:
        folder = self.folder
        write_certificate(folder)
        bodies = "".join(
            f"{kind}_temp_path {folder}/{kind}; "
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # The workers of a root's nginx would be another user, whom the temporary folder keeps out.
        user = "user root root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"daemon off; {user} pid {folder}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; {bodies}\n"
            f"server {{ listen 127.0.0.1:{self.port} ssl; root {self.sources[0].parent};\n"
            f"ssl_protocols TLSv1.3; ssl_certificate {folder}/certificate.pem;\n"
            f"ssl_certificate_key {folder}/key.pem; }} }}\n"
        )
        server, log = self.start(
            program("nginx"), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"
        )
        wait_until(lambda: listening(self.port), server, log)

    def fetch(self, destination: Path) -> float:
        curl = [program("curl"), "-q", "--silent", "--show-error", "--fail", "--noproxy", "*"]
        tls = ["--tlsv1.3", "--tls13-ciphers", "TLS_AES_256_GCM_SHA384", "--cacert"]
        url = f"https://127.0.0.1:{self.port}/{self.source.name}"
        output = ("-w", "%{time_total}", "-o", destination, url)
        return float(run(*curl, *tls, self.folder / "certificate.pem", *output))


def write_certificate(folder: Path) -> None:
    """A self-signed certificate for 127.0.0.1, certificate.pem and key.pem, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class Wormhole(Peer):
    """magic-wormhole with a mailbox server of our own, no transit relay, a direct connection."""

    name = "magic-wormhole"
    number = 0

    def missing(self) -> str | None:
        modules = {
            "wormhole": "magic-wormhole",
            "wormhole_mailbox_server": "magic-wormhole-mailbox-server",
        }
        absent = [p for module, p in modules.items() if importlib.util.find_spec(module) is None]
        return f"{sys.executable} -m pip install {' '.join(absent)}" if absent else None

    def version(self) -> str:
        return f"magic-wormhole {version('magic-wormhole')}"

    def serve(self) -> None:
        server, log = self.start(
            *(sys.executable, "-m", "twisted", "wormhole-mailbox"),
            f"--port=tcp:{self.port}:interface=127.0.0.1",
            f"--channel-db={self.mailboxes}",
        )
        wait_until(lambda: listening(self.port), server, log)

    @property
    def mailboxes(self) -> Path:
        """The mailbox server's SQLite file."""
        return self.folder / "mailboxes.sqlite"

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """The wormhole command, our mailbox server and no relay."""
        relay = f"--relay-url=ws://127.0.0.1:{self.port}/v1"
        return [sys.executable, "-m", "wormhole", relay, "--transit-helper=", *arguments]

    def offer(self, source: Path) -> None:
        super().offer(source)
        self.number += 1
        self.code = f"{self.number}-loopback-benchmark"
        send = self.command("send", "--hide-progress", f"--code={self.code}", source)
        self.sender, log = self.start(*send)
        wait_until(self.sender_waits, self.sender, log)

    def sender_waits(self) -> bool:
        """Whether the sender has left its first message for the receiver in the mailbox."""
        database = sqlite3.connect(f"{self.mailboxes.as_uri()}?mode=ro", uri=True)
        try:
            found = database.execute(
                "SELECT 1 FROM nameplates JOIN messages USING (mailbox_id)"
                " WHERE name = ? AND phase = 'pake'",
                [str(self.number)],
            )
            return found.fetchone() is not None
        finally:
            database.close()

    def fetch(self, destination: Path) -> float:
        timing = self.folder / "timing.json"
        receive = self.command("receive", "--hide-progress", "--accept-file", "-o", destination)
        receive[3:3] = [f"--dump-timing={timing}"]
        run(*receive, self.code)
        events = json.loads(timing.read_text())
        begun = max(event["stop"] for event in events if event["name"] == "import")
        done = max(event["stop"] for event in events if event["name"] == "send ack")
        return float(done - begun)

    def rest(self) -> None:
        self.servers.remove(self.sender)
        if self.sender.wait(START_TIMEOUT) != 0:
            raise PeerFailed("the sender failed")


P2PSHARE_SERVER = """
import sys
from pathlib import Path
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twistedp2p.api import serve_files

async def main(reactor, port, *paths):
    password = sys.stdin.readline().rstrip()
    await serve_files(reactor, int(port), password, [Path(p) for p in paths], host="127.0.0.1")
    print("ready", flush=True)
    await Deferred()

react(main, sys.argv[1:])
"""

P2PSHARE_CLIENT = """
import sys, time
from pathlib import Path
from twisted.internet.task import react
from twistedp2p.api import fetch_file

async def main(reactor, port, name, directory):
    password = sys.stdin.readline().rstrip()
    begun = time.perf_counter()
    await fetch_file(reactor, ("127.0.0.1", int(port)), (password, name), Path(directory))
    print(time.perf_counter() - begun)

react(main, sys.argv[1:])
"""


class P2pshare(Peer):
    """`twistedp2p.api` in two processes."""

    name = "p2pshare"
    password = "correct horse battery"  # three words, as the program would make

    def missing(self) -> str | None:
        try:
            api = importlib.import_module("twistedp2p.api")
        except ImportError as error:
            return f"{error}: {sys.executable} -m pip install -e . (in the checkout)"
        absent = [name for name in ("serve_files", "fetch_file") if not hasattr(api, name)]
        return f"twistedp2p.api has no {', '.join(absent)}" if absent else None

    def version(self) -> str:
        return (
            f"p2pshare {version('twistedp2p')} (Python {platform.python_version()}, "
            f"Twisted {version('twisted')}, {backend.openssl_version_text()})"
        )

    def serve(self) -> None:
        command = (sys.executable, "-c", P2PSHARE_SERVER, str(self.port))
        server, log = self.start(
            *command, *self.sources, stdin=self.password + "\n", environment=self.environment
        )
        wait_until(lambda: b"ready" in log.read_bytes().splitlines(), server, log)

    @property
    def environment(self) -> dict[str, str]:
        """Ours, but that whatever either end keeps goes with the folder."""
        kinds = ("STATE", "CONFIG", "DATA", "CACHE")
        return {**os.environ, **{f"XDG_{kind}_HOME": str(self.folder) for kind in kinds}}

    def fetch(self, destination: Path) -> float:
        client = (sys.executable, "-c", P2PSHARE_CLIENT, str(self.port), self.source.name)
        said = run(
            *client,
            destination.parent,
            stdin=self.password + "\n",
            environment=self.environment,
        )
        return float(said)


PEERS: tuple[type[Peer], ...] = (P2pshare, Scp, Https, Wormhole)


# ---- measuring ----------------------------------------------------------------------------------


@attrs.frozen
class Sample:
    """One fetch: seconds of the whole command, of the client in itself, and of CPU of both ends."""

    command: float
    inside: float | None
    cpu: float


@attrs.define
class Result:
    """What one peer did; `failed` says why it did no more."""

    peer: Peer
    large: list[Sample] = attrs.field(factory=list)
    small: list[Sample] = attrs.field(factory=list)
    failed: str | None = None


def sha256(path: Path) -> bytes:
    """The digest of a file, read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.digest()


def measure(peer: Peer, source: Path, expected: bytes | None = None) -> Sample:
    """One fetch of `source` into a new folder; its digest is looked at when one is `expected`."""
    peer.offer(source)
    with tempfile.TemporaryDirectory(dir=peer.folder, prefix="arrived-") as folder:
        destination = Path(folder) / source.name
        os.sync()
        cpu = cpu_seconds()
        begun = time.perf_counter()
        inside = peer.fetch(destination)
        command = time.perf_counter() - begun
        peer.rest()
        cpu = cpu_seconds() - cpu
        if destination.stat().st_size != source.stat().st_size:
            raise PeerFailed("the size that arrived is not the size sent")
        if expected is not None and sha256(destination) != expected:
            raise PeerFailed("the bytes that arrived are not the bytes sent")
    return Sample(command, inside, cpu)


def write_random(path: Path, size: int) -> bytes:
    """Make a file of `size` random bytes; returns its digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while size > 0:
            block = os.urandom(min(BLOCK, size))
            digest.update(block)
            size -= file.write(block)
    return digest.digest()


@contextmanager
def failure_noted(result: Result) -> Iterator[None]:
    """Let a peer's failure stop that peer, not the benchmark."""
    try:
        yield
    except (PeerFailed, OSError, ValueError, sqlite3.Error, subprocess.SubprocessError) as error:
        tell(f"{result.peer.name} failed: {error}")
        result.failed = str(error).strip().rpartition("\n")[2]


def fetch_in_turns(
    results: Sequence[Result], source: Path, digest: bytes, turns: int
) -> dict[str, list[Sample]]:
    """Each peer that has not failed fetches `source`, `turns` times; the first is checked."""
    samples: dict[str, list[Sample]] = {result.peer.name: [] for result in results}
    for turn in range(turns):
        for result in results:
            if result.failed is None:
                with failure_noted(result):
                    sample = measure(result.peer, source, None if turn else digest)
                    samples[result.peer.name].append(sample)
                    tell(f"{source.name} {turn + 1}/{turns} {result.peer.name}: {sample}")
    return samples


def compare(peers: Sequence[Peer], folder: Path, size: int, runs: int) -> list[Result]:
    """Set all peers up under `folder`, let them fetch in turns, and stop them."""
    sources = folder / "sources"
    sources.mkdir()
    large, small = sources / "large.bin", sources / "small.bin"
    tell(f"writing {size} bytes")
    digests = [write_random(large, size), write_random(small, SMALL_SIZE)]
    results = [Result(peer) for peer in peers]
    with ExitStack() as stack:
        for result in results:
            home = folder / result.peer.name
            home.mkdir()
            stack.callback(result.peer.teardown)
            with failure_noted(result):
                result.peer.setup(home, (large, small))
        small_samples = fetch_in_turns(results, small, digests[1], 1 + SMALL_RUNS * runs)
        large_samples = fetch_in_turns(results, large, digests[0], runs)
    for result in results:
        result.small = small_samples[result.peer.name][1:]  # the first brought programs into memory
        result.large = large_samples[result.peer.name]
    return results


# ---- tables -------------------------------------------------------------------------------------

NOTES = """\
MB/s are 10^6 bytes a second, the median of {runs} runs, with the slowest and the fastest.
"In process" is from the client's own call to the file in place, without its start-up, where the
client tells it (p2pshare; curl's time_total; magic-wormhole's --dump-timing, from the end of its
imports to the last acknowledgement); "command" is the whole command. The ratio takes p2pshare in
process, and the peer in process where known, else its command. CPU seconds are user and system
time of both ends per GiB, the client's start-up included and the server's not, from /proc/PID/stat
of all processes involved with their ended children; the kernel's own threads, writing back to disk,
count for nobody. The small file: the median of {small} runs.
"""


def tell(line: str) -> None:
    """Progress, beside the tables on standard output."""
    print(line, file=sys.stderr, flush=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right; "" without rows."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *rest]) + " |\n"

    return "".join(map(line, [heads, rules, *rows]))


def median_of(seconds: Sequence[float | None]) -> float | None:
    """The median, or None when there is nothing to take it of."""
    known = [second for second in seconds if second is not None]
    return statistics.median(known) if known else None


def shown(value: float | None, form: str) -> str:
    """A number for a table's cell."""
    return "-" if value is None else format(value, form)


def rates(size: int, seconds: Sequence[float | None]) -> str:
    """Median, slowest and fastest MB/s."""
    known = [size / MB / second for second in seconds if second is not None]
    if not known:
        return "-"
    return f"{statistics.median(known):.0f} ({min(known):.0f}-{max(known):.0f})"


def best_known(samples: Sequence[Sample]) -> float | None:
    """Median seconds in process where the client tells them, else of the command."""
    return median_of([s.command if s.inside is None else s.inside for s in samples])


def large_table(results: Sequence[Result], size: int) -> str:
    """Rates, ratios and CPU time of the large file."""
    ours = next((best_known(r.large) for r in results if isinstance(r.peer, P2pshare)), None)
    rows = []
    for result in results:
        theirs = best_known(result.large)
        ratio = theirs / ours if theirs and ours else None
        cpu = median_of([sample.cpu * GIB / size for sample in result.large])
        rows.append(
            [
                result.peer.name,
                rates(size, [sample.command for sample in result.large]),
                rates(size, [sample.inside for sample in result.large]),
                shown(ratio, ".2f"),
                shown(cpu, ".2f"),
            ]
        )
    heads = ["peer", "MB/s, command", "MB/s, in process", "p2pshare / peer", "CPU s/GiB, both ends"]
    return table(heads, rows)


def small_table(results: Sequence[Result]) -> str:
    """Milliseconds from connecting to done of the small file."""
    rows = []
    for result in results:
        command = median_of([sample.command * 1000 for sample in result.small])
        inside = median_of([s.inside * 1000 for s in result.small if s.inside is not None])
        rows.append([result.peer.name, shown(command, ".0f"), shown(inside, ".1f")])
    return table(["peer, 1 KiB", "ms, command", "ms, in process"], rows)


def processor() -> str:
    """The model name of the processor."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def report(
    results: Sequence[Result],
    absent: dict[str, str],
    folder: Path,
    size: int,
    runs: int,
    load: float,
) -> str:
    """The record of one run, in Markdown."""
    now = datetime.datetime.now(datetime.timezone.utc)
    filesystem = run("df", "--output=fstype", folder).split()[-1]
    troubles = absent | {r.peer.name: r.failed for r in results if r.failed is not None}
    facts = [
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"load average {load:.2f} before the run",
        f"{size} bytes ({size / GIB:.3g} GiB) over loopback to a new file on {filesystem}",
        *(result.peer.version() for result in results),
        *(f"{name} is not in the tables: {trouble}" for name, trouble in troubles.items()),
    ]
    return "\n".join(
        [
            f"## {now:%Y-%m-%d %H:%M} UTC\n",
            *(f"- {fact}" for fact in facts),
            "",
            large_table([r for r in results if r.large], size),
            small_table([r for r in results if r.small]),
            NOTES.format(runs=runs, small=SMALL_RUNS * runs),
        ]
    )


# ---- the command --------------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Bytes of `1GiB`, `64MiB`, `100KiB` or a plain number, at least 1, for argparse."""
    match = re.fullmatch(r"([1-9]\d*) ?(|[KMG]iB)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1GiB, 64MiB or 4096")
    return int(match[1]) << {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]


def parse_runs(text: str) -> int:
    """A number of runs, at least 1, for argparse."""
    if re.fullmatch(r"[1-9]\d*", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def arguments() -> argparse.Namespace:
    """The command line."""
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer",
        description="Transfer one file over loopback with p2pshare, and with others beside it.",
    )
    parser.add_argument("--size", type=parse_size, default=GIB, help="of the file (1GiB)")
    parser.add_argument("--runs", type=parse_runs, default=3, help="large fetches a peer (3)")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="for the temporary files: a real disk (.)"
    )
    parser.add_argument("--only", action="append", choices=names, help="this peer; repeatable")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the tables to it")
    options = parser.parse_args()
    if not options.directory.is_dir():
        parser.error(f"{options.directory} is not a folder")
    needed = 2 * options.size + SPARE
    if shutil.disk_usage(options.directory).free < needed:
        parser.error(f"{options.directory} has less than {needed} bytes free")
    return options


def append_record(path: Path, record: str) -> None:
    """Add one run to the file of records."""
    with path.open("a") as file:
        file.write("\n" if file.tell() else "# Records of benchmarks/transfer.py\n\n")
        file.write(record)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwind and clean up, at the first signal; later ones shall not disturb the cleaning."""
    for kind in INTERRUPTS:
        signal.signal(kind, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def main() -> int:
    """Run the benchmark; 0 when all peers that are installed brought the file whole, else 1."""
    options = arguments()
    peers = [peer() for peer in PEERS if options.only is None or peer.name in options.only]
    absent = {p.name: lack for p in peers if (lack := p.missing()) is not None}
    for name, lack in absent.items():
        tell(f"{name} is missing: {lack}")
    present = [peer for peer in peers if peer.name not in absent]
    if not present:
        return 1
    load = os.getloadavg()[0]  # processes that ran or waited to, in the last minute
    for kind in INTERRUPTS:
        signal.signal(kind, interrupt)
    try:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(
                        dir=options.directory.resolve(), prefix="p2pshare-benchmark-"
                    )
                )
            )
            stack.callback(stop_descendants)
            results = compare(present, folder, options.size, options.runs)
            record = report(results, absent, folder, options.size, options.runs, load)
    except KeyboardInterrupt:
        tell("interrupted; everything is cleaned up")
        return 130
    print(record)
    if options.record is not None:
        append_record(options.record, record)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
