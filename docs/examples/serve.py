"""Serves files until Ctrl-C: python serve.py PORT FILE ... (asks for their password)."""

import getpass
import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from twistedp2p.api import serve_files


async def main(reactor, port, *paths):
    server = await serve_files(reactor, int(port), getpass.getpass(), paths)
    print(f"Serving {len(paths)} files on port {server.port}.", flush=True)
    await Deferred()  # for ever


if __name__ == "__main__":
    react(main, sys.argv[1:])
