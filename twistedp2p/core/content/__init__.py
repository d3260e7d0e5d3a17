"""What an offer holds: its pieces and their hashes, and the list of a folder."""
