"""Moving from one store to another: copy, verify, compare, and what will not survive the move."""
