"""`p2pshare code`: makes, shows and changes the code of a closed group.

The code alone goes to standard output; what is for people goes to standard error.
"""

from __future__ import annotations

import argparse
import getpass
import shlex
import sys

from twistedp2p.cli.ask import filled_path
from twistedp2p.core.datagrams.codes import make_code, read_code
from twistedp2p.core.errors import N_, Exit
from twistedp2p.disk.state.code_file import read_codes, write_codes
from twistedp2p.face.texts import translations

QUIET_ZONE = 4  # modules around a QR code (ISO/IEC 18004, 6.3.8)

EPILOG = """\
A code is five words by chance (64.6 bits) and two digits that tell mistypings.
Give it to the others by voice, on paper, or as a photo of the QR code. Each
keeps it in a file (--enter --output FILE) and starts with it:
twistd -n p2pshare --group-code-file FILE

exit codes: 0 done; 2 bad options; 66 no code, or no file to read; 73 nowhere
to write it
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-o",
        "--output",
        type=filled_path,
        metavar="FILE",
        help="write a new file that only you can read",
    )
    where.add_argument(
        "--rotate",
        type=filled_path,
        metavar="FILE",
        help="put a new code into it; nodes take the old one for 10 minutes more",
    )
    where.add_argument(
        "--show", type=filled_path, metavar="FILE", help="show the code in this file"
    )
    parser.add_argument(
        "--enter", action="store_true", help="take the code that is typed instead of making one"
    )
    parser.add_argument("--no-qr", action="store_true", help="without the QR code")


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code. Raises `ShareError`."""
    translate = translations()
    if options.show is not None:
        code = read_codes(options.show).current
    else:
        code = _entered(translate(N_("Group code?"))) if options.enter else make_code()
    if options.rotate is not None:
        before = read_codes(options.rotate).current
        write_codes(options.rotate, code, before if before != code else "", replace=True)
    elif options.output is not None:
        write_codes(options.output, code)
    print(code, flush=True)
    if not options.no_qr:
        _show_qr(code)
    path = options.output or options.rotate or options.show
    sentence = N_("Members start with: twistd -n p2pshare --group-code-file {file}")
    file = translate(N_("FILE")) if path is None else shlex.quote(str(path))
    print(translate(sentence).format(file=file), file=sys.stderr)
    return Exit.OK


def _entered(question: str) -> str:
    """What a person types unseen, or the first line of a pipe; raises `ShareError`."""
    if sys.stdin.isatty():
        return read_code(getpass.getpass(f"{question} "))
    return read_code(sys.stdin.readline())


def _show_qr(code: str) -> None:
    """On standard error, where that can show it. Capital letters make it smaller."""
    import segno  # a tenth of the start of a node, which never needs it

    try:
        "█▀▄".encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return
    qr = segno.make(code.upper(), error="m", micro=False)
    qr.terminal(out=sys.stderr, border=QUIET_ZONE, compact=True)
