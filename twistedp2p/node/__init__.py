"""Floor 3: the one desk that every face talks to."""

from twistedp2p.node.config import Config
from twistedp2p.node.desk import Node

__all__ = ["Config", "Node"]
