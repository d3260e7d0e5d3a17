"""What `p2pshare doctor` does: a doctor, and how its findings are shown."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from typing import Any

from twistedp2p.core.datagrams.closed import ClosedEnvelope, Envelope, GroupKey
from twistedp2p.core.datagrams.datagram import group_name
from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.families import group_address
from twistedp2p.disk.memory.hosts import hosts_remembered
from twistedp2p.disk.state.code_file import read_codes
from twistedp2p.disk.state.socket_path import default_state_folder, slot_folder
from twistedp2p.face.report import Row, diagnosis_rows, document, finding_rows
from twistedp2p.face.texts import rows_of, translations
from twistedp2p.net.interfaces import Interface, UnknownInterface, choose, networks_of
from twistedp2p.net.lookup import addresses_of
from twistedp2p.net.pump import in_threads_of
from twistedp2p.net.steady import keep_steady
from twistedp2p.node.diagnosis.doctor import LISTEN, LISTEN_QUICKLY, Doctor, Plan


def run(options: argparse.Namespace) -> int:
    """Examine, print, and give the exit code of the outcome; raises `ShareError`."""
    from twisted.internet.task import react

    options.group = group_address(options.group)
    ended: list[int | Exception] = []

    async def examine(reactor: Any) -> None:
        keep_steady(reactor)
        try:
            ended.append(await _examine(reactor, options))
        except (ShareError, OSError) as error:  # such as a pipe that nobody reads any more
            ended.append(error)

    try:
        react(examine)
    except SystemExit as end:
        if not ended:  # by a signal, or by a defect, which is logged
            return int(end.code or Exit.INTERRUPTED)
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


async def _examine(reactor: Any, options: argparse.Namespace) -> int:
    interfaces = _interfaces(options.interface)
    in_thread = in_threads_of(reactor)
    peers = [
        (host, await in_thread(_address, host, number or options.port + 1))
        for host, number in options.peer
    ]
    plan = Plan(
        options.group,
        options.port,
        options.ttl,
        peers,
        await in_thread(_remembered, options, interfaces),
        await in_thread(_envelope, options) if options.group_code_file else None,
        asked_for=bool(options.interface),
        listen=LISTEN_QUICKLY if options.quick else LISTEN,
        long=options.long,
    )
    doctor = Doctor(reactor, plan, interfaces, wall=time.time, in_thread=in_thread)
    translate = translations()
    if options.json:
        diagnosis = await doctor.examine(lambda _: None)
        print(json.dumps(document(translate, diagnosis), indent=2))
    else:
        diagnosis = await doctor.examine(lambda found: _show(finding_rows(translate, found)))
        _show([("", ""), *diagnosis_rows(translate, diagnosis)])
    return int(diagnosis.exit)


def _interfaces(wanted: list[str]) -> list[Interface]:
    try:
        return choose(wanted)
    except UnknownInterface as error:
        raise ShareError("{why}", Exit.NO_INTERFACE, why=error.words) from error


def _remembered(options: argparse.Namespace, interfaces: list[Interface]) -> list[str]:
    """The hosts where nodes of this user, or the one that was named, met others, on the networks
    that there are now."""
    folder = options.state_dir
    state = folder.expanduser() if folder else default_state_folder(os.environ)
    slot = slot_folder(state, options.instance).name if options.instance else "*"
    return hosts_remembered(state, networks_of(interfaces), slot)


def _envelope(options: argparse.Namespace) -> Envelope:
    """That of a closed group; raises `ShareError`."""
    group = group_name(options.group, options.port)
    codes = read_codes(options.group_code_file.expanduser())
    return ClosedEnvelope(group, GroupKey.of_code(codes.current, group))


def _address(host: str, port: int) -> Address:
    """The address of a host, of IPv4 where it has one; raises `ShareError`."""
    try:
        return addresses_of(host, port)[0]
    except OSError as error:
        raise ShareError(N_("No address is known of {host}."), Exit.NOT_FOUND, host=host) from error


def _show(rows: list[Row]) -> None:
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for text, _style in rows:
        for row in rows_of(text, columns):
            print(row)
    sys.stdout.flush()
