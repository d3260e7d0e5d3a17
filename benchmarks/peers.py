"""Those that are compared, each as a `Peer`.

p2pshare, scp, nginx with curl, magic-wormhole; and sendfile without any protection, which is what
the machine itself can do.
"""

from __future__ import annotations

import datetime
import importlib
import importlib.util
import ipaddress
import json
import os
import platform
import pwd
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.processes import (
    START_TIMEOUT,
    STOP_TIMEOUT,
    PeerFailed,
    complaint,
    find_program,
    free_port,
    listening,
    program,
    run,
    wait_until,
)

NOWHERE = Path(os.devnull)
SSHD_EMPTY = Path("/run/sshd")  # Debian's sshd, run by root, refuses to start without this folder


class Peer:
    """One way to bring a file from a server process to a new file, over loopback.

    `setup` once, then any number of `offer`, `fetch`, `rest`, and `teardown` at the end.
    """

    name: ClassVar[str]
    throws_away: ClassVar[bool] = False  # whether it can fetch without keeping anything

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

        `NOWHERE`: throw away what comes, once it is checked; where `throws_away`.

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
    throws_away = True

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
    files = [Path(p) for p in paths]
    server = await serve_files(reactor, int(port), password, files, host="127.0.0.1")
    print("ready", server.key, flush=True)
    await Deferred()

react(main, sys.argv[1:])
"""

P2PSHARE_CLIENT = """
import sys, time
from pathlib import Path
from twisted.internet.task import react
from twistedp2p.api import fetch_file
from twistedp2p.disk.downloads import file_part
from twistedp2p.net.fetch import FileClient

class Timed:
    made = FileClient.connectionMade

    def connectionMade(self):
        Timed.connected = time.perf_counter()
        Timed.made(self)

FileClient.connectionMade = Timed.connectionMade

async def main(reactor, port, name, directory, owner, kept):
    if kept == "nothing":  # all is done but that it reaches the file
        file_part.write_all = lambda descriptor, offset, data: None
        file_part.FilePart.make_room = lambda self, offset, length: None
    password = sys.stdin.readline().rstrip()
    begun = time.perf_counter()
    await fetch_file(reactor, ("127.0.0.1", int(port)), (password, name), Path(directory), owner)
    done = time.perf_counter()
    print(done - begun, done - Timed.connected)

react(main, sys.argv[1:])
"""


class P2pshare(Peer):
    """`twistedp2p.api` in two processes."""

    name = "p2pshare"
    throws_away = True
    password = "correct horse battery"  # three words, as the program would make
    key = ""

    def __init__(self) -> None:
        super().__init__()
        self.since_connected: list[float] = []  # seconds, of every fetch

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
        wait_until(lambda: log.read_bytes().startswith(b"ready "), server, log)
        self.key = log.read_text().split()[1]

    @property
    def environment(self) -> dict[str, str]:
        """Ours, but that whatever either end keeps goes with the folder."""
        kinds = ("STATE", "CONFIG", "DATA", "CACHE")
        return {**os.environ, **{f"XDG_{kind}_HOME": str(self.folder) for kind in kinds}}

    def fetch(self, destination: Path) -> float:
        client = (sys.executable, "-c", P2PSHARE_CLIENT, str(self.port), self.source.name)
        with tempfile.TemporaryDirectory(dir=self.folder) as away:
            said = run(
                *client,
                away if destination == NOWHERE else destination.parent,
                self.key,
                "nothing" if destination == NOWHERE else "all",
                stdin=self.password + "\n",
                environment=self.environment,
            )
        seconds, since_connected = map(float, said.split())
        self.since_connected.append(since_connected)
        return seconds


SENDFILE_SERVER = """
import os, socket, sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    with connection:
        name = connection.recv(4096)
        if name:
            with open(name, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                connection.sendall(size.to_bytes(8, "big"))
                connection.sendfile(file)
"""

SENDFILE_CLIENT = """
import os, socket, sys, time

room = memoryview(bytearray(1 << 18))
port, name, path, begun = int(sys.argv[1]), sys.argv[2], sys.argv[3], time.perf_counter()
with socket.create_connection(("127.0.0.1", port)) as connection, open(path, "wb", 0) as file:
    connection.sendall(name.encode())
    left = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
    kept = path != os.devnull
    while left:
        count = connection.recv_into(room, min(left, len(room)))
        if not count:
            sys.exit("the connection broke")
        if kept:
            file.write(room[:count])
        left -= count
print(time.perf_counter() - begun)
"""


class Sendfile(Peer):
    """The kernel's own sendfile, nothing sealed and nothing checked, written as it comes."""

    name = "sendfile"
    throws_away = True

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return f"sendfile: sendfile(2) to recv(2) of 256 KiB, Python {platform.python_version()}"

    def serve(self) -> None:
        server, log = self.start(sys.executable, "-c", SENDFILE_SERVER, str(self.port))
        wait_until(lambda: listening(self.port), server, log)

    def fetch(self, destination: Path) -> float:
        client = (sys.executable, "-c", SENDFILE_CLIENT, str(self.port), self.source)
        return float(run(*client, destination))


PEERS: tuple[type[Peer], ...] = (P2pshare, Sendfile, Scp, Https, Wormhole)
