"""What goes in one datagram, and how it is signed and sealed."""
