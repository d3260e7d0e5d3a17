"""Who is here, what they are called, and how they are reached."""
