"""Text search: its index, and the searches of it."""
