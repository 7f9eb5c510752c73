"""A file of vectors by key, for several threads and processes at once: what `CachedEmbedder` keeps them in.

SQLite of the standard library: it looks up hundreds of keys in one statement, is safe between processes, and is
there. diskcache, which builds on it too, asks for one key at a time and unpickles what it finds.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vectorkit.errors import EmbeddingError
from vectorkit.paths import make_folder, make_private

__all__ = ["VectorFile"]

_APPLICATION: Final = 0x766B6331
"""Of ours, in the header of the file; other programs' files are not written to (SQLite, "PRAGMA application_id")."""

_KEYS: Final = 500
"""Keys a statement: fewer than the 999 variables that SQLite takes at least."""

_BUSY: Final = 60.0
"""Seconds to wait for another process that is writing; a write takes milliseconds."""

_SCHEMA: Final = """
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    used INTEGER NOT NULL, -- hours since 1970 at the last use: a hit writes at most once an hour
    vector BLOB NOT NULL
) STRICT;
CREATE INDEX vectors_used ON vectors (used, id);
"""


class VectorFile:
    """Bytes by key; the least recently used ones go when there are too many.

    Args:
        path: The file; it is made, with its folder, if there is none. Not on a network drive: processes share memory
            beside it (SQLite, "Write-Ahead Logging").
        max_bytes: The most it holds.

    Every method raises `EmbeddingError` if the file cannot be used.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: tuple[int, sqlite3.Connection] | None = None
        self._inherited: list[sqlite3.Connection] = []
        with self._opened():
            pass

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is stored of the keys, by key."""
        found: dict[bytes, bytes] = {}
        hour = int(time.time() // 3600)
        with self._opened() as connection:
            for start in range(0, len(keys), _KEYS):
                part = keys[start : start + _KEYS]
                rows: list[tuple[int, bytes, int, bytes]] = connection.execute(
                    f"SELECT id, key, used, vector FROM vectors WHERE key IN ({', '.join('?' * len(part))})", part
                ).fetchall()
                found.update((key, vector) for _, key, _, vector in rows)
                if stale := [(hour, id) for id, _, used, _ in rows if used < hour]:
                    with _written(connection):
                        connection.executemany("UPDATE vectors SET used = ? WHERE id = ?", stale)
        return found

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Store vectors by key, all of them or none."""
        hour = int(time.time() // 3600)
        with self._opened() as connection, _written(connection):
            connection.executemany(
                "INSERT INTO vectors (key, used, vector) VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET used = excluded.used, vector = excluded.vector",
                [(key, hour, vector) for key, vector in items],
            )
            while _size(connection) > self._max_bytes:
                (count,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
                if not count:
                    return
                # A tenth at a time: every write would have to make room otherwise.
                connection.execute(
                    "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY used, id LIMIT ?)",
                    [max(1, count // 10)],
                )

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        with self._lock:
            if self._connection is not None and self._connection[0] == os.getpid():
                self._connection[1].close()
                self._connection = None

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        """The connection, for one thread at a time."""
        with self._lock:
            try:
                if self._connection is None or self._connection[0] != os.getpid():
                    if self._connection is not None:
                        # A connection must not be used, nor closed, in a process that was forked off (SQLite, "How
                        # To Corrupt An SQLite Database File", 2.6).
                        self._inherited.append(self._connection[1])
                    self._connection = os.getpid(), self._connect()
                yield self._connection[1]
            except (sqlite3.Error, OSError) as error:
                raise EmbeddingError(
                    f"the cache {str(self._path)!r} cannot be used ({type(error).__name__}: {error}); "
                    "see that it can be written, delete the file, or give another path"
                ) from error

    def _connect(self) -> sqlite3.Connection:
        make_folder(self._path.parent)
        make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            with _written(connection):
                (application,) = connection.execute("PRAGMA application_id").fetchone()
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if application != _APPLICATION and tables:
                    raise EmbeddingError(f"{str(self._path)!r} is another program's SQLite file; give another path")
                if not tables:
                    for statement in _SCHEMA.split(";")[:-1]:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            # Readers do not wait for a writer, and a process that is killed loses nothing it has written; a machine
            # that loses power may lose the last writes, and can embed them again.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _written(connection: sqlite3.Connection) -> Generator[None]:
    """One transaction, that waits for its turn at the beginning."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the file that are in use."""
    found = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    ]
    size: int = (found[0] - found[1]) * found[2]
    return size
