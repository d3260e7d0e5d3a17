"""The twistd plugin: makes the `service` by the `options`. Only here the reactor is named."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from twistedp2p.core.errors import N_, Exit, ShareError
from twistedp2p.disk.state.instance import Instance, claim
from twistedp2p.disk.state.socket_path import DEFAULT, default_state_folder, instance_name
from twistedp2p.doors import try_web
from twistedp2p.face.terminal import choose_mode
from twistedp2p.face.texts import translations
from twistedp2p.net.steady import keep_steady
from twistedp2p.options import Options as Options  # where twistd looks for them
from twistedp2p.options import fail, say_error
from twistedp2p.service import P2PShare, make_node, pid_file


def the_reactor() -> Any:
    """The one that twistd has chosen, before any call is scheduled with it; timers do not follow
    the time of day from then on. Asked for only after twistd has gone to the background, as not
    every reactor survives that."""
    from twisted.internet import reactor

    keep_steady(reactor)
    return reactor


def rehearse(options: Options, instance: Instance) -> None:
    """Make the node once in a child process: exits where that fails, else it has done nothing.

    What is found only in the background reaches nobody in full. And SQLite forbids to take an
    open database through a fork.
    """
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            sys.exit(code)
        return
    code = int(Exit.FAILED)
    try:
        make_node(the_reactor(), options, instance)
        code = int(Exit.OK)
    except ShareError as error:
        say_error(error)
        code = error.code
    except Exception as error:
        say_error(ShareError(N_("The node could not start ({why})."), why=repr(error)))
    finally:
        os._exit(code)


def choose_menu(options: Options) -> str:
    """The menu that there can be; exits where none could show what the options ask for."""
    twistd: Any = {} if options.parent is None else options.parent
    closed = sys.__stdin__ is None or sys.__stdout__ is None
    mode = "never"
    if twistd.get("nodaemon") and not closed:
        mode = choose_mode(options["menu"], os.environ)
    if mode == "never" and options["offers"] and not options["password"]:
        fail(
            ShareError(
                N_("--offer needs a --password-file where there is no menu to show a password."),
                Exit.USAGE,
            )
        )
    return mode


def makeService(options: Options) -> P2PShare:
    """Called by twistd: claim a slot, and make the service."""
    mode = choose_menu(options)
    folder = options["state-dir"]
    state = Path(folder).expanduser().absolute() if folder else default_state_folder(os.environ)
    try:
        instance = claim(state, options["instance"])
        if options["web"] is not None:
            try_web(options["web"])
    except ShareError as error:
        fail(error)
    twistd: Any = options.parent
    service = P2PShare(the_reactor, options, {} if twistd is None else twistd, instance, mode)
    if twistd is not None:
        twistd["pidfile"] = twistd.get("pidfile") or _own_pid_file(instance)
        if not twistd.get("nodaemon"):
            rehearse(options, instance)
            _say_where(options, instance, service)
    return service


def _own_pid_file(instance: Instance) -> str:
    """Where twistd may write the process id: tried here, for twistd would end in a traceback."""
    path = pid_file(instance)
    try:
        path.write_text(str(os.getpid()))
        path.unlink()
    except OSError as error:
        fail(
            ShareError(
                N_("The folder {folder} cannot be used: {why}. Choose another with --state-dir."),
                Exit.NO_FOLDER,
                folder=instance.folder,
                why=error.strerror,
            )
        )
    return str(path)


def _say_where(options: Options, instance: Instance, service: P2PShare) -> None:
    sentence = translations()(
        N_("The node goes to the background. Its log: {log}. To stop it: {command}")
    )
    stop = ["p2pshare", "stop"]
    if (name := instance_name(instance.folder)) != DEFAULT:
        stop += ["--instance", name]
    if options["state-dir"]:
        stop += ["--state-dir", str(instance.folder.parent)]
    if sys.__stderr__ is not None:
        log = service.log_name()
        sys.__stderr__.write(sentence.format(log=log, command=shlex.join(stop)) + "\n")
        sys.__stderr__.flush()
