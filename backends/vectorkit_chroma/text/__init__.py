"""Search by words, and by words and vectors at once."""
