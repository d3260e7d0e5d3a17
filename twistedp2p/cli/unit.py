"""`p2pshare unit`: prints the systemd unit of a node, with the path of this very installation.

Where an installation stands, in an environment of its own or not, only it knows; hence the unit is
printed, not installed. Those in `units/` find `twistd` where distributions put programs.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

from twistedp2p.cli.ask import filled
from twistedp2p.core.errors import N_, Exit
from twistedp2p.disk.state.socket_path import check_instance
from twistedp2p.face.texts import translations

EPILOG = """\
for yourself:
  p2pshare unit > ~/.config/systemd/user/p2pshare.service
  systemctl --user enable --now p2pshare
for the whole machine:
  p2pshare unit --system | sudo tee /etc/systemd/system/p2pshare.service
  sudo systemctl enable --now p2pshare
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--system",
        action="store_true",
        help="for the whole machine, under a user of its own, shut in; else for yourself",
    )
    parser.add_argument(
        "--instance",
        type=filled,
        metavar="NAME",
        help="name the node, where several run, each by its unit",
    )


def run(options: argparse.Namespace) -> int:
    """Print it; the exit code."""
    name = "system" if options.system else "user"
    instance = None if options.instance is None else check_instance(options.instance)
    print(unit(name, Path(sysconfig.get_path("scripts")), instance), end="")
    if options.system and sys.prefix.startswith(("/home/", "/root/")):
        sentence = N_("A service cannot read {folder}; install p2pshare elsewhere.")
        print(translations()(sentence).format(folder=sys.prefix), file=sys.stderr)
    return Exit.OK


def unit(name: str, programs: Path, instance: str | None = None) -> str:
    """The unit ``system`` or ``user``, with the twistd of that folder where it is there."""
    text = files("twistedp2p").joinpath(f"units/{name}.service").read_text("utf-8")
    if instance is not None:
        text = text.replace(" --menu never", f" --instance {instance} --menu never")
    if not (programs / "twistd").exists():
        return text
    # As systemd.service(5) reads a command line.
    path = str(programs / "twistd").replace("\\", r"\\").replace('"', r"\"")
    path = path.replace("%", "%%").replace("$", "$$")
    quoted = f'"{path}"' if " " in path else path
    return text.replace("ExecStart=twistd ", f"ExecStart={quoted} ")
