"""The state folder and what is in it beside the memory; settings."""
