"""Imports go downward only; and importing anything of the program runs nothing."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]
FLOORS = {
    "core": 0,
    "disk": 1,
    "net": 2,
    "node": 3,
    "face": 4,
    "control": 4,
    "doors": 5,
    "service": 5,
    "tap": 5,
    "options": 5,
    "api": 5,
    "cli": 5,
}
NOT_BELOW = {  # not above, yet none of theirs
    ("net", "disk"),
    ("face", "disk"),
    ("face", "net"),
    ("face", "control"),
    ("control", "disk"),
    ("control", "net"),
    ("control", "face"),
}
# The core is pure: no Twisted, no clock, no files, no sockets, no threads.
NOT_IN_CORE = {
    "asyncio",
    "datetime",
    "fcntl",
    "fileinput",
    "glob",
    "io",
    "mmap",
    "multiprocessing",
    "OpenSSL",
    "os",
    "pathlib",
    "psutil",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "twisted",
}
PURE_ALL_THE_SAME = {"os.urandom"}  # randomness is no file
NOT_CALLED_IN_CORE = {"open", "print", "input", "exec", "eval", "__import__"}
REACTOR = "twisted.internet.reactor"


def modules() -> dict[str, Path]:
    """Every module of the program by its dotted name."""
    paths = [*ROOT.glob("twistedp2p/**/*.py"), *ROOT.glob("twisted/plugins/p2pshare*.py")]
    names = {path: path.relative_to(ROOT).with_suffix("").parts for path in sorted(paths)}
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): path
        for path, parts in names.items()
    }


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """The dotted name of everything that is imported, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    """`core` of `twistedp2p.core.names`; the plugin stands beside `tap`."""
    parts = module.split(".")
    return parts[1] if parts[0] == "twistedp2p" and len(parts) > 1 else "tap"


def refused(module: str, name: str) -> bool:
    """Whether `module` must not import `name`."""
    if (name == REACTOR or name.startswith(REACTOR + ".")) and module != "twistedp2p.tap":
        return True
    here, parts = room(module), name.split(".")
    if parts[0] != "twistedp2p":
        return here == "core" and parts[0] in NOT_IN_CORE and name not in PURE_ALL_THE_SAME
    if len(parts) == 1 or module == "twistedp2p":
        return False
    there = parts[1]
    return there not in FLOORS or FLOORS[there] > FLOORS[here] or (here, there) in NOT_BELOW


def faults(module: str, path: Path, source: str) -> list[str]:
    """A sentence for each import (and, in the core, call) that is not allowed."""
    tree = ast.parse(source)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for name in imports(tree, package)
        if refused(module, name)
    ]
    if room(module) == "core":
        found += [
            f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.id}()"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in NOT_CALLED_IN_CORE
        ]
    return found


class Floors(SynchronousTestCase):
    def test_imports_go_downward_only(self) -> None:
        found = [
            fault
            for module, path in modules().items()
            for fault in faults(module, path, path.read_text("utf-8"))
        ]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_module_stands_on_a_floor(self) -> None:
        for module in modules():
            if module != "twistedp2p":
                self.assertIn(room(module), FLOORS, module)
        rooms = {room(module) for module in modules()}
        self.assertLessEqual(
            {"core", "disk", "net", "node", "face", "control", "service", "tap", "api", "cli"},
            rooms,
        )

    def test_what_goes_up_is_named_with_its_file(self) -> None:
        for module, source, name in [
            ("core.new", "import twisted.internet.defer", "twisted.internet.defer"),
            ("core.new", "from os import path", "os.path"),
            ("core.new", "def f():\n    import time", "time"),
            ("core.new", "import sqlite3 as db", "sqlite3"),
            ("core.new", "from twistedp2p import disk", "twistedp2p.disk"),
            ("core.new", "from ..net import tls", "twistedp2p.net.tls"),
            ("disk.new", "from twistedp2p.net.tls import NodeTLS", "twistedp2p.net.tls.NodeTLS"),
            ("net.new", "from twistedp2p.disk.memory import store", "twistedp2p.disk.memory.store"),
            ("net.new", "import twistedp2p.node", "twistedp2p.node"),
            ("node.new", "from twistedp2p.face.menu import Menu", "twistedp2p.face.menu.Menu"),
            ("node.new", "from twistedp2p import api", "twistedp2p.api"),
            ("face.new", "from twistedp2p.disk.below import Below", "twistedp2p.disk.below.Below"),
            ("face.new", "from twistedp2p.net import group", "twistedp2p.net.group"),
            ("control.new", "from twistedp2p.face import texts", "twistedp2p.face.texts"),
            ("control.new", "from twistedp2p.net import group", "twistedp2p.net.group"),
            ("face.new", "from twistedp2p.tap import Options", "twistedp2p.tap.Options"),
            ("api", "from twisted.internet import reactor", REACTOR),
            ("service", "from twisted.internet import reactor", REACTOR),
            ("node.new", "from twisted.internet import reactor as r", REACTOR),
            ("net.new", "import twisted.internet.reactor", REACTOR),
            ("net.new", "from twistedp2p import elsewhere", "twistedp2p.elsewhere"),
        ]:
            path = ROOT / "twistedp2p" / (module.replace(".", "/") + ".py")
            expected = [f"{path.relative_to(ROOT)} imports {name}"]
            self.assertEqual(faults(f"twistedp2p.{module}", path, source), expected, source)

    def test_the_core_opens_no_file(self) -> None:
        path = ROOT / "twistedp2p/core/new.py"
        found = faults("twistedp2p.core.new", path, "x = 1\nopen('a')")
        self.assertEqual(found, ["twistedp2p/core/new.py:2 calls open()"])

    def test_what_goes_down_is_allowed(self) -> None:
        for module, source in [
            ("core.new", "from os import urandom\nfrom twistedp2p.core import body"),
            ("core.new", "from . import body\nfrom .names import b64"),
            ("disk.new", "import os, sqlite3\nfrom twistedp2p.core.names import b64"),
            ("net.new", "import socket\nfrom twisted.internet.defer import Deferred"),
            ("node.new", "from twistedp2p.disk import store\nfrom twistedp2p.net import tls"),
            ("face.new", "from twistedp2p.node import Node\nfrom twistedp2p.core import events"),
            ("api", "from twistedp2p.disk import store\nfrom twistedp2p.node import Node"),
            ("tap", "def run():\n    from twisted.internet import reactor"),
        ]:
            path = ROOT / "twistedp2p" / (module.replace(".", "/") + ".py")
            self.assertEqual(faults(f"twistedp2p.{module}", path, source), [], source)


_IMPORT_ALL = """
import importlib, json, os, sys, threading
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    if "twisted.internet.reactor" in sys.modules:
        sys.exit(name + " installs the reactor")
if threading.active_count() != 1:
    sys.exit("a thread runs")
if os.listdir("."):
    sys.exit("files were written: " + ", ".join(os.listdir(".")))
"""


class Importing(SynchronousTestCase):
    def test_it_runs_nothing_and_installs_no_reactor(self) -> None:
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                [sys.executable, "-B", "-c", _IMPORT_ALL, json.dumps(list(modules()))],
                cwd=empty,
                env={**os.environ, "HOME": empty, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
