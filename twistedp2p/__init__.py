"""Chat and password-protected file sharing for people on one network, without a server."""
