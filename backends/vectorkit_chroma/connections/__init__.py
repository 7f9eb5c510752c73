"""Connections: opening one by URL or client, what its users share, and the lock of a folder."""
