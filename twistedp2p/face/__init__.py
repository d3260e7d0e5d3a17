"""Floor 4: the ways a person or a program uses a node."""
