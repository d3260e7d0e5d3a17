"""Makes `twistd p2pshare` known; everything else is imported when it is asked for."""

from twisted.application.service import ServiceMaker

p2pshare = ServiceMaker(
    "p2pshare",
    "twistedp2p.tap",
    "Chat and share files with the people on this network.",
    "p2pshare",
)
