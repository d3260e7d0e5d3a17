"""What we fetch, from whom, and what we give on of it."""
