"""Our own offers, and whatever else is served."""
