"""Floor 1: what is kept on disk. Blocking; called through threads when it may take milliseconds."""
