"""Floor 2: Twisted protocols and sockets. Reactor and clock come in as arguments."""
