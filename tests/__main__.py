"""Runs the tests: `python -m tests` under both runners, `python -m tests --all` as CI does.

`--all` adds lint, types, the oldest Twisted that we promise, and the wheel in an empty
environment. The last line counts.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TWISTED_FLOOR = "24.11.0"
MADE = {
    "man/man1/p2pshare.1": r"password\-file",
    "man/man1/twistd-p2pshare.1": r"group\-code\-file",
    "bash-completion/completions/p2pshare": "withdraw",
    "zsh/site-functions/_p2pshare": "withdraw",
    "fish/vendor_completions.d/p2pshare.fish": "withdraw",
}  # from the parsers, when the wheel is built; and a word that is in it


def run(
    *command: str, cwd: Path = ROOT, feed: str | None = None, env: Mapping[str, str] = os.environ
) -> str:
    """Run a command, show what it prints, and return it; a failure ends everything."""
    print("$", *command, flush=True)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        text=True,
        stdin=subprocess.PIPE if feed is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    if process.stdin is not None:
        process.stdin.write(feed or "")
        process.stdin.close()
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        sys.exit(f"failed with exit code {process.returncode}: {' '.join(command)}")
    return "".join(lines)


def trial(*names: str, python: str = sys.executable) -> tuple[int, int]:
    """Run trial: how many tests passed, and how many were skipped."""
    with tempfile.TemporaryDirectory(prefix="p2pshare-trial-") as folder:
        said = run(
            python, "-m", "twisted.trial", f"--temp-directory={folder}/t", *(names or ("tests",))
        )
    ran = int(re.findall(r"^Ran (\d+) tests", said, re.M)[-1])
    skipped = sum(map(int, re.findall(r"^PASSED .*skips=(\d+)", said, re.M)))
    return ran - skipped, skipped


def pytest() -> tuple[int, int]:
    """Run pytest: how many tests passed, and how many were skipped."""
    last = (
        run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests")
        .strip()
        .splitlines()[-1]
    )
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|skipped)", last)}
    return counts.get("passed", 0), counts.get("skipped", 0)


def both_runners() -> tuple[int, int]:
    """The same tests under both runners: the counts must be the same."""
    by_trial, by_pytest = trial(), pytest()
    if by_trial != by_pytest:
        sys.exit(f"trial has {by_trial} (passed, skipped), pytest has {by_pytest}")
    return by_pytest


def environment(folder: Path, *packages: str) -> Path:
    """An empty environment with these packages; the folder of its programs."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    run(str(programs / "pip"), "install", "-q", *packages)
    return programs


def oldest_twisted(folder: Path) -> None:
    """All tests once more with the oldest Twisted of setup.cfg."""
    programs = environment(folder / "floor", "-e", f"{ROOT}[dev]", f"twisted=={TWISTED_FLOOR}")
    trial(python=str(programs / "python"))


def wheel(folder: Path) -> None:
    """The wheel, in an empty environment away from the sources, starts a node."""
    run(sys.executable, "-m", "build", "-q", "--wheel", "--outdir", str(folder / "dist"))
    (built,) = (folder / "dist").glob("*.whl")
    programs = environment(folder / "empty", str(built))
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    command = (str(programs / "twistd"), "-n", "p2pshare", "--interface", "127.0.0.1")
    said = run(*command, "--menu", "plain", cwd=folder, feed="6\n3\n", env=env)
    if "239.0.0.1" not in said:
        sys.exit("the node from the wheel did not greet")
    for path, word in MADE.items():
        if word not in (programs.parent / "share" / path).read_text("utf-8"):
            sys.exit(f"the wheel's {path} has no {word}")


def main(arguments: Sequence[str] | None = None) -> None:
    """What the module's docstring says."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--all", action="store_true", help="everything that CI does")
    options = parser.parse_args(arguments)
    if options.all:
        for tool in (("ruff", "format", "--check"), ("ruff", "check"), ("mypy",)):
            run(sys.executable, "-m", *tool)
    passed, skipped = both_runners()
    if options.all:
        with tempfile.TemporaryDirectory(prefix="p2pshare-") as folder:
            wheel(Path(folder))
            oldest_twisted(Path(folder))
    print(f"{passed} passed, 0 failed, {skipped} skipped")


if __name__ == "__main__":
    main()
