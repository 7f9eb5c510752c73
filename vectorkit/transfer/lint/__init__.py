"""`lint`: what will not survive a move."""
