"""What is said over TCP: lines, proofs of a password, sealed bodies, records."""
