"""SQLite as a store of vectorkit: collections in one file, on the `sqlite3` of the standard library."""

from vectorkit_sqlite._backend import SqliteBackend

__all__ = ["SqliteBackend"]
