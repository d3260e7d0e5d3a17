"""What an offer holds: its pieces and their hashes, the list of a folder, whom to ask for what."""
