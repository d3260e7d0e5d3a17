"""What a command costs: from its start to its end, by a node that is busy with nothing else.

The node is in this process, with as many offers in its catalogue as asked for; the commands are
processes of their own, as people and scripts start them. `python -c pass` is what they all pay.

    python -m benchmarks.commands
    python -m benchmarks.commands --offers 1000 --runs 5
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater, react

from benchmarks.search import EXACT, add_catalogue_options, ingest_all
from benchmarks.transfer import append_record, processor, table
from tests.lan.nodes import free_port
from twistedp2p.disk.state.instance import claim
from twistedp2p.doors import Doors
from twistedp2p.net.pump import in_threads_of
from twistedp2p.node import Config, Node

RUNS = 15  # of each command
SETTLE = 5.0  # seconds after so many offers: their last pages go to disk
MS = 1e3  # of a second
HEADS = ("command", "rows", "wall ms: median", "slowest", "CPU ms")
COMMANDS = (
    ("status",),
    ("peers",),
    ("say", "hello"),
    ("chat", "--no-follow"),
    ("search", EXACT.partition(".")[0]),
    ("search", "holiday", "xylophone"),
    ("search", "beach", "summer", "notes", "9"),
    ("search", "--limit", "100", "holiday"),
    ("list", "--limit", "100"),
    ("search", "holiday"),
    ("list",),
)


def python(*arguments: str) -> list[str]:
    """A command line of this Python; ``p2pshare`` as its script would start it."""
    run = "import sys; from twistedp2p.cli import main; sys.exit(main())"
    return [sys.executable, "-c", *([run, *arguments] if arguments else ["pass"])]


def timed(argv: Sequence[str], runs: int, environment: dict[str, str]) -> list[str]:
    """Run a command some times; the cells of its row but the first. Blocks.

    The first run does not count: it compiles the modules, which an installed program has compiled.
    """
    walls, cpus, rows = [], [], 0
    subprocess.run(argv, env=environment, capture_output=True, check=False)
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        done = subprocess.run(argv, env=environment, capture_output=True, check=False)
        walls.append((time.perf_counter() - begun) * MS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cpus.append(used * MS)
        if done.returncode not in (0, 3):
            sys.exit(done.stderr.decode())
        rows = done.stdout.count(b"\n")
    return [
        f"{rows}",
        f"{statistics.median(walls):.0f}",
        f"{max(walls):.0f}",
        f"{statistics.median(cpus):.0f}",
    ]


async def measure(reactor: Any, options: argparse.Namespace) -> None:
    """The whole benchmark; prints its table."""
    in_thread = in_threads_of(reactor)
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="p2pshare-benchmark-") as name:
        folder = Path(name).absolute()
        environment = {**os.environ, "XDG_STATE_HOME": str(folder), "LC_ALL": "C.UTF-8"}
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        for name in ("XDG_RUNTIME_DIR", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(name, None)

        def row(*arguments: str) -> Any:
            return in_thread(timed, python(*arguments), options.runs, environment)

        rows = [["python -c pass", *await row()]]
        rows.append(["say hello, without a node", *await row("say", "hello")])
        instance = claim(folder / "p2pshare")
        config = Config(
            port=free_port(), interfaces=["127.0.0.1"], download_folder=folder, mdns=False
        )
        node = Node(reactor, config, instance)
        node.start()
        doors = Doors(reactor, node, instance, None, lambda: None)
        doors.open(environment)

        async def end() -> None:
            doors.close()
            await node.stop()

        # Who cuts this off stops the reactor, which closes all sockets: the node goes before them.
        cut = reactor.addSystemEventTrigger("before", "shutdown", lambda: ensureDeferred(end()))
        await ingest_all(reactor, node._store, options)
        await deferLater(reactor, SETTLE, lambda: None)
        rows += [[" ".join(command), *await row(*command)] for command in COMMANDS]
        reactor.removeSystemEventTrigger(cut)
        await end()
    record = (
        f"{options.offers} offers of {options.owners} nodes; {processor()}, Python "
        f"{sys.version.split()[0]}; {options.runs} runs of each\n\n{table(HEADS, rows)}"
    )
    print(f"\n{record}")
    if options.record is not None:
        append_record(options.record, record, "commands.py")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.commands", description="Time the commands of p2pshare."
    )
    add_catalogue_options(parser)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each command ({RUNS})")
    options = parser.parse_args()
    react(lambda reactor: ensureDeferred(measure(reactor, options)))


if __name__ == "__main__":
    main()
