"""Files as sources and targets of a copy."""
