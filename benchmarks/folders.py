"""A folder of many small files over one connection of loopback: p2pshare beside rsync's daemon.

    python -m benchmarks.folders
    python -m benchmarks.folders --files 100000 --size 100

Both serve the same folder, and each fetches it into a new place, in turns, after one fetch each
that does not count. The source is in the page cache; the disk is synchronised before each fetch.
rsync is timed as a command, p2pshare in its process, for a node runs already when somebody fetches:
from the call to the folder under its name, what its password costs (Argon2id) included. rsync
encrypts nothing and keeps times (-rt, --whole-file); p2pshare encrypts, checks and keeps them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.peers import P2pshare, Peer, missing_programs
from benchmarks.processes import PeerFailed, complaint, listening, program, run, wait_until

LEAST = 1 / 3  # of rsync's rate that is asked for
PER_FOLDER = 100  # files


class Rsync(Peer):
    """`rsync` from its daemon."""

    name = "rsync"

    def missing(self) -> str | None:
        return missing_programs("rsync", "rsync")

    def version(self) -> str:
        return complaint(program("rsync"), "--version").splitlines()[0]

    def serve(self) -> None:
        settings = self.folder / "rsyncd.conf"
        settings.write_text(
            f"use chroot = no\n[source]\npath = {self.sources[0]}\nread only = yes\n"
        )
        daemon = ("--daemon", "--no-detach", f"--config={settings}", "--address=127.0.0.1")
        server, log = self.start(program("rsync"), *daemon, f"--port={self.port}")
        wait_until(lambda: listening(self.port), server, log)

    def fetch(self, destination: Path) -> float:
        where = f"rsync://127.0.0.1:{self.port}/source/"
        began = time.perf_counter()
        run(program("rsync"), "-rt", "--whole-file", where, f"{destination}/")
        return time.perf_counter() - began


def make_source(top: Path, files: int, size: int) -> None:
    """Random files, some to a folder."""
    for number in range(files):
        path = top / f"{number // PER_FOLDER:04}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same times."""

    def contents(top: Path) -> dict[str, tuple[bytes, int]]:
        return {
            str(path.relative_to(top)): (path.read_bytes(), int(path.stat().st_mtime))
            for path in top.rglob("*")
            if path.is_file()
        }

    return contents(one) == contents(other)


def measure(peers: list[Peer], source: Path, folder: Path, runs: int) -> dict[str, list[float]]:
    """Seconds of each fetch of each peer; raises `PeerFailed`."""
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for turn in range(runs + 1):
        for peer in peers:
            destination = folder / f"{peer.name}-got" / source.name
            destination.parent.mkdir()
            os.sync()
            took = peer.fetch(destination)
            assert took is not None
            if not turn and not same(source, destination):
                raise PeerFailed(f"{peer.name}: what came is not what was sent")
            shutil.rmtree(destination.parent)
            if turn:
                seconds[peer.name].append(took)
    return seconds


def report(seconds: dict[str, list[float]], files: int, size: int) -> str:
    """A table, and the ratio of the rates."""
    lines = [f"{files} files of {size} bytes, over one connection of loopback", ""]
    lines += ["| peer | s, median (fastest-slowest) | files/s |", "| --- | ---: | ---: |"]
    for name, took in seconds.items():
        middle = statistics.median(took)
        span = f"{min(took):.2f}-{max(took):.2f}"
        lines.append(f"| {name} | {middle:.2f} ({span}) | {files / middle:.0f} |")
    ratio = statistics.median(seconds["rsync"]) / statistics.median(seconds["p2pshare"])
    lines += ["", f"p2pshare / rsync: {ratio:.2f} (asked for: {LEAST:.2f})"]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=4096, help="bytes of each")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path(), help="where to put all files")
    options = parser.parse_args()
    peers: list[Peer] = [P2pshare(), Rsync()]
    for peer in peers:
        if why := peer.missing():
            raise SystemExit(f"{peer.name}: {why}")
    with tempfile.TemporaryDirectory(dir=options.directory.absolute()) as name:
        folder = Path(name)
        source = folder / "source"
        make_source(source, options.files, options.size)
        try:
            for peer in peers:
                (folder / peer.name).mkdir()
                peer.setup(folder / peer.name, [source])
                peer.offer(source)
            seconds = measure(peers, source, folder, options.runs)
            print(*(peer.version() for peer in peers), sep="\n")
            print(report(seconds, options.files, options.size))
        finally:
            for peer in peers:
                peer.teardown()


if __name__ == "__main__":
    main()
