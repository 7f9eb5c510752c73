"""Records, written and read."""
