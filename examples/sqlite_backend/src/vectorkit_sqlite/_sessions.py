"""Connections to the file, and transactions on them.

A connection serves one call at a time, so that many threads can read at once and none waits for a lock of ours; in WAL
mode readers and the one writer do not wait for each other either (https://www.sqlite.org/wal.html).
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from vectorkit.errors import BackendError
from vectorkit_sqlite._errors import translated

__all__ = ["PATIENCE", "Sessions", "transaction"]

PATIENCE: Final = 30.0
"""Seconds that one writer waits for another."""


class Sessions:
    """The connections to one file: lent to calls, and kept between them.

    Args:
        path: The file; made if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._process = os.getpid()
        _every.add(self)

    @contextmanager
    def connection(self) -> Generator[sqlite3.Connection]:
        """Lend a connection.

        If its user fails, it is closed: that rolls back what was begun, and leaves no temporary table behind.

        Raises:
            BackendError: This object was closed, or the file cannot be opened.
        """
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the connections, those in use when their call ends."""
        self._closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _take(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            raise BackendError("this store was opened before the process forked; connect again in the child")
        with self._lock:
            if self._closed:
                raise BackendError("this store was closed; connect again")
            if self._idle:
                return self._idle.pop()
        with translated():
            # No isolation level: transactions are begun and committed below, not by sqlite3's rules.
            connection = sqlite3.connect(self._path, PATIENCE, isolation_level=None, check_same_thread=False)
            # The log is flushed at each commit: what was acknowledged survives the power going off, too.
            connection.execute("PRAGMA synchronous = FULL")
            return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Generator[None]:
    """A transaction: `DEFERRED` to read one state of the file, `IMMEDIATE` to write, as the only writer."""
    connection.execute(f"BEGIN {kind}")
    yield
    connection.execute("COMMIT")


_every: "weakref.WeakSet[Sessions]" = weakref.WeakSet()


def _close_before_fork() -> None:
    """SQLite must not be open while its process forks: the child would take the parent's locks for its own.

    (https://www.sqlite.org/howtocorrupt.html, 2.6.) After this, the child can open the file by itself (rule 9.3).
    """
    for sessions in list(_every):
        sessions.close_idle()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork)
