"""`python -m twistedp2p.cli`: the `p2pshare` command where no script of it is installed."""

import sys

from twistedp2p.cli import main

if __name__ == "__main__":
    sys.exit(main())
