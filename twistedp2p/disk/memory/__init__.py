"""What a node remembers between runs: one SQLite file."""
