"""Fetches one file, by its ticket: python fetch.py HOST PORT NAME (asks for the password)."""

import getpass
import sys

from twisted.internet.task import react

from twistedp2p.api import ShareError, fetch_file


async def main(reactor, host, port, name):
    try:
        path = await fetch_file(reactor, (host, int(port)), (getpass.getpass(), name))
    except ShareError as error:
        sys.exit(str(error))
    print(f"{path} is here, whole.")


if __name__ == "__main__":
    react(main, sys.argv[1:])
