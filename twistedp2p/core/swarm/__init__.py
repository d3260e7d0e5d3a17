"""Who holds which pieces of one content, and which piece is asked of whom next."""
