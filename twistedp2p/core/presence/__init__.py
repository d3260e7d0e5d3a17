"""Who is here, and how they are reached."""
