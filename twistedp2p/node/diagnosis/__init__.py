"""The doctor: why nodes do not see each other."""
