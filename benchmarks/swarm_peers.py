"""What else brings one file to a whole room, for `benchmarks.swarm --peers`.

udpcast and UFTP send it once by multicast, at the rate that they are told; libtorrent is the
BitTorrent of many programs, its first seed in super-seeding mode. Each is called with a `Lan` whose
host 0 has the file, and returns when all others have it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import PeerFailed, find_program
from tests.lan.netns import Lan

PATIENCE = 300.0  # seconds for all to have it
SETTLE = 2.0  # seconds for those who wait to be waiting
SHARE = 0.95  # of the link's rate that a sender of UDP is told: the rest is headers
FAST = 1000.0  # Mbit/s where links have no limit
TORRENT = """
import sys, time
import libtorrent as lt
number, path, folder, hosts = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].split(",")
PIECE = 2**18  # bytes
session = lt.session({
    "listen_interfaces": hosts[number] + ":6881", "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "alert_mask": 0, "connection_speed": 500,
})
storage = lt.file_storage()
lt.add_files(storage, path)
made = lt.create_torrent(storage, PIECE)
lt.set_piece_hashes(made, path.rpartition("/")[0])
options = lt.add_torrent_params()
options.ti = lt.torrent_info(lt.bdecode(lt.bencode(made.generate())))
options.save_path = path.rpartition("/")[0] if number == 0 else folder
options.flags &= ~lt.torrent_flags.auto_managed & ~lt.torrent_flags.paused
if number == 0:
    options.flags |= lt.torrent_flags.super_seeding | lt.torrent_flags.seed_mode
print("ready", flush=True)
sys.stdin.readline()
torrent = session.add_torrent(options)
for other, host in enumerate(hosts):
    if other < number:
        torrent.connect_peer((host, 6881))
while number and not torrent.status().is_seeding:
    time.sleep(0.02)
print("done", flush=True)
sys.stdin.readline()
"""


def _wait(children: list[subprocess.Popen[str]], begun: float) -> None:
    for child in children:
        if child.wait(max(1.0, begun + PATIENCE - time.monotonic())):
            raise PeerFailed(f"ended with {child.returncode}")


def _quiet(lan: Lan, ns: int, *argv: str) -> subprocess.Popen[str]:
    nowhere = subprocess.DEVNULL
    return lan.popen(ns, list(argv), stdin=nowhere, stdout=nowhere, stderr=nowhere)


def udpcast(lan: Lan, path: Path, folder: Path, megabits: float) -> float:
    """Seconds that udp-sender and udp-receiver take."""
    receivers = range(1, len(lan.names))
    common = ["--interface", "eth0", "--nokbd", "--portbase", "9000"]
    got = [
        _quiet(lan, ns, "udp-receiver", "--file", str(folder / f"{ns}.bin"), *common)
        for ns in receivers
    ]
    time.sleep(SETTLE)
    begun = time.monotonic()
    rate = f"{round((megabits or FAST) * SHARE * 1000)}k"
    limits = ["--min-receivers", str(len(receivers)), "--max-bitrate", rate, "--full-duplex"]
    sender = _quiet(lan, 0, "udp-sender", "--file", str(path), *common, *limits)
    _wait([sender, *got], begun)
    return time.monotonic() - begun


def uftp(lan: Lan, path: Path, folder: Path, megabits: float) -> float:
    """Seconds that uftp takes, with its receivers (uftpd) waiting."""
    for ns in range(1, len(lan.names)):
        own = folder / str(ns)
        own.mkdir()
        _quiet(lan, ns, "uftpd", "-d", "-I", "eth0", "-D", str(own), "-B", "4194304")
    time.sleep(SETTLE)
    begun = time.monotonic()
    rate = str(round((megabits or FAST) * SHARE * 1000))  # kbit/s
    _wait([_quiet(lan, 0, "uftp", "-I", "eth0", "-R", rate, str(path))], begun)
    seconds = time.monotonic() - begun
    for ns in range(1, len(lan.names)):
        if (folder / str(ns) / path.name).stat().st_size != path.stat().st_size:
            raise PeerFailed("not everybody has all of it")
    return seconds


def libtorrent(lan: Lan, path: Path, folder: Path, _megabits: float) -> float:
    """Seconds that libtorrent takes, all of them knowing each other from the start."""
    hosts = ",".join(lan.address(ns) for ns in range(len(lan.names)))
    members = []
    for ns in range(len(lan.names)):
        own = folder / str(ns)
        own.mkdir()
        argv = [sys.executable, "-W", "ignore", "-c", TORRENT, str(ns), str(path), str(own), hosts]
        members.append(lan.popen(ns, argv, stderr=None))
    _tells(members, "ready")
    begun = time.monotonic()
    for member in members:
        assert member.stdin is not None
        member.stdin.write("\n")
        member.stdin.flush()
    _tells(members, "done")
    return time.monotonic() - begun


def _tells(members: list[subprocess.Popen[str]], word: str) -> None:
    for member in members:
        assert member.stdout is not None
        if member.stdout.readline().strip() != word:
            raise PeerFailed("a member has ended")


PEERS: dict[str, tuple[Callable[[Lan, Path, Path, float], float], Callable[[], bool], str]] = {
    "udpcast": (udpcast, lambda: find_program("udp-sender") is not None, "apt-get install udpcast"),
    "UFTP": (uftp, lambda: find_program("uftp") is not None, "apt-get install uftp"),
    "libtorrent": (
        libtorrent,
        lambda: importlib.util.find_spec("libtorrent") is not None,
        "python -m pip install libtorrent",
    ),
}
