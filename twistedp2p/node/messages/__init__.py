"""What is said: to all, in parts, and to one alone."""
