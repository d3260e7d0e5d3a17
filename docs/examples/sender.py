"""Says one line to the group. Plain Python: nothing of p2pshare is needed.

Usage: python sender.py "coucou !" [GROUP PORT ADDRESS_OF_AN_INTERFACE]
"""

import socket
import sys

text, *where = sys.argv[1:]
group, port, interface = where or ["239.0.0.1", "9392", "0"]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
sock.sendto(text.encode(), (group, int(port)))
