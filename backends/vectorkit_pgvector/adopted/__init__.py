"""Tables of an application as collections."""
