"""Floor 3: the one desk that every face talks to.

The desk is loaded when it is asked for: who needs one room beside it, as the doctor is, does not
load all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twistedp2p.node.config import Config
    from twistedp2p.node.desk import Node

_PLACES = {"Config": "twistedp2p.node.config", "Node": "twistedp2p.node.desk"}

__all__ = ["Config", "Node"]


def __getattr__(name: str) -> Any:
    """Called by Python for what is not here yet."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
