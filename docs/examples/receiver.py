"""Prints what the group says. Plain Python: nothing of p2pshare is needed.

Usage: python receiver.py [GROUP PORT ADDRESS_OF_AN_INTERFACE]
"""

import socket
import sys

group, port, interface = sys.argv[1:] or ["239.0.0.1", "9392", "0"]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", int(port)))
member = socket.inet_aton(group) + socket.inet_aton(interface)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
while True:
    data, (host, _) = sock.recvfrom(65536)
    print(host, ":>", data.decode("utf-8", "replace"), flush=True)
