"""Collections: what is stored about them, replacing one, and those that others made."""
